//! Runs the built program as a process, with a home of its own and no environment but the one
//! that the test names: what is asserted is what a client would see.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::fake::Fake;

/// The program under test: the one that was built with the tests, or the one that
/// `ECR_LOGIN_PROGRAM` names (another target's, or a script that runs it in an emulator), which must
/// have the program's own name: by that it finds its entries in docker's configuration.
pub fn program() -> &'static str {
    static PROGRAM: OnceLock<String> = OnceLock::new();
    PROGRAM.get_or_init(|| match std::env::var("ECR_LOGIN_PROGRAM") {
        Ok(program) => {
            let stem = Path::new(&program).file_stem();
            assert_eq!(stem, Some(OsStr::new("docker-credential-ecr-login")));
            program
        }
        Err(_) => env!("CARGO_BIN_EXE_docker-credential-ecr-login").to_owned(),
    })
}

/// How many times longer an emulator takes (`ECR_TEST_SLOWNESS`): as much longer are limits of time,
/// and so many times fewer are processes at once.
pub fn slowness() -> u32 {
    let given = std::env::var("ECR_TEST_SLOWNESS");
    given.map_or(1, |given| given.parse().expect("a number"))
}

/// The text that clients take for "no credentials here".
pub const NOT_FOUND: &str = "credentials not found in native keychain\n";
/// The key ID that [`Helper::keys`] sets.
pub const KEY_ID: &str = "AKIAFAKEENVIRONMENT1";
/// The secret key that [`Helper::keys`] sets.
pub const SECRET_KEY: &str = "FAKE-SECRET-KEY-ENV-000001";

/// A command that prints a line, for a `credential_process`.
pub fn echo(line: &str) -> String {
    match cfg!(windows) {
        true => format!("echo {line}"),
        false => format!("echo '{line}'"),
    }
}

/// Variables that programs on Windows need: the home directory; that of caches, for which they would
/// ask the system; and `SystemRoot`, without which none finds the network.
pub fn windows_variables(home: &Path) -> Vec<(&'static str, OsString)> {
    if !cfg!(windows) {
        return Vec::new();
    }
    let root = std::env::var_os("SystemRoot").unwrap_or_else(|| "C:\\Windows".into());
    let cache = home.join(".cache").join("docker-credential-ecr-login");
    vec![
        ("USERPROFILE", home.into()),
        ("APPDATA", home.join("AppData").join("Roaming").into()),
        ("AWS_ECR_CACHE_DIR", cache.into()),
        ("SystemRoot", root),
    ]
}

/// No run may take longer, whatever is wrong.
const LIMIT: Duration = Duration::from_secs(150);

/// A user: a home directory and an environment, in which the program is run.
#[derive(Debug)]
pub struct Helper {
    home: tempfile::TempDir,
    env: BTreeMap<OsString, OsString>,
    program: PathBuf,
}

impl Helper {
    /// An empty home, no instance metadata, and hardly a PATH.
    pub fn new() -> Self {
        let home = tempfile::tempdir().expect("a temporary directory can be made");
        let helper = Self {
            env: BTreeMap::new(),
            program: program().into(),
            home,
        };
        let home = helper.home().to_owned();
        let mut helper = helper
            .env("HOME", &home)
            .env("PATH", "/usr/bin:/bin")
            .env("AWS_EC2_METADATA_DISABLED", "true");
        for (name, value) in windows_variables(&home) {
            helper.set(name, value);
        }
        helper
    }

