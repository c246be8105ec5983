//! The protocol, to the letter: arguments, exact strings, exit statuses and forms of input.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::time::Duration;

use crate::support::fake::{Answer, Fake, Script};
use crate::support::run::{Helper, NOT_FOUND, Output};

const HOST: &str = "123456789012.dkr.ecr.us-east-1.amazonaws.com";
const USAGE: &str = "Usage: docker-credential-ecr-login <get|store|erase|list|version|kubelet>\n";

#[test]
fn arguments_follow_the_helper_protocol() {
    let helper = Helper::new();
    let version = format!(
        "docker-credential-ecr-login (docker-credential-ecr-login) {}\n",
        env!("CARGO_PKG_VERSION")
    );
    for (args, code, stdout) in [
        (&["version"][..], 0, version.as_str()),
        (&["-v"], 0, &version),
        (&["--help"], 0, USAGE),
        (&["-h"], 0, USAGE),
        (&[], 1, USAGE),
        (&["get", "list"], 1, USAGE),
        (
            &["frob"],
            1,
            "docker-credential-ecr-login: unknown action: frob\n",
        ),
        (&[""], 1, "docker-credential-ecr-login: unknown action: \n"),
        (
            &["GET"],
            1,
            "docker-credential-ecr-login: unknown action: GET\n",
        ),
    ] {
        let run = args.iter().fold(helper.bare(), |run, arg| run.arg(arg));
        run.run().expect(code, stdout, "");
    }
}

#[test]
fn version_option_adds_how_it_was_built() {
    let helper = Helper::new();
    let version = helper.run_of("version").run().stdout;
    let output = helper.run_of("--version").run();
    let info = output.stdout.strip_prefix(&version).expect("version first");
    let parts: Vec<_> = info.trim_end().split(", ").collect();
    let [commit, target, tls] = parts[..] else {
        panic!("not three parts: {info:?}");
    };
    let digits = |hash: &str| hash.len() == 40 && hash.bytes().all(|b| b.is_ascii_hexdigit());
    let named = commit.strip_prefix("commit ").map(|commit| {
        let hash = commit.strip_suffix(" (modified)").unwrap_or(commit);
        assert!(digits(hash), "{commit}");
    });
    assert!(named.is_some() || ["development build", "unknown commit"].contains(&commit));
    assert!(target.split('-').count() >= 3, "{target}");
    assert!(["TLS by ring (not FIPS)", "TLS by aws-lc (FIPS module)"].contains(&tls));
    output.expect(0, &output.stdout, "");
}

#[test]
fn every_form_of_a_server_url_is_answered_and_echoed() {
    let fake = Fake::start();
    let helper = Helper::with_keys(&fake);
    let first = helper.secret(HOST);
    for (stdin, echoed) in [
        (format!("{HOST}\n"), HOST.to_owned()),
        (format!("{HOST}\r\n"), HOST.to_owned()),
        (format!("{HOST} "), HOST.to_owned()),
        (format!("{HOST} \r\n"), HOST.to_owned()),
        (format!("https://{HOST}"), format!("https://{HOST}")),
        (format!("http://{HOST}"), format!("http://{HOST}")),
        (format!("{HOST}:443"), format!("{HOST}:443")),
        (format!("https://{HOST}:443"), format!("https://{HOST}:443")),
        (format!("{HOST}/"), format!("{HOST}/")),
        (format!("{HOST}/team/app"), format!("{HOST}/team/app")),
        (format!("https://{HOST}/v2/"), format!("https://{HOST}/v2/")),
        (HOST.to_uppercase(), HOST.to_uppercase()),
    ] {
        let output = helper.get(&stdin);
        assert_eq!(output.expect_secret(&echoed), first, "{stdin:?}");
    }
    assert_eq!(fake.count("ecr"), 1);
}

#[test]
fn empty_server_url_and_username_are_refused() {
    let helper = Helper::new().env("AWS_ECR_IGNORE_CREDS_STORAGE", "true");
    for (action, stdin, answer) in [
        ("get", "", "no credentials server URL\n"),
        ("get", " \r\n", "no credentials server URL\n"),
        ("erase", "\n", "no credentials server URL\n"),
        ("store", "{}", "no credentials server URL\n"),
        (
            "store",
            r#"{"ServerURL":"","Username":"u","Secret":"s"}"#,
            "no credentials server URL\n",
        ),
        (
            "store",
            r#"{"ServerURL":"docker.io","Username":"","Secret":"s"}"#,
            "no credentials username\n",
        ),
    ] {
        helper
            .run_of(action)
            .stdin(stdin)
            .run()
            .expect(1, answer, "");
    }
}

