//! TCP connections: name look-up, then Happy Eyeballs (RFC 8305).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::failure::Failure;

/// How long one address may be silent before the next one is tried as well.
const NEXT_ADDRESS: Duration = Duration::from_millis(250);

/// Connects to the first address that accepts. Each gets a quarter of a second before the next
/// one is tried as well.
pub(super) async fn dial(host: &str, addresses: Vec<SocketAddr>) -> Result<TcpStream, Failure> {
    let at = |address: SocketAddr| match host.parse::<IpAddr>() {
        Ok(_) => address.to_string(),
        Err(_) => format!("{host} ({address})"),
    };
    if let [address] = addresses[..] {
        let stream = TcpStream::connect(address).await;
        return stream.map_err(|error| Failure::not_connected(at(address), &error));
    }
    let mut waiting = addresses.into_iter();
    let mut attempts = JoinSet::new();
    let mut failure = Failure::Dns {
        host: host.to_owned(),
        temporary: false,
    };
    loop {
        let more = waiting.next().map(|address| {
            attempts.spawn(async move { (address, TcpStream::connect(address).await) });
        });
        let next = match more {
            Some(()) => tokio::time::timeout(NEXT_ADDRESS, attempts.join_next()).await,
            None => Ok(attempts.join_next().await),
        };
        match next {
            Ok(Some(Ok((_, Ok(stream))))) => return Ok(stream),
            Ok(Some(Ok((address, Err(error))))) => {
                failure = Failure::not_connected(at(address), &error);
            }
            Ok(Some(Err(_))) | Err(_) => {}
            Ok(None) => return Err(failure),
        }
    }
}

/// The addresses of a host, the two families interleaved.
pub(super) async fn addresses(host: &str, port: u16) -> Result<Vec<SocketAddr>, Failure> {
    let found = tokio::net::lookup_host((host, port)).await;
    // tokio drops the resolver's code; glibc and musl use these words.
    let temporary = found.as_ref().is_err_and(|error| {
        let text = error.to_string().to_lowercase();
        text.contains("temporary") || text.contains("try again")
    });
    let found: Vec<_> = found.map(Iterator::collect).unwrap_or_default();
    if found.is_empty() {
        let host = host.to_owned();
        return Err(Failure::Dns { host, temporary });
    }
    Ok(interleaved(found))
}

fn interleaved(found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v4 = found.first().is_some_and(SocketAddr::is_ipv4);
    let (mut first, mut second): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|a| a.is_ipv4() == first_is_v4);
    first.reverse();
    second.reverse();
    let mut turns = Vec::with_capacity(first.len() + second.len());
    while !first.is_empty() || !second.is_empty() {
        turns.extend(first.pop());
        turns.extend(second.pop());
    }
    turns
}
