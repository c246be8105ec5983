//! Asks AWS: executes a plan, and turns what comes back into a login or a cause.
//!
//! This is the only room that knows the AWS SDK. It runs exactly what the plan names (one source,
//! then its roles, then GetAuthorizationToken) on one thread and under one deadline, and builds
//! each part, from the runtime to the certificate authorities, when it is first needed.

mod error;
mod http;
mod process;
mod sources;
mod trust;

use std::time::{Duration, Instant};

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_async::time::SystemTimeSource;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SdkConfig;
use aws_types::region::Region;
use aws_types::request_id::RequestId;
use chrono::{DateTime, Utc};
use tokio::runtime::Runtime;

pub use self::error::Error;
use self::error::{FailureContext, Step, classify, past_deadline, redacted};
use self::http::{Client, Failure};
use self::trust::TrustStore;
use crate::env::Env;
use crate::log::Log;
use crate::principal::{Endpoint, Network, Plan, Source};
use crate::proxy::Proxies;
use crate::registry::{Registry, Service};
use crate::secret::Secret;
use crate::token::{self, Login};

/// Attempts per request where nothing else is set, as in every AWS SDK.
const MAX_ATTEMPTS: u32 = 3;

/// The first retry comes after a random part of this, the next after one of twice as much.
const BACKOFF: Duration = Duration::from_millis(300);

/// How often the debug log is told what goes on.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

/// To connect; what the AWS SDKs wait.
const CONNECT: Duration = Duration::from_millis(3100);

/// What issues logins: AWS, or a test's stand-in.
pub trait Issuer {
    /// Asks an ambient plan's source once, keeps the credentials for [`Issuer::issue`], and
    /// returns their access key ID.
    ///
    /// # Errors
    /// When the source has none, or the deadline passes.
    fn identify(&mut self, plan: &Plan, deadline: Instant) -> Result<String, Error>;

    /// Asks the registry's service for an authorization token, with the plan's credentials: for
    /// an ambient plan those that [`Issuer::identify`] has just got for it.
    ///
    /// # Errors
    /// When there is none to be had, or the deadline passes.
    fn issue(
        &mut self,
        plan: &Plan,
        registry: &Registry,
        deadline: Instant,
    ) -> Result<Issued, Error>;
}

/// What GetAuthorizationToken answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// User name and password.
    pub login: Login,
    /// When it ends, if the reply says so.
    pub expires_at: Option<DateTime<Utc>>,
    /// The registry that it is for, if the reply says so; ECR Public never does.
    pub proxy_endpoint: Option<String>,
}

/// AWS itself.
pub struct Aws<'a> {
    env: &'a Env,
    log: Log<'a>,
    runtime: Option<Runtime>,
    client: Option<(Network, Client)>,
    /// What an ambient source gave when it was asked who it is.
    held: Option<Credentials>,
}

impl std::fmt::Debug for Aws<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Aws")
    }
}

impl Drop for Aws<'_> {
    fn drop(&mut self) {
        // A look-up of a name that hangs must not keep the process.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Issuer for Aws<'_> {
    fn identify(&mut self, plan: &Plan, deadline: Instant) -> Result<String, Error> {
        let credentials = self.run(plan, deadline, async |asking| {
            asking.source(&plan.source).await
        })?;
        let id = credentials.access_key_id().to_owned();
        self.held = Some(credentials);
        Ok(id)
    }

    fn issue(
        &mut self,
        plan: &Plan,
        registry: &Registry,
        deadline: Instant,
    ) -> Result<Issued, Error> {
        let held = self.held.take();
        self.run(plan, deadline, async |asking| {
            asking.issue(held, plan, registry).await
        })
    }
}

impl<'a> Aws<'a> {
    /// Nothing is read, connected to or initialised before the first question.
    pub fn new(env: &'a Env, log: Log<'a>) -> Self {
        Self {
            env,
            log,
            runtime: None,
            client: None,
            held: None,
        }
    }

