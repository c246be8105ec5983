//! Executes a plan: gets credentials from its one source, assumes its roles, and calls
//! GetAuthorizationToken.
//!
//! This is the only module that uses the AWS SDK. It runs on one thread and under one deadline,
//! and builds each part, from the runtime to the trust store, at its first use.

mod caller;
mod classify;
mod denial;
mod early;
mod executor;
mod http;
mod problem;
mod redact;
mod registry_request;
mod retry;
mod signals;
mod sources;
mod trust;

use std::net::IpAddr;
use std::time::{Duration, Instant};

use aws_credential_types::Credentials;
use chrono::{DateTime, Utc};
use tokio::runtime::Runtime;

pub use self::caller::Caller;
pub(crate) use self::denial::{Denial, DenialReason};
use self::executor::Executor;
pub(crate) use self::http::is_url;
use self::http::{Client, RequestOutcome, Resolver};
pub use self::registry_request::{RegistryLogin, RegistryRequest, RegistryResponse};
use self::retry::RetryLimits;
use self::signals::TerminationSignals;
use self::trust::TrustStore;
use crate::env::{Clock, Env};
use crate::log::Log;
use crate::principal::{Endpoint, Network, Plan};
use crate::problem::Problem;
use crate::proxy::Proxies;
use crate::registry::Registry;
use crate::token::Login;

/// How often the debug log gets the events of requests under way.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

/// An issuer of tokens: AWS, or a test's stand-in.
pub trait Issuer {
    /// Opens the connections that a miss of this ambient plan needs, while
    /// [`Issuer::identify`] waits for the source. Their failures are those of the requests that
    /// need them.
    fn connect_early(&mut self, plan: &Plan, deadline: Instant);

    /// Gets credentials from the source of an ambient plan.
    ///
    /// # Errors
    /// When the source has none, or the deadline passes.
    fn identify(&mut self, plan: &Plan, deadline: Instant) -> Result<Session, Problem>;

    /// Gets an authorization token from the registry's service, with the plan's credentials:
    /// those of `session` where [`Issuer::identify`] has got them already.
    ///
    /// # Errors
    /// When there is none to be had, or the deadline passes.
    fn issue(
        &mut self,
        plan: &Plan,
        session: Option<Session>,
        registry: &Registry,
        deadline: Instant,
    ) -> Result<Issued, Problem>;

    /// The owner of the plan's credentials.
    ///
    /// # Errors
    /// When there are none, or AWS does not say.
    fn caller(&mut self, plan: &Plan, sts: &Endpoint, deadline: Instant)
    -> Result<Caller, Problem>;

    /// Sends one request to a registry itself, for `doctor`.
    ///
    /// # Errors
    /// When there is no response. A test's stand-in has no registry.
    fn registry(
        &mut self,
        _network: &Network,
        _request: &RegistryRequest<'_>,
        _deadline: Instant,
    ) -> Result<RegistryResponse, Problem> {
        Err(Problem::timed_out("connecting to the registry"))
    }

    /// The addresses of a host, for `doctor`.
    ///
    /// # Errors
    /// When the name does not resolve, as it never does for a test's stand-in.
    fn addresses(
        &mut self,
        _network: &Network,
        host: &str,
        _deadline: Instant,
    ) -> Result<Vec<IpAddr>, Problem> {
        Err(Problem::timed_out(&format!("looking up the name {host}")))
    }
}

/// Credentials that a plan's source gave.
#[derive(Debug)]
pub struct Session {
    credentials: Credentials,
}

impl Session {
    /// Not a secret; names the principal.
    pub fn access_key_id(&self) -> &str {
        self.credentials.access_key_id()
    }

    /// A session with this access key ID.
    #[cfg(any(test, fuzzing))]
    pub fn of_key(access_key_id: &str) -> Self {
        Self {
            credentials: Credentials::new(access_key_id, "secret", None, None, "test"),
        }
    }
}

/// The response to GetAuthorizationToken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// User name and password.
    pub login: Login,
    /// When it expires, if the response says so.
    pub expires_at: Option<DateTime<Utc>>,
    /// The registry that it is for, if the response says so; ECR Public never does.
    pub proxy_endpoint: Option<String>,
    /// The digest of the SSO or console session that it was obtained with: it may be another one
    /// than the plan's, if a user has logged in since.
    pub session_digest: Option<String>,
    /// The digest before a renewal that this program made itself; none if there was no renewal.
    pub renewed_from: Option<String>,
}

/// AWS itself.
pub struct Aws<'a> {
    env: &'a Env,
    clock: Clock<'a>,
    log: Log<'a>,
    runtime: Option<Runtime>,
    client: Option<(Network, Client)>,
    signals: Option<TerminationSignals>,
}

impl std::fmt::Debug for Aws<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Aws")
    }
}

