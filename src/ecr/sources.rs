//! One provider per source: the one that the plan names is asked, and no other.
//!
//! The SDK's default chain falls through to the next source, in the end to instance metadata,
//! when one is missing or incomplete. Nothing here falls through.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use aws_config::ecs::EcsCredentialsProvider;
use aws_config::imds;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::login::LoginCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::sso::SsoTokenProvider;
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::token::ProvideToken;
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_types::region::Region;
use zeroize::Zeroizing;

use super::error::{Error, FailureContext, Step, classify};
use super::http::{ClientOptions, RequestOutcome, sign_in_body};
use super::process;
use super::{AwsSession, absent, facts};
use crate::fs::{read_bounded, try_lock_exclusive};
use crate::principal::{AccessKeys, ConsoleLogin, Container, Role, Source, Sso, WebIdentity};
use crate::secret::Secret;

/// Instance metadata is next door or nowhere.
const METADATA_LIMIT: Duration = Duration::from_secs(3);

/// For instance metadata to accept the connection: elsewhere than on EC2 nobody does.
const METADATA_CONNECT: Duration = Duration::from_secs(1);

/// For one reply of instance metadata, which may be busy once it has accepted.
const METADATA_REPLY: Duration = Duration::from_secs(2);

/// How long a login that is still good is held up by its renewal.
const RENEWAL: Duration = Duration::from_secs(3);

/// Between two tries to be alone with a login.
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// No file of a login is larger.
const MAX_LOGIN: usize = 1 << 20;

/// Names the instance's role.
const ROLE: &str = "/latest/meta-data/iam/security-credentials/";

/// What messages call the service behind SSO.
const SSO: &str = "IAM Identity Center";

