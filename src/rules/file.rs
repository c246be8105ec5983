//! Finds the rules file, checks who can write to it, and reads it in three system calls.

use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use crate::env::Env;
use crate::fs::{Links, leave, open};
use crate::problem::Problem;
use crate::profile::Paths;
use crate::profile::reader::decode;
use crate::settings;

use super::problem;

/// The variable that names another file.
pub(super) const VARIABLE: &str = settings::CONFIG.name;

/// The name in the directory of the AWS config file.
const FILE_NAME: &str = "ecr-login";

/// Above this many bytes a file is not a rules file: room for 100,000 sections.
const LIMIT: u64 = 8 << 20;

/// The text of the file, and how messages name it.
pub(super) struct RulesFile {
    shown: String,
    text: String,
}

impl fmt::Debug for RulesFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl RulesFile {
    #[cfg(test)]
    pub(super) fn of(shown: &str, text: &str) -> Self {
        Self {
            shown: shown.to_owned(),
            text: text.to_owned(),
        }
    }

    pub(super) fn text(&self) -> &str {
        // Some editors on Windows begin a file with this mark.
        self.text.strip_prefix('\u{feff}').unwrap_or(&self.text)
    }

    /// The file as messages name it, with `~` for the home directory.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// A setting's place, for messages.
    pub(super) fn place(&self, section: &str, line: usize) -> String {
        format!("[{section}] in {}, line {line}", self.shown)
    }
}

/// Where the file is, and whether a variable names it; none if it is switched off or there is no
/// place for it.
pub(crate) fn path(env: &Env) -> Option<(PathBuf, bool)> {
    match env.path(VARIABLE) {
        // The usual way to say "no file" to programs that know no other.
        Some(path) if path == Path::new("/dev/null") => return None,
        Some(path) => return Some((path, true)),
        None if env.raw(VARIABLE).is_some() => return None,
        None => {}
    }
    let config = Paths::find(env).config?;
    // Without a name there is no directory either.
    config.file_name()?;
    Some((config.with_file_name(FILE_NAME), false))
}

/// Reads the file, if there is one.
pub(super) fn read(env: &Env) -> Result<Option<RulesFile>, Problem> {
    let Some((path, is_named)) = path(env) else {
        return Ok(None);
    };
    let bytes = match open(&path, Links::Follow) {
        Ok(file) => read_trusted(file, &env.shown(&path))?,
        Err(error) if !is_named && is_missing(&path, &error) => return Ok(None),
        // Windows opens none.
        Err(_) if path.is_dir() => return Err(problem::not_a_file(&env.shown(&path))),
        Err(error) => return Err(problem::unreadable(&env.shown(&path), is_named, &error)),
    };
    let shown = env.shown(&path);
    match decode(bytes) {
        (text, invalid) if invalid.is_empty() => Ok(Some(RulesFile { shown, text })),
        (_, invalid) => Err(problem::not_utf8(&shown, invalid[0])),
    }
}

/// Not there, or in another user's home directory, where that cannot be seen.
fn is_missing(path: &Path, error: &io::Error) -> bool {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => true,
        ErrorKind::PermissionDenied => std::fs::metadata(path).is_err(),
        _ => false,
    }
}

/// The file's content, if it is a regular file that no other user can write to.
fn read_trusted(mut file: File, shown: &str) -> Result<Vec<u8>, Problem> {
    let failed = |error: io::Error| problem::unreadable(shown, true, &error);
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(problem::not_a_file(shown));
    }
    check_writers(&file, &metadata, shown)?;
    if metadata.len() > LIMIT {
        return Err(problem::too_large(shown, LIMIT));
    }
    // One byte more shows the end without a second read.
    let mut bytes = vec![0; usize::try_from(metadata.len()).unwrap_or_default() + 1];
    let mut len = 0;
    while len < bytes.len() {
        match file.read(&mut bytes[len..]) {
            Ok(0) => break,
            Ok(n) => len += n,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(error)),
        }
        if len < bytes.len() {
            break;
        }
        // It has grown since it was looked at.
        return Err(problem::changed(shown));
    }
    bytes.truncate(len);
    leave(file);
    Ok(bytes)
}

#[cfg(unix)]
fn check_writers(_: &File, metadata: &std::fs::Metadata, shown: &str) -> Result<(), Problem> {
    use std::os::unix::fs::MetadataExt;
    let owner = metadata.uid();
    if owner != 0 && owner != rustix::process::geteuid().as_raw() {
        return Err(problem::foreign(shown, owner));
    }
    match metadata.mode() & 0o022 {
        0 => Ok(()),
        _ => Err(problem::writable(shown)),
    }
}

#[cfg(windows)]
fn check_writers(file: &File, _: &std::fs::Metadata, shown: &str) -> Result<(), Problem> {
    match crate::fs::acl::why_file_untrusted(file) {
        Some(why) => Err(problem::untrusted(shown, why)),
        None => Ok(()),
    }
}
