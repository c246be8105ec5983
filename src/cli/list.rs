//! `list`: the hosts that `get` can serve, as far as local facts tell.
//!
//! docker's legacy build and the GitLab runner ask `get` for every host named here, and one
//! failure spoils all the others: so nothing is named in hope. No network, no process.

use std::collections::BTreeMap;
use std::io;
use std::process::ExitCode;

use serde::Deserialize;

use super::Context;
use crate::env::Env;
use crate::fs::read_bounded;
use crate::principal::{self, Identity, Selection, Surroundings};
use crate::protocol;
use crate::registry::Registry;

/// In bytes; nobody's is longer.
const LONGEST_CONFIG: usize = 16 << 20;

/// ECR documents no other user name.
const USERNAME: &str = "AWS";

pub(super) fn run(context: &mut Context<'_>) -> io::Result<ExitCode> {
    let mut hosts = BTreeMap::new();
    if let Some(cache) = context.cache() {
        let surroundings = Surroundings::read(context.env, context.log);
        let selection = Selection::default();
        for held in cache.held((context.clock)()) {
            if hosts.contains_key(&held.host) {
                continue;
            }
            let Some(registry) = Registry::from_server_url(&held.host) else {
                continue;
            };
            let ours = match &held.name {
                // A login that is kept serves whoever has nothing better.
                None => true,
                Some(held_as) => match principal::plan(&surroundings, &registry, &selection)
                    .map(|plan| plan.identity)
                {
                    Ok(Identity::Pinned(name)) => name.as_str() == held_as,
                    Ok(Identity::Ambient) => held.ambient,
                    Err(_) => false,
                },
            };
            if ours {
                hosts.insert(held.host, held.username);
            }
        }
    }
    let name = context.program_name();
    let helper = name.and_then(|name| name.strip_prefix("docker-credential-"));
    for host in configured(context.env, helper) {
        hosts.entry(host).or_insert_with(|| USERNAME.to_owned());
    }
    protocol::write_line(context.io.stdout, &hosts)?;
    Ok(ExitCode::SUCCESS)
}

/// The ECR hosts that the user's docker configuration gives to this helper.
fn configured(env: &Env, helper: Option<&str>) -> Vec<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Config {
        #[serde(default)]
        cred_helpers: BTreeMap<String, serde_json::Value>,
    }
    let config = env
        .docker_config_dir()
        .and_then(|dir| read_bounded(&dir.join("config.json"), LONGEST_CONFIG).ok())
        .and_then(|json| serde_json::from_slice::<Config>(&json).ok());
    let entries = config.map(|config| config.cred_helpers).unwrap_or_default();
    entries
        .into_iter()
        .filter(|(_, value)| helper.is_some() && value.as_str() == helper)
        .filter_map(|(host, _)| Some(Registry::from_server_url(&host)?.host().to_owned()))
        .collect()
}
