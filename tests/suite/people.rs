//! The commands for people; `people_sessions` has their exact output.

use std::fs;
use std::path::{Path, PathBuf};

use super::network::Proxy;
use crate::support::fake::Fake;
#[cfg(unix)]
use crate::support::install::copy_program;
use crate::support::install::{install, search_path};
use crate::support::run::{Helper, KEY_ID, SECRET_KEY, windows_variables};

/// A machine with this program installed, and with nothing else: `ecr-login` runs the program by
/// that name, in an empty home directory, against a fake AWS. A proxy leads to its registries.
pub(crate) struct Machine {
    dir: tempfile::TempDir,
    pub(crate) fake: Fake,
    pub(crate) proxy: Proxy,
}

/// The output of a command.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: Option<i32>,
}

impl Machine {
    /// With the profiles `dev` and `prod`, of which neither is the default.
    pub(crate) fn new() -> Self {
        let fake = Fake::start_tls();
        let machine = Self {
            dir: tempfile::tempdir().expect("a temporary directory"),
            proxy: Proxy::to(&fake, None, "unknown"),
            fake,
        };
        machine.write("ca.pem", machine.fake.ca_pem());
        for dir in ["home", "bin", "test"] {
            fs::create_dir(machine.path(dir)).expect("new");
        }
        install(&machine.path("bin/docker-credential-ecr-login"));
        install(&machine.path("bin/ecr-login"));
        let keys = format!("aws_access_key_id = {KEY_ID}\naws_secret_access_key = {SECRET_KEY}\n");
        machine.write("home/.aws/config", AWS_CONFIG);
        machine.write(
            "home/.aws/credentials",
            format!("[dev]\n{keys}[prod]\n{keys}"),
        );
        machine
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    pub(crate) fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("below the machine")).expect("a directory");
        fs::write(path, text).expect("writable");
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).expect("text")
    }

    /// The files below a directory, by their paths relative to it.
    pub(crate) fn files(&self, below: &str) -> Vec<String> {
        fn walk(dir: &Path, root: &Path, files: &mut Vec<String>) {
            for entry in fs::read_dir(dir).expect("a directory").flatten() {
                let path = entry.path();
                match path.is_dir() {
                    true => walk(&path, root, files),
                    false => {
                        let below = path.strip_prefix(root).expect("below");
                        let below = below.display().to_string();
                        files.push(below.replace(std::path::MAIN_SEPARATOR, "/"));
                    }
                }
            }
        }
        let (root, mut files) = (self.path(below), Vec::new());
        walk(&root, &root, &mut files);
        files.sort();
        files
    }

    /// Runs `ecr-login`.
    pub(crate) fn ecr_login(&self, arguments: &[&str]) -> Output {
        self.ecr_login_with(&[], arguments)
    }

    /// Runs `ecr-login` with more variables.
    pub(crate) fn ecr_login_with(&self, vars: &[(&str, &str)], arguments: &[&str]) -> Output {
        self.run("ecr-login", vars, arguments)
    }

    /// Runs a program of this machine.
    pub(crate) fn run(&self, program: &str, vars: &[(&str, &str)], arguments: &[&str]) -> Output {
        let output = std::process::Command::new(self.path("bin").join(program))
            .args(arguments)
            .env_clear()
            .env("HOME", self.path("home"))
            .envs(windows_variables(&self.path("home")))
            .env("PATH", search_path(&self.path("bin")))
            .env("TZ", "UTC")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_ENDPOINT_URL", self.fake.url())
            .env("AWS_CA_BUNDLE", self.path("ca.pem"))
            .env("HTTPS_PROXY", self.proxy.url(""))
            .envs(vars.iter().copied())
            .current_dir(self.path("home"))
            .stdin(std::process::Stdio::null())
            .output()
            .expect("the program can be started");
        Output {
            stdout: String::from_utf8(output.stdout).expect("text"),
            stderr: String::from_utf8(output.stderr).expect("text"),
            code: output.status.code(),
        }
    }
}

const AWS_CONFIG: &str = "[profile dev]\nregion = us-east-1\n[profile prod]\nregion = eu-west-1\n";

