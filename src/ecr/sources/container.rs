//! The credentials endpoint of ECS and of EKS Pod Identity.

use aws_config::ecs::EcsCredentialsProvider;
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;

use super::super::classify::{Step, classify};
use super::super::executor::Executor;
use super::super::redact::sdk_error;
use crate::principal::Container;
use crate::problem::{Problem, ProblemKind};

impl Executor<'_> {
    pub(super) async fn container(
        &mut self,
        container: &Container,
    ) -> Result<Credentials, Problem> {
        // The SDK panics over some of the others.
        let uri = container.uri.expose();
        let plain = match container.relative {
            true => uri.starts_with('/'),
            false => uri.starts_with("http://") || uri.starts_with("https://"),
        };
        if !plain {
            return Err(Problem::container(
                ProblemKind::Configuration,
                "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI must begin with a slash, or _FULL_URI with http:// or https://",
            ));
        }
        self.secrets.extend(container.token.clone());
        let provider = EcsCredentialsProvider::builder()
            .configure(&self.provider_config())
            .build();
        let given = provider.provide_credentials().await;
        given.map_err(|error| {
            let mut context = self.provider_context(&error);
            // The SDK's words quote the URI, whose query may be a secret.
            let text = sdk_error(&error, &self.secrets);
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
            context.message = Some(what.to_owned());
            classify(Step::Container, &context)
        })
    }
}
