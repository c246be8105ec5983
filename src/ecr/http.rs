//! The HTTP client below the AWS SDK: one connection per endpoint, opened at the first request.
//!
//! The SDK's own connector loads the system's certificate authorities when it is built, even for
//! plain HTTP, takes no bundle without a panic over a bad one, knows other proxy rules than Go's,
//! and brings HTTP/2 and a pool that one request has no use for. This one is hyper's HTTP/1.1
//! connection, and knows at each moment what it is doing, so that a time-out can say so. Replies
//! are bounded, redirects are replies like any other, and nothing but the host is ever logged.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::retry::ErrorKind;
use chrono::{DateTime, Utc};
use http::header::{DATE, HOST, HeaderValue, PROXY_AUTHORIZATION};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Body as _;
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use super::trust::{self, TrustStore};
use crate::proxy::{self, Proxies, Proxy};

/// No reply of a service that we ask is larger.
const MAX_BODY: usize = 1 << 20;

/// No answer of a proxy to CONNECT is larger.
const MAX_CONNECT_REPLY: usize = 16 << 10;

/// How long one address may be silent before the next one is tried beside it (RFC 8305).
const NEXT_ADDRESS: Duration = Duration::from_millis(250);

/// What went wrong between us and a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The name does not resolve.
    Dns {
        host: String,
        /// Whether the resolver could not be asked.
        temporary: bool,
    },
    /// Nobody listens.
    Refused { at: String },
    /// Other failures to connect, and connections that break off.
    Broken { at: String, what: String },
    /// The certificate does not lead to an authority that we trust.
    Untrusted { host: String },
    /// The certificate is out of its time, or our clock is.
    CertificateTime { host: String },
    /// Other failures of TLS.
    Tls { host: String, what: String },
    /// The certificate authorities cannot be loaded.
    TrustStore(trust::Error),
    /// The TLS library is not what this build promises.
    Crypto { what: String },
    /// The proxy setting cannot be used.
    ProxySetting(proxy::Error),
    /// The proxy does not do it.
    Proxy {
        proxy: String,
        variable: &'static str,
        what: String,
        /// Whether what lies behind the proxy may be to blame: the name may not resolve.
        upstream: bool,
    },
    /// It took too long.
    TimedOut { doing: String },
    /// The reply is larger than any that we expect.
    TooLarge { host: String },
    /// HTTP status 429, which the SDK does not try again by itself.
    TooMany { host: String },
    /// Not a URL that can be asked.
    Url,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns { host, .. } => write!(f, "the name {host} does not resolve"),
            Self::Refused { at } => write!(f, "connection refused by {at}"),
            Self::Broken { at, what } => write!(f, "connection to {at} failed: {what}"),
            Self::Untrusted { host } => write!(
                f,
                "the TLS certificate of {host} is not signed by a trusted authority"
            ),
            Self::CertificateTime { host } => write!(
                f,
                "the TLS certificate of {host} has expired or is not valid yet"
            ),
            Self::Tls { host, what } => write!(f, "no TLS connection to {host}: {what}"),
            Self::TrustStore(error) => match &error.setting {
                Some(setting) => write!(f, "{setting}: {}", error.what),
                None => f.write_str(&error.what),
            },
            Self::Crypto { what } => write!(f, "TLS cannot be used: {what}"),
            Self::ProxySetting(error) => error.fmt(f),
            Self::Proxy {
                proxy,
                variable,
                what,
                ..
            } => write!(f, "the proxy {proxy} ({variable}) {what}"),
            Self::TimedOut { doing } => write!(f, "timed out {doing}"),
            Self::TooLarge { host } => {
                write!(f, "the reply of {host} is larger than {MAX_BODY} bytes")
            }
            Self::TooMany { host } => write!(f, "{host} replied that it gets too many requests"),
            Self::Url => f.write_str("the endpoint is not a URL of http or https"),
        }
    }
}

impl std::error::Error for Failure {}

impl Failure {
    /// In the SDK's terms, which decide whether it tries again.
    fn into_connector_error(self) -> ConnectorError {
        match &self {
            Self::TimedOut { .. } => ConnectorError::timeout(self.into()),
            Self::Dns {
                temporary: true, ..
            }
            | Self::Refused { .. }
            | Self::Broken { .. } => ConnectorError::io(self.into()),
            Self::Proxy { upstream: true, .. } => ConnectorError::io(self.into()),
            Self::TooMany { .. } => {
                ConnectorError::other(self.into(), Some(ErrorKind::ThrottlingError))
            }
            _ => ConnectorError::user(self.into()),
        }
    }
}

