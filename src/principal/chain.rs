//! The credentials of a profile: one source, and the roles assumed from it.
//!
//! The order is that of the AWS CLI (`botocore/credentials.py`). Stricter than there: what is
//! missing or blank is an error, and never a reason to go on to the next source, which would be
//! another identity.

use std::path::{Path, PathBuf};

use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::aws_settings::{Api, Settings, set};
use super::cache_key::hex;
use super::problem;
use super::session::LoginSession;
use super::sources;
use super::subject::Subject;
use super::surroundings::Surroundings;
use super::{AccessKeys, ConsoleLogin, Role, Source, Sso, WebIdentity};
use crate::problem::Problem;
use crate::profile::{Config, Section, WhichFile};
use crate::registry::is_region;
use crate::secret::Secret;

/// No configuration has a longer chain of `source_profile`; the AWS CLI breaks down at some 300.
const LONGEST_CHAIN: usize = 100;

/// The source that was found, and the roles to assume from it.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) source: Source,
    pub(super) roles: Vec<Role>,
    pub(super) session_digest: Option<String>,
}

impl From<Source> for Resolved {
    fn from(source: Source) -> Self {
        Self {
            source,
            roles: Vec::new(),
            session_digest: None,
        }
    }
}

/// The context in which profiles are resolved.
pub(super) struct Chain<'a> {
    pub(super) surroundings: &'a Surroundings,
    pub(super) settings: &'a Settings<'a>,
    pub(super) config: &'a Config,
    /// Whether `AWS_ROLE_ARN` and `AWS_ROLE_SESSION_NAME` count for a profile's token file.
    pub(super) with_role_variables: bool,
}

/// The role of a profile is to be assumed from another source. With a token file it is not.
pub(super) fn is_assumed(profile: &Section<'_>) -> bool {
    profile.get("role_arn").is_some() && profile.get("web_identity_token_file").is_none()
}

