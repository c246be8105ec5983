//! Every source of AWS credentials: the requests of a first and a second `get`, and that no token
//! is ever served to another principal.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::support::fake::Fake;
use crate::support::run::{Helper, SECRET_KEY, echo};

pub const HOST: &str = "123456789012.dkr.ecr.us-east-1.amazonaws.com";

/// The output of a `credential_process`.
pub const PROCESS_KEYS: &str =
    r#"{"Version":1,"AccessKeyId":"AKIAFAKEPROCESS00001","SecretAccessKey":"s"}"#;

/// A profile with keys, under any name.
pub fn keys_in(section: &str, key_id: &str) -> String {
    format!("[{section}]\naws_access_key_id = {key_id}\naws_secret_access_key = {SECRET_KEY}\n")
}

pub fn role(name: &str) -> String {
    format!("arn:aws:iam::123456789012:role/{name}")
}

/// The parts of an identity provider's token that this program reads.
pub fn jwt(subject: &str, serial: u32) -> String {
    let payload = serde_json::json!({
        "iss": "https://issuer.example", "aud": ["sts.amazonaws.com"], "sub": subject,
        "iat": 1_800_000_000 + serial, "jti": serial.to_string(),
    });
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!(
        "{}.{}.c2ln",
        encode(r#"{"alg":"RS256"}"#),
        encode(&payload.to_string())
    )
}

pub const SSO_SESSION: &str = "[profile dev]\nsso_session = corp\nsso_account_id = 123456789012\n\
    sso_role_name = Developer\n[sso-session corp]\nsso_region = eu-west-1\n\
    sso_start_url = https://example.awsapps.com/start\n";

const SSO_PLAIN: &str = "[profile dev]\nsso_account_id = 123456789012\nsso_role_name = Developer\n\
    sso_region = eu-west-1\nsso_start_url = https://example.awsapps.com/start\n";

/// One source: its user, the services besides ECR that a first `get` calls, those of a later one.
struct Case {
    name: &'static str,
    user: fn(&Fake) -> Helper,
    first: &'static [&'static str],
    again: &'static [&'static str],
}

pub fn profile(fake: &Fake, config: &str) -> Helper {
    let helper = Helper::new().asks(fake).env("AWS_PROFILE", "dev");
    helper.file("~/.aws/config", config)
}

