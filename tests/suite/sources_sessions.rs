//! Sessions of IAM Identity Center: their end and their renewal.

use std::time::Duration;

use crate::sources::{HOST, SSO_SESSION, profile};
use crate::support::fake::{Answer, Fake, Script};
use crate::support::run::{Helper, slowness};

#[test]
fn after_logging_out_of_sso_nothing_cached_is_served() {
    let fake = Fake::start();
    let helper = profile(&fake, SSO_SESSION).sso_login("corp", 3600);
    let first = helper.secret(HOST);
    let helper = helper.sso_login("corp", -3600);
    assert_eq!(helper.secret(HOST), first, "expired is not logged out");
    std::fs::remove_dir_all(helper.path("~/.aws/sso/cache")).expect("there was a login");
    let output = helper.get(HOST);
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("\"dev\""), "{output:?}");
    assert!(
        output.stderr.contains("aws sso login --profile dev"),
        "{output:?}"
    );
}

#[test]
fn expired_sso_session_names_profile_and_command() {
    let fake = Fake::start();
    let helper = profile(&fake, SSO_SESSION).sso_login("corp", -3600);
    helper.get(HOST).expect_failure(
        "the SSO session for profile \"dev\" has expired",
        "run aws sso login --profile dev",
    );
    assert_eq!(fake.count("ecr"), 0);
}

#[test]
fn one_renewal_serves_many_registries() {
    let fake = Fake::start();
    let helper = profile(&fake, SSO_SESSION).sso_login_renewable("corp", -60);
    let host = |n: usize| {
        format!(
            "{:012}.dkr.ecr.us-east-1.amazonaws.com",
            100_000_000_000 + n
        )
    };
    let running: Vec<_> = (0..12)
        .map(|n| (n, helper.run_of("get").stdin(host(n)).spawn()))
        .collect();
    for (n, run) in running {
        run.wait().expect_secret(&host(n));
    }
    assert_eq!(fake.count("oidc"), 1, "a refresh token is good once");
}

#[test]
fn valid_session_is_not_delayed_by_renewal() {
    let fake = Fake::start();
    fake.change(|behaviour| behaviour.oidc = Script::always(Answer::HangBeforeHeaders));
    let helper = profile(&fake, SSO_SESSION).sso_login_renewable("corp", 200);
    let output = helper.get(HOST);
    output.expect_secret(HOST);
    assert!(
        output.elapsed < Duration::from_secs(5) * slowness(),
        "{output:?}"
    );
}

const OTHER: &str = "210987654321.dkr.ecr.us-east-1.amazonaws.com";

/// Two logins, and a process that has seen the first one when it waits for a lock, and finds the
/// second one when it calls AWS.
fn login_during_a_wait(second_expires_in: i64) -> (Fake, Helper, [String; 2]) {
    let fake = Fake::start();
    let user = |user: &str, expires_in| {
        let helper = profile(&fake, SSO_SESSION).sso_login_renewable("corp", expires_in);
        let path = helper.path("~/.aws/sso/cache");
        let file = std::fs::read_dir(&path).expect("a login").flatten().next();
        let file = file.expect("a login").path();
        let login = std::fs::read_to_string(&file).expect("readable");
        let name = file.file_name().expect("a name").to_string_lossy();
        let file = format!("~/.aws/sso/cache/{name}");
        (
            file,
            login.replace("FAKE-SESSION-TOKEN", &format!("FAKE-{user}")),
        )
    };
    let ((file, first), (_, second)) = (user("FIRST", 3600), user("SECOND", second_expires_in));
    let helper = profile(&fake, SSO_SESSION).file(&file, &first);
    helper.secret(OTHER);
    // A failure of its own is not shared: the process that waits calls AWS itself.
    let refused = Answer::error(400, "InvalidSignatureException", "no");
    fake.ecr(Script::times(1, Answer::delay(2000, refused)));
    let holder = helper.run_of("get").stdin(HOST).spawn();
    std::thread::sleep(Duration::from_millis(500));
    let waiter = helper.run_of("get").stdin(HOST).spawn();
    std::thread::sleep(Duration::from_millis(500));
    helper.write(&file, &second);
    assert_eq!(holder.wait().code, Some(1));
    let of_second = waiter.wait().expect_secret(HOST);
    fake.forget();
    // The second user's file, as it is now.
    assert_eq!(
        helper.secret(HOST),
        of_second,
        "it is cached for its session"
    );
    assert_eq!(fake.count("ecr"), 0);
    let now = helper.read(&file);
    helper.write(&file, &first);
    (fake, helper, [file, now])
}

#[test]
fn login_during_a_wait_is_another_principal() {
    for second_expires_in in [3600, -10] {
        let (fake, helper, [file, second]) = login_during_a_wait(second_expires_in);
        helper.secret(HOST);
        assert_eq!(fake.count("ecr"), 1, "the first user's password");
        helper.write(&file, second);
        helper.secret(OTHER);
        assert_eq!(fake.count("ecr"), 2, "the second user's password");
    }
}
