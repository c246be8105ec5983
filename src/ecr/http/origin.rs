//! Scheme, host and port of a URL, and the request line and `Host` header for it.

use std::fmt;
use std::net::Ipv6Addr;

use aws_smithy_types::body::SdkBody;
use http::header::{HOST, HeaderValue, PROXY_AUTHORIZATION};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Uri};

use super::failure::Failure;
use crate::proxy::Proxy;

/// The far end of a connection.
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
        let authority = uri.authority().ok_or(Failure::Url)?;
        let host = authority.host();
        let port = match authority.as_str().strip_prefix(host) {
            Some("" | ":") => None,
            // A user name leads to neither: it stands before the host.
            Some(rest) => {
                let port = rest.strip_prefix(':').ok_or(Failure::Url)?;
                Some(port.parse().map_err(|_| Failure::Url)?)
            }
            None => return Err(Failure::Url),
        };
        if !is_host(host) {
            return Err(Failure::Url);
        }
        Ok(Self {
            https,
            host: without_brackets(host).to_owned(),
            port: port.unwrap_or(if https { 443 } else { 80 }),
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
///
/// User names in a URL are of no use to AWS, and a password with an unescaped `/`, `#` or `@`
/// moves the end of the host, so that a part of it would be looked up as a name. So neither `@`
/// nor `#` may occur anywhere.
pub(crate) fn is_url(text: &str) -> bool {
    !text.contains(['@', '#', '\\']) && text.parse().is_ok_and(|uri| Origin::of(&uri).is_ok())
}

/// A name, an IPv4 address, or an IPv6 address in brackets.
fn is_host(host: &str) -> bool {
    let name = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    match host.strip_prefix('[') {
        Some(rest) => rest
            .strip_suffix(']')
            .is_some_and(|address| address.parse::<Ipv6Addr>().is_ok()),
        None => !host.is_empty() && host.bytes().all(name),
    }
}

fn without_brackets(host: &str) -> &str {
    host.strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_lead_to_one_host_or_are_refused() {
        for (url, expected) in [
            ("https://h.example", Some("h.example:443")),
            ("http://h.example/a?b", Some("h.example:80")),
            ("http://h.example:/", Some("h.example:80")),
            ("HTTPS://h_1.example:8443", Some("h_1.example:8443")),
            ("https://[2001:db8::1]:1", Some("[2001:db8::1]:1")),
            ("http://127.0.0.1", Some("127.0.0.1:80")),
            ("", None),
            ("h.example", None),
            ("ftp://h.example", None),
            ("https://", None),
            ("https:///path", None),
            ("http://user@h.example", None),
            ("http://user:pass@h.example", None),
            ("http://user:pa@ss@h.example", None),
            ("http://user:pa/ss@h.example", None),
            ("http://user:12/ss@h.example", None),
            ("http://user:pa#ss@h.example", None),
            ("http://hunter2#", None),
            ("http://hunter2?x@h.example", None),
            ("http://user:pass", None),
            ("http://h.example:99999", None),
            ("http://[::1", None),
            ("http://[h]", None),
            ("http://a b", None),
            ("http://h%41", None),
        ] {
            let found = is_url(url).then(|| {
                let uri = url.parse().expect(url);
                Origin::of(&uri).expect(url).to_string()
            });
            assert_eq!(found.as_deref(), expected, "{url}");
        }
    }
}
