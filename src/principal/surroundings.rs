//! Looks at variables and files once, and makes plans from what it saw.
//!
//! The order is the SDK's: environment keys, profile, web identity, container, instance metadata.
//! Environment keys win even where the files are malformed; settings in them then count as not
//! set, as in the SDK.

use std::path::Path;

use super::aws_settings::{Api, Settings};
use super::cache_key::{KeyMaterial, Subject, name};
use super::chain::{self, Resolved};
use super::{Endpoint, Error, Identity, Network, Plan, Role, Source, WebIdentity};
use crate::env::Env;
use crate::log::Log;
use crate::profile::{Config, Paths};
use crate::registry::{Partition, Registry, Service};
use crate::secret::Secret;

/// Everything local that decides who asks, whatever the registry.
#[derive(Debug)]
pub struct Surroundings {
    chosen: Result<Resolved, Error>,
    /// The selected profile, if the source is in it.
    profile: Option<String>,
    ecr: Result<Option<String>, Error>,
    ecr_public: Result<Option<String>, Error>,
    sts: Result<Endpoint, Error>,
    fips: Result<bool, Error>,
    dual_stack: Result<bool, Error>,
    regions: Vec<String>,
    network: Network,
    looked: SearchTrace,
}

/// For messages only.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools)]
struct SearchTrace {
    key_id_set: bool,
    selected: String,
    profile_exists: bool,
    paths: Paths,
    token_file_set: bool,
    metadata_disabled: bool,
}

impl Surroundings {
    /// Reads variables and files. What is wrong with them is said by [`Surroundings::plan`].
    pub fn load(env: &Env, log: Log<'_>) -> Self {
        let paths = Paths::find(env);
        let config = Config::load(&paths).map_err(Error::File);
        Self::of(env, config, paths, log)
    }

    pub(super) fn of(env: &Env, config: Result<Config, Error>, paths: Paths, log: Log<'_>) -> Self {
        // The second is one that the AWS CLI and the Go SDK know, and the Rust SDK does not.
        let named = ["AWS_PROFILE", "AWS_DEFAULT_PROFILE"]
            .into_iter()
            .find_map(|variable| Some((env.var(variable)?, variable)));
        let (selected, named_by) = named.unwrap_or_else(|| ("default".to_owned(), ""));
        let section = match &config {
            Ok(config) => config.profile(&selected),
            Err(e) => {
                log.debug(format_args!("AWS config files count as empty: {e}"));
                None
            }
        };
        let settings = Settings::new(env, config.as_ref().ok(), section.as_ref());
        let profile_exists = section.is_some();

        let mut profile = None;
        let chosen = match chain::environment(&settings) {
            Some(source) => Ok(Some(source.into())),
            None => match (&config, &section) {
                (Err(e), _) => Err(e.clone()),
                (Ok(_), None) if selected != "default" => Err(Error::UnknownProfile {
                    profile: selected.clone(),
                    named_by: named_by.to_owned(),
                }),
                (Ok(_), None) => after_profile(&settings),
                (Ok(config), Some(section)) => match chain::resolve(&settings, config, section) {
                    Ok(None) => after_profile(&settings),
                    found => {
                        profile = Some(selected.clone());
                        found
                    }
                },
            },
        };
        let looked = SearchTrace {
            key_id_set: chain::key_id(env).is_some(),
            selected,
            profile_exists,
            paths,
            token_file_set: env.var("AWS_WEB_IDENTITY_TOKEN_FILE").is_some(),
            metadata_disabled: chain::metadata_disabled(&settings),
        };
        let chosen = chosen.and_then(|found| {
            found.ok_or_else(|| Error::NoCredentials {
                looked_at: looked.list(),
            })
        });
        match &chosen {
            Ok(found) => log.debug(format_args!(
                "credentials: {}, profile {}, roles after it: {}",
                found.source.kind(),
                profile.as_deref().unwrap_or("none"),
                found.roles.len()
            )),
            Err(e) => log.debug(format_args!("credentials: {e}")),
        }
        Self {
            chosen,
            profile,
            ecr: settings.endpoint_override(Api::Ecr),
            ecr_public: settings.endpoint_override(Api::EcrPublic),
            sts: settings.endpoint(Api::Sts, ""),
            fips: settings.fips.clone(),
            dual_stack: settings.dual_stack.clone(),
            regions: settings.regions(),
            network: settings.network(),
            looked,
        }
    }

