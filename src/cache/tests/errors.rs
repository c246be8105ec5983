//! Messages of the cache.

use super::*;

#[test]
fn each_fault_of_the_cache_has_its_hint() {
    let io = CacheError::Io {
        doing: "write",
        path: "/x".into(),
        error: ErrorKind::PermissionDenied.into(),
    };
    let untrusted = CacheError::Untrusted {
        path: "/x".into(),
        why: "is a link",
    };
    assert!(io.hint().contains("that can be written"));
    assert!(untrusted.hint().contains("only you can write"));
    assert!(CacheError::NoHost.hint().contains("host name"));
}

#[test]
fn errors_say_what_was_done_with_which_file() {
    let error = disk::io_error("write", Path::new("/x"))(ErrorKind::StorageFull.into());
    assert_eq!(error.to_string(), "cannot write /x: no storage space");
    // Display shows it, so a caller that prints the chain must not find it again.
    assert!(std::error::Error::source(&error).is_none());
    let error = CacheError::Untrusted {
        path: "/x".into(),
        why: "is a link",
    };
    assert_eq!(error.to_string(), "/x is a link");
    assert_eq!(CacheError::NoHost.to_string(), "not a host name");
}

#[cfg(unix)]
#[test]
fn log_names_an_unreadable_file_once() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().expect("a directory");
    let base = dir.path().join("cache");
    let key = CacheKey::for_test(1);
    let lines = RefCell::new(Vec::new());
    let write = |line: std::fmt::Arguments<'_>| lines.borrow_mut().push(line.to_string());
    let cache = || Cache::open(base.clone(), Log::to(&write));
    let said = || std::mem::take(&mut *lines.borrow_mut());
    let other = CacheKey::for_test(2);
    assert_eq!(cache().get(HOST, &key, None, at(0)), None);
    cache()
        .store(HOST, &other, &token("pw", 0, 600))
        .expect("put");
    assert_eq!(cache().get(HOST, &key, None, at(0)), None);
    assert_eq!(said(), [""; 0]);

    let path = file_of(&cache(), &key, "json");
    std::os::unix::fs::symlink(file_of(&cache(), &other, "json"), &path).expect("linked");
    assert_eq!(cache().get(HOST, &key, None, at(0)), None);
    let lines_said = said();
    assert_eq!(lines_said.len(), 1, "{lines_said:?}");
    assert!(lines_said[0].contains("cannot open"), "{lines_said:?}");

    fs::set_permissions(&base, fs::Permissions::from_mode(0o777)).expect("ours");
    let distrusted = cache();
    for _ in 0..3 {
        assert_eq!(distrusted.get(HOST, &other, None, at(0)), None);
    }
    let lines_said = said();
    assert_eq!(lines_said.len(), 1, "{lines_said:?}");
    assert!(
        lines_said[0].contains("can be written by"),
        "{lines_said:?}"
    );
}

#[test]
fn no_message_shows_a_secret() {
    let dir = tempfile::tempdir().expect("a directory");
    let lines = RefCell::new(Vec::new());
    let write = |line: std::fmt::Arguments<'_>| lines.borrow_mut().push(line.to_string());
    let cache = Cache::open(dir.path().join("cache"), Log::to(&write));
    let key = CacheKey::for_test(1);
    let secret = token("sentinel", 0, 7200);
    cache
        .put(HOST, &key, &secret, Provenance::default(), at(0))
        .expect("put");
    let path = file_of(&cache, &key, "json");
    let text = fs::read_to_string(&path).expect("read");
    fs::write(&path, text.replace("AWS\"", "AWS\"]")).expect("written");
    assert_eq!(cache.get(HOST, &key, None, at(0)), None);
    fs::remove_file(&path).expect("removed");
    fs::remove_dir(path.parent().expect("a parent")).expect("removed");
    fs::write(path.parent().expect("a parent"), "").expect("written");
    let error = cache
        .put(HOST, &key, &secret, Provenance::default(), at(0))
        .expect_err("no directory");
    lines
        .borrow_mut()
        .push(format!("{error} {error:?} {}", error.hint()));
    let lines = lines.borrow().join("\n");
    assert!(lines.contains("is not a v1 cache entry"), "{lines}");
    assert!(!lines.contains("sentinel"), "{lines}");
}
