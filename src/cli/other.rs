//! Hosts that are not ECR's: handed on to the credential helper that `other_registries` names.
//!
//! So `"credsStore": "ecr-login"` covers all of ECR and keeps every other login where it is. The
//! other helper gets the same argument, standard input, environment and streams, and its response
//! and exit status are ours: on Unix it replaces this process.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use super::{Context, explain, get, refuse};
use crate::clients::search_path;
use crate::env::{self, Env};
use crate::log::Log;
use crate::principal::Named;
use crate::problem::{Problem, ProblemKind};
use crate::registry::Registry;
use crate::rules::Rules;

/// The prefix of every credential helper's name.
const PREFIX: &str = "docker-credential-";

/// No list of logins is longer, in bytes.
const LONGEST_LIST: u64 = 4 << 20;

/// The registry of ECR's that `store` and `erase` are about; none if the host is not ECR's and
/// there is no helper for it. Else the exit status: the other helper's, or that of a failure. The
/// rules are read for hosts that are not ECR's only: a mistake in them is no reason to fail a
/// login.
pub(super) fn registry_or_exit(
    context: &mut Context<'_>,
    verb: &str,
    server_url: &str,
    stdin: &str,
) -> Result<Option<Registry>, io::Result<ExitCode>> {
    if let Some(registry) = Registry::from_server_url(server_url) {
        return Ok(Some(registry));
    }
    let handed_on = context.rules().and_then(|rules| {
        if let Some(registry) = rules.resolve(server_url)? {
            return Ok(Err(registry));
        }
        run_named(context, &rules, verb, stdin).map(Ok)
    });
    match handed_on {
        Ok(Err(registry)) => Ok(Some(registry)),
        Ok(Ok(None)) => Ok(None),
        Ok(Ok(Some(status))) => Err(Ok(status)),
        Err(problem) => {
            let host = get::shown(server_url);
            let io = &mut context.io;
            explain(io, format_args!("{host}: {problem}"), problem.hint());
            Err(refuse(io, format_args!("{host}: {problem}")))
        }
    }
}

/// Runs the helper that the rules name; none if they name none.
pub(super) fn run_named(
    context: &Context<'_>,
    rules: &Rules,
    verb: &str,
    stdin: &str,
) -> Result<Option<ExitCode>, Problem> {
    let Some(helper) = rules.other_registries()? else {
        return Ok(None);
    };
    let program = find(context.env, &helper, context.log)?;
    run(&program, verb, stdin.as_bytes()).map(Some)
}

/// The program of the helper that a rule names.
pub(super) fn find(env: &Env, helper: &Named, log: Log<'_>) -> Result<PathBuf, Problem> {
    let name = format!("{PREFIX}{}", helper.value);
    let names = search_path::file_names(&name);
    let dirs = env.program_dirs().into_iter();
    let mut candidates = dirs.flat_map(|dir| names.iter().map(move |name| dir.join(name)));
    let Some(program) = candidates.find(|program| is_program(program)) else {
        return Err(not_found(&name, helper));
    };
    if is_this_program(&program) {
        return Err(leads_back(&name, helper));
    }
    log.debug(format_args!(
        "not ECR's: handed on to {}",
        program.display()
    ));
    Ok(program)
}

/// Runs the other helper with what was read from standard input. Returns only what could not be
/// done by replacing this process.
fn run(program: &Path, verb: &str, stdin: &[u8]) -> Result<ExitCode, Problem> {
    let mut command = Command::new(program);
    command.arg(verb);
    let failed = |error: io::Error| cannot_run(program, &error);
    #[cfg(unix)]
    if let Some(reader) = filled_pipe(stdin).map_err(failed)? {
        use std::os::unix::process::CommandExt;
        return Err(failed(command.stdin(reader).exec()));
    }
    let mut child = command.stdin(Stdio::piped()).spawn().map_err(failed)?;
    if let Some(mut pipe) = child.stdin.take() {
        // A helper that does not read it still has its own exit status.
        let _ = pipe.write_all(stdin);
    }
    let status = child.wait().map_err(failed)?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// The logins that the other helper lists.
pub(super) fn list(program: &Path, limit: Duration) -> Result<BTreeMap<String, String>, Problem> {
    let mut command = Command::new(program);
    command
        .arg("list")
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut child = command
        .spawn()
        .map_err(|error| cannot_run(program, &error))?;
    let output = read_within(&mut child, limit);
    if output.is_none() {
        // It may have ended just now.
        let _ = child.kill();
    }
    let status = child.wait().map_err(|error| cannot_run(program, &error))?;
    match output.map(|bytes| serde_json::from_slice(&bytes)) {
        Some(Ok(logins)) if status.success() => Ok(logins),
        Some(_) => Err(bad_list(program)),
        None => Err(slow_list(program, limit)),
    }
}

/// All of its standard output; none if that takes too long.
fn read_within(child: &mut Child, limit: Duration) -> Option<Vec<u8>> {
    let stdout = child.stdout.take()?;
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // A truncated response is not JSON.
        let _ = stdout.take(LONGEST_LIST).read_to_end(&mut bytes);
        let _ = sender.send(bytes);
    });
    receiver.recv_timeout(limit).ok()
}

/// A pipe that holds these bytes; none if it has no room for them.
#[cfg(unix)]
fn filled_pipe(bytes: &[u8]) -> io::Result<Option<io::PipeReader>> {
    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
    let (reader, mut writer) = io::pipe()?;
    let flags = fcntl_getfl(&writer)?;
    fcntl_setfl(&writer, flags | OFlags::NONBLOCK)?;
    match writer.write_all(bytes) {
        Ok(()) => Ok(Some(reader)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(unix)]
fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(path: &Path) -> bool {
    path.is_file()
}

/// Whether running it would run this program again. (A copy of this program finds itself.)
fn is_this_program(path: &Path) -> bool {
    let Ok(own) = env::current_program() else {
        return false;
    };
    same_file(path, &own)
        || matches!((path.canonicalize(), own.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

#[cfg(unix)]
fn same_file(a: &Path, b: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let id = |path| std::fs::metadata(path).map(|m| (m.dev(), m.ino()));
    matches!((id(a), id(b)), (Ok(a), Ok(b)) if a == b)
}

#[cfg(not(unix))]
fn same_file(_: &Path, _: &Path) -> bool {
    false
}

fn configuration(cause: String, hint: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::Configuration, cause, hint)
}

fn not_found(name: &str, helper: &Named) -> Problem {
    configuration(
        format!(
            "{name} is not on PATH (other_registries, from {})",
            helper.named_by
        ),
        "install it, or correct other_registries",
    )
}

fn leads_back(name: &str, helper: &Named) -> Problem {
    configuration(
        format!(
            "{name} is this program itself (other_registries, from {})",
            helper.named_by
        ),
        "name the helper that keeps your other logins, or remove other_registries",
    )
}

fn cannot_run(program: &Path, error: &io::Error) -> Problem {
    configuration(
        format!("cannot run {}: {error}", program.display()),
        "check the program that other_registries names",
    )
}

fn bad_list(program: &Path) -> Problem {
    configuration(
        format!("{} did not list its logins", program.display()),
        format!("run {} list to see why", program.display()),
    )
}

fn slow_list(program: &Path, limit: Duration) -> Problem {
    configuration(
        format!(
            "{} did not list its logins within {limit:?}",
            program.display()
        ),
        "check the program that other_registries names",
    )
}
