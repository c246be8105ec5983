//! Hosts and what they say.

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
