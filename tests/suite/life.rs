//! The life of a token, and the cache on disk: what is served, renewed, kept and swept.

use std::time::Duration;

use crate::support::fake::{Answer, BlackHole, Fake, Good, Script};
use crate::support::run::{Helper, NOT_FOUND, slowness};

const HOST: &str = "123456789012.dkr.ecr.us-east-1.amazonaws.com";
const OTHER: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";
const CACHE: &str = "~/.cache/docker-credential-ecr-login";

fn good(change: impl FnOnce(&mut Good)) -> Answer {
    let mut good = Good::default();
    change(&mut good);
    Answer::Ok(good)
}

#[test]
fn a_cached_token_outlives_the_network() {
    let mut fake = Fake::start();
    let helper = Helper::with_keys(&fake);
    let first = helper.secret(HOST);
    fake.stop();
    assert_eq!(helper.secret(HOST), first);
}

#[test]
fn an_aging_token_is_renewed_before_it_expires() {
    let fake = Fake::start();
    let helper = Helper::with_keys(&fake);
    fake.ecr(Script::steps(vec![Answer::expires_in(4)]));
    let first = helper.secret(HOST);
    assert_eq!(helper.secret(HOST), first, "fresh for half of its life");
    std::thread::sleep(Duration::from_millis(2100));
    assert_ne!(helper.secret(HOST), first);
    assert_eq!(fake.count("ecr"), 2);
}

#[test]
fn stale_token_is_served_when_renewal_fails() {
    let fake = Fake::start();
    let helper = Helper::with_keys(&fake);
    fake.ecr(Script {
        steps: vec![Answer::expires_in(60)],
        then: Answer::status(503),
    });
    let first = helper.secret(HOST);
    helper.age(HOST, 40);
    for _ in 0..3 {
        assert_eq!(helper.secret(HOST), first);
    }
    assert_eq!(
        fake.count("ecr"),
        6,
        "five attempts, then none for a minute"
    );
}

#[test]
fn a_refused_renewal_is_an_error_and_drops_the_token() {
    for code in [
        "AccessDeniedException",
        "UnrecognizedClientException",
        "ExpiredTokenException",
    ] {
        let fake = Fake::start();
        let helper = Helper::with_keys(&fake);
        fake.ecr(Script {
            steps: vec![Answer::expires_in(60)],
            then: Answer::error(400, code, "no"),
        });
        helper.secret(HOST);
        helper.age(HOST, 40);
        let output = helper.get(HOST);
        assert_eq!(
            (output.code, output.stdout.as_str()),
            (Some(1), NOT_FOUND),
            "{code}"
        );
        let files = helper.entries(CACHE);
        let is_entry =
            |file: &std::path::PathBuf| file.extension().is_some_and(|end| end == "json");
        assert!(!files.iter().any(is_entry), "{files:?}");
    }
}

#[test]
fn an_expiry_in_a_file_is_bounded_to_twelve_hours() {
    let fake = Fake::start();
    let helper = Helper::with_keys(&fake);
    let first = helper.secret(HOST);
    // Both times move, so push the expiry alone.
    let path = helper.path(CACHE).join(&helper.entries(CACHE)[0]);
    let text = std::fs::read(&path).expect("readable");
    let mut entry: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
    let year = 365 * 24 * 3600 * 1000;
    entry["expires_at"] = (entry["expires_at"].as_i64().expect("a time") + year).into();
    std::fs::write(&path, entry.to_string()).expect("writable");
    assert_eq!(helper.secret(HOST), first);
    helper.age(HOST, 12 * 3600);
    assert_ne!(helper.secret(HOST), first);
}

#[test]
fn renewal_delays_a_valid_token_by_three_seconds() {
    let fake = Fake::start();
    let helper = Helper::with_keys(&fake);
    fake.ecr(Script {
        steps: vec![Answer::expires_in(60)],
        then: Answer::HangBeforeHeaders,
    });
    let first = helper.secret(HOST);
    helper.age(HOST, 40);
    let output = helper.get(HOST);
    assert_eq!(output.expect_secret(HOST), first);
    assert!(
        output.elapsed < Duration::from_secs(3) + Duration::from_millis(500) * slowness(),
        "{:?}",
        output.elapsed
    );
}

#[test]
fn an_expired_token_is_never_served() {
    let fake = Fake::start();
    let helper = Helper::with_keys(&fake);
    fake.ecr(Script {
        steps: vec![Answer::expires_in(1)],
        then: Answer::error(400, "AccessDeniedException", "no"),
    });
    helper.secret(HOST);
    std::thread::sleep(Duration::from_millis(1100));
    assert_eq!(helper.get(HOST).code, Some(1));
}

#[test]
fn a_reply_that_cannot_be_kept_is_served_once() {
    for answer in [
        good(|g| g.no_expires_at = true),
        good(|g| g.expires_in = Some(-60)),
        good(|g| {
            g.proxy_endpoint = Some("https://999999999999.dkr.ecr.us-east-1.amazonaws.com".into());
        }),
        good(|g| {
            g.proxy_endpoint = Some("https://123456789012.dkr.ecr.eu-west-1.amazonaws.com".into());
        }),
    ] {
        let fake = Fake::start();
        fake.ecr(Script::always(answer.clone()));
        let helper = Helper::with_keys(&fake);
        assert_ne!(helper.secret(HOST), helper.secret(HOST), "{answer:?}");
        assert_eq!(fake.count("ecr"), 2, "{answer:?}");
    }
}

