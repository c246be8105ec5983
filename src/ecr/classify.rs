//! Turns the failure of one request into a [`Problem`].
//!
//! AWS words the same failure in several codes, and its messages may repeat what was sent to it:
//! those about signatures quote headers, session token included, and are never shown.

use chrono::{DateTime, TimeDelta, Utc};

use super::http::{Failure, RequestOutcome, Tries};
use super::retry::THROTTLING_CODES;
use crate::principal::{ConsoleLogin, Endpoint, RegistryApi, Role, Sso, Variant, WebIdentity};
use crate::problem::{Problem, ProblemKind};
use crate::registry::{Registry, Service};

/// A request, with what its failure is explained by.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step<'a> {
    Token {
        registry: &'a Registry,
        api: &'a RegistryApi,
        owner: &'a str,
    },
    Role {
        role: &'a Role,
        owner: &'a str,
    },
    WebIdentity(&'a WebIdentity),
    Caller {
        sts: &'a Endpoint,
        owner: &'a str,
    },
    SsoRenewal(&'a Sso),
    SsoRole(&'a Sso),
    Login(&'a ConsoleLogin),
    Container,
    Metadata,
}

impl<'a> Step<'a> {
    /// The service's name in messages.
    pub(super) fn service(&self) -> &'static str {
        match self {
            Self::Token { registry, .. } => service_name(registry.service()),
            Self::Role { .. } | Self::WebIdentity(_) | Self::Caller { .. } => "STS",
            Self::SsoRenewal(_) | Self::SsoRole(_) => "IAM Identity Center",
            Self::Login(_) => "the sign-in service",
            Self::Container => "the container credentials endpoint",
            Self::Metadata => "instance metadata",
        }
    }

    /// The region and the variant of the endpoint.
    fn endpoint(&self) -> Option<(&'a str, Variant)> {
        let endpoint = match self {
            Self::Token { api, .. } => return Some((&api.region, api.variant)),
            Self::Role { role, .. } => &role.sts,
            Self::WebIdentity(web) => &web.sts,
            Self::Caller { sts, .. } => sts,
            Self::SsoRenewal(sso) => &sso.oidc,
            Self::SsoRole(sso) => &sso.portal,
            Self::Login(login) => &login.signin,
            Self::Container | Self::Metadata => return None,
        };
        Some((&endpoint.region, endpoint.variant()))
    }

    /// The owner of the keys that signed the request, in messages.
    fn owner(&self) -> &'a str {
        match self {
            Self::Token { owner, .. } | Self::Role { owner, .. } | Self::Caller { owner, .. } => {
                owner
            }
            Self::WebIdentity(_)
            | Self::SsoRenewal(_)
            | Self::SsoRole(_)
            | Self::Login(_)
            | Self::Container
            | Self::Metadata => self.service(),
        }
    }
}

/// A service's name in messages.
pub(super) fn service_name(service: Service) -> &'static str {
    match service {
        Service::Ecr => "ECR",
        Service::EcrPublic => "ECR Public",
    }
}

/// The known facts about a failure.
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
    /// How often the request was sent.
    pub(super) tries: Option<Tries>,
    /// By the local clock.
    pub(super) now: Option<DateTime<Utc>>,
}

/// The response of a service.
struct ServiceAnswer<'a> {
    status: Option<u16>,
    code: &'a str,
    message: &'a str,
    request_id: Option<&'a str>,
    tries: Option<Tries>,
    /// How far the server's clock is ahead of the local one.
    ahead: Option<TimeDelta>,
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
/// Phrases in the message of such a code when the time of the signature is at fault. No code of
/// its own tells.
const SKEWED_WORDS: &[&str] = &["signature expired", "signature not yet current"];
const ROLE_REFUSED: &[&str] = &["ValidationError", "RegionDisabledException"];
const WEB_TOKEN_REJECTED: &[&str] = &["InvalidIdentityToken", "IDPRejectedClaim"];

/// The one place where the failure of a request becomes a problem.
pub(super) fn classify(step: Step<'_>, context: &FailureContext) -> Problem {
    let (status, date) = match &context.outcome {
        Some(RequestOutcome::Failed(failure)) => {
            return no_response(step, failure, context.tries);
        }
        Some(RequestOutcome::Pending { doing }) => return timed_out(step, doing),
        Some(RequestOutcome::Replied { status, date, .. }) => (Some(*status), *date),
        None => (None, None),
    };
    if context.timed_out {
        return timed_out(step, &format!("waiting for {}", step.service()));
    }
    let answer = ServiceAnswer {
        status,
        code: context.code.as_deref().unwrap_or_default(),
        message: context.message.as_deref().unwrap_or_default(),
        request_id: context.request_id.as_deref(),
        tries: context.tries,
        ahead: date.zip(context.now).map(|(theirs, ours)| theirs - ours),
    };
    any_service(step, &answer)
        .or_else(|| one_service(step, &answer))
        .or_else(|| signature(step.owner(), &answer))
        .unwrap_or_else(|| otherwise(step, &answer))
}

impl ServiceAnswer<'_> {
    fn is(&self, codes: &[&str]) -> bool {
        codes.contains(&self.code)
    }
}

/// Failures that mean the same from every service.
fn any_service(step: Step<'_>, answer: &ServiceAnswer<'_>) -> Option<Problem> {
    if answer.is(THROTTLING_CODES) {
        return Some(Problem::throttled(step.service(), answer.tries));
    }
    let message = answer.message.to_lowercase();
    let late = SKEWED_WORDS.iter().any(|words| message.contains(words));
    if answer.is(SKEWED) || (answer.is(UNSIGNED) && late) {
        return Some(Problem::clock_skew(answer.ahead));
    }
    let status = answer.status.filter(|status| *status >= 500)?;
    Some(Problem::server_error(step.service(), status, answer.tries))
}

