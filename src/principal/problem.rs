//! Why there is no plan: one constructor per failure, with its cause, hint and kind.
//!
//! They name profiles, keys, variables and files, never a value that may be a secret.

use std::fmt::Display;
use std::path::Path;

use crate::env::HOME;
use crate::nearest::nearest;
use crate::problem::{Problem, ProblemKind};
use crate::profile;
use crate::registry::Registry;

fn configuration(cause: impl Into<String>, hint: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::Configuration, cause, hint)
}

/// No source of credentials is set up; `places` says what was searched and what was found there,
/// `profile_hint` which profile could be selected.
pub(super) fn no_credentials(
    places: &[String],
    no_home: bool,
    profile_hint: Option<String>,
) -> Problem {
    let (cause, hint) = match (no_home, profile_hint) {
        (true, _) => (
            format!("{NO_CREDENTIALS}, and {HOME} is not set"),
            set_home(),
        ),
        (false, Some(hint)) => (NO_CREDENTIALS.to_owned(), hint),
        (false, None) => (
            NO_CREDENTIALS.to_owned(),
            "set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, run aws configure, \
             or give this machine a role"
                .to_owned(),
        ),
    };
    Problem::new(ProblemKind::NoCredentials, cause, hint)
        .with_detail(format!("looked at {}", places.join(", ")))
}

const NO_CREDENTIALS: &str = "no AWS credentials found";

fn set_home() -> String {
    format!("set {HOME} to the directory that holds .aws")
}

pub(super) fn garbled_variable(name: &str) -> Problem {
    configuration(
        format!("{name} is not UTF-8"),
        format!("correct or unset {name}"),
    )
}

/// One of the two variables of a pair of keys is set, and the other is not or is blank.
pub(super) fn half_set(set: &str, missing: &str) -> Problem {
    configuration(
        format!("{set} is set, but {missing} is not"),
        format!("set {missing}, or unset {set}"),
    )
}

/// An AWS config file cannot be used.
pub(super) fn file(error: &profile::ConfigFileError) -> Problem {
    let hint = match error {
        profile::ConfigFileError::Unreadable { .. } => {
            "make the file readable for this user, or name another one with AWS_CONFIG_FILE or \
             AWS_SHARED_CREDENTIALS_FILE"
        }
        profile::ConfigFileError::Malformed { .. } => "correct this line of the file",
    };
    configuration(error.to_string(), hint)
}

/// A file that holds keys cannot be read.
pub(super) fn unreadable(path: &Path, reason: &str) -> Problem {
    file(&profile::ConfigFileError::Unreadable {
        path: path.to_owned(),
        reason: reason.to_owned(),
    })
}

/// `named_by` is a variable, a rule, or the `source_profile` of another profile.
pub(super) fn unknown_profile(profile: &str, named_by: &str, existing: &[String]) -> Problem {
    let hint = match nearest(profile, existing.iter().map(String::as_str)) {
        Some(near) => format!("correct {named_by}: did you mean {near:?}?"),
        None => format!("run aws configure list-profiles to see which exist; correct {named_by}"),
    };
    configuration(
        format!("there is no profile {profile:?}, which {named_by} names"),
        hint,
    )
}

/// The profile may exist, but its directory is unknown.
pub(super) fn profile_without_home(profile: &str, named_by: &str) -> Problem {
    configuration(
        format!("{HOME} is not set, so profile {profile:?}, which {named_by} names, is not found"),
        set_home(),
    )
}

/// A setting is missing or blank.
pub(super) fn incomplete(profile: &str, key: &str) -> Problem {
    configuration(
        format!("profile {profile:?} is incomplete: {key} is missing"),
        format!("set {key} in profile {profile:?} of the AWS config file"),
    )
}

/// Settings that exclude each other or have no meaning.
pub(super) fn invalid(profile: &str, what: impl Display) -> Problem {
    configuration(
        format!("profile {profile:?}: {what}"),
        "correct the profile in the AWS config file",
    )
}

/// A profile that a role is to be assumed from.
pub(super) fn source_without_credentials(profile: &str, role_profile: &str) -> Problem {
    let cause = if profile == role_profile {
        format!("profile {profile:?} is its own source_profile but holds no credentials")
    } else {
        format!("profile {profile:?}, the source_profile of {role_profile:?}, holds no credentials")
    };
    let hint = format!("set keys, SSO or a credential_process in profile {profile:?}");
    configuration(cause, hint)
}

/// A profile that a rule or `AWS_ECR_PROFILE` names: no other source stands in for it.
pub(super) fn named_without_credentials(profile: &str, named_by: &str) -> Problem {
    configuration(
        format!("profile {profile:?}, from {named_by}, holds no credentials"),
        format!("set keys, SSO, a role or a credential_process in profile {profile:?}"),
    )
}

pub(super) fn circular(profiles: &[String]) -> Problem {
    // The first profiles and the one that closes the circle; there may be thousands.
    let shown = match profiles {
        [first, .., last] if profiles.len() > 6 => format!("{first} -> … -> {last}"),
        _ => profiles.join(" -> "),
    };
    configuration(
        format!("circular source_profile: {shown}"),
        "correct the profile in the AWS config file",
    )
}

