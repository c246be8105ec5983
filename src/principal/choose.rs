//! Makes the plan: which source, which roles, which endpoint. Pure.

use super::aws_settings::Settings;
use super::cache_key;
use super::chain::{self, Chain, Resolved};
use super::cli_cache;
use super::problem;
use super::sources;
use super::subject::Subject;
use super::surroundings::Surroundings;
use super::{
    Endpoint, Identity, Network, Plan, PodIdentity, RegistryApi, Role, Selection, Source,
    WebIdentity,
};
use crate::problem::Problem;
use crate::profile::{Config, Section};
use crate::registry::{Partition, Registry};

/// The source, the roles and the endpoint for this registry's token.
pub fn plan(
    surroundings: &Surroundings,
    registry: &Registry,
    selection: &Selection,
) -> Result<Plan, Problem> {
    surroundings.check_variables()?;
    let selected = Selected::of(surroundings, selection);
    let config = surroundings.config();
    let section = match &config {
        Ok(config) => selected.find(surroundings, config)?,
        Err(_) => None,
    };
    let settings = Settings::new(
        &surroundings.env,
        config.as_ref().ok().copied(),
        section.as_ref(),
        registry,
    )?;
    let chooser = Chooser {
        surroundings,
        settings: &settings,
        selected: &selected,
        section: section.as_ref(),
        registry,
    };
    let (resolved, from_profile) = match &selection.web_identity {
        Some(pod) => (pod_identity(&settings, pod)?.into(), false),
        None => chooser.choose()?,
    };
    let Resolved {
        source,
        mut roles,
        session_digest,
    } = resolved;
    if let Some(role) = &selection.role_arn {
        roles.push(Role {
            profile: None,
            role_arn: role.value.clone(),
            external_id: None,
            session_name: None,
            mfa_serial: None,
            duration: None,
            sts: settings.sts()?,
        });
    }
    check_partition(&source, &roles, registry)?;
    let api = settings.registry_api()?;
    let identity = match &selection.web_identity {
        Some(_) => Identity::Ambient,
        None => cache_key::identity(registry, &api, &source, &roles),
    };
    let cli_cache = match roles.iter().any(|role| role.mfa_serial.is_some()) {
        true => surroundings.env.home().map(|home| cli_cache::dir(&home)),
        false => None,
    };
    Ok(Plan {
        source,
        roles,
        api,
        profile: from_profile.then_some(selected.name),
        network: settings.network()?,
        identity,
        session_digest,
        cli_cache,
    })
}

/// STS as it is called for this registry's region.
pub fn sts(
    surroundings: &Surroundings,
    registry: &Registry,
    selection: &Selection,
) -> Result<Endpoint, Problem> {
    let selected = Selected::of(surroundings, selection);
    let config = surroundings.config().ok();
    let section = config.and_then(|config| config.profile(&selected.name).ok().flatten());
    Settings::new(&surroundings.env, config, section.as_ref(), registry)?.sts()
}

/// The API that would be called for this registry and the connection's settings, also where there
/// are no credentials.
pub fn connection(
    surroundings: &Surroundings,
    registry: &Registry,
    selection: &Selection,
) -> Result<(RegistryApi, Network), Problem> {
    let selected = Selected::of(surroundings, selection);
    let config = surroundings.config().ok();
    let section = config.and_then(|config| config.profile(&selected.name).ok().flatten());
    let settings = Settings::new(&surroundings.env, config, section.as_ref(), registry)?;
    Ok((settings.registry_api()?, settings.network()?))
}

/// The profile in force.
struct Selected {
    name: String,
    /// The setting that names it; none for the default profile.
    named_by: Option<String>,
    /// By the selection: no other source stands in for it.
    binding: bool,
}

impl Selected {
    fn of(surroundings: &Surroundings, selection: &Selection) -> Self {
        if let Some(profile) = &selection.profile {
            return Self {
                name: profile.value.clone(),
                named_by: Some(profile.named_by.clone()),
                binding: true,
            };
        }
        let (name, named_by) = match surroundings.named_profile() {
            Some((name, variable)) => (name, Some(variable.to_owned())),
            None => ("default".to_owned(), None),
        };
        Self {
            name,
            named_by,
            binding: false,
        }
    }

