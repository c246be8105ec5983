//! IAM Identity Center: renews the SSO session where it must, and exchanges it for the
//! credentials of a role.
//!
//! The SDK's provider finds the session's file by the process environment and keeps the reason of a
//! renewal that failed to itself.

use std::path::Path;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use chrono::{DateTime, SecondsFormat, Utc};

use super::super::classify::{FailureContext, Step, classify};
use super::super::executor::{Executor, check_endpoint};
use super::super::http::RequestOutcome;
use super::super::redact::sdk_error;
use super::session_file::{SessionFile, expiry_after, is_due};
use crate::principal::{Sso, session_digest};
use crate::problem::Problem;
use crate::secret::Secret;

/// The parts of a session that a renewal needs.
struct Renewable {
    refresh_token: Secret,
    client_id: String,
    client_secret: Secret,
}

/// A session that can be read.
struct SsoSession {
    file: SessionFile,
    access_token: Secret,
    expires_at: DateTime<Utc>,
    renewable: Option<Renewable>,
}

impl SsoSession {
    async fn read(path: &Path, now: DateTime<Utc>) -> Option<Self> {
        let file = SessionFile::read(path).await?;
        // The client that the AWS CLI registered has an end as well.
        let registered = file
            .time(&["registrationExpiresAt"])
            .is_some_and(|end| end > now);
        let renewable = || {
            Some(Renewable {
                refresh_token: file.secret(&["refreshToken"])?,
                client_id: file.text(&["clientId"])?.to_owned(),
                client_secret: file.secret(&["clientSecret"])?,
            })
        };
        Some(Self {
            access_token: file.secret(&["accessToken"])?,
            expires_at: file.time(&["expiresAt"])?,
            renewable: renewable().filter(|_| registered),
            file,
        })
    }
}

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
        let now = (self.clock)();
        let expired = || Problem::sso_expired(&sso.profile);
        let is_good =
            |session: &SsoSession| !is_due(session.expires_at, now) || session.renewable.is_none();
        let path = &sso.login_file;
        let mut session = SsoSession::read(path, now).await.ok_or_else(expired)?;
        let _lock = match is_good(&session) {
            true => None,
            false => {
                let lock = self.lock_session(path).await;
                // Another process may have renewed it in between.
                session = SsoSession::read(path, now).await.ok_or_else(expired)?;
                lock
            }
        };
        // The session may have changed since the plan was made: a user can log in at any moment.
        self.session_digest = session.file.digest();
        if !is_good(&session) {
            let limit = self.renewal_limit(session.expires_at);
            let renewed = tokio::time::timeout(limit, self.renew_sso(sso, &mut session, now));
            let renewed = match renewed.await {
                Ok(result) => result,
                Err(_) => Err(classify(
                    Step::SsoRenewal(sso),
                    &FailureContext {
                        outcome: self.client.outcome(),
                        timed_out: true,
                        ..FailureContext::default()
                    },
                )),
            };
            match renewed {
                Ok(token) => return Ok(token),
                Err(problem) if session.expires_at <= now => return Err(problem),
                Err(problem) => self
                    .log
                    .debug(format_args!("the SSO session was not renewed: {problem}")),
            }
        }
        match session.expires_at > now {
            true => Ok(session.access_token),
            false => Err(expired()),
        }
    }

    /// Renews the session and saves it. A session that cannot be saved serves this once.
    async fn renew_sso(
        &mut self,
        sso: &Sso,
        session: &mut SsoSession,
        now: DateTime<Utc>,
    ) -> Result<Secret, Problem> {
        let expired = || Problem::sso_expired(&sso.profile);
        let renewable = session.renewable.take().ok_or_else(expired)?;
        self.secrets.push(renewable.refresh_token.clone());
        self.secrets.push(renewable.client_secret.clone());
        let response = aws_sdk_ssooidc::Client::new(&self.sdk_config(&sso.oidc, None))
            .create_token()
            .grant_type("refresh_token")
            .client_id(renewable.client_id)
            .client_secret(renewable.client_secret.expose())
            .refresh_token(renewable.refresh_token.expose())
            .send()
            .await;
        let response = response.map_err(|error| {
            let text = sdk_error(&error, &self.secrets);
            self.log
                .debug(format_args!("IAM Identity Center did not renew: {text}"));
            let context = self.context_of(&error);
            match context.outcome {
                Some(RequestOutcome::Replied { status, .. }) if status < 500 => {
                    // An earlier renewal may have been lost.
                    match SessionFile::is_writable(&sso.login_file) {
                        true => expired(),
                        false => Problem::sso_unsaved(&sso.profile, &sso.login_file),
                    }
                }
                _ => classify(Step::SsoRenewal(sso), &context),
            }
        })?;
        let token = response.access_token.filter(|token| !token.is_empty());
        let token = Secret::new(token.ok_or_else(expired)?);
        let expires_at = expiry_after(response.expires_in, now);
        let file = &mut session.file;
        file.set(&["accessToken"], token.expose());
        let expires_at = expires_at.to_rfc3339_opts(SecondsFormat::Secs, true);
        file.set(&["expiresAt"], &expires_at);
        if let Some(refresh_token) = response.refresh_token.map(Secret::new) {
            file.set(&["refreshToken"], refresh_token.expose());
            self.secrets.push(refresh_token);
        }
        match file.save() {
            Ok(bytes) => self.renewed_as(session_digest(&bytes)),
            Err(error) => self.log.debug(format_args!(
                "the renewed SSO session is not saved: {error}"
            )),
        }
        Ok(token)
    }
}
