//! The name of a cache entry: the SHA-256 of a canonical list of everything that decides the
//! principal and the endpoint.
//!
//! Each field is framed by its label and its length, and an absent one differs from an empty one,
//! so that no two lists read the same. Whoever changes the list raises [`VERSION`]. Proxy, CA,
//! time-outs and `duration_seconds` are not in it: they decide nobody's identity.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{CacheKey, Endpoint, Role, Source};
use crate::registry::Registry;

/// Of the list, not of the cache file.
const VERSION: &str = "1";

/// What stands for the source.
pub(super) enum KeyMaterial<'a> {
    /// Its settings, and what they do not say by themselves.
    Settings(Option<&'a Subject>),
    /// The key ID that an ambient source gave.
    Key(&'a str),
}

/// What decides the principal beside the settings: whom a web identity token speaks for, or which
/// directory a login is kept in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subject(Vec<(&'static str, String)>);

#[derive(Deserialize)]
struct Claims {
    iss: Value,
    sub: Value,
    aud: Option<Value>,
    #[serde(rename = "https://aws.amazon.com/tags")]
    tags: Option<Value>,
    #[serde(rename = "https://aws.amazon.com/source_identity")]
    source_identity: Option<Value>,
}

impl Subject {
    /// The directory of `aws login`.
    pub(super) fn of_login_cache(dir: &Path) -> Self {
        // As bytes: two paths that are not UTF-8 must not look alike.
        let dir = hex(dir.as_os_str().as_encoded_bytes());
        Self(vec![("login cache", dir)])
    }

    /// The claims that AWS looks at; without verification, which is for STS to do. What is not a
    /// JSON Web Token is its own subject.
    pub(super) fn of(token: &[u8]) -> Self {
        match claims(token) {
            Some(claims) => {
                let mut fields = vec![
                    ("iss", claims.iss.to_string()),
                    ("sub", claims.sub.to_string()),
                ];
                let more = [
                    ("aud", claims.aud),
                    ("tags", claims.tags),
                    ("source_identity", claims.source_identity),
                ];
                for (label, value) in more {
                    fields.extend(value.map(|value| (label, value.to_string())));
                }
                Self(fields)
            }
            None => Self(vec![("token digest", hex(&Sha256::digest(token)))]),
        }
    }
}

fn claims(token: &[u8]) -> Option<Claims> {
    let token = std::str::from_utf8(token).ok()?.trim();
    let mut parts = token.split('.');
    let (_, payload, _, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else {
        return None;
    };
    let payload = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    serde_json::from_slice(&payload).ok()
}

/// Two hexadecimal digits per byte.
pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

struct List(Sha256);

impl List {
    fn add(&mut self, label: &str, value: &str) {
        self.frame(label);
        self.frame(value);
    }

    fn maybe(&mut self, label: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.add(label, value);
        }
    }

    fn frame(&mut self, text: &str) {
        self.0.update((text.len() as u64).to_le_bytes());
        self.0.update(text);
    }

    /// An endpoint's effective address; the prefix keeps it apart from another service's.
    fn endpoint(&mut self, service: &str, endpoint: &Endpoint) {
        self.add(service, &endpoint.region);
        match &endpoint.url {
            Some(url) => self.add("url", url),
            None => {
                self.add("fips", if endpoint.fips { "yes" } else { "no" });
                self.add("dual-stack", if endpoint.dual_stack { "yes" } else { "no" });
            }
        }
    }
}

pub(super) fn name(
    registry: &Registry,
    api: &Endpoint,
    source: &Source,
    roles: &[Role],
    who: KeyMaterial<'_>,
) -> CacheKey {
    let mut list = List(Sha256::new());
    list.add("version", VERSION);
    list.add("service", registry.service().id());
    list.add("host", registry.host());
    list.endpoint("api", api);
    list.add("environment keys", "allowed");
    list.add("source", source.kind());
    match who {
        KeyMaterial::Key(access_key_id) => list.add("ambient key", access_key_id),
        KeyMaterial::Settings(subject) => settings(&mut list, source, subject),
    }
    for role in roles {
        list.add("role", &role.role_arn);
        list.maybe("external_id", role.external_id.as_deref());
        list.maybe("session", role.session_name.as_deref());
        list.endpoint("sts", &role.sts);
    }
    CacheKey(hex(&list.0.finalize()))
}

fn settings(list: &mut List, source: &Source, subject: Option<&Subject>) {
    match source {
        Source::Environment(keys) | Source::Static { keys, .. } => {
            list.add("key", &keys.access_key_id);
        }
        Source::Sso(sso) => {
            list.maybe("session", sso.session.as_deref());
            list.add("start_url", &sso.start_url);
            list.add("account", &sso.account_id);
            list.add("role_name", &sso.role_name);
            list.endpoint("portal", &sso.portal);
        }
        Source::Login(login) => {
            list.add("session", &login.session_arn);
        }
        Source::WebIdentity(web) => {
            list.add("role", &web.role_arn);
            list.maybe("session", web.session_name.as_deref());
            list.endpoint("sts", &web.sts);
        }
        Source::Container { uri } => list.add("uri", uri),
        // Ambient: their settings name nobody.
        Source::Process { .. } | Source::InstanceMetadata { .. } => {}
    }
    for (label, value) in subject.iter().flat_map(|subject| &subject.0) {
        list.add(label, value);
    }
}
