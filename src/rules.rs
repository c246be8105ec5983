//! The file `ecr-login` next to the AWS config file: which profile or role serves which registry,
//! names of the user's own in front of a registry, and the helper for hosts that are not ECR's.
//!
//! A client passes nothing but a host, and GUI programs and virtual machines see no variables of
//! the shell, so only a file can tell several accounts apart. It can redirect an identity, so it
//! has to belong to the user or root, and what it names and cannot give is an error, never a
//! reason to use another identity.
//!
//! A cached `get` reads it too: three system calls, one pass, and only the sections that name the
//! registry are looked into. A mistake in a section fails what that section decides and nothing
//! else; `findings` lists all of them.

mod file;
mod findings;
mod problem;
mod scan;
#[cfg(test)]
mod tests;

use crate::env::Env;
use crate::nearest::nearest;
use crate::principal::{Named, Selection};
use crate::problem::Problem;
use crate::registry::{Registry, host_and_port};
use crate::settings::PROFILE;

use file::RulesFile;
pub(crate) use file::path;
use scan::{Event, scan, value_of};

/// The section for what no other section names.
const EVERY_OTHER: &str = "*";

/// The rules of one run.
#[derive(Debug)]
pub struct Rules {
    /// `AWS_ECR_PROFILE`.
    profile: Option<Named>,
    file: Option<RulesFile>,
}

/// A setting of a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Profile,
    RoleArn,
    Registry,
    OtherRegistries,
}

impl Key {
    const ALL: [Self; 4] = [
        Self::Profile,
        Self::RoleArn,
        Self::Registry,
        Self::OtherRegistries,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Profile => "profile",
            Self::RoleArn => "role_arn",
            Self::Registry => "registry",
            Self::OtherRegistries => "other_registries",
        }
    }

    /// The key that a misspelt one was meant to be.
    fn nearest(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        let name = nearest(&text, Self::ALL.map(Self::name))?;
        Self::named(name)
    }

    /// Keys are compared without regard to case, as in the AWS config file.
    fn named(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|key| key.name().eq_ignore_ascii_case(text))
    }
}

/// The meaning of a section's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SectionKind {
    EveryOther,
    Account,
    Registry,
    OwnName,
}

impl SectionKind {
    fn allows(self, key: Key) -> bool {
        match key {
            Key::Profile | Key::RoleArn => self != Self::OwnName,
            Key::Registry => self == Self::OwnName,
            Key::OtherRegistries => self == Self::EveryOther,
        }
    }
}

/// A section that was asked for.
#[derive(Debug)]
struct RuleSection<'a> {
    kind: SectionKind,
    name: &'a str,
    line: usize,
    settings: [Option<RuleSetting<'a>>; Key::ALL.len()],
    /// The first mistake about each of the settings.
    problems: [Option<Box<Problem>>; Key::ALL.len()],
    /// The first mistake that may be about any of them.
    general: Option<Box<Problem>>,
}

#[derive(Debug, Clone, Copy)]
struct RuleSetting<'a> {
    value: &'a str,
    line: usize,
}

impl Rules {
    /// Reads `AWS_ECR_PROFILE` and the file; a missing default file is no file.
    pub fn load(env: &Env) -> Result<Self, Problem> {
        let profile = env.selecting_var(PROFILE.name);
        let profile = profile.map_err(|_| problem::garbled_profile())?;
        let profile = profile.map(|value| Named {
            value,
            named_by: PROFILE.name.to_owned(),
        });
        let file = file::read(env)?;
        Ok(Self { profile, file })
    }

    /// The same from a text, for tests without files.
    #[cfg(test)]
    fn of(text: &str) -> Self {
        Self {
            profile: None,
            file: Some(RulesFile::of("~/.aws/ecr-login", text)),
        }
    }

    /// The rules' decisions about this registry: each setting by the most specific section that
    /// has it.
    pub fn selection(&self, registry: &Registry) -> Result<Selection, Problem> {
        let account_id = registry.account_id().unwrap_or_default();
        let wanted = [
            (SectionKind::Registry, registry.host()),
            (SectionKind::Account, account_id),
            (SectionKind::EveryOther, EVERY_OTHER),
        ];
        let sections = self.sections(wanted)?;
        if let Some(profile) = &self.profile {
            return Ok(Selection {
                profile: Some(profile.clone()),
                ..Selection::default()
            });
        }
        let [profile, role_arn] = self.decide(&sections, [Key::Profile, Key::RoleArn])?;
        Ok(Selection {
            profile,
            role_arn,
            web_identity: None,
        })
    }

