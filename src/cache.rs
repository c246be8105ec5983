//! The tokens on disk: one file for each registry and principal.
//!
//! Nothing is shared between entries, so no update can lose another's, and a lookup costs the same
//! with one registry and with ten thousand: three directories are looked at and one file is read.
//! The layout is `<base>/v1/<host>/<name>.json`, beside it `<name>.lock` and `<name>.failure`, and
//! `login.json` for a docker login that is kept.
//!
//! The cache is an aid: whatever goes wrong with it is a miss and a line in the debug log, or an
//! error that the caller may log and forget.

mod disk;
mod entry;
pub mod lock;
mod sweep;

use std::cell::Cell;
use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use chrono::{DateTime, TimeDelta, Utc};

use crate::log::Log;
use crate::principal::CacheKey;
use crate::secret::Secret;
use crate::token::{Login, Token};
use disk::{Links, Owner};
use entry::{CacheFile, Entry, LOGIN};

/// The directory of this layout below the base. A later layout has one of its own.
const ROOT: &str = "v1";

/// How often the directory of a registry may be swept away under a writer.
const DIR_TRIES: u32 = 32;

/// The sweep takes what has not been touched for a day, so no entry is of use for longer.
const LONGEST_LIFE: TimeDelta = TimeDelta::hours(24);

/// Why something could not be done.
#[derive(Debug)]
pub enum Error {
    /// The system refused.
    Io {
        /// What was tried: `write`, `open`.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another user could have had a hand in it.
    Untrusted {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong with it, to be put after its path.
        why: &'static str,
    },
    /// Nothing that could name a directory.
    NoHost,
}

impl Error {
    /// What a person can do about it.
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

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io {
                doing,
                path,
                source,
            } => write!(f, "cannot {doing} {}: {source}", path.display()),
            Self::Untrusted { path, why } => write!(f, "{} {why}", path.display()),
            Self::NoHost => f.write_str("not a host name"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// Why no token could be had, for those who waited for it. Never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NegativeEntry {
    /// When, to the microsecond.
    pub at: DateTime<Utc>,
    /// Whether all who ask now would meet it.
    pub shared: bool,
    /// The cause, as a person reads it.
    pub cause: String,
    /// What to do about it.
    pub hint: String,
}

/// An unexpired entry, for `list`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The registry.
    pub host: String,
    /// The principal's [`CacheKey`] as text; none for a kept docker login.
    pub name: Option<String>,
    /// Whether the principal was named by its source.
    pub ambient: bool,
    /// The user name to log in with.
    pub username: String,
}

/// The cache directory.
pub struct Cache<'a> {
    base: PathBuf,
    owner: Owner,
    log: Log<'a>,
    distrust_said: Cell<bool>,
}

impl<'a> Cache<'a> {
    /// The cache in `base`, which need not exist. Nothing is read or made yet.
    pub fn open(base: PathBuf, log: Log<'a>) -> Self {
        Self {
            base,
            owner: Owner::current(),
            log,
            distrust_said: Cell::new(false),
        }
    }

    /// The token of this registry and principal, fresh or not; none if there is no whole one.
    pub fn get(&self, host: &str, name: &CacheKey) -> Option<Token> {
        let dir = self.host_dir_to_read(host)?;
        Some(self.read_entry(&dir, host, name.as_str())?.token)
    }

    /// Keeps the token, in the place of any other of this registry and principal, forgets a
    /// failure, and sweeps.
    pub fn put(
        &self,
        host: &str,
        name: &CacheKey,
        token: &Token,
        ambient: bool,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        self.write_entry(host, name.as_str(), token, ambient, now)?;
        self.clear_failure(host, name);
        self.sweep(now);
        Ok(())
    }

