//! `doctor`: every check between a client and AWS, for one registry. It never stops at the first
//! failure; a check that an earlier failure makes pointless is reported as not checked.

mod aws;
mod clients;
mod image;
mod network;
mod push;
mod redact;
mod refusal;
mod registry;
mod visit;

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;

use super::Context;
use super::people::args::{self, Parsed, Spec};
use super::people::style::Style;
use super::people::{self, CommandFailure, count};
use crate::clients::HELPER;
use crate::clients::auth_file::{self, AuthFile};
use crate::env::{Env, HOME};
use crate::problem::Problem;
use crate::registry::Registry;
use image::Image;

const SPEC: Spec = Spec {
    command: "doctor",
    help: "\
Checks everything between a client and AWS: the configuration of docker and
podman, which program they find, the AWS identity, the network, a new password,
whether the registry accepts it, the cache.

Usage: ecr-login doctor [OPTION]... [REGISTRY | IMAGE]

Without a registry, the first that docker's configuration gives to this program.
Of an image, also whether it exists and may be pulled.

  --push    also whether the image may be pushed; pushes nothing
  --json    print a JSON object
  --redact  mask account IDs, names and paths, for a bug report

ecr-login doctor 123456789012.dkr.ecr.us-east-1.amazonaws.com/team/app:1.0
",
    flags: &["json", "push", "redact"],
    options: &[],
    most: 1,
};

pub(super) fn run(context: &mut Context<'_>) -> io::Result<ExitCode> {
    people::run(context, &SPEC, doctor)
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Ok,
    Warning,
    Failed,
    NotChecked,
}

/// One check.
#[derive(Debug, Serialize)]
struct Check {
    status: Status,
    about: &'static str,
    text: String,
    hint: Option<String>,
}

impl Check {
    fn ok(about: &'static str, text: impl Into<String>) -> Self {
        Self {
            status: Status::Ok,
            about,
            text: text.into(),
            hint: None,
        }
    }

    fn warning(about: &'static str, text: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            status: Status::Warning,
            hint: Some(hint.into()),
            ..Self::ok(about, text)
        }
    }

    fn failed(about: &'static str, problem: &Problem) -> Self {
        Self {
            status: Status::Failed,
            hint: Some(problem.hint().to_owned()).filter(|hint| !hint.is_empty()),
            ..Self::ok(about, problem.to_string())
        }
    }

    fn is_failed(&self) -> bool {
        self.status == Status::Failed
    }

    fn not_checked(about: &'static str, text: impl Into<String>) -> Self {
        Self {
            status: Status::NotChecked,
            ..Self::ok(about, text)
        }
    }
}

#[derive(Serialize)]
struct DoctorReport {
    ok: bool,
    registry: Option<String>,
    checks: Vec<Check>,
}

/// The subject of the checks.
#[derive(Debug)]
struct DoctorSubject {
    /// As clients call it: the host of a registry, or a name of the user's own, with its port.
    host: String,
    /// The registry of that host, or the one behind the name.
    registry: Registry,
    image: Option<Image>,
}

impl DoctorSubject {
    fn parse(context: &Context<'_>, argument: &str) -> Result<Self, Problem> {
        let (host, registry) = people::named_registry(context, argument)?;
        let image = match (argument.contains("://"), argument.split_once('/')) {
            (false, Some((_, path))) => Image::parse(path)?,
            _ => None,
        };
        Ok(Self {
            host,
            registry,
            image,
        })
    }

    fn is_own_name(&self) -> bool {
        self.host != self.registry.host()
    }

    /// The host without its port.
    fn name(&self) -> &str {
        self.host.split(':').next().unwrap_or_default()
    }

    fn port(&self) -> u16 {
        let port = self.host.split(':').nth(1);
        port.and_then(|port| port.parse().ok()).unwrap_or(443)
    }
}

/// How long one request of this command may take.
fn limit(env: &Env) -> Duration {
    const LONGEST: Duration = Duration::from_secs(10);
    crate::settings::timeout(env, false, None).min(LONGEST)
}

fn doctor(context: &mut Context<'_>, arguments: &Parsed) -> Result<ExitCode, CommandFailure> {
    match examine(context, arguments) {
        Err(CommandFailure::Problem(problem)) if arguments.has("redact") => {
            Err(redact::problem(context, &problem).into())
        }
        done => done,
    }
}