impl Chain<'_> {
    /// Follows the selected profile; none if it holds no credential setting at all.
    pub(super) fn resolve(&self, selected: &Section<'_>) -> Result<Option<Resolved>, Problem> {
        let mut roles = Vec::new();
        let mut seen = vec![selected.name().to_owned()];
        let mut next: Option<Section<'_>> = None;
        let found = loop {
            let profile = next.as_ref().unwrap_or(selected);
            let own_keys = next.is_some() && has_keys(profile);
            if own_keys || !is_assumed(profile) {
                break self.source(profile, next.is_none())?;
            }
            roles.push(self.role(profile)?);
            let source = match (
                profile.get("source_profile"),
                profile.get("credential_source"),
            ) {
                (Some(_), Some(_)) => {
                    let what = "source_profile and credential_source exclude each other";
                    return Err(problem::invalid(profile.name(), what));
                }
                (None, Some(_)) => break Some(self.named_source(profile)?.into()),
                (None, None) => return Err(problem::incomplete(profile.name(), "source_profile")),
                (Some(_), None) => required(profile, "source_profile")?,
            };
            if source == profile.name() {
                // Its own keys, next to the role.
                break match has_keys(profile) {
                    true => self.source(profile, false)?,
                    false => None,
                };
            }
            let found = self
                .config
                .profile(&source)
                .map_err(|e| problem::file(&e))?;
            let after = found.ok_or_else(|| {
                let named_by = format!("source_profile of profile {:?}", profile.name());
                self.surroundings.unknown_profile(&source, &named_by)
            })?;
            let looped = seen.contains(&source);
            seen.push(source);
            if looped {
                return Err(problem::circular(&seen));
            }
            if seen.len() > LONGEST_CHAIN {
                return Err(problem::long_chain(selected.name(), LONGEST_CHAIN));
            }
            next = Some(after);
        };
        let last = next.as_ref().unwrap_or(selected).name();
        let of_role = roles.last().and_then(|role: &Role| role.profile.clone());
        roles.reverse();
        match (found, of_role) {
            (Some(found), _) => Ok(Some(Resolved { roles, ..found })),
            (None, None) => Ok(None),
            (None, Some(of_role)) => Err(problem::source_without_credentials(last, &of_role)),
        }
    }

    fn role(&self, profile: &Section<'_>) -> Result<Role, Problem> {
        Ok(Role {
            profile: Some(profile.name().to_owned()),
            role_arn: required(profile, "role_arn")?,
            external_id: optional(profile, "external_id"),
            session_name: optional(profile, "role_session_name"),
            mfa_serial: optional(profile, "mfa_serial"),
            duration: profile
                .get("duration_seconds")
                .and_then(|text| text.trim().parse().ok()),
            sts: self.settings.sts()?,
        })
    }

    /// The source that a profile itself holds.
    fn source(&self, profile: &Section<'_>, selected: bool) -> Result<Option<Resolved>, Problem> {
        let blank = set(profile, "web_identity_token_file").is_none();
        if profile.get("web_identity_token_file").is_some()
            && !(blank && profile.get("role_arn").is_none())
        {
            return self.web_identity(profile, selected).map(Some);
        }
        if let Some(found) = self.sso(profile)? {
            return Ok(Some(found));
        }
        if let Some(keys) = keys(profile, WhichFile::Credentials)? {
            return Ok(Some(keys.into()));
        }
        if let Some(session_arn) = optional(profile, "login_session") {
            return self.login(profile, session_arn).map(Some);
        }
        if let Some(command) = optional(profile, "credential_process") {
            let source = Source::Process {
                profile: profile.name().to_owned(),
                command: Secret::new(command),
            };
            return Ok(Some(source.into()));
        }
        if let Some(keys) = keys(profile, WhichFile::Config)? {
            return Ok(Some(keys.into()));
        }
        // Half of something, and nothing else.
        let halves = [
            ("aws_secret_access_key", "aws_access_key_id"),
            ("aws_session_token", "aws_access_key_id"),
            ("credential_source", "role_arn"),
            ("login_session", "login_session"),
            ("credential_process", "credential_process"),
        ];
        match halves.iter().find(|(half, _)| profile.get(half).is_some()) {
            Some((_, missing)) => Err(problem::incomplete(profile.name(), missing)),
            None => Ok(None),
        }
    }

    /// `credential_source`, whose values are case-sensitive for the AWS CLI.
    fn named_source(&self, profile: &Section<'_>) -> Result<Source, Problem> {
        let value = required(profile, "credential_source")?;
        let name = profile.name();
        let env = &self.surroundings.env;
        match value.as_str() {
            "Environment" => {
                sources::environment(env)?.ok_or_else(|| problem::no_environment_keys(name))
            }
            "EcsContainer" => sources::container(env).ok_or_else(|| problem::no_container(name)),
            "Ec2InstanceMetadata" => sources::instance_metadata(self.surroundings, self.settings)?
                .ok_or_else(|| problem::metadata_disabled(name)),
            _ => Err(problem::invalid(
                name,
                "credential_source is none of Environment, EcsContainer, Ec2InstanceMetadata",
            )),
        }
    }

    fn web_identity(&self, profile: &Section<'_>, selected: bool) -> Result<Resolved, Problem> {
        let file = required(profile, "web_identity_token_file")?;
        let setting = || format!("web_identity_token_file of profile {:?}", profile.name());
        let variable = |name: &str| match selected && self.with_role_variables {
            true => self.surroundings.env.var(name),
            false => None,
        };
        let role_arn = match variable("AWS_ROLE_ARN") {
            Some(role_arn) => role_arn,
            None => required(profile, "role_arn")?,
        };
        let path = self.settings.env.expand_home(Path::new(&file));
        let (token, subject) = web_token(self.surroundings, &path, setting)?;
        let source = Source::WebIdentity(WebIdentity {
            profile: Some(profile.name().to_owned()),
            role_arn,
            session_name: variable("AWS_ROLE_SESSION_NAME")
                .or_else(|| optional(profile, "role_session_name")),
            token,
            subject,
            sts: self.settings.sts()?,
        });
        Ok(source.into())
    }

    /// A profile without account and role is for tokens alone: it holds no credentials of SSO.
    fn sso(&self, profile: &Section<'_>) -> Result<Option<Resolved>, Problem> {
        if profile.get("sso_account_id").is_none() && profile.get("sso_role_name").is_none() {
            return Ok(None);
        }
        let session_name = match profile.get("sso_session") {
            Some(_) => Some(required(profile, "sso_session")?),
            None => None,
        };
        let session = match &session_name {
            Some(name) => {
                let found = self.config.sso_session(name);
                let found = found.map_err(|e| problem::file(&e))?;
                Some(found.ok_or_else(|| problem::unknown_sso_session(profile.name(), name))?)
            }
            None => None,
        };
        let setting = |key: &'static str| {
            let of_session = session.as_ref().and_then(|session| set(session, key));
            match (profile.get(key), of_session) {
                (Some(own), Some(value)) if own != value => Err(problem::invalid(
                    profile.name(),
                    format_args!("{key} is not that of its sso_session"),
                )),
                (_, Some(value)) => Ok(value.to_owned()),
                (_, None) => required(profile, key),
            }
        };
        let start_url = setting("sso_start_url")?;
        let region = setting("sso_region")?;
        let account_id = setting("sso_account_id")?;
        let role_name = setting("sso_role_name")?;
        let portal = self.settings.endpoint(Api::Sso, &region)?;
        let oidc = self.settings.endpoint(Api::SsoOidc, &region)?;
        if (portal.url().is_none() || oidc.url().is_none()) && !is_region(&region) {
            let setting = format!("sso_region of profile {:?}", profile.name());
            return Err(problem::bad_region(&setting, &region));
        }
        let cached = session_name.as_deref().unwrap_or(&start_url);
        let file = hex(&Sha1::digest(cached)) + ".json";
        let login_file = self.home(profile)?.join(".aws/sso/cache").join(file);
        let session = self.logged_in(&login_file, profile, "aws sso login")?;
        let source = Source::Sso(Sso {
            profile: profile.name().to_owned(),
            session: session_name,
            start_url,
            account_id,
            role_name,
            portal,
            oidc,
            login_file,
        });
        Ok(Some(Resolved {
            session_digest: Some(session.digest),
            ..source.into()
        }))
    }

    fn login(&self, profile: &Section<'_>, session_arn: String) -> Result<Resolved, Problem> {
        let dir = match self.settings.env.path("AWS_LOGIN_CACHE_DIRECTORY") {
            Some(dir) => dir,
            None => self.home(profile)?.join(".aws/login/cache"),
        };
        let file = hex(&Sha256::digest(session_arn.trim())) + ".json";
        let login_file = dir.join(file);
        let session = self.logged_in(&login_file, profile, "aws login")?;
        let region = session.region.filter(|region| is_region(region));
        let region = region.as_deref().unwrap_or(self.settings.region());
        let source = Source::Login(ConsoleLogin {
            profile: profile.name().to_owned(),
            session_arn,
            signin: self.settings.endpoint(Api::Signin, region)?,
            login_file,
        });
        Ok(Resolved {
            session_digest: Some(session.digest),
            ..source.into()
        })
    }

    fn home(&self, profile: &Section<'_>) -> Result<PathBuf, Problem> {
        let home = self.settings.env.home();
        home.ok_or_else(|| problem::no_home(profile.name()))
    }

    /// A session that was ended leaves no file, or an empty one, and then nothing cached is
    /// served. An expired one is still a session.
    fn logged_in(
        &self,
        path: &Path,
        profile: &Section<'_>,
        command: &'static str,
    ) -> Result<LoginSession, Problem> {
        let content = self.surroundings.file(path);
        let logged_out = |why: String| {
            let detail = format!("{}: {why}", path.display());
            problem::logged_out(profile.name(), command).with_detail(detail)
        };
        match &*content {
            Ok(bytes) => {
                LoginSession::of(bytes).ok_or_else(|| logged_out("no session in it".into()))
            }
            Err(error) => Err(logged_out(error.to_string())),
        }
    }
}