    /// The registry that a server URL means: that of its host, or the one behind the user's own
    /// name. None if it is neither.
    pub fn resolve(&self, server_url: &str) -> Result<Option<Registry>, Problem> {
        match Registry::from_server_url(server_url) {
            Some(registry) => Ok(Some(registry)),
            None => self.behind(server_url),
        }
    }

    /// The registry behind a name of the user's own.
    fn behind(&self, server_url: &str) -> Result<Option<Registry>, Problem> {
        let (Some(file), Some(name)) = (&self.file, own_name(server_url)) else {
            return Ok(None);
        };
        let [section] = self.sections([(SectionKind::OwnName, name)])?;
        let Some(section) = section else {
            return Ok(None);
        };
        if let Some(problem) = section.first_problem() {
            return Err(problem.clone());
        }
        let Some(setting) = section.settings[Key::Registry as usize] else {
            return Err(problem::no_registry(file, &section));
        };
        match exact_registry(setting.value) {
            Some(registry) => Ok(Some(registry)),
            None => Err(problem::not_ecr(file, &section, setting)),
        }
    }

    /// The helper for hosts that are neither ECR's nor names of the user's own.
    pub fn other_registries(&self) -> Result<Option<Named>, Problem> {
        let sections = self.sections([(SectionKind::EveryOther, EVERY_OTHER)])?;
        let [helper] = self.decide(&sections, [Key::OtherRegistries])?;
        Ok(helper)
    }

    /// For each key the value in the first section that has it. A mistake fails the setting that
    /// it is about, unless a section before has decided that; one that may be about any setting
    /// fails all, unless a section before has decided something.
    fn decide<const N: usize>(
        &self,
        sections: &[Option<RuleSection<'_>>],
        keys: [Key; N],
    ) -> Result<[Option<Named>; N], Problem> {
        let mut decided = [const { None }; N];
        let Some(file) = &self.file else {
            return Ok(decided);
        };
        for section in sections.iter().flatten() {
            if let (Some(problem), true) = (&section.general, decided.iter().all(Option::is_none)) {
                return Err(*problem.clone());
            }
            for (key, slot) in keys.into_iter().zip(&mut decided) {
                if slot.is_none() {
                    *slot = section.setting(file, key)?;
                }
            }
        }
        Ok(decided)
    }

    /// The sections of these names, in one pass over the file.
    fn sections<const N: usize>(
        &self,
        wanted: [(SectionKind, &str); N],
    ) -> Result<[Option<RuleSection<'_>>; N], Problem> {
        let mut found = [const { None }; N];
        let Some(file) = &self.file else {
            return Ok(found);
        };
        let mut duplicate = None;
        let mut open: Option<usize> = None;
        let mut last_key = "";
        let scanned = scan(file.text(), |line, event| match event {
            Event::Section(name) => {
                let is = |(_, wanted): &(_, &str)| same_name(name, wanted);
                open = wanted.iter().position(is);
                let Some(index) = open else { return };
                match &found[index] {
                    None => found[index] = Some(RuleSection::new(wanted[index].0, name, line)),
                    Some(first) => {
                        duplicate.get_or_insert((first.name, first.line, line));
                    }
                }
            }
            Event::Property { key, rest } => {
                if let Some(section) = open.and_then(|index| found[index].as_mut()) {
                    last_key = key;
                    section.add(file, line, key, rest);
                }
            }
            Event::Continuation => {
                if let Some(section) = open.and_then(|index| found[index].as_mut()) {
                    section.refuse_continuation(file, last_key, line);
                }
            }
        });
        scanned.map_err(|(line, fault)| problem::syntax(file, line, fault))?;
        match duplicate {
            Some((name, first, second)) => Err(problem::twice(file, name, first, second)),
            None => Ok(found),
        }
    }
}

impl<'a> RuleSection<'a> {
    fn new(kind: SectionKind, name: &'a str, line: usize) -> Self {
        Self {
            kind,
            name,
            line,
            settings: [None; Key::ALL.len()],
            problems: [const { None }; Key::ALL.len()],
            general: None,
        }
    }

