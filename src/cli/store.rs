//! `store`: what `docker login` hands over.
//!
//! docker fails a login whose `store` fails, so for ECR it succeeds. The login itself is kept
//! only as a last resort, and only as long as its own expiry says.

use std::io;
use std::process::ExitCode;

use super::{Context, refuse};
use crate::protocol;
use crate::registry::Registry;
use crate::settings;
use crate::token;

pub(super) fn run(context: &mut Context<'_>) -> io::Result<ExitCode> {
    let (env, log) = (context.env, context.log);
    let cache = context.cache();
    let io = &mut context.io;
    let request = protocol::read(io.stdin).and_then(|stdin| protocol::credentials(&stdin));
    let credentials = match request {
        Ok(credentials) => credentials,
        Err(error) => return refuse(io, format_args!("{error}")),
    };
    if settings::ignore_creds_storage(env) {
        return Ok(ExitCode::SUCCESS);
    }
    let Some(registry) = Registry::from_server_url(&credentials.server_url) else {
        return refuse(
            io,
            format_args!(
                "this helper stores only Amazon ECR logins: in docker's config.json replace \
                 \"credsStore\": \"ecr-login\" with \"credHelpers\": {{\"<your ECR registry>\": \
                 \"ecr-login\"}}"
            ),
        );
    };
    let login = &credentials.login;
    let now = (context.clock)();
    let expiry = token::expiration_of(&login.password).filter(|at| *at > now);
    let (Some(cache), Some(expires_at), "AWS") = (&cache, expiry, login.username.as_str()) else {
        log.debug(format_args!(
            "login accepted, not kept: no cache, or not a token of ECR's"
        ));
        return Ok(ExitCode::SUCCESS);
    };
    if cache.holds_password(registry.host(), &login.password) {
        log.debug(format_args!(
            "login accepted, not kept: it is our own cached token"
        ));
        return Ok(ExitCode::SUCCESS);
    }
    let expires_at = expires_at.min(now + token::LIFETIME);
    if let Err(error) = cache.keep_login(registry.host(), login, expires_at, now) {
        log.debug(format_args!("login accepted, not kept: {error}"));
    }
    Ok(ExitCode::SUCCESS)
}
