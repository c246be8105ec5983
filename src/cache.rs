//! The tokens on disk: one file for each registry and principal.
//!
//! Nothing is shared between entries, so no update can lose another's, and a lookup costs the same
//! with one registry and with ten thousand.
//! The layout is `<base>/v1/<host>/<key>.json`, next to it `<key>.lock` and `<key>.failure`,
//! `login.json` for a stored docker login, and `<digest>.issued` for each password that was issued.
//!
//! The cache is an aid: any fault in it is a miss and a line in the debug log, or an error that
//! the caller may log and ignore.

mod disk;
mod entry;
mod failures;
pub mod lock;
mod logins;
mod place;
mod sessions;
mod sweep;

use std::cell::Cell;

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use chrono::{DateTime, TimeDelta, Utc};
use thiserror::Error;

pub use failures::NegativeEntry;

use crate::log::Log;
use crate::principal::CacheKey;
use crate::secret::SecretBytes;
use crate::token::Token;
use entry::{CacheFile, Entry, LOGIN};
use place::Owner;

/// The directory of this layout below the base. A later layout has one of its own.
const ROOT: &str = "v1";

/// How often a sweep may remove the directory of a registry under a writer.
const DIR_TRIES: u32 = 32;

/// The sweep takes what has not been touched for a day, so no entry is of use for longer.
const LONGEST_LIFE: TimeDelta = TimeDelta::hours(24);

/// Why the cache could not do something.
#[derive(Debug, Error)]
pub enum CacheError {
    /// A system call failed.
    #[error("cannot {doing} {}: {error}", .path.display())]
    Io {
        /// `write`, `open`.
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's error, which Display shows.
        error: io::Error,
    },
    /// Another user could have tampered with it.
    #[error("{} {why}", .path.display())]
    Untrusted {
        /// The file or directory.
        path: PathBuf,
        /// The reason, to be put after its path.
        why: &'static str,
    },
    /// The host cannot be the name of a directory.
    #[error("not a host name")]
    NoHost,
}

impl CacheError {
    /// The remedy.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Io { .. } => "set AWS_ECR_CACHE_DIR to a directory that can be written",
            Self::Untrusted { .. } => {
                "set AWS_ECR_CACHE_DIR to a directory that is yours and that only you can write"
            }
            Self::NoHost => "give the host name of a registry",
        }
    }
}

/// How a token was obtained.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Provenance<'a> {
    /// Whether the source had to say who the principal is.
    pub ambient: bool,
    /// The digest of the SSO or console session, where there is one.
    pub session_digest: Option<&'a str>,
}

/// An unexpired entry, for `list`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The registry.
    pub host: String,
    /// The principal's [`CacheKey`] as text; none for a stored docker login.
    pub key: Option<String>,
    /// The digest of the session that it was obtained with.
    pub session_digest: Option<String>,
    /// Whether the source had to say who the principal is.
    pub ambient: bool,
    /// The user name to log in with.
    pub username: String,
    /// When it expires.
    pub expires_at: DateTime<Utc>,
}

/// The counts of erased files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Erased {
    /// Cached tokens.
    pub tokens: usize,
    /// Stored docker logins.
    pub logins: usize,
}

impl std::ops::AddAssign for Erased {
    fn add_assign(&mut self, other: Self) {
        self.tokens += other.tokens;
        self.logins += other.logins;
    }
}

/// The cache directory.
pub struct Cache<'a> {
    base: PathBuf,
    owner: Owner,
    log: Log<'a>,
    locker: lock::Locker,
    distrust_logged: Cell<bool>,
}

impl<'a> Cache<'a> {
    /// The cache in the directory `base`, which need not exist. Nothing is read or created yet.
    pub fn open(base: PathBuf, log: Log<'a>) -> Self {
        Self {
            base,
            owner: Owner::current(),
            log,
            locker: lock::Locker::default(),
            distrust_logged: Cell::new(false),
        }
    }

    /// The token of this registry and principal, fresh or not, if it was obtained with the same
    /// session. Its expiry is bounded by the longest life that ECR gives.
    pub fn get(
        &self,
        host: &str,
        key: &CacheKey,
        session_digest: Option<&str>,
        now: DateTime<Utc>,
    ) -> Option<Token> {
        let dir = self.host_dir_to_read(host)?;
        let entry = self.read_entry(&dir, host, key.as_str(), now)?;
        if entry.session_digest.as_deref() != session_digest {
            self.log.debug(format_args!(
                "cache: {}.json was obtained with another login session",
                key.as_str()
            ));
            return None;
        }
        Some(entry.token)
    }

