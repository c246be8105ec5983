//! EC2 instance metadata: version 2, and version 1 where version 2's token cannot be had.
//!
//! A response to the token request may not leave the instance (its hop limit is 1 by default), so
//! inside a container only version 1 answers. The AWS CLI and the Go SDK then use version 1, and so
//! does this.

use std::time::Duration;

use aws_credential_types::Credentials;
use http::Method;
use http::header::{HeaderName, HeaderValue};

use super::super::classify::{FailureContext, Step, classify};
use super::super::executor::Executor;
use super::super::http::{Client, ClientOptions, Failure, RequestOutcome, is_url};
use super::json_keys::JsonKeys;
use super::plain_http::{PlainRequest, PlainResponse};
use crate::principal::InstanceMetadata;
use crate::problem::Problem;
use crate::secret::Secret;

/// Instance metadata is link-local: reachable at once or not at all.
const LIMIT: Duration = Duration::from_secs(3);

/// To connect, and for the token: outside of EC2 nothing accepts.
const TIMEOUT: Duration = Duration::from_secs(1);

/// For the other responses: what has accepted may be busy.
const READ: Duration = Duration::from_secs(2);

const ATTEMPTS: u32 = 3;

const RETRY_PAUSE: Duration = Duration::from_millis(100);

const TOKEN_PATH: &str = "latest/api/token";
const ROLE_PATH: &str = "latest/meta-data/iam/security-credentials/";

const TTL: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds");
const TOKEN: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token");

/// Why version 2 gave no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NoToken {
    /// The request was received and not answered, as with a hop limit of 1.
    Unanswered,
    /// Version 2 is not there, or not for this caller.
    Refused,
}

/// The service as it was found.
struct MetadataService<'a> {
    client: Client,
    base: &'a str,
    settings: &'a InstanceMetadata,
    token: Result<HeaderValue, NoToken>,
}

impl Executor<'_> {
    pub(super) async fn metadata(
        &mut self,
        settings: &InstanceMetadata,
    ) -> Result<Credentials, Problem> {
        let endpoint = match (settings.endpoint.as_deref(), settings.ipv6) {
            (Some(endpoint), _) => endpoint,
            (None, true) => "http://[fd00:ec2::254]",
            (None, false) => "http://169.254.169.254",
        };
        if !is_url(endpoint) {
            return Err(Problem::metadata_endpoint());
        }
        let base = endpoint.trim_end_matches('/');
        // A setting replaces the bound; the deadline still holds.
        let is_set = settings.timeout.is_some() || settings.attempts.is_some();
        let limit = match is_set {
            true => self.remaining(),
            false => LIMIT.min(self.remaining()),
        };
        let fetched = tokio::time::timeout(limit, self.instance_credentials(base, settings));
        let result = match fetched.await {
            Ok(result) => result,
            Err(_) => Err(classify(
                Step::Metadata,
                &FailureContext {
                    outcome: self.client.outcome(),
                    timed_out: true,
                    ..FailureContext::default()
                },
            )),
        };
        result.map_err(|problem| match self.in_profile {
            true => problem.metadata_in_profile(),
            false => problem,
        })
    }

    async fn instance_credentials(
        &mut self,
        base: &str,
        settings: &InstanceMetadata,
    ) -> Result<Credentials, Problem> {
        let mut service = MetadataService {
            client: self.client.with(ClientOptions {
                direct: true,
                ..ClientOptions::default()
            }),
            base,
            settings,
            token: Err(NoToken::Refused),
        };
        service.token = service.token().await.map_err(|failure| failed(&failure))?;
        match &service.token {
            Ok(token) => self.secrets.extend(token.to_str().map(Secret::from)),
            Err(_) if settings.v1_disabled => return Err(Problem::metadata_hop_limit()),
            Err(reason) => self.log.debug(format_args!(
                "instance metadata version 2 gave no token ({reason:?}): trying version 1"
            )),
        }
        let role = service.get(ROLE_PATH).await?;
        // One line, of the characters that the name of a role can have.
        let role = String::from_utf8_lossy(&role.body);
        let role = role.lines().next().unwrap_or_default().trim();
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"+=,.@_-".contains(&b);
        if role.is_empty() || !role.bytes().all(plain) {
            return Err(Problem::unexpected(
                Step::Metadata.service(),
                "no name of a role in it",
            ));
        }
        let response = service.get(&format!("{ROLE_PATH}{role}")).await?;
        let absent = || Problem::unexpected(Step::Metadata.service(), "no credentials in it");
        let keys = JsonKeys::parse(&response.body).ok_or_else(absent)?;
        if let Some(code) = keys.code.as_deref().filter(|code| *code != "Success") {
            return Err(Problem::metadata_refused(code));
        }
        keys.credentials("instance metadata").ok_or_else(absent)
    }
}

impl MetadataService<'_> {
    /// A token of version 2. What it is good for longer than this run does not matter, so the
    /// time to live in the response is not read.
    async fn token(&self) -> Result<Result<HeaderValue, NoToken>, Failure> {
        let request = PlainRequest {
            method: Method::PUT,
            url: format!("{}/{TOKEN_PATH}", self.base),
            headers: vec![(TTL, HeaderValue::from_static("21600"))],
            connect: self.settings.timeout.unwrap_or(TIMEOUT),
            read: self.settings.timeout.unwrap_or(TIMEOUT),
            // A token that does not come the first time is lost for good.
            retry_timeouts: self.settings.attempts.is_some(),
        };
        let attempts = self.settings.attempts.unwrap_or(ATTEMPTS);
        let response = match request
            .send_with_retries(&self.client, attempts, RETRY_PAUSE)
            .await
        {
            Ok(response) => response,
            Err(Failure::TimedOut {
                connected: true, ..
            }) => return Ok(Err(NoToken::Unanswered)),
            Err(failure) => return Err(failure),
        };
        let value = HeaderValue::from_bytes(response.body.trim_ascii());
        Ok(match (response.status, value) {
            (200..=299, Ok(mut value)) if !value.is_empty() => {
                value.set_sensitive(true);
                Ok(value)
            }
            _ => Err(NoToken::Refused),
        })
    }

    /// A response of success.
    async fn get(&self, path: &str) -> Result<PlainResponse, Problem> {
        let request = PlainRequest {
            method: Method::GET,
            url: format!("{}/{path}", self.base),
            headers: self
                .token
                .iter()
                .map(|token| (TOKEN, token.clone()))
                .collect(),
            connect: self.settings.timeout.unwrap_or(TIMEOUT),
            read: self.settings.timeout.unwrap_or(READ),
            retry_timeouts: true,
        };
        let attempts = self.settings.attempts.unwrap_or(ATTEMPTS);
        let response = request
            .send_with_retries(&self.client, attempts, RETRY_PAUSE)
            .await;
        let unanswered = self.token == Err(NoToken::Unanswered);
        match response {
            Ok(response) if (200..=299).contains(&response.status) => Ok(response),
            Ok(PlainResponse {
                status: 401 | 403, ..
            }) if unanswered => Err(Problem::metadata_hop_limit()),
            Ok(_) => Err(classify(
                Step::Metadata,
                &FailureContext {
                    outcome: self.client.outcome(),
                    ..FailureContext::default()
                },
            )),
            Err(Failure::TimedOut { .. }) if unanswered => Err(Problem::metadata_hop_limit()),
            Err(failure) => Err(failed(&failure)),
        }
    }
}

fn failed(failure: &Failure) -> Problem {
    classify(
        Step::Metadata,
        &FailureContext {
            outcome: Some(RequestOutcome::Failed(failure.clone())),
            ..FailureContext::default()
        },
    )
}
