//! The kubelet configurations in `packaging/kubelet` against the table of partitions: every
//! registry host is matched by exactly one pattern, and every pattern comes from the table.

use std::collections::BTreeSet;
use std::path::Path;

use super::{PARTITIONS, PUBLIC, Registry};

/// Host patterns of one configuration: the list below `matchImages`, one quoted pattern a line.
fn patterns(file: &str) -> Vec<String> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/kubelet");
    let text = std::fs::read_to_string(dir.join(file)).expect(file);
    let (_, list) = text.split_once("matchImages:\n").expect("a list of hosts");
    let item = |line: &str| {
        Some(
            line.trim()
                .strip_prefix("- \"")?
                .strip_suffix('"')?
                .to_owned(),
        )
    };
    list.lines().map_while(item).collect()
}

/// The kubelet's rule: as many labels, each of which matches on its own.
fn matches(pattern: &str, host: &str) -> bool {
    let (pattern, host): (Vec<_>, Vec<_>) =
        (pattern.split('.').collect(), host.split('.').collect());
    pattern.len() == host.len() && pattern.iter().zip(host).all(|(p, h)| *p == "*" || *p == h)
}

#[test]
fn kubelet_patterns_are_those_of_the_partitions() {
    let mut expected: BTreeSet<_> = PUBLIC.iter().map(|(host, _)| (*host).to_owned()).collect();
    let mut hosts: BTreeSet<_> = expected.clone();
    for (partition, fips) in PARTITIONS.iter().flat_map(|p| [(p, ""), (p, "-fips")]) {
        let names = [
            Some(("dkr.ecr", partition.suffix)),
            partition.dual_stack.map(|suffix| ("dkr-ecr", suffix)),
        ];
        for (service, suffix) in names.into_iter().flatten() {
            let region = partition.home_region;
            expected.insert(format!("*.{service}{fips}.*.{suffix}"));
            hosts.insert(format!("123456789012.{service}{fips}.{region}.{suffix}"));
        }
    }
    for file in ["node-identity.yaml", "pod-identity.yaml"] {
        let patterns = patterns(file);
        let distinct: BTreeSet<_> = patterns.iter().cloned().collect();
        assert_eq!(distinct, expected, "{file}");
        assert_eq!(patterns.len(), distinct.len(), "{file} has a pattern twice");
        let count = |host: &str| patterns.iter().filter(|p| matches(p, host)).count();
        for host in &hosts {
            assert!(Registry::from_server_url(host).is_some(), "{host}");
            assert_eq!(count(host), 1, "{file}: {host}");
        }
        for host in [
            "123456789012.dkr.ecr.us-east-1.amazonaws.com.evil.example",
            "amazonaws.com",
            "docker.io",
        ] {
            assert_eq!(count(host), 0, "{file}: {host}");
        }
    }
}
