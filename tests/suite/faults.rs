//! Every fault of AWS and its outcome: a token and the number of requests for it, or the message to
//! the user; the time it takes; that no secret is shown; and that the cache stays whole. The table
//! is data; each row is run for every service that can have the fault.
//!
//! `FAULTS=show cargo test --test suite faults -- --nocapture` prints each case and its outcome.

mod credentials;
mod general;
mod party;
mod rows;
mod tokens;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use serde_json::Value;

use self::party::ALL;
use self::party::Party::{self, Container, Ecr, Metadata, Oidc};
use self::rows::{Expect, Fault, Row};
use crate::support::fake::authority::Authority;
use crate::support::fake::{ANY_PORT, Answer, Behaviour, Fake, Options, PASSWORD_SENTINEL, Script};
use crate::support::run::{Helper, NOT_FOUND, Output, slowness};

/// Added by a busy machine.
const SLACK: Duration = Duration::from_millis(2500);

/// One case: a row, the party that it happens to, and how that is reached.
struct Case {
    row: Arc<Row>,
    party: Party,
    tls: bool,
    cached: bool,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for row in general::general()
        .into_iter()
        .chain(tokens::tokens())
        .chain(credentials::credentials())
    {
        let row = Arc::new(row);
        // A connection differs over TLS; a response does not.
        let of_connections = matches!(row.fault, Fault::Connections(_) | Fault::Gone)
            || ["reset", "closed", "hang", "truncated", "512"]
                .iter()
                .any(|part| row.name.starts_with(part));
        for &party in row.at {
            let mut add = |tls, cached| {
                let row = Arc::clone(&row);
                cases.push(Case {
                    row,
                    party,
                    tls,
                    cached,
                });
            };
            add(false, false);
            if party != Metadata && (party == Ecr || of_connections) {
                add(true, false);
            }
            let lasting = !matches!(&row.fault, Fault::Says(script) if script.steps.len() == 1);
            let general = row.at == ALL || party == Ecr;
            if party.is_optional() && general && (party == Ecr || of_connections) && lasting {
                add(false, true);
            }
        }
    }
    cases
}

impl Case {
    fn name(&self) -> String {
        let over = if self.tls { "https" } else { "http" };
        let held = if self.cached { ", token cached" } else { "" };
        format!("{:?} over {over}{held}: {}", self.party, self.row.name)
    }

    /// Runs it; the error says how it differs from the row.
    fn run(&self, number: usize) -> Result<String, String> {
        let (mut fake, mut helper) = self.set_up();
        // Every other case logs all that it can, so that a secret in it would be seen.
        let debug = number % 2 == 1;
        if debug {
            helper.set("AWS_ECR_LOG", "debug");
        }
        let slow = self.row.name.contains("hang") || self.row.name.contains("a byte");
        // A token after a hang takes a second attempt, for which a busy machine needs time.
        let deadline = Duration::from_secs(match (&self.row.expect, slow && !self.cached) {
            (Expect::Cause(_), true) => 2,
            (_, true) => 6,
            (_, false) => 20,
        });
        helper.set("AWS_ECR_TIMEOUT", deadline.as_secs().to_string());
        let host = self.party.host();

        let mut held = None;
        if self.cached {
            fake.change(|behaviour| {
                behaviour.ecr = Script::always(Answer::expires_in(600));
                behaviour.ecr_public = Script::always(Answer::expires_in(600));
            });
            held = Some(self.secret(&helper.get(host), debug)?);
            helper.age(host, 400);
        }
        let elsewhere = self.inject(&mut fake);
        let before = (fake.count(self.party.service()), fake.connections());
        let output = helper.get(host);
        let requests = match self.row.fault {
            Fault::Connections(_) => {
                usize::try_from(fake.connections() - before.1).unwrap_or(usize::MAX)
            }
            _ => fake.count(self.party.service()) - before.0,
        };
        let seen = format!("{requests} requests, {:?}", output.elapsed);
        let wrong = |what: &str| Err(format!("{what}: {seen}: {output:?}"));

        let limit = if held.is_some() {
            Duration::from_secs(3)
        } else {
            deadline
        };
        if output.elapsed > limit + SLACK * slowness() {
            return wrong("too late");
        }
        // Within three seconds there may not be room for every attempt.
        let any_number = held.is_some() || slow;
        let (least, most) = self.bounds();
        if requests > most || (requests < least && !any_number) {
            return wrong("the number of requests");
        }
        if elsewhere.is_some_and(|other| other.connections() > 0) {
            return wrong("the redirect was followed");
        }
        let got = match self.outcome(&fake, &helper, &output, held.as_deref(), debug)? {
            Ok(got) => got,
            Err(what) => return wrong(what),
        };
        self.afterwards(fake, &mut helper, &output, held.as_deref(), debug)?;
        Ok(format!("{got} ({seen})"))
    }