fn examine(context: &mut Context<'_>, arguments: &Parsed) -> Result<ExitCode, CommandFailure> {
    let subject = match arguments.values.first() {
        Some(value) => Some(DoctorSubject::parse(context, value)?),
        None => configured(context),
    };
    let image = subject.as_ref().and_then(|subject| subject.image.as_ref());
    if arguments.has("push") && image.is_none() {
        let is_url = |value: &String| value.contains("://");
        let (cause, hint) = match arguments.values.first().is_some_and(is_url) {
            true => (
                "--push needs an image, and this is a URL",
                "leave out the scheme: HOST/team/app:1.0",
            ),
            false => (
                "--push needs an image",
                "give an image such as HOST/team/app:1.0",
            ),
        };
        return Err(args::misused(&SPEC, cause.to_owned(), Some(hint.to_owned())).into());
    }
    let mut checks = settings(context.env);
    checks.extend(clients::check(context, subject.as_ref()));
    checks.extend(aws::check(context, subject.as_ref(), arguments.has("push")));
    checks.push(cache(context));
    let mut report = DoctorReport {
        ok: !checks.iter().any(Check::is_failed),
        registry: subject.as_ref().map(|subject| subject.host.clone()),
        checks,
    };
    if arguments.has("redact") {
        redact::report(context, subject.as_ref(), &mut report);
    }
    match arguments.has("json") {
        true => crate::protocol::write_line(context.io.stdout, &report)?,
        false => print(context, &report)?,
    }
    Ok(match report.ok {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// The first registry that docker's configuration gives to this program.
fn configured(context: &Context<'_>) -> Option<DoctorSubject> {
    let file = AuthFile::read(&auth_file::docker_path(context.env)?).ok()??;
    let mut ours = file
        .cred_helpers
        .iter()
        .filter(|(_, helper)| *helper == HELPER);
    ours.find_map(|(host, _)| DoctorSubject::parse(context, host).ok())
}

/// The variables of this program that do not do what they seem to.
fn settings(env: &Env) -> Vec<Check> {
    let mistakes = crate::settings::mistakes(env).into_iter();
    mistakes
        .map(|mistake| Check::warning("settings", mistake.to_string(), mistake.hint()))
        .collect()
}

fn cache(context: &Context<'_>) -> Check {
    const ABOUT: &str = "cache";
    let cache = match context.cache() {
        Ok(Some(cache)) => cache,
        Ok(None) => {
            let hint = format!("unset AWS_ECR_DISABLE_CACHE, or set {HOME} or AWS_ECR_CACHE_DIR");
            return Check::warning(ABOUT, "not used: every pull calls AWS", hint);
        }
        Err(problem) => return Check::failed(ABOUT, &problem),
    };
    let place = match crate::settings::cache_place(context.env) {
        Ok(Some(dir)) => context.env.shown(&dir),
        _ => String::new(),
    };
    match cache.check_place().and_then(|()| cache.hosts()) {
        Ok(hosts) => {
            let registries = match hosts.len() {
                1 => "1 registry".to_owned(),
                number => format!("{number} registries"),
            };
            Check::ok(ABOUT, format!("{place}: {registries}"))
        }
        Err(error) => Check::warning(ABOUT, format!("not used: {error}"), error.hint()),
    }
}

fn print(context: &mut Context<'_>, report: &DoctorReport) -> io::Result<()> {
    let style = Style::of(context.env);
    let stdout = &mut context.io.stdout;
    if let Some(registry) = &report.registry {
        writeln!(stdout, "{registry}")?;
    }
    for check in &report.checks {
        let mark = style.mark(
            check.status == Status::Ok,
            match check.status {
                Status::Ok => ("✓", "ok"),
                Status::Warning => ("!", "warning"),
                Status::Failed => ("✗", "failed"),
                Status::NotChecked => ("-", "not checked"),
            },
        );
        writeln!(stdout, "{mark}  {}: {}", check.about, check.text)?;
        if let Some(hint) = &check.hint {
            writeln!(stdout, "{}hint: {hint}", " ".repeat(style.mark_width() + 2))?;
        }
    }
    let number = |status| {
        report
            .checks
            .iter()
            .filter(|check| check.status == status)
            .count()
    };
    let verdict = match (number(Status::Failed), number(Status::Warning)) {
        (0, 0) => style.good("All is well."),
        (0, warnings) => count(warnings, "warning"),
        (problems, 0) => style.bad(&count(problems, "problem")),
        (problems, warnings) => {
            let text = format!(
                "{}, {}",
                count(problems, "problem"),
                count(warnings, "warning")
            );
            style.bad(&text)
        }
    };
    writeln!(stdout, "{verdict}")
}