    /// Removes the tokens of every principal, the kept login and the failures of one registry, and
    /// says how many tokens and logins there were.
    pub fn erase(&self, host: &str) -> Result<usize, Error> {
        let dir = self.base.join(ROOT).join(host);
        // What is not used for want of trust may be used again one day: that is no success.
        match self.may_read(&dir) {
            Ok(true) if is_plain_host(host) => {}
            Err(Error::Untrusted { path, why })
                if fs::symlink_metadata(&path).is_ok_and(|meta| self.owner.is_ours(&meta)) =>
            {
                return Err(Error::Untrusted { path, why });
            }
            // Nothing was kept where nothing can be looked at, or in what is another user's.
            _ => return Ok(0),
        }
        let mut erased = 0;
        let mut result = Ok(());
        for file in files(&dir).map_err(disk::io_error("read", &dir))? {
            let kind = CacheFile::of(&file);
            // Lock files are their holders'.
            if !matches!(
                kind,
                CacheFile::Entry(_) | CacheFile::Failure | CacheFile::Temp
            ) {
                continue;
            }
            let path = dir.join(file);
            match fs::remove_file(&path) {
                Ok(()) => erased += usize::from(matches!(kind, CacheFile::Entry(_))),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => result = Err(disk::io_error("remove", &path)(error)),
            }
        }
        // Fails if a lock file is left, as it should.
        let _ = fs::remove_dir(&dir);
        result.map(|()| erased)
    }

    /// Keeps a docker login of this registry until `expires_at`, and sweeps.
    pub fn keep_login(
        &self,
        host: &str,
        login: &Login,
        expires_at: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        let token = Token {
            login: login.clone(),
            issued_at: now,
            expires_at,
        };
        self.write_entry(host, LOGIN, &token, false, now)?;
        self.sweep(now);
        Ok(())
    }

    /// The docker login that is kept for this registry, unless it has expired.
    pub fn kept_login(&self, host: &str, now: DateTime<Utc>) -> Option<Token> {
        let dir = self.host_dir_to_read(host)?;
        let token = self.read_entry(&dir, host, LOGIN)?.token;
        token.is_usable(now).then_some(token)
    }

    /// Whether the password is one of our own tokens of this registry, of whatever principal.
    pub fn holds_password(&self, host: &str, password: &Secret) -> bool {
        let Some(dir) = self.host_dir_to_read(host) else {
            return false;
        };
        self.entries(&dir, host)
            .any(|(stem, entry)| stem != LOGIN && entry.token.login.password == *password)
    }

    /// All unexpired entries, in no order.
    pub fn held(&self, now: DateTime<Utc>) -> Vec<Held> {
        let mut held = Vec::new();
        for (host, dir) in self.host_dirs() {
            for (stem, entry) in self.entries(&dir, &host) {
                if entry.token.is_usable(now) {
                    held.push(Held {
                        host: host.clone(),
                        name: (stem != LOGIN).then_some(stem),
                        ambient: entry.ambient,
                        username: entry.token.login.username,
                    });
                }
            }
        }
        held
    }

    /// Notes why no token could be had. The token itself, if there is one, stays.
    pub fn record_failure(
        &self,
        host: &str,
        name: &CacheKey,
        failure: &NegativeEntry,
    ) -> Result<(), Error> {
        let file = format!("{}.failure", name.as_str());
        let bytes = entry::format_failure(host, name.as_str(), failure)
            .map_err(|error| disk::io_error("write", Path::new(&file))(error.into()))?;
        self.in_host_dir(host, |dir| self.owner.write(dir, &file, &bytes, None))
    }

    /// The last failure since the last token.
    pub fn failure(&self, host: &str, name: &CacheKey) -> Option<NegativeEntry> {
        let dir = self.host_dir_to_read(host)?;
        let path = dir.join(format!("{}.failure", name.as_str()));
        let bytes = self.read_file(&path)?;
        entry::parse_failure(&bytes, host, name.as_str())
    }