    /// One that has keys in its environment and asks this fake.
    pub fn with_keys(fake: &Fake) -> Self {
        Self::new().asks(fake).keys()
    }

    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Another program, or the same one by another name.
    pub fn program(mut self, program: impl Into<PathBuf>) -> Self {
        self.program = program.into();
        self
    }

    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.set(name, value);
        self
    }

    pub fn set(&mut self, name: &str, value: impl AsRef<OsStr>) {
        self.env.insert(name.into(), value.as_ref().to_owned());
    }

    pub fn unset(mut self, name: &str) -> Self {
        self.env.remove(OsStr::new(name));
        self
    }

    /// Every AWS service is this fake; the region is us-east-1.
    pub fn asks(self, fake: &Fake) -> Self {
        self.env("AWS_ENDPOINT_URL", fake.url())
            .env("AWS_REGION", "us-east-1")
    }

    /// Instance metadata is this fake.
    pub fn on_instance(self, fake: &Fake) -> Self {
        self.unset("AWS_EC2_METADATA_DISABLED")
            .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", fake.url())
    }

    /// Static keys in the environment.
    pub fn keys(self) -> Self {
        self.env("AWS_ACCESS_KEY_ID", KEY_ID)
            .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    }

    /// Writes a file; a leading `~` is the home.
    pub fn file(self, path: &str, text: impl AsRef<[u8]>) -> Self {
        self.write(path, text);
        self
    }

    pub fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.path(path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).expect("a directory in the temporary home");
        }
        std::fs::write(path, text).expect("a file in the temporary home");
    }

    /// The path, a leading `~` being the home.
    pub fn path(&self, path: &str) -> PathBuf {
        match path.strip_prefix("~/") {
            Some(rest) => self.home().join(rest),
            None => PathBuf::from(path),
        }
    }

    /// Text of a file that must exist.
    pub fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.path(path)).expect(path)
    }

    /// The value of a variable that was set.
    pub fn value(&self, name: &str) -> String {
        let value = self.env.get(OsStr::new(name)).expect("it was set");
        value.to_str().expect("text").to_owned()
    }

    /// A run of the program with this argument.
    pub fn run_of(&self, arg: &str) -> Run {
        self.bare().arg(arg)
    }

    /// A run of the program without arguments.
    pub fn bare(&self) -> Run {
        self.started(Command::new(&self.program))
    }

    /// A run of a shell script, which finds the program's path in what it is given.
    pub fn shell(&self, script: &str) -> Run {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        self.started(command)
    }

    fn started(&self, mut command: Command) -> Run {
        command.env_clear().envs(&self.env);
        command.current_dir(self.home());
        Run {
            command,
            stdin: Vec::new(),
            file: None,
        }
    }

    /// Makes the cached tokens of a registry so many seconds older.
    pub fn age(&self, host: &str, seconds: i64) {
        let cache = "~/.cache/docker-credential-ecr-login";
        for file in self.files(cache) {
            let name = file.to_string_lossy();
            if !name.contains(host) || !name.ends_with(".json") {
                continue;
            }
            let path = self.path(cache).join(file);
            let text = std::fs::read(&path).expect("readable");
            let mut entry: Value = serde_json::from_slice(&text).expect("JSON");
            for time in ["issued_at", "expires_at"] {
                let at = entry[time].as_i64().expect("a time");
                // Milliseconds, as the entry has them.
                entry[time] = (at - seconds * 1000).into();
            }
            std::fs::write(&path, entry.to_string()).expect("writable");
        }
    }

    /// Runs `get` for a server URL.
    pub fn get(&self, host: &str) -> Output {
        self.run_of("get").stdin(host).run()
    }

    /// Runs `get`, which must succeed, and returns the password.
    pub fn secret(&self, host: &str) -> String {
        self.get(host).expect_secret(host)
    }

    /// The entries of the cache below a directory, by their paths relative to it, sorted: without
    /// the marks of issued passwords, which stay for 12 hours.
    pub fn entries(&self, below: &str) -> Vec<PathBuf> {
        let mut files = self.files(below);
        files.retain(|file| file.extension().is_none_or(|end| end != "issued"));
        files
    }

    /// Files below a directory, by their paths relative to it, sorted.
    pub fn files(&self, below: &str) -> Vec<PathBuf> {
        fn walk(dir: &Path, root: &Path, out: &mut Vec<PathBuf>) {
            let Ok(entries) = std::fs::read_dir(dir) else {
                return;
            };
            for entry in entries.flatten() {
                let path = entry.path();
                if entry.file_type().is_ok_and(|t| t.is_dir()) {
                    walk(&path, root, out);
                } else if let Ok(rest) = path.strip_prefix(root) {
                    out.push(rest.to_owned());
                }
            }
        }
        let root = self.path(below);
        let mut out = Vec::new();
        walk(&root, &root, &mut out);
        out.sort();
        out
    }
}

/// One run, about to begin.
#[derive(Debug)]
pub struct Run {
    pub command: Command,
    stdin: Vec<u8>,
    file: Option<File>,
}

impl Run {
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn stdin(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.stdin = bytes.as_ref().to_vec();
        self
    }

    /// An open file for stdin, in place of a pipe.
    pub fn stdin_file(mut self, file: File) -> Self {
        self.file = Some(file);
        self
    }

    /// Runs it to its end.
    pub fn run(self) -> Output {
        self.spawn().wait()
    }

