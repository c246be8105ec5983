//! The credentials endpoint of ECS and of EKS Pod Identity.
//!
//! The request carries a token, so it goes only where such endpoints are: to https, or to loopback
//! and the link-local addresses of ECS and EKS. A name is looked up once, and the addresses that
//! were checked are those that are connected to. Plain HTTP never goes through a proxy.

use std::net::IpAddr;
use std::time::Duration;

use aws_credential_types::Credentials;
use http::Uri;
use http::header::{ACCEPT, AUTHORIZATION, HeaderValue};

use super::super::classify::{FailureContext, Step, classify};
use super::super::executor::Executor;
use super::super::http::{Client, ClientOptions, is_url};
use super::json_keys::JsonKeys;
use super::plain_http::PlainRequest;
use crate::fs::read_bounded;
use crate::principal::Container;
use crate::problem::{Problem, ProblemKind};
use crate::secret::Secret;

/// Where relative URIs lead.
const ECS: &str = "http://169.254.170.2";

/// The addresses of ECS and of EKS Pod Identity.
const ALLOWED: [&str; 3] = ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"];

/// The timeouts of the AWS SDKs.
const CONNECT: Duration = Duration::from_secs(2);
const READ: Duration = Duration::from_secs(5);

const ATTEMPTS: u32 = 3;

const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// No authorization token is larger.
const MAX_TOKEN: usize = 64 << 10;

const FULL: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
const RELATIVE: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";

fn misconfigured(reason: &str) -> Problem {
    Problem::container(ProblemKind::Configuration, reason)
}

impl Executor<'_> {
    pub(super) async fn container(
        &mut self,
        container: &Container,
    ) -> Result<Credentials, Problem> {
        let uri = endpoint(container)?;
        let authorization = self.container_token(container).await?;
        let client = self.container_client(&uri).await?;
        let mut headers = vec![(ACCEPT, HeaderValue::from_static("application/json"))];
        headers.extend(authorization.map(|value| (AUTHORIZATION, value)));
        let request = PlainRequest {
            method: http::Method::GET,
            url: uri.to_string(),
            headers,
            connect: CONNECT,
            read: READ,
            retry_timeouts: true,
        };
        let attempts = self.network.max_attempts.unwrap_or(ATTEMPTS);
        let sent = request.send_with_retries(&client, attempts, RETRY_PAUSE);
        if let Ok(response) = sent.await
            && (200..=299).contains(&response.status)
            && let Some(keys) = JsonKeys::parse(&response.body)
            && let Some(credentials) = keys.credentials("container")
        {
            return Ok(credentials);
        }
        let context = FailureContext {
            outcome: self.client.outcome(),
            ..FailureContext::default()
        };
        Err(classify(Step::Container, &context))
    }

    /// The value of the `Authorization` header.
    async fn container_token(
        &mut self,
        container: &Container,
    ) -> Result<Option<HeaderValue>, Problem> {
        let token = match &container.token_file {
            None => container.token.clone(),
            Some(path) => {
                let path = path.clone();
                // It may be a FIFO: the deadline must not wait for it.
                let read = tokio::task::spawn_blocking(move || read_bounded(&path, MAX_TOKEN));
                let bytes = read.await.ok().and_then(Result::ok).ok_or_else(|| {
                    misconfigured("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE cannot be read")
                })?;
                let text = String::from_utf8(bytes).map_err(|_| {
                    misconfigured("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE is not text")
                })?;
                Some(Secret::new(text))
            }
        };
        let Some(token) = token else { return Ok(None) };
        self.secrets.push(Secret::from(token.expose().trim()));
        let mut value = HeaderValue::from_str(token.expose()).map_err(|_| {
            misconfigured("the authorization token has characters that a header cannot carry")
        })?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    /// A client that connects to the addresses that were checked.
    async fn container_client(&self, uri: &Uri) -> Result<Client, Problem> {
        if uri.scheme_str() == Some("https") {
            return Ok(self.client.clone());
        }
        let host = uri.host().unwrap_or_default();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let addresses = match bare.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => {
                let found = self.client.look_up(bare).await;
                found.map_err(|failure| {
                    Problem::container(ProblemKind::Unavailable, &failure.to_string())
                })?
            }
        };
        if addresses.is_empty() || !addresses.iter().copied().all(is_allowed) {
            return Err(misconfigured(
                "an http URI must lead to loopback or to the address of ECS or EKS",
            ));
        }
        Ok(self.client.with(ClientOptions {
            direct: true,
            addresses: Some(addresses),
        }))
    }
}

