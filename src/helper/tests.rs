//! The policy with a stand-in for AWS, a real cache and a clock that stands still.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use chrono::TimeDelta;

use super::*;
use crate::ecr::{Caller, Issued};
use crate::principal::{Endpoint, PodIdentity};
use crate::secret::Secret;
use crate::token::Login;

const HOST: &str = "123456789012.dkr.ecr.us-east-1.amazonaws.com";
const OTHER: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";

/// An action at a reading of the clock, and the number of readings before it.
type Hook = (u32, Box<dyn Fn()>);

thread_local! {
    static NOW: Cell<i64> = const { Cell::new(1_800_000_000) };
    static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
}

pub(super) fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(NOW.get(), 0).expect("in range")
}

/// The clock that a helper is given.
fn clock() -> DateTime<Utc> {
    let due = HOOK.with_borrow_mut(|hook| match hook {
        Some((left, _)) if *left > 1 => {
            *left -= 1;
            None
        }
        _ => hook.take(),
    });
    if let Some((_, act)) = due {
        act();
    }
    now()
}

fn pass(seconds: i64) {
    NOW.set(NOW.get() + seconds);
}

/// Gives what it was told to, then numbered tokens of twelve hours.
#[derive(Default)]
struct FakeAws {
    replies: VecDeque<Result<Issued, Problem>>,
    key_id: &'static str,
    identified: usize,
    asked: usize,
    connected_early: usize,
    /// How long the last answer was waited for at most, and whom it was asked for.
    time_left: Duration,
    source: &'static str,
}

impl Issuer for FakeAws {
    fn connect_early(&mut self, _: &Plan, _: Instant) {
        self.connected_early += 1;
    }

    fn identify(&mut self, _: &Plan, _: Instant) -> Result<Session, Problem> {
        self.identified += 1;
        match self.key_id {
            "" => Err(failure()),
            id => Ok(Session::of_key(id)),
        }
    }

    fn issue(
        &mut self,
        plan: &Plan,
        _: Option<Session>,
        _: &Registry,
        deadline: Instant,
    ) -> Result<Issued, Problem> {
        self.asked += 1;
        self.time_left = deadline.saturating_duration_since(Instant::now());
        self.source = plan.source_kind();
        self.replies.pop_front().unwrap_or_else(|| {
            let mut issued = issued(Some(12 * 3600), None);
            issued.login.password = Secret::new(format!("pw{}", self.asked));
            Ok(issued)
        })
    }

    fn caller(&mut self, _: &Plan, _: &Endpoint, _: Instant) -> Result<Caller, Problem> {
        Err(failure())
    }
}

/// One that all would meet.
fn failure() -> Problem {
    Problem::new(
        ProblemKind::Unavailable,
        "ECR failed with HTTP status 500",
        "try again",
    )
    .shared()
}

/// One that is the asker's own.
fn own_failure() -> Problem {
    Problem::new(
        ProblemKind::Refused,
        "AWS does not accept the signature made by me",
        "check the key",
    )
}

fn their_problem(shared: bool) -> Problem {
    let problem = Problem::new(ProblemKind::SessionExpired, "their cause", "their hint");
    match shared {
        true => problem.shared(),
        false => problem,
    }
}

struct Place {
    dir: tempfile::TempDir,
    env: Env,
}

impl Place {
    fn new() -> Self {
        Self::with([
            ("AWS_ACCESS_KEY_ID", "AKIA1"),
            ("AWS_SECRET_ACCESS_KEY", "s"),
            ("AWS_ECR_TIMEOUT", "0.4"),
        ])
    }

    fn with<const N: usize>(vars: [(&str, &str); N]) -> Self {
        Self {
            dir: tempfile::tempdir().expect("a directory"),
            env: Env::of(vars),
        }
    }

