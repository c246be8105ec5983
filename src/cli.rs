//! The command line: one file per verb, and the only place that prints.
//!
//! Rules for what a person reads: the cause first, then a hint; lower case; no full stop; one
//! line each. stdout belongs to the protocol. stderr is inherited by docker, podman and buildx,
//! so it is empty on success, and for a host that is not ECR.

mod bazel;
mod clear;
mod configure;
mod doctor;
mod erase;
mod get;
mod kubelet;
mod list;
mod other;
mod panics;
mod password;
mod people;
mod status;
mod store;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use crate::cache::Cache;
use crate::ecr::{Aws, Issuer};
use crate::env::{self, Clock, Env};
use crate::helper::Helper;
use crate::log::Log;
use crate::principal::Selection;
use crate::problem::Problem;
use crate::registry::Registry;
use crate::rules::Rules;
use crate::settings;
use crate::stdin::Stdin;
use crate::token::Token;

/// The program's name, in messages and in what `version` prints.
const NAME: &str = env!("CARGO_PKG_NAME");

/// The name by which the kubelet's configuration calls us: that of the program from
/// cloud-provider-aws.
const KUBELET_NAME: &str = "ecr-credential-provider";

/// All verbs. The first group is the protocol, whose clients compare these words and pass no
/// further arguments; a command for people goes behind it.
const VERBS: &[Verb] = &[
    Verb::of_protocol("get", get::run),
    Verb::of_protocol("store", store::run),
    Verb::of_protocol("erase", erase::run),
    Verb::of_protocol("list", list::run),
    Verb::of_protocol("version", version),
    // The kubelet passes whatever its configuration says.
    Verb::with_arguments("kubelet", kubelet::run),
];

/// Options that stand in place of a verb.
const OPTIONS: &[Verb] = &[
    Verb::of_protocol("-v", version),
    Verb::of_protocol("--version", build_info),
    Verb::of_protocol("-h", help),
    Verb::of_protocol("--help", help),
];

/// One verb: its name, whether it takes arguments, and its function.
struct Verb {
    name: &'static str,
    takes_arguments: bool,
    run: fn(&mut Context<'_>) -> io::Result<ExitCode>,
}

impl Verb {
    const fn of_protocol(
        name: &'static str,
        run: fn(&mut Context<'_>) -> io::Result<ExitCode>,
    ) -> Self {
        Self {
            name,
            takes_arguments: false,
            run,
        }
    }

    const fn with_arguments(
        name: &'static str,
        run: fn(&mut Context<'_>) -> io::Result<ExitCode>,
    ) -> Self {
        Self {
            name,
            takes_arguments: true,
            run,
        }
    }
}

/// Runs the program: the real environment, the real streams, the real AWS.
#[must_use]
pub fn main() -> ExitCode {
    forbid_core_dumps();
    let env = Env::process();
    let print = |line: fmt::Arguments<'_>| {
        // A closed stderr is no reason to fail.
        let _ = writeln!(io::stderr(), "{NAME}: debug: {line}");
    };
    let log = match settings::log_debug(&env) {
        true => Log::to(&print),
        false => Log::off(),
    };
    let mut arguments = std::env::args_os();
    let called_as = arguments.next().unwrap_or_default();
    let arguments: Vec<_> = arguments.collect();
    panics::install(panics::Stdout::of(arguments.first()));
    run(Context {
        io: Io {
            stdin: &mut Stdin::new(|| settings::timeout(&env, false, None)),
            stdout: &mut io::stdout().lock(),
            stderr: &mut io::stderr(),
        },
        called_as: &called_as,
        arguments: &arguments,
        env: &env,
        clock: &env::now,
        log,
        issuer: &mut Aws::new(&env, &env::now, log),
    })
}

/// The streams of one run.
pub struct Io<'a> {
    /// The request.
    pub stdin: &'a mut dyn Read,
    /// The response.
    pub stdout: &'a mut dyn Write,
    /// Messages to the user.
    pub stderr: &'a mut dyn Write,
}

/// Everything that a verb works with.
pub struct Context<'a> {
    /// The streams.
    pub io: Io<'a>,
    /// The path that the program was called by.
    pub called_as: &'a OsStr,
    /// The arguments; while a verb runs, those behind its name.
    pub arguments: &'a [OsString],
    /// The environment variables.
    pub env: &'a Env,
    /// The local clock.
    pub clock: Clock<'a>,
    /// The debug log.
    pub log: Log<'a>,
    /// Gets tokens from AWS; nothing is initialised before its first use.
    pub issuer: &'a mut dyn Issuer,
}

