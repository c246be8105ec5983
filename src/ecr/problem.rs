//! The failures of this module: one constructor per mistake that a person can act on, grouped by
//! who failed. Cause, hint, kind and shareability of a failure stand together, and nowhere else.
//!
//! A failure is shared when every process that waits for the same cache key would meet it too.

use std::path::Path;
use std::time::Duration;

use chrono::TimeDelta;

use super::denial::{Denial, DenialReason};
use super::http::{Failure, Tries};
use super::redact::one_line;
use crate::principal::{Sso, Variant};
use crate::problem::{Problem, ProblemKind};
use crate::registry::{Registry, Service, is_known_region, nearest_region};

/// Longer causes are cut: they hold text from elsewhere.
const LONGEST_CAUSE: usize = 160;

const CHECK_SOURCES: &str = "set AWS_PROFILE to a profile of ~/.aws/config, set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give this machine a role";
const CHECK_TRUST_POLICY: &str = "check that the role exists, that its trust policy names the principal, and that the principal may call sts:AssumeRole";
const CHECK_WEB_TOKEN: &str =
    "check AWS_WEB_IDENTITY_TOKEN_FILE or web_identity_token_file, and the role's trust policy";
const CHECK_PROCESS: &str =
    "run the command of credential_process by hand; it must print a JSON object with Version 1";
const CHECK_CONTAINER: &str = "check AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI, AWS_CONTAINER_AUTHORIZATION_TOKEN, and the role of the task or pod";
const CHECK_TIME_LIMIT: &str = "check the network, DNS and HTTPS_PROXY; AWS_ECR_TIMEOUT sets the time limit of one call in seconds";

/// A cause that ends in text from elsewhere, which is cut where it gets too long. The whole text
/// becomes the detail.
fn quoting(
    kind: ProblemKind,
    cause: impl Into<String>,
    text: &str,
    hint: impl Into<String>,
) -> Problem {
    let cause = cause.into();
    if text.is_empty() {
        return Problem::new(kind, cause, hint);
    }
    let whole = format!("{cause}: {text}");
    match whole.char_indices().nth(LONGEST_CAUSE) {
        Some((end, _)) => {
            Problem::new(kind, format!("{}…", &whole[..end]), hint).with_detail(whole)
        }
        None => Problem::new(kind, whole, hint),
    }
}

/// The credential sources.
impl Problem {
    /// The detail is the reason alone.
    pub(super) fn no_credentials(reason: &str) -> Self {
        let cause = format!("no AWS credentials found: {reason}");
        Self::new(ProblemKind::NoCredentials, cause, CHECK_SOURCES).with_detail(reason)
    }

    pub(super) fn process_failed(profile: &str, reason: &str) -> Self {
        let cause = format!("the credential_process of profile {profile:?} {reason}");
        quoting(ProblemKind::Configuration, cause, "", CHECK_PROCESS)
    }

    pub(super) fn process_timed_out(profile: &str, after: Duration) -> Self {
        let seconds = after.as_secs_f32();
        Self::new(
            ProblemKind::Unavailable,
            format!(
                "timed out waiting for the credential_process of profile {profile:?} (after {seconds:.1} s)"
            ),
            "run the command of credential_process by hand; AWS_ECR_TIMEOUT sets the time limit of one call in seconds",
        )
        .shared()
    }

    pub(super) fn stopped() -> Self {
        Self::new(
            ProblemKind::Unavailable,
            "stopped by a signal",
            "run it again",
        )
    }

    pub(super) fn container(kind: ProblemKind, reason: &str) -> Self {
        Self::new(
            kind,
            format!("container credentials: {reason}"),
            CHECK_CONTAINER,
        )
        .shared()
    }

    pub(super) fn metadata_endpoint() -> Self {
        Self::new(
            ProblemKind::Configuration,
            "the endpoint of instance metadata is not an http:// or https:// URL",
            "correct or unset AWS_EC2_METADATA_SERVICE_ENDPOINT (or its key in the profile)",
        )
    }

    pub(super) fn metadata_refused(code: &str) -> Self {
        Self::new(
            ProblemKind::Refused,
            format!("instance metadata has no credentials: {}", one_line(code)),
            "check that the trust policy of the instance's role names ec2.amazonaws.com",
        )
        .shared()
    }

