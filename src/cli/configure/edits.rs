//! The edits that `configure` makes, file by file, in memory.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::Job;
use crate::clients::auth_file::{self, AuthFile};
use crate::clients::{HELPER, podman};
use crate::edit::file::Original;
use crate::edit::json::Document;
use crate::edit::{Change, sections, toml};
use crate::env::{Env, HOME};
use crate::problem::{Problem, ProblemKind};
use crate::registry::Registry;
use crate::rules;

/// How a line of the report begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    Added,
    Changed,
    Removed,
}

/// One file, before and after.
pub(super) struct Edit {
    file: Original,
    new: Option<Vec<u8>>,
    pub(super) lines: Vec<(Sign, String)>,
    /// Hosts whose logins in this file no longer count after it.
    pub(super) hidden_logins: Vec<String>,
    /// Accounts among the job's for whose profile there is no rule.
    pub(super) without_rule: Vec<String>,
}

impl Edit {
    fn of(file: Original) -> Self {
        Self {
            new: file.bytes.clone(),
            file,
            lines: Vec::new(),
            hidden_logins: Vec::new(),
            without_rule: Vec::new(),
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.file.path()
    }

    pub(super) fn is_change(&self) -> bool {
        !self.lines.is_empty()
    }

    pub(super) fn write(&self) -> Result<(), Problem> {
        match self.is_change() {
            true => self.file.replace(self.new.as_deref()),
            false => Ok(()),
        }
    }

    fn text(&self) -> Result<String, Problem> {
        let bytes = self.new.clone().unwrap_or_default();
        String::from_utf8(bytes).map_err(|_| {
            let path = self.path().display();
            let cause = format!("{path} is not UTF-8");
            Problem::new(
                ProblemKind::Configuration,
                cause,
                format!("save {path} as UTF-8"),
            )
        })
    }

    fn note(&mut self, name: &str, change: Change, value: &str) {
        match change {
            Change::None => {}
            Change::Added => {
                let arrow = if name.contains(':') { " ->" } else { ":" };
                let line = format!("{name}{arrow} {value}");
                self.lines.push((Sign::Added, line));
            }
            Change::Replaced(old) => {
                let line = format!("{name}: {old} -> {value}");
                self.lines.push((Sign::Changed, line));
            }
        }
    }
}

/// All edits of a job; those that change nothing are among them.
pub(super) fn of(env: &Env, job: &Job) -> Result<Vec<Edit>, Problem> {
    let mut edits = Vec::new();
    let mut rules = RulesEdit::read(env, job)?;
    for path in auth_files(env, job)? {
        let edit = match job.remove {
            false => add_to_auth_file(&path, job, rules.as_mut())?,
            true => remove_from_auth_file(&path, job, rules.as_mut())?,
        };
        edits.push(edit);
    }
    if job.podman && (job.all || job.remove && job.registries.is_empty()) {
        let paths = match job.remove {
            true => podman::registries_confs(env),
            false => podman::registries_conf_to_write(env).into_iter().collect(),
        };
        for path in paths {
            edits.push(registries_conf(&path, job.remove)?);
        }
    }
    if let Some(rules) = rules {
        edits.push(rules.finish(env, job)?);
    }
    Ok(edits)
}

fn auth_files(env: &Env, job: &Job) -> Result<Vec<PathBuf>, Problem> {
    let paths = match (job.podman, job.remove) {
        (true, true) => podman::auth_files(env),
        // Every registry is a line of registries.conf, not of this file.
        (true, false) if job.registries.is_empty() => return Ok(Vec::new()),
        (true, false) => podman::auth_file_to_write(env).into_iter().collect(),
        (false, _) => auth_file::docker_path(env).into_iter().collect(),
    };
    match paths.is_empty() {
        false => Ok(paths),
        true => Err(Problem::new(
            ProblemKind::Configuration,
            format!("{HOME} is not set, so there is no place for the configuration"),
            match job.podman {
                true => format!("set {HOME}, or REGISTRY_AUTH_FILE"),
                false => format!("set {HOME}, or DOCKER_CONFIG"),
            },
        )),
    }
}

fn parse(file: &Original) -> Result<Document, Problem> {
    Document::parse(file.bytes.as_deref())
        .map_err(|error| auth_file::malformed(file.path(), &error))
}

fn add_to_auth_file(
    path: &Path,
    job: &Job,
    rules: Option<&mut RulesEdit>,
) -> Result<Edit, Problem> {
    let mut edit = Edit::of(Original::read(path)?);
    let mut document = parse(&edit.file)?;
    let malformed = |error| auth_file::malformed(path, &error);
    for registry in &job.registries {
        let host = registry.host();
        let change = document
            .set(Some("credHelpers"), host, HELPER)
            .map_err(malformed)?;
        edit.note(&format!("credHelpers: {host}"), change, HELPER);
    }
    if job.all && !job.podman {
        let change = document
            .set(None, "credsStore", HELPER)
            .map_err(malformed)?;
        match (&change, rules) {
            (Change::Replaced(old), Some(rules)) if !old.is_empty() => {
                rules.set("*", "other_registries", old);
            }
            (Change::Added | Change::Replaced(_), _) => {
                let file = AuthFile::read(path)?.unwrap_or_default();
                edit.hidden_logins = file.all_stored_logins().map(str::to_owned).collect();
            }
            (Change::None, _) => {}
        }
        edit.note("credsStore", change, HELPER);
    }
    edit.new = document.bytes().map(<[u8]>::to_vec);
    Ok(edit)
}

fn remove_from_auth_file(
    path: &Path,
    job: &Job,
    rules: Option<&mut RulesEdit>,
) -> Result<Edit, Problem> {
    let mut edit = Edit::of(Original::read(path)?);
    let mut document = parse(&edit.file)?;
    let everything = job.registries.is_empty();
    let ours = AuthFile::read(path)?.unwrap_or_default().cred_helpers;
    let ours = ours.into_iter().filter(|(_, helper)| helper == HELPER);
    let mut left = BTreeSet::new();
    for (host, _) in ours {
        let Some(registry) = Registry::from_server_url(&host) else {
            continue;
        };
        let goes = job.registries.contains(&registry) || everything && !job.all;
        if !goes {
            left.insert(section_of(&registry));
            continue;
        }
        document.remove(Some("credHelpers"), &host);
        edit.lines
            .push((Sign::Removed, format!("credHelpers: {host} -> {HELPER}")));
    }
    let store = document.get(None, "credsStore");
    if everything && !job.podman && store.as_deref() == Some(HELPER) {
        match rules.as_ref().and_then(|rules| rules.added_helper()) {
            Some(old) => {
                let malformed = |error| auth_file::malformed(path, &error);
                let change = document.set(None, "credsStore", &old).map_err(malformed)?;
                edit.note("credsStore", change, &old);
            }
            None => {
                document.remove(None, "credsStore");
                edit.lines
                    .push((Sign::Removed, format!("credsStore: {HELPER}")));
            }
        }
    }
    if let Some(rules) = rules {
        rules.in_use.extend(left);
    }
    edit.new = document.bytes().map(<[u8]>::to_vec);
    Ok(edit)
}

fn registries_conf(path: &Path, remove: bool) -> Result<Edit, Problem> {
    let mut edit = Edit::of(Original::read(path)?);
    let text = edit.text()?;
    let malformed = |error: toml::TomlError| {
        let (path, line, column) = (path.display(), error.line, error.column);
        let cause = format!("{path} is not valid TOML (line {line}, column {column})");
        Problem::new(ProblemKind::Configuration, cause, format!("correct {path}"))
    };
    const LINE: &str = "credential-helpers";
    if !remove {
        let (text, change) = toml::add(&text, HELPER).map_err(malformed)?;
        edit.note(LINE, change, HELPER);
        edit.new = Some(text.into_bytes());
    } else if let Some(text) = toml::remove(&text, HELPER).map_err(malformed)? {
        edit.lines
            .push((Sign::Removed, format!("{LINE}: {HELPER}")));
        edit.new = Some(text)
            .filter(|text| !text.is_empty())
            .map(String::into_bytes);
    }
    Ok(edit)
}

/// The section of a rule that `configure --profile` writes for a registry.
fn section_of(registry: &Registry) -> String {
    registry.account_id().unwrap_or(registry.host()).to_owned()
}

/// The edit of the rules file.
struct RulesEdit {
    edit: Edit,
    text: String,
    /// Whether a variable names the file: then it must not be missing.
    is_named: bool,
    /// Sections of registries that stay configured.
    in_use: BTreeSet<String>,
}

impl RulesEdit {
    /// The file as it is; none if rules are switched off.
    fn read(env: &Env, job: &Job) -> Result<Option<Self>, Problem> {
        let Some((path, is_named)) = rules::path(env) else {
            return match job.profile {
                Some(_) if !job.remove => Err(Problem::new(
                    ProblemKind::Configuration,
                    format!(
                        "there is no place for a rule: AWS_ECR_CONFIG is empty, or {HOME} is not set"
                    ),
                    "set AWS_ECR_CONFIG to the rules file",
                )),
                _ => Ok(None),
            };
        };
        let edit = Edit::of(Original::read(&path)?);
        let text = edit.text()?;
        Ok(Some(Self {
            edit,
            text,
            is_named,
            in_use: BTreeSet::new(),
        }))
    }

