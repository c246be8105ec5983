//! Which proxy a request goes through, decided as Go decides it.
//!
//! The helper that this one replaces is written in Go, so the environment variables have the
//! meaning that `golang.org/x/net/http/httpproxy` gives them: precedence, matching, what is never
//! proxied. Two things differ: the link-local addresses of instance metadata and container
//! credentials never go through a proxy, which could not reach them and would see them, and a proxy
//! that cannot be used is an error that names its variable, where Go proceeds without it.

use std::net::{IpAddr, Ipv6Addr};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::env::Env;
use crate::secret::Secret;

/// The proxy settings of the environment, read once.
#[derive(Debug, Clone)]
pub struct Proxies {
    http: Option<ProxySetting>,
    https: Option<ProxySetting>,
    bypass: Vec<Bypass>,
    cgi: bool,
}

/// A proxy that a request goes through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// The environment variable that names it: for messages.
    pub variable: &'static str,
    /// Whether the connection to the proxy itself uses TLS.
    pub tls: bool,
    /// The host, without brackets if it is an IPv6 address.
    pub host: String,
    pub port: u16,
    /// The value of `Proxy-Authorization`, where the URL carries a user.
    pub authorization: Option<Secret>,
}

/// Why the proxy that is set cannot be used. Shows no part of the URL but its scheme, since the
/// rest may be a password.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProxyError {
    /// A scheme other than http and https.
    #[error("{variable} has the scheme {scheme:?}, which is not supported for proxies")]
    Scheme {
        variable: &'static str,
        scheme: String,
    },
    /// Not a URL.
    #[error("{variable} is not a proxy URL")]
    Malformed { variable: &'static str },
    /// `HTTP_PROXY` where a web server may have set it from a request's `Proxy` header
    /// (<https://golang.org/s/cgihttpproxy>).
    #[error("HTTP_PROXY is ignored where REQUEST_METHOD is set (CGI)")]
    Cgi,
}

impl ProxyError {
    /// The remedy.
    pub fn hint(&self) -> String {
        match self {
            Self::Scheme { variable, .. } | Self::Malformed { variable } => format!(
                "set {variable} to http://host:port or https://host:port, or unset it; NO_PROXY lists hosts to reach without it"
            ),
            Self::Cgi => "unset HTTP_PROXY or REQUEST_METHOD".to_owned(),
        }
    }
}

#[derive(Debug, Clone)]
struct ProxySetting {
    variable: &'static str,
    url: Secret,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Bypass {
    All,
    Network(IpAddr, u8),
    Address(IpAddr, Option<String>),
    Domain {
        /// With a leading dot.
        suffix: String,
        port: Option<String>,
        itself: bool,
    },
}

impl Proxies {
    /// Reads `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`, each before its lower-case form.
    /// `ALL_PROXY` is not looked at.
    pub fn from_env(env: &Env) -> Self {
        let first = |names: [&'static str; 2]| {
            names.into_iter().find_map(|variable| {
                let value = env.raw(variable).filter(|value| !value.is_empty())?;
                Some((variable, value))
            })
        };
        let setting = |names| {
            first(names).map(|(variable, url)| ProxySetting {
                variable,
                url: Secret::new(url),
            })
        };
        Self {
            http: setting(["HTTP_PROXY", "http_proxy"]),
            https: setting(["HTTPS_PROXY", "https_proxy"]),
            bypass: first(["NO_PROXY", "no_proxy"])
                .map(|(_, list)| bypasses(&list))
                .unwrap_or_default(),
            cgi: env.is_set("REQUEST_METHOD"),
        }
    }

    /// The proxy for a request to this host (an IPv6 address without brackets) and port.
    ///
    /// # Errors
    /// When a proxy is set for it that cannot be used.
    pub fn proxy_for(
        &self,
        https: bool,
        host: &str,
        port: u16,
    ) -> Result<Option<Proxy>, ProxyError> {
        let setting = if https { &self.https } else { &self.http };
        let Some(setting) = setting else {
            return Ok(None);
        };
        let host = host.to_ascii_lowercase();
        let address = host.parse().ok().map(canonical);
        if host == "localhost" || address.is_some_and(is_local) {
            return Ok(None);
        }
        if !https && self.cgi {
            return Err(ProxyError::Cgi);
        }
        let port = port.to_string();
        if self.bypass.iter().any(|b| b.covers(&host, address, &port)) {
            return Ok(None);
        }
        parse(setting).map(Some)
    }
}

/// An IPv4 address that is written as an IPv6 one counts as what it is.
fn canonical(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

/// Loopback, and the addresses at which AWS serves credentials to its own machines: IPv4
/// link-local (169.254.169.254, 169.254.170.2, 169.254.170.23) and fd00:ec2::/32.
fn is_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_link_local(),
        IpAddr::V6(v6) => {
            let [first, second, ..] = v6.segments();
            v6.is_loopback() || (first, second) == (0xfd00, 0x0ec2) || first & 0xffc0 == 0xfe80
        }
    }
}

