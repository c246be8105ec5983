//! `erase`: removes a registry's stored login and its cached tokens of every principal.

use std::io;
use std::process::ExitCode;

use super::{Context, explain, refuse};
use crate::cache::Cache;
use crate::protocol::{self, Form};
use crate::registry::Registry;
use crate::settings;

pub(super) fn run(context: &mut Context<'_>) -> io::Result<ExitCode> {
    let io = &mut context.io;
    let request =
        protocol::read(io.stdin, Form::Url).and_then(|stdin| protocol::server_url(&stdin));
    let server_url = match request {
        Ok(server_url) => server_url,
        Err(error) => return refuse(io, format_args!("{error}")),
    };
    if settings::ignore_creds_storage(context.env) {
        return Ok(ExitCode::SUCCESS);
    }
    let Some(registry) = Registry::from_server_url(&server_url) else {
        return Ok(ExitCode::SUCCESS);
    };
    // Also what was cached before the cache was disabled.
    let dir = match settings::cache_place(context.env) {
        Ok(Some(dir)) => dir,
        Ok(None) => return Ok(ExitCode::SUCCESS),
        Err(problem) => {
            explain(io, &problem, problem.hint());
            return refuse(io, format_args!("{problem}"));
        }
    };
    match Cache::open(dir, context.log).erase(registry.host()) {
        Ok(_) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            explain(io, &error, error.hint());
            refuse(io, format_args!("{error}"))
        }
    }
}
