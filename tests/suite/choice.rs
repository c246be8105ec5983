//! The source that is used where several are set up: the one that the AWS CLI uses.

use crate::sources::{HOST, jwt, keys_in, profile, role};
use crate::support::fake::{Answer, Fake, Script};
use crate::support::run::{Helper, KEY_ID};

const SSO: &str = "sso_session = corp\nsso_account_id = 123456789012\nsso_role_name = Developer\n";
const SSO_SESSION: &str = "[sso-session corp]\nsso_region = eu-west-1\n\
    sso_start_url = https://example.awsapps.com/start\n";
const CONSOLE: &str = "arn:aws:iam::123456789012:user/dev";
/// cmd.exe prints quotes as they are.
const PROCESS: &str = match cfg!(windows) {
    true => {
        "credential_process = echo {\"Version\":1,\"AccessKeyId\":\"AKIAFAKEPROCESS00001\",\
        \"SecretAccessKey\":\"s\"}\n"
    }
    false => {
        "credential_process = echo '{\"Version\":1,\"AccessKeyId\":\"AKIAFAKEPROCESS00001\",\
        \"SecretAccessKey\":\"s\"}'\n"
    }
};
const CONFIG_KEYS: &str = "aws_access_key_id = AKIAFAKECONFIG000001\naws_secret_access_key = s\n";
const PROFILE: &str = "AKIAFAKEPROFILE00001";

/// `[profile dev]` with other sections, and the first call to AWS that has to follow.
struct Choice {
    name: &'static str,
    config: String,
    first: &'static str,
}

fn choice(name: &'static str, text: &[&str], first: &'static str) -> Choice {
    Choice {
        name,
        config: format!("[profile dev]\n{}", text.concat()),
        first,
    }
}

const LOGIN: &str = "login_session = arn:aws:iam::123456789012:user/dev\n";
const PROCESS_KEY: &str = "ecr AKIAFAKEPROCESS00001";
const LOGIN_KEY: &str = "ecr ASIALOGINCACHED00000";

fn all_but_roles() -> String {
    format!("{CONFIG_KEYS}{PROCESS}{LOGIN}{SSO}")
}

fn choices_without_roles() -> Vec<Choice> {
    let all = all_but_roles();
    vec![
        choice("process, keys", &[CONFIG_KEYS, PROCESS], PROCESS_KEY),
        choice("login, process", &[LOGIN, PROCESS], LOGIN_KEY),
        choice("login, keys", &[CONFIG_KEYS, LOGIN], LOGIN_KEY),
        choice("SSO, keys", &[CONFIG_KEYS, SSO, SSO_SESSION], "sso "),
        choice("SSO, process", &[PROCESS, SSO, SSO_SESSION], "sso "),
        choice("SSO, login", &[LOGIN, SSO, SSO_SESSION], "sso "),
        choice("all but roles", &[&all, SSO_SESSION], "sso "),
    ]
}

fn choices_with_roles() -> Vec<Choice> {
    let all = all_but_roles();
    let from = |source: &str| format!("role_arn = {}\nsource_profile = {source}\n", role("dev"));
    let (from_base, from_b2) = (from("base"), from("b2"));
    let base = keys_in("profile base", "AKIAFAKEBASE00000001");
    let b2 = keys_in("profile b2", "AKIAFAKEBASE00000002");
    let web = format!(
        "role_arn = {}\nweb_identity_token_file = TOKEN\n",
        role("web")
    );
    vec![
        choice(
            "role, all others",
            &[&all, &from_base, SSO_SESSION, &base],
            "sts AKIAFAKEBASE00000001",
        ),
        choice("web identity, all", &[&all, &web, SSO_SESSION], "sts "),
        choice(
            "role over a source with all others",
            &[&from_base, "[profile base]\n", &all, SSO_SESSION],
            "sso ",
        ),
        choice(
            "role over a source with a role and keys",
            &[&from_base, "[profile base]\n", CONFIG_KEYS, &from_b2, &b2],
            "sts AKIAFAKECONFIG000001",
        ),
        choice(
            "role over its own keys and a process",
            &[&from("dev"), CONFIG_KEYS, PROCESS],
            "sts AKIAFAKEPROCESS00001",
        ),
    ]
}

