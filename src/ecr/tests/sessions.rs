//! SSO and console sessions: renewed by what the plan holds, in a directory that no variable names.

use super::*;
use crate::principal::session_digest;

const PEM: &str = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIFDZHUzOG1Pzq+6F0mjMlOSp1syN9LRPBuHMoCFXTcXhoAoGCCqGSM49\nAwEHoUQDQgAE9qhj+KtcdHj1kVgwxWWWw++tqoh7H7UHs7oXh8jBbgF47rrYGC+t\ndjiIaHK3dBvvdE7MGj5HsepzLm3Kj91bqA==\n-----END EC PRIVATE KEY-----\n";

pub(super) fn sso_file(expires_at: &str) -> String {
    format!(
        r#"{{"startUrl":"u","accessToken":"sentinel-old","expiresAt":"{expires_at}","refreshToken":"sentinel-refresh","clientId":"id","clientSecret":"sentinel-client","registrationExpiresAt":"2999-01-01T00:00:00UTC","new":1}}"#
    )
}

pub(super) fn login_file(expires_at: &str) -> String {
    serde_json::json!({
        "accessToken": {
            "accessKeyId": "ASIAOLD", "secretAccessKey": "sentinel-s", "sessionToken": "sentinel-t",
            "accountId": "123456789012", "expiresAt": expires_at,
        },
        "refreshToken": "sentinel-refresh", "clientId": "id", "dpopKey": PEM,
    })
    .to_string()
}

fn renewed_sso() -> Act {
    let body = r#"{"accessToken":"sentinel-new","expiresIn":3600,"refreshToken":"sentinel-next"}"#;
    Act::Reply(200, "", body.into())
}

pub(super) fn sso_keys() -> Act {
    let body = r#"{"roleCredentials":{"accessKeyId":"ASIASSO","secretAccessKey":"s","sessionToken":"t","expiration":4102444800000}}"#;
    Act::Reply(200, "", body.into())
}

/// A plan of this source, whose session is in this file.
fn plan_of(file: &std::path::Path, server: &Server, sso: bool) -> Plan {
    let mut plan = plan(server.url());
    plan.source = match sso {
        true => Source::Sso(Sso {
            portal: endpoint(server.url()),
            oidc: endpoint(server.url()),
            login_file: file.to_owned(),
            ..sso_profile()
        }),
        false => Source::Login(ConsoleLogin {
            profile: "dev".into(),
            session_arn: "arn:aws:iam::123456789012:user/dev".into(),
            signin: endpoint(server.url()),
            login_file: file.to_owned(),
        }),
    };
    plan
}

#[test]
fn renewed_sso_session_is_saved_and_named() {
    let dir = tempfile::tempdir().expect("directory");
    let file = dir.path().join("session.json");
    for expires_at in ["2020-01-01T00:00:00Z", "2020-01-01T00:00:00UTC"] {
        std::fs::write(&file, sso_file(expires_at)).expect("writable");
        let server = server(
            false,
            vec![renewed_sso(), sso_keys(), Act::Reply(200, "", good())],
        );
        let issued = issue(&none(), &plan_of(&file, &server, true), REGISTRY, 10.0);
        let issued = issued.expect("issued");
        let saved = std::fs::read(&file).expect("there");
        assert_eq!(issued.session_digest, session_digest(&saved));
        assert!(issued.session_digest.is_some());
        let before = session_digest(sso_file(expires_at).as_bytes());
        assert_eq!(issued.renewed_from, before);
        let saved: serde_json::Value = serde_json::from_slice(&saved).expect("JSON");
        assert_eq!(saved["accessToken"], "sentinel-new");
        assert_eq!(saved["refreshToken"], "sentinel-next");
        assert_eq!(saved["new"], 1);
        assert!(dir.path().join("session.lock").exists());
        assert!(server.seen()[1].contains("x-amz-sso_bearer_token: sentinel-new"));
    }
}

