//! Settings that decide no identity by themselves: endpoints, regions, the connection. Variables
//! come before the selected profile.

use std::path::Path;

use super::{Address, CaBundle, Endpoint, Network, RegistryApi, Variant, problem};
use crate::env::Env;
use crate::problem::Problem;
use crate::profile::{Config, Section};
use crate::registry::{Partition, Registry, Service};

/// A service whose endpoint can be set.
#[derive(Debug, Clone, Copy)]
pub(super) enum Api {
    Ecr,
    EcrPublic,
    Sts,
    Sso,
    SsoOidc,
    Signin,
}

impl Api {
    /// Its variable, and its name in a `services` section.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Ecr => ("AWS_ENDPOINT_URL_ECR", "ecr"),
            Self::EcrPublic => ("AWS_ENDPOINT_URL_ECR_PUBLIC", "ecr_public"),
            Self::Sts => ("AWS_ENDPOINT_URL_STS", "sts"),
            Self::Sso => ("AWS_ENDPOINT_URL_SSO", "sso"),
            Self::SsoOidc => ("AWS_ENDPOINT_URL_SSO_OIDC", "sso_oidc"),
            Self::Signin => ("AWS_ENDPOINT_URL_SIGNIN", "signin"),
        }
    }
}

/// The environment, and after it the selected profile.
pub(super) struct Settings<'a> {
    pub(super) env: &'a Env,
    config: Option<&'a Config>,
    profile: Option<&'a Section<'a>>,
    registry: &'a Registry,
    pub(super) fips: bool,
    pub(super) dual_stack: bool,
    ignore_endpoints: bool,
}

impl<'a> Settings<'a> {
    pub(super) fn new(
        env: &'a Env,
        config: Option<&'a Config>,
        profile: Option<&'a Section<'a>>,
        registry: &'a Registry,
    ) -> Result<Self, Problem> {
        let mut settings = Self {
            env,
            config,
            profile,
            registry,
            fips: false,
            dual_stack: false,
            ignore_endpoints: false,
        };
        settings.fips = settings.flag("AWS_USE_FIPS_ENDPOINT", "use_fips_endpoint")?;
        settings.dual_stack =
            settings.flag("AWS_USE_DUALSTACK_ENDPOINT", "use_dualstack_endpoint")?;
        settings.ignore_endpoints = settings.flag(
            "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
            "ignore_configured_endpoint_urls",
        )?;
        Ok(settings)
    }

