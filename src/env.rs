//! The environment as a value: variables, the home directory and the cache directory.
//!
//! Every other module is handed an [`Env`] and never reads the process environment, so that a test
//! runs any of them with the variables that it likes. Values that are not UTF-8 count as not set, which is
//! how the AWS SDK treats them; paths keep whatever bytes they have.

mod terminal;

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

use chrono::{DateTime, Utc};

use crate::secret::Secret;

/// The variable that names the home directory.
pub const HOME: &str = if cfg!(windows) { "USERPROFILE" } else { "HOME" };

/// The local clock, handed down like the environment.
pub type Clock<'a> = &'a dyn Fn() -> DateTime<Utc>;

/// The time by the system's clock; everything else is handed a [`Clock`].
pub fn now() -> DateTime<Utc> {
    Utc::now()
}

/// The file that this process runs.
pub fn current_program() -> std::io::Result<PathBuf> {
    std::env::current_exe()
}

/// The surroundings of one run.
#[derive(Debug, Clone)]
pub struct Env {
    vars: Vars,
    /// Whether home directories that no variable names are looked up.
    has_password_file: bool,
}

/// Few enough for a list: a cached `get` looks up dozens of names, most of them not set.
type List = Vec<(Cow<'static, str>, OsString)>;

#[derive(Clone)]
enum Vars {
    Process,
    Fixed(List),
}

// Values of variables may be secrets.
impl std::fmt::Debug for Vars {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Process => f.write_str("Process"),
            Self::Fixed(vars) => f.debug_set().entries(vars.iter().map(|v| &v.0)).finish(),
        }
    }
}

impl Env {
    /// The environment of this process, read when it is asked for.
    pub fn process() -> Self {
        Self {
            vars: Vars::Process,
            has_password_file: true,
        }
    }

    /// An environment that holds these variables and nothing else.
    pub fn of<K: Into<String>, V: Into<OsString>>(vars: impl IntoIterator<Item = (K, V)>) -> Self {
        let vars = vars.into_iter();
        Self {
            vars: Vars::Fixed(
                vars.map(|(k, v)| (Cow::Owned(k.into()), v.into()))
                    .collect(),
            ),
            has_password_file: false,
        }
    }

