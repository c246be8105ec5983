//! The files in which the AWS CLI and the SDKs keep SSO and console sessions.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::super::executor::Executor;
use crate::fs::{read_bounded, try_lock_exclusive};
use crate::secret::Secret;

/// Between two attempts to take the lock.
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// Session files are smaller.
const MAX_SIZE: usize = 1 << 20;

impl Executor<'_> {
    /// Lets one process at a time read and renew a session: its refresh token is good for one
    /// renewal, and the SDK overwrites the file in place. Waits for at most half of the time that
    /// is left; then, or where there are no locks, the caller proceeds without.
    pub(super) async fn lock_token_file(&self, path: &Path) -> Option<File> {
        let file = open_to_lock(path).ok()?;
        let now = Instant::now();
        let end = now + self.deadline.saturating_duration_since(now) / 2;
        loop {
            match try_lock_exclusive(&file) {
                Ok(true) => return Some(file),
                Err(_) => return None,
                Ok(false) if Instant::now() >= end => return None,
                Ok(false) => tokio::time::sleep(LOCK_PAUSE).await,
            }
        }
    }
}

/// The file that stands for a session in locks.
#[cfg(unix)]
fn open_to_lock(path: &Path) -> std::io::Result<File> {
    File::open(path)
}

/// A file beside the session's: on Windows a lock forbids every other handle, also our own and the
/// SDK's, to read what is locked.
#[cfg(windows)]
fn open_to_lock(path: &Path) -> std::io::Result<File> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).open(name)
}

pub(super) fn is_writable(path: &Path) -> bool {
    OpenOptions::new().write(true).open(path).is_ok()
}

/// The access token in the file of an SSO session, unless it has expired.
pub(super) fn sso_access_token(path: &Path, now: DateTime<Utc>) -> Option<Secret> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct SsoTokenFile {
        access_token: Zeroizing<String>,
        expires_at: String,
    }
    let bytes = Zeroizing::new(read_bounded(path, MAX_SIZE).ok()?);
    let mut file: SsoTokenFile = serde_json::from_slice(&bytes).ok()?;
    let expires_at = DateTime::parse_from_rfc3339(&file.expires_at).ok()?;
    let token = Secret::new(std::mem::take(&mut *file.access_token));
    (expires_at > now).then_some(token)
}
