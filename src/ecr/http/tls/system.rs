//! Verification by the system, on macOS and Windows.
//!
//! CA certificates that are named in addition verify first, by the same code as on Linux: the
//! system's has further rules for them, such as a longest lifetime on macOS.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_platform_verifier::Verifier;

/// A verifier that trusts the system's CA certificates and these.
pub(super) fn verifier(
    named: RootCertStore,
    crypto: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, Error> {
    let system = Verifier::new(crypto.clone())?;
    if named.is_empty() {
        return Ok(Arc::new(system));
    }
    let named = WebPkiServerVerifier::builder_with_provider(Arc::new(named), crypto.clone());
    let named = named.build().map_err(|e| Error::General(e.to_string()))?;
    Ok(Arc::new(NamedOrSystem { named, system }))
}

#[derive(Debug)]
struct NamedOrSystem {
    named: Arc<WebPkiServerVerifier>,
    system: Verifier,
}

impl ServerCertVerifier for NamedOrSystem {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        more: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let by_named = self
            .named
            .verify_server_cert(certificate, more, name, ocsp, now);
        match by_named {
            Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => self
                .system
                .verify_server_cert(certificate, more, name, ocsp, now),
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.named
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.named
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.named.supported_verify_schemes()
    }
}