impl Bypass {
    fn covers(&self, host: &str, address: Option<IpAddr>, port: &str) -> bool {
        let at = |wanted: &Option<String>| wanted.as_deref().is_none_or(|wanted| wanted == port);
        match self {
            Self::All => true,
            Self::Network(network, bits) => {
                address.is_some_and(|address| in_network(address, *network, *bits))
            }
            Self::Address(wanted, port) => address == Some(*wanted) && at(port),
            Self::Domain {
                suffix,
                port,
                itself,
            } => {
                let matches = host.ends_with(suffix.as_str())
                    || (*itself && suffix.strip_prefix('.') == Some(host));
                matches && at(port)
            }
        }
    }
}

fn in_network(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    let (address, network, width) = match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(n)) => (u128::from(a.to_bits()), u128::from(n.to_bits()), 32),
        (IpAddr::V6(a), IpAddr::V6(n)) => (a.to_bits(), n.to_bits(), 128),
        _ => return false,
    };
    let shift = width - u32::from(bits);
    address.checked_shr(shift) == network.checked_shr(shift)
}

fn bypasses(list: &str) -> Vec<Bypass> {
    let mut all = Vec::new();
    for entry in list.split(',') {
        let entry = entry.trim().to_ascii_lowercase();
        if entry.is_empty() {
            continue;
        }
        if entry == "*" {
            return vec![Bypass::All];
        }
        all.extend(bypass(&entry));
    }
    all
}

fn bypass(entry: &str) -> Option<Bypass> {
    if let Some((network, bits)) = entry.split_once('/')
        && let (Ok(network), Ok(bits)) = (network.parse::<IpAddr>(), bits.parse::<u8>())
        && bits <= if network.is_ipv4() { 32 } else { 128 }
    {
        return Some(match (canonical(network), bits.checked_sub(96)) {
            (v4 @ IpAddr::V4(_), Some(bits)) if network.is_ipv6() => Bypass::Network(v4, bits),
            _ => Bypass::Network(network, bits),
        });
    }
    let (host, port) = match split_port(entry) {
        Some((host, port)) => (host, Some(port.to_owned()).filter(|port| !port.is_empty())),
        None => (entry, None),
    };
    if let Ok(address) = host.parse() {
        return Some(Bypass::Address(canonical(address), port));
    }
    let host = match host.strip_prefix('*') {
        Some(rest) if rest.starts_with('.') => rest,
        _ => host,
    };
    if host.is_empty() {
        return None;
    }
    let itself = !host.starts_with('.');
    let suffix = if itself {
        format!(".{host}")
    } else {
        host.to_owned()
    };
    Some(Bypass::Domain {
        suffix,
        port,
        itself,
    })
}

/// `host:port` or `[IPv6]:port`; none where there is no port, as in a bare IPv6 address.
fn split_port(text: &str) -> Option<(&str, &str)> {
    let (host, port) = text.rsplit_once(':')?;
    match host.strip_prefix('[') {
        Some(host) => Some((host.strip_suffix(']')?, port)),
        None if host.contains(':') => None,
        None => Some((host, port)),
    }
}

fn parse(setting: &ProxySetting) -> Result<Proxy, ProxyError> {
    let variable = setting.variable;
    let url = setting.url.expose().trim();
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let tls = match scheme.to_ascii_lowercase().as_str() {
        "http" => false,
        "https" => true,
        scheme
            if scheme
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b)) =>
        {
            let scheme = scheme.to_owned();
            return Err(ProxyError::Scheme { variable, scheme });
        }
        _ => return Err(ProxyError::Malformed { variable }),
    };
    let malformed = ProxyError::Malformed { variable };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, after) = rest.split_at(end);
    let (user, place) = match authority.split_once('@') {
        Some((user, place)) => (Some(user), place),
        None => (None, authority),
    };
    // An unescaped `/`, `?`, `#` or `@` in a password: a part of it would be taken for the host.
    if place.contains('@') || after.contains('@') {
        return Err(malformed);
    }
    // Brackets hold an IPv6 address, perhaps with a zone, and nothing else does.
    let bracketed = place.strip_prefix('[').map(|inside| {
        let address = inside.split(['%', ']']).next().unwrap_or_default();
        address.parse::<Ipv6Addr>().is_ok()
    });
    if bracketed == Some(false) {
        return Err(malformed);
    }
    let (host, port) = match split_port(place) {
        Some((host, "")) => (host, None),
        Some((host, port)) => match port.parse() {
            Ok(port) => (host, Some(port)),
            Err(_) => return Err(malformed),
        },
        None if bracketed.is_some() => (place.trim_matches(['[', ']']), None),
        None => (place, None),
    };
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._:%".contains(&b);
    if host.is_empty() || !host.bytes().all(plain) {
        return Err(malformed);
    }
    Ok(Proxy {
        variable,
        tls,
        host: host.to_owned(),
        port: port.unwrap_or(if tls { 443 } else { 80 }),
        authorization: user.map(authorization),
    })
}

/// Basic authentication from the user information of a URL.
fn authorization(user_info: &str) -> Secret {
    let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
    let mut plain = Zeroizing::new(Vec::with_capacity(user_info.len() + 1));
    plain.extend(percent_decode_str(user));
    plain.push(b':');
    plain.extend(percent_decode_str(password));
    let encoded = Zeroizing::new(STANDARD.encode(&*plain));
    Secret::new(format!("Basic {}", *encoded))
}

#[cfg(test)]
mod tests;
