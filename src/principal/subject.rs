//! The identity in a web identity token: its claims, without verification, which is for STS to do.
//!
//! Two tokens with equal claims have one subject. Where different ones could look alike to this
//! reader (a key twice, of which STS may take the other one, or a number that `f64` rounds), the
//! token is its own subject, and AWS is called once more.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::cache_key::hex;

/// A digest of the claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject(String);

/// Claims that differ between two tokens of one principal. Every other claim may be evaluated by
/// the trust policy of a role, so it belongs to the principal.
const PASSING_CLAIMS: [&str; 4] = ["exp", "iat", "nbf", "jti"];

impl Subject {
    /// A token that is not a JSON Web Token is its own subject.
    pub fn of(token: &str) -> Self {
        let digest = match claims(token) {
            // The keys of objects are sorted, so equal content is equal text.
            Some(claims) => Sha256::digest(format!("claims {}", Value::Object(claims))),
            None => Sha256::digest(format!("token {}", token.trim())),
        };
        Self(hex(&digest))
    }

    pub(super) fn digest(&self) -> &str {
        &self.0
    }
}

fn claims(token: &str) -> Option<Map<String, Value>> {
    let mut parts = token.trim().split('.');
    let (_, payload, _, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else {
        return None;
    };
    let payload = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    let Claims(mut claims) = serde_json::from_slice(&payload).ok()?;
    // When the kubelet is to renew the token.
    if let Some(Value::Object(kubernetes)) = claims.get_mut("kubernetes.io") {
        kubernetes.remove("warnafter");
    }
    Some(claims)
}

/// An object without [`PASSING_CLAIMS`].
struct Claims(Map<String, Value>);

/// A value in which nothing is rounded or left out.
struct Exact(Value);

struct ClaimsVisitor;
struct ExactVisitor;

impl<'de> Deserialize<'de> for Claims {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(ClaimsVisitor).map(Self)
    }
}

impl<'de> Deserialize<'de> for Exact {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(ExactVisitor).map(Self)
    }
}

impl<'de> Visitor<'de> for ClaimsVisitor {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("claims")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Self::Value, A::Error> {
        let mut claims = Map::new();
        while let Some(key) = from.next_key::<String>()? {
            if PASSING_CLAIMS.contains(&&*key) {
                from.next_value::<IgnoredAny>()?;
            } else {
                insert(&mut claims, key, from.next_value()?)?;
            }
        }
        Ok(claims)
    }
}

impl<'de> Visitor<'de> for ExactVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Value, E> {
        Err(E::custom("a number that may be rounded"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Exact(value)) = from.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = from.next_key::<String>()? {
            insert(&mut object, key, from.next_value()?)?;
        }
        Ok(Value::Object(object))
    }
}

fn insert<E: de::Error>(
    object: &mut Map<String, Value>,
    key: String,
    Exact(value): Exact,
) -> Result<(), E> {
    match object.insert(key, value) {
        None => Ok(()),
        Some(_) => Err(E::custom("a key twice")),
    }
}
