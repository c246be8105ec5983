//! The JSON in which containers and instances give credentials.

use std::borrow::Cow;
use std::fmt;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use zeroize::Zeroizing;

use crate::time;

/// The members that count, in any case, as the SDKs read them.
#[derive(Default)]
pub(super) struct JsonKeys {
    /// `Success` or absent, else the code of an error.
    pub(super) code: Option<String>,
    access_key_id: Option<String>,
    secret_access_key: Option<Zeroizing<String>>,
    token: Option<Zeroizing<String>>,
    expiration: Option<String>,
}

impl JsonKeys {
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }

    /// The credentials, if they are complete.
    pub(super) fn credentials(self, provider: &'static str) -> Option<Credentials> {
        if self.code.is_some_and(|code| code != "Success") {
            return None;
        }
        let expiry = match self.expiration {
            Some(text) => Some(SystemTime::from(time::parse(&text)?)),
            None => None,
        };
        let id = self.access_key_id.filter(|id| !id.is_empty())?;
        let secret = self.secret_access_key.filter(|key| !key.is_empty())?;
        let token = self.token.map(|token| token.to_string());
        Some(Credentials::new(
            id,
            secret.as_str(),
            token,
            expiry,
            provider,
        ))
    }
}

impl<'de> Deserialize<'de> for JsonKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = JsonKeys;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<JsonKeys, A::Error> {
                let mut keys = JsonKeys::default();
                while let Some(name) = map.next_key::<Cow<'de, str>>()? {
                    match name.to_ascii_lowercase().as_str() {
                        "code" => keys.code = map.next_value()?,
                        "accesskeyid" => keys.access_key_id = map.next_value()?,
                        "secretaccesskey" => keys.secret_access_key = map.next_value()?,
                        "token" | "sessiontoken" => keys.token = map.next_value()?,
                        "expiration" | "expiresat" => keys.expiration = map.next_value()?,
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(keys)
            }
        }

        deserializer.deserialize_map(Members)
    }
}
