//! Masks what a bug report should not show: account IDs, names, paths.
//!
//! Paths are not marked in the texts. A path starts with `/` or `~`; whether a space belongs to it is
//! decided by the path settings, then by which files exist.

mod hosts;

use std::path::Path;

use super::{Check, DoctorReport, DoctorSubject};
use crate::cli::Context;
use crate::env::Env;
use crate::principal::Surroundings;
use crate::problem::Problem;

pub(super) fn report(
    context: &Context<'_>,
    subject: Option<&DoctorSubject>,
    report: &mut DoctorReport,
) {
    let mask = masker(context, subject, &report.checks);
    report.registry = report.registry.as_deref().map(&mask);
    for check in &mut report.checks {
        check.text = mask(&check.text);
        check.hint = check.hint.as_deref().map(&mask);
    }
}

/// A failure that comes before there is a report.
pub(super) fn problem(context: &Context<'_>, problem: &Problem) -> Problem {
    let mask = masker(context, None, &[]);
    let (cause, hint) = (mask(&problem.to_string()), mask(problem.hint()));
    Problem::new(problem.kind(), cause, hint)
}

fn masker(
    context: &Context<'_>,
    subject: Option<&DoctorSubject>,
    checks: &[Check],
) -> impl Fn(&str) -> String + use<> {
    let surroundings = Surroundings::read(context.env, context.log);
    let mut names = surroundings.profile_names().unwrap_or_default();
    let named = ["AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_ECR_PROFILE"];
    names.extend(named.iter().filter_map(|name| context.env.var(name)));
    names.extend(
        context
            .rules()
            .map_or_else(|_| Vec::new(), |rules| rules.names()),
    );
    names.retain(|name| name != "default");
    if let Some(subject) = subject {
        if subject.is_own_name() {
            names.extend([subject.host.clone(), subject.name().to_owned()]);
        }
        if let Some(image) = &subject.image {
            let both = format!("{}/{}", subject.host, image.repository);
            names.extend([
                image.shown.clone(),
                image.repository.clone(),
                image.reference.clone(),
                both,
            ]);
        }
    }
    // A proxy is named by host and port.
    let proxies = checks.iter().filter(|check| check.about == "proxy");
    let words = proxies.flat_map(|check| check.text.split([' ', ',']));
    names.extend(words.filter(|word| word.contains(':')).map(str::to_owned));
    // The longest first: one name may be part of another.
    names.sort_by_key(|name| std::cmp::Reverse(name.len()));
    let hosts = hosts::of_endpoints(context, subject, &surroundings);
    let settings = paths_to_mark(context.env);
    let env = context.env.clone();
    let exists = move |path: &str| env.expand_home(Path::new(path)).exists();
    move |text: &str| {
        let text = hosts::mask(text, &hosts);
        mask(&mark_paths(&text, &settings, &exists), &names)
    }
}

/// Replaces a text where it is not part of a longer word. Characters of `glue` before it make it
/// such a part.
fn replace_whole(text: &str, from: &str, to: &str, glue: &str) -> String {
    let mut done = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(from) {
        let (head, tail) = rest.split_at(at);
        rest = &tail[from.len()..];
        done.push_str(head);
        let is_part = done.ends_with(|c: char| c.is_alphanumeric() || glue.contains(c))
            || rest.starts_with(|c: char| c.is_alphanumeric() || "-_".contains(c));
        done.push_str(if is_part { from } else { to });
    }
    done + rest
}

/// Variables that name files or directories.
const PATHS: [&str; 18] = [
    "APPDATA",
    "AWS_CA_BUNDLE",
    "AWS_CONFIG_FILE",
    "AWS_ECR_CACHE_DIR",
    "AWS_ECR_CONFIG",
    "AWS_LOGIN_CACHE_DIRECTORY",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "DOCKER_CONFIG",
    "HELM_REGISTRY_CONFIG",
    "HOME",
    "REGISTRY_AUTH_FILE",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "USERPROFILE",
    "XDG_CONFIG_HOME",
    "XDG_RUNTIME_DIR",
];