    /// Version 2 did not answer, and version 1 is turned off.
    pub(super) fn metadata_hop_limit() -> Self {
        Self::new(
            ProblemKind::Unavailable,
            "instance metadata gives no session token, and does not answer without one",
            "in a container on EC2, set the instance's metadata hop limit to 2: aws ec2 modify-instance-metadata-options --http-put-response-hop-limit 2",
        )
    }

    /// The same failure where a profile names instance metadata as its source: there is one.
    pub(super) fn metadata_in_profile(self) -> Self {
        match (self.kind(), self.detail()) {
            (ProblemKind::NoCredentials, Some(reason)) => {
                Self::new(ProblemKind::Unavailable, reason, self.hint())
            }
            _ => self,
        }
    }

    /// Keys or a region that a request cannot carry.
    pub(super) fn unsendable(what: &str) -> Self {
        Self::new(
            ProblemKind::Configuration,
            format!("{what} has characters that cannot be sent"),
            "set it again, without surrounding quotes or whitespace",
        )
    }
}

/// IAM Identity Center and the sign-in service.
impl Problem {
    pub(super) fn sso_expired(profile: &str) -> Self {
        Self::new(
            ProblemKind::SessionExpired,
            format!("the SSO session for profile {profile:?} has expired"),
            format!("run aws sso login --profile {profile}"),
        )
        .shared()
    }

    pub(super) fn sso_role_refused(sso: &Sso) -> Self {
        let Sso { profile, .. } = sso;
        Self::new(
            ProblemKind::Refused,
            format!(
                "the SSO user of profile {profile:?} is not assigned the role {} in account {}",
                sso.role_name, sso.account_id
            ),
            format!(
                "check sso_account_id and sso_role_name of profile {profile}, or request the permission set"
            ),
        )
        .shared()
    }

    /// The session could not be renewed, maybe since an earlier renewal could not be saved.
    pub(super) fn sso_unsaved(profile: &str, path: &Path) -> Self {
        Self::new(
            ProblemKind::Configuration,
            format!(
                "the SSO session for profile {profile:?} has expired, and {} cannot be written",
                path.display()
            ),
            format!(
                "make the file writable (mount ~/.aws without read-only), or run aws sso login --profile {profile} where it is"
            ),
        )
    }

    pub(super) fn console_session_expired(profile: &str) -> Self {
        Self::new(
            ProblemKind::SessionExpired,
            format!("the \"aws login\" session for profile {profile:?} has expired"),
            format!("run aws login --profile {profile}"),
        )
        .shared()
    }
}

/// STS.
impl Problem {
    pub(super) fn role_refused(role_arn: &str, by: &str, message: &str) -> Self {
        let cause = format!("the role {role_arn} cannot be assumed by {by}");
        quoting(ProblemKind::Refused, cause, message, CHECK_TRUST_POLICY).shared()
    }

    /// Never shared: the trust policy may evaluate any claim of the token.
    pub(super) fn web_role_refused(role_arn: &str, message: &str) -> Self {
        let cause = format!("the role {role_arn} cannot be assumed by the web identity token");
        quoting(ProblemKind::Refused, cause, message, CHECK_TRUST_POLICY)
    }

    pub(super) fn web_token_expired() -> Self {
        Self::new(
            ProblemKind::Refused,
            "the web identity token has expired",
            CHECK_WEB_TOKEN,
        )
    }

    pub(super) fn web_token_rejected(message: &str) -> Self {
        quoting(
            ProblemKind::Refused,
            "the web identity token is not accepted",
            message,
            CHECK_WEB_TOKEN,
        )
    }
}

