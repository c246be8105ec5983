//! Shared by the fuzz targets: a directory in memory, and a stand-in for AWS.

use std::path::Path;
use std::time::Instant;

use docker_credential_ecr_login::fuzzing::{Caller, Endpoint, Issued, Issuer, Problem, Session};
use docker_credential_ecr_login::fuzzing::Plan;
use docker_credential_ecr_login::fuzzing::Registry;
use docker_credential_ecr_login::fuzzing::Secret;
use docker_credential_ecr_login::fuzzing::Login;

/// A directory of this process, in memory where the system has such a place.
pub fn directory() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = match memory.is_dir() {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    };
    made.expect("a temporary directory can be made")
}

/// The password that [`FakeAws`] gives.
pub const PASSWORD: &str = "fuzz-password-sentinel";

/// Gives a token to every request.
pub struct FakeAws;

impl Issuer for FakeAws {
    fn connect_early(&mut self, _: &Plan, _: Instant) {}

    fn identify(&mut self, _: &Plan, _: Instant) -> Result<Session, Problem> {
        Ok(Session::of_key("AKIAFUZZ"))
    }

    fn issue(
        &mut self,
        _: &Plan,
        _: Option<Session>,
        _: &Registry,
        _: Instant,
    ) -> Result<Issued, Problem> {
        Ok(Issued {
            login: Login {
                username: "AWS".to_owned(),
                password: Secret::from(PASSWORD),
            },
            expires_at: Some(chrono::Utc::now() + chrono::TimeDelta::hours(12)),
            proxy_endpoint: None,
            session_digest: None,
            renewed_from: None,
        })
    }

    fn caller(&mut self, _: &Plan, _: &Endpoint, _: Instant) -> Result<Caller, Problem> {
        Ok(Caller {
            account_id: "123456789012".to_owned(),
            arn: "arn:aws:iam::123456789012:user/fuzz".to_owned(),
            ahead: None,
        })
    }
}
