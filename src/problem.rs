//! A failure: its cause, a hint, and what callers may do about it.
//!
//! Each module builds its own failures with constructors, one per user-visible failure, so that
//! the wording, the hint and the consequences of a failure stand in one place. Code inspects only
//! [`Problem::kind`] and [`Problem::is_shared`].
//!
//! Wording: cause, then hint. Lower case, no full stop, one line each; the hint begins with a verb.

use std::fmt;

/// What callers do about a failure.
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
        Self {
            cause: cause.into(),
            hint: hint.into(),
            detail: None,
            kind,
            shared: false,
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

    /// What a person can do about it; begins with a verb, may be empty.
    pub fn hint(&self) -> &str {
        &self.hint
    }

    /// What only the debug log and `doctor` show.
    pub fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }

    /// What callers do about it.
    pub fn kind(&self) -> ProblemKind {
        self.kind
    }

    /// Whether every process waiting for the same cache key would meet it.
    pub fn is_shared(&self) -> bool {
        self.shared
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)
    }
}

impl std::error::Error for Problem {}
