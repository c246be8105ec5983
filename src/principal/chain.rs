//! What a profile says about credentials: one source, and the roles assumed from it.
//!
//! The order is that of `aws-config` (`profile/credentials/repr.rs`), and a test compares the two.
//! Stricter than there: what is missing or blank is an error, and never a reason to go on to the
//! next source, which would be somebody else.

use std::path::{Path, PathBuf};

use sha1::Sha1;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::aws_settings::{Api, Settings, set};
use super::cache_key::{Subject, hex};
use super::{AccessKeys, ConsoleLogin, Error, Role, Source, Sso, WebIdentity};
use crate::env::Env;
use crate::fs::read_bounded;
use crate::profile::{Config, Section};
use crate::secret::Secret;

/// No identity provider issues a token of this size, in bytes.
const TOKEN_LIMIT: usize = 1 << 20;

/// What was found. The regions of STS and of the sign-in service are left blank: they depend on
/// the registry.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) source: Source,
    pub(super) roles: Vec<Role>,
    pub(super) subject: Option<Subject>,
}

impl From<Source> for Resolved {
    fn from(source: Source) -> Self {
        Self {
            source,
            roles: Vec::new(),
            subject: None,
        }
    }
}

/// Follows the selected profile; none if it holds no credential setting at all.
pub(super) fn resolve(
    settings: &Settings<'_>,
    config: &Config,
    selected: &Section<'_>,
) -> Result<Option<Resolved>, Error> {
    let mut roles = Vec::new();
    let mut seen = vec![selected.name().to_owned()];
    let mut next: Option<Section<'_>> = None;
    let found = loop {
        let profile = next.as_ref().unwrap_or(selected);
        if seen.len() > 1
            && let Ok(Some(keys)) = static_keys(profile)
        {
            break Some(Resolved::from(keys));
        }
        // With a token file the role is taken by web identity, not assumed.
        let role_arn = profile.get("role_arn").is_some();
        if !role_arn || profile.get("web_identity_token_file").is_some() {
            break source(settings, config, profile)?;
        }
        roles.push(role(settings, profile, selected.name())?);
        let after = match (
            profile.get("source_profile"),
            profile.get("credential_source"),
        ) {
            (Some(_), Some(_)) => {
                return Err(Error::Invalid {
                    profile: profile.name().to_owned(),
                    what: "source_profile and credential_source exclude each other".into(),
                });
            }
            (None, Some(_)) => break source(settings, config, profile)?,
            (None, None) => return Err(incomplete(profile, "source_profile")),
            (Some(name), None) if name == profile.name() => {
                break source(settings, config, profile)?;
            }
            (Some(_), None) => required(profile, "source_profile")?,
        };
        let after = config
            .profile(&after)
            .ok_or_else(|| Error::UnknownProfile {
                profile: after.clone(),
                named_by: format!("source_profile of profile {:?}", profile.name()),
            })?;
        let name = after.name().to_owned();
        let looped = seen.contains(&name);
        seen.push(name);
        if looped {
            return Err(Error::ProfileLoop { profiles: seen });
        }
        next = Some(after);
    };
    let role_profile = roles.last().map(|role: &Role| role.profile.clone());
    roles.reverse();
    match (found, role_profile) {
        (Some(found), _) => Ok(Some(Resolved { roles, ..found })),
        (None, None) => Ok(None),
        (None, Some(role_profile)) => Err(Error::SourceWithoutCredentials {
            profile: next.as_ref().unwrap_or(selected).name().to_owned(),
            role_profile,
        }),
    }
}

fn incomplete(profile: &Section<'_>, key: &'static str) -> Error {
    Error::Incomplete {
        profile: profile.name().to_owned(),
        key,
    }
}

fn required(profile: &Section<'_>, key: &'static str) -> Result<String, Error> {
    match set(profile, key) {
        Some(value) => Ok(value.to_owned()),
        None => Err(incomplete(profile, key)),
    }
}

fn optional(profile: &Section<'_>, key: &str) -> Option<String> {
    set(profile, key).map(str::to_owned)
}

