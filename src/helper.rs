//! The policy: when a cached token serves, when AWS is called, and what happens on failure.
//!
//! fresh? -> lock -> look again -> call AWS -> cache -> fall back. Any number of concurrent misses
//! of one entry make one call: the first takes the lock, the others wait for its outcome, a token
//! or a failure that they would meet as well. Every wait is bounded, and no fault of the cache is
//! an error: without it AWS is called.

mod early;
mod renew;
mod response;

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

pub use self::response::Cacheable;
use crate::cache::lock::{LockOutcome, Wait};
use crate::cache::{Cache, NegativeEntry, Provenance};
use crate::ecr::{Issuer, Session};
use crate::env::{Clock, Env};
use crate::log::Log;
use crate::principal::{self, CacheKey, Identity, Plan, Selection, Surroundings};
use crate::problem::{Problem, ProblemKind};
use crate::registry::Registry;
use crate::settings;
use crate::token::{self, Token};

/// The policy over its parts.
pub struct Helper<'a, I: ?Sized> {
    /// The environment variables.
    pub env: &'a Env,
    /// The cache, if there is one.
    pub cache: Option<&'a Cache<'a>>,
    /// Gets tokens from AWS.
    pub issuer: &'a mut I,
    /// The local clock.
    pub clock: Clock<'a>,
    /// The debug log.
    pub log: Log<'a>,
    /// Decisions of rules and requests about the principal.
    pub selection: Selection,
    /// How long the client waits, where that is known.
    pub longest: Option<Duration>,
}

/// The outcome that a waiter finds while the lock holder calls AWS.
enum WaitResult {
    Token(Token),
    Failure(NegativeEntry),
    /// The holder's outcome is of no use to others; queueing behind it would only take longer.
    NothingToShare,
}

/// One request for a token that may be cached.
struct Request<'a> {
    cache: &'a Cache<'a>,
    plan: &'a Plan,
    registry: &'a Registry,
    key: CacheKey,
    deadline: Instant,
}

impl Request<'_> {
    fn cached(&self, now: DateTime<Utc>) -> Option<Token> {
        let session_digest = self.plan.session_digest.as_deref();
        self.cache
            .get(self.registry.host(), &self.key, session_digest, now)
    }

    fn failure(&self) -> Option<NegativeEntry> {
        self.cache.failure(self.registry.host(), &self.key)
    }
}

/// A token that AWS returned.
struct Obtained {
    token: Token,
    cacheable: Cacheable,
    /// The digest of the session that was used, and before a renewal of this program.
    session_digest: Option<String>,
    renewed_from: Option<String>,
}