const CASES: &[Case] = &[
    Case {
        name: "environment keys",
        user: |fake| Helper::with_keys(fake),
        first: &[],
        again: &[],
    },
    Case {
        name: "static profile",
        user: |fake| profile(fake, &keys_in("profile dev", "AKIAFAKEPROFILE00001")),
        first: &[],
        again: &[],
    },
    Case {
        name: "credentials file",
        user: |fake| {
            let helper = Helper::new().asks(fake);
            helper.file(
                "~/.aws/credentials",
                keys_in("default", "AKIAFAKEPROFILE00001"),
            )
        },
        first: &[],
        again: &[],
    },
    Case {
        name: "role with source_profile",
        user: |fake| {
            let config = format!(
                "[profile dev]\nrole_arn = {}\nsource_profile = base\n{}",
                role("dev"),
                keys_in("profile base", "AKIAFAKEPROFILE00001"),
            );
            profile(fake, &config)
        },
        first: &["sts"],
        again: &[],
    },
    Case {
        name: "role of a role",
        user: |fake| {
            let config = format!(
                "[profile dev]\nrole_arn = {}\nsource_profile = mid\n\
                 [profile mid]\nrole_arn = {}\nsource_profile = base\n{}",
                role("dev"),
                role("mid"),
                keys_in("profile base", "AKIAFAKEPROFILE00001"),
            );
            profile(fake, &config)
        },
        first: &["sts", "sts"],
        again: &[],
    },
    Case {
        name: "role with credential_source",
        user: |fake| {
            let config = format!(
                "[profile dev]\nrole_arn = {}\ncredential_source = EcsContainer\n",
                role("dev")
            );
            profile(fake, &config).env(
                "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                format!("{}/creds", fake.url()),
            )
        },
        first: &["container", "sts"],
        again: &["container"],
    },
    Case {
        name: "web identity in variables",
        user: |fake| {
            let helper = Helper::new().asks(fake).file("~/token", jwt("ci", 1));
            let file = helper.path("~/token");
            helper
                .env("AWS_WEB_IDENTITY_TOKEN_FILE", file)
                .env("AWS_ROLE_ARN", role("web"))
                .env("AWS_ROLE_SESSION_NAME", "build")
        },
        first: &["sts"],
        again: &[],
    },
    Case {
        name: "web identity in a profile",
        user: |fake| {
            let helper = profile(fake, "").file("~/token", jwt("ci", 1));
            let config = format!(
                "[profile dev]\nrole_arn = {}\nweb_identity_token_file = {}\n",
                role("web"),
                helper.path("~/token").display(),
            );
            helper.file("~/.aws/config", config)
        },
        first: &["sts"],
        again: &[],
    },
    Case {
        name: "SSO with a session",
        user: |fake| profile(fake, SSO_SESSION).sso_login("corp", 3600),
        first: &["sso"],
        again: &[],
    },
    Case {
        name: "SSO without a session",
        user: |fake| profile(fake, SSO_PLAIN).sso_login("https://example.awsapps.com/start", 3600),
        first: &["sso"],
        again: &[],
    },
    Case {
        name: "aws login",
        user: |fake| {
            let arn = "arn:aws:iam::123456789012:user/dev";
            let config = format!("[profile dev]\nlogin_session = {arn}\n");
            profile(fake, &config).aws_login(arn, 840)
        },
        first: &[],
        again: &[],
    },
    Case {
        name: "container with a full URI",
        user: |fake| {
            let helper = Helper::new().asks(fake);
            helper.env(
                "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                format!("{}/creds", fake.url()),
            )
        },
        first: &["container"],
        again: &["container"],
    },
    Case {
        name: "EKS Pod Identity",
        user: |fake| {
            let helper = Helper::new().asks(fake).file("~/token", "FAKE-POD-TOKEN");
            let file = helper.path("~/token");
            helper
                .env(
                    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                    format!("{}/v1/credentials", fake.url()),
                )
                .env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file)
        },
        first: &["container"],
        again: &["container"],
    },
    Case {
        name: "instance metadata",
        user: |fake| Helper::new().asks(fake).on_instance(fake),
        first: &["imds", "imds", "imds"],
        again: &["imds", "imds", "imds"],
    },
    Case {
        name: "credential_process",
        user: |fake| {
            let command = echo(PROCESS_KEYS);
            profile(
                fake,
                &format!("[profile dev]\ncredential_process = {command}\n"),
            )
        },
        first: &[],
        again: &[],
    },
];

fn services(fake: &Fake) -> Vec<String> {
    let mut services: Vec<_> = fake
        .calls()
        .into_iter()
        .map(|call| call.service.trim_end_matches("_token").to_owned())
        .collect();
    services.sort();
    fake.forget();
    services
}

#[test]
fn second_get_calls_only_ambient_sources() {
    for case in CASES {
        let fake = Fake::start();
        let helper = (case.user)(&fake);
        let first = helper.secret(HOST);
        let mut expected: Vec<_> = case.first.iter().map(|s| (*s).to_owned()).collect();
        expected.push("ecr".to_owned());
        expected.sort();
        assert_eq!(services(&fake), expected, "{}: the first get", case.name);
        for _ in 0..2 {
            assert_eq!(helper.secret(HOST), first, "{}", case.name);
            assert_eq!(services(&fake), case.again, "{}: a later get", case.name);
        }
    }
}

#[test]
fn profile_without_credentials_is_passed_over() {
    let fake = Fake::start();
    let helper = profile(&fake, "[profile dev]\nregion = eu-west-1\n").env(
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        format!("{}/creds", fake.url()),
    );
    helper.secret(HOST);
    assert_eq!(services(&fake), ["container", "ecr"]);
}

