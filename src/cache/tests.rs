use std::cell::RefCell;
use std::sync::OnceLock;

use super::*;
use crate::problem::{Problem, ProblemKind};
use crate::registry::Registry;
use crate::secret::Secret;
use crate::token::Login;

pub(super) const HOST: &str = "123456789012.dkr.ecr.us-east-1.amazonaws.com";

pub(super) const AMBIENT: Provenance<'_> = Provenance {
    ambient: true,
    session_digest: None,
};

pub(super) fn registry(host: &str) -> Registry {
    Registry::from_server_url(host).expect("ECR")
}

/// A cache in a directory that is removed with the first value.
pub(super) fn cache() -> (tempfile::TempDir, Cache<'static>) {
    let dir = tempfile::tempdir().expect("a directory");
    let cache = Cache::open(dir.path().join("cache"), Log::off());
    (dir, cache)
}

/// Seconds after the first call, since files get the real time.
pub(super) fn at(seconds: i64) -> DateTime<Utc> {
    static START: OnceLock<i64> = OnceLock::new();
    let start = START.get_or_init(|| Utc::now().timestamp());
    DateTime::from_timestamp(start + seconds, 0).expect("in range")
}

#[test]
fn only_what_is_missing_is_not_there() {
    let there = |path: &str| Owner::current().directory(Path::new(path));
    assert!(matches!(there("/no/such/directory"), Ok(false)));
    // Below a file there is nothing either, but that is worth a word.
    let file = tempfile::NamedTempFile::new().expect("a file");
    let below = file.path().join("x");
    assert!(there(below.to_str().expect("UTF-8")).is_err() || cfg!(windows));
}

pub(super) fn token(password: &str, issued: i64, expires: i64) -> Token {
    Token {
        login: Login {
            username: "AWS".into(),
            password: Secret::from(password),
        },
        issued_at: at(issued),
        expires_at: at(expires),
    }
}

pub(super) fn file_of(cache: &Cache<'_>, key: &CacheKey, ending: &str) -> PathBuf {
    let host = cache.base.join(ROOT).join(HOST);
    host.join(format!("{}.{ending}", key.as_str()))
}

impl Cache<'_> {
    /// Writes an entry and does not sweep.
    pub(super) fn store(
        &self,
        host: &str,
        key: &CacheKey,
        token: &Token,
    ) -> Result<(), CacheError> {
        self.write_entry(host, key.as_str(), &Entry::of(token.clone()), at(0))
    }
}

fn failure() -> NegativeEntry {
    NegativeEntry {
        at: at(0),
        count: 1,
        problem: Problem::new(ProblemKind::Unavailable, "the request timed out", "retry").shared(),
    }
}

fn files_in(cache: &Cache<'_>) -> Vec<String> {
    let mut files = files(&cache.base.join(ROOT).join(HOST)).unwrap_or_default();
    files.sort();
    files
}

#[test]
fn what_is_put_is_got_by_the_same_host_and_name_only() {
    let (_dir, cache) = cache();
    let (key, other) = (CacheKey::for_test(1), CacheKey::for_test(2));
    assert_eq!(cache.get(HOST, &key, None, at(0)), None);
    let token = token("p:w\"\n\u{e9}", 0, 7200);
    cache
        .put(HOST, &key, &token, Provenance::default(), at(0))
        .expect("put");
    assert_eq!(cache.get(HOST, &key, None, at(0)), Some(token));
    assert_eq!(cache.get(HOST, &other, None, at(0)), None);
    assert_eq!(cache.get("public.ecr.aws", &key, None, at(0)), None);
    assert_eq!(files_in(&cache), [format!("{}.json", key.as_str())]);
}

#[test]
fn a_later_token_replaces_an_earlier_one() {
    let (_dir, cache) = cache();
    let key = CacheKey::for_test(1);
    for password in ["a longer one", "short"] {
        let token = token(password, 0, 7200);
        cache
            .put(HOST, &key, &token, Provenance::default(), at(0))
            .expect("put");
        assert_eq!(cache.get(HOST, &key, None, at(0)), Some(token));
    }
}

