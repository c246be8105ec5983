//! What went wrong, told apart as a person can act on it: one variant per mistake, the cause in
//! its `Display`, what to do in [`Error::hint`].
//!
//! AWS words the same failure in several codes, and its messages may repeat what was sent to it:
//! those about signatures quote headers, session token included, and are never shown.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use chrono::{TimeDelta, Utc};

use super::http::{Failure, RequestOutcome};
use crate::registry::{Registry, Service};
use crate::secret::Secret;

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// No source has credentials.
    NoCredentials {
        /// What the last source said.
        why: String,
    },
    /// The login of IAM Identity Center has ended.
    SsoExpired {
        /// The profile that uses it.
        profile: String,
    },
    /// IAM Identity Center does not give this role to this user.
    SsoRefused {
        /// The profile that asks for it.
        profile: String,
        /// The account.
        account_id: String,
        /// The role's name.
        role_name: String,
    },
    /// The session of `aws login` has ended.
    LoginExpired {
        /// The profile that uses it.
        profile: String,
    },
    /// The SSO login was renewed, but its file cannot be written, and only the SDK knows the token.
    LoginUnsaved {
        /// The profile that uses it.
        profile: String,
        /// The file of the login.
        path: PathBuf,
    },
    /// The principal may not do it.
    Denied {
        /// As AWS names it, where it does.
        principal: Option<String>,
        /// The action that a policy has to allow.
        action: String,
        /// Whether this is about ECR Public.
        public: bool,
        /// Which policy forbids it, where AWS says that one does.
        forbidden: Option<String>,
    },
    /// AWS does not know the access key.
    UnknownKeys {
        /// Whose keys.
        who: String,
    },
    /// Keys or a region that no request can carry.
    Malformed {
        /// What has which characters.
        what: String,
    },
    /// Temporary keys have ended.
    ExpiredKeys {
        /// Whose keys.
        who: String,
    },
    /// The secret access key does not belong to the access key ID, or something changed the
    /// request on its way.
    Signature {
        /// Whose keys.
        who: String,
    },
    /// Our clock and that of AWS are too far apart.
    ClockSkew {
        /// By how much theirs is ahead, where it was seen.
        ahead: Option<TimeDelta>,
    },
    /// Too many requests.
    Throttled {
        /// Who says so.
        from: String,
    },
    /// A role cannot be assumed.
    RoleRefused {
        /// The role.
        role_arn: String,
        /// Who tried.
        by: String,
        /// What STS says about it.
        why: String,
    },
    /// A web identity token cannot be read, or STS does not take it.
    WebToken {
        /// What is wrong with it.
        what: String,
    },
    /// A credential_process failed.
    Process {
        /// The profile that names it.
        profile: String,
        /// How: the first line of what it wrote to stderr, if there is one.
        what: String,
    },
    /// The credentials endpoint of a container failed.
    Container {
        /// How.
        what: String,
    },
    /// The FIPS or dual-stack name of an endpoint does not resolve.
    NoEndpoint {
        /// Whose endpoint.
        service: &'static str,
        /// `FIPS`, `dual-stack` or both.
        kind: &'static str,
        /// The region.
        region: String,
        /// The names that were tried.
        tried: Vec<String>,
    },
    /// No reply arrived.
    Network(Failure),
    /// The deadline passed.
    TimedOut {
        /// During what.
        doing: String,
    },
    /// AWS failed.
    Server {
        /// Who.
        from: String,
        /// The HTTP status.
        status: u16,
    },
    /// A reply that makes no sense.
    Unexpected {
        /// Who sent it.
        from: String,
        /// What is wrong with it.
        what: String,
    },
    /// Any other refusal.
    Refused {
        /// Who refused.
        from: String,
        /// The error code.
        code: String,
        /// The message, without secrets, shortened.
        message: String,
        /// AWS's identifier of the request.
        request_id: Option<String>,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCredentials { why } => write!(f, "no AWS credentials found: {why}"),
            Self::SsoExpired { profile } => {
                write!(f, "the SSO session for profile {profile:?} has expired")
            }
            Self::SsoRefused {
                profile,
                account_id,
                role_name,
            } => write!(
                f,
                "the SSO user of profile {profile:?} may not take the role {role_name} in account {account_id}"
            ),
            Self::LoginUnsaved { profile, path } => write!(
                f,
                "the SSO session for profile {profile:?} was renewed, but {} cannot be written",
                path.display()
            ),
            Self::LoginExpired { profile } => write!(
                f,
                "the \"aws login\" session for profile {profile:?} has expired"
            ),
            Self::Denied {
                principal,
                action,
                forbidden,
                ..
            } => {
                match principal {
                    Some(principal) => {
                        write!(f, "access denied: {principal} is not allowed {action}")?;
                    }
                    None => write!(f, "access denied: not allowed {action}")?,
                }
                match forbidden {
                    Some(how) => write!(f, " {how}"),
                    None => Ok(()),
                }
            }
            Self::UnknownKeys { who } => write!(f, "AWS does not know the access key of {who}"),
            Self::Malformed { what } => write!(f, "{what} has characters that cannot be sent"),
            Self::ExpiredKeys { who } => write!(f, "the session token of {who} has expired"),
            Self::Signature { who } => {
                write!(f, "AWS does not accept the signature made by {who}")
            }
            Self::ClockSkew { ahead: None } => {
                f.write_str("this machine's clock and that of AWS are too far apart")
            }
            Self::ClockSkew { ahead: Some(ahead) } => {
                let seconds = ahead.num_seconds();
                let side = if seconds > 0 { "behind" } else { "ahead of" };
                write!(
                    f,
                    "this machine's clock is {} {side} that of AWS",
                    span(seconds.unsigned_abs())
                )
            }
            Self::Throttled { from } => write!(f, "{from} is throttling requests"),
            Self::RoleRefused { role_arn, by, why } => {
                write!(f, "the role {role_arn} cannot be assumed by {by}: {why}")
            }
            Self::WebToken { what } => write!(f, "the web identity token {what}"),
            Self::Process { profile, what } => {
                write!(f, "the credential_process of profile {profile:?} {what}")
            }
            Self::Container { what } => write!(f, "container credentials: {what}"),
            Self::NoEndpoint {
                service,
                kind,
                region,
                tried,
            } => write!(
                f,
                "{service} has no {kind} endpoint in the region {region}: {} does not resolve",
                tried.join(" or ")
            ),
            Self::Network(failure) => failure.fmt(f),
            Self::TimedOut { doing } => write!(f, "timed out {doing}"),
            Self::Server { from, status } => write!(f, "{from} failed with HTTP status {status}"),
            Self::Unexpected { from, what } => write!(f, "unexpected reply from {from}: {what}"),
            Self::Refused {
                from,
                code,
                message,
                request_id,
            } => {
                write!(f, "{from} refused with {code}")?;
                if !message.is_empty() {
                    write!(f, ": {message}")?;
                }
                match request_id {
                    Some(id) => write!(f, " (request {id})"),
                    None => Ok(()),
                }
            }
        }
    }
}

