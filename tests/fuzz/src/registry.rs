//! Any URL from a client names an ECR registry, and always the same one, or none.
#![no_main]

use docker_credential_ecr_login::fuzzing::{PARTITIONS, Registry, Service};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Some(registry) = Registry::from_server_url(text) else {
        return;
    };
    let host = registry.host();
    assert!(text.to_ascii_lowercase().contains(host));
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    assert!(!authority.contains('@'), "user information");
    assert_eq!(Registry::from_server_url(host).as_ref(), Some(&registry));
    let url = format!("https://{host}:443/v2/");
    assert_eq!(Registry::from_server_url(&url).as_ref(), Some(&registry));
    let api = registry.service().api_url(
        registry.region(),
        registry.partition(),
        registry.fips(),
        registry.dual_stack(),
    );
    let suffixes = || PARTITIONS.iter().flat_map(|p| [p.suffix, p.dual_stack_api]);
    assert!(suffixes().any(|suffix| api.ends_with(suffix)), "{api}");
    assert_eq!(
        registry.account_id().is_some(),
        registry.service() == Service::Ecr
    );
});