#[test]
fn opening_makes_nothing_and_reading_makes_nothing() {
    let (dir, cache) = cache();
    let key = CacheKey::for_test(1);
    assert_eq!(cache.get(HOST, &key, None, at(0)), None);
    assert_eq!(cache.stored_login(&registry(HOST), at(0)), None);
    assert_eq!(cache.failure(HOST, &key), None);
    assert_eq!(cache.held(at(0)), []);
    assert!(!cache.has_issued(HOST, &Secret::from("pw")));
    assert_eq!(cache.erase(HOST).expect("nothing to do"), Erased::default());
    cache.clear_failure(HOST, &key);
    assert_eq!(fs::read_dir(dir.path()).expect("read").count(), 0);
}

#[test]
fn an_entry_copied_to_another_host_or_name_is_a_miss() {
    let (_dir, cache) = cache();
    let (key, other) = (CacheKey::for_test(1), CacheKey::for_test(2));
    cache
        .put(
            HOST,
            &key,
            &token("pw", 0, 7200),
            Provenance::default(),
            at(0),
        )
        .expect("put");
    fs::copy(
        file_of(&cache, &key, "json"),
        file_of(&cache, &other, "json"),
    )
    .expect("copied");
    assert_eq!(cache.get(HOST, &other, None, at(0)), None);
}

#[test]
fn corrupt_entry_is_a_miss_and_is_replaced() {
    let (_dir, cache) = cache();
    let key = CacheKey::for_test(1);
    let good = token("pw", 0, 7200);
    cache
        .put(HOST, &key, &good, Provenance::default(), at(0))
        .expect("put");
    let path = file_of(&cache, &key, "json");
    let whole = fs::read(&path).expect("read");
    let newer = String::from_utf8(whole.clone()).expect("UTF-8");
    let newer = newer.replace("\"version\":1", "\"version\":2");
    let large = [whole.clone(), vec![b' '; disk::LIMIT]].concat();
    for bytes in [
        &[][..],
        &whole[..whole.len() / 2],
        &[0; 300],
        b"garbage",
        newer.as_bytes(),
        &large,
    ] {
        fs::write(&path, bytes).expect("written");
        assert_eq!(cache.get(HOST, &key, None, at(0)), None);
        cache
            .record_failure(HOST, &key, &failure())
            .expect("recorded");
        assert_eq!(fs::read(&path).expect("read"), bytes, "left alone");
        cache
            .put(HOST, &key, &good, Provenance::default(), at(0))
            .expect("put");
        assert_eq!(cache.get(HOST, &key, None, at(0)).as_ref(), Some(&good));
    }
    assert_eq!(files_in(&cache).len(), 1);
}

#[test]
fn directory_as_entry_is_a_miss_and_is_replaced() {
    let (_dir, cache) = cache();
    let key = CacheKey::for_test(1);
    let path = file_of(&cache, &key, "json");
    cache
        .record_failure(HOST, &key, &failure())
        .expect("recorded");
    fs::create_dir_all(path.join("full")).expect("made");
    assert_eq!(cache.get(HOST, &key, None, at(0)), None);
    cache.sweep(at(0));
    let token = token("pw", 0, 7200);
    cache
        .put(HOST, &key, &token, Provenance::default(), at(0))
        .expect("put");
    assert_eq!(cache.get(HOST, &key, None, at(0)), Some(token));
}

#[test]
fn too_long_a_password_is_not_kept() {
    let (_dir, cache) = cache();
    let key = CacheKey::for_test(1);
    let token = token(&"x".repeat(disk::LIMIT), 0, 7200);
    let error = cache.put(HOST, &key, &token, Provenance::default(), at(0));
    assert!(matches!(error, Err(CacheError::Io { doing: "write", .. })));
    assert_eq!(files_in(&cache), [""; 0]);
}

#[test]
fn what_is_no_plain_host_name_names_no_directory() {
    let (dir, cache) = cache();
    let key = CacheKey::for_test(1);
    let token = token("pw", 0, 7200);
    let long = "a".repeat(254);
    for host in [
        "", ".", "..", ".a", "a/b", "../a", "A", "a:443", "a\0", "é", &long,
    ] {
        let error = cache.put(host, &key, &token, Provenance::default(), at(0));
        assert!(matches!(error, Err(CacheError::NoHost)), "{host}");
        assert_eq!(cache.get(host, &key, None, at(0)), None);
        assert_eq!(cache.erase(host).expect("nothing to do"), Erased::default());
        let outcome = cache.lock(host, &key, lock::Wait::No, || None::<()>);
        assert!(matches!(outcome, lock::LockOutcome::Unavailable));
    }
    assert_eq!(fs::read_dir(dir.path()).expect("read").count(), 0);
    assert!(is_plain_host(&long[1..]));
}

