//! Commands for people: what they share. The program's second name is `ecr-login`.
//!
//! Rules for their output: results on stdout, failures on stderr as cause and hint; plain text
//! when stdout is not a terminal; never a secret, but for `password`.

pub(super) mod args;
pub(super) mod identity;
pub(super) mod style;

use std::io;
use std::process::ExitCode;

use super::{Context, Verb, clear, configure, doctor, password, status};
use crate::nearest::nearest;
use crate::problem::{Problem, ProblemKind};
use crate::registry::{Registry, host_and_port};
use args::Parsed;

/// The name for people. Packages install it as a link.
pub(super) const NAME: &str = "ecr-login";

/// The commands. They take arguments, so none of them can be taken for a verb of the protocol.
pub(super) const COMMANDS: &[Verb] = &[
    Verb::with_arguments("configure", configure::run),
    // The name that gcloud uses.
    Verb::with_arguments("configure-docker", configure::run),
    Verb::with_arguments("status", status::run),
    Verb::with_arguments("doctor", doctor::run),
    Verb::with_arguments("password", password::run),
    Verb::with_arguments("clear", clear::run),
];

const USAGE: &str = "\
Passwords of Amazon ECR for docker, podman and other clients.

Usage: ecr-login COMMAND [OPTION]...

  configure  make docker or podman use this program for ECR registries
  status     show which AWS identity is used for each registry, and until when
  doctor     check everything between a client and AWS
  password   print the password of a registry
  clear      forget cached passwords and stored docker logins

ecr-login configure
ecr-login configure 111122223333 --region eu-west-1 --profile prod
ecr-login doctor 111122223333.dkr.ecr.eu-west-1.amazonaws.com

COMMAND --help explains a command; docker-credential-ecr-login(1) has the rest.
";

/// Prints the usage: `ecr-login` without a command.
pub(super) fn usage(context: &mut Context<'_>) -> io::Result<ExitCode> {
    context.io.stdout.write_all(USAGE.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// A first argument that is no command.
pub(super) fn unknown(context: &mut Context<'_>, command: &str) -> ExitCode {
    let names = COMMANDS.iter().map(|command| command.name);
    let hint = match nearest(command, names) {
        Some(name) => format!("did you mean {name}?"),
        None => "run ecr-login without arguments for the list of commands".to_owned(),
    };
    let cause = format!("unknown command {command:?}");
    let problem = Problem::new(ProblemKind::Configuration, cause, hint);
    fail(context, &problem)
}

/// Parses the arguments and runs the command, or prints its help.
pub(super) fn run(
    context: &mut Context<'_>,
    spec: &args::Spec,
    command: impl FnOnce(&mut Context<'_>, &Parsed) -> Result<ExitCode, CommandFailure>,
) -> io::Result<ExitCode> {
    let parsed = match args::parse(spec, context.arguments) {
        Ok(parsed) => parsed,
        Err(problem) => return Ok(fail(context, &problem)),
    };
    if parsed.help {
        context.io.stdout.write_all(spec.help.as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    match command(context, &parsed) {
        Ok(status) => Ok(status),
        Err(CommandFailure::Problem(problem)) => Ok(fail(context, &problem)),
        Err(CommandFailure::Io(error)) => Err(error),
    }
}

/// Why a command ended early.
pub(super) enum CommandFailure {
    Problem(Problem),
    /// stdout is closed.
    Io(io::Error),
}

impl From<Problem> for CommandFailure {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<io::Error> for CommandFailure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Prints a failure.
pub(super) fn fail(context: &mut Context<'_>, problem: &Problem) -> ExitCode {
    let home = context.env.home().map(|home| home.display().to_string());
    let short = |text: &str| match &home {
        Some(home) => shortened(text, home),
        None => text.to_owned(),
    };
    let (cause, hint) = (short(&problem.to_string()), short(problem.hint()));
    // A closed stderr is no reason to fail otherwise.
    let _ = match hint.as_str() {
        "" => writeln!(context.io.stderr, "{NAME}: {cause}"),
        hint => writeln!(context.io.stderr, "{NAME}: {cause}\nhint: {hint}"),
    };
    ExitCode::FAILURE
}

/// The text with `~/` for the home directory, as [`Env::shown`](crate::env::Env::shown) shows paths.
fn shortened(text: &str, home: &str) -> String {
    if !cfg!(windows) {
        return text.replace(&format!("{home}/"), "~/");
    }
    let home = format!("{home}\\");
    let mut pieces = text.split(&home);
    let mut done = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        // Characters that no name of a file has.
        let end = piece.find([':', '"', '<', '>', '|', '?', '*']);
        let (path, rest) = piece.split_at(end.unwrap_or(piece.len()));
        done.push_str("~/");
        done.push_str(&path.replace('\\', "/"));
        done.push_str(rest);
    }
    done
}

/// The registry that an argument names.
pub(super) fn registry(argument: &str) -> Result<Registry, Problem> {
    Registry::from_server_url(argument).ok_or_else(|| {
        Problem::new(
            ProblemKind::Configuration,
            format!("{argument:?} is not a registry of Amazon ECR"),
            "give a host such as 123456789012.dkr.ecr.us-east-1.amazonaws.com",
        )
    })
}

/// The registry that an argument names, by its host or by a name of the user's own; before it the
/// host, with its port, as clients call it.
pub(super) fn named_registry(
    context: &Context<'_>,
    argument: &str,
) -> Result<(String, Registry), Problem> {
    if let Some(registry) = Registry::from_server_url(argument) {
        return Ok((registry.host().to_owned(), registry));
    }
    match (context.rules()?.resolve(argument)?, host_and_port(argument)) {
        (Some(registry), Some(name)) => Ok((name.to_ascii_lowercase(), registry)),
        _ => registry(argument).map(|registry| (registry.host().to_owned(), registry)),
    }
}

/// `1 password`, `3 passwords`.
pub(super) fn count(number: usize, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    }
}
