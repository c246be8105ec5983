//! The file of rules: where it is, and what makes it unusable.

use crate::rules::*;
use crate::support::fake::Fake;
use crate::support::run::{Helper, KEY_ID, NOT_FOUND, slowness};

#[test]
fn a_syntax_error_fails_every_get() {
    for client in CLIENTS {
        for host in [HOST, OWN] {
            let fake = Fake::start();
            let output = client.get(&user(&fake, "[*]\nprofile\n"), host);
            let cause = format!("{FILE}, line 2: there is no '=' between key and value");
            assert_eq!(output.code, Some(1), "{output:?}");
            assert!(
                output.stderr.contains(&format!("{host}: {cause}")),
                "{output:?}"
            );
            assert_eq!(fake.calls().len(), 0);
        }
    }
}

#[test]
fn a_mistake_elsewhere_is_only_logged() {
    let fake = Fake::start();
    let rules = "[11112222333]\nprofil = x\n[444455556666]\nprofil = y\n[*]\nprofile = tools\n";
    let helper = user(&fake, rules);
    helper.secret(HOST);
    assert_eq!(signers(&fake).0, "AKIAFAKETOOLS0000001");
    let output = helper.get(OTHER);
    assert!(
        output
            .stderr
            .contains("unknown key \"profil\" in [444455556666]"),
        "{output:?}"
    );
    let log = helper
        .run_of("get")
        .env("AWS_ECR_LOG", "debug")
        .stdin(HOST)
        .run();
    assert!(
        log.stderr
            .contains("[11112222333] is not an account: it has 11 digits"),
        "{log:?}"
    );
}

#[test]
fn aws_ecr_config_names_the_file() {
    let fake = Fake::start();
    let helper = user(&fake, "[*]\nprofile = tools\n").file("~/mine", "[*]\nprofile = prod\n");
    let mine = helper.path("~/mine");
    let get = |value: &str| {
        let run = helper
            .run_of("get")
            .env("AWS_ECR_CONFIG", value)
            .env("AWS_ECR_DISABLE_CACHE", "1");
        run.stdin(HOST).run()
    };
    for named in ["~/mine", mine.to_str().expect("text")] {
        get(named).expect_secret(HOST);
        assert_eq!(signers(&fake).0, "AKIAFAKEPROD00000001");
    }
    for none in ["", "/dev/null"] {
        get(none).expect_secret(HOST);
        assert_eq!(signers(&fake).0, KEY_ID);
    }
    let missing = get("~/nothing");
    assert_eq!((missing.code, &*missing.stdout), (Some(1), NOT_FOUND));
    assert!(
        missing.stderr.contains("cannot read ~/nothing"),
        "{missing:?}"
    );
}

#[test]
fn the_file_is_beside_the_aws_config_file() {
    let fake = Fake::start();
    let helper = user(&fake, "broken").file("~/x/ecr-login", "[*]\nprofile = tools\n");
    let config = std::fs::read(helper.path("~/.aws/config")).expect("written");
    let helper = helper.file("~/x/config", config);
    let named = helper.path("~/x/config");
    let helper = helper.env("AWS_CONFIG_FILE", named);
    helper.secret(HOST);
    assert_eq!(signers(&fake).0, "AKIAFAKETOOLS0000001");
}

fn refused(helper: &Helper, words: &str) {
    let output = helper.get(HOST);
    assert_eq!(
        (output.code, &*output.stdout),
        (Some(1), NOT_FOUND),
        "{words}"
    );
    assert!(output.stderr.contains(words), "{words}: {output:?}");
    // A few milliseconds; the rest is for a busy machine, an unoptimised build, and Wine.
    let limit = if cfg!(windows) { 20 } else { 5 } * u64::from(slowness());
    assert!(
        output.elapsed.as_secs() < limit,
        "{words}: {:?}",
        output.elapsed
    );
}

/// Every hostile file is refused at once, without a call, with words of its own.
#[test]
fn hostile_files_are_refused_at_once() {
    let fake = Fake::start();
    let sections: String = "[111122223333]\nprofile = prod\n".repeat(100_000);
    for (text, words) in [
        (vec![b'a'; 10 << 20], "is larger than 8 MiB"),
        (vec![b'['; 7 << 20], "the section's name does not end"),
        (vec![b'\n'; 10 << 20], "is larger than 8 MiB"),
        (
            b"[*]\nprofile = \xff\n".to_vec(),
            "line 2: this is not UTF-8",
        ),
        (
            sections.into_bytes(),
            "is there twice, in line 1 and in line 3",
        ),
    ] {
        let helper = user(&fake, "");
        helper.write(FILE, text);
        refused(&helper, words);
    }
    let helper = user(&fake, "");
    let at = helper.path(FILE);
    std::fs::remove_file(&at).expect("it is there");
    std::fs::create_dir(&at).expect("free");
    refused(&helper, "is not a regular file");
    assert_eq!(fake.count("ecr"), 0);
}

#[cfg(unix)]
#[test]
fn files_that_others_can_write_are_refused() {
    use std::os::unix::fs::PermissionsExt;
    let fake = Fake::start();
    let helper = user(&fake, "[*]\nprofile = tools\n");
    let at = helper.path(FILE);
    for (mode, is_good) in [(0o644, true), (0o600, true), (0o664, false), (0o646, false)] {
        std::fs::set_permissions(&at, std::fs::Permissions::from_mode(mode)).expect("ours");
        match is_good {
            true => drop(helper.secret(HOST)),
            false => refused(&helper, "can be written by other users"),
        }
    }
    std::fs::remove_file(&at).expect("it is there");
    let made = std::process::Command::new("mkfifo").arg(&at).status();
    assert!(made.expect("mkfifo").success());
    refused(&helper, "is not a regular file");
    if rustix::process::geteuid().is_root() {
        // Its own name, but another user's file.
        let theirs = helper.path("~/theirs");
        std::fs::write(&theirs, "[*]\nprofile = prod\n").expect("ours");
        std::os::unix::fs::chown(&theirs, Some(1234), None).expect("root");
        std::fs::remove_file(&at).expect("it is there");
        std::os::unix::fs::symlink(theirs, &at).expect("free");
        refused(&helper, "belongs to another user");
    }
    assert_eq!(fake.count("ecr"), 1);
}

#[cfg(windows)]
#[test]
fn a_file_with_rights_for_all_is_refused() {
    use std::os::windows::fs::OpenOptionsExt;

    use windows_permissions::constants::{SeObjectType, SecurityInformation};
    use windows_permissions::wrappers::SetSecurityInfo;
    use windows_permissions::{LocalBox, SecurityDescriptor};

    const READ_CONTROL: u32 = 0x0002_0000;
    const WRITE_DAC: u32 = 0x0004_0000;
    let fake = Fake::start();
    let helper = user(&fake, "[*]\nprofile = tools\n");
    helper.secret(HOST);
    let list: LocalBox<SecurityDescriptor> = "D:(A;;FA;;;WD)".parse().expect("SDDL");
    let mut options = std::fs::OpenOptions::new();
    options.access_mode(READ_CONTROL | WRITE_DAC);
    let file = options.open(helper.path(FILE));
    SetSecurityInfo(
        &mut file.expect("ours"),
        SeObjectType::SE_FILE_OBJECT,
        SecurityInformation::Dacl,
        None,
        None,
        list.dacl(),
        None,
    )
    .expect("ours");
    refused(&helper, "can be written by other users");
}
