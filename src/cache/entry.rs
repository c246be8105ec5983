//! The contents of the cache's files, and the kinds of their names.
//!
//! A file is a hint, never an authority: anything wrong with it makes it a miss. It repeats the
//! host and the key that it is filed under, so that a copied or moved file does not serve as an
//! entry for another key.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::problem::{Problem, ProblemKind};
use crate::secret::{Secret, SecretBytes};
use crate::token::{Login, Token};

use super::NegativeEntry;

/// The only version that is read.
const VERSION: u32 = 1;

/// The stem of the file that holds a stored docker login.
pub(super) const LOGIN: &str = "login";

/// The kind of a file in a registry's directory, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CacheFile {
    /// A token or a stored login, with its stem.
    Entry(String),
    /// A password that this program has issued; its stem is the password's digest.
    Issued,
    Failure,
    Lock,
    Temp,
    /// Not a file of this version.
    Other,
}

impl CacheFile {
    pub(super) fn of(file: &str) -> Self {
        let is_stem = |stem: &str| {
            let hex = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
            stem == LOGIN || stem.len() == 64 && stem.bytes().all(hex)
        };
        if let Some(temp) = file.strip_prefix('.') {
            let parts: Vec<_> = temp.split('.').collect();
            return match parts[..] {
                [stem, _, _, "tmp"] if is_stem(stem) => Self::Temp,
                _ => Self::Other,
            };
        }
        match file.split_once('.') {
            Some((stem, "json")) if is_stem(stem) => Self::Entry(stem.to_owned()),
            Some((stem, "issued")) if is_stem(stem) => Self::Issued,
            Some((stem, "failure")) if is_stem(stem) => Self::Failure,
            Some((stem, "lock")) if is_stem(stem) => Self::Lock,
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
    key: &'a str,
    ambient: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_digest: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<&'a str>,
    #[serde(borrow)]
    username: Cow<'a, str>,
    #[serde(borrow)]
    password: Cow<'a, str>,
    issued_at: i64,
    expires_at: i64,
}

/// A token, and what it was obtained with or stored for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) token: Token,
    /// Whether the source had to say who the principal is.
    pub(super) ambient: bool,
    /// The digest of the SSO or console session.
    pub(super) session_digest: Option<String>,
    /// The account that a docker login was stored for.
    pub(super) account_id: Option<String>,
    /// Its region.
    pub(super) region: Option<String>,
}

impl Entry {
    pub(super) fn of(token: Token) -> Self {
        Self {
            token,
            ambient: false,
            session_digest: None,
            account_id: None,
            region: None,
        }
    }
}

/// The bytes of an entry's file.
pub(super) fn format(
    host: &str,
    key: &str,
    entry: &Entry,
) -> Result<SecretBytes, serde_json::Error> {
    let Token {
        login,
        issued_at,
        expires_at,
    } = &entry.token;
    let file = EntryFile {
        version: VERSION,
        host: host.into(),
        key,
        ambient: entry.ambient,
        session_digest: entry.session_digest.as_deref(),
        account_id: entry.account_id.as_deref(),
        region: entry.region.as_deref(),
        username: login.username.as_str().into(),
        password: login.password.expose().into(),
        issued_at: issued_at.timestamp_millis(),
        expires_at: expires_at.timestamp_millis(),
    };
    // JSON turns one byte into six at worst.
    let room = 6 * (login.username.len() + login.password.expose().len()) + 1024;
    let mut bytes = SecretBytes::with_capacity(room);
    serde_json::to_writer(&mut *bytes, &file)?;
    Ok(bytes)
}

/// Reads an entry's file; the error says what is wrong with it.
pub(super) fn parse(bytes: &[u8], host: &str, key: &str) -> Result<Entry, &'static str> {
    let file: EntryFile<'_> =
        serde_json::from_slice(bytes).map_err(|_| "is not a v1 cache entry")?;
    let login = Login {
        username: file.username.into_owned(),
        password: Secret::new(file.password.into_owned()),
    };
    if file.version != VERSION {
        return Err("is not a v1 cache entry");
    }
    if file.host != host || file.key != key {
        return Err("is an entry for another key");
    }
    if login.username.is_empty() || login.password.is_empty() {
        return Err("is an entry without a user or a password");
    }
    let time = |ms| DateTime::from_timestamp_millis(ms).ok_or("is an entry with an invalid time");
    Ok(Entry {
        token: Token {
            login,
            issued_at: time(file.issued_at)?,
            expires_at: time(file.expires_at)?,
        },
        ambient: file.ambient,
        session_digest: file.session_digest.map(str::to_owned),
        account_id: file.account_id.map(str::to_owned),
        region: file.region.map(str::to_owned),
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
    key: &'a str,
    at: i64,
    count: u32,
    kind: &'a str,
    shared: bool,
    #[serde(borrow)]
    cause: Cow<'a, str>,
    #[serde(borrow)]
    hint: Cow<'a, str>,
}

const KINDS: [ProblemKind; 5] = [
    ProblemKind::NoCredentials,
    ProblemKind::Configuration,
    ProblemKind::SessionExpired,
    ProblemKind::Refused,
    ProblemKind::Unavailable,
];

/// A stable name, which is never shown.
fn kind_id(kind: ProblemKind) -> &'static str {
    match kind {
        ProblemKind::NoCredentials => "no-credentials",
        ProblemKind::Configuration => "configuration",
        ProblemKind::SessionExpired => "session-expired",
        ProblemKind::Refused => "refused",
        ProblemKind::Unavailable => "unavailable",
    }
}

/// The bytes of a failure's file.
pub(super) fn format_failure(
    host: &str,
    key: &str,
    failure: &NegativeEntry,
) -> Result<Vec<u8>, serde_json::Error> {
    let problem = &failure.problem;
    serde_json::to_vec(&FailureFile {
        version: VERSION,
        host: host.into(),
        key,
        at: failure.at.timestamp_micros(),
        count: failure.count,
        kind: kind_id(problem.kind()),
        shared: problem.is_shared(),
        cause: problem.to_string().into(),
        hint: problem.hint().into(),
    })
}

/// Reads a failure's file.
pub(super) fn parse_failure(bytes: &[u8], host: &str, key: &str) -> Option<NegativeEntry> {
    let file: FailureFile<'_> = serde_json::from_slice(bytes).ok()?;
    if file.version != VERSION || file.host != host || file.key != key {
        return None;
    }
    let kind = KINDS.into_iter().find(|kind| kind_id(*kind) == file.kind)?;
    let problem = Problem::new(kind, file.cause, file.hint);
    Some(NegativeEntry {
        at: DateTime::from_timestamp_micros(file.at)?,
        count: file.count,
        problem: match file.shared {
            true => problem.shared(),
            false => problem,
        },
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = r#"{"version":1,"host":"h","key":"n","ambient":false,"username":"AWS","password":"pw","issued_at":1,"expires_at":2}"#;

    #[test]
    fn file_names_say_what_is_in_them() {
        let hex = "0123456789abcdef".repeat(4);
        let of = CacheFile::of;
        assert_eq!(of(&format!("{hex}.json")), CacheFile::Entry(hex.clone()));
        assert_eq!(of("login.json"), CacheFile::Entry("login".into()));
        assert_eq!(of(&format!("{hex}.issued")), CacheFile::Issued);
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
    fn anything_wrong_is_a_miss() {
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
            count: 3,
            problem: Problem::new(ProblemKind::Unavailable, "the \"cause\"", "the \"hint\"\n")
                .shared(),
        };
        let bytes = format_failure("h", "n", &failure).expect("formatted");
        assert_eq!(parse_failure(&bytes, "h", "n"), Some(failure));
        assert_eq!(parse_failure(&bytes, "x", "n"), None);
        assert_eq!(parse_failure(&bytes, "h", "x"), None);
        let text = String::from_utf8(bytes).expect("UTF-8");
        let newer = text.replace(r#""version":1"#, r#""version":2"#);
        assert_eq!(parse_failure(newer.as_bytes(), "h", "n"), None);
    }

    #[test]
    fn every_problem_kind_survives_the_round_trip() {
        for kind in KINDS {
            let failure = NegativeEntry {
                at: DateTime::UNIX_EPOCH,
                count: 1,
                problem: Problem::new(kind, "cause", "hint"),
            };
            let bytes = format_failure("h", "n", &failure).expect("formatted");
            assert_eq!(parse_failure(&bytes, "h", "n"), Some(failure));
        }
        let text = r#"{"version":1,"host":"h","key":"n","at":1,"count":1,"kind":"x","shared":true,"cause":"c","hint":""}"#;
        assert_eq!(parse_failure(text.as_bytes(), "h", "n"), None);
    }

    proptest! {
        #[test]
        fn an_entry_survives_the_round_trip(
            username in "\\PC+",
            password in any::<String>().prop_filter("not empty", |text| !text.is_empty()),
            issued_at in -4_000_000_000_000i64..4_000_000_000_000,
            life in 0i64..100_000_000,
            ambient: bool,
            session_digest in proptest::option::of("[0-9a-f]{64}"),
            account_id in proptest::option::of("[0-9]{12}"),
        ) {
            let time = |ms| DateTime::from_timestamp_millis(ms).expect("in range");
            let token = Token {
                login: Login { username, password: Secret::new(password) },
                issued_at: time(issued_at),
                expires_at: time(issued_at + life),
            };
            let region = account_id.as_ref().map(|_| "us-east-1".to_owned());
            let entry = Entry { token, ambient, session_digest, account_id, region };
            let bytes = format("h", "n", &entry).expect("formatted");
            prop_assert_eq!(expiry(&bytes), Some(entry.token.expires_at));
            prop_assert_eq!(parse(&bytes, "h", "n"), Ok(entry));
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
