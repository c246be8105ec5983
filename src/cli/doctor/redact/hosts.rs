//! Masks the hosts of endpoints that are not AWS's.

use super::replace_whole;
use crate::cli::Context;
use crate::cli::doctor::DoctorSubject;
use crate::principal::{self, Surroundings};
use crate::registry::{PARTITIONS, host_and_port};

/// The hosts of endpoints that the user set, in variables or for this registry in the profile.
pub(super) fn of_endpoints(
    context: &Context<'_>,
    subject: Option<&DoctorSubject>,
    surroundings: &Surroundings,
) -> Vec<String> {
    let mut urls: Vec<_> = surroundings.endpoint_urls().collect();
    let api = subject.and_then(|subject| {
        let selection = context.rules().ok()?.selection(&subject.registry).ok()?;
        principal::connection(surroundings, &subject.registry, &selection).ok()
    });
    urls.extend(api.map(|(api, _)| api.url));
    let mut hosts: Vec<_> = urls.iter().filter_map(|url| private_host(url)).collect();
    hosts.sort_by_key(|host| std::cmp::Reverse(host.len()));
    hosts
}

/// The host of a URL, unless it is AWS's or this machine.
fn private_host(url: &str) -> Option<String> {
    let host = host_and_port(url)?.split(':').next()?;
    let lower = host.to_ascii_lowercase();
    let suffixes = PARTITIONS.iter().flat_map(|p| [p.suffix, p.dual_stack_api]);
    let is_below = |suffix| {
        let above = lower.strip_suffix(suffix);
        above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
    };
    let is_public =
        lower == "localhost" || lower.starts_with("127.") || suffixes.into_iter().any(is_below);
    (!is_public && !host.is_empty()).then(|| host.to_owned())
}

/// Host names may be shown in lower case.
pub(super) fn mask(text: &str, hosts: &[String]) -> String {
    let mut text = text.to_owned();
    for host in hosts {
        for host in [host.clone(), host.to_ascii_lowercase()] {
            text = replace_whole(&text, &host, "<host>", "-_");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_endpoints_are_masked_unless_they_are_awss() {
        for (url, host) in [
            ("https://API.corp.example:8443/x", Some("API.corp.example")),
            (
                "https://amazonaws.com.example",
                Some("amazonaws.com.example"),
            ),
            ("https://evilamazonaws.com", Some("evilamazonaws.com")),
            ("https://api.ecr.eu-west-1.amazonaws.com", None),
            ("https://ecr.eu-west-1.api.aws", None),
            ("http://127.0.0.1:1", None),
            ("x", Some("x")),
            ("ftp://x", None),
        ] {
            assert_eq!(private_host(url).as_deref(), host, "{url}");
        }
        let hosts = ["API.corp.example".to_owned()];
        for (text, masked) in [
            ("api.corp.example is 10.0.0.1", "<host> is 10.0.0.1"),
            (
                "no answer from https://API.corp.example:8443/x.",
                "no answer from https://<host>:8443/x.",
            ),
            ("my-api.corp.example", "my-api.corp.example"),
        ] {
            assert_eq!(mask(text, &hosts), masked);
        }
    }
}