    fn run<T>(
        &mut self,
        plan: &Plan,
        deadline: Instant,
        ask: impl AsyncFnOnce(&mut AwsSession<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let start = Instant::now();
        let runtime = match &mut self.runtime {
            Some(runtime) => runtime,
            none => {
                let built = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                none.insert(built.map_err(|error| {
                    Error::Network(Failure::Broken {
                        at: "AWS".to_owned(),
                        what: format!("no runtime: {error}"),
                    })
                })?)
            }
        };
        let client = match &self.client {
            Some((network, client)) if *network == plan.network => client.clone(),
            _ => {
                let trust = TrustStore::of(self.env, plan.network.ca_bundle.as_ref());
                let client = Client::new(Proxies::from_env(self.env), trust, self.log.is_on());
                self.client = Some((plan.network.clone(), client.clone()));
                client
            }
        };
        client.begin_step();
        let mut asking = AwsSession {
            log: self.log,
            client: client.clone(),
            network: &plan.network,
            deadline,
            secrets: Vec::new(),
        };
        runtime.block_on(async {
            let asked = tokio::time::timeout_at(deadline.into(), ask(&mut asking));
            tokio::pin!(asked);
            let told = |client: &Client| {
                for event in client.take_events() {
                    self.log.debug(format_args!("{event}"));
                }
            };
            let result = loop {
                tokio::select! {
                    result = &mut asked => break result,
                    // Whoever waits wants to see what for.
                    () = tokio::time::sleep(PROGRESS_INTERVAL), if self.log.is_on() => told(&client),
                }
            };
            told(&client);
            result.unwrap_or_else(|_| Err(past_deadline(client.outcome(), start.elapsed())))
        })
    }
}

/// One question and what it needs.
struct AwsSession<'a> {
    log: Log<'a>,
    client: Client,
    network: &'a Network,
    deadline: Instant,
    /// What must not show up in a message that AWS sends back.
    secrets: Vec<Secret>,
}

