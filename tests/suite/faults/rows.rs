//! A row of the table: a fault, who can have it, and what it leads to.

use std::ops::RangeInclusive;

use super::party::{ALL, Party};
use crate::support::fake::{Accept, Answer, Good, Script};

pub(super) enum Fault {
    /// The service answers like this.
    Says(Script),
    /// Every connection ends like this.
    Connections(Accept),
    /// The port is closed.
    Gone,
    /// A redirect with this status to another server.
    Redirect(u16),
    /// The clock of AWS is so many seconds ahead.
    Clock(i64),
}

pub(super) enum Expect {
    /// A token.
    Token,
    /// A token with this password.
    Password(&'static str),
    /// A failure in some of these words.
    Cause(&'static [&'static str]),
}

pub(super) struct Row {
    pub(super) name: String,
    pub(super) at: &'static [Party],
    pub(super) fault: Fault,
    pub(super) expect: Expect,
    /// How many requests there may be, or connections where a request cannot be seen.
    pub(super) requests: RangeInclusive<usize>,
    /// Whether a token that comes is cached.
    pub(super) kept: bool,
    /// Whether AWS refuses the principal, so that a cached token is no longer served.
    pub(super) refused: bool,
}

impl Row {
    pub(super) fn at(mut self, at: &'static [Party]) -> Self {
        self.at = at;
        self
    }

    pub(super) fn refused(mut self) -> Self {
        self.refused = true;
        self
    }

    pub(super) fn once(mut self) -> Self {
        self.kept = false;
        self
    }
}

pub(super) fn token(name: &str, fault: Fault, requests: RangeInclusive<usize>) -> Row {
    Row {
        name: name.to_owned(),
        at: ALL,
        fault,
        expect: Expect::Token,
        requests,
        kept: true,
        refused: false,
    }
}

pub(super) fn fails(
    name: &str,
    fault: Fault,
    requests: RangeInclusive<usize>,
    words: &'static [&'static str],
) -> Row {
    Row {
        expect: Expect::Cause(words),
        ..token(name, fault, requests)
    }
}

pub(super) fn always(answer: Answer) -> Fault {
    Fault::Says(Script::always(answer))
}

pub(super) fn times(n: usize, answer: Answer) -> Fault {
    Fault::Says(Script::times(n, answer))
}

pub(super) fn good(change: impl FnOnce(&mut Good)) -> Fault {
    let mut good = Good::default();
    change(&mut good);
    always(Answer::Ok(good))
}
