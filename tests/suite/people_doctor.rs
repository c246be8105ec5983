//! `doctor` against broken set-ups.

use std::fs;

use serde_json::Value;

use super::people::Machine;
use crate::support::install::write_script;

const HOST: &str = "123456789012.dkr.ecr.us-east-1.amazonaws.com";
const DOCKER: &str = "home/.docker/config.json";
const LOGIN: &str =
    r#"{"auths": {"123456789012.dkr.ecr.us-east-1.amazonaws.com": {"auth": "eDp5"}}}"#;
const PASS: &str = r#"{"credHelpers": {"123456789012.dkr.ecr.us-east-1.amazonaws.com": "pass"}}"#;

/// A set-up, the variables that go with it, and what doctor reports: status, what it is about, and
/// a part of its text or hint.
struct Case {
    name: &'static str,
    set_up: fn(&Machine),
    vars: &'static [(&'static str, &'static str)],
    found: (&'static str, &'static str, &'static str),
}

const DEV: &[(&str, &str)] = &[("AWS_PROFILE", "dev")];

/// Not on Windows, which has no modes and no sudo, and where the home directory is USERPROFILE.
const UNIX_ONLY: [&str; 3] = [
    "no HOME",
    "a cache that all can write",
    "only below the home",
];

// Where clients keep their files, and commands, on each system.
#[rustfmt::skip]
const HELM: &str = if cfg!(windows) { "home/AppData/Roaming/helm/registry/config.json" } else { "home/.config/helm/registry/config.json" };
#[rustfmt::skip]
const PODMAN_LOGOUT: &str = if cfg!(windows) { ".config\\containers\\auth.json\" 123456789012" } else { "run podman logout --authfile ~/.config/containers/auth.json 123456789012" };
#[rustfmt::skip]
const PODMAN: &str = if cfg!(windows) { "bin/podman.exe" } else { "bin/podman" };
#[rustfmt::skip]
const DELETE_OLD: &str = if cfg!(windows) { "delete ~/.ecr" } else { "rm -r ~/.ecr" };
#[rustfmt::skip]
const FAILS: &str = if cfg!(windows) { "credential_process = exit 3" } else { "credential_process = /bin/sh -c 'exit 3'" };

/// A cache that every user can write to.
fn open_cache(machine: &Machine) {
    fs::create_dir(machine.path("home/cache")).expect("new");
    #[cfg(unix)]
    {
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        fs::set_permissions(machine.path("home/cache"), open).expect("ours");
    }
}

fn nothing(_: &Machine) {}

fn program(machine: &Machine, path: &str) {
    write_script(
        &machine.path(path),
        "#!/bin/sh\necho amazon-ecr-credential-helper 0.9\n",
        "@echo amazon-ecr-credential-helper 0.9\n",
    );
}

fn config(machine: &Machine, profile: &str) {
    machine.write("home/.aws/config", format!("[profile x]\n{profile}\n"));
    machine.write("home/.aws/credentials", "");
}

#[rustfmt::skip]
const CASES: &[Case] = &[
    Case { name: "no configuration", set_up: nothing, vars: DEV, found: ("warning", "docker", "does not exist") },
    Case { name: "configuration of others", set_up: |m| m.write(DOCKER, "{\"psFormat\": \"x\"}"), vars: DEV, found: ("warning", "docker", "does not lead here") },
    Case { name: "malformed", set_up: |m| m.write(DOCKER, "{\"auths\": {},}"), vars: DEV, found: ("failed", "docker", "line 1, column 14") },
    Case { name: "byte order mark", set_up: |m| m.write(DOCKER, b"\xef\xbb\xbf{}"), vars: DEV, found: ("failed", "docker", "byte order mark") },
    Case { name: "wrong type", set_up: |m| m.write(DOCKER, "{\"credHelpers\": []}"), vars: DEV, found: ("failed", "docker", "unexpected type") },
    Case { name: "another helper", set_up: |m| m.write(DOCKER, PASS), vars: DEV, found: ("warning", "docker", "docker-credential-pass") },
    Case { name: "another store", set_up: |m| m.write(DOCKER, "{\"credsStore\": \"desktop\"}"), vars: DEV, found: ("warning", "docker", "docker-credential-desktop") },
    Case { name: "stored docker login", set_up: |m| m.write(DOCKER, LOGIN), vars: DEV, found: ("warning", "docker", "run docker logout 123456789012") },
    Case { name: "stored podman login", set_up: |m| m.write("home/.config/containers/auth.json", LOGIN), vars: DEV, found: ("warning", "podman", PODMAN_LOGOUT) },
    Case { name: "podman's other helper", set_up: |m| m.write("home/.config/containers/auth.json", PASS), vars: DEV, found: ("warning", "podman", "docker-credential-pass") },
    Case { name: "podman is not configured", set_up: |m| m.write(PODMAN, ""), vars: DEV, found: ("warning", "podman", "run ecr-login configure --podman") },
    Case { name: "malformed podman file", set_up: |m| m.write("home/.config/containers/auth.json", "{"), vars: DEV, found: ("failed", "podman", "is not valid JSON") },
    Case { name: "stored Helm login", set_up: |m| m.write(HELM, LOGIN), vars: DEV, found: ("warning", "helm", "run helm registry logout") },
    Case { name: "the old helper's directory", set_up: |m| fs::create_dir(m.path("home/.ecr")).expect("new"), vars: DEV, found: ("warning", "old helper", DELETE_OLD) },
    Case { name: "not on PATH", set_up: nothing, vars: &[("AWS_PROFILE", "dev"), ("PATH", "/none")], found: ("failed", "program", "is not on PATH") },
    Case { name: "no HOME", set_up: nothing, vars: &[("HOME", ""), ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"), ("AWS_SECRET_ACCESS_KEY", "x"), ("AWS_ECR_DISABLE_CACHE", "1")], found: ("warning", "HOME", "not set") },
    Case { name: "no credentials", set_up: nothing, vars: &[], found: ("failed", "credentials", "no AWS credentials found") },
    Case { name: "no such profile", set_up: nothing, vars: &[("AWS_PROFILE", "dve")], found: ("failed", "credentials", "did you mean") },
    Case { name: "half a pair of keys", set_up: nothing, vars: &[("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")], found: ("failed", "credentials", "AWS_SECRET_ACCESS_KEY") },
    Case { name: "logged out of SSO", set_up: |m| config(m, "sso_account_id=123456789012\nsso_role_name=r\nsso_region=us-east-1\nsso_start_url=https://example.awsapps.com/start"), vars: &[("AWS_PROFILE", "x")], found: ("failed", "credentials", "aws sso login --profile x") },
    Case { name: "a missing source profile", set_up: |m| config(m, "role_arn=arn:aws:iam::123456789012:role/r\nsource_profile=none"), vars: &[("AWS_PROFILE", "x")], found: ("failed", "credentials", "none") },
    Case { name: "a command that fails", set_up: |m| config(m, FAILS), vars: &[("AWS_PROFILE", "x")], found: ("failed", "password", "credential_process") },
    Case { name: "AWS_PROFILE and keys", set_up: nothing, vars: &[("AWS_PROFILE", "dev"), ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"), ("AWS_SECRET_ACCESS_KEY", "x")], found: ("warning", "credentials", "AWS_PROFILE=dev is not used") },
    Case { name: "a missing CA bundle", set_up: nothing, vars: &[("AWS_PROFILE", "dev"), ("AWS_CA_BUNDLE", "/none/ca.pem")], found: ("failed", "CA certificates", "set AWS_CA_BUNDLE to a file of PEM") },
    Case { name: "an unreachable endpoint", set_up: nothing, vars: &[("AWS_PROFILE", "dev"), ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"), ("AWS_MAX_ATTEMPTS", "1"), ("AWS_ECR_TIMEOUT", "3")], found: ("failed", "password", "127.0.0.1") },
    Case { name: "an endpoint that is no URL", set_up: nothing, vars: &[("AWS_PROFILE", "dev"), ("AWS_ENDPOINT_URL", "ftp://x")], found: ("failed", "credentials", "AWS_ENDPOINT_URL") },
    Case { name: "no cache", set_up: nothing, vars: &[("AWS_PROFILE", "dev"), ("AWS_ECR_DISABLE_CACHE", "1")], found: ("warning", "cache", "not used") },
    Case { name: "a relative cache", set_up: nothing, vars: &[("AWS_PROFILE", "dev"), ("AWS_ECR_CACHE_DIR", "cache")], found: ("failed", "cache", "AWS_ECR_CACHE_DIR") },
    Case { name: "a cache that all can write", set_up: open_cache, vars: &[("AWS_PROFILE", "dev"), ("AWS_ECR_CACHE_DIR", "~/cache")], found: ("warning", "cache", "not used") },
    Case { name: "only below the home", set_up: |m| { fs::create_dir_all(m.path("home/bin")).expect("new"); fs::copy(m.path("bin/ecr-login"), m.path("home/bin/docker-credential-ecr-login")).expect("copied"); }, vars: &[("AWS_PROFILE", "dev"), ("PATH", "$HOME/bin")], found: ("warning", "program", "sudo and desktop programs") },
    Case { name: "another program first", set_up: |m| program(m, "home/old/docker-credential-ecr-login"), vars: &[("AWS_PROFILE", "dev"), ("PATH", "$HOME/old")], found: ("failed", "program", "another program, comes first") },
    Case { name: "a rule for no such profile", set_up: |m| m.write("home/.aws/ecr-login", "[123456789012]\nprofile = prd\n"), vars: DEV, found: ("failed", "credentials", "[123456789012] in") },
    Case { name: "an unknown key in the rules", set_up: |m| m.write("home/.aws/ecr-login", "[111122223333]\nprofil = prod\n"), vars: DEV, found: ("warning", "rules", "profil") },
    Case { name: "rules with a syntax error", set_up: |m| m.write("home/.aws/ecr-login", "profile = prod\n"), vars: DEV, found: ("failed", "rules", "line 1") },
    Case { name: "a timeout that is no number", set_up: nothing, vars: &[("AWS_PROFILE", "dev"), ("AWS_ECR_TIMEOUT", "abc")], found: ("warning", "settings", "AWS_ECR_TIMEOUT is not a positive number") },
    Case { name: "a timeout beyond all limits", set_up: nothing, vars: &[("AWS_PROFILE", "dev"), ("AWS_ECR_TIMEOUT", "86400")], found: ("warning", "settings", "set AWS_ECR_TIMEOUT to at most 3600") },
    Case { name: "neither true nor false", set_up: nothing, vars: &[("AWS_PROFILE", "dev"), ("AWS_ECR_STRICT", "yes")], found: ("warning", "settings", "set AWS_ECR_STRICT to true or false") },
    Case { name: "storage is not ignored", set_up: nothing, vars: &[("AWS_PROFILE", "dev"), ("AWS_ECR_IGNORE_CREDS_STORAGE", "on")], found: ("warning", "settings", "AWS_ECR_IGNORE_CREDS_STORAGE is neither") },
    Case { name: "an unknown log level", set_up: nothing, vars: &[("AWS_PROFILE", "dev"), ("AWS_ECR_LOG", "verbose")], found: ("warning", "settings", "set AWS_ECR_LOG to debug") },
    Case { name: "a cache that false disables", set_up: nothing, vars: &[("AWS_PROFILE", "dev"), ("AWS_ECR_DISABLE_CACHE", "false")], found: ("warning", "settings", "unset AWS_ECR_DISABLE_CACHE to use") },
];

pub(crate) fn doctor(
    machine: &Machine,
    vars: &[(&str, &str)],
    arguments: &[&str],
) -> (Option<i32>, Value) {
    let home = machine.path("home").display().to_string();
    let vars: Vec<_> = vars
        .iter()
        .map(|(k, v)| (*k, v.replace("$HOME", &home)))
        .collect();
    let vars: Vec<_> = vars.iter().map(|(k, v)| (*k, v.as_str())).collect();
    let output = machine.ecr_login_with(&vars, &[&["doctor", "--json"], arguments].concat());
    assert_eq!(output.stderr, "");
    let report = serde_json::from_str(&output.stdout);
    (
        output.code,
        report.unwrap_or_else(|_| panic!("{}", output.stdout)),
    )
}

#[test]
fn broken_set_ups_are_told_apart() {
    assert_eq!(CASES.len(), 40);
    for Case {
        name,
        set_up,
        vars,
        found,
    } in CASES
    {
        if cfg!(windows) && UNIX_ONLY.contains(name) {
            continue;
        }
        let machine = Machine::new();
        set_up(&machine);
        let (code, report) = doctor(&machine, vars, &[HOST]);
        let (status, about, part) = found;
        let is_it = |check: &&Value| {
            let contains = |key: &str| check[key].as_str().is_some_and(|text| text.contains(part));
            check["status"] == *status
                && check["about"] == *about
                && (contains("text") || contains("hint"))
        };
        let checks = report["checks"].as_array().expect("a list");
        assert!(
            checks.iter().any(|check| is_it(&check)),
            "{name}: {report:#}"
        );
        let failed = checks.iter().any(|check| check["status"] == "failed");
        assert_eq!(
            (code, &report["ok"]),
            (Some(i32::from(failed)), &Value::from(!failed)),
            "{name}"
        );
    }
}

#[test]
fn good_set_up_has_no_finding() {
    let machine = Machine::new();
    assert_eq!(machine.ecr_login(&["configure", HOST]).code, Some(0));
    let path = machine.path("bin").display().to_string();
    let (code, report) = doctor(&machine, &[("AWS_PROFILE", "dev"), ("PATH", &path)], &[]);
    assert_eq!(code, Some(0));
    let checks = report["checks"].as_array().expect("a list");
    assert!(
        checks.iter().all(|check| check["status"] == "ok"),
        "{report:#}"
    );
}

#[test]
fn malformed_endpoints_are_not_shown() {
    for url in [
        "http://[SENTINEL",
        "http://h:SENTINEL",
        "http://u:SENTINEL/x@h",
    ] {
        let machine = Machine::new();
        let variables = [("AWS_PROFILE", "dev"), ("AWS_ENDPOINT_URL", url)];
        let (code, report) = doctor(&machine, &variables, &[HOST]);
        assert_eq!(code, Some(1), "{url}");
        let report = report.to_string().to_lowercase();
        assert!(!report.contains("sentinel"), "{report}");
    }
}
