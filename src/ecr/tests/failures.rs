//! The message of each failure.

use super::*;

#[test]
fn faults_of_the_service_are_told_apart() {
    let json = |code: &str, message: &str| {
        format!(r#"{{"__type":"com.amazonaws.ecr#{code}","message":"{message}"}}"#)
    };
    let data =
        |token: &str| format!(r#"{{"authorizationData":[{{"authorizationToken":{token}}}]}}"#);
    let quoted = |text: &str| format!("\"{}\"", STANDARD.encode(text));
    #[rustfmt::skip]
    let cases: Vec<(Vec<Act>, usize, &str)> = vec![
        (vec![Act::Reply(500, "", "{}".into()), Act::Reply(503, "", "oops".into()), Act::Reply(200, "", good())], 3, "ok"),
        (vec![Act::Close, Act::Reply(200, "", good())], 2, "ok"),
        (vec![Act::Reply(500, "", "{}".into())], 3, "ECR failed with HTTP status 500"),
        (vec![Act::Reply(400, "", json("ThrottlingException", "Rate exceeded"))], 3, "ECR is throttling requests"),
        (vec![Act::Reply(429, "", String::new())], 3, "ECR is throttling requests"),
        (vec![Act::Reply(400, "", json("AccessDeniedException", "User: arn:aws:iam::1:user/u is not authorized to perform: ecr:GetAuthorizationToken on resource: *"))], 1, "access denied: arn:aws:iam::1:user/u may not call ecr:GetAuthorizationToken"),
        (vec![Act::Reply(400, "", json("UnrecognizedClientException", "The security token included in the request is invalid."))], 1, "AWS does not know the access key of the environment (AKIDEXAMPLE)"),
        (vec![Act::Reply(400, "", json("ExpiredTokenException", "x"))], 1, "the session token of the environment (AKIDEXAMPLE) has expired"),
        (vec![Act::Reply(400, "", json("InvalidSignatureException", "The canonical string was sentinel-session"))], 1, "AWS does not accept the signature made by the environment (AKIDEXAMPLE)"),
        (vec![Act::Reply(400, "", json("ServerSays", "echo sentinel-session and\\nsentinel-secret\\u001b[1m"))], 1, "ECR refused with ServerSays: echo … and … [1m"),
        (vec![Act::Reply(302, "location: http://127.0.0.1:1/\r\n", String::new())], 1, "unexpected response from ECR: a redirect (HTTP status 302), which is not followed"),
        (vec![Act::Reply(200, "", "<html>".into())], 1, "unexpected response from ECR: it is not what the API documents"),
        (vec![Act::Reply(200, "", "{\"authorizationData\":[".into())], 1, "unexpected response from ECR: it is not what the API documents"),
        (vec![Act::Reply(200, "", "[".repeat(100_000))], 1, "unexpected response from ECR: it is not what the API documents"),
        (vec![Act::Reply(200, "", format!("{{\"x\":{}", "[".repeat(100_000)))], 1, "unexpected response from ECR: it is not what the API documents"),
        (vec![Act::Reply(200, "", "{}".into())], 1, "unexpected response from ECR: no authorization data in it"),
        (vec![Act::Reply(200, "", "{\"authorizationData\":null}".into())], 1, "unexpected response from ECR: no authorization data in it"),
        (vec![Act::Reply(200, "", data("null"))], 1, "unexpected response from ECR: no authorization token in it"),
        (vec![Act::Reply(200, "", data(&(quoted("AWS:p") + r#","expiresAt":"soon""#)))], 1, "unexpected response from ECR: it is not what the API documents"),
        (vec![Act::Reply(200, "", data(&(quoted("AWS:p") + r#","expiresAt":1e300"#)))], 1, "ok"),
        (vec![Act::Reply(200, "", data(&(quoted("AWS:p") + r#","expiresAt":-62135596801"#)))], 1, "ok"),
        (vec![Act::Reply(200, "", data(&(quoted("AWS:p") + r#","expiresAt":null,"proxyEndpoint":null"#)))], 1, "ok"),
        (vec![Act::Reply(200, "", data("7"))], 1, "unexpected response from ECR: it is not what the API documents"),
        (vec![Act::Reply(200, "", data("\"%\""))], 1, "unexpected response from ECR: the authorization token is not base64"),
        (vec![Act::Reply(200, "", data(&quoted("AWS")))], 1, "unexpected response from ECR: the authorization token has no colon between user and password"),
        (vec![Act::Reply(200, "", data(&quoted("AWS:p:q")))], 1, "ok"),
        (vec![Act::Reply(400, "", "not json".into())], 1, "unexpected response from ECR: HTTP status 400 without an error code"),
        (vec![Act::Flood(512 << 20)], 1, "the response from 127.0.0.1 exceeds 1048576 bytes"),
    ];
    for (script, requests, expected) in cases {
        let server = server(false, script);
        let mut plan = plan(server.url());
        plan.network.max_attempts = Some(3);
        let found = issue(&none(), &plan, REGISTRY, 10.0);
        let text = match &found {
            Ok(_) => "ok".to_owned(),
            Err(error) => error.to_string(),
        };
        let (cause, tries) = text.split_once(" (3 attempts in ").unwrap_or((&text, ""));
        assert_eq!(cause, expected);
        assert_eq!(
            tries.ends_with(" s)"),
            cause != "ok" && requests > 1,
            "{text}"
        );
        assert_eq!(server.seen().len(), requests, "{expected}");
        assert!(*server.sent.lock().expect("whole") < 32 << 20);
        let shown = format!("{found:?} {text}");
        assert!(!shown.contains("sentinel"), "{shown}");
    }
}

#[test]
fn a_clock_that_is_off_is_measured() {
    let body = r#"{"__type":"InvalidSignatureException","message":"Signature expired: 20260101T000000Z is now earlier than 20260101T010000Z"}"#;
    let server = server(
        false,
        vec![Act::Reply(
            400,
            "date: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
            body.into(),
        )],
    );
    let error = issue(&none(), &plan(server.url()), REGISTRY, 10.0).expect_err("skewed");
    let text = error.to_string();
    assert!(text.contains("days ahead of that of AWS"), "{text}");
}

/// Step, code, message and outcome; then the cause, and whether others share it.
type Case<'a> = (
    Step<'a>,
    &'a str,
    &'a str,
    Option<RequestOutcome>,
    &'a str,
    bool,
);

#[test]
#[expect(clippy::too_many_lines, reason = "one table of failures")]
fn failures_are_classified_by_step_code_and_outcome() {
    let host = registry(REGISTRY);
    let public = registry("public.ecr.aws");
    let api = api("http://127.0.0.1:1".into());
    let signin = Endpoint::from(&api);
    let token = Step::Token {
        registry: &host,
        api: &api,
        owner: "K",
    };
    let dev_role = role("R");
    let role = Step::Role {
        role: &dev_role,
        owner: "K",
    };
    let pod = WebIdentity {
        profile: None,
        role_arn: "R".into(),
        session_name: None,
        token: Secret::from("t"),
        subject: Subject::of("t"),
        sts: Endpoint::from(&api),
    };
    let web = Step::WebIdentity(&pod);
    let dev = sso_profile();
    let sso = Step::SsoRole(&dev);
    let console = ConsoleLogin {
        profile: "dev".into(),
        session_arn: "arn".into(),
        signin,
        login_file: "/nonexistent/login.json".into(),
    };
    let login = Step::Login(&console);
    let from_public = Step::Token {
        registry: &public,
        api: &api,
        owner: "K",
    };
    let replied = |status| {
        Some(RequestOutcome::Replied {
            host: "h".into(),
            status,
            date: None,
        })
    };
    let failed = |failure| Some(RequestOutcome::Failed(failure));
    let dns = || Failure::Dns {
        host: "h".into(),
        temporary: false,
    };
    let pending = Some(RequestOutcome::Pending {
        doing: "connecting to h".into(),
    });
    #[rustfmt::skip]
    let cases: Vec<Case<'_>> = vec![
        (token, "", "", failed(dns()), "the name h does not resolve", true),
        (token, "", "", failed(Failure::Refused { at: "h:1".into() }), "connection refused by h:1", true),
        (token, "", "", failed(Failure::CertificateTime { host: "h".into() }), "the TLS certificate of h has expired or is not valid yet", false),
        (token, "", "", pending.clone(), "timed out connecting to h", true),
        (token, "RequestTimeTooSkewed", "", replied(400), "this machine's clock and that of AWS are too far apart", false),
        (token, "InvalidSignatureException", "Signature not yet current: 20201002T065532Z is still later than 20201002T062118Z (20201002T061618Z + 5 min.)", replied(400), "this machine's clock and that of AWS are too far apart", false),
        (role, "SignatureDoesNotMatch", "Signature expired: 20210309T162431Z is now earlier than 20210309T163358Z (20210309T163858Z - 5 min.)", replied(403), "this machine's clock and that of AWS are too far apart", false),
        (token, "InvalidSignatureException", "The request signature we calculated does not match the signature you provided.", replied(400), "AWS does not accept the signature made by K", false),
        (token, "SignatureDoesNotMatch", "x", replied(403), "AWS does not accept the signature made by K", false),
        (token, "AccessDeniedException", "no", replied(400), "access denied: the principal may not call ecr:GetAuthorizationToken", true),
        (token, "AccessDeniedException", "User: arn:aws:iam::1:user/u is not authorized to perform: ecr:GetAuthorizationToken on resource: * with an explicit deny in a service control policy", replied(400), "access denied: arn:aws:iam::1:user/u may not call ecr:GetAuthorizationToken (explicit deny in a service control policy)", true),
        (token, "AccessDeniedException", "User: arn:aws:iam::1:user/u is not authorized to perform: ecr:GetAuthorizationToken on resource: * because no VPC endpoint policy allows the ecr:GetAuthorizationToken action", replied(400), "access denied: arn:aws:iam::1:user/u may not call ecr:GetAuthorizationToken (no VPC endpoint policy allows it)", true),
        (from_public, "AccessDeniedException", "no", replied(400), "access denied: the principal may not call ecr-public:GetAuthorizationToken", true),
        (token, "Throttling", "", replied(400), "ECR is throttling requests", true),
        (from_public, "", "", replied(502), "ECR Public failed with HTTP status 502", true),
        (role, "AccessDenied", "not authorized", replied(403), "the role R cannot be assumed by K: not authorized", true),
        (role, "InvalidClientTokenId", "", replied(403), "AWS does not know the access key of K", false),
        (role, "ExpiredToken", "", replied(403), "the session token of K has expired", false),
        (web, "ExpiredTokenException", "", replied(400), "the web identity token has expired", false),
        (web, "InvalidIdentityToken", "no key", replied(400), "the web identity token is not accepted: no key", false),
        (web, "AccessDenied", "no trust", replied(403), "the role R cannot be assumed by the web identity token: no trust", false),
        (sso, "UnauthorizedException", "", replied(401), "the SSO session for profile \"dev\" has expired", true),
        (sso, "ForbiddenException", "", replied(403), "the SSO user of profile \"dev\" is not assigned the role r in account 1", true),
        (sso, "TooManyRequestsException", "", replied(429), "IAM Identity Center is throttling requests", true),
        (login, "", "", replied(401), "the \"aws login\" session for profile \"dev\" has expired", true),
        (Step::Container, "", "", replied(403), "container credentials: the endpoint refused with HTTP status 403", true),
        (Step::Container, "", "", replied(200), "container credentials: the response holds no credentials", true),
        (Step::Metadata, "", "", failed(dns()), "no AWS credentials found: instance metadata cannot be reached (the name h does not resolve)", false),
        (Step::Metadata, "", "", pending, "no AWS credentials found: instance metadata cannot be reached (timed out connecting to h)", false),
        (Step::Metadata, "", "", replied(404), "no AWS credentials found: this machine has no role in its instance metadata", false),
        (Step::Metadata, "", "", replied(500), "instance metadata failed with HTTP status 500", true),
    ];
    for (step, code, message, outcome, expected, shared) in cases {
        let error = classify(
            step,
            &FailureContext {
                code: Some(code.to_owned()).filter(|code| !code.is_empty()),
                message: Some(message.to_owned()),
                outcome,
                ..FailureContext::default()
            },
        );
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.is_shared(), shared, "{expected}");
        assert!(
            !error.hint().is_empty() && !error.hint().ends_with('.'),
            "{expected}"
        );
    }
}

#[test]
fn strange_keys_and_endpoints_are_errors_and_no_panic() {
    let server = server(false, vec![Act::Reply(200, "", "<html> \u{1}?#".into())]);
    for (id, session) in [
        ("AK\nID", "t"),
        ("AKID", "sentinel\r\nx: y"),
        ("\u{e9}", "\0"),
    ] {
        let mut plan = plan(server.url());
        plan.source = Source::Environment(AccessKeys {
            access_key_id: id.into(),
            secret_access_key: Secret::from("sentinel"),
            session_token: Some(Secret::from(session)),
        });
        let error = issue(&none(), &plan, REGISTRY, 5.0).expect_err(id);
        assert!(
            !format!("{error} {error:?}").contains("sentinel"),
            "{error}"
        );
    }
    for url in [
        "",
        "x",
        "http://",
        "http://[",
        "http://a b",
        "//x",
        "http://u:p@127.0.0.1:1",
    ] {
        assert!(
            issue(&none(), &plan(url.into()), REGISTRY, 5.0).is_err(),
            "{url}"
        );
    }
    let mut plan = plan(server.url());
    plan.source = Source::InstanceMetadata(InstanceMetadata {
        endpoint: Some(server.url()),
        ..InstanceMetadata::default()
    });
    assert!(issue(&none(), &plan, REGISTRY, 5.0).is_err());
    for uri in ["localhost:80", "http:/x", "*", "x/y", ""] {
        plan.source = Source::Container(Container {
            uri: Secret::from(uri),
            relative: false,
            token: None,
            token_file: None,
        });
        let error = issue(&none(), &plan, REGISTRY, 5.0).expect_err(uri);
        assert_eq!(error.kind(), ProblemKind::Configuration, "{error}");
    }
}

#[test]
fn missing_fips_or_dual_stack_endpoint_is_named() {
    // No resolver is asked for a label of 64 characters.
    let suffix = "a".repeat(64);
    for (fips, dual_stack, url, expected) in [
        (
            true,
            false,
            format!("https://api.ecr-fips.{suffix}"),
            format!(
                "ECR has no FIPS endpoint in the region eu-west-1: api.ecr-fips.{suffix} or ecr-fips.{suffix} does not resolve"
            ),
        ),
        (
            true,
            true,
            format!("https://ecr-fips.{suffix}"),
            format!(
                "ECR has no dual-stack FIPS endpoint in the region eu-west-1: ecr-fips.{suffix} does not resolve"
            ),
        ),
        (
            false,
            true,
            format!("https://ecr.{suffix}"),
            format!(
                "ECR has no dual-stack endpoint in the region eu-west-1: ecr.{suffix} does not resolve"
            ),
        ),
        (
            false,
            false,
            format!("https://ecr.{suffix}"),
            format!("the name ecr.{suffix} does not resolve"),
        ),
    ] {
        let mut plan = plan(url);
        plan.api.variant.fips = fips;
        plan.api.variant.dual_stack = dual_stack;
        plan.network.ca_bundle = Some(CaBundle {
            setting: "AWS_CA_BUNDLE".into(),
            path: concat!(env!("CARGO_MANIFEST_DIR"), "/src/ecr/test-ca.pem").into(),
        });
        let error = issue(&none(), &plan, REGISTRY, 10.0).expect_err("none");
        // The whole of what is cut in a cause.
        let text = error.to_string();
        assert_eq!(error.detail().unwrap_or(&text), expected);
    }
}

#[test]
fn a_command_that_takes_too_long_is_named() {
    let mut plan = plan("http://127.0.0.1:1".into());
    plan.source = Source::Process {
        profile: "dev".into(),
        command: Secret::from(if cfg!(windows) {
            "ping -n 6 127.0.0.1 >nul"
        } else {
            "sleep 5"
        }),
    };
    let error = issue(&none(), &plan, REGISTRY, 0.3).expect_err("too long");
    assert_eq!(
        error.to_string(),
        "timed out waiting for the credential_process of profile \"dev\" (after 0.3 s)"
    );
}
