//! Renewal: when it is tried, and what serves if it fails.

use super::*;

#[test]
fn failed_renewal_serves_stale_and_pauses() {
    let place = Place::new();
    let cache = place.cache();
    let mut helper = helper(&place, Some(&cache));
    helper.get(&registry()).expect("a token");
    pass(11 * 3600);
    helper.issuer.replies = [Err(failure()), Err(failure())].into();
    for (after, asked) in [(0, 2), (0, 2), (59, 2), (1, 3), (0, 3)] {
        pass(after);
        assert_eq!(password(helper.get(&registry())), "pw1");
        assert_eq!(helper.issuer.asked, asked);
    }
    // A clock that was set back does not make the pause last for ever.
    pass(-1);
    assert_eq!(password(helper.get(&registry())), "pw4");
}

#[test]
fn a_renewal_does_not_delay_other_processes() {
    let place = Place::new();
    let cache = place.cache();
    let mut helper = helper(&place, Some(&cache));
    helper.get(&registry()).expect("a token");
    pass(11 * 3600);
    let others = place.cache();
    let held = others.lock(HOST, &place.key(), Wait::No, || None::<()>);
    assert!(matches!(held, LockOutcome::Acquired(_)));
    assert_eq!(password(helper.get(&registry())), "pw1");
    assert_eq!(helper.issuer.asked, 1);
    drop(held);
    assert_eq!(password(helper.get(&registry())), "pw2");
}

#[test]
fn token_renewed_by_another_process_is_served() {
    let place = Place::new();
    let cache = place.cache();
    let mut helper = helper(&place, Some(&cache));
    helper.get(&registry()).expect("a token");
    pass(11 * 3600);
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
    // The first look decides that a renewal is due, the second is made as it begins.
    HOOK.set(Some((2, Box::new(act))));
    assert_eq!(password(helper.get(&registry())), "theirs");
    assert_eq!(helper.issuer.asked, 1);
}

#[test]
fn a_refused_renewal_fails_and_drops_the_entry() {
    let place = Place::new();
    let cache = place.cache();
    let mut helper = helper(&place, Some(&cache));
    helper.get(&registry()).expect("a token");
    pass(11 * 3600);
    helper.issuer.replies = [Err(own_failure())].into();
    let problem = helper.get(&registry()).expect_err("refused");
    assert_eq!(problem.kind(), ProblemKind::Refused);
    assert_eq!(cache.get(HOST, &place.key(), None, now()), None);
    pass(1);
    assert_eq!(password(helper.get(&registry())), "pw3");
}

#[test]
fn a_configuration_failure_is_not_served_over() {
    let place = Place::new();
    let cache = place.cache();
    let mut helper = helper(&place, Some(&cache));
    helper.get(&registry()).expect("a token");
    pass(11 * 3600);
    let malformed = Problem::new(ProblemKind::Configuration, "malformed", "correct it");
    helper.issuer.replies = [Err(malformed.clone()), Err(malformed)].into();
    for _ in 0..2 {
        let problem = helper.get(&registry()).expect_err("malformed");
        assert_eq!(problem.kind(), ProblemKind::Configuration);
    }
    assert!(cache.get(HOST, &place.key(), None, now()).is_some());
}

#[test]
fn an_expired_session_serves_the_cached_token() {
    let place = Place::new();
    let cache = place.cache();
    let mut helper = helper(&place, Some(&cache));
    helper.get(&registry()).expect("a token");
    pass(11 * 3600);
    let expired = Problem::new(ProblemKind::SessionExpired, "expired", "log in").shared();
    helper.issuer.replies = [Err(expired)].into();
    assert_eq!(password(helper.get(&registry())), "pw1");
    assert_eq!(
        cache.get(HOST, &place.key(), None, now()).map(|_| ()),
        Some(())
    );
}

#[test]
fn pauses_grow_while_aws_is_silent() {
    let place = Place::new();
    let cache = place.cache();
    let mut helper = helper(&place, Some(&cache));
    helper.get(&registry()).expect("a token");
    pass(11 * 3600);
    helper.issuer.replies = std::iter::repeat_with(|| Err(failure())).take(9).collect();
    // Minutes after the last step, and how many calls there have been. With 15 minutes left
    // the pause is one minute again.
    for (minutes, calls) in [
        (0, 2),
        (1, 3),
        (4, 3),
        (1, 4),
        (14, 4),
        (1, 5),
        (14, 5),
        (1, 6),
        (8, 6),
        (1, 7),
        (1, 8),
    ] {
        pass(minutes * 60);
        assert_eq!(password(helper.get(&registry())), "pw1");
        assert_eq!(helper.issuer.asked, calls, "{minutes}");
    }
}

#[test]
fn registries_of_one_endpoint_pause_together() {
    let place = Place::with([
        ("AWS_ACCESS_KEY_ID", "AKIA1"),
        ("AWS_SECRET_ACCESS_KEY", "s"),
        ("AWS_ENDPOINT_URL_ECR", "http://127.0.0.1:1"),
    ]);
    let cache = place.cache();
    let mut helper = helper(&place, Some(&cache));
    for registry in [registry(), other()] {
        helper.get(&registry).expect("a token");
    }
    pass(11 * 3600);
    helper.issuer.replies = [Err(failure())].into();
    assert_eq!(password(helper.get(&registry())), "pw1");
    assert_eq!(password(helper.get(&other())), "pw2");
    assert_eq!(helper.issuer.asked, 3, "one call for both");
    pass(60);
    assert_eq!(password(helper.get(&other())), "pw4");
    assert_eq!(password(helper.get(&registry())), "pw5", "no pause is left");
}

#[test]
fn a_session_renewed_by_us_keeps_its_entries() {
    let place = Place::new();
    let cache = place.cache();
    let mut helper = helper(&place, Some(&cache));
    let other = CacheKey::for_test(7);
    let provenance = |session_digest| Provenance {
        ambient: false,
        session_digest: Some(session_digest),
    };
    let kept = token_of("kept");
    for (renewed_from, digest, follows) in [
        (Some("old"), "renewed", true),
        // Another user's session, which was found instead of the plan's.
        (None, "another", false),
        (Some("another"), "another renewed", false),
    ] {
        cache
            .put(HOST, &other, &kept, provenance("old"), now())
            .expect("put");
        cache.remove(HOST, &place.key());
        let mut issued = issued(Some(12 * 3600), None);
        issued.session_digest = Some(digest.into());
        issued.renewed_from = renewed_from.map(str::to_owned);
        helper.issuer.replies = [Ok(issued)].into();
        helper.get(&registry()).expect("a token");
        let found = |key: &CacheKey| cache.get(HOST, key, Some(digest), now()).is_some();
        assert!(found(&place.key()), "{digest}");
        assert_eq!(found(&other), follows, "{digest}");
    }
}
