//! The plan: which AWS principal would be used, from local facts alone.
//!
//! The helper that this one replaces names a cached token by the access key ID, so it has to
//! resolve AWS credentials before it can look. Here the token is named by what *decides* the
//! principal: variables, AWS config files, the presence of a session. A
//! [`Pinned`](Identity::Pinned) plan needs no network to be named; for an
//! [`Ambient`](Identity::Ambient) one only the source can tell the principal. The rule: a cached
//! token is served only when local facts prove that the same principal would be used again.
//!
//! [`Surroundings::read`] reads, [`plan()`] chooses, and `ecr.rs` executes the plan and nothing
//! else.

mod aws_settings;
mod cache_key;
mod chain;
mod choose;
mod cli_cache;
mod problem;
mod profiles;
mod session;
mod skipped;
mod sources;
mod subject;
mod surroundings;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

use crate::problem::{Problem, ProblemKind};
use crate::registry::Registry;
use crate::secret::Secret;

pub use choose::{connection, plan, sts};
#[allow(unused_imports, reason = "for what issues tokens and renews sessions")]
pub use session::session_digest;
pub use subject::Subject;
pub use surroundings::Surroundings;

/// Decisions of a rule or a request, which come before variables and profiles.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// A profile, used as with `aws --profile`: before environment keys and everything else.
    pub profile: Option<Named>,
    /// A role, assumed with the credentials that would be used otherwise.
    pub role_arn: Option<Named>,
    /// The identity of a pod, in place of every other source.
    pub web_identity: Option<PodIdentity>,
}

impl Selection {
    /// Whether a rule or a variable for this program decides the principal.
    pub fn is_binding(&self) -> bool {
        self.profile.is_some() || self.role_arn.is_some()
    }

    /// The failure, with the rule that selected what failed.
    pub fn blame(&self, problem: Problem) -> Problem {
        if problem.kind() == ProblemKind::Unavailable {
            return problem;
        }
        let text = problem.to_string();
        let rule = match (&self.profile, &self.role_arn) {
            (profile, Some(role)) if profile.is_none() || text.contains(&role.value) => {
                format!("role_arn, from {}", role.named_by)
            }
            (Some(profile), _) => format!("profile {:?}, from {}", profile.value, profile.named_by),
            (None, _) => return problem,
        };
        let is_named = [&self.profile, &self.role_arn]
            .into_iter()
            .flatten()
            .any(|named| text.contains(&named.named_by));
        match is_named {
            true => problem,
            false => problem.in_rule(&rule),
        }
    }
}

/// A setting and what it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Its value.
    pub value: String,
    /// `AWS_ECR_PROFILE`, or a section of a file with its line: for messages.
    pub named_by: String,
}

/// A service-account token that the kubelet hands over. Nothing got with it is cached.
#[derive(Debug, Clone)]
pub struct PodIdentity {
    /// The role to take.
    pub role_arn: String,
    /// Its session name.
    pub session_name: String,
    /// The token.
    pub token: Secret,
}

/// One source of AWS credentials, the roles assumed from it, and the endpoint that is called.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where the first credentials come from.
    pub source: Source,
    /// Roles assumed one after the other, the first from the source.
    pub roles: Vec<Role>,
    /// The API that is called.
    pub api: RegistryApi,
    /// The profile that was selected, if one decided anything: for messages.
    pub profile: Option<String>,
    /// Settings of the connection to AWS.
    pub network: Network,
    /// How the cache names this principal.
    pub identity: Identity,
    /// SHA-256, in hexadecimal, of the SSO or console session that a cached token must have been
    /// obtained with.
    pub session_digest: Option<String>,
    /// Where the AWS CLI keeps the credentials of roles, if any requires MFA.
    pub cli_cache: Option<PathBuf>,
}

impl Plan {
    /// Whether the source is a program, which may prompt the user.
    pub fn asks_a_process(&self) -> bool {
        matches!(self.source, Source::Process { .. })
    }

    /// The kind of source, for messages.
    pub fn source_kind(&self) -> &'static str {
        self.source.describe()
    }

    /// The cache key, once an ambient source has given keys with this ID. The registry has to be
    /// the one that the plan was made for.
    pub fn ambient_key(&self, registry: &Registry, access_key_id: &str) -> CacheKey {
        cache_key::ambient(
            registry,
            &self.api,
            &self.source,
            &self.roles,
            access_key_id,
        )
    }
}

