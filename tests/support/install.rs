//! Programs in a directory of PATH: this one, and scripts in place of others.

use std::path::Path;

use super::run::program;

/// Copies the program. Not in this process: a child that another test starts meanwhile may have the
/// copy open for writing until it is replaced, and a program that is open so cannot be run.
pub fn copy_program(to: &Path) {
    if cfg!(windows) {
        std::fs::copy(program(), to).expect("free");
        return;
    }
    let status = std::process::Command::new("cp")
        .arg(program())
        .arg(to)
        .status();
    assert!(status.expect("cp runs").success(), "{}", to.display());
}

/// Installs the program: a link to it, and on Windows, where only some users may make one, a hard
/// link or a copy whose name ends in `.exe`.
pub fn install(at: &Path) {
    #[cfg(unix)]
    std::os::unix::fs::symlink(program(), at).expect("free");
    #[cfg(windows)]
    {
        let at = at.with_extension("exe");
        if std::fs::hard_link(program(), &at).is_err() {
            copy_program(&at);
        }
    }
}

/// Writes a script: the first text for a shell, the second for Windows, into a file with `.cmd`.
pub fn write_script(at: &Path, unix: &str, windows: &str) {
    std::fs::create_dir_all(at.parent().expect("a directory")).expect("a directory");
    if cfg!(windows) {
        let text = windows.replace('\n', "\r\n");
        std::fs::write(at.with_extension("cmd"), text).expect("writable");
        return;
    }
    std::fs::write(at, unix).expect("writable");
    #[cfg(unix)]
    {
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(at, executable).expect("ours");
    }
}

/// A PATH of this directory and, on Unix, those of the system.
pub fn search_path(first: &Path) -> String {
    let system: &[&str] = if cfg!(windows) {
        &[]
    } else {
        &["/usr/bin", "/bin"]
    };
    let dirs = std::iter::once(first).chain(system.iter().map(Path::new));
    let path = std::env::join_paths(dirs).expect("plain");
    path.into_string().expect("UTF-8")
}