    fn set(&mut self, section: &str, key: &str, value: &str) {
        let (text, change) = sections::set(&self.text, section, key, value);
        self.text = text;
        match change {
            Change::None => {}
            Change::Added => {
                let line = format!("[{section}] {key} = {value}");
                self.edit.lines.push((Sign::Added, line));
            }
            Change::Replaced(old) => {
                let line = format!("[{section}] {key}: {old} -> {value}");
                self.edit.lines.push((Sign::Changed, line));
            }
        }
    }

    /// Whether a rule decides the profile of this registry.
    fn has_profile(text: &str, registry: &Registry) -> bool {
        let sections = [
            registry.host(),
            registry.account_id().unwrap_or_default(),
            "*",
        ];
        sections
            .iter()
            .any(|section| sections::get(text, section, "profile").is_some())
    }

    /// The helper that `configure --all` moved here.
    fn added_helper(&self) -> Option<String> {
        Some(sections::remove_added(&self.text, "*", "other_registries")?.1)
    }

    fn remove_added(&mut self, section: &str, key: &str) {
        if let Some((text, value)) = sections::remove_added(&self.text, section, key) {
            self.text = text;
            let line = format!("[{section}] {key} = {value}");
            self.edit.lines.push((Sign::Removed, line));
        }
    }