    /// Writes the token in place of any other of this registry and principal, removes a recorded
    /// failure, and sweeps.
    pub fn put(
        &self,
        host: &str,
        key: &CacheKey,
        token: &Token,
        provenance: Provenance<'_>,
        now: DateTime<Utc>,
    ) -> Result<(), CacheError> {
        let entry = Entry {
            ambient: provenance.ambient,
            session_digest: provenance.session_digest.map(str::to_owned),
            ..Entry::of(token.clone())
        };
        self.write_entry(host, key.as_str(), &entry, now)?;
        self.clear_failure(host, key);
        self.sweep(now);
        Ok(())
    }

    /// Removes the token of this registry and principal.
    pub fn remove(&self, host: &str, key: &CacheKey) {
        if let Some(dir) = self.host_dir_to_read(host) {
            let _ = fs::remove_file(dir.join(format!("{}.json", key.as_str())));
        }
    }

    /// The registries of which something may be cached.
    pub fn hosts(&self) -> Result<Vec<String>, CacheError> {
        let root = self.base.join(ROOT);
        Ok(match self.may_erase(&root)? {
            true => self.host_dirs().into_iter().map(|(host, _)| host).collect(),
            false => Vec::new(),
        })
    }

    /// Removes the tokens of every principal, the stored login and the failures of one registry.
    pub fn erase(&self, host: &str) -> Result<Erased, CacheError> {
        let dir = self.base.join(ROOT).join(host);
        if !is_plain_host(host) || !self.may_erase(&dir)? {
            return Ok(Erased::default());
        }
        let mut erased = Erased::default();
        let mut result = Ok(());
        let found = match files(&dir) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(erased),
            found => found.map_err(disk::io_error("read", &dir))?,
        };
        for file in found {
            let kind = CacheFile::of(&file);
            // A lock file belongs to its holder.
            if !matches!(
                kind,
                CacheFile::Entry(_) | CacheFile::Issued | CacheFile::Failure | CacheFile::Temp
            ) {
                continue;
            }
            let path = dir.join(file);
            match fs::remove_file(&path) {
                Ok(()) => match kind {
                    CacheFile::Entry(stem) if stem == LOGIN => erased.logins += 1,
                    CacheFile::Entry(_) => erased.tokens += 1,
                    _ => {}
                },
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => result = Err(disk::io_error("remove", &path)(error)),
            }
        }
        // Fails if a lock file is left, as it should.
        let _ = fs::remove_dir(&dir);
        result.map(|()| erased)
    }

    /// Whether there is a directory to erase from. An error if it is not trusted, or one above it is
    /// not, and the cache is the user's own: it may be used again when modes have been corrected.
    fn may_erase(&self, dir: &Path) -> Result<bool, CacheError> {
        let is_ours = || fs::metadata(&self.base).is_ok_and(|meta| self.owner.is_ours(&meta));
        match self.may_read(dir) {
            Err(error @ CacheError::Untrusted { .. }) if is_ours() => Err(error),
            // Nothing was cached where nothing can be read, or in another user's directory.
            readable => Ok(readable.unwrap_or(false)),
        }
    }

    /// An error if nothing can be cached in this place. Creates nothing.
    pub fn check_place(&self) -> Result<(), CacheError> {
        match self.owner.base(&self.base)? {
            true => self.owner.directory(&self.base.join(ROOT)).map(drop),
            false => self.owner.check_new(&self.base),
        }
    }

    /// All unexpired entries, in no order.
    pub fn held(&self, now: DateTime<Utc>) -> Vec<Held> {
        let mut held = Vec::new();
        for (host, dir) in self.host_dirs() {
            for (stem, entry) in self.entries(&dir, &host, now) {
                if entry.token.is_usable(now) {
                    held.push(Held {
                        host: host.clone(),
                        key: (stem != LOGIN).then_some(stem),
                        session_digest: entry.session_digest,
                        ambient: entry.ambient,
                        username: entry.token.login.username,
                        expires_at: entry.token.expires_at,
                    });
                }
            }
        }
        held
    }

    /// Whether this registry has an unexpired token that could be served for an ambient source, or
    /// where that has no credentials.
    pub fn may_serve_ambient(&self, host: &str, now: DateTime<Utc>) -> bool {
        let Some(dir) = self.host_dir_to_read(host) else {
            return false;
        };
        self.entries(&dir, host, now)
            .any(|(stem, entry)| (entry.ambient || stem == LOGIN) && entry.token.is_usable(now))
    }

    fn write_entry(
        &self,
        host: &str,
        stem: &str,
        entry: &Entry,
        now: DateTime<Utc>,
    ) -> Result<(), CacheError> {
        let file = format!("{stem}.json");
        let failed = |error: io::Error| disk::io_error("write", Path::new(&file))(error);
        let bytes = entry::format(host, stem, entry).map_err(|error| failed(error.into()))?;
        if bytes.len() > disk::LIMIT {
            return Err(failed(ErrorKind::FileTooLarge.into()));
        }
        let modified = Some(file_time(entry.token.expires_at, now));
        self.in_host_dir(host, |dir| self.owner.write(dir, &file, &bytes, modified))
    }

    fn read_entry(&self, dir: &Path, host: &str, stem: &str, now: DateTime<Utc>) -> Option<Entry> {
        let path = dir.join(format!("{stem}.json"));
        let bytes = self.read_file(&path)?;
        match entry::parse(&bytes, host, stem) {
            Ok(entry) => Some(Entry {
                token: entry.token.bounded(now),
                ..entry
            }),
            Err(why) => {
                self.log
                    .debug(format_args!("cache: {} {why}", path.display()));
                None
            }
        }
    }

    fn entries(
        &self,
        dir: &Path,
        host: &str,
        now: DateTime<Utc>,
    ) -> impl Iterator<Item = (String, Entry)> {
        let stems = files(dir).unwrap_or_default().into_iter();
        stems.filter_map(move |file| match CacheFile::of(&file) {
            CacheFile::Entry(stem) => {
                let entry = self.read_entry(dir, host, &stem, now)?;
                Some((stem, entry))
            }
            _ => None,
        })
    }

    fn read_file(&self, path: &Path) -> Option<SecretBytes> {
        self.owner
            .read(path)
            .map_err(|error| self.log.debug(format_args!("cache: {error}")))
            .ok()?
    }

    /// The directory of this layout, if it may be read.
    fn root_to_read(&self) -> Option<PathBuf> {
        let root = self.base.join(ROOT);
        self.is_there(&root).then_some(root)
    }

    /// The directory of a registry, if it may be read.
    fn host_dir_to_read(&self, host: &str) -> Option<PathBuf> {
        if !is_plain_host(host) {
            return None;
        }
        let dir = self.base.join(ROOT).join(host);
        self.is_there(&dir).then_some(dir)
    }

    /// Whether a directory of ours may be read: it and those above it are there and trusted.
    fn may_read(&self, dir: &Path) -> Result<bool, CacheError> {
        let root = self.base.join(ROOT);
        Ok(self.owner.base(&self.base)?
            && self.owner.directory(&root)?
            && (dir == root || self.owner.directory(dir)?))
    }

    fn is_there(&self, dir: &Path) -> bool {
        self.may_read(dir).unwrap_or_else(|error| {
            self.say(&error);
            false
        })
    }

    /// Runs `act` in the directory of a registry, which is created if it is missing, and again if
    /// the sweep of another process removes it meanwhile.
    fn in_host_dir<T>(
        &self,
        host: &str,
        act: impl Fn(&Path) -> Result<T, CacheError>,
    ) -> Result<T, CacheError> {
        if !is_plain_host(host) {
            return Err(CacheError::NoHost);
        }
        let root = self.base.join(ROOT);
        let dir = root.join(host);
        let mut tries = 0;
        loop {
            let done = self
                .owner
                .make_base(&self.base)
                .and_then(|()| self.owner.make_inner(&root))
                .and_then(|()| self.owner.make_inner(&dir))
                .and_then(|()| act(&dir));
            match done {
                Err(CacheError::Io { error, .. })
                    if error.kind() == ErrorKind::NotFound && tries < DIR_TRIES =>
                {
                    tries += 1;
                }
                done => return done,
            }
        }
    }

    /// Logs why the cache is not used: once, although each use of it fails alike.
    fn say(&self, error: &CacheError) {
        let distrust = matches!(error, CacheError::Untrusted { .. });
        if !(distrust && self.distrust_logged.replace(true)) {
            self.log.debug(format_args!("cache: not used: {error}"));
        }
    }
}

