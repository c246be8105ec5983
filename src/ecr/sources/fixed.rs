//! Access keys of environment variables or of a profile: they are in the plan.

use aws_credential_types::Credentials;

use crate::principal::AccessKeys;

pub(in crate::ecr) fn credentials(keys: &AccessKeys) -> Credentials {
    Credentials::new(
        &keys.access_key_id,
        keys.secret_access_key.expose(),
        keys.session_token.as_ref().map(|t| t.expose().to_owned()),
        None,
        "plan",
    )
}
