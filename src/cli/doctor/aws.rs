//! The AWS side: which identity, who that is, a new password, the clock.

use std::time::Instant;

use chrono::TimeDelta;

use super::Check;
use crate::cli::Context;
use crate::cli::people::style;
use crate::principal::{self, Plan, Selection, Source, Surroundings};
use crate::registry::Registry;
use crate::settings;

/// By how much a clock may be wrong without a word; AWS refuses five minutes.
const CLOCK_TOLERANCE: TimeDelta = TimeDelta::seconds(60);

pub(super) fn check(context: &mut Context<'_>, registry: Option<&Registry>) -> Vec<Check> {
    let Some(registry) = registry else {
        return vec![Check::not_checked(
            "AWS",
            "no registry is given or configured",
        )];
    };
    let surroundings = Surroundings::read(context.env, context.log);
    let (mut checks, selection) = rules(context, registry);
    let Some(selection) = selection else {
        checks.push(Check::not_checked("credentials", "the rules decide them"));
        return checks;
    };
    let plan = principal::plan(&surroundings, registry, &selection);
    let plan = match plan.map_err(|problem| selection.blame(problem)) {
        Ok(plan) => plan,
        Err(problem) => {
            checks.push(Check::failed("credentials", &problem));
            for line in problem.detail().into_iter().flat_map(str::lines) {
                checks.push(Check::not_checked("credentials", line));
            }
            checks.push(Check::not_checked("identity", "no credentials"));
            checks.push(Check::not_checked("password", "no credentials"));
            return checks;
        }
    };
    let chosen = source(&surroundings, &selection, &plan);
    checks.push(Check::ok("credentials", chosen));
    checks.extend(unused(context, &plan));
    checks.extend(network(&plan));
    let target = Checked {
        surroundings,
        registry,
        selection,
        plan,
    };
    checks.extend(identity(context, &target));
    checks.push(password(context, target));
    checks
}

/// What is asked, and for which registry.
struct Checked<'a> {
    surroundings: Surroundings,
    registry: &'a Registry,
    selection: Selection,
    plan: Plan,
}

/// The mistakes in the rules, and what they decide; nothing if they cannot be used.
fn rules(context: &Context<'_>, registry: &Registry) -> (Vec<Check>, Option<Selection>) {
    const ABOUT: &str = "rules";
    let rules = match context.rules() {
        Ok(rules) => rules,
        Err(problem) => return (vec![Check::failed(ABOUT, &problem)], None),
    };
    let mut checks = Vec::new();
    for finding in rules.findings() {
        let (text, hint) = (finding.problem.to_string(), finding.problem.hint());
        checks.push(Check::warning(ABOUT, text, hint));
    }
    match rules.selection(registry) {
        Ok(selection) => (checks, Some(selection)),
        Err(problem) => {
            checks.push(Check::failed(ABOUT, &problem));
            (checks, None)
        }
    }
}

fn source(surroundings: &Surroundings, selection: &Selection, plan: &Plan) -> String {
    let kind = plan.source_kind();
    let rule = selection
        .profile
        .as_ref()
        .map(|profile| profile.named_by.as_str());
    let mut text = match &plan.profile {
        None => kind.to_owned(),
        Some(profile) => match rule.or(surroundings.profile_variable(profile)) {
            Some(named_by) => format!("profile {profile} ({named_by}): {kind}"),
            None => format!("profile {profile}: {kind}"),
        },
    };
    for role in &plan.roles {
        text.push_str(", then the role ");
        text.push_str(&role.role_arn);
    }
    text
}

/// Settings that something else overrides.
fn unused(context: &Context<'_>, plan: &Plan) -> Option<Check> {
    let profile = context.env.var("AWS_PROFILE")?;
    matches!(plan.source, Source::Environment(_)).then(|| {
        Check::warning(
            "credentials",
            format!("AWS_PROFILE={profile} is not used: AWS_ACCESS_KEY_ID comes first"),
            "unset AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        )
    })
}

fn network(plan: &Plan) -> Vec<Check> {
    let url = plan.api.url.as_deref().unwrap_or_default();
    // What stands before an @ may be a password.
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = host.split('/').next().unwrap_or_default();
    let host = host.rsplit('@').next().unwrap_or_default();
    let mut checks = vec![Check::ok(
        "API",
        format!("{host}, region {}", plan.api.region),
    )];
    if let Some(bundle) = &plan.network.ca_bundle {
        let (path, setting) = (bundle.path.display(), &bundle.setting);
        let text = format!("{path} ({setting}) replaces the system's");
        checks.push(match bundle.path.is_file() {
            true => Check::ok("CA certificates", text),
            false => Check::warning("CA certificates", text, format!("correct {setting}")),
        });
    }
    checks
}

fn identity(context: &mut Context<'_>, target: &Checked<'_>) -> Vec<Check> {
    const ABOUT: &str = "identity";
    let Checked {
        surroundings,
        registry,
        selection,
        plan,
    } = target;
    let deadline = Instant::now() + settings::timeout(context.env, plan.asks_a_process(), None);
    let caller = principal::sts(surroundings, registry, selection)
        .and_then(|sts| context.issuer.caller(plan, &sts, deadline));
    let caller = match caller {
        Ok(caller) => caller,
        Err(problem) => {
            let clock = Check::not_checked("clock", "AWS gave no time");
            return vec![Check::failed(ABOUT, &problem), clock];
        }
    };
    let mut checks = vec![Check::ok(ABOUT, &caller.arn)];
    let other = registry
        .account_id()
        .filter(|account_id| **account_id != caller.account_id);
    if let Some(account_id) = other {
        let profiles = surroundings.profiles_of_account(account_id);
        if !profiles.is_empty() {
            checks.push(Check::warning(
                ABOUT,
                format!(
                    "the registry is account {account_id}'s, the identity {}'s",
                    caller.account_id
                ),
                format!("use a profile of that account: {}", profiles.join(", ")),
            ));
        }
    }
    if let Some(ahead) = caller.ahead {
        let off = ahead.abs();
        checks.push(match off > CLOCK_TOLERANCE {
            true => Check::warning(
                "clock",
                format!("{} seconds off AWS's", off.num_seconds()),
                "synchronize the clock: AWS refuses requests that are five minutes off",
            ),
            false => Check::ok("clock", "agrees with AWS's"),
        });
    }
    checks
}

fn password(context: &mut Context<'_>, target: Checked<'_>) -> Check {
    const ABOUT: &str = "password";
    let mut helper = context.helper(None, target.selection);
    match helper.get_uncached(target.registry) {
        Ok((token, _)) => {
            let until = style::until(context.env, token.expires_at, (context.clock)());
            Check::ok(ABOUT, format!("a new one is valid until {until}"))
        }
        Err(problem) => Check::failed(ABOUT, &problem),
    }
}
