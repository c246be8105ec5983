//! `clear`: forgets cached tokens and stored docker logins, of every principal.

use std::io;
use std::process::ExitCode;

use super::Context;
use super::people::args::{Parsed, Spec};
use super::people::{self, CommandFailure, count};
use crate::cache::{self, Cache, Erased};
use crate::problem::{Problem, ProblemKind};
use crate::settings;

const SPEC: Spec = Spec {
    command: "clear",
    help: "\
Forgets cached passwords and stored docker logins, of every AWS identity.

Usage: ecr-login clear [REGISTRY...]

Without registries, those of all registries. The next pull gets a new password.
",
    flags: &[],
    options: &[],
    most: usize::MAX,
};

pub(super) fn run(context: &mut Context<'_>) -> io::Result<ExitCode> {
    people::run(context, &SPEC, clear)
}

fn clear(context: &mut Context<'_>, arguments: &Parsed) -> Result<ExitCode, CommandFailure> {
    let registries = arguments.values.iter();
    let registries = registries.map(|value| people::named_registry(context, value));
    let registries = registries.collect::<Result<Vec<_>, _>>()?;
    let mut erased = Erased::default();
    // Also what was cached before the cache was disabled.
    if let Some(dir) = settings::cache_place(context.env)? {
        let cache = Cache::open(dir, context.log);
        let hosts = match registries.is_empty() {
            true => cache.hosts().map_err(problem)?,
            false => registries
                .iter()
                .map(|(_, registry)| registry.host().to_owned())
                .collect(),
        };
        for host in hosts {
            erased += cache.erase(&host).map_err(problem)?;
        }
    }
    let parts = [(erased.tokens, "password"), (erased.logins, "docker login")];
    let parts: Vec<_> = parts.into_iter().filter(|(n, _)| *n > 0).collect();
    let parts: Vec<_> = parts.into_iter().map(|(n, noun)| count(n, noun)).collect();
    match parts.is_empty() {
        true => writeln!(context.io.stdout, "nothing to forget")?,
        false => writeln!(context.io.stdout, "forgot {}", parts.join(" and "))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn problem(error: cache::CacheError) -> Problem {
    Problem::new(ProblemKind::Configuration, error.to_string(), error.hint())
}
