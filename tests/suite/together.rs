//! Many at once, and killed at any moment.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::fake::{Answer, Fake, Script};
use crate::support::run::{Helper, NOT_FOUND, slowness};

const HOST: &str = "123456789012.dkr.ecr.us-east-1.amazonaws.com";

fn host(n: usize) -> String {
    format!(
        "{:012}.dkr.ecr.us-east-1.amazonaws.com",
        100_000_000_000 + n
    )
}

/// Two hundred at once, as a build farm's node has them.
fn many() -> usize {
    200 / slowness() as usize
}

#[test]
fn any_number_of_misses_make_one_call() {
    let fake = Fake::start();
    fake.ecr(Script::always(Answer::delay(1500, Answer::default())));
    let helper = Helper::with_keys(&fake);
    let running: Vec<_> = (0..many())
        .map(|_| helper.run_of("get").stdin(HOST).spawn())
        .collect();
    let secrets: Vec<_> = running
        .into_iter()
        .map(|r| r.wait().expect_secret(HOST))
        .collect();
    assert!(secrets.iter().all(|secret| *secret == secrets[0]));
    assert_eq!(fake.count("ecr"), 1);
    assert_eq!(helper.entries("~/.cache").len(), 1, "no lock stays");
}

#[test]
fn different_registries_do_not_disturb_each_other() {
    let fake = Fake::start();
    let helper = Helper::with_keys(&fake);
    let running: Vec<_> = (0..many())
        .map(|n| (n, helper.run_of("get").stdin(host(n)).spawn()))
        .collect();
    let secrets: Vec<_> = running
        .into_iter()
        .map(|(n, r)| r.wait().expect_secret(&host(n)))
        .collect();
    assert_eq!(fake.count("ecr"), many());
    assert_eq!(helper.entries("~/.cache").len(), many());
    for (n, secret) in secrets.iter().enumerate() {
        assert_eq!(helper.secret(&host(n)), *secret);
    }
    assert_eq!(fake.count("ecr"), many(), "none was lost");
}