/// How the last request of a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestOutcome {
    /// It has not.
    Pending {
        doing: String,
    },
    Failed(Failure),
    Replied {
        host: String,
        status: u16,
        /// By how much the server's clock is ahead of ours.
        ahead: Option<chrono::TimeDelta>,
    },
}

#[derive(Debug, Default)]
struct State {
    requests: u32,
    outcome: Option<RequestOutcome>,
    events: Vec<String>,
}

/// What one plan's requests share.
#[derive(Clone)]
pub(super) struct Client(Arc<Inner>);

struct Inner {
    proxies: Proxies,
    trust: TrustStore,
    verbose: bool,
    tls: OnceLock<Result<TlsConnector, Failure>>,
    idle: Mutex<HashMap<Origin, SendRequest<Full<Bytes>>>>,
    state: Mutex<State>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Origin {
    https: bool,
    host: String,
    port: u16,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Client {
    pub(super) fn new(proxies: Proxies, trust: TrustStore, verbose: bool) -> Self {
        Self(Arc::new(Inner {
            proxies,
            trust,
            verbose,
            tls: OnceLock::new(),
            idle: Mutex::default(),
            state: Mutex::default(),
        }))
    }

    /// Forgets how earlier requests ended.
    pub(super) fn begin_step(&self) {
        lock(&self.0.state).outcome = None;
    }

    /// Notes what is being done instead of a request.
    pub(super) fn note_waiting(&self, doing: String) {
        self.0.doing(doing);
    }

    /// How the last request since [`Client::begin_step`] ended.
    pub(super) fn outcome(&self) -> Option<RequestOutcome> {
        lock(&self.0.state).outcome.clone()
    }

    /// What there is to log since the last call.
    pub(super) fn take_events(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.0.state).events)
    }
}

impl Inner {
    fn log(&self, event: impl FnOnce() -> String) {
        if self.verbose {
            lock(&self.state).events.push(event());
        }
    }

    /// Notes what is being done, for the time-out that may come.
    fn doing(&self, doing: String) {
        lock(&self.state).outcome = Some(RequestOutcome::Pending { doing });
    }

    fn connector(&self) -> Result<TlsConnector, Failure> {
        let load = || {
            let start = Instant::now();
            let roots = self.trust.load().map_err(Failure::TrustStore)?;
            self.log(|| {
                format!(
                    "read {} certificate authorities from {} in {:?}",
                    roots.len(),
                    self.trust.describe(),
                    start.elapsed()
                )
            });
            let config = rustls::ClientConfig::builder_with_provider(Arc::new(crypto()))
                .with_safe_default_protocol_versions()
                .map_err(|error| Failure::Crypto {
                    what: error.to_string(),
                })?
                .with_root_certificates(roots)
                .with_no_client_auth();
            // Rather no connection than one that is not what a FIPS build is installed for.
            if cfg!(feature = "fips") && !config.fips() {
                return Err(Failure::Crypto {
                    what: "the FIPS module is not in use".to_owned(),
                });
            }
            Ok(TlsConnector::from(Arc::new(config)))
        };
        self.tls.get_or_init(load).clone()
    }
}

#[cfg(not(feature = "fips"))]
fn crypto() -> rustls::crypto::CryptoProvider {
    rustls::crypto::ring::default_provider()
}

#[cfg(feature = "fips")]
fn crypto() -> rustls::crypto::CryptoProvider {
    rustls::crypto::default_fips_provider()
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
            whole: None,
            direct: false,
        })
    }
}

/// A client for instance metadata, which no proxy is asked about, whatever the host's name.
#[derive(Debug, Clone)]
pub(super) struct Direct(pub(super) Client);

impl HttpClient for Direct {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Connector {
            client: self.0.clone(),
            connect: settings.connect_timeout(),
            read: settings.read_timeout(),
            whole: None,
            direct: true,
        })
    }
}

/// A client for the provider of `aws login`, which cannot be told its endpoint, and panics over a
/// good reply without keys.
#[derive(Debug, Clone)]
pub(super) struct SignIn {
    pub(super) client: Client,
    /// Where requests go, whatever the SDK has chosen.
    pub(super) base: Option<String>,
}

