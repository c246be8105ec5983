//! Which hosts are Amazon ECR, and what their names say: account ID, region, partition, FIPS,
//! dual-stack. Pure: no name is looked up.
//!
//! Whoever adds an AWS partition adds one line to [`PARTITIONS`]. A host belongs to ECR only when
//! all of it matches, so that credentials never go to a look-alike.

use std::fmt;

#[cfg(test)]
mod kubelet_config;

/// A partition of AWS: its own set of regions, accounts and DNS names.
#[derive(Debug, PartialEq, Eq)]
pub struct Partition {
    /// The second field of an ARN.
    pub id: &'static str,
    /// What the regions of this partition, and of no other, begin with; empty for the one that
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

    /// The partition that it lies in.
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
/// `eusc-de-east-1`. `s3` does not: anybody can register a bucket named `….dkr.ecr`, whose host is
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// host, then partition, region, FIPS, dual-stack and the API that it leads to.
    #[rustfmt::skip]
    const HOSTS: &[(&str, &str, &str, bool, bool, &str)] = &[
        ("123456789012.dkr.ecr.us-east-1.amazonaws.com", "aws", "us-east-1", false, false, "https://api.ecr.us-east-1.amazonaws.com"),
        ("123456789012.dkr.ecr-fips.us-east-1.amazonaws.com", "aws", "us-east-1", true, false, "https://api.ecr-fips.us-east-1.amazonaws.com"),
        ("123456789012.dkr-ecr.us-west-2.on.aws", "aws", "us-west-2", false, true, "https://ecr.us-west-2.api.aws"),
        ("123456789012.dkr-ecr-fips.us-west-2.on.aws", "aws", "us-west-2", true, true, "https://ecr-fips.us-west-2.api.aws"),
        ("123456789012.dkr.ecr.zz-new-9.amazonaws.com", "aws", "zz-new-9", false, false, "https://api.ecr.zz-new-9.amazonaws.com"),
        ("123456789012.dkr.ecr.us-gov-west-1.amazonaws.com", "aws-us-gov", "us-gov-west-1", false, false, "https://api.ecr.us-gov-west-1.amazonaws.com"),
        ("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", "aws-us-gov", "us-gov-west-1", true, false, "https://api.ecr-fips.us-gov-west-1.amazonaws.com"),
        ("123456789012.dkr-ecr-fips.us-gov-east-1.on.aws", "aws-us-gov", "us-gov-east-1", true, true, "https://ecr-fips.us-gov-east-1.api.aws"),
        ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", "aws-cn", "cn-north-1", false, false, "https://api.ecr.cn-north-1.amazonaws.com.cn"),
        ("123456789012.dkr-ecr.cn-northwest-1.on.amazonwebservices.com.cn", "aws-cn", "cn-northwest-1", false, true, "https://ecr.cn-northwest-1.api.amazonwebservices.com.cn"),
        ("123456789012.dkr.ecr.zz-new-9.amazonaws.com.cn", "aws-cn", "zz-new-9", false, false, "https://api.ecr.zz-new-9.amazonaws.com.cn"),
        ("123456789012.dkr.ecr.eusc-de-east-1.amazonaws.eu", "aws-eusc", "eusc-de-east-1", false, false, "https://api.ecr.eusc-de-east-1.amazonaws.eu"),
        ("123456789012.dkr.ecr.us-iso-east-1.c2s.ic.gov", "aws-iso", "us-iso-east-1", false, false, "https://api.ecr.us-iso-east-1.c2s.ic.gov"),
        ("123456789012.dkr-ecr.us-iso-east-1.on.aws.ic.gov", "aws-iso", "us-iso-east-1", false, true, "https://ecr.us-iso-east-1.api.aws.ic.gov"),
        ("123456789012.dkr.ecr.us-isob-east-1.sc2s.sgov.gov", "aws-iso-b", "us-isob-east-1", false, false, "https://api.ecr.us-isob-east-1.sc2s.sgov.gov"),
        ("123456789012.dkr-ecr.us-isob-east-1.on.aws.scloud", "aws-iso-b", "us-isob-east-1", false, true, "https://ecr.us-isob-east-1.api.aws.scloud"),
        ("123456789012.dkr.ecr.eu-isoe-west-1.cloud.adc-e.uk", "aws-iso-e", "eu-isoe-west-1", false, false, "https://api.ecr.eu-isoe-west-1.cloud.adc-e.uk"),
        ("123456789012.dkr-ecr.eu-isoe-west-1.on.cloud-aws.adc-e.uk", "aws-iso-e", "eu-isoe-west-1", false, true, "https://ecr.eu-isoe-west-1.api.cloud-aws.adc-e.uk"),
        ("123456789012.dkr.ecr.us-isof-south-1.csp.hci.ic.gov", "aws-iso-f", "us-isof-south-1", false, false, "https://api.ecr.us-isof-south-1.csp.hci.ic.gov"),
        ("123456789012.dkr-ecr.us-isof-south-1.on.aws.hci.ic.gov", "aws-iso-f", "us-isof-south-1", false, true, "https://ecr.us-isof-south-1.api.aws.hci.ic.gov"),
        ("public.ecr.aws", "aws", "us-east-1", false, false, "https://api.ecr-public.us-east-1.amazonaws.com"),
        ("ecr-public.aws.com", "aws", "us-east-1", false, true, "https://ecr-public.us-east-1.api.aws"),
    ];

