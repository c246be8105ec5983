//! Owners, modes, links, and processes that are killed.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};

use super::*;

const STRANGER: u32 = 54_321;

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).expect("there").mode() & 0o7777
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set");
}

/// Only root can give a file away; the rest of a test runs as any user.
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn filled() -> (tempfile::TempDir, Cache<'static>, CacheKey) {
    let (dir, cache) = cache();
    let key = CacheKey::for_test(1);
    cache
        .put(
            HOST,
            &key,
            &token("pw", 0, 7200),
            Provenance::default(),
            at(0),
        )
        .expect("put");
    (dir, cache, key)
}

#[test]
fn directories_are_0700_and_files_0600() {
    let (dir, cache, key) = filled();
    let path = file_of(&cache, &key, "json");
    assert_eq!(mode(&path), 0o600);
    let ours = path.ancestors().skip(1);
    for directory in ours.take_while(|path| *path != dir.path()) {
        assert_eq!(mode(directory), 0o700, "{}", directory.display());
    }
    let root = cache.base.join(ROOT);
    chmod(&root, 0o755);
    let token = token("pw", 0, 7200);
    cache
        .put(HOST, &key, &token, Provenance::default(), at(0))
        .expect("put");
    assert_eq!(mode(&root), 0o700);
}

#[test]
fn missing_parents_are_made_as_private() {
    let dir = tempfile::tempdir().expect("a directory");
    let cache = Cache::open(dir.path().join("a/b/c"), Log::off());
    let key = CacheKey::for_test(1);
    cache
        .put(
            HOST,
            &key,
            &token("pw", 0, 7200),
            Provenance::default(),
            at(0),
        )
        .expect("put");
    assert_eq!(mode(&dir.path().join("a")), 0o700);
    assert_eq!(mode(&dir.path().join("a/b")), 0o700);
    assert!(cache.get(HOST, &key, None, at(0)).is_some());
}

#[test]
fn what_others_can_write_is_neither_read_nor_written() {
    for bits in [0o020, 0o002] {
        let (_dir, cache, key) = filled();
        let path = file_of(&cache, &key, "json");
        let good = token("new", 0, 7200);
        for level in path.ancestors().skip(1).take(3) {
            chmod(level, 0o700 | bits);
            assert_eq!(
                cache.get(HOST, &key, None, at(0)),
                None,
                "{}",
                level.display()
            );
            let error = cache.put(HOST, &key, &good, Provenance::default(), at(0));
            assert!(matches!(error, Err(CacheError::Untrusted { .. })));
            assert!(matches!(
                cache.erase(HOST),
                Err(CacheError::Untrusted { .. })
            ));
            assert_eq!(cache.held(at(0)), []);
            chmod(level, 0o700);
            assert!(cache.get(HOST, &key, None, at(0)).is_some());
        }
        chmod(&path, 0o600 | bits);
        assert_eq!(cache.get(HOST, &key, None, at(0)), None);
        cache
            .put(HOST, &key, &good, Provenance::default(), at(0))
            .expect("put");
        assert_eq!(mode(&path), 0o600);
        assert_eq!(cache.get(HOST, &key, None, at(0)), Some(good));
    }
}

#[test]
fn what_another_user_owns_is_neither_read_nor_written() {
    if !is_root() {
        return;
    }
    let (_dir, cache, key) = filled();
    let path = file_of(&cache, &key, "json");
    let good = token("new", 0, 7200);
    for level in path.ancestors().skip(1).take(3) {
        chown(level, Some(STRANGER), None).expect("given away");
        assert_eq!(
            cache.get(HOST, &key, None, at(0)),
            None,
            "{}",
            level.display()
        );
        let error = cache.put(HOST, &key, &good, Provenance::default(), at(0));
        assert!(matches!(error, Err(CacheError::Untrusted { .. })));
        assert!(cache.record_failure(HOST, &key, &failure()).is_err());
        let outcome = cache.lock(HOST, &key, lock::Wait::No, || None::<()>);
        assert!(matches!(outcome, lock::LockOutcome::Unavailable));
        chown(level, Some(0), None).expect("taken back");
    }
    chown(&path, Some(STRANGER), None).expect("given away");
    assert_eq!(cache.get(HOST, &key, None, at(0)), None);
    let lock = file_of(&cache, &key, "lock");
    fs::write(&lock, "").expect("written");
    chmod(&lock, 0o640);
    chown(&lock, Some(STRANGER), None).expect("given away");
    let outcome = cache.lock(HOST, &key, lock::Wait::No, || None::<()>);
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
    let key = CacheKey::for_test(1);
    let error = cache.put(
        HOST,
        &key,
        &token("pw", 0, 7200),
        Provenance::default(),
        at(0),
    );
    assert!(
        matches!(error, Err(CacheError::Untrusted { .. })),
        "{error:?}"
    );
    assert_eq!(fs::read_dir(&home).expect("read").count(), 0);
}

