//! Turns a panic inside a dependency into an error of the protocol.
//!
//! Release builds abort on a panic, which a client sees as a crash without a response. The hook runs
//! before that, answers, and ends the program. It never prints the message of the panic, which may
//! quote what the dependency was working on.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::panic::PanicHookInfo;
use std::path::Path;

use super::NAME;
use crate::env::Env;
use crate::settings;

/// The text on standard output after a panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stdout {
    /// `get`: that credentials are not found, or the cause where it is strict.
    NotFound,
    /// The other actions of docker's protocol: the cause.
    Cause,
    /// Other protocols: nothing.
    Nothing,
}

impl Stdout {
    pub(super) fn of(verb: Option<&OsString>) -> Self {
        match verb.and_then(|verb| verb.to_str()) {
            Some("get") => Self::NotFound,
            Some("store" | "erase" | "list") => Self::Cause,
            _ => Self::Nothing,
        }
    }
}

/// Answers every panic from here on.
pub(super) fn install(stdout: Stdout) {
    std::panic::set_hook(Box::new(move |info| {
        answer(stdout, &cause(info));
        std::process::exit(1);
    }));
}

fn cause(info: &PanicHookInfo<'_>) -> String {
    let place = info.location().and_then(|location| {
        let file = Path::new(location.file()).file_name()?.to_str()?;
        Some(format!(" in {file}, line {}", location.line()))
    });
    format!("internal error{}", place.unwrap_or_default())
}

/// The streams may be locked by the thread that panicked, or by another: they are not used, only
/// their files.
fn answer(stdout: Stdout, cause: &str) {
    const HINT: &str = "report it, with what AWS_ECR_LOG=debug shows";
    // There is nothing left to do about a stream that is closed.
    if let Some(mut file) = file_of(&io::stderr()) {
        let _ = file.write_all(format!("{NAME}: {cause}\nhint: {HINT}\n").as_bytes());
    }
    let line = match stdout {
        Stdout::NotFound if settings::strict(&Env::process()) => cause,
        Stdout::NotFound => "credentials not found in native keychain",
        Stdout::Cause => cause,
        Stdout::Nothing => return,
    };
    if let Some(mut file) = file_of(&io::stdout()) {
        let _ = file.write_all(format!("{line}\n").as_bytes());
    }
}

#[cfg(unix)]
fn file_of(stream: &impl std::os::fd::AsFd) -> Option<File> {
    Some(File::from(stream.as_fd().try_clone_to_owned().ok()?))
}

#[cfg(windows)]
fn file_of(stream: &impl std::os::windows::io::AsHandle) -> Option<File> {
    Some(File::from(stream.as_handle().try_clone_to_owned().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHILD: &str = "ECR_TEST_PANICS";

    /// Not a test by itself: the process that panics in the one below.
    #[test]
    fn child_process() {
        let stdout = match std::env::var(CHILD).as_deref() {
            Ok("not found") => Stdout::NotFound,
            Ok("cause") => Stdout::Cause,
            Ok("nothing") => Stdout::Nothing,
            _ => return,
        };
        // As in a run: another thread may hold the lock.
        let _lock = io::stdout().lock();
        install(stdout);
        let thread = std::thread::spawn(|| panic!("sentinel"));
        let _ = thread.join();
        unreachable!("the hook ends the process");
    }

    #[test]
    fn a_panic_is_answered_without_its_message() {
        for (kind, expected) in [
            (
                "not found",
                Some("credentials not found in native keychain"),
            ),
            ("cause", Some("internal error in panics.rs, line ")),
            ("nothing", None),
        ] {
            let output = std::process::Command::new(std::env::current_exe().expect("this program"))
                .args([
                    "--exact",
                    "cli::panics::tests::child_process",
                    "--nocapture",
                ])
                .env(CHILD, kind)
                .output()
                .expect("started");
            let stdout = String::from_utf8_lossy(&output.stdout);
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{stdout} {stderr}");
            assert!(
                !format!("{stdout}{stderr}").contains("sentinel"),
                "{stderr}"
            );
            assert!(
                stderr.contains("internal error in panics.rs, line "),
                "{stderr}"
            );
            assert!(stderr.contains("\nhint: report it"), "{stderr}");
            // The test harness prints lines of its own before.
            let last = stdout.lines().last().unwrap_or_default();
            match expected {
                Some(expected) => assert!(last.contains(expected), "{stdout}"),
                None => assert!(!stdout.contains("internal error"), "{stdout}"),
            }
        }
    }
}
