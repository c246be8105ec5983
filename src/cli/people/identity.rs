//! The account and the region of the present AWS credentials.

use std::time::Instant;

use crate::cli::Context;
use crate::cli::configure;
use crate::principal::{self, Named, Selection, Surroundings};
use crate::problem::{Problem, ProblemKind};
use crate::registry::Registry;
use crate::settings;

/// The account and region of the credentials in force.
pub(in crate::cli) struct OwnIdentity {
    pub(in crate::cli) account_id: String,
    pub(in crate::cli) region: String,
    /// The profile that they come from, if any.
    pub(in crate::cli) profile: Option<String>,
    /// The kind of their source.
    pub(in crate::cli) source: &'static str,
    pub(in crate::cli) registry: Registry,
}

/// The region to use where no registry's name says one.
pub(in crate::cli) fn region(
    context: &Context<'_>,
    profile: Option<&str>,
    named: Option<&str>,
) -> Result<String, Problem> {
    if let Some(region) = named {
        return Ok(region.to_owned());
    }
    let surroundings = Surroundings::read(context.env, context.log);
    surroundings.region(context.env, profile).ok_or_else(|| {
        Problem::new(
            ProblemKind::Configuration,
            "no region is set",
            "add --region, or set AWS_REGION or the profile's region",
        )
    })
}

/// Asks STS whose the present credentials are: those of a profile, or those that any AWS program
/// would use.
pub(in crate::cli) fn present(
    context: &mut Context<'_>,
    profile: Option<&str>,
    region: Option<&str>,
) -> Result<OwnIdentity, Problem> {
    let region = self::region(context, profile, region)?;
    let surroundings = Surroundings::read(context.env, context.log);
    let selection = Selection {
        profile: profile.map(|profile| Named {
            value: profile.to_owned(),
            named_by: "--profile".to_owned(),
        }),
        ..Selection::default()
    };
    // Only its region and partition count: the account is what is asked for.
    let registry = configure::registry_of("000000000000", &region)?;
    let plan = principal::plan(&surroundings, &registry, &selection)?;
    let sts = principal::sts(&surroundings, &registry, &selection)?;
    let deadline = Instant::now() + settings::timeout(context.env, plan.asks_a_process(), None);
    let caller = context.issuer.caller(&plan, &sts, deadline)?;
    Ok(OwnIdentity {
        registry: configure::registry_of(&caller.account_id, &region)?,
        account_id: caller.account_id,
        region,
        profile: plan.profile.clone(),
        source: plan.source_kind(),
    })
}
