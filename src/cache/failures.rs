//! Recorded failures: for processes that wait for the same token, and to pause renewals.

use std::fs;
use std::path::Path;

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use super::{Cache, CacheError, disk, entry};
use crate::principal::CacheKey;
use crate::problem::Problem;

/// In place of a registry's host, which always has a dot: failed renewals by endpoint.
const ENDPOINTS: &str = "endpoints";

/// A failure to obtain a token. Never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NegativeEntry {
    /// When, to the microsecond.
    pub at: DateTime<Utc>,
    /// How many there have been in a row.
    pub count: u32,
    /// The failure itself.
    pub problem: Problem,
}

impl Cache<'_> {
    /// Records a failure. The token itself, if there is one, stays.
    pub fn record_failure(
        &self,
        host: &str,
        key: &CacheKey,
        failure: &NegativeEntry,
    ) -> Result<(), CacheError> {
        self.write_failure(host, key.as_str(), failure)
    }

    /// The last failure since the last token.
    pub fn failure(&self, host: &str, key: &CacheKey) -> Option<NegativeEntry> {
        self.read_failure(host, key.as_str())
    }

    /// Removes a recorded failure.
    pub fn clear_failure(&self, host: &str, key: &CacheKey) {
        self.remove_failure(host, key.as_str());
    }

    /// Records a failed renewal for all registries of an endpoint.
    pub fn record_endpoint_failure(
        &self,
        endpoint: &str,
        failure: &NegativeEntry,
    ) -> Result<(), CacheError> {
        self.write_failure(ENDPOINTS, &endpoint_stem(endpoint), failure)
    }

    /// The last failed renewal at an endpoint since one succeeded.
    pub fn endpoint_failure(&self, endpoint: &str) -> Option<NegativeEntry> {
        self.read_failure(ENDPOINTS, &endpoint_stem(endpoint))
    }

    /// Removes what is recorded of an endpoint.
    pub fn clear_endpoint_failure(&self, endpoint: &str) {
        self.remove_failure(ENDPOINTS, &endpoint_stem(endpoint));
    }

    fn write_failure(
        &self,
        host: &str,
        stem: &str,
        failure: &NegativeEntry,
    ) -> Result<(), CacheError> {
        let file = format!("{stem}.failure");
        let bytes = entry::format_failure(host, stem, failure)
            .map_err(|error| disk::io_error("write", Path::new(&file))(error.into()))?;
        self.in_host_dir(host, |dir| self.owner.write(dir, &file, &bytes, None))
    }

    fn read_failure(&self, host: &str, stem: &str) -> Option<NegativeEntry> {
        let dir = self.host_dir_to_read(host)?;
        let bytes = self.read_file(&dir.join(format!("{stem}.failure")))?;
        entry::parse_failure(&bytes, host, stem)
    }

    fn remove_failure(&self, host: &str, stem: &str) {
        if let Some(dir) = self.host_dir_to_read(host) {
            let _ = fs::remove_file(dir.join(format!("{stem}.failure")));
        }
    }
}

fn endpoint_stem(endpoint: &str) -> String {
    format!("{:x}", Sha256::digest(endpoint))
}
