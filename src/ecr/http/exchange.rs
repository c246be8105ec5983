//! One request and its response.

use std::io;
use std::time::{Duration, Instant};

use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use chrono::{DateTime, Utc};
use http::header::{DATE, HeaderValue, RETRY_AFTER};
use http::{Request, response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as _, Bytes, Incoming};

use super::MAX_BODY;
use super::client::{ClientOptions, Sender, Shared, lock};
use super::connection::{Progress, within};
use super::failure::{Failure, RequestOutcome, io_words};
use super::origin::Origin;
use super::tunnel::{proxy_failure, refused_by, shown};
use crate::proxy::Proxy;

impl Shared {
    pub(super) async fn exchange(
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
        let mut unsent =
            request.map(|body| Full::new(Bytes::copy_from_slice(body.bytes().unwrap_or_default())));
        // A connection to the same name may lead to another address.
        let shares = options.addresses.is_none();
        let progress = Progress::Request(self);
        let mut ready = match shares {
            true => self.opened(&endpoint).await?,
            false => None,
        };
        let (sender, (head, bytes)) = loop {
            let reused = ready.is_some();
            let mut sender = match ready.take() {
                Some(sender) => sender,
                None => {
                    let known = options.addresses.as_deref();
                    self.open(&endpoint, proxy.as_ref(), known, connect, &progress)
                        .await?
                }
            };
            self.doing(format!("waiting for the response from {}", endpoint.host));
            let exchange = send(&mut sender, unsent, &endpoint, proxy.as_ref());
            match within(read, &progress, true, exchange).await? {
                Ok(response) => break (sender, response),
                // The server has closed it meanwhile.
                Err((request, _)) if reused => unsent = request,
                Err((_, failure)) => return Err(failure),
            }
        };
        // After a server error another of its machines may do better.
        if shares && !head.status.is_server_error() {
            lock(&self.idle).insert(endpoint.clone(), sender);
        }
        self.log(|| {
            format!(
                "{} returned HTTP {} with {} bytes after {:?}",
                endpoint.host,
                head.status.as_u16(),
                bytes.len(),
                start.elapsed()
            )
        });
        self.finish(endpoint, proxy.as_ref(), head, bytes)
    }

    /// Notes how the request ended, and turns refusals that the SDK would not see into failures.
    fn finish(
        &self,
        endpoint: Origin,
        proxy: Option<&Proxy>,
        head: response::Parts,
        bytes: Vec<u8>,
    ) -> Result<HttpResponse, Failure> {
        let status = head.status.as_u16();
        // AWS adds the request's identifier to its refusals; a proxy's own response has none.
        if let (Some(proxy), false) = (proxy, endpoint.https)
            && status >= 400
            && !head.headers.contains_key("x-amzn-requestid")
        {
            return Err(refused_by(proxy, &endpoint, status));
        }
        if head.status == http::StatusCode::TOO_MANY_REQUESTS {
            lock(&self.state).retry_after = head.headers.get(RETRY_AFTER).and_then(seconds);
            return Err(Failure::TooMany {
                host: endpoint.host,
            });
        }
        if head.status.is_server_error() || head.status.is_client_error() {
            lock(&self.state).retry_after = head.headers.get(RETRY_AFTER).and_then(seconds);
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

    pub(super) fn proxy_for(&self, endpoint: &Origin) -> Result<Option<Proxy>, Failure> {
        self.proxies
            .proxy_for(endpoint.https, &endpoint.host, endpoint.port)
            .map_err(Failure::ProxySetting)
    }

    /// The proxy that a request goes through, after a line in the log.
    fn route(&self, endpoint: &Origin, options: &ClientOptions) -> Result<Option<Proxy>, Failure> {
        let proxy = match options.direct {
            true => None,
            false => self.proxy_for(endpoint)?,
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
}

type WebRequest = Request<Full<Bytes>>;

/// Sends the request and reads the response. A request that could not be sent since the connection
/// was closed is handed back.
async fn send(
    sender: &mut Sender,
    request: WebRequest,
    endpoint: &Origin,
    proxy: Option<&Proxy>,
) -> Result<Result<(response::Parts, Vec<u8>), (WebRequest, Failure)>, Failure> {
    let broken = |error: hyper::Error| match (proxy, broken(endpoint, &error)) {
        // In plain HTTP the connection is one to the proxy.
        (Some(proxy), Failure::Broken { what, .. }) if !endpoint.https => {
            proxy_failure(proxy, format!("broke the connection: {what}"), true)
        }
        (_, failure) => failure,
    };
    if let Err(error) = sender.ready().await {
        return Ok(Err((request, broken(error))));
    }
    let response = match sender.try_send_request(request).await {
        Ok(response) => response,
        Err(mut error) => {
            let unsent = error.take_message();
            let failure = broken(error.into_error());
            return match unsent {
                Some(request) => Ok(Err((request, failure))),
                None => Err(failure),
            };
        }
    };
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
    Ok(Ok((head, bytes)))
}

/// Retry-After as a number; its other form, a date, AWS does not use.
fn seconds(value: &HeaderValue) -> Option<Duration> {
    let seconds = value.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
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

/// The failure behind an error of hyper.
pub(super) fn broken(endpoint: &Origin, error: &hyper::Error) -> Failure {
    let mut source = std::error::Error::source(error);
    let mut what = match error {
        _ if error.is_incomplete_message() => "closed before the response was complete".to_owned(),
        _ if error.is_closed() || error.is_canceled() => "closed by the server".to_owned(),
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