/// Placeholder for a space in a path.
const BLANK: char = '\u{a0}';

/// The paths in the settings that a text does not show to be paths, or not where they end, in each
/// form in which they are shown: with spaces, or relative.
fn paths_to_mark(env: &Env) -> Vec<String> {
    let path = env.raw("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path);
    let set = PATHS.iter().filter_map(|name| env.path(name));
    let relative = set
        .clone()
        .map(|path| path.display().to_string())
        .filter(|path| !is_path(path) && !matches!(path.as_str(), "." | ".."));
    let paths = set.clone().chain(dirs).chain(env.program());
    let mut found: Vec<_> = paths
        .flat_map(|path| [path.display().to_string(), env.shown(&path)])
        .filter(|path| path.contains(' ') && is_path(path))
        .chain(relative)
        .collect();
    found.sort_by_key(|path| std::cmp::Reverse(path.len()));
    found
}

/// The text with another character for the spaces in paths, so that each is one word, and with a
/// slash before relative ones, so that each starts as paths do.
fn mark_paths(text: &str, settings: &[String], exists: impl Fn(&str) -> bool) -> String {
    let mut text = text.to_owned();
    for path in settings {
        let word = path.replace(' ', &BLANK.to_string());
        text = match is_path(path) {
            true => text.replace(path, &word),
            false => replace_whole(&text, path, &format!("/{word}"), "-_./\\~"),
        };
    }
    let mut done = String::new();
    let mut rest = text.as_str();
    while let Some(word) = rest.split_inclusive(' ').next() {
        let opened = word.trim_start_matches(['(', '"', '\'', '[']);
        let path = opened.split_once('=').map_or(opened, |(_, value)| value);
        let start = word.len() - path.len();
        let end = match is_path(path) {
            true => start + end_of_path(&rest[start..], &exists),
            false => 0,
        };
        let (piece, after) = rest.split_at(end.max(word.len()));
        let inside = end.min(piece.len());
        done.push_str(&piece[..inside].replace(' ', &BLANK.to_string()));
        done.push_str(&piece[inside..]);
        rest = after;
    }
    done
}

/// Where the path ends that a text begins with.
fn end_of_path(text: &str, exists: impl Fn(&str) -> bool) -> usize {
    const MOST_WORDS: usize = 32;
    let (mut end, mut seen) = (0, 0);
    for word in text.split_inclusive(' ').take(MOST_WORDS) {
        seen += word.len();
        let path = text[..seen].trim_end_matches(TAIL);
        let is_below = || {
            let parent = path.rfind(['/', '\\']).map_or("", |at| &path[..at]);
            word.contains(['/', '\\']) && !word.contains("://") && exists(parent)
        };
        if end == 0 || exists(path) || is_below() {
            end = path.len();
        }
    }
    end
}

/// Characters that may stand behind a name or a path.
const TAIL: [char; 8] = [' ', ',', ';', ':', ')', '?', '.', ']'];

fn mask(text: &str, names: &[String]) -> String {
    let mut text = mask_sections(&mask_quoted(text));
    for name in names.iter().filter(|name| name.contains(' ')) {
        text = replace_whole(&text, name, "<name>", "-_./");
    }
    let mut is_name = false;
    let words = text.split_inclusive(' ').map(|word| {
        let end = word.trim_end_matches(TAIL).len();
        let (inner, tail) = word.split_at(end);
        let opened = inner.trim_start_matches(['(', '"', '\'', '[']).len();
        let (head, inner) = inner.split_at(inner.len() - opened);
        let bare = inner.trim_end_matches(['"', '\'']);
        let follows = std::mem::replace(&mut is_name, bare == "--profile");
        let masked = match bare {
            _ if follows => "<name>".to_owned(),
            bare if is_path(bare) => "<path>".to_owned(),
            bare if bare.starts_with("arn:") => mask_arn(bare),
            bare if names.iter().any(|name| name == bare) => "<name>".to_owned(),
            bare => match bare.split_once('=') {
                Some((key, _)) if key.starts_with("AWS_") => format!("{key}=<name>"),
                Some((key, value)) if is_path(value) => format!("{key}=<path>"),
                _ => mask_repository(&mask_digits(bare)),
            },
        };
        format!("{head}{masked}{}{tail}", &inner[bare.len()..])
    });
    words.collect()
}

/// Quoted text is user input: names, which may contain spaces or typos.
fn mask_quoted(text: &str) -> String {
    let pieces: Vec<_> = text.split('"').collect();
    let last = pieces.len() - 1;
    let masked = pieces.iter().enumerate().map(|(index, piece)| {
        let is_quoted = index % 2 == 1 && index < last;
        match is_quoted && !matches!(*piece, "default" | "ecr-login") {
            true => "<name>",
            false => piece,
        }
    });
    masked.collect::<Vec<_>>().join("\"")
}

/// `[sso-session corp]` and the like: what the sections of a file are named.
fn mask_sections(text: &str) -> String {
    let mut pieces = text.split('[');
    let mut masked = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        masked.push('[');
        let Some((name, rest)) = piece.split_once(']') else {
            masked.push_str(piece);
            continue;
        };
        let kinds = ["profile ", "sso-session ", "services "];
        let kind = kinds.into_iter().find(|kind| name.starts_with(kind));
        let is_public = |name: &str| {
            matches!(name, "*" | "default") || name.bytes().all(|b| b.is_ascii_digit())
        };
        masked.push_str(kind.unwrap_or_default());
        masked.push_str(if is_public(name) { name } else { "<name>" });
        masked.push(']');
        masked.push_str(rest);
    }
    masked
}