#[test]
fn bad_stdin_gets_a_clear_error() {
    let helper = Helper::new();
    let long = vec![b'a'; 64 * 1024 + 1];
    for action in ["get", "erase", "store"] {
        for (stdin, answer) in [
            (&long[..], "more than 65536 bytes on stdin\n"),
            (b"\xff\xfe", "stdin is not UTF-8\n"),
        ] {
            helper
                .run_of(action)
                .stdin(stdin)
                .run()
                .expect(1, answer, "");
        }
    }
    for stdin in ["a\0b", "a\x1b[31mb", "a\tb"] {
        let answer = "the server URL contains a control character\n";
        helper.get(stdin).expect(1, answer, "");
    }
    let answer = "stdin is not the JSON object with ServerURL, Username and Secret\n";
    for stdin in ["", "null", "7", "{\"ServerURL\":1}", "{"] {
        helper
            .run_of("store")
            .stdin(stdin)
            .run()
            .expect(1, answer, "");
    }
}

#[test]
fn a_host_that_is_not_ecr_is_not_found_without_a_word() {
    let fake = Fake::start();
    let helper = Helper::with_keys(&fake).env("AWS_ECR_STRICT", "true");
    for host in [
        "docker.io",
        "https://index.docker.io/v1/",
        "123456789012.dkr.ecr.us-east-1.amazonaws.com.evil.example",
        "evil.example/123456789012.dkr.ecr.us-east-1.amazonaws.com",
        "123456789012.dkr.ecr.us-east-1.amazonaws.com@evil.example",
        "12345678901.dkr.ecr.us-east-1.amazonaws.com",
        "1234567890123.dkr.ecr.us-east-1.amazonaws.com",
        "localhost:5000",
    ] {
        helper.get(host).expect_not_found();
    }
    assert_eq!(fake.calls().len(), 0);
}

#[test]
fn failure_is_not_found_on_stdout_cause_on_stderr() {
    let helper = Helper::new();
    let output = helper.get(HOST);
    assert_eq!((output.code, output.stdout.as_str()), (Some(1), NOT_FOUND));
    let lines: Vec<_> = output.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{output:?}");
    let cause = lines[0]
        .strip_prefix("docker-credential-ecr-login: ")
        .expect("the cause");
    assert!(lines[1].starts_with("hint: "), "{output:?}");

    let strict = helper.env("AWS_ECR_STRICT", "true").get(HOST);
    strict.expect(1, &format!("{cause}\n"), &output.stderr);
}

#[test]
fn only_the_debug_log_writes_stderr_on_success() {
    let fake = Fake::start();
    let helper = Helper::with_keys(&fake).env("AWS_ECR_LOG", "debug");
    let output = helper.get(HOST);
    assert_eq!(output.code, Some(0));
    assert!(output.stderr.lines().count() >= 2, "{output:?}");
    for line in output.stderr.lines() {
        assert!(
            line.starts_with("docker-credential-ecr-login: debug: "),
            "{line}"
        );
    }
}

#[test]
fn bazel_gets_headers_for_ecr_and_nothing_for_others() {
    let fake = Fake::start();
    let helper = Helper::with_keys(&fake);
    let password = helper.secret(HOST);
    for uri in [
        format!("https://{HOST}/v2/app/blobs/sha256:00"),
        format!("{HOST}/v2/app/manifests/1"),
    ] {
        let stdin = serde_json::json!({ "uri": uri, "extra": [1] }).to_string();
        let output = helper.get(&stdin);
        assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""));
        let answer: serde_json::Value = serde_json::from_str(&output.stdout).expect("JSON");
        let header = answer["headers"]["Authorization"][0]
            .as_str()
            .expect("a header");
        use base64::Engine;
        let pair = base64::engine::general_purpose::STANDARD
            .decode(header.strip_prefix("Basic ").expect("basic"))
            .expect("base64");
        assert_eq!(pair, format!("AWS:{password}").as_bytes());
        let expires = answer["expires"].as_str().expect("a time");
        assert!(
            chrono::DateTime::parse_from_rfc3339(expires).is_ok(),
            "{expires}"
        );
    }
    for uri in [
        "https://prod-us-east-1-starport-layer-bucket.s3.us-east-1.amazonaws.com/x?X-Amz-Signature=1",
        "https://index.docker.io/v2/",
        // Basic authentication never travels in clear.
        &format!("http://{HOST}/v2/"),
        &format!("HTTP://{HOST}/v2/"),
    ] {
        let stdin = serde_json::json!({ "uri": uri }).to_string();
        helper.get(&stdin).expect(0, "{}\n", "");
    }
    assert_eq!(fake.count("ecr"), 1);
}

#[test]
fn bazel_gets_nothing_on_stdout_when_it_fails() {
    let helper = Helper::new();
    for stdin in [
        format!("{{\"uri\":\"https://{HOST}/\"}}"),
        "{\"uri\":1}".into(),
        "{".into(),
    ] {
        let output = helper.get(&stdin);
        assert_eq!(
            (output.code, output.stdout.as_str()),
            (Some(1), ""),
            "{stdin}"
        );
        assert_eq!(output.stderr.lines().count(), 2, "{output:?}");
    }
}

