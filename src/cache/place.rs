//! The directories of the cache: whether each is trusted, and how one is created.
//!
//! Another user who can write to a directory of the path can replace what is below it. So every
//! component up to the root directory belongs to the user or to root and is not writable by group
//! or others, for reading as for writing; a sticky directory, such as /tmp, is fine itself.

use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};

use super::CacheError as Error;
use super::disk::io_error;

pub(super) fn untrusted(path: &Path, why: &'static str) -> Error {
    Error::Untrusted {
        path: path.to_owned(),
        why,
    }
}

/// The owner of files whose user ID the user namespace lacks.
#[cfg(unix)]
const OVERFLOW_UID: u32 = 65534;

/// Whether this process is in a user namespace, such as rootless podman's, that has not all user IDs.
/// Root's directories have no known owner there.
#[cfg(unix)]
fn lacks_user_ids() -> bool {
    const ALL: [&str; 3] = ["0", "0", "4294967295"];
    fs::read_to_string("/proc/self/uid_map")
        .is_ok_and(|map| !map.trim().is_empty() && !map.split_whitespace().eq(ALL))
}

/// The user whose files are trusted.
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

    /// Why another user could have tampered with a file of the cache.
    pub(super) fn why_file_untrusted(self, _: &File, meta: &Metadata) -> Option<&'static str> {
        self.why_untrusted(meta)
    }

    /// Why another user could have tampered with a directory of the cache.
    #[allow(clippy::unnecessary_wraps, reason = "as on Windows")]
    fn why_directory_untrusted(
        self,
        _: &Path,
        meta: &Metadata,
    ) -> io::Result<Option<&'static str>> {
        Ok(self.why_untrusted(meta))
    }

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

    /// Why another user could replace what is in a directory above the cache.
    fn why_parent_untrusted(self, meta: &Metadata) -> Option<&'static str> {
        use std::os::unix::fs::MetadataExt;
        let is_sticky = meta.mode() & 0o1000 != 0;
        if !self.is_ours_or_roots(meta) {
            Some("is owned by another user")
        } else if meta.mode() & 0o022 != 0 && !is_sticky {
            Some("can be written by group or others")
        } else {
            None
        }
    }

    fn is_ours_or_roots(self, meta: &Metadata) -> bool {
        use std::os::unix::fs::MetadataExt;
        let uid = meta.uid();
        uid == self.euid || uid == 0 || uid == OVERFLOW_UID && lacks_user_ids()
    }

    pub(super) fn is_ours(self, meta: &Metadata) -> bool {
        use std::os::unix::fs::MetadataExt;
        meta.uid() == self.euid
    }
}

/// On Windows by access control lists; the directories above the base are left to their owners.
#[cfg(not(unix))]
#[allow(clippy::unused_self, reason = "as on Unix")]
impl Owner {
    pub(super) fn current() -> Self {
        Self {}
    }

    #[cfg(windows)]
    pub(super) fn why_file_untrusted(self, file: &File, _: &Metadata) -> Option<&'static str> {
        crate::fs::acl::why_file_untrusted(file)
    }

    #[cfg(not(windows))]
    pub(super) fn why_file_untrusted(self, _: &File, _: &Metadata) -> Option<&'static str> {
        None
    }

    #[cfg(windows)]
    fn why_directory_untrusted(
        self,
        path: &Path,
        _: &Metadata,
    ) -> io::Result<Option<&'static str>> {
        crate::fs::acl::why_path_untrusted(path)
    }

    #[cfg(not(windows))]
    fn why_directory_untrusted(self, _: &Path, _: &Metadata) -> io::Result<Option<&'static str>> {
        Ok(None)
    }

    fn why_parent_untrusted(self, _: &Metadata) -> Option<&'static str> {
        None
    }

    fn is_ours_or_roots(self, _: &Metadata) -> bool {
        true
    }

    pub(super) fn is_ours(self, _: &Metadata) -> bool {
        true
    }
}

