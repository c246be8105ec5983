//! `get`: user and password for a server URL.

use std::io;
use std::process::ExitCode;

use super::{Context, bazel, explain, other, refuse};
use crate::principal::Selection;
use crate::problem::{Problem, ProblemKind};
use crate::protocol::{self, Form, NOT_FOUND};
use crate::registry::{Registry, Service, host_and_port};
use crate::rules::Rules;
use crate::settings;

pub(super) fn run(context: &mut Context<'_>) -> io::Result<ExitCode> {
    let request = match protocol::read(context.io.stdin, Form::Url) {
        Ok(stdin) => stdin,
        Err(error) => return refuse(&mut context.io, format_args!("{error}")),
    };
    let stdin = request.expose();
    if bazel::is_request(stdin) {
        return bazel::run(context, stdin);
    }
    let server_url = match protocol::server_url(stdin) {
        Ok(server_url) => server_url,
        Err(error) => return refuse(&mut context.io, format_args!("{error}")),
    };
    let rules = match context.rules() {
        Ok(rules) => rules,
        Err(problem) => return fail(context, &server_url, &problem),
    };
    let (registry, selection) = match target(&rules, &server_url) {
        Ok(Some(found)) => found,
        Ok(None) => return not_ecr(context, &rules, &server_url, stdin),
        Err(problem) => return fail(context, &server_url, &problem),
    };
    match context.token(&registry, selection, None) {
        Ok(token) => {
            protocol::write_login(context.io.stdout, &server_url, &token.login)?;
            Ok(ExitCode::SUCCESS)
        }
        // Anonymous pulls are allowed there. All of it is in the debug log.
        Err(problem)
            if problem.kind() == ProblemKind::NoCredentials
                && registry.service() == Service::EcrPublic
                && !settings::strict(context.env) =>
        {
            refuse(&mut context.io, format_args!("{NOT_FOUND}"))
        }
        Err(problem) => fail(context, &server_url, &problem),
    }
}

/// The registry that a server URL means, and what the rules decide about it.
pub(super) fn target(
    rules: &Rules,
    server_url: &str,
) -> Result<Option<(Registry, Selection)>, Problem> {
    let Some(registry) = rules.resolve(server_url)? else {
        return Ok(None);
    };
    let selection = rules.selection(&registry)?;
    Ok(Some((registry, selection)))
}

/// docker calls a credsStore helper for every registry.
fn not_ecr(
    context: &mut Context<'_>,
    rules: &Rules,
    server_url: &str,
    stdin: &str,
) -> io::Result<ExitCode> {
    let log = context.log;
    if log.is_on() {
        let host = shown(server_url);
        let why = Registry::why_not(server_url);
        log.debug(format_args!("{host} is not a registry of ECR: {why}"));
    }
    match other::run_named(context, rules, "get", stdin) {
        Ok(Some(status)) => Ok(status),
        // Nothing to report.
        Ok(None) => refuse(&mut context.io, format_args!("{NOT_FOUND}")),
        Err(problem) => fail(context, server_url, &problem),
    }
}

fn fail(context: &mut Context<'_>, server_url: &str, problem: &Problem) -> io::Result<ExitCode> {
    let strict = settings::strict(context.env);
    let io = &mut context.io;
    let host = shown(server_url);
    explain(io, format_args!("{host}: {problem}"), problem.hint());
    // Most clients stop at any other answer, some of them for images of other registries as well.
    match strict {
        true => refuse(io, format_args!("{host}: {problem}")),
        false => refuse(io, format_args!("{NOT_FOUND}")),
    }
}

/// The part of a server URL that may be shown: there may be a password in the rest.
pub(super) fn shown(server_url: &str) -> &str {
    host_and_port(server_url).unwrap_or("the server URL")
}
