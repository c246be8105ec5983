//! Failures between this program and a response: wording, hint, consequences.

use std::io;

use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::retry::ErrorKind;
use chrono::{DateTime, Utc};
use thiserror::Error;

use super::MAX_BODY;
use crate::ecr::trust::TrustStoreError;
use crate::proxy::ProxyError;

/// Why a request has no response.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Failure {
    /// The name does not resolve.
    #[error("the name {host} does not resolve")]
    Dns {
        host: String,
        /// Whether the name servers could not be reached, so that the name may well exist.
        temporary: bool,
    },
    /// The port is closed.
    #[error("connection refused by {at}")]
    Refused { at: String },
    /// Other failures to connect, and connections that break off.
    #[error("connection to {at} failed: {what}")]
    Broken { at: String, what: String },
    /// The certificate does not lead to a trusted CA.
    #[error("the TLS certificate of {host} is not signed by a trusted CA")]
    Untrusted { host: String },
    /// The certificate is outside its validity period, or the local clock is wrong.
    #[error("the TLS certificate of {host} has expired or is not valid yet")]
    CertificateTime { host: String },
    /// Other failures of TLS.
    #[error("the TLS handshake with {host} failed: {what}")]
    Tls { host: String, what: String },
    /// The CA certificates cannot be loaded.
    #[error(transparent)]
    TrustStore(TrustStoreError),
    /// The TLS library is not what this build promises.
    #[error("TLS is not available: {what}")]
    Crypto { what: String },
    /// The proxy setting cannot be used.
    #[error(transparent)]
    ProxySetting(ProxyError),
    /// The proxy does not forward the request.
    #[error("the proxy {proxy} ({variable}) {what}")]
    Proxy {
        proxy: String,
        variable: &'static str,
        what: String,
        /// Whether the fault may lie behind the proxy: the name may not resolve.
        upstream: bool,
    },
    /// It took too long.
    #[error("timed out {doing}")]
    TimedOut {
        doing: String,
        /// Whether the request had a connection.
        connected: bool,
    },
    /// The response is larger than any that AWS sends.
    #[error("the response from {host} exceeds {MAX_BODY} bytes")]
    TooLarge { host: String },
    /// HTTP status 429, which the SDK does not retry by itself.
    #[error("{host} returned HTTP 429 (too many requests)")]
    TooMany { host: String },
    /// The endpoint is not an http:// or https:// URL.
    #[error("the endpoint is not an http:// or https:// URL")]
    Url,
}

impl Failure {
    /// The remedy, in one line.
    pub fn hint(&self) -> String {
        match self {
            Self::Dns { .. } => "check the region in the name, DNS, and HTTPS_PROXY".to_owned(),
            Self::Refused { .. } | Self::Broken { .. } | Self::TimedOut { .. } => {
                "check the network, HTTPS_PROXY and the endpoint settings (AWS_ENDPOINT_URL and AWS_ENDPOINT_URL_<SERVICE>)".to_owned()
            }
            Self::Untrusted { .. } => {
                "behind a proxy or with a private endpoint, set AWS_CA_BUNDLE or SSL_CERT_FILE to a file of the CA certificates to trust".to_owned()
            }
            Self::CertificateTime { .. } => {
                "check this machine's clock, then the server's certificate".to_owned()
            }
            Self::Tls { .. } => "check the endpoint settings and HTTPS_PROXY".to_owned(),
            Self::TrustStore(error) => match &error.setting {
                Some(setting) if setting == "SSL_CERT_DIR" => {
                    "set SSL_CERT_DIR to a directory of PEM certificates, or unset it".to_owned()
                }
                Some(setting) => format!("set {setting} to a file of PEM certificates, or unset it"),
                None => "install the package ca-certificates, or set AWS_CA_BUNDLE".to_owned(),
            },
            Self::Crypto { .. } => "reinstall, or use the non-FIPS build".to_owned(),
            Self::ProxySetting(error) => error.hint(),
            Self::Proxy { variable, .. } => {
                format!("check {variable}; NO_PROXY lists hosts to reach without it")
            }
            Self::TooMany { .. } => "try again later".to_owned(),
            Self::TooLarge { .. } => "check what answers at that endpoint".to_owned(),
            Self::Url => "set the endpoint to a URL such as https://host:port".to_owned(),
        }
    }

    /// Whether every process that waits for the same cache key would meet it.
    pub fn is_shared(&self) -> bool {
        match self {
            Self::Dns { .. }
            | Self::Refused { .. }
            | Self::Broken { .. }
            | Self::TimedOut { .. }
            | Self::TooLarge { .. }
            | Self::TooMany { .. } => true,
            Self::Untrusted { .. }
            | Self::CertificateTime { .. }
            | Self::Tls { .. }
            | Self::TrustStore(_)
            | Self::Crypto { .. }
            | Self::ProxySetting(_)
            | Self::Proxy { .. }
            | Self::Url => false,
        }
    }

    /// In the SDK's terms, which decide whether it retries.
    pub(super) fn into_connector_error(self) -> ConnectorError {
        match &self {
            Self::TimedOut { .. } => ConnectorError::timeout(self.into()),
            Self::Dns {
                temporary: true, ..
            }
            | Self::Refused { .. }
            | Self::Broken { .. } => ConnectorError::io(self.into()),
            Self::Proxy { upstream: true, .. } => ConnectorError::io(self.into()),
            Self::TooMany { .. } => {
                ConnectorError::other(self.into(), Some(ErrorKind::ThrottlingError))
            }
            _ => ConnectorError::user(self.into()),
        }
    }

    /// A connection that was not made.
    pub(super) fn not_connected(at: String, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused { at },
            _ => Self::Broken {
                at,
                what: io_words(error),
            },
        }
    }
}

/// An I/O error without the operating system's number for it.
pub(super) fn io_words(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    text.to_lowercase()
}

/// How the last request of a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestOutcome {
    /// It has not ended.
    Pending { doing: String },
    /// There is no response.
    Failed(Failure),
    /// There is a response.
    Replied {
        host: String,
        status: u16,
        /// The server's clock.
        date: Option<DateTime<Utc>>,
    },
}