#[test]
fn a_reply_that_is_no_login_is_an_error() {
    use base64::Engine;
    let encode = |text: &[u8]| base64::engine::general_purpose::STANDARD.encode(text);
    for token in [
        serde_json::Value::Null,
        "%%%".into(),
        "".into(),
        encode(b"AWS").into(),
        encode(b":pw").into(),
        encode(b"AWS:").into(),
        encode(b"AWS:\xff").into(),
    ] {
        let fake = Fake::start();
        fake.ecr(Script::always(good(|g| {
            g.authorization_token = Some(token.clone())
        })));
        let output = Helper::with_keys(&fake).get(HOST);
        assert_eq!(output.code, Some(1), "{token}");
        assert_eq!(output.stderr.lines().count(), 2, "{token}: {output:?}");
    }
}

#[test]
fn different_registries_have_different_tokens() {
    let fake = Fake::start();
    let helper = Helper::with_keys(&fake);
    let hosts = [
        HOST,
        OTHER,
        "210987654321.dkr.ecr.us-east-1.amazonaws.com",
        "123456789012.dkr.ecr-fips.us-east-1.amazonaws.com",
        "123456789012.dkr-ecr.us-east-1.on.aws",
        "public.ecr.aws",
    ];
    let secrets: Vec<_> = hosts.iter().map(|host| helper.secret(host)).collect();
    for (i, host) in hosts.iter().enumerate() {
        assert_eq!(helper.secret(host), secrets[i]);
        assert!(!secrets[..i].contains(&secrets[i]), "{host}");
    }
}

#[test]
fn the_cache_can_be_turned_off_and_moved() {
    let fake = Fake::start();
    let helper = Helper::with_keys(&fake).env("AWS_ECR_DISABLE_CACHE", "0");
    assert_ne!(helper.secret(HOST), helper.secret(HOST));
    assert_eq!(helper.files("~/").len(), 0);
    let helper = helper
        .unset("AWS_ECR_DISABLE_CACHE")
        .env("AWS_ECR_CACHE_DIR", "~/elsewhere");
    assert_eq!(helper.secret(HOST), helper.secret(HOST));
    assert_eq!(helper.entries("~/elsewhere").len(), 1);
    assert_eq!(helper.entries("~/").len(), 1);
}

#[cfg(unix)]
#[test]
fn files_are_private_and_no_leftovers_stay() {
    use std::os::unix::fs::PermissionsExt;
    let fake = Fake::start();
    let helper = Helper::with_keys(&fake);
    helper.secret(HOST);
    helper.secret(OTHER);
    assert_eq!(helper.entries(CACHE).len(), 2);
    let files = helper.files(CACHE);
    assert_eq!(files.len(), 4, "{files:?}");
    let root = helper.path(CACHE);
    for file in &files {
        let mode =
            |path: &std::path::Path| path.metadata().expect("exists").permissions().mode() & 0o7777;
        let path = root.join(file);
        assert_eq!(mode(&path), 0o600);
        for dir in path.ancestors().skip(1).take_while(|dir| *dir != root) {
            assert_eq!(mode(dir), 0o700, "{}", dir.display());
        }
    }
}

#[test]
fn what_is_over_is_swept_when_an_entry_is_written() {
    let fake = Fake::start();
    let helper = Helper::with_keys(&fake);
    fake.ecr(Script::steps(vec![Answer::expires_in(1)]));
    helper.secret(HOST);
    std::thread::sleep(Duration::from_millis(1100));
    let helper = helper.env("AWS_ACCESS_KEY_ID", "AKIAFAKEENVIRONMENT2");
    helper.secret(OTHER);
    let files = helper.entries(CACHE);
    assert_eq!(files.len(), 1, "{files:?}");
    assert!(files[0].to_string_lossy().contains(OTHER), "{files:?}");
}

#[test]
fn no_credentials_is_answered_within_five_seconds() {
    let hole = BlackHole::new().expect("a socket that swallows everything");
    let helper = Helper::new()
        .unset("AWS_EC2_METADATA_DISABLED")
        .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", hole.url());
    let output = helper.get(HOST);
    assert_eq!(output.code, Some(1));
    assert!(
        output.stderr.contains("no AWS credentials found"),
        "{output:?}"
    );
    assert!(
        output.elapsed < Duration::from_secs(5),
        "{:?}",
        output.elapsed
    );
}

#[test]
fn one_deadline_covers_everything() {
    let fake = Fake::start();
    fake.ecr(Script::always(Answer::HangBeforeHeaders));
    let helper = Helper::with_keys(&fake).env("AWS_ECR_TIMEOUT", "1.5");
    let output = helper.get(HOST);
    assert_eq!(output.code, Some(1));
    // Where the first attempt takes longer, the last half second may be too short for another.
    let unused = Duration::from_millis(100) * slowness().min(6);
    assert!(
        output.elapsed >= Duration::from_millis(1500) - unused,
        "{:?}",
        output.elapsed
    );
    assert!(
        output.elapsed < Duration::from_millis(1500) + Duration::from_millis(700) * slowness(),
        "{:?}",
        output.elapsed
    );
}
