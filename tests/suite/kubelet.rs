//! The kubelet's credential provider protocol, field by field.

use serde_json::{Value, json};

use crate::support::fake::{Answer, Fake, Good, Script};
use crate::support::run::{Helper, Output};

const HOST: &str = "123456789012.dkr.ecr.us-east-1.amazonaws.com";
const API: &str = "credentialprovider.kubelet.k8s.io/v1";

fn request(image: &str) -> Value {
    json!({ "apiVersion": API, "kind": "CredentialProviderRequest", "image": image })
}

fn ask(helper: &Helper, request: &Value) -> Output {
    helper.run_of("kubelet").stdin(request.to_string()).run()
}

/// The answer, which has exactly the fields that the kubelet knows; user, password, duration.
#[track_caller]
fn answer(output: &Output, host: &str) -> (String, String) {
    assert_eq!(output.code, Some(0), "{output:?}");
    let answer: Value = serde_json::from_str(&output.stdout).expect("JSON");
    let password = answer["auth"][host]["password"]
        .as_str()
        .expect("a password");
    let duration = answer["cacheDuration"].as_str().expect("a duration");
    assert_eq!(
        answer,
        json!({
            "apiVersion": API,
            "kind": "CredentialProviderResponse",
            "cacheKeyType": "Registry",
            "cacheDuration": duration,
            "auth": { host: { "username": "AWS", "password": password } },
        })
    );
    (password.to_owned(), duration.to_owned())
}

#[track_caller]
fn refused(output: &Output, words: &[&str]) {
    assert_eq!(
        (output.code, output.stdout.as_str()),
        (Some(1), ""),
        "{output:?}"
    );
    // The kubelet writes what ends in a newline on three lines.
    assert!(!output.stderr.contains('\n'), "{output:?}");
    for word in words
        .iter()
        .chain(&["docker-credential-ecr-login: ", "; hint: "])
    {
        assert!(output.stderr.contains(word), "{word}: {output:?}");
    }
}

#[test]
fn images_of_every_kind_of_host_are_answered() {
    for (image, host) in [
        (format!("{HOST}/team/app:1"), HOST),
        (format!("{HOST}/app@sha256:00"), HOST),
        (HOST.to_owned(), HOST),
        (
            "public.ecr.aws/docker/library/alpine".into(),
            "public.ecr.aws",
        ),
        ("ecr-public.aws.com/x/y".into(), "ecr-public.aws.com"),
        (
            "123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com/x".into(),
            "123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com",
        ),
        (
            "123456789012.dkr-ecr.us-east-1.on.aws/x".into(),
            "123456789012.dkr-ecr.us-east-1.on.aws",
        ),
        (
            "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/x".into(),
            "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn",
        ),
    ] {
        let fake = Fake::start();
        let helper = Helper::with_keys(&fake);
        let output = ask(&helper, &request(&image));
        assert_eq!(output.stderr, "");
        let (_, duration) = answer(&output, host);
        assert_eq!(duration, "5h59m59s", "half of what is left");
        assert_eq!(helper.files("~/").len(), 0, "the disk is not touched");
    }
}

#[test]
fn every_host_that_leads_to_an_api_is_answered() {
    let fake = Fake::start();
    let helper = Helper::with_keys(&fake);
    let table = include_str!("../support/api_hosts.txt");
    let rows = table
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut hosts: Vec<_> = rows
        .filter_map(|row| row.split_whitespace().next())
        .collect();
    hosts.dedup();
    assert!(hosts.len() > 20, "{hosts:?}");
    for host in hosts {
        let output = ask(&helper, &request(&format!("{host}/team/app:1")));
        assert_eq!(output.stderr, "");
        answer(&output, host);
    }
}

#[cfg(unix)]
#[test]
fn kubelet_mode_by_name_with_any_arguments() {
    let fake = Fake::start();
    let helper = Helper::with_keys(&fake);
    let link = helper.path("~/ecr-credential-provider");
    std::os::unix::fs::symlink(crate::support::run::program(), &link).expect("free");
    let helper = helper.program(link);
    for args in [&[][..], &["get-credentials"], &["get"], &["-v", "--x"]] {
        let run = args.iter().fold(helper.bare(), |run, arg| run.arg(arg));
        answer(&run.stdin(request(HOST).to_string()).run(), HOST);
    }
    let plain = Helper::with_keys(&fake);
    let run = plain.run_of("kubelet").arg("get-credentials");
    answer(&run.stdin(request(HOST).to_string()).run(), HOST);
}