impl AwsSession<'_> {
    /// The source's credentials.
    pub(super) async fn source(&mut self, source: &Source) -> Result<Credentials, Error> {
        self.client.begin_step();
        match source {
            Source::Environment(keys) => Ok(fixed(keys)),
            Source::Static { keys, .. } => Ok(fixed(keys)),
            Source::Process { profile, command } => {
                self.client.note_waiting(format!(
                    "waiting for the credential_process of profile {profile:?}"
                ));
                process::run(command).await.map_err(|what| Error::Process {
                    profile: profile.clone(),
                    what,
                })
            }
            Source::Sso(sso) => self.sso(sso).await,
            Source::Login(login) => self.login(login).await,
            Source::WebIdentity(web) => self.web_identity(web).await,
            Source::Container(container) => self.container(container).await,
            Source::InstanceMetadata(metadata) => {
                self.metadata(metadata.endpoint.as_deref(), metadata.ipv6)
                    .await
            }
        }
    }

    /// The role's credentials, asked for with `credentials`, which belong to `by`.
    pub(super) async fn assume(
        &mut self,
        role: &Role,
        credentials: Credentials,
        by: &str,
    ) -> Result<Credentials, Error> {
        self.client.begin_step();
        Self::reachable(&role.sts)?;
        Self::sendable(&credentials, by)?;
        let config = self.sdk_config(&role.sts, Some(credentials));
        let reply = aws_sdk_sts::Client::new(&config)
            .assume_role()
            .role_arn(&role.role_arn)
            .role_session_name(session_name(role.session_name.as_deref()))
            .set_external_id(role.external_id.clone())
            .send()
            .await;
        let step = Step::Role {
            role_arn: &role.role_arn,
            by,
        };
        match reply {
            Ok(reply) => Self::of_sts(reply.credentials),
            Err(error) => {
                let error = classify(step, facts(&error, &self.client, &self.secrets));
                Err(absent("STS", &role.sts, error))
            }
        }
    }

    async fn web_identity(&mut self, web: &WebIdentity) -> Result<Credentials, Error> {
        Self::reachable(&web.sts)?;
        self.secrets.push(web.token.clone());
        let config = self.sdk_config(&web.sts, None);
        let reply = aws_sdk_sts::Client::new(&config)
            .assume_role_with_web_identity()
            .role_arn(&web.role_arn)
            .role_session_name(session_name(web.session_name.as_deref()))
            .web_identity_token(web.token.expose())
            .send()
            .await;
        let step = Step::WebIdentity {
            role_arn: &web.role_arn,
        };
        match reply {
            Ok(reply) => Self::of_sts(reply.credentials),
            Err(error) => {
                let error = classify(step, facts(&error, &self.client, &self.secrets));
                Err(absent("STS", &web.sts, error))
            }
        }
    }

    fn of_sts(credentials: Option<aws_sdk_sts::types::Credentials>) -> Result<Credentials, Error> {
        let credentials = credentials
            .filter(|c| !c.access_key_id.is_empty() && !c.secret_access_key.is_empty())
            .ok_or_else(|| Error::Unexpected {
                from: "STS".to_owned(),
                what: "it holds no credentials".to_owned(),
            })?;
        Ok(Credentials::new(
            credentials.access_key_id,
            credentials.secret_access_key,
            Some(credentials.session_token),
            SystemTime::try_from(credentials.expiration).ok(),
            "sts",
        ))
    }

    async fn sso(&mut self, sso: &Sso) -> Result<Credentials, Error> {
        Self::reachable(&sso.oidc)?;
        Self::reachable(&sso.portal)?;
        let expired = || Error::SsoExpired {
            profile: sso.profile.clone(),
        };
        let provider = SsoTokenProvider::builder()
            .configure(&self.sdk_config(&sso.oidc, None))
            .region(Region::new(sso.oidc.region.clone()))
            .session_name(sso.session.as_ref().unwrap_or(&sso.start_url))
            .start_url(&sso.start_url)
            .build()
            .await;
        let step = Step::Sso {
            profile: &sso.profile,
            account_id: &sso.account_id,
            role_name: &sso.role_name,
        };
        let alone = self.lock_token_file(&sso.login_file).await;
        let cached = cached_login(&sso.login_file);
        // A login that is still good is not held up by its renewal.
        let patience = match cached {
            Some(_) => RENEWAL,
            None => self.deadline.saturating_duration_since(Instant::now()),
        };
        let given = match tokio::time::timeout(patience, provider.provide_token()).await {
            Ok(Ok(token)) => Some(token),
            Ok(Err(error)) => {
                let said = self.shown(&chain(&error));
                self.log.debug(format_args!("no SSO token: {said}"));
                None
            }
            Err(_) => None,
        };
        drop(alone);
        // The provider hands out the expired one if it cannot be renewed, and keeps why to itself.
        let alive = |expiry: SystemTime| expiry > SystemTime::now();
        let given = given.filter(|token| token.expiration().is_none_or(alive));
        let given = given.map(|token| Secret::from(token.token()));
        let Some(token) = given.or(cached) else {
            return Err(match self.client.outcome() {
                None => expired(),
                // A renewal that could not be kept, or a reply that is none.
                Some(RequestOutcome::Replied { status, .. })
                    if status < 300 && !is_writable(&sso.login_file) =>
                {
                    Error::LoginUnsaved {
                        profile: sso.profile.clone(),
                        path: sso.login_file.clone(),
                    }
                }
                Some(RequestOutcome::Replied { status, .. }) if status < 500 => expired(),
                outcome => {
                    let facts = FailureContext {
                        outcome,
                        ..FailureContext::default()
                    };
                    absent(SSO, &sso.oidc, classify(step, facts))
                }
            });
        };
        self.secrets.push(token.clone());
        self.client.begin_step();
        let reply = aws_sdk_sso::Client::new(&self.sdk_config(&sso.portal, None))
            .get_role_credentials()
            .account_id(&sso.account_id)
            .role_name(&sso.role_name)
            .access_token(token.expose())
            .send()
            .await;
        let reply = match reply {
            Ok(reply) => reply,
            Err(error) => {
                let error = classify(step, facts(&error, &self.client, &self.secrets));
                return Err(absent(SSO, &sso.portal, error));
            }
        };
        let nothing = || Error::Unexpected {
            from: SSO.to_owned(),
            what: "it holds no credentials".to_owned(),
        };
        let given = reply.role_credentials.ok_or_else(nothing)?;
        let (Some(id), Some(secret)) = (given.access_key_id, given.secret_access_key) else {
            return Err(nothing());
        };
        let milliseconds = u64::try_from(given.expiration).unwrap_or_default();
        let expiry = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(milliseconds));
        Ok(Credentials::new(
            id,
            secret,
            given.session_token,
            expiry,
            "sso",
        ))
    }

    /// Lets one process at a time read and renew a login: its refresh token is good for one
    /// renewal, and the SDK writes over the file in place. Waits for half of the time that is left,
    /// and then, or where there are no locks, goes on all the same.
    async fn lock_token_file(&self, login_file: &Path) -> Option<std::fs::File> {
        let file = std::fs::File::open(login_file).ok()?;
        let now = Instant::now();
        let end = now + self.deadline.saturating_duration_since(now) / 2;
        loop {
            match try_lock_exclusive(&file) {
                Ok(true) => return Some(file),
                Err(_) => return None,
                Ok(false) if Instant::now() >= end => return None,
                Ok(false) => tokio::time::sleep(LOCK_PAUSE).await,
            }
        }
    }

    async fn login(&mut self, login: &ConsoleLogin) -> Result<Credentials, Error> {
        Self::reachable(&login.signin)?;
        let config = self
            .provider_config()
            .with_http_client(self.client.with(ClientOptions {
                base: login.signin.url.clone(),
                body: Some(sign_in_body),
                ..ClientOptions::default()
            }))
            .with_region(Some(Region::new(login.signin.region.clone())))
            .with_use_fips(Some(login.signin.fips))
            .with_use_dual_stack(Some(login.signin.dual_stack));
        let provider = LoginCredentialsProvider::builder(&login.session_arn)
            .configure(&config)
            .build();
        let step = Step::Login {
            profile: &login.profile,
        };
        let alone = self.lock_token_file(&login.login_file).await;
        let given = provider.provide_credentials().await;
        drop(alone);
        given.map_err(|error| match self.client.outcome() {
            // Nobody was asked: the login's file is missing, malformed or too old.
            None => {
                let said = self.shown(&chain(&error));
                self.log.debug(format_args!("no login token: {said}"));
                Error::LoginExpired {
                    profile: login.profile.clone(),
                }
            }
            Some(_) => classify(step, self.provider_facts(&error)),
        })
    }

    async fn container(&mut self, container: &Container) -> Result<Credentials, Error> {
        // The SDK panics over some of the others.
        let uri = container.uri.expose();
        let plain = match container.relative {
            true => uri.starts_with('/'),
            false => uri.starts_with("http://") || uri.starts_with("https://"),
        };
        if !plain {
            return Err(Error::Container {
                what: "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI has to begin with a slash, or _FULL_URI with http:// or https://".to_owned(),
            });
        }
        self.secrets.extend(container.token.clone());
        let provider = EcsCredentialsProvider::builder()
            .configure(&self.provider_config())
            .build();
        let given = provider.provide_credentials().await;
        given.map_err(|error| {
            let mut facts = self.provider_facts(&error);
            // The SDK's words quote the URI, whose query may be a secret.
            let text = chain(&error);
            let what = if text.contains("auth token") {
                "the authorization token has characters that a header cannot carry"
            } else if text.contains("allowed IP") {
                "an http URI must lead to loopback or to the address of ECS or EKS"
            } else if text.contains("DNS") {
                "the host in the URI does not resolve"
            } else if text.contains("URI") {
                "the URI in AWS_CONTAINER_CREDENTIALS_FULL_URI or _RELATIVE_URI is malformed"
            } else if text.contains("os error") {
                "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE cannot be read"
            } else {
                "no credentials"
            };
            facts.message = Some(what.to_owned());
            classify(Step::Container, facts)
        })
    }

    async fn metadata(&mut self, endpoint: Option<&str>, ipv6: bool) -> Result<Credentials, Error> {
        // Always an explicit one: else the SDK would read the config files to find it.
        if endpoint.is_some_and(|endpoint| !super::http::is_url(endpoint)) {
            return Err(Error::NoCredentials {
                why: "AWS_EC2_METADATA_SERVICE_ENDPOINT is not a URL".to_owned(),
            });
        }
        let endpoint = match (endpoint, ipv6) {
            (Some(endpoint), _) => endpoint,
            (None, true) => "http://[fd00:ec2::254]",
            (None, false) => "http://169.254.169.254",
        };
        let config = self.provider_config();
        let config = config.with_http_client(self.client.with(ClientOptions {
            direct: true,
            ..ClientOptions::default()
        }));
        let client = imds::Client::builder()
            .configure(&config)
            .max_attempts(3)
            .connect_timeout(METADATA_CONNECT)
            .read_timeout(METADATA_REPLY)
            .operation_attempt_timeout(METADATA_REPLY)
            .operation_timeout(METADATA_LIMIT)
            .endpoint(endpoint)
            .map_err(|_| Error::NoCredentials {
                why: "AWS_EC2_METADATA_SERVICE_ENDPOINT is not a URL".to_owned(),
            })?
            .build();
        let asked = async {
            let role = client
                .get(ROLE)
                .await
                .map_err(CredentialsError::provider_error)?;
            // The SDK puts the name into a URI, and panics if that makes none.
            let role = role.as_ref().lines().next().unwrap_or_default().trim();
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"+=,.@_-".contains(&b);
            if role.is_empty() || !role.bytes().all(plain) {
                return Err(CredentialsError::not_loaded("no name of a role"));
            }
            ImdsCredentialsProvider::builder()
                .configure(&config)
                .imds_client(client)
                .profile(role)
                .build()
                .provide_credentials()
                .await
        };
        let facts = match tokio::time::timeout(METADATA_LIMIT, asked).await {
            Ok(Ok(credentials)) => return Ok(credentials),
            Ok(Err(error)) => self.provider_facts(&error),
            Err(_) => FailureContext {
                outcome: self.client.outcome(),
                timed_out: true,
                ..FailureContext::default()
            },
        };
        Err(classify(
            Step::Metadata,
            FailureContext {
                message: Some("instance metadata gave no credentials".to_owned()),
                ..facts
            },
        ))
    }

    fn provider_config(&self) -> ProviderConfig {
        ProviderConfig::empty()
            .with_http_client(self.client.clone())
            .with_sleep_impl(TokioSleep::new())
            .with_retry_config(self.retry_config())
            .with_timeout_config(self.timeout_config())
            .with_behavior_version(Some(aws_config::BehaviorVersion::latest()))
    }

    /// A provider's words as they may be logged. It has secrets of its own, and what stands in
    /// quotes is a server's, which may repeat what was sent to it.
    fn shown(&self, text: &str) -> String {
        let unquoted: Vec<_> = text.split('"').step_by(2).collect();
        super::error::redacted(&bare_urls(&unquoted.join("…")), &self.secrets)
    }

    fn provider_facts(&self, error: &CredentialsError) -> FailureContext {
        let said = self.shown(&chain(error));
        self.log.debug(format_args!("the provider says: {said}"));
        FailureContext {
            outcome: self.client.outcome(),
            timed_out: matches!(error, CredentialsError::ProviderTimedOut(_)),
            ..FailureContext::default()
        }
    }
}

