use std::cell::RefCell;
use std::sync::OnceLock;

use super::*;

pub(super) const HOST: &str = "123456789012.dkr.ecr.us-east-1.amazonaws.com";

/// A cache in a directory that goes with the first value.
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

#[cfg(unix)]
#[test]
fn log_names_an_unreadable_file_once() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().expect("a directory");
    let base = dir.path().join("cache");
    let name = CacheKey::for_test(1);
    let lines = RefCell::new(Vec::new());
    let write = |line: fmt::Arguments<'_>| lines.borrow_mut().push(line.to_string());
    let cache = || Cache::open(base.clone(), Log::to(&write));
    let said = || std::mem::take(&mut *lines.borrow_mut());
    let other = CacheKey::for_test(2);
    assert_eq!(cache().get(HOST, &name), None);
    cache()
        .store(HOST, &other, &token("pw", 0, 600))
        .expect("put");
    assert_eq!(cache().get(HOST, &name), None);
    assert_eq!(said(), [""; 0]);

    let path = file_of(&cache(), &name, "json");
    std::os::unix::fs::symlink(file_of(&cache(), &other, "json"), &path).expect("linked");
    assert_eq!(cache().get(HOST, &name), None);
    let lines_said = said();
    assert_eq!(lines_said.len(), 1, "{lines_said:?}");
    assert!(lines_said[0].contains("cannot open"), "{lines_said:?}");

    fs::set_permissions(&base, fs::Permissions::from_mode(0o777)).expect("ours");
    let distrusted = cache();
    for _ in 0..3 {
        assert_eq!(distrusted.get(HOST, &other), None);
    }
    let lines_said = said();
    assert_eq!(lines_said.len(), 1, "{lines_said:?}");
    assert!(
        lines_said[0].contains("can be written by"),
        "{lines_said:?}"
    );
}

#[test]
fn each_fault_of_the_cache_has_its_hint() {
    let io = Error::Io {
        doing: "write",
        path: "/x".into(),
        source: ErrorKind::PermissionDenied.into(),
    };
    let untrusted = Error::Untrusted {
        path: "/x".into(),
        why: "is a link",
    };
    assert!(io.hint().contains("that can be written"));
    assert!(untrusted.hint().contains("only you can write"));
    assert!(Error::NoHost.hint().contains("host name"));
}

#[test]
fn only_what_is_missing_is_not_there() {
    let there = |path: &str| Owner::current().directory(Path::new(path), Links::Refused);
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

pub(super) fn file_of(cache: &Cache<'_>, name: &CacheKey, ending: &str) -> PathBuf {
    let host = cache.base.join(ROOT).join(HOST);
    host.join(format!("{}.{ending}", name.as_str()))
}

impl Cache<'_> {
    /// Writes an entry and does not sweep.
    pub(super) fn store(&self, host: &str, name: &CacheKey, token: &Token) -> Result<(), Error> {
        self.write_entry(host, name.as_str(), token, false, at(0))
    }
}

