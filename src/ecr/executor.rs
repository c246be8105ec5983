//! One call of the issuer: its deadline, its secrets, and the SDK clients that it makes.

use std::time::{Duration, Instant};

use aws_config::identity::IdentityCache;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_ecr::types::AuthorizationData;
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_async::time::SystemTimeSource;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::request_id::RequestId;
use chrono::DateTime;

use super::classify::{FailureContext, Step, classify, service_name};
use super::http::{Client, Failure, RequestOutcome, is_url};
use super::redact::{one_line, redacted};
use super::sources::fixed;
use super::{Issued, Session};
use crate::env::{Clock, Env};
use crate::log::Log;
use crate::principal::{Address, Endpoint, Network, Plan, RegistryApi, Source};
use crate::problem::Problem;
use crate::registry::{Registry, Service};
use crate::secret::Secret;
use crate::token;

/// To connect; what the AWS SDKs wait.
const CONNECT: Duration = Duration::from_millis(3100);

/// Executes one call of the issuer.
pub(super) struct Executor<'a> {
    /// For what the messages of other programs may repeat.
    pub(super) env: &'a Env,
    pub(super) clock: Clock<'a>,
    pub(super) log: Log<'a>,
    pub(super) client: Client,
    pub(super) network: &'a Network,
    /// Whether a profile names the source.
    pub(super) in_profile: bool,
    pub(super) deadline: Instant,
    /// Values to remove from messages that AWS sends back.
    pub(super) secrets: Vec<Secret>,
    /// The digest of the SSO or console session that was used.
    pub(super) session_digest: Option<String>,
    /// Its digest before a renewal.
    pub(super) renewed_from: Option<String>,
}

