//! Whether a token may be cached.

use chrono::{DateTime, Utc};

use crate::ecr::Issued;
use crate::registry::Registry;

/// Whether a token may be cached. The clock may be wrong, and a stand-in for AWS may respond for
/// another registry: such a token serves the present request and no later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cacheable {
    /// It may.
    Yes,
    /// It must not, for this reason.
    No(&'static str),
}

impl Cacheable {
    pub(super) fn of(issued: &Issued, registry: &Registry, now: DateTime<Utc>) -> Self {
        match issued.expires_at {
            None => return Self::No("the response has no expiry"),
            Some(at) if at <= now => {
                return Self::No("the response has already expired, by the local clock");
            }
            Some(_) => {}
        }
        match issued.proxy_endpoint.as_deref() {
            Some(endpoint) if !is_for(endpoint, registry) => {
                Self::No("the response is for another account or region")
            }
            _ => Self::Yes,
        }
    }
}

/// Whether a proxyEndpoint agrees with the registry on account and region, as far as it has them.
fn is_for(endpoint: &str, registry: &Registry) -> bool {
    let Some(account_id) = registry.account_id() else {
        return true;
    };
    match Registry::from_server_url(endpoint) {
        Some(named) => {
            named.account_id() == Some(account_id) && named.region() == registry.region()
        }
        None => {
            let host = endpoint
                .split_once("://")
                .map_or(endpoint, |(_, rest)| rest);
            let first = host.split('.').next().unwrap_or_default();
            let is_account = first.len() == 12 && first.bytes().all(|b| b.is_ascii_digit());
            !is_account || first == account_id
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{issued, now};
    use super::*;

    const HOST: &str = "123456789012.dkr.ecr.us-east-1.amazonaws.com";

    #[test]
    fn only_a_matching_unexpired_response_is_cached() {
        let registry = Registry::from_server_url(HOST).expect("ECR");
        for (expires_in, endpoint, kept) in [
            (Some(60), None, true),
            (
                Some(60),
                Some("https://123456789012.dkr.ecr.us-east-1.amazonaws.com"),
                true,
            ),
            (Some(60), Some("http://localhost:5000"), true),
            (Some(60), Some("http://twelve-chars.example"), true),
            (Some(60), Some("http://10.0.0.1:5000"), true),
            (
                Some(60),
                Some("http://123456789012.dkr.ecr.us-east-1.localhost:4566"),
                true,
            ),
            (None, None, false),
            (Some(0), None, false),
            (Some(-60), None, false),
            (
                Some(60),
                Some("https://999999999999.dkr.ecr.us-east-1.amazonaws.com"),
                false,
            ),
            (
                Some(60),
                Some("https://123456789012.dkr.ecr.us-west-2.amazonaws.com"),
                false,
            ),
            (
                Some(60),
                Some("http://999999999999.dkr.ecr.us-east-1.localhost:4566"),
                false,
            ),
        ] {
            let reply = issued(expires_in, endpoint);
            assert_eq!(
                Cacheable::of(&reply, &registry, now()) == Cacheable::Yes,
                kept,
                "{reply:?}"
            );
        }
    }
}