/// The API of ECR or ECR Public. Its URL is set by the user or follows from the registry's host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryApi {
    /// The region that requests are signed for.
    pub region: String,
    /// The URL.
    pub url: String,
    /// The variant that the URL was worked out for; the default if the user set it.
    pub variant: Variant,
}

/// An endpoint of another service: STS, IAM Identity Center or the sign-in service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The region that requests are signed for.
    pub region: String,
    /// Its URL, or how it is worked out.
    pub address: Address,
}

/// The URL of an endpoint, or how it is worked out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// Set by the user; FIPS and dual-stack do not apply.
    Url(String),
    /// Derived by the SDK from the region.
    OfRegion(Variant),
}

/// FIPS and dual-stack selection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Variant {
    /// The FIPS endpoint.
    pub fips: bool,
    /// The dual-stack endpoint.
    pub dual_stack: bool,
}

impl Endpoint {
    /// The URL, if the user set it.
    pub fn url(&self) -> Option<&str> {
        match &self.address {
            Address::Url(url) => Some(url),
            Address::OfRegion(_) => None,
        }
    }

    /// The variant; the default if the user set the URL.
    pub fn variant(&self) -> Variant {
        match self.address {
            Address::Url(_) => Variant::default(),
            Address::OfRegion(variant) => variant,
        }
    }
}

impl From<&RegistryApi> for Endpoint {
    fn from(api: &RegistryApi) -> Self {
        Self {
            region: api.region.clone(),
            address: Address::Url(api.url.clone()),
        }
    }
}

/// Settings of the connection that come from variables or the profile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Network {
    /// A CA bundle that replaces the system's, and the setting that named it.
    pub ca_bundle: Option<CaBundle>,
    /// `AWS_MAX_ATTEMPTS` or `max_attempts`.
    pub max_attempts: Option<u32>,
}

/// A file of CA certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaBundle {
    /// The variable or the key of the profile that names the file: for messages.
    pub setting: String,
    /// The file.
    pub path: PathBuf,
}

/// Long-term or temporary access keys.
#[derive(Debug, Clone)]
pub struct AccessKeys {
    /// Not a secret; names the principal.
    pub access_key_id: String,
    /// The secret access key.
    pub secret_access_key: Secret,
    /// The session token of temporary keys.
    pub session_token: Option<Secret>,
}

/// Where the first credentials come from.
#[derive(Debug, Clone)]
pub enum Source {
    /// `AWS_ACCESS_KEY_ID` and related variables.
    Environment(AccessKeys),
    /// AccessKeys in a profile.
    Static {
        /// The profile that holds them.
        profile: String,
        /// The keys.
        keys: AccessKeys,
    },
    /// `credential_process` of a profile.
    Process {
        /// The profile that names it.
        profile: String,
        /// The command line, which may carry secrets.
        command: Secret,
    },
    /// IAM Identity Center (`aws sso login`).
    Sso(Sso),
    /// `aws login`.
    Login(ConsoleLogin),
    /// A web identity token exchanged at STS.
    WebIdentity(WebIdentity),
    /// The credentials endpoint of ECS or EKS Pod Identity.
    Container(Container),
    /// EC2 instance metadata.
    InstanceMetadata(InstanceMetadata),
}

impl Source {
    /// Stands for the kind of source in cache keys; never shown, never changed.
    pub fn id(&self) -> &'static str {
        match self {
            Self::Environment(_) => "environment",
            Self::Static { .. } => "static",
            Self::Process { .. } => "process",
            Self::Sso(_) => "sso",
            Self::Login(_) => "login",
            Self::WebIdentity(_) => "web-identity",
            Self::Container(_) => "container",
            Self::InstanceMetadata(_) => "instance-metadata",
        }
    }

    /// The kind of source, for messages.
    pub fn describe(&self) -> &'static str {
        match self {
            Self::Environment(_) => "environment variables",
            Self::Static { .. } => "keys in a profile",
            Self::Process { .. } => "credential_process",
            Self::Sso(_) => "SSO",
            Self::Login(_) => "aws login",
            Self::WebIdentity(_) => "web identity",
            Self::Container(_) => "container credentials",
            Self::InstanceMetadata(_) => "instance metadata",
        }
    }
}

