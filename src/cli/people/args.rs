//! Command-line arguments of the commands for people.

use std::collections::BTreeMap;
use std::ffi::OsString;

use lexopt::Arg;

use crate::nearest::nearest;
use crate::problem::{Problem, ProblemKind};

/// The options and values of a command.
pub(in crate::cli) struct Spec {
    pub(in crate::cli) command: &'static str,
    /// The whole text of `--help`.
    pub(in crate::cli) help: &'static str,
    /// Options without a value.
    pub(in crate::cli) flags: &'static [&'static str],
    /// Options with a value.
    pub(in crate::cli) options: &'static [&'static str],
    /// At most this many other arguments.
    pub(in crate::cli) most: usize,
}

/// The arguments of one run.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::cli) struct Parsed {
    pub(in crate::cli) help: bool,
    pub(in crate::cli) values: Vec<String>,
    flags: Vec<String>,
    options: BTreeMap<String, String>,
}

impl Parsed {
    pub(in crate::cli) fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|set| set == flag)
    }

    pub(in crate::cli) fn option(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(String::as_str)
    }
}

pub(in crate::cli) fn parse(spec: &Spec, arguments: &[OsString]) -> Result<Parsed, Problem> {
    let mut parsed = Parsed::default();
    let mut parser = lexopt::Parser::from_args(arguments);
    let misused = |cause: String| misused(spec, cause, None);
    while let Some(argument) = parser.next().map_err(|error| misused(error.to_string()))? {
        match argument {
            Arg::Short('h') | Arg::Long("help") => parsed.help = true,
            Arg::Long(name) if spec.flags.contains(&name) => parsed.flags.push(name.to_owned()),
            Arg::Long(name) if spec.options.contains(&name) => {
                let name = name.to_owned();
                let value = parser.value().map_err(|error| misused(error.to_string()))?;
                let value = value
                    .into_string()
                    .ok()
                    .filter(|value| !value.trim().is_empty());
                let Some(value) = value else {
                    return Err(misused(format!("--{name} has an empty value")));
                };
                parsed.options.insert(name, value);
            }
            Arg::Long(name) => return Err(unknown_option(spec, name)),
            Arg::Short(name) => return Err(misused(format!("unknown option -{name}"))),
            Arg::Value(value) => parsed.values.push(value.to_string_lossy().into_owned()),
        }
    }
    match parsed.values.get(spec.most) {
        Some(value) if !parsed.help => Err(misused(format!("unexpected argument {value:?}"))),
        _ => Ok(parsed),
    }
}

fn unknown_option(spec: &Spec, name: &str) -> Problem {
    let known = spec
        .flags
        .iter()
        .chain(spec.options)
        .chain(&["help"])
        .copied();
    let near = nearest(name, known).map(|near| format!("did you mean --{near}?"));
    misused(spec, format!("unknown option --{name}"), near)
}

/// A command line that the command does not take.
pub(in crate::cli) fn misused(spec: &Spec, cause: String, hint: Option<String>) -> Problem {
    let hint = hint.unwrap_or_else(|| format!("run ecr-login {} --help", spec.command));
    Problem::new(ProblemKind::Configuration, cause, hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: Spec = Spec {
        command: "configure",
        help: "",
        flags: &["all", "dry-run"],
        options: &["profile"],
        most: 1,
    };

    fn parsed(arguments: &[&str]) -> Result<Parsed, String> {
        let arguments: Vec<_> = arguments.iter().map(OsString::from).collect();
        parse(&SPEC, &arguments).map_err(|problem| format!("{problem}; {}", problem.hint()))
    }

    #[test]
    fn options_stand_anywhere() {
        for arguments in [
            &["x", "--all", "--profile", "p"][..],
            &["--profile=p", "x", "--all"],
            &["--all", "--profile=p", "--", "x"],
        ] {
            let parsed = parsed(arguments).expect("good");
            assert!(parsed.has("all") && !parsed.has("dry-run"));
            assert_eq!(
                (parsed.option("profile"), parsed.option("x")),
                (Some("p"), None)
            );
            assert_eq!(parsed.values, ["x"]);
        }
        assert!(parsed(&["-h", "x", "y"]).expect("good").help);
    }

    #[test]
    fn misuse_is_explained() {
        for (arguments, message) in [
            (
                &["--porfile", "p"][..],
                "unknown option --porfile; did you mean --profile?",
            ),
            (
                &["--xyz"],
                "unknown option --xyz; run ecr-login configure --help",
            ),
            (&["-x"], "unknown option -x; run ecr-login configure --help"),
            (
                &["a", "b"],
                "unexpected argument \"b\"; run ecr-login configure --help",
            ),
            (
                &["--profile="],
                "--profile has an empty value; run ecr-login configure --help",
            ),
        ] {
            assert_eq!(parsed(arguments).expect_err("misuse"), message);
        }
        assert!(parsed(&["--profile"]).is_err() && parsed(&["--all=1"]).is_err());
    }
}
