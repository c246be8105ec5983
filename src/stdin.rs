//! Standard input under a deadline.
//!
//! A client may leave standard input open, so a read must not wait for ever. Where all writers have
//! closed it, the end is known without another read.

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
    Reading { deadline: Instant },
    Ended,
}

#[cfg(unix)]
impl<F: Fn() -> Duration> Read for Stdin<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        use rustix::event::{PollFd, PollFlags, poll};
        use rustix::io::retry_on_intr;
        use rustix::stdio::stdin;

        let deadline = match self.state {
            StdinState::Unknown => self.deadline(),
            StdinState::Reading { deadline } => deadline,
            StdinState::Ended => return Ok(0),
        };
        self.state = StdinState::Reading { deadline };
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let left = left.try_into().map_err(io::Error::other)?;
            let stdin = stdin();
            let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
            if retry_on_intr(|| poll(&mut fds, Some(&left)))? == 0 {
                return Err(timed_out());
            }
            let has_hung_up = fds[0].revents().contains(PollFlags::HUP);
            let length = match retry_on_intr(|| rustix::io::read(stdin, &mut *buffer)) {
                Ok(length) => length,
                // Another process made it non-blocking, and read what there was.
                Err(rustix::io::Errno::AGAIN) => continue,
                Err(error) => return Err(error.into()),
            };
            // With no writer left, a short read is the end.
            if length == 0 || has_hung_up && length < buffer.len() {
                self.state = StdinState::Ended;
            }
            return Ok(length);
        }
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
