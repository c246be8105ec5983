//! Connections: name look-up, TCP, proxy, TLS, and connections opened early.

use std::future::Future;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio_rustls::TlsConnector;

use super::client::{Client, Sender, Shared, lock};
use super::dial::dial;
use super::exchange::broken;
use super::failure::{Failure, RequestOutcome};
use super::origin::Origin;
use super::resolve::Lookup;
use super::tls::handshake;
use super::tunnel::{proxy_failure, shown, tunnel};
use super::{Stream, tls};
use crate::proxy::Proxy;

/// Where it is noted what is being done, for the timeout that may come.
pub(super) enum Progress<'a> {
    /// In the outcome of the request.
    Request(&'a Shared),
    /// Apart: the connection is opened while another request is under way.
    Early(Mutex<String>),
}

impl Progress<'_> {
    pub(super) fn note(&self, doing: String) {
        match self {
            Self::Request(shared) => shared.doing(doing),
            Self::Early(text) => *lock(text) = doing,
        }
    }

    fn current(&self) -> String {
        match self {
            Self::Request(shared) => match &lock(&shared.state).outcome {
                Some(RequestOutcome::Pending { doing }) => doing.clone(),
                _ => "connecting".to_owned(),
            },
            Self::Early(text) => lock(text).clone(),
        }
    }
}

/// `future`, but not longer than `limit`.
pub(super) async fn within<T>(
    limit: Option<Duration>,
    progress: &Progress<'_>,
    connected: bool,
    future: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let Some(limit) = limit else {
        return future.await;
    };
    match tokio::time::timeout(limit, future).await {
        Ok(result) => result,
        Err(_) => Err(Failure::TimedOut {
            connected,
            doing: progress.current(),
        }),
    }
}

impl Client {
    /// Opens connections that later requests will need, while something else is waited for. A
    /// connection that fails is the failure of the request that needs it; without such a request
    /// it is dropped.
    pub(in crate::ecr) fn connect_early<'a>(
        &self,
        urls: impl IntoIterator<Item = &'a str>,
        limit: Duration,
    ) {
        let shared = &self.shared;
        for url in urls {
            let Ok(endpoint) = url
                .parse()
                .map_err(|_| Failure::Url)
                .and_then(|uri| Origin::of(&uri))
            else {
                continue;
            };
            let Ok(proxy) = shared.proxy_for(&endpoint) else {
                continue;
            };
            if lock(&shared.idle).contains_key(&endpoint)
                || lock(&shared.early).contains_key(&endpoint)
            {
                continue;
            }
            shared.log(|| format!("connecting to {endpoint} early"));
            let (task, origin) = (Arc::clone(shared), endpoint.clone());
            let opened = tokio::spawn(async move {
                let progress = Progress::Early(Mutex::default());
                task.open(&origin, proxy.as_ref(), None, Some(limit), &progress)
                    .await
            });
            lock(&shared.early).insert(endpoint, opened);
        }
    }
}

impl Shared {
    /// A connection that is open, or being opened, already.
    pub(super) async fn opened(&self, endpoint: &Origin) -> Result<Option<Sender>, Failure> {
        let idle = lock(&self.idle).remove(endpoint);
        if let Some(sender) = still_open(idle).await {
            return Ok(Some(sender));
        }
        let early = lock(&self.early).remove(endpoint);
        let Some(early) = early else {
            return Ok(None);
        };
        self.doing(format!("connecting to {endpoint}"));
        match early.await {
            Ok(Ok(sender)) => Ok(still_open(Some(sender)).await),
            // The credential source may have brought up the network that knows the name.
            Ok(Err(Failure::Dns { .. })) => Ok(None),
            Ok(Err(failure)) => Err(failure),
            // The task has panicked or was cancelled.
            Err(_) => Ok(None),
        }
    }

    fn connector(&self) -> Result<TlsConnector, Failure> {
        let load = || {
            let start = Instant::now();
            let certificates = self.trust.load().map_err(Failure::TrustStore)?;
            self.log(|| {
                let places = self.trust.describe();
                let shown = certificates.shown(" CA certificates", &places);
                format!("read {shown} in {:?}", start.elapsed())
            });
            tls::connector(certificates)
        };
        self.tls.get_or_init(load).clone()
    }