/// ECR and ECR Public.
impl Problem {
    /// The principal and the action as the message of AWS names them.
    pub(super) fn access_denied(service: Service, message: &str) -> Self {
        let denial = Denial::parse(message);
        let default = match service {
            Service::Ecr => "ecr:GetAuthorizationToken",
            Service::EcrPublic => "ecr-public:GetAuthorizationToken",
        };
        let action = denial.action.unwrap_or(default);
        let cause = match denial.principal {
            Some(principal) => format!("access denied: {principal} may not call {action}"),
            None => format!("access denied: the principal may not call {action}"),
        };
        let reason = denial.reason.shown();
        let cause = match reason.is_empty() {
            true => cause,
            false => format!("{cause} ({reason})"),
        };
        let actions = match service {
            Service::Ecr => action,
            Service::EcrPublic => "ecr-public:GetAuthorizationToken and sts:GetServiceBearerToken",
        };
        let hint = match denial.reason {
            DenialReason::Explicit(_) => {
                "ask the policy's owner; an explicit deny cannot be overridden".to_owned()
            }
            DenialReason::NotAllowedBy(policy) if policy != "identity-based policy" => {
                format!("allow {actions} in the {policy}")
            }
            DenialReason::NotAllowedBy(_) | DenialReason::Unknown => {
                format!("allow {actions} in the principal's policy")
            }
        };
        Self::new(ProblemKind::Refused, cause, hint).shared()
    }

    /// The region in the registry's host is not a known one, and its API does not resolve; none
    /// for a known region, and for an endpoint that was set.
    pub(super) fn unknown_region(registry: &Registry, tried: &[String]) -> Option<Self> {
        let region = registry.region();
        let is_worked_out = |host: &String| host.contains(&format!(".{region}."));
        if is_known_region(region) || !tried.iter().any(is_worked_out) {
            return None;
        }
        let hint = match nearest_region(region) {
            Some(near) => {
                format!("correct the region in the registry's name: did you mean {near}?")
            }
            None => "correct the region in the registry's name, or check DNS if it is a new one"
                .to_owned(),
        };
        let cause = format!(
            "AWS has no region {region:?} that this version knows, and {} does not resolve",
            tried.join(" or ")
        );
        // It may be a new region whose name servers are out of order.
        Some(Self::new(ProblemKind::Unavailable, cause, hint).shared())
    }

    /// The FIPS or dual-stack names of an endpoint do not resolve; none for other endpoints.
    pub(super) fn no_endpoint(
        service: &str,
        region: &str,
        variant: Variant,
        tried: &[String],
    ) -> Option<Self> {
        let (kind, variables) = match (variant.fips, variant.dual_stack) {
            (true, true) => (
                "dual-stack FIPS",
                "AWS_USE_FIPS_ENDPOINT or AWS_USE_DUALSTACK_ENDPOINT",
            ),
            (true, false) => ("FIPS", "AWS_USE_FIPS_ENDPOINT"),
            (false, true) => ("dual-stack", "AWS_USE_DUALSTACK_ENDPOINT"),
            (false, false) => return None,
        };
        let (otherwise, variable) = match service {
            "ECR" => ("use a registry host without it, ", "ECR"),
            "ECR Public" if kind == "dual-stack" => ("use public.ecr.aws, ", "ECR_PUBLIC"),
            "ECR Public" => ("", "ECR_PUBLIC"),
            "STS" => ("", "STS"),
            _ => ("", "SSO or AWS_ENDPOINT_URL_SSO_OIDC"),
        };
        let problem = Self::new(
            ProblemKind::Configuration,
            format!(
                "{service} has no {kind} endpoint in the region {region}: {} does not resolve",
                tried.join(" or ")
            ),
            format!(
                "{otherwise}unset {variables} (or its key in the profile) if it is set, or set AWS_ENDPOINT_URL_{variable}"
            ),
        );
        Some(problem.shared())
    }
}

/// Any service that checks a signature; `owner` names the keys.
impl Problem {
    pub(super) fn unknown_key(owner: &str) -> Self {
        Self::new(
            ProblemKind::Refused,
            format!("AWS does not know the access key of {owner}"),
            "check that the key exists, is active, and belongs to the registry's partition of AWS, and that the region is enabled in its account",
        )
    }

    pub(super) fn session_token_expired(owner: &str) -> Self {
        Self::new(
            ProblemKind::Refused,
            format!("the session token of {owner} has expired"),
            "get new temporary keys and set all three environment variables or settings again",
        )
    }

