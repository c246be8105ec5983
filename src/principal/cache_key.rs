//! The name of a cache entry: the SHA-256 of a canonical list of everything that decides the
//! principal and the endpoint.
//!
//! Each field is framed by its label and its length, and an absent one differs from an empty one,
//! so that no two lists read the same. A change of the list raises [`VERSION`]. Proxy, CA
//! certificates, timeouts and `duration_seconds` are not in it: they decide no identity.

use std::path::Path;

use sha2::{Digest, Sha256};

use super::{Address, CacheKey, Endpoint, Identity, RegistryApi, Role, Source, Variant};
use crate::registry::Registry;

/// Of the list, not of the cache file.
const VERSION: &str = "2";

/// Two hexadecimal digits per byte.
pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

struct FieldList(Sha256);

impl FieldList {
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

    /// The address of an endpoint; the prefix keeps it apart from another service's.
    fn endpoint(&mut self, service: &str, endpoint: &Endpoint) {
        self.add(service, &endpoint.region);
        match &endpoint.address {
            Address::Url(url) => self.add("url", url),
            Address::OfRegion(Variant { fips, dual_stack }) => {
                self.add("fips", if *fips { "yes" } else { "no" });
                self.add("dual-stack", if *dual_stack { "yes" } else { "no" });
            }
        }
    }
}

/// Names the plan's principal; ambient if only the source can tell it.
pub(super) fn identity(
    registry: &Registry,
    api: &RegistryApi,
    source: &Source,
    roles: &[Role],
) -> Identity {
    let mut list = FieldList::begin(registry, api, source);
    match list.pins(source) {
        true => Identity::Pinned(list.finish(roles)),
        false => Identity::Ambient,
    }
}

/// The key for an ambient source that gave keys with this ID.
pub(super) fn ambient(
    registry: &Registry,
    api: &RegistryApi,
    source: &Source,
    roles: &[Role],
    access_key_id: &str,
) -> CacheKey {
    let mut list = FieldList::begin(registry, api, source);
    list.add("ambient key", access_key_id);
    list.finish(roles)
}

impl FieldList {
    fn begin(registry: &Registry, api: &RegistryApi, source: &Source) -> Self {
        let mut list = Self(Sha256::new());
        list.add("version", VERSION);
        list.add("service", registry.service().id());
        list.add("host", registry.host());
        list.add("api", &api.region);
        list.add("url", &api.url);
        list.add("source", source.id());
        list
    }

    /// Adds the settings of a source that name its principal. False if they do not: then only the
    /// source can tell. A new source is decided here or does not compile.
    fn pins(&mut self, source: &Source) -> bool {
        match source {
            Source::Environment(keys) | Source::Static { keys, .. } => {
                self.add("key", &keys.access_key_id);
                true
            }
            Source::Sso(sso) => {
                self.maybe("session", sso.session.as_deref());
                self.add("start_url", &sso.start_url);
                self.add("account", &sso.account_id);
                self.add("role_name", &sso.role_name);
                self.endpoint("portal", &sso.portal);
                self.path("login file", &sso.login_file);
                true
            }
            Source::Login(login) => {
                self.add("session", &login.session_arn);
                self.path("login file", &login.login_file);
                true
            }
            Source::WebIdentity(web) => {
                self.add("role", &web.role_arn);
                self.maybe("session", web.session_name.as_deref());
                self.endpoint("sts", &web.sts);
                self.add("subject", web.subject.digest());
                true
            }
            Source::Container(container) => {
                let uri = container.uri.expose();
                let pinned = container.relative && is_task_uri(uri);
                if pinned {
                    self.add("uri", uri);
                }
                pinned
            }
            Source::Process { .. } | Source::InstanceMetadata(_) => false,
        }
    }

    /// As bytes: two paths that are not UTF-8 must not look alike.
    fn path(&mut self, label: &str, path: &Path) {
        self.add(label, &hex(path.as_os_str().as_encoded_bytes()));
    }

    fn finish(mut self, roles: &[Role]) -> CacheKey {
        for role in roles {
            self.add("role", &role.role_arn);
            self.maybe("external_id", role.external_id.as_deref());
            self.maybe("session", role.session_name.as_deref());
            self.maybe("mfa_serial", role.mfa_serial.as_deref());
            self.endpoint("sts", &role.sts);
        }
        CacheKey(hex(&self.0.finalize()))
    }
}

/// `/v2/credentials/<uuid>`: one per ECS task, and so per role. A fixed path may lead to any role.
fn is_task_uri(uri: &str) -> bool {
    let Some(id) = uri.strip_prefix("/v2/credentials/") else {
        return false;
    };
    let dash = |index: usize| matches!(index, 8 | 13 | 18 | 23);
    id.len() == 36
        && id
            .bytes()
            .enumerate()
            .all(|(index, byte)| match dash(index) {
                true => byte == b'-',
                false => byte.is_ascii_hexdigit(),
            })
}