#[test]
fn both_public_hosts_are_served_by_ecr_public_alone() {
    let fake = Fake::start();
    let helper = Helper::with_keys(&fake).env("AWS_REGION", "eu-west-1");
    let private = helper.secret("123456789012.dkr.ecr.us-east-1.amazonaws.com");
    for host in ["public.ecr.aws", "ecr-public.aws.com"] {
        assert_ne!(helper.secret(host), private);
    }
    assert_eq!((fake.count("ecr"), fake.count("ecr_public")), (1, 2));
    for call in fake.calls_to("ecr_public") {
        assert_eq!(call.signing_region.as_deref(), Some("us-east-1"));
    }
}

#[test]
fn request_names_the_registry_of_the_host() {
    let fake = Fake::start();
    let helper = Helper::with_keys(&fake);
    helper.secret("210987654321.dkr.ecr.eu-central-1.amazonaws.com");
    let calls = fake.calls_to("ecr");
    assert_eq!(calls[0].param("registryIds"), Some("210987654321"));
    assert_eq!(calls[0].signing_region.as_deref(), Some("eu-central-1"));
}

#[test]
fn the_password_is_served_as_it_is() {
    let password = "a:b\"\\\n\u{e9}\u{1f433}\0";
    let fake = Fake::start();
    fake.ecr(Script::always(Answer::password(password)));
    assert_eq!(Helper::with_keys(&fake).secret(HOST), password);
}

/// Runs the program with a pipe for stdin that gets these bytes and stays open.
fn with_stdin_left_open(helper: &Helper, action: &str, bytes: &str) -> Output {
    let run = helper.run_of(action).stdin(bytes);
    run.spawn_with_open_stdin().wait()
}

#[test]
fn a_request_is_complete_without_the_end_of_stdin() {
    let fake = Fake::start();
    let helper = Helper::with_keys(&fake);
    let secret = helper.secret(HOST);
    let login = format!(r#"{{"ServerURL":"{HOST}","Username":"AWS","Secret":"x"}}"#);
    for (action, stdin, shown) in [
        ("get", format!("{HOST}\n"), secret.as_str()),
        (
            "get",
            format!("{{\n\"uri\":\n\"https://{HOST}/\"}}"),
            "Authorization",
        ),
        ("erase", format!("{HOST}\n"), ""),
        ("store", login, ""),
    ] {
        let output = with_stdin_left_open(&helper, action, &stdin);
        assert_eq!(
            (output.code, output.stderr.as_str()),
            (Some(0), ""),
            "{action} {stdin}"
        );
        assert!(output.stdout.contains(shown), "{output:?}");
        assert!(output.elapsed < Duration::from_secs(5), "{output:?}");
    }
}

#[test]
fn an_incomplete_request_ends_with_the_deadline() {
    let helper = Helper::new().env("AWS_ECR_TIMEOUT", "0.5");
    let error = "no complete request on stdin before the deadline\n";
    for (action, stdin) in [
        ("get", ""),
        ("get", HOST),
        ("get", "{\"uri\":\n"),
        ("erase", HOST),
        ("store", "{\"ServerURL\":\"x\"\n"),
    ] {
        let output = with_stdin_left_open(&helper, action, stdin);
        output.expect(1, error, "");
        assert!(output.elapsed < Duration::from_secs(5), "{output:?}");
    }
    let output = with_stdin_left_open(&helper, "kubelet", "{");
    assert_eq!((output.code, output.stdout.as_str()), (Some(1), ""));
    assert!(output.stderr.contains("no complete request"), "{output:?}");
}

#[test]
fn stdin_in_pieces_is_one_request() {
    let fake = Fake::start();
    let helper = Helper::with_keys(&fake);
    let secret = helper.secret(HOST);
    let (start, end) = HOST.split_at(20);
    let pause = Duration::from_millis(200);
    for (end, is_closed) in [(end.to_owned(), true), (format!("{end}\n"), false)] {
        let mut running = helper.run_of("get").stdin(start).spawn_with_open_stdin();
        std::thread::sleep(pause);
        let stdin = running.stdin.as_mut().expect("open");
        stdin.write_all(end.as_bytes()).expect("it reads");
        if is_closed {
            running.stdin = None;
        }
        assert_eq!(running.wait().expect_secret(HOST), secret, "{end}");
    }
    for skipped in ["", "x\n"] {
        helper.write("~/file", format!("{skipped}{HOST}"));
        let mut file = File::open(helper.path("~/file")).expect("it is there");
        let start = SeekFrom::Start(skipped.len() as u64);
        file.seek(start).expect("a regular file");
        let output = helper.run_of("get").stdin_file(file).run();
        assert_eq!(output.expect_secret(HOST), secret, "{skipped}");
    }
}