    fn add(&mut self, file: &RulesFile, line: usize, key: &str, rest: &'a str) {
        let Some(key) = Key::named(key) else {
            let problem = problem::unknown_key(file, self, key, line);
            return self.refuse(Key::nearest(key), problem);
        };
        if !self.kind.allows(key) {
            let problem = problem::misplaced(file, self, key, line);
            return self.refuse(None, problem);
        }
        match (self.settings[key as usize], value_of(rest)) {
            (Some(first), _) => {
                let problem = problem::key_twice(file, self, key, first.line, line);
                self.refuse(Some(key), problem);
            }
            (None, "") => {
                let problem = problem::blank(file, self, key, line);
                self.refuse(Some(key), problem);
            }
            (None, value) => self.settings[key as usize] = Some(RuleSetting { value, line }),
        }
    }

    /// `above` is the property that the line belongs to.
    fn refuse_continuation(&mut self, file: &RulesFile, above: &str, line: usize) {
        let problem = problem::second_line(file, self, above, line);
        self.refuse(Key::named(above), problem);
    }

    fn refuse(&mut self, about: Option<Key>, problem: Problem) {
        let place = match about {
            Some(key) => &mut self.problems[key as usize],
            None => &mut self.general,
        };
        place.get_or_insert(Box::new(problem));
    }

    fn first_problem(&self) -> Option<&Problem> {
        let mut problems = self.problems.iter().chain([&self.general]);
        problems.find_map(Option::as_deref)
    }

    /// The value of a key, if it has one and it is sound.
    fn setting(&self, file: &RulesFile, key: Key) -> Result<Option<Named>, Problem> {
        if let Some(problem) = &self.problems[key as usize] {
            return Err(*problem.clone());
        }
        let Some(setting) = self.settings[key as usize] else {
            return Ok(None);
        };
        if key == Key::RoleArn && !is_role_arn(setting.value) {
            return Err(problem::bad_role_arn(file, self, setting));
        }
        if key == Key::OtherRegistries && !is_helper_name(setting.value) {
            return Err(problem::bad_helper_name(file, self, setting));
        }
        Ok(Some(Named {
            value: setting.value.to_owned(),
            named_by: file.place(self.name, setting.line),
        }))
    }
}

/// Whether a section's name is the wanted one: without regard to case, and to the port of https.
fn same_name(name: &str, wanted: &str) -> bool {
    let bare = |name| str::strip_suffix(name, ":443").unwrap_or(name);
    if name.len() == wanted.len() {
        return name.eq_ignore_ascii_case(wanted);
    }
    // No length that differs by less is worth a look.
    name.len().abs_diff(wanted.len()) == ":443".len()
        && bare(name).eq_ignore_ascii_case(bare(wanted))
}

/// The host, with its port, of a server URL that may be a name of the user's own.
fn own_name(server_url: &str) -> Option<&str> {
    host_and_port(server_url).filter(|name| is_own_name(name))
}

/// Whether this can be the host of a registry that is not ECR's: with a dot, a port, or localhost,
/// as docker tells a host from a part of an image's name.
fn is_own_name(name: &str) -> bool {
    let (host, port) = match name.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (name, None),
    };
    host_and_port(name) == Some(name)
        && port != Some("")
        && (port.is_some() || host.contains('.') || host.eq_ignore_ascii_case("localhost"))
}

/// An ECR registry that is named by its host and nothing more.
fn exact_registry(host: &str) -> Option<Registry> {
    Registry::from_server_url(host).filter(|registry| host.eq_ignore_ascii_case(registry.host()))
}

/// `arn:<partition>:iam::<12 digits>:role/<path>`; which partitions there are, STS knows.
fn is_role_arn(arn: &str) -> bool {
    let mut parts = arn.splitn(6, ':');
    let mut next = || parts.next().unwrap_or_default();
    let (head, partition, service, region) = (next(), next(), next(), next());
    let (account_id, resource) = (next(), next());
    let role = resource.strip_prefix("role/").unwrap_or_default();
    (head, service, region) == ("arn", "iam", "")
        && !partition.is_empty()
        && is_account_id(account_id)
        && !role.is_empty()
        && role.bytes().all(|b| b.is_ascii_graphic())
}

fn is_account_id(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

/// Whether it can follow `docker-credential-` in a program's name.
fn is_helper_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    name.bytes().all(plain)
}
