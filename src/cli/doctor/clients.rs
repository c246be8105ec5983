//! Whether clients lead to this program for the registry, and to nothing else before it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::{Check, DoctorSubject};
use crate::cli::Context;
use crate::clients::auth_file::{self, AuthFile};
use crate::clients::search_path::{self, Found};
use crate::clients::{HELPER, PROGRAM, podman};
use crate::env::{Env, HOME};

/// podman, skopeo and buildah.
const PODMAN: &str = "podman";

pub(super) fn check(context: &Context<'_>, subject: Option<&DoctorSubject>) -> Vec<Check> {
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
    match subject {
        Some(subject) => {
            checks.push(docker(env, &subject.host));
            let others = other_files(env, &subject.host);
            let decided = others.iter().any(|check| check.about == PODMAN);
            checks.extend(others);
            if !decided {
                checks.extend(podman_elsewhere(env, &subject.host));
            }
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
    for (nth, program) in found.programs.iter().enumerate() {
        let is_ours = ours
            .as_deref()
            .is_some_and(|ours| search_path::is_same(program, ours));
        let version = match is_ours {
            true => Some(format!("{PROGRAM} {}", env!("CARGO_PKG_VERSION"))),
            false => search_path::version_of(program),
        };
        let version = version.unwrap_or_else(|| "does not say its version".to_owned());
        let place = match nth {
            0 => "comes first on PATH",
            _ => "comes later on PATH",
        };
        let program = env.shown(program);
        checks.push(Check::ok(ABOUT, format!("{program} {place}: {version}")));
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
            format!("set {HOME} or DOCKER_CONFIG"),
        );
    };
    let file = env.shown(&path);
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
                format!("{file} holds a stored login, which docker uses even when it has expired"),
                format!("run docker logout {host}, then ecr-login configure {host}"),
            ),
            None => Check::warning(ABOUT, format!("{file} does not lead here"), configure),
        },
    }
}

/// Files of other clients in which a stored login comes before docker's configuration.
fn other_files(env: &Env, host: &str) -> Vec<Check> {
    let podman = podman::auth_files(env).into_iter().map(|path| {
        // Programs on Windows get `~` as it is.
        let shown = match cfg!(windows) {
            true => format!("\"{}\"", path.display().to_string().replace('/', "\\")),
            false => env.shown(&path),
        };
        let logout = format!("podman logout --authfile {shown}");
        (PODMAN, path, logout)
    });
    let helm = helm_file(env)
        .into_iter()
        .map(|path| ("helm", path, "helm registry logout".to_owned()));
    let mut checks = Vec::new();
    for (about, path, logout) in podman.chain(helm) {
        let file = env.shown(&path);
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
                    logouts(&logout, &config.stored_logins(host)),
                )),
            },
        }
    }
    checks
}

/// One command for each key under which a login is stored: podman's may be those of repositories.
fn logouts(command: &str, keys: &[&str]) -> String {
    let commands: Vec<_> = keys.iter().map(|key| format!("{command} {key}")).collect();
    format!("run {}", commands.join("; "))
}

/// Where podman, skopeo and buildah look besides their own files; nothing where none of them is installed.
fn podman_elsewhere(env: &Env, host: &str) -> Option<Check> {
    let path = OsString::from(env.raw("PATH").unwrap_or_default());
    let is_installed = |program: &&str| {
        let file = format!("{program}{}", std::env::consts::EXE_SUFFIX);
        std::env::split_paths(&path).any(|dir| dir.is_absolute() && dir.join(&file).is_file())
    };
    let client = ["podman", "skopeo", "buildah"]
        .into_iter()
        .find(is_installed)?;
    if let Some((file, helpers)) = podman::helpers_in_force(env)
        && helpers.iter().any(|helper| helper == HELPER)
    {
        let text = format!("{}: credential-helpers lead here", env.shown(&file));
        return Some(Check::ok(PODMAN, text));
    }
    let docker = auth_file::docker_path(env)?;
    let config = AuthFile::read(&docker).ok().flatten().unwrap_or_default();
    // podman knows no credsStore.
    Some(match config.cred_helpers.get(host).map(String::as_str) {
        Some(HELPER) => Check::ok(
            PODMAN,
            format!("{} leads here, for {client} too", env.shown(&docker)),
        ),
        _ => Check::warning(
            PODMAN,
            format!("no configuration leads {client} here"),
            format!("run ecr-login configure --podman {host}"),
        ),
    })
}

fn helm_file(env: &Env) -> Option<PathBuf> {
    if let Some(named) = env.path("HELM_REGISTRY_CONFIG") {
        return Some(named);
    }
    let dir = match env.path("XDG_CONFIG_HOME") {
        Some(dir) => dir,
        None if cfg!(windows) => env.path("APPDATA")?,
        None if cfg!(target_os = "macos") => env.home()?.join("Library/Preferences"),
        None => env.home()?.join(".config"),
    };
    Some(dir.join("helm/registry/config.json"))
}

fn leftovers(env: &Env) -> Vec<Check> {
    let mut checks = Vec::new();
    let old = env
        .home()
        .map(|home| home.join(".ecr"))
        .filter(|dir| dir.is_dir());
    if let Some(old) = old {
        let old = env.shown(&old);
        checks.push(Check::warning(
            "old helper",
            format!("{old} holds the cache and the log of the Amazon ECR credential helper"),
            match cfg!(windows) {
                true => format!("delete {old}"),
                false => format!("rm -r {old}"),
            },
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