fn failure() -> NegativeEntry {
    NegativeEntry {
        at: at(0),
        shared: true,
        cause: "the request timed out".into(),
        hint: "try again".into(),
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
    let (name, other) = (CacheKey::for_test(1), CacheKey::for_test(2));
    assert_eq!(cache.get(HOST, &name), None);
    let token = token("p:w\"\n\u{e9}", 0, 7200);
    cache.put(HOST, &name, &token, false, at(0)).expect("put");
    assert_eq!(cache.get(HOST, &name), Some(token));
    assert_eq!(cache.get(HOST, &other), None);
    assert_eq!(cache.get("public.ecr.aws", &name), None);
    assert_eq!(files_in(&cache), [format!("{}.json", name.as_str())]);
}

#[test]
fn a_later_token_replaces_an_earlier_one() {
    let (_dir, cache) = cache();
    let name = CacheKey::for_test(1);
    for password in ["a longer one", "short"] {
        let token = token(password, 0, 7200);
        cache.put(HOST, &name, &token, false, at(0)).expect("put");
        assert_eq!(cache.get(HOST, &name), Some(token));
    }
}

#[test]
fn opening_makes_nothing_and_reading_makes_nothing() {
    let (dir, cache) = cache();
    let name = CacheKey::for_test(1);
    assert_eq!(cache.get(HOST, &name), None);
    assert_eq!(cache.kept_login(HOST, at(0)), None);
    assert_eq!(cache.failure(HOST, &name), None);
    assert_eq!(cache.held(at(0)), []);
    assert!(!cache.holds_password(HOST, &Secret::from("pw")));
    assert_eq!(cache.erase(HOST).expect("nothing to do"), 0);
    cache.clear_failure(HOST, &name);
    assert_eq!(fs::read_dir(dir.path()).expect("read").count(), 0);
}

#[test]
fn an_entry_copied_to_another_host_or_name_is_a_miss() {
    let (_dir, cache) = cache();
    let (name, other) = (CacheKey::for_test(1), CacheKey::for_test(2));
    cache
        .put(HOST, &name, &token("pw", 0, 7200), false, at(0))
        .expect("put");
    fs::copy(
        file_of(&cache, &name, "json"),
        file_of(&cache, &other, "json"),
    )
    .expect("copied");
    assert_eq!(cache.get(HOST, &other), None);
}

#[test]
fn corrupt_entry_is_a_miss_and_is_replaced() {
    let (_dir, cache) = cache();
    let name = CacheKey::for_test(1);
    let good = token("pw", 0, 7200);
    cache.put(HOST, &name, &good, false, at(0)).expect("put");
    let path = file_of(&cache, &name, "json");
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
        assert_eq!(cache.get(HOST, &name), None);
        cache
            .record_failure(HOST, &name, &failure())
            .expect("recorded");
        assert_eq!(fs::read(&path).expect("read"), bytes, "left alone");
        cache.put(HOST, &name, &good, false, at(0)).expect("put");
        assert_eq!(cache.get(HOST, &name).as_ref(), Some(&good));
    }
    assert_eq!(files_in(&cache).len(), 1);
}

#[test]
fn directory_as_entry_is_a_miss_and_is_replaced() {
    let (_dir, cache) = cache();
    let name = CacheKey::for_test(1);
    let path = file_of(&cache, &name, "json");
    cache
        .record_failure(HOST, &name, &failure())
        .expect("recorded");
    fs::create_dir_all(path.join("full")).expect("made");
    assert_eq!(cache.get(HOST, &name), None);
    cache.sweep(at(0));
    let token = token("pw", 0, 7200);
    cache.put(HOST, &name, &token, false, at(0)).expect("put");
    assert_eq!(cache.get(HOST, &name), Some(token));
}

#[test]
fn too_long_a_password_is_not_kept() {
    let (_dir, cache) = cache();
    let name = CacheKey::for_test(1);
    let token = token(&"x".repeat(disk::LIMIT), 0, 7200);
    let error = cache.put(HOST, &name, &token, false, at(0));
    assert!(matches!(error, Err(Error::Io { doing: "write", .. })));
    assert_eq!(files_in(&cache), [""; 0]);
}

