//! Stored docker logins.

use super::*;

#[test]
fn a_stored_login_serves_only_without_credentials() {
    let place = Place::new();
    let cache = place.cache();
    let stored = token_of("stored").login;
    let until = now() + TimeDelta::hours(1);
    cache
        .store_login(&registry(), &stored, until, now())
        .expect("stored");
    let mut calling = helper(&place, Some(&cache));
    for error in [failure(), own_failure()] {
        calling.issuer.replies = [Err(error.clone())].into();
        let problem = calling.get(&registry()).expect_err("AWS failed");
        assert_eq!(problem, error);
        pass(1);
    }
    let missing = Place::with([("AWS_PROFILE", "missing")]);
    let problem = helper(&missing, Some(&cache)).get(&registry());
    let problem = problem.expect_err("a profile is selected");
    assert_eq!(problem.kind(), ProblemKind::Configuration);

    let none = Place::with([("AWS_EC2_METADATA_DISABLED", "true")]);
    let mut none = helper(&none, Some(&cache));
    assert_eq!(password(none.get(&registry())), "stored");
    none.get(&other()).expect_err("it is for one registry");
    let strict = Place::with([
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_ECR_STRICT", "true"),
    ]);
    let problem = helper(&strict, Some(&cache)).get(&registry());
    let problem = problem.expect_err("a failure is an error");
    assert_eq!(problem.kind(), ProblemKind::NoCredentials);
    pass(3600);
    none.get(&registry()).expect_err("it has expired");
}

#[test]
fn every_issued_password_is_remembered() {
    let place = Place::new();
    let cache = place.cache();
    let mut helper = helper(&place, Some(&cache));
    helper.issuer.replies = [Ok(issued(None, None))].into();
    helper.get(&registry()).expect("served once");
    helper.get(&registry()).expect("cached");
    for (password, expected) in [("pw", true), ("pw2", true), ("pw1", false)] {
        let issued = cache.has_issued(HOST, &Secret::from(password));
        assert_eq!(issued, expected, "{password}");
    }
}
