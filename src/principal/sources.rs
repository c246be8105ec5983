//! The sources outside of profiles: keys and a web identity in variables, the endpoint of a
//! container, instance metadata.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::aws_settings::{Settings, is_true};
use super::chain;
use super::problem;
use super::surroundings::Surroundings;
use super::{AccessKeys, Container, InstanceMetadata, Source, WebIdentity};
use crate::env::Env;
use crate::problem::Problem;
use crate::profile;
use crate::secret::Secret;

/// `AWS_ACCESS_KEY_ID` and related variables. Half a pair is an error, never the next source.
pub(super) fn environment(env: &Env) -> Result<Option<Source>, Problem> {
    const ID: &str = "AWS_ACCESS_KEY_ID";
    const SECRET: &str = "AWS_SECRET_ACCESS_KEY";
    // The second name of the secret is one that the SDK for Go knows.
    let secret = || not_blank(env, SECRET).or_else(|| not_blank(env, "AWS_SECRET_KEY"));
    match (not_blank(env, ID), secret()) {
        (Some(access_key_id), Some(secret)) => Ok(Some(Source::Environment(AccessKeys {
            access_key_id,
            secret_access_key: Secret::new(secret),
            session_token: ["AWS_SECURITY_TOKEN", "AWS_SESSION_TOKEN"]
                .into_iter()
                .find_map(|name| env.var(name))
                .map(Secret::new),
        }))),
        (Some(_), None) => Err(problem::half_set(ID, SECRET)),
        (None, _) if env.is_set(SECRET) => Err(problem::half_set(SECRET, ID)),
        (None, _) if env.is_set(ID) => Err(problem::half_set(ID, SECRET)),
        (None, _) => Ok(None),
    }
}

/// `AWS_ACCESS_KEY` and `AWS_SECRET_KEY`, which the SDK for Go knows and the AWS CLI does not: so
/// everything that the AWS CLI would find comes before them.
pub(super) fn environment_of_go(env: &Env) -> Option<Source> {
    let access_key_id = not_blank(env, "AWS_ACCESS_KEY")?;
    let secret = not_blank(env, "AWS_SECRET_KEY")?;
    Some(Source::Environment(AccessKeys {
        access_key_id,
        secret_access_key: Secret::new(secret),
        session_token: env.var("AWS_SESSION_TOKEN").map(Secret::new),
    }))
}

/// The files of the EC2 tools and of boto 2, which the AWS CLI still reads after all profiles.
pub(super) fn retired_files(surroundings: &Surroundings) -> Result<Option<Source>, Problem> {
    let env = &surroundings.env;
    if let Some(path) = env.path("AWS_CREDENTIAL_FILE") {
        let content = surroundings.file(&path);
        let bytes = content.as_ref().as_ref();
        let bytes = bytes.map_err(|e| problem::unreadable(&path, &e.to_string()))?;
        let text = String::from_utf8_lossy(bytes);
        let of = |key: &str| {
            let pairs = text.lines().filter_map(|line| line.split_once('='));
            let mut values = pairs.filter_map(|(k, v)| (k.trim() == key).then_some(v.trim()));
            values.next_back().map(str::to_owned)
        };
        if let Some(id) = of("AWSAccessKeyId") {
            return in_file(&path, id, of("AWSSecretKey")).map(Some);
        }
    }
    let paths = match env.aws_path("BOTO_CONFIG") {
        Some(path) => vec![path],
        None => {
            let home = env.home().map(|home| home.join(".boto"));
            [Some("/etc/boto.cfg".into()), home]
                .into_iter()
                .flatten()
                .collect()
        }
    };
    for path in paths {
        let content = surroundings.file(&path);
        let bytes = match &*content {
            Ok(bytes) => bytes,
            Err(e) if is_missing(e) => continue,
            Err(e) => return Err(problem::unreadable(&path, &e.to_string())),
        };
        let keys = profile::boto_keys(&path, bytes).map_err(|e| problem::file(&e))?;
        if let Some((id, secret)) = keys {
            return in_file(&path, id, secret).map(Some);
        }
    }
    Ok(None)
}

fn in_file(path: &Path, id: String, secret: Option<String>) -> Result<Source, Problem> {
    let set = |value: &String| !value.trim().is_empty();
    let place = format!("Credentials in {}", path.display());
    let secret = secret.filter(set).filter(|_| set(&id));
    let secret = secret.ok_or_else(|| problem::incomplete(&place, "the secret access key"))?;
    Ok(Source::Static {
        profile: place,
        keys: AccessKeys {
            access_key_id: id,
            secret_access_key: Secret::new(secret),
            session_token: None,
        },
    })
}

