//! Everything local that decides who asks: environment variables and AWS config files, read once.
//!
//! Choosing is apart from this, in [`plan`](super::plan()): it sees a [`Surroundings`] and nothing
//! else. The few files that only some plans depend on (web identity tokens, sessions of SSO and
//! `aws login`) are read through it when a plan first needs them, once each.

use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::aws_settings;
use super::problem;
use crate::env::Env;
use crate::fs::read_bounded;
use crate::log::Log;
use crate::problem::Problem;
use crate::profile::{Config, ConfigFileError, Paths};
use crate::registry::Registry;
use crate::secret::SecretBytes;

/// The variables that decide anything here, sorted. Others are not read.
const VARIABLES: &[&str] = &[
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_CA_BUNDLE",
    "AWS_CONFIG_FILE",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CREDENTIAL_FILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
    "AWS_EC2_METADATA_V1_DISABLED",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_ECR",
    "AWS_ENDPOINT_URL_ECR_PUBLIC",
    "AWS_ENDPOINT_URL_SIGNIN",
    "AWS_ENDPOINT_URL_SSO",
    "AWS_ENDPOINT_URL_SSO_OIDC",
    "AWS_ENDPOINT_URL_STS",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    "AWS_IMDS_USE_IPV6",
    "AWS_LOGIN_CACHE_DIRECTORY",
    "AWS_MAX_ATTEMPTS",
    "AWS_METADATA_SERVICE_NUM_ATTEMPTS",
    "AWS_METADATA_SERVICE_TIMEOUT",
    "AWS_PROFILE",
    "AWS_RETRY_MODE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SECRET_KEY",
    "AWS_SECURITY_TOKEN",
    "AWS_SESSION_TOKEN",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_USE_DUALSTACK_ENDPOINT",
    "AWS_USE_FIPS_ENDPOINT",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "BOTO_CONFIG",
    "HOME",
    "HOMEDRIVE",
    "HOMEPATH",
    "REQUESTS_CA_BUNDLE",
    "USERNAME",
    "USERPROFILE",
];

/// Those among them that name files, which may be any bytes.
const PATHS: &[&str] = &[
    "AWS_CA_BUNDLE",
    "AWS_CONFIG_FILE",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_CREDENTIAL_FILE",
    "AWS_LOGIN_CACHE_DIRECTORY",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "BOTO_CONFIG",
    "HOME",
    "HOMEDRIVE",
    "HOMEPATH",
    "REQUESTS_CA_BUNDLE",
    "USERNAME",
    "USERPROFILE",
];

/// No identity provider issues a token of this size, in bytes, and no session's file has it.
const FILE_LIMIT: usize = 1 << 20;

/// More are not searched; hints need not be complete.
const MOST_PROFILES: usize = 1000;

/// The content of a file, or why it is unknown.
pub(super) type Content = Rc<io::Result<SecretBytes>>;

/// The variables and files, as they were read.
pub struct Surroundings {
    /// [`VARIABLES`] alone.
    pub(super) env: Env,
    paths: Paths,
    config: Result<Config, ConfigFileError>,
    files: RefCell<Vec<(PathBuf, Content)>>,
}

