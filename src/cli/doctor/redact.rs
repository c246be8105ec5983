//! Masks what a bug report should not show: account IDs, names, paths.

use super::{DoctorReport, DoctorSubject};
use crate::cli::Context;
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
    let mask = |text: &str| mask(text, &names);
    report.registry = report.registry.as_deref().map(&mask);
    for check in &mut report.checks {
        check.text = mask(&check.text);
        check.hint = check.hint.as_deref().map(&mask);
    }
}

fn mask(text: &str, names: &[String]) -> String {
    let text = mask_quoted(text);
    let words = text.split_inclusive(' ').map(|word| {
        let end = word
            .trim_end_matches([' ', ',', ';', ':', ')', '?', '.', ']'])
            .len();
        let (inner, tail) = word.split_at(end);
        let opened = inner.trim_start_matches(['(', '"', '\'']).len();
        let (head, inner) = inner.split_at(inner.len() - opened);
        let bare = inner.trim_end_matches(['"', '\'']);
        let masked = match bare {
            bare if is_path(bare) => "<path>".to_owned(),
            bare if bare.starts_with("arn:") => mask_arn(bare),
            bare if names.iter().any(|name| name == bare) => "<name>".to_owned(),
            bare => match bare.split_once('=') {
                Some((key, _)) if key.starts_with("AWS_") => format!("{key}=<name>"),
                Some((key, value)) if is_path(value) => format!("{key}=<path>"),
                _ => mask_digits(bare),
            },
        };
        format!("{head}{masked}{}{tail}", &inner[bare.len()..])
    });
    words.collect()
}

/// Quoted is what a user wrote: names, which may hold spaces and be misspelt.
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
            ("12 seconds off", "12 seconds off"),
            ("(AKIAIOSFODNN7EXAMPLE)", "(<key>)"),
        ] {
            assert_eq!(mask(text, &names), masked);
        }
    }
}
