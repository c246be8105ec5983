//! The console session of `aws login`.
//!
//! The SDK's provider finds the session's file by the process environment, and panics over a
//! response without keys.

use std::path::Path;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sdk_signin::types::{CreateOAuth2TokenRequestBody, CreateOAuth2TokenResponseBody};
use chrono::{DateTime, SecondsFormat, Utc};

use super::super::classify::{FailureContext, Step, classify};
use super::super::executor::{Executor, check_endpoint};
use super::dpop::DpopKey;
use super::session_file::{SessionFile, expiry_after, is_due};
use crate::principal::{ConsoleLogin, session_digest};
use crate::problem::Problem;

const KEYS: &str = "accessToken";

/// A session that can be read.
struct ConsoleSession {
    file: SessionFile,
    expires_at: DateTime<Utc>,
}

impl ConsoleSession {
    async fn read(path: &Path) -> Option<Self> {
        let file = SessionFile::read(path).await?;
        let expires_at = file.time(&[KEYS, "expiresAt"])?;
        Some(Self { file, expires_at })
    }

    fn credentials(&self) -> Option<Credentials> {
        let text = |name| self.file.text(&[KEYS, name]);
        Some(Credentials::new(
            text("accessKeyId")?,
            text("secretAccessKey")?,
            Some(text("sessionToken")?.to_owned()),
            Some(SystemTime::from(self.expires_at)),
            "login",
        ))
    }
}

impl Executor<'_> {
    pub(super) async fn login(&mut self, login: &ConsoleLogin) -> Result<Credentials, Problem> {
        check_endpoint(&login.signin)?;
        let now = (self.clock)();
        let expired = || Problem::console_session_expired(&login.profile);
        let path = &login.login_file;
        let mut session = ConsoleSession::read(path).await.ok_or_else(expired)?;
        // The session may have changed since the plan was made: a user can log in at any moment.
        self.session_digest = session.file.digest();
        if is_due(session.expires_at, now) {
            let _lock = self.lock_session(path).await;
            // Another process may have renewed it in between.
            session = ConsoleSession::read(path).await.ok_or_else(expired)?;
            self.session_digest = session.file.digest();
            if is_due(session.expires_at, now) {
                let limit = self.renewal_limit(session.expires_at);
                let renewed = self.renew_login(login, &mut session, now);
                let renewed = match tokio::time::timeout(limit, renewed).await {
                    Ok(result) => result,
                    Err(_) => Err(classify(
                        Step::Login(login),
                        &FailureContext {
                            outcome: self.client.outcome(),
                            timed_out: true,
                            ..FailureContext::default()
                        },
                    )),
                };
                if let Err(problem) = renewed {
                    self.log.debug(format_args!(
                        "the console session was not renewed: {problem}"
                    ));
                    if session.expires_at <= now {
                        return Err(problem);
                    }
                }
            }
        }
        session.credentials().ok_or_else(expired)
    }

    /// Renews the session and saves it. A session that cannot be saved serves this once.
    async fn renew_login(
        &mut self,
        login: &ConsoleLogin,
        session: &mut ConsoleSession,
        now: DateTime<Utc>,
    ) -> Result<(), Problem> {
        let expired = || Problem::console_session_expired(&login.profile);
        let file = &mut session.file;
        let refresh_token = file.secret(&["refreshToken"]).ok_or_else(expired)?;
        let key = file.secret(&["dpopKey"]).ok_or_else(expired)?;
        let key = DpopKey::from_pem(key.expose()).ok_or_else(expired)?;
        let body = CreateOAuth2TokenRequestBody::builder()
            .client_id(file.text(&["clientId"]).ok_or_else(expired)?)
            .grant_type("refresh_token")
            .refresh_token(refresh_token.expose())
            .build()
            .map_err(|_| expired())?;
        self.secrets.push(refresh_token);
        let response = aws_sdk_signin::Client::new(&self.sdk_config(&login.signin, None))
            .create_o_auth2_token()
            .token_input(body)
            .customize()
            .mutate_request(move |request| {
                // Without a proof the service refuses, in its own words.
                if let Some(proof) = key.proof("POST", request.uri(), now) {
                    request.headers_mut().insert("DPoP", proof);
                }
            })
            .send()
            .await;
        let step = Step::Login(login);
        let response = response.map_err(|error| classify(step, &self.context_of(&error)))?;
        let absent = || Problem::unexpected(step.service(), "no keys in it");
        let given = response.token_output.ok_or_else(absent)?;
        update(session, &given, now).ok_or_else(absent)?;
        match session.file.save() {
            Ok(bytes) => self.renewed_as(session_digest(&bytes)),
            Err(error) => self.log.debug(format_args!(
                "the renewed console session is not saved: {error}"
            )),
        }
        Ok(())
    }
}

fn update(
    session: &mut ConsoleSession,
    given: &CreateOAuth2TokenResponseBody,
    now: DateTime<Utc>,
) -> Option<()> {
    let keys = given.access_token()?;
    let members = [
        ("accessKeyId", keys.access_key_id()),
        ("secretAccessKey", keys.secret_access_key()),
        ("sessionToken", keys.session_token()),
    ];
    if members.iter().any(|(_, text)| text.is_empty()) {
        return None;
    }
    for (name, text) in members {
        session.file.set(&[KEYS, name], text);
    }
    session.expires_at = expiry_after(given.expires_in(), now);
    let expires_at = session
        .expires_at
        .to_rfc3339_opts(SecondsFormat::Secs, true);
    session.file.set(&[KEYS, "expiresAt"], &expires_at);
    if !given.refresh_token().is_empty() {
        session.file.set(&["refreshToken"], given.refresh_token());
    }
    Some(())
}
