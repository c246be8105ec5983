//! Runs a `credential_process` and reads what it prints.
//!
//! The SDK's provider lets the command inherit stdin, which carries the server URL here, does not
//! end it at the deadline, and keeps all that it writes. This one gives it no stdin, reads a
//! bounded amount, and leaves nothing behind: the command gets a process group of its own, which
//! is killed when its result is no longer awaited. Where there is a terminal it stays in ours,
//! since a background group cannot prompt there; then the command itself is killed. On Windows a
//! job object takes the place of the group, and ends what the command started in any case.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant, SystemTime};

use aws_credential_types::Credentials;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use zeroize::Zeroizing;

use super::super::executor::Executor;
use super::stderr::Redaction;
use crate::env::Env;
use crate::problem::Problem;
use crate::secret::{Secret, SecretBytes};
use crate::time;

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
    version: serde_json::Number,
    access_key_id: String,
    secret_access_key: Zeroizing<String>,
    session_token: Option<Zeroizing<String>>,
    expiration: Option<String>,
}

/// Kills what was started, unless it has ended.
struct Running {
    child: Child,
    /// The process group, where it is the command's own.
    #[cfg(unix)]
    group: Option<u32>,
    /// Closing it kills all that runs in it.
    #[cfg(windows)]
    _job: Option<win32job::Job>,
    ended: bool,
}

impl Running {
    /// Waits until the command ends, and a little longer for what it left in its pipes: one of its
    /// own children may keep them open.
    async fn wait(&mut self, reading: impl Future<Output = ()>) -> io::Result<ExitStatus> {
        tokio::pin!(reading);
        let mut read = false;
        loop {
            tokio::select! {
                () = &mut reading, if !read => read = true,
                status = self.child.wait() => {
                    self.ended = true;
                    if !read {
                        let _ = tokio::time::timeout(PIPE_DRAIN_TIMEOUT, &mut reading).await;
                    }
                    return status;
                }
            }
        }
    }
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

#[cfg(unix)]
fn shell(command: &str) -> Command {
    // Not by PATH, which may lead into whatever directory a client was started in.
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", command]);
    shell
}

#[cfg(windows)]
fn shell(command: &str) -> Command {
    let mut shell = Command::new(Env::command_interpreter());
    // With /S, cmd.exe removes the outermost quotes and takes the rest as it is; escaped as an
    // argument, the command's own quotes would come with backslashes.
    shell.raw_arg("/D /S /C").raw_arg(format!("\"{command}\""));
    shell
}

/// A job object with the process in it, which ends with the last handle to it: ours.
#[cfg(windows)]
fn job_of(child: &Child) -> Option<win32job::Job> {
    let mut limits = win32job::ExtendedLimitInfo::new();
    limits.limit_kill_on_job_close();
    let job = win32job::Job::create_with_limit_info(&limits).ok()?;
    // Without a job the command itself is killed.
    job.assign_process(child.raw_handle()? as isize).ok()?;
    Some(job)
}

/// Whether the command can prompt on the terminal.
#[cfg(unix)]
fn has_terminal() -> bool {
    std::fs::File::open("/dev/tty").is_ok()
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
        match tokio::time::timeout(limit, run(command, self.env, (self.clock)())).await {
            Ok(result) => result.map_err(|reason| Problem::process_failed(profile, &reason)),
            Err(_) => Err(Problem::process_timed_out(profile, start.elapsed())),
        }
    }
}

/// The credentials that the command prints; else what it did instead, with the first line of its
/// stderr. Dropping the future kills the command.
async fn run(command: &Secret, env: &Env, now: DateTime<Utc>) -> Result<Credentials, String> {
    let mut shell = shell(command.expose());
    shell
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    #[cfg(unix)]
    let own_group = !has_terminal();
    #[cfg(unix)]
    if own_group {
        shell.process_group(0);
    }
    let mut child = shell
        .spawn()
        .map_err(|error| format!("cannot be started: {error}"))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let mut running = Running {
        #[cfg(unix)]
        group: child.id().filter(|_| own_group),
        #[cfg(windows)]
        _job: job_of(&child),
        child,
        ended: false,
    };
    let mut out = SecretBytes::with_capacity(MAX_STDOUT);
    let mut err = SecretBytes::with_capacity(MAX_STDERR);
    let reading = async {
        let read_out = read_to_capacity(stdout, &mut out);
        let read_err = read_to_capacity(stderr, &mut err);
        tokio::join!(read_out, read_err);
    };
    let status = running.wait(reading).await;
    let status = status.map_err(|error| format!("cannot be waited for: {error}"))?;
    let said = || Redaction::new(command, env, &out).first_line(&err);
    if status.success() {
        return parse(&out, now).map_err(|what| match said() {
            said if said.is_empty() => what,
            said => format!("{what} ({said})"),
        });
    }
    let how = match status.code() {
        Some(code) => format!("failed with exit status {code}"),
        None => "was killed by a signal".to_owned(),
    };
    Err(match said() {
        said if said.is_empty() => how,
        said => format!("{how}: {said}"),
    })
}