impl<'a> Context<'a> {
    /// The cache, unless it is disabled or has no place. Not touched before its first use.
    fn cache(&self) -> Result<Option<Cache<'a>>, Problem> {
        let dir = settings::cache_dir(self.env)?;
        Ok(dir.map(|dir| Cache::open(dir, self.log)))
    }

    /// A token for a registry, from the cache or from AWS; `longest` is how long the client waits,
    /// where that is known.
    fn token(
        &mut self,
        registry: &Registry,
        selection: Selection,
        longest: Option<Duration>,
    ) -> Result<Token, Problem> {
        let cache = self.cache()?;
        let mut helper = self.helper(cache.as_ref(), selection);
        helper.longest = longest;
        helper.get(registry)
    }

    /// The policy over this cache.
    fn helper<'b>(
        &'b mut self,
        cache: Option<&'b Cache<'b>>,
        selection: Selection,
    ) -> Helper<'b, dyn Issuer + 'b> {
        Helper {
            env: self.env,
            cache,
            issuer: &mut *self.issuer,
            clock: self.clock,
            log: self.log,
            selection,
            longest: None,
        }
    }

    /// The rules, with their mistakes in the debug log.
    fn rules(&self) -> Result<Rules, Problem> {
        let rules = Rules::load(self.env)?;
        if self.log.is_on() {
            for finding in rules.findings() {
                self.log.debug(format_args!("{}", finding.problem));
            }
        }
        Ok(rules)
    }

    /// The name of the executable that we were started by, without a directory or `.exe`.
    fn program_name(&self) -> Option<&'a str> {
        let name = Path::new(self.called_as).file_name()?.to_str()?;
        // PATHEXT has it in capitals, which Python's shutil.which passes on.
        let bare = [".exe", ".EXE"]
            .into_iter()
            .find_map(|end| name.strip_suffix(end));
        Some(bare.unwrap_or(name))
    }
}

/// Runs the verb that the arguments name.
#[must_use]
pub fn run(mut context: Context<'_>) -> ExitCode {
    if context.log.is_on() {
        for mistake in settings::mistakes(context.env) {
            context.log.debug(format_args!("{mistake}"));
        }
    }
    let result = match context.program_name() {
        Some(KUBELET_NAME) => kubelet::run(&mut context),
        _ => dispatch(&mut context),
    };
    // Where stdout is closed there is no place for an error either.
    result.unwrap_or(ExitCode::FAILURE)
}

fn dispatch(context: &mut Context<'_>) -> io::Result<ExitCode> {
    let for_people = context.program_name() == Some(people::NAME);
    let Some((first, rest)) = context.arguments.split_first() else {
        return match for_people {
            true => people::usage(context),
            false => usage(context, ExitCode::FAILURE),
        };
    };
    let mut verbs = VERBS.iter().chain(OPTIONS).chain(people::COMMANDS);
    match verbs.find(|verb| first == verb.name) {
        Some(verb) if verb.takes_arguments || rest.is_empty() => {
            context.arguments = rest;
            (verb.run)(context)
        }
        None if for_people => Ok(people::unknown(context, &first.to_string_lossy())),
        None if rest.is_empty() => match first.to_str() {
            Some(name) => refuse(
                &mut context.io,
                format_args!("{NAME}: unknown action: {name}"),
            ),
            None => usage(context, ExitCode::FAILURE),
        },
        _ => usage(context, ExitCode::FAILURE),
    }
}

fn usage(context: &mut Context<'_>, status: ExitCode) -> io::Result<ExitCode> {
    let names: Vec<_> = VERBS.iter().map(|verb| verb.name).collect();
    writeln!(context.io.stdout, "Usage: {NAME} <{}>", names.join("|"))?;
    Ok(status)
}

fn help(context: &mut Context<'_>) -> io::Result<ExitCode> {
    if context.program_name() == Some(people::NAME) {
        return people::usage(context);
    }
    usage(context, ExitCode::SUCCESS)
}

fn version(context: &mut Context<'_>) -> io::Result<ExitCode> {
    let version = env!("CARGO_PKG_VERSION");
    writeln!(context.io.stdout, "{NAME} ({NAME}) {version}")?;
    Ok(ExitCode::SUCCESS)
}

/// The version, and how this program was built: commit, target, TLS library.
fn build_info(context: &mut Context<'_>) -> io::Result<ExitCode> {
    version(context)?;
    writeln!(context.io.stdout, "{}", env!("ECR_LOGIN_BUILD"))?;
    Ok(ExitCode::SUCCESS)
}

/// Prints an error in the one place where clients look for it: stdout.
fn refuse(io: &mut Io<'_>, error: fmt::Arguments<'_>) -> io::Result<ExitCode> {
    writeln!(io.stdout, "{error}")?;
    Ok(ExitCode::FAILURE)
}

/// Prints cause and hint for the user.
fn explain(io: &mut Io<'_>, cause: impl fmt::Display, hint: &str) {
    // A closed stderr is no reason to fail.
    let _ = match hint {
        "" => writeln!(io.stderr, "{NAME}: {cause}"),
        _ => writeln!(io.stderr, "{NAME}: {cause}\nhint: {hint}"),
    };
}

/// Secrets must not be left in a core file. On Linux this is more than a limit of size 0, which a
/// core handler behind a pipe does not heed.
fn forbid_core_dumps() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        // Where it is refused we are no worse off than any other program.
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
    #[cfg(all(unix, not(target_os = "linux")))]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let Rlimit { maximum, .. } = getrlimit(Resource::Core);
        let none = Rlimit {
            current: Some(0),
            maximum,
        };
        // As above.
        let _ = setrlimit(Resource::Core, none);
    }
}
