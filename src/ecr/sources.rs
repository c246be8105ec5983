//! Credentials from the one source that a plan names: one file per source.
//!
//! The SDK's default chain falls through to the next source, in the end to instance metadata,
//! when one is missing or incomplete. Nothing here falls through.

mod container;
pub(super) mod fixed;
mod json_keys;
mod login;
mod metadata;
mod plain_http;
mod process;
mod role;
mod session_file;
mod sso;
mod stderr;
mod web_identity;

use aws_config::provider_config::ProviderConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_async::rt::sleep::TokioSleep;

use super::classify::FailureContext;
use super::executor::Executor;
use super::redact::sdk_error;
use crate::principal::Source;
use crate::problem::Problem;

impl Executor<'_> {
    /// The source's credentials.
    pub(super) async fn source(&mut self, source: &Source) -> Result<Credentials, Problem> {
        self.client.begin_step();
        match source {
            Source::Environment(keys) => Ok(fixed::credentials(keys)),
            Source::Static { keys, .. } => Ok(fixed::credentials(keys)),
            Source::Process { profile, command } => self.process(profile, command).await,
            Source::Sso(sso) => self.sso(sso).await,
            Source::Login(login) => self.login(login).await,
            Source::WebIdentity(web) => self.web_identity(web).await,
            Source::Container(container) => self.container(container).await,
            Source::InstanceMetadata(settings) => self.metadata(settings).await,
        }
    }

    fn provider_config(&self) -> ProviderConfig {
        ProviderConfig::empty()
            .with_http_client(self.client.clone())
            .with_sleep_impl(TokioSleep::new())
            .with_retry_config(self.retry_config())
            .with_timeout_config(self.timeout_config())
            .with_behavior_version(Some(aws_config::BehaviorVersion::latest()))
    }

    /// What a provider's error and the connection know of a failure.
    fn provider_context(&self, error: &CredentialsError) -> FailureContext {
        let text = sdk_error(error, &self.secrets);
        self.log.debug(format_args!("the provider failed: {text}"));
        FailureContext {
            outcome: self.client.outcome(),
            timed_out: matches!(error, CredentialsError::ProviderTimedOut(_)),
            ..FailureContext::default()
        }
    }
}
