//! TLS: the configuration, handshakes, and what their errors mean.

#[cfg(any(windows, target_os = "macos"))]
mod system;

use std::io;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::Stream;
use super::failure::{Failure, io_words};
use crate::ecr::trust::CaCertificates;

/// A connector that trusts these CA certificates.
pub(super) fn connector(certificates: CaCertificates) -> Result<TlsConnector, Failure> {
    let failed = |error: rustls::Error| Failure::Crypto {
        what: error.to_string(),
    };
    let builder = rustls::ClientConfig::builder_with_provider(Arc::new(crypto()))
        .with_safe_default_protocol_versions()
        .map_err(failed)?;
    #[cfg(any(windows, target_os = "macos"))]
    let builder = match certificates.with_system {
        true => {
            let verifier = system::verifier(certificates.roots, builder.crypto_provider());
            builder
                .dangerous()
                .with_custom_certificate_verifier(verifier.map_err(failed)?)
        }
        false => builder.with_root_certificates(certificates.roots),
    };
    #[cfg(not(any(windows, target_os = "macos")))]
    let builder = builder.with_root_certificates(certificates.roots);
    let config = builder.with_no_client_auth();
    // Rather no connection than one that a FIPS build is not installed for.
    if cfg!(feature = "fips") && !config.fips() {
        return Err(Failure::Crypto {
            what: "the FIPS module is not in use".to_owned(),
        });
    }
    Ok(TlsConnector::from(Arc::new(config)))
}

/// The first group is the one that a key share is sent for. AWS's s2n takes P-256 or x25519,
/// whichever has a share, and its FIPS policies P-256 alone: any other first group would cost a
/// round trip there. With FIPS this also leaves no post-quantum group without a share.
fn crypto() -> CryptoProvider {
    #[cfg(not(feature = "fips"))]
    let provider = rustls::crypto::ring::default_provider();
    #[cfg(feature = "fips")]
    let provider = rustls::crypto::default_fips_provider();
    CryptoProvider {
        kx_groups: with_p256_first(provider.kx_groups),
        ..provider
    }
}

fn with_p256_first(
    mut groups: Vec<&'static dyn SupportedKxGroup>,
) -> Vec<&'static dyn SupportedKxGroup> {
    groups.retain(|group| is_elliptic(group.name()));
    groups.sort_by_key(|group| group.name() != rustls::NamedGroup::secp256r1);
    groups
}

fn is_elliptic(group: rustls::NamedGroup) -> bool {
    use rustls::NamedGroup as Group;
    matches!(
        group,
        Group::secp256r1 | Group::secp384r1 | Group::secp521r1 | Group::X25519
    )
}

pub(super) async fn handshake(
    tls: &TlsConnector,
    host: &str,
    stream: Box<dyn Stream>,
) -> Result<TlsStream<Box<dyn Stream>>, Failure> {
    let name = ServerName::try_from(host.to_owned()).map_err(|_| Failure::Url)?;
    #[cfg(not(any(windows, target_os = "macos")))]
    let connected = tls.connect(name, stream).await;
    // The system's verifier may use the network, and blocks as long: on a thread of its own the
    // deadline holds all the same.
    #[cfg(any(windows, target_os = "macos"))]
    let connected = {
        let (tls, runtime) = (tls.clone(), tokio::runtime::Handle::current());
        tokio::task::spawn_blocking(move || runtime.block_on(tls.connect(name, stream)))
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)))
    };
    connected.map_err(|error| handshake_failure(host, &error))
}

fn handshake_failure(host: &str, error: &io::Error) -> Failure {
    use rustls::CertificateError as Bad;
    let host = host.to_owned();
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(bad)) => match bad {
            Bad::Expired
            | Bad::ExpiredContext { .. }
            | Bad::NotValidYet
            | Bad::NotValidYetContext { .. } => Failure::CertificateTime { host },
            Bad::NotValidForName | Bad::NotValidForNameContext { .. } => Failure::Tls {
                host,
                what: "its certificate is for another name".to_owned(),
            },
            #[cfg(target_os = "macos")]
            Bad::Other(error) if is_out_of_date(error) => Failure::CertificateTime { host },
            _ => Failure::Untrusted { host },
        },
        Some(other) => Failure::Tls {
            host,
            what: other.to_string(),
        },
        None => Failure::Broken {
            at: host,
            what: format!("in the TLS handshake: {}", io_words(error)),
        },
    }
}

/// Whether macOS says that a certificate has expired or is not valid yet: its code ends the text.
#[cfg(any(test, target_os = "macos"))]
fn is_out_of_date(error: &rustls::OtherError) -> bool {
    let text = error.to_string();
    ["-67818", "-67819"].iter().any(|code| text.ends_with(code))
}

#[cfg(test)]
mod tests {
    use rustls::NamedGroup;
    use rustls::crypto::ActiveKeyExchange;

    use super::*;

    #[test]
    fn key_share_is_for_p256() {
        let groups: Vec<_> = crypto()
            .kx_groups
            .iter()
            .map(|group| group.name())
            .collect();
        assert_eq!(groups.first(), Some(&NamedGroup::secp256r1));
        assert!(groups.contains(&NamedGroup::secp384r1), "{groups:?}");
        assert!(groups.into_iter().all(is_elliptic));
    }

    #[test]
    fn macos_codes_tell_the_time_from_distrust() {
        for (text, expected) in [
            ("\u{201c}x\u{201d} certificate is expired: -67818", true),
            (
                "\u{201c}x\u{201d} certificate is not valid yet: -67819",
                true,
            ),
            (
                "\u{201c}x\u{201d} certificate is not trusted: -67843",
                false,
            ),
        ] {
            let error = rustls::OtherError(Arc::from(Box::from(text)));
            assert_eq!(is_out_of_date(&error), expected, "{text}");
        }
    }

    /// As the FIPS module's provider has them.
    #[test]
    fn no_post_quantum_group_is_named() {
        #[derive(Debug)]
        struct OneGroup(NamedGroup);
        impl SupportedKxGroup for OneGroup {
            fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, rustls::Error> {
                Err(rustls::Error::General("only a name".to_owned()))
            }

            fn name(&self) -> NamedGroup {
                self.0
            }
        }
        let given: [&'static dyn SupportedKxGroup; 5] = [
            &OneGroup(NamedGroup::X25519MLKEM768),
            &OneGroup(NamedGroup::secp256r1MLKEM768),
            &OneGroup(NamedGroup::X25519),
            &OneGroup(NamedGroup::secp384r1),
            &OneGroup(NamedGroup::secp256r1),
        ];
        let left: Vec<_> = with_p256_first(given.into())
            .iter()
            .map(|group| group.name())
            .collect();
        let expected = [
            NamedGroup::secp256r1,
            NamedGroup::X25519,
            NamedGroup::secp384r1,
        ];
        assert_eq!(left, expected);
    }
}