    pub(super) fn signature_rejected(owner: &str) -> Self {
        Self::new(
            ProblemKind::Refused,
            format!("AWS does not accept the signature made by {owner}"),
            "check that the secret access key belongs to the access key ID, and that no proxy changes requests",
        )
    }

    /// `ahead` is how far the server's clock is ahead of the local one, where that was measured.
    pub(super) fn clock_skew(ahead: Option<TimeDelta>) -> Self {
        let cause = match ahead.filter(|ahead| ahead.abs() >= TimeDelta::seconds(60)) {
            None => "this machine's clock and that of AWS are too far apart".to_owned(),
            Some(ahead) => {
                let side = if ahead > TimeDelta::zero() {
                    "behind"
                } else {
                    "ahead of"
                };
                format!(
                    "this machine's clock is {} {side} that of AWS",
                    span(ahead.num_seconds().unsigned_abs())
                )
            }
        };
        Self::new(
            ProblemKind::Configuration,
            cause,
            "set this machine's clock",
        )
    }

    /// A refusal with a code that says nothing to this program.
    pub(super) fn refused(
        service: &str,
        code: &str,
        message: &str,
        request_id: Option<&str>,
    ) -> Self {
        let mut cause = format!("{service} refused with {}", one_line(code));
        if let Some(id) = request_id {
            cause = format!("{cause} (request {})", one_line(id));
        }
        quoting(
            ProblemKind::Refused,
            cause,
            message,
            "set AWS_ECR_LOG=debug to log each request",
        )
    }
}

/// Any service that does not answer as it should.
impl Problem {
    pub(super) fn throttled(service: &str, tries: Option<Tries>) -> Self {
        Self::new(
            ProblemKind::Unavailable,
            format!("{service} is throttling requests{}", shown_tries(tries)),
            "try again later; one token serves all registries of a region for 12 hours",
        )
        .shared()
    }

    pub(super) fn server_error(service: &str, status: u16, tries: Option<Tries>) -> Self {
        Self::new(
            ProblemKind::Unavailable,
            format!(
                "{service} failed with HTTP status {status}{}",
                shown_tries(tries)
            ),
            "try again; https://health.aws.amazon.com reports outages",
        )
        .shared()
    }

    pub(super) fn unexpected(service: &str, reason: &str) -> Self {
        Self::new(
            ProblemKind::Unavailable,
            format!("unexpected response from {service}: {reason}"),
            "check AWS_ENDPOINT_URL and AWS_ENDPOINT_URL_<SERVICE>, and whether a proxy answers in place of AWS",
        )
        .shared()
    }

    pub(super) fn timed_out(doing: &str) -> Self {
        Self::new(
            ProblemKind::Unavailable,
            format!("timed out {doing}"),
            CHECK_TIME_LIMIT,
        )
        .shared()
    }

    pub(super) fn no_runtime(error: &std::io::Error) -> Self {
        Self::new(
            ProblemKind::Unavailable,
            format!("cannot start the event loop: {error}"),
            "check the limits on open files and memory",
        )
    }
}

impl From<&Failure> for Problem {
    fn from(failure: &Failure) -> Self {
        let kind = match failure {
            Failure::TimedOut { doing, .. } => return Self::timed_out(doing),
            Failure::TrustStore(_)
            | Failure::Crypto { .. }
            | Failure::ProxySetting(_)
            | Failure::Url => ProblemKind::Configuration,
            Failure::Dns { .. }
            | Failure::Refused { .. }
            | Failure::Broken { .. }
            | Failure::Untrusted { .. }
            | Failure::CertificateTime { .. }
            | Failure::Tls { .. }
            | Failure::Proxy { .. }
            | Failure::TooLarge { .. }
            | Failure::TooMany { .. } => ProblemKind::Unavailable,
        };
        let problem = Self::new(kind, failure.to_string(), failure.hint());
        match failure.is_shared() {
            true => problem.shared(),
            false => problem,
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

/// How often a request was sent, where that was more than once.
fn shown_tries(tries: Option<Tries>) -> String {
    match tries {
        Some(Tries { count, elapsed }) if count > 1 => {
            format!(" ({count} attempts in {:.1} s)", elapsed.as_secs_f32())
        }
        _ => String::new(),
    }
}
