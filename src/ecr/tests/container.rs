//! The credentials endpoint of containers.

use super::*;

fn keys_until(expiration: &str) -> String {
    format!(
        r#"{{"AccessKeyId":"ASIAC","SecretAccessKey":"s","Token":"t","Expiration":"{expiration}"}}"#
    )
}

fn at(uri: String) -> Container {
    Container {
        uri: Secret::new(uri),
        relative: false,
        token: None,
        token_file: None,
    }
}

fn identify(env: &Env, container: Container, seconds: u64) -> Result<String, Problem> {
    let mut plan = plan("http://127.0.0.1:1".into());
    plan.source = Source::Container(container);
    let deadline = Instant::now() + Duration::from_secs(seconds);
    let session = Aws::new(env, &env::now, Log::off()).identify(&plan, deadline)?;
    Ok(session.access_key_id().to_owned())
}

#[test]
fn expirations_are_read_as_the_aws_cli_reads_them() {
    for expiration in [
        "2999-01-01T00:00:00Z",
        "2999-01-01T00:00:00+0000",
        "2999-01-01 00:00:00.123 UTC",
    ] {
        let server = server(false, vec![Act::Reply(200, "", keys_until(expiration))]);
        let found = identify(&none(), at(server.url() + "/creds?x=y"), 10);
        assert_eq!(found, Ok("ASIAC".into()), "{expiration}");
        assert!(server.seen()[0].starts_with("GET /creds?x=y "));
    }
}

#[test]
fn plain_http_never_goes_through_a_proxy() {
    let server = server(
        false,
        vec![Act::Reply(200, "", keys_until("2999-01-01T00:00:00Z"))],
    );
    let proxy = super::server(false, vec![Act::Reply(502, "", String::new())]);
    for host in ["localhost", "127.0.0.1"] {
        let env = Env::of([("HTTP_PROXY", proxy.url()), ("http_proxy", proxy.url())]);
        let uri = format!("http://{host}:{}/creds", server.port);
        assert_eq!(identify(&env, at(uri), 10), Ok("ASIAC".into()));
    }
    assert!(proxy.seen().is_empty());
}

#[test]
fn the_token_is_sent_and_never_shown() {
    let dir = tempfile::tempdir().expect("directory");
    let path = dir.path().join("token");
    std::fs::write(&path, "sentinel-file").expect("writable");
    for (token, token_file, sent) in [
        (Some("sentinel"), None, "authorization: sentinel\r\n"),
        (
            Some("other"),
            Some(path),
            "authorization: sentinel-file\r\n",
        ),
    ] {
        let server = server(false, vec![Act::Reply(401, "", "sentinel".into())]);
        let container = Container {
            token: token.map(Secret::from),
            token_file,
            ..at(server.url())
        };
        let problem = identify(&none(), container, 10).expect_err("refused");
        assert!(server.seen()[0].contains(sent), "{}", server.seen()[0]);
        assert_eq!(
            problem.to_string(),
            "container credentials: the endpoint refused with HTTP status 401"
        );
    }
}

#[test]
fn a_token_that_cannot_be_sent_is_an_error() {
    let server = server(false, vec![Act::Reply(200, "", String::new())]);
    let container = Container {
        token: Some(Secret::from("sentinel\r\nx: y")),
        ..at(server.url())
    };
    let problem = identify(&none(), container, 10).expect_err("malformed");
    assert_eq!(problem.kind(), ProblemKind::Configuration);
    assert!(!format!("{problem:?}").contains("sentinel"));
    assert!(server.seen().is_empty());
}

#[cfg(unix)]
#[test]
fn token_files_are_bounded_in_time_and_size() {
    let dir = tempfile::tempdir().expect("directory");
    let pipe = dir.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("mkfifo").success());
    // A writer that never writes.
    let held = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&pipe);
    for path in [pipe, "/dev/zero".into(), "/nonexistent".into()] {
        let container = Container {
            token_file: Some(path.clone()),
            ..at("http://127.0.0.1:1".into())
        };
        let start = Instant::now();
        assert!(identify(&none(), container, 1).is_err());
        assert!(
            start.elapsed() < Duration::from_secs(3),
            "{}",
            path.display()
        );
    }
    drop(held);
}

#[test]
fn other_hosts_get_no_request() {
    for uri in ["http://10.255.255.1/creds", "http://169.254.169.254/creds"] {
        let start = Instant::now();
        let problem = identify(&none(), at(uri.into()), 10).expect_err(uri);
        assert_eq!(problem.kind(), ProblemKind::Configuration, "{problem}");
        assert!(start.elapsed() < Duration::from_secs(1));
    }
}
