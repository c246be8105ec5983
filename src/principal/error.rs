//! Why there is no plan: everything that can be known to be wrong before anybody is asked.

use std::fmt;
use std::path::PathBuf;

use crate::profile;

/// Why there is no plan. Names profiles, keys and files; never a value that may be secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// No source of credentials is set up.
    NoCredentials {
        /// What was looked at, in this order, and what was found there.
        looked_at: Vec<String>,
    },
    /// An AWS config file cannot be used.
    File(profile::Error),
    /// The profile that was asked for does not exist.
    UnknownProfile {
        /// The profile.
        profile: String,
        /// `AWS_PROFILE`, or the profile whose `source_profile` names it.
        named_by: String,
    },
    /// A profile lacks a setting, or it is blank.
    Incomplete {
        /// The profile.
        profile: String,
        /// The setting.
        key: &'static str,
    },
    /// A profile holds settings that exclude each other or have no meaning.
    Invalid {
        /// The profile.
        profile: String,
        /// What is wrong, with the keys.
        what: String,
    },
    /// The profile that a role is assumed from has no credentials.
    SourceWithoutCredentials {
        /// The profile without credentials.
        profile: String,
        /// The profile of the role.
        role_profile: String,
    },
    /// `source_profile` goes round in circles.
    ProfileLoop {
        /// The profiles, in their order.
        profiles: Vec<String>,
    },
    /// A profile's `sso_session` names no section.
    UnknownSsoSession {
        /// The profile.
        profile: String,
        /// The session.
        session: String,
    },
    /// A role wants a code that nobody here can be asked for.
    MfaRequired {
        /// The profile with `mfa_serial`.
        profile: String,
        /// The profile that was selected.
        selected: String,
    },
    /// A profile's `credential_source` leads nowhere.
    SourceNotSet {
        /// The profile.
        profile: String,
        /// `Environment`, `EcsContainer` or `Ec2InstanceMetadata`.
        credential_source: &'static str,
        /// Why.
        why: &'static str,
    },
    /// There is no cached login of IAM Identity Center or of `aws login`.
    LoggedOut {
        /// The profile.
        profile: String,
        /// `aws sso login` or `aws login`.
        command: &'static str,
        /// The file that should be there.
        path: PathBuf,
    },
    /// Cached logins are found by `HOME`, which is not set.
    NoHome {
        /// The profile.
        profile: String,
    },
    /// The web identity token cannot be read.
    TokenFile {
        /// The file.
        path: PathBuf,
        /// The variable or the key that names it.
        setting: String,
        /// The system's words, or ours.
        reason: String,
    },
    /// AccessKeys of one partition are of no use in another.
    PartitionMismatch {
        /// The role, session or region of the credentials.
        credentials: String,
        /// Their partition.
        partition: &'static str,
        /// The registry.
        registry: String,
        /// Its partition.
        registry_partition: &'static str,
    },
    /// A switch is neither true nor false.
    BadSwitch {
        /// The variable or the key.
        setting: String,
        /// What it is set to.
        value: String,
    },
    /// An endpoint override is not an http or https URL.
    BadEndpoint {
        /// The variable or the key.
        setting: String,
    },
}