fn fixed(keys: &AccessKeys) -> Credentials {
    Credentials::new(
        &keys.access_key_id,
        keys.secret_access_key.expose(),
        keys.session_token.as_ref().map(|t| t.expose().to_owned()),
        None,
        "plan",
    )
}

/// The name that CloudTrail shows where none is set.
fn session_name(set: Option<&str>) -> String {
    match set {
        Some(name) => name.to_owned(),
        None => {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            let millis = now.unwrap_or_default().as_millis();
            format!("{}-{millis}", env!("CARGO_PKG_NAME"))
        }
    }
}

fn is_writable(path: &Path) -> bool {
    std::fs::OpenOptions::new().write(true).open(path).is_ok()
}

/// The access token in the file of an SSO login, unless it has expired.
fn cached_login(path: &Path) -> Option<Secret> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct SsoTokenFile {
        access_token: Zeroizing<String>,
        expires_at: String,
    }
    let bytes = Zeroizing::new(read_bounded(path, MAX_LOGIN).ok()?);
    let mut login: SsoTokenFile = serde_json::from_slice(&bytes).ok()?;
    let expires_at = chrono::DateTime::parse_from_rfc3339(&login.expires_at).ok()?;
    let token = Secret::new(std::mem::take(&mut *login.access_token));
    (expires_at > chrono::Utc::now()).then_some(token)
}

/// An error and all that caused it, in one text.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text
}

/// URLs without user information and without what follows a question mark: both may be secrets.
fn bare_urls(text: &str) -> String {
    let words = text.split(' ').map(|word| {
        let word = match word.split_once('?') {
            Some((before, _)) if word.contains('/') => before,
            _ => word,
        };
        match word.split_once("://") {
            Some((scheme, rest)) => match rest.split_once('@') {
                Some((_, host)) => format!("{scheme}://{host}"),
                None => word.to_owned(),
            },
            None => word.to_owned(),
        }
    });
    words.collect::<Vec<_>>().join(" ")
}
