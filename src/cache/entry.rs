//! What a file of the cache says, and what its name says about it.
//!
//! A file is a hint, never an authority: whatever is wrong with it makes it a miss. It repeats the
//! host and the name that it is filed under, so that one that was copied or moved is not taken for
//! another's.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::secret::Secret;
use crate::token::{Login, Token};

use super::NegativeEntry;

/// Readers take no other.
const VERSION: u32 = 1;

/// A file name without its ending where a docker login is kept.
pub(super) const LOGIN: &str = "login";

/// What a file in a registry's directory is, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CacheFile {
    /// A token, or a kept login; with its name.
    Entry(String),
    Failure,
    Lock,
    Temp,
    /// Not ours.
    Other,
}

impl CacheFile {
    pub(super) fn of(file: &str) -> Self {
        let is_ours = |stem: &str| {
            let hex = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
            stem == LOGIN || stem.len() == 64 && stem.bytes().all(hex)
        };
        if let Some(temp) = file.strip_prefix('.') {
            let parts: Vec<_> = temp.split('.').collect();
            return match parts[..] {
                [stem, _, _, "tmp"] if is_ours(stem) => Self::Temp,
                _ => Self::Other,
            };
        }
        match file.split_once('.') {
            Some((stem, "json")) if is_ours(stem) => Self::Entry(stem.to_owned()),
            Some((stem, "failure")) if is_ours(stem) => Self::Failure,
            Some((stem, "lock")) if is_ours(stem) => Self::Lock,
            _ => Self::Other,
        }
    }
}

/// Times are in milliseconds since 1970.
#[derive(Serialize, Deserialize)]
struct EntryFile<'a> {
    version: u32,
    #[serde(borrow)]
    host: Cow<'a, str>,
    #[serde(borrow)]
    name: Cow<'a, str>,
    ambient: bool,
    #[serde(borrow)]
    username: Cow<'a, str>,
    #[serde(borrow)]
    password: Cow<'a, str>,
    issued_at: i64,
    expires_at: i64,
}

/// A token and whether its principal was named by its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) token: Token,
    pub(super) ambient: bool,
}

/// The bytes of an entry's file.
pub(super) fn format(
    host: &str,
    name: &str,
    token: &Token,
    ambient: bool,
) -> Result<Zeroizing<Vec<u8>>, serde_json::Error> {
    let login = &token.login;
    let file = EntryFile {
        version: VERSION,
        host: host.into(),
        name: name.into(),
        ambient,
        username: login.username.as_str().into(),
        password: login.password.expose().into(),
        issued_at: token.issued_at.timestamp_millis(),
        expires_at: token.expires_at.timestamp_millis(),
    };
    // JSON makes six bytes of one at worst. Growing would leave copies in freed memory.
    let room = 6 * (login.username.len() + login.password.expose().len()) + 1024;
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    serde_json::to_writer(&mut *bytes, &file)?;
    Ok(bytes)
}

/// Reads an entry's file; the error says what is wrong with it.
pub(super) fn parse(bytes: &[u8], host: &str, name: &str) -> Result<Entry, &'static str> {
    let file: EntryFile<'_> =
        serde_json::from_slice(bytes).map_err(|_| "is no entry of this version")?;
    let login = Login {
        username: file.username.into_owned(),
        password: Secret::new(file.password.into_owned()),
    };
    if file.version != VERSION {
        return Err("is no entry of this version");
    }
    if file.host != host || file.name != name {
        return Err("is another's entry");
    }
    if login.username.is_empty() || login.password.is_empty() {
        return Err("is an entry without a user or a password");
    }
    let time = |ms| DateTime::from_timestamp_millis(ms).ok_or("is an entry of an impossible time");
    Ok(Entry {
        token: Token {
            login,
            issued_at: time(file.issued_at)?,
            expires_at: time(file.expires_at)?,
        },
        ambient: file.ambient,
    })
}

