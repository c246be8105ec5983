//! Replaces a file that another program may be writing too.
//!
//! The new content is written to a temporary file and renamed, with the mode and the owner of the old file.
//! A link is followed, so that a file kept elsewhere (dotfiles) stays a link. A file that changed
//! since it was read is not overwritten.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::fs::read_bounded;
use crate::problem::{Problem, ProblemKind};

/// In bytes; a config.json with ten thousand logins has a tenth of it.
const LONGEST: usize = 64 << 20;

/// How many links may lead to one another.
const LONGEST_CHAIN: usize = 40;

/// A file as it was read.
#[derive(Debug)]
pub(crate) struct Original {
    /// The path that it is known by.
    path: PathBuf,
    /// The path without links.
    target: PathBuf,
    /// None if there was none.
    pub(crate) bytes: Option<Vec<u8>>,
}

impl Original {
    pub(crate) fn read(path: &Path) -> Result<Self, Problem> {
        let target = follow(path).map_err(|error| failed("read", path, &error))?;
        let bytes = match read_bounded(&target, LONGEST) {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(failed("read", path, &error)),
        };
        Ok(Self {
            path: path.to_owned(),
            target,
            bytes,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Puts the new content in its place; none removes the file.
    pub(crate) fn replace(&self, new: Option<&[u8]>) -> Result<(), Problem> {
        if new == self.bytes.as_deref() {
            return Ok(());
        }
        match new {
            Some(new) => self.write(new),
            None => {
                self.check_unchanged()?;
                fs::remove_file(&self.target).map_err(|error| failed("remove", &self.path, &error))
            }
        }
    }

    fn write(&self, new: &[u8]) -> Result<(), Problem> {
        let write_failed = |error: io::Error| failed("write", &self.path, &error);
        let dir = self.target.parent().unwrap_or(Path::new("."));
        make_dir(dir).map_err(write_failed)?;
        let (temp, mut file) = self.temp_file(dir).map_err(write_failed)?;
        let written = file
            .write_all(new)
            .map_err(write_failed)
            .and_then(|()| self.keep_owner(&file))
            .and_then(|()| file.sync_all().map_err(write_failed))
            .and_then(|()| self.check_unchanged())
            .and_then(|()| crate::fs::rename(&temp, &self.target).map_err(write_failed));
        if written.is_err() {
            // Without a rename the temporary file is of no use.
            let _ = fs::remove_file(&temp);
        }
        written
    }

    fn temp_file(&self, dir: &Path) -> io::Result<(PathBuf, File)> {
        let name = self.target.file_name().unwrap_or_default();
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut tries = 0;
        loop {
            let mut temp = std::ffi::OsString::from(".");
            temp.push(name);
            temp.push(format!(".{}-{tries}.tmp", std::process::id()));
            let temp = dir.join(temp);
            match options.open(&temp) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists && tries < 16 => tries += 1,
                opened => return Ok((temp, opened?)),
            }
        }
    }

    /// Gives a new file the mode and the owner of the old one.
    #[cfg(unix)]
    fn keep_owner(&self, file: &File) -> Result<(), Problem> {
        use std::os::unix::fs::{MetadataExt, fchown};
        if self.bytes.is_none() {
            return Ok(());
        }
        let write_failed = |error: io::Error| failed("write", &self.path, &error);
        let old = fs::metadata(&self.target).map_err(write_failed)?;
        let new = file.metadata().map_err(write_failed)?;
        if (old.uid(), old.gid()) != (new.uid(), new.gid())
            && fchown(file, Some(old.uid()), Some(old.gid())).is_err()
            && old.uid() != new.uid()
        {
            return Err(foreign(&self.path));
        }
        file.set_permissions(old.permissions())
            .map_err(write_failed)
    }

    #[cfg(not(unix))]
    #[allow(clippy::unused_self, clippy::unnecessary_wraps, reason = "as on Unix")]
    fn keep_owner(&self, _: &File) -> Result<(), Problem> {
        Ok(())
    }

    fn check_unchanged(&self) -> Result<(), Problem> {
        let now = match read_bounded(&self.target, LONGEST) {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(failed("read", &self.path, &error)),
        };
        match now == self.bytes {
            true => Ok(()),
            false => Err(changed(&self.path)),
        }
    }
}

/// The path with its links followed, also where the last of them leads to a file that is missing.
fn follow(path: &Path) -> io::Result<PathBuf> {
    let mut target = path.to_owned();
    for _ in 0..LONGEST_CHAIN {
        match fs::read_link(&target) {
            Ok(next) => target = target.parent().unwrap_or(Path::new("")).join(next),
            Err(_) => return Ok(target),
        }
    }
    Err(io::Error::other("too many symbolic links"))
}

/// Directories of client configuration are the user's alone, as docker makes its own.
fn make_dir(dir: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

fn failed(doing: &str, path: &Path, error: &io::Error) -> Problem {
    Problem::new(
        ProblemKind::Configuration,
        format!("cannot {doing} {}: {error}", path.display()),
        "check the owner and the permissions of the file and of its directory",
    )
}

fn changed(path: &Path) -> Problem {
    Problem::new(
        ProblemKind::Configuration,
        format!(
            "{} was changed by another program meanwhile",
            path.display()
        ),
        "run the command again",
    )
}

#[cfg(unix)]
fn foreign(path: &Path) -> Problem {
    Problem::new(
        ProblemKind::Configuration,
        format!("{} belongs to another user", path.display()),
        "run the command as that user",
    )
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    #[test]
    fn mode_and_links_stay() {
        let dir = tempfile::tempdir().expect("a directory");
        let (real, link) = (dir.path().join("real.json"), dir.path().join("config.json"));
        fs::write(&real, "old").expect("writable");
        for mode in [0o600, 0o644, 0o400] {
            fs::set_permissions(&real, fs::Permissions::from_mode(mode)).expect("ours");
            let _ = fs::remove_file(&link);
            symlink("real.json", &link).expect("free");
            let original = Original::read(&link).expect("readable");
            let text = format!("new {mode}");
            original.replace(Some(text.as_bytes())).expect("replaced");
            assert_eq!(fs::read_to_string(&real).expect("there"), text);
            assert_eq!(fs::metadata(&real).expect("there").mode() & 0o7777, mode);
            assert!(link.is_symlink());
        }
        assert_eq!(fs::read_dir(dir.path()).expect("ours").count(), 2);
    }

    #[test]
    fn changed_and_vanished_files_are_not_written() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("config.json");
        fs::write(&path, "old").expect("writable");
        let original = Original::read(&path).expect("readable");
        fs::write(&path, "newer").expect("writable");
        for new in [Some(&b"mine"[..]), None] {
            let error = original.replace(new).expect_err("changed");
            assert!(error.to_string().ends_with("another program meanwhile"));
        }
        fs::remove_file(&path).expect("there");
        original.replace(Some(b"mine")).expect_err("vanished");
        assert_eq!(fs::read_dir(dir.path()).expect("ours").count(), 0);
    }

    #[test]
    fn missing_file_is_made_private_and_removed() {
        let dir = tempfile::tempdir().expect("a directory");
        let link = dir.path().join("link.json");
        symlink("below/config.json", &link).expect("free");
        let path = dir.path().join("below/config.json");
        Original::read(&link)
            .expect("missing")
            .replace(Some(b"{}"))
            .expect("made");
        assert_eq!(fs::metadata(&path).expect("made").mode() & 0o777, 0o600);
        let original = Original::read(&link).expect("readable");
        original.replace(None).expect("removed");
        assert!(!path.exists() && link.is_symlink());
    }
}
