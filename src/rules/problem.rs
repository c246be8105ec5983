//! Failures of the rules: one constructor each.

use std::io;

use super::file::{RulesFile, VARIABLE};
use super::scan::RuleFault;
use super::{Key, RuleSection, RuleSetting};
use crate::problem::{Problem, ProblemKind};
use crate::settings::PROFILE;

/// Longer words of a file are cut in messages.
const LONGEST_WORD: usize = 60;

fn configuration(cause: impl Into<String>, hint: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::Configuration, cause, hint)
}

fn line(file: &RulesFile, line: usize, cause: &str, hint: impl Into<String>) -> Problem {
    configuration(format!("{}, line {line}: {cause}", file.shown()), hint)
}

/// A word of the file, quoted and cut.
pub(super) fn word(text: &str) -> String {
    match text.char_indices().nth(LONGEST_WORD) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

pub(super) fn garbled_profile() -> Problem {
    let name = PROFILE.name;
    configuration(
        format!("{name} is not UTF-8"),
        format!("correct or unset {name}"),
    )
}

pub(super) fn unreadable(shown: &str, is_named: bool, error: &io::Error) -> Problem {
    let hint = match is_named {
        true => format!("correct {VARIABLE}, or make the file readable for this user"),
        false => "make the file readable for this user".to_owned(),
    };
    configuration(format!("cannot read {shown}: {error}"), hint)
}

pub(super) fn not_a_file(shown: &str) -> Problem {
    configuration(
        format!("{shown} is not a regular file"),
        format!("put a text file there, or name another one with {VARIABLE}"),
    )
}

pub(super) fn too_large(shown: &str, limit: u64) -> Problem {
    configuration(
        format!("{shown} is larger than {} MiB", limit >> 20),
        "remove what is not a rule from the file",
    )
}

pub(super) fn changed(shown: &str) -> Problem {
    configuration(
        format!("{shown} was written to while it was read"),
        "try again",
    )
}

pub(super) fn not_utf8(shown: &str, line: usize) -> Problem {
    configuration(
        format!("{shown}, line {line}: this is not UTF-8"),
        "save the file as UTF-8",
    )
}

#[cfg(unix)]
pub(super) fn foreign(shown: &str, owner: u32) -> Problem {
    configuration(
        format!("{shown} belongs to another user (ID {owner}), who could redirect identities"),
        "make the file your own with chown, or root's",
    )
}

#[cfg(unix)]
pub(super) fn writable(shown: &str) -> Problem {
    configuration(
        format!("{shown} can be written by other users, who could redirect identities"),
        format!("run chmod go-w {shown}"),
    )
}

#[cfg(windows)]
pub(super) fn untrusted(shown: &str, why: &str) -> Problem {
    configuration(
        format!("{shown} {why}: others could redirect identities"),
        "let only yourself and administrators write to the file (Properties, Security)",
    )
}

pub(super) fn syntax(file: &RulesFile, number: usize, fault: RuleFault) -> Problem {
    line(
        file,
        number,
        &fault.to_string(),
        "correct this line of the file",
    )
}

pub(super) fn twice(file: &RulesFile, name: &str, first: usize, second: usize) -> Problem {
    configuration(
        format!(
            "{}: [{}] is there twice, in line {first} and in line {second}",
            file.shown(),
            cut(name)
        ),
        "join the two sections",
    )
}

/// Nothing can match the section's name.
pub(super) fn unknown_section(file: &RulesFile, name: &str, number: usize) -> Problem {
    let digits = !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit());
    let cause = match digits {
        true => format!(
            "[{}] is not an account: it has {} digits, not 12",
            cut(name),
            name.len()
        ),
        false => format!("[{}] is not an account, a registry, a host or *", cut(name)),
    };
    line(
        file,
        number,
        &cause,
        "correct the section's name; as it is, nothing uses it",
    )
}

pub(super) fn key_twice(
    file: &RulesFile,
    section: &RuleSection<'_>,
    key: Key,
    first: usize,
    second: usize,
) -> Problem {
    configuration(
        format!(
            "{}: {} is there twice in [{}], in line {first} and in line {second}",
            file.shown(),
            key.name(),
            section.name,
        ),
        "remove one of the two lines",
    )
}

pub(super) fn unknown_key(
    file: &RulesFile,
    section: &RuleSection<'_>,
    key: &str,
    number: usize,
) -> Problem {
    let hint = match Key::nearest(key) {
        Some(key) => format!("write {}", key.name()),
        None => "use profile, role_arn, registry or other_registries, and an AWS profile for \
                 what else a role needs"
            .to_owned(),
    };
    let cause = format!("unknown key {} in [{}]", word(key), section.name);
    line(file, number, &cause, hint)
}

pub(super) fn misplaced(
    file: &RulesFile,
    section: &RuleSection<'_>,
    key: Key,
    number: usize,
) -> Problem {
    let hint = match key {
        Key::Profile | Key::RoleArn => "move it to the section of the registry or its account",
        Key::Registry => {
            "move it to a section with a name of your own, like [registry.example.com]"
        }
        Key::OtherRegistries => "move it to the section [*]",
    };
    let cause = format!("{} has no meaning in [{}]", key.name(), section.name);
    line(file, number, &cause, hint)
}

pub(super) fn blank(
    file: &RulesFile,
    section: &RuleSection<'_>,
    key: Key,
    number: usize,
) -> Problem {
    let cause = format!("{} in [{}] is blank", key.name(), section.name);
    line(file, number, &cause, "give it a value, or remove the line")
}

pub(super) fn second_line(
    file: &RulesFile,
    section: &RuleSection<'_>,
    key: &str,
    number: usize,
) -> Problem {
    line(
        file,
        number,
        &format!("this line continues {} in [{}]", word(key), section.name),
        "remove the white space at the beginning of the line",
    )
}

pub(super) fn bad_role_arn(
    file: &RulesFile,
    section: &RuleSection<'_>,
    setting: RuleSetting<'_>,
) -> Problem {
    line(
        file,
        setting.line,
        &format!("role_arn in [{}] is not the ARN of a role", section.name),
        "write it like arn:aws:iam::444455556666:role/ecr-pull",
    )
}

pub(super) fn no_registry(file: &RulesFile, section: &RuleSection<'_>) -> Problem {
    line(
        file,
        section.line,
        &format!("[{}] has no registry", section.name),
        "add a line like registry = 123456789012.dkr.ecr.us-east-1.amazonaws.com",
    )
}

pub(super) fn not_ecr(
    file: &RulesFile,
    section: &RuleSection<'_>,
    setting: RuleSetting<'_>,
) -> Problem {
    line(
        file,
        setting.line,
        &format!("registry in [{}] is not a host of Amazon ECR", section.name),
        "write the host alone, like 123456789012.dkr.ecr.us-east-1.amazonaws.com",
    )
}

pub(super) fn bad_helper_name(
    file: &RulesFile,
    section: &RuleSection<'_>,
    setting: RuleSetting<'_>,
) -> Problem {
    line(
        file,
        setting.line,
        &format!(
            "other_registries in [{}] is not the name of a helper",
            section.name
        ),
        "write osxkeychain for docker-credential-osxkeychain, and so on",
    )
}

/// A section's name as it may be shown.
pub(super) fn cut(name: &str) -> String {
    let quoted = word(name);
    quoted.trim_matches('"').to_owned()
}