impl Executor<'_> {
    pub(super) async fn issue(
        &mut self,
        plan: &Plan,
        session: Option<Session>,
        registry: &Registry,
    ) -> Result<Issued, Problem> {
        let (credentials, owner) = self.credentials(plan, session, true).await?;
        self.log
            .debug(format_args!("{owner} requests a token for {registry}"));
        let issued = self
            .token_of_any_endpoint(plan, registry, &credentials, &owner)
            .await?;
        Ok(Issued {
            session_digest: self.session_digest.take(),
            renewed_from: self.renewed_from.take(),
            ..issued
        })
    }

    /// The credentials that the plan ends with, after all of its roles, and their owner. With
    /// `connect_early`, a request to the plan's API follows.
    pub(super) async fn credentials(
        &mut self,
        plan: &Plan,
        session: Option<Session>,
        connect_early: bool,
    ) -> Result<(Credentials, String), Problem> {
        let (mut credentials, mut owner, roles) = match plan.kept_role((self.clock)())? {
            Some(kept) => {
                let owner = format!("the role {}", kept.role.role_arn);
                self.log
                    .debug(format_args!("{owner}: from the AWS CLI's cache"));
                if connect_early {
                    self.connect_early(plan, true, kept.remaining).await;
                }
                (fixed::credentials(&kept.keys), owner, kept.remaining)
            }
            None => {
                if connect_early {
                    self.connect_early(plan, session.is_some(), &plan.roles)
                        .await;
                }
                let credentials = match session {
                    Some(session) => session.credentials,
                    None => self.source(&plan.source).await?,
                };
                let owner = owner_of(&plan.source, &credentials);
                (credentials, owner, &plan.roles[..])
            }
        };
        for role in roles {
            self.remember(&credentials);
            self.log
                .debug(format_args!("{owner} assumes {}", role.role_arn));
            credentials = self.assume(role, credentials, &owner).await?;
            owner = format!("the role {}", role.role_arn);
        }
        self.remember(&credentials);
        Ok((credentials, owner))
    }

    /// Tries each name of the endpoint until one resolves.
    async fn token_of_any_endpoint(
        &mut self,
        plan: &Plan,
        registry: &Registry,
        credentials: &Credentials,
        owner: &str,
    ) -> Result<Issued, Problem> {
        let published = published_fips_endpoint(&plan.api);
        let mut unresolved = Vec::new();
        let mut problem = None;
        for api in [Some(&plan.api), published.as_ref()].into_iter().flatten() {
            if let Some(problem) = &problem {
                self.log
                    .debug(format_args!("{problem}; trying {}", api.url));
            }
            let failed = match self.token(api, registry, credentials, owner).await {
                Ok(issued) => return Ok(issued),
                Err(failed) => failed,
            };
            match self.client.outcome() {
                Some(RequestOutcome::Failed(Failure::Dns {
                    host,
                    temporary: false,
                })) => {
                    unresolved.push(host);
                    let service = service_name(registry.service());
                    problem = Problem::unknown_region(registry, &unresolved)
                        .or_else(|| {
                            Problem::no_endpoint(service, &api.region, api.variant, &unresolved)
                        })
                        .or(Some(failed));
                }
                // Where no name server answers, an unknown region is the likelier cause.
                Some(RequestOutcome::Failed(Failure::Dns {
                    host,
                    temporary: true,
                })) => return Err(Problem::unknown_region(registry, &[host]).unwrap_or(failed)),
                // A proxy that cannot reach the host may have failed to resolve its name.
                Some(RequestOutcome::Failed(Failure::Proxy { upstream: true, .. })) => {
                    problem = problem.or(Some(failed));
                }
                _ => return Err(failed),
            }
        }
        let service = service_name(registry.service());
        Err(problem.unwrap_or_else(|| Problem::unexpected(service, "no endpoint to call")))
    }

    /// The session that is used was renewed, and has this digest now.
    pub(super) fn renewed_as(&mut self, digest: Option<String>) {
        self.renewed_from = std::mem::replace(&mut self.session_digest, digest);
    }

    /// Keeps the secrets out of all that is shown from here on.
    fn remember(&mut self, credentials: &Credentials) {
        self.secrets
            .push(Secret::from(credentials.secret_access_key()));
        self.secrets
            .extend(credentials.session_token().map(Secret::from));
    }

    async fn token(
        &mut self,
        api: &RegistryApi,
        registry: &Registry,
        credentials: &Credentials,
        owner: &str,
    ) -> Result<Issued, Problem> {
        self.client.begin_step();
        let endpoint = Endpoint::from(api);
        check_endpoint(&endpoint)?;
        check_keys(credentials, owner)?;
        let config = self.sdk_config(&endpoint, Some(credentials.clone()));
        let step = Step::Token {
            registry,
            api,
            owner,
        };
        let data = match registry.service() {
            Service::Ecr => {
                let request = aws_sdk_ecr::Client::new(&config).get_authorization_token();
                // Deprecated and harmless: it makes proxyEndpoint name the requested registry.
                #[allow(deprecated)]
                let request =
                    request.set_registry_ids(registry.account_id().map(|id| vec![id.to_owned()]));
                let response = request.send().await;
                let response =
                    response.map_err(|error| classify(step, &self.context_of(&error)))?;
                let data = response.authorization_data.unwrap_or_default();
                data.into_iter().next()
            }
            Service::EcrPublic => {
                let client = aws_sdk_ecrpublic::Client::new(&config);
                let response = client.get_authorization_token().send().await;
                let response =
                    response.map_err(|error| classify(step, &self.context_of(&error)))?;
                response.authorization_data.map(|data| {
                    AuthorizationData::builder()
                        .set_authorization_token(data.authorization_token)
                        .set_expires_at(data.expires_at)
                        .build()
                })
            }
        };
        issued(step.service(), data)
    }

    pub(super) fn remaining(&self) -> Duration {
        // Never zero, which the SDK takes for a mistake.
        let left = self.deadline.saturating_duration_since(Instant::now());
        left.max(Duration::from_millis(1))
    }

    /// Where the local clock is wrong, the SDK sends the request again, with a signature for the
    /// server's time. All other retries are the client's.
    fn clock_skew_retry(&self) -> RetryConfig {
        match self.network.max_attempts {
            Some(..=1) => RetryConfig::disabled(),
            _ => RetryConfig::standard()
                .with_max_attempts(2)
                .with_initial_backoff(Duration::from_millis(1)),
        }
    }

    pub(super) fn connect_limit(&self) -> Duration {
        CONNECT.min(self.remaining() / 2)
    }

    pub(super) fn timeout_config(&self) -> TimeoutConfig {
        // One attempt that hangs must leave time for another.
        TimeoutConfig::builder()
            .connect_timeout(self.connect_limit())
            .read_timeout(self.remaining() / 2)
            .build()
    }

    /// The configuration of one client, from the plan alone.
    pub(super) fn sdk_config(
        &self,
        endpoint: &Endpoint,
        credentials: Option<Credentials>,
    ) -> SdkConfig {
        let mut builder = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(aws_config::Region::new(endpoint.region.clone()))
            .http_client(self.client.clone())
            .sleep_impl(TokioSleep::new())
            .time_source(SystemTimeSource::new())
            .retry_config(self.clock_skew_retry())
            .timeout_config(self.timeout_config())
            .identity_cache(IdentityCache::no_cache())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        match &endpoint.address {
            Address::Url(url) => builder.set_endpoint_url(Some(url.clone())),
            Address::OfRegion(variant) => builder
                .set_use_fips(Some(variant.fips))
                .set_use_dual_stack(Some(variant.dual_stack)),
        };
        builder.set_credentials_provider(credentials.map(SharedCredentialsProvider::new));
        builder.build()
    }

    /// The facts about a failure from the SDK's error and the connection.
    pub(super) fn context_of<E>(&self, error: &SdkError<E, HttpResponse>) -> FailureContext
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let metadata = ProvideErrorMetadata::meta(error);
        FailureContext {
            code: metadata.code().map(str::to_owned),
            message: metadata.message().map(|text| redacted(text, &self.secrets)),
            request_id: error.request_id().map(str::to_owned),
            outcome: self.client.outcome(),
            timed_out: matches!(error, SdkError::TimeoutError(_)),
            now: Some((self.clock)()),
            tries: self.client.tries(),
        }
    }
}

