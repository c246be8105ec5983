//! Entries follow a session that this program renews.
//!
//! An entry serves only while the SSO or console session is the one that it was obtained with.
//! When this program renews the session by itself, the session's digest changes although the user
//! does not, so the entries of the old digest become entries of the new one.

use chrono::{DateTime, Utc};

use super::Cache;
use super::entry::LOGIN;
use super::lock::{LockOutcome, Wait};

impl Cache<'_> {
    /// Makes the entries that were obtained with the session `old` valid for `new`.
    pub fn follow_session(&self, old: &str, new: &str, now: DateTime<Utc>) {
        for (host, dir) in self.host_dirs() {
            for (stem, entry) in self.entries(&dir, &host, now) {
                if stem != LOGIN && entry.session_digest.as_deref() == Some(old) {
                    self.move_entry(&host, &stem, old, new, now);
                }
            }
        }
    }

    fn move_entry(&self, host: &str, stem: &str, old: &str, new: &str, now: DateTime<Utc>) {
        // The process that holds the lock is about to write a newer entry.
        let _guard = match self.lock_stem(host, stem, Wait::No, || None::<()>) {
            LockOutcome::Acquired(guard) => Some(guard),
            LockOutcome::Unavailable => None,
            LockOutcome::Polled(()) | LockOutcome::TimedOut => return,
        };
        let Some(dir) = self.host_dir_to_read(host) else {
            return;
        };
        let Some(mut entry) = self.read_entry(&dir, host, stem, now) else {
            return;
        };
        if entry.session_digest.as_deref() != Some(old) {
            return;
        }
        entry.session_digest = Some(new.to_owned());
        if let Err(error) = self.write_entry(host, stem, &entry, now) {
            self.log.debug(format_args!(
                "cache: the entry of the renewed session: {error}"
            ));
        }
    }
}