fn is_missing(error: &io::Error) -> bool {
    use io::ErrorKind::{IsADirectory, NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory | IsADirectory)
}

fn not_blank(env: &Env, name: &str) -> Option<String> {
    env.raw(name).filter(|value| !value.trim().is_empty())
}

const TOKEN_FILE: &str = "AWS_WEB_IDENTITY_TOKEN_FILE";

/// Fails if only one of the two variables of a web identity is set.
pub(super) fn check_web_identity(env: &Env) -> Result<Option<(PathBuf, String)>, Problem> {
    const ROLE: &str = "AWS_ROLE_ARN";
    match (env.path(TOKEN_FILE), env.var(ROLE)) {
        (Some(path), Some(role_arn)) => Ok(Some((path, role_arn))),
        (Some(_), None) => Err(problem::half_set(TOKEN_FILE, ROLE)),
        // An empty variable is a job that did not get its token.
        (None, Some(_)) if env.raw(TOKEN_FILE).is_some() => {
            Err(problem::half_set(ROLE, TOKEN_FILE))
        }
        (None, _) => Ok(None),
    }
}

/// `AWS_WEB_IDENTITY_TOKEN_FILE` and `AWS_ROLE_ARN`.
pub(super) fn web_identity(
    surroundings: &Surroundings,
    settings: &Settings<'_>,
) -> Result<Option<Source>, Problem> {
    let env = &surroundings.env;
    let Some((path, role_arn)) = check_web_identity(env)? else {
        return Ok(None);
    };
    let (token, subject) = chain::web_token(surroundings, &path, || TOKEN_FILE.to_owned())?;
    Ok(Some(Source::WebIdentity(WebIdentity {
        profile: None,
        role_arn,
        session_name: env.var("AWS_ROLE_SESSION_NAME"),
        token,
        subject,
        sts: settings.sts()?,
    })))
}

/// `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI`, else `…_FULL_URI`. As for the AWS CLI, one that is set
/// but empty counts: it was set to select this source.
pub(super) fn container(env: &Env) -> Option<Source> {
    let relative = env.raw("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    let is_relative = relative.is_some();
    let uri = match relative {
        Some(empty) if empty.is_empty() => "/".to_owned(),
        Some(uri) => uri,
        None => env.raw("AWS_CONTAINER_CREDENTIALS_FULL_URI")?,
    };
    Some(Source::Container(Container {
        uri: Secret::new(uri),
        relative: is_relative,
        token: env
            .raw("AWS_CONTAINER_AUTHORIZATION_TOKEN")
            .map(Secret::new),
        // An empty one cannot be read: that is an error, as for the AWS CLI.
        token_file: env.aws_path("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
    }))
}

/// Instance metadata, unless it is switched off.
pub(super) fn instance_metadata(
    surroundings: &Surroundings,
    settings: &Settings<'_>,
) -> Result<Option<Source>, Problem> {
    if surroundings.metadata_disabled() {
        return Ok(None);
    }
    let mode = settings.either(
        "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
        "ec2_metadata_service_endpoint_mode",
    );
    let ipv6 = match mode.as_deref().map(str::to_ascii_lowercase).as_deref() {
        Some("ipv6") => true,
        Some("ipv4") => false,
        Some(mode) => return Err(problem::bad_endpoint_mode(mode)),
        None => is_true(
            settings
                .either("AWS_IMDS_USE_IPV6", "imds_use_ipv6")
                .as_deref(),
        ),
    };
    let number = |variable: &str, key: &str| match settings.either(variable, key) {
        None => Ok(None),
        Some(text) => match text.trim().parse::<f64>() {
            Ok(number) if number > 0.0 && number.is_finite() => Ok(Some(number.min(1e6))),
            _ => Err(problem::bad_number(variable, key, &text)),
        },
    };
    let seconds = number("AWS_METADATA_SERVICE_TIMEOUT", "metadata_service_timeout")?;
    let attempts = number(
        "AWS_METADATA_SERVICE_NUM_ATTEMPTS",
        "metadata_service_num_attempts",
    )?;
    let no_v1 = settings.either("AWS_EC2_METADATA_V1_DISABLED", "ec2_metadata_v1_disabled");
    Ok(Some(Source::InstanceMetadata(InstanceMetadata {
        endpoint: settings.either(
            "AWS_EC2_METADATA_SERVICE_ENDPOINT",
            "ec2_metadata_service_endpoint",
        ),
        ipv6,
        timeout: seconds.map(Duration::from_secs_f64),
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "bounded above"
        )]
        attempts: attempts.map(|attempts| attempts.max(1.0) as u32),
        v1_disabled: is_true(no_v1.as_deref()),
    })))
}
