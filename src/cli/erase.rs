//! `erase`: removes a registry's stored login and its cached tokens of every principal.

use std::io;
use std::process::ExitCode;

use super::{Context, explain, other, refuse};
use crate::cache::Cache;
use crate::protocol::{self, Form};
use crate::settings;

pub(super) fn run(context: &mut Context<'_>) -> io::Result<ExitCode> {
    let read = protocol::read(context.io.stdin, Form::Url);
    let request =
        read.and_then(|stdin| protocol::server_url(stdin.expose()).map(|url| (stdin, url)));
    let (stdin, server_url) = match request {
        Ok(request) => request,
        Err(error) => return refuse(&mut context.io, format_args!("{error}")),
    };
    let registry = match other::registry_or_exit(context, "erase", &server_url, stdin.expose()) {
        Ok(registry) => registry,
        Err(status) => return status,
    };
    if settings::ignore_creds_storage(context.env) {
        return Ok(ExitCode::SUCCESS);
    }
    let Some(registry) = registry else {
        return Ok(ExitCode::SUCCESS);
    };
    // Also what was cached before the cache was disabled.
    let dir = match settings::cache_place(context.env) {
        Ok(Some(dir)) => dir,
        Ok(None) => return Ok(ExitCode::SUCCESS),
        Err(problem) => {
            explain(&mut context.io, &problem, problem.hint());
            return refuse(&mut context.io, format_args!("{problem}"));
        }
    };
    let io = &mut context.io;
    match Cache::open(dir, context.log).erase(registry.host()) {
        Ok(_) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            explain(io, &error, error.hint());
            refuse(io, format_args!("{error}"))
        }
    }
}
