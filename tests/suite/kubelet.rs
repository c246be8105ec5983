//! The kubelet's credential provider protocol, field by field.

use serde_json::{Value, json};

use crate::support::fake::{Answer, Fake, Good, Script};
use crate::support::run::{Helper, Output, program};

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
    assert_eq!(output.stderr.lines().count(), 1, "{output:?}");
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
    std::os::unix::fs::symlink(program(), &link).expect("free");
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
        (
            changed("image", "docker.io/library/alpine".into()),
            &["docker.io", "not a registry"],
        ),
        (changed("image", "".into()), &["not a registry"]),
        (
            changed("image", format!("{HOST}.evil.example/x").into()),
            &["not a registry"],
        ),
        ("x".repeat(70_000), &["65536"]),
    ] {
        refused(&helper.run_of("kubelet").stdin(&stdin).run(), words);
    }
    assert_eq!(fake.calls().len(), 0);
    let nobody = Helper::new();
    refused(&ask(&nobody, &request(HOST)), &["no AWS credentials found"]);
}
