//! A hostile server, file or setting must not make the program show a secret, block, take memory or
//! crash.

use std::io::Read;
use std::net::TcpListener;
use std::sync::mpsc;
use std::time::Duration;

use crate::support::fake::{Answer, Fake, Script};
use crate::support::run::{Helper, Output};

const HOST: &str = "123456789012.dkr.ecr.us-east-1.amazonaws.com";
const URI: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
const TOKEN: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN";
/// Never shown.
const SENTINEL: &str = "SENTINEL-9f8e7d";

/// Accepts connections, and reports what each one sent first.
fn listener() -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let _ = stream.set_read_timeout(Some(Duration::from_secs(2)));
            let mut bytes = [0; 4096];
            let length = stream.read(&mut bytes).unwrap_or(0);
            let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
            if sender.send(text).is_err() {
                return;
            }
        }
    });
    (address, receiver)
}

fn expect_failure_without_sentinel(what: &str, output: &Output) {
    assert_eq!(output.code, Some(1), "{what}: {output:?}");
    assert_ne!(output.stderr, "", "{what}");
    for text in [&output.stdout, &output.stderr] {
        assert!(!text.contains("SENTINEL"), "{what}: {output:?}");
    }
}

#[test]
fn container_tokens_never_go_to_a_proxy() {
    let (proxy, seen) = listener();
    // The machine's own name often leads to loopback, and no rule about proxies knows it.
    let own_name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let own_name = format!("http://{}:1/x", own_name.trim());
    for uri in [
        &*own_name,
        "http://creds.example/x",
        "http://localhost:1/x",
        "http://127.0.0.1:1/x",
        "http://169.254.170.23:1/x",
        "http://LOCALHOST:1/x",
    ] {
        for variable in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"] {
            let helper = Helper::new()
                .env(URI, uri)
                .env(TOKEN, SENTINEL)
                .env("AWS_ECR_TIMEOUT", "1")
                .env(variable, format!("http://{proxy}"));
            let output = helper.env("AWS_ECR_LOG", "debug").get(HOST);
            expect_failure_without_sentinel(uri, &output);
        }
    }
    // The connection to ECR, which is opened early; nothing is sent where the second ends before.
    for request in seen.try_iter().filter(|request| !request.is_empty()) {
        assert!(request.starts_with("CONNECT api.ecr."), "{request}");
        assert!(!request.contains(SENTINEL), "{request}");
    }
}