/// Reads to the end and keeps what the buffer has room for: a command whose pipe is full would
/// wait, and reallocation would leave un-zeroized copies.
async fn read_to_capacity(from: Option<impl AsyncRead + Unpin>, into: &mut SecretBytes) {
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
    // 1.0 is the same number, also for the AWS CLI.
    if printed.version.as_f64() != Some(1.0) {
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
            let expiry = time::parse(text)
                .ok_or_else(|| "printed an Expiration that is not a time with a zone".to_owned())?;
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
        let env = Env::of::<String, String>([]);
        let now = DateTime::from_timestamp(1_800_000_000, 0).expect("in range");
        runtime.block_on(async {
            let run = run(&command, &env, now);
            tokio::time::timeout(limit, run).await.ok()
        })
    }

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn printed_json_becomes_credentials() {
        for (version, expiration) in [
            ("1", "2999-01-01T00:00:00Z"),
            ("1.0", "2999-01-01T00:00:00+0000"),
            ("1", "2999-01-01 00:00:00.5 UTC"),
        ] {
            let json = format!(
                r#"{{"Version":{version},"AccessKeyId":"AKIDP","SecretAccessKey":"s","SessionToken":"t","Expiration":"{expiration}"}}"#
            );
            let found = outcome(&format!("echo '{json}'"), LONG).expect("in time");
            let found = found.expect("good");
            assert_eq!(found.access_key_id(), "AKIDP");
            assert_eq!(found.secret_access_key(), "s");
            assert_eq!(found.session_token(), Some("t"));
            assert!(found.expiry().is_some());
        }
    }

    #[test]
    fn failures_show_the_first_line_of_stderr() {
        #[rustfmt::skip]
        const CASES: &[(&str, &str)] = &[
            ("cd /nonexistent/directory", "failed with exit status 2: /bin/sh: 1: cd: can't cd to …"),
            ("exit 1", "failed with exit status 1"),
            ("printf 'a secret\\033[1m' >&2; exit 3", "failed with exit status 3"),
            ("kill -9 0", "was killed by a signal"),
            ("true", "did not print a JSON object"),
            ("echo '<html>'", "did not print a JSON object"),
            ("echo '{}'", "printed JSON that lacks Version, AccessKeyId or SecretAccessKey"),
            ("echo '{\"Version\":1,\"AccessKeyId\":5,\"SecretAccessKey\":\"hunter2\"}'", "printed JSON that lacks Version, AccessKeyId or SecretAccessKey"),
            ("echo '{\"Version\":2,\"AccessKeyId\":\"a\",\"SecretAccessKey\":\"hunter2\"}'", "printed Version 2, only 1 is known"),
            ("echo '{\"Version\":1,\"AccessKeyId\":\"a\",\"SecretAccessKey\":\" \"}'", "printed an empty key"),
            ("echo '{\"Version\":1,\"AccessKeyId\":\"a\",\"SecretAccessKey\":\"b\",\"Expiration\":\"soon\"}'", "printed an Expiration that is not a time with a zone"),
            ("echo '{\"Version\":1,\"AccessKeyId\":\"a\",\"SecretAccessKey\":\"b\",\"Expiration\":\"2001-01-01T00:00:00Z\"}'", "printed credentials that have expired"),
            ("head -c 3000000 /dev/zero; exit 2", "failed with exit status 2"),
            ("read x || exit 4", "failed with exit status 4"),
        ];
        for (command, expected) in CASES {
            let found = outcome(command, LONG).expect(command);
            assert_eq!(found.expect_err(command), *expected, "{command}");
        }
    }

    #[test]
    fn command_is_killed_at_the_time_limit() {
        let path = std::env::temp_dir().join(format!("ecr-process-{}", std::process::id()));
        let command = format!("echo $$ > {}; exec sleep 30", path.display());
        let start = Instant::now();
        assert!(outcome(&command, Duration::from_millis(500)).is_none());
        assert!(start.elapsed() < Duration::from_secs(5));
        let id = std::fs::read_to_string(&path).expect("started");
        std::fs::remove_file(&path).expect("ours");
        let id = rustix::process::Pid::from_raw(id.trim().parse().expect("id")).expect("id");
        let gone = || rustix::process::test_kill_process(id).is_err();
        // It is not reaped once the runtime has gone, so a zombie counts as ended.
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
    fn a_child_left_running_does_not_delay() {
        let json = r#"{"Version":1,"AccessKeyId":"AKIDP","SecretAccessKey":"s"}"#;
        let start = Instant::now();
        let found = outcome(&format!("echo '{json}'; sleep 3 &"), LONG).expect("in time");
        assert_eq!(found.expect("good").access_key_id(), "AKIDP");
        assert!(start.elapsed() < Duration::from_secs(2));
    }
}
