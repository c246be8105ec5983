//! The chosen source, and the message if there is none; fixtures for the other tests.

mod golden;
mod keys;
mod sessions;
mod settings;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use sha1::Sha1;
use sha2::Digest;

use self::keys::jwt;
use super::cache_key::hex;
use super::*;
use crate::env::{Env, HOME};
use crate::log::Log;
use crate::problem::{Problem, ProblemKind};

type Variables<'a> = &'a [(&'a str, &'a str)];

const HOST: &str = "123456789012.dkr.ecr.eu-central-1.amazonaws.com";
const CHINA: &str = "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn";

/// A home directory that goes away with the test.
struct Home(PathBuf);

impl Home {
    fn new(config: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("ecr-plan-{}-{next}", std::process::id()));
        let home = Self(dir);
        home.write(".aws/config", config);
        home
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().expect("below home")).expect("create");
        std::fs::write(&path, text).expect("write");
        path
    }

    fn surroundings(&self, vars: &[(&str, &str)]) -> Surroundings {
        let home = [(HOME, self.0.to_str().expect("UTF-8"))];
        let vars = home.iter().chain(vars).copied();
        Surroundings::read(&Env::of(vars), Log::off())
    }

    fn plan(&self, vars: &[(&str, &str)]) -> Result<Plan, Problem> {
        self.plan_for(HOST, vars)
    }

    fn plan_for(&self, host: &str, vars: &[(&str, &str)]) -> Result<Plan, Problem> {
        super::plan(
            &self.surroundings(vars),
            &registry(host),
            &Selection::default(),
        )
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn registry(host: &str) -> Registry {
    Registry::from_server_url(host).expect(host)
}

const KEYS: [(&str, &str); 2] = [
    ("AWS_ACCESS_KEY_ID", "AKIAENV"),
    ("AWS_SECRET_ACCESS_KEY", "sentinel"),
];
const STATIC: &str = "aws_access_key_id = AKIAFILE\naws_secret_access_key = sentinel\n";
const ROLE: &str = "arn:aws:iam::123456789012:role/r";
/// Files of an SSO session and of a console session.
const SSO_FILE: &str = r#"{"accessToken":"a","expiresAt":"2026-01-01T00:00:00Z"}"#;
const LOGIN_FILE: &str = r#"{"accessToken":{"accessKeyId":"ASIA"},"refreshToken":"r"}"#;
const TASK: &str = "/v2/credentials/0d67a2f2-1a5e-4c3a-9f3e-6b1b1b1b1b1b";

#[test]
#[expect(clippy::too_many_lines, reason = "one table of configurations")]
fn every_source_is_found_in_its_place() {
    let (sso, login) = (
        "sso_start_url = https://x\nsso_region = us-east-1\nsso_account_id = 1\nsso_role_name = r\n",
        "login_session = arn:aws:iam::123456789012:user/u\n",
    );
    let web = "web_identity_token_file = {home}/token\n";
    let role = format!("role_arn = {ROLE}\n");
    let process = "credential_process = /bin/p\n";
    let from = |source: &str| format!("{role}credential_source = {source}\n");
    let named = ("AWS_PROFILE", "base");
    let go = [("AWS_ACCESS_KEY", "AKIAGO"), ("AWS_SECRET_KEY", "sentinel")];
    let uri = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", TASK);
    let full = (
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "http://169.254.170.23/v1/credentials",
    );
    let token = ("AWS_WEB_IDENTITY_TOKEN_FILE", "{home}/token");
    let arn = ("AWS_ROLE_ARN", ROLE);
    let all = [KEYS[0], KEYS[1], token, arn, uri];
    #[rustfmt::skip]
    let cases: &[(&str, Variables<'_>, &str, usize, bool)] = &[
        // default profile, variables, source, roles, pinned
        ("", &all, "environment variables", 0, true),
        (STATIC, &[], "keys in a profile", 0, true),
        ("", &[KEYS[0], ("AWS_SECRET_KEY", "s")], "environment variables", 0, true),
        ("", &[("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", ""), uri], "container credentials", 0, true),
        ("", &go, "environment variables", 0, true),
        (STATIC, &go, "keys in a profile", 0, true),
        ("", &[go[0], go[1], uri], "container credentials", 0, true),
        // A web identity in variables comes before a default profile that is no assumed role.
        (STATIC, &all[2..], "web identity", 0, true),
        (sso, &all[2..], "web identity", 0, true),
        ("region = us-east-1\n", &all[2..], "web identity", 0, true),
        (&format!("{role}source_profile = base\n"), &all[2..], "keys in a profile", 1, true),
        ("", &[named, token, arn], "keys in a profile", 0, true),
        ("", &[("AWS_PROFILE", "blank"), token, arn], "web identity", 0, true),
        ("", &[arn, uri], "container credentials", 0, true),
        ("", &[uri, full], "container credentials", 0, true),
        ("", &[full], "container credentials", 0, false),
        ("", &[("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", ""), full], "container credentials", 0, false),
        ("", &[("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/creds")], "container credentials", 0, false),
        ("", &[("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", &format!("{TASK}?a=b"))], "container credentials", 0, false),
        ("", &[], "instance metadata", 0, false),
        (&format!("{role}source_profile = base\n"), &[], "keys in a profile", 1, true),
        (&format!("{role}source_profile = default\n{STATIC}"), &[], "keys in a profile", 1, true),
        (&format!("{role}source_profile = hop\n"), &[], "keys in a profile", 2, true),
        (&from("Ec2InstanceMetadata"), &[], "instance metadata", 1, false),
        (&from("EcsContainer"), &[uri], "container credentials", 1, true),
        (&format!("{role}source_profile = proc\n"), &[], "credential_process", 1, false),
        (process, &[], "credential_process", 0, false),
        (&format!("{role}{web}"), &[], "web identity", 0, true),
        (web, &[arn], "web identity", 0, true),
        (&format!("{web}{}", from("Ec2InstanceMetadata")), &[], "web identity", 0, true),
        (&format!("{role}{web}{sso}{STATIC}"), &[], "web identity", 0, true),
        (&format!("{sso}{login}{process}{STATIC}"), &[], "SSO", 0, true),
        (&format!("{login}{process}{STATIC}"), &[], "aws login", 0, true),
        (&format!("{process}{STATIC}"), &[], "credential_process", 0, false),
        ("sso_session = s\nsso_account_id = 1\nsso_role_name = r\n", &[], "SSO", 0, true),
        // Partial settings hide nothing.
        (&format!("sso_session = s\n{STATIC}"), &[], "keys in a profile", 0, true),
        (&format!("sso_region = us-east-1\n{STATIC}"), &[], "keys in a profile", 0, true),
        (&format!("login_session =\ncredential_process =\n{STATIC}"), &[], "keys in a profile", 0, true),
        (&format!("credential_source = Environment\n{STATIC}"), &[], "keys in a profile", 0, true),
    ];
    for (profile, vars, source, roles, pinned) in cases {
        let home = Home::new("");
        let here = home.0.to_str().expect("UTF-8");
        home.write("token", &jwt(r#"{"iss":"i","sub":"s"}"#));
        for id in ["https://x", "s"] {
            let file = cache_key::hex(&<sha1::Sha1 as sha2::Digest>::digest(id));
            home.write(&format!(".aws/sso/cache/{file}.json"), SSO_FILE);
        }
        let file = cache_key::hex(&<sha2::Sha256 as sha2::Digest>::digest(
            "arn:aws:iam::123456789012:user/u",
        ));
        home.write(&format!(".aws/login/cache/{file}.json"), LOGIN_FILE);
        let config = format!(
            "[default]\n{profile}\n[profile base]\n{STATIC}\n[profile blank]\n[profile hop]\n{role}source_profile = base\n\
             [profile proc]\n{process}\n[sso-session s]\nsso_region = us-east-1\nsso_start_url = https://x\n"
        );
        home.write(".aws/config", &config.replace("{home}", here));
        let vars: Vec<_> = vars
            .iter()
            .map(|(k, v)| (*k, v.replace("{home}", here)))
            .collect();
        let vars: Vec<_> = vars.iter().map(|(k, v)| (*k, v.as_str())).collect();
        let plan = home.plan(&vars).expect(profile);
        assert_eq!(plan.source_kind(), *source, "{profile} {vars:?}");
        assert_eq!(plan.roles.len(), *roles, "{profile}");
        assert_eq!(
            matches!(plan.identity, Identity::Pinned(_)),
            *pinned,
            "{profile} {vars:?}"
        );
        assert_eq!(plan.asks_a_process(), *source == "credential_process");
        assert!(!format!("{plan:?}").contains("sentinel"), "{plan:?}");
    }
}

#[test]
fn what_is_wrong_is_said_with_profile_and_key() {
    let role = format!("role_arn = {ROLE}\n");
    let dev = ("AWS_PROFILE", "dev");
    let off = ("AWS_EC2_METADATA_DISABLED", "true");
    let token = ("AWS_WEB_IDENTITY_TOKEN_FILE", "/token");
    #[rustfmt::skip]
    let cases: &[(&str, Variables<'_>, &str, &str)] = &[
        // files, variables, cause, hint
        ("", &[off], "no AWS credentials found", "AWS_PROFILE"),
        (&format!("[default]\n{STATIC}"), &KEYS[..1], "AWS_ACCESS_KEY_ID is set, but AWS_SECRET_ACCESS_KEY is not", "set AWS_SECRET_ACCESS_KEY"),
        (&format!("[default]\n{STATIC}"), &KEYS[1..], "AWS_SECRET_ACCESS_KEY is set, but AWS_ACCESS_KEY_ID is not", "set AWS_ACCESS_KEY_ID"),
        ("", &[KEYS[0], ("AWS_SECRET_ACCESS_KEY", "")], "AWS_ACCESS_KEY_ID is set, but", "unset AWS_ACCESS_KEY_ID"),
        ("", &[("AWS_ACCESS_KEY_ID", " "), KEYS[1]], "AWS_SECRET_ACCESS_KEY is set, but", "set AWS_ACCESS_KEY_ID"),
        (&format!("[default]\n{STATIC}"), &[token], "AWS_WEB_IDENTITY_TOKEN_FILE is set, but AWS_ROLE_ARN is not", "set AWS_ROLE_ARN"),
        ("", &[("AWS_WEB_IDENTITY_TOKEN_FILE", ""), ("AWS_ROLE_ARN", ROLE)], "AWS_ROLE_ARN is set, but", "set AWS_WEB_IDENTITY_TOKEN_FILE"),
        ("", &[KEYS[0], KEYS[1], dev], "no profile \"dev\"", "list-profiles"),
        ("", &[("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "ipv5")], "neither IPv4 nor IPv6", "set AWS_EC2"),
        ("", &[("AWS_METADATA_SERVICE_TIMEOUT", "soon")], "not a positive number", "set AWS_METADATA_SERVICE_TIMEOUT"),
        ("", &[dev], "no profile \"dev\", which AWS_PROFILE names", "list-profiles"),
        ("[profile dev]\naws_access_key_id = x", &[dev], "aws_secret_access_key is missing", "\"dev\""),
        ("[default]\naws_secret_access_key = sentinel", &[], "aws_access_key_id is missing", "\"default\""),
        (&format!("[default]\n{role}"), &[], "source_profile is missing", "source_profile"),
        (&format!("[default]\n{role}source_profile = no"), &[], "no profile \"no\", which source_profile of profile \"default\" names", "source_profile"),
        (&format!("[default]\n{role}source_profile = a\n[profile a]\n{role}source_profile = default"), &[], "circular source_profile: default -> a -> default", "correct"),
        (&format!("[default]\n{role}source_profile = default"), &[], "is its own source_profile", "keys"),
        (&format!("[default]\n{role}source_profile = a\n[profile a]\nregion = x"), &[], "the source_profile of \"default\", holds no credentials", "\"a\""),
        (&format!("[default]\n{role}source_profile = a\ncredential_source = Environment"), &[], "exclude each other", "correct"),
        (&format!("[default]\n{role}credential_source = Moon"), &[], "credential_source is none of", "correct"),
        (&format!("[default]\n{role}credential_source = Environment"), &[], "AWS_ACCESS_KEY_ID is not set", "AWS_ACCESS_KEY_ID"),
        (&format!("[default]\n{role}credential_source = EcsContainer"), &[], "no container URI", "ECS"),
        (&format!("[default]\n{role}credential_source = Ec2InstanceMetadata"), &[off], "AWS_EC2_METADATA_DISABLED", "unset"),
        ("[default]\nweb_identity_token_file = /t", &[], "role_arn is missing", "role_arn"),
        (&format!("[default]\n{role}web_identity_token_file = /no/such"), &[], "/no/such that web_identity_token_file of profile \"default\" names", "web_identity_token_file"),
        ("[default]\ncredential_process =", &[], "credential_process is missing", "credential_process"),
        ("[default]\nlogin_session =", &[], "login_session is missing", "login_session"),
        ("[default]\nsso_session =\nsso_account_id = 1", &[], "sso_session is missing", "sso_session"),
        ("[default]\nsso_session = s\nsso_account_id = 1", &[], "no [sso-session s]", "aws configure sso-session"),
        ("[default]\nsso_session = s\nsso_role_name = r\n[sso-session s]\nsso_region = r", &[], "sso_start_url is missing", "sso_start_url"),
        ("[default]\nsso_start_url = u\nsso_region = r\nsso_role_name = r", &[], "sso_account_id is missing", "sso_account_id"),
        ("[default]\nsso_start_url = u\nsso_region = us-east-1a\nsso_account_id = 1\nsso_role_name = r", &[], "\"us-east-1a\", which is not a region", "set sso_region"),
        ("[default]\ncredential_source = Environment", &[], "role_arn is missing", "role_arn"),
        ("[default]\naws_session_token = t", &[], "aws_access_key_id is missing", "aws_access_key_id"),
        (&format!("[default]\n{role}credential_source = environment"), &[], "credential_source is none of", "correct"),
        ("[profile dev]\nsso_start_url = u\nsso_region = us-east-1\nsso_account_id = 1\nsso_role_name = r", &[dev], "\"dev\" is logged out", "aws sso login --profile dev"),
        ("[default]\nsso_start_url = u\nsso_region = us-east-1\nsso_account_id = 1\nsso_role_name = r", &[], "logged out", "aws sso login"),
        ("[profile dev]\nlogin_session = a", &[dev], "logged out of \"aws login\"", "aws login --profile dev"),
        ("[default]\nx", &[], ".aws/config, line 2: no '=' between", "correct this line"),
        (&format!("[default]\nendpoint_url = ftp://x\n{STATIC}"), &[], "endpoint_url of profile \"default\" is not a URL", "unset"),
        ("", &[KEYS[0], KEYS[1], ("AWS_ENDPOINT_URL_ECR", "x")], "AWS_ENDPOINT_URL_ECR is not a URL", "unset"),
        ("", &[KEYS[0], KEYS[1], ("AWS_ENDPOINT_URL_ECR", "http://")], "AWS_ENDPOINT_URL_ECR is not a URL", "unset"),
        ("", &[KEYS[0], KEYS[1], ("AWS_ENDPOINT_URL_ECR", "http:///x")], "AWS_ENDPOINT_URL_ECR is not a URL", "unset"),
        ("", &[KEYS[0], KEYS[1], ("AWS_ENDPOINT_URL_ECR", "http://a b")], "AWS_ENDPOINT_URL_ECR is not a URL", "unset"),
        ("", &[KEYS[0], KEYS[1], ("AWS_ENDPOINT_URL_ECR", "http://a\u{1}")], "AWS_ENDPOINT_URL_ECR is not a URL", "unset"),
    ];
    for (config, vars, cause, hint) in cases {
        let error = Home::new(config).plan(vars).expect_err(config);
        let text = error.to_string().replace('\\', "/");
        assert!(text.contains(cause), "{config:?}: {text}");
        assert!(error.hint().contains(hint), "{config:?}: {}", error.hint());
        assert!(!format!("{text}{error:?}").contains("sentinel"), "{text}");
    }
}

#[test]
fn environment_keys_win_over_unusable_files() {
    let home = Home::new("[default\nregion = x");
    let plan = home.plan(&KEYS).expect("keys");
    assert_eq!(plan.source_kind(), "environment variables");
    assert!(home.plan(&[]).is_err());
}

#[test]
fn incomplete_profile_never_leads_to_metadata() {
    for profile in ["sso_role_name = u", "aws_access_key_id = x", "role_arn = r"] {
        let home = Home::new(&format!("[default]\n{profile}"));
        assert!(home.plan(&[]).is_err(), "{profile}");
    }
}

#[test]
fn the_default_profile_needs_no_naming() {
    for (config, hint) in [
        ("[default]\nlogin_session = a", "aws login"),
        (
            "[default]\nsso_start_url = u\nsso_region = us-east-1\nsso_account_id = 1\nsso_role_name = r",
            "aws sso login",
        ),
    ] {
        let error = Home::new(config).plan(&[]).expect_err("logged out");
        assert_eq!(error.hint(), format!("run {hint}"));
    }
}

#[test]
fn a_selection_comes_before_variables() {
    let config =
        format!("[default]\nregion = x\n[profile dev]\n{STATIC}[profile empty]\nregion = x\n");
    let home = Home::new(&config);
    let named = |value: &str| {
        Some(Named {
            value: value.to_owned(),
            named_by: "the test".to_owned(),
        })
    };
    let surroundings = home.surroundings(&KEYS);
    let select = |profile, role_arn| {
        let selection = Selection {
            profile,
            role_arn,
            web_identity: None,
        };
        plan(&surroundings, &registry(HOST), &selection)
    };
    let source = |plan: &Plan| plan.source_kind();
    let dev = select(named("dev"), None).expect("dev");
    assert_eq!((source(&dev), dev.roles.len()), ("keys in a profile", 0));
    let role = select(named("dev"), named(ROLE)).expect("dev");
    assert_eq!((source(&role), role.roles.len()), ("keys in a profile", 1));
    let role = select(None, named(ROLE)).expect("keys");
    assert_eq!(
        (source(&role), role.roles.len()),
        ("environment variables", 1)
    );
    assert_eq!(role.roles[0].role_arn, ROLE);
    for profile in ["none", "empty"] {
        let error = select(named(profile), None).expect_err(profile);
        let text = error.to_string();
        assert!(
            text.contains("the test") && text.contains(profile),
            "{text}"
        );
        assert_eq!(error.kind(), ProblemKind::Configuration);
    }
    let pod = Selection {
        web_identity: Some(PodIdentity {
            role_arn: ROLE.to_owned(),
            session_name: "s".to_owned(),
            token: Secret::from("a.b.c"),
        }),
        ..Selection::default()
    };
    let pod = plan(&surroundings, &registry(HOST), &pod).expect("pod");
    assert_eq!(
        (source(&pod), pod.identity),
        ("web identity", Identity::Ambient)
    );
}

#[test]
fn profile_may_repeat_its_sso_session_settings() {
    let config = |url: &str| {
        format!(
            "[default]\nsso_session = s\nsso_start_url = {url}\nsso_account_id = 1\nsso_role_name = r\n\
             [sso-session s]\nsso_region = us-east-1\nsso_start_url = https://x\n"
        )
    };
    for (url, taken) in [("https://x", true), ("https://y", false)] {
        let home = Home::new(&config(url));
        let login = hex(&Sha1::digest("s"));
        home.write(&format!(".aws/sso/cache/{login}.json"), SSO_FILE);
        match home.plan(&[]) {
            Ok(plan) => assert!(taken && matches!(plan.source, Source::Sso(_))),
            Err(error) => {
                assert!(!taken, "{error}");
                assert!(error.to_string().contains("sso_start_url"), "{error}");
            }
        }
    }
}

#[test]
fn keys_end_a_chain_of_roles_where_a_role_would_go_on() {
    let config = format!(
        "[default]\nrole_arn = {ROLE}\nsource_profile = b\n\
         [profile b]\nrole_arn = {ROLE}\nsource_profile = c\n{STATIC}\
         [profile c]\naws_access_key_id = AKIAOTHER\naws_secret_access_key = s\n"
    );
    let plan = Home::new(&config).plan(&[]).expect("plan");
    assert_eq!(plan.roles.len(), 1);
    match plan.source {
        Source::Static { profile, keys } => {
            assert_eq!(
                (profile.as_str(), keys.access_key_id.as_str()),
                ("b", "AKIAFILE")
            );
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn files_of_boto_come_before_containers() {
    let boto = "[Credentials]\naws_access_key_id = AKIABOTO\naws_secret_access_key = s\n";
    let task = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", TASK);
    let home = Home::new("[default]\nregion = us-east-1\n");
    let path = home.write("keys", boto);
    let named = ("BOTO_CONFIG", path.to_str().expect("UTF-8"));
    let id = |plan: Plan| match plan.source {
        Source::Static { keys, .. } => keys.access_key_id,
        other => other.id().to_owned(),
    };
    assert_eq!(id(home.plan(&[task]).expect("plan")), "container");
    assert_eq!(id(home.plan(&[task, named]).expect("plan")), "AKIABOTO");
    home.write("keys", "[Credentials]\naws_access_key_id = AKIABOTO\n");
    let error = home.plan(&[task, named]).expect_err("half a pair");
    assert!(error.to_string().contains("secret"), "{error}");
    home.write("keys", "AWSAccessKeyId = AKIAOLD\nAWSSecretKey = s\n");
    let old = ("AWS_CREDENTIAL_FILE", named.1);
    assert_eq!(id(home.plan(&[task, old]).expect("plan")), "AKIAOLD");
}

#[test]
fn services_section_must_be_there() {
    for services in ["", "[services s]\n", "[services s]\necr = http://x\n"] {
        let config = format!("[default]\nservices = s\n{STATIC}{services}");
        let error = Home::new(&config).plan(&[]).expect_err(services);
        assert!(error.to_string().contains("[services s]"), "{error}");
    }
}

#[test]
fn endpoints_lose_user_and_password() {
    for (url, expected) in [
        ("http://user:pass@x/y", Some("http://x/y")),
        ("https://a@b@x:8080", Some("https://x:8080")),
        ("http://user:pass@", None),
        ("http://x/@y", Some("http://x/@y")),
    ] {
        let config = format!("[default]\nendpoint_url = {url}\n{STATIC}");
        let plan = Home::new(&config).plan(&[]);
        let found = plan.ok().map(|plan| plan.api.url);
        assert_eq!(found.as_deref(), expected, "{url}");
    }
}
