//! Single-flight: one process calls AWS, the others wait for its outcome, but never for long.
//!
//! The lock is an advisory lock of the kernel on a lock file next to the entry, so it ends with the
//! lock holder, however that ends. Waiting is polling: a waiter looks for the outcome each time and
//! leaves as soon as it is there, without taking the lock, so that hundreds of waiters do not pass
//! it on one by one. Where the file system has no locks, or a lock call blocks, every process goes
//! on without.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::disk;
use super::{Cache, CacheError};
use crate::fs::try_lock_exclusive;
use crate::principal::CacheKey;

const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(25);

/// How long to wait for a lock that another process holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Not at all.
    No,
    /// At most this long.
    AtMost(Duration),
}

/// How waiting ended.
#[derive(Debug)]
pub enum LockOutcome<T> {
    /// We hold the lock until the guard is dropped.
    Acquired(Guard),
    /// The outcome is there, and we do not hold the lock.
    Polled(T),
    /// Another process still holds the lock: go on without it.
    TimedOut,
    /// There are no locks here: go on without one.
    Unavailable,
}

/// A lock file as the sweep finds it.
#[derive(Debug)]
pub(super) enum ToRemove {
    /// Another process holds the lock.
    Held,
    /// We hold it.
    Locked(Guard),
    /// There are no locks here.
    NoLocks,
}

/// A held lock. Dropping it removes the lock file and frees the lock.
#[derive(Debug)]
pub struct Guard {
    /// `None` only while dropping.
    file: Option<File>,
    path: PathBuf,
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Removed while it is still locked, so that only the lock holder removes it. On Windows
        // `is_still` cannot compare files by ID, but a lock file cannot be removed while any process
        // has it open: the last one to close it removes it.
        if cfg!(windows) {
            self.file = None;
        }
        let is_ours = |file: &File| disk::is_still(file, &self.path);
        if self.file.as_ref().is_none_or(is_ours) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// How long a lock call may take that does not wait for the lock.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);

/// The stack of the thread that makes the lock calls.
const STACK: usize = 128 << 10;

/// Makes lock calls on a thread of its own. On NFS, for one, `flock` can block for ever, also when
/// told not to wait, if the lock service cannot be reached. The thread starts with the first call;
/// after one that blocks there are no more.
#[derive(Debug, Default)]
pub(super) struct Locker(RefCell<LockThread>);

#[derive(Debug, Default)]
enum LockThread {
    #[default]
    NotStarted,
    Running {
        calls: mpsc::Sender<File>,
        results: mpsc::Receiver<(File, io::Result<bool>)>,
    },
    Stuck,
}

impl LockThread {
    fn start() -> io::Result<Self> {
        let (calls, incoming) = mpsc::channel::<File>();
        let (done, results) = mpsc::channel();
        std::thread::Builder::new()
            .stack_size(STACK)
            .spawn(move || {
                for file in incoming {
                    let result = try_lock_exclusive(&file);
                    // Without a receiver the file is closed, which frees the lock.
                    if done.send((file, result)).is_err() {
                        break;
                    }
                }
            })?;
        Ok(Self::Running { calls, results })
    }
}

impl Locker {
    /// Takes the lock on an open file; none if another process holds it.
    fn try_lock(&self, file: File, timeout: Duration) -> io::Result<Option<File>> {
        let mut thread = self.0.borrow_mut();
        if matches!(*thread, LockThread::NotStarted) {
            *thread = LockThread::start()?;
        }
        if let LockThread::Running { calls, results } = &*thread
            && calls.send(file).is_ok()
            && let Ok((file, result)) = results.recv_timeout(timeout)
        {
            return result.map(|locked| locked.then_some(file));
        }
        *thread = LockThread::Stuck;
        Err(io::Error::new(ErrorKind::TimedOut, "the lock call blocks"))
    }
}

impl Cache<'_> {
    /// The lock on a file, unless another process holds it.
    fn take(&self, path: &Path, timeout: Duration) -> Result<Option<Guard>, CacheError> {
        loop {
            let file = self.owner.open_lock(path)?;
            let locked = self.locker.try_lock(file, timeout.min(CALL_TIMEOUT));
            match locked.map_err(disk::io_error("lock", path))? {
                // Its last holder may have removed the file after we opened it.
                Some(file) if !disk::is_still(&file, path) => {}
                Some(file) => {
                    let path = path.to_owned();
                    let file = Some(file);
                    return Ok(Some(Guard { file, path }));
                }
                None => return Ok(None),
            }
        }
    }

