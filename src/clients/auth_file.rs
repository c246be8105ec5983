//! docker's config.json and podman's auth.json: which helper, or which stored login, answers for a
//! registry. Both have the same form; podman's knows no `credsStore`.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::edit::json::{Document, JsonError};
use crate::env::Env;
use crate::fs::read_bounded;
use crate::problem::{Problem, ProblemKind};

/// In bytes.
const LONGEST: usize = 64 << 20;

/// The members of such a file that matter here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "lowercase")]
pub(crate) struct AuthFile {
    #[serde(rename = "credsstore")]
    pub(crate) creds_store: Option<String>,
    #[serde(rename = "credhelpers", deserialize_with = "or_default")]
    pub(crate) cred_helpers: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_default")]
    auths: BTreeMap<String, Option<StoredAuth>>,
}

fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// An entry of `auths`. The secret itself is not kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct StoredAuth {
    #[serde(deserialize_with = "is_set")]
    auth: bool,
    #[serde(deserialize_with = "is_set")]
    identitytoken: bool,
    #[serde(deserialize_with = "is_set")]
    password: bool,
}

fn is_set<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    let text = Option::<zeroize::Zeroizing<String>>::deserialize(deserializer)?;
    Ok(text.is_some_and(|text| !text.is_empty()))
}

impl AuthFile {
    /// Reads a file; none if it is missing.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>, Problem> {
        let bytes = match read_bounded(path, LONGEST) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(path, &error)),
        };
        Document::parse(Some(&bytes)).map_err(|error| malformed(path, &error))?;
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Some(Self::default()));
        }
        // docker's decoder ignores the case of these keys.
        let members = serde_json::from_slice::<serde_json::Map<_, _>>(&bytes);
        let members =
            members.map(|members| members.into_iter().map(|(k, v)| (k.to_lowercase(), v)));
        let file = members.and_then(|members| serde_json::from_value(members.collect()));
        // The error may quote a secret.
        file.map(Some).map_err(|_| {
            let path = path.display();
            let cause = format!("{path} has a value of an unexpected type");
            Problem::new(ProblemKind::Configuration, cause, format!("correct {path}"))
        })
    }

    /// The helper for a host, and whether that is the one for all hosts.
    pub(crate) fn helper(&self, host: &str) -> Option<(&str, bool)> {
        if let Some(name) = self.cred_helpers.get(host) {
            return Some((name, false));
        }
        let name = self
            .creds_store
            .as_deref()
            .filter(|name| !name.is_empty())?;
        Some((name, true))
    }

    /// The keys under which a login for this host is stored in the file itself.
    pub(crate) fn stored_logins(&self, host: &str) -> Vec<&str> {
        self.all_stored_logins()
            .filter(|key| host_of(key) == host)
            .collect()
    }

    /// All keys under which a login is stored in the file itself.
    pub(crate) fn all_stored_logins(&self) -> impl Iterator<Item = &str> {
        let logins = self.auths.iter().filter(|(_, login)| {
            let login = login.as_ref();
            login.is_some_and(|login| login.auth || login.identitytoken || login.password)
        });
        logins.map(|(key, _)| key.as_str())
    }
}

/// The host of a key of `auths`: docker's may carry a scheme and a path.
fn host_of(key: &str) -> &str {
    let rest = key.split_once("://").map_or(key, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

/// docker's config.json: in `DOCKER_CONFIG`, else in `~/.docker`.
pub(crate) fn docker_path(env: &Env) -> Option<PathBuf> {
    Some(env.docker_config_dir()?.join("config.json"))
}

pub(crate) fn malformed(path: &Path, error: &JsonError) -> Problem {
    let path = path.display();
    let hint = match error {
        JsonError::ByteOrderMark => format!("save {path} as UTF-8 without a byte order mark"),
        JsonError::Syntax { .. } | JsonError::NotAnObject { .. } => format!("correct {path}"),
    };
    Problem::new(ProblemKind::Configuration, format!("{path} {error}"), hint)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Problem {
    Problem::new(
        ProblemKind::Configuration,
        format!("cannot read {}: {error}", path.display()),
        "check the owner and the permissions of the file",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn helpers_and_stored_logins_are_found_by_host() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("config.json");
        let text = r#"{"auths": {"https://a.example/v1/": {"auth": "eDp5"}, "b.example": {},
            "c.example": {"identitytoken": "t"}, "d.example": null, "e.example": {"auth": ""}},
            "credHelpers": {"f.example": "ecr-login"}, "credsStore": "desktop", "x": 1}"#;
        std::fs::write(&path, text).expect("writable");
        let file = AuthFile::read(&path).expect("valid").expect("there");
        assert_eq!(file.helper("f.example"), Some(("ecr-login", false)));
        assert_eq!(file.helper("a.example"), Some(("desktop", true)));
        assert_eq!(file.stored_logins("a.example"), ["https://a.example/v1/"]);
        assert_eq!(file.stored_logins("b.example"), [""; 0]);
        assert_eq!(file.all_stored_logins().count(), 2);
        assert_eq!(AuthFile::read(&dir.path().join("none")), Ok(None));
    }

    #[test]
    fn null_and_empty_are_no_settings() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("config.json");
        for text in [
            "",
            " ",
            "{}",
            r#"{"auths":null,"credHelpers":null,"credsStore":null}"#,
        ] {
            std::fs::write(&path, text).expect("writable");
            let file = AuthFile::read(&path).expect("valid").expect("there");
            assert_eq!(file, AuthFile::default(), "{text:?}");
        }
        std::fs::write(&path, r#"{"credsStore": 1}"#).expect("writable");
        let error = AuthFile::read(&path).expect_err("a number");
        assert!(error.to_string().ends_with("unexpected type"), "{error}");
    }
}
