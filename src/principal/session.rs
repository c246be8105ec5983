//! The files in which the AWS CLI and the SDKs keep an SSO session or a session of `aws login`.
//!
//! A cached token may be served as long as the session is the one that it was obtained with, even
//! an expired one: an outage or a night must not stop a pull. So a session has a digest, of the
//! refresh token where there is one, since that survives a renewal of the access token.

use serde::Deserialize;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::cache_key::hex;

/// The contents of a session's file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LoginSession {
    /// Which login it is.
    pub(super) digest: String,
    /// The region in which a session of `aws login` was started.
    pub(super) region: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LoginFile {
    access_token: AccessToken,
    #[serde(default)]
    refresh_token: Option<Zeroizing<String>>,
    #[serde(default)]
    sign_in_region: Option<String>,
}

/// Of SSO, or the keys that `aws login` keeps under the same name.
#[derive(Deserialize)]
#[serde(untagged)]
enum AccessToken {
    Sso(Zeroizing<String>),
    Login {
        #[serde(rename = "accessKeyId")]
        access_key_id: String,
        #[serde(default, rename = "sessionToken")]
        session_token: Option<Zeroizing<String>>,
    },
}

impl LoginSession {
    /// None if the file holds no session: the user is logged out.
    pub(super) fn of(file: &[u8]) -> Option<Self> {
        let file: LoginFile = serde_json::from_slice(file).ok()?;
        let set = |text: &Option<Zeroizing<String>>| text.clone().filter(|text| !text.is_empty());
        let access = match &file.access_token {
            AccessToken::Sso(token) => token.clone(),
            AccessToken::Login {
                access_key_id,
                session_token,
            } => set(session_token).unwrap_or_else(|| Zeroizing::new(access_key_id.clone())),
        };
        if access.is_empty() {
            return None;
        }
        let (label, secret) = match set(&file.refresh_token) {
            Some(token) => ("refresh token", token),
            None => ("access token", access),
        };
        let mut digest = Sha256::new();
        digest.update(label);
        digest.update([0]);
        digest.update(secret.as_bytes());
        Some(Self {
            digest: hex(&digest.finalize()),
            region: file.sign_in_region,
        })
    }
}

/// The digest of the session in a file of SSO or `aws login`, as in
/// [`Plan::session_digest`](super::Plan::session_digest); none if there is no session in it.
#[allow(dead_code, reason = "for what issues tokens and renews sessions")]
pub fn session_digest(file: &[u8]) -> Option<String> {
    LoginSession::of(file).map(|session| session.digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_its_refresh_token() {
        let digest = |json: &str| session_digest(json.as_bytes());
        let first = digest(r#"{"accessToken":"a","refreshToken":"r"}"#);
        assert_eq!(first.as_ref().map(String::len), Some(64));
        let renewed = digest(r#"{"accessToken":"b","refreshToken":"r","x":1}"#);
        assert_eq!(first, renewed);
        let others = [
            r#"{"accessToken":"a","refreshToken":"s"}"#,
            r#"{"accessToken":"a"}"#,
            r#"{"accessToken":"r"}"#,
            r#"{"accessToken":{"accessKeyId":"A","sessionToken":"t"},"refreshToken":"q"}"#,
            r#"{"accessToken":{"accessKeyId":"A","sessionToken":"t"}}"#,
            r#"{"accessToken":{"accessKeyId":"A"}}"#,
        ];
        let mut seen = vec![first];
        for other in others.map(digest) {
            assert!(other.is_some() && !seen.contains(&other), "{other:?}");
            seen.push(other);
        }
    }

    #[test]
    fn a_file_without_a_token_is_no_session() {
        for file in [
            "",
            "{}",
            "[]",
            "null",
            "{\"accessToken\":\"\"}",
            "{\"accessToken\":7}",
            "{\"accessToken\":{}}",
            "{\"refreshToken\":\"r\"}",
            "{\"accessToken\":\"a\"",
            "\u{0}",
        ] {
            assert_eq!(session_digest(file.as_bytes()), None, "{file}");
        }
    }
}
