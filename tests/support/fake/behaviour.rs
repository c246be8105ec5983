//! The scripted behaviour of the fake AWS: data, so that a table of faults is a table, and so that a
//! script in another language can send it as JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::registry::Registry;

/// The answers of each service.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Behaviour {
    pub ecr: Script,
    pub ecr_public: Script,
    pub sts: Script,
    pub sso: Script,
    pub oidc: Script,
    pub signin: Script,
    /// ECS and EKS Pod Identity.
    pub container: Script,
    /// Role name and credentials of the instance metadata service.
    pub imds: Script,
    /// The session token of the instance metadata service.
    pub imds_token: Script,
    /// Seconds that the clock of this AWS is ahead of ours. Signatures that are more than five
    /// minutes off are refused, as AWS does.
    pub clock_offset: i64,
    /// The account behind credentials that name none.
    pub account: String,
    /// The `Authorization` that the container endpoint insists on.
    pub container_authorization: Option<String>,
    /// The role of the instance; none: 404.
    pub imds_role: Option<String>,
    /// Whether instance metadata answers without a token, as version 1 of it does.
    pub imds_v1: bool,
    /// The region of the instance.
    pub imds_region: String,
    /// The fate of new connections.
    pub accept: Accept,
    /// The limit of ECR's API, beyond which it throttles.
    pub ecr_limit: Option<RateLimit>,
    /// The contents of the registry behind the password, and its access rights.
    pub registry: Registry,
}

/// A token bucket.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RateLimit {
    pub per_second: f64,
    pub burst: f64,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            ecr: Script::default(),
            ecr_public: Script::default(),
            sts: Script::default(),
            sso: Script::default(),
            oidc: Script::default(),
            signin: Script::default(),
            container: Script::default(),
            imds: Script::default(),
            imds_token: Script::default(),
            clock_offset: 0,
            account: "123456789012".to_owned(),
            container_authorization: None,
            imds_role: Some("fake-instance-role".to_owned()),
            imds_v1: false,
            imds_region: "us-east-1".to_owned(),
            accept: Accept::Serve,
            ecr_limit: None,
            registry: Registry::default(),
        }
    }
}

/// The fate of new connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Accept {
    #[default]
    Serve,
    /// Accepted, then not a byte is read: over TLS the handshake hangs.
    Hang,
    /// Accepted and reset.
    Reset,
    /// Accepted and closed.
    Close,
    /// A few bytes that are neither TLS nor HTTP, then the end.
    Garbage,
}

/// The answers to successive calls, then the answer to all that follow.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Script {
    pub steps: Vec<Answer>,
    pub then: Answer,
}

impl Script {
    pub fn always(answer: Answer) -> Self {
        Self {
            steps: Vec::new(),
            then: answer,
        }
    }

    /// `answer` to the first `n` calls, a good one to the rest.
    pub fn times(n: usize, answer: Answer) -> Self {
        Self::steps(vec![answer; n])
    }

    /// These, then good ones.
    pub fn steps(steps: Vec<Answer>) -> Self {
        Self {
            steps,
            then: Answer::default(),
        }
    }

    /// The answer to the call with this number, from 0.
    pub fn answer(&self, call: usize) -> &Answer {
        self.steps.get(call).unwrap_or(&self.then)
    }
}

/// One answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Answer {
    Ok(Good),
    /// Any status and body. `$TOKEN` in the body becomes a fresh authorization token, `$PASSWORD`
    /// its password and `$EXPIRES` an expiry in epoch seconds, twelve hours ahead.
    Status {
        code: u16,
        #[serde(default)]
        body: String,
        #[serde(default)]
        content_type: Option<String>,
        #[serde(default)]
        headers: BTreeMap<String, String>,
    },
    /// An error in the format of the service that is asked.
    AwsError {
        code: String,
        #[serde(default)]
        message: String,
        #[serde(default = "bad_request")]
        status: u16,
    },
    ResetBefore,
    ResetMidway,
    CloseWithoutReply,
    HangBeforeHeaders,
    HangInBody,
    /// One byte a second, of a good reply.
    Trickle,
    /// A good reply that ends in the middle of the JSON or XML, with a length to match.
    Truncated,
    Html200,
    HugeBody {
        mib: usize,
    },
    /// A good reply that carries this many nested arrays besides its own members.
    DeepJson {
        depth: usize,
    },
    Redirect {
        location: String,
    },
    /// Waits, then gives the other answer.
    Delay {
        ms: u64,
        then: Box<Answer>,
    },
}

fn bad_request() -> u16 {
    400
}

impl Default for Answer {
    fn default() -> Self {
        Self::Ok(Good::default())
    }
}

impl Answer {
    /// A bare status with an empty body.
    pub fn status(code: u16) -> Self {
        Self::Status {
            code,
            body: String::new(),
            content_type: None,
            headers: BTreeMap::new(),
        }
    }

    /// Status 200 and this JSON.
    pub fn json(body: impl Into<String>) -> Self {
        Self::Status {
            code: 200,
            body: body.into(),
            content_type: None,
            headers: BTreeMap::new(),
        }
    }

    pub fn error(status: u16, code: &str, message: &str) -> Self {
        Self::AwsError {
            code: code.to_owned(),
            message: message.to_owned(),
            status,
        }
    }

    pub fn delay(ms: u64, then: Self) -> Self {
        Self::Delay {
            ms,
            then: Box::new(then),
        }
    }

    /// A token or credentials that live this long, in seconds.
    pub fn expires_in(seconds: i64) -> Self {
        Self::Ok(Good {
            expires_in: Some(seconds),
            ..Good::default()
        })
    }

    /// A token with this password.
    pub fn password(password: &str) -> Self {
        Self::Ok(Good {
            password: Some(password.to_owned()),
            ..Good::default()
        })
    }

    /// The name that the list of calls shows.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ok(_) => "ok",
            Self::Status { .. } => "status",
            Self::AwsError { .. } => "aws_error",
            Self::ResetBefore => "reset_before",
            Self::ResetMidway => "reset_midway",
            Self::CloseWithoutReply => "close_without_reply",
            Self::HangBeforeHeaders => "hang_before_headers",
            Self::HangInBody => "hang_in_body",
            Self::Trickle => "trickle",
            Self::Truncated => "truncated",
            Self::Html200 => "html200",
            Self::HugeBody { .. } => "huge_body",
            Self::DeepJson { .. } => "deep_json",
            Self::Redirect { .. } => "redirect",
            Self::Delay { .. } => "delay",
        }
    }
}

/// A good answer, with what is unusual about it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Good {
    /// Seconds, may be negative; 12 hours for tokens and 1 hour for credentials if not set.
    pub expires_in: Option<i64>,
    pub no_expires_at: bool,
    /// The expiry as this JSON value, whatever it is.
    pub expires_at: Option<Value>,
    pub no_proxy_endpoint: bool,
    pub proxy_endpoint: Option<Value>,
    /// In place of a made-up password.
    pub password: Option<String>,
    /// In place of the base64 of `AWS:password`.
    pub authorization_token: Option<Value>,
    pub no_authorization_token: bool,
    /// In place of a made-up access key ID.
    pub access_key_id: Option<String>,
}
