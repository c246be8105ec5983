//! Masks what a bug report should not show: account IDs, names, paths.
//!
//! Paths are not marked in the texts. A path starts with `/` or `~`; whether a space belongs to it is
//! decided by the path settings, then by which files exist.

use std::path::Path;

use super::{DoctorReport, DoctorSubject};
use crate::cli::Context;
use crate::env::Env;
use crate::principal::Surroundings;

pub(super) fn report(
    context: &Context<'_>,
    subject: Option<&DoctorSubject>,
    report: &mut DoctorReport,
) {
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
    let proxies = report.checks.iter().filter(|check| check.about == "proxy");
    let words = proxies.flat_map(|check| check.text.split([' ', ',']));
    names.extend(words.filter(|word| word.contains(':')).map(str::to_owned));
    // The longest first: one name may be part of another.
    names.sort_by_key(|name| std::cmp::Reverse(name.len()));
    let settings = settings_with_blanks(context.env);
    let exists = |path: &str| context.env.expand_home(Path::new(path)).exists();
    let mask = |text: &str| mask(&without_blanks(text, &settings, exists), &names);
    report.registry = report.registry.as_deref().map(&mask);
    for check in &mut report.checks {
        check.text = mask(&check.text);
        check.hint = check.hint.as_deref().map(&mask);
    }
}

/// Variables that name files or directories.
const PATHS: [&str; 17] = [
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

/// The paths in the settings that hold blanks, in each form in which they are shown.
fn settings_with_blanks(env: &Env) -> Vec<String> {
    let path = env.raw("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path);
    let set = PATHS.iter().filter_map(|name| env.path(name));
    let paths = set.chain(dirs).chain(env.program());
    let mut found: Vec<_> = paths
        .flat_map(|path| [path.display().to_string(), env.shown(&path)])
        .filter(|path| path.contains(' ') && is_path(path))
        .collect();
    found.sort_by_key(|path| std::cmp::Reverse(path.len()));
    found
}

/// The text with another character for the blanks in paths, so that each is one word.
fn without_blanks(text: &str, settings: &[String], exists: impl Fn(&str) -> bool) -> String {
    let mut text = text.to_owned();
    for path in settings {
        text = text.replace(path, &path.replace(' ', &BLANK.to_string()));
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
    let text = mask_sections(&mask_quoted(text));
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
    let is_drive = |word: &str| word.as_bytes().get(1..3) == Some(br":\");
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
            let text = without_blanks(text, &settings, |path| there.contains(&path));
            assert_eq!(mask(&text, &[]), masked);
        }
    }
}