    /// Forgets a failure.
    pub fn clear_failure(&self, host: &str, name: &CacheKey) {
        if let Some(dir) = self.host_dir_to_read(host) {
            let _ = fs::remove_file(dir.join(format!("{}.failure", name.as_str())));
        }
    }

    fn write_entry(
        &self,
        host: &str,
        stem: &str,
        token: &Token,
        ambient: bool,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        let file = format!("{stem}.json");
        let failed = |error: io::Error| disk::io_error("write", Path::new(&file))(error);
        let bytes =
            entry::format(host, stem, token, ambient).map_err(|error| failed(error.into()))?;
        if bytes.len() > disk::LIMIT {
            return Err(failed(ErrorKind::FileTooLarge.into()));
        }
        let latest = now.checked_add_signed(LONGEST_LIFE).unwrap_or(now);
        let modified = token.expires_at.min(latest).max(DateTime::UNIX_EPOCH);
        self.in_host_dir(host, |dir| {
            let modified = Some(SystemTime::from(modified));
            self.owner.write(dir, &file, &bytes, modified)
        })
    }

    fn read_entry(&self, dir: &Path, host: &str, stem: &str) -> Option<Entry> {
        let path = dir.join(format!("{stem}.json"));
        let bytes = self.read_file(&path)?;
        entry::parse(&bytes, host, stem)
            .map_err(|why| {
                self.log
                    .debug(format_args!("cache: {} {why}", path.display()));
            })
            .ok()
    }

    fn entries(&self, dir: &Path, host: &str) -> impl Iterator<Item = (String, Entry)> {
        let stems = files(dir).unwrap_or_default().into_iter();
        stems.filter_map(move |file| match CacheFile::of(&file) {
            CacheFile::Entry(stem) => {
                let entry = self.read_entry(dir, host, &stem)?;
                Some((stem, entry))
            }
            _ => None,
        })
    }

    fn read_file(&self, path: &Path) -> Option<zeroize::Zeroizing<Vec<u8>>> {
        self.owner
            .read(path)
            .map_err(|error| self.log.debug(format_args!("cache: {error}")))
            .ok()?
    }

    /// The directory of this layout, if it is there and to be trusted.
    fn root_to_read(&self) -> Option<PathBuf> {
        let root = self.base.join(ROOT);
        self.is_there(&root).then_some(root)
    }

    /// The directory of a registry, if it is there and to be trusted.
    fn host_dir_to_read(&self, host: &str) -> Option<PathBuf> {
        if !is_plain_host(host) {
            return None;
        }
        let dir = self.base.join(ROOT).join(host);
        self.is_there(&dir).then_some(dir)
    }

    /// Whether a directory of ours and those above it are there, and to be trusted.
    fn may_read(&self, dir: &Path) -> Result<bool, Error> {
        let root = self.base.join(ROOT);
        Ok(self.owner.directory(&self.base, Links::OfOurs)?
            && self.owner.directory(&root, Links::Refused)?
            && (dir == root || self.owner.directory(dir, Links::Refused)?))
    }

    fn is_there(&self, dir: &Path) -> bool {
        self.may_read(dir).unwrap_or_else(|error| {
            self.say(&error);
            false
        })
    }

    /// Runs `act` in the directory of a registry, which is made if it is missing, and made once
    /// more if another process sweeps it away meanwhile.
    fn in_host_dir<T>(
        &self,
        host: &str,
        act: impl Fn(&Path) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if !is_plain_host(host) {
            return Err(Error::NoHost);
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
                Err(Error::Io { source, .. })
                    if source.kind() == ErrorKind::NotFound && tries < DIR_TRIES =>
                {
                    tries += 1;
                }
                done => return done,
            }
        }
    }

    /// Logs why the cache is not used: once, though each use of it meets the same.
    fn say(&self, error: &Error) {
        let distrust = matches!(error, Error::Untrusted { .. });
        if !(distrust && self.distrust_said.replace(true)) {
            self.log.debug(format_args!("cache: not used: {error}"));
        }
    }
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
