//! `configure`: makes docker or podman run this program for ECR registries.
//!
//! Everything is checked and every edit made in memory before the first file is written, so that
//! a mistake changes nothing. It never prompts.

mod edits;

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use super::Context;
use super::people::args::{self, Parsed, Spec};
use super::people::identity::{self, OwnIdentity};
use super::people::style::Style;
use super::people::{self, CommandFailure};
use crate::clients::search_path::{self, Found, PathVerdict};
use crate::nearest::nearest;
use crate::principal::Surroundings;
use crate::problem::{Problem, ProblemKind};
use crate::registry::{Partition, Registry};
use edits::{Edit, Sign};

const SPEC: Spec = Spec {
    command: "configure",
    help: "\
Makes docker run this program for ECR registries. Done again, it changes nothing.

Usage: ecr-login configure [OPTION]... [ACCOUNT | REGISTRY]...

Without an account or registry, that of the present AWS credentials.

  --profile P  always use this AWS profile there (a rule in ~/.aws/ecr-login)
  --region R   the region of an account's registry; default: AWS_REGION, the profile's
  --all        every ECR registry; other logins stay with the helper that has them
  --podman     for podman, skopeo and buildah, in place of docker
  --remove     take back what configure wrote, of these registries or all of it
  --dry-run    show the changes only

ecr-login configure
ecr-login configure 111122223333 --region eu-west-1 --profile prod
ecr-login configure --all
",
    flags: &["all", "dry-run", "podman", "remove"],
    options: &["profile", "region"],
    most: usize::MAX,
};

pub(super) fn run(context: &mut Context<'_>) -> io::Result<ExitCode> {
    people::run(context, &SPEC, configure)
}

/// The edits that the arguments select.
struct Job {
    registries: Vec<Registry>,
    profile: Option<String>,
    all: bool,
    podman: bool,
    remove: bool,
}

