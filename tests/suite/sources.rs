//! Every source of AWS credentials: what a first and a second `get` ask for, and that nobody is
//! ever served what another principal was given.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::support::fake::{Answer, Fake, Script};
use crate::support::run::{Helper, SECRET_KEY};

const HOST: &str = "123456789012.dkr.ecr.us-east-1.amazonaws.com";

/// A profile with keys, under any name.
fn keys_in(section: &str, key_id: &str) -> String {
    format!("[{section}]\naws_access_key_id = {key_id}\naws_secret_access_key = {SECRET_KEY}\n")
}

fn role(name: &str) -> String {
    format!("arn:aws:iam::123456789012:role/{name}")
}

/// A token of an identity provider, as far as anybody here reads it.
fn jwt(subject: &str, serial: u32) -> String {
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

const SSO_SESSION: &str = "[profile dev]\nsso_session = corp\nsso_account_id = 123456789012\n\
    sso_role_name = Developer\n[sso-session corp]\nsso_region = eu-west-1\n\
    sso_start_url = https://example.awsapps.com/start\n";

const SSO_PLAIN: &str = "[profile dev]\nsso_account_id = 123456789012\nsso_role_name = Developer\n\
    sso_region = eu-west-1\nsso_start_url = https://example.awsapps.com/start\n";

/// One source: how a user has it, what a first `get` asks beside ECR, what each later one asks.
struct Case {
    name: &'static str,
    user: fn(&Fake) -> Helper,
    first: &'static [&'static str],
    again: &'static [&'static str],
}

