//! `AssumeRole`, and what it shares with `AssumeRoleWithWebIdentity`.

use std::time::SystemTime;

use aws_credential_types::Credentials;

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
        let config = self.sdk_config(&role.sts, Some(credentials));
        let response = aws_sdk_sts::Client::new(&config)
            .assume_role()
            .role_arn(&role.role_arn)
            .role_session_name(self.session_name(role.session_name.as_deref()))
            .set_external_id(role.external_id.clone())
            .send()
            .await;
        let step = Step::Role { role, owner };
        let response = response.map_err(|error| classify(step, &self.context_of(&error)))?;
        of_sts(response.credentials)
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

pub(super) fn of_sts(
    credentials: Option<aws_sdk_sts::types::Credentials>,
) -> Result<Credentials, Problem> {
    let credentials = credentials
        .filter(|c| !c.access_key_id.is_empty() && !c.secret_access_key.is_empty())
        .ok_or_else(|| Problem::unexpected("STS", "no credentials in it"))?;
    Ok(Credentials::new(
        credentials.access_key_id,
        credentials.secret_access_key,
        Some(credentials.session_token),
        SystemTime::try_from(credentials.expiration).ok(),
        "sts",
    ))
}
