//! Where podman, skopeo and buildah read helpers and logins: containers-auth.json(5),
//! containers-registries.conf(5).

use std::path::{Path, PathBuf};

use crate::env::Env;

/// The files in which a login or a helper is looked for before docker's config.json, in that order.
pub(crate) fn auth_files(env: &Env) -> Vec<PathBuf> {
    if let Some(named) = env.path("REGISTRY_AUTH_FILE") {
        return vec![named];
    }
    let runtime = env
        .path("XDG_RUNTIME_DIR")
        .map(|dir| dir.join("containers/auth.json"));
    runtime.into_iter().chain(persistent(env)).collect()
}

/// The file to write helpers to. The one below `XDG_RUNTIME_DIR` does not survive a reboot, so it
/// is left to `podman login`.
pub(crate) fn auth_file_to_write(env: &Env) -> Option<PathBuf> {
    env.path("REGISTRY_AUTH_FILE").or_else(|| persistent(env))
}

fn persistent(env: &Env) -> Option<PathBuf> {
    Some(config_dir(env)?.join("containers/auth.json"))
}

fn config_dir(env: &Env) -> Option<PathBuf> {
    let named = env.path("XDG_CONFIG_HOME").filter(|dir| dir.is_absolute());
    named.or_else(|| Some(env.home()?.join(".config")))
}

/// The registries.conf to write the list of helpers to. The user's replaces the system's as a
/// whole, so none is made where there is only the system's: a file in the user's drop-in
/// directory adds to it.
pub(crate) fn registries_conf_to_write(env: &Env) -> Option<PathBuf> {
    if let Some(named) = env.path("CONTAINERS_REGISTRIES_CONF") {
        return Some(named);
    }
    let users = env.home()?.join(".config/containers/registries.conf");
    match users.exists() {
        true => Some(users),
        false => Some(drop_in(&users)),
    }
}

/// Every registries.conf that `configure` may have written to.
pub(crate) fn registries_confs(env: &Env) -> Vec<PathBuf> {
    let named = env.path("CONTAINERS_REGISTRIES_CONF");
    let users = env
        .home()
        .map(|home| home.join(".config/containers/registries.conf"));
    let drop_in = users.as_deref().map(drop_in);
    named.into_iter().chain(users).chain(drop_in).collect()
}

fn drop_in(users: &Path) -> PathBuf {
    users
        .with_file_name("registries.conf.d")
        .join("50-ecr-login.conf")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_those_of_the_manual_page() {
        let env = Env::of([("HOME", "/h"), ("XDG_RUNTIME_DIR", "/run/user/1")]);
        let both = [
            "/run/user/1/containers/auth.json",
            "/h/.config/containers/auth.json",
        ];
        assert_eq!(auth_files(&env), both.map(PathBuf::from));
        assert_eq!(auth_file_to_write(&env), Some(both[1].into()));
        let drop_in = "/h/.config/containers/registries.conf.d/50-ecr-login.conf";
        assert_eq!(registries_conf_to_write(&env), Some(drop_in.into()));
        let env = Env::of([
            ("HOME", "/h"),
            ("REGISTRY_AUTH_FILE", "/a"),
            ("CONTAINERS_REGISTRIES_CONF", "/r"),
        ]);
        assert_eq!(auth_files(&env), [PathBuf::from("/a")]);
        assert_eq!(auth_file_to_write(&env), Some("/a".into()));
        assert_eq!(registries_conf_to_write(&env), Some("/r".into()));
    }
}
