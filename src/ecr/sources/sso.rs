//! IAM Identity Center: renews the SSO session where it must, and exchanges it for the
//! credentials of a role.

use std::time::{Duration, Instant, SystemTime};

use aws_config::sso::SsoTokenProvider;
use aws_credential_types::Credentials;
use aws_credential_types::provider::token::ProvideToken;
use aws_types::region::Region;

use super::super::classify::{FailureContext, Step, classify};
use super::super::executor::{Executor, check_endpoint};
use super::super::http::RequestOutcome;
use super::super::redact::sdk_error;
use super::session_file::{is_writable, sso_access_token};
use crate::principal::Sso;
use crate::problem::Problem;
use crate::secret::Secret;

/// How long the renewal of a session that has not expired yet may take.
const RENEWAL: Duration = Duration::from_secs(3);

impl Executor<'_> {
    pub(super) async fn sso(&mut self, sso: &Sso) -> Result<Credentials, Problem> {
        check_endpoint(&sso.oidc)?;
        check_endpoint(&sso.portal)?;
        let token = self.sso_token(sso).await?;
        self.secrets.push(token.clone());
        self.client.begin_step();
        let response = aws_sdk_sso::Client::new(&self.sdk_config(&sso.portal, None))
            .get_role_credentials()
            .account_id(&sso.account_id)
            .role_name(&sso.role_name)
            .access_token(token.expose())
            .send()
            .await;
        let step = Step::SsoRole(sso);
        let response = response.map_err(|error| classify(step, &self.context_of(&error)))?;
        let absent = || Problem::unexpected(step.service(), "no credentials in it");
        let given = response.role_credentials.ok_or_else(absent)?;
        let (Some(id), Some(secret)) = (given.access_key_id, given.secret_access_key) else {
            return Err(absent());
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

    /// The access token of the session, renewed where it expires soon.
    async fn sso_token(&mut self, sso: &Sso) -> Result<Secret, Problem> {
        let provider = SsoTokenProvider::builder()
            .configure(&self.sdk_config(&sso.oidc, None))
            .region(Region::new(sso.oidc.region.clone()))
            .session_name(sso.session.as_ref().unwrap_or(&sso.start_url))
            .start_url(&sso.start_url)
            .build()
            .await;
        let lock = self.lock_token_file(&sso.login_file).await;
        let cached = sso_access_token(&sso.login_file, (self.clock)());
        let limit = match cached {
            Some(_) => RENEWAL,
            None => self.deadline.saturating_duration_since(Instant::now()),
        };
        let given = match tokio::time::timeout(limit, provider.provide_token()).await {
            Ok(Ok(token)) => Some(token),
            Ok(Err(error)) => {
                let text = sdk_error(&error, &self.secrets);
                self.log.debug(format_args!("no SSO token: {text}"));
                None
            }
            Err(_) => None,
        };
        drop(lock);
        // The provider returns the expired one if it cannot be renewed, without the reason.
        let now = SystemTime::from((self.clock)());
        let given = given.filter(|token| token.expiration().is_none_or(|expiry| expiry > now));
        let given = given.map(|token| Secret::from(token.token()));
        given.or(cached).ok_or_else(|| self.renewal_problem(sso))
    }

    fn renewal_problem(&self, sso: &Sso) -> Problem {
        match self.client.outcome() {
            None => Problem::sso_expired(&sso.profile),
            // The renewed session could not be written, or the response makes no sense.
            Some(RequestOutcome::Replied { status, .. })
                if status < 300 && !is_writable(&sso.login_file) =>
            {
                Problem::sso_unsaved(&sso.profile, &sso.login_file)
            }
            Some(RequestOutcome::Replied { status, .. }) if status < 500 => {
                Problem::sso_expired(&sso.profile)
            }
            outcome => {
                let context = FailureContext {
                    outcome,
                    ..FailureContext::default()
                };
                classify(Step::SsoRenewal(sso), &context)
            }
        }
    }
}