#[test]
fn erase_takes_all_principals_but_no_held_lock() {
    let (_dir, cache) = cache();
    let (a, b) = (CacheKey::for_test(1), CacheKey::for_test(2));
    let good = token("pw", 0, 7200);
    cache
        .put(HOST, &a, &good, Provenance::default(), at(0))
        .expect("put");
    cache.put(HOST, &b, &good, AMBIENT, at(0)).expect("put");
    cache
        .put("public.ecr.aws", &a, &good, Provenance::default(), at(0))
        .expect("put");
    cache
        .store_login(&registry(HOST), &good.login, at(60), at(0))
        .expect("kept");
    cache
        .record_failure(HOST, &a, &failure())
        .expect("recorded");
    let dir = cache.base.join(ROOT).join(HOST);
    fs::write(dir.join(".login.1.2.tmp"), "a token").expect("written");
    let lock = cache.lock(HOST, &a, lock::Wait::No, || None::<()>);
    assert!(matches!(lock, lock::LockOutcome::Acquired(_)));
    let erased = Erased {
        tokens: 2,
        logins: 1,
    };
    assert_eq!(cache.hosts().expect("trusted").len(), 2);
    assert_eq!(cache.erase(HOST).expect("erased"), erased);
    assert_eq!(files_in(&cache), [format!("{}.lock", a.as_str())]);
    drop(lock);
    assert_eq!(cache.erase(HOST).expect("erased"), Erased::default());
    assert!(!dir.exists());
    assert!(cache.get("public.ecr.aws", &a, None, at(0)).is_some());
}

/// NFS renames a file that is removed while a process has it open, until that process ends.
#[test]
fn files_renamed_by_nfs_are_left_to_it() {
    let (_dir, cache) = cache();
    let (a, b) = (CacheKey::for_test(1), CacheKey::for_test(2));
    let good = token("pw", 0, 7200);
    cache
        .put(HOST, &a, &good, Provenance::default(), at(0))
        .expect("put");
    let entry = fs::read(file_of(&cache, &a, "json")).expect("there");
    let later = token("later", 100_000, 107_200);
    let dir = cache.base.join(ROOT).join(HOST);
    let renamed = [
        dir.join(".nfs000000000012d68f00000001"),
        cache.base.join(ROOT).join(".nfs000000000012d68f00000002"),
    ];
    for file in &renamed {
        fs::write(file, &entry).expect("written");
    }
    cache
        .put(HOST, &b, &later, Provenance::default(), at(100_000))
        .expect("put");
    assert!(!file_of(&cache, &a, "json").exists(), "it is swept");
    let erased = Erased {
        tokens: 1,
        logins: 0,
    };
    assert_eq!(cache.erase(HOST).expect("erased"), erased);
    assert_eq!(cache.erase(HOST).expect("no error"), Erased::default());
    assert!(cache.held(at(100_000)).is_empty());
    assert!(renamed.iter().all(|file| file.is_file()));
    assert_eq!(cache.hosts().expect("readable"), [HOST]);
}

#[test]
fn stored_login_is_apart_from_cached_tokens() {
    let (_dir, cache) = cache();
    let key = CacheKey::for_test(1);
    let login = token("docker", 0, 0).login;
    cache
        .store_login(&registry(HOST), &login, at(60), at(0))
        .expect("kept");
    let kept = cache.stored_login(&registry(HOST), at(59)).expect("kept");
    assert_eq!((kept.login, kept.expires_at), (login, at(60)));
    assert_eq!(cache.stored_login(&registry(HOST), at(60)), None);
    assert_eq!(cache.stored_login(&registry("public.ecr.aws"), at(0)), None);
    assert_eq!(cache.get(HOST, &key, None, at(0)), None);
}