impl Owner {
    /// Whether the base directory is there; an error if it, or a directory above it, is not trusted.
    /// A link of the user's or of root's is followed.
    pub(super) fn base(self, base: &Path) -> Result<bool, Error> {
        let mut meta = match fs::symlink_metadata(base) {
            Ok(meta) => meta,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(io_error("stat", base)(error)),
        };
        let mut has_link = meta.is_symlink();
        if has_link {
            if !self.is_ours_or_roots(&meta) {
                return Err(untrusted(base, "is a link of another user"));
            }
            meta = fs::metadata(base).map_err(io_error("follow", base))?;
        }
        self.judge(base, &meta)?;
        for component in base.ancestors().skip(1) {
            has_link |= self.check_component(component)?.unwrap_or_default();
        }
        if has_link {
            self.check_resolved(base)?;
        }
        Ok(true)
    }

    /// Whether a directory below the base is there; an error if it is not trusted.
    pub(super) fn directory(self, path: &Path) -> Result<bool, Error> {
        let meta = match fs::symlink_metadata(path) {
            Ok(meta) => meta,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(io_error("stat", path)(error)),
        };
        if meta.is_symlink() {
            return Err(untrusted(path, "is a link"));
        }
        self.judge(path, &meta).map(|()| true)
    }

    fn judge(self, path: &Path, meta: &Metadata) -> Result<(), Error> {
        if !meta.is_dir() {
            return Err(untrusted(path, "is not a directory"));
        }
        // On Windows it may be missing by now: removed by another process's sweep.
        let why = self.why_directory_untrusted(path, meta);
        match why.map_err(io_error("open", path))? {
            Some(why) => Err(untrusted(path, why)),
            None => Ok(()),
        }
    }

    /// An error unless a missing base directory could be created.
    pub(super) fn check_new(self, base: &Path) -> Result<(), Error> {
        self.check_above_new(base)?;
        #[cfg(unix)]
        if let Some(existing) = base.ancestors().find(|path| path.exists()) {
            use rustix::fs::{Access, access};
            access(existing, Access::WRITE_OK | Access::EXEC_OK)
                .map_err(|errno| io_error("create", base)(errno.into()))?;
        }
        Ok(())
    }

    /// Checks the existing components above a directory that is to be created: as they are written,
    /// and, where one of them is a link, as they resolve.
    fn check_above_new(self, base: &Path) -> Result<(), Error> {
        let mut components: Vec<_> = base.ancestors().skip(1).collect();
        components.reverse();
        let mut has_link = false;
        for component in components {
            match self.check_component(component)? {
                Some(is_link) => has_link |= is_link,
                // The rest of the path is to be created.
                None => break,
            }
        }
        match has_link {
            true => self.check_resolved(base),
            false => Ok(()),
        }
    }

    /// Checks every directory and link on the way to a path, as the system resolves it, as far as it
    /// exists.
    fn check_resolved(self, path: &Path) -> Result<(), Error> {
        const MOST_LINKS: usize = 40;
        let mut real = PathBuf::new();
        let mut links = 0;
        let mut rest = reversed(path);
        while let Some(component) = rest.pop() {
            match Path::new(&component).components().next() {
                Some(Component::ParentDir) => {
                    real.pop();
                    continue;
                }
                None | Some(Component::CurDir) => continue,
                Some(Component::Prefix(_) | Component::RootDir | Component::Normal(_)) => {}
            }
            let next = real.join(&component);
            let meta = match fs::symlink_metadata(&next) {
                Ok(meta) => meta,
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(io_error("stat", &next)(error)),
            };
            // The base itself is judged elsewhere, more strictly.
            if meta.is_symlink() || !rest.is_empty() {
                self.judge_parent(&next, &meta)?;
            }
            if meta.is_symlink() {
                links += 1;
                if links > MOST_LINKS {
                    return Err(untrusted(path, "has too many links"));
                }
                let target = fs::read_link(&next).map_err(io_error("follow", &next))?;
                rest.extend(reversed(&target));
            } else {
                real = next;
            }
        }
        Ok(())
    }

