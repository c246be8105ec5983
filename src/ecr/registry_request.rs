//! Requests to a registry itself, as clients send them. Only `doctor` makes them.

use std::net::IpAddr;

use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, LOCATION, WWW_AUTHENTICATE};
use zeroize::Zeroizing;

use super::executor::Executor;
use super::http::Failure;
use super::redact::redacted;
use crate::problem::Problem;
use crate::secret::Secret;
use crate::token::Login;

/// The proof of a request's sender.
#[derive(Debug, Clone)]
pub enum RegistryLogin {
    /// User and password.
    Basic(Login),
    /// A token that the registry gave for them.
    Bearer(Secret),
}

/// One request to a registry.
#[derive(Debug)]
pub struct RegistryRequest<'a> {
    /// In upper case.
    pub method: &'static str,
    /// With scheme and host.
    pub url: &'a str,
    /// The media types of the response.
    pub accept: Option<&'static str>,
    /// Body and its media type.
    pub body: Option<(&'static str, &'a [u8])>,
    /// None for anonymous requests.
    pub login: Option<&'a RegistryLogin>,
}

/// A registry's response. Redirects are not followed.
#[derive(Debug)]
pub struct RegistryResponse {
    /// The HTTP status.
    pub status: u16,
    /// `Location`.
    pub location: Option<String>,
    /// `WWW-Authenticate`.
    pub challenge: Option<String>,
    /// The body, which may hold a token.
    pub body: Zeroizing<Vec<u8>>,
    /// The registry's explanation of a failure: code and message of its first error, without secrets.
    pub error: Option<(String, String)>,
}

#[cfg(test)]
impl RegistryResponse {
    /// A response without a body; code and message of the error, if it has one.
    pub(crate) fn of_status(status: u16, error: Option<(&str, &str)>) -> Self {
        Self {
            status,
            location: None,
            challenge: None,
            body: Zeroizing::default(),
            error: error.map(|(code, message)| (code.to_owned(), message.to_owned())),
        }
    }
}

impl Executor<'_> {
    pub(super) async fn registry(
        &mut self,
        request: &RegistryRequest<'_>,
    ) -> Result<RegistryResponse, Problem> {
        let mut secrets = Vec::new();
        let sent = built(request, &mut secrets).map_err(|failure| Problem::from(&failure))?;
        let timeouts = (self.connect_limit(), self.remaining() / 2);
        let (connect, read) = (Some(timeouts.0), Some(timeouts.1));
        let response = self.client.send(sent, connect, read).await;
        let response = response.map_err(|failure| Problem::from(&failure))?;
        let header = |name: http::HeaderName| {
            let value = response.headers().get(name.as_str());
            value.map(str::to_owned)
        };
        let body = Zeroizing::new(response.body().bytes().unwrap_or_default().to_vec());
        let status = response.status().as_u16();
        let error = (status >= 400).then(|| error_in(&body)).flatten();
        let bare = |text: &str| redacted(text, &secrets);
        Ok(RegistryResponse {
            status,
            location: header(LOCATION),
            challenge: header(WWW_AUTHENTICATE),
            error: error.map(|(code, message)| (bare(&code), bare(&message))),
            body,
        })
    }

    /// The addresses of a host, as this program's requests would find them.
    pub(super) async fn addresses(&mut self, host: &str) -> Result<Vec<IpAddr>, Problem> {
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        let found = self.client.look_up(host).await;
        found.map_err(|failure| Problem::from(&failure))
    }
}

fn built(request: &RegistryRequest<'_>, secrets: &mut Vec<Secret>) -> Result<HttpRequest, Failure> {
    let (content_type, body) = match request.body {
        Some((content_type, body)) => (Some(content_type), SdkBody::from(body)),
        None => (None, SdkBody::empty()),
    };
    let mut built = http::Request::builder()
        .method(request.method)
        .uri(request.url)
        .body(body)
        .map_err(|_| Failure::Url)?;
    let headers = built.headers_mut();
    for (name, value) in [(ACCEPT, request.accept), (CONTENT_TYPE, content_type)] {
        if let Some(value) = value {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    if let Some(login) = request.login {
        let value = authorization(login, secrets);
        let mut value = HeaderValue::from_str(&value).map_err(|_| Failure::Url)?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    HttpRequest::try_from(built).map_err(|_| Failure::Url)
}

/// The header's value; what a response must not repeat is added to `secrets`.
fn authorization(login: &RegistryLogin, secrets: &mut Vec<Secret>) -> Zeroizing<String> {
    match login {
        RegistryLogin::Bearer(token) => {
            secrets.push(token.clone());
            Zeroizing::new(format!("Bearer {}", token.expose()))
        }
        RegistryLogin::Basic(login) => {
            let (user, password) = (&login.username, login.password.expose());
            let pair = Zeroizing::new(format!("{user}:{password}"));
            let encoded = Zeroizing::new(STANDARD.encode(pair.as_bytes()));
            secrets.extend([login.password.clone(), Secret::from(encoded.as_str())]);
            Zeroizing::new(format!("Basic {}", *encoded))
        }
    }
}

/// `{"errors": [{"code": "DENIED", "message": "…"}]}`.
fn error_in(body: &[u8]) -> Option<(String, String)> {
    let json: serde_json::Value = serde_json::from_slice(body).ok()?;
    let first = json.get("errors")?.get(0)?;
    let text = |key: &str| first.get(key).and_then(|value| value.as_str());
    let message = text("message").unwrap_or_default();
    Some((text("code")?.to_owned(), message.to_owned()))
}