    fn finish(mut self, env: &Env, job: &Job) -> Result<Edit, Problem> {
        let mut wanted: Vec<_> = job.registries.iter().map(section_of).collect();
        wanted.dedup();
        if job.all {
            wanted.push("*".to_owned());
        }
        if job.remove {
            if wanted.is_empty() {
                wanted = sections::names(&self.text);
            }
            self.in_use.extend(Self::used_by_others(env, job)?);
            for section in wanted {
                if !self.in_use.contains(&section) {
                    self.remove_added(&section, "profile");
                    self.remove_added(&section, "other_registries");
                }
            }
        } else {
            for (section, profile) in wanted.iter().zip(job.profile.iter().cycle()) {
                self.set(section, "profile", profile);
            }
        }
        for registry in &job.registries {
            let account_id = registry
                .account_id()
                .filter(|_| !Self::has_profile(&self.text, registry));
            self.edit.without_rule.extend(account_id.map(str::to_owned));
        }
        self.edit.without_rule.dedup();
        if self.edit.is_change() {
            let keep = !self.text.is_empty() || self.is_named;
            self.edit.new = keep.then(|| self.text.into_bytes());
        }
        Ok(self.edit)
    }

    /// Sections of registries that the configuration of the other clients names.
    fn used_by_others(env: &Env, job: &Job) -> Result<Vec<String>, Problem> {
        let paths = match job.podman {
            true => auth_file::docker_path(env).into_iter().collect(),
            false => podman::auth_files(env),
        };
        let mut sections = Vec::new();
        for path in paths {
            let file = AuthFile::read(&path)?.unwrap_or_default();
            let ours = file
                .cred_helpers
                .iter()
                .filter(|(_, helper)| *helper == HELPER);
            let registries = ours.filter_map(|(host, _)| Registry::from_server_url(host));
            sections.extend(registries.map(|registry| section_of(&registry)));
        }
        Ok(sections)
    }
}