impl std::error::Error for Error {}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::TimedOut { doing } => Self::TimedOut { doing },
            failure => Self::Network(failure),
        }
    }
}

impl Error {
    /// What a person can do about it, in one line.
    pub fn hint(&self) -> String {
        match self {
            Self::NoCredentials { .. } => {
                "set AWS_PROFILE to a profile of ~/.aws/config, set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give this machine a role".to_owned()
            }
            Self::SsoExpired { profile } => format!("aws sso login --profile {profile}"),
            Self::SsoRefused { profile, .. } => format!(
                "check sso_account_id and sso_role_name of profile {profile}, or ask for the permission set"
            ),
            Self::LoginUnsaved { profile, .. } => format!(
                "make the file writable (mount ~/.aws without read-only), or run aws sso login --profile {profile} where it is"
            ),
            Self::LoginExpired { profile } => format!("aws login --profile {profile}"),
            Self::Denied {
                forbidden: Some(_), ..
            } => "ask whoever manages that policy: nothing else can allow it".to_owned(),
            Self::Denied { action, public, .. } => {
                if *public {
                    "allow ecr-public:GetAuthorizationToken and sts:GetServiceBearerToken in the principal's policy".to_owned()
                } else {
                    format!("allow {action} in the principal's policy")
                }
            }
            Self::UnknownKeys { .. } => {
                "check that the key exists, is active, and belongs to the registry's partition of AWS, and that the region is enabled in its account"
                    .to_owned()
            }
            Self::Malformed { .. } => {
                "set it again, without line ends, quotes or spaces around it".to_owned()
            }
            Self::ExpiredKeys { .. } => {
                "get new temporary keys and set all three variables or keys again".to_owned()
            }
            Self::Signature { .. } => {
                "check that the secret access key belongs to the access key ID, and that no proxy changes requests".to_owned()
            }
            Self::ClockSkew { .. } => "set this machine's clock".to_owned(),
            Self::Throttled { .. } => {
                "try again later; one token serves all registries of a region for 12 hours"
                    .to_owned()
            }
            Self::RoleRefused { .. } => {
                "check that the role exists, that its trust policy names the principal, and that the principal may sts:AssumeRole it".to_owned()
            }
            Self::WebToken { .. } => {
                "check AWS_WEB_IDENTITY_TOKEN_FILE or web_identity_token_file, and the role's trust policy".to_owned()
            }
            Self::Process { .. } => {
                "run the command of credential_process by hand; it has to print a JSON object with Version 1".to_owned()
            }
            Self::Container { .. } => {
                "check AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI, AWS_CONTAINER_AUTHORIZATION_TOKEN, and the role of the task or pod".to_owned()
            }
            Self::NoEndpoint { service, kind, .. } => {
                let variables = match *kind {
                    "FIPS" => "AWS_USE_FIPS_ENDPOINT",
                    "dual-stack" => "AWS_USE_DUALSTACK_ENDPOINT",
                    _ => "AWS_USE_FIPS_ENDPOINT or AWS_USE_DUALSTACK_ENDPOINT",
                };
                let (otherwise, endpoint) = match *service {
                    "ECR" => ("use a registry host without it, ", "ECR"),
                    "ECR Public" if *kind == "dual-stack" => ("use public.ecr.aws, ", "ECR_PUBLIC"),
                    "ECR Public" => ("", "ECR_PUBLIC"),
                    "STS" => ("", "STS"),
                    _ => ("", "SSO or AWS_ENDPOINT_URL_SSO_OIDC"),
                };
                format!(
                    "{otherwise}unset {variables} (or its key in the profile) if it is set, or set AWS_ENDPOINT_URL_{endpoint}"
                )
            }
            Self::Network(failure) => failure.hint(),
            Self::TimedOut { doing } if doing.contains("credential_process") => {
                "run the command of credential_process by hand; AWS_ECR_TIMEOUT sets how many seconds one answer may take".to_owned()
            }
            Self::TimedOut { .. } => {
                "check the network, DNS and HTTPS_PROXY; AWS_ECR_TIMEOUT sets how many seconds one answer may take".to_owned()
            }
            Self::Server { .. } => {
                "try again; https://health.aws.amazon.com tells of outages".to_owned()
            }
            Self::Unexpected { .. } => {
                "check the endpoint settings (AWS_ENDPOINT_URL and its kin) and whether a proxy answers in place of AWS".to_owned()
            }
            Self::Refused { .. } => {
                "AWS_ECR_LOG=debug shows what was asked of whom".to_owned()
            }
        }
    }

