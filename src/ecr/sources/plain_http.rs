//! Requests to the credential endpoints of containers and instances, without the SDK: its
//! providers read the process environment, and panic over some responses.

use std::time::Duration;

use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use http::header::{HeaderName, HeaderValue};

use super::super::http::{Client, Failure};

/// One request.
#[derive(Debug, Clone)]
pub(super) struct PlainRequest {
    pub(super) method: http::Method,
    pub(super) url: String,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) connect: Duration,
    pub(super) read: Duration,
    /// Whether a response that did not come in time is requested again.
    pub(super) retry_timeouts: bool,
}

/// A response, whatever its status.
pub(super) struct PlainResponse {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

impl PlainRequest {
    pub(super) async fn send(&self, client: &Client) -> Result<PlainResponse, Failure> {
        let mut request = http::Request::builder()
            .method(&self.method)
            .uri(&self.url)
            .body(SdkBody::empty())
            .map_err(|_| Failure::Url)?;
        for (name, value) in &self.headers {
            request.headers_mut().insert(name, value.clone());
        }
        let request = HttpRequest::try_from(request).map_err(|_| Failure::Url)?;
        let response = client
            .send(request, Some(self.connect), Some(self.read))
            .await?;
        Ok(PlainResponse {
            status: response.status().as_u16(),
            body: response.body().bytes().unwrap_or_default().to_vec(),
        })
    }

    /// Sends again after network failures and server errors.
    pub(super) async fn send_with_retries(
        &self,
        client: &Client,
        attempts: u32,
        pause: Duration,
    ) -> Result<PlainResponse, Failure> {
        let mut left = attempts.max(1);
        loop {
            let result = self.send(client).await;
            left -= 1;
            let transient = match &result {
                Ok(response) => response.status >= 500,
                Err(Failure::TimedOut { .. }) => self.retry_timeouts,
                Err(failure) => matches!(
                    failure,
                    Failure::Refused { .. }
                        | Failure::Broken { .. }
                        | Failure::TooMany { .. }
                        | Failure::Dns {
                            temporary: true,
                            ..
                        }
                ),
            };
            if left == 0 || !transient {
                return result;
            }
            tokio::time::sleep(pause).await;
        }
    }
}
