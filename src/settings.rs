//! The program's own variables: all of them, with their meaning, in one list.
//!
//! README's table has these rows and the man page these names; a test compares them.

use std::path::PathBuf;
use std::time::Duration;

use crate::env::Env;
use crate::problem::{Problem, ProblemKind};

/// A variable that the program reads.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// The variable.
    pub name: &'static str,
    /// One line, in Markdown.
    #[cfg_attr(not(test), allow(dead_code, reason = "for README's table"))]
    pub meaning: &'static str,
    /// In Markdown; empty if there is none.
    #[cfg_attr(not(test), allow(dead_code, reason = "for README's table"))]
    pub default: &'static str,
}

const CACHE_DIR: Setting = Setting {
    name: "AWS_ECR_CACHE_DIR",
    meaning: "the directory of the cache: an absolute path, or one below `~`",
    default: "`~/.cache/docker-credential-ecr-login`",
};

/// The file of rules.
pub const CONFIG: Setting = Setting {
    name: "AWS_ECR_CONFIG",
    meaning: "the file of rules, which must exist; empty: none",
    default: "`ecr-login` next to the AWS config file",
};

const DISABLE_CACHE: Setting = Setting {
    name: "AWS_ECR_DISABLE_CACHE",
    meaning: "any non-empty value: cache nothing, call AWS every time",
    default: "",
};

const IGNORE_CREDS_STORAGE: Setting = Setting {
    name: "AWS_ECR_IGNORE_CREDS_STORAGE",
    meaning: "`true`: `docker login` and `docker logout` succeed and do nothing",
    default: "`false`",
};

const LOG: Setting = Setting {
    name: "AWS_ECR_LOG",
    meaning: "`debug`: explain every decision on standard error",
    default: "",
};

/// The profile for every registry.
pub const PROFILE: Setting = Setting {
    name: "AWS_ECR_PROFILE",
    meaning: "the AWS profile for every registry, before the file of rules and all else",
    default: "",
};

/// The role for a pod's service-account token that comes without one; read by `kubelet`.
pub const ROLE_ARN: Setting = Setting {
    name: "AWS_ECR_ROLE_ARN",
    meaning: "kubelet only: the role for a pod's token that comes without one",
    default: "",
};

const STRICT: Setting = Setting {
    name: "AWS_ECR_STRICT",
    meaning: "`true`: a failure is an error to the client, not \"no credentials\"",
    default: "`false`",
};

const TIMEOUT: Setting = Setting {
    name: "AWS_ECR_TIMEOUT",
    meaning: "seconds that one `get` may take",
    default: "20, or 60 with a `credential_process`",
};

/// Every variable of the program, in the order of the tables.
#[cfg_attr(not(test), allow(dead_code, reason = "for README's table"))]
pub const ALL: &[Setting] = &[
    CACHE_DIR,
    CONFIG,
    DISABLE_CACHE,
    IGNORE_CREDS_STORAGE,
    LOG,
    PROFILE,
    ROLE_ARN,
    STRICT,
    TIMEOUT,
];

/// The deadline of one `get`.
const DEADLINE: Duration = Duration::from_secs(20);

/// The deadline where a credential_process may prompt the user.
const DEADLINE_WITH_PROCESS: Duration = Duration::from_mins(1);

/// The longest [`TIMEOUT`].
const LONGEST_TIMEOUT: Duration = Duration::from_hours(1);

/// [`TIMEOUT`]; nothing if it is not a positive number.
fn given_timeout(env: &Env) -> Option<Duration> {
    let seconds = env.var(TIMEOUT.name)?.parse().ok()?;
    let timeout = Duration::try_from_secs_f64(seconds).ok()?;
    Some(timeout).filter(|timeout| !timeout.is_zero())
}

/// [`TIMEOUT`]; anything but a positive number counts as not set. `longest` is how long the client
/// waits, where that is known.
pub fn timeout(env: &Env, asks_a_process: bool, longest: Option<Duration>) -> Duration {
    match given_timeout(env) {
        Some(timeout) => timeout.min(LONGEST_TIMEOUT),
        None => {
            let default = match asks_a_process {
                true => DEADLINE_WITH_PROCESS,
                false => DEADLINE,
            };
            longest.map_or(default, |longest| longest.min(default))
        }
    }
}

/// The directory of the cache, unless [`DISABLE_CACHE`] is set; none if there is no place for it.
pub fn cache_dir(env: &Env) -> Result<Option<PathBuf>, Problem> {
    match env.is_set(DISABLE_CACHE.name) {
        true => Ok(None),
        false => cache_place(env),
    }
}

