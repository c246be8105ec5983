//! Which files and directories are trusted, and the one way in which a file is written.
//!
//! Whoever can write to the cache can make docker send anything as a password, and whoever can
//! read it has our tokens. So nothing is read from or written to what another user owns or can
//! write, and no link below the base directory is followed. Once the base is known to be ours
//! alone, nobody else can change what lies in it, which is why checks by path are enough there.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use zeroize::Zeroizing;

use super::Error;

/// More than any entry has: ECR's passwords are below 4 KiB.
pub(super) const LIMIT: usize = 256 * 1024;

/// How often a temporary file's name may be taken by another's.
const NAME_TRIES: u32 = 16;

pub(super) fn io_error<'a>(
    doing: &'static str,
    path: &'a Path,
) -> impl Fn(io::Error) -> Error + 'a {
    move |source| Error::Io {
        doing,
        path: path.to_owned(),
        source,
    }
}

fn untrusted(path: &Path, why: &'static str) -> Error {
    Error::Untrusted {
        path: path.to_owned(),
        why,
    }
}

/// Whose files are trusted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner {
    #[cfg(unix)]
    euid: u32,
}

#[cfg(unix)]
impl Owner {
    pub(super) fn current() -> Self {
        Self {
            euid: rustix::process::geteuid().as_raw(),
        }
    }

    /// Why another user could have had a hand in it.
    fn why_untrusted(self, meta: &Metadata) -> Option<&'static str> {
        use std::os::unix::fs::MetadataExt;
        if meta.uid() != self.euid {
            Some("is owned by another user")
        } else if meta.mode() & 0o022 != 0 {
            Some("can be written by group or others")
        } else {
            None
        }
    }

    /// Whether it is ours or the system's, so that something of ours may be put into it.
    fn is_ours_or_roots(self, meta: &Metadata) -> bool {
        use std::os::unix::fs::MetadataExt;
        meta.uid() == self.euid || meta.uid() == 0
    }

    pub(super) fn is_ours(self, meta: &Metadata) -> bool {
        use std::os::unix::fs::MetadataExt;
        meta.uid() == self.euid
    }
}

#[cfg(not(unix))]
impl Owner {
    pub(super) fn current() -> Self {
        Self {}
    }

    fn why_untrusted(self, _: &Metadata) -> Option<&'static str> {
        None
    }

    fn is_ours_or_roots(self, _: &Metadata) -> bool {
        true
    }

    pub(super) fn is_ours(self, _: &Metadata) -> bool {
        true
    }
}

/// Whether a directory may itself be reached through a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Links {
    /// The base directory: a link of the user's own (or of root's) is his will.
    OfOurs,
    /// Everything below it.
    Refused,
}

impl Owner {
    /// Whether the directory is there; an error if it is not to be trusted.
    pub(super) fn directory(self, path: &Path, links: Links) -> Result<bool, Error> {
        let mut meta = match fs::symlink_metadata(path) {
            Ok(meta) => meta,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(io_error("look at", path)(error)),
        };
        if meta.is_symlink() {
            if links == Links::Refused {
                return Err(untrusted(path, "is a link"));
            }
            if !self.is_ours_or_roots(&meta) {
                return Err(untrusted(path, "is a link of another user"));
            }
            meta = fs::metadata(path).map_err(io_error("follow", path))?;
        }
        if !meta.is_dir() {
            return Err(untrusted(path, "is not a directory"));
        }
        match self.why_untrusted(&meta) {
            Some(why) => Err(untrusted(path, why)),
            None => Ok(true),
        }
    }

    /// The base directory, made with its parents if it is missing: but never in a place that
    /// belongs to somebody else, as the home directory does under `sudo`.
    pub(super) fn make_base(self, base: &Path) -> Result<(), Error> {
        if self.directory(base, Links::OfOurs)? {
            return Ok(());
        }
        let mut missing = vec![base];
        let mut nearest = Path::new(".");
        for ancestor in base.ancestors().skip(1) {
            let ancestor = match ancestor.as_os_str().is_empty() {
                true => Path::new("."),
                false => ancestor,
            };
            nearest = ancestor;
            match fs::symlink_metadata(ancestor) {
                Ok(_) => break,
                Err(error) if error.kind() == ErrorKind::NotFound => missing.push(ancestor),
                Err(error) => return Err(io_error("look at", ancestor)(error)),
            }
        }
        let meta = fs::metadata(nearest).map_err(io_error("look at", nearest))?;
        if !self.is_ours_or_roots(&meta) {
            return Err(untrusted(nearest, "is owned by another user"));
        }
        for directory in missing.into_iter().rev() {
            make_directory(directory)?;
        }
        match self.directory(base, Links::OfOurs)? {
            true => Ok(()),
            false => Err(io_error("look at", base)(ErrorKind::NotFound.into())),
        }
    }

    /// A directory of ours below the base, made if it is missing, of mode 0700 in any case.
    pub(super) fn make_inner(self, path: &Path) -> Result<(), Error> {
        if !self.directory(path, Links::Refused)? {
            make_directory(path)?;
            if !self.directory(path, Links::Refused)? {
                return Err(io_error("look at", path)(ErrorKind::NotFound.into()));
            }
        }
        restrict_directory(path)
    }

