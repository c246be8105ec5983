//! The files of the cache: which are trusted, and the one way in which a file is written.
//!
//! A process that can write to the cache can make docker send anything as a password, and one that
//! can read it has our tokens. So a file that another user owns or can write is neither read nor
//! written, and no link is followed. [`super::place`] judges the directories, once they are ours
//! alone no other user can change their contents, so checks by path suffice.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use super::CacheError as Error;
use super::place::{Owner, set_mode, untrusted};
use crate::secret::SecretBytes;

/// In bytes. ECR's passwords are below 4 KiB.
pub(super) const LIMIT: usize = 256 * 1024;

/// How often the name of a temporary file may already exist.
const NAME_TRIES: u32 = 16;

pub(super) fn io_error<'a>(
    doing: &'static str,
    path: &'a Path,
) -> impl Fn(io::Error) -> Error + 'a {
    move |error| Error::Io {
        doing,
        path: path.to_owned(),
        error,
    }
}

impl Owner {
    /// The contents of a file of ours; none if there is no such file.
    pub(super) fn read(self, path: &Path) -> Result<Option<SecretBytes>, Error> {
        let mut file = match crate::fs::open(path, crate::fs::Links::Refuse) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error("open", path)(error)),
        };
        let meta = self.regular(path, &file)?;
        let length = usize::try_from(meta.len())
            .ok()
            .filter(|length| *length <= LIMIT)
            .ok_or_else(|| io_error("read", path)(ErrorKind::FileTooLarge.into()))?;
        let mut bytes = SecretBytes::new(vec![0; length]);
        // A file is replaced, never changed, so its length holds.
        file.read_exact(&mut bytes)
            .map_err(io_error("read", path))?;
        crate::fs::leave(file);
        Ok(Some(bytes))
    }

    /// An error unless it is a regular file that no other user can change.
    fn regular(self, path: &Path, file: &File) -> Result<Metadata, Error> {
        let meta = file.metadata().map_err(io_error("stat", path))?;
        if !meta.is_file() {
            return Err(untrusted(path, "is not a file"));
        }
        match self.why_file_untrusted(file, &meta) {
            Some(why) => Err(untrusted(path, why)),
            None => Ok(meta),
        }
    }

    /// Writes `dir/file` as a whole or not at all; every file of the cache is written by this.
    pub(super) fn write(
        self,
        dir: &Path,
        file: &str,
        bytes: &[u8],
        modified: Option<SystemTime>,
    ) -> Result<(), Error> {
        let target = dir.join(file);
        let stem = file.split('.').next().unwrap_or(file);
        let (temp, mut out) = create_temp(dir, stem)?;
        let written = out
            .write_all(bytes)
            .map_err(io_error("write", &temp))
            .and_then(|()| {
                // Where a file system keeps no times, the sweep reads the file.
                modified.map(|time| out.set_modified(time));
                // Not synced: that would take longer than the call to AWS. A kill cannot tear the
                // file; a power failure can, and then it is a miss like any other damage.
                drop(out);
                self.replace(&temp, &target)
            });
        if written.is_err() {
            // If this fails, a later sweep removes it.
            let _ = fs::remove_file(&temp);
        }
        written
    }

    /// Renames; a directory in place of the file is removed.
    fn replace(self, from: &Path, to: &Path) -> Result<(), Error> {
        let Err(error) = crate::fs::rename(from, to) else {
            return Ok(());
        };
        match fs::symlink_metadata(to) {
            Ok(meta) if meta.is_dir() && self.is_ours(&meta) => {
                fs::remove_dir_all(to).map_err(io_error("remove", to))?;
                fs::rename(from, to).map_err(io_error("replace", to))
            }
            _ => Err(io_error("replace", to)(error)),
        }
    }

    /// Opens a lock file, creating it if it is missing. Anything else in its place is removed.
    pub(super) fn open_lock(self, path: &Path) -> Result<File, Error> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        refuse_links(&mut options);
        private(&mut options);
        refuse_removal(&mut options);
        let open = || {
            #[cfg(windows)]
            return crate::fs::retry_in_use(path, || options.open(path));
            #[cfg(not(windows))]
            options.open(path)
        };
        let file = match open() {
            Ok(file) => file,
            Err(error) => {
                self.repair_lock_file(path)
                    .map_err(|()| io_error("open", path)(error))?;
                open().map_err(io_error("open", path))?
            }
        };
        self.regular(path, &file)?;
        restrict_file(&file);
        Ok(file)
    }

    /// Removes what is in place of a lock file, or makes an unreadable one readable: its creator may
    /// have been killed, under a umask of 777, before it could set the mode.
    fn repair_lock_file(self, path: &Path) -> Result<(), ()> {
        let meta = fs::symlink_metadata(path).map_err(drop)?;
        if !self.is_ours(&meta) {
            return Err(());
        }
        if meta.is_file() {
            return set_mode(path, &meta, 0o600);
        }
        if meta.is_dir() {
            fs::remove_dir(path).map_err(drop)
        } else {
            fs::remove_file(path).map_err(drop)
        }
    }
}