/// When an entry of this version expires.
pub(super) fn expiry(bytes: &[u8]) -> Option<DateTime<Utc>> {
    #[derive(Deserialize)]
    struct Times {
        version: u32,
        expires_at: i64,
    }
    let file: Times = serde_json::from_slice(bytes).ok()?;
    (file.version == VERSION).then_some(())?;
    DateTime::from_timestamp_millis(file.expires_at)
}

/// `at` is in microseconds since 1970: it is compared with when a process began to wait.
#[derive(Serialize, Deserialize)]
struct FailureFile<'a> {
    version: u32,
    #[serde(borrow)]
    host: Cow<'a, str>,
    #[serde(borrow)]
    name: Cow<'a, str>,
    at: i64,
    shared: bool,
    #[serde(borrow)]
    cause: Cow<'a, str>,
    #[serde(borrow)]
    hint: Cow<'a, str>,
}

/// The bytes of a failure's file.
pub(super) fn format_failure(
    host: &str,
    name: &str,
    failure: &NegativeEntry,
) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(&FailureFile {
        version: VERSION,
        host: host.into(),
        name: name.into(),
        at: failure.at.timestamp_micros(),
        shared: failure.shared,
        cause: failure.cause.as_str().into(),
        hint: failure.hint.as_str().into(),
    })
}