    #[test]
    fn hosts_say_where_their_api_is() {
        for &(host, partition, region, fips, dual_stack, api) in HOSTS {
            let registry = Registry::from_server_url(host).expect(host);
            assert_eq!(registry.host(), host);
            assert_eq!(registry.to_string(), host);
            assert_eq!(registry.partition().id, partition, "{host}");
            assert_eq!(registry.region(), region, "{host}");
            assert_eq!(
                (registry.fips(), registry.dual_stack()),
                (fips, dual_stack),
                "{host}"
            );
            let service = match registry.service() {
                Service::Ecr => "ecr",
                Service::EcrPublic => "ecr-public",
            };
            assert_eq!(registry.service().id(), service);
            assert_eq!(
                registry.account_id().is_some(),
                registry.service() == Service::Ecr
            );
            let url = registry
                .service()
                .api_url(region, registry.partition(), fips, dual_stack);
            assert_eq!(url, api, "{host}");
        }
    }

    #[test]
    fn scheme_port_path_and_case_are_ignored() {
        const HOST: &str = "123456789012.dkr.ecr.us-east-1.amazonaws.com";
        for url in [
            "https://123456789012.dkr.ecr.us-east-1.amazonaws.com",
            "http://123456789012.dkr.ecr.us-east-1.amazonaws.com/",
            "HTTPS://123456789012.DKR.ECR.US-EAST-1.AMAZONAWS.COM:443/v2/",
            "123456789012.dkr.ecr.us-east-1.amazonaws.com:443",
            "123456789012.dkr.ecr.us-east-1.amazonaws.com/team/app",
            " 123456789012.dkr.ecr.us-east-1.amazonaws.com ",
        ] {
            assert_eq!(Registry::from_server_url(url).expect(url).host(), HOST);
        }
    }