fn profile(fake: &Fake, config: &str) -> Helper {
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
            profile(
                fake,
                "[profile dev]\ncredential_process = echo '{\"Version\":1,\"AccessKeyId\":\
                 \"AKIAFAKEPROCESS00001\",\"SecretAccessKey\":\"s\"}'\n",
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

/// A change of surroundings that makes somebody else ask.
type Switch = (&'static str, fn(Helper) -> Helper);

#[test]
fn principals_never_share_a_token() {
    let base = || {
        format!(
            "[profile dev]\nrole_arn = {}\nsource_profile = base\nregion = us-east-1\n\
             [profile other]\nrole_arn = {}\nsource_profile = base\n{}\
             [profile keys]\naws_access_key_id = AKIAFAKEPROFILE00009\naws_secret_access_key = s\n",
            role("dev"),
            role("other"),
            keys_in("profile base", "AKIAFAKEPROFILE00001"),
        )
    };
    let switches: &[Switch] = &[
        ("profile", |h| h.env("AWS_PROFILE", "other")),
        ("static profile", |h| h.env("AWS_PROFILE", "keys")),
        ("environment keys", |h| h.keys()),
        ("role", |h| {
            let text = h.read("~/.aws/config").replace("role/dev", "role/dev2");
            h.file("~/.aws/config", text)
        }),
        ("account of the role", |h| {
            let text = h
                .read("~/.aws/config")
                .replace("123456789012:role/dev", "999999999999:role/dev");
            h.file("~/.aws/config", text)
        }),
        ("session name", |h| {
            let text = h
                .read("~/.aws/config")
                .replace("[profile dev]", "[profile dev]\nrole_session_name = s");
            h.file("~/.aws/config", text)
        }),
        ("external ID", |h| {
            let text = h
                .read("~/.aws/config")
                .replace("[profile dev]", "[profile dev]\nexternal_id = e");
            h.file("~/.aws/config", text)
        }),
        ("key of the source", |h| {
            let text = h
                .read("~/.aws/config")
                .replace("AKIAFAKEPROFILE00001", "AKIAFAKEPROFILE00002");
            h.file("~/.aws/config", text)
        }),
        ("endpoint", |h| {
            let url = h.value("AWS_ENDPOINT_URL");
            h.env("AWS_ENDPOINT_URL_ECR", format!("{url}/other"))
        }),
        ("STS endpoint", |h| {
            let url = h.value("AWS_ENDPOINT_URL");
            h.env("AWS_ENDPOINT_URL_STS", format!("{url}/other"))
        }),
    ];
    for (name, switch) in switches {
        let fake = Fake::start();
        let user = || {
            Helper::new()
                .asks(&fake)
                .env("AWS_PROFILE", "dev")
                .file("~/.aws/config", base())
        };
        let helper = user();
        let first = helper.secret(HOST);
        assert_eq!(fake.count("ecr"), 1);
        let helper = switch(helper);
        let second = helper.secret(HOST);
        assert_ne!(second, first, "{name}");
        assert_eq!(fake.count("ecr"), 2, "{name}");
        assert_eq!(helper.secret(HOST), second, "{name}: and back to warm");
        assert_eq!(fake.count("ecr"), 2, "{name}");
    }
}

#[test]
fn unrelated_settings_keep_the_cache_key() {
    let fake = Fake::start();
    let helper = profile(
        &fake,
        &format!(
            "[profile dev]\nrole_arn = {}\nsource_profile = base\nduration_seconds = 900\n{}",
            role("dev"),
            keys_in("profile base", "AKIAFAKEPROFILE00001"),
        ),
    );
    let first = helper.secret(HOST);
    let text = helper.read("~/.aws/config").replace("900", "1800");
    let helper = helper
        .file("~/.aws/config", text)
        .env("AWS_ECR_TIMEOUT", "7")
        .env("NO_PROXY", "example.com")
        .env("AWS_MAX_ATTEMPTS", "2");
    assert_eq!(helper.secret(HOST), first);
    assert_eq!(fake.count("ecr"), 1);
}

#[test]
fn a_web_identity_is_its_subject_and_not_its_token() {
    let fake = Fake::start();
    let helper = Helper::new().asks(&fake).file("~/token", jwt("ci", 1));
    let file = helper.path("~/token");
    let helper = helper
        .env("AWS_WEB_IDENTITY_TOKEN_FILE", file)
        .env("AWS_ROLE_ARN", role("web"));
    let first = helper.secret(HOST);
    let helper = helper.file("~/token", jwt("ci", 2));
    assert_eq!(
        helper.secret(HOST),
        first,
        "a renewed token of the same subject"
    );
    let helper = helper.file("~/token", jwt("somebody else", 3));
    assert_ne!(helper.secret(HOST), first, "another subject");
    assert_eq!(fake.count("ecr"), 2);
}

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
fn credential_process_has_no_stdin() {
    let fake = Fake::start();
    let helper = profile(&fake, "[profile dev]\ncredential_process = sh ~/process\n")
        .file("~/process", "cat; echo first >&2; echo second >&2; exit 3");
    let output = helper.get(HOST);
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("first"), "{output:?}");
    assert!(!output.stderr.contains("second"), "{output:?}");
}

#[test]
fn a_credential_process_does_not_outlive_the_deadline() {
    let fake = Fake::start();
    let helper = profile(
        &fake,
        "[profile dev]\ncredential_process = sh -c 'echo $$ > ~/pid; sleep 300'\n",
    )
    .env("AWS_ECR_TIMEOUT", "1");
    let output = helper.get(HOST);
    assert_eq!(output.code, Some(1));
    assert!(
        output.elapsed < std::time::Duration::from_secs(3),
        "{output:?}"
    );
    let pid = helper.read("~/pid");
    expect_end(pid.trim());
}

/// A killed process takes a moment to go.
fn expect_end(pid: &str) {
    let status = std::path::Path::new("/proc").join(pid).join("status");
    let mut state = String::new();
    for _ in 0..200 {
        state = std::fs::read_to_string(&status).unwrap_or_default();
        if state.is_empty() || state.contains("zombie") {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("it still runs: {state}");
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

#[cfg(unix)]
#[test]
fn credential_process_shell_ignores_path() {
    let fake = Fake::start();
    let helper = profile(
        &fake,
        "[profile dev]\ncredential_process = echo '{\"Version\":1,\"AccessKeyId\":\
         \"AKIAFAKEPROCESS00001\",\"SecretAccessKey\":\"s\"}'\n",
    );
    helper.file("~/sh", "planted").env("PATH", "").secret(HOST);
}

#[cfg(unix)]
#[test]
fn a_credential_process_ends_with_us() {
    let fake = Fake::start();
    let helper = profile(
        &fake,
        "[profile dev]\ncredential_process = sh -c 'echo $$ > ~/pid; sleep 300'\n",
    );
    let run = helper.run_of("get").stdin(HOST).spawn();
    let began = std::time::Instant::now();
    while !helper.path("~/pid").exists() {
        assert!(began.elapsed().as_secs() < 20, "it does not start");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let us = rustix::process::Pid::from_child(&run.child);
    rustix::process::kill_process(us, rustix::process::Signal::TERM).expect("it runs");
    assert_eq!(run.wait().code, Some(1));
    expect_end(helper.read("~/pid").trim());
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