    /// Takes the lock on a lock file for the sweep.
    pub(super) fn lock_to_remove(&self, path: &Path) -> ToRemove {
        match self.take(path, CALL_TIMEOUT) {
            Ok(Some(guard)) => ToRemove::Locked(guard),
            Ok(None) => ToRemove::Held,
            Err(_) => ToRemove::NoLocks,
        }
    }

    /// Takes the lock of one entry. While another process holds it, `poll` is called again and
    /// again for the outcome that is waited for, and ends the wait when it has one.
    pub fn lock<T>(
        &self,
        host: &str,
        key: &CacheKey,
        wait: Wait,
        poll: impl FnMut() -> Option<T>,
    ) -> LockOutcome<T> {
        self.lock_stem(host, key.as_str(), wait, poll)
    }

    pub(super) fn lock_stem<T>(
        &self,
        host: &str,
        stem: &str,
        wait: Wait,
        mut poll: impl FnMut() -> Option<T>,
    ) -> LockOutcome<T> {
        let started = Instant::now();
        let (timeout, call_timeout) = match wait {
            Wait::No => (Duration::ZERO, CALL_TIMEOUT / 2),
            Wait::AtMost(timeout) => (timeout, timeout),
        };
        let file = format!("{stem}.lock");
        let mut pause = FIRST_PAUSE;
        loop {
            let taken = self.in_host_dir(host, |dir| self.take(&dir.join(&file), call_timeout));
            match taken {
                Ok(Some(guard)) => return LockOutcome::Acquired(guard),
                Ok(None) => {}
                Err(error) => {
                    self.say(&error);
                    self.log
                        .debug(format_args!("cache: proceeding without a lock"));
                    return LockOutcome::Unavailable;
                }
            }
            if let Some(outcome) = poll() {
                return LockOutcome::Polled(outcome);
            }
            let left = timeout.saturating_sub(started.elapsed());
            if left.is_zero() {
                return LockOutcome::TimedOut;
            }
            std::thread::sleep(jittered(pause).min(left));
            pause = (pause * 2).min(LONGEST_PAUSE);
            // Before the next try: a lock that is no longer needed is not taken.
            if let Some(outcome) = poll() {
                return LockOutcome::Polled(outcome);
            }
        }
    }
}