#[test]
fn cache_duration_is_half_of_the_remaining_life() {
    for (good, durations) in [
        (
            Good {
                expires_in: Some(100),
                ..Good::default()
            },
            &["49s", "50s"][..],
        ),
        (
            Good {
                expires_in: Some(-100),
                ..Good::default()
            },
            &["0s"],
        ),
        (
            Good {
                no_expires_at: true,
                ..Good::default()
            },
            &["0s"],
        ),
    ] {
        let fake = Fake::start();
        fake.ecr(Script::always(Answer::Ok(good)));
        let (_, duration) = answer(&ask(&Helper::with_keys(&fake), &request(HOST)), HOST);
        assert!(durations.contains(&duration.as_str()), "{duration}");
    }
}

#[test]
fn service_account_token_takes_its_role() {
    const ROLE: &str = "arn:aws:iam::123456789012:role/pull";
    let mut with_annotation = request(&format!("{HOST}/app"));
    with_annotation["serviceAccountToken"] = "FAKE-SERVICE-ACCOUNT-TOKEN".into();
    let plain = with_annotation.clone();
    with_annotation["serviceAccountAnnotations"] =
        json!({ "eks.amazonaws.com/ecr-role-arn": ROLE });
    for (request, variable) in [
        (&with_annotation, ""),
        (&plain, ROLE),
        (&with_annotation, "arn:aws:iam::123456789012:role/other"),
    ] {
        let fake = Fake::start();
        let helper = Helper::with_keys(&fake).env("AWS_ECR_ROLE_ARN", variable);
        let output = ask(&helper, request);
        assert_eq!(output.stderr, "");
        answer(&output, HOST);
        let calls = fake.calls_to("sts");
        assert_eq!(calls.len(), 1);
        assert_eq!(calls[0].operation, "AssumeRoleWithWebIdentity");
        assert_eq!(calls[0].param("RoleArn"), Some(ROLE));
        assert_eq!(
            calls[0].param("RoleSessionName"),
            Some("ecr-credential-provider")
        );
    }
}

#[test]
fn token_without_role_uses_node_identity() {
    let fake = Fake::start();
    let helper = Helper::with_keys(&fake);
    let mut request = request(HOST);
    request["serviceAccountToken"] = "FAKE-SERVICE-ACCOUNT-TOKEN".into();
    let output = ask(&helper, &request);
    answer(&output, HOST);
    assert_eq!(output.stderr.lines().count(), 1, "{output:?}");
    assert!(
        output.stderr.contains("eks.amazonaws.com/ecr-role-arn"),
        "{output:?}"
    );
    assert_eq!(fake.count("sts"), 0);
}

#[test]
fn a_role_that_cannot_be_assumed_is_an_error() {
    let fake = Fake::start();
    fake.change(|b| b.sts = Script::always(Answer::error(403, "AccessDenied", "not authorized")));
    let helper = Helper::with_keys(&fake);
    let mut request = request(HOST);
    request["serviceAccountToken"] = "FAKE-SERVICE-ACCOUNT-TOKEN".into();
    request["serviceAccountAnnotations"] =
        json!({ "eks.amazonaws.com/ecr-role-arn": "arn:aws:iam::123456789012:role/pull" });
    let output = ask(&helper, &request);
    refused(&output, &["role/pull"]);
    assert!(!output.stderr.contains("FAKE-SERVICE"), "{output:?}");
    assert_eq!(fake.count("ecr"), 0);
}