#[test]
fn an_outage_is_met_by_few_and_told_to_all() {
    let fake = Fake::start();
    let answer = Answer::delay(700, Answer::status(503));
    fake.ecr(Script::always(answer));
    let helper = Helper::with_keys(&fake);
    let began = Instant::now();
    let running: Vec<_> = (0..many())
        .map(|_| helper.run_of("get").stdin(HOST).spawn())
        .collect();
    for output in running.into_iter().map(|r| r.wait()) {
        assert_eq!((output.code, output.stdout.as_str()), (Some(1), NOT_FOUND));
        assert!(output.stderr.contains("HTTP status 503"), "{output:?}");
    }
    // One process makes three; one that starts after it has failed makes its own.
    assert!(fake.count("ecr") <= 9, "{} requests", fake.count("ecr"));
    assert!(
        began.elapsed() < Duration::from_secs(20) * slowness(),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn no_process_outwaits_the_deadline() {
    let fake = Fake::start();
    fake.ecr(Script::always(Answer::HangBeforeHeaders));
    let helper = Helper::with_keys(&fake).env("AWS_ECR_TIMEOUT", "4");
    let running: Vec<_> = (0..many())
        .map(|_| helper.run_of("get").stdin(HOST).spawn())
        .collect();
    for output in running.into_iter().map(|r| r.wait()) {
        assert_eq!((output.code, output.stdout.as_str()), (Some(1), NOT_FOUND));
        assert!(output.stderr.contains("timed out"), "{output:?}");
        // The rest is that of a machine with two hundred processes.
        let limit = Duration::from_secs(12) * slowness();
        assert!(output.elapsed < limit, "{output:?}");
    }
}

#[test]
fn interrupted_system_calls_are_made_again() {
    let fake = Fake::start();
    fake.ecr(Script::always(Answer::delay(700, Answer::default())));
    let helper = Helper::with_keys(&fake);
    let signals = |running: &crate::support::run::Running, n: u64| {
        let pid = rustix::process::Pid::from_child(&running.child);
        for round in 0..n {
            for signal in [Signal::STOP, Signal::CONT] {
                // It may have ended by itself.
                let _ = rustix::process::kill_process(pid, signal);
                std::thread::sleep(Duration::from_millis(5 + round % 7));
            }
        }
    };
    // One waits for the network, the other for the lock, a third for its standard input.
    let first = helper.run_of("get").stdin(HOST).spawn();
    fake.wait_for("ecr", 1);
    let second = helper.run_of("get").stdin(HOST).spawn();
    signals(&first, 10);
    signals(&second, 10);
    let secret = first.wait().expect_secret(HOST);
    assert_eq!(second.wait().expect_secret(HOST), secret);
    let program = crate::support::run::program();
    let slow = format!("(sleep 0.3; printf {HOST}) | (exec {program} get)");
    let third = helper.shell(&slow).spawn();
    signals(&third, 10);
    assert_eq!(third.wait().expect_secret(HOST), secret);
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
    rustix::process::kill_process(pid, Signal::STOP).expect("it runs");
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
    rustix::process::kill_process(pid, Signal::KILL).expect("it is stopped");
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
    rustix::process::kill_process(pid, Signal::KILL).expect("it runs");
    assert_eq!(holder.wait().code, None);
    let output = helper.get(HOST);
    output.expect_secret(HOST);
    assert!(
        output.elapsed < Duration::from_secs(1) * slowness(),
        "{:?}",
        output.elapsed
    );
}

/// A random number, not a good one.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// Every entry of the cache is whole.
fn check_entries(helper: &Helper) {
    let cache = helper.path("~/.cache/docker-credential-ecr-login/v1");
    for file in helper.files("~/.cache/docker-credential-ecr-login/v1") {
        if file.extension().is_some_and(|end| end == "json") {
            let text = std::fs::read(cache.join(&file)).expect("readable");
            let entry: serde_json::Value = serde_json::from_slice(&text).expect("whole");
            assert!(entry["password"].as_str().is_some_and(|p| p.len() > 1000));
        }
    }
}

/// Kills processes at random moments, four at a time on one cache. `SOAK_KILLS` is the number of
/// kills; the full run makes 2,000 and more.
#[test]
fn killed_at_any_moment_the_cache_is_whole() {
    const HOSTS: u64 = 3;
    const KEYS: u64 = 20;
    let wanted = std::env::var("SOAK_KILLS").ok();
    let wanted: usize = wanted.map_or(200, |n| n.parse().expect("SOAK_KILLS is a number"));
    let fake = Fake::start();
    let helper = Helper::with_keys(&fake);
    // Hardly any token is fresh: most runs lock, call AWS, write and sweep.
    fake.ecr(Script::always(Answer::expires_in(1)));
    let run = |host: u64, key: u64| {
        let run = helper.run_of("get");
        let host = self::host(usize::try_from(host).expect("small"));
        run.env("AWS_ACCESS_KEY_ID", format!("AKIAFAKESOAK{key:08}"))
            .stdin(host)
    };
    let [kills, runs, longest] = [0; 3].map(AtomicUsize::new);
    let began = Instant::now();
    std::thread::scope(|scope| {
        for worker in 1..=4_u64 {
            let (kills, runs, longest, helper) = (&kills, &runs, &longest, &helper);
            let seed = u64::from(began.elapsed().subsec_nanos()) ^ (worker << 40);
            scope.spawn(move || {
                let mut random = Random(seed);
                // In microseconds; adjusted so that half of the processes are killed.
                let mut life = 20_000;
                while kills.load(Ordering::SeqCst) < wanted {
                    let victim = run(random.below(HOSTS), random.below(KEYS)).spawn();
                    std::thread::sleep(Duration::from_micros(random.below(life)));
                    let pid = rustix::process::Pid::from_child(&victim.child);
                    // It may have ended by itself.
                    let _ = rustix::process::kill_process(pid, Signal::KILL);
                    let output = victim.wait();
                    if output.code.is_none() {
                        kills.fetch_add(1, Ordering::SeqCst);
                        life += life / 16;
                    } else {
                        assert_eq!(output.code, Some(0), "{output:?}");
                        life -= life / 16;
                    }
                    if runs.fetch_add(1, Ordering::SeqCst) % 50 == 0 {
                        longest.fetch_max(helper.entries("~/.cache").len(), Ordering::SeqCst);
                    }
                }
            });
        }
    });
    let took = began.elapsed();
    check_entries(&helper);
    fake.ecr(Script::default());
    for host in 0..HOSTS {
        for key in 0..KEYS {
            let output = run(host, key).run();
            output.expect_secret(&self::host(usize::try_from(host).expect("small")));
            // The lock of a killed process does not delay it.
            assert!(
                output.elapsed < Duration::from_secs(5) * slowness(),
                "{output:?}"
            );
        }
    }
    let [kills, runs, longest] = [kills, runs, longest].map(AtomicUsize::into_inner);
    let left = helper.entries("~/.cache").len();
    println!("soak: {kills} kills in {runs} runs, {took:?}; at most {longest} files, {left} left");
    // Entry, lock and failure of each, and the youngest 32 temporary files of each registry.
    let bound = usize::try_from(HOSTS * (KEYS * 3 + 32 + 4)).expect("small");
    assert!(longest < bound, "{longest} files");
}

/// As this program's own files are.
fn restrict(path: &std::path::Path) {
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(path, mode).expect("own file");
}

#[test]
fn programs_of_other_versions_share_the_directory() {
    let fake = Fake::start();
    let helper = Helper::with_keys(&fake);
    let first = helper.secret(HOST);
    let base = "~/.cache/docker-credential-ecr-login";
    let dir = format!("{base}/v1/{HOST}");
    let name = |digit: &str| digit.repeat(64);
    let text = |name: &str| {
        format!(
            "{{\"version\":2,\"host\":\"{HOST}\",\"name\":\"{name}\",\"more\":[{{}}],\
             \"expires_at\":\"1970-01-01T00:00:00Z\"}}"
        )
    };
    let theirs = [
        (
            format!("{base}/v2/{HOST}/{}.json", name("a")),
            "of version 2".to_owned(),
        ),
        (format!("{base}/v2/index"), "of version 2".to_owned()),
        (format!("{base}/settings.toml"), "of version 3".to_owned()),
        (format!("{dir}/{}.json", name("b")), text(&name("b"))),
        (format!("{dir}/{}.failure", name("b")), text(&name("b"))),
        (
            format!("{dir}/{}.token2", name("b")),
            "of version 2".to_owned(),
        ),
        (format!("{dir}/index.json"), "of version 2".to_owned()),
        (
            "~/.ecr/cache.json".to_owned(),
            "of the Go program".to_owned(),
        ),
    ];
    for (path, text) in &theirs {
        helper.write(path, text);
        restrict(&helper.path(path));
    }
    let unharmed = |when: &str| {
        for (path, text) in &theirs {
            assert_eq!(helper.read(path), *text, "{path}, {when}");
        }
    };
    assert_eq!(helper.secret(HOST), first);
    unharmed("after a hit");
    helper.secret(&host(1));
    helper.age(&host(1), 13 * 3600);
    helper.secret(&host(2));
    unharmed("after writing");
    assert!(helper.run_of("list").run().stdout.contains(HOST));
    unharmed("after listing");
    // An entry of this program's name and another version is a miss, and is replaced.
    let other = format!("{}.json", name("b"));
    let own = helper.files(&dir).into_iter().find(|file| {
        let name = file.to_string_lossy();
        name.ends_with(".json") && name != other.as_str() && name.len() == 69
    });
    let own = format!("{dir}/{}", own.expect("an entry").display());
    let ours = helper.read(&own);
    helper.write(&own, ours.replace("\"version\":1", "\"version\":2"));
    assert_ne!(helper.secret(HOST), first);
    assert!(helper.read(&own).contains("\"version\":1"));
    unharmed("after a miss");
}