/// A new file `.<stem>.<pid>.<n>.tmp`.
fn create_temp(dir: &Path, stem: &str) -> Result<(PathBuf, File), Error> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    refuse_links(&mut options);
    private(&mut options);
    let mut tries = 0;
    loop {
        let path = dir.join(temp_name(stem));
        match options.open(&path) {
            Ok(file) => {
                restrict_file(&file);
                return Ok((path, file));
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists && tries < NAME_TRIES => {
                tries += 1;
            }
            Err(error) => return Err(io_error("create", &path)(error)),
        }
    }
}

/// A name for a temporary file. The process ID alone does not tell two containers apart.
pub(super) fn temp_name(stem: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let clock = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.subsec_nanos());
    let number = clock.wrapping_add(count);
    format!(".{stem}.{}.{number}.tmp", std::process::id())
}

/// Sets a new file to 0600 whatever the umask is.
fn restrict_file(file: &File) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = file.metadata().map(|meta| meta.permissions().mode());
        if !mode.is_ok_and(|mode| mode & 0o7777 == 0o600) {
            // A file system without modes refuses; the later check uses the mode that it shows.
            let _ = file.set_permissions(fs::Permissions::from_mode(0o600));
        }
    }
    #[cfg(not(unix))]
    let _ = file;
}

/// Follows no link, and does not block on a FIFO.
fn refuse_links(options: &mut OpenOptions) {
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        use std::os::unix::fs::OpenOptionsExt;
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        options.custom_flags(flags.bits().cast_signed());
    }
    #[cfg(windows)]
    std::os::windows::fs::OpenOptionsExt::custom_flags(options, crate::fs::NO_LINKS);
}

/// On Windows no process can remove or replace the file while it is open.
fn refuse_removal(options: &mut OpenOptions) {
    #[cfg(windows)]
    {
        const FILE_SHARE_READ: u32 = 1;
        const FILE_SHARE_WRITE: u32 = 2;
        let shared = FILE_SHARE_READ | FILE_SHARE_WRITE;
        std::os::windows::fs::OpenOptionsExt::share_mode(options, shared);
    }
    #[cfg(not(windows))]
    let _ = options;
}

fn private(options: &mut OpenOptions) {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    #[cfg(not(unix))]
    let _ = options;
}

/// When the file last changed in any way. The modification time of an entry is its expiry, so the
/// age of a temporary file needs another clock.
pub(super) fn changed(meta: &Metadata) -> Option<SystemTime> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let seconds = u64::try_from(meta.ctime()).ok()?;
        UNIX_EPOCH.checked_add(std::time::Duration::from_secs(seconds))
    }
    #[cfg(not(unix))]
    meta.created().ok()
}

/// Whether `path` still names the open file.
pub(super) fn is_still(file: &File, path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        match (file.metadata(), fs::symlink_metadata(path)) {
            (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
            _ => false,
        }
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        path.exists()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporary_files_have_names_of_their_own() {
        let dir = tempfile::tempdir().expect("a directory");
        let made: Vec<_> = (0..20)
            .map(|_| create_temp(dir.path(), "login").expect("made").0)
            .collect();
        assert!(made.iter().all(|path| path.is_file()));
        let id = format!(".login.{}.", std::process::id());
        let name = made[0].file_name().and_then(|name| name.to_str());
        assert!(name.is_some_and(|name| {
            name.strip_suffix(".tmp")
                .is_some_and(|name| name.starts_with(&id))
        }));
        assert!(create_temp(&dir.path().join("missing"), "login").is_err());
    }
}
