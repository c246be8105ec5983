//! Scheme, host and port of a URL, and the request line and `Host` header for it.

use std::fmt;

use aws_smithy_types::body::SdkBody;
use http::header::{HOST, HeaderValue, PROXY_AUTHORIZATION};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Uri};

use super::failure::Failure;
use crate::proxy::Proxy;

/// What a connection leads to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Origin {
    pub(super) https: bool,
    /// Without brackets if it is an IPv6 address.
    pub(super) host: String,
    pub(super) port: u16,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&host_and_port(&self.host, self.port))
    }
}

impl Origin {
    pub(super) fn of(uri: &Uri) -> Result<Self, Failure> {
        let https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(Failure::Url),
        };
        let host = uri
            .host()
            .filter(|host| !host.is_empty())
            .ok_or(Failure::Url)?;
        Ok(Self {
            https,
            host: without_brackets(host).to_owned(),
            port: uri.port_u16().unwrap_or(if https { 443 } else { 80 }),
        })
    }

    /// Gives the request its `Host` header and the form of URI that the server expects: with
    /// scheme and host for a proxy that forwards it, without for all others.
    pub(super) fn prepare(
        &self,
        request: &mut Request<SdkBody>,
        proxy: Option<&Proxy>,
    ) -> Result<(), Failure> {
        let default = if self.https { 443 } else { 80 };
        let text = self.to_string();
        let authority = if self.port == default {
            text.rsplit_once(':')
                .map_or(text.as_str(), |(host, _)| host)
        } else {
            &text
        };
        let value = HeaderValue::from_str(authority).map_err(|_| Failure::Url)?;
        request.headers_mut().entry(HOST).or_insert(value);
        let path = request
            .uri()
            .path_and_query()
            .cloned()
            .unwrap_or_else(|| PathAndQuery::from_static("/"));
        let mut uri = http::uri::Parts::default();
        uri.path_and_query = Some(path);
        if let (Some(proxy), false) = (proxy, self.https) {
            uri.scheme = Some(Scheme::HTTP);
            uri.authority = Some(Authority::try_from(authority).map_err(|_| Failure::Url)?);
            if let Some(authorization) = &proxy.authorization {
                let mut value =
                    HeaderValue::from_str(authorization.expose()).map_err(|_| Failure::Url)?;
                value.set_sensitive(true);
                request.headers_mut().insert(PROXY_AUTHORIZATION, value);
            }
        }
        *request.uri_mut() = Uri::from_parts(uri).map_err(|_| Failure::Url)?;
        Ok(())
    }
}

/// `host:port`, with brackets around an IPv6 address.
pub(super) fn host_and_port(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// Whether requests can be sent to it: over an empty one, for example, the SDK panics.
pub(in crate::ecr) fn is_url(text: &str) -> bool {
    text.parse().is_ok_and(|uri| Origin::of(&uri).is_ok())
}

fn without_brackets(host: &str) -> &str {
    host.strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host)
}
