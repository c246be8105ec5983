//! One request of the SDK, sent again as `retry` decides.
//!
//! The SDK's own retries end after three attempts or count on a budget of their own, so all but one
//! are switched off: only the SDK can sign again, for the server's time, where the local clock is
//! wrong. What it sends again for other reasons gets the same failure once more. A request that is
//! sent again here is the same one: its signature is valid for minutes.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};

use super::client::{Client, Tries, lock};
use super::failure::{Failure, RequestOutcome};
use crate::ecr::retry::{AttemptFault, THROTTLING_CODES, pause, random_fraction};

impl Client {
    pub(super) async fn send_with_retries(
        &self,
        request: HttpRequest,
        connect: Option<Duration>,
        read: Option<Duration>,
    ) -> Result<HttpResponse, Failure> {
        if let Some(failure) = lock(&self.shared.state).spent.clone() {
            return Err(failure);
        }
        let start = Instant::now();
        let mut attempt = 0;
        loop {
            attempt += 1;
            lock(&self.shared.state).retry_after = None;
            let Some(copy) = request.try_clone() else {
                return self.send(request, connect, read).await;
            };
            let result = self.send(copy, connect, read).await;
            let retry_after = {
                let mut state = lock(&self.shared.state);
                state.tries = Some(Tries {
                    count: attempt,
                    elapsed: start.elapsed(),
                });
                state.retry_after
            };
            let (Some((limits, deadline)), Some(fault)) = (self.retry, fault_of(&result)) else {
                return result;
            };
            let left = deadline.saturating_duration_since(Instant::now());
            let random = random_fraction();
            let Some(pause) = pause(limits, attempt, fault, left, random, retry_after) else {
                self.note_spent(&result, fault);
                return result;
            };
            self.shared
                .log(|| format!("attempt {attempt} failed; the next one follows in {pause:.1?}"));
            tokio::time::sleep(pause).await;
        }
    }
}

impl Client {
    /// Notes the failure for the SDK's next attempt.
    fn note_spent(&self, result: &Result<HttpResponse, Failure>, fault: AttemptFault) {
        let mut state = lock(&self.shared.state);
        let host = match &state.outcome {
            Some(RequestOutcome::Replied { host, .. }) => host.clone(),
            _ => String::new(),
        };
        let failure = match (result, fault) {
            (Err(failure), _) => failure.clone(),
            (Ok(_), AttemptFault::Throttled) => {
                let failure = Failure::TooMany { host };
                state.outcome = Some(RequestOutcome::Failed(failure.clone()));
                failure
            }
            // The outcome says which status.
            (Ok(_), AttemptFault::Transient) => Failure::Broken {
                at: host,
                what: "server error".to_owned(),
            },
        };
        state.spent = Some(failure);
    }
}

fn refusal_of(response: &HttpResponse) -> Option<AttemptFault> {
    let status = response.status().as_u16();
    let code = match status {
        400.. => error_code(response),
        _ => None,
    };
    if code.is_some_and(|code| THROTTLING_CODES.contains(&&*code)) {
        return Some(AttemptFault::Throttled);
    }
    (status >= 500).then_some(AttemptFault::Transient)
}

/// Why a request is worth another attempt.
fn fault_of(result: &Result<HttpResponse, Failure>) -> Option<AttemptFault> {
    match result {
        Ok(response) => refusal_of(response),
        Err(failure) => match failure {
            Failure::TooMany { .. } => Some(AttemptFault::Throttled),
            Failure::Dns {
                temporary: true, ..
            }
            | Failure::Refused { .. }
            | Failure::Broken { .. }
            | Failure::TimedOut { .. }
            | Failure::Proxy { upstream: true, .. } => Some(AttemptFault::Transient),
            Failure::Dns { .. }
            | Failure::Untrusted { .. }
            | Failure::CertificateTime { .. }
            | Failure::Tls { .. }
            | Failure::TrustStore(_)
            | Failure::Crypto { .. }
            | Failure::ProxySetting(_)
            | Failure::Proxy { .. }
            | Failure::TooLarge { .. }
            | Failure::Url => None,
        },
    }
}

/// The error code of a refusal in JSON or, from STS, in XML.
fn error_code(response: &HttpResponse) -> Option<Cow<'_, str>> {
    #[derive(serde::Deserialize)]
    struct ErrorBody<'a> {
        #[serde(borrow, rename = "__type")]
        code: Cow<'a, str>,
    }
    if let Some(code) = response.headers().get("x-amzn-errortype") {
        return Some(bare(code).into());
    }
    let body = response.body().bytes()?;
    if let Ok(body) = serde_json::from_slice::<ErrorBody<'_>>(body) {
        return Some(bare(&body.code).to_owned().into());
    }
    let text = std::str::from_utf8(body).ok()?;
    let (code, _) = text.split_once("<Code>")?.1.split_once("</Code>")?;
    Some(code.trim().into())
}

/// `com.amazonaws.ecr#ThrottlingException:http://…` without what surrounds it.
fn bare(code: &str) -> &str {
    let code = code.split(':').next().unwrap_or_default();
    code.rsplit('#').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use aws_smithy_types::body::SdkBody;

    use super::*;

    fn fault(status: u16, header: Option<&str>, body: &str) -> Option<AttemptFault> {
        let mut response = http::Response::builder().status(status);
        if let Some(header) = header {
            response = response.header("x-amzn-errortype", header);
        }
        let response = response.body(SdkBody::from(body)).expect("response");
        fault_of(&Ok(response.try_into().expect("response")))
    }

    #[test]
    fn throttling_is_seen_in_every_protocol() {
        let throttled = Some(AttemptFault::Throttled);
        for (status, header, body, expected) in [
            (
                400,
                None,
                r#"{"__type":"a.b#ThrottlingException","message":"x"}"#,
                throttled,
            ),
            (
                400,
                None,
                r#"{"__type":"Throttling\u0045xception"}"#,
                throttled,
            ),
            (400, Some("ThrottlingException:http://x"), "", throttled),
            (
                400,
                None,
                "<E><Error><Code>Throttling</Code></Error></E>",
                throttled,
            ),
            (503, None, "<Code>SlowDown</Code>", throttled),
            (503, None, "", Some(AttemptFault::Transient)),
            (500, None, "{", Some(AttemptFault::Transient)),
            (
                400,
                None,
                r#"{"__type":"AccessDeniedException","message":"Throttling"}"#,
                None,
            ),
            (403, None, "<Code>AccessDenied</Code>", None),
            (400, None, "", None),
            (200, None, r#"{"__type":"ThrottlingException"}"#, None),
        ] {
            assert_eq!(
                fault(status, header, body),
                expected,
                "{status} {header:?} {body}"
            );
        }
        let too_many = Failure::TooMany { host: "h".into() };
        assert_eq!(fault_of(&Err(too_many)), throttled);
        assert_eq!(fault_of(&Err(Failure::Url)), None);
    }
}
