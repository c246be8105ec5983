//! Renewal: replacing a token before it expires.
//!
//! A renewal is tried in front of the user, so a failing one costs time. While AWS is silent (a VPN
//! that is off, say) it is tried ever more rarely, for all registries of the same endpoint.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

use super::{Helper, Request};
use crate::cache::NegativeEntry;
use crate::cache::lock::{LockOutcome, Wait};
use crate::ecr::{Issuer, Session};
use crate::problem::{Problem, ProblemKind};
use crate::token::Token;

/// How long a renewal may delay a token that is still valid.
const TIMEOUT: Duration = Duration::from_secs(3);

/// How long no renewal is tried after the first, second, third failure in a row.
const PAUSES: [TimeDelta; 3] = [
    TimeDelta::minutes(1),
    TimeDelta::minutes(5),
    TimeDelta::minutes(15),
];

/// With less than this left, the first pause is used.
const LAST_MINUTES: TimeDelta = TimeDelta::minutes(15);

/// Failures that are further apart are not in a row.
const ROW: TimeDelta = TimeDelta::hours(1);

/// How many failures in a row there are with one more.
pub(super) fn count(previous: Option<NegativeEntry>, now: DateTime<Utc>) -> u32 {
    previous
        .filter(|failure| (TimeDelta::zero()..ROW).contains(&(now - failure.at)))
        .map_or(1, |failure| failure.count.saturating_add(1))
}

/// Whether the old token serves after this failure of a renewal.
fn serves_old_token(kind: ProblemKind) -> bool {
    match kind {
        ProblemKind::Unavailable | ProblemKind::SessionExpired => true,
        ProblemKind::Refused | ProblemKind::Configuration | ProblemKind::NoCredentials => false,
    }
}

/// Whether it is too early to try again after `failure`.
fn is_pausing(failure: &NegativeEntry, left: TimeDelta, now: DateTime<Utc>) -> bool {
    if !serves_old_token(failure.problem.kind()) {
        return false;
    }
    let step = match left > LAST_MINUTES {
        true => usize::try_from(failure.count.saturating_sub(1)).unwrap_or(usize::MAX),
        false => 0,
    };
    let pause = PAUSES[step.min(PAUSES.len() - 1)];
    (TimeDelta::zero()..pause).contains(&(now - failure.at))
}

impl<I: Issuer + ?Sized> Helper<'_, I> {
    /// Tries to replace a token whose life is nearly over, and serves it if AWS cannot be reached.
    pub(super) fn renew(
        &mut self,
        request: &Request<'_>,
        session: Option<Session>,
        held: Token,
    ) -> Result<Token, Problem> {
        let (cache, host, key) = (request.cache, request.registry.host(), &request.key);
        let endpoint = request.plan.api.url.as_str();
        let began = (self.clock)();
        let left = held.expires_at - began;
        let failures = [request.failure(), cache.endpoint_failure(endpoint)];
        if failures
            .iter()
            .flatten()
            .any(|failure| is_pausing(failure, left, began))
        {
            self.log.debug(format_args!(
                "a recent renewal failed: serving the cached token"
            ));
            return Ok(held);
        }
        let _guard = match cache.lock(host, key, Wait::No, || None::<()>) {
            LockOutcome::Acquired(guard) => Some(guard),
            LockOutcome::Unavailable => None,
            LockOutcome::Polled(()) | LockOutcome::TimedOut => {
                self.log.debug(format_args!(
                    "another process is renewing: serving the cached token"
                ));
                return Ok(held);
            }
        };
        let now = (self.clock)();
        match request.cached(now) {
            Some(token) if token.is_fresh(now) => return Ok(token),
            _ => {}
        }
        let deadline = request.deadline.min(Instant::now() + TIMEOUT);
        let problem = match self.obtain_and_cache(request, session, deadline) {
            Ok(token) => {
                cache.clear_endpoint_failure(endpoint);
                return Ok(token);
            }
            Err(problem) => problem,
        };
        match problem.kind() {
            ProblemKind::Unavailable => self.pause_endpoint(request, endpoint, &problem, began),
            ProblemKind::Refused => cache.remove(host, key),
            ProblemKind::SessionExpired
            | ProblemKind::Configuration
            | ProblemKind::NoCredentials => {}
        }
        if !serves_old_token(problem.kind()) {
            return Err(problem);
        }
        self.log.debug(format_args!(
            "renewal failed, serving the cached token: {problem}"
        ));
        Ok(held)
    }

    /// Makes the renewals of all registries of this endpoint pause.
    fn pause_endpoint(
        &self,
        request: &Request<'_>,
        endpoint: &str,
        problem: &Problem,
        began: DateTime<Utc>,
    ) {
        let previous = request.cache.endpoint_failure(endpoint);
        // Renewals that ran at the same time count once.
        if previous.as_ref().is_some_and(|failure| failure.at > began) {
            return;
        }
        let now = (self.clock)();
        let failure = NegativeEntry {
            at: now,
            count: count(previous, now),
            problem: problem.clone(),
        };
        if let Err(error) = request.cache.record_endpoint_failure(endpoint, &failure) {
            self.log.debug(format_args!("not cached: {error}"));
        }
    }
}
