//! `store`: the login that `docker login` hands over.
//!
//! docker fails a login whose `store` fails, so for ECR it succeeds. The login serves only where
//! there are no AWS credentials at all, and only until its own expiry.

use std::io;
use std::process::ExitCode;

use super::{Context, explain, other, refuse};
use crate::protocol::{self, Form};
use crate::settings;
use crate::token;

pub(super) fn run(context: &mut Context<'_>) -> io::Result<ExitCode> {
    let (env, log) = (context.env, context.log);
    let read = protocol::read(context.io.stdin, Form::Json);
    let request =
        read.and_then(|stdin| protocol::credentials(stdin.expose()).map(|found| (stdin, found)));
    let (stdin, credentials) = match request {
        Ok(request) => request,
        Err(error) => return refuse(&mut context.io, format_args!("{error}")),
    };
    let registry =
        match other::registry_or_exit(context, "store", &credentials.server_url, stdin.expose()) {
            Ok(registry) => registry,
            Err(status) => return status,
        };
    if settings::ignore_creds_storage(env) {
        return Ok(ExitCode::SUCCESS);
    }
    let cache = context.cache();
    let io = &mut context.io;
    let Some(registry) = registry else {
        return refuse(
            io,
            format_args!(
                "this helper stores only Amazon ECR logins: in docker's config.json replace \
                 \"credsStore\": \"ecr-login\" with \"credHelpers\": {{\"<your ECR registry>\": \
                 \"ecr-login\"}}, or name the helper for other registries in ~/.aws/ecr-login"
            ),
        );
    };
    let cache = match cache {
        Ok(cache) => cache,
        Err(problem) => {
            explain(io, &problem, problem.hint());
            return refuse(io, format_args!("{problem}"));
        }
    };
    let login = &credentials.login;
    let now = (context.clock)();
    let expiry = token::expiration_of(&login.password).filter(|at| *at > now);
    let (Some(cache), Some(expires_at), "AWS") = (&cache, expiry, login.username.as_str()) else {
        log.debug(format_args!(
            "login accepted, not stored: no cache, or not a token of ECR"
        ));
        return Ok(ExitCode::SUCCESS);
    };
    if cache.has_issued(registry.host(), &login.password) {
        log.debug(format_args!(
            "login accepted, not stored: this program issued the password"
        ));
        return Ok(ExitCode::SUCCESS);
    }
    let expires_at = expires_at.min(now + token::LIFETIME);
    if let Err(error) = cache.store_login(&registry, login, expires_at, now) {
        log.debug(format_args!("login accepted, not stored: {error}"));
    }
    Ok(ExitCode::SUCCESS)
}