    /// A fake AWS that works, and a user of it.
    fn set_up(&self) -> (Fake, Helper) {
        static AUTHORITY: OnceLock<Arc<Authority>> = OnceLock::new();
        let authority =
            AUTHORITY.get_or_init(|| Arc::new(Authority::new().expect("keys can be made")));
        let fake = Fake::with(Options {
            http: if self.tls { vec![] } else { vec![ANY_PORT] },
            https: if self.tls { vec![ANY_PORT] } else { vec![] },
            tls: self
                .tls
                .then(|| authority.server_config().expect("keys can be made")),
            behaviour: Behaviour::default(),
        })
        .expect("loopback can be listened on");
        if !self.tls {
            let helper = self.party.user(&fake.url());
            return (fake, helper);
        }
        let mut helper = self.party.user(&fake.https_url());
        helper.write("~/ca.pem", authority.ca_pem());
        let file = helper.path("~/ca.pem");
        helper.set("AWS_CA_BUNDLE", file);
        (fake, helper)
    }

    /// How many requests there must be at least and at most.
    fn bounds(&self) -> (usize, usize) {
        let (least, most) = (*self.row.requests.start(), *self.row.requests.end());
        match (self.party, &self.row.fault) {
            // After a failed renewal the portal gets the old session.
            (Oidc, Fault::Connections(_)) => (least, 2 * most),
            // Instance metadata takes three requests, each of which may be tried again.
            (Metadata, Fault::Connections(_)) if self.tls => (0, 2 * most),
            (Metadata, _) => (0, 2 * most.max(2)),
            // The name may have two addresses.
            (_, Fault::Connections(_)) if self.tls => (least, 2 * most),
            _ => (least, most),
        }
    }

    /// The kind of output, or how it differs from the row's.
    fn outcome(
        &self,
        fake: &Fake,
        helper: &Helper,
        output: &Output,
        held: Option<&str>,
        debug: bool,
    ) -> Result<Result<String, &'static str>, String> {
        let got = match (&self.row.expect, held) {
            (Expect::Cause(_), Some(held)) if !self.row.refused => {
                if self.secret(output, debug)? != *held {
                    return Ok(Err("not the cached token"));
                }
                let host = self.party.host();
                let before = (fake.count(self.party.service()), fake.connections());
                let again = helper.get(host);
                if self.secret(&again, debug)? != *held {
                    return Ok(Err("not the cached token, at the second time"));
                }
                if (fake.count(self.party.service()), fake.connections()) != before {
                    return Ok(Err("another attempt within a minute"));
                }
                "the cached token".to_owned()
            }
            (Expect::Cause(words), _) => {
                let cause = self.cause(output, debug)?;
                let mut expected = words.iter().chain(self.party.usual_causes());
                if !expected.any(|word| cause.contains(word)) {
                    return Ok(Err("other words"));
                }
                cause
            }
            (Expect::Password(text), _) => {
                if self.secret(output, debug)? != *text {
                    return Ok(Err("another password"));
                }
                "the password".to_owned()
            }
            (Expect::Token, _) => {
                if held == Some(&*self.secret(output, debug)?) {
                    return Ok(Err("the cached token"));
                }
                "a token".to_owned()
            }
        };
        Ok(Ok(got))
    }

    /// Makes it go wrong; returns the server that must not be called.
    fn inject(&self, fake: &mut Fake) -> Option<Fake> {
        let set = |fake: &Fake, script: &Script| {
            fake.change(|behaviour| {
                script.clone_into(self.party.script(behaviour));
                if self.party == Metadata {
                    script.clone_into(&mut behaviour.imds_token);
                }
            });
        };
        match &self.row.fault {
            Fault::Says(script) => {
                set(fake, script);
                if self.party == Oidc && matches!(self.row.expect, Expect::Cause(_)) {
                    let over = Answer::error(401, "UnauthorizedException", "old");
                    fake.change(|behaviour| behaviour.sso = Script::always(over));
                }
            }
            Fault::Connections(accept) => fake.change(|behaviour| behaviour.accept = *accept),
            Fault::Gone => fake.stop(),
            Fault::Clock(clock_offset) => fake.set(Behaviour {
                clock_offset: *clock_offset,
                ..Behaviour::default()
            }),
            Fault::Redirect(code) => {
                let other = Fake::start();
                let location = BTreeMap::from([("location".to_owned(), other.url())]);
                if self.party == Oidc {
                    let over = Answer::error(401, "UnauthorizedException", "old");
                    fake.change(|behaviour| behaviour.sso = Script::always(over));
                }
                set(
                    fake,
                    &Script::always(Answer::Status {
                        code: *code,
                        body: String::new(),
                        content_type: None,
                        headers: location,
                    }),
                );
                return Some(other);
            }
        }
        None
    }

    /// The next `get` works, and finds the token that the row left.
    fn afterwards(
        &self,
        fake: Fake,
        helper: &mut Helper,
        output: &Output,
        held: Option<&str>,
        debug: bool,
    ) -> Result<(), String> {
        helper.set("AWS_ECR_TIMEOUT", "20");
        let host = self.party.host();
        let (fake, same) = if matches!(self.row.fault, Fault::Gone) {
            if self.cached || self.tls {
                return Ok(());
            }
            let other = Fake::start();
            for name in ["AWS_ENDPOINT_URL", "AWS_EC2_METADATA_SERVICE_ENDPOINT"] {
                helper.set(name, other.url());
            }
            if self.party == Container {
                helper.set(
                    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                    format!("{}/creds", other.url()),
                );
            }
            (other, false)
        } else {
            fake.set(Behaviour::default());
            (fake, true)
        };
        let before = fake.count("ecr") + fake.count("ecr_public");
        let next = self.secret(&helper.get(host), debug)?;
        let asked = fake.count("ecr") + fake.count("ecr_public") - before;
        // A token that came and was kept; else the cached one, whose renewal waits for a minute.
        let was = self.secret(output, debug).ok();
        let there = match held {
            Some(_) if self.row.refused => None,
            Some(held) if !self.row.kept => Some(held.to_owned()),
            _ => was.filter(|_| same && self.row.kept),
        };
        let found = there.as_ref() == Some(&next);
        if found != there.is_some() || asked != usize::from(!found) {
            return Err(format!(
                "the next one made {asked} requests, found: {found}"
            ));
        }
        Ok(())
    }

    /// Messages to the user, without the debug log.
    fn messages(&self, output: &Output, debug: bool) -> Result<Vec<String>, String> {
        if !matches!(output.code, Some(0 | 1)) {
            return Err(format!("crashed: {output:?}"));
        }
        if output.stderr.contains("FAKE-") || output.stderr.contains(PASSWORD_SENTINEL) {
            return Err(format!("a secret on stderr: {output:?}"));
        }
        let lines = output.stderr.lines();
        let lines = lines.filter(|line| !(debug && line.contains(": debug: ")));
        Ok(lines.map(str::to_owned).collect())
    }

    fn secret(&self, output: &Output, debug: bool) -> Result<String, String> {
        let lines = self.messages(output, debug)?;
        let answer: Value = serde_json::from_str(&output.stdout).unwrap_or_default();
        match (output.code, answer["Secret"].as_str(), lines.is_empty()) {
            (Some(0), Some(secret), true) => Ok(secret.to_owned()),
            _ => Err(format!("no token: {output:?}")),
        }
    }

    fn cause(&self, output: &Output, debug: bool) -> Result<String, String> {
        let lines = self.messages(output, debug)?;
        match (output.code, output.stdout.as_str(), &lines[..]) {
            (Some(1), NOT_FOUND, [cause, hint]) if hint.starts_with("hint: ") => Ok(cause.clone()),
            _ => Err(format!(
                "not a failure in the form that clients expect: {output:?}"
            )),
        }
    }
}