    /// Whether everybody who asks for the same entry of the cache would meet it, so that those
    /// who wait for the same token need not ask again.
    pub fn shared(&self) -> bool {
        match self {
            Self::SsoExpired { .. }
            | Self::SsoRefused { .. }
            | Self::LoginExpired { .. }
            | Self::Denied { .. }
            | Self::Throttled { .. }
            | Self::RoleRefused { .. }
            | Self::Container { .. }
            | Self::NoEndpoint { .. }
            | Self::TimedOut { .. }
            | Self::Server { .. }
            | Self::Unexpected { .. } => true,
            Self::Network(failure) => failure.is_shared(),
            _ => false,
        }
    }
}

fn span(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} seconds"),
        120..=7199 => format!("{} minutes", seconds / 60),
        7200..=172_799 => format!("{} hours", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// What was being asked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step<'a> {
    Token {
        registry: &'a Registry,
        who: &'a str,
    },
    Role {
        role_arn: &'a str,
        by: &'a str,
    },
    WebIdentity {
        role_arn: &'a str,
    },
    Sso {
        profile: &'a str,
        account_id: &'a str,
        role_name: &'a str,
    },
    Login {
        profile: &'a str,
    },
    Container,
    Metadata,
}

impl Step<'_> {
    fn from(&self) -> &'static str {
        match self {
            Self::Token { registry, .. } => match registry.service() {
                Service::Ecr => "ECR",
                Service::EcrPublic => "ECR Public",
            },
            Self::Role { .. } | Self::WebIdentity { .. } => "STS",
            Self::Sso { .. } => "IAM Identity Center",
            Self::Login { .. } => "the sign-in service",
            Self::Container => "the container credentials endpoint",
            Self::Metadata => "instance metadata",
        }
    }
}

/// What is known about a failure.
#[derive(Debug, Default)]
pub(super) struct FailureContext {
    pub(super) code: Option<String>,
    /// Without secrets already.
    pub(super) message: Option<String>,
    pub(super) request_id: Option<String>,
    /// How the last request of the step ended, if it sent any.
    pub(super) outcome: Option<RequestOutcome>,
    /// The SDK gave up waiting.
    pub(super) timed_out: bool,
}

