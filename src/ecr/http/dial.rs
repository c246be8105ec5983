//! TCP connections: Happy Eyeballs (RFC 8305) over addresses that come in one by one.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::failure::Failure;
use super::resolve::Lookup;

/// How long one address may be silent before the next one is tried as well. A lost SYN is sent
/// again by the kernel only after a second.
const NEXT_ADDRESS: Duration = Duration::from_millis(250);

/// Connects to the first address that accepts. Each gets a quarter of a second before the next one
/// is tried as well; after the last one, the first is tried once more.
pub(super) async fn dial(
    host: &str,
    port: u16,
    first: Vec<IpAddr>,
    mut lookup: Option<Lookup>,
) -> Result<TcpStream, Failure> {
    let at = |address: SocketAddr| match host.parse::<IpAddr>() {
        Ok(_) => address.to_string(),
        Err(_) => format!("{host} ({address})"),
    };
    let mut again = first.first().copied();
    let mut waiting = interleaved(first);
    let mut attempts = JoinSet::new();
    let mut next = Instant::now();
    let mut failure = Failure::Dns {
        host: host.to_owned(),
        temporary: false,
    };
    loop {
        if attempts.is_empty() || Instant::now() >= next {
            // One that has failed is not tried again here: that is for the next attempt.
            let again = if attempts.is_empty() {
                None
            } else {
                again.take()
            };
            if let Some(address) = waiting.pop_front().or(again) {
                let address = SocketAddr::new(address, port);
                attempts.spawn(async move { (address, TcpStream::connect(address).await) });
                next = Instant::now() + NEXT_ADDRESS;
            }
        }
        let more = !waiting.is_empty() || again.is_some();
        tokio::select! {
            biased;
            Some(done) = attempts.join_next() => match done {
                Ok((_, Ok(stream))) => return Ok(stream),
                Ok((address, Err(error))) => {
                    failure = Failure::not_connected(at(address), &error);
                    again = again.filter(|again| *again != address.ip());
                    next = Instant::now();
                }
                Err(_) => {}
            },
            found = async { lookup.as_mut()?.more().await }, if lookup.is_some() => match found {
                Some(found) => {
                    waiting.extend(found);
                    waiting = interleaved(waiting);
                }
                None => lookup = None,
            },
            () = sleep_until(next), if more && !attempts.is_empty() => {}
            else => return Err(failure),
        }
    }
}

/// The two families in turns, beginning with that of the first address.
fn interleaved(found: impl IntoIterator<Item = IpAddr>) -> VecDeque<IpAddr> {
    let mut found = found.into_iter().peekable();
    let first_is_v4 = found.peek().is_some_and(IpAddr::is_ipv4);
    let (mut first, mut second): (VecDeque<_>, VecDeque<_>) =
        found.partition(|address| address.is_ipv4() == first_is_v4);
    let mut turns = VecDeque::with_capacity(first.len() + second.len());
    while !first.is_empty() || !second.is_empty() {
        turns.extend(first.pop_front());
        turns.extend(second.pop_front());
    }
    turns
}
