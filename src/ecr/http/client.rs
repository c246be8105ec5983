//! The connector that the SDK calls: proxies, connections, one request and its response.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use chrono::{DateTime, Utc};
use http::header::{DATE, HeaderValue};
use http::{Request, response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio_rustls::TlsConnector;

use super::dial::dial;
use super::failure::{Failure, RequestOutcome, io_words};
use super::origin::Origin;
use super::resolve::{Lookup, Resolver};
use super::tls::handshake;
use super::tunnel::{proxy_failure, refused_by, shown, tunnel};
use super::{MAX_BODY, Stream, tls};
use crate::ecr::trust::TrustStore;
use crate::proxy::{Proxies, Proxy};

type Sender = SendRequest<Full<Bytes>>;

/// What a source needs otherwise than the default.
#[derive(Debug, Clone, Default)]
pub(in crate::ecr) struct ClientOptions {
    /// Never through a proxy, whatever the host.
    pub(in crate::ecr) direct: bool,
    /// The addresses to connect to without a look-up: they have been checked.
    pub(in crate::ecr) addresses: Option<Vec<IpAddr>>,
}

#[derive(Debug, Default)]
struct State {
    requests: u32,
    outcome: Option<RequestOutcome>,
    events: Vec<String>,
}

/// What one plan's requests share: proxies, CA certificates, connections, the last outcome.
#[derive(Clone)]
pub(in crate::ecr) struct Client {
    shared: Arc<Shared>,
    options: Arc<ClientOptions>,
}

struct Shared {
    proxies: Proxies,
    resolver: Resolver,
    trust: TrustStore,
    verbose: bool,
    tls: OnceLock<Result<TlsConnector, Failure>>,
    idle: Mutex<HashMap<Origin, Sender>>,
    state: Mutex<State>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Client {
    pub(in crate::ecr) fn new(
        proxies: Proxies,
        resolver: Resolver,
        trust: TrustStore,
        verbose: bool,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                proxies,
                resolver,
                trust,
                verbose,
                tls: OnceLock::new(),
                idle: Mutex::default(),
                state: Mutex::default(),
            }),
            options: Arc::default(),
        }
    }

    /// The same client, its connections included, with other options.
    pub(in crate::ecr) fn with(&self, options: ClientOptions) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            options: Arc::new(options),
        }
    }

    /// All addresses of a host, for a caller that checks them before it connects.
    pub(in crate::ecr) async fn look_up(&self, host: &str) -> Result<Vec<IpAddr>, Failure> {
        self.shared.doing(format!("looking up the name {host}"));
        let mut lookup = self.shared.resolver.look_up(host);
        let mut addresses = lookup.first().await?;
        while let Some(more) = lookup.more().await {
            addresses.extend(more);
        }
        Ok(addresses)
    }

    /// One request, within these times for connecting and for the response.
    pub(in crate::ecr) async fn send(
        &self,
        request: HttpRequest,
        connect: Option<Duration>,
        read: Option<Duration>,
    ) -> Result<HttpResponse, Failure> {
        let shared = &self.shared;
        let response = shared.exchange(request, connect, read, &self.options).await;
        response.inspect_err(|failure| {
            shared.log(|| failure.to_string());
            lock(&shared.state).outcome = Some(RequestOutcome::Failed(failure.clone()));
        })
    }

    /// Forgets how earlier requests ended.
    pub(in crate::ecr) fn begin_step(&self) {
        lock(&self.shared.state).outcome = None;
    }

    /// Notes what is being done instead of a request.
    pub(in crate::ecr) fn note_waiting(&self, doing: String) {
        self.shared.doing(doing);
    }

    /// How the last request since [`Client::begin_step`] ended.
    pub(in crate::ecr) fn outcome(&self) -> Option<RequestOutcome> {
        lock(&self.shared.state).outcome.clone()
    }

    /// What there is to log since the last call.
    pub(in crate::ecr) fn take_events(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.shared.state).events)
    }
}

impl HttpClient for Client {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Connector {
            client: self.clone(),
            connect: settings.connect_timeout(),
            read: settings.read_timeout(),
        })
    }
}

#[derive(Debug)]
struct Connector {
    client: Client,
    connect: Option<Duration>,
    read: Option<Duration>,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = self.client.clone();
        let (connect, read) = (self.connect, self.read);
        HttpConnectorFuture::new(async move {
            let response = client.send(request, connect, read).await;
            response.map_err(Failure::into_connector_error)
        })
    }
}