impl HttpClient for SignIn {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Connector {
            client: self.client.clone(),
            connect: settings.connect_timeout(),
            read: settings.read_timeout(),
            whole: Some(self.clone()),
            direct: false,
        })
    }
}

#[derive(Debug)]
struct Connector {
    client: Client,
    connect: Option<Duration>,
    read: Option<Duration>,
    whole: Option<SignIn>,
    direct: bool,
}

impl HttpConnector for Connector {
    fn call(&self, mut request: HttpRequest) -> HttpConnectorFuture {
        let client = self.client.clone();
        let (connect, read, direct) = (self.connect, self.read, self.direct);
        let whole = self.whole.is_some();
        let base = self.whole.as_ref().and_then(|whole| whole.base.as_deref());
        let moved = base.is_none_or(|base| request.uri_mut().set_endpoint(base).is_ok());
        HttpConnectorFuture::new(async move {
            let result = if moved {
                client.0.exchange(request, connect, read, direct).await
            } else {
                Err(Failure::Url)
            };
            let result = result.and_then(|reply| {
                if whole && reply.status().is_success() && !gives_keys(reply.body().bytes()) {
                    return Err(Failure::Broken {
                        at: "the sign-in service".to_owned(),
                        what: "the reply holds no keys".to_owned(),
                    });
                }
                Ok(reply)
            });
            result.map_err(|failure| {
                client.0.log(|| failure.to_string());
                lock(&client.0.state).outcome = Some(RequestOutcome::Failed(failure.clone()));
                failure.into_connector_error()
            })
        })
    }
}

/// Whether a reply of the sign-in service has what its provider takes for granted.
fn gives_keys(body: Option<&[u8]>) -> bool {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    #[allow(dead_code, reason = "only whether they are there counts")]
    struct Reply<'a> {
        #[serde(borrow)]
        access_token: SignInKeys<'a>,
        expires_in: u32,
    }
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    #[allow(dead_code, reason = "only whether they are there counts")]
    struct SignInKeys<'a> {
        #[serde(borrow)]
        access_key_id: std::borrow::Cow<'a, str>,
        #[serde(borrow)]
        secret_access_key: std::borrow::Cow<'a, str>,
        #[serde(borrow)]
        session_token: std::borrow::Cow<'a, str>,
    }
    serde_json::from_slice::<Reply<'_>>(body.unwrap_or_default()).is_ok()
}

/// `future`, but not longer than `limit`.
async fn within<T>(
    limit: Option<Duration>,
    inner: &Inner,
    future: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let Some(limit) = limit else {
        return future.await;
    };
    match tokio::time::timeout(limit, future).await {
        Ok(result) => result,
        Err(_) => Err(Failure::TimedOut {
            doing: match &lock(&inner.state).outcome {
                Some(RequestOutcome::Pending { doing }) => doing.clone(),
                _ => "connecting".to_owned(),
            },
        }),
    }
}