/// Failures of one service alone, or in its own words.
fn one_service(step: Step<'_>, answer: &ServiceAnswer<'_>) -> Option<Problem> {
    match step {
        Step::Token { registry, .. } => answer
            .is(DENIED)
            .then(|| Problem::access_denied(registry.service(), answer.message)),
        Step::Role { role, owner } => (answer.is(DENIED) || answer.is(ROLE_REFUSED))
            .then(|| Problem::role_refused(&role.role_arn, owner, answer.message)),
        Step::WebIdentity(web) => web_identity(web, answer),
        Step::Caller { .. } => None,
        Step::SsoRenewal(sso) | Step::SsoRole(sso) => sso_role(sso, answer),
        Step::Login(login) => matches!(answer.status, Some(400 | 401 | 403))
            .then(|| Problem::console_session_expired(&login.profile)),
        Step::Container => Some(container(answer)),
        Step::Metadata => Some(metadata(answer)),
    }
}

fn web_identity(web: &WebIdentity, answer: &ServiceAnswer<'_>) -> Option<Problem> {
    if answer.is(EXPIRED) {
        Some(Problem::web_token_expired())
    } else if answer.is(WEB_TOKEN_REJECTED) {
        Some(Problem::web_token_rejected(answer.message))
    } else if answer.is(DENIED) || answer.is(ROLE_REFUSED) {
        Some(Problem::web_role_refused(&web.role_arn, answer.message))
    } else {
        None
    }
}

fn sso_role(sso: &Sso, answer: &ServiceAnswer<'_>) -> Option<Problem> {
    if answer.code == "UnauthorizedException" || answer.status == Some(401) {
        return Some(Problem::sso_expired(&sso.profile));
    }
    let refused = answer.is(DENIED)
        || answer.code == "ResourceNotFoundException"
        || answer.status == Some(403);
    refused.then(|| Problem::sso_role_refused(sso))
}

fn container(answer: &ServiceAnswer<'_>) -> Problem {
    match answer.status {
        Some(200..=299) => Problem::container(
            ProblemKind::Unavailable,
            "the response holds no credentials",
        ),
        Some(status) => Problem::container(
            ProblemKind::Refused,
            &format!("the endpoint refused with HTTP status {status}"),
        ),
        None => Problem::container(ProblemKind::Configuration, answer.message),
    }
}

fn metadata(answer: &ServiceAnswer<'_>) -> Problem {
    match answer.status {
        Some(404) => Problem::no_credentials("this machine has no role in its instance metadata"),
        Some(200..=299) => Problem::unexpected("instance metadata", "no credentials in it"),
        Some(status) => Problem::no_credentials(&format!(
            "instance metadata refused with HTTP status {status}"
        )),
        None => Problem::no_credentials(answer.message),
    }
}

/// Refusals of the keys or the signature.
fn signature(owner: &str, answer: &ServiceAnswer<'_>) -> Option<Problem> {
    if answer.is(UNKNOWN) {
        Some(Problem::unknown_key(owner))
    } else if answer.is(EXPIRED) {
        Some(Problem::session_token_expired(owner))
    } else if answer.is(UNSIGNED) {
        Some(Problem::signature_rejected(owner))
    } else {
        None
    }
}

fn otherwise(step: Step<'_>, answer: &ServiceAnswer<'_>) -> Problem {
    let service = step.service();
    if !answer.code.is_empty() && answer.status.is_some_and(|status| status >= 400) {
        return Problem::refused(service, answer.code, answer.message, answer.request_id);
    }
    match answer.status {
        Some(status @ 300..=399) => Problem::unexpected(
            service,
            &format!("a redirect (HTTP status {status}), which is not followed"),
        ),
        Some(200..=299) => Problem::unexpected(service, "it is not what the API documents"),
        Some(status) => Problem::unexpected(
            service,
            &format!("HTTP status {status} without an error code"),
        ),
        None if answer.message.is_empty() => {
            Problem::unexpected(service, "the request could not be made")
        }
        None => Problem::unexpected(service, answer.message),
    }
}

/// A request without a response.
fn no_response(step: Step<'_>, failure: &Failure, tries: Option<Tries>) -> Problem {
    let local = matches!(
        failure,
        Failure::TrustStore(_) | Failure::ProxySetting(_) | Failure::Url
    );
    match (step, failure) {
        (_, Failure::TooMany { .. }) => Problem::throttled(step.service(), tries),
        (Step::Metadata, _) if !local => {
            Problem::no_credentials(&format!("instance metadata cannot be reached ({failure})"))
        }
        (Step::Container, _) if !local => {
            Problem::container(ProblemKind::Unavailable, &failure.to_string())
        }
        // The name of a FIPS or dual-stack endpoint that does not exist. Where the resolver could
        // not be asked, nothing is known about it.
        (
            _,
            Failure::Dns {
                host,
                temporary: false,
            },
        ) => step
            .endpoint()
            .and_then(|(region, variant)| {
                Problem::no_endpoint(step.service(), region, variant, std::slice::from_ref(host))
            })
            .unwrap_or_else(|| failure.into()),
        _ => failure.into(),
    }
}

fn timed_out(step: Step<'_>, doing: &str) -> Problem {
    match step {
        Step::Metadata => Problem::no_credentials(&format!(
            "instance metadata cannot be reached (timed out {doing})"
        )),
        _ => Problem::timed_out(doing),
    }
}
