//! `other_registries`: hosts that are not ECR's, handed on to another credential helper.

use serde_json::json;

use crate::support::fake::Fake;
use crate::support::install::{copy_program, install, search_path, write_script};
use crate::support::run::{Helper, NOT_FOUND, Output, program};

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

/// The same for Windows, where `find` copies the lines that have this word: all do.
const HELPER_CMD: &str = r#"@echo off
>"%USERPROFILE%\seen-arguments" echo %*
>"%USERPROFILE%\seen-environment" echo %MARK%
if "%1"=="list" goto list
"%SystemRoot%\system32\find.exe" "docker" >"%USERPROFILE%\seen-stdin"
echo answer to %1
echo warning>&2
exit 7
:list
echo {"https://index.docker.io/v1/":"me","111122223333.dkr.ecr.us-east-1.amazonaws.com":"not-us"}
"#;

fn install_helper(helper: &Helper, (unix, windows): (&str, &str)) {
    write_script(&helper.path("~/bin/docker-credential-other"), unix, windows);
}

/// A text as a script wrote it: those for Windows end each line with CRLF.
fn written(text: &str) -> String {
    match cfg!(windows) {
        true => text.trim_end().to_owned(),
        false => text.to_owned(),
    }
}

/// A user of docker's with `other_registries = NAME`.
fn user(fake: &Fake, name: &str) -> Helper {
    let helper = Helper::with_keys(fake);
    let path = search_path(&helper.path("~/bin"));
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
    install_helper(&helper, (HELPER, HELPER_CMD));
    let login = json!({ "ServerURL": HUB, "Username": "me", "Secret": "FAKE-SECRET" }).to_string();
    for (verb, stdin) in [
        ("get", "docker.io"),
        ("get", "https://index.docker.io/v1/\n"),
        ("erase", HUB),
        ("store", &login),
    ] {
        let output = run(&helper, verb, stdin);
        assert_eq!(output.code, Some(7), "{output:?}");
        let answer = format!("answer to {verb}\n");
        assert_eq!(written(&output.stdout), written(&answer));
        assert_eq!(written(&output.stderr), written("warning\n"));
        let seen = |what: &str| written(&helper.read(&format!("~/seen-{what}")));
        assert_eq!(seen("arguments"), verb);
        assert_eq!(seen("stdin"), written(stdin));
        assert_eq!(seen("environment"), "passed on");
    }
    assert_eq!(fake.calls().len(), 0);
}

#[test]
fn ecr_and_own_names_are_not_handed_on() {
    let fake = Fake::start();
    let helper = user(&fake, "other");
    install_helper(&helper, (HELPER, HELPER_CMD));
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
    install_helper(&helper, (HELPER, HELPER_CMD));
    helper.secret(HOST);
    let both = format!("{{\"{HOST}\":\"AWS\",\"{HUB}\":\"me\"}}\n");
    run(&helper, "list", "").expect(0, &both, "");
    for script in [
        ("#!/bin/sh\nexit 1\n", "@exit 1\n"),
        ("#!/bin/sh\necho nonsense\n", "@echo nonsense\n"),
    ] {
        install_helper(&helper, script);
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
    let endless = (
        "#!/bin/sh\nexec sleep 60\n",
        "@echo off\n:again\ngoto again\n",
    );
    install_helper(&helper, endless);
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

#[cfg(unix)]
fn link_to_a_link(helper: &Helper, at: &std::path::Path) {
    let middle = helper.path("~/bin/middle");
    install(&middle);
    std::os::unix::fs::symlink(middle, at).expect("free");
}

#[cfg(windows)]
fn link_to_a_link(_: &Helper, _: &std::path::Path) {}

#[test]
fn itself_under_any_name_is_refused() {
    let fake = Fake::start();
    // On Windows only some users may make symlinks.
    let links = ["symlink", "link to a link"];
    let links = if cfg!(windows) { &[][..] } else { &links };
    for how in [&["hard link", "copy"], links].concat() {
        let helper = user(&fake, "other");
        let at = helper.path("~/bin/docker-credential-other");
        let file = at.with_extension(std::env::consts::EXE_EXTENSION);
        match how {
            "symlink" => install(&at),
            "hard link" => {
                if std::fs::hard_link(program(), &file).is_err() {
                    // Another file system.
                    install(&at);
                }
            }
            "copy" => copy_program(&file),
            _ => link_to_a_link(&helper, &at),
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
    install_helper(&helper, (HELPER, HELPER_CMD));
    helper.get("docker.io").expect_not_found();
    run(&helper, "erase", "docker.io").expect(0, "", "");
    let login = json!({ "ServerURL": HUB, "Username": "me", "Secret": "x" }).to_string();
    assert_eq!(run(&helper, "store", &login).code, Some(1));
    run(&helper, "list", "").expect(0, "{}\n", "");
}
