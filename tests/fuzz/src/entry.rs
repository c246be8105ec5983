//! Any content of a file of the cache is an entry or a miss, and the next good token
//! replaces it. The first byte chooses which file the rest is written to.
#![no_main]

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};
use docker_credential_ecr_login::fuzzing::{Cache, Provenance};
use docker_credential_ecr_login::fuzzing::Env;
use docker_credential_ecr_login::fuzzing::Log;
use docker_credential_ecr_login::fuzzing::{CacheKey, Identity, Selection, Surroundings, plan};
use docker_credential_ecr_login::fuzzing::Registry;
use docker_credential_ecr_login::fuzzing::Secret;
use docker_credential_ecr_login::fuzzing::{Login, Token};
use libfuzzer_sys::fuzz_target;

const HOST: &str = "123456789012.dkr.ecr.us-east-1.amazonaws.com";

fn key() -> CacheKey {
    let env = Env::of([
        ("AWS_ACCESS_KEY_ID", "AKIAFUZZ"),
        ("AWS_SECRET_ACCESS_KEY", "s"),
    ]);
    let registry = Registry::from_server_url(HOST).expect("ECR's");
    let surroundings = Surroundings::read(&env, Log::off());
    match plan(&surroundings, &registry, &Selection::default()).map(|plan| plan.identity) {
        Ok(Identity::Pinned(key)) => key,
        other => panic!("{other:?}"),
    }
}

fn write(path: &Path, bytes: &[u8]) {
    let _ = fs::remove_file(path);
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(bytes))
        .expect("in memory");
}

thread_local! {
    static PLACE: (tempfile::TempDir, CacheKey) = (fuzz::directory(), key());
}

fuzz_target!(|bytes: &[u8]| {
    let Some((which, bytes)) = bytes.split_first() else {
        return;
    };
    PLACE.with(|(dir, key)| {
        let base = dir.path().join("cache");
        let host_dir = base.join("v1").join(HOST);
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(&host_dir).expect("in memory");
        // In the seeds the key of this entry stands as `KEY`.
        let text = String::from_utf8_lossy(bytes);
        let text = text.replace("KEY", key.as_str()).into_bytes();
        let bytes = if text.is_ascii() { &text } else { bytes };
        let file = match which % 3 {
            0 => format!("{}.json", key.as_str()),
            1 => format!("{}.failure", key.as_str()),
            _ => "login.json".to_owned(),
        };
        write(&host_dir.join(&file), bytes);

        let cache = Cache::open(base, Log::off());
        let now = Utc::now();
        let registry = Registry::from_server_url(HOST).expect("ECR's");
        if let Some(token) = cache.get(HOST, key, None, now) {
            assert!(!token.login.username.is_empty() && !token.login.password.is_empty());
            let _ = (token.is_fresh(now), token.is_usable(now));
        }
        let _ = cache.failure(HOST, key).map(|failure| now - failure.at);
        assert!(
            cache
                .stored_login(&registry, now)
                .is_none_or(|token| token.is_usable(now))
        );
        let _ = (
            cache.held(now),
            cache.has_issued(HOST, &Secret::from("x")),
        );
        if bytes.len() % 16 == 0 {
            let token = Token {
                login: Login {
                    username: "AWS".to_owned(),
                    password: Secret::from("pw"),
                },
                issued_at: DateTime::from_timestamp_millis(now.timestamp_millis()).expect("now"),
                expires_at: DateTime::from_timestamp_millis(now.timestamp_millis()).expect("now")
                    + TimeDelta::hours(12),
            };
            cache
                .put(HOST, key, &token, Provenance::default(), now)
                .expect("in memory");
            assert_eq!(cache.get(HOST, key, None, now), Some(token));
            assert_eq!(cache.failure(HOST, key), None);
        }
        cache.erase(HOST).expect("in memory");
        assert!(!host_dir.join(&file).exists());
    });
});
