//! A web identity token, exchanged at STS.

use aws_credential_types::Credentials;

use super::super::classify::{Step, classify};
use super::super::executor::{Executor, check_endpoint};
use super::role::of_sts;
use crate::principal::WebIdentity;
use crate::problem::Problem;

impl Executor<'_> {
    pub(super) async fn web_identity(&mut self, web: &WebIdentity) -> Result<Credentials, Problem> {
        check_endpoint(&web.sts)?;
        self.secrets.push(web.token.clone());
        let config = self.sdk_config(&web.sts, None);
        let response = aws_sdk_sts::Client::new(&config)
            .assume_role_with_web_identity()
            .role_arn(&web.role_arn)
            .role_session_name(self.session_name(web.session_name.as_deref()))
            .web_identity_token(web.token.expose())
            .send()
            .await;
        let step = Step::WebIdentity(web);
        let response = response.map_err(|error| classify(step, &self.context_of(&error)))?;
        of_sts(response.credentials)
    }
}