    /// A property of the selected profile that is not blank.
    fn property(&self, key: &str) -> Option<&'a str> {
        set(self.profile?, key)
    }

    /// The variable, else the property.
    pub(super) fn either(&self, variable: &str, key: &str) -> Option<String> {
        let variable = self.env.var(variable);
        variable.or_else(|| self.property(key).map(str::to_owned))
    }

    /// A switch. A word that is neither true nor false must not count as false, which is what the
    /// AWS CLI makes of it, even of one with white space: it may be a misspelt request for FIPS.
    pub(super) fn flag(&self, variable: &str, key: &str) -> Result<bool, Problem> {
        let variable_set = self.env.raw(variable).filter(|v| !v.trim().is_empty());
        let value = variable_set.or_else(|| self.property(key).map(str::to_owned));
        match value {
            None => Ok(false),
            Some(value) if value.eq_ignore_ascii_case("true") => Ok(true),
            Some(value) if value.eq_ignore_ascii_case("false") => Ok(false),
            Some(value) => {
                let setting = match self.env.var(variable) {
                    Some(_) => variable,
                    None => key,
                };
                Err(problem::bad_switch(setting, &value))
            }
        }
    }

    /// The endpoint that the user set for a service: the most specific variable, then the other,
    /// then the same two in the profile.
    /// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html>
    pub(super) fn endpoint_override(&self, api: Api) -> Result<Option<String>, Problem> {
        if self.ignore_endpoints {
            return Ok(None);
        }
        let (variable, name) = api.names();
        for variable in [variable, "AWS_ENDPOINT_URL"] {
            if let Some(url) = self.env.var(variable) {
                return checked(url, || variable.to_owned());
            }
        }
        let Some(profile) = self.profile else {
            return Ok(None);
        };
        if let Some(section) = profile.get("services")
            && let Some(config) = self.config
        {
            let found = config.services(section).map_err(|e| problem::file(&e))?;
            let found = found.filter(|services| !services.is_empty());
            let services =
                found.ok_or_else(|| problem::unknown_services(profile.name(), section))?;
            if services
                .get(name)
                .is_some_and(|block| !block.starts_with('\n') && !block.is_empty())
            {
                let what =
                    format_args!("{name} in [services {section}] has no indented lines below it");
                return Err(problem::invalid(profile.name(), what));
            }
            if let Some(url) = services
                .nested(name, "endpoint_url")
                .filter(|u| !u.is_empty())
            {
                return checked(url, || format!("endpoint_url in [services {section}]"));
            }
        }
        match set(profile, "endpoint_url") {
            Some(url) => checked(url.to_owned(), || {
                format!("endpoint_url of profile {:?}", profile.name())
            }),
            None => Ok(None),
        }
    }

    /// An endpoint of a service that the registry's host says nothing about.
    pub(super) fn endpoint(&self, api: Api, region: &str) -> Result<Endpoint, Problem> {
        let of_region = Address::OfRegion(Variant {
            fips: self.fips,
            dual_stack: self.dual_stack,
        });
        Ok(Endpoint {
            region: region.to_owned(),
            address: self.endpoint_override(api)?.map_or(of_region, Address::Url),
        })
    }

    /// STS, in the partition of the registry.
    pub(super) fn sts(&self) -> Result<Endpoint, Problem> {
        self.endpoint(Api::Sts, self.region())
    }

    /// The API that issues the registry's tokens.
    pub(super) fn registry_api(&self) -> Result<RegistryApi, Problem> {
        let registry = self.registry;
        let service = registry.service();
        let set = self.endpoint_override(match service {
            Service::Ecr => Api::Ecr,
            Service::EcrPublic => Api::EcrPublic,
        })?;
        let region = registry.region();
        let worked_out = Variant {
            fips: self.fips || registry.fips(),
            dual_stack: self.dual_stack || registry.dual_stack(),
        };
        let Variant { fips, dual_stack } = worked_out;
        let (url, variant) = match set {
            Some(url) => (url, Variant::default()),
            None => (
                service.api_url(region, registry.partition(), fips, dual_stack),
                worked_out,
            ),
        };
        Ok(RegistryApi {
            region: region.to_owned(),
            url,
            variant,
        })
    }

    /// The region of STS and of the sign-in service: the registry's, as with `aws --region`. A
    /// region whose name says nothing of the partition, since no table knows it yet, would lead
    /// into another one: the partition's main region stands in.
    pub(super) fn region(&self) -> &'a str {
        let (region, partition) = (self.registry.region(), self.registry.partition());
        match Partition::of_region(region) == partition {
            true => region,
            false => partition.home_region,
        }
    }

    pub(super) fn network(&self) -> Result<Network, Problem> {
        let named = self
            .env
            .path("AWS_CA_BUNDLE")
            .map(|path| ("AWS_CA_BUNDLE".to_owned(), path));
        let ca_bundle = named.or_else(|| {
            let path = Path::new(self.property("ca_bundle")?);
            let setting = format!("ca_bundle of profile {:?}", self.profile?.name());
            Some((setting, self.env.expand_home(path)))
        });
        let ca_bundle = ca_bundle.or_else(|| {
            let path = self.env.path("REQUESTS_CA_BUNDLE")?;
            Some(("REQUESTS_CA_BUNDLE".to_owned(), path))
        });
        const VARIABLE: &str = "AWS_MAX_ATTEMPTS";
        const KEY: &str = "max_attempts";
        let max_attempts = match self.either(VARIABLE, KEY) {
            None => None,
            Some(text) => match text.trim().parse::<i64>() {
                Ok(attempts) => u32::try_from(attempts).ok().filter(|&n| n > 0),
                Err(_) => return Err(problem::bad_number(VARIABLE, KEY, &text)),
            },
        };
        Ok(Network {
            ca_bundle: ca_bundle.map(|(setting, path)| CaBundle { setting, path }),
            max_attempts,
        })
    }
}

/// Whether a switch that knows no mistakes is on.
pub(super) fn is_true(value: Option<&str>) -> bool {
    value.is_some_and(|value| value.trim().eq_ignore_ascii_case("true"))
}

/// A property that is there and not blank.
pub(super) fn set<'a>(section: &'a Section<'_>, key: &str) -> Option<&'a str> {
    section.get(key).filter(|value| !value.trim().is_empty())
}

/// An endpoint that is set, without a user and a password, which no AWS API takes.
fn checked(url: String, setting: impl Fn() -> String) -> Result<Option<String>, Problem> {
    let parts = url.split_once("://").filter(|(scheme, _)| {
        scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http")
    });
    let (scheme, rest) = parts.ok_or_else(|| problem::bad_endpoint(&setting()))?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let user = rest[..end].rfind('@').map_or(0, |at| at + 1);
    let bare = &rest[user..];
    let good = !bare.is_empty()
        && !bare.starts_with(['/', '?', '#', ':'])
        && rest.bytes().all(|b| b > b' ');
    match (good, user) {
        (false, _) => Err(problem::bad_endpoint(&setting())),
        (true, 0) => Ok(Some(url)),
        (true, _) => Ok(Some(format!("{scheme}://{bare}"))),
    }
}