fn configure(context: &mut Context<'_>, arguments: &Parsed) -> Result<ExitCode, CommandFailure> {
    if !arguments.has("remove") {
        check_profile(context, arguments.option("profile"))?;
    }
    let mut job = Job {
        registries: registries(context, arguments)?,
        profile: arguments.option("profile").map(str::to_owned),
        all: arguments.has("all"),
        podman: arguments.has("podman"),
        remove: arguments.has("remove"),
    };
    if !job.remove {
        check_search_path(context)?;
    }
    let mut present = None;
    if arguments.values.is_empty() && !job.all && !job.remove {
        let profile = job.profile.as_deref();
        let identity = identity::present(context, profile, arguments.option("region"))?;
        job.registries.push(identity.registry.clone());
        present = Some(identity);
    }
    let edits = edits::of(context.env, &job)?;
    if let Some(identity) = &present {
        report_identity(context, identity)?;
    }
    report(context, &edits)?;
    if !arguments.has("dry-run") {
        for edit in &edits {
            edit.write()?;
        }
    } else if edits.iter().any(Edit::is_change) {
        writeln!(context.io.stdout, "nothing was written (--dry-run)")?;
    }
    if let Some(identity) = &present {
        let host = identity.registry.host();
        writeln!(context.io.stdout, "try: docker pull {host}/<repository>")?;
    } else if !job.remove {
        report_profiles(context, &edits)?;
    }
    if job.all && !job.remove && !job.podman {
        report_stored_logins(context, &edits)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The registries that the arguments name.
fn registries(context: &Context<'_>, arguments: &Parsed) -> Result<Vec<Registry>, Problem> {
    let mut region = None;
    let mut registries: Vec<Registry> = Vec::new();
    for value in &arguments.values {
        let registry = match value.len() == 12 && value.bytes().all(|b| b.is_ascii_digit()) {
            false => people::registry(value)?,
            true => {
                let profile = arguments.option("profile");
                let region = match &region {
                    Some(region) => region,
                    None => {
                        let named = arguments.option("region");
                        region.insert(identity::region(context, profile, named)?)
                    }
                };
                registry_of(value, region)?
            }
        };
        if !registries.contains(&registry) {
            registries.push(registry);
        }
    }
    Ok(registries)
}

/// An account's registry in a region.
pub(super) fn registry_of(account_id: &str, region: &str) -> Result<Registry, Problem> {
    let suffix = Partition::of_region(region).suffix;
    let host = format!("{account_id}.dkr.ecr.{region}.{suffix}");
    Registry::from_server_url(&host).ok_or_else(|| {
        args::misused(
            &SPEC,
            format!("{region:?} is not the name of a region"),
            Some("give a region such as eu-west-1".to_owned()),
        )
    })
}

/// Whether clients find this program, before anything is written.
fn check_search_path(context: &mut Context<'_>) -> Result<(), Problem> {
    let env = context.env;
    let ours = env.program();
    let path = OsString::from(env.raw("PATH").unwrap_or_default());
    let verdict = Found::on(&path).verdict(ours.as_deref(), env.home().as_deref());
    if let Some(problem) = verdict.problem(ours.as_deref()) {
        return Err(problem);
    }
    if verdict != PathVerdict::Good {
        let warning = verdict.warning().unwrap_or_default();
        let hint = search_path::install_hint(ours.as_deref());
        // A closed stderr is no reason to fail.
        let _ = writeln!(context.io.stderr, "warning: {warning}\nhint: {hint}");
    }
    Ok(())
}

fn check_profile(context: &Context<'_>, profile: Option<&str>) -> Result<(), Problem> {
    let Some(profile) = profile else {
        return Ok(());
    };
    let surroundings = Surroundings::read(context.env, context.log);
    let names = surroundings.profile_names()?;
    if names.iter().any(|name| name == profile) {
        return Ok(());
    }
    let hint = match nearest(profile, names.iter().map(String::as_str)) {
        Some(name) => format!("did you mean {name}?"),
        None => format!("run aws configure --profile {profile}, or aws configure sso"),
    };
    let cause = format!("there is no AWS profile {profile:?}");
    Err(Problem::new(ProblemKind::Configuration, cause, hint))
}

fn report_identity(context: &mut Context<'_>, identity: &OwnIdentity) -> io::Result<()> {
    let OwnIdentity {
        account_id, region, ..
    } = identity;
    let who = match &identity.profile {
        Some(profile) => format!("profile {profile}"),
        None => identity.source.to_owned(),
    };
    writeln!(
        context.io.stdout,
        "account {account_id}, region {region}, {who}"
    )
}

fn report(context: &mut Context<'_>, edits: &[Edit]) -> io::Result<()> {
    let style = Style::of(context.env);
    let stdout = &mut context.io.stdout;
    for edit in edits.iter().filter(|edit| edit.is_change()) {
        writeln!(stdout, "{}", context.env.shown(edit.path()))?;
        for (sign, line) in &edit.lines {
            let sign = match sign {
                Sign::Added => style.good("+"),
                Sign::Changed => "~".to_owned(),
                Sign::Removed => style.bad("-"),
            };
            writeln!(stdout, "  {sign} {line}")?;
        }
    }
    if !edits.iter().any(Edit::is_change) {
        writeln!(stdout, "nothing to change")?;
    }
    Ok(())
}

/// The profiles that exist for an account whose profile no rule decides.
fn report_profiles(context: &mut Context<'_>, edits: &[Edit]) -> io::Result<()> {
    let surroundings = Surroundings::read(context.env, context.log);
    for account_id in edits.iter().flat_map(|edit| &edit.without_rule) {
        let profiles = surroundings.profiles_of_account(account_id);
        let hint = match profiles.as_slice() {
            [] => continue,
            [one] => {
                format!("profile {one} is for account {account_id}; use it with --profile {one}")
            }
            [most @ .., last] => format!(
                "profiles {} and {last} are for account {account_id}; choose one with --profile",
                most.join(", ")
            ),
        };
        writeln!(context.io.stdout, "hint: {hint}")?;
    }
    Ok(())
}

/// Logins in config.json itself are not used once `credsStore` is set.
fn report_stored_logins(context: &mut Context<'_>, edits: &[Edit]) -> io::Result<()> {
    for edit in edits.iter().filter(|edit| !edit.hidden_logins.is_empty()) {
        let hosts = edit.hidden_logins.join(", ");
        let file = context.env.shown(edit.path());
        writeln!(
            context.io.stdout,
            "note: docker no longer uses the logins of {hosts} in {file}\n\
             hint: set other_registries under [*] in ~/.aws/ecr-login to a helper, such as pass, \
             and log in there again\n\
             hint: configure registries one by one, without --all, to keep them as they are"
        )?;
    }
    Ok(())
}
