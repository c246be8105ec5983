//! The console session of `aws login`.

use aws_config::login::LoginCredentialsProvider;
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use aws_types::region::Region;

use super::super::classify::{Step, classify};
use super::super::executor::{Executor, check_endpoint};
use super::super::http::{ClientOptions, sign_in_body};
use super::super::redact::sdk_error;
use crate::principal::ConsoleLogin;
use crate::problem::Problem;

impl Executor<'_> {
    pub(super) async fn login(&mut self, login: &ConsoleLogin) -> Result<Credentials, Problem> {
        check_endpoint(&login.signin)?;
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
        let lock = self.lock_token_file(&login.login_file).await;
        let given = provider.provide_credentials().await;
        drop(lock);
        given.map_err(|error| match self.client.outcome() {
            // Without a request: the session's file is missing, malformed or too old.
            None => {
                let text = sdk_error(&error, &self.secrets);
                self.log.debug(format_args!("no console session: {text}"));
                Problem::console_session_expired(&login.profile)
            }
            Some(_) => classify(Step::Login(login), &self.provider_context(&error)),
        })
    }
}