    fn cache(&self) -> Cache<'static> {
        Cache::open(self.dir.path().join("cache"), Log::off())
    }

    fn key(&self) -> CacheKey {
        let surroundings = Surroundings::read(&self.env, Log::off());
        let plan = principal::plan(&surroundings, &registry(), &Selection::default());
        match plan.expect("keys").identity {
            Identity::Pinned(key) => key,
            Identity::Ambient => panic!("ambient"),
        }
    }
}

fn helper<'a>(place: &'a Place, cache: Option<&'a Cache<'a>>) -> Helper<'a, FakeAws> {
    Helper {
        env: &place.env,
        cache,
        issuer: Box::leak(Box::default()),
        clock: &clock,
        log: Log::off(),
        selection: Selection::default(),
        longest: None,
    }
}

fn registry() -> Registry {
    Registry::from_server_url(HOST).expect("ECR")
}

fn other() -> Registry {
    Registry::from_server_url(OTHER).expect("ECR")
}

fn token_of(password: &str) -> Token {
    Token {
        login: Login {
            username: "AWS".into(),
            password: Secret::from(password),
        },
        issued_at: now(),
        expires_at: now() + TimeDelta::hours(12),
    }
}

fn password(result: Result<Token, Problem>) -> String {
    let token = result.expect("a token");
    token.login.password.expose().to_owned()
}

mod early;
mod logins;
mod renewal;

#[test]
fn a_fresh_token_is_served_without_asking() {
    let place = Place::new();
    let cache = place.cache();
    let mut helper = helper(&place, Some(&cache));
    assert_eq!(password(helper.get(&registry())), "pw1");
    pass(11 * 3600 - 1);
    assert_eq!(password(helper.get(&registry())), "pw1");
    assert_eq!(password(helper.get(&other())), "pw2");
    assert_eq!((helper.issuer.asked, helper.issuer.identified), (2, 0));
    // Not even a lock is taken for it.
    let lines = RefCell::new(String::new());
    let write = |line: std::fmt::Arguments<'_>| lines.borrow_mut().push_str(&line.to_string());
    helper.log = Log::to(&write);
    helper.get(&registry()).expect("a token");
    assert!(lines.borrow().contains("cached token served"), "{lines:?}");
}

#[test]
fn a_lock_is_waited_for_half_of_the_deadline() {
    let place = Place::with([
        ("AWS_ACCESS_KEY_ID", "AKIA1"),
        ("AWS_SECRET_ACCESS_KEY", "s"),
        ("AWS_ECR_TIMEOUT", "2"),
    ]);
    let cache = place.cache();
    let held = cache.lock(HOST, &place.key(), Wait::No, || None::<()>);
    assert!(matches!(held, LockOutcome::Acquired(_)));
    let others = place.cache();
    let mut helper = helper(&place, Some(&others));
    let began = Instant::now();
    assert_eq!(password(helper.get(&registry())), "pw1");
    let took = began.elapsed().as_secs_f32();
    assert!((1.0..3.0).contains(&took), "{took}");
}

#[test]
fn miss_has_the_deadline_renewal_three_seconds() {
    let mut place = Place::new();
    place.env = Env::of([
        ("AWS_ACCESS_KEY_ID", "AKIA1"),
        ("AWS_SECRET_ACCESS_KEY", "s"),
    ]);
    let cache = place.cache();
    let mut helper = helper(&place, Some(&cache));
    helper.get(&registry()).expect("a token");
    let time_left = helper.issuer.time_left.as_secs_f32();
    assert!((18.0..=20.0).contains(&time_left), "{time_left}");
    pass(11 * 3600);
    assert_eq!(password(helper.get(&registry())), "pw2");
    let time_left = helper.issuer.time_left.as_secs_f32();
    assert!((1.0..=3.0).contains(&time_left), "{time_left}");
    assert_eq!(password(helper.get(&registry())), "pw2");
}