/// The service of the first call and the key that signed it.
fn first_call(fake: &Fake, helper: &Helper) -> String {
    fake.forget();
    let output = helper.get(HOST);
    match (output.code, fake.calls().first()) {
        (Some(0), Some(call)) => {
            let key = call.access_key_id.as_deref().unwrap_or_default();
            format!("{} {key}", call.service)
        }
        _ => output.stderr,
    }
}

#[test]
fn profile_of_several_sources_uses_the_aws_clis() {
    let fake = Fake::start();
    let mut wrong = Vec::new();
    for choice in choices_without_roles()
        .into_iter()
        .chain(choices_with_roles())
    {
        let helper = profile(&fake, "")
            .sso_login("corp", 3600)
            .aws_login(CONSOLE, 840)
            .file("~/token", jwt("ci", 1));
        let token = helper.path("~/token").display().to_string();
        let helper = helper.file("~/.aws/config", choice.config.replace("TOKEN", &token));
        let first = first_call(&fake, &helper);
        if first != choice.first {
            wrong.push(format!("{}: {first}, not {}", choice.name, choice.first));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn keys_in_the_credentials_file_come_before_config() {
    let fake = Fake::start();
    let mut wrong = Vec::new();
    for (name, text, first) in [
        ("process", PROCESS, format!("ecr {PROFILE}")),
        ("login", LOGIN, format!("ecr {PROFILE}")),
        ("keys", CONFIG_KEYS, format!("ecr {PROFILE}")),
        ("SSO", SSO, "sso ".to_owned()),
    ] {
        let helper = profile(&fake, &format!("[profile dev]\n{text}{SSO_SESSION}"))
            .file("~/.aws/credentials", keys_in("dev", PROFILE))
            .sso_login("corp", 3600)
            .aws_login(CONSOLE, 840);
        let chosen = first_call(&fake, &helper);
        if chosen != first {
            wrong.push(format!("{name}: {chosen}, not {first}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn variables_and_profiles_have_the_aws_clis_order() {
    let fake = Fake::start();
    let uri = format!("{}/creds", fake.url());
    let user = || {
        let helper = Helper::new().asks(&fake).on_instance(&fake);
        let helper = helper.file("~/token", jwt("ci", 1));
        let token = helper.path("~/token");
        helper
            .file("~/.aws/config", keys_in("default", "AKIAFAKEDEFAULT00001"))
            .keys()
            .env("AWS_WEB_IDENTITY_TOKEN_FILE", token)
            .env("AWS_ROLE_ARN", role("web"))
            .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", &uri)
    };
    let helper = user();
    let all = first_call(&fake, &helper);
    assert_eq!(all, format!("ecr {KEY_ID}"));
    let helper = helper
        .unset("AWS_ACCESS_KEY_ID")
        .unset("AWS_SECRET_ACCESS_KEY");
    assert_eq!(first_call(&fake, &helper), "sts ");
    let helper = helper
        .unset("AWS_WEB_IDENTITY_TOKEN_FILE")
        .unset("AWS_ROLE_ARN");
    let keys = first_call(&fake, &helper);
    assert_eq!(keys, "ecr AKIAFAKEDEFAULT00001");
    let helper = helper.file("~/.aws/config", "");
    assert_eq!(first_call(&fake, &helper), "container ");
    let helper = helper.unset("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    assert_eq!(first_call(&fake, &helper), "imds_token ");
}

#[test]
fn role_kept_for_other_keys_is_not_used() {
    let fake = Fake::start();
    let config = format!(
        "[profile dev]\nrole_arn = {}\nsource_profile = base\n{}",
        role("dev"),
        keys_in("profile base", PROFILE),
    );
    // The AWS CLI names the file by the role alone, not by the keys that the role was assumed with.
    let kept = r#"{"Credentials": {"AccessKeyId": "ASIAKEPTFOROTHERKEYS", "SecretAccessKey": "FAKE-SECRET-KEY", "SessionToken": "FAKE-SESSION-TOKEN", "Expiration": "2999-01-01T00:00:00UTC"}}"#;
    let file = "~/.aws/cli/cache/af854889538ac1a069a8274d5ee4dc500f8b1f91.json";
    let helper = profile(&fake, &config).file(file, kept);
    fake.change(|behaviour| {
        behaviour.sts = Script::always(Answer::error(403, "AccessDenied", "not authorized"));
    });
    let output = helper.get(HOST);
    assert_eq!(output.code, Some(1), "{output:?}");
    assert_eq!(fake.count("ecr"), 0);
}
