//! The policy: when a cached token is served, when AWS is asked, and what happens when it fails.
//!
//! fresh? -> lock -> look again -> ask -> keep -> fall back. Any number of concurrent misses of
//! one entry make one call: the first takes the lock, the others watch for what it leaves behind,
//! a token or a failure that they would meet as well. Nothing here waits without a bound, and no
//! fault of the cache is an error: without it AWS is asked.

use std::fmt;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

use crate::cache::lock::{LockOutcome, Wait};
use crate::cache::{Cache, NegativeEntry};
use crate::ecr::{Issued, Issuer, Session};
use crate::env::{Clock, Env};
use crate::log::Log;
use crate::principal::{self, CacheKey, Identity, Plan, PodIdentity, Selection, Surroundings};
use crate::problem::{Problem, ProblemKind};
use crate::registry::Registry;
use crate::settings;
use crate::token::{self, Token};

/// How long a renewal may hold up a token that is still usable.
const RENEWAL: Duration = Duration::from_secs(3);

/// How long no renewal is tried after one has failed.
const RENEWAL_PAUSE: TimeDelta = TimeDelta::seconds(60);

/// Why there is no token.
#[derive(Debug)]
pub enum Error {
    /// There is no plan, or executing it failed.
    Problem(Problem),
    /// Another process asked in vain, at the same time and for the same principal.
    Shared {
        /// What it said.
        cause: String,
        /// What it advised.
        hint: String,
    },
}

impl Error {
    /// What a person can do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Problem(problem) => problem.hint().to_owned(),
            Self::Shared { hint, .. } => hint.clone(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Problem(problem) => problem.fmt(f),
            Self::Shared { cause, .. } => f.write_str(cause),
        }
    }
}

impl std::error::Error for Error {}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<NegativeEntry> for Error {
    fn from(failure: NegativeEntry) -> Self {
        Self::Shared {
            cause: failure.cause,
            hint: failure.hint,
        }
    }
}

/// What answers a `get`; the parts are handed in.
pub struct Helper<'a, I: ?Sized> {
    /// The surroundings.
    pub env: &'a Env,
    /// Where tokens are kept, if anywhere.
    pub cache: Option<&'a Cache<'a>>,
    /// Gets tokens from AWS.
    pub issuer: &'a mut I,
    /// The local clock.
    pub clock: Clock<'a>,
    /// The debug log.
    pub log: Log<'a>,
}

/// One call of the issuer.
struct Request<'a> {
    plan: &'a Plan,
    registry: &'a Registry,
    deadline: Instant,
    /// What an ambient source gave already.
    session: Option<Session>,
}

/// What a waiter finds while the holder of the lock asks AWS.
enum WaitResult {
    Token(Token),
    Failure(NegativeEntry),
    /// The holder got what is of no use to others; queueing up behind it would only take longer.
    NothingToShare,
}

