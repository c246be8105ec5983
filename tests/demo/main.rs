//! Shows the main job against a fake of AWS on loopback: `cargo test --test demo`.
//!
//! It asserts what it shows, and fails when that is not so.
#![allow(
    clippy::pedantic,
    reason = "test code counts in floats and small integers"
)]
#![warn(clippy::too_many_lines)]

#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use support::fake::Fake;
use support::run::{Helper, Output};

const HOST: &str = "123456789012.dkr.ecr.us-east-1.amazonaws.com";

fn main() {
    let mut aws = Fake::start();
    let helper = Helper::with_keys(&aws);
    println!(
        "docker-credential-ecr-login against a fake AWS at {}\n",
        aws.url()
    );

    let cold = helper.get(HOST);
    let password = cold.expect_secret(HOST);
    assert_eq!(aws.issued_passwords(), [password.as_str()]);
    show("first get, nothing cached", cold.elapsed, &aws, 1);

    let warm = helper.get(HOST);
    assert_eq!(warm.expect_secret(HOST), password);
    show("second get, from the cache", warm.elapsed, &aws, 1);

    let crowd = Helper::with_keys(&aws);
    let started = std::time::Instant::now();
    let running: Vec<_> = (0..20)
        .map(|_| crowd.run_of("get").stdin(HOST).spawn())
        .collect();
    let ended: Vec<Output> = running
        .into_iter()
        .map(support::run::Running::wait)
        .collect();
    let elapsed = started.elapsed();
    let first = ended[0].expect_secret(HOST);
    assert!(ended.iter().all(|one| one.expect_secret(HOST) == first));
    show("twenty at once, another empty cache", elapsed, &aws, 2);

    aws.stop();
    let offline = helper.get(HOST);
    assert_eq!(offline.expect_secret(HOST), password);
    show("AWS unreachable: still answers", offline.elapsed, &aws, 2);

    let expired = Helper::new()
        .env("AWS_PROFILE", "dev")
        .file("~/.aws/config", SSO_PROFILE)
        .sso_login("work", -60)
        .get(HOST);
    println!("\nan expired SSO login, as docker shows it:");
    for line in expired.stderr.lines() {
        println!("    {line}");
    }
    expired.expect_failure(
        "the SSO session for profile \"dev\" has expired",
        "run aws sso login --profile dev",
    );
    println!("\nall as it should be");
}

const SSO_PROFILE: &str = "[profile dev]
sso_session = work
sso_account_id = 123456789012
sso_role_name = Developer
region = us-east-1

[sso-session work]
sso_start_url = https://example.awsapps.com/start
sso_region = us-east-1
";

/// One line, once it is true.
#[track_caller]
fn show(what: &str, elapsed: Duration, aws: &Fake, calls: usize) {
    assert_eq!(aws.count("ecr"), calls, "calls to ECR after: {what}");
    let ms = elapsed.as_secs_f64() * 1e3;
    println!("{what:<38}{ms:8.1} ms   calls to ECR so far: {calls}");
}