    #[test]
    fn look_alikes_are_not_ecr() {
        for url in [
            "",
            "https://",
            "docker.io",
            "https://index.docker.io/v1/",
            "123456789012.dkr.ecr.us-east-1.amazonaws.com.evil.example",
            "evil.example/123456789012.dkr.ecr.us-east-1.amazonaws.com",
            "123456789012.dkr.ecr.us-east-1.amazonaws.com@evil.example",
            "https://user:pw@123456789012.dkr.ecr.us-east-1.amazonaws.com",
            "12345678901.dkr.ecr.us-east-1.amazonaws.com",
            "1234567890123.dkr.ecr.us-east-1.amazonaws.com",
            "12345678901a.dkr.ecr.us-east-1.amazonaws.com",
            "x.123456789012.dkr.ecr.us-east-1.amazonaws.com",
            "123456789012.dkr.ecr.us-east-1.amazonaws.com.",
            "123456789012.dkr.ecr..amazonaws.com",
            "123456789012.dkr.ecr.-us-east-1.amazonaws.com",
            "123456789012.dkr.ecr.us-east-1-.amazonaws.com",
            "123456789012.dkr.ecr.amazonaws.com",
            "123456789012.dkr.ecr.us_east_1.amazonaws.com",
            "123456789012.dkr.ecr.us-east-1.on.aws",
            "123456789012.dkr-ecr.us-east-1.amazonaws.com",
            "123456789012.dkr.ecr-fipsy.us-east-1.amazonaws.com",
            "123456789012.dkr.ecr.a.b.amazonaws.com",
            "123456789012.dkr.ecr.s3.amazonaws.com",
            "123456789012.dkr.ecr.s3-us-west-2.amazonaws.com",
            "123456789012.dkr.ecr.s3-website-us-east-1.amazonaws.com",
            "123456789012.dkr.ecr.compute-1.amazonaws.com",
            "123456789012.dkr.ecr.eu-west-1a.amazonaws.com",
            "ftp://123456789012.dkr.ecr.us-east-1.amazonaws.com",
            "123456789012.dkr.ecr.us-east-1.amazonaws.com:44x",
            "123456789012.dkr.ecr.us-east-1.amazonaws.com\\@evil.example",
            "xpublic.ecr.aws",
            "public.ecr.aws.evil.example",
        ] {
            assert_eq!(Registry::from_server_url(url), None, "{url}");
        }
    }

    #[test]
    fn an_arn_names_its_partition() {
        let of = |arn| Partition::of_arn(arn).map(|p| p.id);
        assert_eq!(of("arn:aws-cn:iam::123456789012:role/r"), Some("aws-cn"));
        assert_eq!(of("arn:aws-moon:iam::123456789012:role/r"), None);
        assert_eq!(of("role"), None);
    }

    proptest! {
        #[test]
        fn any_text_is_a_registry_or_none(text: String) {
            if let Some(registry) = Registry::from_server_url(&text) {
                prop_assert!(text.to_ascii_lowercase().contains(registry.host()));
            }
        }

        #[test]
        fn a_registry_is_found_however_its_url_is_written(
            account in "[0-9]{12}",
            region in "[a-z]{2,4}(-[a-z]{1,9}){1,2}-[0-9]{1,2}",
            which in 0..PARTITIONS.len(),
            fips: bool,
            dual_stack: bool,
            upper: bool,
            before in prop::sample::select(vec!["", "https://", "http://", "HTTPS://", " "]),
            after in "(:[0-9]{1,5})?([/?#][ -9;-~]{0,20})?",
        ) {
            let fips = if fips { "-fips" } else { "" };
            let partition = &PARTITIONS[which];
            let host = match (dual_stack, partition.dual_stack) {
                (true, Some(suffix)) => format!("{account}.dkr-ecr{fips}.{region}.{suffix}"),
                _ => format!("{account}.dkr.ecr{fips}.{region}.{}", partition.suffix),
            };
            let plain = Registry::from_server_url(&host).expect("well formed");
            prop_assert_eq!(plain.host(), host.as_str());
            prop_assert_eq!(plain.region(), region.as_str());
            prop_assert_eq!(plain.account_id(), Some(account.as_str()));
            prop_assert_eq!(plain.fips(), !fips.is_empty());
            // A name under one suffix is never taken for one under another.
            let ours = |p: &Partition| [Some(p.suffix), p.dual_stack].into_iter().flatten().any(|s| host.ends_with(s));
            prop_assert!(ours(plain.partition()));
            let written = if upper { host.to_uppercase() } else { host.clone() };
            let url = format!("{before}{written}{after}");
            prop_assert_eq!(Registry::from_server_url(&url), Some(plain));
            let other = format!("{before}{written}.evil.example{after}");
            prop_assert_eq!(Registry::from_server_url(&other), None);
            let other = format!("{before}{written}@evil.example{after}");
            prop_assert_eq!(Registry::from_server_url(&other), None);
        }
    }
}
