//! CONNECT through a proxy, and what a proxy's refusals mean.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use zeroize::Zeroizing;

use super::Stream;
use super::failure::{Failure, io_words};
use super::origin::{Origin, host_and_port};
use crate::proxy::Proxy;

/// No response of a proxy to CONNECT is larger.
const MAX_CONNECT_RESPONSE: usize = 16 << 10;

/// The proxy as messages name it.
pub(super) fn shown(proxy: &Proxy) -> String {
    host_and_port(&proxy.host, proxy.port)
}

/// A failure of the proxy itself.
pub(super) fn proxy_failure(proxy: &Proxy, what: String, upstream: bool) -> Failure {
    Failure::Proxy {
        proxy: shown(proxy),
        variable: proxy.variable,
        what,
        upstream,
    }
}

/// The proxy's own refusal.
pub(super) fn refused_by(proxy: &Proxy, endpoint: &Origin, status: u16) -> Failure {
    let host = &endpoint.host;
    let what = match (status, &proxy.authorization) {
        (407, None) => "requires a user name and password".to_owned(),
        // Some return 401 where the password is wrong.
        (401 | 407, Some(_)) => "rejects the user name and password in its URL".to_owned(),
        (500.., _) => format!("cannot reach {host}: it returned HTTP {status}"),
        _ => format!("refuses the connection to {host} with HTTP {status}"),
    };
    proxy_failure(proxy, what, status >= 500)
}

/// Makes the proxy connect to the endpoint.
pub(super) async fn tunnel(
    stream: &mut Box<dyn Stream>,
    endpoint: &Origin,
    proxy: &Proxy,
) -> Result<(), Failure> {
    let failure = |what: &str| proxy_failure(proxy, what.to_owned(), false);
    let broke = |error: io::Error| {
        let what = format!("broke the connection: {}", io_words(&error));
        proxy_failure(proxy, what, false)
    };
    let mut request = Zeroizing::new(format!(
        "CONNECT {endpoint} HTTP/1.1\r\nHost: {endpoint}\r\n"
    ));
    if let Some(authorization) = &proxy.authorization {
        request.push_str("Proxy-Authorization: ");
        request.push_str(authorization.expose());
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).await.map_err(broke)?;
    stream.flush().await.map_err(broke)?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        // One byte at a time: what follows the head belongs to the endpoint.
        match stream.read_u8().await {
            Ok(byte) if head.len() < MAX_CONNECT_RESPONSE => head.push(byte),
            Ok(_) => return Err(failure("sends too long a response")),
            Err(_) => return Err(failure("closed the connection")),
        }
    }
    let status = std::str::from_utf8(&head)
        .ok()
        .filter(|head| head.starts_with("HTTP/1."))
        .and_then(|head| head.split(' ').nth(1))
        .and_then(|status| status.get(..3)?.parse::<u16>().ok());
    match status {
        Some(200..=299) => Ok(()),
        Some(status) => Err(refused_by(proxy, endpoint, status)),
        None => Err(failure("does not respond in HTTP")),
    }
}