#[test]
fn what_is_no_plain_host_name_names_no_directory() {
    let (dir, cache) = cache();
    let name = CacheKey::for_test(1);
    let token = token("pw", 0, 7200);
    let long = "a".repeat(254);
    for host in [
        "", ".", "..", ".a", "a/b", "../a", "A", "a:443", "a\0", "é", &long,
    ] {
        let error = cache.put(host, &name, &token, false, at(0));
        assert!(matches!(error, Err(Error::NoHost)), "{host}");
        assert_eq!(cache.get(host, &name), None);
        assert_eq!(cache.erase(host).expect("nothing to do"), 0);
        let outcome = cache.lock(host, &name, lock::Wait::No, || None::<()>);
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
    cache.put(HOST, &a, &good, false, at(0)).expect("put");
    cache.put(HOST, &b, &good, true, at(0)).expect("put");
    cache
        .put("public.ecr.aws", &a, &good, false, at(0))
        .expect("put");
    cache
        .keep_login(HOST, &good.login, at(60), at(0))
        .expect("kept");
    cache
        .record_failure(HOST, &a, &failure())
        .expect("recorded");
    let dir = cache.base.join(ROOT).join(HOST);
    fs::write(dir.join(".login.1.2.tmp"), "a token").expect("written");
    let lock = cache.lock(HOST, &a, lock::Wait::No, || None::<()>);
    assert!(matches!(lock, lock::LockOutcome::Acquired(_)));
    assert_eq!(cache.erase(HOST).expect("erased"), 3);
    assert_eq!(files_in(&cache), [format!("{}.lock", a.as_str())]);
    drop(lock);
    assert_eq!(cache.erase(HOST).expect("erased"), 0);
    assert!(!dir.exists());
    assert!(cache.get("public.ecr.aws", &a).is_some());
}

#[test]
fn stored_login_is_apart_from_cached_tokens() {
    let (_dir, cache) = cache();
    let name = CacheKey::for_test(1);
    let login = token("docker", 0, 0).login;
    cache.keep_login(HOST, &login, at(60), at(0)).expect("kept");
    let kept = cache.kept_login(HOST, at(59)).expect("kept");
    assert_eq!((kept.login, kept.expires_at), (login, at(60)));
    assert_eq!(cache.kept_login(HOST, at(60)), None);
    assert_eq!(cache.kept_login("public.ecr.aws", at(0)), None);
    assert_eq!(cache.get(HOST, &name), None);
}

#[test]
fn our_own_passwords_are_known_again() {
    let (_dir, cache) = cache();
    let login = token("docker", 0, 0).login;
    cache.keep_login(HOST, &login, at(60), at(0)).expect("kept");
    for (number, password) in [(1, "a"), (2, "b")] {
        let token = token(password, 0, 7200);
        let name = CacheKey::for_test(number);
        cache.put(HOST, &name, &token, false, at(0)).expect("put");
    }
    for (password, expected) in [("a", true), ("b", true), ("c", false), ("docker", false)] {
        let held = cache.holds_password(HOST, &Secret::from(password));
        assert_eq!(held, expected, "{password}");
    }
    assert!(!cache.holds_password("public.ecr.aws", &Secret::from("a")));
}

#[test]
fn what_is_held_is_what_has_not_expired() {
    let (_dir, cache) = cache();
    let login = token("docker", 0, 0).login;
    let put = |host, number, expires, ambient| {
        let token = token("pw", 0, expires);
        let name = CacheKey::for_test(number);
        cache.put(host, &name, &token, ambient, at(0)).expect("put");
    };
    put(HOST, 1, 60, false);
    put(HOST, 2, 120, true);
    put("public.ecr.aws", 1, 120, false);
    cache
        .keep_login(HOST, &login, at(120), at(0))
        .expect("kept");
    let held = |now| {
        let mut held: Vec<_> = cache
            .held(now)
            .into_iter()
            .map(|held| {
                assert_eq!(held.username, "AWS");
                (held.host, held.name, held.ambient)
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
    let (name, other) = (CacheKey::for_test(1), CacheKey::for_test(2));
    let good = token("pw", 0, 7200);
    cache.put(HOST, &name, &good, false, at(0)).expect("put");
    cache
        .record_failure(HOST, &name, &failure())
        .expect("recorded");
    assert_eq!(cache.failure(HOST, &name), Some(failure()));
    assert_eq!(cache.failure(HOST, &other), None);
    assert_eq!(cache.get(HOST, &name).as_ref(), Some(&good));
    cache.put(HOST, &name, &good, false, at(0)).expect("put");
    assert_eq!(cache.failure(HOST, &name), None);
    cache
        .record_failure(HOST, &name, &failure())
        .expect("recorded");
    cache.clear_failure(HOST, &name);
    assert_eq!(cache.failure(HOST, &name), None);
}

#[test]
fn an_entrys_file_time_is_its_expiry_of_a_day_at_most() {
    let (_dir, cache) = cache();
    let name = CacheKey::for_test(1);
    let path = file_of(&cache, &name, "json");
    let mut forever = token("pw", 0, 0);
    forever.expires_at = DateTime::<Utc>::MAX_UTC;
    for (token, expected) in [
        (token("pw", 0, 7200), at(7200)),
        (token("pw", 0, 48 * 3600), at(24 * 3600)),
        (forever, at(24 * 3600)),
    ] {
        cache.put(HOST, &name, &token, false, at(0)).expect("put");
        let meta = fs::metadata(&path).expect("there");
        assert_eq!(meta.modified().expect("a time"), SystemTime::from(expected));
    }
}

#[test]
fn readers_see_the_old_or_the_new_token_whole() {
    let (_dir, cache) = cache();
    let name = CacheKey::for_test(1);
    let base = cache.base.clone();
    let passwords = ["a".repeat(10), "b".repeat(3000)];
    cache
        .put(HOST, &name, &token(&passwords[0], 0, 7200), false, at(0))
        .expect("put");
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let cache = Cache::open(base.clone(), Log::off());
                for _ in 0..500 {
                    let token = cache.get(HOST, &name).expect("whole");
                    let password = token.login.password.expose();
                    assert!(passwords.iter().any(|p| p == password));
                }
            });
        }
        for round in 0..50 {
            let token = token(&passwords[round % 2], 0, 7200);
            cache.put(HOST, &name, &token, false, at(0)).expect("put");
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
                let name = CacheKey::for_test(1);
                let lock = cache.lock(&host, &name, lock::Wait::No, || None::<()>);
                assert!(matches!(lock, lock::LockOutcome::Acquired(_)));
                let token = token("pw", 0, 7200);
                cache.put(&host, &name, &token, false, at(0)).expect("put");
            });
        }
    });
    assert_eq!(cache.held(at(0)).len(), 200);
}

