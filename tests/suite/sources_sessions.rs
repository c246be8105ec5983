//! Sessions of IAM Identity Center: their end and their renewal.

use crate::sources::{HOST, SSO_SESSION, profile};
use crate::support::fake::{Answer, Fake, Script};

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
        output.elapsed < std::time::Duration::from_secs(5),
        "{output:?}"
    );
}
