//! Which docker-credential-ecr-login a client would run.
//!
//! Clients look for the program on their own PATH. Programs that a desktop starts and `sudo` have
//! a short one, so a program below the home directory works in a terminal and nowhere else.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::PROGRAM;
use crate::fs::read_bounded;
use crate::problem::{Problem, ProblemKind};

/// Where Homebrew installs programs: on no PATH but that of its users' shells.
const HOMEBREW: [&str; 2] = ["/opt/homebrew", "/home/linuxbrew"];

/// How long another program of our name may take to say its version.
const VERSION_TIMEOUT: Duration = Duration::from_secs(2);

/// The programs of our name, in the order of PATH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) programs: Vec<PathBuf>,
}

/// The program that a client would run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PathVerdict {
    /// This program, for all clients.
    Good,
    /// This program, but nothing where PATH is short.
    ShortPathMisses(PathBuf),
    /// This program, but another one where PATH is short.
    ShortPathHas(PathBuf),
    /// Nothing of that name.
    Missing,
    /// Another program of that name.
    Other(PathBuf),
}

impl Found {
    pub(crate) fn on(path: &OsStr) -> Self {
        let names = file_names(PROGRAM);
        // In the current directory clients refuse to look.
        let dirs = std::env::split_paths(path).filter(|dir| dir.is_absolute());
        let mut programs = Vec::new();
        let mut seen = BTreeSet::new();
        for program in dirs.flat_map(|dir| names.iter().map(move |name| dir.join(name))) {
            // /bin is often a link to /usr/bin.
            let real = fs::canonicalize(&program).ok();
            let is_new = real.is_none_or(|real| seen.insert(real));
            if is_executable(&program) && is_new {
                programs.push(program);
            }
        }
        Self { programs }
    }

    pub(crate) fn verdict(&self, ours: Option<&Path>, home: Option<&Path>) -> PathVerdict {
        let is_ours = |file: &Path| ours.is_none_or(|ours| is_same(file, ours));
        let Some(first) = self.programs.first() else {
            return PathVerdict::Missing;
        };
        if !is_ours(first) {
            return PathVerdict::Other(first.clone());
        }
        let public = self.programs.iter().find(|file| !is_private(file, home));
        match public {
            _ if cfg!(windows) => PathVerdict::Good,
            Some(public) if is_ours(public) => PathVerdict::Good,
            Some(public) => PathVerdict::ShortPathHas(public.clone()),
            None => PathVerdict::ShortPathMisses(first.clone()),
        }
    }
}

/// The names of files that clients run as the program of this name: on Windows also the scripts that
/// package managers make.
pub(crate) fn file_names(program: &str) -> Vec<String> {
    const ENDS: [&str; 4] = [".com", ".exe", ".bat", ".cmd"];
    if !cfg!(windows) {
        return vec![program.to_owned()];
    }
    let lower = program.to_ascii_lowercase();
    // Docker Desktop writes `desktop.exe` where it is run from Linux.
    let whole = ENDS.iter().any(|end| lower.ends_with(end));
    let whole = whole.then(|| program.to_owned());
    let ended = ENDS.iter().map(|end| format!("{program}{end}"));
    whole.into_iter().chain(ended).collect()
}

/// Whether the file is where only a user's shell looks.
fn is_private(file: &Path, home: Option<&Path>) -> bool {
    home.is_some_and(|home| file.starts_with(home))
        || HOMEBREW.iter().any(|dir| file.starts_with(dir))
}

#[cfg(unix)]
fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|meta| meta.is_file())
}

/// Whether two paths lead to the same program: the same file, a copy of it, or Scoop's shim for one.
pub(crate) fn is_same(file: &Path, other: &Path) -> bool {
    let target = shim_target(file);
    let one = target.as_deref().unwrap_or(file);
    match (fs::canonicalize(one), fs::canonicalize(other)) {
        (Ok(one), Ok(other)) if one == other => true,
        (Ok(one), Ok(other)) => {
            let len = |path: &Path| fs::metadata(path).map(|meta| meta.len()).ok();
            len(&one) == len(&other) && fs::read(one).ok() == fs::read(other).ok()
        }
        _ => false,
    }
}

/// The program that a shim of Scoop's runs, which on Windows is a file of another program: a text next
/// to it names the target.
fn shim_target(file: &Path) -> Option<PathBuf> {
    const LONGEST: usize = 64 << 10;
    if !cfg!(windows) {
        return None;
    }
    let text = read_bounded(&file.with_extension("shim"), LONGEST).ok()?;
    let text = String::from_utf8(text).ok()?;
    let mut settings = text.lines().filter_map(|line| line.split_once('='));
    let (_, path) = settings.find(|(name, _)| name.trim() == "path")?;
    Some(PathBuf::from(path.trim().trim_matches('"')))
}

