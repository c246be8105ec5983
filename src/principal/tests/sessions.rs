//! Files that a plan depends on: sessions of SSO and `aws login`, credentials that the AWS CLI
//! keeps, token files; hostile ones among them, and what is said where none helps.

use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::*;
use crate::principal::cache_key::hex;

const ARN: &str = "arn:aws:iam::123456789012:user/u";

/// A config file and the session file that it leads to.
fn session_kinds() -> [(String, String); 3] {
    let sso = "sso_account_id = 1\nsso_role_name = r\n";
    let cache = |dir: &str, name: String| format!(".aws/{dir}/cache/{name}.json");
    [
        (
            format!("[default]\nsso_start_url = u\nsso_region = us-east-1\n{sso}"),
            cache("sso", hex(&Sha1::digest("u"))),
        ),
        (
            format!(
                "[default]\nsso_session = s\n{sso}[sso-session s]\nsso_start_url = u\n\
                 sso_region = us-east-1\n"
            ),
            cache("sso", hex(&Sha1::digest("s"))),
        ),
        (
            format!("[default]\nlogin_session = {ARN}\n"),
            cache("login", hex(&Sha256::digest(ARN))),
        ),
    ]
}

#[test]
fn a_file_without_a_session_is_logged_out() {
    for (config, file) in session_kinds() {
        let home = Home::new(&config);
        assert!(home.plan(&[]).is_err(), "no file");
        for content in ["", "{}", "{\"accessToken\":\"a\"", "[1]", "\0"] {
            home.write(&file, content);
            let error = home.plan(&[]).expect_err(content);
            let text = error.to_string();
            assert!(text.contains("is logged out"), "{content}: {text}");
            let detail = error.detail().map(|detail| detail.replace('\\', "/"));
            assert!(detail.is_some_and(|detail| detail.contains(&file)));
        }
        std::fs::remove_file(home.0.join(&file)).expect("remove");
        std::fs::create_dir(home.0.join(&file)).expect("create");
        assert!(home.plan(&[]).is_err(), "a directory");
    }
}