    /// Starts it.
    pub fn spawn(self) -> Running {
        let mut running = self.spawn_with_open_stdin();
        running.stdin = None;
        running
    }

    /// Starts it, and leaves the pipe to its stdin open.
    pub fn spawn_with_open_stdin(mut self) -> Running {
        let stdin = self.file.map_or_else(Stdio::piped, Stdio::from);
        self.command
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let started = Instant::now();
        let mut child = self.command.spawn().expect("the program can be started");
        let mut stdin = child.stdin.take();
        let bytes = self.stdin;
        let text = String::from_utf8_lossy(&bytes);
        let url = text.trim();
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let host = rest.split('/').next().unwrap_or_default().to_owned();
        if bytes.len() <= 4096 {
            // A program that does not read its input is no failure of the test.
            let _ = stdin.as_mut().map(|stdin| stdin.write_all(&bytes));
        } else if let Some(mut stdin) = stdin.take() {
            thread::spawn(move || stdin.write_all(&bytes));
        }
        let stdout = collect(child.stdout.take().expect("piped"));
        let stderr = collect(child.stderr.take().expect("piped"));
        Running {
            host,
            child,
            stdin,
            started,
            stdout,
            stderr,
        }
    }
}

fn collect(mut from: impl Read + Send + 'static) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        let _ = sender.send(bytes);
    });
    receiver
}

/// A program that has started.
#[derive(Debug)]
pub struct Running {
    host: String,
    pub child: Child,
    /// None if it is closed.
    pub stdin: Option<ChildStdin>,
    started: Instant,
    stdout: mpsc::Receiver<Vec<u8>>,
    stderr: mpsc::Receiver<Vec<u8>>,
}

impl Running {
    pub fn wait(mut self) -> Output {
        let mut take = |from: fn(&Self) -> &mpsc::Receiver<Vec<u8>>| {
            let left = LIMIT.saturating_sub(self.started.elapsed());
            match from(&self).recv_timeout(left) {
                Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
                Err(_) => {
                    let _ = self.child.kill();
                    panic!("the program was still running after {LIMIT:?}");
                }
            }
        };
        let stdout = take(|running| &running.stdout);
        let stderr = take(|running| &running.stderr);
        let status = self.child.wait().expect("a child of ours");
        Output {
            stdout,
            stderr,
            code: status.code(),
            elapsed: self.started.elapsed(),
            host: std::mem::take(&mut self.host),
        }
    }
}

/// Nothing that a test starts outlives it, also when the test fails.
impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The output of a run.
#[derive(Debug)]
pub struct Output {
    pub stdout: String,
    pub stderr: String,
    /// None if a signal ended it.
    pub code: Option<i32>,
    pub elapsed: Duration,
    /// The host on stdin, where that was a server URL.
    host: String,
}

impl Output {
    /// Exactly this, and nothing else.
    #[track_caller]
    pub fn expect(&self, code: i32, stdout: &str, stderr: &str) {
        assert_eq!(
            (self.code, self.stdout.as_str(), self.stderr.as_str()),
            (Some(code), stdout, stderr),
        );
    }

    /// A good answer to `get` for `host`: the one JSON line, nothing on stderr. Returns the
    /// password.
    #[track_caller]
    pub fn expect_secret(&self, host: &str) -> String {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{self:?}");
        let line = self.stdout.strip_suffix('\n').expect("ends with a newline");
        assert!(!line.contains('\n'), "{self:?}");
        let Ok(Value::Object(answer)) = serde_json::from_str(line) else {
            panic!("not a JSON object: {self:?}");
        };
        let keys: Vec<_> = answer.keys().map(String::as_str).collect();
        assert_eq!(keys, ["Secret", "ServerURL", "Username"]);
        let text = |key: &str| answer[key].as_str().expect("a string").to_owned();
        assert_eq!(text("ServerURL"), host.trim());
        assert_eq!(text("Username"), "AWS");
        text("Secret")
    }

    /// The failure that clients understand, with registry, cause and hint for a person.
    #[track_caller]
    pub fn expect_failure(&self, cause: &str, hint: &str) {
        let host = &self.host;
        let stderr = format!("docker-credential-ecr-login: {host}: {cause}\nhint: {hint}\n");
        self.expect(1, NOT_FOUND, &stderr);
    }

    /// The failure that says nothing, for a host that is not ECR.
    #[track_caller]
    pub fn expect_not_found(&self) {
        self.expect(1, NOT_FOUND, "");
    }
}
