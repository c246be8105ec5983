//! Runs a `credential_process` and reads what it prints.
//!
//! The SDK's provider lets the command inherit stdin, which carries the server URL here, does not
//! end it when time is up, and keeps all that it writes. This one gives it no stdin, reads a
//! bounded amount, and leaves nothing behind: the command gets a process group of its own, which
//! is killed when we stop waiting. Where there is a terminal it stays in ours, since a background
//! group could not ask its question there; then the command itself is killed.

use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime};

use aws_credential_types::Credentials;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use zeroize::Zeroizing;

use super::super::executor::Executor;
use super::super::redact::redacted;
use crate::problem::Problem;
use crate::secret::{self, Secret};

/// Credentials in JSON are far smaller.
const MAX_STDOUT: usize = 64 << 10;

/// Only the first line is shown.
const MAX_STDERR: usize = 4 << 10;

/// How long a pipe may stay open after the command has ended, held by what it left running.
const PIPE_DRAIN_TIMEOUT: Duration = Duration::from_millis(200);

/// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html>
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Printed {
    version: u64,
    access_key_id: String,
    secret_access_key: Zeroizing<String>,
    session_token: Option<Zeroizing<String>>,
    expiration: Option<String>,
}

/// Kills what was started, unless it has ended.
struct Running {
    child: Child,
    /// The process group, where it is the command's own.
    group: Option<u32>,
    ended: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        #[cfg(unix)]
        if let Some(group) = self
            .group
            .and_then(|id| i32::try_from(id).ok())
            .and_then(rustix::process::Pid::from_raw)
        {
            // It may have ended by itself.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.child.start_kill();
    }
}

/// Words that are shorter are flags and the like.
const SHORTEST_SECRET: usize = 6;

fn shell(command: &str) -> Command {
    if cfg!(windows) {
        let mut shell = Command::new("cmd.exe");
        shell.args(["/C", command]);
        shell
    } else {
        // Not by PATH, which may lead into whatever directory a client was started in.
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", command]);
        shell
    }
}

/// Whether somebody may be asked on the terminal.
fn has_terminal() -> bool {
    cfg!(unix) && std::fs::File::open("/dev/tty").is_ok()
}

impl Executor<'_> {
    /// Runs the command until the deadline.
    pub(super) async fn process(
        &mut self,
        profile: &str,
        command: &Secret,
    ) -> Result<Credentials, Problem> {
        self.client.note_waiting(format!(
            "waiting for the credential_process of profile {profile:?}"
        ));
        let start = Instant::now();
        let limit = self.deadline.saturating_duration_since(start);
        match tokio::time::timeout(limit, run(command, (self.clock)())).await {
            Ok(result) => result.map_err(|reason| Problem::process_failed(profile, &reason)),
            Err(_) => Err(Problem::process_timed_out(profile, start.elapsed())),
        }
    }
}

/// The credentials that the command prints; else what it did instead, with the first line of its
/// stderr. Dropping the future kills the command.
async fn run(command: &Secret, now: DateTime<Utc>) -> Result<Credentials, String> {
    let mut shell = shell(command.expose());
    shell
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let own_group = cfg!(unix) && !has_terminal();
    #[cfg(unix)]
    if own_group {
        shell.process_group(0);
    }
    let mut child = shell
        .spawn()
        .map_err(|error| format!("cannot be started: {error}"))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let mut running = Running {
        group: child.id().filter(|_| own_group),
        child,
        ended: false,
    };
    let mut out = secret::buffer(MAX_STDOUT);
    let mut err = secret::buffer(MAX_STDERR);
    let status = {
        let reading = async {
            let read_out = read_to_capacity(stdout, &mut out);
            let read_err = read_to_capacity(stderr, &mut err);
            tokio::join!(read_out, read_err);
        };
        let ended = termination_signal();
        tokio::pin!(reading, ended);
        let mut read = false;
        loop {
            tokio::select! {
                () = &mut reading, if !read => read = true,
                () = &mut ended => return Err("was stopped, because we were".to_owned()),
                status = running.child.wait() => {
                    running.ended = true;
                    if !read {
                        let _ = tokio::time::timeout(PIPE_DRAIN_TIMEOUT, &mut reading).await;
                    }
                    break status;
                }
            }
        }
    };
    let said = || {
        let first = String::from_utf8_lossy(&err);
        let first = first.lines().map(str::trim).find(|line| !line.is_empty());
        // What is wrong with the program is worth telling; its arguments may be secrets.
        let arguments = command.expose().split_whitespace().skip(1);
        let arguments: Vec<_> = arguments
            .filter(|word| word.len() >= SHORTEST_SECRET)
            .map(Secret::from)
            .collect();
        first
            .map(|line| redacted(line, &arguments))
            .unwrap_or_default()
    };
    match status {
        Ok(status) if status.success() => parse(&out, now).map_err(|what| match said() {
            said if said.is_empty() => what,
            said => format!("{what} ({said})"),
        }),
        Ok(status) => {
            let how = match status.code() {
                Some(code) => format!("failed with exit status {code}"),
                None => "was killed by a signal".to_owned(),
            };
            Err(match said() {
                said if said.is_empty() => how,
                said => format!("{how}: {said}"),
            })
        }
        Err(error) => Err(format!("cannot be waited for: {error}")),
    }
}

