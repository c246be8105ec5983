//! `other_registries`: hosts that are not ECR's, handed on to another credential helper.

use std::os::unix::fs::{PermissionsExt, symlink};

use serde_json::json;

use crate::support::fake::Fake;
use crate::support::run::{Helper, NOT_FOUND, Output, copy_program, program};

const HOST: &str = "111122223333.dkr.ecr.us-east-1.amazonaws.com";
const HUB: &str = "https://index.docker.io/v1/";

/// Writes what it was given below `~/seen`, and answers with its own exit status.
const HELPER: &str = r#"#!/bin/sh
printf '%s' "$*" > "$HOME/seen-arguments"
printf '%s' "$MARK" > "$HOME/seen-environment"
case $1 in
list) echo '{"https://index.docker.io/v1/":"me","111122223333.dkr.ecr.us-east-1.amazonaws.com":"not-us"}' ;;
*) cat > "$HOME/seen-stdin"; echo "answer to $1"; echo "warning" >&2; exit 7 ;;
esac
"#;

fn install(helper: &Helper, name: &str, script: &str) {
    let path = format!("~/bin/docker-credential-{name}");
    helper.write(&path, script);
    let executable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(helper.path(&path), executable).expect("ours");
}

/// A user of docker's with `other_registries = NAME`.
fn user(fake: &Fake, name: &str) -> Helper {
    let helper = Helper::with_keys(fake);
    let path = format!("{}:/usr/bin:/bin", helper.path("~/bin").display());
    std::fs::create_dir(helper.path("~/bin")).expect("new");
    helper.env("PATH", path).env("MARK", "passed on").file(
        "~/.aws/ecr-login",
        format!("[*]\nother_registries = {name}\n"),
    )
}

fn run(helper: &Helper, verb: &str, stdin: &str) -> Output {
    helper.run_of(verb).stdin(stdin).run()
}

#[test]
fn other_hosts_are_handed_on_unchanged() {
    let fake = Fake::start();
    let helper = user(&fake, "other");
    install(&helper, "other", HELPER);
    let login = json!({ "ServerURL": HUB, "Username": "me", "Secret": "FAKE-SECRET" }).to_string();
    for (verb, stdin) in [
        ("get", "docker.io"),
        ("get", "https://index.docker.io/v1/\n"),
        ("erase", HUB),
        ("store", &login),
    ] {
        run(&helper, verb, stdin).expect(7, &format!("answer to {verb}\n"), "warning\n");
        assert_eq!(helper.read("~/seen-arguments"), verb);
        assert_eq!(helper.read("~/seen-stdin"), stdin);
        assert_eq!(helper.read("~/seen-environment"), "passed on");
    }
    assert_eq!(fake.calls().len(), 0);
}

#[test]
fn ecr_and_own_names_are_not_handed_on() {
    let fake = Fake::start();
    let helper = user(&fake, "other");
    install(&helper, "other", HELPER);
    helper.write(
        "~/.aws/ecr-login",
        format!("[*]\nother_registries = other\n[registry.example.com]\nregistry = {HOST}\n"),
    );
    for host in [HOST, "registry.example.com"] {
        helper.secret(host);
        run(&helper, "erase", host).expect(0, "", "");
    }
    assert!(!helper.path("~/seen-arguments").exists());
}

#[test]
fn list_merges_both_and_ours_wins() {
    let fake = Fake::start();
    let helper = user(&fake, "other");
    install(&helper, "other", HELPER);
    helper.secret(HOST);
    let both = format!("{{\"{HOST}\":\"AWS\",\"{HUB}\":\"me\"}}\n");
    run(&helper, "list", "").expect(0, &both, "");
    for script in ["#!/bin/sh\nexit 1\n", "#!/bin/sh\necho nonsense\n"] {
        install(&helper, "other", script);
        let output = run(&helper, "list", "");
        assert_eq!(
            (output.code, &*output.stdout),
            (Some(0), &*format!("{{\"{HOST}\":\"AWS\"}}\n"))
        );
        assert!(
            output.stderr.contains("did not list its logins"),
            "{output:?}"
        );
    }
    install(&helper, "other", "#!/bin/sh\nexec sleep 60\n");
    let output = helper.run_of("list").env("AWS_ECR_TIMEOUT", "0.5").run();
    assert_eq!(output.stdout, format!("{{\"{HOST}\":\"AWS\"}}\n"));
    assert!(output.stderr.contains("within 500ms"), "{output:?}");
}

#[test]
fn a_helper_that_is_missing_is_named() {
    let fake = Fake::start();
    let helper = user(&fake, "nowhere");
    let words = "docker-credential-nowhere is not on PATH (other_registries, from [*] in \
                 ~/.aws/ecr-login, line 2)";
    let output = run(&helper, "get", "docker.io");
    assert_eq!((output.code, &*output.stdout), (Some(1), NOT_FOUND));
    assert!(
        output.stderr.contains(&format!("docker.io: {words}")),
        "{output:?}"
    );
    let output = run(&helper, "erase", "docker.io");
    assert_eq!(output.code, Some(1));
    assert!(output.stdout.contains(words), "{output:?}");
    let output = run(&helper, "list", "");
    assert_eq!((output.code, &*output.stdout), (Some(0), "{}\n"));
    assert!(output.stderr.contains(words), "{output:?}");
    helper.secret(HOST);
}

#[test]
fn itself_under_any_name_is_refused() {
    let fake = Fake::start();
    for how in ["symlink", "hard link", "copy", "link to a link"] {
        let helper = user(&fake, "other");
        let at = helper.path("~/bin/docker-credential-other");
        match how {
            "symlink" => symlink(program(), &at).expect("free"),
            "hard link" => {
                if std::fs::hard_link(program(), &at).is_err() {
                    // Another file system.
                    symlink(program(), &at).expect("free");
                }
            }
            "copy" => copy_program(&at),
            _ => {
                let middle = helper.path("~/bin/middle");
                symlink(program(), &middle).expect("free");
                symlink(middle, &at).expect("free");
            }
        }
        for verb in ["get", "erase", "list"] {
            let output = run(&helper, verb, "docker.io");
            assert!(
                output.stderr.contains("is this program itself"),
                "{how} {verb}: {output:?}"
            );
        }
    }
}

#[test]
fn without_the_setting_nothing_changes() {
    let fake = Fake::start();
    let helper = user(&fake, "other").file("~/.aws/ecr-login", "[*]\nprofile = x\n");
    install(&helper, "other", HELPER);
    helper.get("docker.io").expect_not_found();
    run(&helper, "erase", "docker.io").expect(0, "", "");
    let login = json!({ "ServerURL": HUB, "Username": "me", "Secret": "x" }).to_string();
    assert_eq!(run(&helper, "store", &login).code, Some(1));
    run(&helper, "list", "").expect(0, "{}\n", "");
}
