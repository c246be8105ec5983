//! Endpoints, regions and what executing a plan needs.

use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::keys::jwt;
use super::*;
use crate::principal::cache_key::hex;

#[test]
fn an_endpoint_comes_from_the_most_specific_setting() {
    let config = "[default]\nservices = s\nendpoint_url = http://profile\n[services s]\necr =\n  endpoint_url = http://section\n\
                  ecr_public =\n  endpoint_url = http://public\n";
    let plain = config.replace("services = s", "");
    let off = format!(
        "[default]\nignore_configured_endpoint_urls = true\n{}",
        &config[10..]
    );
    let specific = ("AWS_ENDPOINT_URL_ECR", "http://specific");
    let global = ("AWS_ENDPOINT_URL", "http://global");
    let ignore = ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true");
    let real = "https://api.ecr.eu-central-1.amazonaws.com";
    #[rustfmt::skip]
    let cases: &[(&str, Variables<'_>, &str, &str)] = &[
        (config, &[specific, global], HOST, "http://specific"),
        (config, &[global], HOST, "http://global"),
        (config, &[], HOST, "http://section"),
        (config, &[], "public.ecr.aws", "http://public"),
        (&plain, &[], HOST, "http://profile"),
        (&plain, &[], "public.ecr.aws", "http://profile"),
        (config, &[ignore, specific], HOST, real),
        (&off, &[global], HOST, real),
        ("", &[("AWS_ENDPOINT_URL_ECR_PUBLIC", "http://p")], HOST, real),
    ];
    for (config, vars, host, url) in cases {
        let vars: Vec<_> = KEYS.iter().chain(*vars).copied().collect();
        let plan = Home::new(config).plan_for(host, &vars).expect(url);
        assert_eq!(plan.api.url, *url, "{vars:?}");
    }
}

#[test]
fn endpoint_override_beats_fips_and_dual_stack() {
    let fips = ("AWS_USE_FIPS_ENDPOINT", "true");
    let host = "123456789012.dkr.ecr-fips.us-east-1.amazonaws.com";
    #[rustfmt::skip]
    let cases: &[(&str, Variables<'_>, bool, bool)] = &[
        (host, &[], true, false),
        (HOST, &[fips], true, false),
        (HOST, &[fips, ("AWS_USE_DUALSTACK_ENDPOINT", "TRUE")], true, true),
        (HOST, &[("AWS_USE_FIPS_ENDPOINT", "False")], false, false),
        (host, &[("AWS_ENDPOINT_URL", "http://x")], false, false),
    ];
    for (host, vars, fips, dual_stack) in cases {
        let vars: Vec<_> = KEYS.iter().chain(*vars).copied().collect();
        let plan = Home::new("").plan_for(host, &vars).expect(host);
        assert_eq!(
            (plan.api.variant.fips, plan.api.variant.dual_stack),
            (*fips, *dual_stack),
            "{vars:?}"
        );
    }
    let role = format!("[default]\nrole_arn = {ROLE}\nsource_profile = default\n{STATIC}");
    let plan = Home::new(&role).plan_for(host, &[]).expect("plan");
    assert!(
        plan.api.variant.fips && !plan.roles[0].sts.variant().fips,
        "the host speaks of ECR alone"
    );
}

#[test]
fn sts_is_that_of_the_registrys_region() {
    let role = |arn: &str| {
        format!(
            "[default]\nrole_arn = {arn}\nsource_profile = b\nregion = eu-west-3\n\
             [profile b]\nregion = us-west-1\n{STATIC}"
        )
    };
    let china = "arn:aws-cn:iam::123456789012:role/r";
    let unknown = "123456789012.dkr.ecr.zz-new-9.amazonaws.com.cn";
    for (arn, host, region) in [
        (ROLE, HOST, "eu-central-1"),
        (ROLE, "public.ecr.aws", "us-east-1"),
        (china, CHINA, "cn-north-1"),
        (china, unknown, "cn-north-1"),
    ] {
        for variable in ["AWS_REGION", "AWS_DEFAULT_REGION"] {
            let home = Home::new(&role(arn));
            let plan = home.plan_for(host, &[(variable, "us-west-2")]).expect(arn);
            assert_eq!(plan.roles[0].sts.region, region);
            assert_eq!(plan.api.region, registry(host).region());
        }
    }
    let error = Home::new(&role(china)).plan(&[]).expect_err("China's role");
    let text = error.to_string();
    assert!(text.contains("belongs to partition aws-cn"), "{text}");
}

#[test]
fn sources_are_called_in_their_partition() {
    let sso = |region: &str| {
        format!(
            "[default]\nsso_start_url = https://x\nsso_region = {region}\nsso_account_id = 1\nsso_role_name = r\n"
        )
    };
    let login = |partition: &str| {
        format!("[default]\nlogin_session = arn:{partition}:iam::123456789012:user/u\n")
    };
    let web = |partition: &str| {
        format!(
            "[default]\nrole_arn = arn:{partition}:iam::123456789012:role/r\nweb_identity_token_file = {{home}}/token\n"
        )
    };
    for (ours, theirs) in [
        (sso("us-east-1"), sso("cn-north-1")),
        (login("aws"), login("aws-cn")),
        (web("aws"), web("aws-cn")),
    ] {
        let plan = |config: &str, region: &str| {
            let home = Home::new("");
            home.write("token", &jwt(r#"{"iss":"i","sub":"s"}"#));
            let start = "https://x";
            for (dir, name) in [
                ("sso", hex(&Sha1::digest(start))),
                (
                    "login",
                    hex(&Sha256::digest("arn:aws:iam::123456789012:user/u")),
                ),
                (
                    "login",
                    hex(&Sha256::digest("arn:aws-cn:iam::123456789012:user/u")),
                ),
            ] {
                home.write(&format!(".aws/{dir}/cache/{name}.json"), SSO_FILE);
            }
            let config = config.replace("{home}", home.0.to_str().expect("UTF-8"));
            home.write(".aws/config", &config);
            home.plan(&[("AWS_REGION", region)])
        };
        let refused = plan(&theirs, "us-west-2").expect_err(&theirs);
        assert!(refused.to_string().contains("partition"), "{refused}");
        let region = match plan(&ours, "us-west-2").expect(&ours).source {
            Source::WebIdentity(web) => web.sts.region,
            Source::Login(login) => login.signin.region,
            Source::Sso(_) => continue,
            other => panic!("{other:?}"),
        };
        assert_eq!(region, registry(HOST).region());
    }
}

#[test]
fn no_attempt_at_all_is_no_setting() {
    let plan = |text| Home::new("").plan(&[KEYS[0], KEYS[1], ("AWS_MAX_ATTEMPTS", text)]);
    for (text, expected) in [("0", None), (" 1 ", Some(1)), ("-1", None)] {
        let network = plan(text).expect("plan").network;
        assert_eq!(network.max_attempts, expected, "{text}");
    }
    for text in ["many", "1.5", "1e1"] {
        let problem = plan(text).expect_err(text).to_string();
        assert!(problem.contains("AWS_MAX_ATTEMPTS"), "{problem}");
    }
}

#[test]
fn container_settings_are_in_the_plan() {
    let home = Home::new("");
    let vars = [
        (
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "http://127.0.0.1/x?key=sentinel",
        ),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "sentinel"),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "~/token"),
    ];
    let plan = home.plan(&vars).expect("plan");
    assert!(!format!("{plan:?}").contains("sentinel"), "{plan:?}");
    let Source::Container(container) = plan.source else {
        panic!("{:?}", plan.source);
    };
    assert_eq!(container.uri.expose(), vars[0].1);
    assert!(!container.relative);
    assert_eq!(container.token, Some(Secret::from("sentinel")));
    assert_eq!(container.token_file, Some(home.0.join("token")));
    let empty = [vars[0], ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "")];
    match home.plan(&empty).expect("plan").source {
        Source::Container(container) => assert_eq!(container.token_file, Some("".into())),
        other => panic!("{other:?}"),
    }
}

#[test]
fn instance_metadata_settings_are_in_the_plan() {
    let config = "[default]\nmetadata_service_timeout = 2.5\n\
                  metadata_service_num_attempts = 4\nec2_metadata_v1_disabled = true\n";
    let metadata = |config: &str, vars: Variables<'_>| match Home::new(config).plan(vars) {
        Ok(Plan {
            source: Source::InstanceMetadata(metadata),
            ..
        }) => metadata,
        other => panic!("{other:?}"),
    };
    assert_eq!(metadata("", &[]), InstanceMetadata::default());
    let of_profile = InstanceMetadata {
        timeout: Some(Duration::from_secs_f32(2.5)),
        attempts: Some(4),
        v1_disabled: true,
        ..InstanceMetadata::default()
    };
    assert_eq!(metadata(config, &[]), of_profile);
    let vars = [
        ("AWS_METADATA_SERVICE_TIMEOUT", "1"),
        ("AWS_METADATA_SERVICE_NUM_ATTEMPTS", "2"),
        ("AWS_EC2_METADATA_V1_DISABLED", "false"),
        ("AWS_IMDS_USE_IPV6", "true"),
    ];
    let of_variables = InstanceMetadata {
        ipv6: true,
        timeout: Some(Duration::from_secs(1)),
        attempts: Some(2),
        ..InstanceMetadata::default()
    };
    assert_eq!(metadata(config, &vars), of_variables);
}

