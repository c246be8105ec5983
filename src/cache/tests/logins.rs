//! Stored logins, sessions, and what else limits what an entry serves.

use super::*;

#[test]
fn issued_passwords_are_recognized() {
    let (_dir, cache) = cache();
    for password in ["a", "b"] {
        let token = token(password, 0, 7200);
        cache.remember_issued(HOST, &token, at(0)).expect("written");
    }
    for (password, expected) in [("a", true), ("b", true), ("c", false)] {
        let issued = cache.has_issued(HOST, &Secret::from(password));
        assert_eq!(issued, expected, "{password}");
    }
    assert!(!cache.has_issued("public.ecr.aws", &Secret::from("a")));
    cache.sweep(at(12 * 3600));
    assert!(cache.has_issued(HOST, &Secret::from("a")));
    cache.sweep(at(12 * 3600 + 1));
    assert!(!cache.has_issued(HOST, &Secret::from("a")));
}

#[test]
fn a_stored_login_is_for_one_account_and_region() {
    let (_dir, cache) = cache();
    let login = token("docker", 0, 0).login;
    let stored = |registry: &Registry| {
        cache
            .store_login(registry, &login, at(60), at(0))
            .expect("stored");
        cache.stored_login(registry, at(0)).is_some()
    };
    assert!(stored(&registry("public.ecr.aws")));
    assert!(stored(&registry(HOST)));
    let path = cache.base.join(ROOT).join(HOST).join("login.json");
    let text = fs::read_to_string(&path).expect("read");
    for (from, to) in [
        ("\"123456789012\"", "\"999999999999\""),
        ("\"us-east-1\"", "\"us-east-2\""),
    ] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text);
        fs::write(&path, changed).expect("written");
        assert_eq!(cache.stored_login(&registry(HOST), at(0)), None, "{to}");
    }
}

#[test]
fn an_entry_serves_only_its_session() {
    let (_dir, cache) = cache();
    let key = CacheKey::for_test(1);
    let good = token("pw", 0, 7200);
    let of = |session_digest| Provenance {
        ambient: false,
        session_digest,
    };
    for (stored, asked, served) in [
        (None, None, true),
        (Some("a"), Some("a"), true),
        (Some("a"), Some("b"), false),
        (Some("a"), None, false),
        (None, Some("a"), false),
    ] {
        cache
            .put(HOST, &key, &good, of(stored), at(0))
            .expect("put");
        let got = cache.get(HOST, &key, asked, at(0));
        assert_eq!(got.is_some(), served, "{stored:?} {asked:?}");
    }
}

#[test]
fn entries_follow_a_renewed_session() {
    let (_dir, cache) = cache();
    let good = token("pw", 0, 7200);
    let put = |host: &str, number, session_digest| {
        let provenance = Provenance {
            ambient: false,
            session_digest,
        };
        let key = CacheKey::for_test(number);
        cache
            .put(host, &key, &good, provenance, at(0))
            .expect("put");
    };
    let served = |host: &str, number, session_digest| {
        let key = CacheKey::for_test(number);
        cache.get(host, &key, session_digest, at(0)).is_some()
    };
    put(HOST, 1, Some("old"));
    put(HOST, 2, Some("other"));
    put("public.ecr.aws", 1, Some("old"));
    put("public.ecr.aws", 2, None);
    cache.follow_session("old", "new", at(0));
    assert!(served(HOST, 1, Some("new")) && served("public.ecr.aws", 1, Some("new")));
    assert!(!served(HOST, 1, Some("old")));
    assert!(served(HOST, 2, Some("other")) && !served(HOST, 2, Some("new")));
    assert!(served("public.ecr.aws", 2, None));
}

#[test]
fn the_expiry_in_a_file_is_bounded() {
    let (_dir, cache) = cache();
    let key = CacheKey::for_test(1);
    cache
        .store(HOST, &key, &token("pw", 0, 1_000_000))
        .expect("put");
    let got = |now| cache.get(HOST, &key, None, at(now)).expect("an entry");
    assert_eq!(got(0).expires_at, at(12 * 3600));
    assert!(!got(12 * 3600).is_usable(at(12 * 3600)));
    cache
        .store(HOST, &key, &token("pw", 900_000, 1_000_000))
        .expect("put");
    assert_eq!(got(0).expires_at, at(12 * 3600));
    assert_eq!(
        cache.held(at(13 * 3600)).len(),
        1,
        "an entry from the future"
    );
}

#[test]
fn failures_of_an_endpoint_are_of_no_registry() {
    let (_dir, cache) = cache();
    let url = "https://api.ecr.us-east-1.amazonaws.com";
    cache
        .record_endpoint_failure(url, &failure())
        .expect("recorded");
    assert_eq!(cache.endpoint_failure(url), Some(failure()));
    assert_eq!(cache.endpoint_failure("https://other"), None);
    assert_eq!(cache.held(at(0)), []);
    cache.sweep(at(3500));
    assert!(cache.endpoint_failure(url).is_some());
    cache.clear_endpoint_failure(url);
    assert_eq!(cache.endpoint_failure(url), None);
}