impl Inner {
    async fn exchange(
        self: &Arc<Self>,
        request: HttpRequest,
        connect: Option<Duration>,
        read: Option<Duration>,
        direct: bool,
    ) -> Result<HttpResponse, Failure> {
        let start = Instant::now();
        let mut request = request.try_into_http1x().map_err(|_| Failure::Url)?;
        let endpoint = origin_of(request.uri())?;
        let attempt = {
            let mut state = lock(&self.state);
            state.requests += 1;
            state.requests
        };
        let proxy = match direct {
            true => None,
            false => self
                .proxies
                .proxy_for(endpoint.https, &endpoint.host, endpoint.port)
                .map_err(Failure::ProxySetting)?,
        };
        self.log(|| {
            let via = match &proxy {
                Some(proxy) => format!("via {} ({})", shown(proxy), proxy.variable),
                None => "without a proxy".to_owned(),
            };
            format!("request {attempt} goes to {endpoint} {via}")
        });
        prepare(&mut request, &endpoint, proxy.as_ref())?;
        let request =
            request.map(|body| Full::new(Bytes::copy_from_slice(body.bytes().unwrap_or_default())));

        let idle = lock(&self.idle).remove(&endpoint);
        let mut sender = match idle.filter(|sender| !sender.is_closed()) {
            Some(sender) => sender,
            None => within(connect, self, self.open(&endpoint, proxy.as_ref())).await?,
        };
        self.doing(format!("waiting for the reply of {}", endpoint.host));
        let exchange = async {
            let broken = |error: hyper::Error| match (&proxy, broken(&endpoint, &error)) {
                // In plain HTTP it is the proxy that is spoken to.
                (Some(proxy), Failure::Broken { what, .. }) if !endpoint.https => Failure::Proxy {
                    proxy: shown(proxy),
                    variable: proxy.variable,
                    what: format!("broke off: {what}"),
                    upstream: true,
                },
                (_, failure) => failure,
            };
            sender.ready().await.map_err(broken)?;
            let reply = sender.send_request(request).await.map_err(broken)?;
            let (head, mut body) = reply.into_parts();
            // The reply is a secret as often as not: growing would leave copies behind.
            let size = usize::try_from(body.size_hint().exact().unwrap_or_default());
            let mut bytes = Vec::with_capacity(size.map_or(0, |size| size.min(MAX_BODY)));
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
        };
        let (head, bytes) = within(read, self, exchange).await?;
        // After an error of the server's another of its machines may do better.
        if !head.status.is_server_error() {
            lock(&self.idle).insert(endpoint.clone(), sender);
        }
        self.log(|| {
            format!(
                "{} replied {} with {} bytes after {:?}",
                endpoint.host,
                head.status.as_u16(),
                bytes.len(),
                start.elapsed()
            )
        });
        // AWS signs its refusals with the number of the request; a proxy's own answer has none.
        if let (Some(proxy), false) = (&proxy, endpoint.https)
            && head.status.as_u16() >= 400
            && !head.headers.contains_key("x-amzn-requestid")
        {
            return Err(refused_by(proxy, &endpoint, head.status.as_u16()));
        }
        if head.status == http::StatusCode::TOO_MANY_REQUESTS {
            return Err(Failure::TooMany {
                host: endpoint.host,
            });
        }
        lock(&self.state).outcome = Some(RequestOutcome::Replied {
            host: endpoint.host,
            status: head.status.as_u16(),
            ahead: ahead(head.headers.get(DATE)),
        });
        let response = http::Response::from_parts(head, SdkBody::from(bytes));
        HttpResponse::try_from(response).map_err(|_| Failure::Broken {
            at: "the server".to_owned(),
            what: "the reply's headers cannot be read".to_owned(),
        })
    }

    async fn open(
        &self,
        endpoint: &Origin,
        proxy: Option<&Proxy>,
    ) -> Result<SendRequest<Full<Bytes>>, Failure> {
        // Authorities that cannot be loaded are told before anybody is called.
        let tls = if endpoint.https || proxy.is_some_and(|proxy| proxy.tls) {
            Some(self.connector()?)
        } else {
            None
        };
        let (host, port) = match proxy {
            Some(proxy) => (proxy.host.as_str(), proxy.port),
            None => (endpoint.host.as_str(), endpoint.port),
        };
        let at = match proxy {
            Some(proxy) => format!("the proxy {}", shown(proxy)),
            None => endpoint.to_string(),
        };
        if host.parse::<IpAddr>().is_err() {
            self.doing(format!("looking up the name {host}"));
        }
        let dialled = match addresses(host, port).await {
            Ok(found) => {
                self.doing(format!("connecting to {at}"));
                dial(host, found).await
            }
            Err(failure) => Err(failure),
        };
        let mut stream: Box<dyn Stream> = match dialled {
            Ok(stream) => {
                // Without it a small request may wait for an acknowledgement.
                let _ = stream.set_nodelay(true);
                Box::new(stream)
            }
            Err(failure) => {
                return Err(match proxy {
                    Some(proxy) => Failure::Proxy {
                        proxy: shown(proxy),
                        variable: proxy.variable,
                        what: format!("cannot be reached: {failure}"),
                        upstream: false,
                    },
                    None => failure,
                });
            }
        };
        if let Some(proxy) = proxy {
            if let (true, Some(tls)) = (proxy.tls, &tls) {
                self.doing(format!("in the TLS handshake with {at}"));
                stream = Box::new(handshake(tls, &proxy.host, stream).await?);
            }
            if endpoint.https {
                self.doing(format!("waiting for the proxy {}", shown(proxy)));
                tunnel(&mut stream, endpoint, proxy).await?;
            }
        }
        if let (true, Some(tls)) = (endpoint.https, &tls) {
            self.doing(format!("in the TLS handshake with {}", endpoint.host));
            stream = Box::new(handshake(tls, &endpoint.host, stream).await?);
        }
        let (sender, connection) = http1::Builder::new()
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| broken(endpoint, &error))?;
        // It ends with the sender or the stream; how is told by the request.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(sender)
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Whether requests can be made to it: over an empty one, for example, the SDK panics.
pub(super) fn is_url(text: &str) -> bool {
    text.parse().is_ok_and(|uri| origin_of(&uri).is_ok())
}

fn origin_of(uri: &Uri) -> Result<Origin, Failure> {
    let https = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        _ => return Err(Failure::Url),
    };
    let host = uri
        .host()
        .filter(|host| !host.is_empty())
        .ok_or(Failure::Url)?;
    Ok(Origin {
        https,
        host: bare(host).to_owned(),
        port: uri.port_u16().unwrap_or(if https { 443 } else { 80 }),
    })
}