/// The program's version, on one line; none if it fails.
pub(crate) fn version_of(program: &Path) -> Option<String> {
    let mut command = Command::new(program);
    command
        .arg("version")
        // The Amazon ECR credential helper makes a directory in it.
        .env("HOME", "/nonexistent")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    let began = Instant::now();
    while child.try_wait().ok()?.is_none() {
        if began.elapsed() > VERSION_TIMEOUT {
            // It may have ended in between.
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let mut text = Vec::new();
    child
        .stdout
        .take()?
        .take(1024)
        .read_to_end(&mut text)
        .ok()?;
    let text = String::from_utf8_lossy(&text);
    let line: String = text
        .lines()
        .next()?
        .chars()
        .filter(|c| !c.is_control())
        .collect();
    Some(line).filter(|line| !line.is_empty())
}

impl PathVerdict {
    /// Why clients do not reach this program, if so.
    pub(crate) fn problem(&self, ours: Option<&Path>) -> Option<Problem> {
        let install = install_hint(ours);
        let (cause, hint) = match self {
            Self::Good | Self::ShortPathMisses(_) | Self::ShortPathHas(_) => return None,
            Self::Missing => (format!("{PROGRAM} is not on PATH"), install),
            Self::Other(other) => {
                let other = other.display();
                (
                    format!("{other}, another program, comes first on PATH"),
                    format!("remove {other}, or replace it: {install}"),
                )
            }
        };
        Some(Problem::new(ProblemKind::Configuration, cause, hint))
    }

    /// The problem of a setup that works in a user's shell only.
    pub(crate) fn warning(&self) -> Option<String> {
        match self {
            Self::ShortPathMisses(path) => {
                let path = path.display();
                Some(format!("sudo and desktop programs do not find {path}"))
            }
            Self::ShortPathHas(other) => {
                let other = other.display();
                Some(format!(
                    "sudo and desktop programs find another program, {other}"
                ))
            }
            Self::Good | Self::Missing | Self::Other(_) => None,
        }
    }
}

/// The command that puts this program where every client finds it.
pub(crate) fn install_hint(ours: Option<&Path>) -> String {
    let ours = ours.map_or_else(|| PROGRAM.to_owned(), |path| path.display().to_string());
    match cfg!(windows) {
        true => format!("add the directory of {ours} to PATH"),
        false => format!("sudo install {ours} /usr/local/bin/{PROGRAM}"),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn program(dir: &Path, text: &str, mode: u32) -> PathBuf {
        fs::create_dir_all(dir).expect("a directory");
        let file = dir.join(PROGRAM);
        fs::write(&file, text).expect("writable");
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("ours");
        file
    }

    #[test]
    fn first_executable_of_the_name_decides() {
        let dir = tempfile::tempdir().expect("a directory");
        let [plain, old, home, ours] =
            ["plain", "old", "home/bin", "ours"].map(|name| dir.path().join(name));
        program(&plain, "not executable", 0o644);
        let other = program(&old, "old", 0o755);
        let private = program(&home, "ours", 0o755);
        let public = program(&ours, "ours", 0o755);
        let user = dir.path().join("home");
        let verdict = |dirs: &[&Path]| {
            let found = Found::on(&std::env::join_paths(dirs).expect("plain"));
            found.verdict(Some(&public), Some(&user))
        };
        assert_eq!(verdict(&[&plain]), PathVerdict::Missing);
        assert_eq!(verdict(&[Path::new("relative")]), PathVerdict::Missing);
        assert_eq!(
            verdict(&[&plain, &old, &ours]),
            PathVerdict::Other(other.clone())
        );
        assert_eq!(verdict(&[&ours, &old]), PathVerdict::Good);
        // A copy of the file is the same program.
        assert_eq!(verdict(&[&home, &ours, &old]), PathVerdict::Good);
        assert_eq!(verdict(&[&home]), PathVerdict::ShortPathMisses(private));
        assert_eq!(
            verdict(&[&home, &old]),
            PathVerdict::ShortPathHas(other.clone())
        );
        // So is another name of it.
        fs::remove_file(&other).expect("there");
        symlink(&public, &other).expect("free");
        assert_eq!(verdict(&[&old, &home]), PathVerdict::Good);
    }

    #[test]
    fn version_is_one_line_in_time() {
        let dir = tempfile::tempdir().expect("a directory");
        let says = program(
            dir.path(),
            "#!/bin/sh\nprintf 'helper 0.9\\nmore\\n'\n",
            0o755,
        );
        assert_eq!(version_of(&says).as_deref(), Some("helper 0.9"));
        let silent = program(dir.path(), "#!/bin/sh\nexec sleep 60\n", 0o755);
        assert_eq!(version_of(&silent), None);
    }
}
