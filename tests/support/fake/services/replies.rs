//! Replies that a script words: refusals, statuses, broken bodies.

use chrono::{TimeDelta, Utc};
use serde_json::json;

use super::super::State;
use super::super::behaviour::{Answer, Good};
use super::super::http::{Reply, Request};
use super::{Asked, Service, TOKEN_LIFE, XMLNS, authorization_token, reply};

/// An error as this service words it.
pub fn refusal(service: Service, status: u16, code: &str, message: &str) -> Reply {
    let reply = match service {
        Service::Ecr | Service::EcrPublic | Service::Registry | Service::Unknown => Reply::new(
            status,
            "application/x-amz-json-1.1",
            json!({ "__type": code, "message": message }).to_string(),
        ),
        Service::Sts => {
            let message = message.replace('&', "&amp;").replace('<', "&lt;");
            Reply::new(
                status,
                "text/xml",
                format!(
                    "<ErrorResponse xmlns=\"{XMLNS}\"><Error><Type>Sender</Type>\
                     <Code>{code}</Code><Message>{message}</Message></Error>\
                     <RequestId>fake-request</RequestId></ErrorResponse>"
                ),
            )
        }
        Service::Sso => Reply::new(
            status,
            "application/json",
            json!({
                "message": message,
                "__type": format!("com.amazonaws.switchboard.portal#{code}"),
            })
            .to_string(),
        )
        .with("x-amzn-ErrorType", code),
        Service::Oidc => Reply::new(
            status,
            "application/json",
            json!({ "error": snake(code), "error_description": message }).to_string(),
        )
        .with("x-amzn-ErrorType", code),
        Service::Signin => Reply::new(
            status,
            "application/json",
            json!({ "error": "TOKEN_EXPIRED", "message": message }).to_string(),
        )
        .with("x-amzn-ErrorType", code),
        Service::Container => Reply::new(
            status,
            "application/json",
            json!({ "code": code, "message": message }).to_string(),
        ),
        Service::Imds | Service::ImdsToken => Reply::new(
            status,
            "text/plain",
            json!({ "Code": code, "Message": message }).to_string(),
        ),
    };
    reply.with("x-amzn-RequestId", "fake-request")
}

/// `InvalidGrantException` as OAuth spells it.
fn snake(code: &str) -> String {
    let mut out = String::new();
    for c in code.trim_end_matches("Exception").chars() {
        if c.is_ascii_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

/// A good reply's body with `depth` arrays inside one another, before its own members.
pub fn deepened(mut reply: Reply, depth: usize) -> Reply {
    if reply.body.first() == Some(&b'{') {
        let mut body = br#"{"deep":"#.to_vec();
        body.resize(body.len() + depth, b'[');
        body.resize(body.len() + depth, b']');
        body.push(b',');
        body.extend_from_slice(&reply.body[1..]);
        reply.body = body;
    }
    reply
}

/// The body of a scripted status, its placeholders filled in.
pub fn filled(body: &str, state: &mut State) -> String {
    if !body.contains('$') {
        return body.to_owned();
    }
    let expires = Utc::now() + TimeDelta::seconds(TOKEN_LIFE);
    let mut body = body.replace("$EXPIRES", &expires.timestamp().to_string());
    if body.contains("$TOKEN") || body.contains("$PASSWORD") {
        let token = authorization_token(None, expires, state);
        let password = state.passwords.last().cloned().unwrap_or_default();
        body = body
            .replace("$TOKEN", &token)
            .replace("$PASSWORD", &password);
    }
    body
}

/// The reply to the request, for those answers that send all of it.
pub fn whole(asked: &Asked, request: &Request, answer: &Answer, state: &mut State) -> Reply {
    match answer {
        Answer::Ok(good) => reply(asked, request, good, state),
        Answer::Status {
            code,
            body,
            content_type,
            headers,
        } => {
            let json = "application/x-amz-json-1.1";
            let typed = content_type.as_deref().unwrap_or(json);
            let mut reply = Reply::new(*code, typed, filled(body, state));
            for (name, value) in headers {
                reply = reply.with(name, value);
            }
            reply
        }
        Answer::AwsError {
            code,
            message,
            status,
        } => refusal(asked.service, *status, code, message),
        Answer::Html200 => Reply::new(
            200,
            "text/html",
            "<html><body>Welcome to the hotel's network</body></html>",
        ),
        Answer::Redirect { location } => Reply::new(307, "", "").with("Location", location),
        Answer::DeepJson { depth } => {
            deepened(reply(asked, request, &Good::default(), state), *depth)
        }
        _ => reply(asked, request, &Good::default(), state),
    }
}
