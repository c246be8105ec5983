//! `status`: which identity would be used for each registry, why, and what is cached. It reads
//! local files only: no network, no process.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::process::ExitCode;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use super::people::args::{Parsed, Spec};
use super::people::style::{self, Style};
use super::people::{self, CommandFailure};
use super::{Context, list};
use crate::cache::Held;
use crate::clients::auth_file::{self, AuthFile};
use crate::clients::{HELPER, podman};
use crate::fs::read_bounded;
use crate::principal::{self, Plan, Source, Surroundings};
use crate::problem::{Problem, ProblemKind};
use crate::registry::{Registry, Service};
use crate::rules::Rules;

const SPEC: Spec = Spec {
    command: "status",
    help: "\
Shows which AWS identity would be used for each registry, why, and until when a
password is cached. Without network. Fails if one of them cannot work.

Usage: ecr-login status [OPTION]... [REGISTRY]...

Without registries, those that docker, podman and the cache know.

  --json  print a JSON object; docker-credential-ecr-login(1) describes it
",
    flags: &["json"],
    options: &[],
    most: usize::MAX,
};

/// No file of a session has this size, in bytes.
const LONGEST_SESSION: usize = 1 << 20;

pub(super) fn run(context: &mut Context<'_>) -> io::Result<ExitCode> {
    people::run(context, &SPEC, status)
}

/// The state of one registry. The fields of `--json` are documented.
#[derive(Debug, Serialize)]
struct Row {
    registry: String,
    /// For people; none if there are no credentials.
    who: Option<String>,
    profile: Option<String>,
    source: Option<&'static str>,
    cached_until: Option<Time>,
    stored_login_until: Option<Time>,
    problem: Option<String>,
    hint: Option<String>,
}

/// A session that the user has to renew now and then.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct SessionRow {
    name: String,
    expires_at: Option<Time>,
    expired: bool,
    /// Whether it is renewed without the user.
    renewable: bool,
    /// The command that renews it.
    login: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Time(DateTime<Utc>);

impl Serialize for Time {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_rfc3339_opts(SecondsFormat::Secs, true))
    }
}

#[derive(Serialize)]
struct StatusReport {
    ok: bool,
    registries: Vec<Row>,
    sessions: BTreeSet<SessionRow>,
}