const HOST: &str = "123456789012.dkr.ecr.us-east-1.amazonaws.com";

fn command(helper: &Helper, arguments: &[&str]) -> crate::support::run::Output {
    let mut run = helper.bare();
    for argument in arguments {
        run = run.arg(argument);
    }
    run.run()
}

#[test]
fn password_comes_from_the_cache_unless_too_short() {
    let fake = Fake::start();
    let helper = Helper::with_keys(&fake);
    let first = command(&helper, &["password", HOST]);
    assert_eq!((first.code, first.stderr.as_str()), (Some(0), ""));
    assert_eq!(first.stdout, format!("{}\n", helper.secret(HOST)));
    assert_eq!(fake.count("ecr"), 1);
    helper.age(HOST, 7 * 3600);
    let again = command(&helper, &["password", "--min-life", "4h", HOST]);
    assert_eq!((again.stdout, fake.count("ecr")), (first.stdout.clone(), 1));
    let newer = command(&helper, &["password", "--min-life", "6h", HOST]);
    assert_eq!((newer.code, fake.count("ecr")), (Some(0), 2));
    assert_ne!(newer.stdout, first.stdout);
}

#[test]
fn docker_config_holds_all_registries() {
    let fake = Fake::start();
    let helper = Helper::with_keys(&fake);
    let output = command(
        &helper,
        &["password", "--docker-config", HOST, "public.ecr.aws"],
    );
    let config: serde_json::Value = serde_json::from_str(&output.stdout).expect("JSON");
    assert_eq!(config["auths"].as_object().expect("an object").len(), 2);
    use base64::Engine;
    let auth = config["auths"][HOST]["auth"].as_str().expect("text");
    let auth = base64::engine::general_purpose::STANDARD.decode(auth);
    let expected = format!("AWS:{}", helper.secret(HOST));
    assert_eq!(auth.expect("base64"), expected.into_bytes());
}

#[test]
fn clear_counts_what_it_forgets() {
    let fake = Fake::start();
    let helper = Helper::with_keys(&fake);
    for host in [HOST, "public.ecr.aws"] {
        helper.secret(host);
    }
    // A token that is not among ours: another user's.
    let secret = Helper::with_keys(&fake).secret(HOST);
    let login = serde_json::json!({"ServerURL": HOST, "Username": "AWS", "Secret": secret});
    helper
        .run_of("store")
        .stdin(login.to_string())
        .run()
        .expect(0, "", "");
    let clear = |arguments: &[&str]| command(&helper, arguments).stdout;
    assert_eq!(clear(&["clear", "public.ecr.aws"]), "forgot 1 password\n");
    assert_eq!(clear(&["clear"]), "forgot 1 password and 1 docker login\n");
    assert_eq!(clear(&["clear"]), "nothing to forget\n");
    assert_eq!(
        helper.files("~/.cache/docker-credential-ecr-login").len(),
        0
    );
}

#[test]
fn status_fails_where_a_session_is_over() {
    let start = "https://example.awsapps.com/start";
    let config = format!(
        "[default]\nsso_session = corp\nsso_account_id = 123456789012\nsso_role_name = pull\n\
         [sso-session corp]\nsso_region = us-east-1\nsso_start_url = {start}\n"
    );
    let user = || Helper::new().file("~/.aws/config", &config);
    for (helper, code, expired, renewable) in [
        (user().sso_login("corp", 3600), 0, false, false),
        (user().sso_login("corp", -60), 1, true, false),
        (user().sso_login_renewable("corp", -60), 0, true, true),
    ] {
        let output = command(&helper, &["status", "--json", HOST]);
        assert_eq!((output.code, output.stderr.as_str()), (Some(code), ""));
        let report: serde_json::Value = serde_json::from_str(&output.stdout).expect("JSON");
        assert_eq!(report["ok"], code == 0);
        let session = &report["sessions"][0];
        assert_eq!(session["name"], "SSO session corp");
        assert_eq!(
            (&session["expired"], &session["renewable"]),
            (&expired.into(), &renewable.into())
        );
        let hint = &report["registries"][0]["hint"];
        let expected = (code == 1).then_some("run aws sso login --profile default");
        assert_eq!(hint.as_str(), expected);
    }
}

