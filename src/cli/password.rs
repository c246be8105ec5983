//! `password`: the bare password of a registry, or a docker configuration with passwords in it, for
//! programs that know no credential helpers.

use std::collections::BTreeMap;
use std::io;
use std::process::ExitCode;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;
use serde::Serialize;
use zeroize::Zeroizing;

use super::Context;
use super::people::args::{self, Parsed, Spec};
use super::people::{self, CommandFailure};
use crate::problem::{Problem, ProblemKind};
use crate::registry::Registry;
use crate::token::{self, Token};

const SPEC: Spec = Spec {
    command: "password",
    help: "\
Prints the password of a registry, from the cache or from AWS. The user is AWS.

Usage: ecr-login password [OPTION]... REGISTRY
       ecr-login password --docker-config [OPTION]... REGISTRY...

  --docker-config  print a docker config.json with logins for these registries
  --min-life TIME  renew a cached password that ends sooner, such as 6h or 90m

ecr-login password HOST | helm registry login -u AWS --password-stdin HOST
ctr image pull --user \"AWS:$(ecr-login password HOST)\" HOST/app:1.0
",
    flags: &["docker-config"],
    options: &["min-life"],
    most: usize::MAX,
};

pub(super) fn run(context: &mut Context<'_>) -> io::Result<ExitCode> {
    people::run(context, &SPEC, password)
}

/// A docker configuration with logins in it.
#[derive(Serialize)]
struct DockerConfig<'a> {
    auths: BTreeMap<&'a str, AuthsEntry>,
}

#[derive(Serialize)]
struct AuthsEntry {
    auth: Zeroizing<String>,
}

fn password(context: &mut Context<'_>, arguments: &Parsed) -> Result<ExitCode, CommandFailure> {
    let as_config = arguments.has("docker-config");
    match arguments.values.len() {
        0 => return Err(args::misused(&SPEC, "no registry is given".to_owned(), None).into()),
        2.. if !as_config => {
            let cause = "one registry at a time, but with --docker-config".to_owned();
            return Err(args::misused(&SPEC, cause, None).into());
        }
        _ => {}
    }
    let registries = arguments.values.iter();
    let registries = registries.map(|value| people::named_registry(context, value));
    let registries = registries.collect::<Result<Vec<_>, _>>()?;
    let min_life = arguments.option("min-life").map(duration).transpose()?;
    let mut tokens = Vec::new();
    for (_, registry) in &registries {
        tokens.push(get(context, registry, min_life)?);
    }
    if as_config {
        let pairs = registries.iter().zip(&tokens);
        let auths = pairs.map(|((host, _), token)| (host.as_str(), auth(token)));
        let config = DockerConfig {
            auths: auths.collect(),
        };
        crate::protocol::write_line(context.io.stdout, &config)?;
    } else if let Some(token) = tokens.first() {
        writeln!(context.io.stdout, "{}", token.login.password.expose())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn get(
    context: &mut Context<'_>,
    registry: &Registry,
    min_life: Option<TimeDelta>,
) -> Result<Token, Problem> {
    let clock = context.clock;
    let selection = context.rules()?.selection(registry)?;
    let token = context.token(registry, selection.clone(), None)?;
    let wanted = min_life.unwrap_or_default();
    if token.expires_at - clock() >= wanted {
        return Ok(token);
    }
    let (token, _) = context.helper(None, selection).get_uncached(registry)?;
    // The caller may hand it to `docker login`, which must not make a stored login of it.
    if let Ok(Some(cache)) = context.cache() {
        let remembered = cache.remember_issued(registry.host(), &token, clock());
        if let Err(error) = remembered {
            context.log.debug(format_args!(
                "cannot record the password as issued by AWS: {error}"
            ));
        }
    }
    let left = token.expires_at - clock();
    // Passwords live no longer than the temporary credentials that they were obtained with. A few
    // seconds are lost on the way.
    if left + TimeDelta::minutes(1) < wanted {
        return Err(too_short(registry, left));
    }
    Ok(token)
}

fn too_short(registry: &Registry, left: TimeDelta) -> Problem {
    Problem::new(
        ProblemKind::Configuration,
        format!(
            "{registry}: a new password lives for {} minutes only",
            left.num_minutes()
        ),
        "lower --min-life, or use credentials that live longer",
    )
}

fn auth(token: &Token) -> AuthsEntry {
    let login = &token.login;
    let password = login.password.expose();
    // With room for all of it: reallocation would leave un-zeroized copies.
    let mut pair = Zeroizing::new(String::with_capacity(
        login.username.len() + 1 + password.len(),
    ));
    pair.extend([&login.username, ":", password]);
    let mut auth = Zeroizing::new(String::with_capacity(4 * pair.len().div_ceil(3)));
    STANDARD.encode_string(pair.as_bytes(), &mut auth);
    AuthsEntry { auth }
}

/// `6h`, `90m`, `1h30m`, `45s`.
fn duration(text: &str) -> Result<TimeDelta, Problem> {
    let mut seconds = 0i64;
    let mut number = String::new();
    let mut valid = true;
    for letter in text.chars() {
        let unit = match letter {
            '0'..='9' => {
                number.push(letter);
                continue;
            }
            'h' => 3600,
            'm' => 60,
            's' => 1,
            _ => 0,
        };
        let part = std::mem::take(&mut number)
            .parse()
            .ok()
            .filter(|_| unit > 0);
        let part = part.and_then(|part: i64| part.checked_mul(unit));
        match part.and_then(|part| seconds.checked_add(part)) {
            Some(sum) => seconds = sum,
            None => valid = false,
        }
    }
    let duration = TimeDelta::try_seconds(seconds).filter(|life| *life <= token::LIFETIME);
    match duration {
        Some(duration) if valid && number.is_empty() && seconds > 0 => Ok(duration),
        _ => Err(args::misused(
            &SPEC,
            format!("--min-life {text:?} is not a time of at most 12h"),
            Some("give a number with h, m or s, such as 6h or 90m".to_owned()),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn min_life_is_a_time_of_at_most_twelve_hours() {
        for (text, seconds) in [
            ("6h", 21_600),
            ("90m", 5400),
            ("1h30m5s", 5405),
            ("12h", 43_200),
        ] {
            assert_eq!(duration(text), Ok(TimeDelta::seconds(seconds)), "{text}");
        }
        for text in [
            "",
            "6",
            "h",
            "6d",
            "-1h",
            "1h5",
            "13h",
            "99999999999999999999h",
            "0s",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