fn role(settings: &Settings<'_>, profile: &Section<'_>, selected: &str) -> Result<Role, Error> {
    if set(profile, "mfa_serial").is_some() {
        return Err(Error::MfaRequired {
            profile: profile.name().to_owned(),
            selected: selected.to_owned(),
        });
    }
    Ok(Role {
        profile: profile.name().to_owned(),
        role_arn: required(profile, "role_arn")?,
        external_id: optional(profile, "external_id"),
        session_name: optional(profile, "role_session_name"),
        sts: settings.endpoint(Api::Sts, "")?,
    })
}

/// The source that a profile itself holds.
fn source(
    settings: &Settings<'_>,
    config: &Config,
    profile: &Section<'_>,
) -> Result<Option<Resolved>, Error> {
    let has = |key: &str| profile.get(key).is_some();
    let name = || profile.name().to_owned();
    if has("credential_source") {
        return named(settings, profile).map(|source| Some(source.into()));
    }
    if has("web_identity_token_file") {
        let file = required(profile, "web_identity_token_file")?;
        let setting = || format!("web_identity_token_file of profile {:?}", profile.name());
        let role_arn = required(profile, "role_arn")?;
        let (token, subject) = web_token(Path::new(&file), setting)?;
        let source = Source::WebIdentity(WebIdentity {
            profile: Some(name()),
            role_arn,
            session_name: optional(profile, "role_session_name"),
            token,
            sts: settings.endpoint(Api::Sts, "")?,
        });
        return Ok(Some(Resolved {
            subject: Some(subject),
            ..source.into()
        }));
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
        return Ok(Some(Source::Sso(sso).into()));
    }
    if has("login_session") {
        return login(settings, profile).map(Some);
    }
    if has("credential_process") {
        let command = required(profile, "credential_process")?;
        let source = Source::Process {
            profile: name(),
            command: Secret::new(command),
        };
        return Ok(Some(source.into()));
    }
    Ok(static_keys(profile)?.map(Resolved::from))
}