/// AWS's list of endpoints publishes the FIPS name of ECR without the `api.` that the SDKs use.
fn published_fips_endpoint(api: &RegistryApi) -> Option<RegistryApi> {
    if !api.variant.fips {
        return None;
    }
    let rest = api.url.strip_prefix("https://api.ecr-fips.")?;
    Some(RegistryApi {
        url: format!("https://ecr-fips.{rest}"),
        ..api.clone()
    })
}

fn issued(service: &str, data: Option<AuthorizationData>) -> Result<Issued, Problem> {
    let data = data.ok_or_else(|| Problem::unexpected(service, "no authorization data in it"))?;
    let token = data
        .authorization_token
        .map(Secret::new)
        .ok_or_else(|| Problem::unexpected(service, "no authorization token in it"))?;
    let login = token::decode(token.expose())
        .map_err(|error| Problem::unexpected(service, &error.to_string()))?;
    Ok(Issued {
        login,
        expires_at: data
            .expires_at
            .and_then(|at| DateTime::from_timestamp(at.secs(), at.subsec_nanos())),
        proxy_endpoint: data.proxy_endpoint,
        session_digest: None,
        renewed_from: None,
    })
}

/// Region and URL are such that a request can be made: over some others the SDK panics.
pub(super) fn check_endpoint(endpoint: &Endpoint) -> Result<(), Problem> {
    let region = &endpoint.region;
    if region.is_empty() || !region.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Problem::unsendable(&format!("the region {region:?}")));
    }
    match endpoint.url() {
        Some(url) if !is_url(url) => Err((&Failure::Url).into()),
        _ => Ok(()),
    }
}

/// Key ID and session token are sent as headers; over some that cannot be, the SDK panics.
pub(super) fn check_keys(credentials: &Credentials, owner: &str) -> Result<(), Problem> {
    let plain = |text: &str| text.bytes().all(|b| b.is_ascii_graphic());
    if !plain(credentials.access_key_id()) {
        return Err(Problem::unsendable(&format!(
            "the access key ID of {owner}"
        )));
    }
    if !credentials.session_token().is_none_or(plain) {
        return Err(Problem::unsendable(&format!(
            "the session token of {owner}"
        )));
    }
    Ok(())
}

/// The owner of the credentials, for messages.
fn owner_of(source: &Source, credentials: &Credentials) -> String {
    // A malformed line of a config file can put a secret here.
    let id = credentials.access_key_id();
    let id = match id.bytes().all(|b| b.is_ascii_alphanumeric()) {
        true => one_line(id),
        false => "an odd key ID".to_owned(),
    };
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