#[test]
fn an_expired_token_is_never_served() {
    let place = Place::new();
    let cache = place.cache();
    let mut helper = helper(&place, Some(&cache));
    helper.get(&registry()).expect("a token");
    pass(12 * 3600);
    helper.issuer.replies = [Err(failure())].into();
    let error = helper.get(&registry()).expect_err("no token");
    assert_eq!(error.to_string(), failure().to_string());
    assert_eq!(error.hint(), failure().hint());
    pass(1);
    assert_eq!(password(helper.get(&registry())), "pw3");
}

#[test]
fn a_waiter_takes_what_the_holder_leaves_behind() {
    let failure = |shared| NegativeEntry {
        at: now(),
        count: 1,
        problem: their_problem(shared),
    };
    for what in [
        "token",
        "shared failure",
        "a failure of its own",
        "an old failure",
    ] {
        let place = Place::new();
        let cache = place.cache();
        let mut helper = helper(&place, Some(&cache));
        let (others, key) = (place.cache(), place.key());
        let held = others.lock(HOST, &key, Wait::No, || None::<()>);
        assert!(matches!(held, LockOutcome::Acquired(_)));
        let token = token_of("theirs");
        let mut left = failure(what == "shared failure");
        if what == "an old failure" {
            left.at = now() - TimeDelta::seconds(1);
            left.problem = their_problem(true);
        }
        match what {
            "token" => others.put(HOST, &key, &token, Provenance::default(), now()),
            _ => others.record_failure(HOST, &key, &left),
        }
        .expect("written");
        if what == "token" {
            // Present, but of no use to who began before: it has to be seen while waiting.
            others.erase(HOST).expect("erased");
            let again = place.cache();
            let act = move || {
                let kept = again.put(HOST, &key, &token, Provenance::default(), now());
                kept.expect("written");
            };
            HOOK.set(Some((2, Box::new(act))));
        }
        let began = Instant::now();
        let result = helper.get(&registry());
        let took = began.elapsed();
        match what {
            "token" => {
                assert_eq!(password(result), "theirs");
                assert_eq!(helper.issuer.asked, 0);
            }
            "shared failure" => {
                let error = result.expect_err("their failure");
                assert_eq!(error, their_problem(true));
                assert_eq!(helper.issuer.asked, 0);
            }
            _ => {
                assert_eq!(password(result), "pw1");
                assert_eq!(helper.issuer.asked, 1, "{what}");
            }
        }
        // Half of the deadline, where there is nothing to be had from the holder.
        let waited = took >= Duration::from_millis(200);
        assert_eq!(waited, what == "an old failure", "{what}: {took:?}");
    }
}

#[test]
fn who_gets_the_lock_looks_again() {
    let place = Place::new();
    let cache = place.cache();
    let mut helper = helper(&place, Some(&cache));
    let (others, key) = (place.cache(), place.key());
    let act = move || {
        let kept = others.put(
            HOST,
            &key,
            &token_of("theirs"),
            Provenance::default(),
            now(),
        );
        kept.expect("written");
    };
    HOOK.set(Some((2, Box::new(act))));
    assert_eq!(password(helper.get(&registry())), "theirs");
    assert_eq!(helper.issuer.asked, 0);
}

#[test]
fn failures_are_left_for_those_who_wait() {
    for (error, shared) in [(failure(), true), (own_failure(), false)] {
        let place = Place::new();
        let cache = place.cache();
        let mut helper = helper(&place, Some(&cache));
        helper.issuer.replies = [Err(error.clone())].into();
        helper.get(&registry()).expect_err("no token");
        let left = cache.failure(HOST, &place.key()).expect("left behind");
        assert_eq!(left.at, now());
        assert_eq!(left.problem, error);
        assert_eq!(left.problem.is_shared(), shared);
    }
}