#[test]
fn broken_profile_never_falls_through() {
    for (text, cause) in [
        ("", "profile \"dev\""),
        (
            "[profile dev]\naws_access_key_id = AKIA\n",
            "aws_secret_access_key",
        ),
        (
            "[profile dev]\nrole_arn = arn:aws:iam::123456789012:role/x\n",
            "source_profile",
        ),
        (
            "[profile dev]\nrole_arn = arn:aws:iam::123456789012:role/x\nsource_profile = no\n",
            "no",
        ),
        (
            "[profile dev]\nsso_session = gone\nsso_account_id = 1\nsso_role_name = r\n",
            "gone",
        ),
        (
            "[profile dev]\nsso_account_id = 123456789012\nsso_start_url = https://x\n\
             sso_region = us-east-1\n",
            "sso_role_name",
        ),
        ("[profile dev\n", "config"),
        (
            "[profile dev]\nrole_arn = arn:aws:iam::123456789012:role/x\nsource_profile = dev\n\
             aws_access_key_id = A\naws_secret_access_key = s\nmfa_serial = arn:aws:iam::1:mfa/x\n",
            "mfa",
        ),
    ] {
        let fake = Fake::start();
        let helper = profile(&fake, text).env(
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            format!("{}/creds", fake.url()),
        );
        let output = helper.get(HOST);
        assert_eq!(output.code, Some(1), "{text}");
        assert!(
            output.stderr.to_lowercase().contains(cause),
            "{text}: {output:?}"
        );
        assert_eq!(output.stderr.lines().count(), 2, "{output:?}");
        assert_eq!(fake.calls().len(), 0, "{text}");
    }
}

#[test]
fn no_credentials_is_one_line_and_a_hint() {
    let output = Helper::new().get(HOST);
    assert_eq!(output.code, Some(1));
    let lines: Vec<_> = output.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{output:?}");
    assert!(lines[0].ends_with("no AWS credentials found"), "{output:?}");
    assert!(lines[1].starts_with("hint: set AWS_PROFILE"), "{output:?}");
}

#[test]
fn endpoints_come_from_the_configuration_file_as_well() {
    let fake = Fake::start();
    let text = format!(
        "[profile dev]\nservices = local\naws_access_key_id = AKIAFAKEPROFILE00001\n\
         aws_secret_access_key = s\nregion = us-east-1\n\
         [services local]\necr =\n  endpoint_url = {url}\necr_public =\n  endpoint_url = {url}\n",
        url = fake.url()
    );
    let helper = Helper::new()
        .env("AWS_PROFILE", "dev")
        .file("~/.aws/config", text);
    helper.secret(HOST);
    helper.secret("public.ecr.aws");
    assert_eq!((fake.count("ecr"), fake.count("ecr_public")), (1, 1));
}

#[test]
fn switch_must_be_true_or_false() {
    let fake = Fake::start();
    for (variable, value) in [
        ("AWS_USE_FIPS_ENDPOINT", "yes"),
        ("AWS_USE_DUALSTACK_ENDPOINT", "1"),
    ] {
        let helper = Helper::new().keys().env("AWS_REGION", "us-east-1");
        let output = helper.env(variable, value).get(HOST);
        assert_eq!(output.code, Some(1));
        assert!(output.stderr.contains(variable), "{output:?}");
        assert!(output.stderr.contains(value), "{output:?}");
    }
    assert_eq!(fake.calls().len(), 0);
}