/// `future`, but not longer than `limit`.
async fn within<T>(
    limit: Option<Duration>,
    shared: &Shared,
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
            doing: match &lock(&shared.state).outcome {
                Some(RequestOutcome::Pending { doing }) => doing.clone(),
                _ => "connecting".to_owned(),
            },
        }),
    }
}

impl Shared {
    fn log(&self, event: impl FnOnce() -> String) {
        if self.verbose {
            lock(&self.state).events.push(event());
        }
    }

    /// Notes what is being done, for the timeout that may come.
    fn doing(&self, doing: String) {
        lock(&self.state).outcome = Some(RequestOutcome::Pending { doing });
    }

    fn connector(&self) -> Result<TlsConnector, Failure> {
        let load = || {
            let start = Instant::now();
            let roots = self.trust.load().map_err(Failure::TrustStore)?;
            self.log(|| {
                format!(
                    "read {} CA certificates from {} in {:?}",
                    roots.len(),
                    self.trust.describe(),
                    start.elapsed()
                )
            });
            tls::connector(roots)
        };
        self.tls.get_or_init(load).clone()
    }

    async fn exchange(
        &self,
        request: HttpRequest,
        connect: Option<Duration>,
        read: Option<Duration>,
        options: &ClientOptions,
    ) -> Result<HttpResponse, Failure> {
        let start = Instant::now();
        let mut request = request.try_into_http1x().map_err(|_| Failure::Url)?;
        let endpoint = Origin::of(request.uri())?;
        let proxy = self.route(&endpoint, options)?;
        endpoint.prepare(&mut request, proxy.as_ref())?;
        let request =
            request.map(|body| Full::new(Bytes::copy_from_slice(body.bytes().unwrap_or_default())));
        // A connection to the same name may lead to another address.
        let shares = options.addresses.is_none();
        let idle = lock(&self.idle).remove(&endpoint);
        let mut sender = match idle.filter(|sender| shares && !sender.is_closed()) {
            Some(sender) => sender,
            None => {
                let known = options.addresses.as_deref();
                self.open(&endpoint, proxy.as_ref(), known, connect).await?
            }
        };
        self.doing(format!("waiting for the response from {}", endpoint.host));
        let exchange = send(&mut sender, request, &endpoint, proxy.as_ref());
        let (head, bytes) = within(read, self, true, exchange).await?;
        // After a server error another of its machines may do better.
        if shares && !head.status.is_server_error() {
            lock(&self.idle).insert(endpoint.clone(), sender);
        }
        let status = head.status.as_u16();
        self.log(|| {
            format!(
                "{} returned HTTP {status} with {} bytes after {:?}",
                endpoint.host,
                bytes.len(),
                start.elapsed()
            )
        });
        // AWS adds the request's identifier to its refusals; a proxy's own response has none.
        if let (Some(proxy), false) = (&proxy, endpoint.https)
            && status >= 400
            && !head.headers.contains_key("x-amzn-requestid")
        {
            return Err(refused_by(proxy, &endpoint, status));
        }
        if head.status == http::StatusCode::TOO_MANY_REQUESTS {
            return Err(Failure::TooMany {
                host: endpoint.host,
            });
        }
        lock(&self.state).outcome = Some(RequestOutcome::Replied {
            host: endpoint.host.clone(),
            status,
            date: head.headers.get(DATE).and_then(date),
        });
        let response = http::Response::from_parts(head, SdkBody::from(bytes));
        HttpResponse::try_from(response).map_err(|_| Failure::Broken {
            at: endpoint.host,
            what: "the headers of the response cannot be read".to_owned(),
        })
    }

    /// The proxy that a request goes through.
    fn route(&self, endpoint: &Origin, options: &ClientOptions) -> Result<Option<Proxy>, Failure> {
        let proxy = match options.direct {
            true => None,
            false => self
                .proxies
                .proxy_for(endpoint.https, &endpoint.host, endpoint.port)
                .map_err(Failure::ProxySetting)?,
        };
        let request = {
            let mut state = lock(&self.state);
            state.requests += 1;
            state.requests
        };
        self.log(|| {
            let via = match &proxy {
                Some(proxy) => format!("via {} ({})", shown(proxy), proxy.variable),
                None => "without a proxy".to_owned(),
            };
            format!("request {request} goes to {endpoint} {via}")
        });
        Ok(proxy)
    }