/// An IPv6 address without its brackets.
fn bare(host: &str) -> &str {
    host.strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host)
}

fn shown(proxy: &Proxy) -> String {
    let Proxy { host, port, .. } = proxy;
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// Gives the request its `Host` header and the form of URI that who receives it expects: with
/// scheme and host for a proxy that forwards it, without for everybody else.
fn prepare(
    request: &mut Request<SdkBody>,
    endpoint: &Origin,
    proxy: Option<&Proxy>,
) -> Result<(), Failure> {
    let default = if endpoint.https { 443 } else { 80 };
    let text = endpoint.to_string();
    let authority = if endpoint.port == default {
        text.rsplit_once(':')
            .map_or(text.as_str(), |(host, _)| host)
    } else {
        &text
    };
    let value = HeaderValue::from_str(authority).map_err(|_| Failure::Url)?;
    request.headers_mut().entry(HOST).or_insert(value);
    let path = request
        .uri()
        .path_and_query()
        .cloned()
        .unwrap_or_else(|| PathAndQuery::from_static("/"));
    let mut uri = http::uri::Parts::default();
    uri.path_and_query = Some(path);
    if let (Some(proxy), false) = (proxy, endpoint.https) {
        uri.scheme = Some(Scheme::HTTP);
        uri.authority = Some(Authority::try_from(authority).map_err(|_| Failure::Url)?);
        if let Some(authorization) = &proxy.authorization {
            let mut value =
                HeaderValue::from_str(authorization.expose()).map_err(|_| Failure::Url)?;
            value.set_sensitive(true);
            request.headers_mut().insert(PROXY_AUTHORIZATION, value);
        }
    }
    *request.uri_mut() = Uri::from_parts(uri).map_err(|_| Failure::Url)?;
    Ok(())
}

/// How far the server's clock is ahead of ours.
fn ahead(date: Option<&HeaderValue>) -> Option<chrono::TimeDelta> {
    let date = DateTime::parse_from_rfc2822(date?.to_str().ok()?).ok()?;
    Some(date.with_timezone(&Utc) - Utc::now())
}

/// Connects to the first address that answers; each gets a quarter of a second before the next
/// one is tried beside it, and the two families take turns.
async fn dial(host: &str, addresses: Vec<SocketAddr>) -> Result<TcpStream, Failure> {
    let at = |address: SocketAddr| match host.parse::<IpAddr>() {
        Ok(_) => address.to_string(),
        Err(_) => format!("{host} ({address})"),
    };
    if let [address] = addresses[..] {
        let stream = TcpStream::connect(address).await;
        return stream.map_err(|error| unconnected(at(address), &error));
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
            Ok(Some(Ok((address, Err(error))))) => failure = unconnected(at(address), &error),
            Ok(Some(Err(_))) | Err(_) => {}
            Ok(None) => return Err(failure),
        }
    }
}

async fn addresses(host: &str, port: u16) -> Result<Vec<SocketAddr>, Failure> {
    let found = tokio::net::lookup_host((host, port)).await;
    // The resolver's code is lost on the way here; glibc and musl say it in these words.
    let temporary = found.as_ref().is_err_and(|error| {
        let text = error.to_string().to_lowercase();
        text.contains("temporary") || text.contains("try again")
    });
    let found: Vec<_> = found.map(Iterator::collect).unwrap_or_default();
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
    if turns.is_empty() {
        let host = host.to_owned();
        return Err(Failure::Dns { host, temporary });
    }
    Ok(turns)
}