/// The credentials endpoint of a container.
#[derive(Debug, Clone)]
pub struct Container {
    /// `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI` or `…_FULL_URI`. Its query may hold a secret.
    pub uri: Secret,
    /// Whether it is the relative one.
    pub relative: bool,
    /// `AWS_CONTAINER_AUTHORIZATION_TOKEN`, unaltered.
    pub token: Option<Secret>,
    /// `AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE`, which counts before the token: it is read for
    /// each request, since it is renewed.
    pub token_file: Option<PathBuf>,
}

/// EC2 instance metadata.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InstanceMetadata {
    /// `AWS_EC2_METADATA_SERVICE_ENDPOINT` or the profile's `ec2_metadata_service_endpoint`.
    pub endpoint: Option<String>,
    /// Whether the default endpoint is the one with an IPv6 address.
    pub ipv6: bool,
    /// `AWS_METADATA_SERVICE_TIMEOUT` or `metadata_service_timeout`, for one attempt.
    pub timeout: Option<Duration>,
    /// `AWS_METADATA_SERVICE_NUM_ATTEMPTS` or `metadata_service_num_attempts`.
    pub attempts: Option<u32>,
    /// `AWS_EC2_METADATA_V1_DISABLED` or `ec2_metadata_v1_disabled`.
    pub v1_disabled: bool,
}

/// A profile of IAM Identity Center.
#[derive(Debug, Clone)]
pub struct Sso {
    /// The profile that asks.
    pub profile: String,
    /// The `sso-session` section; none in the form without one.
    pub session: Option<String>,
    /// The start URL.
    pub start_url: String,
    /// The account to take a role in.
    pub account_id: String,
    /// The role's name.
    pub role_name: String,
    /// The portal, which gives role credentials.
    pub portal: Endpoint,
    /// The OIDC service, which renews the login.
    pub oidc: Endpoint,
    /// The file of the login, which the AWS CLI and the SDKs share.
    pub login_file: PathBuf,
}

/// A session of `aws login`.
#[derive(Debug, Clone)]
pub struct ConsoleLogin {
    /// The profile that names it.
    pub profile: String,
    /// The session's ARN.
    pub session_arn: String,
    /// The sign-in service, which renews it.
    pub signin: Endpoint,
    /// The file of the login, which the AWS CLI and the SDKs share.
    pub login_file: PathBuf,
}

/// A role taken with a web identity token.
#[derive(Debug, Clone)]
pub struct WebIdentity {
    /// The profile that says so; none for the variables.
    pub profile: Option<String>,
    /// The role.
    pub role_arn: String,
    /// Its session name, where one is set.
    pub session_name: Option<String>,
    /// The token: the one that the subject was read from.
    pub token: Secret,
    /// The identity in the token.
    pub subject: Subject,
    /// STS.
    pub sts: Endpoint,
}

/// A role to assume.
#[derive(Debug, Clone)]
pub struct Role {
    /// The profile that names it; none for a rule.
    pub profile: Option<String>,
    /// The role.
    pub role_arn: String,
    /// `external_id`.
    pub external_id: Option<String>,
    /// `role_session_name`, where one is set.
    pub session_name: Option<String>,
    /// `mfa_serial`: only the AWS CLI can assume the role, see [`Plan::kept_role`].
    pub mfa_serial: Option<String>,
    /// `duration_seconds`, which names a file of the AWS CLI and is not sent.
    pub duration: Option<u64>,
    /// STS.
    pub sts: Endpoint,
}

/// How the cache names a principal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// Local facts name it.
    Pinned(CacheKey),
    /// The source has to give its key ID first: see [`Plan::ambient_key`].
    Ambient,
}

/// The name of a cache entry: the SHA-256, in hexadecimal, of everything that decides the
/// principal and the endpoint. Never of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheKey(String);

impl CacheKey {
    /// A name of its own for each number.
    #[cfg(test)]
    pub(crate) fn for_test(number: u64) -> Self {
        Self(format!("{number:064x}"))
    }

    /// 64 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