impl fmt::Display for Error {
    #[expect(clippy::too_many_lines)]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCredentials { looked_at } => {
                write!(
                    f,
                    "no AWS credentials found; looked at {}",
                    looked_at.join(", ")
                )
            }
            Self::File(e) => e.fmt(f),
            Self::UnknownProfile { profile, named_by } => {
                write!(f, "there is no profile {profile:?}, which {named_by} names")
            }
            Self::Incomplete { profile, key } => {
                write!(f, "profile {profile:?} is incomplete: {key} is missing")
            }
            Self::Invalid { profile, what } => write!(f, "profile {profile:?}: {what}"),
            Self::SourceWithoutCredentials {
                profile,
                role_profile,
            } if profile == role_profile => {
                write!(
                    f,
                    "profile {profile:?} is its own source_profile but holds no credentials"
                )
            }
            Self::SourceWithoutCredentials {
                profile,
                role_profile,
            } => write!(
                f,
                "profile {profile:?}, the source_profile of {role_profile:?}, holds no credentials"
            ),
            Self::ProfileLoop { profiles } => {
                write!(
                    f,
                    "source_profile goes round in circles: {}",
                    profiles.join(" -> ")
                )
            }
            Self::UnknownSsoSession { profile, session } => {
                write!(
                    f,
                    "there is no [sso-session {session}], which profile {profile:?} names"
                )
            }
            Self::MfaRequired { profile, .. } => write!(
                f,
                "profile {profile:?} has mfa_serial, and there is nobody to ask for the code"
            ),
            Self::SourceNotSet {
                profile,
                credential_source,
                why,
            } => write!(
                f,
                "profile {profile:?} has credential_source = {credential_source}, but {why}"
            ),
            Self::LoggedOut {
                profile, command, ..
            } => {
                let of = match *command {
                    "aws login" => "\"aws login\"",
                    _ => "SSO",
                };
                write!(
                    f,
                    "profile {profile:?} is logged out of {of}: there is no cached login"
                )
            }
            Self::NoHome { profile } => {
                write!(
                    f,
                    "HOME is not set, so the login of profile {profile:?} cannot be found"
                )
            }
            Self::TokenFile {
                path,
                setting,
                reason,
            } => write!(
                f,
                "cannot read the web identity token {} that {setting} names: {reason}",
                path.display()
            ),
            Self::PartitionMismatch {
                credentials,
                partition,
                registry,
                registry_partition,
            } => {
                write!(
                    f,
                    "{credentials} belongs to partition {partition}, but {registry} to \
                     {registry_partition}"
                )
            }
            Self::BadSwitch { setting, value } => {
                write!(f, "{setting} is {value:?}, which is neither true nor false")
            }
            Self::BadEndpoint { setting } => {
                write!(
                    f,
                    "{setting} is not a URL that begins with http:// or https://"
                )
            }
        }
    }
}

impl std::error::Error for Error {}

impl Error {
    /// What a person can do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::NoCredentials { .. } => "set AWS_PROFILE or AWS_ACCESS_KEY_ID and \
                 AWS_SECRET_ACCESS_KEY, run aws configure, or give this machine a role"
                .into(),
            Self::File(profile::Error::Unreadable { .. }) => {
                "make the file readable for this user, or name another one with AWS_CONFIG_FILE \
                 or AWS_SHARED_CREDENTIALS_FILE"
                    .into()
            }
            Self::File(profile::Error::Malformed { .. }) => "correct this line of the file".into(),
            Self::UnknownProfile { named_by, .. } => {
                format!("aws configure list-profiles shows what there is; correct {named_by}")
            }
            Self::Incomplete { profile, key } => {
                format!("set {key} in profile {profile:?} of the AWS config file")
            }
            Self::Invalid { .. } | Self::ProfileLoop { .. } => {
                "correct the profile in the AWS config file".into()
            }
            Self::SourceWithoutCredentials { profile, .. } => {
                format!("set keys, SSO or a credential_process in profile {profile:?}")
            }
            Self::UnknownSsoSession { session, .. } => {
                format!("aws configure sso-session writes one; name it {session:?}")
            }
            Self::MfaRequired { selected, .. } => format!(
                "use a profile with credential_process = aws configure export-credentials \
                 --profile {selected} --format process, or export the keys that the same command \
                 prints with --format env"
            ),
            Self::SourceNotSet {
                credential_source, ..
            } => match *credential_source {
                "Environment" => "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY".into(),
                "EcsContainer" => "this works inside a container of ECS or EKS only".into(),
                _ => "unset AWS_EC2_METADATA_DISABLED, or use another credential_source".into(),
            },
            Self::LoggedOut {
                profile, command, ..
            } if profile == "default" => (*command).to_owned(),
            Self::LoggedOut {
                profile, command, ..
            } => format!("{command} --profile {profile}"),
            Self::NoHome { .. } => "set HOME to the directory that holds .aws".into(),
            Self::TokenFile { setting, .. } => {
                format!("check {setting} and the mount or the job that writes the file")
            }
            Self::PartitionMismatch {
                registry_partition, ..
            } => {
                format!("use credentials of an account in {registry_partition}")
            }
            Self::BadSwitch { setting, .. } => {
                format!("set {setting} to true or false, or unset it")
            }
            Self::BadEndpoint { setting } => format!("correct or unset {setting}"),
        }
    }
}
