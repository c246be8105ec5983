//! What a profile says about credentials: one source, and the roles assumed from it.
//!
//! The order is that of `aws-config` (`profile/credentials/repr.rs`), and a test compares the two.
//! Stricter than there: what is missing or blank is an error, and never a reason to go on to the
//! next source, which would be somebody else.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::aws_settings::{Api, Settings, is_true, set};
use super::cache_key::{Subject, hex};
use super::problem;
use super::surroundings::Surroundings;
use super::{
    AccessKeys, ConsoleLogin, Container, InstanceMetadata, Role, Source, Sso, WebIdentity,
};
use crate::env::Env;
use crate::problem::Problem;
use crate::profile::{Config, Section};
use crate::secret::Secret;

/// The source that was found, and the roles to assume from it.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) source: Source,
    pub(super) roles: Vec<Role>,
}

impl From<Source> for Resolved {
    fn from(source: Source) -> Self {
        Self {
            source,
            roles: Vec::new(),
        }
    }
}

/// Follows the selected profile; none if it holds no credential setting at all.
pub(super) fn resolve(
    surroundings: &Surroundings,
    settings: &Settings<'_>,
    config: &Config,
    selected: &Section<'_>,
) -> Result<Option<Resolved>, Problem> {
    let mut roles = Vec::new();
    let mut seen = vec![selected.name().to_owned()];
    let mut next: Option<Section<'_>> = None;
    let found = loop {
        let profile = next.as_ref().unwrap_or(selected);
        if seen.len() > 1
            && let Ok(Some(keys)) = static_keys(profile)
        {
            break Some(keys);
        }
        // With a token file the role is taken by web identity, not assumed.
        let role_arn = profile.get("role_arn").is_some();
        if !role_arn || profile.get("web_identity_token_file").is_some() {
            break source(surroundings, settings, config, profile)?;
        }
        roles.push(role(settings, profile, selected.name())?);
        let after = match (
            profile.get("source_profile"),
            profile.get("credential_source"),
        ) {
            (Some(_), Some(_)) => {
                let what = "source_profile and credential_source exclude each other";
                return Err(problem::invalid(profile.name(), what));
            }
            (None, Some(_)) => break source(surroundings, settings, config, profile)?,
            (None, None) => return Err(incomplete(profile, "source_profile")),
            (Some(name), None) if name == profile.name() => {
                break source(surroundings, settings, config, profile)?;
            }
            (Some(_), None) => required(profile, "source_profile")?,
        };
        let found = config.profile(&after).map_err(|e| problem::file(&e))?;
        let after = found.ok_or_else(|| {
            let named_by = format!("source_profile of profile {:?}", profile.name());
            problem::unknown_profile(&after, &named_by)
        })?;
        let name = after.name().to_owned();
        let looped = seen.contains(&name);
        seen.push(name);
        if looped {
            return Err(problem::circular(&seen));
        }
        next = Some(after);
    };
    let role_profile = (!roles.is_empty()).then(|| seen[seen.len().saturating_sub(2)].clone());
    roles.reverse();
    match (found, role_profile) {
        (Some(found), _) => Ok(Some(Resolved {
            source: found,
            roles,
        })),
        (None, None) => Ok(None),
        (None, Some(role_profile)) => Err(problem::source_without_credentials(
            next.as_ref().unwrap_or(selected).name(),
            &role_profile,
        )),
    }
}

fn incomplete(profile: &Section<'_>, key: &str) -> Problem {
    problem::incomplete(profile.name(), key)
}

fn required(profile: &Section<'_>, key: &'static str) -> Result<String, Problem> {
    match set(profile, key) {
        Some(value) => Ok(value.to_owned()),
        None => Err(incomplete(profile, key)),
    }
}

fn optional(profile: &Section<'_>, key: &str) -> Option<String> {
    set(profile, key).map(str::to_owned)
}

fn role(settings: &Settings<'_>, profile: &Section<'_>, selected: &str) -> Result<Role, Problem> {
    if set(profile, "mfa_serial").is_some() {
        return Err(problem::mfa_required(profile.name(), selected));
    }
    Ok(Role {
        role_arn: required(profile, "role_arn")?,
        external_id: optional(profile, "external_id"),
        session_name: optional(profile, "role_session_name"),
        sts: settings.sts()?,
    })
}

