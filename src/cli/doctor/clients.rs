//! Whether clients lead to this program for the registry, and to nothing else before it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::Check;
use crate::cli::Context;
use crate::cli::people::shown;
use crate::clients::auth_file::{self, AuthFile};
use crate::clients::search_path::{self, Found};
use crate::clients::{HELPER, PROGRAM, podman};
use crate::env::Env;
use crate::registry::Registry;

pub(super) fn check(context: &Context<'_>, registry: Option<&Registry>) -> Vec<Check> {
    let env = context.env;
    let mut checks = Vec::new();
    if env.var("HOME").is_none() && !cfg!(windows) {
        checks.push(Check::warning(
            "HOME",
            "not set: clients and AWS programs may look in other places",
            "set HOME in the service or job",
        ));
    }
    checks.extend(programs(env));
    match registry {
        Some(registry) => {
            checks.push(docker(env, registry.host()));
            checks.extend(other_files(env, registry.host()));
        }
        None => checks.push(Check::warning(
            "docker",
            "no ECR registry is configured for this program",
            "run ecr-login configure",
        )),
    }
    checks.extend(leftovers(env));
    checks
}

fn programs(env: &Env) -> Vec<Check> {
    const ABOUT: &str = "program";
    let ours = env.program();
    let path = OsString::from(env.raw("PATH").unwrap_or_default());
    let found = Found::on(&path);
    let verdict = found.verdict(ours.as_deref(), env.home().as_deref());
    let mut checks = Vec::new();
    if let Some(problem) = verdict.problem(ours.as_deref()) {
        checks.push(Check::failed(ABOUT, &problem));
    } else if let Some(warning) = verdict.warning() {
        let hint = search_path::install_hint(ours.as_deref());
        checks.push(Check::warning(ABOUT, warning, hint));
    }
    for program in &found.programs {
        let is_ours = ours
            .as_deref()
            .is_some_and(|ours| search_path::is_same(program, ours));
        let version = match is_ours {
            true => Some(format!("{PROGRAM} {}", env!("CARGO_PKG_VERSION"))),
            false => search_path::version_of(program),
        };
        let version = version.unwrap_or_else(|| "does not say its version".to_owned());
        checks.push(Check::ok(
            ABOUT,
            format!("{} on PATH: {version}", shown(env, program)),
        ));
    }
    checks
}

fn docker(env: &Env, host: &str) -> Check {
    const ABOUT: &str = "docker";
    let configure = format!("run ecr-login configure {host}");
    let Some(path) = auth_file::docker_path(env) else {
        return Check::warning(
            ABOUT,
            "no place for a configuration",
            "set HOME or DOCKER_CONFIG",
        );
    };
    let file = shown(env, &path);
    match AuthFile::read(&path) {
        Err(problem) => Check::failed(ABOUT, &problem),
        Ok(None) => Check::warning(ABOUT, format!("{file} does not exist"), configure),
        Ok(Some(config)) => match config.helper(host) {
            Some((HELPER, false)) => Check::ok(ABOUT, format!("{file}: credHelpers lead here")),
            Some((HELPER, true)) => Check::ok(ABOUT, format!("{file}: credsStore leads here")),
            Some((other, _)) => Check::warning(
                ABOUT,
                format!("{file} gives the registry to docker-credential-{other}"),
                configure,
            ),
            None if !config.stored_logins(host).is_empty() => Check::warning(
                ABOUT,
                format!("{file} holds a stored login, which docker uses until it expires"),
                format!("run docker logout {host}, then ecr-login configure {host}"),
            ),
            None => Check::warning(ABOUT, format!("{file} does not lead here"), configure),
        },
    }
}

/// Files of other clients in which a stored login comes before docker's configuration.
fn other_files(env: &Env, host: &str) -> Vec<Check> {
    let podman = podman::auth_files(env)
        .into_iter()
        .map(|path| ("podman", path, "podman logout"));
    let helm = helm_file(env)
        .into_iter()
        .map(|path| ("helm", path, "helm registry logout"));
    let mut checks = Vec::new();
    for (about, path, logout) in podman.chain(helm) {
        let file = shown(env, &path);
        match AuthFile::read(&path) {
            Err(problem) => checks.push(Check::failed(about, &problem)),
            Ok(None) => {}
            Ok(Some(config)) => match config.helper(host) {
                Some((HELPER, _)) => checks.push(Check::ok(about, format!("{file} leads here"))),
                Some((other, _)) => checks.push(Check::warning(
                    about,
                    format!("{file} gives the registry to docker-credential-{other}"),
                    format!("remove it from {file}"),
                )),
                None if config.stored_logins(host).is_empty() => {}
                None => checks.push(Check::warning(
                    about,
                    format!("{file} holds a stored login, which is used before this program"),
                    format!("run {logout} {host}"),
                )),
            },
        }
    }
    checks
}

fn helm_file(env: &Env) -> Option<PathBuf> {
    if let Some(named) = env.path("HELM_REGISTRY_CONFIG") {
        return Some(named);
    }
    let below = match cfg!(target_os = "macos") {
        true => "Library/Preferences/helm/registry/config.json",
        false => ".config/helm/registry/config.json",
    };
    let configured = env
        .path("XDG_CONFIG_HOME")
        .map(|dir| dir.join("helm/registry/config.json"));
    configured.or_else(|| Some(env.home()?.join(below)))
}

fn leftovers(env: &Env) -> Vec<Check> {
    let mut checks = Vec::new();
    let old = env
        .home()
        .map(|home| home.join(".ecr"))
        .filter(|dir| dir.is_dir());
    if let Some(old) = old {
        let old = shown(env, &old);
        checks.push(Check::warning(
            "old helper",
            format!("{old} holds the cache and the log of the Amazon ECR credential helper"),
            format!("rm -r {old}"),
        ));
    }
    let path = OsString::from(env.raw("PATH").unwrap_or_default());
    let docker = std::env::split_paths(&path)
        .map(|dir| dir.join("docker"))
        .find(|file| file.exists());
    if docker.is_some_and(|docker| docker.starts_with(Path::new("/snap"))) {
        checks.push(Check::warning(
            "docker",
            "this docker is a snap: it has another HOME and finds no helpers of the system",
            "install docker from a package, or copy the program and its configuration there",
        ));
    }
    checks
}
