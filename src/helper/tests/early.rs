//! Connections that are opened while an ambient source is asked.

use super::*;

#[test]
fn only_certain_misses_connect_early() {
    let uri = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1/x");
    let place = Place::with([uri, ("AWS_ECR_TIMEOUT", "0.4")]);
    let cache = place.cache();
    let mut helper = helper(&place, Some(&cache));
    helper.issuer.key_id = "ASIA1";
    let hour = 3600;
    for (what, passed, connected) in [
        ("a miss", 0, 1),
        ("a hit", 0, 1),
        ("a renewal", 11 * hour + 1800, 1),
        ("a hit after it", 0, 1),
        ("an expired token", 13 * hour, 2),
    ] {
        pass(passed);
        helper.get(&registry()).expect(what);
        assert_eq!(helper.issuer.connected_early, connected, "{what}");
    }
    // A token for another key may be the hit.
    helper.issuer.key_id = "ASIA2";
    helper.get(&registry()).expect("a miss");
    assert_eq!(helper.issuer.connected_early, 2);
    helper.get(&other()).expect("a miss");
    assert_eq!(helper.issuer.connected_early, 3);
}

#[test]
fn one_process_at_a_time_connects_early() {
    let uri = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1/x");
    let place = Place::with([uri, ("AWS_ECR_TIMEOUT", "0.4")]);
    let (cache, held) = (place.cache(), place.cache());
    let surroundings = Surroundings::read(&place.env, Log::off());
    let plan = principal::plan(&surroundings, &registry(), &Selection::default()).expect("plan");
    let key = plan.ambient_key(&registry(), "");
    let guard = held.lock(HOST, &key, Wait::No, || None::<()>);
    assert!(matches!(guard, LockOutcome::Acquired(_)), "{guard:?}");
    let mut calling = helper(&place, Some(&cache));
    calling.issuer.key_id = "ASIA1";
    calling.get(&registry()).expect("a token");
    assert_eq!(calling.issuer.connected_early, 0);
    drop(guard);
    cache.erase(HOST).expect("erased");
    // It is free again as soon as the token is there.
    for expected in 1..=2 {
        calling.get(&registry()).expect("a token");
        assert_eq!(calling.issuer.connected_early, expected);
        cache.erase(HOST).expect("erased");
    }
    let mut uncached = helper(&place, None);
    uncached.issuer.key_id = "ASIA1";
    uncached.get(&registry()).expect("a token");
    assert_eq!(uncached.issuer.connected_early, 1);
}

#[test]
fn stored_login_prevents_early_connections() {
    let uri = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1/x");
    let place = Place::with([uri]);
    let cache = place.cache();
    let until = now() + TimeDelta::hours(1);
    let stored = token_of("stored").login;
    cache
        .store_login(&registry(), &stored, until, now())
        .expect("stored");
    let mut helper = helper(&place, Some(&cache));
    helper.get(&registry()).expect_err("the source fails");
    assert_eq!(helper.issuer.connected_early, 0);
}

#[test]
fn pinned_plans_leave_it_to_the_miss() {
    let place = Place::new();
    let cache = place.cache();
    let mut helper = helper(&place, Some(&cache));
    helper.get(&registry()).expect("a token");
    assert_eq!(helper.issuer.connected_early, 0);
}
