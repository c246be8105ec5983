//! Text from elsewhere, as it may be shown: one line, bounded, without secrets.

use crate::secret::Secret;

/// Text from elsewhere is cut after this many characters.
const LONGEST_TEXT: usize = 300;

/// The text on one line: no control characters, and bounded.
pub(super) fn one_line(text: &str) -> String {
    let mut line = String::new();
    for word in text.split(|c: char| c.is_control() || c.is_whitespace()) {
        if word.is_empty() {
            continue;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    match line.char_indices().nth(LONGEST_TEXT) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// The same without any of these secrets.
pub(super) fn redacted<'a>(text: &str, secrets: impl IntoIterator<Item = &'a Secret>) -> String {
    let mut text = text.to_owned();
    for secret in secrets {
        if !secret.is_empty() && text.contains(secret.expose()) {
            text = text.replace(secret.expose(), "…");
        }
    }
    one_line(&text)
}

/// The text of the SDK's error, as it may be logged. The SDK has secrets of its own, and the text
/// in quotes is a server's, which may repeat parts of the request.
pub(super) fn sdk_error(error: &dyn std::error::Error, secrets: &[Secret]) -> String {
    let text = with_sources(error);
    let unquoted: Vec<_> = text.split('"').step_by(2).collect();
    redacted(&bare_urls(&unquoted.join("…")), secrets)
}

/// An error and its sources, in one text.
fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text
}

/// URLs without user information and without what follows a question mark: both may be secrets.
fn bare_urls(text: &str) -> String {
    let words = text.split(' ').map(|word| {
        let word = match word.split_once('?') {
            Some((before, _)) if word.contains('/') => before,
            _ => word,
        };
        match word.split_once("://") {
            Some((scheme, rest)) => match rest.split_once('@') {
                Some((_, host)) => format!("{scheme}://{host}"),
                None => word.to_owned(),
            },
            None => word.to_owned(),
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_is_one_bounded_line() {
        assert_eq!(one_line(" a\r\n\tb\u{7f}c \u{1b}[0m"), "a b c [0m");
        assert_eq!(one_line(&"é".repeat(400)).chars().count(), 301);
    }

    #[test]
    fn sdk_errors_show_no_quote_and_no_query() {
        let error = std::io::Error::other("GET http://u:p@h/x?token=t said \"sentinel\" of s3cret");
        assert_eq!(
            sdk_error(&error, &[Secret::from("s3cret")]),
            "GET http://h/x said … of …"
        );
    }
}
