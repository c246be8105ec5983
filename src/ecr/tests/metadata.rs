//! Instance metadata, version 2 and version 1.

use super::*;
use crate::principal::InstanceMetadata;

const KEYS: &str = r#"{"Code":"Success","AccessKeyId":"ASIAC","SecretAccessKey":"s","Token":"t","Expiration":"2999-01-01T00:00:00Z"}"#;

fn on_instance(server: &Server) -> InstanceMetadata {
    InstanceMetadata {
        endpoint: Some(server.url()),
        ..InstanceMetadata::default()
    }
}

fn identify(settings: InstanceMetadata, profile: Option<&str>) -> Result<String, Problem> {
    let mut plan = plan("http://127.0.0.1:1".into());
    plan.source = Source::InstanceMetadata(settings);
    plan.profile = profile.map(str::to_owned);
    let env = none();
    let deadline = Instant::now() + Duration::from_secs(10);
    let session = Aws::new(&env, &env::now, Log::off()).identify(&plan, deadline)?;
    Ok(session.access_key_id().to_owned())
}

fn token(ttl: &'static str) -> Act {
    Act::Reply(200, ttl, "sentinel-token".into())
}

fn role_and_keys() -> [Act; 2] {
    [
        Act::Reply(200, "", "role\n".into()),
        Act::Reply(200, "", KEYS.into()),
    ]
}

fn script(first: Act) -> Vec<Act> {
    let [role, keys] = role_and_keys();
    vec![first, role, keys]
}

#[test]
fn times_to_live_of_any_size_do_no_harm() {
    for ttl in [
        "",
        "x-aws-ec2-metadata-token-ttl-seconds: 18446744073709551615\r\n",
        "x-aws-ec2-metadata-token-ttl-seconds: -1\r\n",
    ] {
        let server = server(false, script(token(ttl)));
        assert_eq!(
            identify(on_instance(&server), None),
            Ok("ASIAC".into()),
            "{ttl}"
        );
        let seen = server.seen();
        assert!(seen[0].starts_with("PUT /latest/api/token "), "{}", seen[0]);
        for request in &seen[1..] {
            assert!(request.contains("x-aws-ec2-metadata-token: sentinel-token\r\n"));
        }
    }
}

#[test]
fn version_1_serves_where_version_2_does_not() {
    for act in [
        Act::Reply(403, "", String::new()),
        Act::Reply(404, "", String::new()),
        Act::Reply(405, "", String::new()),
        Act::Reply(200, "", String::new()),
        Act::Reply(200, "", "\u{1}".into()),
        Act::Hang,
    ] {
        let server = server(false, script(act));
        let start = Instant::now();
        assert_eq!(identify(on_instance(&server), None), Ok("ASIAC".into()));
        assert!(start.elapsed() < Duration::from_secs(2));
        let seen = server.seen();
        assert_eq!(seen.len(), 3);
        assert!(!seen[2].to_lowercase().contains("metadata-token"));
    }
}

#[test]
fn version_1_is_not_used_where_disabled() {
    for act in [Act::Reply(404, "", String::new()), Act::Hang] {
        let server = server(false, script(act));
        let settings = InstanceMetadata {
            v1_disabled: true,
            ..on_instance(&server)
        };
        let problem = identify(settings, None).expect_err("disabled");
        assert!(problem.hint().contains("hop limit"), "{problem}");
        assert_eq!(server.seen().len(), 1);
    }
}

#[test]
fn unanswered_token_request_names_the_hop_limit() {
    let server = server(false, vec![Act::Hang, Act::Reply(401, "", String::new())]);
    let problem = identify(on_instance(&server), None).expect_err("both fail");
    assert_eq!(problem.kind(), ProblemKind::Unavailable);
    assert!(problem.hint().contains("hop limit to 2"), "{problem}");
}

#[test]
fn metadata_timeout_and_attempts_are_settings() {
    let server = server(false, vec![Act::Hang]);
    let settings = InstanceMetadata {
        timeout: Some(Duration::from_millis(100)),
        attempts: Some(2),
        ..on_instance(&server)
    };
    let start = Instant::now();
    assert!(identify(settings, None).is_err());
    assert!(start.elapsed() < Duration::from_millis(1500));
    // Two for the token, two for the role.
    assert_eq!(server.seen().len(), 4);
}

#[test]
fn a_busy_service_is_asked_again() {
    for at in 0..3 {
        let mut script = script(token(""));
        script.insert(at, Act::Reply(503, "", String::new()));
        let server = server(false, script);
        assert_eq!(identify(on_instance(&server), None), Ok("ASIAC".into()));
        let seen = server.seen();
        assert_eq!(seen.len(), 4);
        assert!(seen[3].contains("sentinel-token"));
    }
}

#[test]
fn metadata_that_a_profile_names_is_a_source() {
    let server = server(false, vec![token(""), Act::Reply(404, "", String::new())]);
    let problem = identify(on_instance(&server), None).expect_err("no role");
    assert_eq!(problem.kind(), ProblemKind::NoCredentials);
    let problem = identify(on_instance(&server), Some("dev")).expect_err("no role");
    assert_eq!(problem.kind(), ProblemKind::Unavailable);
    assert_eq!(
        problem.to_string(),
        "this machine has no role in its instance metadata"
    );
}

#[test]
fn a_role_without_trust_is_refused() {
    let [role, _] = role_and_keys();
    let body = r#"{"Code":"AssumeRoleUnauthorizedAccess","Message":"sentinel"}"#;
    let server = server(
        false,
        vec![token(""), role, Act::Reply(200, "", body.into())],
    );
    let problem = identify(on_instance(&server), None).expect_err("refused");
    assert_eq!(problem.kind(), ProblemKind::Refused);
    assert_eq!(
        problem.to_string(),
        "instance metadata has no credentials: AssumeRoleUnauthorizedAccess"
    );
}
