//! EC2 instance metadata.

use std::time::Duration;

use aws_config::imds;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use aws_credential_types::provider::error::CredentialsError;

use super::super::classify::{FailureContext, Step, classify};
use super::super::executor::Executor;
use super::super::http::{ClientOptions, is_url};
use crate::problem::Problem;

/// Instance metadata is link-local: reachable at once or not at all.
const METADATA_LIMIT: Duration = Duration::from_secs(3);

/// To connect: outside of EC2 nothing accepts.
const METADATA_CONNECT: Duration = Duration::from_secs(1);

/// For one response of instance metadata, which may be busy once it has accepted.
const METADATA_REPLY: Duration = Duration::from_secs(2);

/// Names the instance's role.
const ROLE: &str = "/latest/meta-data/iam/security-credentials/";

const NOT_A_URL: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT is not a URL";

impl Executor<'_> {
    pub(super) async fn metadata(
        &mut self,
        endpoint: Option<&str>,
        ipv6: bool,
    ) -> Result<Credentials, Problem> {
        // Always an explicit one: else the SDK would read the config files to find it.
        if endpoint.is_some_and(|endpoint| !is_url(endpoint)) {
            return Err(Problem::no_credentials(NOT_A_URL));
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
            .map_err(|_| Problem::no_credentials(NOT_A_URL))?
            .build();
        let fetched = async {
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
        let context = match tokio::time::timeout(METADATA_LIMIT, fetched).await {
            Ok(Ok(credentials)) => return Ok(credentials),
            Ok(Err(error)) => self.provider_context(&error),
            Err(_) => FailureContext {
                outcome: self.client.outcome(),
                timed_out: true,
                ..FailureContext::default()
            },
        };
        Err(classify(
            Step::Metadata,
            &FailureContext {
                message: Some("instance metadata gave no credentials".to_owned()),
                ..context
            },
        ))
    }
}
