//! The files in which the AWS CLI and the SDKs keep SSO and console sessions.
//!
//! A refresh token is good for one renewal, so one process at a time renews a session. They take
//! turns by a lock file next to the session's: a lock on the file itself would keep all readers
//! from it on Windows, and the AWS CLI and the SDKs read only names that end in
//! `.json`. It is made only where a renewal is due, and where it cannot be made (a read-only mount)
//! the renewed session could not be saved either.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use serde_json::{Map, Value};
use zeroize::{Zeroize, Zeroizing};

use super::super::executor::Executor;
use crate::fs::{read_bounded, try_lock_exclusive};
use crate::principal::session_digest;
use crate::secret::Secret;
use crate::time;

/// Between two attempts to take the lock.
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// Session files are smaller.
const MAX_SIZE: usize = 1 << 20;

/// A session is renewed when it has less time left than this, as the SDKs do it.
const RENEWAL_MARGIN: TimeDelta = TimeDelta::minutes(5);

/// A session of a longer time is an error of the service.
const LONGEST_LIFE: TimeDelta = TimeDelta::days(365);

/// How long the renewal of a session that has not expired yet may take.
const RENEWAL: Duration = Duration::from_secs(3);

/// The members of a session's file.
pub(super) struct SessionFile {
    path: PathBuf,
    members: Map<String, Value>,
    /// The digest of the session, as it was read.
    digest: Option<String>,
}

impl Drop for SessionFile {
    fn drop(&mut self) {
        wipe(&mut self.members);
    }
}

fn wipe(members: &mut Map<String, Value>) {
    for (_, value) in members.iter_mut() {
        match value {
            Value::String(text) => text.zeroize(),
            Value::Object(inner) => wipe(inner),
            _ => {}
        }
    }
}

impl SessionFile {
    /// Reads a file off the event loop: it may be a FIFO, which the deadline must not wait for.
    pub(super) async fn read(path: &Path) -> Option<Self> {
        let path = path.to_owned();
        let read = tokio::task::spawn_blocking(move || {
            let bytes = read_bounded(&path, MAX_SIZE).map(Zeroizing::new).ok()?;
            let members = serde_json::from_slice(&bytes).ok()?;
            let digest = session_digest(&bytes);
            Some(Self {
                path,
                members,
                digest,
            })
        });
        read.await.ok().flatten()
    }

    /// The digest of the session, as it was read.
    pub(super) fn digest(&self) -> Option<String> {
        self.digest.clone()
    }

    /// A text that is not empty, of the file or of an object in it.
    pub(super) fn text(&self, names: &[&str]) -> Option<&str> {
        let (first, rest) = names.split_first()?;
        let mut value = self.members.get(*first)?;
        for name in rest {
            value = value.get(name)?;
        }
        value.as_str().filter(|text| !text.is_empty())
    }

    pub(super) fn secret(&self, names: &[&str]) -> Option<Secret> {
        self.text(names).map(Secret::from)
    }

    pub(super) fn time(&self, names: &[&str]) -> Option<DateTime<Utc>> {
        time::parse(self.text(names)?)
    }

    /// Replaces a text.
    pub(super) fn set(&mut self, names: &[&str], text: &str) {
        let Some((last, before)) = names.split_last() else {
            return;
        };
        let mut members = &mut self.members;
        for name in before {
            match members.get_mut(*name) {
                Some(Value::Object(inner)) => members = inner,
                _ => return,
            }
        }
        if let Some(Value::String(mut old)) = members.insert((*last).to_owned(), text.into()) {
            old.zeroize();
        }
    }

    /// Writes the file so that no other process reads half of it; in place where the directory
    /// cannot be written, as with a file that is mounted by itself.
    pub(super) fn save(&self) -> io::Result<Zeroizing<Vec<u8>>> {
        let bytes = Zeroizing::new(serde_json::to_vec(&self.members)?);
        let path = std::fs::canonicalize(&self.path)?;
        let saved = save_beside(&path, &bytes).or_else(|_| {
            let mut options = OpenOptions::new();
            options.write(true).truncate(true);
            options.open(&path)?.write_all(&bytes)
        });
        saved.map(|()| bytes)
    }

    pub(super) fn is_writable(path: &Path) -> bool {
        OpenOptions::new().write(true).open(path).is_ok()
    }
}