#[test]
fn what_is_held_is_what_has_not_expired() {
    let (_dir, cache) = cache();
    let login = token("docker", 0, 0).login;
    let put = |host, number, expires, ambient| {
        let provenance = Provenance {
            ambient,
            session_digest: None,
        };
        let token = token("pw", 0, expires);
        let key = CacheKey::for_test(number);
        cache
            .put(host, &key, &token, provenance, at(0))
            .expect("put");
    };
    put(HOST, 1, 60, false);
    put(HOST, 2, 120, true);
    put("public.ecr.aws", 1, 120, false);
    cache
        .store_login(&registry(HOST), &login, at(120), at(0))
        .expect("kept");
    let held = |now| {
        let mut held: Vec<_> = cache
            .held(now)
            .into_iter()
            .map(|held| {
                assert_eq!(held.username, "AWS");
                (held.host, held.key, held.ambient)
            })
            .collect();
        held.sort();
        held
    };
    let row = |host: &str, name: Option<u64>, ambient| {
        let name = name.map(|number| CacheKey::for_test(number).as_str().to_owned());
        (host.to_owned(), name, ambient)
    };
    let late = [
        row(HOST, None, false),
        row(HOST, Some(2), true),
        row("public.ecr.aws", Some(1), false),
    ];
    assert_eq!(held(at(60)), late);
    assert_eq!(held(at(59)).len(), 4);
    assert_eq!(held(at(120)), []);
}

#[test]
fn negative_entry_ends_with_the_next_token() {
    let (_dir, cache) = cache();
    let (key, other) = (CacheKey::for_test(1), CacheKey::for_test(2));
    let good = token("pw", 0, 7200);
    cache
        .put(HOST, &key, &good, Provenance::default(), at(0))
        .expect("put");
    cache
        .record_failure(HOST, &key, &failure())
        .expect("recorded");
    assert_eq!(cache.failure(HOST, &key), Some(failure()));
    assert_eq!(cache.failure(HOST, &other), None);
    assert_eq!(cache.get(HOST, &key, None, at(0)).as_ref(), Some(&good));
    cache
        .put(HOST, &key, &good, Provenance::default(), at(0))
        .expect("put");
    assert_eq!(cache.failure(HOST, &key), None);
    cache
        .record_failure(HOST, &key, &failure())
        .expect("recorded");
    cache.clear_failure(HOST, &key);
    assert_eq!(cache.failure(HOST, &key), None);
}

#[test]
fn an_entrys_file_time_is_its_expiry_of_a_day_at_most() {
    let (_dir, cache) = cache();
    let key = CacheKey::for_test(1);
    let path = file_of(&cache, &key, "json");
    let mut forever = token("pw", 0, 0);
    forever.expires_at = DateTime::<Utc>::MAX_UTC;
    for (token, expected) in [
        (token("pw", 0, 7200), at(7200)),
        (token("pw", 0, 48 * 3600), at(24 * 3600)),
        (forever, at(24 * 3600)),
    ] {
        cache
            .put(HOST, &key, &token, Provenance::default(), at(0))
            .expect("put");
        let meta = fs::metadata(&path).expect("there");
        assert_eq!(meta.modified().expect("a time"), SystemTime::from(expected));
    }
}

#[test]
fn readers_see_the_old_or_the_new_token_whole() {
    let (_dir, cache) = cache();
    let key = CacheKey::for_test(1);
    let base = cache.base.clone();
    let passwords = ["a".repeat(10), "b".repeat(3000)];
    cache
        .put(
            HOST,
            &key,
            &token(&passwords[0], 0, 7200),
            Provenance::default(),
            at(0),
        )
        .expect("put");
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let cache = Cache::open(base.clone(), Log::off());
                for _ in 0..500 {
                    let token = cache.get(HOST, &key, None, at(0)).expect("whole");
                    let password = token.login.password.expose();
                    assert!(passwords.iter().any(|p| p == password));
                }
            });
        }
        for round in 0..50 {
            let token = token(&passwords[round % 2], 0, 7200);
            cache
                .put(HOST, &key, &token, Provenance::default(), at(0))
                .expect("put");
        }
    });
}

#[test]
fn two_hundred_registries_at_once_lose_nothing() {
    let (_dir, cache) = cache();
    let base = cache.base.clone();
    std::thread::scope(|scope| {
        for number in 0..200 {
            let base = base.clone();
            scope.spawn(move || {
                let cache = Cache::open(base, Log::off());
                let host = format!("{number:012}.dkr.ecr.us-east-1.amazonaws.com");
                let key = CacheKey::for_test(1);
                let lock = cache.lock(&host, &key, lock::Wait::No, || None::<()>);
                assert!(matches!(lock, lock::LockOutcome::Acquired(_)));
                let token = token("pw", 0, 7200);
                cache
                    .put(&host, &key, &token, Provenance::default(), at(0))
                    .expect("put");
            });
        }
    });
    assert_eq!(cache.held(at(0)).len(), 200);
}

mod errors;
mod logins;
#[cfg(unix)]
mod unix;
