//! `store`, `erase` and `list`: what `docker login` and `docker logout` leave behind.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::sources::PROCESS_KEYS;
use crate::support::fake::Fake;
use crate::support::run::{Helper, Output, echo};

const HOST: &str = "123456789012.dkr.ecr.us-east-1.amazonaws.com";
const OTHER: &str = "210987654321.dkr.ecr.eu-west-1.amazonaws.com";

/// A password of ECR's making that ends in so many seconds.
fn password(expires_in: i64) -> String {
    let expiration = chrono::Utc::now().timestamp() + expires_in;
    STANDARD.encode(format!(
        r#"{{"payload":"p","datakey":"d","version":"2","type":"DATA_KEY","expiration":{expiration}}}"#
    ))
}

fn store(helper: &Helper, server_url: &str, username: &str, secret: &str) -> Output {
    let stdin = serde_json::json!({
        "ServerURL": server_url, "Username": username, "Secret": secret,
    });
    helper.run_of("store").stdin(stdin.to_string()).run()
}

fn erase(helper: &Helper, server_url: &str) -> Output {
    helper.run_of("erase").stdin(server_url).run()
}

fn list(helper: &Helper) -> serde_json::Value {
    let output = helper.run_of("list").stdin("unused").run();
    assert_eq!(
        (output.code, output.stderr.as_str()),
        (Some(0), ""),
        "{output:?}"
    );
    serde_json::from_str(&output.stdout).expect("JSON")
}

#[test]
fn a_stored_login_serves_without_aws_credentials() {
    let fake = Fake::start();
    let helper = Helper::new();
    let secret = password(3600);
    store(&helper, &format!("https://{HOST}"), "AWS", &secret).expect(0, "", "");
    assert_eq!(helper.secret(HOST), secret, "there are no AWS credentials");
    assert_eq!(list(&helper), serde_json::json!({ HOST: "AWS" }));
    assert_eq!(helper.get(OTHER).code, Some(1), "it is for one registry");
    let strict = helper
        .run_of("get")
        .env("AWS_ECR_STRICT", "true")
        .stdin(HOST);
    strict.run().expect(
        1,
        &format!("{HOST}: no AWS credentials found\n"),
        &format!(
            "docker-credential-ecr-login: {HOST}: no AWS credentials found\n\
         hint: set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, run aws configure, \
         or give this machine a role\n"
        ),
    );
    let helper = helper.asks(&fake).keys();
    assert_ne!(helper.secret(HOST), secret, "AWS credentials go first");
}

#[test]
fn a_stored_login_never_hides_a_failure() {
    let helper = Helper::new();
    store(&helper, HOST, "AWS", &password(3600)).expect(0, "", "");
    let gone = "http://127.0.0.1:1";
    for (what, variables) in [
        ("a misspelt profile", &[("AWS_PROFILE", "misspelt")][..]),
        ("half a key", &[("AWS_PROFILE", "half")]),
        (
            "AWS cannot be reached",
            &[
                ("AWS_ACCESS_KEY_ID", "AKIA"),
                ("AWS_SECRET_ACCESS_KEY", "s"),
                ("AWS_ENDPOINT_URL", gone),
            ],
        ),
        ("logged out of SSO", &[("AWS_PROFILE", "sso")]),
        ("no token file", &[("AWS_PROFILE", "web")]),
        (
            "no container endpoint",
            &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/")],
        ),
    ] {
        helper.write(
            "~/.aws/config",
            "[profile half]\naws_access_key_id = AKIA\n\
             [profile sso]\nsso_session = s\nsso_account_id = 123456789012\nsso_role_name = r\n\
             [sso-session s]\nsso_start_url = https://x.awsapps.com/start\nsso_region = us-east-1\n\
             [profile web]\nrole_arn = arn:aws:iam::123456789012:role/r\n\
             web_identity_token_file = /no/such/file\n",
        );
        let run = variables
            .iter()
            .fold(helper.run_of("get"), |run, (name, value)| {
                run.env(name, value)
            });
        let output = run.env("AWS_ECR_TIMEOUT", "3").stdin(HOST).run();
        assert_eq!(output.code, Some(1), "{what}: {output:?}");
        assert_eq!(output.stderr.lines().count(), 2, "{what}: {output:?}");
    }
    helper.secret(HOST);
}

/// `ecr-login password` prints it for `docker login`, which hands it to `store`.
#[test]
fn printed_password_does_not_become_a_stored_login() {
    let fake = Fake::start();
    let helper = Helper::with_keys(&fake);
    let cached = helper.secret(HOST);
    helper.age(HOST, 3600);
    for least in ["1h", "11h30m"] {
        let run = helper.run_of("password").arg("--min-life").arg(least);
        let output = run.arg(HOST).run();
        let printed = output.stdout.trim();
        assert_eq!(printed == cached, least == "1h", "{output:?}");
        store(&helper, HOST, "AWS", printed).expect(0, "", "");
    }
    let helper = helper
        .unset("AWS_ACCESS_KEY_ID")
        .unset("AWS_SECRET_ACCESS_KEY");
    assert_eq!(helper.get(HOST).code, Some(1));
}

#[test]
fn what_cannot_be_trusted_is_accepted_but_not_kept() {
    let fake = Fake::start();
    let helper = Helper::with_keys(&fake);
    let ours = helper.secret(HOST);
    for (username, secret) in [
        ("AWS", "plain".to_owned()),
        ("AWS", String::new()),
        ("AWS", password(-1)),
        ("bob", password(3600)),
        ("AWS", ours),
    ] {
        store(&helper, HOST, username, &secret).expect(0, "", "");
    }
    let helper = helper.unset("AWS_ACCESS_KEY_ID");
    assert_eq!(helper.get(HOST).code, Some(1), "nothing was kept");
}