#[test]
fn every_fault_leads_to_a_token_or_to_its_cause() {
    let only = std::env::var("FAULTS_ONLY").unwrap_or_default();
    let mut cases = cases();
    cases.retain(|case| case.name().contains(&only));
    assert!(!cases.is_empty(), "FAULTS_ONLY={only} matches no case");
    // The slow cases first.
    cases.sort_by_key(|case| !case.row.name.contains("hang") && !case.row.name.contains("byte"));
    let show = std::env::var_os("FAULTS").is_some();
    let (next, passed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let failed = Mutex::new(Vec::new());
    let began = std::time::Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..16 / slowness() {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(case) = cases.get(number) else {
                        return;
                    };
                    let result = case.run(number);
                    if show {
                        println!("{}: {result:?}", case.name());
                    }
                    match result {
                        Ok(_) => _ = passed.fetch_add(1, Ordering::Relaxed),
                        Err(error) => {
                            let line = format!("{}: {error}", case.name());
                            failed.lock().expect("no panic").push(line);
                        }
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().expect("no panic");
    println!(
        "faults: {} cases tried, {} passed, {:?}",
        cases.len(),
        passed.into_inner(),
        began.elapsed()
    );
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// The most memory that a process has had so far, in KiB, while it runs.
#[cfg(target_os = "linux")]
fn peak(id: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(target_os = "linux")]
#[test]
fn a_huge_response_takes_no_memory() {
    for party in ALL {
        let fake = Fake::start();
        let huge = Script::always(Answer::HugeBody { mib: 512 });
        fake.change(|behaviour| {
            huge.clone_into(party.script(behaviour));
            let over = Answer::error(401, "UnauthorizedException", "old");
            if *party == Oidc {
                behaviour.sso = Script::always(over);
            }
        });
        // A process that ends at once on a busy machine may not be seen at all.
        let mut most = 0;
        for _ in 0..10 {
            let user = party.user(&fake.url());
            let running = user.run_of("get").stdin(party.host()).spawn();
            let mut samples = 0;
            // A process that has ended has no memory.
            while let Some(peak) = peak(running.child.id()) {
                most = most.max(peak);
                samples += 1;
                std::thread::sleep(Duration::from_millis(1));
            }
            let output = running.wait();
            assert_eq!(output.code, Some(1), "{output:?}");
            if samples >= 5 {
                break;
            }
        }
        println!("{party:?}: at most {most} KiB");
        assert!((1024..32 * 1024).contains(&most), "{party:?}: {most} KiB");
    }
}