/// [`CACHE_DIR`], else our directory in the user's cache directory; none if there is no such place.
/// It can be erased also while the cache is disabled.
pub fn cache_place(env: &Env) -> Result<Option<PathBuf>, Problem> {
    if let Some(path) = env.path(CACHE_DIR.name) {
        // A relative path would put passwords into the directory of every project and build, and
        // trust the files of a cloned repository.
        return match path.is_absolute() {
            // Without the dots that can end it, which name nothing that could be created.
            true => Ok(Some(path.components().collect())),
            false => Err(Problem::new(
                ProblemKind::Configuration,
                format!("{} is not an absolute path", CACHE_DIR.name),
                format!("set {} to an absolute path, or unset it", CACHE_DIR.name),
            )),
        };
    }
    // A relative HOME is a different place in each directory that a client starts us in.
    let user = env.cache_dir().filter(|dir| dir.is_absolute());
    Ok(user.map(|dir| dir.join(env!("CARGO_PKG_NAME"))))
}

/// [`STRICT`]: a failing `get` prints the cause on stdout.
pub fn strict(env: &Env) -> bool {
    env.is_true(STRICT.name)
}

/// [`IGNORE_CREDS_STORAGE`]: `store` and `erase` do nothing and succeed.
pub fn ignore_creds_storage(env: &Env) -> bool {
    env.is_true(IGNORE_CREDS_STORAGE.name)
}

/// [`LOG`] is `debug`.
pub fn log_debug(env: &Env) -> bool {
    env.var(LOG.name)
        .is_some_and(|level| level.eq_ignore_ascii_case("debug"))
}

/// The variables whose value is ignored, or has the opposite of the effect that it names, for `doctor`
/// and the debug log: as errors of `get` they would fail every pull. The values are not shown, since
/// they may be anything.
pub fn mistakes(env: &Env) -> Vec<Problem> {
    let mut mistakes = Vec::new();
    let mut add = |setting: Setting, cause: &str, hint: &str| {
        let name = setting.name;
        let cause = format!("{name} {cause}");
        let hint = hint.replace("NAME", name);
        mistakes.push(Problem::new(ProblemKind::Configuration, cause, hint));
    };
    if env.is_false(DISABLE_CACHE.name) {
        let cause = "disables the cache, whatever its value";
        add(DISABLE_CACHE, cause, "unset NAME to use the cache");
    }
    for setting in [IGNORE_CREDS_STORAGE, STRICT] {
        if is_given(env, setting) && !env.is_true(setting.name) && !env.is_false(setting.name) {
            let hint = "set NAME to true or false, or unset it";
            add(setting, "is neither true nor false: false is used", hint);
        }
    }
    if is_given(env, LOG) && !log_debug(env) {
        let cause = "has an unknown value: nothing is logged";
        add(LOG, cause, "set NAME to debug, or unset it");
    }
    match given_timeout(env) {
        None if is_given(env, TIMEOUT) => {
            let cause = "is not a positive number of seconds: the default is used";
            add(
                TIMEOUT,
                cause,
                "set NAME to a number such as 30, or unset it",
            );
        }
        Some(timeout) if timeout > LONGEST_TIMEOUT => {
            let cause = "is more than an hour: an hour is used";
            add(TIMEOUT, cause, "set NAME to at most 3600");
        }
        _ => {}
    }
    mistakes
}