impl AwsSession<'_> {
    async fn issue(
        &mut self,
        held: Option<Credentials>,
        plan: &Plan,
        registry: &Registry,
    ) -> Result<Issued, Error> {
        let mut credentials = match held {
            Some(credentials) => credentials,
            None => self.source(&plan.source).await?,
        };
        let mut who = describe(&plan.source, &credentials);
        for role in &plan.roles {
            self.remember(&credentials);
            self.log
                .debug(format_args!("{who} assumes {}", role.role_arn));
            credentials = self.assume(role, credentials, &who).await?;
            who = format!("the role {}", role.role_arn);
        }
        self.remember(&credentials);
        self.log
            .debug(format_args!("{who} asks for a token for {registry}"));
        let service = of(registry.service());
        let first = self.token(&plan.api, registry, &credentials, &who).await;
        let unresolved = match &first {
            Err(Error::Network(Failure::Dns { temporary, .. })) => !temporary,
            Err(Error::Network(Failure::Proxy { upstream, .. })) => *upstream,
            _ => return first,
        };
        // AWS's list of endpoints publishes the FIPS name of ECR without `api.`.
        let published = plan.api.url.as_deref().filter(|_| unresolved);
        let published = published
            .filter(|_| plan.api.fips)
            .and_then(|url| url.strip_prefix("https://api.ecr-fips."))
            .map(|rest| format!("ecr-fips.{rest}"));
        let Some(host) = published else {
            return first.map_err(|error| absent(service, &plan.api, error));
        };
        if let Err(error) = &first {
            self.log.debug(format_args!("{error}; trying {host}"));
        }
        let api = Endpoint {
            url: Some(format!("https://{host}")),
            ..plan.api.clone()
        };
        let second = self.token(&api, registry, &credentials, &who).await;
        match second {
            Err(Error::Network(Failure::Proxy { upstream: true, .. })) => first,
            Err(error) => Err(match (absent(service, &api, error), first) {
                (
                    Error::NoEndpoint {
                        service,
                        kind,
                        region,
                        tried,
                    },
                    Err(Error::Network(Failure::Dns { host, .. })),
                ) => Error::NoEndpoint {
                    service,
                    kind,
                    region,
                    tried: [vec![host], tried].concat(),
                },
                (error, _) => error,
            }),
            good => good,
        }
    }

    fn remember(&mut self, credentials: &Credentials) {
        self.secrets
            .push(Secret::from(credentials.secret_access_key()));
        self.secrets
            .extend(credentials.session_token().map(Secret::from));
    }

    async fn token(
        &mut self,
        api: &Endpoint,
        registry: &Registry,
        credentials: &Credentials,
        who: &str,
    ) -> Result<Issued, Error> {
        self.client.begin_step();
        Self::reachable(api)?;
        Self::sendable(credentials, who)?;
        let config = self.sdk_config(api, Some(credentials.clone()));
        let step = Step::Token { registry, who };
        let (token, expires_at, proxy_endpoint) = match registry.service() {
            Service::Ecr => {
                let request = aws_sdk_ecr::Client::new(&config).get_authorization_token();
                // Deprecated and harmless: it makes proxyEndpoint name the registry that was asked for.
                #[allow(deprecated)]
                let request =
                    request.set_registry_ids(registry.account_id().map(|id| vec![id.to_owned()]));
                let reply = request
                    .send()
                    .await
                    .map_err(|error| classify(step, facts(&error, &self.client, &self.secrets)))?;
                let data = reply.authorization_data.unwrap_or_default();
                let Some(data) = data.into_iter().next() else {
                    return Err(unexpected("ECR", "it holds no authorization data"));
                };
                (
                    data.authorization_token,
                    data.expires_at,
                    data.proxy_endpoint,
                )
            }
            Service::EcrPublic => {
                let client = aws_sdk_ecrpublic::Client::new(&config);
                let reply = client
                    .get_authorization_token()
                    .send()
                    .await
                    .map_err(|error| classify(step, facts(&error, &self.client, &self.secrets)))?;
                let Some(data) = reply.authorization_data else {
                    return Err(unexpected("ECR Public", "it holds no authorization data"));
                };
                (data.authorization_token, data.expires_at, None)
            }
        };
        let from = of(registry.service());
        let Some(token) = token.map(Secret::new) else {
            return Err(unexpected(from, "it holds no authorization token"));
        };
        let login =
            token::decode(token.expose()).map_err(|error| unexpected(from, &error.to_string()))?;
        Ok(Issued {
            login,
            expires_at: expires_at
                .and_then(|at| DateTime::from_timestamp(at.secs(), at.subsec_nanos())),
            proxy_endpoint,
        })
    }

    /// Region and URL are such that a request can be made: over some others the SDK panics.
    fn reachable(endpoint: &Endpoint) -> Result<(), Error> {
        let region = &endpoint.region;
        if region.is_empty() || !region.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Error::Malformed {
                what: format!("the region {region:?}"),
            });
        }
        match &endpoint.url {
            Some(url) if !http::is_url(url) => Err(Failure::Url.into()),
            _ => Ok(()),
        }
    }

    /// AccessKeys stand in headers; over some that cannot, the SDK panics.
    fn sendable(credentials: &Credentials, who: &str) -> Result<(), Error> {
        let plain = |text: &str| text.bytes().all(|b| b.is_ascii_graphic());
        let malformed = |what: String| Err(Error::Malformed { what });
        if !plain(credentials.access_key_id()) {
            return malformed(format!("the access key ID of {who}"));
        }
        if !credentials.session_token().is_none_or(plain) {
            return malformed(format!("the session token of {who}"));
        }
        Ok(())
    }

    fn remaining(&self) -> Duration {
        // Never zero, which the SDK takes for a mistake.
        let left = self.deadline.saturating_duration_since(Instant::now());
        left.max(Duration::from_millis(1))
    }

    fn retry_config(&self) -> RetryConfig {
        let config = if self.network.adaptive_retry {
            RetryConfig::adaptive()
        } else {
            RetryConfig::standard()
        };
        config
            .with_max_attempts(self.network.max_attempts.unwrap_or(MAX_ATTEMPTS).max(1))
            .with_initial_backoff(BACKOFF)
    }

    fn timeout_config(&self) -> TimeoutConfig {
        let left = self.remaining();
        // One attempt that hangs must leave time for another.
        TimeoutConfig::builder()
            .connect_timeout(CONNECT.min(left / 2))
            .operation_attempt_timeout(left / 2)
            .build()
    }

    /// The configuration of one client, from the plan alone.
    fn sdk_config(&self, endpoint: &Endpoint, credentials: Option<Credentials>) -> SdkConfig {
        let mut builder = SdkConfig::builder()
            .behavior_version(aws_config::BehaviorVersion::latest())
            .region(Region::new(endpoint.region.clone()))
            .http_client(self.client.clone())
            .sleep_impl(TokioSleep::new())
            // SsoTokenProvider panics without one.
            .time_source(SystemTimeSource::new())
            .retry_config(self.retry_config())
            .timeout_config(self.timeout_config())
            .identity_cache(aws_config::identity::IdentityCache::no_cache())
            .stalled_stream_protection(
                aws_config::stalled_stream_protection::StalledStreamProtectionConfig::disabled(),
            );
        match &endpoint.url {
            Some(url) => builder.set_endpoint_url(Some(url.clone())),
            None => builder
                .set_use_fips(Some(endpoint.fips))
                .set_use_dual_stack(Some(endpoint.dual_stack)),
        };
        builder.set_credentials_provider(credentials.map(SharedCredentialsProvider::new));
        builder.build()
    }
}

