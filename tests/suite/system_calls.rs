//! File systems whose locks fail or block, and a system on which threads cannot be created.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::support::fake::{Answer, Fake, Script};
use crate::support::run::{Helper, NOT_FOUND, Running, program};

const HOST: &str = "123456789012.dkr.ecr.us-east-1.amazonaws.com";

/// Builds `system_calls.c`; the linker of the tests themselves is a C compiler as well.
fn launcher(helper: &Helper) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/system_calls.c");
    let program = helper.path("~/system_calls");
    let built = Command::new("cc")
        .arg("-o")
        .arg(&program)
        .arg(&source)
        .status();
    assert!(built.expect("a C compiler").success());
    program
}

/// A `get` where locks fail or block.
fn get(helper: &Helper, launcher: &Path, locks: &str) -> Running {
    let (launcher, program) = (launcher.display(), program());
    let script = format!("printf {HOST} | {launcher} {locks} {program} get");
    helper.shell(&script).spawn()
}

#[test]
fn works_without_file_locks() {
    let fake = Fake::start();
    fake.ecr(Script::always(Answer::delay(300, Answer::default())));
    let helper = Helper::with_keys(&fake);
    let launcher = launcher(&helper);
    let running: Vec<_> = (0..20).map(|_| get(&helper, &launcher, "fail")).collect();
    let secrets: Vec<_> = running
        .into_iter()
        .map(|running| running.wait().expect_secret(HOST))
        .collect();
    let calls = fake.count("ecr");
    assert!(calls > 1, "locks were taken after all");
    let again = get(&helper, &launcher, "fail").wait().expect_secret(HOST);
    assert_eq!(fake.count("ecr"), calls, "one of the tokens is cached");
    assert!(secrets.contains(&again));
    // The tokens that were replaced are known as well: none becomes a stored login.
    for secret in &secrets {
        let request = serde_json::json!({ "ServerURL": HOST, "Username": "AWS", "Secret": secret });
        let store = helper.run_of("store").stdin(request.to_string()).run();
        store.expect(0, "", "");
    }
    let files = helper.files("~/.cache");
    let logins = files.iter().filter(|file| file.ends_with("login.json"));
    assert_eq!(logins.count(), 0, "{files:?}");
}

#[test]
fn expired_entries_are_removed_without_file_locks() {
    let fake = Fake::start();
    fake.ecr(Script::steps(vec![Answer::expires_in(1)]));
    let helper = Helper::with_keys(&fake);
    let launcher = launcher(&helper);
    get(&helper, &launcher, "fail").wait().expect_secret(HOST);
    std::thread::sleep(Duration::from_millis(1100));
    let helper = helper.env("AWS_ACCESS_KEY_ID", "AKIAFAKEENVIRONMENT2");
    get(&helper, &launcher, "fail").wait().expect_secret(HOST);
    let files = helper.files("~/.cache");
    let entries = files
        .iter()
        .filter(|file| file.extension().is_some_and(|end| end == "json"));
    assert_eq!(entries.count(), 1, "{files:?}");
}

#[test]
fn a_lock_call_that_blocks_does_not_hang_a_get() {
    let fake = Fake::start();
    let helper = Helper::with_keys(&fake);
    let launcher = launcher(&helper);
    let output = get(&helper, &launcher, "block").wait();
    let secret = output.expect_secret(HOST);
    let bounds = Duration::from_millis(1500)..Duration::from_secs(10);
    assert!(bounds.contains(&output.elapsed), "{:?}", output.elapsed);
    assert_eq!(
        get(&helper, &launcher, "block").wait().expect_secret(HOST),
        secret
    );
    helper.age(HOST, 11 * 3600);
    let renewed = get(&helper, &launcher, "block").wait();
    assert_ne!(renewed.expect_secret(HOST), secret);
    assert!(
        renewed.elapsed < Duration::from_secs(10),
        "{:?}",
        renewed.elapsed
    );
    assert_eq!(fake.count("ecr"), 2);
}

/// A look-up of a name needs a thread, and tokio panics if it cannot be started.
#[test]
fn panic_in_a_dependency_is_an_error() {
    let helper = Helper::new()
        .keys()
        .env("AWS_ENDPOINT_URL", "http://name.example");
    let launcher = launcher(&helper);
    let output = get(&helper, &launcher, "no-threads").wait();
    assert_eq!(
        (output.code, &*output.stdout),
        (Some(1), NOT_FOUND),
        "{output:?}"
    );
    let begin = "docker-credential-ecr-login: internal error in ";
    assert!(output.stderr.starts_with(begin), "{output:?}");
    assert!(output.stderr.contains("\nhint: report it"), "{output:?}");
    assert_eq!(output.stderr.lines().count(), 2, "{output:?}");
    let strict = helper.env("AWS_ECR_STRICT", "true");
    let output = get(&strict, &launcher, "no-threads").wait();
    let cause = "internal error in ";
    assert!(output.stdout.starts_with(cause), "{output:?}");
    assert_eq!(output.code, Some(1));
}
