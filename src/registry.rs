//! Which hosts are Amazon ECR, and what their names say: account ID, region, partition, FIPS,
//! dual-stack. Pure: no name is looked up.
//!
//! A new AWS partition is one line in [`PARTITIONS`]. A host belongs to ECR only when
//! all of it matches, so that credentials never go to a look-alike.

use std::fmt;

#[cfg(test)]
mod kubelet_config;
mod regions;
#[cfg(test)]
mod tests;

pub use regions::{is_known_region, nearest_region};

/// A partition of AWS: its own set of regions, accounts and DNS names.
#[derive(Debug, PartialEq, Eq)]
pub struct Partition {
    /// The second field of an ARN.
    pub id: &'static str,
    /// The prefix of the regions of this partition, and of no other; empty for the one that
    /// takes all the rest.
    pub region_prefix: &'static str,
    /// DNS suffix of registries and API endpoints.
    pub suffix: &'static str,
    /// DNS suffix of dual-stack registries, where the partition has them.
    pub dual_stack: Option<&'static str>,
    /// DNS suffix of dual-stack API endpoints.
    pub dual_stack_api: &'static str,
    /// The region to ask when only the partition is known.
    pub home_region: &'static str,
}

/// Every partition. Registry suffixes are those of the host patterns in the clients that pull
/// from ECR (cloud-provider-aws, amazon-ecs-agent); the rest is the AWS SDK's partition table.
#[rustfmt::skip]
pub const PARTITIONS: &[Partition] = &[
    Partition { id: "aws",        region_prefix: "",         suffix: "amazonaws.com",    dual_stack: Some("on.aws"),                     dual_stack_api: "api.aws",                       home_region: "us-east-1" },
    Partition { id: "aws-us-gov", region_prefix: "us-gov-",  suffix: "amazonaws.com",    dual_stack: Some("on.aws"),                     dual_stack_api: "api.aws",                       home_region: "us-gov-west-1" },
    Partition { id: "aws-cn",     region_prefix: "cn-",      suffix: "amazonaws.com.cn", dual_stack: Some("on.amazonwebservices.com.cn"), dual_stack_api: "api.amazonwebservices.com.cn", home_region: "cn-north-1" },
    Partition { id: "aws-eusc",   region_prefix: "eusc-",    suffix: "amazonaws.eu",     dual_stack: None,                               dual_stack_api: "api.amazonwebservices.eu",      home_region: "eusc-de-east-1" },
    Partition { id: "aws-iso",    region_prefix: "us-iso-",  suffix: "c2s.ic.gov",       dual_stack: Some("on.aws.ic.gov"),              dual_stack_api: "api.aws.ic.gov",                home_region: "us-iso-east-1" },
    Partition { id: "aws-iso-b",  region_prefix: "us-isob-", suffix: "sc2s.sgov.gov",    dual_stack: Some("on.aws.scloud"),              dual_stack_api: "api.aws.scloud",                home_region: "us-isob-east-1" },
    Partition { id: "aws-iso-e",  region_prefix: "eu-isoe-", suffix: "cloud.adc-e.uk",   dual_stack: Some("on.cloud-aws.adc-e.uk"),      dual_stack_api: "api.cloud-aws.adc-e.uk",        home_region: "eu-isoe-west-1" },
    Partition { id: "aws-iso-f",  region_prefix: "us-isof-", suffix: "csp.hci.ic.gov",   dual_stack: Some("on.aws.hci.ic.gov"),          dual_stack_api: "api.aws.hci.ic.gov",            home_region: "us-isof-south-1" },
];

impl Partition {
    /// The partition that a region's name belongs to.
    pub fn of_region(region: &str) -> &'static Partition {
        let named =
            |p: &&Partition| !p.region_prefix.is_empty() && region.starts_with(p.region_prefix);
        PARTITIONS.iter().find(named).unwrap_or(&PARTITIONS[0])
    }

    /// The partition that an ARN names, if it is one that we know.
    pub fn of_arn(arn: &str) -> Option<&'static Partition> {
        let id = arn.strip_prefix("arn:")?.split(':').next()?;
        PARTITIONS.iter().find(|p| p.id == id)
    }

    /// The partition among those with this suffix that `region` belongs to. The suffix decides:
    /// the API of a host under one suffix is never asked under another.
    fn of_suffix(
        region: &str,
        suffix: &str,
        of: impl Fn(&Partition) -> Option<&'static str>,
    ) -> Option<&'static Partition> {
        let named = Self::of_region(region);
        if of(named) == Some(suffix) {
            return Some(named);
        }
        PARTITIONS.iter().find(|p| of(p) == Some(suffix))
    }
}