#[test]
fn another_session_has_another_digest() {
    for (config, file) in session_kinds() {
        let home = Home::new(&config);
        let of = |content: &str| {
            home.write(&file, content);
            let plan = home.plan(&[]).expect("logged in");
            (plan.identity, plan.session_digest.expect("a session"))
        };
        let session = |access: &str, refresh: &str, expires: &str| {
            let access = match file.contains("login") {
                true => format!(r#"{{"accessKeyId":"{access}","expiresAt":"{expires}"}}"#),
                false => format!(r#""{access}","expiresAt":"{expires}""#),
            };
            format!(r#"{{"accessToken":{access},"refreshToken":"{refresh}"}}"#)
        };
        let first = of(&session("a", "r", "2030-01-01T00:00:00Z"));
        let renewed = of(&session("b", "r", "2031-01-01T00:00:00Z"));
        let expired = of(&session("b", "r", "2001-01-01T00:00:00Z"));
        assert!(first == renewed && first == expired);
        let other = of(&session("a", "s", "2030-01-01T00:00:00Z"));
        assert!(first.0 == other.0 && first.1 != other.1);
    }
}

#[test]
fn another_home_has_another_key() {
    for (config, file) in session_kinds() {
        let keys = ["one", "two"].map(|_| {
            let home = Home::new(&config);
            let content = match file.contains("login") {
                true => LOGIN_FILE,
                false => SSO_FILE,
            };
            home.write(&file, content);
            home.plan(&[]).expect("logged in").identity
        });
        assert_ne!(keys[0], keys[1]);
    }
}

#[test]
fn sign_in_region_is_that_of_the_session() {
    let [_, _, (config, file)] = session_kinds();
    let home = Home::new(&config);
    let region = |content: &str| {
        home.write(&file, content);
        match home.plan(&[]).expect("logged in").source {
            Source::Login(login) => login.signin.region,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(region(LOGIN_FILE), "eu-central-1");
    let of = |name: &str| LOGIN_FILE.replacen('{', &format!(r#"{{"signInRegion":"{name}","#), 1);
    assert_eq!(region(&of("us-west-2")), "us-west-2");
    assert_eq!(region(&of("evil.example/")), "eu-central-1");
}

const MFA: &str = "arn:aws:iam::123456789012:mfa/u";

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).expect("in range")
}

/// The AWS CLI's cache entry for the role of `arguments`, in the order of botocore's JSON.
fn keep(home: &Home, arguments: &str, key_id: &str, left: TimeDelta) -> PathBuf {
    let name = hex(&Sha1::digest(arguments));
    let expiration = (now() + left).format("%Y-%m-%dT%H:%M:%SUTC");
    let path = home.write(
        &format!(".aws/cli/cache/{name}.json"),
        &format!(
            r#"{{"Credentials":{{"AccessKeyId":"{key_id}","SecretAccessKey":"sentinel","SessionToken":"t","Expiration":"{expiration}"}},"AssumedRoleUser":{{}}}}"#
        ),
    );
    #[cfg(unix)]
    set_mode(&path, 0o600);
    path
}

#[cfg(unix)]
fn set_mode(path: &std::path::Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("own file");
}

#[test]
fn mfa_roles_are_those_that_the_aws_cli_keeps() {
    let home = Home::new(&format!(
        "[profile dev]\nrole_arn = {ROLE}\nsource_profile = base\nmfa_serial = {MFA}\n\
         [profile base]\n{STATIC}"
    ));
    let plan = home.plan(&[("AWS_PROFILE", "dev")]).expect("plan");
    let missing = plan.kept_role(now()).expect_err("nothing kept");
    assert!(
        missing.to_string().contains("holds no session"),
        "{missing}"
    );
    let command = "run aws sts get-caller-identity --profile dev";
    assert!(missing.hint().starts_with(command), "{}", missing.hint());
    let arguments = format!(r#"{{"RoleArn": "{ROLE}", "SerialNumber": "{MFA}"}}"#);
    keep(&home, &arguments, "ASIAKEPT", TimeDelta::minutes(1));
    let kept = plan.kept_role(now()).expect("kept").expect("a role");
    assert_eq!(kept.keys.access_key_id, "ASIAKEPT");
    assert!(kept.remaining.is_empty() && !format!("{kept:?}").contains("sentinel"));
    let path = keep(&home, &arguments, "ASIAKEPT", TimeDelta::zero());
    let expired = plan.kept_role(now()).expect_err("expired");
    assert!(expired.to_string().contains("has expired"), "{expired}");
    for content in ["", "{}", "[]", r#"{"Credentials":{}}"#] {
        std::fs::write(&path, content).expect("write");
        assert!(plan.kept_role(now()).is_err(), "{content}");
    }
}

#[test]
fn only_roles_with_mfa_are_used_as_kept() {
    let home = Home::new(&format!(
        "[default]\nrole_arn = {ROLE}2\nsource_profile = hop\nduration_seconds = 900\n\
         [profile hop]\nrole_arn = {ROLE}\nsource_profile = base\n[profile base]\n{STATIC}"
    ));
    let outer = format!(r#"{{"DurationSeconds": 900, "RoleArn": "{ROLE}2"}}"#);
    keep(&home, &outer, "ASIAOUTER", TimeDelta::hours(1));
    let inner = format!(r#"{{"RoleArn": "{ROLE}"}}"#);
    keep(&home, &inner, "ASIAINNER", TimeDelta::hours(1));
    let plan = home.plan(&[]).expect("plan");
    // Kept for any keys: those of this profile may not be allowed to assume them.
    assert!(plan.kept_role(now()).expect("no MFA").is_none());
    let config = std::fs::read_to_string(home.0.join(".aws/config")).expect("written");
    let with_mfa = config.replace("= base\n", &format!("= base\nmfa_serial = {MFA}\n"));
    home.write(".aws/config", &with_mfa);
    let plan = home.plan(&[]).expect("plan");
    assert!(plan.kept_role(now()).is_err());
    let inner = format!(r#"{{"RoleArn": "{ROLE}", "SerialNumber": "{MFA}"}}"#);
    keep(&home, &inner, "ASIAINNER", TimeDelta::minutes(1));
    let kept = plan.kept_role(now()).expect("kept").expect("a role");
    assert_eq!(kept.keys.access_key_id, "ASIAINNER");
    assert_eq!(kept.remaining.len(), 1);
}

#[cfg(unix)]
#[test]
fn kept_roles_that_others_can_write_are_not_used() {
    let home = Home::new(&format!(
        "[default]\nrole_arn = {ROLE}\nsource_profile = base\nmfa_serial = {MFA}\n\
         [profile base]\n{STATIC}"
    ));
    let plan = home.plan(&[]).expect("plan");
    let arguments = format!(r#"{{"RoleArn": "{ROLE}", "SerialNumber": "{MFA}"}}"#);
    let path = keep(&home, &arguments, "ASIAKEPT", TimeDelta::hours(1));
    for (mode, used) in [(0o600, true), (0o644, true), (0o620, false), (0o602, false)] {
        set_mode(&path, mode);
        assert_eq!(plan.kept_role(now()).is_ok(), used, "{mode:o}");
    }
    if rustix::process::geteuid().is_root() {
        set_mode(&path, 0o600);
        std::os::unix::fs::chown(&path, Some(12345), None).expect("root");
        assert!(plan.kept_role(now()).is_err());
    }
}

#[test]
fn chains_of_any_length_end_at_once() {
    use std::fmt::Write as _;
    let mut config = format!("[default]\nrole_arn = {ROLE}\nsource_profile = p0\n");
    for n in 0..20_000 {
        let next = n + 1;
        let _ = writeln!(
            config,
            "[profile p{n}]\nrole_arn = {ROLE}\nsource_profile = p{next}"
        );
    }
    let home = Home::new(&config);
    let start = Instant::now();
    let error = home.plan(&[]).expect_err("too long");
    assert!(error.to_string().contains("more than 100"), "{error}");
    assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
}

#[cfg(unix)]
#[test]
fn token_files_without_an_end_are_errors() {
    let home = Home::new("");
    let fifo = home.0.join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(made.expect("mkfifo").success());
    let start = Instant::now();
    for path in ["/dev/zero", fifo.to_str().expect("UTF-8"), "/dev/null", "/"] {
        let vars = [
            ("AWS_WEB_IDENTITY_TOKEN_FILE", path),
            ("AWS_ROLE_ARN", ROLE),
        ];
        let error = home.plan(&vars).expect_err(path);
        assert!(error.to_string().contains(path), "{error}");
    }
    assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
}

#[cfg(unix)]
#[test]
fn variables_that_are_not_utf8_are_errors() {
    use std::os::unix::ffi::OsStrExt;
    let bytes = std::ffi::OsStr::from_bytes(b"\xff");
    for name in ["AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_ROLE_ARN"] {
        let surroundings = Surroundings::read(&Env::of([(name, bytes)]), Log::off());
        let error = plan(&surroundings, &registry(HOST), &Selection::default());
        let error = error.expect_err(name).to_string();
        assert_eq!(error, format!("{name} is not UTF-8"));
    }
}

#[test]
fn hints_name_the_profiles_of_the_account() {
    let config = format!(
        "[profile sso]\nsso_account_id = 123456789012\n\
         [profile role]\nrole_arn = {ROLE}\n\
         [profile other]\nrole_arn = arn:aws:iam::999999999999:role/r\n\
         sso_account_id = 123456789012\n[profile plain]\n{STATIC}"
    );
    let home = Home::new(&config);
    let off = [("AWS_EC2_METADATA_DISABLED", "true")];
    let surroundings = home.surroundings(&off);
    assert_eq!(surroundings.profiles(), ["other", "plain", "role", "sso"]);
    let profiles = surroundings.profiles_of_account("123456789012");
    assert_eq!(profiles, ["role", "sso"]);
    let error = home.plan(&off).expect_err("none is selected");
    assert_eq!(error.kind(), ProblemKind::NoCredentials);
    assert!(
        error.hint().starts_with("set AWS_ECR_PROFILE=role,"),
        "{}",
        error.hint()
    );
    let error = home
        .plan_for("public.ecr.aws", &off)
        .expect_err("none is selected");
    assert!(
        error.hint().starts_with("set AWS_PROFILE"),
        "{}",
        error.hint()
    );
}

#[test]
fn a_misspelt_profile_is_told_from_a_missing_home() {
    let named = ("AWS_PROFILE", "prdo");
    let home = Home::new(&format!("[profile prod]\n{STATIC}"));
    let error = home.plan(&[named]).expect_err("misspelt");
    assert_eq!(error.hint(), "correct AWS_PROFILE: did you mean \"prod\"?");
    let off = ("AWS_EC2_METADATA_DISABLED", "true");
    for (vars, cause) in [
        (
            &[named][..],
            format!("{HOME} is not set, so profile \"prdo\", which AWS_PROFILE names"),
        ),
        (
            &[off][..],
            format!("no AWS credentials found, and {HOME} is not set"),
        ),
    ] {
        let surroundings = Surroundings::read(&Env::of(vars.iter().copied()), Log::off());
        let error = plan(&surroundings, &registry(HOST), &Selection::default());
        let error = error.expect_err("no home");
        assert!(error.to_string().starts_with(&cause), "{error}");
        let hint = format!("set {HOME} to");
        assert!(error.hint().starts_with(&hint), "{}", error.hint());
    }
}

#[test]
fn a_profile_that_keys_hide_is_logged() {
    let home = Home::new(&format!("[profile dev]\n{STATIC}"));
    let dev = ("AWS_PROFILE", "dev");
    let lines = std::cell::RefCell::new(String::new());
    let write = |line: std::fmt::Arguments<'_>| lines.borrow_mut().push_str(&line.to_string());
    let read = |vars: &[(&str, &str)]| {
        lines.borrow_mut().clear();
        let home = [(HOME, home.0.to_str().expect("UTF-8"))];
        let env = Env::of(home.iter().chain(vars).copied());
        Surroundings::read(&env, Log::to(&write));
        lines.borrow().clone()
    };
    assert_eq!(read(&[dev]), "");
    assert_eq!(read(&KEYS), "");
    let line = "AWS_PROFILE is not used: keys in environment variables come first";
    assert_eq!(read(&[dev, KEYS[0], KEYS[1]]), line);
}
