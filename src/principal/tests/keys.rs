//! Settings that do and do not change a cache key.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use sha2::{Digest, Sha256};

use super::*;
use crate::principal::cache_key::hex;

pub(super) fn jwt(claims: &str) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.sig", part(r#"{"alg":"RS256"}"#), part(claims))
}

fn pinned(plan: &Plan) -> String {
    match &plan.identity {
        Identity::Pinned(name) => name.as_str().to_owned(),
        Identity::Ambient => panic!("{plan:?} is ambient"),
    }
}

/// `base`, and then each change of it, which has to lead to a name of its own.
fn all_differ(base: (&str, Variables<'_>), changes: &[(&str, Variables<'_>)], host: &str) {
    let mut names = Vec::new();
    for (config, vars) in [base].iter().chain(changes) {
        let home = Home::new(config);
        for id in ["u", "u2", "s", "s2"] {
            let file = cache_key::hex(&<sha1::Sha1 as sha2::Digest>::digest(id));
            home.write(&format!(".aws/sso/cache/{file}.json"), SSO_FILE);
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
        (&role("mfa_serial = m"), &[]),
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

/// The plan with the token file `token` of this home.
fn web_identity_plan(home: &Home) -> Result<Plan, Problem> {
    let path = home.0.join("token");
    home.plan(&[
        ("AWS_WEB_IDENTITY_TOKEN_FILE", path.to_str().expect("UTF-8")),
        ("AWS_ROLE_ARN", ROLE),
    ])
}

#[test]
fn web_identity_key_is_its_claims_not_its_token() {
    let home = Home::new("");
    let name = |token: &str| {
        home.write("token", token);
        pinned(&web_identity_plan(&home).expect("token"))
    };
    let base = jwt(r#"{"iss":"i","sub":"s","aud":["a"],"exp":1}"#);
    let first = name(&base);
    assert_eq!(
        first,
        name(&jwt(r#"{"exp":2,"sub":"s","aud":["a"],"iss":"i"}"#)),
        "renewed"
    );
    assert_eq!(first, name(&format!("{base}\n")));
    let pod = |warn: &str| {
        let pod = r#"{"kubernetes.io":{"pod":{"uid":"u","name":"p"},W"namespace":"n"},"sub":"s"}"#;
        name(&jwt(&pod.replace('W', warn)))
    };
    assert_eq!(pod(""), pod(r#""warnafter":7,"#));
    let swapped = r#"{"sub":"s","kubernetes.io":{"namespace":"n","pod":{"name":"p","uid":"u"}}}"#;
    assert_eq!(pod(""), name(&jwt(swapped)), "compared by content");
    let passing = r#"{"iss":"i","sub":"s","aud":["a"],"iat":3,"nbf":4,"jti":"x"}"#;
    assert_eq!(first, name(&jwt(passing)));
    let mut names = vec![first];
    for other in [
        jwt(r#"{"iss":"j","sub":"s","aud":["a"]}"#),
        jwt(r#"{"iss":"i","sub":"t","aud":["a"]}"#),
        jwt(r#"{"iss":"i","sub":"s","aud":["b"]}"#),
        jwt(r#"{"iss":"i","sub":"s"}"#),
        jwt(r#"{"iss":"i","sub":"s","aud":["a"],"job_workflow_ref":"w"}"#),
        jwt(r#"{"iss":"i","sub":"s","aud":["a"],"kubernetes.io":{"namespace":"n"}}"#),
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
}

#[test]
fn a_missing_web_identity_token_is_an_error() {
    let error = web_identity_plan(&Home::new("")).expect_err("missing");
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
fn console_session_key_has_its_directory() {
    let arn = "arn:aws:iam::123456789012:user/u";
    let home = Home::new(&format!("[default]\nlogin_session = {arn}\n"));
    let file = format!("{}.json", hex(&Sha256::digest(arn)));
    let names = ["one", "two"].map(|dir| {
        home.write(&format!("{dir}/{file}"), LOGIN_FILE);
        let dir = home.0.join(dir);
        let dir = ("AWS_LOGIN_CACHE_DIRECTORY", dir.to_str().expect("UTF-8"));
        pinned(&home.plan(&[dir]).expect("logged in"))
    });
    assert_ne!(names[0], names[1]);
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