impl Drop for Aws<'_> {
    fn drop(&mut self) {
        // A name look-up that hangs must not keep the process.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Issuer for Aws<'_> {
    fn connect_early(&mut self, plan: &Plan, deadline: Instant) {
        // They are opened while the next call runs.
        let spawned = self.run(CallSettings::of(plan), deadline, async |executor| {
            if let Some(roles) = executor.roles_ahead(plan) {
                executor.connect_early(plan, false, roles).await;
            }
            Ok(())
        });
        if let Err(problem) = spawned {
            self.log
                .debug(format_args!("no early connections: {problem}"));
        }
    }

    fn identify(&mut self, plan: &Plan, deadline: Instant) -> Result<Session, Problem> {
        self.run(CallSettings::of(plan), deadline, async |executor| {
            let credentials = executor.source(&plan.source).await?;
            Ok(Session { credentials })
        })
    }

    fn issue(
        &mut self,
        plan: &Plan,
        session: Option<Session>,
        registry: &Registry,
        deadline: Instant,
    ) -> Result<Issued, Problem> {
        self.run(CallSettings::of(plan), deadline, async |executor| {
            executor.issue(plan, session, registry).await
        })
    }

    fn caller(
        &mut self,
        plan: &Plan,
        sts: &Endpoint,
        deadline: Instant,
    ) -> Result<Caller, Problem> {
        self.run(CallSettings::of(plan), deadline, async |executor| {
            executor.caller(plan, sts).await
        })
    }

    fn registry(
        &mut self,
        network: &Network,
        request: &RegistryRequest<'_>,
        deadline: Instant,
    ) -> Result<RegistryResponse, Problem> {
        self.run(
            CallSettings::without_plan(network),
            deadline,
            async |executor| executor.registry(request).await,
        )
    }

    fn addresses(
        &mut self,
        network: &Network,
        host: &str,
        deadline: Instant,
    ) -> Result<Vec<IpAddr>, Problem> {
        self.run(
            CallSettings::without_plan(network),
            deadline,
            async |executor| executor.addresses(host).await,
        )
    }
}

/// The settings of a call, from its plan.
struct CallSettings<'a> {
    network: &'a Network,
    in_profile: bool,
    asks_a_process: bool,
}

impl<'a> CallSettings<'a> {
    fn of(plan: &'a Plan) -> Self {
        Self {
            network: &plan.network,
            in_profile: plan.profile.is_some(),
            asks_a_process: plan.asks_a_process(),
        }
    }

    /// A call that uses no AWS credentials.
    fn without_plan(network: &'a Network) -> Self {
        Self {
            network,
            in_profile: false,
            asks_a_process: false,
        }
    }
}

impl<'a> Aws<'a> {
    /// Nothing is read, connected to or initialised before the first call.
    pub fn new(env: &'a Env, clock: Clock<'a>, log: Log<'a>) -> Self {
        Self {
            env,
            clock,
            log,
            runtime: None,
            client: None,
            signals: None,
        }
    }

    /// The client for this network, made once: calls of one plan share connections.
    fn client(&mut self, network: &Network) -> Client {
        match &self.client {
            Some((known, client)) if known == network => client.clone(),
            _ => {
                let trust = TrustStore::of(self.env, network.ca_bundle.as_ref());
                let client = Client::new(
                    Proxies::from_env(self.env),
                    Resolver::from_env(self.env),
                    trust,
                    self.log.is_on(),
                );
                self.client = Some((network.clone(), client.clone()));
                client
            }
        }
    }

    fn run<T>(
        &mut self,
        call_of: CallSettings<'_>,
        deadline: Instant,
        call: impl AsyncFnOnce(&mut Executor<'_>) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        let start = Instant::now();
        let client = self.client(call_of.network);
        let runtime = match &mut self.runtime {
            Some(runtime) => runtime,
            none => {
                let built = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                none.insert(built.map_err(|error| Problem::no_runtime(&error))?)
            }
        };
        client.begin_step();
        let mut executor = Executor {
            env: self.env,
            clock: self.clock,
            log: self.log,
            client: client.with_retries(
                RetryLimits {
                    attempts: call_of.network.max_attempts,
                },
                deadline,
            ),
            network: call_of.network,
            in_profile: call_of.in_profile,
            deadline,
            secrets: Vec::new(),
            session_digest: None,
            renewed_from: None,
        };
        let log = self.log;
        let write_events = || {
            for event in client.take_events() {
                log.debug(format_args!("{event}"));
            }
        };
        let signals = &mut self.signals;
        runtime.block_on(async {
            if call_of.asks_a_process {
                // Before the command is started: from then on it would be left running.
                signals.get_or_insert_with(TerminationSignals::install);
            }
            let stopped = async {
                match signals {
                    Some(signals) => signals.received().await,
                    None => std::future::pending().await,
                }
            };
            tokio::pin!(stopped);
            let called = tokio::time::timeout_at(deadline.into(), call(&mut executor));
            tokio::pin!(called);
            let result = loop {
                tokio::select! {
                    result = &mut called => break result,
                    () = &mut stopped => break Ok(Err(Problem::stopped())),
                    // A person who waits sees what for.
                    () = tokio::time::sleep(PROGRESS_INTERVAL), if log.is_on() => write_events(),
                }
            };
            write_events();
            result.unwrap_or_else(|_| Err(past_deadline(client.outcome(), start.elapsed())))
        })
    }
}

/// The CA certificates that are trusted, in words; an error if they cannot be loaded.
///
/// # Errors
/// When a file that is set cannot be used, or the system has none.
pub fn trusted_certificates(env: &Env, network: &Network) -> Result<String, Problem> {
    let trust = TrustStore::of(env, network.ca_bundle.as_ref());
    match trust.load() {
        Ok(certificates) => Ok(certificates.shown("", &trust.describe())),
        Err(error) => Err((&http::Failure::TrustStore(error)).into()),
    }
}

/// The end of the whole deadline, whatever was under way.
fn past_deadline(outcome: Option<RequestOutcome>, after: Duration) -> Problem {
    let seconds = after.as_secs_f32();
    Problem::timed_out(&match outcome {
        Some(RequestOutcome::Pending { doing }) => format!("{doing} (after {seconds:.1} s)"),
        Some(RequestOutcome::Failed(failure)) => {
            format!("after {seconds:.1} s; the last attempt failed: {failure}")
        }
        Some(RequestOutcome::Replied { host, status, .. }) => {
            format!("after {seconds:.1} s; the last response from {host} was HTTP status {status}")
        }
        None => format!("after {seconds:.1} s"),
    })
}

#[cfg(test)]
mod tests;
