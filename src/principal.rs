//! The plan: who would ask ECR, from local facts alone.
//!
//! The helper that this one replaces names a cached token by the access key ID, so it has to
//! resolve AWS credentials before it can look. Here the token is named by what *decides* the
//! principal: variables, AWS config files, the presence of a login. A [`Pinned`](Identity::Pinned)
//! plan needs no network to be named; for an [`Ambient`](Identity::Ambient) one only the source
//! can say who it is. The rule: a cached token is served only when local facts prove that the same
//! principal would be asked again. `ecr.rs` executes the plan and nothing else.

mod aws_settings;
mod cache_key;
mod chain;
#[cfg(test)]
mod differential;
mod error;
mod surroundings;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use crate::registry::Registry;
use crate::secret::Secret;

pub use error::Error;
pub use surroundings::Surroundings;

/// One source of AWS credentials, the roles assumed from it, and the endpoint that is asked.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where the first credentials come from.
    pub source: Source,
    /// Roles assumed one after the other, the first from the source.
    pub roles: Vec<Role>,
    /// The API of ECR or of ECR Public.
    pub api: Endpoint,
    /// The profile that was selected, if one decided anything: for messages.
    pub profile: Option<String>,
    /// What the connection to AWS needs to know.
    pub network: Network,
    /// How the cache names this principal.
    pub identity: Identity,
}

impl Plan {
    /// Whether the source is a program, which may ask a person something.
    pub fn asks_a_process(&self) -> bool {
        matches!(self.source, Source::Process { .. })
    }

    /// What kind of source it is, in words for messages.
    pub fn source_kind(&self) -> &'static str {
        self.source.kind()
    }

    /// The name of the cache entry, once an ambient source has said whose keys it gives. The same
    /// registry has to be passed that the plan was made for.
    pub fn ambient_key(&self, registry: &Registry, access_key_id: &str) -> CacheKey {
        let who = cache_key::KeyMaterial::Key(access_key_id);
        cache_key::name(registry, &self.api, &self.source, &self.roles, who)
    }
}

/// A service endpoint. `url` decides alone, whatever FIPS and dual-stack say. For ECR it is always
/// there; the two flags are then false if the user set it, and else say how it was worked out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The region that requests are signed for.
    pub region: String,
    /// An endpoint set by the user, or worked out from the registry's host.
    pub url: Option<String>,
    /// Ask the FIPS endpoint.
    pub fips: bool,
    /// Ask the dual-stack endpoint.
    pub dual_stack: bool,
}

/// Settings of the connection that come from variables or the profile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Network {
    /// A CA bundle that replaces the system's, and the setting that named it.
    pub ca_bundle: Option<CaBundle>,
    /// `AWS_MAX_ATTEMPTS` or `max_attempts`.
    pub max_attempts: Option<u32>,
    /// `AWS_RETRY_MODE` or `retry_mode` is `adaptive`.
    pub adaptive_retry: bool,
}

/// A file of certificate authorities.
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
    /// `AWS_ACCESS_KEY_ID` and its fellows.
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
    /// The credentials endpoint of ECS or EKS Pod Identity, which the SDK reads from the
    /// environment.
    Container {
        /// `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI` or `…_FULL_URI`, cut off after the mark of a
        /// query.
        uri: String,
    },
    /// EC2 instance metadata, version 2.
    InstanceMetadata {
        /// `AWS_EC2_METADATA_SERVICE_ENDPOINT` or the profile's `ec2_metadata_service_endpoint`.
        endpoint: Option<String>,
        /// Whether the endpoint mode is IPv6.
        ipv6: bool,
    },
}

impl Source {
    fn kind(&self) -> &'static str {
        match self {
            Self::Environment(_) => "environment variables",
            Self::Static { .. } => "keys in a profile",
            Self::Process { .. } => "credential_process",
            Self::Sso(_) => "SSO",
            Self::Login(_) => "aws login",
            Self::WebIdentity(_) => "web identity",
            Self::Container { .. } => "container credentials",
            Self::InstanceMetadata { .. } => "instance metadata",
        }
    }
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
    /// The token: the very one that the principal was read from.
    pub token: Secret,
    /// STS.
    pub sts: Endpoint,
}

/// A role to assume.
#[derive(Debug, Clone)]
pub struct Role {
    /// The profile that names it.
    pub profile: String,
    /// The role.
    pub role_arn: String,
    /// `external_id`.
    pub external_id: Option<String>,
    /// `role_session_name`, where one is set.
    pub session_name: Option<String>,
    /// STS.
    pub sts: Endpoint,
}

/// How the cache names a principal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// Local facts name it.
    Pinned(CacheKey),
    /// The source has to say its key ID: see [`Plan::ambient_key`].
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
