//! One run of one program, and what it costs: time, system calls, threads, memory, instructions.
//!
//! Time is taken from before the spawn to after the wait, because that is what a client pays. The
//! other figures come from runs of their own, since counting slows the program down.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A program with all that it is given.
#[derive(Debug, Clone)]
pub struct Run {
    pub program: PathBuf,
    pub action: Option<&'static str>,
    /// stdin: it comes by a pipe, as from a client.
    pub stdin: String,
    /// The whole environment.
    pub env: Vec<(String, OsString)>,
}

/// The output of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// System calls of one run.
#[derive(Debug, Clone, Default)]
pub struct SystemCalls {
    pub total: u64,
    /// How often each was made.
    pub by_name: BTreeMap<String, u64>,
    pub threads: u64,
}

impl Run {
    fn command(&self, prefix: &[&str]) -> io::Result<Command> {
        let (stdin, mut writer) = io::pipe()?;
        writer.write_all(self.stdin.as_bytes())?;
        let mut command = match prefix.split_first() {
            Some((tool, arguments)) => {
                let mut command = Command::new(tool);
                command.args(arguments).arg(&self.program);
                command
            }
            None => Command::new(&self.program),
        };
        command
            .args(self.action)
            .env_clear()
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(stdin)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Ok(command)
    }

    /// From before the spawn to after the end.
    pub fn time(&self) -> io::Result<Duration> {
        let mut command = self.command(&[])?;
        let start = Instant::now();
        command.spawn()?.wait()?;
        Ok(start.elapsed())
    }

    /// The time until the last of `n`, started together, has ended.
    pub fn time_at_once(&self, n: usize) -> io::Result<Duration> {
        let commands: io::Result<Vec<_>> = (0..n).map(|_| self.command(&[])).collect();
        let start = Instant::now();
        let children: io::Result<Vec<_>> = commands?.iter_mut().map(Command::spawn).collect();
        for mut child in children? {
            child.wait()?;
        }
        Ok(start.elapsed())
    }

    /// Its output.
    pub fn said(&self) -> io::Result<Said> {
        let mut command = self.command(&[])?;
        let output = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .output()?;
        Ok(Said {
            status: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Counts with strace; none where there is no strace.
    pub fn system_calls(&self, scratch: &Path) -> io::Result<Option<SystemCalls>> {
        let log = scratch.join("strace");
        let out = log.to_string_lossy();
        let mut command = self.command(&["/usr/bin/strace", "-f", "-qq", "-o", &out, "--"])?;
        match command.status() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            status => status?,
        };
        let mut calls = SystemCalls {
            threads: 1,
            ..SystemCalls::default()
        };
        for line in fs::read_to_string(&log)?.lines() {
            // `123   read(0, …) = 1`; what was interrupted comes back as `<... read resumed>`.
            let Some((_, call)) = line.split_once(' ') else {
                continue;
            };
            let Some((name, arguments)) = call.trim_start().split_once('(') else {
                continue;
            };
            // The last one does not come back: `strace -c` does not count it either.
            let odd = name.contains(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            if odd || name == "exit_group" {
                continue;
            }
            calls.total += 1;
            *calls.by_name.entry(name.to_owned()).or_default() += 1;
            if name.starts_with("clone") && arguments.contains("CLONE_THREAD") {
                calls.threads += 1;
            }
        }
        Ok(Some(calls))
    }

    /// Peak resident memory in KiB, or none if it writes nothing.
    ///
    /// `ru_maxrss` would not do: it begins with the peak of the process that spawned. So stdout is
    /// a pipe that is full, and the kernel's own record is read while the program waits there with
    /// its answer in hand.
    pub fn peak_kib(&self) -> io::Result<Option<u64>> {
        const PIPE: usize = 64 << 10;
        const WRITE_TO_STDOUT: &str = if cfg!(target_arch = "x86_64") {
            "1 0x1 "
        } else {
            "64 0x1 "
        };
        let (reader, mut writer) = io::pipe()?;
        writer.write_all(&[0; PIPE])?;
        let mut command = self.command(&[])?;
        let mut child = command.stdout(writer).spawn()?;
        drop(command);
        let process = PathBuf::from(format!("/proc/{}", child.id()));
        let writes = || {
            fs::read_dir(process.join("task")).is_ok_and(|tasks| {
                tasks.flatten().any(|task| {
                    fs::read_to_string(task.path().join("syscall"))
                        .is_ok_and(|call| call.starts_with(WRITE_TO_STDOUT))
                })
            })
        };
        let end = Instant::now() + Duration::from_secs(5);
        while !writes() && child.try_wait()?.is_none() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
        let status = fs::read_to_string(process.join("status")).unwrap_or_default();
        let peak = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        drop(reader);
        child.kill().ok();
        child.wait()?;
        Ok(peak)
    }

    /// Instructions executed, by valgrind; none where there is no valgrind.
    pub fn instructions(&self) -> io::Result<Option<u64>> {
        let mut command = self.command(&[
            "/usr/bin/valgrind",
            "--tool=callgrind",
            "--callgrind-out-file=/dev/null",
        ])?;
        let output = match command.stderr(Stdio::piped()).output() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            output => output?,
        };
        // `==123== Collected : 456`
        let log = String::from_utf8_lossy(&output.stderr);
        Ok(log.lines().find_map(|line| {
            let (_, count) = line.split_once("Collected :")?;
            count.trim().parse().ok()
        }))
    }
}

/// The middle one, by value.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => f64::midpoint(values[n / 2 - 1], values[n / 2]),
    }
}

/// As a number of milliseconds.
pub fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