/// Waits for a signal that asks us to end: the command, which may have a group of its own, must not
/// go on alone.
#[cfg(unix)]
async fn termination_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let kinds = [
        SignalKind::interrupt(),
        SignalKind::terminate(),
        SignalKind::hangup(),
    ];
    let mut signals: Vec<_> = kinds.into_iter().filter_map(|k| signal(k).ok()).collect();
    std::future::poll_fn(|context| {
        let told = signals.iter_mut().any(|s| s.poll_recv(context).is_ready());
        if told {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
}

#[cfg(not(unix))]
async fn termination_signal() {
    std::future::pending().await
}

/// Reads to the end and keeps what the buffer has room for: a command whose pipe is full would
/// wait, and reallocation would leave un-zeroized copies.
async fn read_to_capacity(from: Option<impl AsyncRead + Unpin>, into: &mut Zeroizing<Vec<u8>>) {
    let Some(mut from) = from else { return };
    let mut chunk = Zeroizing::new([0; 4096]);
    while let Ok(count @ 1..) = from.read(&mut *chunk).await {
        let room = into.capacity() - into.len();
        into.extend_from_slice(&chunk[..count.min(room)]);
    }
}

fn parse(stdout: &[u8], now: DateTime<Utc>) -> Result<Credentials, String> {
    let printed: Printed = serde_json::from_slice(stdout).map_err(|error| {
        // serde's words may quote the value.
        if error.is_data() {
            "printed JSON that lacks Version, AccessKeyId or SecretAccessKey".to_owned()
        } else {
            "did not print a JSON object".to_owned()
        }
    })?;
    if printed.version != 1 {
        return Err(format!(
            "printed Version {}, only 1 is known",
            printed.version
        ));
    }
    if printed.access_key_id.trim().is_empty() || printed.secret_access_key.trim().is_empty() {
        return Err("printed an empty key".to_owned());
    }
    let expiry = match printed.expiration.as_deref() {
        None => None,
        Some(text) => {
            let expiry = DateTime::parse_from_rfc3339(text.trim())
                .map_err(|_| "printed an Expiration that is not ISO 8601".to_owned())?;
            if expiry <= now {
                return Err("printed credentials that have expired".to_owned());
            }
            Some(SystemTime::from(expiry))
        }
    };
    let mut builder = Credentials::builder()
        .access_key_id(printed.access_key_id)
        .secret_access_key(printed.secret_access_key.as_str())
        .provider_name("credential_process");
    builder.set_session_token(
        printed
            .session_token
            .as_ref()
            .map(|token| token.to_string()),
    );
    builder.set_expiry(expiry);
    Ok(builder.build())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn outcome(command: &str, limit: Duration) -> Option<Result<Credentials, String>> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("runtime");
        let command = Secret::from(command);
        runtime.block_on(async {
            tokio::time::timeout(limit, run(&command, Utc::now()))
                .await
                .ok()
        })
    }

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn what_the_command_prints_becomes_credentials() {
        let json = r#"{"Version":1,"AccessKeyId":"AKIDP","SecretAccessKey":"s","SessionToken":"t","Expiration":"2999-01-01T00:00:00Z"}"#;
        let found = outcome(&format!("echo '{json}'"), LONG).expect("in time");
        let found = found.expect("good");
        assert_eq!(found.access_key_id(), "AKIDP");
        assert_eq!(found.secret_access_key(), "s");
        assert_eq!(found.session_token(), Some("t"));
        assert!(found.expiry().is_some());
    }

    #[test]
    fn failures_say_how_and_show_the_first_line_of_stderr() {
        #[rustfmt::skip]
        const CASES: &[(&str, &str)] = &[
            ("echo; printf 'no \\033[1mluck\\nmore' >&2; exit 3", "failed with exit status 3: no [1mluck"),
            ("exit 1", "failed with exit status 1"),
            ("kill -9 $$", "was killed by a signal"),
            ("true", "did not print a JSON object"),
            ("echo '<html>'; echo oops >&2", "did not print a JSON object (oops)"),
            ("echo '{}'", "printed JSON that lacks Version, AccessKeyId or SecretAccessKey"),
            ("echo '{\"Version\":1,\"AccessKeyId\":5,\"SecretAccessKey\":\"hunter2\"}'", "printed JSON that lacks Version, AccessKeyId or SecretAccessKey"),
            ("echo '{\"Version\":2,\"AccessKeyId\":\"a\",\"SecretAccessKey\":\"hunter2\"}'", "printed Version 2, only 1 is known"),
            ("echo '{\"Version\":1,\"AccessKeyId\":\"a\",\"SecretAccessKey\":\" \"}'", "printed an empty key"),
            ("echo '{\"Version\":1,\"AccessKeyId\":\"a\",\"SecretAccessKey\":\"b\",\"Expiration\":\"soon\"}'", "printed an Expiration that is not ISO 8601"),
            ("echo '{\"Version\":1,\"AccessKeyId\":\"a\",\"SecretAccessKey\":\"b\",\"Expiration\":\"2001-01-01T00:00:00Z\"}'", "printed credentials that have expired"),
            ("head -c 3000000 /dev/zero; exit 2", "failed with exit status 2"),
            ("read x || echo eof >&2; exit 4", "failed with exit status 4: eof"),
        ];
        for (command, expected) in CASES {
            let found = outcome(command, LONG).expect(command);
            assert_eq!(found.expect_err(command), *expected, "{command}");
        }
    }

    #[test]
    fn what_outlives_the_limit_is_killed() {
        let path = std::env::temp_dir().join(format!("ecr-process-{}", std::process::id()));
        let command = format!("echo $$ > {}; exec sleep 30", path.display());
        let start = std::time::Instant::now();
        assert!(outcome(&command, Duration::from_millis(500)).is_none());
        assert!(start.elapsed() < Duration::from_secs(5));
        let id = std::fs::read_to_string(&path).expect("started");
        std::fs::remove_file(&path).expect("ours");
        let id = rustix::process::Pid::from_raw(id.trim().parse().expect("id")).expect("id");
        let gone = || rustix::process::test_kill_process(id).is_err();
        // Nobody reaps it here once the runtime has gone, so a zombie counts as ended.
        let zombie = || {
            std::fs::read_to_string(format!("/proc/{}/stat", id.as_raw_nonzero()))
                .is_ok_and(|stat| stat.contains(") Z "))
        };
        for _ in 0..100 {
            if gone() || zombie() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the command still runs");
    }

    #[test]
    fn something_left_running_does_not_hold_us_up() {
        let json = r#"{"Version":1,"AccessKeyId":"AKIDP","SecretAccessKey":"s"}"#;
        let start = std::time::Instant::now();
        let found = outcome(&format!("echo '{json}'; sleep 3 &"), LONG).expect("in time");
        assert_eq!(found.expect("good").access_key_id(), "AKIDP");
        assert!(start.elapsed() < Duration::from_secs(2));
    }
}