/// The AWS service behind a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Amazon ECR.
    Ecr,
    /// Amazon ECR Public.
    EcrPublic,
}

impl Service {
    /// The name in cache entries and in the debug log.
    pub fn id(self) -> &'static str {
        match self {
            Self::Ecr => "ecr",
            Self::EcrPublic => "ecr-public",
        }
    }

    /// The API endpoint, by the same rules as the AWS SDK (a test compares the two). It is built
    /// here because a region that the SDK's table does not have yet would fall into the wrong
    /// partition there, and because the SDK compiles a table of regular expressions to find it.
    pub fn api_url(
        self,
        region: &str,
        partition: &Partition,
        fips: bool,
        dual_stack: bool,
    ) -> String {
        let (api, plain) = match self {
            Self::Ecr => ("api.", "ecr"),
            Self::EcrPublic => ("api.", "ecr-public"),
        };
        let fips_mark = if fips { "-fips" } else { "" };
        // The dual-stack names carry no `api.`, but for ECR Public with FIPS.
        let api = if dual_stack && !(fips && self == Self::EcrPublic) {
            ""
        } else {
            api
        };
        let suffix = if dual_stack {
            partition.dual_stack_api
        } else {
            partition.suffix
        };
        format!("https://{api}{plain}{fips_mark}.{region}.{suffix}")
    }
}

/// An ECR registry, as its host name describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registry {
    /// `<account ID>.dkr.ecr.<region>.<suffix>` and its FIPS and dual-stack forms.
    Private {
        /// The host in lower case, without scheme, port and path.
        host: String,
        /// Twelve digits; none for the registry of the account that the credentials belong to.
        account_id: Option<String>,
        /// The region in the host's name.
        region: String,
        /// The partition that the host's suffix names.
        partition: &'static Partition,
        /// Whether the host is a FIPS endpoint.
        fips: bool,
        /// Whether the host is a dual-stack endpoint.
        dual_stack: bool,
    },
    /// `public.ecr.aws`, or `ecr-public.aws.com`, its dual-stack name.
    Public {
        /// The host in lower case.
        host: &'static str,
        /// Whether the host is the dual-stack one.
        dual_stack: bool,
    },
}

/// The hosts of ECR Public, and whether each is dual-stack.
const PUBLIC: [(&str, bool); 2] = [("public.ecr.aws", false), ("ecr-public.aws.com", true)];

/// The API of ECR Public is there and nowhere else.
const PUBLIC_REGION: &str = "us-east-1";

impl Registry {
    /// The registry that a server URL names; none if it is not one of ECR's. Scheme, port and
    /// path are accepted and ignored, as clients send them in every combination.
    pub fn from_server_url(url: &str) -> Option<Self> {
        Self::from_host(&host_of(url)?)
    }

    fn from_host(host: &str) -> Option<Self> {
        if let Some((host, dual_stack)) = PUBLIC.into_iter().find(|(public, _)| *public == host) {
            return Some(Self::Public { host, dual_stack });
        }
        let (account_id, rest) = host.split_once('.')?;
        if account_id.len() != 12 || !account_id.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let (rest, dual_stack) = match rest.strip_prefix("dkr.ecr") {
            Some(rest) => (rest, false),
            None => (rest.strip_prefix("dkr-ecr")?, true),
        };
        let (rest, fips) = match rest.strip_prefix("-fips") {
            Some(rest) => (rest, true),
            None => (rest, false),
        };
        let (region, suffix) = rest.strip_prefix('.')?.split_once('.')?;
        if !is_region(region) {
            return None;
        }
        let partition = if dual_stack {
            Partition::of_suffix(region, suffix, |p| p.dual_stack)?
        } else {
            Partition::of_suffix(region, suffix, |p| Some(p.suffix))?
        };
        Some(Self::Private {
            host: host.to_owned(),
            account_id: Some(account_id.to_owned()),
            region: region.to_owned(),
            partition,
            fips,
            dual_stack,
        })
    }

