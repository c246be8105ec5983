//! Reading small files that other programs write, and taking advisory locks.
//!
//! The paths come from variables and config files, so they may name anything: a pipe without a
//! writer, a device without an end, a file of another user. Every read here is bounded in size
//! and in time. `open` avoids the extra system calls of musl's own, which count on the path of
//! every cached answer.

#[cfg(any(windows, test))]
pub(crate) mod acl;

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;
use std::time::Duration;

/// How long a pipe may stay silent.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Between two reads of a pipe that has nothing to read.
const PAUSE: Duration = Duration::from_millis(5);

/// Whether a symbolic link as the last component is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Links {
    Follow,
    Refuse,
}

/// Opens a file to read it. Never blocks on a FIFO.
#[cfg(unix)]
pub(crate) fn open(path: &Path, links: Links) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags};
    let mut flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    if links == Links::Refuse {
        flags |= OFlags::NOFOLLOW;
    }
    // musl's own follows each `open` with an `fcntl`.
    let open = || rustix::fs::open(path, flags, Mode::empty());
    Ok(rustix::io::retry_on_intr(open)?.into())
}

/// Opens a link itself, which is not a file then: FILE_FLAG_OPEN_REPARSE_POINT.
#[cfg(windows)]
pub(crate) const NO_LINKS: u32 = 0x0020_0000;

/// Opens a file to read it.
#[cfg(windows)]
pub(crate) fn open(path: &Path, links: Links) -> io::Result<File> {
    use std::os::windows::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    if links == Links::Refuse {
        options.custom_flags(NO_LINKS);
    }
    options.read(true).open(path)
}

/// Puts a file in place of another one.
#[cfg(not(windows))]
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::rename(from, to)
}

/// Puts a file in place of another one.
#[cfg(windows)]
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    retry_in_use(to, || std::fs::rename(from, to))
}

/// Retries for 100 ms while the file is open in another program, such as a virus scanner, or is
/// being removed. Directories are not retried.
#[cfg(windows)]
pub(crate) fn retry_in_use<T>(
    path: &Path,
    mut call: impl FnMut() -> io::Result<T>,
) -> io::Result<T> {
    const ACCESS_DENIED: i32 = 5;
    const SHARING_VIOLATION: i32 = 32;
    for _ in 0..10 {
        match call() {
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(ACCESS_DENIED | SHARING_VIOLATION)
                ) && !path.is_dir() =>
            {
                std::thread::sleep(Duration::from_millis(10));
            }
            done => return done,
        }
    }
    call()
}

/// Reads a file of at most `limit` bytes, without a `stat` first.
pub(crate) fn read_bounded(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    read_open(open(path, Links::Follow)?, limit)
}

/// The same of a file that [`open`] has opened.
pub(crate) fn read_open(mut file: File, limit: usize) -> io::Result<Vec<u8>> {
    // Few files are longer, and untouched pages of a zeroed allocation cost nothing.
    let mut bytes = vec![0; (16 << 10).min(limit + 1)];
    let mut len = 0;
    let mut waited = Duration::ZERO;
    // A short `pread` of a regular file is its end (POSIX); pipes fail with ESPIPE. Files of /proc may
    // return short reads earlier.
    let mut has_offsets = cfg!(unix);
    loop {
        let space = &mut bytes[len..];
        let length = space.len();
        let read = match has_offsets {
            true => read_at(&file, space, len as u64),
            false => file.read(space),
        };
        let is_end = match read {
            Ok(0) => break,
            Ok(n) => {
                len += n;
                has_offsets && n < length
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            Err(e) if e.kind() == ErrorKind::NotSeekable && has_offsets => {
                has_offsets = false;
                continue;
            }
            // A pipe, such as a shell's <(…): its writer may take a while, but not for ever.
            Err(e) if e.kind() == ErrorKind::WouldBlock && waited < LONGEST_WAIT => {
                std::thread::sleep(PAUSE);
                waited += PAUSE;
                continue;
            }
            Err(e) => return Err(e),
        };
        if len > limit {
            return Err(io::Error::new(ErrorKind::FileTooLarge, "it is too large"));
        }
        if is_end {
            break;
        }
        if len == bytes.len() {
            bytes.resize((len * 4).min(limit + 1), 0);
        }
    }
    bytes.truncate(len);
    leave(file);
    Ok(bytes)
}

/// Fails with [`ErrorKind::NotSeekable`] for a pipe.
#[cfg(unix)]
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, offset)
}

#[cfg(not(unix))]
fn read_at(mut file: &File, buffer: &mut [u8], _: u64) -> io::Result<usize> {
    file.read(buffer)
}

/// Closes a file that has been read, unless it is one of the first few: the system closes those
/// when the process ends, which for a cached `get` is at once, and each call counts there.
pub(crate) fn leave(file: File) {
    #[cfg(unix)]
    {
        use std::os::fd::IntoRawFd;
        use std::sync::atomic::{AtomicU32, Ordering};

        const MOST: u32 = 8;
        static LEFT: AtomicU32 = AtomicU32::new(0);
        if LEFT.fetch_add(1, Ordering::Relaxed) < MOST {
            let _ = file.into_raw_fd();
        }
    }
    #[cfg(not(unix))]
    drop(file);
}

/// Takes an exclusive advisory lock; false if another process holds it.
pub(crate) fn try_lock_exclusive(file: &File) -> io::Result<bool> {
    loop {
        match fs2::FileExt::try_lock_exclusive(file) {
            Ok(()) => return Ok(true),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == fs2::lock_contended_error().kind() => return Ok(false),
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A copy that a larger buffer replaces is not zeroed, so secrets are in files below this size.
    #[test]
    fn files_below_16_kib_are_read_without_a_copy() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        for (size, is_copied) in [(0, false), (16_383, false), (16_384, true), (40_000, true)] {
            std::fs::write(file.path(), vec![b'x'; size]).expect("written");
            let bytes = read_bounded(file.path(), 1 << 20).expect("readable");
            assert_eq!(bytes.len(), size);
            assert_eq!(bytes.capacity() > 16 << 10, is_copied, "{size}");
        }
    }

    #[cfg(windows)]
    #[test]
    fn a_file_that_is_open_is_replaced_when_it_is_closed() {
        use std::os::windows::fs::OpenOptionsExt;
        let dir = tempfile::tempdir().expect("a directory");
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        std::fs::write(&to, "old").expect("written");
        std::fs::write(&from, "new").expect("written");
        let read = || std::fs::read_to_string(&to).expect("readable");
        let open = || {
            let mut options = std::fs::OpenOptions::new();
            options.read(true).share_mode(1).open(&to).expect("there")
        };
        let held = open();
        let began = std::time::Instant::now();
        rename(&from, &to).expect_err("it is in use");
        assert!(began.elapsed() < Duration::from_secs(2));
        assert_eq!(read(), "old");
        drop(held);
        let held = open();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(30));
            drop(held);
        });
        rename(&from, &to).expect("in use only for a moment");
        assert_eq!(read(), "new");
    }
}