#[test]
fn the_other_names_that_the_go_sdk_knows_will_do() {
    let fake = Fake::start();
    let helper = Helper::new()
        .asks(&fake)
        .file(
            "~/.aws/config",
            keys_in("profile dev", "AKIAFAKEPROFILE00001"),
        )
        .env("AWS_DEFAULT_PROFILE", "dev");
    helper.secret(HOST);
    let call = &fake.calls_to("ecr")[0];
    assert_eq!(call.access_key_id.as_deref(), Some("AKIAFAKEPROFILE00001"));
    let helper = helper.env("AWS_PROFILE", "nope");
    assert_eq!(helper.get(HOST).code, Some(1), "AWS_PROFILE comes first");

    let helper = Helper::new()
        .asks(&fake)
        .env("AWS_ACCESS_KEY", "AKIAFAKEENVIRONMENT9")
        .env("AWS_SECRET_KEY", SECRET_KEY);
    helper.secret(HOST);
    let call = &fake.calls_to("ecr")[1];
    assert_eq!(call.access_key_id.as_deref(), Some("AKIAFAKEENVIRONMENT9"));
}

#[test]
fn debug_log_lists_the_sources_without_credentials() {
    let fake = Fake::start();
    fake.change(|behaviour| behaviour.imds_role = None);
    let helper = Helper::new().on_instance(&fake);
    let output = helper.env("AWS_ECR_LOG", "debug").get(HOST);
    assert_eq!(output.code, Some(1));
    for words in [
        "no AWS_ACCESS_KEY_ID",
        "profile \"default\"",
        "instance metadata",
    ] {
        assert!(output.stderr.contains(words), "{words}: {output:?}");
    }
}

#[test]
fn mfa_role_is_the_one_that_the_aws_cli_keeps() {
    let fake = Fake::start();
    let helper = profile(
        &fake,
        "[profile dev]\nrole_arn = arn:aws:iam::123456789012:role/dev\n\
         mfa_serial = arn:aws:iam::123456789012:mfa/u\nsource_profile = base\n\
         [profile base]\naws_access_key_id = AKIAFAKEPROFILE00001\n\
         aws_secret_access_key = FAKE-SECRET-KEY\n",
    );
    let output = helper.get(HOST);
    assert_eq!(output.code, Some(1));
    for words in [
        "profile \"dev\" requires MFA, and the AWS CLI's cache holds no session of it",
        "hint: run aws sts get-caller-identity --profile dev",
    ] {
        assert!(output.stderr.contains(words), "{words}: {output:?}");
    }
    assert_eq!(fake.calls().len(), 0);
    let file = "~/.aws/cli/cache/77e5132f835b6d205b827a0ec775b9cd9f0c09a8.json";
    let kept = |expiration: &str| {
        format!(
            r#"{{"Credentials": {{"AccessKeyId": "ASIAKEPTBYTHECLI0000", "SecretAccessKey": "FAKE-SECRET-KEY", "SessionToken": "FAKE-SESSION-TOKEN", "Expiration": "{expiration}"}}}}"#
        )
    };
    let helper = helper.file(file, kept("2001-01-01T00:00:00UTC"));
    let output = helper.get(HOST);
    assert!(output.stderr.contains("has expired"), "{output:?}");
    let helper = helper.file(file, kept("2999-01-01T00:00:00UTC"));
    helper.secret(HOST);
    let calls = fake.calls();
    assert_eq!(calls.len(), 1, "{calls:?}");
    let key_id = calls[0].access_key_id.as_deref();
    assert_eq!(key_id, Some("ASIAKEPTBYTHECLI0000"));
}

#[cfg(unix)]
#[test]
fn token_file_may_be_a_pipe_and_never_hangs() {
    let fake = Fake::start();
    let helper = Helper::new().asks(&fake).env("AWS_ROLE_ARN", role("web"));
    let program = crate::support::run::program();
    let token = jwt("ci", 1);
    let script = format!(
        "mkfifo pipe; (sleep 0.1; printf %s {token}) > pipe & \
         printf {HOST} | AWS_WEB_IDENTITY_TOKEN_FILE=/dev/fd/3 {program} get 3< pipe"
    );
    helper.shell(&script).run().expect_secret(HOST);
    let helper = helper.env("AWS_WEB_IDENTITY_TOKEN_FILE", "pipe");
    let output = helper.get(HOST);
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("is empty"), "{output:?}");
}
