//! An authorization token: user and password in one base64 text, and its expiry.
//!
//! A token is *fresh* while more than an hour of its life is left, or half of its lifetime if that
//! is less: a long push keeps the credentials that it began with. After that it is *usable* until
//! it expires: a renewal is tried first, and the token serves if that fails.

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::secret::Secret;

/// How long ECR's authorization tokens live.
/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetAuthorizationToken.html>
pub const LIFETIME: TimeDelta = TimeDelta::hours(12);

/// The refresh margin: the remaining life above which no renewal is tried.
const REFRESH_MARGIN: TimeDelta = TimeDelta::hours(1);

/// A user name and a password for a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// `AWS`, for all that ECR documents.
    pub username: String,
    /// The password, as the registry wants it.
    pub password: Secret,
}

/// A login and its lifetime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// User name and password.
    pub login: Login,
    /// When it was received, by the local clock.
    pub issued_at: DateTime<Utc>,
    /// The expiry that ECR returned.
    pub expires_at: DateTime<Utc>,
}

impl Token {
    /// Whether it serves without a renewal being tried first.
    pub fn is_fresh(&self, now: DateTime<Utc>) -> bool {
        let half = (self.expires_at - self.issued_at) / 2;
        self.issued_at <= now && self.expires_at - now > REFRESH_MARGIN.min(half)
    }

    /// Whether the registry still accepts it.
    pub fn is_usable(&self, now: DateTime<Utc>) -> bool {
        now < self.expires_at
    }

    /// The same token with an expiry that ECR can have given: at most 12 hours after it was
    /// issued, and at most 12 hours from now. A file may say anything.
    pub fn bounded(self, now: DateTime<Utc>) -> Self {
        let after = |start: DateTime<Utc>| start.checked_add_signed(LIFETIME).unwrap_or(start);
        let longest = after(self.issued_at).min(after(now));
        Self {
            expires_at: self.expires_at.min(longest),
            ..self
        }
    }
}

/// Why an authorization token cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// Not base64.
    #[error("the authorization token is not base64")]
    NotBase64,
    /// The decoded bytes are not UTF-8.
    #[error("the authorization token is not UTF-8 inside")]
    NotUtf8,
    /// No colon between user and password.
    #[error("the authorization token has no colon between user and password")]
    NoColon,
    /// The part before the colon is empty.
    #[error("the authorization token has an empty user")]
    EmptyUser,
    /// The part after the colon is empty.
    #[error("the authorization token has an empty password")]
    EmptyPassword,
}

/// Decodes `authorizationToken`: base64 of `user:password`, the password being all that follows
/// the first colon.
pub fn decode(authorization_token: &str) -> Result<Login, DecodeError> {
    let bytes = STANDARD
        .decode(authorization_token.trim())
        .map(Zeroizing::new)
        .map_err(|_| DecodeError::NotBase64)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| DecodeError::NotUtf8)?;
    let (user, password) = text.split_once(':').ok_or(DecodeError::NoColon)?;
    if user.is_empty() {
        return Err(DecodeError::EmptyUser);
    }
    if password.is_empty() {
        return Err(DecodeError::EmptyPassword);
    }
    Ok(Login {
        username: user.to_owned(),
        password: Secret::from(password),
    })
}

/// The expiry that an ECR password carries, if it can be read. ECR's passwords are base64 of a JSON
/// object with `expiration` in epoch seconds; that is not documented, so nothing may fail without
/// it.
pub fn expiration_of(password: &Secret) -> Option<DateTime<Utc>> {
    #[derive(Deserialize)]
    struct Inside {
        expiration: i64,
    }
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let json = Zeroizing::new(LENIENT.decode(password.expose().trim()).ok()?);
    let inside: Inside = serde_json::from_slice(&json).ok()?;
    DateTime::from_timestamp(inside.expiration, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).expect("in range")
    }

    fn token(lifetime: i64) -> Token {
        Token {
            login: Login {
                username: "AWS".into(),
                password: Secret::from("pw"),
            },
            issued_at: at(0),
            expires_at: at(lifetime),
        }
    }

    #[test]
    fn a_long_token_is_fresh_until_an_hour_before_its_end() {
        let token = token(12 * 3600);
        assert!(token.is_fresh(at(0)));
        assert!(token.is_fresh(at(11 * 3600 - 1)));
        assert!(!token.is_fresh(at(11 * 3600)));
        assert!(token.is_usable(at(12 * 3600 - 1)));
        assert!(!token.is_usable(at(12 * 3600)));
    }

    #[test]
    fn a_short_token_is_fresh_for_half_of_its_life() {
        let token = token(600);
        assert!(token.is_fresh(at(299)));
        assert!(!token.is_fresh(at(300)));
        assert!(token.is_usable(at(599)));
    }

    #[test]
    fn a_token_from_the_future_is_renewed_not_trusted() {
        assert!(!token(12 * 3600).is_fresh(at(-1)));
        assert!(token(12 * 3600).is_usable(at(-1)));
    }

    #[test]
    fn an_expiry_is_bounded_by_ecrs_lifetime() {
        let until = |lifetime, now| token(lifetime).bounded(at(now)).expires_at;
        assert_eq!(until(3600, 0), at(3600));
        assert_eq!(until(13 * 3600, 0), at(12 * 3600));
        assert_eq!(until(13 * 3600, 3600), at(12 * 3600));
        assert_eq!(until(12 * 3600, -3600), at(11 * 3600));
        let mut extreme = token(0);
        extreme.issued_at = DateTime::<Utc>::MAX_UTC;
        extreme.expires_at = DateTime::<Utc>::MAX_UTC;
        assert_eq!(extreme.clone().bounded(at(0)).expires_at, at(12 * 3600));
        extreme.issued_at = DateTime::<Utc>::MIN_UTC;
        assert!(extreme.bounded(at(0)).expires_at < at(0));
    }

    #[test]
    fn the_password_is_all_after_the_first_colon() {
        let login = decode(&STANDARD.encode("AWS:a:b\n\"\u{e9}")).expect("good");
        assert_eq!(login.username, "AWS");
        assert_eq!(login.password.expose(), "a:b\n\"\u{e9}");
    }

    #[test]
    fn what_is_not_user_and_password_is_refused() {
        for (text, error) in [
            ("%%%".to_owned(), DecodeError::NotBase64),
            (STANDARD.encode([0xff, b':', 0xff]), DecodeError::NotUtf8),
            (STANDARD.encode("AWS"), DecodeError::NoColon),
            (String::new(), DecodeError::NoColon),
            (STANDARD.encode(":pw"), DecodeError::EmptyUser),
            (STANDARD.encode("AWS:"), DecodeError::EmptyPassword),
        ] {
            assert_eq!(decode(&text), Err(error), "{text}");
            let said = error.to_string();
            assert!(said.starts_with("the authorization token "), "{said}");
        }
    }

    #[test]
    fn an_expiration_is_read_where_there_is_one() {
        let of = |text: String| expiration_of(&Secret::new(text)).map(|at| at.timestamp());
        let json = r#"{"payload":"x","datakey":"y","version":"2","type":"DATA_KEY","expiration":1800000000}"#;
        assert_eq!(of(STANDARD.encode(json)), Some(1_800_000_000));
        assert_eq!(
            of(STANDARD.encode(json).replace('=', "")),
            Some(1_800_000_000)
        );
        for text in ["secret", "", "e30=", "eyJleHBpcmF0aW9uIjoiMSJ9"] {
            assert_eq!(of(text.to_owned()), None, "{text}");
        }
    }
}
