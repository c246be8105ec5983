//! Sections and properties of the rules file, in the syntax of the AWS config file and by its
//! reader. Unlike there, a line that means nothing is an error wherever it is: it could have been
//! the rule for the registry.
//!
//! Every cached `get` passes through here, with up to hundreds of sections of which at most three
//! matter, so nothing is allocated.

use thiserror::Error;

use crate::profile::reader::{Line, before_comment, lines, strip};

/// One line that means something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event<'a> {
    /// `[name]`.
    Section(&'a str),
    /// `key = value` or `key: value`: the key as it is written, and all that stands behind the
    /// delimiter, for [`value_of`].
    Property { key: &'a str, rest: &'a str },
    /// A line that is indented more than the property above it, and so belongs to its value.
    Continuation,
}

/// A fault in the syntax of one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum RuleFault {
    #[error("there is a key before the first [section]")]
    BeforeSection,
    #[error("the section's name does not end with ']'")]
    OpenBracket,
    #[error("there is no '=' between key and value")]
    WithoutValue,
    #[error("there is no key before the '='")]
    WithoutKey,
}

/// Calls `visit` with each line that means something and its number, counted from 1.
pub(super) fn scan<'a>(
    text: &'a str,
    mut visit: impl FnMut(usize, Event<'a>),
) -> Result<(), (usize, RuleFault)> {
    let mut is_open = false;
    for (index, (_, line)) in lines(text).enumerate() {
        let number = index + 1;
        let fault = |fault| Err((number, fault));
        match line {
            Line::Blank | Line::Comment => {}
            Line::Header(name) => {
                is_open = true;
                // A comment after the first bracket may have one, too.
                let end = name.bytes().position(|byte| byte == b']');
                let name = &name[..end.unwrap_or(name.len())];
                visit(number, Event::Section(strip(name)));
            }
            Line::BrokenHeader(_) => return fault(RuleFault::OpenBracket),
            Line::Property(_) | Line::Continuation(_) if !is_open => {
                return fault(RuleFault::BeforeSection);
            }
            Line::Continuation(_) => visit(number, Event::Continuation),
            Line::Property(line) => {
                let delimiter = line.bytes().position(|b| matches!(b, b'=' | b':'));
                let Some(delimiter) = delimiter else {
                    return fault(RuleFault::WithoutValue);
                };
                let key = strip(&line[..delimiter]);
                if key.is_empty() {
                    return fault(RuleFault::WithoutKey);
                }
                let rest = &line[delimiter + 1..];
                visit(number, Event::Property { key, rest });
            }
        }
    }
    Ok(())
}

/// The value in what stands behind the delimiter. A comment ends it: no name or ARN holds white
/// space and `#`.
pub(super) fn value_of(rest: &str) -> &str {
    strip(before_comment(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(text: &str) -> Result<Vec<String>, (usize, RuleFault)> {
        let mut seen = Vec::new();
        scan(text, |line, event| {
            seen.push(match event {
                Event::Section(name) => format!("{line} [{name}]"),
                Event::Property { key, rest } => format!("{line} {key}|{}", value_of(rest)),
                Event::Continuation => format!("{line} more"),
            });
        })?;
        Ok(seen)
    }

    #[test]
    fn lines_are_read_as_the_aws_cli_reads_them() {
        for (text, expected) in [
            ("", &[][..]),
            ("\n# c\n  ; c\n", &[]),
            ("[a]\nk = v", &["1 [a]", "2 k|v"]),
            ("[ a ] # [c]\nk: v\n", &["1 [a]", "2 k|v"]),
            ("[a]\nK=v\n\nb=", &["1 [a]", "2 K|v", "4 b|"]),
            ("  [a]\n  k = v\n  b = c", &["1 [a]", "2 k|v", "3 b|c"]),
            (
                "[a]\nk = v\n  b = c\nd = e",
                &["1 [a]", "2 k|v", "3 more", "4 d|e"],
            ),
            ("[a]\nk = v\n\n   # c\n  x", &["1 [a]", "2 k|v", "5 more"]),
            ("[a]\n    k = v\n  b = c", &["1 [a]", "2 k|v", "3 b|c"]),
            (
                "[a]\nk = v # c\nb = x#y ; c",
                &["1 [a]", "2 k|v", "3 b|x#y"],
            ),
            ("[a]\nk = # c", &["1 [a]", "2 k|"]),
            ("[a]\nk = x = y:z", &["1 [a]", "2 k|x = y:z"]),
            ("[a]\nk\u{a0}=\u{a0}v", &["1 [a]", "2 k|v"]),
            ("[a]\n\u{a0}\nk=v", &["1 [a]", "3 k|v"]),
            ("[a]]\n[ ]\n", &["1 [a]", "2 []"]),
        ] {
            let expected = expected.iter().map(|event| (*event).to_owned());
            assert_eq!(events(text), Ok(expected.collect()), "{text:?}");
        }
    }

    #[test]
    fn a_syntax_error_has_its_line() {
        for (text, line, fault) in [
            ("k = v\n[a]", 1, RuleFault::BeforeSection),
            ("\n\n[a\nk = v", 3, RuleFault::OpenBracket),
            ("[a]\nk", 2, RuleFault::WithoutValue),
            ("[a]\n= v", 2, RuleFault::WithoutKey),
        ] {
            assert_eq!(events(text), Err((line, fault)), "{text:?}");
        }
    }
}
