//! The connector that the SDK calls, and what one plan's requests share.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1::SendRequest;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use super::failure::{Failure, RequestOutcome};
use super::origin::Origin;
use super::resolve::Resolver;
use crate::ecr::retry::RetryLimits;
use crate::ecr::trust::TrustStore;
use crate::proxy::Proxies;

pub(super) type Sender = SendRequest<Full<Bytes>>;

/// Deviations of a source from the defaults.
#[derive(Debug, Clone, Default)]
pub(in crate::ecr) struct ClientOptions {
    /// Never through a proxy, whatever the host.
    pub(in crate::ecr) direct: bool,
    /// The addresses to connect to without a look-up: they have been checked.
    pub(in crate::ecr) addresses: Option<Vec<IpAddr>>,
}

#[derive(Debug, Default)]
pub(super) struct ClientState {
    pub(super) requests: u32,
    pub(super) outcome: Option<RequestOutcome>,
    /// The last refusal's `Retry-After`.
    pub(super) retry_after: Option<Duration>,
    /// The failure of a request of the step that has no attempts left.
    pub(super) spent: Option<Failure>,
    /// The attempts of the last request of the step.
    pub(super) tries: Option<Tries>,
    events: Vec<String>,
}

/// How often a request was sent, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ecr) struct Tries {
    pub(in crate::ecr) count: u32,
    pub(in crate::ecr) elapsed: Duration,
}

/// Shared by one plan's requests: proxies, CA certificates, connections, the last outcome.
#[derive(Clone)]
pub(in crate::ecr) struct Client {
    pub(super) shared: Arc<Shared>,
    pub(super) options: Arc<ClientOptions>,
    /// For requests of the SDK; none: one attempt.
    pub(super) retry: Option<(RetryLimits, Instant)>,
}

pub(super) struct Shared {
    pub(super) proxies: Proxies,
    pub(super) resolver: Resolver,
    pub(super) trust: TrustStore,
    verbose: bool,
    pub(super) tls: OnceLock<Result<TlsConnector, Failure>>,
    pub(super) idle: Mutex<HashMap<Origin, Sender>>,
    /// Connections that are being opened before they are needed.
    pub(super) early: Mutex<HashMap<Origin, JoinHandle<Result<Sender, Failure>>>>,
    pub(super) state: Mutex<ClientState>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
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
                early: Mutex::default(),
                state: Mutex::default(),
            }),
            options: Arc::default(),
            retry: None,
        }
    }

    /// The same client, which retries the requests of the SDK until `deadline`.
    pub(in crate::ecr) fn with_retries(&self, limits: RetryLimits, deadline: Instant) -> Self {
        Self {
            retry: Some((limits, deadline)),
            ..self.clone()
        }
    }

    /// The same client, its connections included, with other options.
    pub(in crate::ecr) fn with(&self, options: ClientOptions) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            options: Arc::new(options),
            retry: self.retry,
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
        let mut state = lock(&self.shared.state);
        state.outcome = None;
        state.tries = None;
        state.spent = None;
    }

    /// The attempts of the last request since [`Client::begin_step`].
    pub(in crate::ecr) fn tries(&self) -> Option<Tries> {
        lock(&self.shared.state).tries
    }

    /// Notes what is being done instead of a request.
    pub(in crate::ecr) fn note_waiting(&self, doing: String) {
        self.shared.doing(doing);
    }

    /// How the last request since [`Client::begin_step`] ended.
    pub(in crate::ecr) fn outcome(&self) -> Option<RequestOutcome> {
        lock(&self.shared.state).outcome.clone()
    }

    /// Events to log since the last call.
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
            let response = client.send_with_retries(request, connect, read).await;
            response.map_err(Failure::into_connector_error)
        })
    }
}

impl Shared {
    pub(super) fn log(&self, event: impl FnOnce() -> String) {
        if self.verbose {
            lock(&self.state).events.push(event());
        }
    }

    /// Notes what is being done, for the timeout that may come.
    pub(super) fn doing(&self, doing: String) {
        lock(&self.state).outcome = Some(RequestOutcome::Pending { doing });
    }
}