pub(super) fn required(profile: &Section<'_>, key: &'static str) -> Result<String, Problem> {
    match set(profile, key) {
        Some(value) => Ok(value.to_owned()),
        None => Err(problem::incomplete(profile.name(), key)),
    }
}

fn optional(profile: &Section<'_>, key: &str) -> Option<String> {
    set(profile, key).map(str::to_owned)
}

/// Whether there is one of the two keys, in either file.
fn has_keys(profile: &Section<'_>) -> bool {
    let keys = ["aws_access_key_id", "aws_secret_access_key"];
    keys.iter().any(|key| profile.get(key).is_some())
}

/// The keys in one of the files; all of them have to be in the same.
fn keys(profile: &Section<'_>, file: WhichFile) -> Result<Option<Source>, Problem> {
    let of = |key: &'static str| {
        let value = profile.get_in(file, key).filter(|v| !v.trim().is_empty());
        let value = value.map(str::to_owned);
        value.ok_or_else(|| problem::incomplete(profile.name(), key))
    };
    if profile.get_in(file, "aws_access_key_id").is_none() {
        return Ok(None);
    }
    let token = ["aws_security_token", "aws_session_token"]
        .iter()
        .find_map(|key| profile.get_in(file, key))
        .filter(|token| !token.trim().is_empty());
    Ok(Some(Source::Static {
        profile: profile.name().to_owned(),
        keys: AccessKeys {
            access_key_id: of("aws_access_key_id")?,
            secret_access_key: Secret::new(of("aws_secret_access_key")?),
            session_token: token.map(Secret::from),
        },
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
    Ok((Secret::from(text), Subject::of(text)))
}
