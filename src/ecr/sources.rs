//! Credentials from the one source that a plan names: one file per source.
//!
//! The SDK's default chain falls through to the next source, in the end to instance metadata,
//! when one is missing or incomplete. Nothing here falls through.

mod container;
mod dpop;
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

use aws_credential_types::Credentials;

use super::executor::Executor;
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
}