impl<I: Issuer + ?Sized> Helper<'_, I> {
    /// User and password for a registry: from the cache, from AWS, or, when neither has any for
    /// the current principal, from a `docker login` that was kept.
    pub fn get(&mut self, registry: &Registry) -> Result<Token, Error> {
        let error = match self.token(registry) {
            Ok(token) => return Ok(token),
            Err(error) => error,
        };
        self.log.debug(format_args!("no token: {error}"));
        if let Error::Problem(problem) = &error
            && let Some(detail) = problem.detail()
        {
            self.log.debug(format_args!("{detail}"));
        }
        let kept = self
            .cache
            .and_then(|cache| cache.kept_login(registry.host(), (self.clock)()));
        match kept {
            Some(token) => {
                self.log
                    .debug(format_args!("served the login kept from docker login"));
                Ok(token)
            }
            None => Err(error),
        }
    }

    /// A token from AWS, with no regard to the cache: with the role and the web identity token
    /// that are handed in, or else as the surroundings say. Also whether it may be kept.
    pub fn get_uncached(
        &mut self,
        registry: &Registry,
        web_identity: Option<PodIdentity>,
    ) -> Result<(Token, bool), Error> {
        let began = Instant::now();
        let surroundings = Surroundings::read(self.env, self.log);
        let selection = Selection {
            web_identity,
            ..Selection::default()
        };
        let plan = principal::plan(&surroundings, registry, &selection)?;
        let deadline = began + settings::timeout(self.env, false);
        let request = Request {
            plan: &plan,
            registry,
            deadline,
            session: None,
        };
        let (token, cacheable) = self.ask(request)?;
        Ok((token, cacheable.is_ok()))
    }

    fn token(&mut self, registry: &Registry) -> Result<Token, Error> {
        let began = Instant::now();
        let surroundings = Surroundings::read(self.env, self.log);
        let plan = principal::plan(&surroundings, registry, &Selection::default())?;
        let timeout = settings::timeout(self.env, plan.asks_a_process());
        let deadline = began + timeout;
        self.log.debug(format_args!(
            "{registry}: credentials from {}, {} roles assumed, at most {timeout:?}",
            plan.source_kind(),
            plan.roles.len(),
        ));

        let (name, session) = match &plan.identity {
            Identity::Pinned(name) => (name.clone(), None),
            Identity::Ambient => {
                let session = self.issuer.identify(&plan, deadline).map_err(|problem| {
                    match (problem.kind(), &plan.profile, problem.detail()) {
                        // It was the last source of all, so all of them are told.
                        (ProblemKind::NoCredentials, None, Some(reason)) => {
                            Error::Problem(surroundings.no_credentials(reason))
                        }
                        _ => Error::Problem(problem),
                    }
                })?;
                let name = plan.ambient_key(registry, session.access_key_id());
                (name, Some(session))
            }
        };
        let request = Request {
            plan: &plan,
            registry,
            deadline,
            session,
        };
        let Some(cache) = self.cache else {
            self.log.debug(format_args!("no cache"));
            return Ok(self.ask(request)?.0);
        };
        let now = (self.clock)();
        match cache.get(registry.host(), &name) {
            Some(token) if token.is_fresh(now) => {
                self.log.debug(format_args!(
                    "cached token served, valid until {}",
                    token.expires_at
                ));
                Ok(token)
            }
            Some(token) if token.is_usable(now) => Ok(self.renew(cache, request, &name, token)),
            _ => self.fetch(cache, request, &name, timeout / 2),
        }
    }

    /// Tries to replace a token that has not much life left, and serves it if that fails.
    fn renew(
        &mut self,
        cache: &Cache,
        request: Request<'_>,
        name: &CacheKey,
        held: Token,
    ) -> Token {
        let host = request.registry.host();
        let now = (self.clock)();
        let recent = |failure: &NegativeEntry| {
            let age = now - failure.at;
            age >= TimeDelta::zero() && age < RENEWAL_PAUSE
        };
        if cache.failure(host, name).as_ref().is_some_and(recent) {
            self.log.debug(format_args!(
                "renewal failed a moment ago: old token served"
            ));
            return held;
        }
        let _guard = match cache.lock(host, name, Wait::No, || None::<()>) {
            LockOutcome::Acquired(guard) => Some(guard),
            LockOutcome::Unavailable => None,
            LockOutcome::Polled(()) | LockOutcome::TimedOut => {
                self.log
                    .debug(format_args!("somebody else renews: old token served"));
                return held;
            }
        };
        match cache.get(host, name) {
            Some(token) if token.is_fresh((self.clock)()) => return token,
            _ => {}
        }
        let request = Request {
            deadline: request.deadline.min(Instant::now() + RENEWAL),
            ..request
        };
        match self.ask_and_keep(cache, request, name) {
            Ok(token) => token,
            Err(error) => {
                self.log
                    .debug(format_args!("renewal failed, old token served: {error}"));
                held
            }
        }
    }

    /// Gets a token where there is none.
    fn fetch(
        &mut self,
        cache: &Cache,
        request: Request<'_>,
        name: &CacheKey,
        wait: Duration,
    ) -> Result<Token, Error> {
        let host = request.registry.host();
        let began = (self.clock)();
        let clock = self.clock;
        let look = || match cache.get(host, name) {
            Some(token) if token.is_usable(clock()) => Some(WaitResult::Token(token)),
            _ => match cache.failure(host, name)? {
                failure if failure.at < began => None,
                failure if failure.shared => Some(WaitResult::Failure(failure)),
                _ => Some(WaitResult::NothingToShare),
            },
        };
        let (guard, seen) = match cache.lock(host, name, Wait::AtMost(wait), look) {
            LockOutcome::Acquired(guard) => (Some(guard), look()),
            LockOutcome::Polled(seen) => (None, Some(seen)),
            LockOutcome::TimedOut => {
                self.log.debug(format_args!(
                    "waited {wait:?} for another process: going on alone"
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
                return Err(failure.into());
            }
            Some(WaitResult::NothingToShare) | None => {}
        }
        let result = self.ask_and_keep(cache, request, name);
        drop(guard);
        Ok(result?)
    }

    /// Asks AWS and leaves the result in the cache, for later and for whoever waits.
    fn ask_and_keep(
        &mut self,
        cache: &Cache,
        request: Request<'_>,
        name: &CacheKey,
    ) -> Result<Token, Problem> {
        let host = request.registry.host();
        let ambient = request.plan.identity == Identity::Ambient;
        let result = self.ask(request);
        let now = (self.clock)();
        let left = match &result {
            Ok((token, Ok(()))) => cache.put(host, name, token, ambient, now),
            Ok((_, Err(reason))) => {
                self.log
                    .debug(format_args!("token served once, not cached: {reason}"));
                let failure = NegativeEntry {
                    at: now,
                    shared: false,
                    cause: (*reason).to_owned(),
                    hint: String::new(),
                };
                cache.record_failure(host, name, &failure)
            }
            Err(error) => {
                let failure = NegativeEntry {
                    at: now,
                    shared: error.is_shared(),
                    cause: error.to_string(),
                    hint: error.hint().to_owned(),
                };
                cache.record_failure(host, name, &failure)
            }
        };
        if let Err(error) = left {
            self.log.debug(format_args!("not cached: {error}"));
        }
        Ok(result?.0)
    }

    /// Asks AWS; the second part says why the token must not be cached, if so.
    fn ask(&mut self, request: Request<'_>) -> Result<(Token, Result<(), &'static str>), Problem> {
        let Request { plan, registry, .. } = request;
        let issued = self
            .issuer
            .issue(plan, request.session, registry, request.deadline)?;
        let now = (self.clock)();
        let cacheable = cacheable(&issued, registry, now);
        // ECR's tokens live for 12 hours; whoever says more is wrong or is not ECR.
        let longest = now + token::LIFETIME;
        let token = Token {
            login: issued.login,
            issued_at: now,
            expires_at: issued.expires_at.map_or(now, |at| at.min(longest)),
        };
        Ok((token, cacheable))
    }
}

/// Whether a reply may be kept, or why not. The clock may be wrong, and a stand-in for AWS may
/// answer for another registry: such a token is good for the one who asked, and for nobody later.
fn cacheable(issued: &Issued, registry: &Registry, now: DateTime<Utc>) -> Result<(), &'static str> {
    match issued.expires_at {
        None => return Err("the reply has no expiry"),
        Some(at) if at <= now => return Err("the reply has expired already, by our clock"),
        Some(_) => {}
    }
    match issued.proxy_endpoint.as_deref() {
        Some(endpoint) if !names(endpoint, registry) => {
            Err("the reply is for another account or region")
        }
        _ => Ok(()),
    }
}

/// Whether a proxyEndpoint agrees with the registry on account and region, as far as it names any.
fn names(endpoint: &str, registry: &Registry) -> bool {
    let Some(account_id) = registry.account_id() else {
        return true;
    };
    match Registry::from_server_url(endpoint) {
        Some(named) => {
            named.account_id() == Some(account_id) && named.region() == registry.region()
        }
        None => {
            let host = endpoint
                .split_once("://")
                .map_or(endpoint, |(_, rest)| rest);
            let first = host.split('.').next().unwrap_or_default();
            let is_account = first.len() == 12 && first.bytes().all(|b| b.is_ascii_digit());
            !is_account || first == account_id
        }
    }
}

#[cfg(test)]
mod tests;