    /// Checks one component; whether it is a link, or none if it does not exist.
    fn check_component(self, path: &Path) -> Result<Option<bool>, Error> {
        let meta = match fs::symlink_metadata(path) {
            Ok(meta) => meta,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error("stat", path)(error)),
        };
        self.judge_parent(path, &meta)?;
        Ok(Some(meta.is_symlink()))
    }

    fn judge_parent(self, path: &Path, meta: &Metadata) -> Result<(), Error> {
        if meta.is_symlink() {
            return match self.is_ours_or_roots(meta) {
                true => Ok(()),
                false => Err(untrusted(path, "is a link of another user")),
            };
        }
        if !meta.is_dir() {
            return Err(untrusted(path, "is not a directory"));
        }
        match self.why_parent_untrusted(meta) {
            Some(why) => Err(untrusted(path, why)),
            None => Ok(()),
        }
    }

    /// The base directory, created with its parents if it is missing: but never in a place that
    /// belongs to another user, as the home directory does under `sudo`.
    pub(super) fn make_base(self, base: &Path) -> Result<(), Error> {
        if self.base(base)? {
            return Ok(());
        }
        self.check_above_new(base)?;
        let mut missing = vec![base];
        for ancestor in base.ancestors().skip(1) {
            match fs::symlink_metadata(ancestor) {
                Ok(_) => break,
                Err(error) if error.kind() == ErrorKind::NotFound => missing.push(ancestor),
                Err(error) => return Err(io_error("stat", ancestor)(error)),
            }
        }
        for directory in missing.into_iter().rev() {
            make_directory(directory)?;
        }
        match self.base(base)? {
            false => Err(io_error("stat", base)(ErrorKind::NotFound.into())),
            true => Ok(()),
        }
    }

    /// A directory of ours below the base, created if it is missing, always of mode 0700.
    pub(super) fn make_inner(self, path: &Path) -> Result<(), Error> {
        if !self.directory(path)? {
            make_directory(path)?;
            if !self.directory(path)? {
                return Err(io_error("stat", path)(ErrorKind::NotFound.into()));
            }
        }
        restrict_directory(path)
    }
}

/// The components of a path, the last one first.
fn reversed(path: &Path) -> Vec<OsString> {
    let components = path.components().rev();
    components
        .map(|component| component.as_os_str().to_owned())
        .collect()
}

/// Creates one directory of mode 0700; one that another process has just created is as good.
fn make_directory(path: &Path) -> Result<(), Error> {
    #[cfg(unix)]
    let created = {
        use std::os::unix::fs::DirBuilderExt;
        fs::DirBuilder::new().mode(0o700).create(path)
    };
    #[cfg(not(unix))]
    let created = fs::create_dir(path);
    match created {
        Ok(()) => restrict_directory(path),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(io_error("create", path)(error)),
    }
}

/// Sets a directory of ours to 0700, whatever the umask removed or its owner added; on Windows, lets
/// only the user in.
fn restrict_directory(path: &Path) -> Result<(), Error> {
    let meta = fs::symlink_metadata(path).map_err(io_error("stat", path))?;
    if meta.is_dir() {
        // A file system without modes refuses; the later check uses the mode that it shows.
        let _ = set_mode(path, &meta, 0o700);
        // One without access control lists as well.
        #[cfg(windows)]
        let _ = crate::fs::acl::restrict(path);
    }
    Ok(())
}

#[cfg(unix)]
pub(super) fn set_mode(path: &Path, meta: &Metadata, mode: u32) -> Result<(), ()> {
    use std::os::unix::fs::PermissionsExt;
    if meta.permissions().mode() & 0o7777 == mode {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(drop)
}

#[cfg(not(unix))]
#[allow(clippy::unnecessary_wraps, reason = "as on Unix")]
pub(super) fn set_mode(_: &Path, _: &Metadata, _: u32) -> Result<(), ()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_was_just_created_is_as_good() {
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
}