pub(super) fn unknown_sso_session(profile: &str, session: &str) -> Problem {
    configuration(
        format!("there is no [sso-session {session}], which profile {profile:?} names"),
        format!("run aws configure sso-session to write one named {session:?}"),
    )
}

/// No usable file of the AWS CLI holds the role's credentials; `selected` is the profile that a
/// command of the AWS CLI has to use to get them.
pub(super) fn mfa_required(profile: &str, selected: &str, expired: bool) -> Problem {
    let what = match expired {
        true => "its session in the AWS CLI's cache has expired",
        false => "the AWS CLI's cache holds no session of it",
    };
    configuration(
        format!("profile {profile:?} requires MFA, and {what}"),
        format!("run aws sts get-caller-identity --profile {selected}, and enter the code there"),
    )
}

/// `credential_source = Environment` without keys in the environment.
pub(super) fn no_environment_keys(profile: &str) -> Problem {
    configuration(
        format!(
            "profile {profile:?} has credential_source = Environment, but AWS_ACCESS_KEY_ID is \
             not set"
        ),
        "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    )
}

/// `credential_source = EcsContainer` outside a container.
pub(super) fn no_container(profile: &str) -> Problem {
    configuration(
        format!(
            "profile {profile:?} has credential_source = EcsContainer, but no container URI is in \
             the environment"
        ),
        "use this profile in containers of ECS or EKS only",
    )
}

/// `credential_source = Ec2InstanceMetadata` with instance metadata disabled.
pub(super) fn metadata_disabled(profile: &str) -> Problem {
    configuration(
        format!(
            "profile {profile:?} has credential_source = Ec2InstanceMetadata, but \
             AWS_EC2_METADATA_DISABLED is true"
        ),
        "unset AWS_EC2_METADATA_DISABLED, or use another credential_source",
    )
}

/// There is no SSO or console session; `command` starts one.
pub(super) fn logged_out(profile: &str, command: &str) -> Problem {
    let of = match command {
        "aws login" => "\"aws login\"",
        _ => "SSO",
    };
    let hint = match profile {
        "default" => format!("run {command}"),
        _ => format!("run {command} --profile {profile}"),
    };
    configuration(
        format!("profile {profile:?} is logged out of {of}: there is no cached session"),
        hint,
    )
}

/// `setting` holds what cannot be a part of a host's name.
pub(super) fn bad_region(setting: &str, region: &str) -> Problem {
    configuration(
        format!("{setting} is {region:?}, which is not a region"),
        format!("set {setting} to a region such as us-east-1"),
    )
}

/// Too many profiles, one the source of the other.
pub(super) fn long_chain(profile: &str, limit: usize) -> Problem {
    configuration(
        format!("profile {profile:?} leads through more than {limit} source_profile settings"),
        "correct the profile in the AWS config file",
    )
}

/// The sessions of SSO and of `aws login` are kept below the home directory.
pub(super) fn no_home(profile: &str) -> Problem {
    configuration(
        format!("{HOME} is not set, so the session of profile {profile:?} cannot be found"),
        set_home(),
    )
}

/// `setting` names the file.
pub(super) fn token_file(path: &Path, setting: &str, reason: impl Display) -> Problem {
    configuration(
        format!(
            "cannot read the web identity token {} that {setting} names: {reason}",
            path.display()
        ),
        format!("check {setting} and the mount or the job that writes the file"),
    )
}

/// `credentials` is the role, session or region of the credentials, `partition` theirs.
pub(super) fn partition_mismatch(
    credentials: &str,
    partition: &str,
    registry: &Registry,
) -> Problem {
    let theirs = registry.partition().id;
    configuration(
        format!("{credentials} belongs to partition {partition}, but {registry} to {theirs}"),
        format!("use credentials of an account in {theirs}"),
    )
}

pub(super) fn bad_switch(setting: &str, value: &str) -> Problem {
    configuration(
        format!("{setting} is {value:?}, which is neither true nor false"),
        format!("set {setting} to true or false, or unset it"),
    )
}

pub(super) fn bad_endpoint_mode(mode: &str) -> Problem {
    configuration(
        format!(
            "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE is {mode:?}, which is neither IPv4 nor IPv6"
        ),
        "set AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE or ec2_metadata_service_endpoint_mode to IPv4 \
         or IPv6",
    )
}

pub(super) fn bad_number(variable: &str, key: &str, value: &str) -> Problem {
    configuration(
        format!("{variable} or {key} is {value:?}, which is not a positive number"),
        format!("set {variable} or {key} to a number, or unset it"),
    )
}

/// `services` of a profile names a section that is not there, or an empty one.
pub(super) fn unknown_services(profile: &str, section: &str) -> Problem {
    configuration(
        format!("there is no [services {section}], which profile {profile:?} names"),
        format!(
            "add the section to the AWS config file, or correct services in profile {profile:?}"
        ),
    )
}

pub(super) fn bad_endpoint(setting: &str) -> Problem {
    configuration(
        format!("{setting} is not a URL that begins with http:// or https://"),
        format!("correct or unset {setting}"),
    )
}
