//! `credential_process`: its streams, its end, its shell.

#[cfg(windows)]
use crate::sources::PROCESS_KEYS;
use crate::sources::{HOST, profile};
use crate::support::fake::Fake;

#[test]
fn credential_process_has_no_stdin() {
    let fake = Fake::start();
    let (command, script) = match cfg!(windows) {
        true => (
            "process.cmd",
            "@set /p line=\r\n@echo first>&2\r\n@echo second>&2\r\n@exit /b 3\r\n",
        ),
        false => ("sh process", "cat; echo first >&2; echo second >&2; exit 3"),
    };
    let config = format!("[profile dev]\ncredential_process = {command}\n");
    let file = command.split(' ').next_back().expect("a name");
    let helper = profile(&fake, &config).file(&format!("~/{file}"), script);
    let output = helper.get(HOST);
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("first"), "{output:?}");
    assert!(!output.stderr.contains("second"), "{output:?}");
}

#[cfg(unix)]
#[test]
fn a_credential_process_does_not_outlive_the_deadline() {
    let fake = Fake::start();
    let helper = profile(
        &fake,
        "[profile dev]\ncredential_process = sh -c 'echo $$ > ~/pid; sleep 300'\n",
    )
    .env("AWS_ECR_TIMEOUT", "1");
    let output = helper.get(HOST);
    assert_eq!(output.code, Some(1));
    assert!(
        output.elapsed < std::time::Duration::from_secs(3),
        "{output:?}"
    );
    let pid = helper.read("~/pid");
    expect_end(pid.trim());
}

/// A killed process takes a moment to go.
#[cfg(unix)]
fn expect_end(pid: &str) {
    let status = std::path::Path::new("/proc").join(pid).join("status");
    let mut state = String::new();
    for _ in 0..200 {
        state = std::fs::read_to_string(&status).unwrap_or_default();
        if state.is_empty() || state.contains("zombie") {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("it still runs: {state}");
}

#[cfg(unix)]
#[test]
fn credential_process_shell_ignores_path() {
    let fake = Fake::start();
    let helper = profile(
        &fake,
        "[profile dev]\ncredential_process = echo '{\"Version\":1,\"AccessKeyId\":\
         \"AKIAFAKEPROCESS00001\",\"SecretAccessKey\":\"s\"}'\n",
    );
    helper.file("~/sh", "planted").env("PATH", "").secret(HOST);
}

#[cfg(unix)]
#[test]
fn a_credential_process_ends_with_us() {
    let fake = Fake::start();
    let helper = profile(
        &fake,
        "[profile dev]\ncredential_process = sh -c 'echo $$ > ~/pid; sleep 300'\n",
    );
    let run = helper.run_of("get").stdin(HOST).spawn();
    let began = std::time::Instant::now();
    while !helper.path("~/pid").exists() {
        assert!(began.elapsed().as_secs() < 20, "it does not start");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let us = rustix::process::Pid::from_child(&run.child);
    rustix::process::kill_process(us, rustix::process::Signal::TERM).expect("it runs");
    assert_eq!(run.wait().code, Some(1));
    expect_end(helper.read("~/pid").trim());
}

#[cfg(windows)]
#[test]
fn credential_process_keeps_its_quotes() {
    let fake = Fake::start();
    let script = "@if not \"%~1\"==\"a b\" exit /b 7\r\n@echo ";
    let helper = profile(&fake, "").file("~/my tools/keys.cmd", format!("{script}{PROCESS_KEYS}"));
    let command = helper.path("~/my tools/keys.cmd");
    // Drive, backslashes, a space in the path and in an argument, line ends of Windows.
    let config = format!(
        "[profile dev]\r\ncredential_process = \"{}\" \"a b\"\r\n",
        command.to_str().expect("UTF-8").replace('/', "\\")
    );
    helper.file("~/.aws/config", config).secret(HOST);
}

/// The job ends with this program, and with it what the command started.
#[cfg(windows)]
#[test]
fn children_do_not_outlive_the_deadline() {
    let fake = Fake::start();
    let script = "@echo x>started\r\n@ping -n 5 127.0.0.1>nul\r\n@echo x>late\r\n";
    let config = "[profile dev]\ncredential_process = cmd /c child.cmd & exit 1\n";
    let helper = profile(&fake, config).file("~/child.cmd", script);
    let helper = helper
        .env("AWS_ECR_TIMEOUT", "2")
        .env("PATH", "C:\\Windows\\System32");
    let output = helper.get(HOST);
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains("timed out"), "{output:?}");
    assert!(helper.path("~/started").exists(), "{output:?}");
    std::thread::sleep(std::time::Duration::from_secs(5));
    assert!(!helper.path("~/late").exists(), "the child ran on");
}

#[cfg(target_os = "linux")]
#[test]
fn endless_output_takes_time_and_memory_within_bounds() {
    let fake = Fake::start();
    for command in ["cat /dev/zero", "cat /dev/zero >&2"] {
        let config = format!("[profile dev]\ncredential_process = {command}\n");
        let helper = profile(&fake, &config).env("AWS_ECR_TIMEOUT", "2");
        // 400 MB of address space hold the program and no endless output.
        let program = crate::support::run::program();
        let script = format!("ulimit -v 400000; printf {HOST} | timeout 20 {program} get");
        let output = helper.shell(&script).run();
        assert_eq!(output.code, Some(1), "{command}: {output:?}");
        let is_named = output.stderr.contains("credential_process");
        assert!(is_named, "{command}: {output:?}");
        assert!(output.elapsed.as_secs() < 10, "{command}: {output:?}");
    }
}
