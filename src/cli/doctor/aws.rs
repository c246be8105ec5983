//! The AWS side: which identity, who that is, the clock, a new password.

use std::time::Instant;

use chrono::TimeDelta;

use super::visit::Visit;
use super::{Check, DoctorSubject, network, registry};
use crate::cli::Context;
use crate::cli::people::style;
use crate::principal::{self, Plan, Selection, Source, Surroundings};
use crate::problem::{Problem, ProblemKind};
use crate::registry::{Registry, Service};
use crate::settings;
use crate::token::Login;

/// By how much a clock may be wrong without a word; AWS refuses five minutes.
const CLOCK_TOLERANCE: TimeDelta = TimeDelta::seconds(60);

pub(super) fn check(
    context: &mut Context<'_>,
    subject: Option<&DoctorSubject>,
    with_push: bool,
) -> Vec<Check> {
    let Some(subject) = subject else {
        return vec![Check::not_checked(
            "AWS",
            "no registry is given or configured",
        )];
    };
    let registry = &subject.registry;
    let surroundings = Surroundings::read(context.env, context.log);
    let (mut checks, selection) = rules(context, subject);
    let Some(selection) = selection else {
        checks.push(Check::not_checked("credentials", "the rules decide them"));
        return checks;
    };
    let plan = principal::plan(&surroundings, registry, &selection);
    let plan = plan.map_err(|problem| selection.blame(problem));
    checks.extend(credentials(
        context,
        &surroundings,
        subject,
        &selection,
        &plan,
    ));
    let connection = principal::connection(&surroundings, registry, &selection);
    let Ok((api, network)) = connection else {
        // The plan has failed for the same reason.
        checks.push(Check::not_checked("registry", "no endpoint"));
        return checks;
    };
    checks.extend(network::check(context, subject, &api, &network));
    let (found, entry) = ask_aws(context, surroundings, registry, selection, plan);
    checks.extend(found);
    let login = match entry {
        Admission::Login(login) => Some(login),
        Admission::Anonymous => None,
        Admission::None => {
            checks.push(Check::not_checked("registry", "no password"));
            if subject.image.is_some() {
                checks.push(Check::not_checked("image", "no password"));
            }
            return checks;
        }
    };
    let mut visit = Visit::new(context, &network, subject, login);
    checks.extend(registry::check(&mut visit, with_push));
    checks
}

/// The identity, a new password, and the admission to the registry with it.
fn ask_aws(
    context: &mut Context<'_>,
    surroundings: Surroundings,
    registry: &Registry,
    selection: Selection,
    plan: Result<Plan, Problem>,
) -> (Vec<Check>, Admission) {
    match plan {
        Ok(plan) => {
            let target = Checked {
                surroundings,
                registry,
                selection,
                plan,
            };
            let mut checks = identity(context, &target);
            let (check, entry) = password(context, target);
            checks.push(check);
            (checks, entry)
        }
        Err(problem) => {
            let checks = ["identity", "password"];
            let checks = checks.map(|about| Check::not_checked(about, "no credentials"));
            let is_public = registry.service() == Service::EcrPublic;
            let entry = match is_public && problem.kind() == ProblemKind::NoCredentials {
                true => Admission::Anonymous,
                false => Admission::None,
            };
            (checks.into(), entry)
        }
    }
}

/// Which source, and what speaks for another one.
fn credentials(
    context: &Context<'_>,
    surroundings: &Surroundings,
    subject: &DoctorSubject,
    selection: &Selection,
    plan: &Result<Plan, Problem>,
) -> Vec<Check> {
    const ABOUT: &str = "credentials";
    let mut checks = Vec::new();
    match plan {
        Ok(plan) => {
            checks.push(Check::ok(ABOUT, source(surroundings, selection, plan)));
            let skipped = surroundings.skipped_sources(plan, selection).join("; ");
            checks.push(Check::ok("sources", format!("not used: {skipped}")));
            checks.extend(unused(context, plan));
        }
        Err(problem) => {
            let is_public = subject.registry.service() == Service::EcrPublic;
            checks.push(match problem.kind() {
                ProblemKind::NoCredentials if is_public => {
                    Check::ok(ABOUT, "none: anonymous pulls only")
                }
                _ => Check::failed(ABOUT, problem),
            });
            for line in problem.detail().into_iter().flat_map(str::lines) {
                checks.push(Check::not_checked(ABOUT, line));
            }
        }
    }
    if let Some(account_id) = subject.registry.account_id() {
        let profiles = surroundings.profiles_of_account(account_id).join(", ");
        if !profiles.is_empty() {
            let text = format!("of account {account_id}: {profiles}");
            checks.push(Check::ok("profiles", text));
        }
    }
    checks
}

/// How the registry is entered.
enum Admission {
    Login(Login),
    Anonymous,
    /// Not at all.
    None,
}

/// The plan to check, and its registry.
struct Checked<'a> {
    surroundings: Surroundings,
    registry: &'a Registry,
    selection: Selection,
    plan: Plan,
}

/// The mistakes in the rules, and what they decide; nothing if they cannot be used.
fn rules(context: &Context<'_>, subject: &DoctorSubject) -> (Vec<Check>, Option<Selection>) {
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
    if subject.is_own_name() {
        let text = format!("{} is {}", subject.host, subject.registry);
        checks.push(Check::ok(ABOUT, text));
    }
    match rules.selection(&subject.registry) {
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
    (plan.profile.is_none() && matches!(plan.source, Source::Environment(_))).then(|| {
        Check::warning(
            "credentials",
            format!("AWS_PROFILE={profile} is not used: AWS_ACCESS_KEY_ID comes first"),
            "unset AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        )
    })
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

/// A new password, asked for even if one is cached.
fn password(context: &mut Context<'_>, target: Checked<'_>) -> (Check, Admission) {
    const ABOUT: &str = "password";
    let mut helper = context.helper(None, target.selection);
    match helper.get_uncached(target.registry) {
        Ok((token, _)) => {
            let until = style::until(context.env, token.expires_at, (context.clock)());
            let check = Check::ok(ABOUT, format!("a new one is valid until {until}"));
            (check, Admission::Login(token.login))
        }
        Err(problem) => (Check::failed(ABOUT, &problem), Admission::None),
    }
}
