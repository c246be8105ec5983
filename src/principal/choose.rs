//! Makes the plan: which source, which roles, which endpoint. Pure.

use std::path::Path;

use super::aws_settings::Settings;
use super::cache_key::{self, Subject};
use super::chain::{self, Resolved};
use super::problem;
use super::surroundings::Surroundings;
use super::{Identity, Plan, PodIdentity, Role, Selection, Source, WebIdentity};
use crate::problem::Problem;
use crate::profile::Section;
use crate::registry::{Partition, Registry};

/// Who asks for this registry's token, and where.
pub fn plan(
    surroundings: &Surroundings,
    registry: &Registry,
    selection: &Selection,
) -> Result<Plan, Problem> {
    let selected = Selected::of(surroundings, selection);
    let config = surroundings.config();
    let section = match &config {
        Ok(config) => config
            .profile(&selected.name)
            .map_err(|e| problem::file(&e)),
        Err(_) => Ok(None),
    };
    let settings = Settings::new(
        &surroundings.env,
        config.as_ref().ok().copied(),
        section.as_ref().ok().and_then(Option::as_ref),
        registry,
    )?;

    let mut profile = None;
    let found = match &selection.web_identity {
        Some(pod) => Some(pod_identity(&settings, pod)?.into()),
        None => match environment(surroundings, selection) {
            Some(source) => Some(source.into()),
            None => {
                let section = section.as_ref().map_err(Problem::clone)?;
                let found = selected.resolve(surroundings, &settings, section.as_ref())?;
                profile = found.is_some().then(|| selected.name.clone());
                match found {
                    Some(found) => Some(found),
                    None => {
                        surroundings.check_files()?;
                        selected.after_profile(surroundings, &settings)?
                    }
                }
            }
        },
    };
    let Some(Resolved { source, mut roles }) = found else {
        let disabled = "instance metadata (AWS_EC2_METADATA_DISABLED is true)";
        return Err(surroundings.no_credentials(disabled));
    };
    if let Some(role) = &selection.role_arn {
        roles.push(Role {
            role_arn: role.value.clone(),
            external_id: None,
            session_name: None,
            sts: settings.sts()?,
        });
    }
    check_partition(&source, &roles, registry)?;
    let api = settings.registry_api()?;
    let identity = match &selection.web_identity {
        Some(_) => Identity::Ambient,
        None => cache_key::identity(registry, &api, &source, &roles),
    };
    Ok(Plan {
        source,
        roles,
        api,
        profile,
        network: settings.network(),
        identity,
        session_digest: None,
    })
}

/// The profile in force.
struct Selected {
    name: String,
    /// What names it; nothing names the default profile.
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

    /// What the profile holds; none if it holds no credentials at all.
    fn resolve(
        &self,
        surroundings: &Surroundings,
        settings: &Settings<'_>,
        section: Option<&Section<'_>>,
    ) -> Result<Option<Resolved>, Problem> {
        let config = surroundings.config()?;
        match (section, &self.named_by) {
            (Some(section), _) => chain::resolve(surroundings, settings, config, section),
            (None, Some(named_by)) if self.binding || self.name != "default" => {
                Err(problem::unknown_profile(&self.name, named_by))
            }
            (None, _) => Ok(None),
        }
    }

    /// The sources behind the profile.
    fn after_profile(
        &self,
        surroundings: &Surroundings,
        settings: &Settings<'_>,
    ) -> Result<Option<Resolved>, Problem> {
        if let (true, Some(named_by)) = (self.binding, &self.named_by) {
            return Err(problem::named_without_credentials(&self.name, named_by));
        }
        let env = &surroundings.env;
        let file = env.var("AWS_WEB_IDENTITY_TOKEN_FILE");
        if let (Some(file), Some(role_arn)) = (file, env.var("AWS_ROLE_ARN")) {
            let setting = || "AWS_WEB_IDENTITY_TOKEN_FILE".to_owned();
            let (token, subject) = chain::web_token(surroundings, Path::new(&file), setting)?;
            let source = Source::WebIdentity(WebIdentity {
                profile: None,
                role_arn,
                session_name: env.var("AWS_ROLE_SESSION_NAME"),
                token,
                subject,
                sts: settings.sts()?,
            });
            return Ok(Some(source.into()));
        }
        let source =
            chain::container(env).or_else(|| chain::instance_metadata(surroundings, settings));
        Ok(source.map(Resolved::from))
    }
}

/// Keys in variables, unless a profile was selected that comes before them.
fn environment(surroundings: &Surroundings, selection: &Selection) -> Option<Source> {
    match selection.profile {
        Some(_) => None,
        None => chain::environment(&surroundings.env),
    }
}

fn pod_identity(settings: &Settings<'_>, pod: &PodIdentity) -> Result<Source, Problem> {
    Ok(Source::WebIdentity(WebIdentity {
        profile: None,
        role_arn: pod.role_arn.clone(),
        session_name: Some(pod.session_name.clone()),
        token: pod.token.clone(),
        subject: Subject::of(pod.token.expose().as_bytes()),
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
