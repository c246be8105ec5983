//! Everything that is wrong with the file, and the hosts that it names: for people and for
//! `list`, which look at all of it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::scan::{Event, scan};
use super::{
    EVERY_OTHER, Key, RuleSection, Rules, SectionKind, exact_registry, is_account_id, is_own_name,
    problem,
};
use crate::problem::Problem;
use crate::registry::Registry;

/// A mistake in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The line, counted from 1.
    pub line: usize,
    /// The fault, with the file and the line, and the remedy.
    pub problem: Problem,
}

impl SectionKind {
    /// The meaning of a section's name; none if no registry can match it.
    fn of(name: &str) -> Option<Self> {
        if name == EVERY_OTHER {
            Some(Self::EveryOther)
        } else if is_account_id(name) {
            Some(Self::Account)
        } else if exact_registry(name).is_some() {
            Some(Self::Registry)
        } else if is_own_name(name) && Registry::from_server_url(name).is_none() {
            Some(Self::OwnName)
        } else {
            None
        }
    }
}

impl Rules {
    /// All mistakes, by their lines. A syntax error ends the list.
    pub fn findings(&self) -> Vec<Finding> {
        let Some(file) = &self.file else {
            return Vec::new();
        };
        let (sections, mut findings) = self.all_sections();
        for section in sections {
            let problems = section.problems.iter().chain([&section.general]).flatten();
            findings.extend(problems.map(|problem| Finding {
                line: section.line,
                problem: *problem.clone(),
            }));
            let checked = Key::ALL.map(|key| section.setting(file, key).err());
            for (key, found) in Key::ALL.into_iter().zip(checked) {
                if let (Some(problem), None) = (found, &section.problems[key as usize]) {
                    let line = section.settings[key as usize].map_or(section.line, |s| s.line);
                    findings.push(Finding { line, problem });
                }
            }
            if section.kind == SectionKind::OwnName && section.first_problem().is_none() {
                let registry = section.settings[Key::Registry as usize];
                let (line, found) = match registry {
                    None => (section.line, Some(problem::no_registry(file, &section))),
                    Some(setting) if exact_registry(setting.value).is_none() => (
                        setting.line,
                        Some(problem::not_ecr(file, &section, setting)),
                    ),
                    Some(_) => (section.line, None),
                };
                findings.extend(found.map(|problem| Finding { line, problem }));
            }
        }
        findings.sort_by_key(|finding| finding.line);
        findings
    }

    /// The hosts that the file names one by one: each with the registry that it leads to. None
    /// for which that registry is not known.
    pub fn hosts(&self) -> Vec<(String, Registry)> {
        let (sections, _) = self.all_sections();
        let host = |section: RuleSection<'_>| {
            let registry = match section.kind {
                SectionKind::Registry => exact_registry(section.name)?,
                SectionKind::OwnName if section.first_problem().is_none() => {
                    exact_registry(section.settings[Key::Registry as usize]?.value)?
                }
                _ => return None,
            };
            Some((section.name.to_ascii_lowercase(), registry))
        };
        sections.into_iter().filter_map(host).collect()
    }

    /// Own names and profiles that are anywhere in the file: what a report for others masks.
    pub fn names(&self) -> Vec<String> {
        let (sections, _) = self.all_sections();
        let mut names = Vec::new();
        for section in sections {
            if section.kind == SectionKind::OwnName {
                names.push(section.name.to_owned());
            }
            let profile = section.settings[Key::Profile as usize];
            names.extend(profile.map(|setting| setting.value.to_owned()));
        }
        names
    }

    /// Every section that something can match, the first of several of a name, and what is wrong
    /// outside of them.
    fn all_sections(&self) -> (Vec<RuleSection<'_>>, Vec<Finding>) {
        let (mut sections, mut findings) = (Vec::new(), Vec::new());
        let Some(file) = &self.file else {
            return (sections, findings);
        };
        let mut known = HashMap::new();
        let mut open: Option<usize> = None;
        let mut last_key = "";
        let scanned = scan(file.text(), |line, event| match event {
            Event::Section(name) => {
                open = None;
                let Some(kind) = SectionKind::of(name) else {
                    let problem = problem::unknown_section(file, name, line);
                    return findings.push(Finding { line, problem });
                };
                let lower = name
                    .strip_suffix(":443")
                    .unwrap_or(name)
                    .to_ascii_lowercase();
                match known.entry(lower) {
                    Entry::Occupied(first) => {
                        let problem = problem::twice(file, name, *first.get(), line);
                        findings.push(Finding { line, problem });
                    }
                    Entry::Vacant(entry) => {
                        entry.insert(line);
                        open = Some(sections.len());
                        sections.push(RuleSection::new(kind, name, line));
                    }
                }
            }
            Event::Property { key, rest } => {
                last_key = key;
                if let Some(index) = open {
                    sections[index].add(file, line, key, rest);
                }
            }
            Event::Continuation => {
                if let Some(index) = open {
                    sections[index].refuse_continuation(file, last_key, line);
                }
            }
        });
        if let Err((line, fault)) = scanned {
            let problem = problem::syntax(file, line, fault);
            findings.push(Finding { line, problem });
        }
        (sections, findings)
    }
}