#[test]
fn sts_follows_fips_and_dual_stack_settings() {
    let config = format!("[default]\nrole_arn = {ROLE}\nsource_profile = b\n[profile b]\n{STATIC}");
    let home = Home::new(&config);
    let fips = ("AWS_USE_FIPS_ENDPOINT", "true");
    let dual_stack = ("AWS_USE_DUALSTACK_ENDPOINT", "true");
    let url = ("AWS_ENDPOINT_URL_STS", "http://localhost:1");
    let cases: [(Variables<'_>, (bool, bool)); 4] = [
        (&[], (false, false)),
        (&[fips], (true, false)),
        (&[dual_stack], (false, true)),
        (&[fips, dual_stack, url], (false, false)),
    ];
    for (vars, expected) in cases {
        let sts = &home.plan(vars).expect("plan").roles[0].sts;
        let Variant { fips, dual_stack } = sts.variant();
        assert_eq!((fips, dual_stack), expected, "{vars:?}");
    }
}

#[test]
fn variables_beat_profile_for_connections() {
    let home = Home::new("[default]\nca_bundle = ~/ca\nmax_attempts = 5\nretry_mode = adaptive");
    let network = home.plan(&KEYS).expect("plan").network;
    assert_eq!(network.ca_bundle.map(|ca| ca.path), Some(home.0.join("ca")));
    assert_eq!(network.max_attempts, Some(5));
    let vars = [
        KEYS[0],
        KEYS[1],
        ("AWS_CA_BUNDLE", "/b"),
        ("AWS_MAX_ATTEMPTS", "2"),
        ("AWS_RETRY_MODE", "standard"),
    ];
    let network = home.plan(&vars).expect("plan").network;
    let ca = network.ca_bundle.expect("set");
    assert_eq!(
        (ca.setting.as_str(), ca.path),
        ("AWS_CA_BUNDLE", "/b".into())
    );
    assert_eq!(network.max_attempts, Some(2));
}