#[test]
fn only_own_links_to_the_base_are_followed() {
    let (dir, cache, key) = filled();
    let link = dir.path().join("link");
    symlink(&cache.base, &link).expect("linked");
    let linked = Cache::open(link.clone(), Log::off());
    assert!(linked.get(HOST, &key, None, at(0)).is_some());
    chmod(&cache.base, 0o770);
    assert_eq!(
        linked.get(HOST, &key, None, at(0)),
        None,
        "its target is checked"
    );
    chmod(&cache.base, 0o700);
    if is_root() {
        lchown(&link, Some(STRANGER), None).expect("given away");
        assert_eq!(linked.get(HOST, &key, None, at(0)), None);
    }
    fs::remove_file(&link).expect("removed");
    symlink(dir.path().join("nowhere"), &link).expect("linked");
    assert_eq!(linked.get(HOST, &key, None, at(0)), None);
    let error = linked.put(
        HOST,
        &key,
        &token("pw", 0, 7200),
        Provenance::default(),
        at(0),
    );
    assert!(error.is_err());
    assert!(!dir.path().join("nowhere").exists());
}

#[test]
fn a_link_below_the_base_is_not_followed() {
    let (dir, cache, key) = filled();
    let path = file_of(&cache, &key, "json");
    let good = token("new", 0, 7200);
    for level in path.ancestors().skip(1).take(2) {
        let moved = dir.path().join("moved");
        fs::rename(level, &moved).expect("moved");
        symlink(&moved, level).expect("linked");
        assert_eq!(
            cache.get(HOST, &key, None, at(0)),
            None,
            "{}",
            level.display()
        );
        assert!(
            cache
                .put(HOST, &key, &good, Provenance::default(), at(0))
                .is_err()
        );
        assert!(matches!(
            cache.erase(HOST),
            Err(CacheError::Untrusted { .. })
        ));
        assert_eq!(cache.held(at(0)), []);
        fs::remove_file(level).expect("removed");
        fs::rename(&moved, level).expect("moved back");
    }
    let moved = dir.path().join("moved");
    fs::rename(&path, &moved).expect("moved");
    symlink(&moved, &path).expect("linked");
    assert_eq!(cache.get(HOST, &key, None, at(0)), None);
    let before = fs::read(&moved).expect("read");
    cache
        .put(HOST, &key, &good, Provenance::default(), at(0))
        .expect("put");
    assert_eq!(fs::read(&moved).expect("read"), before, "not followed");
    assert!(fs::symlink_metadata(&path).expect("there").is_file());
    assert_eq!(cache.get(HOST, &key, None, at(0)), Some(good));
}

#[test]
fn a_fifo_in_place_of_an_entry_does_not_hold_us_up() {
    let (_dir, cache, key) = filled();
    let path = file_of(&cache, &key, "json");
    fs::remove_file(&path).expect("removed");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.is_ok_and(|status| status.success()));
    assert_eq!(cache.get(HOST, &key, None, at(0)), None);
    let good = token("new", 0, 7200);
    cache
        .put(HOST, &key, &good, Provenance::default(), at(0))
        .expect("put");
    assert_eq!(cache.get(HOST, &key, None, at(0)), Some(good));
}

#[test]
fn read_only_place_is_an_error_and_a_miss() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("file");
    fs::write(&file, "").expect("written");
    let key = CacheKey::for_test(1);
    for base in [file.clone(), file.join("below"), "/proc/none/here".into()] {
        let cache = Cache::open(base, Log::off());
        let error = cache.put(
            HOST,
            &key,
            &token("pw", 0, 7200),
            Provenance::default(),
            at(0),
        );
        assert!(error.is_err());
        assert_eq!(cache.get(HOST, &key, None, at(0)), None);
    }
}

#[test]
fn distrust_is_said_once() {
    let (dir, _, key) = filled();
    let base = dir.path().join("cache");
    chmod(&base, 0o777);
    let lines = RefCell::new(Vec::new());
    let write = |line: std::fmt::Arguments<'_>| lines.borrow_mut().push(line.to_string());
    let cache = Cache::open(base.clone(), Log::to(&write));
    assert_eq!(cache.get(HOST, &key, None, at(0)), None);
    assert_eq!(cache.stored_login(&registry(HOST), at(0)), None);
    let expected = format!(
        "cache: not used: {} can be written by group or others",
        base.display()
    );
    assert_eq!(*lines.borrow(), [expected]);
}

#[test]
fn a_failed_write_leaves_no_temporary_file() {
    let (_dir, cache, key) = filled();
    let path = file_of(&cache, &key, "json");
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
    let key = CacheKey::for_test(1);
    let lock = cache.lock(HOST, &key, lock::Wait::No, || None::<()>);
    assert!(matches!(lock, lock::LockOutcome::Acquired(_)));
    cache
        .put(
            HOST,
            &key,
            &token("pw", 0, 7200),
            Provenance::default(),
            at(0),
        )
        .expect("put");
    assert!(cache.get(HOST, &key, None, at(0)).is_some());
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
    let key = CacheKey::for_test(1);
    let mut child = child(&cache.base, "022");
    while cache.get(HOST, &key, None, at(0)).is_none() {
        assert_eq!(child.try_wait().expect("asked"), None, "ended too early");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let outcome = cache.lock(HOST, &key, lock::Wait::No, || None::<()>);
    assert!(matches!(outcome, lock::LockOutcome::TimedOut));
    child.kill().expect("killed");
    child.wait().expect("ended");
    assert!(file_of(&cache, &key, "lock").exists());
    let outcome = cache.lock(HOST, &key, lock::Wait::No, || None::<()>);
    assert!(matches!(outcome, lock::LockOutcome::Acquired(_)));
    drop(outcome);
    assert!(!file_of(&cache, &key, "lock").exists());
}
