//! The owner of the credentials: `GetCallerIdentity`.

use chrono::TimeDelta;

use super::classify::{Step, classify};
use super::executor::{Executor, check_endpoint, check_keys};
use super::http::RequestOutcome;
use crate::principal::{Endpoint, Plan};
use crate::problem::Problem;

/// The owner of a plan's credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Twelve digits.
    pub account_id: String,
    /// The user or the role's session.
    pub arn: String,
    /// How far AWS's clock is ahead of the local one, to the second.
    pub ahead: Option<TimeDelta>,
}

impl Executor<'_> {
    pub(super) async fn caller(&mut self, plan: &Plan, sts: &Endpoint) -> Result<Caller, Problem> {
        let (credentials, owner) = self.credentials(plan, None, false).await?;
        self.client.begin_step();
        check_endpoint(sts)?;
        check_keys(&credentials, &owner)?;
        let config = self.sdk_config(sts, Some(credentials));
        let response = aws_sdk_sts::Client::new(&config)
            .get_caller_identity()
            .send()
            .await;
        let step = Step::Caller { sts, owner: &owner };
        let response = response.map_err(|error| classify(step, &self.context_of(&error)))?;
        let ahead = match self.client.outcome() {
            Some(RequestOutcome::Replied { date, .. }) => date.map(|date| date - (self.clock)()),
            _ => None,
        };
        match (response.account, response.arn) {
            (Some(account_id), Some(arn)) => Ok(Caller {
                account_id,
                arn,
                ahead,
            }),
            _ => Err(Problem::unexpected("STS", "no account in it")),
        }
    }
}