impl<I: Issuer + ?Sized> Helper<'_, I> {
    /// User and password for a registry: from the cache, from AWS, or, where there are no AWS
    /// credentials at all, from a stored docker login.
    pub fn get(&mut self, registry: &Registry) -> Result<Token, Problem> {
        let problem = match self.token(registry) {
            Ok(token) => return Ok(token),
            Err(problem) => self.selection.blame(problem),
        };
        self.log.debug(format_args!("no token: {problem}"));
        if let Some(detail) = problem.detail() {
            self.log.debug(format_args!("{detail}"));
        }
        let may_serve = match problem.kind() {
            // A rule that names unusable credentials is an error.
            ProblemKind::NoCredentials => {
                !settings::strict(self.env) && !self.selection.is_binding()
            }
            ProblemKind::Configuration
            | ProblemKind::SessionExpired
            | ProblemKind::Refused
            | ProblemKind::Unavailable => false,
        };
        let stored = self
            .cache
            .filter(|_| may_serve)
            .and_then(|cache| cache.stored_login(registry, (self.clock)()));
        let token = stored.ok_or(problem)?;
        self.log.debug(format_args!("stored docker login served"));
        Ok(token)
    }

    /// A token from AWS, past the cache. Also whether it may be cached.
    pub fn get_uncached(&mut self, registry: &Registry) -> Result<(Token, Cacheable), Problem> {
        let result = self.uncached_token(registry);
        result.map_err(|problem| self.selection.blame(problem))
    }

    fn uncached_token(&mut self, registry: &Registry) -> Result<(Token, Cacheable), Problem> {
        let began = Instant::now();
        let surroundings = Surroundings::read(self.env, self.log);
        let plan = principal::plan(&surroundings, registry, &self.selection)?;
        let deadline = began + settings::timeout(self.env, false, self.longest);
        let obtained = self.obtain(&plan, None, registry, deadline)?;
        Ok((obtained.token, obtained.cacheable))
    }

    fn token(&mut self, registry: &Registry) -> Result<Token, Problem> {
        let began = Instant::now();
        let surroundings = Surroundings::read(self.env, self.log);
        let plan = principal::plan(&surroundings, registry, &self.selection)?;
        let timeout = settings::timeout(self.env, plan.asks_a_process(), self.longest);
        let deadline = began + timeout;
        self.log.debug(format_args!(
            "{registry}: credentials from {}, {} roles assumed, at most {timeout:?}",
            plan.source_kind(),
            plan.roles.len(),
        ));

        let mut early = None;
        let (key, session) = match &plan.identity {
            Identity::Pinned(key) => (key.clone(), None),
            Identity::Ambient => {
                early = self.connect_early(&plan, registry, deadline);
                let session = self
                    .issuer
                    .identify(&plan, deadline)
                    .map_err(|problem| unidentified(problem, &plan, &surroundings, registry))?;
                let key = plan.ambient_key(registry, session.access_key_id());
                (key, Some(session))
            }
        };
        let Some(cache) = self.cache else {
            self.log.debug(format_args!("no cache"));
            return Ok(self.obtain(&plan, session, registry, deadline)?.token);
        };
        let request = Request {
            cache,
            plan: &plan,
            registry,
            key,
            deadline,
        };
        let now = (self.clock)();
        match request.cached(now) {
            Some(token) if token.is_fresh(now) => {
                self.log.debug(format_args!(
                    "cached token served, valid until {}",
                    token.expires_at
                ));
                Ok(token)
            }
            Some(token) if token.is_usable(now) => self.renew(&request, session, token),
            _ => {
                let result = self.fetch(&request, session, timeout / 2);
                // The lock of the early connections ends with them.
                drop(early);
                result
            }
        }
    }

    /// Obtains a token where there is none in the cache.
    fn fetch(
        &mut self,
        request: &Request<'_>,
        session: Option<Session>,
        wait: Duration,
    ) -> Result<Token, Problem> {
        let began = (self.clock)();
        let clock = self.clock;
        let look = || match request.cached(clock()) {
            Some(token) if token.is_usable(clock()) => Some(WaitResult::Token(token)),
            _ => match request.failure()? {
                failure if failure.at < began => None,
                failure if failure.problem.is_shared() => Some(WaitResult::Failure(failure)),
                _ => Some(WaitResult::NothingToShare),
            },
        };
        let host = request.registry.host();
        let wait = Wait::AtMost(wait);
        let (guard, seen) = match request.cache.lock(host, &request.key, wait, look) {
            LockOutcome::Acquired(guard) => (Some(guard), look()),
            LockOutcome::Polled(seen) => (None, Some(seen)),
            LockOutcome::TimedOut => {
                self.log.debug(format_args!(
                    "another process still holds the lock: proceeding without it"
                ));
                (None, None)
            }
            LockOutcome::Unavailable => (None, None),
        };
        match seen {
            Some(WaitResult::Token(token)) => {
                self.log
                    .debug(format_args!("token of another process served"));
                return Ok(token);
            }
            Some(WaitResult::Failure(failure)) => {
                self.log
                    .debug(format_args!("failure of another process shared"));
                return Err(failure.problem);
            }
            Some(WaitResult::NothingToShare) | None => {}
        }
        let result = self.obtain_and_cache(request, session, request.deadline);
        drop(guard);
        result
    }

    /// Calls AWS and leaves the outcome in the cache, for later and for waiting processes.
    fn obtain_and_cache(
        &mut self,
        request: &Request<'_>,
        session: Option<Session>,
        deadline: Instant,
    ) -> Result<Token, Problem> {
        let result = self.obtain(request.plan, session, request.registry, deadline);
        let now = (self.clock)();
        let cached = match &result {
            Ok(obtained) => self.cache_token(request, obtained, now),
            Err(problem) => {
                let host = request.registry.host();
                let failure = NegativeEntry {
                    at: now,
                    count: renew::count(request.failure(), now),
                    problem: problem.clone(),
                };
                request.cache.record_failure(host, &request.key, &failure)
            }
        };
        if let Err(error) = cached {
            self.log.debug(format_args!("not cached: {error}"));
        }
        Ok(result?.token)
    }

    fn cache_token(
        &self,
        request: &Request<'_>,
        obtained: &Obtained,
        now: DateTime<Utc>,
    ) -> Result<(), crate::cache::CacheError> {
        let (cache, host, key) = (request.cache, request.registry.host(), &request.key);
        let Obtained {
            token,
            cacheable,
            session_digest,
            renewed_from,
        } = obtained;
        if let (Some(old), Some(new)) = (renewed_from, session_digest)
            && old != new
        {
            cache.follow_session(old, new, now);
        }
        cache.remember_issued(host, token, now)?;
        match cacheable {
            Cacheable::Yes => {
                let planned = request.plan.session_digest.as_deref();
                let provenance = Provenance {
                    ambient: request.plan.identity == Identity::Ambient,
                    session_digest: session_digest.as_deref().or(planned),
                };
                cache.put(host, key, token, provenance, now)
            }
            Cacheable::No(reason) => {
                self.log
                    .debug(format_args!("token served once, not cached: {reason}"));
                let failure = NegativeEntry {
                    at: now,
                    count: 1,
                    problem: Problem::new(ProblemKind::Unavailable, *reason, ""),
                };
                cache.record_failure(host, key, &failure)
            }
        }
    }

    /// Calls AWS.
    fn obtain(
        &mut self,
        plan: &Plan,
        session: Option<Session>,
        registry: &Registry,
        deadline: Instant,
    ) -> Result<Obtained, Problem> {
        let issued = self.issuer.issue(plan, session, registry, deadline)?;
        let now = (self.clock)();
        let cacheable = Cacheable::of(&issued, registry, now);
        // ECR's tokens live for 12 hours; a longer life is an error, or not ECR's.
        let longest = now + token::LIFETIME;
        Ok(Obtained {
            token: Token {
                login: issued.login,
                issued_at: now,
                expires_at: issued.expires_at.map_or(now, |at| at.min(longest)),
            },
            cacheable,
            session_digest: issued.session_digest,
            renewed_from: issued.renewed_from,
        })
    }
}

/// A failure of the source that has to say who the principal is. Instance metadata is the last
/// source: without a profile that selects it, its absence means that there are no credentials. Else
/// a source is configured, and its failure is the answer.
fn unidentified(
    problem: Problem,
    plan: &Plan,
    surroundings: &Surroundings,
    registry: &Registry,
) -> Problem {
    match (problem.kind(), &plan.profile, problem.detail()) {
        (ProblemKind::NoCredentials, None, Some(reason)) => {
            surroundings.no_credentials(registry, reason)
        }
        (ProblemKind::NoCredentials, Some(_), _) => Problem::new(
            ProblemKind::Configuration,
            problem.to_string(),
            problem.hint(),
        ),
        _ => problem,
    }
}

#[cfg(test)]
mod tests;