#[test]
fn a_login_elsewhere_is_refused_with_a_way_out() {
    let output = store(&Helper::new(), "https://index.docker.io/v1/", "bob", "pw");
    assert_eq!((output.code, output.stderr.as_str()), (Some(1), ""));
    assert!(output.stdout.contains("credHelpers"), "{output:?}");
    assert!(!output.stdout.contains("pw\""), "{output:?}");
}

#[test]
fn erase_forgets_every_principal_of_one_registry() {
    let fake = Fake::start();
    let helper = Helper::with_keys(&fake);
    helper.secret(HOST);
    helper.secret(OTHER);
    let helper = helper.env("AWS_ACCESS_KEY_ID", "AKIAFAKEENVIRONMENT2");
    helper.secret(HOST);
    store(&helper, HOST, "AWS", &password(3600)).expect(0, "", "");
    assert_eq!(fake.count("ecr"), 3);

    // docker logout calls with up to four forms.
    for form in [
        HOST.to_owned(),
        format!("http://{HOST}"),
        format!("https://{HOST}/"),
    ] {
        erase(&helper, &form).expect(0, "", "");
    }
    assert_eq!(
        list(&helper),
        serde_json::json!({}),
        "the other key has OTHER"
    );
    helper.secret(HOST);
    let helper = helper.keys();
    helper.secret(HOST);
    helper.secret(OTHER);
    assert_eq!(
        fake.count("ecr"),
        5,
        "only the erased ones are asked for again"
    );
}

#[test]
fn erase_of_what_is_not_there_succeeds() {
    let helper = Helper::new();
    for host in [
        HOST,
        "docker.io",
        "https://index.docker.io/v1/",
        "public.ecr.aws",
    ] {
        erase(&helper, host).expect(0, "", "");
    }
    assert!(helper.files("~/").is_empty(), "and leaves nothing behind");
}

#[test]
fn storage_can_be_ignored_for_every_host() {
    let fake = Fake::start();
    let helper = Helper::with_keys(&fake).env("AWS_ECR_IGNORE_CREDS_STORAGE", "true");
    helper.secret(HOST);
    for host in [HOST, "docker.io"] {
        store(&helper, host, "AWS", &password(3600)).expect(0, "", "");
        erase(&helper, host).expect(0, "", "");
    }
    helper.secret(HOST);
    assert_eq!(fake.count("ecr"), 1);
}

#[test]
fn list_names_what_get_can_serve_and_nothing_else() {
    let fake = Fake::start();
    let helper = Helper::with_keys(&fake);
    assert_eq!(list(&helper), serde_json::json!({}));
    helper.secret(&format!("https://{HOST}/v2/"));
    helper.secret("public.ecr.aws");
    helper.write(
        "~/.docker/config.json",
        format!(
            r#"{{"credHelpers":{{"https://{OTHER}":"ecr-login","docker.io":"ecr-login",
            "333333333333.dkr.ecr.us-east-1.amazonaws.com":"osxkeychain"}}}}"#
        ),
    );
    fake.forget();
    assert_eq!(
        list(&helper),
        serde_json::json!({ HOST: "AWS", OTHER: "AWS", "public.ecr.aws": "AWS" })
    );
    let helper = helper.env("AWS_ACCESS_KEY_ID", "AKIAFAKEENVIRONMENT2");
    assert_eq!(
        list(&helper),
        serde_json::json!({ OTHER: "AWS" }),
        "another principal"
    );
    assert_eq!(fake.calls().len(), 0, "list makes no request");
}

#[test]
fn list_starts_no_process_and_names_ambient_entries() {
    let fake = Fake::start();
    let helper = Helper::new().asks(&fake);
    let ran = helper.path("~/ran");
    let command = format!("echo x>>\"{}\"&& {}", ran.display(), echo(PROCESS_KEYS));
    helper.write(
        "~/.aws/config",
        format!("[default]\ncredential_process = {command}\n"),
    );
    helper.secret(HOST);
    let runs = || helper.read("~/ran").lines().count();
    assert_eq!(runs(), 1);
    assert_eq!(list(&helper), serde_json::json!({ HOST: "AWS" }));
    assert_eq!(runs(), 1);
}

#[test]
fn broken_docker_config_does_not_fail_list() {
    for text in [
        "",
        "null",
        "[",
        r#"{"credHelpers":7}"#,
        r#"{"credHelpers":{"a":1}}"#,
    ] {
        let helper = Helper::new().file("~/.docker/config.json", text);
        assert_eq!(list(&helper), serde_json::json!({}), "{text}");
    }
}

#[test]
fn what_was_kept_is_erased_also_while_nothing_is_kept() {
    let fake = Fake::start();
    let helper = Helper::with_keys(&fake);
    helper.secret(HOST);
    let helper = helper.env("AWS_ECR_DISABLE_CACHE", "1");
    erase(&helper, HOST).expect(0, "", "");
    assert_eq!(helper.files("~/.cache").len(), 0);
}

#[cfg(unix)]
#[test]
fn erase_fails_where_files_cannot_be_removed() {
    use std::os::unix::fs::PermissionsExt;
    let fake = Fake::start();
    let helper = Helper::with_keys(&fake);
    helper.secret(HOST);
    let cache = helper.path("~/.cache/docker-credential-ecr-login");
    let mode = |mode| std::fs::set_permissions(&cache, std::fs::Permissions::from_mode(mode));
    mode(0o770).expect("ours");
    let output = erase(&helper, HOST);
    assert_eq!(output.code, Some(1));
    assert!(output.stdout.contains("can be written by group or others"));
    assert!(output.stderr.contains("\nhint: "), "{output:?}");
}