    /// What there is to say when instance metadata, the last of the sources, has none either.
    pub fn no_credentials(&self, metadata: &str) -> Error {
        let mut looked_at = self.looked.list();
        looked_at.pop();
        looked_at.push(metadata.to_owned());
        Error::NoCredentials { looked_at }
    }

    /// KeyMaterial asks for this registry's token, and where. Reads nothing.
    pub fn plan(&self, registry: &Registry) -> Result<Plan, Error> {
        let found = self.chosen.as_ref().map_err(Error::clone)?;
        let api = self.api(registry)?;
        let region = self.region_of_partition(registry);
        let mut source = found.source.clone();
        match &mut source {
            Source::WebIdentity(web) => {
                check_arn(&web.role_arn, "role", registry)?;
                region.clone_into(&mut web.sts.region);
            }
            Source::Login(login) => {
                check_arn(&login.session_arn, "login session", registry)?;
                region.clone_into(&mut login.signin.region);
            }
            Source::Sso(sso) => {
                let partition = Partition::of_region(&sso.portal.region);
                let words = || format!("sso_region {}", sso.portal.region);
                check(partition, words, registry)?;
            }
            _ => {}
        }
        let mut roles = found.roles.clone();
        for role in &mut roles {
            check_arn(&role.role_arn, "role", registry)?;
            region.clone_into(&mut role.sts.region);
        }
        let identity = identity(registry, &api, &source, &roles, found.subject.as_ref());
        Ok(Plan {
            source,
            roles,
            api,
            profile: self.profile.clone(),
            network: self.network.clone(),
            identity,
        })
    }

    /// KeyMaterial asks where a web identity token and a role are handed in, whatever else is set. The
    /// plan names nobody: such a token is not cached.
    pub fn web_identity_plan(
        &self,
        registry: &Registry,
        role_arn: String,
        session_name: String,
        token: Secret,
    ) -> Result<Plan, Error> {
        check_arn(&role_arn, "role", registry)?;
        let mut sts = self.sts.clone()?;
        self.region_of_partition(registry)
            .clone_into(&mut sts.region);
        Ok(Plan {
            source: Source::WebIdentity(WebIdentity {
                profile: None,
                role_arn,
                session_name: Some(session_name),
                token,
                sts,
            }),
            roles: Vec::new(),
            api: self.api(registry)?,
            profile: None,
            network: self.network.clone(),
            identity: Identity::Ambient,
        })
    }

    fn api(&self, registry: &Registry) -> Result<Endpoint, Error> {
        let set = match registry.service() {
            Service::Ecr => &self.ecr,
            Service::EcrPublic => &self.ecr_public,
        };
        let set = set.as_ref().map_err(Error::clone)?;
        let free = set.is_none();
        let on = |flag: &Result<bool, Error>| flag.as_ref().map_err(Error::clone).copied();
        let fips = free && (on(&self.fips)? || registry.fips());
        let dual_stack = free && (on(&self.dual_stack)? || registry.dual_stack());
        let region = registry.region();
        let url = set.clone().unwrap_or_else(|| {
            let service = registry.service();
            service.api_url(region, registry.partition(), fips, dual_stack)
        });
        Ok(Endpoint {
            region: region.to_owned(),
            url: Some(url),
            fips,
            dual_stack,
        })
    }

    /// The region in which STS and the sign-in service are asked: the first that is set and lies
    /// in the registry's partition, which is that of the role as well, else the registry's own.
    /// A region whose name says nothing of that partition, since no table knows it yet, would lead
    /// into another one: the partition's main region stands in.
    fn region_of_partition<'a>(&'a self, registry: &'a Registry) -> &'a str {
        let partition = registry.partition();
        let set = self.regions.iter().map(String::as_str);
        set.chain([registry.region()])
            .find(|region| Partition::of_region(region) == partition)
            .unwrap_or(partition.home_region)
    }
}

