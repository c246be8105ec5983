//! The command line: one file per verb, and the only place that prints.
//!
//! Rules for what a person reads: the cause first, then a hint; lower case; no full stop; one
//! line each. stdout belongs to the protocol. stderr is inherited by docker, podman and buildx,
//! so it is empty on success, and for a host that is not ECR.

mod bazel;
mod erase;
mod get;
mod kubelet;
mod list;
mod store;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use chrono::Utc;

use crate::cache::Cache;
use crate::ecr::{Aws, Issuer};
use crate::env::Env;
use crate::helper::Helper;
use crate::log::Log;
use crate::protocol::Action;
use crate::settings;

/// The program's name, in messages and in what `version` prints.
const NAME: &str = env!("CARGO_PKG_NAME");

/// The name by which the kubelet's configuration calls us: that of the program from
/// cloud-provider-aws.
const KUBELET_NAME: &str = "ecr-credential-provider";

/// Runs the program: the real environment, the real streams, the real AWS.
#[must_use]
pub fn main() -> ExitCode {
    forbid_core_dumps();
    let env = Env::process();
    let print = |line: fmt::Arguments<'_>| {
        // A closed stderr must not cost anybody a token.
        let _ = writeln!(io::stderr(), "{NAME}: debug: {line}");
    };
    let log = match settings::log_debug(&env) {
        true => Log::to(&print),
        false => Log::off(),
    };
    let mut args = std::env::args_os();
    let called_as = args.next().unwrap_or_default();
    run(
        &called_as,
        &args.collect::<Vec<_>>(),
        Io {
            stdin: &mut io::stdin().lock(),
            stdout: &mut io::stdout().lock(),
            stderr: &mut io::stderr(),
        },
        &env,
        log,
        || Aws::new(&env, log),
    )
}

/// The streams of one run.
pub struct Io<'a> {
    /// The request.
    pub stdin: &'a mut dyn Read,
    /// The answer.
    pub stdout: &'a mut dyn Write,
    /// Words to the user.
    pub stderr: &'a mut dyn Write,
}

/// Runs one action with the parts that it is handed.
pub fn run<I: Issuer>(
    called_as: &OsStr,
    args: &[OsString],
    mut io: Io<'_>,
    env: &Env,
    log: Log<'_>,
    issuer: impl FnOnce() -> I,
) -> ExitCode {
    let called_as = file_name(called_as);
    let cache = settings::cache_dir(env).map(|dir| Cache::open(dir, log));
    let cache = cache.as_ref();
    let helper = || Helper {
        env,
        cache,
        issuer: issuer(),
        clock: Utc::now,
        log,
    };
    let io = &mut io;
    let first = args.first().and_then(|argument| argument.to_str());
    // The kubelet passes whatever its configuration says.
    let done = if called_as == Some(KUBELET_NAME) || first == Some("kubelet") {
        kubelet::run(io, helper)
    } else {
        match (first, args.len()) {
            (Some("-v" | "--version"), 1) => version(io),
            (Some("-h" | "--help"), 1) => usage(io, ExitCode::SUCCESS),
            (Some(name), 1) => match Action::named(name) {
                Some(Action::Get) => get::run(io, helper, settings::strict(env)),
                Some(Action::Store) => store::run(io, env, cache, log),
                Some(Action::Erase) => {
                    let place = settings::cache_place(env).map(|dir| Cache::open(dir, log));
                    erase::run(io, env, place.as_ref())
                }
                Some(Action::List) => list::run(io, env, cache, log, called_as),
                Some(Action::Version) => version(io),
                None => refuse(io, format_args!("{NAME}: unknown action: {name}")),
            },
            _ => usage(io, ExitCode::FAILURE),
        }
    };
    // Who closes stdout early does not want the answer; there is nobody to tell.
    done.unwrap_or(ExitCode::FAILURE)
}

fn usage(io: &mut Io<'_>, status: ExitCode) -> io::Result<ExitCode> {
    writeln!(
        io.stdout,
        "Usage: {NAME} <get|store|erase|list|version|kubelet>"
    )?;
    Ok(status)
}

fn version(io: &mut Io<'_>) -> io::Result<ExitCode> {
    writeln!(io.stdout, "{NAME} ({NAME}) {}", env!("CARGO_PKG_VERSION"))?;
    Ok(ExitCode::SUCCESS)
}

/// Answers an error, in the one place where clients look for it: stdout.
fn refuse(io: &mut Io<'_>, error: fmt::Arguments<'_>) -> io::Result<ExitCode> {
    writeln!(io.stdout, "{error}")?;
    Ok(ExitCode::FAILURE)
}

/// Tells the user what failed and what to do.
fn explain(io: &mut Io<'_>, cause: impl fmt::Display, hint: &str) {
    // A closed stderr leaves nobody to tell.
    let _ = match hint {
        "" => writeln!(io.stderr, "{NAME}: {cause}"),
        _ => writeln!(io.stderr, "{NAME}: {cause}\nhint: {hint}"),
    };
}

/// The file name that we were started by.
fn file_name(called_as: &OsStr) -> Option<&str> {
    let name = Path::new(called_as).file_name()?.to_str()?;
    Some(name.strip_suffix(".exe").unwrap_or(name))
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
