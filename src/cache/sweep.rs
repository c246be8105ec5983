//! Removes expired entries of every principal and leftovers of killed processes whenever an entry
//! is written. Otherwise a cache only grows, as that of the Amazon ECR credential helper did.
//!
//! An entry's modification time is its expiry, so that ten thousand entries are judged without
//! opening one; only those to be removed are read. Nothing here is an error.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};

use super::Cache;
use super::disk;
use super::entry::{self, CacheFile};
use super::lock::ToRemove;

/// After this long untouched, any file of ours is removed.
const DAY: Duration = Duration::from_hours(24);

/// A shared failure counts for seconds, a failed renewal for a quarter of an hour.
const FAILURE_LIFE: Duration = Duration::from_hours(1);

/// Writing a file takes milliseconds; a writer whose file was removed tries again.
const TEMP_LIFE: Duration = Duration::from_mins(1);

/// How many temporary files of a registry, the youngest, may be in use: a bound however many
/// processes are killed.
const TEMPS: usize = 32;

/// The sweep's decision about a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SweepAction {
    Keep,
    Remove,
    /// If the file itself says so too: its time may come from a backup.
    RemoveIfExpired,
    RemoveIfFree,
}

/// By the time since the modification time and since the last change of any kind.
fn verdict(kind: &CacheFile, age: Duration, unchanged: Duration) -> SweepAction {
    match kind {
        CacheFile::Entry(_) if age > DAY => SweepAction::Remove,
        CacheFile::Entry(_) if !age.is_zero() => SweepAction::RemoveIfExpired,
        CacheFile::Issued if !age.is_zero() => SweepAction::Remove,
        CacheFile::Failure if age > FAILURE_LIFE => SweepAction::Remove,
        CacheFile::Temp if unchanged > TEMP_LIFE => SweepAction::Remove,
        CacheFile::Lock if age > DAY => SweepAction::RemoveIfFree,
        _ => SweepAction::Keep,
    }
}

impl Cache<'_> {
    /// Removes files that are no longer of use, in all registries.
    pub(super) fn sweep(&self, now: DateTime<Utc>) {
        let mut gone = 0;
        for (_, dir) in self.host_dirs() {
            gone += self.sweep_dir(&dir, now);
        }
        if gone > 0 {
            self.log
                .debug(format_args!("cache: {gone} expired files removed"));
        }
    }

    fn sweep_dir(&self, dir: &Path, now: DateTime<Utc>) -> usize {
        let Ok(files) = fs::read_dir(dir) else {
            return 0;
        };
        let (mut kept, mut gone) = (0, 0);
        let mut temps = Vec::new();
        for file in files.flatten() {
            let kind = file
                .file_name()
                .to_str()
                .map_or(CacheFile::Other, CacheFile::of);
            let path = file.path();
            let verdict = match kind {
                CacheFile::Other => SweepAction::Keep,
                _ => file
                    .metadata()
                    .map_or(SweepAction::Keep, |meta| judge(&kind, &meta, now)),
            };
            let removed = match verdict {
                SweepAction::Keep => false,
                SweepAction::Remove if matches!(kind, CacheFile::Entry(_)) => {
                    self.remove_expired(&path, now)
                }
                SweepAction::RemoveIfExpired => self.remove_expired(&path, now),
                SweepAction::Remove => fs::remove_file(&path).is_ok(),
                SweepAction::RemoveIfFree => match self.lock_to_remove(&path) {
                    ToRemove::Held => false,
                    ToRemove::Locked(_) | ToRemove::NoLocks => fs::remove_file(&path).is_ok(),
                },
            };
            if removed {
                gone += 1;
            } else {
                kept += 1;
                if kind == CacheFile::Temp {
                    temps.push((file.metadata().ok().and_then(|m| disk::changed(&m)), path));
                }
            }
        }
        temps.sort_unstable_by(|a, b| b.cmp(a));
        for (_, path) in temps.iter().skip(TEMPS) {
            gone += usize::from(fs::remove_file(path).is_ok());
        }
        if kept == 0 {
            // Fails if another process has just written a file there, as it should.
            let _ = fs::remove_dir(dir);
        }
        gone
    }

    /// Removes an entry if it has expired, under the entry's lock: the lock holder is about to
    /// replace it.
    fn remove_expired(&self, path: &Path, now: DateTime<Utc>) -> bool {
        if !self.is_expired(path, now) {
            return false;
        }
        let _guard = match self.lock_to_remove(&path.with_extension("lock")) {
            ToRemove::Held => return false,
            ToRemove::Locked(guard) => Some(guard),
            // At worst a newer entry is lost, and obtained again.
            ToRemove::NoLocks => None,
        };
        self.is_expired(path, now) && fs::remove_file(path).is_ok()
    }

    /// Whether the entry has expired, or has not been touched for a day.
    fn is_expired(&self, path: &Path, now: DateTime<Utc>) -> bool {
        let Ok(meta) = fs::symlink_metadata(path) else {
            return false;
        };
        if since(meta.modified().ok(), now) > DAY {
            return !meta.is_dir();
        }
        match self.owner.read(path) {
            Ok(Some(bytes)) => entry::expiry(&bytes).is_some_and(|at| at <= now),
            _ => false,
        }
    }

    /// The trusted directories of all registries.
    pub(super) fn host_dirs(&self) -> Vec<(String, PathBuf)> {
        let Some(root) = self.root_to_read() else {
            return Vec::new();
        };
        let Ok(files) = fs::read_dir(&root) else {
            return Vec::new();
        };
        let names = files.flatten().filter_map(|file| {
            let name = file.file_name().into_string().ok()?;
            super::is_plain_host(&name).then(|| (name, file.path()))
        });
        names
            .filter(|(_, path)| matches!(self.owner.directory(path), Ok(true)))
            .collect()
    }
}

