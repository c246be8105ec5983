//! Windows: drive letters, the home directory, long paths, and files that another process has open.

use std::fs::{File, OpenOptions};
use std::os::windows::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::people::Machine;
use crate::sources::{HOST, PROCESS_KEYS, jwt, keys_in, role};
use crate::support::fake::Fake;
use crate::support::run::{Helper, program};

const CACHE: &str = "~/.cache/docker-credential-ecr-login";
const CONFIG: &str = "~/aws files/config";

/// The access to an open file that is left to others: FILE_SHARE_READ, _WRITE and _DELETE.
const NOTHING: u32 = 0;
const READING: u32 = 1;
const ANYTHING: u32 = 7;

/// A user of the profile `dev`, whose config file is not in its usual place.
fn dev(fake: &Fake, config: &str) -> Helper {
    let helper = Helper::new().asks(fake).env("AWS_PROFILE", "dev");
    helper.file(CONFIG, config)
}

/// With its drive letter, as people write it.
fn full(helper: &Helper, path: &str) -> String {
    let path = helper.path(path);
    let path = path.to_str().expect("UTF-8").replace('/', "\\");
    assert_eq!(path.get(1..3), Some(":\\"), "{path}");
    path
}

fn hold(path: &Path, share: u32) -> File {
    let mut options = OpenOptions::new();
    options.read(true).share_mode(share);
    options.open(path).expect("no other process has it open")
}

fn entry(helper: &Helper) -> PathBuf {
    let files = helper.entries(CACHE);
    let file = files
        .iter()
        .find(|file| file.extension() == Some("json".as_ref()));
    helper.path(CACHE).join(file.expect("an entry"))
}

#[test]
fn files_are_named_by_drive_letters() {
    let fake = Fake::start();
    let helper = dev(&fake, "")
        .file("~/web token", jwt("ci", 1))
        .file("~/tools/keys.cmd", format!("@echo {PROCESS_KEYS}"));
    let helper = helper.file("~/credentials", keys_in("other", "AKIAFAKEPROFILE00001"));
    let config = full(&helper, CONFIG);
    let credentials = full(&helper, "~/credentials");
    let (token, command) = (
        full(&helper, "~/web token"),
        full(&helper, "~/tools/keys.cmd"),
    );
    let helper = helper
        .env("AWS_CONFIG_FILE", config)
        .env("AWS_SHARED_CREDENTIALS_FILE", credentials);
    for (settings, profile, sts) in [
        (
            format!(
                "role_arn = {}\r\nweb_identity_token_file = {token}",
                role("web")
            ),
            "dev",
            1,
        ),
        (format!("credential_process = {command}"), "dev", 0),
        (String::new(), "other", 0),
    ] {
        helper.write(CONFIG, format!("[profile dev]\r\n{settings}\r\n"));
        let output = helper
            .run_of("get")
            .env("AWS_PROFILE", profile)
            .stdin(HOST)
            .run();
        output.expect_secret(HOST);
        assert_eq!(
            (fake.count("sts"), fake.count("ecr")),
            (sts, 1),
            "{settings}"
        );
        fake.forget();
    }
}

#[test]
fn home_is_userprofile_and_not_home() {
    let fake = Fake::start();
    let helper = dev(&fake, &keys_in("profile dev", "AKIAFAKEPROFILE00001"));
    let elsewhere = Helper::new();
    let home = full(&helper, "~/aws files");
    let home = home
        .strip_suffix("\\aws files")
        .expect("below it")
        .to_owned();
    let (drive, path) = home.split_at(2);
    let helper = helper.env("HOME", elsewhere.home());
    for named in [
        "~\\aws files\\config",
        "~/aws files/config",
        "~\\aws files/config",
        "$USERPROFILE\\aws files\\config",
        "${UserProfile}/aws files/config",
        "%USERPROFILE%\\aws files\\config",
        "%UserProfile%/aws files/config",
    ] {
        let run = helper
            .run_of("get")
            .env("AWS_CONFIG_FILE", named)
            .stdin(HOST)
            .run();
        run.expect_secret(HOST);
    }
    let helper = helper.env("AWS_CONFIG_FILE", "~\\aws files\\config");
    let helper = helper
        .unset("USERPROFILE")
        .env("HOMEDRIVE", drive)
        .env("HOMEPATH", path);
    helper.secret(HOST);
    assert_eq!(fake.count("ecr"), 1);
    // The usual place.
    let helper = helper.unset("AWS_CONFIG_FILE").env("USERPROFILE", &home);
    assert_eq!(helper.get(HOST).code, Some(1));
    helper.write("~/.aws/config", helper.read(CONFIG));
    helper.secret(HOST);
    elsewhere.write("~/.aws/config", "not a config file");
    helper.secret(HOST);
}

#[test]
fn cache_below_a_long_path_is_used() {
    let fake = Fake::start();
    let helper = Helper::with_keys(&fake);
    let dir = helper.home().join([&*"d".repeat(150); 3].join("/"));
    let helper = helper.env("AWS_ECR_CACHE_DIR", &dir);
    let first = helper.secret(HOST);
    assert_eq!(helper.secret(HOST), first);
    assert_eq!(fake.count("ecr"), 1);
    let cached = helper.entries(dir.to_str().expect("UTF-8"));
    assert!(!cached.is_empty());
    helper.run_of("erase").stdin(HOST).run().expect(0, "", "");
}

