//! A certificate authority of our own, so that TLS is proven with the real names of AWS and never
//! with verification switched off. Certificates are issued for the name that the client asks for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{NamedGroup, ServerConfig};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Names for a client that names none, because it was given an address.
const LOCAL: &[&str] = &["localhost", "127.0.0.1", "::1"];

/// A certificate authority that exists for one test.
pub struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
    provider: Arc<CryptoProvider>,
    issued: Mutex<HashMap<String, Arc<CertifiedKey>>>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority")
    }
}

impl Authority {
    pub fn new() -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name("Fake AWS test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let pem = params.self_signed(&key)?.pem();
        Ok(Self {
            pem,
            issuer: Issuer::new(params, key),
            provider: Arc::new(ring::default_provider()),
            issued: Mutex::default(),
        })
    }

    /// The authority's own certificate.
    pub fn ca_pem(&self) -> &str {
        &self.pem
    }

    /// Certificate and key, as PEM, for these names and addresses.
    pub fn issue(&self, names: &[&str]) -> Result<(String, String)> {
        let key = KeyPair::generate()?;
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = common_name("Fake AWS");
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }

    fn certified(&self, name: &str) -> Result<Arc<CertifiedKey>> {
        let mut issued = super::locked(&self.issued);
        if let Some(key) = issued.get(name) {
            return Ok(Arc::clone(key));
        }
        let named = [name];
        let names = if LOCAL.contains(&name) { LOCAL } else { &named };
        let (certificate, key) = self.issue(names)?;
        let certified = certified_key(&self.provider, &certificate, &key)?;
        let certified = Arc::new(certified);
        issued.insert(name.to_owned(), Arc::clone(&certified));
        Ok(certified)
    }

    /// A server with a valid certificate for every name.
    pub fn server_config(self: &Arc<Self>) -> Result<Arc<ServerConfig>> {
        self.certified(LOCAL[0])?;
        server_config(Arc::clone(self) as Arc<dyn ResolvesServerCert>, false)
    }
}

impl ResolvesServerCert for Authority {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.certified(hello.server_name().unwrap_or(LOCAL[0])).ok()
    }
}

/// A server with one certificate, whatever it is asked for.
pub fn fixed_server_config(
    certificate: &str,
    key: &str,
    p256_only: bool,
) -> Result<Arc<ServerConfig>> {
    #[derive(Debug)]
    struct Fixed(Arc<CertifiedKey>);
    impl ResolvesServerCert for Fixed {
        fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
            Some(Arc::clone(&self.0))
        }
    }
    let key = certified_key(&ring::default_provider(), certificate, key)?;
    server_config(Arc::new(Fixed(Arc::new(key))), p256_only)
}

fn server_config(
    resolver: Arc<dyn ResolvesServerCert>,
    p256_only: bool,
) -> Result<Arc<ServerConfig>> {
    let mut provider = ring::default_provider();
    if p256_only {
        let is_p256 = |group: &_| *group == NamedGroup::secp256r1;
        provider.kx_groups.retain(|group| is_p256(&group.name()));
    }
    let config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    Ok(Arc::new(config))
}

fn certified_key(provider: &CryptoProvider, certificate: &str, key: &str) -> Result<CertifiedKey> {
    let chain = CertificateDer::pem_slice_iter(certificate.as_bytes())
        .collect::<std::result::Result<Vec<_>, _>>()
        .map_err(|error| format!("certificate: {error:?}"))?;
    let key =
        PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|error| format!("key: {error:?}"))?;
    let key = provider.key_provider.load_private_key(key)?;
    Ok(CertifiedKey::new(chain, key))
}

fn common_name(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}
