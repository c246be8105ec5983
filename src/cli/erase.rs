//! `erase`: forgets a registry's kept login and its cached tokens, whoever they belong to.

use std::io;
use std::process::ExitCode;

use super::{Io, explain, refuse};
use crate::cache::Cache;
use crate::env::Env;
use crate::protocol;
use crate::registry::Registry;
use crate::settings;

pub(super) fn run(io: &mut Io<'_>, env: &Env, cache: Option<&Cache<'_>>) -> io::Result<ExitCode> {
    let request = protocol::read(io.stdin).and_then(|stdin| protocol::server_url(&stdin));
    let server_url = match request {
        Ok(server_url) => server_url,
        Err(error) => return refuse(io, format_args!("{error}")),
    };
    let registry = Registry::from_server_url(&server_url);
    match (registry, cache) {
        (Some(registry), Some(cache)) if !settings::ignore_creds_storage(env) => {
            match cache.erase(registry.host()) {
                Ok(_) => Ok(ExitCode::SUCCESS),
                Err(error) => {
                    explain(io, &error, error.hint());
                    refuse(io, format_args!("{error}"))
                }
            }
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}
