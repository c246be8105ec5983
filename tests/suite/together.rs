//! Many at once, and killed at any moment.

use std::time::Duration;

use crate::support::fake::{Answer, Fake, Script};
use crate::support::run::{Helper, NOT_FOUND};

const HOST: &str = "123456789012.dkr.ecr.us-east-1.amazonaws.com";

fn host(n: usize) -> String {
    format!(
        "{:012}.dkr.ecr.us-east-1.amazonaws.com",
        100_000_000_000 + n
    )
}

#[test]
fn any_number_of_misses_make_one_call() {
    let fake = Fake::start();
    fake.ecr(Script::always(Answer::delay(300, Answer::default())));
    let helper = Helper::with_keys(&fake);
    let running: Vec<_> = (0..40)
        .map(|_| helper.run_of("get").stdin(HOST).spawn())
        .collect();
    let secrets: Vec<_> = running
        .into_iter()
        .map(|r| r.wait().expect_secret(HOST))
        .collect();
    assert!(secrets.iter().all(|secret| *secret == secrets[0]));
    assert_eq!(fake.count("ecr"), 1);
    assert_eq!(helper.files("~/.cache").len(), 1, "no lock stays");
}

#[test]
fn different_registries_do_not_disturb_each_other() {
    let fake = Fake::start();
    let helper = Helper::with_keys(&fake);
    let running: Vec<_> = (0..40)
        .map(|n| (n, helper.run_of("get").stdin(host(n)).spawn()))
        .collect();
    let secrets: Vec<_> = running
        .into_iter()
        .map(|(n, r)| r.wait().expect_secret(&host(n)))
        .collect();
    assert_eq!(fake.count("ecr"), 40);
    for (n, secret) in secrets.iter().enumerate() {
        assert_eq!(helper.secret(&host(n)), *secret);
    }
    assert_eq!(fake.count("ecr"), 40, "none was lost");
}

#[test]
fn a_failure_that_all_would_meet_is_shared() {
    let fake = Fake::start();
    fake.ecr(Script::always(Answer::delay(
        500,
        Answer::error(400, "AccessDeniedException", "no"),
    )));
    let role = "[default]\nrole_arn = arn:aws:iam::123456789012:role/r\nsource_profile = base\n\
        [profile base]\naws_access_key_id = AKIAFAKEPROFILE00001\naws_secret_access_key = s\n";
    fake.change(|behaviour| {
        behaviour.sts = Script::always(Answer::delay(
            500,
            Answer::error(
                403,
                "AccessDenied",
                "not authorized to perform: sts:AssumeRole",
            ),
        ));
    });
    let helper = Helper::new().asks(&fake).file("~/.aws/config", role);
    let running: Vec<_> = (0..20)
        .map(|_| helper.run_of("get").stdin(HOST).spawn())
        .collect();
    for output in running.into_iter().map(|r| r.wait()) {
        assert_eq!((output.code, output.stdout.as_str()), (Some(1), NOT_FOUND));
        assert!(output.stderr.contains("role/r"), "{output:?}");
    }
    // One that starts only after the failure was produced asks by itself.
    assert!(fake.count("sts") <= 2, "{} calls", fake.count("sts"));
    let before = fake.count("sts");
    helper.get(HOST);
    assert_eq!(
        fake.count("sts"),
        before + 1,
        "a failure is not kept for later"
    );
}

#[test]
fn a_failure_of_ones_own_is_not_shared() {
    let fake = Fake::start();
    fake.ecr(Script::times(
        1,
        Answer::delay(
            500,
            Answer::error(400, "UnrecognizedClientException", "bad token"),
        ),
    ));
    let helper = Helper::with_keys(&fake);
    let running: Vec<_> = (0..10)
        .map(|_| helper.run_of("get").stdin(HOST).spawn())
        .collect();
    let failed = running
        .into_iter()
        .map(|r| r.wait())
        .filter(|output| output.code != Some(0))
        .count();
    assert_eq!(failed, 1, "only the one that met it");
}

#[test]
fn a_holder_that_is_stopped_does_not_stop_the_others() {
    let fake = Fake::start();
    fake.ecr(Script::times(1, Answer::HangBeforeHeaders));
    let helper = Helper::with_keys(&fake).env("AWS_ECR_TIMEOUT", "4");
    let holder = helper.run_of("get").stdin(HOST).spawn();
    fake.wait_for("ecr", 1);
    let pid = rustix::process::Pid::from_child(&holder.child);
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).expect("it runs");
    let output = helper.get(HOST);
    output.expect_secret(HOST);
    assert!(
        output.elapsed >= Duration::from_millis(1900),
        "{:?}",
        output.elapsed
    );
    assert!(
        output.elapsed < Duration::from_secs(4),
        "{:?}",
        output.elapsed
    );
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it is stopped");
    assert_eq!(holder.wait().code, None);
}

#[test]
fn a_holder_that_is_killed_leaves_the_lock_free() {
    let fake = Fake::start();
    fake.ecr(Script::times(1, Answer::HangBeforeHeaders));
    let helper = Helper::with_keys(&fake);
    let holder = helper.run_of("get").stdin(HOST).spawn();
    fake.wait_for("ecr", 1);
    let pid = rustix::process::Pid::from_child(&holder.child);
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it runs");
    assert_eq!(holder.wait().code, None);
    let output = helper.get(HOST);
    output.expect_secret(HOST);
    assert!(
        output.elapsed < Duration::from_secs(1),
        "{:?}",
        output.elapsed
    );
}

#[test]
fn killed_at_any_moment_the_cache_is_whole() {
    let fake = Fake::start();
    let helper = Helper::with_keys(&fake);
    fake.ecr(Script::always(Answer::expires_in(2)));
    for round in 0..60_u64 {
        let victim = helper.run_of("get").stdin(HOST).spawn();
        std::thread::sleep(Duration::from_micros(round * 130));
        let pid = rustix::process::Pid::from_child(&victim.child);
        // It may have ended by itself.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        let _ = victim.wait();
        helper.secret(HOST);
    }
    assert!(helper.files("~/.cache").len() < 70);
}
