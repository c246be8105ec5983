//! The message of a failure: the registry first, a cause of one line, a hint, the rest in the debug
//! log.

use crate::support::fake::{Answer, Fake, Script};
use crate::support::run::{Helper, NOT_FOUND, Output};

const HOST: &str = "123456789012.dkr.ecr.us-east-1.amazonaws.com";
const PROFILES: &str = "[profile dev]\nrole_arn = arn:aws:iam::123456789012:role/pull\n\
                        source_profile = base\n[profile base]\nregion = us-east-1\n";

fn debugged(helper: Helper, host: &str) -> Output {
    helper.env("AWS_ECR_LOG", "debug").get(host)
}

#[test]
fn cause_is_one_line_that_begins_with_the_registry() {
    let fake = Fake::start();
    let long = "because of a policy ".repeat(40);
    for (answer, user) in [
        (
            Answer::error(400, "OddException", &long),
            Helper::with_keys(&fake),
        ),
        (
            Answer::error(400, "AccessDeniedException", &long),
            Helper::with_keys(&fake),
        ),
        (
            Answer::error(500, "ServerException", &long),
            Helper::with_keys(&fake).env("AWS_MAX_ATTEMPTS", "1"),
        ),
        (Answer::default(), Helper::new()),
        (Answer::default(), Helper::new().env("AWS_PROFILE", "none")),
        (
            Answer::default(),
            Helper::new().env("AWS_ACCESS_KEY_ID", "AKIAX"),
        ),
    ] {
        fake.ecr(Script::always(answer));
        let output = user.get(HOST);
        assert_eq!(
            (output.code, output.stdout.as_str()),
            (Some(1), NOT_FOUND),
            "{output:?}"
        );
        let lines: Vec<_> = output.stderr.lines().collect();
        assert_eq!(lines.len(), 2, "{output:?}");
        let begin = format!("docker-credential-ecr-login: {HOST}: ");
        let cause = lines[0].strip_prefix(&begin).expect("the registry first");
        assert!((1..=160).contains(&cause.chars().count()), "{output:?}");
        assert!(lines[1].starts_with("hint: "), "{output:?}");
    }
}

#[test]
fn ignored_settings_are_in_the_debug_log_alone() {
    let fake = Fake::start();
    let helper = Helper::with_keys(&fake)
        .env("AWS_ECR_TIMEOUT", "SENTINEL")
        .env("AWS_ECR_STRICT", "SENTINEL")
        .env("AWS_ECR_DISABLE_CACHE", "false");
    helper.secret(HOST);
    helper.secret(HOST);
    assert_eq!(fake.count("ecr"), 2, "the cache is disabled");
    let output = debugged(helper, HOST);
    assert_eq!(output.code, Some(0));
    for line in [
        "AWS_ECR_TIMEOUT is not a positive number of seconds: the default is used",
        "AWS_ECR_STRICT is neither true nor false: false is used",
        "AWS_ECR_DISABLE_CACHE disables the cache, whatever its value",
    ] {
        let line = format!("docker-credential-ecr-login: debug: {line}\n");
        assert_eq!(output.stderr.matches(&line).count(), 1, "{output:?}");
    }
    assert!(!output.stderr.contains("SENTINEL"), "{output:?}");
}

#[test]
fn places_that_were_searched_are_in_the_debug_log() {
    let places = "looked at the environment (no AWS_ACCESS_KEY_ID), profile \"default\" in ";
    let output = Helper::new().get(HOST);
    assert!(
        output.stderr.contains(": no AWS credentials found\nhint: "),
        "{output:?}"
    );
    assert!(!output.stderr.contains("looked at"), "{output:?}");
    let output = debugged(Helper::new(), HOST);
    assert!(output.stderr.contains(places), "{output:?}");
    assert!(
        output
            .stderr
            .contains("instance metadata (AWS_EC2_METADATA_DISABLED is true)")
    );
}

#[test]
fn profiles_of_the_account_are_hinted_at_and_not_used() {
    let output = Helper::new().file("~/.aws/config", PROFILES).get(HOST);
    output.expect_failure(
        "no AWS credentials found",
        "set AWS_ECR_PROFILE=dev, or add \"profile = dev\" below [123456789012] in \
         ~/.aws/ecr-login: profile \"dev\" is for this account",
    );
}

#[test]
fn ecr_public_without_credentials_is_silent() {
    let output = Helper::new().get("public.ecr.aws");
    output.expect(1, NOT_FOUND, "");
    let output = debugged(Helper::new(), "public.ecr.aws");
    assert!(
        output.stderr.contains("no AWS credentials found"),
        "{output:?}"
    );
    assert!(
        output.stderr.contains("looked at the environment"),
        "{output:?}"
    );
}

#[test]
fn near_misses_of_a_profile_are_named() {
    let user = Helper::new().file("~/.aws/config", PROFILES);
    user.env("AWS_PROFILE", "dve").get(HOST).expect_failure(
        "there is no profile \"dve\", which AWS_PROFILE names",
        "correct AWS_PROFILE: did you mean \"dev\"?",
    );
}

#[test]
fn hosts_that_are_not_ecr_are_explained_in_debug() {
    for (host, why) in [
        (
            "12345678901.dkr.ecr.us-east-1.amazonaws.com",
            "the account has 11 digits, not 12",
        ),
        (
            "123456789012.dkr.ecr.us-east-1.amazonaws.org",
            "no partition of AWS has this region or suffix",
        ),
        (
            "docker.io",
            "it is not like <account>.dkr.ecr.<region>.amazonaws.com",
        ),
    ] {
        Helper::new().get(host).expect_not_found();
        let output = debugged(Helper::new(), host);
        assert!(output.stderr.contains(why), "{output:?}");
        assert_eq!(output.stdout, NOT_FOUND);
    }
}

#[test]
fn unused_profile_variable_is_in_the_debug_log() {
    let fake = Fake::start();
    let user = || {
        let user = Helper::with_keys(&fake).file("~/.aws/config", PROFILES);
        user.env("AWS_PROFILE", "dev")
    };
    assert_eq!(user().get(HOST).stderr, "");
    let output = debugged(user(), HOST);
    let line = "AWS_PROFILE is not used: keys in environment variables come first";
    assert!(output.stderr.contains(line), "{output:?}");
}
