//! The standard error of a `credential_process`, as it may be shown.
//!
//! It says best what is wrong, but it may repeat whatever the program knows: its command line, what
//! it prints on standard output, and its environment. A word that holds any piece of these is
//! replaced, and so is what looks like a key. Where the command line is only known to the shell,
//! nothing is shown.

use zeroize::Zeroizing;

use super::super::redact::one_line;
use crate::env::Env;
use crate::secret::Secret;

/// Pieces of standard output and of the environment that are shorter are digits and the like.
const SHORTEST_PIECE: usize = 4;

/// Words of letters of both cases and digits that are as long are taken for keys.
const SHORTEST_KEY: usize = 16;

/// Pieces that no word of the text may hold.
pub(super) struct Redaction {
    pieces: Vec<Zeroizing<String>>,
    /// The command line is a program of the shell's: what it expands to is not known.
    unknown: bool,
}

impl Redaction {
    pub(super) fn new(command: &Secret, env: &Env, stdout: &[u8]) -> Self {
        let command = command.expose();
        let mut redaction = Self {
            pieces: Vec::new(),
            unknown: command.contains('`')
                || command.contains("$(")
                || (cfg!(windows) && command.contains('%')),
        };
        for value in values_of(command) {
            redaction.add(value, 1);
        }
        for value in variables_of(command).filter_map(|name| env.raw(name)) {
            redaction.add(&Zeroizing::new(value), 1);
        }
        for value in env.secret_values() {
            redaction.add(value.expose(), SHORTEST_PIECE);
        }
        redaction.add(&String::from_utf8_lossy(stdout), SHORTEST_PIECE);
        redaction
    }

    fn add(&mut self, value: &str, shortest: usize) {
        for piece in pieces_of(value).filter(|piece| piece.len() >= shortest) {
            self.pieces.push(Zeroizing::new(piece.to_lowercase()));
        }
    }

    /// The first line, without these pieces; empty where nothing can be shown.
    pub(super) fn first_line(&self, stderr: &[u8]) -> String {
        if self.unknown {
            return String::new();
        }
        let text = Zeroizing::new(String::from_utf8_lossy(stderr).into_owned());
        let line = text.lines().map(str::trim).find(|line| !line.is_empty());
        let words = line.unwrap_or_default().split_whitespace();
        let shown: Vec<_> = words
            .map(|word| if self.hides(word) { "…" } else { word })
            .collect();
        match shown.iter().any(|word| *word != "…") {
            true => one_line(&shown.join(" ")),
            false => String::new(),
        }
    }

    fn hides(&self, word: &str) -> bool {
        let lower = Zeroizing::new(word.to_lowercase());
        let holds = |piece: &str| match piece.len() < SHORTEST_PIECE {
            true => pieces_of(&lower).any(|own| own == piece),
            false => lower.contains(piece),
        };
        self.pieces.iter().any(|piece| holds(piece)) || looks_like_a_key(word)
    }
}

/// The words of a command line but for its program and the names of its options.
fn values_of(command: &str) -> impl Iterator<Item = &str> {
    let mut program_seen = false;
    command.split_whitespace().filter_map(move |word| {
        let word = word.trim_matches(['"', '\'']);
        if let Some(option) = word.strip_prefix("--") {
            // `--password=X`
            return option.split_once('=').map(|(_, value)| value);
        }
        if let Some(option) = word.strip_prefix('-') {
            // `-pX`
            return option.get(1..);
        }
        if !program_seen && !word.contains('=') {
            program_seen = true;
            return None;
        }
        Some(word)
    })
}

/// The variables that the shell puts into a command line.
fn variables_of(command: &str) -> impl Iterator<Item = &str> {
    command.split('$').skip(1).filter_map(|rest| {
        let rest = rest.strip_prefix('{').unwrap_or(rest);
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        Some(&rest[..end.unwrap_or(rest.len())]).filter(|name| !name.is_empty())
    })
}

/// A text without quoting and escapes.
fn pieces_of(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|piece| !piece.is_empty())
}

fn looks_like_a_key(word: &str) -> bool {
    let runs = word.split(|c: char| !(c.is_ascii_alphanumeric() || "+/_-=".contains(c)));
    runs.filter(|run| run.len() >= SHORTEST_KEY).any(|run| {
        let has = |kind: fn(&u8) -> bool| run.bytes().any(|b| kind(&b));
        has(u8::is_ascii_digit) && has(u8::is_ascii_uppercase)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_the_command_line_are_redacted() {
        #[rustfmt::skip]
        const CASES: &[(&str, &str, &str)] = &[
            ("get-creds", "get-creds: no route to host", "get-creds: no route to host"),
            ("get --password=hunter2", "get: wrong password hunter2", "get: wrong password …"),
            ("get --password hunter2", "login 'hunter2' failed", "login … failed"),
            ("get -phunter2", "xhunter2y failed", "… failed"),
            ("get -p abc", "abc abcd (abc)", "… abcd …"),
            ("get \"--password=a b\"", "not a or b", "not … or …"),
            ("get --password=a\\&b", "a&b failed", "… failed"),
            ("PASSWORD=hunter2 get", "HUNTER2 failed", "… failed"),
            ("/opt/get-creds x", "/opt/get-creds failed", "/opt/get-creds failed"),
            ("get", "key AKIAIOSFODNN7EXAMPLE wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY bad", "key … … bad"),
            ("get --password=hunter2", "hunter2", ""),
            ("get --password=$(cat file)", "hunter2 failed", ""),
            ("get --password=`cat file`", "hunter2 failed", ""),
            ("get $VAULT/x", "s3 failed", "… failed"),
            ("get ${VAULT}", "s3 failed", "… failed"),
            ("get", "\n\n failed \nhunter2", "failed"),
        ];
        let env = Env::of([("VAULT", "s3")]);
        for (command, stderr, expected) in CASES {
            let redaction = Redaction::new(&Secret::from(*command), &env, b"");
            assert_eq!(
                redaction.first_line(stderr.as_bytes()),
                *expected,
                "{command}"
            );
        }
    }

    #[test]
    fn output_and_environment_are_redacted() {
        let env = Env::of([("MY_TOKEN", "s3ntinel"), ("EDITOR", "printed")]);
        let stdout = br#"{"SecretAccessKey":"hunter2"}"#;
        let redaction = Redaction::new(&Secret::from("get"), &env, stdout);
        assert_eq!(
            redaction.first_line(b"printed hunter2 with s3ntinel. done"),
            "printed … with … done"
        );
    }
}
