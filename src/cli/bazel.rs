//! `get` as Bazel calls it: a JSON object with a URI, answered with request headers.
//!
//! The protocol is Bazel's credential-helper specification
//! (<https://github.com/EngFlow/credential-helper-spec>). docker calls `get` too, but never sends
//! a JSON object. Bazel also sends the URLs that a registry redirects to: those get no header, or
//! the storage behind them would refuse the request.

use std::io;
use std::process::ExitCode;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::SecondsFormat;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Context, explain};
use crate::protocol;
use crate::registry::Registry;

/// Whether a request is Bazel's.
pub(super) fn is_request(stdin: &str) -> bool {
    stdin.trim_start().starts_with('{')
}

#[derive(Deserialize)]
struct Request {
    uri: String,
}

#[derive(Serialize)]
struct Response<'a> {
    headers: Headers<'a>,
    expires: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Headers<'a> {
    authorization: [&'a str; 1],
}

pub(super) fn run(context: &mut Context<'_>, stdin: &str) -> io::Result<ExitCode> {
    let Ok(Request { uri }) = serde_json::from_str(stdin) else {
        explain(
            &mut context.io,
            "stdin is not a JSON object with a uri",
            "docker sends a registry's host, Bazel an object like {\"uri\": \"https://…\"}",
        );
        return Ok(ExitCode::FAILURE);
    };
    let Some(registry) = Registry::from_server_url(&uri) else {
        writeln!(context.io.stdout, "{{}}")?;
        return Ok(ExitCode::SUCCESS);
    };
    let cache = context.cache();
    let result = context.helper(cache.as_ref()).get(&registry);
    let io = &mut context.io;
    match result {
        Ok(token) => {
            let login = &token.login;
            // With all of their room at once, or growing would leave copies behind.
            let password = login.password.expose();
            let room = login.username.len() + 1 + password.len();
            let mut pair = Zeroizing::new(String::with_capacity(room));
            pair.extend([&login.username, ":", password]);
            let mut header = Zeroizing::new(String::with_capacity("Basic ".len() + 4 * room));
            header.push_str("Basic ");
            STANDARD.encode_string(pair.as_bytes(), &mut header);
            protocol::write_line(
                io.stdout,
                &Response {
                    headers: Headers {
                        authorization: [&header],
                    },
                    expires: token.expires_at.to_rfc3339_opts(SecondsFormat::Secs, true),
                },
            )?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            explain(io, &error, &error.hint());
            Ok(ExitCode::FAILURE)
        }
    }
}
