//! Files that `aws sso login` and `aws login` leave in a home directory.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::run::Helper;

impl Helper {
    /// The result of `aws sso login`: a token that ends in so many seconds, for a session, or for
    /// a start URL where the profile names no session. It cannot be renewed.
    pub fn sso_login(self, session: &str, expires_in: i64) -> Self {
        self.sso_cache(session, expires_in, serde_json::json!({}))
    }

    /// The same, with a refresh token.
    pub fn sso_login_renewable(self, session: &str, expires_in: i64) -> Self {
        let renewal = serde_json::json!({
            "clientId": "fake-client",
            "clientSecret": "FAKE-SECRET-KEY-SSO-CLIENT",
            "registrationExpiresAt": in_seconds(86_400),
            "refreshToken": "FAKE-SESSION-TOKEN-SSO-REFRESH",
        });
        self.sso_cache(session, expires_in, renewal)
    }

    fn sso_cache(self, session: &str, expires_in: i64, mut token: Value) -> Self {
        let name = hex(&Sha1::digest(session.as_bytes()));
        token["startUrl"] = "https://example.awsapps.com/start".into();
        token["region"] = "us-east-1".into();
        token["accessToken"] = "FAKE-SESSION-TOKEN-SSO-LOGIN".into();
        token["expiresAt"] = in_seconds(expires_in).into();
        self.file(&format!("~/.aws/sso/cache/{name}.json"), token.to_string())
    }

    /// The result of `aws login`: credentials that end in so many seconds, with what it takes to
    /// renew them.
    pub fn aws_login(self, session_arn: &str, expires_in: i64) -> Self {
        let name = hex(&Sha256::digest(session_arn.as_bytes()));
        let token = serde_json::json!({
            "accessToken": {
                "accessKeyId": "ASIALOGINCACHED00000",
                "secretAccessKey": "FAKE-SECRET-KEY-LOGIN-CACHED",
                "sessionToken": "FAKE-SESSION-TOKEN-LOGIN-CACHED",
                "accountId": "123456789012",
                "expiresAt": in_seconds(expires_in),
            },
            "tokenType": "aws_sigv4",
            "refreshToken": "FAKE-SESSION-TOKEN-LOGIN-REFRESH",
            "clientId": "arn:aws:signin:::devtools/same-device",
            "dpopKey": elliptic_key(),
        });
        self.file(
            &format!("~/.aws/login/cache/{name}.json"),
            token.to_string(),
        )
    }
}

fn in_seconds(seconds: i64) -> String {
    let at = chrono::Utc::now() + chrono::TimeDelta::seconds(seconds);
    at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A P-256 key in the form that `aws login` keeps (SEC 1), cut out of the PKCS #8 around it.
fn elliptic_key() -> String {
    const START: &[u8] = &[0x02, 0x01, 0x01, 0x04, 0x20];
    let key = rcgen::KeyPair::generate().expect("keys can be made");
    let der = key.serialized_der();
    let found = der.windows(START.len()).position(|bytes| bytes == START);
    let inner = &der[found.expect("an EC private key") - 2..];
    let text = STANDARD.encode(&inner[..usize::from(inner[1]) + 2]);
    let lines: Vec<_> = text
        .as_bytes()
        .chunks(64)
        .map(String::from_utf8_lossy)
        .collect();
    let lines = lines.join("\n");
    format!("-----BEGIN EC PRIVATE KEY-----\n{lines}\n-----END EC PRIVATE KEY-----\n")
}
