//! What can go wrong between this program and a response: wording, hint, consequences.

use std::fmt;
use std::io;

use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::retry::ErrorKind;
use chrono::{DateTime, Utc};

use super::MAX_BODY;
use crate::ecr::trust;
use crate::proxy;

/// Why a request has no response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The name does not resolve.
    Dns {
        host: String,
        /// Whether the name servers could not be reached, so that the name may well exist.
        temporary: bool,
    },
    /// The port is closed.
    Refused { at: String },
    /// Other failures to connect, and connections that break off.
    Broken { at: String, what: String },
    /// The certificate does not lead to a trusted CA.
    Untrusted { host: String },
    /// The certificate is outside its validity period, or the local clock is wrong.
    CertificateTime { host: String },
    /// Other failures of TLS.
    Tls { host: String, what: String },
    /// The CA certificates cannot be loaded.
    TrustStore(trust::Error),
    /// The TLS library is not what this build promises.
    Crypto { what: String },
    /// The proxy setting cannot be used.
    ProxySetting(proxy::Error),
    /// The proxy does not forward the request.
    Proxy {
        proxy: String,
        variable: &'static str,
        what: String,
        /// Whether the fault may lie behind the proxy: the name may not resolve.
        upstream: bool,
    },
    /// It took too long.
    TimedOut {
        doing: String,
        /// Whether the request had a connection.
        connected: bool,
    },
    /// The response is larger than any that AWS sends.
    TooLarge { host: String },
    /// HTTP status 429, which the SDK does not retry by itself.
    TooMany { host: String },
    /// The endpoint is not an http:// or https:// URL.
    Url,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns { host, .. } => write!(f, "the name {host} does not resolve"),
            Self::Refused { at } => write!(f, "connection refused by {at}"),
            Self::Broken { at, what } => write!(f, "connection to {at} failed: {what}"),
            Self::Untrusted { host } => {
                write!(
                    f,
                    "the TLS certificate of {host} is not signed by a trusted CA"
                )
            }
            Self::CertificateTime { host } => write!(
                f,
                "the TLS certificate of {host} has expired or is not valid yet"
            ),
            Self::Tls { host, what } => write!(f, "the TLS handshake with {host} failed: {what}"),
            Self::TrustStore(error) => match &error.setting {
                Some(setting) => write!(f, "{setting}: {}", error.what),
                None => f.write_str(&error.what),
            },
            Self::Crypto { what } => write!(f, "TLS is not available: {what}"),
            Self::ProxySetting(error) => error.fmt(f),
            Self::Proxy {
                proxy,
                variable,
                what,
                ..
            } => write!(f, "the proxy {proxy} ({variable}) {what}"),
            Self::TimedOut { doing, .. } => write!(f, "timed out {doing}"),
            Self::TooLarge { host } => {
                write!(f, "the response from {host} exceeds {MAX_BODY} bytes")
            }
            Self::TooMany { host } => write!(f, "{host} returned HTTP 429 (too many requests)"),
            Self::Url => f.write_str("the endpoint is not an http:// or https:// URL"),
        }
    }
}

impl std::error::Error for Failure {}

impl Failure {
    /// What a person can do about it, in one line.
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
