//! `get`: user and password for a server URL.

use std::io;
use std::process::ExitCode;

use super::{Context, bazel, explain, refuse};
use crate::protocol::{self, Form, NOT_FOUND};
use crate::registry::Registry;
use crate::settings;

pub(super) fn run(context: &mut Context<'_>) -> io::Result<ExitCode> {
    let stdin = match protocol::read(context.io.stdin, Form::Url) {
        Ok(stdin) => stdin,
        Err(error) => return refuse(&mut context.io, format_args!("{error}")),
    };
    if bazel::is_request(&stdin) {
        return bazel::run(context, &stdin);
    }
    let server_url = match protocol::server_url(&stdin) {
        Ok(server_url) => server_url,
        Err(error) => return refuse(&mut context.io, format_args!("{error}")),
    };
    let Some(registry) = Registry::from_server_url(&server_url) else {
        // docker calls a credsStore helper for every registry: nothing to report.
        return refuse(&mut context.io, format_args!("{NOT_FOUND}"));
    };
    let result = context.token(&registry);
    let strict = settings::strict(context.env);
    let io = &mut context.io;
    match result {
        Ok(token) => {
            protocol::write_login(io.stdout, &server_url, &token.login)?;
            Ok(ExitCode::SUCCESS)
        }
        Err(problem) => {
            explain(io, &problem, problem.hint());
            // Most clients stop at any other answer, some of them for images of other registries
            // as well.
            match strict {
                true => refuse(io, format_args!("{problem}")),
                false => refuse(io, format_args!("{NOT_FOUND}")),
            }
        }
    }
}