fn judge(kind: &CacheFile, meta: &fs::Metadata, now: DateTime<Utc>) -> SweepAction {
    let unchanged = since(disk::changed(meta), now);
    match verdict(kind, since(meta.modified().ok(), now), unchanged) {
        // The token that takes its place removes a directory.
        _ if meta.is_dir() => SweepAction::Keep,
        verdict => verdict,
    }
}

/// How long ago that was; zero for the future and for a time that is not known.
fn since(time: Option<SystemTime>, now: DateTime<Utc>) -> Duration {
    time.and_then(|time| SystemTime::from(now).duration_since(time).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::Provenance;
    use super::super::tests::{HOST, at, cache, file_of, registry, token};
    use super::*;
    use crate::principal::CacheKey;

    fn age(path: &Path, at: DateTime<Utc>) {
        let file = fs::File::options().write(true).open(path).expect("there");
        file.set_modified(at.into()).expect("set");
    }

    #[test]
    fn each_kind_has_its_time() {
        let (second, hour) = (Duration::from_secs(1), Duration::from_hours(1));
        let entry = || CacheFile::Entry("login".into());
        for (kind, age, unchanged, expected) in [
            (entry(), Duration::ZERO, DAY * 2, SweepAction::Keep),
            (entry(), second, second, SweepAction::RemoveIfExpired),
            (entry(), DAY, second, SweepAction::RemoveIfExpired),
            (entry(), DAY + second, second, SweepAction::Remove),
            (CacheFile::Failure, FAILURE_LIFE, hour, SweepAction::Keep),
            (
                CacheFile::Failure,
                FAILURE_LIFE + second,
                hour,
                SweepAction::Remove,
            ),
            (CacheFile::Temp, DAY, TEMP_LIFE, SweepAction::Keep),
            (
                CacheFile::Temp,
                Duration::ZERO,
                TEMP_LIFE + second,
                SweepAction::Remove,
            ),
            (CacheFile::Lock, DAY, DAY * 2, SweepAction::Keep),
            (
                CacheFile::Lock,
                DAY + second,
                second,
                SweepAction::RemoveIfFree,
            ),
            (CacheFile::Other, DAY * 2, DAY * 2, SweepAction::Keep),
        ] {
            assert_eq!(verdict(&kind, age, unchanged), expected, "{kind:?} {age:?}");
        }
    }

    #[test]
    fn every_write_sweeps_all_expired_entries() {
        let (_dir, cache) = cache();
        let (a, b, c) = (
            CacheKey::for_test(1),
            CacheKey::for_test(2),
            CacheKey::for_test(3),
        );
        let other = "public.ecr.aws";
        let short = token("short", 0, 600);
        cache
            .put(HOST, &a, &short, Provenance::default(), at(0))
            .expect("put");
        cache
            .put(other, &b, &short, Provenance::default(), at(0))
            .expect("put");
        cache
            .store_login(&registry(HOST), &short.login, at(600), at(0))
            .expect("kept");
        cache
            .put(
                HOST,
                &c,
                &token("long", 0, 7200),
                Provenance::default(),
                at(0),
            )
            .expect("put");
        assert!(
            cache.get(HOST, &a, None, at(0)).is_some()
                && cache.get(other, &b, None, at(0)).is_some()
        );
        let long = token("long", 601, 7200);
        cache
            .put(
                HOST,
                &CacheKey::for_test(4),
                &long,
                Provenance::default(),
                at(601),
            )
            .expect("put");
        assert_eq!(cache.get(HOST, &a, None, at(0)), None);
        assert_eq!(cache.get(other, &b, None, at(0)), None);
        assert_eq!(cache.stored_login(&registry(HOST), at(0)), None);
        assert!(cache.get(HOST, &c, None, at(0)).is_some());
        assert!(
            cache
                .get(HOST, &CacheKey::for_test(4), None, at(601))
                .is_some()
        );
        let hosts: Vec<_> = cache
            .host_dirs()
            .into_iter()
            .map(|(host, _)| host)
            .collect();
        assert_eq!(hosts, [HOST], "an empty directory goes too");
    }

    #[test]
    fn the_log_says_how_many_files_went() {
        let dir = tempfile::tempdir().expect("a directory");
        let lines = std::cell::RefCell::new(Vec::new());
        let write = |line: std::fmt::Arguments<'_>| lines.borrow_mut().push(line.to_string());
        let cache = Cache::open(dir.path().join("cache"), crate::log::Log::to(&write));
        let (a, b) = (CacheKey::for_test(1), CacheKey::for_test(2));
        let other = "public.ecr.aws";
        for host in [HOST, other] {
            cache.store(host, &a, &token("short", 0, 600)).expect("put");
            cache.store(host, &b, &token("long", 0, 7200)).expect("put");
        }
        let temp = |n: usize| {
            file_of(&cache, &a, "x").with_file_name(disk::temp_name(&format!("{n:064x}")))
        };
        let temps: Vec<_> = (0..TEMPS + 3).map(temp).collect();
        for temp in &temps {
            fs::write(temp, "").expect("written");
        }
        cache.sweep(at(0));
        cache.sweep(at(601));
        cache.sweep(at(601));
        let said = lines.borrow().join("\n");
        let one = |n: usize| format!("cache: {n} expired files removed");
        // Too many temporary files; then what has expired, and by then the other ones are too old.
        assert_eq!(said, [one(3), one(2 + TEMPS)].join("\n"));
        assert!(temps.iter().all(|temp| !temp.exists()));
    }

    #[test]
    fn valid_entry_survives_whatever_its_mtime() {
        let (_dir, cache) = cache();
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
        let path = file_of(&cache, &key, "json");
        age(&path, at(-60));
        cache.sweep(at(0));
        assert!(cache.get(HOST, &key, None, at(0)).is_some());
        age(&path, at(-24 * 3600 - 1));
        cache.sweep(at(0));
        assert!(!path.exists(), "untouched for more than a day");
    }

    #[test]
    fn another_versions_entry_stays_for_a_day() {
        let (_dir, cache) = cache();
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
        let path = file_of(&cache, &key, "json");
        fs::write(&path, r#"{"version":2}"#).expect("written");
        age(&path, at(-3600));
        cache.sweep(at(0));
        assert!(path.exists());
    }

    #[test]
    fn sweep_takes_leftovers_and_no_foreign_file() {
        let (_dir, cache) = cache();
        let key = CacheKey::for_test(1);
        cache
            .put(
                HOST,
                &key,
                &token("pw", 0, 72_000_000),
                Provenance::default(),
                at(0),
            )
            .expect("put");
        let entry = file_of(&cache, &key, "json");
        let dir = entry.parent().expect("a parent");
        let stem = key.as_str();
        let ours = [
            format!("{stem}.lock"),
            format!("{stem}.failure"),
            format!(".{stem}.1.2.tmp"),
            ".login.77.0.tmp".to_owned(),
        ];
        let others = ["README", "x.json", "login.txt", ".x.1.2.tmp", "x.lock"];
        for file in ours.iter().map(String::as_str).chain(others) {
            fs::write(dir.join(file), "").expect("written");
            #[cfg(unix)]
            fs::set_permissions(
                dir.join(file),
                std::os::unix::fs::PermissionsExt::from_mode(0o600),
            )
            .expect("set");
        }
        let written = Utc::now();
        cache.sweep(written);
        for file in &ours {
            assert!(dir.join(file).exists(), "{file} is still young");
        }
        cache.sweep(written + chrono::TimeDelta::hours(25));
        for file in &ours {
            assert!(!dir.join(file).exists(), "{file}");
        }
        for file in others {
            assert!(dir.join(file).exists(), "{file}");
        }
    }

    #[test]
    fn temporary_files_are_bounded_at_any_time() {
        let (_dir, cache) = cache();
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
        let entry = file_of(&cache, &key, "json");
        for number in 0..100 {
            let file = format!(".{}.7.{number}.tmp", key.as_str());
            fs::write(entry.with_file_name(file), "").expect("written");
        }
        cache.sweep(Utc::now());
        let left = fs::read_dir(entry.parent().expect("a parent")).expect("read");
        assert_eq!(left.count(), TEMPS + 1);
    }

    #[test]
    fn a_good_entry_that_comes_in_the_way_is_put_back() {
        let (_dir, cache) = cache();
        let key = CacheKey::for_test(1);
        cache
            .put(
                HOST,
                &key,
                &token("pw", 0, 600),
                Provenance::default(),
                at(0),
            )
            .expect("put");
        let path = file_of(&cache, &key, "json");
        assert!(!cache.remove_expired(&path, at(599)));
        assert!(path.exists());
        assert!(cache.remove_expired(&path, at(600)));
        assert!(!path.exists());
        assert!(!cache.remove_expired(&path, at(600)));
    }

    #[test]
    fn sweep_never_loses_a_renewed_entry() {
        let (_dir, cache) = cache();
        let base = cache.base.clone();
        let key = CacheKey::for_test(1);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let sweeper = Cache::open(base.clone(), crate::log::Log::off());
                for _ in 0..300 {
                    sweeper.sweep(at(1000));
                }
            });
            for _ in 0..100 {
                let old = token("old", 0, 600);
                cache.store(HOST, &key, &old).expect("put");
                let new = token("new", 0, 7200);
                cache.store(HOST, &key, &new).expect("put");
            }
        });
        let left = cache.get(HOST, &key, None, at(0)).expect("the last one");
        assert_eq!(left.login.password.expose(), "new");
    }

    #[test]
    fn ten_thousand_entries_are_swept_quickly() {
        let (_dir, cache) = cache();
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
        let entry = file_of(&cache, &key, "json");
        for number in 0..10_000 {
            let file = format!("{}.json", CacheKey::for_test(number).as_str());
            let path = entry.with_file_name(file);
            fs::write(&path, "").expect("written");
            age(&path, at(7200));
        }
        let started = std::time::Instant::now();
        cache.sweep(at(0));
        let took = started.elapsed();
        // Files take longer under Wine.
        let limit = if cfg!(windows) { 20 } else { 2 };
        assert!(took < Duration::from_secs(limit), "{took:?}");
    }
}