#[test]
fn no_message_shows_a_secret() {
    let dir = tempfile::tempdir().expect("a directory");
    let lines = RefCell::new(Vec::new());
    let write = |line: fmt::Arguments<'_>| lines.borrow_mut().push(line.to_string());
    let cache = Cache::open(dir.path().join("cache"), Log::to(&write));
    let name = CacheKey::for_test(1);
    let secret = token("sentinel", 0, 7200);
    cache.put(HOST, &name, &secret, false, at(0)).expect("put");
    let path = file_of(&cache, &name, "json");
    let text = fs::read_to_string(&path).expect("read");
    fs::write(&path, text.replace("AWS\"", "AWS\"]")).expect("written");
    assert_eq!(cache.get(HOST, &name), None);
    fs::remove_file(&path).expect("removed");
    fs::remove_dir(path.parent().expect("a parent")).expect("removed");
    fs::write(path.parent().expect("a parent"), "").expect("written");
    let error = cache
        .put(HOST, &name, &secret, false, at(0))
        .expect_err("no directory");
    lines
        .borrow_mut()
        .push(format!("{error} {error:?} {}", error.hint()));
    let lines = lines.borrow().join("\n");
    assert!(lines.contains("is no entry of this version"), "{lines}");
    assert!(!lines.contains("sentinel"), "{lines}");
}

