//! Stored docker logins, and which passwords this program has issued itself.
//!
//! A client may hand a password that it got from `get` back to `store`. Such a password belongs to
//! an AWS principal and must never serve as a stored login. So each issued password leaves a file
//! whose name is its digest: two processes that obtain a token at the same time both leave theirs,
//! also where the file system has neither locks nor hard links and one entry replaces the other.

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use super::entry::{Entry, LOGIN};
use super::{Cache, CacheError, file_time};
use crate::registry::Registry;
use crate::secret::Secret;
use crate::token::{Login, Token};

impl Cache<'_> {
    /// Stores a docker login of this registry until `expires_at`, and sweeps.
    pub fn store_login(
        &self,
        registry: &Registry,
        login: &Login,
        expires_at: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<(), CacheError> {
        let entry = Entry {
            account_id: registry.account_id().map(str::to_owned),
            region: Some(registry.region().to_owned()),
            ..Entry::of(Token {
                login: login.clone(),
                issued_at: now,
                expires_at,
            })
        };
        self.write_entry(registry.host(), LOGIN, &entry, now)?;
        self.sweep(now);
        Ok(())
    }

    /// The unexpired docker login that was stored for this registry: for its host, and for the
    /// account and region that the host stood for.
    pub fn stored_login(&self, registry: &Registry, now: DateTime<Utc>) -> Option<Token> {
        let dir = self.host_dir_to_read(registry.host())?;
        let entry = self.read_entry(&dir, registry.host(), LOGIN, now)?;
        let same = entry.account_id.as_deref() == registry.account_id()
            && entry.region.as_deref() == Some(registry.region());
        if !same {
            self.log.debug(format_args!(
                "cache: the stored login is for another account or region"
            ));
            return None;
        }
        entry.token.is_usable(now).then_some(entry.token)
    }

    /// Remembers that this program issued the password.
    pub fn remember_issued(
        &self,
        host: &str,
        token: &Token,
        now: DateTime<Utc>,
    ) -> Result<(), CacheError> {
        let file = issued_file(&token.login.password);
        let until = Some(file_time(now + crate::token::LIFETIME, now));
        self.in_host_dir(host, |dir| self.owner.write(dir, &file, b"", until))
    }

    /// Whether this program issued the password.
    pub fn has_issued(&self, host: &str, password: &Secret) -> bool {
        let Some(dir) = self.host_dir_to_read(host) else {
            return false;
        };
        let path = dir.join(issued_file(password));
        matches!(self.owner.read(&path), Ok(Some(_)))
    }
}

fn issued_file(password: &Secret) -> String {
    format!("{:x}.issued", Sha256::digest(password.expose()))
}