/// The source that a profile itself holds.
fn source(
    surroundings: &Surroundings,
    settings: &Settings<'_>,
    config: &Config,
    profile: &Section<'_>,
) -> Result<Option<Source>, Problem> {
    let has = |key: &str| profile.get(key).is_some();
    let name = || profile.name().to_owned();
    if has("credential_source") {
        return named(surroundings, settings, profile).map(Some);
    }
    if has("web_identity_token_file") {
        let file = required(profile, "web_identity_token_file")?;
        let setting = || format!("web_identity_token_file of profile {:?}", profile.name());
        let role_arn = required(profile, "role_arn")?;
        let (token, subject) = web_token(surroundings, Path::new(&file), setting)?;
        return Ok(Some(Source::WebIdentity(WebIdentity {
            profile: Some(name()),
            role_arn,
            session_name: optional(profile, "role_session_name"),
            token,
            subject,
            sts: settings.sts()?,
        })));
    }
    const SSO: [&str; 5] = [
        "sso_account_id",
        "sso_region",
        "sso_role_name",
        "sso_start_url",
        "sso_session",
    ];
    if SSO.into_iter().any(has) {
        let sso = sso(settings, config, profile)?;
        return Ok(Some(Source::Sso(sso)));
    }
    if has("login_session") {
        return Ok(Some(Source::Login(login(settings, profile)?)));
    }
    if has("credential_process") {
        let command = required(profile, "credential_process")?;
        return Ok(Some(Source::Process {
            profile: name(),
            command: Secret::new(command),
        }));
    }
    static_keys(profile)
}

/// None if there is none of the three.
fn static_keys(profile: &Section<'_>) -> Result<Option<Source>, Problem> {
    const ID: &str = "aws_access_key_id";
    const SECRET: &str = "aws_secret_access_key";
    const TOKEN: &str = "aws_session_token";
    if [ID, SECRET, TOKEN]
        .iter()
        .all(|key| profile.get(key).is_none())
    {
        return Ok(None);
    }
    Ok(Some(Source::Static {
        profile: profile.name().to_owned(),
        keys: AccessKeys {
            access_key_id: required(profile, ID)?,
            secret_access_key: Secret::new(required(profile, SECRET)?),
            session_token: optional(profile, TOKEN).map(Secret::new),
        },
    }))
}

/// `credential_source`.
fn named(
    surroundings: &Surroundings,
    settings: &Settings<'_>,
    profile: &Section<'_>,
) -> Result<Source, Problem> {
    let value = required(profile, "credential_source")?;
    let name = profile.name();
    match value.to_ascii_lowercase().as_str() {
        "environment" => {
            environment(&surroundings.env).ok_or_else(|| problem::no_environment_keys(name))
        }
        "ecscontainer" => container(&surroundings.env).ok_or_else(|| problem::no_container(name)),
        "ec2instancemetadata" => instance_metadata(surroundings, settings)
            .ok_or_else(|| problem::metadata_disabled(name)),
        _ => Err(problem::invalid(
            name,
            "credential_source is none of Environment, EcsContainer, Ec2InstanceMetadata",
        )),
    }
}

/// `AWS_ACCESS_KEY_ID` and related variables: blank is absent, and half a pair is none.
pub(super) fn environment(env: &Env) -> Option<Source> {
    let access_key_id = key_id(env)?;
    let secret = [
        "AWS_SECRET_ACCESS_KEY",
        "SECRET_ACCESS_KEY",
        "AWS_SECRET_KEY",
    ]
    .into_iter()
    .find_map(|name| not_blank(env, name))?;
    Some(Source::Environment(AccessKeys {
        access_key_id,
        secret_access_key: Secret::new(secret),
        session_token: env.var("AWS_SESSION_TOKEN").map(Secret::new),
    }))
}

/// The second name, like that of its secret, is one that the Go SDK knows.
fn key_id(env: &Env) -> Option<String> {
    not_blank(env, "AWS_ACCESS_KEY_ID").or_else(|| not_blank(env, "AWS_ACCESS_KEY"))
}

fn not_blank(env: &Env, name: &str) -> Option<String> {
    env.raw(name).filter(|value| !value.trim().is_empty())
}