/// Whether the variable is more than blank; one that is not UTF-8 is.
fn is_given(env: &Env, setting: Setting) -> bool {
    !matches!(env.selecting_var(setting.name), Ok(None))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::env::HOME;

    /// The names of our variables in a text.
    fn names_in(text: &str) -> BTreeSet<&str> {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        text.split(|c| !is_word(c))
            .filter(|word| word.starts_with("AWS_ECR_") && word.len() > "AWS_ECR_".len())
            .collect()
    }

    fn all() -> BTreeSet<&'static str> {
        ALL.iter().map(|setting| setting.name).collect()
    }

    #[test]
    fn readme_has_a_row_for_every_setting() {
        let readme = include_str!("../README.md");
        for Setting {
            name,
            meaning,
            default,
        } in ALL
        {
            let row = match *default {
                "" => format!("| `{name}` | {meaning} | |\n"),
                default => format!("| `{name}` | {meaning} | {default} |\n"),
            };
            assert!(readme.contains(&row), "README.md lacks this row:\n{row}");
        }
        assert!(names_in(readme).is_subset(&all()), "{:?}", names_in(readme));
    }

    #[test]
    fn the_man_page_has_every_setting() {
        let page = include_str!("../packaging/docker-credential-ecr-login.1");
        for setting in ALL {
            let item = format!("\n.It Ev {}\n", setting.name);
            assert!(page.contains(&item), "the man page lacks {}", setting.name);
        }
        assert_eq!(names_in(page), all());
    }

    #[test]
    fn the_source_reads_no_other_variable_of_ours() {
        fn walk(dir: &Path, texts: &mut Vec<String>) {
            for entry in fs::read_dir(dir).expect("read").flatten() {
                match entry.path() {
                    path if path.is_dir() => walk(&path, texts),
                    path => texts.push(fs::read_to_string(path).expect("UTF-8")),
                }
            }
        }
        let mut texts = Vec::new();
        walk(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
            &mut texts,
        );
        for text in &texts {
            let literals = text.split('"').filter(|part| part.starts_with("AWS_ECR_"));
            let names: BTreeSet<_> = literals.flat_map(names_in).collect();
            assert!(names.is_subset(&all()), "{names:?}");
        }
    }

    #[test]
    fn values_of_no_effect_are_mistakes() {
        let found = |name: &str, value: &str| {
            let found = mistakes(&Env::of([(name, value)]));
            assert!(found.iter().all(|mistake| {
                let (cause, hint) = (mistake.to_string(), mistake.hint());
                cause.starts_with(name) && cause.len() <= 80 && hint.contains(name)
            }));
            found.len()
        };
        for (name, wrong, right) in [
            (DISABLE_CACHE.name, "0 f F false FALSE False", "1 true yes"),
            (STRICT.name, "yes on tRUE 2", "1 t T true 0 f F false"),
            (IGNORE_CREDS_STORAGE.name, "yes on no", "TRUE True FALSE"),
            (LOG.name, "verbose 1 debug,info", "debug DEBUG"),
            (
                TIMEOUT.name,
                "abc 0 -1 inf NaN 30s 1,5 3601",
                "0.5 3600 1e1",
            ),
        ] {
            for value in wrong.split(' ') {
                assert_eq!(found(name, value), 1, "{name}={value}");
            }
            for value in right.split(' ').chain(["", " "]) {
                assert_eq!(found(name, value), 0, "{name}={value}");
            }
        }
    }

    #[cfg(unix)]
    #[test]
    fn values_that_are_not_utf_8_are_mistakes() {
        use std::ffi::OsString;
        use std::os::unix::ffi::OsStringExt;
        for (name, number) in [
            (STRICT.name, 1),
            (IGNORE_CREDS_STORAGE.name, 1),
            (LOG.name, 1),
            (TIMEOUT.name, 1),
            // It has its effect.
            (DISABLE_CACHE.name, 0),
        ] {
            let value = OsString::from_vec(vec![0xff]);
            let env = Env::of([(name, value), (HOME, "/h".into())]);
            assert_eq!(mistakes(&env).len(), number, "{name}");
            let cache = cache_dir(&env).expect("no mistake in it");
            assert_eq!(cache.is_none(), number == 0, "{name}");
        }
    }

    #[test]
    fn a_relative_cache_directory_is_an_error() {
        const ABSOLUTE: &str = if cfg!(windows) { "C:\\h" } else { "/h" };
        for (value, home) in [
            ("cache", ABSOLUTE),
            ("./cache", ABSOLUTE),
            ("~/cache", "h"),
            ("~x", ABSOLUTE),
        ] {
            let env = Env::of([("AWS_ECR_CACHE_DIR", value), (HOME, home)]);
            let problem = cache_dir(&env).expect_err(value);
            assert_eq!(problem.kind(), ProblemKind::Configuration);
            let text = "AWS_ECR_CACHE_DIR is not an absolute path";
            assert_eq!(problem.to_string(), text);
            let env = Env::of([("AWS_ECR_CACHE_DIR", value), ("AWS_ECR_DISABLE_CACHE", "1")]);
            assert_eq!(cache_dir(&env), Ok(None));
        }
        let env = Env::of([("AWS_ECR_CACHE_DIR", "~/cache"), (HOME, ABSOLUTE)]);
        let dir = cache_dir(&env).expect("absolute").expect("a place");
        assert_eq!(dir, Path::new(ABSOLUTE).join("cache"));
        let env = Env::of([(HOME, "h")]);
        assert_eq!(cache_dir(&env), Ok(None));
    }
}