/// A repository behind a registry's host, as podman stores logins.
fn mask_repository(word: &str) -> String {
    match word.split_once('/') {
        Some((host, path)) if host.starts_with("<account>.dkr") && !path.is_empty() => {
            format!("{host}/<name>")
        }
        _ => word.to_owned(),
    }
}

fn is_path(word: &str) -> bool {
    let is_drive = |word: &str| matches!(word.as_bytes().get(1..3), Some(br":\" | b":/"));
    word.starts_with(['/', '\\'])
        || word.starts_with("~/")
        || word.starts_with("~\\")
        || is_drive(word)
}

/// Keeps the kind of resource: `arn:aws:sts::<account>:assumed-role/<name>`.
fn mask_arn(arn: &str) -> String {
    let fields: Vec<_> = arn.splitn(6, ':').collect();
    let kind = fields
        .last()
        .and_then(|resource| resource.split('/').next())
        .unwrap_or_default();
    match fields.as_slice() {
        [a, b, c, d, _, _] => format!("{a}:{b}:{c}:{d}:<account>:{kind}/<name>"),
        _ => "<arn>".to_owned(),
    }
}

/// Account IDs, also within hosts, and access key IDs.
fn mask_digits(word: &str) -> String {
    let is_key =
        |word: &str| word.len() == 20 && (word.starts_with("AKIA") || word.starts_with("ASIA"));
    if is_key(word) {
        return "<key>".to_owned();
    }
    let mut masked = String::new();
    let mut digits = String::new();
    for letter in word.chars().chain(['\0']) {
        if letter.is_ascii_digit() {
            digits.push(letter);
            continue;
        }
        masked.push_str(if digits.len() == 12 {
            "<account>"
        } else {
            &digits
        });
        digits.clear();
        if letter != '\0' {
            masked.push(letter);
        }
    }
    masked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_names_and_paths_are_masked() {
        let names = ["prod".to_owned()];
        for (text, masked) in [
            (
                "profile prod (AWS_PROFILE): keys",
                "profile <name> (AWS_PROFILE): keys",
            ),
            (
                "123456789012.dkr.ecr.eu-west-1.amazonaws.com",
                "<account>.dkr.ecr.eu-west-1.amazonaws.com",
            ),
            (
                "~/.docker/config.json: credHelpers lead here",
                "<path>: credHelpers lead here",
            ),
            (
                "arn:aws:sts::123456789012:assumed-role/r/s",
                "arn:aws:sts::<account>:assumed-role/<name>",
            ),
            (
                "AWS_PROFILE=prod is not used",
                "AWS_PROFILE=<name> is not used",
            ),
            (
                "there is no profile \"prod\", which",
                "there is no profile \"<name>\", which",
            ),
            (
                "set AWS_PROFILE; did you mean \"acme prod\"?",
                "set AWS_PROFILE; did you mean \"<name>\"?",
            ),
            ("C:\\Users\\jane: not there", "<path>: not there"),
            ("C:/Users/jane: not there", "<path>: not there"),
            ("SSL_CERT_DIR=/data/corp", "SSL_CERT_DIR=<path>"),
            (
                "run aws sso login --profile other, then",
                "run aws sso login --profile <name>, then",
            ),
            (
                "no [sso-session my corp] in [services x]",
                "no [sso-session <name>] in [services <name>]",
            ),
            (
                "key in [registry.exam] is blank",
                "key in [<name>] is blank",
            ),
            ("[123456789012] and [*]", "[<account>] and [*]"),
            (
                "podman logout 123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/app",
                "podman logout <account>.dkr.ecr.eu-west-1.amazonaws.com/<name>",
            ),
            ("12 seconds off", "12 seconds off"),
            ("(AKIAIOSFODNN7EXAMPLE)", "(<key>)"),
        ] {
            assert_eq!(mask(text, &names), masked);
        }
    }

    #[test]
    fn paths_with_blanks_are_masked_whole() {
        let there = ["/a b", "/a b/c d", "/a b/c d/e f.json", "~/my docs", "~/x"];
        let settings = ["/not there/at all".to_owned()];
        for (text, masked) in [
            ("/a b/c d/e f.json: leads here", "<path>: leads here"),
            ("/a b/c d/new file is missing", "<path> file is missing"),
            ("/a b/c d/new does not exist", "<path> does not exist"),
            (
                "(~/my docs) and ~/x, line 3, of team/app",
                "(<path>) and <path>, line 3, of team/app",
            ),
            ("SSL_CERT_FILE=/a b/c d.", "SSL_CERT_FILE=<path>."),
            ("run rm -r ~/my docs", "run rm -r <path>"),
            ("no CA in /not there/at all/x y", "no CA in <path> y"),
            ("/a: b", "<path>: b"),
            ("C:\\Users: b", "<path>: b"),
        ] {
            let text = mark_paths(text, &settings, |path| there.contains(&path));
            assert_eq!(mask(&text, &[]), masked);
        }
    }

    #[test]
    fn names_with_spaces_are_masked_without_quotes() {
        let names = ["acme prod".to_owned(), "dev".to_owned()];
        for (text, masked) in [
            (
                "profile acme prod (AWS_PROFILE): keys",
                "profile <name> (AWS_PROFILE): keys",
            ),
            (
                "run aws sso login --profile acme prod, then",
                "run aws sso login --profile <name>, then",
            ),
            (
                "of account 1: dev, acme prod",
                "of account 1: <name>, <name>",
            ),
            ("acme production", "acme production"),
        ] {
            assert_eq!(mask(text, &names), masked);
        }
    }

    #[test]
    fn relative_paths_of_settings_are_masked() {
        let env = Env::of([
            ("AWS_WEB_IDENTITY_TOKEN_FILE", "relative token/jane"),
            ("DOCKER_CONFIG", "janes"),
            ("AWS_CONFIG_FILE", "."),
        ]);
        let settings = paths_to_mark(&env);
        for (text, masked) in [
            (
                "cannot read relative token/jane (AWS_WEB_IDENTITY_TOKEN_FILE): no.",
                "cannot read <path> (AWS_WEB_IDENTITY_TOKEN_FILE): no.",
            ),
            ("janes/config.json: credHelpers", "<path>: credHelpers"),
            ("DOCKER_CONFIG=janes", "DOCKER_CONFIG=<path>"),
            ("this is Marijanes.", "this is Marijanes."),
        ] {
            assert_eq!(mask(&mark_paths(text, &settings, |_| false), &[]), masked);
        }
    }
}
