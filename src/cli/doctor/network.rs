//! The way to AWS: region, API, proxy, CA certificates.

use std::time::Instant;

use super::{Check, DoctorSubject, limit};
use crate::cli::Context;
use crate::ecr;
use crate::principal::{Network, RegistryApi};
use crate::proxy::{Proxies, Proxy};
use crate::registry::{Registry, is_known_region, nearest_region};

pub(super) fn check(
    context: &mut Context<'_>,
    subject: &DoctorSubject,
    api: &RegistryApi,
    network: &Network,
) -> Vec<Check> {
    // The parts of a malformed URL may be those of a password.
    let url = if ecr::is_url(&api.url) { &api.url } else { "" };
    let target = ApiAddress::of(url);
    let proxies = Proxies::from_env(context.env);
    let to_api = proxies.proxy_for(target.https, target.host, target.port);
    let to_registry = proxies.proxy_for(true, subject.name(), subject.port());
    let is_direct = matches!(to_api, Ok(None));
    let mut checks: Vec<_> = region(&subject.registry).into_iter().collect();
    checks.push(addresses(context, network, &target, is_direct));
    checks.push(match (to_api, to_registry) {
        (Ok(to_api), Ok(to_registry)) => {
            Check::ok("proxy", proxy(to_api.as_ref(), to_registry.as_ref()))
        }
        (Err(error), _) | (_, Err(error)) => Check {
            hint: Some(error.hint()),
            status: super::Status::Failed,
            ..Check::ok("proxy", error.to_string())
        },
    });
    checks.push(match ecr::trusted_certificates(context.env, network) {
        Ok(text) => Check::ok("CA certificates", text),
        Err(problem) => Check::failed("CA certificates", &problem),
    });
    checks
}

/// The far end of a URL.
struct ApiAddress<'a> {
    https: bool,
    host: &'a str,
    port: u16,
}

impl<'a> ApiAddress<'a> {
    fn of(url: &'a str) -> Self {
        let https = !url.starts_with("http://");
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if port.parse::<u16>().is_ok() => (host, port.parse().ok()),
            _ => (authority, None),
        };
        Self {
            https,
            host: host.trim_start_matches('[').trim_end_matches(']'),
            port: port.unwrap_or(if https { 443 } else { 80 }),
        }
    }
}

/// Whether the region in the host's name is known; nothing for ECR Public, which has one region.
fn region(registry: &Registry) -> Option<Check> {
    const ABOUT: &str = "region";
    registry.account_id()?;
    let (region, partition) = (registry.region(), registry.partition().id);
    Some(match is_known_region(region) {
        true => Check::ok(ABOUT, format!("{region}, of the partition {partition}")),
        false => Check::warning(
            ABOUT,
            format!("{region} is not a region that this version knows"),
            match nearest_region(region) {
                Some(near) => format!("check the registry's name: did you mean {near}?"),
                None => "check the registry's name, unless the region is new".to_owned(),
            },
        ),
    })
}

fn addresses(
    context: &mut Context<'_>,
    network: &Network,
    target: &ApiAddress<'_>,
    is_direct: bool,
) -> Check {
    const ABOUT: &str = "API";
    let host = target.host;
    if host.is_empty() {
        return Check::not_checked(ABOUT, "the endpoint is not a URL of a host");
    }
    if !is_direct {
        return Check::ok(ABOUT, format!("{host}, whose address the proxy looks up"));
    }
    let deadline = Instant::now() + limit(context.env);
    match context.issuer.addresses(network, host, deadline) {
        Ok(addresses) => {
            let mut shown: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            shown.dedup();
            match shown.as_slice() {
                [address] if address == host => {
                    Check::ok(ABOUT, format!("{host}, port {}", target.port))
                }
                _ => Check::ok(ABOUT, format!("{host} is {}", shown.join(", "))),
            }
        }
        Err(problem) => Check::failed(ABOUT, &problem),
    }
}

fn proxy(to_api: Option<&Proxy>, to_registry: Option<&Proxy>) -> String {
    let shown = |proxy: Option<&Proxy>| match proxy {
        None => "none".to_owned(),
        Some(proxy) => format!("{}:{} ({})", proxy.host, proxy.port, proxy.variable),
    };
    let (to_api, to_registry) = (shown(to_api), shown(to_registry));
    match to_api == to_registry {
        true => to_api,
        false => format!("{to_api} for the API, {to_registry} for the registry"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_say_host_and_port() {
        for (url, https, host, port) in [
            (
                "https://api.ecr.us-east-1.amazonaws.com",
                true,
                "api.ecr.us-east-1.amazonaws.com",
                443,
            ),
            ("http://127.0.0.1:8080/x", false, "127.0.0.1", 8080),
            ("http://[::1]:1", false, "::1", 1),
            ("http://h", false, "h", 80),
        ] {
            let target = ApiAddress::of(url);
            assert_eq!(
                (target.https, target.host, target.port),
                (https, host, port),
                "{url}"
            );
        }
    }
}