/// A service's name, for messages.
fn of(service: Service) -> &'static str {
    match service {
        Service::Ecr => "ECR",
        Service::EcrPublic => "ECR Public",
    }
}

/// The name of a FIPS or dual-stack endpoint that does not exist is told as what it means: that
/// there is none. Where the resolver could not be asked, nothing is known about it.
fn absent(service: &'static str, endpoint: &Endpoint, error: Error) -> Error {
    let kind = match (endpoint.fips, endpoint.dual_stack) {
        (true, true) => "dual-stack FIPS",
        (true, false) => "FIPS",
        (false, true) => "dual-stack",
        (false, false) => return error,
    };
    match error {
        Error::Network(Failure::Dns {
            host,
            temporary: false,
        }) => Error::NoEndpoint {
            service,
            kind,
            region: endpoint.region.clone(),
            tried: vec![host],
        },
        error => error,
    }
}

fn unexpected(from: &str, what: &str) -> Error {
    Error::Unexpected {
        from: from.to_owned(),
        what: what.to_owned(),
    }
}

/// Who asks, for messages.
fn describe(source: &Source, credentials: &Credentials) -> String {
    let id = error::one_line(credentials.access_key_id());
    match source {
        Source::Environment(_) => format!("the environment ({id})"),
        Source::Static { profile, .. } => format!("profile {profile:?} ({id})"),
        Source::Process { profile, .. } => {
            format!("the credential_process of profile {profile:?} ({id})")
        }
        Source::Sso(sso) => format!(
            "the SSO role {} of profile {:?}",
            sso.role_name, sso.profile
        ),
        Source::Login(login) => format!("the session {}", login.session_arn),
        Source::WebIdentity(web) => format!("the role {}", web.role_arn),
        Source::Container(_) => format!("the container's role ({id})"),
        Source::InstanceMetadata(_) => format!("the instance's role ({id})"),
    }
}

/// What the SDK's error and the connection know.
fn facts<E>(
    error: &SdkError<E, HttpResponse>,
    client: &Client,
    secrets: &[Secret],
) -> FailureContext
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let metadata = ProvideErrorMetadata::meta(error);
    FailureContext {
        code: metadata.code().map(str::to_owned),
        message: metadata.message().map(|text| redacted(text, secrets)),
        request_id: error.request_id().map(str::to_owned),
        outcome: client.outcome(),
        timed_out: matches!(error, SdkError::TimeoutError(_)),
    }
}

#[cfg(test)]
mod tests;
