//! Connections that are opened while an ambient source is asked who the principal is.
//!
//! Only its answer completes the cache key, so neither a hit nor the entry's lock can be had
//! before. Still, no hit may connect to AWS, and of many processes that miss together only one:
//! so they connect early only if no cached token of the registry could be a hit, whatever the
//! source says, and only under a lock that the plan names without the source.

use std::time::Instant;

use super::Helper;
use crate::cache::lock::{Guard, LockOutcome, Wait};
use crate::ecr::Issuer;
use crate::principal::Plan;
use crate::registry::Registry;

impl<I: Issuer + ?Sized> Helper<'_, I> {
    /// Connects early where it may. The lock is to be held until the token is there.
    pub(super) fn connect_early(
        &mut self,
        plan: &Plan,
        registry: &Registry,
        deadline: Instant,
    ) -> Option<Guard> {
        let mut held = None;
        if let Some(cache) = self.cache {
            let host = registry.host();
            if cache.may_serve_ambient(host, (self.clock)()) {
                return None;
            }
            // No source gives an empty ID, so no entry has this key.
            let key = plan.ambient_key(registry, "");
            match cache.lock(host, &key, Wait::No, || None::<()>) {
                LockOutcome::Acquired(guard) => held = Some(guard),
                LockOutcome::Unavailable => {}
                LockOutcome::Polled(()) | LockOutcome::TimedOut => return None,
            }
        }
        self.issuer.connect_early(plan, deadline);
        held
    }
}