const DENIED: &[&str] = &[
    "AccessDenied",
    "AccessDeniedException",
    "ForbiddenException",
];
const UNKNOWN: &[&str] = &[
    "UnrecognizedClientException",
    "InvalidClientTokenId",
    "InvalidAccessKeyId",
    "AuthFailure",
];
const EXPIRED: &[&str] = &["ExpiredToken", "ExpiredTokenException"];
const SKEWED: &[&str] = &[
    "RequestTimeTooSkewed",
    "RequestExpired",
    "RequestInTheFuture",
];
const UNSIGNED: &[&str] = &[
    "SignatureDoesNotMatch",
    "InvalidSignatureException",
    "IncompleteSignature",
    "IncompleteSignatureException",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
];
const THROTTLED: &[&str] = &[
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "RequestThrottledException",
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "BandwidthLimitExceeded",
    "SlowDown",
    "PriorRequestNotComplete",
];

/// The one place where a failure becomes an [`Error`].
#[expect(clippy::too_many_lines)]
pub(super) fn classify(step: Step<'_>, facts: FailureContext) -> Error {
    let from = || step.from().to_owned();
    let (status, date) = match &facts.outcome {
        Some(RequestOutcome::Failed(failure)) => return failed(step, failure.clone()),
        Some(RequestOutcome::Pending { doing }) => return timed_out(step, doing.clone()),
        Some(RequestOutcome::Replied { status, date, .. }) => (Some(*status), *date),
        None => (None, None),
    };
    if facts.timed_out {
        return timed_out(step, format!("waiting for {}", step.from()));
    }
    let code = facts.code.as_deref().unwrap_or_default();
    let message = facts.message.as_deref().unwrap_or_default();
    let is = |codes: &[&str]| codes.contains(&code);
    if is(THROTTLED) {
        return Error::Throttled { from: from() };
    }
    let lower = message.to_lowercase();
    let late = lower.contains("signature expired")
        || lower.contains("signature not yet current")
        || lower.contains("is not within");
    if is(SKEWED) || (is(UNSIGNED) && late) {
        return Error::ClockSkew {
            ahead: date
                .map(|date| date - Utc::now())
                .filter(|ahead| ahead.abs() >= TimeDelta::seconds(60)),
        };
    }
    if let Some(status) = status.filter(|status| *status >= 500) {
        return match step {
            Step::Container => Error::Container {
                what: format!("the endpoint failed with HTTP status {status}"),
            },
            _ => Error::Server {
                from: from(),
                status,
            },
        };
    }
    match step {
        Step::Sso {
            profile,
            account_id,
            role_name,
        } => {
            let profile = profile.to_owned();
            if code == "UnauthorizedException" || status == Some(401) {
                return Error::SsoExpired { profile };
            }
            if is(DENIED) || code == "ResourceNotFoundException" || status == Some(403) {
                return Error::SsoRefused {
                    profile,
                    account_id: account_id.to_owned(),
                    role_name: role_name.to_owned(),
                };
            }
        }
        Step::Login { profile } => {
            if matches!(status, Some(400 | 401 | 403)) {
                return Error::LoginExpired {
                    profile: profile.to_owned(),
                };
            }
        }
        Step::Container => {
            return Error::Container {
                what: match status {
                    Some(200..=299) => "the reply holds no credentials".to_owned(),
                    Some(status) => format!("the endpoint refused with HTTP status {status}"),
                    None => message.to_owned(),
                },
            };
        }
        Step::Metadata => {
            return match status {
                Some(404) => Error::NoCredentials {
                    why: "this machine has no role in its instance metadata".to_owned(),
                },
                Some(200..=299) => Error::Unexpected {
                    from: from(),
                    what: "it holds no credentials".to_owned(),
                },
                Some(status) => Error::NoCredentials {
                    why: format!("instance metadata refused with HTTP status {status}"),
                },
                None => Error::NoCredentials {
                    why: message.to_owned(),
                },
            };
        }
        Step::WebIdentity { role_arn } => {
            if is(EXPIRED) {
                return Error::WebToken {
                    what: "has expired".to_owned(),
                };
            }
            if matches!(code, "InvalidIdentityToken" | "IDPRejectedClaim") {
                return Error::WebToken {
                    what: format!("is not accepted: {message}"),
                };
            }
            if is(DENIED) || matches!(code, "ValidationError" | "RegionDisabledException") {
                return Error::RoleRefused {
                    role_arn: role_arn.to_owned(),
                    by: "the web identity token".to_owned(),
                    why: message.to_owned(),
                };
            }
        }
        Step::Role { role_arn, by } => {
            if is(DENIED) || matches!(code, "ValidationError" | "RegionDisabledException") {
                return Error::RoleRefused {
                    role_arn: role_arn.to_owned(),
                    by: by.to_owned(),
                    why: message.to_owned(),
                };
            }
        }
        Step::Token { registry, .. } => {
            if is(DENIED) {
                return denied(registry, message);
            }
        }
    }
    let who = match step {
        Step::Token { who, .. } => who,
        Step::Role { by, .. } => by,
        _ => step.from(),
    };
    let who = who.to_owned();
    if is(UNKNOWN) {
        Error::UnknownKeys { who }
    } else if is(EXPIRED) {
        Error::ExpiredKeys { who }
    } else if is(UNSIGNED) {
        Error::Signature { who }
    } else if let (false, Some(400..)) = (code.is_empty(), status) {
        Error::Refused {
            from: from(),
            code: one_line(code),
            message: message.to_owned(),
            request_id: facts.request_id.as_deref().map(one_line),
        }
    } else {
        Error::Unexpected {
            from: from(),
            what: match status {
                Some(status @ 300..=399) => {
                    format!("a redirect (HTTP status {status}), which is not followed")
                }
                Some(200..=299) => "it is not what the API documents".to_owned(),
                Some(status) => format!("HTTP status {status} without an error code"),
                None if message.is_empty() => "the request could not be made".to_owned(),
                None => message.to_owned(),
            },
        }
    }
}

