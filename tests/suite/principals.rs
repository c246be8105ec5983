//! A cached token is served to the principal that it was issued to, and half of a setting never
//! selects another one.

use std::collections::BTreeSet;
#[cfg(unix)]
use std::ffi::OsStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::support::fake::Fake;
use crate::support::run::{Helper, KEY_ID, SECRET_KEY};

const HOST: &str = "123456789012.dkr.ecr.us-east-1.amazonaws.com";
const SSO: &str = "sso_session = corp\nsso_account_id = 123456789012\nsso_role_name = Dev\n";
const CORP: &str = "[sso-session corp]\nsso_region = eu-west-1\n\
    sso_start_url = https://example.awsapps.com/start\n";
const CONSOLE: &str = "arn:aws:iam::123456789012:user/u";

fn profile(fake: &Fake, config: &str) -> Helper {
    let helper = Helper::new().asks(fake).env("AWS_PROFILE", "dev");
    helper.file("~/.aws/config", config)
}

/// Users that are logged in, and the words for one who is not.
fn logged_in(fake: &Fake) -> [(&'static str, Helper, &'static str); 5] {
    let session = format!("[profile dev]\n{SSO}{CORP}");
    let role = "role_arn = arn:aws:iam::123456789012:role/r\nsource_profile = sso\n";
    let role = format!("[profile dev]\n{role}[profile sso]\n{SSO}{CORP}");
    let plain = "[profile dev]\nsso_account_id = 123456789012\nsso_role_name = Dev\n\
        sso_region = eu-west-1\nsso_start_url = https://example.awsapps.com/start\n";
    let console = format!("[profile dev]\nlogin_session = {CONSOLE}\n");
    let start = "https://example.awsapps.com/start";
    [
        (
            "SSO session",
            profile(fake, &session).sso_login("corp", 3600),
            "aws sso login",
        ),
        (
            "renewable SSO session",
            profile(fake, &session).sso_login_renewable("corp", 3600),
            "aws sso login",
        ),
        (
            "SSO without a session",
            profile(fake, plain).sso_login(start, 3600),
            "aws sso login",
        ),
        (
            "role over SSO",
            profile(fake, &role).sso_login("corp", 3600),
            "aws sso login",
        ),
        (
            "console session",
            profile(fake, &console).aws_login(CONSOLE, 3600),
            "aws login",
        ),
    ]
}

/// The one file that a login left.
fn login_file(helper: &Helper) -> String {
    let mut files = helper.files("~/.aws");
    files.retain(|file| file.extension().is_some_and(|end| end == "json"));
    assert_eq!(files.len(), 1, "{files:?}");
    format!("~/.aws/{}", files[0].display())
}

/// The same file after another user's login.
fn of_another_user(login: &str) -> String {
    login.replace("FAKE-SESSION-TOKEN", "FAKE-SESSION-TOKEN-OTHER")
}

#[test]
fn another_login_is_another_principal() {
    let fake = Fake::start();
    for (what, helper, command) in logged_in(&fake) {
        fake.forget();
        let first = helper.secret(HOST);
        let file = login_file(&helper);
        let login = helper.read(&file);
        assert_eq!(helper.secret(HOST), first, "{what}: the same login");
        helper.write(&file, of_another_user(&login));
        assert_ne!(helper.secret(HOST), first, "{what}: another login");
        assert_eq!(fake.count("ecr"), 2, "{what}");
        for no_login in ["", "{}", "junk", "{\"accessToken\":\"\"}"] {
            helper.write(&file, no_login);
            let output = helper.get(HOST);
            assert_eq!(output.code, Some(1), "{what}, {no_login:?}: {output:?}");
            assert!(output.stderr.contains(command), "{what}: {output:?}");
        }
        assert_eq!(fake.count("ecr"), 2, "{what}");
    }
}

#[test]
fn homes_that_share_a_cache_share_no_login() {
    let fake = Fake::start();
    for (what, helper, _) in logged_in(&fake) {
        fake.forget();
        let helper = helper.env("AWS_ECR_CACHE_DIR", "~/.cache/shared");
        let shared = helper.path("~/.cache/shared");
        let first = helper.secret(HOST);
        let config = helper.read("~/.aws/config");
        let file = login_file(&helper);
        let login = helper.read(&file);
        // The very same login, too: its file is another one.
        for login in [of_another_user(&login), login] {
            let other = profile(&fake, &config)
                .env("AWS_ECR_CACHE_DIR", &shared)
                .file(&file, login);
            assert_ne!(other.secret(HOST), first, "{what}");
        }
        assert_eq!(fake.count("ecr"), 3, "{what}");
        assert_eq!(helper.secret(HOST), first, "{what}");
    }
}

fn jwt(payload: &str) -> String {
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.c2ln", encode(r#"{"alg":"RS256"}"#), encode(payload))
}