/// Reads a failure's file.
pub(super) fn parse_failure(bytes: &[u8], host: &str, name: &str) -> Option<NegativeEntry> {
    let file: FailureFile<'_> = serde_json::from_slice(bytes).ok()?;
    if file.version != VERSION || file.host != host || file.name != name {
        return None;
    }
    Some(NegativeEntry {
        at: DateTime::from_timestamp_micros(file.at)?,
        shared: file.shared,
        cause: file.cause.into_owned(),
        hint: file.hint.into_owned(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = r#"{"version":1,"host":"h","name":"n","ambient":false,"username":"AWS","password":"pw","issued_at":1,"expires_at":2}"#;

    #[test]
    fn file_names_say_what_is_in_them() {
        let hex = "0123456789abcdef".repeat(4);
        let of = CacheFile::of;
        assert_eq!(of(&format!("{hex}.json")), CacheFile::Entry(hex.clone()));
        assert_eq!(of("login.json"), CacheFile::Entry("login".into()));
        assert_eq!(of(&format!("{hex}.lock")), CacheFile::Lock);
        assert_eq!(of(&format!("{hex}.failure")), CacheFile::Failure);
        assert_eq!(of(&format!(".{hex}.1.2.tmp")), CacheFile::Temp);
        assert_eq!(of(".login.1.2.tmp"), CacheFile::Temp);
        for other in [
            "",
            ".",
            "..",
            "x.json",
            "x.failure",
            "x.lock",
            "login",
            "login.json.bak",
            ".login.1.tmp",
            "login.1.2.tmp",
            ".x.1.2.tmp",
            &hex,
            &format!("{}.json", hex.to_uppercase()),
            &format!("{hex}0.json"),
            &format!("{}.json", &hex[1..]),
            &format!("{}g.json", &hex[1..]),
        ] {
            assert_eq!(of(other), CacheFile::Other, "{other}");
        }
    }

    #[test]
    fn whatever_is_wrong_is_a_miss() {
        assert!(parse(GOOD.as_bytes(), "h", "n").is_ok());
        assert!(parse(GOOD.as_bytes(), "x", "n").is_err());
        assert!(parse(GOOD.as_bytes(), "h", "x").is_err());
        for (from, to) in [
            (r#""version":1"#, r#""version":2"#),
            (r#""version":1"#, r#""version":0"#),
            (r#""version":1,"#, ""),
            (r#""AWS""#, r#""""#),
            (r#""pw""#, r#""""#),
            (r#""pw""#, "null"),
            (r#""expires_at":2"#, r#""expires_at":"2""#),
            (r#""expires_at":2"#, r#""expires_at":9223372036854775807"#),
            (r#""issued_at":1"#, r#""issued_at":-9223372036854775808"#),
            ("}", ""),
            ("}", "}}"),
            (r#""host":"h""#, r#""host":"h","host":"h""#),
        ] {
            let text = GOOD.replacen(from, to, 1);
            assert_ne!(text, GOOD);
            assert!(parse(text.as_bytes(), "h", "n").is_err(), "{text}");
        }
        for bytes in [&b""[..], b"null", b"[]", &[0; 512], &[0xff; 8], b"{}"] {
            assert!(parse(bytes, "h", "n").is_err(), "{bytes:?}");
            assert_eq!(expiry(bytes), None);
            assert_eq!(parse_failure(bytes, "h", "n"), None);
        }
        let nested = "[".repeat(100_000);
        assert!(parse(nested.as_bytes(), "h", "n").is_err());
    }

    #[test]
    fn unknown_fields_are_left_to_later_programs() {
        let text = GOOD.replacen('{', r#"{"later":[1],"#, 1);
        assert!(parse(text.as_bytes(), "h", "n").is_ok());
    }

    #[test]
    fn an_expiry_is_read_from_this_version_only() {
        let at = |text: &str| expiry(text.as_bytes()).map(|at| at.timestamp_millis());
        assert_eq!(at(GOOD), Some(2));
        assert_eq!(at(&GOOD.replace(r#""version":1"#, r#""version":2"#)), None);
    }

    #[test]
    fn a_failure_is_its_own_entrys() {
        let failure = NegativeEntry {
            at: DateTime::from_timestamp_micros(1_800_000_000_123_456).expect("in range"),
            shared: true,
            cause: "the \"cause\"\n".into(),
            hint: "the hint".into(),
        };
        let bytes = format_failure("h", "n", &failure).expect("formatted");
        assert_eq!(parse_failure(&bytes, "h", "n"), Some(failure));
        assert_eq!(parse_failure(&bytes, "x", "n"), None);
        assert_eq!(parse_failure(&bytes, "h", "x"), None);
        let text = String::from_utf8(bytes).expect("UTF-8");
        let newer = text.replace(r#""version":1"#, r#""version":2"#);
        assert_eq!(parse_failure(newer.as_bytes(), "h", "n"), None);
    }

    proptest! {
        #[test]
        fn an_entry_survives_the_round_trip(
            username in "\\PC+",
            password in any::<String>().prop_filter("not empty", |text| !text.is_empty()),
            issued_at in -4_000_000_000_000i64..4_000_000_000_000,
            life in 0i64..100_000_000,
            ambient: bool,
        ) {
            let time = |ms| DateTime::from_timestamp_millis(ms).expect("in range");
            let token = Token {
                login: Login { username, password: Secret::new(password) },
                issued_at: time(issued_at),
                expires_at: time(issued_at + life),
            };
            let bytes = format("h", "n", &token, ambient).expect("formatted");
            prop_assert_eq!(expiry(&bytes), Some(token.expires_at));
            prop_assert_eq!(parse(&bytes, "h", "n"), Ok(Entry { token, ambient }));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = parse(&bytes, "h", "n");
            let _ = expiry(&bytes);
            let _ = parse_failure(&bytes, "h", "n");
        }

        #[test]
        fn a_damaged_entry_is_a_miss_or_still_an_entry(
            at in 0..GOOD.len(), byte: u8, cut: bool,
        ) {
            let mut bytes = GOOD.as_bytes().to_vec();
            bytes[at] = byte;
            if cut {
                bytes.truncate(at);
                prop_assert!(parse(&bytes, "h", "n").is_err());
            } else if let Ok(entry) = parse(&bytes, "h", "n") {
                prop_assert!(!entry.token.login.password.is_empty());
            }
        }
    }
}
