//! The table of sources, and of what does and does not change a name.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::cache_key::hex;
use super::*;
use crate::env::Env;
use crate::log::Log;
use crate::problem::{Problem, ProblemKind};

type Vars<'a> = &'a [(&'a str, &'a str)];

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
        let home = [("HOME", self.0.to_str().expect("UTF-8"))];
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

fn jwt(claims: &str) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.sig", part(r#"{"alg":"RS256"}"#), part(claims))
}

const KEYS: [(&str, &str); 2] = [
    ("AWS_ACCESS_KEY_ID", "AKIAENV"),
    ("AWS_SECRET_ACCESS_KEY", "sentinel"),
];
const STATIC: &str = "aws_access_key_id = AKIAFILE\naws_secret_access_key = sentinel\n";
const ROLE: &str = "arn:aws:iam::123456789012:role/r";
const TASK: &str = "/v2/credentials/0d67a2f2-1a5e-4c3a-9f3e-6b1b1b1b1b1b";

#[test]
fn every_source_is_found_in_its_place() {
    let (sso, login) = (
        "sso_start_url = https://x\nsso_region = us-east-1\nsso_account_id = 1\nsso_role_name = r\n",
        "login_session = arn:aws:iam::123456789012:user/u\n",
    );
    let web = "web_identity_token_file = {home}/token\n";
    let role = format!("role_arn = {ROLE}\n");
    let process = "credential_process = /bin/p\n";
    let named = |source: &str| format!("{role}credential_source = {source}\n");
    let uri = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", TASK);
    let full = (
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "http://169.254.170.23/v1/credentials",
    );
    let token = ("AWS_WEB_IDENTITY_TOKEN_FILE", "{home}/token");
    let arn = ("AWS_ROLE_ARN", ROLE);
    let all = [KEYS[0], KEYS[1], token, arn, uri];
    #[rustfmt::skip]
    let cases: &[(&str, Vars<'_>, &str, usize, bool)] = &[
        // default profile, variables, source, roles, pinned
        ("", &all, "environment variables", 0, true),
        (STATIC, &KEYS[..1], "keys in a profile", 0, true),
        ("", &[KEYS[0], ("SECRET_ACCESS_KEY", "s")], "environment variables", 0, true),
        ("", &[("AWS_ACCESS_KEY_ID", " "), KEYS[1], uri], "container credentials", 0, true),
        (STATIC, &all[2..], "keys in a profile", 0, true),
        ("region = us-east-1\n", &all[2..], "web identity", 0, true),
        ("", &[token, uri], "container credentials", 0, true),
        ("", &[uri, full], "container credentials", 0, true),
        ("", &[full], "container credentials", 0, false),
        ("", &[("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/creds")], "container credentials", 0, false),
        ("", &[("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", &format!("{TASK}?a=b"))], "container credentials", 0, false),
        ("", &[], "instance metadata", 0, false),
        (&format!("{role}source_profile = base\n"), &[], "keys in a profile", 1, true),
        (&format!("{role}source_profile = default\n{STATIC}"), &[], "keys in a profile", 1, true),
        (&format!("{role}source_profile = hop\n"), &[], "keys in a profile", 2, true),
        (&named("Ec2InstanceMetadata"), &[], "instance metadata", 1, false),
        (&named("ecsContainer"), &[uri], "container credentials", 1, true),
        (&format!("{role}source_profile = proc\n"), &[], "credential_process", 1, false),
        (process, &[], "credential_process", 0, false),
        (&format!("{role}{web}"), &[], "web identity", 0, true),
        (&format!("{role}{web}{sso}{STATIC}"), &[], "web identity", 0, true),
        (&format!("{sso}{login}{process}{STATIC}"), &[], "SSO", 0, true),
        (&format!("{login}{process}{STATIC}"), &[], "aws login", 0, true),
        (&format!("{process}{STATIC}"), &[], "credential_process", 0, false),
        ("sso_session = s\nsso_account_id = 1\nsso_role_name = r\n", &[], "SSO", 0, true),
    ];
    for (profile, vars, source, roles, pinned) in cases {
        let home = Home::new("");
        let here = home.0.to_str().expect("UTF-8");
        home.write("token", &jwt(r#"{"iss":"i","sub":"s"}"#));
        for id in ["https://x", "s"] {
            let file = cache_key::hex(&<sha1::Sha1 as sha2::Digest>::digest(id));
            home.write(&format!(".aws/sso/cache/{file}.json"), "{}");
        }
        let file = cache_key::hex(&<sha2::Sha256 as sha2::Digest>::digest(
            "arn:aws:iam::123456789012:user/u",
        ));
        home.write(&format!(".aws/login/cache/{file}.json"), "{}");
        let config = format!(
            "[default]\n{profile}\n[profile base]\n{STATIC}\n[profile hop]\n{role}source_profile = base\n\
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
    #[rustfmt::skip]
    let cases: &[(&str, Vars<'_>, &str, &str)] = &[
        // files, variables, cause, hint
        ("", &[off], "no AWS credentials found", "AWS_PROFILE"),
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
        (&format!("[profile dev]\n{role}source_profile = b\nmfa_serial = m\n[profile b]\n{STATIC}"), &[dev], "requires MFA", "export-credentials --profile dev"),
        ("[default]\nweb_identity_token_file = /t", &[], "role_arn is missing", "role_arn"),
        (&format!("[default]\n{role}web_identity_token_file = /no/such"), &[], "/no/such that web_identity_token_file of profile \"default\" names", "web_identity_token_file"),
        ("[default]\nsso_session = s", &[], "no [sso-session s]", "aws configure sso-session"),
        ("[default]\nsso_session = s\n[sso-session s]\nsso_region = r", &[], "sso_start_url is missing", "sso_start_url"),
        ("[default]\nsso_start_url = u\nsso_region = r", &[], "sso_account_id is missing", "sso_account_id"),
        ("[profile dev]\nsso_start_url = u\nsso_region = r\nsso_account_id = 1\nsso_role_name = r", &[dev], "\"dev\" is logged out", "aws sso login --profile dev"),
        ("[default]\nsso_start_url = u\nsso_region = r\nsso_account_id = 1\nsso_role_name = r", &[], "logged out", "aws sso login"),
        ("[profile dev]\nlogin_session = a", &[dev], "logged out of \"aws login\"", "aws login --profile dev"),
        ("[default]\ncredential_process =", &[], "credential_process is missing", "credential_process"),
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
        let text = error.to_string();
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
    for profile in ["sso_start_url = u", "aws_access_key_id = x", "role_arn = r"] {
        let home = Home::new(&format!("[default]\n{profile}"));
        assert!(home.plan(&[]).is_err(), "{profile}");
    }
}

fn pinned(plan: &Plan) -> String {
    match &plan.identity {
        Identity::Pinned(name) => name.as_str().to_owned(),
        Identity::Ambient => panic!("{plan:?} is ambient"),
    }
}

/// `base`, and then each change of it, which has to lead to a name of its own.
fn all_differ(base: (&str, Vars<'_>), changes: &[(&str, Vars<'_>)], host: &str) {
    let mut names = Vec::new();
    for (config, vars) in [base].iter().chain(changes) {
        let home = Home::new(config);
        for id in ["u", "u2", "s", "s2"] {
            let file = cache_key::hex(&<sha1::Sha1 as sha2::Digest>::digest(id));
            home.write(&format!(".aws/sso/cache/{file}.json"), "{}");
        }
        let plan = home.plan_for(host, vars).expect(config);
        let name = pinned(&plan);
        assert_eq!(name.len(), 64);
        assert!(!names.contains(&name), "{config:?} {vars:?}");
        names.push(name);
    }
}

#[test]
fn names_differ_with_keys_roles_and_endpoints() {
    let role = |extra: &str| {
        format!("[default]\nrole_arn = {ROLE}\nsource_profile = b\n{extra}\n[profile b]\n{STATIC}")
    };
    let other_key = role("").replace("AKIAFILE", "AKIAOTHER");
    let other_role = role("").replace("role/r", "role/other");
    let chain = format!(
        "[default]\nrole_arn = {ROLE}\nsource_profile = c\n[profile c]\nrole_arn = {ROLE}2\n\
         source_profile = b\n[profile b]\n{STATIC}"
    );
    #[rustfmt::skip]
    all_differ((&role(""), &[]), &[
        (&role("external_id = e"), &[]),
        (&role("external_id = f"), &[]),
        (&role("role_session_name = e"), &[]),
        (&role("external_id = e\nrole_session_name = e"), &[]),
        (&other_key, &[]),
        (&other_role, &[]),
        (&chain, &[]),
        (&chain.replace("role/r2", "role/r3"), &[]),
        (&format!("[default]\n{STATIC}"), &[]),
        (&role("region = us-west-2"), &[]),
        (&role(""), &[("AWS_ENDPOINT_URL_STS", "http://sts")]),
        (&role(""), &[("AWS_ENDPOINT_URL_ECR", "http://ecr")]),
        (&role("use_fips_endpoint = true"), &[]),
        (&role("use_dualstack_endpoint = true"), &[]),
        (&role(""), &KEYS),
        (&role(""), &[("AWS_ACCESS_KEY_ID", "AKIAFILE"), KEYS[1]]),
    ], HOST);
}

#[test]
fn names_differ_with_every_setting_of_sso() {
    const BASE: &str = "[default]\nsso_start_url = u\nsso_region = us-east-1\nsso_account_id = 1\nsso_role_name = r\n";
    let session = "[default]\nsso_session = s\nsso_account_id = 1\nsso_role_name = r\n\
                   [sso-session s]\nsso_start_url = u\nsso_region = us-east-1\n";
    #[rustfmt::skip]
    all_differ((BASE, &[]), &[
        (&BASE.replace("= u\n", "= u2\n"), &[]),
        (&BASE.replace("us-east-1", "us-east-2"), &[]),
        (&BASE.replace("id = 1", "id = 2"), &[]),
        (&BASE.replace("name = r", "name = q"), &[]),
        (session, &[]),
        (&session.replace("= s\n", "= s2\n").replace("on s]", "on s2]"), &[]),
        (BASE, &[("AWS_ENDPOINT_URL_SSO", "http://sso")]),
    ], HOST);
}

#[test]
fn names_differ_between_registries() {
    let home = Home::new(&format!("[default]\n{STATIC}"));
    let surroundings = home.surroundings(&[]);
    let mut names: Vec<_> = [
        HOST,
        "123456789013.dkr.ecr.eu-central-1.amazonaws.com",
        "123456789012.dkr.ecr.eu-west-1.amazonaws.com",
        "123456789012.dkr.ecr-fips.eu-central-1.amazonaws.com",
        "123456789012.dkr-ecr.eu-central-1.on.aws",
        "public.ecr.aws",
        "ecr-public.aws.com",
    ]
    .map(|host| pinned(&plan(&surroundings, &registry(host), &Selection::default()).expect(host)))
    .into();
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn web_identity_key_is_its_claims_not_its_token() {
    let home = Home::new("");
    let path = home.0.join("token");
    let vars = |path: &Path| {
        [
            (
                "AWS_WEB_IDENTITY_TOKEN_FILE",
                path.to_str().expect("UTF-8").to_owned(),
            ),
            ("AWS_ROLE_ARN", ROLE.to_owned()),
        ]
    };
    let name = |token: &str| {
        home.write("token", token);
        let vars = vars(&path);
        let vars: Vec<_> = vars.iter().map(|(k, v)| (*k, v.as_str())).collect();
        pinned(&home.plan(&vars).expect("token"))
    };
    let base = jwt(r#"{"iss":"i","sub":"s","aud":["a"],"exp":1}"#);
    let first = name(&base);
    assert_eq!(
        first,
        name(&jwt(r#"{"exp":2,"sub":"s","aud":["a"],"iss":"i"}"#)),
        "renewed"
    );
    assert_eq!(first, name(&format!("{base}\n")));
    let mut names = vec![first];
    for other in [
        jwt(r#"{"iss":"j","sub":"s","aud":["a"]}"#),
        jwt(r#"{"iss":"i","sub":"t","aud":["a"]}"#),
        jwt(r#"{"iss":"i","sub":"s","aud":["b"]}"#),
        jwt(r#"{"iss":"i","sub":"s"}"#),
        jwt(
            r#"{"iss":"i","sub":"s","aud":["a"],"https://aws.amazon.com/tags":{"principal_tags":{"a":["b"]}}}"#,
        ),
        "opaque".to_owned(),
        "opaque2".to_owned(),
        "a.b.c".to_owned(),
    ] {
        let name = name(&other);
        assert!(!names.contains(&name), "{other}");
        names.push(name);
    }
    std::fs::remove_file(&path).expect("remove");
    let vars = vars(&path);
    let vars: Vec<_> = vars.iter().map(|(k, v)| (*k, v.as_str())).collect();
    let error = home.plan(&vars).expect_err("missing");
    let text = error.to_string();
    assert!(
        text.contains("cannot read the web identity token"),
        "{text}"
    );
}

#[test]
fn cache_key_has_no_connection_setting_or_secret() {
    let config = |extra: &str| {
        format!("[default]\nrole_arn = {ROLE}\nsource_profile = b\n{extra}\n[profile b]\n{STATIC}")
    };
    let name = |config: String, vars: &[(&str, &str)]| {
        pinned(&Home::new(&config).plan(vars).expect("plan"))
    };
    let first = name(config(""), &[]);
    for extra in [
        "duration_seconds = 900",
        "ca_bundle = /x",
        "max_attempts = 7",
        "output = json",
    ] {
        assert_eq!(first, name(config(extra), &[]), "{extra}");
    }
    for var in [
        "HTTPS_PROXY",
        "AWS_CA_BUNDLE",
        "AWS_MAX_ATTEMPTS",
        "AWS_ECR_TIMEOUT",
    ] {
        assert_eq!(first, name(config(""), &[(var, "9")]), "{var}");
    }
    assert_eq!(first, name(config("").replace("sentinel", "other"), &[]));
}

#[test]
fn an_ambient_key_is_that_of_the_key_and_the_roles() {
    let role = format!("[default]\nrole_arn = {ROLE}\ncredential_source = Ec2InstanceMetadata");
    let name = |config: &str, key: &str| {
        let plan = Home::new(config).plan(&[]).expect("ambient");
        assert_eq!(plan.identity, Identity::Ambient);
        plan.ambient_key(&registry(HOST), key)
    };
    assert_eq!(name("", "ASIA1"), name("", "ASIA1"));
    assert_ne!(name("", "ASIA1"), name("", "ASIA2"));
    assert_ne!(name("", "ASIA1"), name(&role, "ASIA1"));
    assert_ne!(
        name(&role.replace("role/r", "role/q"), "ASIA1"),
        name(&role, "ASIA1")
    );
}

#[test]
fn an_endpoint_comes_from_the_most_specific_setting() {
    let config = "[default]\nservices = s\nendpoint_url = http://profile\n[services s]\necr =\n  endpoint_url = http://section\n\
                  ecr_public =\n  endpoint_url = http://public\n";
    let plain = config.replace("services = s", "");
    let off = format!(
        "[default]\nignore_configured_endpoint_urls = true\n{}",
        &config[10..]
    );
    let specific = ("AWS_ENDPOINT_URL_ECR", "http://specific");
    let global = ("AWS_ENDPOINT_URL", "http://global");
    let ignore = ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true");
    let real = "https://api.ecr.eu-central-1.amazonaws.com";
    #[rustfmt::skip]
    let cases: &[(&str, Vars<'_>, &str, &str)] = &[
        (config, &[specific, global], HOST, "http://specific"),
        (config, &[global], HOST, "http://global"),
        (config, &[], HOST, "http://section"),
        (config, &[], "public.ecr.aws", "http://public"),
        (&plain, &[], HOST, "http://profile"),
        (&plain, &[], "public.ecr.aws", "http://profile"),
        (config, &[ignore, specific], HOST, real),
        (&off, &[global], HOST, real),
        ("", &[("AWS_ENDPOINT_URL_ECR_PUBLIC", "http://p")], HOST, real),
    ];
    for (config, vars, host, url) in cases {
        let vars: Vec<_> = KEYS.iter().chain(*vars).copied().collect();
        let plan = Home::new(config).plan_for(host, &vars).expect(url);
        assert_eq!(plan.api.url.as_deref(), Some(*url), "{vars:?}");
    }
}

#[test]
fn endpoint_override_beats_fips_and_dual_stack() {
    let fips = ("AWS_USE_FIPS_ENDPOINT", "true");
    let host = "123456789012.dkr.ecr-fips.us-east-1.amazonaws.com";
    #[rustfmt::skip]
    let cases: &[(&str, Vars<'_>, bool, bool)] = &[
        (host, &[], true, false),
        (HOST, &[fips], true, false),
        (HOST, &[fips, ("AWS_USE_DUALSTACK_ENDPOINT", "TRUE")], true, true),
        (HOST, &[("AWS_USE_FIPS_ENDPOINT", "False")], false, false),
        (host, &[("AWS_ENDPOINT_URL", "http://x")], false, false),
    ];
    for (host, vars, fips, dual_stack) in cases {
        let vars: Vec<_> = KEYS.iter().chain(*vars).copied().collect();
        let plan = Home::new("").plan_for(host, &vars).expect(host);
        assert_eq!(
            (plan.api.fips, plan.api.dual_stack),
            (*fips, *dual_stack),
            "{vars:?}"
        );
    }
    let role = format!("[default]\nrole_arn = {ROLE}\nsource_profile = default\n{STATIC}");
    let plan = Home::new(&role).plan_for(host, &[]).expect("plan");
    assert!(
        plan.api.fips && !plan.roles[0].sts.fips,
        "the host speaks of ECR alone"
    );
}

#[test]
fn sts_is_asked_in_the_partition_of_the_role() {
    let role = |arn: &str, extra: &str| {
        format!(
            "[default]\nrole_arn = {arn}\nsource_profile = b\n{extra}\n[profile b]\nregion = us-west-1\n{STATIC}"
        )
    };
    let china = "arn:aws-cn:iam::123456789012:role/r";
    #[rustfmt::skip]
    let cases: &[(&str, Vars<'_>, &str, &str, &str)] = &[
        (ROLE, &[("AWS_REGION", "us-west-2"), ("AWS_DEFAULT_REGION", "us-east-2")], "region = x-1", HOST, "us-west-2"),
        (ROLE, &[("AWS_DEFAULT_REGION", "us-east-2")], "region = eu-west-3", HOST, "us-east-2"),
        (ROLE, &[], "region = eu-west-3", HOST, "eu-west-3"),
        (ROLE, &[], "", HOST, "us-west-1"),
        (ROLE, &[("AWS_REGION", "cn-north-1")], "region = cn-north-1", HOST, "eu-central-1"),
        (china, &[("AWS_REGION", "us-east-1")], "", CHINA, "cn-north-1"),
    ];
    for (arn, vars, extra, host, region) in cases {
        let home = Home::new(&role(arn, extra));
        let plan = home.plan_for(host, vars).expect(arn);
        assert_eq!(plan.roles[0].sts.region, *region, "{vars:?} {extra}");
        assert_eq!(plan.api.region, registry(host).region());
    }
    let error = Home::new(&role(china, ""))
        .plan(&[])
        .expect_err("China's role");
    assert!(
        error.to_string().contains("belongs to partition aws-cn"),
        "{error}"
    );
}

#[test]
fn sources_are_called_in_their_partition() {
    let sso = |region: &str| {
        format!(
            "[default]\nsso_start_url = https://x\nsso_region = {region}\nsso_account_id = 1\nsso_role_name = r\n"
        )
    };
    let login = |partition: &str| {
        format!("[default]\nlogin_session = arn:{partition}:iam::123456789012:user/u\n")
    };
    let web = |partition: &str| {
        format!(
            "[default]\nrole_arn = arn:{partition}:iam::123456789012:role/r\nweb_identity_token_file = {{home}}/token\n"
        )
    };
    for (ours, theirs) in [
        (sso("us-east-1"), sso("cn-north-1")),
        (login("aws"), login("aws-cn")),
        (web("aws"), web("aws-cn")),
    ] {
        let plan = |config: &str, region: &str| {
            let home = Home::new("");
            home.write("token", &jwt(r#"{"iss":"i","sub":"s"}"#));
            let start = "https://x";
            for (dir, name) in [
                ("sso", hex(&Sha1::digest(start))),
                (
                    "login",
                    hex(&Sha256::digest("arn:aws:iam::123456789012:user/u")),
                ),
                (
                    "login",
                    hex(&Sha256::digest("arn:aws-cn:iam::123456789012:user/u")),
                ),
            ] {
                home.write(&format!(".aws/{dir}/cache/{name}.json"), "{}");
            }
            let config = config.replace("{home}", home.0.to_str().expect("UTF-8"));
            home.write(".aws/config", &config);
            home.plan(&[("AWS_REGION", region)])
        };
        let refused = plan(&theirs, "us-west-2").expect_err(&theirs);
        assert!(refused.to_string().contains("partition"), "{refused}");
        let region = match plan(&ours, "us-west-2").expect(&ours).source {
            Source::WebIdentity(web) => web.sts.region,
            Source::Login(login) => login.signin.region,
            Source::Sso(_) => continue,
            other => panic!("{other:?}"),
        };
        assert_eq!(region, "us-west-2");
        let abroad = match plan(&ours, "cn-north-1").expect(&ours).source {
            Source::WebIdentity(web) => web.sts.region,
            Source::Login(login) => login.signin.region,
            other => panic!("{other:?}"),
        };
        assert_eq!(abroad, registry(HOST).region());
    }
}

#[test]
fn only_the_uri_of_one_task_names_its_role() {
    let long = format!("{TASK}0");
    let letters = TASK.replace('-', "a");
    for (uri, pinned) in [
        (TASK, true),
        (&TASK[1..], false),
        (&TASK[..TASK.len() - 1], false),
        (long.as_str(), false),
        (letters.as_str(), false),
        ("/v2/credentials/", false),
        ("/v2/credentials/0d67a2f2", false),
        ("/creds", false),
    ] {
        let vars = [("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", uri)];
        let plan = Home::new("").plan(&vars).expect(uri);
        assert_eq!(plan.identity != Identity::Ambient, pinned, "{uri}");
    }
}

#[test]
fn the_default_profile_needs_no_naming() {
    for (config, hint) in [
        ("[default]\nlogin_session = a", "aws login"),
        (
            "[default]\nsso_start_url = u\nsso_region = r\nsso_account_id = 1\nsso_role_name = r",
            "aws sso login",
        ),
    ] {
        let error = Home::new(config).plan(&[]).expect_err("logged out");
        assert_eq!(error.hint(), format!("run {hint}"));
    }
}

#[test]
fn a_region_is_looked_for_along_the_whole_chain() {
    let config = format!(
        "[default]\nrole_arn = {ROLE}\nsource_profile = a\n\
         [profile a]\nrole_arn = {ROLE}\nsource_profile = b\n\
         [profile b]\nregion = eu-west-2\n{STATIC}"
    );
    let plan = Home::new(&config).plan(&[]).expect("plan");
    assert_eq!(plan.roles[0].sts.region, "eu-west-2");
}

#[test]
fn no_attempt_at_all_is_no_setting() {
    for (text, expected) in [("0", None), ("1", Some(1)), ("-1", None), ("many", None)] {
        let vars = [KEYS[0], KEYS[1], ("AWS_MAX_ATTEMPTS", text)];
        let network = Home::new("").plan(&vars).expect("plan").network;
        assert_eq!(network.max_attempts, expected, "{text}");
    }
}

#[test]
fn container_settings_are_in_the_plan() {
    let home = Home::new("");
    let vars = [
        (
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "http://127.0.0.1/x?key=sentinel",
        ),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "sentinel"),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "~/token"),
    ];
    let plan = home.plan(&vars).expect("plan");
    assert!(!format!("{plan:?}").contains("sentinel"), "{plan:?}");
    let Source::Container(container) = plan.source else {
        panic!("{:?}", plan.source);
    };
    assert_eq!(container.uri.expose(), vars[0].1);
    assert!(!container.relative);
    assert_eq!(container.token, Some(Secret::from("sentinel")));
    assert_eq!(container.token_file, Some(home.0.join("token")));
}

#[test]
fn instance_metadata_settings_are_in_the_plan() {
    let config = "[default]\nmetadata_service_timeout = 2.5\n\
                  metadata_service_num_attempts = 4\nec2_metadata_v1_disabled = true\n";
    let metadata = |config: &str, vars: Vars<'_>| match Home::new(config).plan(vars) {
        Ok(Plan {
            source: Source::InstanceMetadata(metadata),
            ..
        }) => metadata,
        other => panic!("{other:?}"),
    };
    assert_eq!(metadata("", &[]), InstanceMetadata::default());
    let of_profile = InstanceMetadata {
        timeout: Some(Duration::from_secs_f32(2.5)),
        attempts: Some(4),
        v1_disabled: true,
        ..InstanceMetadata::default()
    };
    assert_eq!(metadata(config, &[]), of_profile);
    let vars = [
        ("AWS_METADATA_SERVICE_TIMEOUT", "1"),
        ("AWS_METADATA_SERVICE_NUM_ATTEMPTS", "2"),
        ("AWS_EC2_METADATA_V1_DISABLED", "false"),
        ("AWS_IMDS_USE_IPV6", "true"),
    ];
    let of_variables = InstanceMetadata {
        ipv6: true,
        timeout: Some(Duration::from_secs(1)),
        attempts: Some(2),
        ..InstanceMetadata::default()
    };
    assert_eq!(metadata(config, &vars), of_variables);
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
        home.write(&format!(".aws/sso/cache/{login}.json"), "{}");
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
fn console_session_key_has_its_directory() {
    let arn = "arn:aws:iam::123456789012:user/u";
    let home = Home::new(&format!("[default]\nlogin_session = {arn}\n"));
    let file = format!("{}.json", hex(&Sha256::digest(arn)));
    let names = ["one", "two"].map(|dir| {
        home.write(&format!("{dir}/{file}"), "{}");
        let dir = home.0.join(dir);
        let dir = ("AWS_LOGIN_CACHE_DIRECTORY", dir.to_str().expect("UTF-8"));
        pinned(&home.plan(&[dir]).expect("logged in"))
    });
    assert_ne!(names[0], names[1]);
}

#[test]
fn sts_follows_fips_and_dual_stack_settings() {
    let config = format!("[default]\nrole_arn = {ROLE}\nsource_profile = b\n[profile b]\n{STATIC}");
    let home = Home::new(&config);
    let fips = ("AWS_USE_FIPS_ENDPOINT", "true");
    let dual_stack = ("AWS_USE_DUALSTACK_ENDPOINT", "true");
    let url = ("AWS_ENDPOINT_URL_STS", "http://localhost:1");
    let cases: [(Vars<'_>, (bool, bool)); 4] = [
        (&[], (false, false)),
        (&[fips], (true, false)),
        (&[dual_stack], (false, true)),
        (&[fips, dual_stack, url], (false, false)),
    ];
    for (vars, expected) in cases {
        let sts = &home.plan(vars).expect("plan").roles[0].sts;
        assert_eq!((sts.fips, sts.dual_stack), expected, "{vars:?}");
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
fn variables_beat_profile_for_connections() {
    let home = Home::new("[default]\nca_bundle = ~/ca\nmax_attempts = 5\nretry_mode = adaptive");
    let network = home.plan(&KEYS).expect("plan").network;
    assert_eq!(network.ca_bundle.map(|ca| ca.path), Some(home.0.join("ca")));
    assert_eq!(
        (network.max_attempts, network.adaptive_retry),
        (Some(5), true)
    );
    let vars = [
        KEYS[0],
        KEYS[1],
        ("AWS_CA_BUNDLE", "/b"),
        ("AWS_MAX_ATTEMPTS", "2"),
        ("AWS_RETRY_MODE", "standard"),
    ];
    let network = home.plan(&vars).expect("plan").network;
    let ca = network.ca_bundle.expect("set");
    assert_eq!(
        (ca.setting.as_str(), ca.path),
        ("AWS_CA_BUNDLE", "/b".into())
    );
    assert_eq!(
        (network.max_attempts, network.adaptive_retry),
        (Some(2), false)
    );
}

#[test]
fn sent_token_is_the_one_in_the_cache_key() {
    let home = Home::new("");
    let first = jwt(r#"{"iss":"i","sub":"first"}"#);
    let path = home.write("token", &first);
    let vars = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", path.to_str().expect("UTF-8")),
        ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/r"),
    ];
    let surroundings = home.surroundings(&vars);
    let again = || plan(&surroundings, &registry(HOST), &Selection::default()).expect("a plan");
    let named = again();
    home.write("token", &jwt(r#"{"iss":"i","sub":"second"}"#));
    // The file has changed while this process waited for another.
    let plan = again();
    assert_eq!(plan.identity, named.identity);
    let Source::WebIdentity(web) = plan.source else {
        panic!("{:?}", plan.source);
    };
    assert_eq!(web.token.expose(), first);
    let other = home.plan(&vars).expect("a plan");
    assert_ne!(other.identity, named.identity);
}