#[test]
fn an_entry_open_elsewhere_is_served_and_renewed() {
    let fake = Fake::start();
    let helper = Helper::with_keys(&fake);
    let first = helper.secret(HOST);
    let entry = entry(&helper);
    for share in [READING, ANYTHING] {
        let _held = hold(&entry, share);
        assert_eq!(helper.secret(HOST), first);
    }
    assert_eq!(fake.count("ecr"), 1);
    // An entry that cannot be opened is a miss, and cannot be replaced.
    let held = hold(&entry, NOTHING);
    assert_ne!(helper.secret(HOST), first);
    drop(held);
    assert_eq!((helper.secret(HOST), fake.count("ecr")), (first.clone(), 2));
    // An aging entry is renewed, and replaced as soon as it is closed.
    helper.age(HOST, 12 * 3600 - 600);
    let held = hold(&entry, READING);
    assert_ne!(helper.secret(HOST), first);
    drop(held);
    let renewed = helper.secret(HOST);
    assert_ne!(renewed, first);
    assert_eq!((helper.secret(HOST), fake.count("ecr")), (renewed, 4));
}

#[test]
fn config_files_open_elsewhere_are_read_or_named() {
    let fake = Fake::start();
    let helper = dev(&fake, &keys_in("profile dev", "AKIAFAKEPROFILE00001"));
    let config = helper.path(CONFIG);
    let helper = helper.env("AWS_CONFIG_FILE", &config);
    for share in [READING, ANYTHING] {
        let _held = hold(&config, share);
        helper.secret(HOST);
    }
    let _held = hold(&config, NOTHING);
    let output = helper.get(HOST);
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("aws files"), "{output:?}");
}

#[test]
fn configure_replaces_a_file_or_leaves_it_whole() {
    let helper = Helper::new().file("~/.docker/config.json", "{}");
    let dir = Path::new(program())
        .parent()
        .expect("a directory")
        .to_owned();
    let helper = helper.env("PATH", dir);
    let file = helper.path("~/.docker/config.json");
    let held = hold(&file, READING);
    let output = helper.run_of("configure").arg(HOST).run();
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains("config.json"), "{output:?}");
    assert_eq!(helper.read("~/.docker/config.json"), "{}");
    assert_eq!(helper.files("~/.docker").len(), 1);
    drop(held);
    let output = helper.run_of("configure").arg(HOST).run();
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(helper.read("~/.docker/config.json").contains(HOST));
}

#[test]
fn shims_of_scoop_lead_to_the_program() {
    let machine = Machine::new();
    let shim = |target: &str| {
        let target = machine.path(target).display().to_string();
        machine.write("shims/docker-credential-ecr-login.exe", "MZ");
        machine.write(
            "shims/docker-credential-ecr-login.shim",
            format!("path = \"{target}\"\r\n"),
        );
    };
    let path = machine.path("shims").display().to_string();
    let configure =
        || machine.ecr_login_with(&[("PATH", &path)], &["configure", "--dry-run", HOST]);
    shim("bin/docker-credential-ecr-login.exe");
    let output = configure();
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""));
    shim("bin/another.exe");
    let output = configure();
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("another program"), "{output:?}");
}

#[test]
fn helpers_are_found_by_their_ending_too() {
    let fake = Fake::start();
    for (name, file) in [
        ("gcloud", "gcloud.cmd"),
        ("desktop.exe", "desktop.exe"),
        ("desktop", "desktop.exe"),
    ] {
        let helper = Helper::with_keys(&fake).file(
            "~/.aws/ecr-login",
            format!("[*]\nother_registries = {name}\n"),
        );
        let at = helper.path(&format!("~/bin/docker-credential-{file}"));
        match file.ends_with(".cmd") {
            true => helper.write(at.to_str().expect("UTF-8"), "@echo {\"Secret\":\"x\"}\r\n"),
            false => {
                std::fs::create_dir(helper.path("~/bin")).expect("new");
                std::fs::copy(program(), &at).expect("free");
            }
        }
        let bin = helper.path("~/bin");
        let helper = helper.env("PATH", bin);
        let output = helper.get("docker.io");
        let (code, part) = match file.ends_with(".cmd") {
            true => (0, "\"Secret\""),
            // A copy of this program, which finds itself.
            false => (1, "is this program itself"),
        };
        assert_eq!(output.code, Some(code), "{name}: {output:?}");
        let both = format!("{}{}", output.stdout, output.stderr);
        assert!(both.contains(part), "{name}: {output:?}");
    }
}

#[test]
fn a_name_may_end_in_exe() {
    let dir = Helper::new();
    std::fs::copy(program(), dir.path("~/ecr-login.exe")).expect("free");
    for name in ["ecr-login", "ecr-login.exe", "ecr-login.EXE"] {
        let helper = Helper::new().program(dir.path("~/").join(name));
        let output = helper.run_of("--help").run();
        assert_eq!(output.code, Some(0), "{name}: {output:?}");
        assert!(
            output.stdout.contains("ecr-login configure"),
            "{name}: {output:?}"
        );
    }
}
