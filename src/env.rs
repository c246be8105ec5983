//! The environment as a value: variables, the home directory and the cache directory.
//!
//! Every other module is handed an [`Env`] and never reads the process environment, so that a test
//! runs any of them with the variables that it likes. Values that are not UTF-8 count as not set, which is
//! how the AWS SDK treats them; paths keep whatever bytes they have.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

/// The local clock, handed down like the environment.
pub type Clock<'a> = &'a dyn Fn() -> DateTime<Utc>;

/// The time by the system's clock; everything else is handed a [`Clock`].
pub fn now() -> DateTime<Utc> {
    Utc::now()
}

/// The surroundings of one run.
#[derive(Debug, Clone)]
pub struct Env(Vars);

#[derive(Clone)]
enum Vars {
    Process,
    Fixed(BTreeMap<String, OsString>),
}

// Values of variables are secrets as often as not.
impl std::fmt::Debug for Vars {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Process => f.write_str("Process"),
            Self::Fixed(vars) => f.debug_set().entries(vars.keys()).finish(),
        }
    }
}

impl Env {
    /// The environment of this process, read when it is asked for.
    pub fn process() -> Self {
        Self(Vars::Process)
    }

    /// An environment that holds these variables and nothing else.
    pub fn of<K: Into<String>, V: Into<OsString>>(vars: impl IntoIterator<Item = (K, V)>) -> Self {
        let vars = vars.into_iter().map(|(k, v)| (k.into(), v.into()));
        Self(Vars::Fixed(vars.collect()))
    }

    /// A copy that holds these variables and no others, and is not the process's any more.
    pub fn only(&self, names: &[&str]) -> Self {
        let vars = names
            .iter()
            .filter_map(|&name| Some((name.to_owned(), self.os(name)?)));
        Self(Vars::Fixed(vars.collect()))
    }

    fn os(&self, name: &str) -> Option<OsString> {
        match &self.0 {
            Vars::Process => std::env::var_os(name),
            Vars::Fixed(vars) => vars.get(name).cloned(),
        }
    }

    /// The variable as it is, even when empty.
    pub fn raw(&self, name: &str) -> Option<String> {
        self.os(name)?.into_string().ok()
    }

    /// The variable without surrounding white space; blank counts as not set.
    pub fn var(&self, name: &str) -> Option<String> {
        let value = self.raw(name)?;
        let trimmed = value.trim();
        match trimmed.len() {
            0 => None,
            n if n == value.len() => Some(value),
            _ => Some(trimmed.to_owned()),
        }
    }

    /// Whether the variable says yes, in the words that Go's `strconv.ParseBool` takes: the
    /// helper that this one replaces read its switches so.
    pub fn is_true(&self, name: &str) -> bool {
        matches!(
            self.var(name).as_deref(),
            Some("1" | "t" | "T" | "true" | "TRUE" | "True")
        )
    }

    /// The variable as a path, with a leading `~` standing for the home directory; empty counts
    /// as not set.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        let value = self.os(name).filter(|v| !v.is_empty())?;
        Some(self.expand_home(Path::new(&value)))
    }

    /// `path` with a leading `~` component replaced by the home directory, where there is one.
    pub fn expand_home(&self, path: &Path) -> PathBuf {
        match (path.strip_prefix("~"), self.home()) {
            (Ok(rest), Some(home)) => home.join(rest),
            _ => path.to_owned(),
        }
    }

    /// The home directory as the AWS SDK finds it: `HOME` (`USERPROFILE` too on Windows), never
    /// the password file.
    pub fn home(&self) -> Option<PathBuf> {
        let named = |name| self.os(name).filter(|home| !home.is_empty());
        let home = named("HOME").or_else(|| {
            if cfg!(windows) {
                named("USERPROFILE")
            } else {
                None
            }
        });
        home.map(PathBuf::from)
    }

    /// The user's cache directory as the `dirs` crate finds it.
    pub fn cache_dir(&self) -> Option<PathBuf> {
        match &self.0 {
            Vars::Process => dirs::cache_dir(),
            Vars::Fixed(_) => Some(self.home()?.join(".cache")),
        }
    }

    /// The directory of docker's own configuration: `DOCKER_CONFIG`, else `~/.docker`.
    pub fn docker_config_dir(&self) -> Option<PathBuf> {
        let named = self.os("DOCKER_CONFIG").filter(|v| !v.is_empty());
        match (named, &self.0) {
            (Some(dir), _) => Some(PathBuf::from(dir)),
            (None, Vars::Process) => Some(dirs::home_dir()?.join(".docker")),
            (None, Vars::Fixed(_)) => Some(self.home()?.join(".docker")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_is_not_set_and_white_space_is_trimmed() {
        let env = Env::of([("A", " x "), ("B", "  "), ("C", "")]);
        assert_eq!(env.var("A").as_deref(), Some("x"));
        assert_eq!(env.raw("A").as_deref(), Some(" x "));
        assert_eq!(
            (env.var("B"), env.var("C"), env.var("D")),
            (None, None, None)
        );
        assert_eq!(env.path("C"), None);
    }

    #[test]
    fn a_leading_tilde_is_the_home_directory() {
        let env = Env::of([("HOME", "/h"), ("A", "~/x"), ("B", "~x"), ("C", "~")]);
        assert_eq!(env.path("A"), Some("/h/x".into()));
        assert_eq!(env.path("B"), Some("~x".into()));
        assert_eq!(env.path("C"), Some("/h".into()));
        assert_eq!(Env::of([("A", "~/x")]).path("A"), Some("~/x".into()));
    }

    #[test]
    fn switches_are_read_as_go_reads_them() {
        for (value, expected) in [("true", true), ("1", true), ("yes", false), ("", false)] {
            assert_eq!(Env::of([("A", value)]).is_true("A"), expected, "{value}");
        }
    }

    #[test]
    fn debug_shows_no_value() {
        let env = Env::of([("AWS_SECRET_ACCESS_KEY", "sentinel")]);
        assert!(!format!("{env:?}").contains("sentinel"));
    }
}