#[test]
fn every_claim_of_a_web_identity_counts() {
    let fake = Fake::start();
    let helper = Helper::new().asks(&fake);
    let file = helper.path("~/token");
    let helper = helper
        .env("AWS_WEB_IDENTITY_TOKEN_FILE", file)
        .env("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/web");
    let secret = |payload: &str| {
        helper.write("~/token", jwt(payload));
        helper.secret(HOST)
    };
    let first =
        secret(r#"{"sub":"s","aud":["a","b"],"n":{"x":1,"y":{"z":"w"}},"exp":1,"jti":"1"}"#);
    for same in [
        r#"{"jti":"2","exp":9,"n":{"y":{"z":"w"},"x":1},"aud":["a","b"],"sub":"s"}"#,
        r#"{ "sub" : "s", "aud":["a","b"],"n":{"x":1,"y":{"z":"w"}}, "iat": 5, "nbf": 6 }"#,
        r#"{"sub":"\u0073","aud":["a","b"],"n":{"x":1,"y":{"z":"w"}}}"#,
    ] {
        assert_eq!(secret(same), first, "{same}");
    }
    let mut seen = BTreeSet::from([first]);
    for other in [
        r#"{"sub":"s","aud":["b","a"],"n":{"x":1,"y":{"z":"w"}}}"#,
        r#"{"sub":"s","aud":["a","b"],"n":{"x":"1","y":{"z":"w"}}}"#,
        r#"{"sub":"s","aud":["a","b"],"n":{"x":1.5,"y":{"z":"w"}}}"#,
        r#"{"sub":"s","aud":["a","b"],"n":{"x":1,"y":{"z":"v"}}}"#,
        r#"{"sub":"s","aud":["a","b"],"n":{"x":1,"y":{"z":"w"},"exp":1}}"#,
        r#"{"sub":"s","aud":["a","b"],"n":{"x":1,"y":{"z":"w"}},"actor":"eve"}"#,
        r#"{"sub":"s","aud":["a","b"],"n":{"x":1,"y":{"z":"w"}},"job_workflow_ref":"x"}"#,
        r#"{"sub":"s","aud":["a","b"],"n":{"x":1,"y":{"z":"w"}},"azp":"z"}"#,
        r#"{"sub":"s","aud":["a","b"],"n":{"x":1,"y":{"z":"w"}},"amr":null}"#,
        r#"{"sub":"s","aud":["a","b"]}"#,
        r#"{"sub":9007199254740993,"aud":["a","b"]}"#,
        r#"{"sub":9007199254740992,"aud":["a","b"]}"#,
        r#"{"sub":123456789012345678901234567890,"aud":["a","b"]}"#,
        r#"{"sub":123456789012345678901234567891,"aud":["a","b"]}"#,
        r#"{"sub":0.1,"aud":["a","b"]}"#,
        r#"{"sub":0.10000000000000000001,"aud":["a","b"]}"#,
        r#"{"sub":"eve","sub":"s","aud":["a","b"]}"#,
    ] {
        assert!(seen.insert(secret(other)), "{other}");
    }
    assert_eq!(fake.count("ecr"), seen.len());
}

#[test]
fn half_of_the_variables_is_an_error() {
    let fake = Fake::start();
    let helper = Helper::new().asks(&fake).on_instance(&fake);
    helper.write(
        "~/.aws/credentials",
        format!("[default]\naws_access_key_id = {KEY_ID}\naws_secret_access_key = {SECRET_KEY}\n"),
    );
    helper.write("~/token", jwt(r#"{"sub":"s"}"#));
    let token = helper.path("~/token");
    let token = token.to_str().expect("UTF-8");
    const ID: &str = "AWS_ACCESS_KEY_ID";
    const SECRET: &str = "AWS_SECRET_ACCESS_KEY";
    const FILE: &str = "AWS_WEB_IDENTITY_TOKEN_FILE";
    const ROLE: &str = "AWS_ROLE_ARN";
    const ARN: &str = "arn:aws:iam::123456789012:role/web";
    for (variables, named) in [
        (&[(ID, "AKIAFORK")][..], SECRET),
        (&[(ID, "AKIAFORK"), (SECRET, "")], SECRET),
        (&[(ID, "AKIAFORK"), (SECRET, " ")], SECRET),
        (&[(SECRET, "s")], ID),
        (&[(SECRET, "s"), (ID, "")], ID),
        (&[(FILE, token)], ROLE),
        (&[(FILE, token), (ROLE, "")], ROLE),
        (&[(FILE, ""), (ROLE, ARN)], FILE),
        (&[(FILE, token), ("AWS_PROFILE", "default")], ROLE),
        (&[(FILE, ""), (ROLE, ARN), ("AWS_PROFILE", "default")], FILE),
    ] {
        let run = variables
            .iter()
            .fold(helper.run_of("get"), |run, (name, value)| {
                run.env(name, value)
            });
        let output = run.stdin(HOST).run();
        assert_eq!(output.code, Some(1), "{variables:?}: {output:?}");
        assert!(output.stderr.contains(named), "{variables:?}: {output:?}");
        assert_eq!(fake.calls().len(), 0, "{variables:?}");
    }
    helper.secret(HOST);
}

#[test]
fn a_profile_in_an_unreadable_file_is_not_missing() {
    let helper = Helper::new().env("AWS_PROFILE", "dev");
    std::fs::create_dir_all(helper.path("~/.aws/config")).expect("writable");
    let output = helper.get(HOST);
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains("cannot read"), "{output:?}");
}

#[cfg(unix)]
#[test]
fn variables_that_are_not_utf8_are_errors() {
    use std::os::unix::ffi::OsStrExt;
    let fake = Fake::start();
    let helper = Helper::new().asks(&fake).on_instance(&fake);
    helper.secret(HOST);
    fake.forget();
    for name in [
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_PROFILE",
        "AWS_ROLE_ARN",
        "AWS_SESSION_TOKEN",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_ENDPOINT_URL_STS",
        "AWS_EC2_METADATA_DISABLED",
        "AWS_ECR_PROFILE",
    ] {
        let run = helper.run_of("get").env(name, OsStr::from_bytes(b"x\xff"));
        let output = run.stdin(HOST).run();
        assert_eq!(output.code, Some(1), "{name}: {output:?}");
        assert!(output.stderr.contains(name), "{name}: {output:?}");
        assert_eq!(fake.calls().len(), 0, "{name}");
    }
}