/// None if there is none of the three.
fn static_keys(profile: &Section<'_>) -> Result<Option<Source>, Error> {
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
fn named(settings: &Settings<'_>, profile: &Section<'_>) -> Result<Source, Error> {
    let value = required(profile, "credential_source")?;
    let not_set = |credential_source, why| Error::SourceNotSet {
        profile: profile.name().to_owned(),
        credential_source,
        why,
    };
    match value.to_ascii_lowercase().as_str() {
        "environment" => environment(settings)
            .ok_or_else(|| not_set("Environment", "the variables do not hold a pair of keys")),
        "ecscontainer" => container(settings)
            .ok_or_else(|| not_set("EcsContainer", "no container URI is in the environment")),
        "ec2instancemetadata" => instance_metadata(settings)
            .ok_or_else(|| not_set("Ec2InstanceMetadata", "AWS_EC2_METADATA_DISABLED is true")),
        _ => Err(Error::Invalid {
            profile: profile.name().to_owned(),
            what: "credential_source is none of Environment, EcsContainer, Ec2InstanceMetadata"
                .into(),
        }),
    }
}

/// `AWS_ACCESS_KEY_ID` and its fellows: blank is absent, and half a pair is none.
pub(super) fn environment(settings: &Settings<'_>) -> Option<Source> {
    let access_key_id = key_id(settings.env)?;
    let secret = [
        "AWS_SECRET_ACCESS_KEY",
        "SECRET_ACCESS_KEY",
        "AWS_SECRET_KEY",
    ]
    .into_iter()
    .find_map(|name| not_blank(settings.env, name))?;
    Some(Source::Environment(AccessKeys {
        access_key_id,
        secret_access_key: Secret::new(secret),
        session_token: settings.env.var("AWS_SESSION_TOKEN").map(Secret::new),
    }))
}

/// The second name, like that of its secret, is one that the Go SDK knows.
pub(super) fn key_id(env: &Env) -> Option<String> {
    not_blank(env, "AWS_ACCESS_KEY_ID").or_else(|| not_blank(env, "AWS_ACCESS_KEY"))
}

fn not_blank(env: &Env, name: &str) -> Option<String> {
    env.raw(name).filter(|value| !value.trim().is_empty())
}

/// `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI`, else `…_FULL_URI`.
pub(super) fn container(settings: &Settings<'_>) -> Option<Source> {
    let relative = settings.env.var("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    let uri = relative.or_else(|| settings.env.var("AWS_CONTAINER_CREDENTIALS_FULL_URI"))?;
    // A query may be a secret. Its mark stays: then the address is not one per task.
    let end = uri.find(['?', '#']).map_or(uri.len(), |mark| mark + 1);
    Some(Source::Container {
        uri: uri[..end].to_owned(),
    })
}

/// Instance metadata, unless it is switched off.
pub(super) fn instance_metadata(settings: &Settings<'_>) -> Option<Source> {
    if metadata_disabled(settings) {
        return None;
    }
    let mode = settings.either(
        "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
        "ec2_metadata_service_endpoint_mode",
    );
    Some(Source::InstanceMetadata {
        endpoint: settings.either(
            "AWS_EC2_METADATA_SERVICE_ENDPOINT",
            "ec2_metadata_service_endpoint",
        ),
        ipv6: mode.is_some_and(|mode| mode.eq_ignore_ascii_case("ipv6")),
    })
}

pub(super) fn metadata_disabled(settings: &Settings<'_>) -> bool {
    let value = settings.env.var("AWS_EC2_METADATA_DISABLED");
    value.is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// Reads a web identity token, once: whom it speaks for and what is sent must not differ.
pub(super) fn web_token(
    path: &Path,
    setting: impl Fn() -> String,
) -> Result<(Secret, Subject), Error> {
    let unreadable = |reason: &str| Error::TokenFile {
        path: path.to_owned(),
        setting: setting(),
        reason: reason.to_owned(),
    };
    let bytes = read_bounded(path, TOKEN_LIMIT).map(Zeroizing::new);
    let bytes = bytes.map_err(|e| unreadable(&e.to_string()))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| unreadable("it is not UTF-8"))?;
    let text = text.trim();
    if text.is_empty() {
        return Err(unreadable("it is empty"));
    }
    Ok((Secret::from(text), Subject::of(text.as_bytes())))
}

fn sso(settings: &Settings<'_>, config: &Config, profile: &Section<'_>) -> Result<Sso, Error> {
    let (start_url, region) = match profile.get("sso_session") {
        None => (
            required(profile, "sso_start_url")?,
            required(profile, "sso_region")?,
        ),
        Some(_) => {
            let name = required(profile, "sso_session")?;
            let session = config
                .sso_session(&name)
                .ok_or_else(|| Error::UnknownSsoSession {
                    profile: profile.name().to_owned(),
                    session: name,
                })?;
            let from_session = |key: &'static str| match (profile.get(key), set(&session, key)) {
                (_, None) => Err(incomplete(profile, key)),
                (Some(own), Some(value)) if own != value => Err(Error::Invalid {
                    profile: profile.name().to_owned(),
                    what: format!("{key} is not that of its sso_session"),
                }),
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

fn login(settings: &Settings<'_>, profile: &Section<'_>) -> Result<Resolved, Error> {
    let session_arn = required(profile, "login_session")?;
    let dir = match settings.env.raw("AWS_LOGIN_CACHE_DIRECTORY") {
        Some(dir) => PathBuf::from(dir),
        None => home(settings, profile)?.join(".aws/login/cache"),
    };
    let file = hex(&Sha256::digest(session_arn.trim())) + ".json";
    let login_file = logged_in(dir.join(file), profile, "aws login")?;
    let login = ConsoleLogin {
        profile: profile.name().to_owned(),
        session_arn,
        signin: settings.endpoint(Api::Signin, "")?,
        login_file,
    };
    Ok(Resolved {
        subject: Some(Subject::of_login_cache(&dir)),
        ..Source::Login(login).into()
    })
}

fn home(settings: &Settings<'_>, profile: &Section<'_>) -> Result<PathBuf, Error> {
    settings.env.home().ok_or_else(|| Error::NoHome {
        profile: profile.name().to_owned(),
    })
}

/// A login that was ended leaves no file, and then nothing cached is served. An expired one is
/// still a login.
fn logged_in(
    path: PathBuf,
    profile: &Section<'_>,
    command: &'static str,
) -> Result<PathBuf, Error> {
    match is_file(&path) {
        true => Ok(path),
        false => Err(Error::LoggedOut {
            profile: profile.name().to_owned(),
            command,
            path,
        }),
    }
}

fn is_file(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|file| file.is_file())
}