    /// The default registry, in a region, of the account that the credentials belong to: `host` is
    /// a mirror in front of it.
    pub fn behind_mirror(host: &str, region: &str) -> Self {
        Self::Private {
            host: host.to_owned(),
            account_id: None,
            region: region.to_owned(),
            partition: Partition::of_region(region),
            fips: false,
            dual_stack: false,
        }
    }

    /// Why a server URL is not one of ECR's, for the debug log.
    pub fn why_not(url: &str) -> String {
        let Some(host) = host_of(url) else {
            return "there is no plain host name in it".to_owned();
        };
        let (first, rest) = host.split_once('.').unwrap_or((&host, ""));
        let digits = !first.is_empty() && first.bytes().all(|b| b.is_ascii_digit());
        match rest.starts_with("dkr.ecr") || rest.starts_with("dkr-ecr") {
            false => "it is not like <account>.dkr.ecr.<region>.amazonaws.com".to_owned(),
            true if !digits => "it does not begin with an account of 12 digits".to_owned(),
            true if first.len() != 12 => {
                format!("the account has {} digits, not 12", first.len())
            }
            true => "no partition of AWS has this region or suffix".to_owned(),
        }
    }

    /// The canonical host: lower case, no scheme, port or path.
    pub fn host(&self) -> &str {
        match self {
            Self::Private { host, .. } => host,
            Self::Public { host, .. } => host,
        }
    }

    /// The service that issues tokens for it.
    pub fn service(&self) -> Service {
        match self {
            Self::Private { .. } => Service::Ecr,
            Self::Public { .. } => Service::EcrPublic,
        }
    }

    /// The region whose API issues tokens for it.
    pub fn region(&self) -> &str {
        match self {
            Self::Private { region, .. } => region,
            Self::Public { .. } => PUBLIC_REGION,
        }
    }

    /// Its partition.
    pub fn partition(&self) -> &'static Partition {
        match self {
            Self::Private { partition, .. } => partition,
            Self::Public { .. } => Partition::of_region(PUBLIC_REGION),
        }
    }

    /// The account in the host's name; the public registry has none.
    pub fn account_id(&self) -> Option<&str> {
        match self {
            Self::Private { account_id, .. } => account_id.as_deref(),
            Self::Public { .. } => None,
        }
    }

    /// Whether the host's name asks for FIPS.
    pub fn fips(&self) -> bool {
        matches!(self, Self::Private { fips: true, .. })
    }

    /// Whether the host's name asks for dual-stack.
    pub fn dual_stack(&self) -> bool {
        match self {
            Self::Private { dual_stack, .. } | Self::Public { dual_stack, .. } => *dual_stack,
        }
    }
}

impl fmt::Display for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.host())
    }
}

/// Whether this looks like the name of a region, known or not: `us-east-1`, `us-isob-east-1`,
/// `eusc-de-east-1`. `s3` does not: anyone can register a bucket named `….dkr.ecr`, whose host is
/// `….dkr.ecr.s3.amazonaws.com`.
pub fn is_region(name: &str) -> bool {
    let mut parts = name.split('-');
    let letters = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase());
    let number =
        |part: &str| (1..=2).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    let (Some(last), Some(first)) = (parts.next_back(), parts.next()) else {
        return false;
    };
    let middle = parts.clone().count();
    number(last)
        && letters(first)
        && (2..=8).contains(&first.len())
        && (1..=3).contains(&middle)
        && parts.all(letters)
}

/// The host of a server URL, in lower case.
fn host_of(url: &str) -> Option<String> {
    let authority = host_and_port(url)?;
    let host = authority.split(':').next()?;
    Some(host.to_ascii_lowercase())
}

/// The host of a server URL, with its port if there is one. None where there is none, where it
/// carries user information (`123….amazonaws.com@evil.example` leads elsewhere), or where the
/// scheme is not one that a registry is reached by.
pub fn host_and_port(url: &str) -> Option<&str> {
    let url = url.trim();
    let rest = match url.split_once("://") {
        Some((scheme, rest))
            if scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http") =>
        {
            rest
        }
        Some(_) => return None,
        None => url,
    };
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = match authority.split_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        Some(_) => return None,
        None => authority,
    };
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
    (!host.is_empty() && host.bytes().all(plain)).then_some(authority)
}
