//! `get` as Bazel calls it: a JSON object with a URI, answered with request headers.
//!
//! The protocol is Bazel's credential-helper specification
//! (<https://github.com/EngFlow/credential-helper-spec>). docker calls `get` too, but never sends
//! a JSON object. Bazel also sends the URLs that a registry redirects to: those get no header, or
//! the storage behind them would refuse the request.

use std::io;
use std::process::ExitCode;

use super::{Context, explain};
use crate::protocol;
use crate::registry::Registry;
use crate::secret::{self, Secret};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::SecondsFormat;
use serde::{Deserialize, Serialize};

/// Whether a request is Bazel's.
pub(super) fn is_request(stdin: &str) -> bool {
    stdin.trim_start().starts_with('{')
}

/// The scheme of requests without TLS.
const HTTP: &str = "http://";

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
            "send a registry's host, as docker does, or an object like {\"uri\": \"https://…\"}",
        );
        return Ok(ExitCode::FAILURE);
    };
    // Basic authentication never travels in clear.
    let is_plain = uri
        .get(..HTTP.len())
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case(HTTP));
    let Some(registry) = Registry::from_server_url(&uri).filter(|_| !is_plain) else {
        writeln!(context.io.stdout, "{{}}")?;
        return Ok(ExitCode::SUCCESS);
    };
    let result = context.token(&registry);
    let io = &mut context.io;
    match result {
        Ok(token) => {
            let login = &token.login;
            let header = basic_auth(&login.username, &login.password);
            protocol::write_line(
                io.stdout,
                &Response {
                    headers: Headers {
                        authorization: [header.expose()],
                    },
                    expires: token.expires_at.to_rfc3339_opts(SecondsFormat::Secs, true),
                },
            )?;
            Ok(ExitCode::SUCCESS)
        }
        Err(problem) => {
            explain(io, &problem, problem.hint());
            Ok(ExitCode::FAILURE)
        }
    }
}

/// The value of an Authorization header.
fn basic_auth(username: &str, password: &Secret) -> Secret {
    let password = password.expose();
    let room = username.len() + 1 + password.len();
    let mut pair = secret::buffer(room);
    for part in [username, ":", password] {
        pair.extend_from_slice(part.as_bytes());
    }
    let mut header = String::with_capacity("Basic ".len() + 4 * room);
    header.push_str("Basic ");
    STANDARD.encode_string(&*pair, &mut header);
    Secret::new(header)
}