    /// A connection. The look-up of the name, which knows its own timeouts, is not part of the
    /// time for connecting.
    pub(super) async fn open(
        &self,
        endpoint: &Origin,
        proxy: Option<&Proxy>,
        known: Option<&[IpAddr]>,
        limit: Option<Duration>,
        progress: &Progress<'_>,
    ) -> Result<Sender, Failure> {
        // CA certificates that cannot be loaded are reported before a connection is made.
        let tls = if endpoint.https || proxy.is_some_and(|proxy| proxy.tls) {
            Some(self.connector()?)
        } else {
            None
        };
        let host = proxy.map_or(endpoint.host.as_str(), |proxy| proxy.host.as_str());
        let by_proxy = |failure| match proxy {
            None => failure,
            Some(proxy) => {
                let what = format!("cannot be reached: {failure}");
                proxy_failure(proxy, what, false)
            }
        };
        let (first, lookup) = match (host.parse(), known) {
            (Ok(address), _) => (vec![address], None),
            (Err(_), Some(known)) => (known.to_vec(), None),
            (Err(_), None) => {
                progress.note(format!("looking up the name {host}"));
                let mut lookup = self.resolver.look_up(host);
                (lookup.first().await.map_err(by_proxy)?, Some(lookup))
            }
        };
        let connected = async {
            let stream = connect(endpoint, proxy, first, lookup, progress);
            let stream = stream.await.map_err(by_proxy)?;
            secure(endpoint, proxy, tls.as_ref(), stream, progress).await
        };
        let stream = within(limit, progress, false, connected).await?;
        let (sender, connection) = http1::Builder::new()
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| broken(endpoint, &error))?;
        // It ends with the sender or the stream; the request reports how.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(sender)
    }
}

/// The connection, unless the server has closed it. That is only noticed while the runtime runs,
/// which may have stood still since: in the wait for a lock, say.
async fn still_open(sender: Option<Sender>) -> Option<Sender> {
    let sender = sender?;
    // The first lets the runtime look for events, the second the connection handle them.
    for _ in 0..2 {
        tokio::task::yield_now().await;
    }
    Some(sender).filter(|sender| !sender.is_closed())
}

/// TCP, to the endpoint or the proxy.
async fn connect(
    endpoint: &Origin,
    proxy: Option<&Proxy>,
    first: Vec<IpAddr>,
    lookup: Option<Lookup>,
    progress: &Progress<'_>,
) -> Result<Box<dyn Stream>, Failure> {
    let (host, port) = match proxy {
        Some(proxy) => {
            progress.note(format!("connecting to the proxy {}", shown(proxy)));
            (&proxy.host, proxy.port)
        }
        None => {
            progress.note(format!("connecting to {endpoint}"));
            (&endpoint.host, endpoint.port)
        }
    };
    let stream = dial(host, port, first, lookup).await?;
    // Without it a small request may wait for an acknowledgement.
    let _ = stream.set_nodelay(true);
    Ok(Box::new(stream))
}

/// TLS to the proxy, the tunnel, TLS to the endpoint: whatever of them is needed.
async fn secure(
    endpoint: &Origin,
    proxy: Option<&Proxy>,
    tls: Option<&TlsConnector>,
    mut stream: Box<dyn Stream>,
    progress: &Progress<'_>,
) -> Result<Box<dyn Stream>, Failure> {
    if let Some(proxy) = proxy {
        let at = shown(proxy);
        if let (true, Some(tls)) = (proxy.tls, tls) {
            progress.note(format!("in the TLS handshake with the proxy {at}"));
            stream = Box::new(handshake(tls, &proxy.host, stream).await?);
        }
        if endpoint.https {
            progress.note(format!("waiting for the proxy {at}"));
            tunnel(&mut stream, endpoint, proxy).await?;
        }
    }
    if let (true, Some(tls)) = (endpoint.https, tls) {
        progress.note(format!("in the TLS handshake with {}", endpoint.host));
        stream = Box::new(handshake(tls, &endpoint.host, stream).await?);
    }
    Ok(stream)
}