#[test]
fn a_reply_that_may_not_be_kept_is_served_once() {
    let place = Place::new();
    let cache = place.cache();
    let mut helper = helper(&place, Some(&cache));
    helper.issuer.replies = [Ok(issued(None, None))].into();
    let token = helper.get(&registry()).expect("a token");
    assert_eq!((token.issued_at, token.expires_at), (now(), now()));
    let left = cache.failure(HOST, &place.key()).expect("nothing to share");
    assert!(!left.problem.is_shared());
    assert_eq!(password(helper.get(&registry())), "pw2");
}

#[test]
fn no_token_lives_longer_than_twelve_hours() {
    let place = Place::new();
    let cache = place.cache();
    let mut helper = helper(&place, Some(&cache));
    helper.issuer.replies = [Ok(issued(Some(100 * 3600), None))].into();
    let token = helper.get(&registry()).expect("a token");
    assert_eq!(token.expires_at, now() + TimeDelta::hours(12));
    helper.issuer.replies = [Ok(issued(Some(3600), None))].into();
    let token = helper.get(&other()).expect("a token");
    assert_eq!(token.expires_at, now() + TimeDelta::hours(1));
}

#[test]
fn without_a_cache_everybody_asks() {
    let place = Place::new();
    let mut first = helper(&place, None);
    assert_eq!(password(first.get(&registry())), "pw1");
    assert_eq!(password(first.get(&registry())), "pw2");
    // A file where the directory should be.
    std::fs::write(place.dir.path().join("cache"), "").expect("written");
    let cache = place.cache();
    let mut helper = helper(&place, Some(&cache));
    assert_eq!(password(helper.get(&registry())), "pw1");
    assert_eq!(password(helper.get(&registry())), "pw2");
}

#[test]
fn ambient_sources_have_one_entry_per_key_id() {
    let uri = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1/x");
    let place = Place::with([uri]);
    let cache = place.cache();
    let mut helper = helper(&place, Some(&cache));
    for (key_id, expected) in [("ASIA1", "pw1"), ("ASIA1", "pw1"), ("ASIA2", "pw2")] {
        helper.issuer.key_id = key_id;
        assert_eq!(password(helper.get(&registry())), expected);
    }
    assert_eq!((helper.issuer.asked, helper.issuer.identified), (2, 3));
    assert!(cache.held(now()).iter().all(|held| held.ambient));
    helper.issuer.key_id = "";
    helper.get(&registry()).expect_err("no credentials");
}

#[test]
fn the_kubelets_token_goes_past_the_cache() {
    let place = Place::new();
    let cache = place.cache();
    let mut helper = helper(&place, Some(&cache));
    helper.get(&registry()).expect("a token");
    let (token, keep) = helper.get_uncached(&registry()).expect("a token");
    assert_eq!(
        (token.login.password.expose(), keep),
        ("pw2", Cacheable::Yes)
    );
    assert_eq!(helper.issuer.source, "environment variables");
    helper.issuer.replies = [Ok(issued(None, None))].into();
    helper.selection.web_identity = Some(PodIdentity {
        role_arn: "arn:aws:iam::123456789012:role/r".to_owned(),
        session_name: "s".to_owned(),
        token: Secret::from("a.b.c"),
    });
    let (_, keep) = helper.get_uncached(&registry()).expect("a token");
    assert!(matches!(keep, Cacheable::No(_)));
    assert_eq!(helper.issuer.source, "web identity");
    let time_left = helper.issuer.time_left.as_millis();
    assert!((100..=400).contains(&time_left), "{time_left}");
    helper.selection.web_identity = None;
    assert_eq!(password(helper.get(&registry())), "pw1");
}

pub(super) fn issued(expires_in: Option<i64>, proxy_endpoint: Option<&str>) -> Issued {
    Issued {
        login: Login {
            username: "AWS".into(),
            password: Secret::from("pw"),
        },
        expires_at: expires_in.map(|s| now() + TimeDelta::seconds(s)),
        proxy_endpoint: proxy_endpoint.map(str::to_owned),
        session_digest: None,
        renewed_from: None,
    }
}