fn status(context: &mut Context<'_>, arguments: &Parsed) -> Result<ExitCode, CommandFailure> {
    let now = (context.clock)();
    let held = context
        .cache()?
        .map(|cache| cache.held(now))
        .unwrap_or_default();
    let rules = context.rules()?;
    let registries = registries(context, arguments, &held, &rules)?;
    let surroundings = Surroundings::read(context.env, context.log);
    let mut report = StatusReport {
        ok: true,
        registries: Vec::new(),
        sessions: BTreeSet::new(),
    };
    for registry in registries.values() {
        let held = held
            .iter()
            .filter(|held| held.host == registry.host())
            .collect::<Vec<_>>();
        let mut named_by = None;
        let plan = rules.selection(registry).and_then(|selection| {
            named_by = selection
                .profile
                .as_ref()
                .map(|profile| short(&profile.named_by).to_owned());
            let plan = principal::plan(&surroundings, registry, &selection);
            plan.map_err(|problem| selection.blame(problem))
        });
        let session = plan.as_ref().ok().and_then(|plan| session(plan, now));
        let mut row = row(&surroundings, registry, plan, &held, session.as_ref());
        if let (Some(profile), Some(named_by)) = (&row.profile, named_by) {
            row.who = Some(format!("profile {profile} ({named_by})"));
        }
        report.ok &= row.problem.is_none();
        report.sessions.extend(session);
        report.registries.push(row);
    }
    match arguments.has("json") {
        true => crate::protocol::write_line(context.io.stdout, &report)?,
        false => print(context, &report, now)?,
    }
    Ok(match report.ok {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// The file or variable in what a selection says of its origin.
fn short(named_by: &str) -> &str {
    let file = named_by
        .split_once("] in ")
        .map_or(named_by, |(_, rest)| rest);
    file.rsplit_once(", line ").map_or(file, |(file, _)| file)
}

/// The registries that are named, or those that the clients and the cache know.
fn registries(
    context: &Context<'_>,
    arguments: &Parsed,
    held: &[Held],
    rules: &Rules,
) -> Result<BTreeMap<String, Registry>, Problem> {
    let mut registries = Vec::new();
    for value in &arguments.values {
        registries.push(people::named_registry(context, value)?.1);
    }
    if registries.is_empty() {
        let docker = auth_file::docker_path(context.env);
        for path in docker.into_iter().chain(podman::auth_files(context.env)) {
            let file = AuthFile::read(&path)?.unwrap_or_default();
            let ours = file
                .cred_helpers
                .iter()
                .filter(|(_, helper)| *helper == HELPER);
            registries.extend(ours.filter_map(|(host, _)| Registry::from_server_url(host)));
        }
        registries.extend(rules.hosts().into_iter().map(|(_, registry)| registry));
        registries.extend(
            held.iter()
                .filter_map(|held| Registry::from_server_url(&held.host)),
        );
    }
    let by_host = registries
        .into_iter()
        .map(|registry| (registry.host().to_owned(), registry));
    Ok(by_host.collect())
}

fn row(
    surroundings: &Surroundings,
    registry: &Registry,
    plan: Result<Plan, Problem>,
    held: &[&Held],
    session: Option<&SessionRow>,
) -> Row {
    let logins = held.iter().filter(|held| held.key.is_none());
    let stored_login_until = logins.map(|held| Time(held.expires_at)).max();
    let mut row = Row {
        registry: registry.host().to_owned(),
        who: None,
        profile: None,
        source: None,
        cached_until: None,
        stored_login_until,
        problem: None,
        hint: None,
    };
    let fail = |row: &mut Row, cause: String, hint: &str| {
        row.problem = Some(cause);
        row.hint = Some(hint.to_owned()).filter(|hint| !hint.is_empty());
    };
    match plan {
        Ok(plan) => {
            let ours = held
                .iter()
                .filter(|held| held.key.is_some() && list::serves(held, Ok(&plan), false));
            row.cached_until = ours.map(|held| Time(held.expires_at)).max();
            row.who = Some(who(surroundings, &plan));
            row.source = Some(plan.source_kind());
            row.profile = plan.profile;
            let over = session.filter(|session| session.expired && !session.renewable);
            if let (Some(session), None) = (over, row.cached_until) {
                fail(
                    &mut row,
                    format!("{} has expired", session.name),
                    &session.login,
                );
            }
        }
        Err(problem) if problem.kind() == ProblemKind::NoCredentials => {
            if row.stored_login_until.is_some() {
                row.who = Some("docker login".to_owned());
                row.cached_until = row.stored_login_until;
            } else if registry.service() == Service::EcrPublic {
                row.who = Some("none: anonymous pulls only".to_owned());
            } else {
                fail(&mut row, problem.to_string(), problem.hint());
            }
        }
        Err(problem) => fail(&mut row, problem.to_string(), problem.hint()),
    }
    row
}

/// The principal that would be used, and the setting that selects it.
fn who(surroundings: &Surroundings, plan: &Plan) -> String {
    match &plan.profile {
        Some(profile) => match surroundings.profile_variable(profile) {
            Some(variable) => format!("profile {profile} ({variable})"),
            None => format!("profile {profile}"),
        },
        None => match &plan.source {
            Source::Environment(keys) => format!("{} (AWS_ACCESS_KEY_ID)", keys.access_key_id),
            Source::WebIdentity(web) => format!("{} (AWS_ROLE_ARN)", web.role_arn),
            source => source.describe().to_owned(),
        },
    }
}

/// The session that the plan depends on, if any.
fn session(plan: &Plan, now: DateTime<Utc>) -> Option<SessionRow> {
    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct StoredSession {
        expires_at: Option<String>,
        refresh_token: Option<zeroize::Zeroizing<String>>,
        access_token: Option<StoredAccess>,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum StoredAccess {
        Login {
            #[serde(rename = "expiresAt")]
            expires_at: String,
        },
        Other(serde::de::IgnoredAny),
    }
    let (name, path, login) = match &plan.source {
        Source::Sso(sso) => {
            let name = sso.session.as_ref().unwrap_or(&sso.start_url);
            let login = format!("run aws sso login --profile {}", sso.profile);
            (format!("SSO session {name}"), &sso.login_file, login)
        }
        Source::Login(login) => {
            let name = format!("session of aws login for profile {}", login.profile);
            let command = format!("run aws login --profile {}", login.profile);
            (name, &login.login_file, command)
        }
        _ => return None,
    };
    let bytes = read_bounded(path, LONGEST_SESSION).map(zeroize::Zeroizing::new);
    let file = bytes
        .ok()
        .and_then(|bytes| serde_json::from_slice::<StoredSession>(&bytes).ok());
    let file = file.unwrap_or_default();
    let text = match (&file.expires_at, &file.access_token) {
        (None, Some(StoredAccess::Login { expires_at })) => Some(expires_at),
        (text, _) => text.as_ref(),
    };
    let expires_at = text.and_then(|text| DateTime::parse_from_rfc3339(text).ok());
    let expires_at = expires_at.map(|at| Time(at.to_utc()));
    Some(SessionRow {
        name,
        expired: expires_at.is_none_or(|at| at.0 <= now),
        expires_at,
        renewable: file.refresh_token.is_some_and(|token| !token.is_empty()),
        login,
    })
}

fn print(context: &mut Context<'_>, report: &StatusReport, now: DateTime<Utc>) -> io::Result<()> {
    let style = Style::of(context.env);
    let env = context.env;
    let until = |at: Option<Time>| at.map(|at| style::until(env, at.0, now));
    let stdout = &mut context.io.stdout;
    if report.registries.is_empty() {
        return writeln!(
            stdout,
            "no registry is configured; ecr-login configure adds one"
        );
    }
    let rows: Vec<_> = report
        .registries
        .iter()
        .map(|row| {
            let who = row.who.clone().unwrap_or_else(|| "-".to_owned());
            [
                row.registry.clone(),
                who,
                until(row.cached_until).unwrap_or_else(|| "-".to_owned()),
            ]
        })
        .collect();
    let heads = ["REGISTRY", "WHO", "CACHED UNTIL"].map(str::to_owned);
    let width = |column: usize| {
        let cells = rows
            .iter()
            .chain([&heads])
            .map(|row| row[column].chars().count());
        cells.max().unwrap_or_default()
    };
    let (first, second) = (width(0), width(1));
    for [registry, who, until] in [&heads].into_iter().chain(&rows) {
        writeln!(stdout, "{registry:first$}  {who:second$}  {until}")?;
    }
    for session in &report.sessions {
        let name = &session.name;
        match (until(session.expires_at), session.expired) {
            (Some(until), false) => writeln!(stdout, "{name}: valid until {until}")?,
            _ if session.renewable => writeln!(stdout, "{name}: renewed with the next password")?,
            _ => writeln!(stdout, "{name}: {}", style.bad("expired"))?,
        }
    }
    for row in &report.registries {
        let host = &row.registry;
        if let Some(problem) = &row.problem {
            writeln!(stdout, "{} {host}: {problem}", style.bad("failed:"))?;
            if let Some(hint) = &row.hint {
                writeln!(stdout, "hint: {hint}")?;
            }
        }
        if let Some(until) = until(row.stored_login_until) {
            writeln!(
                stdout,
                "{host}: docker login stored until {until}; used without AWS credentials only"
            )?;
        }
    }
    Ok(())
}
