//! `get` as Bazel calls it: a JSON object with a URI, answered with request headers.
//!
//! The protocol is Bazel's credential-helper specification
//! (<https://github.com/EngFlow/credential-helper-spec>). docker calls `get` too, but never sends
//! a JSON object. Bazel also sends the URLs that a registry redirects to: those get no header, or
//! the storage behind them would refuse the request.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::SecondsFormat;
use serde::{Deserialize, Serialize};

use super::{Context, explain, get};
use crate::problem::{Problem, ProblemKind};
use crate::protocol;
use crate::registry::Service;
use crate::secret::{Secret, SecretBytes};

/// Bazel's own `--credential_helper_timeout` is 10 seconds, and then it says no more than that.
const LONGEST: Duration = Duration::from_secs(8);

/// Whether a request is Bazel's.
pub(super) fn is_request(stdin: &str) -> bool {
    stdin.trim_start().starts_with('{')
}

/// The scheme of requests without TLS.
const HTTP: &str = "http://";

#[derive(Deserialize)]
struct BazelRequest {
    uri: String,
}

#[derive(Serialize)]
struct BazelResponse<'a> {
    headers: Headers<'a>,
    expires: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Headers<'a> {
    authorization: [&'a str; 1],
}

pub(super) fn run(context: &mut Context<'_>, stdin: &str) -> io::Result<ExitCode> {
    let Ok(BazelRequest { uri }) = serde_json::from_str(stdin) else {
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
    if is_plain {
        return nothing(context);
    }
    let found = context.rules().and_then(|rules| get::target(&rules, &uri));
    let (registry, selection) = match found {
        Ok(Some(found)) => found,
        Ok(None) => return nothing(context),
        Err(problem) => return Ok(fail(context, &uri, &problem)),
    };
    match context.token(&registry, selection, Some(LONGEST)) {
        Ok(token) => {
            let login = &token.login;
            let header = basic_auth(&login.username, &login.password);
            protocol::write_line(
                context.io.stdout,
                &BazelResponse {
                    headers: Headers {
                        authorization: [header.expose()],
                    },
                    expires: token.expires_at.to_rfc3339_opts(SecondsFormat::Secs, true),
                },
            )?;
            Ok(ExitCode::SUCCESS)
        }
        // Anonymous pulls are allowed there.
        Err(problem)
            if problem.kind() == ProblemKind::NoCredentials
                && registry.service() == Service::EcrPublic =>
        {
            nothing(context)
        }
        Err(problem) => Ok(fail(context, &uri, &problem)),
    }
}

/// Says that the request needs no credentials.
fn nothing(context: &mut Context<'_>) -> io::Result<ExitCode> {
    writeln!(context.io.stdout, "{{}}")?;
    Ok(ExitCode::SUCCESS)
}

fn fail(context: &mut Context<'_>, uri: &str, problem: &Problem) -> ExitCode {
    let host = get::shown(uri);
    explain(
        &mut context.io,
        format_args!("{host}: {problem}"),
        problem.hint(),
    );
    ExitCode::FAILURE
}

/// The value of an Authorization header.
fn basic_auth(username: &str, password: &Secret) -> Secret {
    let password = password.expose();
    let room = username.len() + 1 + password.len();
    let mut pair = SecretBytes::with_capacity(room);
    for part in [username, ":", password] {
        pair.extend_from_slice(part.as_bytes());
    }
    let mut header = String::with_capacity("Basic ".len() + 4 * room);
    header.push_str("Basic ");
    STANDARD.encode_string(&*pair, &mut header);
    Secret::new(header)
}
