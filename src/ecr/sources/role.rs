//! `AssumeRole`, and what it shares with `AssumeRoleWithWebIdentity`.
//!
//! aws-config's provider assumes the role. It is handed everything it needs, since it would look
//! for the rest in the environment.

use std::error::Error as _;
use std::time::SystemTime;

use aws_config::sts::AssumeRoleProvider;
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sts::operation::assume_role::AssumeRoleError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;

use super::super::classify::{Step, classify};
use super::super::executor::{Executor, check_endpoint, check_keys};
use crate::principal::Role;
use crate::problem::Problem;

impl Executor<'_> {
    /// The role's credentials, requested with `credentials`, which belong to `owner`.
    pub(in crate::ecr) async fn assume(
        &mut self,
        role: &Role,
        credentials: Credentials,
        owner: &str,
    ) -> Result<Credentials, Problem> {
        self.client.begin_step();
        check_endpoint(&role.sts)?;
        check_keys(&credentials, owner)?;
        let config = self.sdk_config(&role.sts, None);
        let mut provider = AssumeRoleProvider::builder(&role.role_arn)
            .session_name(self.session_name(role.session_name.as_deref()))
            .configure(&config);
        if let Some(external_id) = &role.external_id {
            provider = provider.external_id(external_id);
        }
        let provider = provider.build_from_provider(credentials).await;
        match provider.provide_credentials().await {
            Ok(credentials) => with_keys(credentials),
            Err(error) => Err(match refusal(&error) {
                Some(refusal) => classify(Step::Role { role, owner }, &self.context_of(refusal)),
                None => no_credentials(),
            }),
        }
    }

    /// The session name that is set, else one that CloudTrail shows the program by.
    pub(super) fn session_name(&self, set: Option<&str>) -> String {
        match set {
            Some(name) => name.to_owned(),
            None => {
                let millis = (self.clock)().timestamp_millis();
                format!("{}-{millis}", env!("CARGO_PKG_NAME"))
            }
        }
    }
}

/// The STS client's own error, which the provider passes on.
fn refusal(error: &CredentialsError) -> Option<&SdkError<AssumeRoleError, HttpResponse>> {
    error.source()?.downcast_ref()
}

pub(super) fn of_sts(
    credentials: Option<aws_sdk_sts::types::Credentials>,
) -> Result<Credentials, Problem> {
    let credentials = credentials.ok_or_else(no_credentials)?;
    with_keys(Credentials::new(
        credentials.access_key_id,
        credentials.secret_access_key,
        Some(credentials.session_token),
        SystemTime::try_from(credentials.expiration).ok(),
        "sts",
    ))
}

fn with_keys(credentials: Credentials) -> Result<Credentials, Problem> {
    match credentials.access_key_id().is_empty() || credentials.secret_access_key().is_empty() {
        true => Err(no_credentials()),
        false => Ok(credentials),
    }
}

fn no_credentials() -> Problem {
    Problem::unexpected("STS", "no credentials in it")
}
