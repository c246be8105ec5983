//! Facts about the build for `version`, and how the program is linked.

use std::env::var;
use std::fs::read_to_string;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=packaging/build.rs");
    let env = |name| var(name).unwrap_or_default();
    let commit = match env("PROFILE").as_str() {
        // A commit would rebuild everything.
        "debug" => "development build".to_owned(),
        _ => match commit() {
            Some(commit) => format!("commit {commit}"),
            None => "unknown commit".to_owned(),
        },
    };
    let tls = match var("CARGO_FEATURE_FIPS") {
        Ok(_) => "TLS by aws-lc (FIPS module)",
        Err(_) => "TLS by ring (not FIPS)",
    };
    let target = env("TARGET");
    println!("cargo::rustc-env=ECR_LOGIN_BUILD={commit}, {target}, {tls}");
    link_unwinder(env("HOST") == target);
}

/// The commit that this is built from: from git, from the package that cargo made of it, or from
/// the archive that git made of it.
fn commit() -> Option<String> {
    for path in [".cargo_vcs_info.json", "packaging/commit"] {
        // A file that is not there counts as changed, and everything would be linked again.
        if Path::new(path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    let is_commit = |text: &&str| text.len() >= 40 && text.bytes().all(|b| b.is_ascii_hexdigit());
    if let Ok(text) = read_to_string(".cargo_vcs_info.json") {
        let (_, rest) = text.split_once("\"sha1\"")?;
        let commit = rest.split('"').nth(1).filter(is_commit)?;
        return Some(match text.contains("\"dirty\": true") {
            true => format!("{commit} (modified)"),
            false => commit.to_owned(),
        });
    }
    let exported = read_to_string("packaging/commit").unwrap_or_default();
    if let Some(commit) = exported.lines().last().filter(is_commit) {
        return Some(commit.to_owned());
    }
    // A repository around an unpacked source is not that source's.
    Path::new(".git").exists().then_some(())?;
    for path in ["src", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={path}");
    }
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo::rerun-if-changed={log}");
    }
    let commit = git(&["rev-parse", "HEAD"])?;
    let modified = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(match modified.is_empty() {
        true => commit,
        false => format!("{commit} (modified)"),
    })
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// On Linux with glibc, links the unwinder into the program where the C compiler has it in that
/// form: loading it as a shared library takes a twentieth of the time of a cached `get`.
fn link_unwinder(native: bool) {
    let is = |name, value| var(name).is_ok_and(|found| found == value);
    if !native || !is("CARGO_CFG_TARGET_OS", "linux") || !is("CARGO_CFG_TARGET_ENV", "gnu") {
        return;
    }
    let printed = Command::new("cc")
        .arg("-print-file-name=libgcc_eh.a")
        .output();
    // The name alone if there is no such file.
    let path = printed.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    if path.is_ok_and(|path| Path::new(&path).is_absolute()) {
        println!("cargo::rustc-link-lib=static:-bundle=gcc_eh");
    }
}
