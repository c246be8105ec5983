//! Standard input under a deadline.
//!
//! A client may leave standard input open, so a read must not wait for ever. A regular file never
//! blocks, and its end is known from its size; the end of a pipe is known when its last writer has
//! closed it. Both save a system call of each `get`.

use std::io::{self, Read};
use std::time::{Duration, Instant};

/// Standard input of this process.
#[derive(Debug)]
pub(crate) struct Stdin<F> {
    timeout: F,
    state: StdinState,
}

impl<F: Fn() -> Duration> Stdin<F> {
    /// Standard input that is waited for as long as `timeout` returns, which is called only if
    /// there is something to wait for.
    pub(crate) fn new(timeout: F) -> Self {
        Self {
            timeout,
            state: StdinState::Unknown,
        }
    }

    fn deadline(&self) -> Instant {
        Instant::now() + (self.timeout)()
    }
}

fn timed_out() -> io::Error {
    io::ErrorKind::TimedOut.into()
}

#[cfg(unix)]
#[derive(Debug)]
enum StdinState {
    Unknown,
    /// A regular file, with the bytes that are left of it: more if it is not at its start.
    File(u64),
    Stream {
        is_pipe: bool,
        deadline: Instant,
    },
    Ended,
}

#[cfg(unix)]
impl<F: Fn() -> Duration> Read for Stdin<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        use rustix::event::{PollFd, PollFlags, poll};
        use rustix::io::retry_on_intr;
        use rustix::stdio::stdin;

        if let StdinState::Unknown = self.state {
            self.state = self.identify()?;
        }
        loop {
            let mut has_hung_up = false;
            if let StdinState::Stream { deadline, is_pipe } = self.state {
                let left = deadline.saturating_duration_since(Instant::now());
                let left = left.try_into().map_err(io::Error::other)?;
                let stdin = stdin();
                let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
                if retry_on_intr(|| poll(&mut fds, Some(&left)))? == 0 {
                    return Err(timed_out());
                }
                has_hung_up = is_pipe && fds[0].revents().contains(PollFlags::HUP);
            }
            if let StdinState::Ended = self.state {
                return Ok(0);
            }
            let length = match retry_on_intr(|| rustix::io::read(stdin(), &mut *buffer)) {
                Ok(length) => length,
                // Another process made it non-blocking, and read what there was.
                Err(rustix::io::Errno::AGAIN)
                    if matches!(self.state, StdinState::Stream { .. }) =>
                {
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            // A pipe returns less than it was asked for only if it is empty.
            if length == 0 || has_hung_up && length < buffer.len() {
                self.state = StdinState::Ended;
            }
            if let StdinState::File(left) = &mut self.state {
                *left = left.saturating_sub(length as u64);
                if *left == 0 {
                    self.state = StdinState::Ended;
                }
            }
            return Ok(length);
        }
    }
}

#[cfg(unix)]
impl<F: Fn() -> Duration> Stdin<F> {
    fn identify(&self) -> io::Result<StdinState> {
        use rustix::fs::{FileType, fstat};

        let stat = fstat(rustix::stdio::stdin())?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        Ok(match (kind, u64::try_from(stat.st_size)) {
            (FileType::RegularFile, Ok(size @ 1..)) => StdinState::File(size),
            // Such as those of /proc, whose size is not known: the end is where a read says so.
            (FileType::RegularFile, _) => StdinState::File(u64::MAX),
            _ => StdinState::Stream {
                is_pipe: kind == FileType::Fifo,
                deadline: self.deadline(),
            },
        })
    }
}

#[cfg(not(unix))]
#[derive(Debug)]
enum StdinState {
    Unknown,
    Reading {
        chunks: std::sync::mpsc::Receiver<io::Result<crate::secret::SecretBytes>>,
        /// The rest of the last chunk.
        rest: std::io::Cursor<crate::secret::SecretBytes>,
        deadline: Instant,
    },
}

/// There is no way to wait for any kind of handle with a timeout, so a thread reads.
#[cfg(not(unix))]
impl<F: Fn() -> Duration> Read for Stdin<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let StdinState::Unknown = self.state {
            let (sender, chunks) = std::sync::mpsc::sync_channel(0);
            std::thread::spawn(move || {
                loop {
                    let mut chunk = crate::secret::SecretBytes::with_capacity(CHUNK);
                    chunk.resize(CHUNK, 0);
                    let read = io::stdin().read(&mut chunk).map(|length| {
                        chunk.truncate(length);
                        chunk
                    });
                    if sender.send(read).is_err() {
                        break;
                    }
                }
            });
            self.state = StdinState::Reading {
                chunks,
                rest: std::io::Cursor::default(),
                deadline: self.deadline(),
            };
        }
        let StdinState::Reading {
            chunks,
            rest,
            deadline,
        } = &mut self.state
        else {
            return Ok(0);
        };
        if rest.position() >= rest.get_ref().len() as u64 {
            let left = deadline.saturating_duration_since(Instant::now());
            *rest = std::io::Cursor::new(chunks.recv_timeout(left).map_err(|_| timed_out())??);
        }
        let start = usize::try_from(rest.position()).unwrap_or(usize::MAX);
        let available = rest.get_ref().get(start..).unwrap_or_default();
        let length = available.len().min(buffer.len());
        buffer[..length].copy_from_slice(&available[..length]);
        rest.set_position((start + length) as u64);
        Ok(length)
    }
}

#[cfg(not(unix))]
const CHUNK: usize = 8 << 10;