#[test]
fn status_makes_no_call_and_shows_stored_logins() {
    let fake = Fake::start();
    let secret = Helper::with_keys(&fake).secret(HOST);
    let helper = Helper::new().env("AWS_ENDPOINT_URL", fake.url());
    let login = serde_json::json!({"ServerURL": HOST, "Username": "AWS", "Secret": secret});
    helper
        .run_of("store")
        .stdin(login.to_string())
        .run()
        .expect(0, "", "");
    fake.forget();
    let output = command(&helper, &["status", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&output.stdout).expect("JSON");
    assert_eq!(output.code, Some(0), "{}", output.stdout);
    assert_eq!(report["registries"][0]["who"], "docker login");
    assert_eq!(
        command(&helper.keys(), &["status"])
            .stdout
            .matches(HOST)
            .count(),
        2
    );
    assert_eq!(fake.calls().len(), 0);
}

#[test]
fn status_starts_no_process() {
    let process = match cfg!(windows) {
        true => "echo x >started",
        false => "/usr/bin/touch started",
    };
    let helper = Helper::new().file(
        "~/.aws/config",
        format!("[default]\ncredential_process = {process}\n"),
    );
    let output = command(&helper, &["status", HOST]);
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(output.stdout.contains("profile default"), "{output:?}");
    assert!(!helper.path("~/started").exists());
}

/// Windows has no such directory, and no user that others cannot read.
#[cfg(unix)]
#[test]
fn status_overlooks_a_default_file_of_roots() {
    use std::os::unix::fs::{PermissionsExt, chown};
    use std::os::unix::process::CommandExt;
    let machine = Machine::new();
    // Another user has to reach the program and the home directory, root's cannot be closed to root.
    copy_program(&machine.path("test/ecr-login"));
    let close = |path: &str, mode| {
        fs::set_permissions(machine.path(path), fs::Permissions::from_mode(mode)).expect("ours");
    };
    close("", 0o755);
    machine.write("run/containers/auth.json", "{}");
    close("run/containers", 0o000);
    let user = rustix::process::geteuid().is_root().then_some(12345);
    chown(machine.path("home"), user, None).expect("allowed");
    let run = |vars: &[(&str, PathBuf)]| {
        let mut command = std::process::Command::new(machine.path("test/ecr-login"));
        command.arg("status").env_clear();
        command.env("HOME", machine.path("home"));
        if let Some(user) = user {
            command.uid(user);
        }
        let output = command.envs(vars.iter().cloned()).output().expect("run");
        let stderr = String::from_utf8(output.stderr).expect("text");
        (output.status.code(), stderr)
    };
    let runtime = ("XDG_RUNTIME_DIR", machine.path("run"));
    let (code, stderr) = run(&[runtime]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let named = (
        "REGISTRY_AUTH_FILE",
        machine.path("run/containers/auth.json"),
    );
    let (code, stderr) = run(&[named]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("Permission denied"), "{stderr}");
    close("run/containers", 0o700);
}

#[test]
fn own_names_are_arguments_too() {
    let fake = Fake::start();
    let rules = format!("[registry.example.com:5000]\nregistry = {HOST}\n");
    let helper = Helper::with_keys(&fake).file("~/.aws/ecr-login", rules);
    let name = "registry.example.com:5000";
    let password = command(&helper, &["password", name]).stdout;
    assert_eq!(password, format!("{}\n", helper.secret(HOST)));
    let config = command(&helper, &["password", "--docker-config", name]).stdout;
    assert!(
        config.starts_with("{\"auths\":{\"registry.example.com:5000\":"),
        "{config}"
    );
    let status = command(&helper, &["status", name]).stdout;
    assert!(status.contains(HOST), "{status}");
    assert_eq!(
        command(&helper, &["clear", name]).stdout,
        "forgot 1 password\n"
    );
    let other = command(&helper, &["password", "registry.example.com"]);
    assert_eq!((other.code, other.stdout.as_str()), (Some(1), ""));
    assert_eq!(fake.count("ecr"), 1);
}