/// The modification time of a file that is of use until `expires_at`.
fn file_time(expires_at: DateTime<Utc>, now: DateTime<Utc>) -> SystemTime {
    let latest = now.checked_add_signed(LONGEST_LIFE).unwrap_or(now);
    SystemTime::from(expires_at.min(latest).max(DateTime::UNIX_EPOCH))
}

/// Whether the text can name a directory of ours and nothing else.
fn is_plain_host(host: &str) -> bool {
    let plain = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-');
    (1..=253).contains(&host.len()) && !host.starts_with('.') && host.bytes().all(plain)
}

/// The names of the files in a directory; those that are not UTF-8 are not ours.
#[cfg(unix)]
fn files(dir: &Path) -> io::Result<Vec<String>> {
    use rustix::fs::{Dir, Mode, OFlags};
    // musl's own maps and unmaps memory for each directory.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let entries = Dir::new(rustix::fs::open(dir, flags, Mode::empty())?)?;
    Ok(entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str().ok().map(str::to_owned))
        .filter(|name| name != "." && name != "..")
        .collect())
}

/// The names of the files in a directory; those that are not UTF-8 are not ours.
#[cfg(not(unix))]
fn files(dir: &Path) -> io::Result<Vec<String>> {
    let entries = fs::read_dir(dir)?;
    Ok(entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect())
}

#[cfg(test)]
mod tests;
