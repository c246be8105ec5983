//! The gate: how many instructions and system calls the warm path takes, against what the
//! repository says. Counts hardly vary where times do, so a few per cent more is a change of the
//! program. Only a fake AWS over plain http is needed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::homes::{Homes, Source};
use crate::measure::Run;
use crate::support::fake::Fake;
use crate::{Options, ROOT, Result};

/// More than this share above the budget fails.
const TOLERANCE: f64 = 0.05;

/// And this much: the C library's start depends on the machine's processor.
const SLACK: u64 = 20_000;

/// System calls that a warm `get` does not need.
const FORBIDDEN: &[&str] = &[
    "socket",
    "connect",
    "clone",
    "clone3",
    "flock",
    "getdents64",
    "epoll_create1",
    "eventfd2",
];

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Cost {
    instructions: u64,
    system_calls: u64,
}

/// By machine and program, then by scenario.
type Budget = BTreeMap<String, BTreeMap<String, Cost>>;

/// Checks, or records. False if something costs too much.
pub fn run(options: &Options, record: bool) -> Result<bool> {
    let path = Path::new(ROOT).join("tests/bench/budget.json");
    let mut budget: Budget = match fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text)?,
        Err(_) => Budget::new(),
    };
    let scratch = tempfile::Builder::new().prefix("ecr-bench-").tempdir()?;
    let fake = Fake::start();
    let mut good = true;
    for (name, program) in &options.ours {
        let key = format!("{} {name}", std::env::consts::ARCH);
        let measured = measure(scratch.path(), &fake, program)?;
        let known = budget.get(&key).cloned().unwrap_or_default();
        for (scenario, cost) in &measured {
            let limit = known.get(scenario);
            let over = limit.is_some_and(|limit| {
                let most = limit.instructions as f64 * (1.0 + TOLERANCE);
                cost.instructions > most as u64 + SLACK || cost.system_calls > limit.system_calls
            });
            let verdict = match limit {
                _ if record => "recorded",
                None => "NO BUDGET",
                Some(_) if over => "OVER BUDGET",
                Some(_) => "good",
            };
            good &= record || verdict == "good";
            let limit = limit.map_or_else(String::new, |l| {
                format!(" (budget {} and {})", l.instructions, l.system_calls)
            });
            println!(
                "{key}: {scenario}: {} instructions, {} system calls{limit}: {verdict}",
                cost.instructions, cost.system_calls
            );
        }
        if record {
            budget.insert(key, measured);
        }
    }
    if record {
        fs::write(&path, serde_json::to_string_pretty(&budget)? + "\n")?;
    }
    Ok(good)
}

fn measure(scratch: &Path, fake: &Fake, program: &Path) -> Result<BTreeMap<String, Cost>> {
    const ECR: &str = "123456789012.dkr.ecr.us-east-1.amazonaws.com";
    let homes = Homes::default();
    let mut costs = BTreeMap::new();
    let mut cost = |scenario: &str, source, action, stdin: &str, warm_path| -> Result<()> {
        let mut home = homes.make(source)?;
        home.set("AWS_ENDPOINT_URL", "http://aws.invalid");
        let mut run = Run {
            program: program.to_owned(),
            action: Some(action),
            stdin: stdin.to_owned(),
            env: home.env.clone(),
        };
        // The port is a fixed one, so that its digits do not count: the cache is filled by way
        // of a proxy, which the name of an entry does not depend on.
        let plain = run.env.clone();
        run.env.push(("HTTP_PROXY".into(), fake.url().into()));
        let said = run.said()?;
        run.env = plain;
        let before = fake.calls().len();
        let again = run.said()?;
        if again.stdout != said.stdout || fake.calls().len() != before {
            return Err(format!("{scenario} is not warm: {said:?}, then {again:?}").into());
        }
        let calls = run
            .system_calls(scratch)?
            .ok_or("strace is not installed")?;
        for forbidden in FORBIDDEN {
            if warm_path && calls.by_name.contains_key(*forbidden) {
                return Err(format!("{scenario}: a warm get calls {forbidden}").into());
            }
        }
        let instructions = run.instructions()?.ok_or("valgrind is not installed")?;
        costs.insert(
            scenario.to_owned(),
            Cost {
                instructions,
                system_calls: calls.total,
            },
        );
        Ok(())
    };
    for source in [
        Source::Environment,
        Source::Profile,
        Source::HeavyProfile,
        Source::Rule,
        Source::ManyRules,
        Source::Role,
        Source::Sso,
        Source::WebIdentity,
        Source::Login,
    ] {
        cost(source.word(), source, "get", ECR, true)?;
    }
    let other = "https://index.docker.io/v1/";
    cost("not-ecr", Source::Environment, "get", other, true)?;
    cost("version", Source::Environment, "version", "", true)?;
    cost("erase", Source::Environment, "erase", ECR, false)?;
    Ok(costs)
}