fn unconnected(at: String, error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Failure::Refused { at },
        _ => Failure::Broken {
            at,
            what: words(error),
        },
    }
}

/// An I/O error without the number that the operating system gives it.
fn words(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    text.to_lowercase()
}

/// What a hyper error is about.
fn broken(endpoint: &Origin, error: &hyper::Error) -> Failure {
    let mut source = std::error::Error::source(error);
    let mut what = match error {
        _ if error.is_incomplete_message() => "closed before the reply was complete".to_owned(),
        _ if error.is_parse() => "the reply is not HTTP".to_owned(),
        _ => error.to_string(),
    };
    while let Some(inner) = source {
        if let Some(inner) = inner.downcast_ref::<io::Error>() {
            what = words(inner);
        }
        source = inner.source();
    }
    Failure::Broken {
        at: endpoint.to_string(),
        what,
    }
}

async fn handshake(
    tls: &TlsConnector,
    host: &str,
    stream: Box<dyn Stream>,
) -> Result<tokio_rustls::client::TlsStream<Box<dyn Stream>>, Failure> {
    let name = ServerName::try_from(host.to_owned()).map_err(|_| Failure::Url)?;
    let shaken = tls.connect(name, stream).await;
    shaken.map_err(|error| untrusted(host, &error))
}

fn untrusted(host: &str, error: &io::Error) -> Failure {
    use rustls::CertificateError as Bad;
    let host = host.to_owned();
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(bad)) => match bad {
            Bad::UnknownIssuer | Bad::BadSignature => Failure::Untrusted { host },
            Bad::Expired
            | Bad::ExpiredContext { .. }
            | Bad::NotValidYet
            | Bad::NotValidYetContext { .. } => Failure::CertificateTime { host },
            Bad::NotValidForName | Bad::NotValidForNameContext { .. } => Failure::Tls {
                host,
                what: "its certificate is for another name".to_owned(),
            },
            _ => Failure::Untrusted { host },
        },
        Some(other) => Failure::Tls {
            host,
            what: other.to_string(),
        },
        None => Failure::Broken {
            at: host,
            what: format!("in the TLS handshake: {}", words(error)),
        },
    }
}

fn refused_by(proxy: &Proxy, endpoint: &Origin, status: u16) -> Failure {
    let host = &endpoint.host;
    Failure::Proxy {
        proxy: shown(proxy),
        variable: proxy.variable,
        what: match (status, &proxy.authorization) {
            (407, None) => "asks for a user and a password".to_owned(),
            // Some say 401 where the password is wrong.
            (401 | 407, Some(_)) => "does not accept the user and password in its URL".to_owned(),
            (500.., _) => format!("cannot reach {host}: HTTP status {status}"),
            _ => format!("refuses the connection to {host} with HTTP status {status}"),
        },
        upstream: status >= 500,
    }
}

/// Asks the proxy for a connection to the endpoint.
async fn tunnel(
    stream: &mut Box<dyn Stream>,
    endpoint: &Origin,
    proxy: &Proxy,
) -> Result<(), Failure> {
    let failure = |what: String| Failure::Proxy {
        proxy: shown(proxy),
        variable: proxy.variable,
        what,
        upstream: false,
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
    let broke = |error: io::Error| failure(format!("broke off: {}", words(&error)));
    stream.write_all(request.as_bytes()).await.map_err(broke)?;
    stream.flush().await.map_err(broke)?;
    let mut reply = Vec::new();
    while !reply.ends_with(b"\r\n\r\n") {
        // One byte at a time: what follows the reply belongs to the endpoint.
        match stream.read_u8().await {
            Ok(byte) if reply.len() < MAX_CONNECT_REPLY => reply.push(byte),
            Ok(_) => return Err(failure("sends too long a reply".to_owned())),
            Err(_) => return Err(failure("closed the connection".to_owned())),
        }
    }
    let status = std::str::from_utf8(&reply)
        .ok()
        .filter(|reply| reply.starts_with("HTTP/1."))
        .and_then(|reply| reply.split(' ').nth(1))
        .and_then(|status| status.get(..3)?.parse::<u16>().ok());
    match status {
        Some(200..=299) => Ok(()),
        Some(status) => Err(refused_by(proxy, endpoint, status)),
        None => Err(failure("does not answer in HTTP".to_owned())),
    }
}