    /// A connection. The look-up of the name, which knows its own timeouts, is not part of the
    /// time for connecting.
    async fn open(
        &self,
        endpoint: &Origin,
        proxy: Option<&Proxy>,
        known: Option<&[IpAddr]>,
        limit: Option<Duration>,
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
                self.doing(format!("looking up the name {host}"));
                let mut lookup = self.resolver.look_up(host);
                (lookup.first().await.map_err(by_proxy)?, Some(lookup))
            }
        };
        let connected = async {
            let stream = self.connect(endpoint, proxy, first, lookup);
            let stream = stream.await.map_err(by_proxy)?;
            self.secure(endpoint, proxy, tls.as_ref(), stream).await
        };
        let stream = within(limit, self, false, connected).await?;
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

    /// TCP, to the endpoint or the proxy.
    async fn connect(
        &self,
        endpoint: &Origin,
        proxy: Option<&Proxy>,
        first: Vec<IpAddr>,
        lookup: Option<Lookup>,
    ) -> Result<Box<dyn Stream>, Failure> {
        let (host, port) = match proxy {
            Some(proxy) => {
                self.doing(format!("connecting to the proxy {}", shown(proxy)));
                (&proxy.host, proxy.port)
            }
            None => {
                self.doing(format!("connecting to {endpoint}"));
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
        &self,
        endpoint: &Origin,
        proxy: Option<&Proxy>,
        tls: Option<&TlsConnector>,
        mut stream: Box<dyn Stream>,
    ) -> Result<Box<dyn Stream>, Failure> {
        if let Some(proxy) = proxy {
            let at = shown(proxy);
            if let (true, Some(tls)) = (proxy.tls, tls) {
                self.doing(format!("in the TLS handshake with the proxy {at}"));
                stream = Box::new(handshake(tls, &proxy.host, stream).await?);
            }
            if endpoint.https {
                self.doing(format!("waiting for the proxy {at}"));
                tunnel(&mut stream, endpoint, proxy).await?;
            }
        }
        if let (true, Some(tls)) = (endpoint.https, tls) {
            self.doing(format!("in the TLS handshake with {}", endpoint.host));
            stream = Box::new(handshake(tls, &endpoint.host, stream).await?);
        }
        Ok(stream)
    }
}

/// Sends the request and reads the response.
async fn send(
    sender: &mut Sender,
    request: Request<Full<Bytes>>,
    endpoint: &Origin,
    proxy: Option<&Proxy>,
) -> Result<(response::Parts, Vec<u8>), Failure> {
    let broken = |error: hyper::Error| match (proxy, broken(endpoint, &error)) {
        // In plain HTTP the connection is one to the proxy.
        (Some(proxy), Failure::Broken { what, .. }) if !endpoint.https => {
            proxy_failure(proxy, format!("broke the connection: {what}"), true)
        }
        (_, failure) => failure,
    };
    sender.ready().await.map_err(broken)?;
    let response = sender.send_request(request).await.map_err(broken)?;
    let (head, mut body) = response.into_parts();
    let mut bytes = Vec::with_capacity(expected_size(&body));
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(broken)?.into_data() {
            if bytes.len() + data.len() > MAX_BODY {
                return Err(Failure::TooLarge {
                    host: endpoint.host.clone(),
                });
            }
            bytes.extend_from_slice(&data);
        }
    }
    Ok((head, bytes))
}

/// Most responses hold a secret: reallocation would leave copies of it.
fn expected_size(body: &Incoming) -> usize {
    let size = usize::try_from(body.size_hint().exact().unwrap_or_default());
    size.map_or(0, |size| size.min(MAX_BODY))
}

fn date(value: &HeaderValue) -> Option<DateTime<Utc>> {
    let date = DateTime::parse_from_rfc2822(value.to_str().ok()?).ok()?;
    Some(date.with_timezone(&Utc))
}

/// What a hyper error is about.
fn broken(endpoint: &Origin, error: &hyper::Error) -> Failure {
    let mut source = std::error::Error::source(error);
    let mut what = match error {
        _ if error.is_incomplete_message() => "closed before the response was complete".to_owned(),
        _ if error.is_parse() => "the response is not HTTP".to_owned(),
        _ => error.to_string(),
    };
    while let Some(inner) = source {
        if let Some(inner) = inner.downcast_ref::<io::Error>() {
            what = io_words(inner);
        }
        source = inner.source();
    }
    Failure::Broken {
        at: endpoint.to_string(),
        what,
    }
}
