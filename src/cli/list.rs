//! `list`: the hosts that `get` can serve, as far as local facts show.
//!
//! docker's legacy build and the GitLab runner call `get` for every host in this list, and one
//! failure loses the credentials of all the others: so only hosts that can be served are listed. No
//! network requests, and no process but the helper for other registries, where the rules name one.

use std::collections::BTreeMap;
use std::io;
use std::process::ExitCode;

use serde::Deserialize;

use super::{Context, explain, other, refuse};
use crate::cache::Held;
use crate::env::Env;
use crate::fs::read_bounded;
use crate::principal::{self, Identity, Plan, Surroundings};
use crate::problem::{Problem, ProblemKind};
use crate::protocol;
use crate::registry::Registry;
use crate::rules::Rules;
use crate::settings;

/// In bytes: an upper bound for config.json.
const LONGEST_CONFIG: usize = 16 << 20;

/// ECR documents no other user name.
const USERNAME: &str = "AWS";

pub(super) fn run(context: &mut Context<'_>) -> io::Result<ExitCode> {
    let mut hosts = BTreeMap::new();
    let cache = match context.cache() {
        Ok(cache) => cache,
        Err(problem) => {
            explain(&mut context.io, &problem, problem.hint());
            return refuse(&mut context.io, format_args!("{problem}"));
        }
    };
    let rules = match context.rules() {
        Ok(rules) => rules,
        // Then `get` serves none of them either.
        Err(problem) => {
            explain(&mut context.io, &problem, problem.hint());
            protocol::write_line(context.io.stdout, &hosts)?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    let surroundings = Surroundings::read(context.env, context.log);
    let plan = |registry: &Registry| {
        let selection = rules.selection(registry)?;
        let plan = principal::plan(&surroundings, registry, &selection);
        plan.map_err(|problem| selection.blame(problem))
    };
    if let Some(cache) = cache {
        let strict = settings::strict(context.env);
        for held in cache.held((context.clock)()) {
            if hosts.contains_key(&held.host) {
                continue;
            }
            let Some(registry) = Registry::from_server_url(&held.host) else {
                continue;
            };
            if serves(&held, plan(&registry).as_ref(), strict) {
                hosts.insert(held.host, held.username);
            }
        }
    }
    let name = context.program_name();
    let helper = name.and_then(|name| name.strip_prefix("docker-credential-"));
    let named = rules.hosts().into_iter();
    for (host, _) in named.filter(|(_, registry)| plan(registry).is_ok()) {
        hosts.entry(host).or_insert_with(|| USERNAME.to_owned());
    }
    for host in configured(context.env, helper) {
        hosts.entry(host).or_insert_with(|| USERNAME.to_owned());
    }
    match others(context, &rules) {
        Ok(logins) => {
            for (server_url, username) in logins {
                hosts.entry(server_url).or_insert(username);
            }
        }
        Err(problem) => explain(&mut context.io, &problem, problem.hint()),
    }
    protocol::write_line(context.io.stdout, &hosts)?;
    Ok(ExitCode::SUCCESS)
}

/// Whether an entry serves the principal of this plan.
pub(super) fn serves(held: &Held, plan: Result<&Plan, &Problem>, strict: bool) -> bool {
    match (&held.key, plan) {
        // A stored login, where there are AWS credentials or none at all.
        (None, Ok(_)) => true,
        (None, Err(problem)) => problem.kind() == ProblemKind::NoCredentials && !strict,
        (Some(key), Ok(plan)) => match &plan.identity {
            Identity::Pinned(planned) => {
                planned.as_str() == key && plan.session_digest == held.session_digest
            }
            Identity::Ambient => held.ambient,
        },
        (Some(_), Err(_)) => false,
    }
}

/// The logins of the helper for other registries.
fn others(context: &Context<'_>, rules: &Rules) -> Result<BTreeMap<String, String>, Problem> {
    let Some(helper) = rules.other_registries()? else {
        return Ok(BTreeMap::new());
    };
    let program = other::find(context.env, &helper, context.log)?;
    other::list(&program, settings::timeout(context.env, false, None))
}

/// The ECR hosts that the user's docker configuration gives to this helper.
fn configured(env: &Env, helper: Option<&str>) -> Vec<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct HelpersConfig {
        #[serde(default)]
        cred_helpers: BTreeMap<String, serde_json::Value>,
    }
    let config = env
        .docker_config_dir()
        .and_then(|dir| read_bounded(&dir.join("config.json"), LONGEST_CONFIG).ok())
        .and_then(|json| serde_json::from_slice::<HelpersConfig>(&json).ok());
    let entries = config.map(|config| config.cred_helpers).unwrap_or_default();
    entries
        .into_iter()
        .filter(|(_, value)| helper.is_some() && value.as_str() == helper)
        .filter_map(|(host, _)| Some(Registry::from_server_url(&host)?.host().to_owned()))
        .collect()
}