    /// The profile. One that is named and missing is an error even where keys in variables would
    /// come before it, as for the AWS CLI.
    fn find<'a>(
        &self,
        surroundings: &Surroundings,
        config: &'a Config,
    ) -> Result<Option<Section<'a>>, Problem> {
        match (config.profile(&self.name), &self.named_by) {
            (Ok(None), Some(named_by)) => Err(surroundings.unknown_profile(&self.name, named_by)),
            (Ok(section), _) => Ok(section),
            // Of no interest to keys in variables; otherwise `choose` says it.
            (Err(_), _) => Ok(None),
        }
    }
}

/// Chooses the source, in the order of the AWS CLI.
struct Chooser<'a> {
    surroundings: &'a Surroundings,
    settings: &'a Settings<'a>,
    selected: &'a Selected,
    section: Option<&'a Section<'a>>,
    registry: &'a Registry,
}

impl Chooser<'_> {
    /// The source, and whether the profile holds it.
    fn choose(&self) -> Result<(Resolved, bool), Problem> {
        let env = &self.surroundings.env;
        if !self.selected.binding
            && let Some(source) = sources::environment(env)?
        {
            return Ok((source.into(), false));
        }
        let config = self.surroundings.config()?;
        let web_identity = || sources::web_identity(self.surroundings, self.settings);
        let token_file_set = env.path("AWS_WEB_IDENTITY_TOKEN_FILE").is_some();
        if self.section.is_none() {
            let section = config.profile(&self.selected.name);
            section.map_err(|e| problem::file(&e))?;
            self.surroundings.check_files()?;
        }
        // Pods with IRSA and a stray credentials file. A named profile comes first.
        if self.selected.named_by.is_none() {
            if !self.section.is_some_and(chain::is_assumed)
                && let Some(source) = web_identity()?
            {
                return Ok((source.into(), false));
            }
        } else if !self.selected.binding
            && self.section.is_some_and(|s| s.get("role_arn").is_none())
        {
            sources::check_web_identity(env)?;
        }
        if let Some(section) = self.section {
            let chain = Chain {
                surroundings: self.surroundings,
                settings: self.settings,
                config,
                with_role_variables: !self.selected.binding && !token_file_set,
            };
            if let Some(resolved) = chain.resolve(section)? {
                return Ok((resolved, true));
            }
        }
        if let (true, Some(named_by)) = (self.selected.binding, &self.selected.named_by) {
            return Err(problem::named_without_credentials(
                &self.selected.name,
                named_by,
            ));
        }
        self.surroundings.check_files()?;
        let source = match web_identity()? {
            Some(source) => Some(source),
            None => sources::retired_files(self.surroundings)?
                .or_else(|| sources::container(env))
                .or_else(|| sources::environment_of_go(env)),
        };
        let source = match source {
            Some(source) => Some(source),
            None => sources::instance_metadata(self.surroundings, self.settings)?,
        };
        match source {
            Some(source) => Ok((source.into(), false)),
            None => {
                let disabled = "instance metadata (AWS_EC2_METADATA_DISABLED is true)";
                Err(self.surroundings.no_credentials(self.registry, disabled))
            }
        }
    }
}

fn pod_identity(settings: &Settings<'_>, pod: &PodIdentity) -> Result<Source, Problem> {
    Ok(Source::WebIdentity(WebIdentity {
        profile: None,
        role_arn: pod.role_arn.clone(),
        session_name: Some(pod.session_name.clone()),
        token: pod.token.clone(),
        subject: Subject::of(pod.token.expose()),
        sts: settings.sts()?,
    }))
}

/// Credentials of one partition are of no use in another.
fn check_partition(source: &Source, roles: &[Role], registry: &Registry) -> Result<(), Problem> {
    match source {
        Source::WebIdentity(web) => check_arn(&web.role_arn, "role", registry)?,
        Source::Login(login) => check_arn(&login.session_arn, "login session", registry)?,
        Source::Sso(sso) => {
            let partition = Partition::of_region(&sso.portal.region);
            let words = || format!("sso_region {}", sso.portal.region);
            check(partition, words, registry)?;
        }
        _ => {}
    }
    roles
        .iter()
        .try_for_each(|role| check_arn(&role.role_arn, "role", registry))
}

fn check_arn(arn: &str, what: &str, registry: &Registry) -> Result<(), Problem> {
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
) -> Result<(), Problem> {
    if partition == registry.partition() {
        return Ok(());
    }
    Err(problem::partition_mismatch(
        &credentials(),
        partition.id,
        registry,
    ))
}