    /// A copy that holds these variables and those that they refer to as `$NAME`, and no others;
    /// `names` is sorted. It is not the process's any more, but for the password file.
    pub fn only(&self, names: &'static [&'static str]) -> Self {
        let mut vars: List = match &self.vars {
            // One pass: each look-up by name would go through the whole environment.
            Vars::Process => std::env::vars_os()
                .filter_map(|(name, value)| {
                    let mut name = Cow::Borrowed(name.to_str()?);
                    // There, the system finds variables in any case.
                    if cfg!(windows) {
                        name = Cow::Owned(name.to_ascii_uppercase());
                    }
                    let index = names.binary_search(&&*name).ok()?;
                    Some((Cow::Borrowed(names[index]), value))
                })
                .collect(),
            Vars::Fixed(vars) => {
                let is_wanted = |name: &str| names.binary_search(&name).is_ok();
                let wanted = vars.iter().filter(|(name, _)| is_wanted(name));
                wanted.cloned().collect()
            }
        };
        let texts = vars.iter().filter_map(|(_, value)| value.to_str());
        let referred: Vec<_> = texts
            .flat_map(references)
            .map(|(_, name)| name.to_owned())
            .collect();
        for name in referred {
            if let Some(value) = self.os(&name) {
                vars.push((Cow::Owned(name), value));
            }
        }
        Self {
            vars: Vars::Fixed(vars),
            has_password_file: self.has_password_file,
        }
    }

    /// The variables of a copy that are set to what is not UTF-8.
    pub fn garbled(&self) -> impl Iterator<Item = &str> {
        let vars = match &self.vars {
            Vars::Process => None,
            Vars::Fixed(vars) => Some(vars),
        };
        let garbled = vars.into_iter().flatten();
        garbled.filter_map(|(name, value)| value.to_str().is_none().then_some(&**name))
    }

    /// The values of variables whose names look like those of secrets.
    pub fn secret_values(&self) -> Vec<Secret> {
        const MARKS: [&str; 7] = [
            "SECRET",
            "TOKEN",
            "PASS",
            "KEY",
            "CREDENTIAL",
            "AUTH",
            "PWD",
        ];
        // The working directory, in which shells keep no secret.
        let is_secret = |name: &str| {
            let name = name.to_ascii_uppercase();
            !matches!(name.as_str(), "PWD" | "OLDPWD") && MARKS.iter().any(|m| name.contains(m))
        };
        let secret = |name: &OsStr, value: OsString| {
            let named = name.to_str().is_some_and(is_secret);
            named.then(|| Secret::new(value.to_string_lossy().into_owned()))
        };
        match &self.vars {
            Vars::Process => std::env::vars_os()
                .filter_map(|(name, value)| secret(&name, value))
                .collect(),
            Vars::Fixed(vars) => vars
                .iter()
                .filter_map(|(name, value)| secret(OsStr::new(&**name), value.clone()))
                .collect(),
        }
    }

    fn os(&self, name: &str) -> Option<OsString> {
        match &self.vars {
            Vars::Process => std::env::var_os(name),
            Vars::Fixed(vars) => vars.iter().find(|v| v.0 == name).map(|v| v.1.clone()),
        }
    }

    /// The variable as it is, even when empty.
    pub fn raw(&self, name: &str) -> Option<String> {
        self.os(name)?.into_string().ok()
    }

    /// The variable without surrounding white space; blank counts as not set.
    pub fn var(&self, name: &str) -> Option<String> {
        trimmed(self.raw(name)?)
    }

    /// The same for a variable that selects who asks: one that is not UTF-8 is an error, its value.
    pub fn selecting_var(&self, name: &str) -> Result<Option<String>, OsString> {
        match self.os(name) {
            None => Ok(None),
            Some(value) => value.into_string().map(trimmed),
        }
    }

    /// Whether the variable is set and not empty, whatever bytes it has.
    pub fn is_set(&self, name: &str) -> bool {
        self.os(name).is_some_and(|value| !value.is_empty())
    }

    /// Whether the variable says yes, in the words that Go's `strconv.ParseBool` takes: the
    /// helper that this one replaces read its switches so.
    pub fn is_true(&self, name: &str) -> bool {
        matches!(
            self.var(name).as_deref(),
            Some("1" | "t" | "T" | "true" | "TRUE" | "True")
        )
    }

    /// Whether the variable says no, in the words that `strconv.ParseBool` takes.
    pub fn is_false(&self, name: &str) -> bool {
        matches!(
            self.var(name).as_deref(),
            Some("0" | "f" | "F" | "false" | "FALSE" | "False")
        )
    }

    /// The variable as a path, expanded as [`Env::aws_path`] does; empty counts as not set.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.aws_path(name)
            .filter(|path| !path.as_os_str().is_empty())
    }

    /// The variable as a path, even when empty. As in the AWS CLI, `$NAME` and `${NAME}`, and on
    /// Windows `%NAME%`, stand for variables, a leading `~` for the home directory, and `~user` for
    /// that of another user.
    pub fn aws_path(&self, name: &str) -> Option<PathBuf> {
        let value = self.os(name)?;
        Some(match value.to_str() {
            Some(value) => self.expand_home(Path::new(&*self.expand_variables(value))),
            None => PathBuf::from(value),
        })
    }

    /// `path` with a leading `~` or `~user` replaced by the home directory, where there is one.
    pub fn expand_home(&self, path: &Path) -> PathBuf {
        let mut parts = path.components();
        let first = match parts.next() {
            Some(Component::Normal(first)) => first.to_str().and_then(|f| f.strip_prefix('~')),
            _ => None,
        };
        let home = match first {
            None => None,
            Some("") => self.home(),
            Some(user) => self.home_of(user),
        };
        match home {
            Some(home) => home.join(parts.as_path()),
            None => path.to_owned(),
        }
    }

    /// A path for messages, with `~` for the home directory: on Windows too as the documentation
    /// writes it, with slashes, and other paths with backslashes.
    pub fn shown(&self, path: &Path) -> String {
        let home = self.home();
        let below = home.and_then(|home| path.strip_prefix(home).ok().map(Path::to_owned));
        match below {
            Some(rest) if cfg!(windows) => {
                format!("~/{}", rest.display().to_string().replace('\\', "/"))
            }
            Some(rest) => Path::new("~").join(rest).display().to_string(),
            None if cfg!(windows) => path.display().to_string().replace('/', "\\"),
            None => path.display().to_string(),
        }
    }

    /// Python's `os.path.expandvars`, but for `%%`, `$$` and single quotes on Windows: what is not set
    /// stays as it is.
    fn expand_variables<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut expanded = String::new();
        let mut at = 0;
        for (range, name) in references(text) {
            if let Some(value) = self.raw(name) {
                expanded.push_str(&text[at..range.start]);
                expanded.push_str(&value);
                at = range.end;
            }
        }
        if at == 0 {
            return Cow::Borrowed(text);
        }
        expanded.push_str(&text[at..]);
        Cow::Owned(expanded)
    }

    /// The home directory as the AWS CLI finds it, which is Python's `os.path.expanduser`: `HOME`,
    /// even an empty one, else the password file; on Windows `USERPROFILE`, else `HOMEPATH`.
    pub fn home(&self) -> Option<PathBuf> {
        let named = if cfg!(windows) {
            self.os(HOME).map(PathBuf::from).or_else(|| {
                let mut home = self.os("HOMEDRIVE").unwrap_or_default();
                home.push(self.os("HOMEPATH")?);
                Some(home.into())
            })
        } else {
            self.os(HOME).map(|home| match home.is_empty() {
                true => PathBuf::from("/"),
                false => PathBuf::from(home),
            })
        };
        match self.has_password_file {
            true => named.or_else(dirs::home_dir),
            false => named,
        }
    }

    /// The home directory of another user.
    #[cfg(unix)]
    fn home_of(&self, user: &str) -> Option<PathBuf> {
        match self.has_password_file {
            true => Some(nix::unistd::User::from_name(user).ok()??.dir),
            false => None,
        }
    }

    /// The home directory of another user: as in Python, next to one's own, which bears one's name.
    #[cfg(not(unix))]
    fn home_of(&self, user: &str) -> Option<PathBuf> {
        let home = self.home()?;
        let own = self.raw("USERNAME")?;
        match (user == own, home.file_name()?.to_str() == Some(&own)) {
            (true, _) => Some(home),
            (false, true) => Some(home.with_file_name(user)),
            (false, false) => None,
        }
    }

    /// The command interpreter of Windows, by its full path: not by PATH or the current directory,
    /// which may be whatever a client was started in.
    #[cfg(windows)]
    pub fn command_interpreter() -> PathBuf {
        let root = std::env::var_os("SystemRoot").map(PathBuf::from);
        root.filter(|root| root.is_absolute())
            .unwrap_or_else(|| PathBuf::from("C:\\Windows"))
            .join("System32")
            .join("cmd.exe")
    }

    /// The user's cache directory as the `dirs` crate finds it.
    pub fn cache_dir(&self) -> Option<PathBuf> {
        match &self.vars {
            Vars::Process => dirs::cache_dir(),
            Vars::Fixed(_) => Some(self.home()?.join(".cache")),
        }
    }

    /// The directories in which programs are looked for.
    pub fn program_dirs(&self) -> Vec<PathBuf> {
        let path = self.os("PATH").unwrap_or_default();
        let dirs = std::env::split_paths(&path);
        // A relative one would make the result depend on where a client starts this program.
        dirs.filter(|dir| dir.is_absolute()).collect()
    }

    /// The directory of docker's own configuration: `DOCKER_CONFIG`, else `~/.docker`.
    pub fn docker_config_dir(&self) -> Option<PathBuf> {
        let named = self.os("DOCKER_CONFIG").filter(|v| !v.is_empty());
        match (named, &self.vars) {
            (Some(dir), _) => Some(PathBuf::from(dir)),
            // An empty HOME counts as not set to docker. On Windows both read USERPROFILE.
            (None, Vars::Process) if cfg!(unix) => Some(dirs::home_dir()?.join(".docker")),
            (None, _) => Some(self.home()?.join(".docker")),
        }
    }
}