fn save_beside(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let name = format!(".docker-credential-ecr-login.{}.tmp", std::process::id());
    let temporary = path.with_file_name(name);
    let mut options = private();
    let result = options
        .create_new(true)
        .open(&temporary)
        .and_then(|mut file| file.write_all(bytes))
        .and_then(|()| crate::fs::rename(&temporary, path));
    if result.is_err() {
        // Whether it was made or not.
        let _ = std::fs::remove_file(&temporary);
    }
    result
}

/// For a file that only its owner can read.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options
}

/// Whether a session that ends then is renewed now.
pub(super) fn is_due(expires_at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    expires_at - RENEWAL_MARGIN <= now
}

/// When a session ends that a service has renewed for so many seconds.
pub(super) fn expiry_after(seconds: i32, now: DateTime<Utc>) -> DateTime<Utc> {
    let life = TimeDelta::seconds(seconds.into()).clamp(TimeDelta::zero(), LONGEST_LIFE);
    (now + life).trunc_subsecs(0)
}

impl Executor<'_> {
    /// Waits for at most half of the time that is left; then, or where there are no locks, the
    /// caller proceeds without.
    pub(super) async fn lock_session(&self, path: &Path) -> Option<File> {
        let mut options = private();
        let options = options.create(true).truncate(false);
        let file = options.open(path.with_extension("lock")).ok()?;
        let now = Instant::now();
        let end = now + self.remaining() / 2;
        loop {
            match try_lock_exclusive(&file) {
                Ok(true) => return Some(file),
                Err(_) => return None,
                Ok(false) if Instant::now() >= end => return None,
                Ok(false) => tokio::time::sleep(LOCK_PAUSE).await,
            }
        }
    }

    /// How long a renewal may take: a session that is still valid is not delayed by it.
    pub(super) fn renewal_limit(&self, expires_at: DateTime<Utc>) -> Duration {
        match expires_at > (self.clock)() {
            true => RENEWAL.min(self.remaining()),
            false => self.remaining(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &Path, json: &str) -> SessionFile {
        SessionFile {
            path: path.to_owned(),
            members: serde_json::from_str(json).expect("JSON"),
            digest: None,
        }
    }

    #[test]
    fn what_is_not_known_is_kept() {
        let dir = tempfile::tempdir().expect("directory");
        let path = dir.path().join("x.json");
        std::fs::write(&path, "{}").expect("writable");
        let mut file = at(
            &path,
            r#"{"accessToken":{"a":"b","c":"d"},"new":[1,{"x":null}]}"#,
        );
        assert_eq!(file.text(&["accessToken", "c"]), Some("d"));
        file.set(&["accessToken", "c"], "e");
        file.set(&["accessToken", "c", "x"], "is no object");
        file.set(&["expiresAt"], "f");
        file.save().expect("saved");
        assert_eq!(
            std::fs::read_to_string(&path).expect("readable"),
            r#"{"accessToken":{"a":"b","c":"e"},"expiresAt":"f","new":[1,{"x":null}]}"#
        );
        let left = std::fs::read_dir(dir.path()).expect("directory").count();
        assert_eq!(left, 1, "no temporary file stays");
    }

    #[cfg(unix)]
    #[test]
    fn a_saved_session_is_private_and_links_stay() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("directory");
        let (path, link) = (dir.path().join("x.json"), dir.path().join("y.json"));
        std::fs::write(&path, "{}").expect("writable");
        std::os::unix::fs::symlink(&path, &link).expect("link");
        at(&link, r#"{"a":"b"}"#).save().expect("saved");
        let mode = std::fs::metadata(&path)
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(link.is_symlink());
        assert_eq!(
            std::fs::read_to_string(&path).expect("there"),
            r#"{"a":"b"}"#
        );
    }

    #[test]
    fn lifetimes_of_any_size_do_no_harm() {
        let now = DateTime::from_timestamp(1_800_000_000, 5).expect("in range");
        for (seconds, expected) in [
            (i32::MIN, 1_800_000_000),
            (0, 1_800_000_000),
            (3600, 1_800_003_600),
            (i32::MAX, 1_831_536_000),
        ] {
            assert_eq!(
                expiry_after(seconds, now).timestamp(),
                expected,
                "{seconds}"
            );
        }
    }
}