/// The sources behind the profile.
fn after_profile(settings: &Settings<'_>) -> Result<Option<Resolved>, Error> {
    let env = settings.env;
    let file = env.var("AWS_WEB_IDENTITY_TOKEN_FILE");
    if let (Some(file), Some(role_arn)) = (file, env.var("AWS_ROLE_ARN")) {
        let setting = || "AWS_WEB_IDENTITY_TOKEN_FILE".to_owned();
        let (token, subject) = chain::web_token(Path::new(&file), setting)?;
        let source = Source::WebIdentity(WebIdentity {
            profile: None,
            role_arn,
            session_name: env.var("AWS_ROLE_SESSION_NAME"),
            token,
            sts: settings.endpoint(Api::Sts, "")?,
        });
        return Ok(Some(Resolved {
            subject: Some(subject),
            ..source.into()
        }));
    }
    let source = chain::container(settings).or_else(|| chain::instance_metadata(settings));
    Ok(source.map(Resolved::from))
}

fn check_arn(arn: &str, what: &str, registry: &Registry) -> Result<(), Error> {
    match Partition::of_arn(arn) {
        Some(partition) => check(partition, || format!("{what} {arn}"), registry),
        // STS knows better than this table.
        None => Ok(()),
    }
}

fn check(
    partition: &'static Partition,
    credentials: impl Fn() -> String,
    registry: &Registry,
) -> Result<(), Error> {
    if partition == registry.partition() {
        return Ok(());
    }
    Err(Error::PartitionMismatch {
        credentials: credentials(),
        partition: partition.id,
        registry: registry.host().to_owned(),
        registry_partition: registry.partition().id,
    })
}

fn identity(
    registry: &Registry,
    api: &Endpoint,
    source: &Source,
    roles: &[Role],
    subject: Option<&Subject>,
) -> Identity {
    let ambient = match source {
        Source::Process { .. } | Source::InstanceMetadata { .. } => true,
        Source::Container { uri } => !is_task_uri(uri),
        _ => false,
    };
    if ambient {
        return Identity::Ambient;
    }
    let who = KeyMaterial::Settings(subject);
    Identity::Pinned(name(registry, api, source, roles, who))
}

/// `/v2/credentials/<uuid>`: one per ECS task, and so per role. A fixed path may lead to any role.
fn is_task_uri(uri: &str) -> bool {
    let Some(id) = uri.strip_prefix("/v2/credentials/") else {
        return false;
    };
    let dash = |index: usize| matches!(index, 8 | 13 | 18 | 23);
    id.len() == 36
        && id
            .bytes()
            .enumerate()
            .all(|(index, byte)| match dash(index) {
                true => byte == b'-',
                false => byte.is_ascii_hexdigit(),
            })
}

impl SearchTrace {
    fn list(&self) -> Vec<String> {
        let keys = match self.key_id_set {
            true => "the environment (AWS_ACCESS_KEY_ID without AWS_SECRET_ACCESS_KEY)",
            false => "the environment (no AWS_ACCESS_KEY_ID)",
        };
        let path = |path: &Option<std::path::PathBuf>, name: &str| match path {
            Some(path) => path.display().to_string(),
            None => name.to_owned(),
        };
        let files = format!(
            "{} and {}",
            path(&self.paths.config, "~/.aws/config"),
            path(&self.paths.credentials, "~/.aws/credentials"),
        );
        let profile = match self.profile_exists {
            true => format!(
                "profile {:?} in {files} (no credentials in it)",
                self.selected
            ),
            false => format!("profile {:?} in {files} (no such profile)", self.selected),
        };
        let web = match self.token_file_set {
            true => "web identity (AWS_WEB_IDENTITY_TOKEN_FILE without AWS_ROLE_ARN)",
            false => "web identity (no AWS_WEB_IDENTITY_TOKEN_FILE)",
        };
        let metadata = match self.metadata_disabled {
            true => "instance metadata (AWS_EC2_METADATA_DISABLED is true)",
            false => "instance metadata",
        };
        vec![
            keys.to_owned(),
            profile,
            web.to_owned(),
            "container credentials (no AWS_CONTAINER_CREDENTIALS_RELATIVE_URI)".to_owned(),
            metadata.to_owned(),
        ]
    }
}