    /// The contents of a file of ours; none if there is no such file.
    pub(super) fn read(self, path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
        let mut file = match crate::fs::open(path, crate::fs::Links::Refuse) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error("open", path)(error)),
        };
        let meta = file.metadata().map_err(io_error("look at", path))?;
        self.regular(path, &meta)?;
        let length = usize::try_from(meta.len())
            .ok()
            .filter(|length| *length <= LIMIT)
            .ok_or_else(|| io_error("read", path)(ErrorKind::FileTooLarge.into()))?;
        let mut bytes = Zeroizing::new(vec![0; length]);
        // A file is replaced, never changed, so its length holds.
        file.read_exact(&mut bytes)
            .map_err(io_error("read", path))?;
        Ok(Some(bytes))
    }

    /// An error unless it is a regular file that nobody else can change.
    pub(super) fn regular(self, path: &Path, meta: &Metadata) -> Result<(), Error> {
        if !meta.is_file() {
            return Err(untrusted(path, "is not a file"));
        }
        match self.why_untrusted(meta) {
            Some(why) => Err(untrusted(path, why)),
            None => Ok(()),
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
                // Where a file system keeps no times, the sweep looks into the file.
                modified.map(|time| out.set_modified(time));
                // Not synced: that would cost a pull more than the call to AWS does. A kill cannot
                // tear the file; a power cut can, and then it is a miss like any other damage.
                drop(out);
                self.replace(&temp, &target)
            });
        if written.is_err() {
            // What cannot be removed now is swept later.
            let _ = fs::remove_file(&temp);
        }
        written
    }

    /// Renames; a directory that sits where the file belongs is removed.
    fn replace(self, from: &Path, to: &Path) -> Result<(), Error> {
        let Err(error) = fs::rename(from, to) else {
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

    /// Opens a lock file, which is made if it is missing. What is no file is put away first.
    pub(super) fn open_lock(self, path: &Path) -> Result<File, Error> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        refuse_links(&mut options);
        private(&mut options);
        let file = match options.open(path) {
            Ok(file) => file,
            Err(error) => {
                self.repair_lock_file(path)
                    .map_err(|()| io_error("open", path)(error))?;
                options.open(path).map_err(io_error("open", path))?
            }
        };
        let meta = file.metadata().map_err(io_error("look at", path))?;
        self.regular(path, &meta)?;
        restrict_file(&file);
        Ok(file)
    }

    /// Makes room for a lock file, or makes an unreadable one readable: its maker may have been
    /// stopped, under a umask that forbids everything, before it could set the mode.
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

/// Makes one directory of mode 0700; one that has just been made by another is as good.
fn make_directory(path: &Path) -> Result<(), Error> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(path) {
        Ok(()) => restrict_directory(path),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(io_error("create", path)(error)),
    }
}

/// Sets a directory of ours to 0700, which a umask may have taken from or an owner added to.
fn restrict_directory(path: &Path) -> Result<(), Error> {
    let meta = fs::symlink_metadata(path).map_err(io_error("look at", path))?;
    if meta.is_dir() {
        // A file system without modes refuses; then what it shows is what counts.
        let _ = set_mode(path, &meta, 0o700);
    }
    Ok(())
}

/// Sets a new file to 0600 whatever the umask is.
fn restrict_file(file: &File) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = file.metadata().map(|meta| meta.permissions().mode());
        if !mode.is_ok_and(|mode| mode & 0o7777 == 0o600) {
            // A file system without modes refuses; then what it shows is what counts.
            let _ = file.set_permissions(fs::Permissions::from_mode(0o600));
        }
    }
    #[cfg(not(unix))]
    let _ = file;
}

#[cfg(unix)]
fn set_mode(path: &Path, meta: &Metadata, mode: u32) -> Result<(), ()> {
    use std::os::unix::fs::PermissionsExt;
    if meta.permissions().mode() & 0o7777 == mode {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(drop)
}

#[cfg(not(unix))]
fn set_mode(_: &Path, _: &Metadata, _: u32) -> Result<(), ()> {
    Ok(())
}

/// No link is followed, and a FIFO does not hold us up.
fn refuse_links(options: &mut OpenOptions) {
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        use std::os::unix::fs::OpenOptionsExt;
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        options.custom_flags(flags.bits().cast_signed());
    }
    #[cfg(not(unix))]
    let _ = options;
}

fn private(options: &mut OpenOptions) {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    #[cfg(not(unix))]
    let _ = options;
}

/// When the file last changed in any way. An entry's own time says when it expires, so a
/// temporary one's age has to be told by another clock.
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
    fn a_directory_that_another_has_just_made_is_as_good() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("x");
        assert!(make_directory(&path).is_ok() && path.is_dir());
        assert!(make_directory(&path).is_ok());
        let error = make_directory(&path.join("y/z")).expect_err("nothing to make it in");
        assert!(matches!(
            error,
            Error::Io {
                doing: "create",
                ..
            }
        ));
    }

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
