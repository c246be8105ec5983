//! Where podman, skopeo and buildah read helpers and logins: containers-auth.json(5),
//! containers-registries.conf(5).

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::edit::toml;
use crate::env::Env;
use crate::fs::read_bounded;

/// In bytes.
const LONGEST_CONF: usize = 1 << 20;

/// The files in which a login or a helper is looked for before docker's config.json, in that order.
/// Without one that the user named, a file in a directory that this user may not search counts as
/// missing: /run/containers may be root's.
pub(crate) fn auth_files(env: &Env) -> Vec<PathBuf> {
    if let Some(named) = env.path("REGISTRY_AUTH_FILE") {
        return vec![named];
    }
    let is_hidden = |path: &PathBuf| {
        let found = std::fs::metadata(path);
        found.is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
    };
    let files = runtime(env).into_iter().chain(persistent(env));
    files.filter(|path| !is_hidden(path)).collect()
}

/// Where `podman login` writes. Without `XDG_RUNTIME_DIR`, as for root and in a job, that is below
/// /run on Linux.
fn runtime(env: &Env) -> Option<PathBuf> {
    let dir = env
        .path("XDG_RUNTIME_DIR")
        .map(|dir| dir.join("containers"));
    #[cfg(target_os = "linux")]
    let dir = dir.or_else(|| {
        let user = rustix::process::getuid().as_raw();
        Some(PathBuf::from(format!("/run/containers/{user}")))
    });
    Some(dir?.join("auth.json"))
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

/// The list of helpers in force, and the file that has it: containers-registries.conf(5). A file
/// that cannot be used counts as missing here.
pub(crate) fn helpers_in_force(env: &Env) -> Option<(PathBuf, Vec<String>)> {
    let users = env.home().map(|home| home.join(".config/containers"));
    let system = PathBuf::from("/etc/containers");
    let named = env.path("CONTAINERS_REGISTRIES_CONF");
    let main = named.unwrap_or_else(|| {
        let users = users.as_ref().map(|dir| dir.join("registries.conf"));
        let users = users.filter(|file| file.exists());
        users.unwrap_or_else(|| system.join("registries.conf"))
    });
    let drop_ins = [Some(system), users].into_iter().flatten().flat_map(|dir| {
        let files = std::fs::read_dir(dir.join("registries.conf.d"));
        let mut files: Vec<_> = files
            .into_iter()
            .flatten()
            .flatten()
            .map(|f| f.path())
            .collect();
        files.retain(|file| file.extension().is_some_and(|end| end == "conf"));
        files.sort();
        files
    });
    // The last one that has the list decides.
    let mut helpers = std::iter::once(main).chain(drop_ins).filter_map(|file| {
        let bytes = read_bounded(&file, LONGEST_CONF).ok()?;
        let helpers = toml::helpers(std::str::from_utf8(&bytes).ok()?).ok()??;
        Some((file, helpers))
    });
    helpers.next_back()
}

fn drop_in(users: &Path) -> PathBuf {
    users
        .with_file_name("registries.conf.d")
        .join("50-ecr-login.conf")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::HOME;

    #[test]
    fn files_are_those_of_the_manual_page() {
        let env = Env::of([(HOME, "/h"), ("XDG_RUNTIME_DIR", "/run/user/1")]);
        let both = [
            "/run/user/1/containers/auth.json",
            "/h/.config/containers/auth.json",
        ];
        assert_eq!(auth_files(&env), both.map(PathBuf::from));
        assert_eq!(auth_file_to_write(&env), Some(both[1].into()));
        let drop_in = "/h/.config/containers/registries.conf.d/50-ecr-login.conf";
        assert_eq!(registries_conf_to_write(&env), Some(drop_in.into()));
        let env = Env::of([(HOME, "/h")]);
        let files = auth_files(&env);
        assert_eq!(files.last(), Some(&both[1].into()));
        #[cfg(target_os = "linux")]
        assert!(files[0].starts_with("/run/containers"), "{files:?}");
        let env = Env::of([
            (HOME, "/h"),
            ("REGISTRY_AUTH_FILE", "/a"),
            ("CONTAINERS_REGISTRIES_CONF", "/r"),
        ]);
        assert_eq!(auth_files(&env), [PathBuf::from("/a")]);
        assert_eq!(auth_file_to_write(&env), Some("/a".into()));
        assert_eq!(registries_conf_to_write(&env), Some("/r".into()));
    }

    #[test]
    fn last_drop_in_with_a_list_decides() {
        let dir = tempfile::tempdir().expect("a directory");
        let home = dir.path().to_str().expect("UTF-8");
        let below = dir.path().join(".config/containers/registries.conf.d");
        std::fs::create_dir_all(&below).expect("a directory");
        let write = |name: &str, text: &str| {
            std::fs::write(below.join(name), text).expect("writable");
        };
        write(
            "10-a.conf",
            "credential-helpers = [\"containers-auth.json\"]",
        );
        write("20-b.conf", "credential-helpers = [\"ecr-login\"]");
        write("30-c.conf", "short-name-mode = \"enforcing\"");
        write("40-d.txt", "credential-helpers = [\"pass\"]");
        write("50-e.conf", "not TOML");
        let env = Env::of([(HOME, home)]);
        let found = helpers_in_force(&env);
        assert_eq!(
            found,
            Some((below.join("20-b.conf"), vec!["ecr-login".to_owned()]))
        );
    }
}