/// The principal and the action as AWS's message names them.
fn denied(registry: &Registry, message: &str) -> Error {
    let public = registry.service() == Service::EcrPublic;
    let after = |mark: &str| {
        let word = message.split_once(mark)?.1.split_whitespace().next()?;
        Some(word.trim_end_matches(['.', ',']).to_owned())
    };
    let default = if public {
        "ecr-public:GetAuthorizationToken"
    } else {
        "ecr:GetAuthorizationToken"
    };
    Error::Denied {
        principal: after("User: ").filter(|arn| arn.starts_with("arn:")),
        action: after("to perform: ").unwrap_or_else(|| default.to_owned()),
        forbidden: message
            .split_once("with an explicit deny")
            .map(|(_, rest)| format!("with an explicit deny{rest}")),
        public,
    }
}

fn failed(step: Step<'_>, failure: Failure) -> Error {
    if let Failure::TooMany { .. } = failure {
        return Error::Throttled {
            from: step.from().to_owned(),
        };
    }
    let local = matches!(
        failure,
        Failure::TrustStore(_) | Failure::ProxySetting(_) | Failure::Url
    );
    match step {
        Step::Metadata if !local => Error::NoCredentials {
            why: format!("instance metadata cannot be reached ({failure})"),
        },
        Step::Container if !local => Error::Container {
            what: failure.to_string(),
        },
        _ => failure.into(),
    }
}

fn timed_out(step: Step<'_>, doing: String) -> Error {
    match step {
        Step::Metadata => Error::NoCredentials {
            why: format!("instance metadata cannot be reached (timed out {doing})"),
        },
        _ => Error::TimedOut { doing },
    }
}

/// The end of the whole deadline, wherever it finds us.
pub(super) fn past_deadline(outcome: Option<RequestOutcome>, after: Duration) -> Error {
    let seconds = after.as_secs_f32();
    Error::TimedOut {
        doing: match outcome {
            Some(RequestOutcome::Pending { doing }) => format!("{doing} (after {seconds:.1} s)"),
            Some(RequestOutcome::Failed(failure)) => {
                format!("after {seconds:.1} s; the last attempt said: {failure}")
            }
            Some(RequestOutcome::Replied { host, status, .. }) => {
                format!("after {seconds:.1} s; the last reply of {host} was HTTP status {status}")
            }
            None => format!("after {seconds:.1} s"),
        },
    }
}

/// Text from elsewhere on one line: no control characters, at most 300 characters.
pub(super) fn one_line(text: &str) -> String {
    let mut line = String::new();
    for word in text.split(|c: char| c.is_control() || c.is_whitespace()) {
        if word.is_empty() {
            continue;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    match line.char_indices().nth(300) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// The same without any of these secrets.
pub(super) fn redacted<'a>(text: &str, secrets: impl IntoIterator<Item = &'a Secret>) -> String {
    let mut text = text.to_owned();
    for secret in secrets {
        if !secret.is_empty() && text.contains(secret.expose()) {
            text = text.replace(secret.expose(), "…");
        }
    }
    one_line(&text)
}
