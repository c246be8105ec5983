//! Colours and times, for terminals and for files.

use chrono::{DateTime, TimeDelta, Utc};

use crate::env::Env;

/// Whether to use colours.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) struct Style {
    colours: bool,
}

impl Style {
    pub(in crate::cli) fn of(env: &Env) -> Self {
        Self {
            colours: env.shows_colours(),
        }
    }

    pub(in crate::cli) fn good(self, text: &str) -> String {
        self.coloured("32", text)
    }

    pub(in crate::cli) fn bad(self, text: &str) -> String {
        self.coloured("31", text)
    }

    /// The start of a line: a sign on a terminal, a word elsewhere; all of one width.
    pub(in crate::cli) fn mark(self, is_good: bool, (sign, word): (&str, &str)) -> String {
        match (self.colours, is_good) {
            (true, true) => self.good(sign),
            (true, false) => self.bad(sign),
            (false, _) => format!("{word:11}"),
        }
    }

    pub(in crate::cli) fn mark_width(self) -> usize {
        if self.colours { 1 } else { 11 }
    }

    fn coloured(self, code: &str, text: &str) -> String {
        match self.colours {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }
}

/// Local time and what is left until then: `21:40 (11 h)`; with the date if that is more than a
/// day away.
pub(in crate::cli) fn until(env: &Env, at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let local = env.local(at);
    let left = remainder(at - now);
    match (at - now).num_hours() {
        ..24 => format!("{} ({left})", local.format("%H:%M")),
        _ => format!("{} ({left})", local.format("%Y-%m-%d %H:%M")),
    }
}

fn remainder(left: TimeDelta) -> String {
    match left.num_minutes() {
        ..1 => "now".to_owned(),
        minutes @ 1..60 => format!("{minutes} min"),
        minutes @ 60..2880 => format!("{} h", minutes / 60),
        minutes => format!("{} days", minutes / 1440),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::HOME;

    #[test]
    fn times_say_what_is_left() {
        let env = Env::of([(HOME, "/h")]);
        let now = DateTime::from_timestamp(1_800_000_000, 0).expect("a time");
        for (seconds, text) in [
            (30, "08:00 (now)"),
            (59 * 60, "08:59 (59 min)"),
            (3600, "09:00 (1 h)"),
            (11 * 3600 + 3599, "19:59 (11 h)"),
            (25 * 3600, "2027-01-16 09:00 (25 h)"),
            (72 * 3600, "2027-01-18 08:00 (3 days)"),
        ] {
            assert_eq!(until(&env, now + TimeDelta::seconds(seconds), now), text);
        }
    }

    #[test]
    fn plain_output_has_no_escapes() {
        assert_eq!(Style { colours: false }.bad("x"), "x");
        assert_eq!(Style { colours: true }.good("x"), "\x1b[32mx\x1b[0m");
    }
}