#[test]
fn what_cannot_be_answered_is_refused_in_one_line() {
    let fake = Fake::start();
    let helper = Helper::with_keys(&fake);
    let changed = |key: &str, value: Value| {
        let mut request = request(HOST);
        request[key] = value;
        request.to_string()
    };
    for (stdin, words) in [
        (String::new(), &["CredentialProviderRequest"][..]),
        ("[]".into(), &["CredentialProviderRequest"]),
        ("{".into(), &["CredentialProviderRequest"]),
        (changed("image", 7.into()), &["CredentialProviderRequest"]),
        (
            changed(
                "apiVersion",
                "credentialprovider.kubelet.k8s.io/v1beta1".into(),
            ),
            &["v1beta1", API],
        ),
        (changed("kind", "Other".into()), &["Other"]),
        (changed("image", "".into()), &["is not a registry's host"]),
        (
            changed("image", "a@b/c".into()),
            &["is not a registry's host"],
        ),
        ("x".repeat(70_000), &["65536"]),
    ] {
        refused(&helper.run_of("kubelet").stdin(&stdin).run(), words);
    }
    assert_eq!(fake.calls().len(), 0);
    let without = Helper::new();
    refused(
        &ask(&without, &request(HOST)),
        &["no AWS credentials found"],
    );
}

#[test]
fn a_mirror_gets_the_default_registrys_token() {
    for (regions, region) in [
        (&[("AWS_REGION", "eu-west-1")][..], "eu-west-1"),
        (
            &[("AWS_REGION", ""), ("AWS_DEFAULT_REGION", "us-west-2")],
            "us-west-2",
        ),
        (&[("AWS_REGION", "")], "ap-south-1"),
    ] {
        let fake = Fake::start();
        let mut helper =
            Helper::with_keys(&fake).file("~/.aws/config", "[default]\nregion=ap-south-1\n");
        for (name, value) in regions {
            helper.set(name, value);
        }
        for (image, host) in [
            ("docker.io/library/alpine", "docker.io"),
            ("mirror.example.com:5000/x", "mirror.example.com:5000"),
        ] {
            let output = ask(&helper, &request(image));
            assert_eq!(output.stderr, "");
            answer(&output, host);
        }
        for call in fake.calls() {
            assert_eq!(call.signing_region.as_deref(), Some(region));
            assert_eq!(call.param("registryIds"), None, "the default registry");
        }
    }
}

#[test]
fn a_mirror_without_a_region_is_refused() {
    let fake = Fake::start();
    let helper = Helper::with_keys(&fake).env("AWS_REGION", "");
    refused(
        &ask(&helper, &request("docker.io/library/alpine")),
        &["docker.io: ", "no region", "AWS_REGION"],
    );
    assert_eq!(fake.calls().len(), 0);
}

#[test]
fn a_rule_decides_which_registry_a_mirror_is() {
    let fake = Fake::start();
    let rules = "[docker.io]\nregistry = 777788889999.dkr.ecr.eu-west-1.amazonaws.com\n";
    let helper = Helper::with_keys(&fake).file("~/.aws/ecr-login", rules);
    let output = ask(&helper, &request("docker.io/library/alpine"));
    assert_eq!(output.stderr, "");
    answer(&output, "docker.io");
    let call = &fake.calls_to("ecr")[0];
    assert_eq!(call.signing_region.as_deref(), Some("eu-west-1"));
    assert_eq!(call.param("registryIds"), Some("777788889999"));
}

#[test]
fn a_role_that_cannot_be_meant_is_refused() {
    const KEY: &str = "eks.amazonaws.com/ecr-role-arn";
    let fake = Fake::start();
    let helper = Helper::with_keys(&fake);
    let with = |token: &str, annotation: &str| {
        let mut request = request(HOST);
        request["serviceAccountToken"] = token.into();
        request["serviceAccountAnnotations"] = json!({ KEY: annotation });
        request
    };
    for blank in ["", " ", "a\nb: c", "\u{1b}[31m"] {
        refused(
            &ask(&helper, &with("FAKE-SERVICE-ACCOUNT-TOKEN", blank)),
            &[KEY, "not a role"],
        );
    }
    let role = "arn:aws:iam::123456789012:role/pull";
    refused(
        &ask(&helper, &with("", role)),
        &["no service-account token"],
    );
    let helper = helper.env("AWS_ECR_ROLE_ARN", role);
    refused(
        &ask(&helper, &request(HOST)),
        &["no service-account token", "AWS_ECR_ROLE_ARN"],
    );
    assert_eq!(fake.calls().len(), 0, "the node's identity is not used");
}