#[test]
fn container_responses_cannot_print_the_token() {
    let fake = Fake::start();
    let body = format!(r#"{{"code":"Bad{SENTINEL}","message":"token {SENTINEL} is unknown"}}"#);
    let reply = Answer::Status {
        code: 403,
        body,
        content_type: Some("application/json".to_owned()),
        headers: [("x-y".to_owned(), SENTINEL.to_owned())].into(),
    };
    fake.change(|behaviour| behaviour.container = Script::always(reply));
    let helper = Helper::new()
        .env(URI, format!("{}/creds?q={SENTINEL}", fake.url()))
        .env("AWS_ECR_LOG", "debug")
        .file("~/token", SENTINEL);
    let file = helper.path("~/token");
    let by_variable = helper.run_of("get").env(TOKEN, SENTINEL).stdin(HOST).run();
    expect_failure_without_sentinel("variable", &by_variable);
    let by_file = helper.run_of("get").env(&format!("{TOKEN}_FILE"), &file);
    expect_failure_without_sentinel("file", &by_file.stdin(HOST).run());
    let sent = fake.calls();
    assert!(sent.len() >= 2, "{sent:?}");
    // Tokens that cannot be sent.
    for token in [
        format!("{SENTINEL}\n{SENTINEL}"),
        format!("\u{1}{SENTINEL}"),
    ] {
        helper.write("~/token", token);
        let run = helper.run_of("get").env(&format!("{TOKEN}_FILE"), &file);
        expect_failure_without_sentinel("a token with line ends", &run.stdin(HOST).run());
    }
    assert_eq!(fake.calls().len(), sent.len());
}

#[cfg(unix)]
#[test]
fn stderr_of_a_credential_process_is_redacted() {
    // `$1` is what the profile hands over; `$2` names a variable.
    let script = "#!/bin/sh\necho \"cannot open $1\" >&2\necho \"$API_TOKEN refused\" >&2\n\
        echo '{\"SENTINEL-key\": \"SENTINEL-value\", \"AccessKeyId\": \"AKIASENTINEL\"}' >&2\nexit 1\n";
    for argument in [
        "--password=SENTINEL-9f8e7d",
        "-pSENTINEL-9f8e7d",
        "'SENTINEL 9f8e7d'",
        "https://user:SENTINEL-9f8e7d@host/",
        "SENTINEL-9f8e7d",
        "a=b=SENTINEL-9f8e7d",
    ] {
        let helper = Helper::new()
            .env("AWS_PROFILE", "dev")
            .env("API_TOKEN", SENTINEL)
            .file("~/process", script);
        let process = helper.path("~/process");
        let config = format!(
            "[profile dev]\ncredential_process = sh {} {argument}\n",
            process.display()
        );
        let helper = helper.file("~/.aws/config", config);
        expect_failure_without_sentinel(argument, &helper.get(HOST));
        let output = helper.env("AWS_ECR_LOG", "debug").get(HOST);
        expect_failure_without_sentinel(argument, &output);
    }
}

#[test]
fn malformed_urls_show_nothing_after_the_scheme() {
    for url in [
        "http://user:pa@SENTINEL@127.0.0.1:1/",
        "http://user:pa#SENTINEL@127.0.0.1:1/",
        "http://user:pa/SENTINEL@127.0.0.1:1/",
        "http://user:pa?SENTINEL@127.0.0.1:1/",
        "http://user:SENTINEL pass@127.0.0.1:1/",
        "http://user:SENTINEL%zz@127.0.0.1:1/",
        "user:SENTINEL@127.0.0.1:1",
        "http:/user:SENTINEL@127.0.0.1:1/",
        "http://SENTINEL:x:y@127.0.0.1:1/",
        "http://[SENTINEL]/",
        "http://127.0.0.1:SENTINEL/",
        "/SENTINEL",
    ] {
        for variable in [
            URI,
            "AWS_ENDPOINT_URL",
            "AWS_ENDPOINT_URL_ECR",
            "HTTPS_PROXY",
        ] {
            let helper = Helper::new().env(variable, url).env("AWS_ECR_TIMEOUT", "1");
            let helper = match variable {
                URI => helper,
                _ => helper.keys().env("AWS_MAX_ATTEMPTS", "1"),
            };
            let what = format!("{variable}={url}");
            expect_failure_without_sentinel(&what, &helper.get(HOST));
            let helper = helper.env("AWS_ECR_LOG", "debug");
            expect_failure_without_sentinel(&what, &helper.get(HOST));
        }
    }
}

#[test]
fn hosts_that_anybody_can_register_get_nothing() {
    let fake = Fake::start();
    let helper = Helper::with_keys(&fake);
    for host in [
        "123456789012.dkr.ecr.s3.amazonaws.com",
        "123456789012.dkr.ecr.s3-website.amazonaws.com",
        "123456789012.dkr.ecr.s3.us-east-1.amazonaws.com",
        "123456789012.dkr.ecr.elb.amazonaws.com",
        "123456789012.dkr.ecr.execute-api.amazonaws.com",
        "123456789012.dkr.ecr.cloudfront.amazonaws.com",
        "123456789012.dkr.ecr.us-east-1.amazonaws.com.evil.example",
        "123456789012.dkr.ecr.us-east-1.amazonaws.com@evil.example",
        "evil.example#123456789012.dkr.ecr.us-east-1.amazonaws.com",
        "evil.example/123456789012.dkr.ecr.us-east-1.amazonaws.com",
        "x.123456789012.dkr.ecr.us-east-1.amazonaws.com",
    ] {
        let output = helper.get(host);
        assert_eq!(output.code, Some(1), "{host}: {output:?}");
        let bazel = format!(r#"{{"uri":"https://{host}/v2/"}}"#);
        let output = helper.run_of("get").stdin(bazel).run();
        assert!(!output.stdout.contains("Basic"), "{host}: {output:?}");
    }
    let bazel = format!(r#"{{"uri":"http://{HOST}/v2/"}}"#);
    let output = helper.run_of("get").stdin(bazel).run();
    output.expect(0, "{}\n", "");
    assert_eq!(fake.calls().len(), 0);
    helper.secret("123456789012.dkr.ecr.xx-newregion-9.amazonaws.com");
}

#[cfg(unix)]
#[test]
fn token_files_never_block_and_are_bounded() {
    let fake = Fake::start();
    let helper = Helper::new().asks(&fake).env("AWS_ECR_TIMEOUT", "4");
    helper.shell("mkfifo fifo").run();
    let uri = fake.url();
    let fifo = helper.path("~/fifo");
    let profile = |path: &str| {
        format!(
            "[profile web]\nrole_arn = arn:aws:iam::123456789012:role/r\n\
             web_identity_token_file = {path}\n"
        )
    };
    for path in [fifo.to_str().expect("UTF-8"), "/dev/zero"] {
        helper.write("~/.aws/config", profile(path));
        let runs = [
            &[
                (URI, &*uri),
                ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", path),
            ][..],
            &[
                ("AWS_ROLE_ARN", "arn:aws:iam::1:role/r"),
                ("AWS_WEB_IDENTITY_TOKEN_FILE", path),
            ],
            &[("AWS_PROFILE", "web")],
        ];
        for variables in runs {
            // 400 MB of address space hold the program and no endless file.
            let program = crate::support::run::program();
            let run = helper.shell(&format!(
                "ulimit -v 400000; printf {HOST} | timeout 20 {program} get"
            ));
            let run = variables.iter().fold(run, |run, (k, v)| run.env(k, v));
            let output = run.run();
            assert!(output.elapsed < Duration::from_secs(15), "{output:?}");
            // A pipe that no process writes to is an empty file.
            if variables[0].0 != URI || path == "/dev/zero" {
                assert_eq!(output.code, Some(1), "{variables:?}: {output:?}");
                assert!(output.stderr.contains("hint: "), "{output:?}");
                assert_eq!(fake.calls().len(), 0, "{variables:?}");
            }
            fake.forget();
        }
    }
}

#[test]
fn long_chains_of_profiles_end_at_once() {
    const LENGTH: usize = 20_000;
    let role = "role_arn = arn:aws:iam::123456789012:role/r";
    let mut config = String::new();
    for n in 0..LENGTH {
        config += &format!("[profile p{n}]\n{role}\nsource_profile = p{}\n", n + 1);
    }
    let circle = config.clone() + &format!("[profile p{LENGTH}]\n{role}\nsource_profile = p0\n");
    for config in [config, circle] {
        let helper = Helper::new().env("AWS_PROFILE", "p0");
        let output = helper.file("~/.aws/config", config).get(HOST);
        assert_eq!(output.code, Some(1), "{output:?}");
        assert!(output.stderr.contains("source_profile"), "{output:?}");
        assert!(output.elapsed < Duration::from_secs(5), "{output:?}");
    }
}

#[test]
fn any_lifetime_of_a_metadata_token_is_survived() {
    let fake = Fake::start();
    let helper = Helper::new()
        .asks(&fake)
        .on_instance(&fake)
        .env("AWS_ECR_DISABLE_CACHE", "1");
    for seconds in [
        "18446744073709551615",
        "18446744073709551616",
        "9223372036854775807",
        "-1",
        "0",
        "1e99",
        "",
        "x",
    ] {
        let name = "x-aws-ec2-metadata-token-ttl-seconds".to_owned();
        let reply = Answer::Status {
            code: 200,
            body: "token".to_owned(),
            content_type: None,
            headers: [(name, seconds.to_owned())].into(),
        };
        fake.change(|behaviour| {
            behaviour.imds_token = Script::always(reply);
            behaviour.imds_v1 = true;
        });
        let output = helper.get(HOST);
        match output.code {
            Some(0) => drop(output.expect_secret(HOST)),
            // An error in the protocol's words, and not the end by a signal.
            code => {
                assert_eq!(code, Some(1), "{seconds}: {output:?}");
                assert_eq!(output.stdout, crate::support::run::NOT_FOUND, "{seconds}");
            }
        }
    }
}

/// No number or time in a response makes the program panic: the answer is a password or an error.
fn expect_an_answer(helper: &Helper, what: &str) {
    let run = helper.run_of("get").env("AWS_ECR_DISABLE_CACHE", "1");
    let output = run.env("AWS_ECR_TIMEOUT", "2").stdin(HOST).run();
    match output.code {
        Some(0) => drop(output.expect_secret(HOST)),
        code => {
            let said = (code, output.stdout.as_str());
            assert_eq!(said, (Some(1), crate::support::run::NOT_FOUND), "{what}");
            assert!(!output.stderr.contains("internal error"), "{output:?}");
        }
    }
}

#[test]
fn headers_of_any_time_are_survived() {
    let fake = Fake::start();
    let helper = Helper::with_keys(&fake);
    let reply = |code: u16, body: &str, header: (&str, &str)| Answer::Status {
        code,
        body: body.to_owned(),
        content_type: Some("application/json".to_owned()),
        headers: [(header.0.to_owned(), header.1.to_owned())].into(),
    };
    for date in [
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "Mon, 01 Jan 0001 00:00:00 GMT",
        "Sat, 01 Jan 292277026596 00:00:00 GMT",
        "x",
    ] {
        let skewed = r#"{"__type":"RequestExpired","message":"20991231T235959Z"}"#;
        fake.ecr(Script::always(reply(400, skewed, ("date", date))));
        expect_an_answer(&helper, date);
    }
    for seconds in ["18446744073709551615", "18446744073709551616", "-1", "1e9"] {
        fake.ecr(Script::always(reply(429, "", ("retry-after", seconds))));
        expect_an_answer(&helper, seconds);
    }
}

#[test]
fn any_expiry_of_an_sso_session_is_survived() {
    let fake = Fake::start();
    let profile = "[default]\nsso_session = corp\nsso_account_id = 123456789012\n\
        sso_role_name = R\n[sso-session corp]\nsso_region = us-east-1\n\
        sso_start_url = https://example.awsapps.com/start\n";
    let credentials = r#"{"roleCredentials":{"accessKeyId":"ASIA1","secretAccessKey":"s","sessionToken":"t","expiration":N}}"#;
    let token = r#"{"accessToken":"a","expiresIn":N,"refreshToken":"r","tokenType":"Bearer"}"#;
    let good = Script::always(Answer::default());
    let numbers = [
        "9223372036854775807",
        "-9223372036854775808",
        "2147483647",
        "1e300",
        "0",
        "\"x\"",
    ];
    for number in numbers {
        let script = |body: &str| Script::always(Answer::json(body.replace('N', number)));
        for (portal, renewal) in [
            (script(credentials), good.clone()),
            (good.clone(), script(token)),
        ] {
            fake.change(|behaviour| {
                behaviour.sso = portal;
                behaviour.oidc = renewal;
            });
            let helper = Helper::new().asks(&fake).file("~/.aws/config", profile);
            expect_an_answer(&helper.sso_login_renewable("corp", -10), number);
        }
    }
    assert!(fake.count("oidc") >= numbers.len() && fake.count("sso") >= numbers.len());
}