/// Three quarters to five quarters of it, so that processes started together part.
fn jittered(pause: Duration) -> Duration {
    let clock = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.subsec_nanos());
    let mixed = (clock ^ std::process::id().rotate_left(16)).wrapping_mul(0x9e37_79b1) >> 16;
    pause * 3 / 4 + (pause / 2) * (mixed & 0xff) / 0xff
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::log::Log;

    const HOST: &str = "123456789012.dkr.ecr.us-east-1.amazonaws.com";

    fn cache(base: &Path) -> Cache<'static> {
        Cache::open(base.join("cache"), Log::off())
    }

    fn lock_file(base: &Path, key: &CacheKey) -> PathBuf {
        let host = base.join("cache/v1").join(HOST);
        host.join(format!("{}.lock", key.as_str()))
    }

    fn nothing() -> Option<()> {
        None
    }

    #[test]
    fn free_lock_is_taken_and_leaves_no_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let key = CacheKey::for_test(1);
        let LockOutcome::Acquired(guard) = cache(dir.path()).lock(HOST, &key, Wait::No, nothing)
        else {
            panic!("not acquired");
        };
        let path = lock_file(dir.path(), &key);
        assert!(path.is_file());
        drop(guard);
        assert!(!path.exists());
    }

    #[test]
    fn a_held_lock_is_waited_for_no_longer_than_was_said() {
        let dir = tempfile::tempdir().expect("a directory");
        let (key, other) = (CacheKey::for_test(1), CacheKey::for_test(2));
        let cache = cache(dir.path());
        let LockOutcome::Acquired(_guard) = cache.lock(HOST, &key, Wait::No, nothing) else {
            panic!("not acquired");
        };
        let outcome = cache.lock(HOST, &key, Wait::No, nothing);
        assert!(matches!(outcome, LockOutcome::TimedOut));
        let started = Instant::now();
        let wait = Wait::AtMost(Duration::from_millis(120));
        assert!(matches!(
            cache.lock(HOST, &key, wait, nothing),
            LockOutcome::TimedOut
        ));
        let took = started.elapsed();
        assert!(took >= Duration::from_millis(120), "{took:?}");
        assert!(took < Duration::from_secs(5), "{took:?}");
        let outcome = cache.lock(HOST, &other, Wait::No, nothing);
        assert!(matches!(outcome, LockOutcome::Acquired(_)), "another entry");
    }

    #[test]
    fn a_waiter_leaves_with_what_it_waited_for() {
        let dir = tempfile::tempdir().expect("a directory");
        let key = CacheKey::for_test(1);
        let cache = cache(dir.path());
        let LockOutcome::Acquired(_guard) = cache.lock(HOST, &key, Wait::No, nothing) else {
            panic!("not acquired");
        };
        let mut polls = 0;
        let outcome = cache.lock(HOST, &key, Wait::AtMost(Duration::from_mins(1)), || {
            polls += 1;
            (polls == 4).then_some("token")
        });
        assert!(matches!(outcome, LockOutcome::Polled("token")));
    }

    #[test]
    fn the_lock_passes_on_when_its_holder_is_done() {
        let dir = tempfile::tempdir().expect("a directory");
        let key = CacheKey::for_test(1);
        let LockOutcome::Acquired(guard) = cache(dir.path()).lock(HOST, &key, Wait::No, nothing)
        else {
            panic!("not acquired");
        };
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                let wait = Wait::AtMost(Duration::from_mins(1));
                matches!(
                    cache(dir.path()).lock(HOST, &key, wait, nothing),
                    LockOutcome::Acquired(_)
                )
            });
            std::thread::sleep(Duration::from_millis(30));
            drop(guard);
            assert!(waiter.join().expect("no panic"));
        });
    }

    #[test]
    fn the_file_of_a_killed_holder_is_no_lock() {
        let dir = tempfile::tempdir().expect("a directory");
        let key = CacheKey::for_test(1);
        let path = lock_file(dir.path(), &key);
        drop(cache(dir.path()).lock(HOST, &key, Wait::No, nothing));
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(&path, "").expect("written");
        #[cfg(unix)]
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .expect("set");
        let outcome = cache(dir.path()).lock(HOST, &key, Wait::No, nothing);
        assert!(matches!(outcome, LockOutcome::Acquired(_)));
    }

    #[test]
    fn two_hundred_waiters_make_one_call() {
        let dir = tempfile::tempdir().expect("a directory");
        let key = CacheKey::for_test(1);
        let (calls, done, taken) = (
            AtomicUsize::new(0),
            AtomicUsize::new(0),
            AtomicUsize::new(0),
        );
        let barrier = Barrier::new(200);
        std::thread::scope(|scope| {
            for _ in 0..200 {
                scope.spawn(|| {
                    let cache = cache(dir.path());
                    let poll = || (done.load(Ordering::SeqCst) > 0).then_some(());
                    barrier.wait();
                    let wait = Wait::AtMost(Duration::from_mins(1));
                    match cache.lock(HOST, &key, wait, poll) {
                        LockOutcome::Acquired(_guard) => {
                            taken.fetch_add(1, Ordering::SeqCst);
                            if poll().is_none() {
                                calls.fetch_add(1, Ordering::SeqCst);
                                std::thread::sleep(Duration::from_millis(50));
                                done.store(1, Ordering::SeqCst);
                            }
                        }
                        LockOutcome::Polled(()) => {}
                        other => panic!("{other:?}"),
                    }
                });
            }
        });
        assert_eq!(calls.load(Ordering::SeqCst), 1);
        assert!(!lock_file(dir.path(), &key).exists());
    }

    #[test]
    fn lock_is_exclusive_though_its_file_is_removed() {
        let dir = tempfile::tempdir().expect("a directory");
        let key = CacheKey::for_test(1);
        let (inside, turns) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let cache = cache(dir.path());
                    for _ in 0..150 {
                        let wait = Wait::AtMost(Duration::from_mins(1));
                        let LockOutcome::Acquired(_guard) = cache.lock(HOST, &key, wait, nothing)
                        else {
                            panic!("not acquired");
                        };
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        turns.fetch_add(1, Ordering::SeqCst);
                        std::thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(turns.load(Ordering::SeqCst), 1200);
    }

    // On Windows an open lock file cannot be replaced.
    #[cfg(unix)]
    #[test]
    fn a_guard_leaves_its_successors_file_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        let key = CacheKey::for_test(1);
        let cache = cache(dir.path());
        let path = lock_file(dir.path(), &key);
        let LockOutcome::Acquired(first) = cache.lock(HOST, &key, Wait::No, nothing) else {
            panic!("not acquired");
        };
        fs::remove_file(&path).expect("removed");
        let LockOutcome::Acquired(_second) = cache.lock(HOST, &key, Wait::No, nothing) else {
            panic!("not acquired");
        };
        drop(first);
        assert!(path.exists());
    }

    #[test]
    fn only_a_free_lock_file_is_removed() {
        let dir = tempfile::tempdir().expect("a directory");
        let key = CacheKey::for_test(1);
        let cache = cache(dir.path());
        let path = lock_file(dir.path(), &key);
        let LockOutcome::Acquired(guard) = cache.lock(HOST, &key, Wait::No, nothing) else {
            panic!("not acquired");
        };
        assert!(matches!(cache.lock_to_remove(&path), ToRemove::Held));
        assert!(path.exists());
        drop(guard);
        drop(cache.owner.open_lock(&path));
        assert!(path.exists());
        drop(cache.lock_to_remove(&path));
        assert!(!path.exists());
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_lock_file_is_put_away_or_done_without() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let dir = tempfile::tempdir().expect("a directory");
        let key = CacheKey::for_test(1);
        let cache = cache(dir.path());
        let path = lock_file(dir.path(), &key);
        drop(cache.lock(HOST, &key, Wait::No, nothing));
        let acquired = || {
            matches!(
                cache.lock(HOST, &key, Wait::No, nothing),
                LockOutcome::Acquired(_)
            )
        };
        let victim = dir.path().join("victim");
        symlink(&victim, &path).expect("linked");
        assert!(acquired());
        assert!(!victim.exists());
        fs::create_dir(&path).expect("made");
        assert!(acquired());
        fs::write(&path, "").expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).expect("set");
        assert!(acquired());
        fs::create_dir_all(path.join("full")).expect("made");
        let outcome = cache.lock(HOST, &key, Wait::No, nothing);
        assert!(matches!(outcome, LockOutcome::Unavailable));
        fs::remove_dir_all(&path).expect("removed");
        fs::set_permissions(dir.path().join("cache"), fs::Permissions::from_mode(0o777))
            .expect("set");
        let outcome = cache.lock(HOST, &key, Wait::No, nothing);
        assert!(matches!(outcome, LockOutcome::Unavailable));
    }

    #[test]
    fn pauses_are_jittered_within_bounds() {
        for _ in 0..1000 {
            let pause = jittered(Duration::from_millis(20));
            assert!((Duration::from_millis(15)..=Duration::from_millis(25)).contains(&pause));
        }
    }
}