/// `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI`, else `…_FULL_URI`.
pub(super) fn container(env: &Env) -> Option<Source> {
    let relative = env.var("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    let is_relative = relative.is_some();
    let uri = relative.or_else(|| env.var("AWS_CONTAINER_CREDENTIALS_FULL_URI"))?;
    Some(Source::Container(Container {
        uri: Secret::new(uri),
        relative: is_relative,
        token: env
            .raw("AWS_CONTAINER_AUTHORIZATION_TOKEN")
            .map(Secret::new),
        token_file: env.path("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
    }))
}

/// Instance metadata, unless it is switched off.
pub(super) fn instance_metadata(
    surroundings: &Surroundings,
    settings: &Settings<'_>,
) -> Option<Source> {
    if surroundings.metadata_disabled() {
        return None;
    }
    let mode = settings.either(
        "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
        "ec2_metadata_service_endpoint_mode",
    );
    let seconds = settings.either("AWS_METADATA_SERVICE_TIMEOUT", "metadata_service_timeout");
    let attempts = settings.either(
        "AWS_METADATA_SERVICE_NUM_ATTEMPTS",
        "metadata_service_num_attempts",
    );
    let no_v1 = settings.either("AWS_EC2_METADATA_V1_DISABLED", "ec2_metadata_v1_disabled");
    Some(Source::InstanceMetadata(InstanceMetadata {
        endpoint: settings.either(
            "AWS_EC2_METADATA_SERVICE_ENDPOINT",
            "ec2_metadata_service_endpoint",
        ),
        ipv6: match mode {
            Some(mode) => mode.eq_ignore_ascii_case("ipv6"),
            None => is_true(settings.env.var("AWS_IMDS_USE_IPV6").as_deref()),
        },
        timeout: seconds
            .and_then(|text| text.trim().parse().ok())
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .filter(|timeout| !timeout.is_zero()),
        attempts: attempts
            .and_then(|text| text.trim().parse().ok())
            .filter(|&attempts| attempts > 0),
        v1_disabled: is_true(no_v1.as_deref()),
    }))
}

/// A web identity token, and who it speaks for.
pub(super) fn web_token(
    surroundings: &Surroundings,
    path: &Path,
    setting: impl Fn() -> String,
) -> Result<(Secret, Subject), Problem> {
    let unreadable = |reason: &str| problem::token_file(path, &setting(), reason);
    let content = surroundings.file(path);
    let bytes = match &*content {
        Ok(bytes) => bytes,
        Err(error) => return Err(unreadable(&error.to_string())),
    };
    let text = std::str::from_utf8(bytes).map_err(|_| unreadable("it is not UTF-8"))?;
    let text = text.trim();
    if text.is_empty() {
        return Err(unreadable("it is empty"));
    }
    Ok((Secret::from(text), Subject::of(text.as_bytes())))
}

fn sso(settings: &Settings<'_>, config: &Config, profile: &Section<'_>) -> Result<Sso, Problem> {
    let (start_url, region) = match profile.get("sso_session") {
        None => (
            required(profile, "sso_start_url")?,
            required(profile, "sso_region")?,
        ),
        Some(_) => {
            let name = required(profile, "sso_session")?;
            let session = config
                .sso_session(&name)
                .map_err(|e| problem::file(&e))?
                .ok_or_else(|| problem::unknown_sso_session(profile.name(), &name))?;
            let from_session = |key: &'static str| match (profile.get(key), set(&session, key)) {
                (_, None) => Err(incomplete(profile, key)),
                (Some(own), Some(value)) if own != value => Err(problem::invalid(
                    profile.name(),
                    format_args!("{key} is not that of its sso_session"),
                )),
                (_, Some(value)) => Ok(value.to_owned()),
            };
            (from_session("sso_start_url")?, from_session("sso_region")?)
        }
    };
    let account_id = required(profile, "sso_account_id")?;
    let role_name = required(profile, "sso_role_name")?;
    let session = optional(profile, "sso_session");
    let cached = session.as_deref().unwrap_or(&start_url);
    let file = hex(&Sha1::digest(cached)) + ".json";
    let dir = home(settings, profile)?.join(".aws/sso/cache");
    let login_file = logged_in(dir.join(file), profile, "aws sso login")?;
    Ok(Sso {
        profile: profile.name().to_owned(),
        session,
        start_url,
        account_id,
        role_name,
        portal: settings.endpoint(Api::Sso, &region)?,
        oidc: settings.endpoint(Api::SsoOidc, &region)?,
        login_file,
    })
}

fn login(settings: &Settings<'_>, profile: &Section<'_>) -> Result<ConsoleLogin, Problem> {
    let session_arn = required(profile, "login_session")?;
    let dir = match settings.env.raw("AWS_LOGIN_CACHE_DIRECTORY") {
        Some(dir) => PathBuf::from(dir),
        None => home(settings, profile)?.join(".aws/login/cache"),
    };
    let file = hex(&Sha256::digest(session_arn.trim())) + ".json";
    let login_file = logged_in(dir.join(file), profile, "aws login")?;
    Ok(ConsoleLogin {
        profile: profile.name().to_owned(),
        session_arn,
        signin: settings.endpoint(Api::Signin, &settings.region_of_partition())?,
        login_file,
    })
}

fn home(settings: &Settings<'_>, profile: &Section<'_>) -> Result<PathBuf, Problem> {
    let home = settings.env.home();
    home.ok_or_else(|| problem::no_home(profile.name()))
}

/// A session that was ended leaves no file, and then nothing cached is served. An expired one is
/// still a session.
fn logged_in(
    path: PathBuf,
    profile: &Section<'_>,
    command: &'static str,
) -> Result<PathBuf, Problem> {
    match std::fs::metadata(&path).is_ok_and(|file| file.is_file()) {
        true => Ok(path),
        false => Err(problem::logged_out(profile.name(), command)),
    }
}