fn is_allowed(address: IpAddr) -> bool {
    let address = address.to_canonical();
    address.is_loopback() || ALLOWED.iter().any(|allowed| allowed.parse() == Ok(address))
}

/// The URL of the endpoint. What a password could hide behind is refused as a whole: with an
/// unescaped `#` or `/` in it, its first part would be looked up as a host.
fn endpoint(container: &Container) -> Result<Uri, Problem> {
    let uri = container.uri.expose();
    let (variable, url) = match container.relative {
        true => (RELATIVE, format!("{ECS}{uri}")),
        false => (FULL, uri.to_owned()),
    };
    let scheme = ["http://", "https://"].into_iter().find(|scheme| {
        url.get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    });
    let Some(scheme) = scheme.filter(|_| !container.relative || uri.starts_with('/')) else {
        return Err(misconfigured(&match container.relative {
            true => format!("{RELATIVE} does not begin with a slash"),
            false => format!("{FULL} does not begin with http:// or https://"),
        }));
    };
    let url = format!("{scheme}{}", without_user(&url[scheme.len()..]));
    let before_query = url.split('?').next().unwrap_or_default();
    let malformed = || misconfigured(&format!("{variable} is malformed"));
    if !is_url(before_query) || !url.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(malformed());
    }
    url.parse().map_err(|_| malformed())
}

/// A URL after its scheme, without the user and the password that the AWS CLI ignores as well. An
/// `@` elsewhere stays, and is refused.
fn without_user(rest: &str) -> &str {
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    match authority.find('@') {
        Some(at) => &rest[at + 1..],
        None => rest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(uri: &str, relative: bool) -> Result<String, String> {
        let container = Container {
            uri: Secret::from(uri),
            relative,
            token: None,
            token_file: None,
        };
        match endpoint(&container) {
            Ok(uri) => Ok(uri.to_string()),
            Err(problem) => Err(problem.to_string()),
        }
    }

    #[test]
    fn endpoints_are_absolute_urls() {
        let relative = of("/v2/credentials/id?x=@#y", true);
        assert_eq!(
            relative.as_deref(),
            Ok("http://169.254.170.2/v2/credentials/id?x=@")
        );
        for uri in ["HTTP://127.0.0.1/x", "http://user:pass@127.0.0.1/x"] {
            assert_eq!(of(uri, false).as_deref(), Ok("http://127.0.0.1/x"), "{uri}");
        }
        let full = of("http://[fd00:ec2::23]:80/v1/credentials", false);
        assert_eq!(
            full.as_deref(),
            Ok("http://[fd00:ec2::23]:80/v1/credentials")
        );
    }

    #[test]
    fn malformed_uris_show_no_part_of_themselves() {
        for uri in [
            "",
            "localhost:80",
            "http:/x",
            "*",
            "x/y",
            "http://",
            "http:///x",
            "http://:80/",
            "http://u:p@sentinel@127.0.0.1/",
            "http://sentinel#x@127.0.0.1/",
            "http://u:1/sentinel@127.0.0.1/",
            "http://127.0.0.1\\sentinel/",
            "http://127.0.0.1:sentinel/",
            "http://127.0.0.1:99999/",
            "http://127.0.0.1/\nsentinel",
            "http://[127.0.0.1/sentinel",
            "ftp://sentinel/",
        ] {
            let problem = of(uri, false).expect_err(uri);
            assert!(!problem.contains("sentinel"), "{problem}");
        }
        assert!(of("x", true).is_err());
        assert!(of("", true).is_err());
    }

    #[test]
    fn only_loopback_ecs_and_eks_are_allowed() {
        for (address, allowed) in [
            ("127.0.0.1", true),
            ("127.9.9.9", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("169.254.170.2", true),
            ("169.254.170.23", true),
            ("fd00:ec2::23", true),
            ("169.254.169.254", false),
            ("10.0.0.1", false),
            ("0.0.0.0", false),
            ("::ffff:10.0.0.1", false),
        ] {
            assert_eq!(
                is_allowed(address.parse().expect(address)),
                allowed,
                "{address}"
            );
        }
    }
}
