//! A failure: its cause, a hint, and what callers may do about it.
//!
//! Each module builds its own failures with constructors, one per user-visible failure, so that
//! the wording, the hint and the consequences of a failure stand in one place. Code inspects only
//! [`Problem::kind`] and [`Problem::is_shared`].
//!
//! Wording: cause, then hint. Lower case, no full stop, one line each; the hint begins with a verb.

use std::fmt;

/// In characters. The registry's name stands before it, and a log cuts long lines.
const LONGEST_CAUSE: usize = 160;

/// The consequences of a failure for callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemKind {
    /// No source of AWS credentials is set up at all. The only case in which a stored login
    /// serves.
    NoCredentials,
    /// A setting, file or local program is missing, incomplete or wrong.
    Configuration,
    /// The SSO or console session has expired: it is still the same user's, so a cached token
    /// that is still valid goes on being served.
    SessionExpired,
    /// AWS refused this principal: access denied, unknown or expired keys. Never served over.
    Refused,
    /// Network failures, timeouts, throttling and server errors: a cached token that is still
    /// valid is served.
    Unavailable,
}

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    cause: String,
    hint: String,
    detail: Option<String>,
    kind: ProblemKind,
    shared: bool,
}

impl Problem {
    /// A failure that only this process is known to meet.
    pub fn new(kind: ProblemKind, cause: impl Into<String>, hint: impl Into<String>) -> Self {
        let cause = cause.into();
        let is_long = cause.len() > LONGEST_CAUSE || cause.contains('\n');
        Self {
            detail: is_long.then(|| cause.clone()),
            cause: match is_long {
                true => one_line(&cause, LONGEST_CAUSE),
                false => cause,
            },
            hint: hint.into(),
            kind,
            shared: false,
        }
    }

    /// Names the rule that selected what failed. There are credentials, then, only not the ones
    /// that the rule asks for, so nothing may stand in for them.
    #[must_use]
    pub fn in_rule(self, rule: &str) -> Self {
        let room = LONGEST_CAUSE.saturating_sub(rule.chars().count() + " ()".len());
        let cause = format!("{} ({rule})", one_line(&self.cause, room));
        let kind = match self.kind {
            ProblemKind::NoCredentials => ProblemKind::Configuration,
            kind => kind,
        };
        Self {
            cause,
            kind,
            ..self
        }
    }

    /// Marks it as one that every process waiting for the same cache key would meet.
    #[must_use]
    pub fn shared(self) -> Self {
        Self {
            shared: true,
            ..self
        }
    }

    /// Adds what only the debug log and `doctor` show.
    #[must_use]
    pub fn with_detail(self, detail: impl Into<String>) -> Self {
        Self {
            detail: Some(detail.into()),
            ..self
        }
    }

    /// The hint; begins with a verb, may be empty.
    pub fn hint(&self) -> &str {
        &self.hint
    }

    /// Details that only the debug log and `doctor` show.
    pub fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }

    /// The consequences for callers.
    pub fn kind(&self) -> ProblemKind {
        self.kind
    }

    /// Whether every process waiting for the same cache key would meet it.
    pub fn is_shared(&self) -> bool {
        self.shared
    }
}

/// The text on one line of at most so many characters.
fn one_line(text: &str, most: usize) -> String {
    let mut line: String = text.replace(['\n', '\r'], " ");
    if let Some((end, _)) = line.char_indices().nth(most) {
        let keep = line[..end]
            .char_indices()
            .next_back()
            .map_or(0, |(last, _)| last);
        line.truncate(keep);
        line.push('…');
    }
    line
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_one_line_of_160_characters() {
        let long = "ü".repeat(200);
        let problem = Problem::new(ProblemKind::Refused, long.clone(), "h");
        assert_eq!(problem.to_string().chars().count(), 160);
        assert!(problem.to_string().ends_with("ü…"));
        assert_eq!(problem.detail(), Some(&*long));
        let problem = Problem::new(ProblemKind::Refused, "a\nb", "h");
        assert_eq!(problem.to_string(), "a b");
        let exact = Problem::new(ProblemKind::Refused, "x".repeat(160), "h");
        assert_eq!((exact.to_string().len(), exact.detail()), (160, None));
    }

    #[test]
    fn a_rule_is_named_within_the_same_length() {
        let problem = |kind, text: &str| Problem::new(kind, text, "h").in_rule("row");
        let short = problem(ProblemKind::NoCredentials, "none");
        assert_eq!(short.to_string(), "none (row)");
        assert_eq!(short.kind(), ProblemKind::Configuration);
        let long = problem(ProblemKind::Refused, &"x".repeat(300)).to_string();
        assert_eq!(long.chars().count(), 160);
        assert!(long.ends_with("x… (row)"), "{long}");
    }
}