#[test]
fn errors_say_what_was_done_with_which_file() {
    let error = disk::io_error("write", Path::new("/x"))(ErrorKind::StorageFull.into());
    assert_eq!(error.to_string(), "cannot write /x: no storage space");
    assert!(std::error::Error::source(&error).is_some());
    let error = Error::Untrusted {
        path: "/x".into(),
        why: "is a link",
    };
    assert_eq!(error.to_string(), "/x is a link");
    assert!(std::error::Error::source(&error).is_none());
    assert_eq!(Error::NoHost.to_string(), "not a host name");
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};

    use super::*;

    const STRANGER: u32 = 54_321;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).expect("there").mode() & 0o7777
    }

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set");
    }

    /// Only root can give a file away; the rest of a test runs for everybody.
    fn is_root() -> bool {
        rustix::process::geteuid().is_root()
    }

    fn filled() -> (tempfile::TempDir, Cache<'static>, CacheKey) {
        let (dir, cache) = cache();
        let name = CacheKey::for_test(1);
        cache
            .put(HOST, &name, &token("pw", 0, 7200), false, at(0))
            .expect("put");
        (dir, cache, name)
    }

    #[test]
    fn directories_are_0700_and_files_0600() {
        let (dir, cache, name) = filled();
        let path = file_of(&cache, &name, "json");
        assert_eq!(mode(&path), 0o600);
        let ours = path.ancestors().skip(1);
        for directory in ours.take_while(|path| *path != dir.path()) {
            assert_eq!(mode(directory), 0o700, "{}", directory.display());
        }
        let root = cache.base.join(ROOT);
        chmod(&root, 0o755);
        let token = token("pw", 0, 7200);
        cache.put(HOST, &name, &token, false, at(0)).expect("put");
        assert_eq!(mode(&root), 0o700);
    }

    #[test]
    fn missing_parents_are_made_as_private() {
        let dir = tempfile::tempdir().expect("a directory");
        let cache = Cache::open(dir.path().join("a/b/c"), Log::off());
        let name = CacheKey::for_test(1);
        cache
            .put(HOST, &name, &token("pw", 0, 7200), false, at(0))
            .expect("put");
        assert_eq!(mode(&dir.path().join("a")), 0o700);
        assert_eq!(mode(&dir.path().join("a/b")), 0o700);
        assert!(cache.get(HOST, &name).is_some());
    }

    #[test]
    fn what_others_can_write_is_neither_read_nor_written() {
        for bits in [0o020, 0o002] {
            let (_dir, cache, name) = filled();
            let path = file_of(&cache, &name, "json");
            let good = token("new", 0, 7200);
            for level in path.ancestors().skip(1).take(3) {
                chmod(level, 0o700 | bits);
                assert_eq!(cache.get(HOST, &name), None, "{}", level.display());
                let error = cache.put(HOST, &name, &good, false, at(0));
                assert!(matches!(error, Err(Error::Untrusted { .. })));
                assert!(matches!(cache.erase(HOST), Err(Error::Untrusted { .. })));
                assert_eq!(cache.held(at(0)), []);
                chmod(level, 0o700);
                assert!(cache.get(HOST, &name).is_some());
            }
            chmod(&path, 0o600 | bits);
            assert_eq!(cache.get(HOST, &name), None);
            cache.put(HOST, &name, &good, false, at(0)).expect("put");
            assert_eq!(mode(&path), 0o600);
            assert_eq!(cache.get(HOST, &name), Some(good));
        }
    }

    #[test]
    fn what_another_user_owns_is_neither_read_nor_written() {
        if !is_root() {
            return;
        }
        let (_dir, cache, name) = filled();
        let path = file_of(&cache, &name, "json");
        let good = token("new", 0, 7200);
        for level in path.ancestors().skip(1).take(3) {
            chown(level, Some(STRANGER), None).expect("given away");
            assert_eq!(cache.get(HOST, &name), None, "{}", level.display());
            let error = cache.put(HOST, &name, &good, false, at(0));
            assert!(matches!(error, Err(Error::Untrusted { .. })));
            assert!(cache.record_failure(HOST, &name, &failure()).is_err());
            let outcome = cache.lock(HOST, &name, lock::Wait::No, || None::<()>);
            assert!(matches!(outcome, lock::LockOutcome::Unavailable));
            chown(level, Some(0), None).expect("taken back");
        }
        chown(&path, Some(STRANGER), None).expect("given away");
        assert_eq!(cache.get(HOST, &name), None);
        let lock = file_of(&cache, &name, "lock");
        fs::write(&lock, "").expect("written");
        chmod(&lock, 0o640);
        chown(&lock, Some(STRANGER), None).expect("given away");
        let outcome = cache.lock(HOST, &name, lock::Wait::No, || None::<()>);
        assert!(matches!(outcome, lock::LockOutcome::Unavailable));
        assert_eq!(mode(&lock), 0o640);
    }

    #[test]
    fn nothing_is_made_in_anothers_home() {
        if !is_root() {
            return;
        }
        let dir = tempfile::tempdir().expect("a directory");
        let home = dir.path().join("home");
        fs::create_dir(&home).expect("made");
        chown(&home, Some(STRANGER), None).expect("given away");
        let cache = Cache::open(home.join(".cache/ours"), Log::off());
        let name = CacheKey::for_test(1);
        let error = cache.put(HOST, &name, &token("pw", 0, 7200), false, at(0));
        assert!(matches!(error, Err(Error::Untrusted { .. })), "{error:?}");
        assert_eq!(fs::read_dir(&home).expect("read").count(), 0);
    }

    #[test]
    fn only_own_links_to_the_base_are_followed() {
        let (dir, cache, name) = filled();
        let link = dir.path().join("link");
        symlink(&cache.base, &link).expect("linked");
        let linked = Cache::open(link.clone(), Log::off());
        assert!(linked.get(HOST, &name).is_some());
        chmod(&cache.base, 0o770);
        assert_eq!(linked.get(HOST, &name), None, "its target is checked");
        chmod(&cache.base, 0o700);
        if is_root() {
            lchown(&link, Some(STRANGER), None).expect("given away");
            assert_eq!(linked.get(HOST, &name), None);
        }
        fs::remove_file(&link).expect("removed");
        symlink(dir.path().join("nowhere"), &link).expect("linked");
        assert_eq!(linked.get(HOST, &name), None);
        let error = linked.put(HOST, &name, &token("pw", 0, 7200), false, at(0));
        assert!(error.is_err());
        assert!(!dir.path().join("nowhere").exists());
    }

    #[test]
    fn a_link_below_the_base_is_not_followed() {
        let (dir, cache, name) = filled();
        let path = file_of(&cache, &name, "json");
        let good = token("new", 0, 7200);
        for level in path.ancestors().skip(1).take(2) {
            let moved = dir.path().join("moved");
            fs::rename(level, &moved).expect("moved");
            symlink(&moved, level).expect("linked");
            assert_eq!(cache.get(HOST, &name), None, "{}", level.display());
            assert!(cache.put(HOST, &name, &good, false, at(0)).is_err());
            assert!(matches!(cache.erase(HOST), Err(Error::Untrusted { .. })));
            assert_eq!(cache.held(at(0)), []);
            fs::remove_file(level).expect("removed");
            fs::rename(&moved, level).expect("moved back");
        }
        let moved = dir.path().join("moved");
        fs::rename(&path, &moved).expect("moved");
        symlink(&moved, &path).expect("linked");
        assert_eq!(cache.get(HOST, &name), None);
        let before = fs::read(&moved).expect("read");
        cache.put(HOST, &name, &good, false, at(0)).expect("put");
        assert_eq!(fs::read(&moved).expect("read"), before, "not followed");
        assert!(fs::symlink_metadata(&path).expect("there").is_file());
        assert_eq!(cache.get(HOST, &name), Some(good));
    }

    #[test]
    fn a_fifo_in_place_of_an_entry_does_not_hold_us_up() {
        let (_dir, cache, name) = filled();
        let path = file_of(&cache, &name, "json");
        fs::remove_file(&path).expect("removed");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .expect("made");
        assert_eq!(cache.get(HOST, &name), None);
        let good = token("new", 0, 7200);
        cache.put(HOST, &name, &good, false, at(0)).expect("put");
        assert_eq!(cache.get(HOST, &name), Some(good));
    }

    #[test]
    fn read_only_place_is_an_error_and_a_miss() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("file");
        fs::write(&file, "").expect("written");
        let name = CacheKey::for_test(1);
        for base in [file.clone(), file.join("below"), "/proc/none/here".into()] {
            let cache = Cache::open(base, Log::off());
            let error = cache.put(HOST, &name, &token("pw", 0, 7200), false, at(0));
            assert!(error.is_err());
            assert_eq!(cache.get(HOST, &name), None);
        }
    }

    #[test]
    fn distrust_is_said_once() {
        let (dir, _, name) = filled();
        let base = dir.path().join("cache");
        chmod(&base, 0o777);
        let lines = RefCell::new(Vec::new());
        let write = |line: fmt::Arguments<'_>| lines.borrow_mut().push(line.to_string());
        let cache = Cache::open(base.clone(), Log::to(&write));
        assert_eq!(cache.get(HOST, &name), None);
        assert_eq!(cache.kept_login(HOST, at(0)), None);
        let expected = format!(
            "cache: not used: {} can be written by group or others",
            base.display()
        );
        assert_eq!(*lines.borrow(), [expected]);
    }

    #[test]
    fn a_failed_write_leaves_no_temporary_file() {
        let (_dir, cache, name) = filled();
        let path = file_of(&cache, &name, "json");
        let dir = path.parent().expect("a parent");
        let error = cache.owner.write(dir, "login.json/x", b"", None);
        assert!(error.is_err());
        assert_eq!(files_in(&cache).len(), 1);
    }

    /// Names the base directory for `a_process_of_its_own`.
    const CHILD: &str = "ECR_LOGIN_TEST_CACHE";

    /// The part of a test that needs a process of its own: writes an entry and then holds a lock
    /// until it is killed or its stdin ends. By itself it does nothing.
    #[test]
    fn a_process_of_its_own() {
        let Some(base) = std::env::var_os(CHILD) else {
            return;
        };
        let cache = Cache::open(base.into(), Log::off());
        let name = CacheKey::for_test(1);
        let lock = cache.lock(HOST, &name, lock::Wait::No, || None::<()>);
        assert!(matches!(lock, lock::LockOutcome::Acquired(_)));
        cache
            .put(HOST, &name, &token("pw", 0, 7200), false, at(0))
            .expect("put");
        assert!(cache.get(HOST, &name).is_some());
        let _ = io::stdin().read_line(&mut String::new());
    }

    fn child(base: &Path, umask: &str) -> std::process::Child {
        std::process::Command::new("/bin/sh")
            .args(["-c", "umask $1; exec \"$0\" --exact $2"])
            .arg(std::env::current_exe().expect("a path"))
            .args([umask, "cache::tests::unix::a_process_of_its_own"])
            .env(CHILD, base)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("started")
    }

    #[test]
    fn modes_do_not_depend_on_the_umask() {
        for umask in ["000", "777", "022"] {
            let dir = tempfile::tempdir().expect("a directory");
            let cache = Cache::open(dir.path().join("new/cache"), Log::off());
            let mut child = child(&cache.base, umask);
            drop(child.stdin.take());
            assert!(child.wait().expect("ended").success(), "umask {umask}");
            let path = file_of(&cache, &CacheKey::for_test(1), "json");
            assert_eq!(mode(&path), 0o600, "umask {umask}");
            for directory in path.ancestors().skip(1).take(4) {
                assert_eq!(mode(directory), 0o700, "{}", directory.display());
            }
        }
    }

    #[test]
    fn a_killed_holders_lock_is_free_at_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let cache = Cache::open(dir.path().join("cache"), Log::off());
        let name = CacheKey::for_test(1);
        let mut child = child(&cache.base, "022");
        while cache.get(HOST, &name).is_none() {
            assert_eq!(child.try_wait().expect("asked"), None, "ended too early");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let outcome = cache.lock(HOST, &name, lock::Wait::No, || None::<()>);
        assert!(matches!(outcome, lock::LockOutcome::TimedOut));
        child.kill().expect("killed");
        child.wait().expect("ended");
        assert!(file_of(&cache, &name, "lock").exists());
        let outcome = cache.lock(HOST, &name, lock::Wait::No, || None::<()>);
        assert!(matches!(outcome, lock::LockOutcome::Acquired(_)));
        drop(outcome);
        assert!(!file_of(&cache, &name, "lock").exists());
    }
}