fn trimmed(value: String) -> Option<String> {
    let trimmed = value.trim();
    match trimmed.len() {
        0 => None,
        n if n == value.len() => Some(value),
        _ => Some(trimmed.to_owned()),
    }
}

/// `$NAME` and `${NAME}` in a text, on Windows also `%NAME%`: where, and the name.
fn references(text: &str) -> impl Iterator<Item = (Range<usize>, &str)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let start = at + text[at..].find(|c| c == '$' || (cfg!(windows) && c == '%'))?;
            let inside = &text[start + 1..];
            let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let (name, len) = match inside.strip_prefix('{') {
                // Python looks no further behind one without a second.
                _ if text[start..].starts_with('%') => {
                    let end = inside.find('%')?;
                    (&inside[..end], end + 2)
                }
                Some(braced) => match braced.find('}') {
                    Some(end) => (&braced[..end], end + 3),
                    None => ("", 1),
                },
                None => {
                    let end = inside.find(|c| !word(c)).unwrap_or(inside.len());
                    (&inside[..end], end + 1)
                }
            };
            at = start + len;
            if !name.is_empty() {
                return Some((start..at, name));
            }
        }
    })
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

    #[cfg(unix)]
    #[test]
    fn a_leading_tilde_is_the_home_directory() {
        let env = Env::of([("HOME", "/h"), ("A", "~/x"), ("B", "~x"), ("C", "~")]);
        assert_eq!(env.path("A"), Some("/h/x".into()));
        assert_eq!(env.path("B"), Some("~x".into()));
        assert_eq!(env.path("C"), Some("/h".into()));
        assert_eq!(Env::of([("A", "~/x")]).path("A"), Some("~/x".into()));
        let empty = Env::of([("HOME", ""), ("A", "~/x")]);
        assert_eq!(empty.path("A"), Some("/x".into()));
    }

    #[cfg(unix)]
    #[test]
    fn variables_in_paths_are_expanded() {
        let expanded = [
            ("$X/a", "/x/a"),
            ("${X}a$Y", "/xa$Y"),
            ("$Xa/${Y}/$/${X", "$Xa/${Y}/$/${X"),
            ("${}$$X", "${}$/x"),
            ("$T/b", "/h/b"),
        ];
        for (path, expected) in expanded {
            let env = Env::of([("HOME", "/h"), ("X", "/x"), ("T", "~"), ("P", path)]);
            assert_eq!(env.path("P"), Some(expected.into()), "{path}");
            let env = env.only(&["HOME", "P"]);
            assert_eq!(env.path("P"), Some(expected.into()), "{path}");
        }
    }

    #[cfg(windows)]
    #[test]
    fn percent_signs_name_variables_as_well() {
        let expanded = [
            ("%X%\\a", "C:\\x\\a"),
            ("a%X%%Y%$X", "aC:\\x%Y%C:\\x"),
            ("100%/$X", "100%/$X"),
        ];
        for (path, expected) in expanded {
            let env = Env::of([("X", "C:\\x"), ("P", path)]).only(&["P"]);
            assert_eq!(env.path("P"), Some(expected.into()), "{path}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn other_users_are_in_the_password_file() {
        let env = Env::process();
        let path = env.expand_home(Path::new("~root/x"));
        assert!(path.is_absolute(), "{}", path.display());
        let absent = Path::new("~no such user/x");
        assert_eq!(env.expand_home(absent), absent);
    }

    #[test]
    fn switches_are_read_as_go_reads_them() {
        for (value, expected) in [("true", true), ("1", true), ("yes", false), ("", false)] {
            assert_eq!(Env::of([("A", value)]).is_true("A"), expected, "{value}");
        }
    }

    #[test]
    fn secrets_are_known_by_their_names() {
        let env = Env::of([
            ("MY_TOKEN", "a"),
            ("db_password", "b"),
            ("PWD", "/"),
            ("HOME", "/h"),
        ]);
        let values = env.secret_values();
        let values: Vec<_> = values.iter().map(Secret::expose).collect();
        assert_eq!(values, ["a", "b"]);
    }

    #[test]
    fn debug_shows_no_value() {
        let env = Env::of([("AWS_SECRET_ACCESS_KEY", "sentinel")]);
        assert!(!format!("{env:?}").contains("sentinel"));
    }
}