#[test]
fn a_session_that_is_not_due_is_left_alone() {
    let dir = tempfile::tempdir().expect("directory");
    let file = dir.path().join("session.json");
    let content = sso_file("2999-01-01T00:00:00Z");
    std::fs::write(&file, &content).expect("writable");
    let server = server(false, vec![sso_keys(), Act::Reply(200, "", good())]);
    let issued = issue(&none(), &plan_of(&file, &server, true), REGISTRY, 10.0).expect("issued");
    assert_eq!(issued.session_digest, session_digest(content.as_bytes()));
    assert_eq!(issued.renewed_from, None);
    assert_eq!(std::fs::read_to_string(&file).expect("there"), content);
    assert!(!dir.path().join("session.lock").exists());
}

#[test]
fn refused_renewal_is_an_expired_session() {
    let dir = tempfile::tempdir().expect("directory");
    let file = dir.path().join("session.json");
    for (sso, content) in [
        (true, sso_file("2020-01-01T00:00:00Z")),
        (false, login_file("2020-01-01T00:00:00Z")),
    ] {
        std::fs::write(&file, content).expect("writable");
        let body = r#"{"error":"invalid_grant","error_description":"sentinel-refresh"}"#;
        let server = server(false, vec![Act::Reply(400, "", body.into())]);
        let problem = issue(&none(), &plan_of(&file, &server, sso), REGISTRY, 10.0);
        let problem = problem.expect_err("refused");
        assert_eq!(problem.kind(), ProblemKind::SessionExpired, "{problem}");
        assert!(!format!("{problem:?}").contains("sentinel"));
    }
}

#[test]
fn renewed_console_session_is_saved_and_named() {
    let dir = tempfile::tempdir().expect("directory");
    let file = dir.path().join("session.json");
    std::fs::write(&file, login_file("2020-01-01T00:00:00Z")).expect("writable");
    let body = r#"{"accessToken":{"accessKeyId":"ASIANEW","secretAccessKey":"s","sessionToken":"t"},"tokenType":"aws_sigv4","expiresIn":900,"refreshToken":"sentinel-next"}"#;
    let server = server(
        false,
        vec![
            Act::Reply(200, "", body.into()),
            Act::Reply(200, "", good()),
        ],
    );
    let issued = issue(&none(), &plan_of(&file, &server, false), REGISTRY, 10.0).expect("issued");
    let seen = server.seen();
    assert!(seen[0].starts_with("POST /v1/token "), "{}", seen[0]);
    assert!(
        seen[0].to_lowercase().contains("\r\ndpop: ey"),
        "{}",
        seen[0]
    );
    assert!(seen[0].contains(r#""grantType":"refresh_token""#));
    assert!(seen[1].contains("Credential=ASIANEW/"), "{}", seen[1]);
    let saved = std::fs::read(&file).expect("there");
    assert_eq!(issued.session_digest, session_digest(&saved));
    let saved: serde_json::Value = serde_json::from_slice(&saved).expect("JSON");
    assert_eq!(saved["accessToken"]["accessKeyId"], "ASIANEW");
    assert_eq!(saved["accessToken"]["accountId"], "123456789012");
    assert_eq!(saved["refreshToken"], "sentinel-next");
}

#[test]
fn console_responses_without_keys_are_errors() {
    for body in [
        "{}",
        "null",
        r#"{"accessToken":{},"expiresIn":900}"#,
        "[]",
        "",
    ] {
        let dir = tempfile::tempdir().expect("directory");
        let file = dir.path().join("session.json");
        std::fs::write(&file, login_file("2020-01-01T00:00:00Z")).expect("writable");
        let server = server(false, vec![Act::Reply(200, "", body.into())]);
        let problem = issue(&none(), &plan_of(&file, &server, false), REGISTRY, 10.0);
        let problem = problem.expect_err(body).to_string();
        assert!(
            problem.starts_with("unexpected response from the sign-in service"),
            "{problem}"
        );
    }
}