impl std::fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surroundings")
            .field("env", &self.env)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Surroundings {
    /// Reads variables and config files. What is wrong with them is said by
    /// [`plan`](super::plan()), if it matters there.
    pub fn read(env: &Env, log: Log<'_>) -> Self {
        let env = env.only(VARIABLES);
        let paths = Paths::find(&env);
        let config = Config::load(&paths);
        match &config {
            Err(error) => log.debug(format_args!("AWS config files count as empty: {error}")),
            Ok(config) if log.is_on() => {
                for fault in config.faults() {
                    log.debug(format_args!("AWS config files: {fault}"));
                }
            }
            Ok(_) => {}
        }
        let surroundings = Self {
            env,
            paths,
            config,
            files: RefCell::default(),
        };
        if log.is_on()
            && let Some(why) = surroundings.unused_profile()
        {
            log.debug(format_args!("{why}"));
        }
        surroundings
    }

    /// Fails if a variable is not UTF-8: its value would be unknown.
    pub(super) fn check_variables(&self) -> Result<(), Problem> {
        let decides = |name: &&str| VARIABLES.contains(name) && !PATHS.contains(name);
        match self.env.garbled().find(decides) {
            Some(name) => Err(problem::garbled_variable(name)),
            None => Ok(()),
        }
    }

    /// The config files, unless they are faulty.
    pub(super) fn config(&self) -> Result<&Config, Problem> {
        self.config.as_ref().map_err(problem::file)
    }

    /// Fails if the config files have any fault: it may hide the credentials in them, so that no
    /// source behind them may be used.
    pub(super) fn check_files(&self) -> Result<(), Problem> {
        match self.config()?.faults().first() {
            Some(fault) => Err(problem::file(fault)),
            None => Ok(()),
        }
    }

    /// A file that a plan depends on: at most 1 MiB, and never waited for long.
    pub(super) fn file(&self, path: &Path) -> Content {
        let mut files = self.files.borrow_mut();
        if let Some((_, content)) = files.iter().find(|(read, _)| read == path) {
            return Rc::clone(content);
        }
        let content = Rc::new(read_bounded(path, FILE_LIMIT).map(SecretBytes::new));
        files.push((path.to_owned(), Rc::clone(&content)));
        content
    }

    /// The profile that a variable names, and the variable.
    pub(super) fn named_profile(&self) -> Option<(String, &'static str)> {
        ["AWS_PROFILE", "AWS_DEFAULT_PROFILE"]
            .into_iter()
            .find_map(|variable| Some((self.env.var(variable)?, variable)))
    }

    /// The URLs of endpoints in variables.
    pub fn endpoint_urls(&self) -> impl Iterator<Item = String> {
        let variables = VARIABLES.iter();
        let of_endpoints = variables.filter(|name| name.starts_with("AWS_ENDPOINT_URL"));
        of_endpoints.filter_map(|name| self.env.var(name))
    }

    /// Why the profile that a variable names is not used, if so: for the debug log and `doctor`.
    pub fn unused_profile(&self) -> Option<String> {
        let (_, variable) = self.named_profile()?;
        self.env.var("AWS_ACCESS_KEY_ID")?;
        Some(format!(
            "{variable} is not used: keys in environment variables come first"
        ))
    }

    /// The names of all profiles, sorted.
    pub fn profiles(&self) -> Vec<String> {
        match &self.config {
            Ok(config) => config.profiles(),
            Err(_) => Vec::new(),
        }
    }

    /// The profiles whose credentials are of this account, as far as they say so: for hints.
    pub fn profiles_of_account(&self, account_id: &str) -> Vec<String> {
        let Ok(config) = &self.config else {
            return Vec::new();
        };
        let is_of_account = |name: &String| {
            let Ok(Some(profile)) = config.profile(name) else {
                return false;
            };
            // The role is what is used in the end.
            let account = match profile.get("role_arn") {
                Some(arn) => arn.split(':').nth(4),
                None => profile
                    .get("sso_account_id")
                    .or_else(|| profile.get("aws_account_id")),
            };
            account == Some(account_id)
        };
        let names = config.profiles().into_iter().take(MOST_PROFILES);
        names.filter(is_of_account).collect()
    }

    /// A hint where profiles for the registry's account exist.
    pub fn profile_hint(&self, registry: &Registry) -> Option<String> {
        let account_id = registry.account_id()?;
        let profiles = self.profiles_of_account(account_id);
        let first = profiles.first()?;
        let are = match &profiles[..] {
            [one] => format!("profile {one:?} is"),
            several => {
                let names: Vec<_> = several.iter().take(4).map(|n| format!("{n:?}")).collect();
                format!("profiles {} are", names.join(", "))
            }
        };
        Some(format!(
            "set AWS_ECR_PROFILE={first}, or add \"profile = {first}\" below [{account_id}] in \
             ~/.aws/ecr-login: {are} for this account"
        ))
    }

    /// The failure when instance metadata, the last of the sources, has no credentials either;
    /// `metadata` says why.
    pub fn no_credentials(&self, registry: &Registry, metadata: &str) -> Problem {
        let set = |name: &str| self.env.var(name).is_some();
        let keys = match set("AWS_ACCESS_KEY_ID") || set("AWS_ACCESS_KEY") {
            true => "the environment (AWS_ACCESS_KEY_ID without AWS_SECRET_ACCESS_KEY)",
            false => "the environment (no AWS_ACCESS_KEY_ID)",
        };
        let path = |path: &Option<PathBuf>, name: &str| match path {
            Some(path) => path.display().to_string(),
            None => name.to_owned(),
        };
        let files = format!(
            "{} and {}",
            path(&self.paths.config, "~/.aws/config"),
            path(&self.paths.credentials, "~/.aws/credentials"),
        );
        let selected = self
            .named_profile()
            .map_or_else(|| "default".to_owned(), |(name, _)| name);
        let exists = matches!(
            self.config.as_ref().map(|config| config.profile(&selected)),
            Ok(Ok(Some(_)))
        );
        let what = match exists {
            true => "no credentials in it",
            false => "no such profile",
        };
        let web = match set("AWS_WEB_IDENTITY_TOKEN_FILE") {
            true => "web identity (AWS_WEB_IDENTITY_TOKEN_FILE without AWS_ROLE_ARN)",
            false => "web identity (no AWS_WEB_IDENTITY_TOKEN_FILE)",
        };
        let places = [
            keys.to_owned(),
            format!("profile {selected:?} in {files} ({what})"),
            web.to_owned(),
            "container credentials (no AWS_CONTAINER_CREDENTIALS_RELATIVE_URI)".to_owned(),
            metadata.to_owned(),
        ];
        let no_home = self.env.home().is_none() && self.paths.config.is_none();
        problem::no_credentials(&places, no_home, self.profile_hint(registry))
    }

    /// There is no profile of this name.
    pub(super) fn unknown_profile(&self, profile: &str, named_by: &str) -> Problem {
        // It may be in the file that cannot be read.
        let config = self.config.as_ref().ok();
        if let Some(error) = config.and_then(Config::unreadable) {
            return problem::file(error);
        }
        match self.paths.config {
            Some(_) => problem::unknown_profile(profile, named_by, &self.profiles()),
            None => problem::profile_without_home(profile, named_by),
        }
    }

    /// Whether `AWS_EC2_METADATA_DISABLED` is true.
    pub(super) fn metadata_disabled(&self) -> bool {
        aws_settings::is_true(self.env.var("AWS_EC2_METADATA_DISABLED").as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_variables_is_complete() {
        // Every literal in this module's sources that looks like one.
        let sources = [
            include_str!("aws_settings.rs"),
            include_str!("chain.rs"),
            include_str!("choose.rs"),
            include_str!("sources.rs"),
            include_str!("../profile/paths.rs"),
        ];
        let names = sources.iter().flat_map(|text| text.split('"'));
        let names: Vec<_> = names
            .filter(|word| {
                word.starts_with("AWS_")
                    && word
                        .bytes()
                        .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
            })
            .collect();
        assert!(names.len() > 20, "{names:?}");
        assert!(VARIABLES.is_sorted());
        for name in names {
            assert!(VARIABLES.contains(&name), "{name}");
        }
    }
}
