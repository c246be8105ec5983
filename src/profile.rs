//! The AWS config and credentials files, read as the AWS CLI reads them, but in one pass.
//!
//! They are on the path of every cached answer, and a heavy user's file holds hundreds of
//! profiles. So the text is scanned once for headers, nothing is copied, and only the sections
//! that are looked up are taken apart and checked. The reference is botocore's `configloader`,
//! and `tests/system/aws_cli.py` compares the two. Stricter than there: a file that cannot be read
//! is a fault, and not only a missing file. More lenient: a fault counts only for its section, and
//! a name that the AWS CLI refuses to find may be written without quotes.

mod error;
mod file;
mod paths;
pub mod reader;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::path::Path;

use file::{File, Header, Spelling, Topic, quoted_name, unquoted};
use reader::{Body, Property, strip};

pub use error::{ConfigFileError, LineFault};
pub use paths::Paths;

/// Above this many bytes a file is not a config file.
const LIMIT: usize = 16 << 20;

/// The section whose properties all sections of its file have.
const DEFAULTS: &str = "DEFAULT";

/// Keys whose values hold no white space, so that ` #` and ` ;` begin a comment there, as in the
/// Go SDK. The AWS CLI takes the comment as part of the value, and fails.
const COMMENTED: [&str; 18] = [
    "aws_access_key_id",
    "aws_secret_access_key",
    "aws_security_token",
    "aws_session_token",
    "credential_source",
    "duration_seconds",
    "endpoint_url",
    "login_session",
    "mfa_serial",
    "region",
    "role_arn",
    "role_session_name",
    "sso_account_id",
    "sso_region",
    "sso_role_name",
    "sso_start_url",
    "use_dualstack_endpoint",
    "use_fips_endpoint",
];

/// The two files, merged; properties of the credentials file win.
pub struct Config {
    files: [File; 2],
    sections: Vec<Header>,
}

/// Which of the two files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhichFile {
    Config = 0,
    Credentials = 1,
}

// The text holds secrets.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.sections.iter().map(|s| self.at(s, &s.raw));
        f.debug_set().entries(names).finish()
    }
}

impl Config {
    /// Reads and scans both files; a missing one is empty. Fails only where no section of a file
    /// can be relied on.
    pub fn load(paths: &Paths) -> Result<Self, ConfigFileError> {
        Self::scan([
            File::read(paths.config.as_deref(), paths.named[0])?,
            File::read(paths.credentials.as_deref(), paths.named[1])?,
        ])
    }

    /// The same from two texts, for tests without files.
    #[cfg(test)]
    pub(crate) fn of(config: &str, credentials: &str) -> Result<Self, ConfigFileError> {
        Self::of_bytes(config.into(), credentials.into())
    }

    #[cfg(test)]
    pub(super) fn of_bytes(config: Vec<u8>, credentials: Vec<u8>) -> Result<Self, ConfigFileError> {
        Self::scan([
            File::of("config".into(), config),
            File::of("credentials".into(), credentials),
        ])
    }

    fn scan(files: [File; 2]) -> Result<Self, ConfigFileError> {
        let mut sections = Vec::new();
        for which in [WhichFile::Config, WhichFile::Credentials] {
            files[which as usize].scan(which, &mut sections)?;
        }
        Ok(Self { files, sections })
    }

    /// The profile of this name, from both files.
    pub fn profile(&self, name: &str) -> Result<Option<Section<'_>>, ConfigFileError> {
        self.section(Topic::Profile, name)
    }

    /// The `[sso-session name]` section.
    pub fn sso_session(&self, name: &str) -> Result<Option<Section<'_>>, ConfigFileError> {
        self.section(Topic::SsoSession, name)
    }

    /// The `[services name]` section.
    pub fn services(&self, name: &str) -> Result<Option<Section<'_>>, ConfigFileError> {
        self.section(Topic::Services, name)
    }

    /// The names of all profiles that the AWS CLI finds, sorted.
    pub fn profiles(&self) -> Vec<String> {
        let profiles = self.sections.iter().filter(|s| s.topic == Topic::Profile);
        let names = profiles.filter_map(|section| match section.spelling {
            Spelling::Plain => Some(self.at(section, &section.name).to_owned()),
            Spelling::Quoted => quoted_name(self.at(section, &section.raw)),
            Spelling::Loose | Spelling::Broken => None,
        });
        names.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Why one of the files cannot be read, if so.
    pub fn unreadable(&self) -> Option<&ConfigFileError> {
        self.files.iter().find_map(|file| file.unreadable.as_ref())
    }

    /// Everything that is wrong with the files, also in sections that are not used. Reads them
    /// whole, so this is for the debug log, and for when the files hold no credentials: what is
    /// wrong there may be the reason.
    pub fn faults(&self) -> Vec<ConfigFileError> {
        let mut errors = Vec::new();
        for file in &self.files {
            errors.extend(file.unreadable.clone());
            let mut faults = reader::faults(&file.text.0);
            faults.extend(file.invalid.iter().map(|&line| (line, LineFault::NotUtf8)));
            faults.sort_unstable();
            errors.extend(
                faults
                    .into_iter()
                    .map(|(line, fault)| file.error(line, fault)),
            );
        }
        errors
    }

    fn section(&self, topic: Topic, name: &str) -> Result<Option<Section<'_>>, ConfigFileError> {
        let named = |exact: bool| {
            let of_topic = self.sections.iter().filter(move |s| s.topic == topic);
            of_topic.filter(move |s| self.is_named(s, name, exact))
        };
        if let Some(section) = self.merge(named(true))? {
            return Ok(Some(section));
        }
        if let Some(section) = self.merge(named(false))? {
            return Ok(Some(section));
        }
        // `source_profile = base # comment`, `source_profile = "my dev"`.
        let bare = reader::before_comment(name);
        let bare = unquoted(bare).unwrap_or(bare);
        match bare == name {
            true => Ok(None),
            false => self.section(topic, bare),
        }
    }

    /// Whether this is the header of a name: as the AWS CLI finds it, or else in any spelling.
    fn is_named(&self, header: &Header, name: &str, exact: bool) -> bool {
        let short = self.at(header, &header.name);
        match (exact, header.spelling) {
            (true, Spelling::Plain | Spelling::Broken) => short == name,
            (true, Spelling::Quoted) => {
                quoted_name(self.at(header, &header.raw)).is_some_and(|n| n == name)
            }
            (true, Spelling::Loose) => false,
            // Where the AWS CLI goes on to another source, the file's keys must not be used.
            (false, _) if name == "default" => false,
            (false, _) if header.file == WhichFile::Credentials => {
                unquoted(strip(short)).unwrap_or(strip(short)) == name
            }
            (false, Spelling::Quoted | Spelling::Loose) => short == name,
            (false, Spelling::Plain | Spelling::Broken) => false,
        }
    }

    /// The section that these headers are of. In the config file the last one counts, whole; two
    /// of the same spelling are an error.
    fn merge<'a>(
        &'a self,
        headers: impl Iterator<Item = &'a Header>,
    ) -> Result<Option<Section<'a>>, ConfigFileError> {
        let mut chosen: [Option<&Header>; 2] = [None, None];
        let mut seen: Vec<&Header> = Vec::new();
        for header in headers {
            let file = &self.files[header.file as usize];
            if header.spelling == Spelling::Broken {
                return Err(file.error(header.line, LineFault::NoBracket));
            }
            let raw = self.at(header, &header.raw);
            let same = |h: &&Header| h.file == header.file && self.at(h, &h.raw) == raw;
            if seen.iter().any(same) {
                return Err(file.error(header.line, LineFault::DuplicateSection));
            }
            seen.push(header);
            chosen[header.file as usize] = Some(header);
        }
        let [config, credentials] = chosen;
        let Some(first) = config.or(credentials) else {
            return Ok(None);
        };
        let name = self.at(first, &first.name);
        let name = match first.spelling {
            Spelling::Quoted => quoted_name(self.at(first, &first.raw)),
            _ => None,
        }
        .unwrap_or_else(|| name.to_owned());
        Ok(Some(Section {
            name,
            place: (&self.files[first.file as usize].path, first.line),
            parts: [self.part(config)?, self.part(credentials)?],
        }))
    }

    /// The properties of a section, with those of its file's `[DEFAULT]` before them.
    fn part(&self, header: Option<&Header>) -> Result<Vec<Property<'_>>, ConfigFileError> {
        let Some(header) = header else {
            return Ok(Vec::new());
        };
        let file = &self.files[header.file as usize];
        let mut properties = Vec::new();
        let defaults = |s: &&Header| s.topic == Topic::Defaults && s.file == header.file;
        let defaults = self.sections.iter().filter(defaults);
        for header in defaults.chain([header]) {
            let mut body = Body::of(&file.text.0[header.body.clone()], header.line + 1);
            if let Some(&(line, fault)) = body.faults.first() {
                return Err(file.error(line, fault));
            }
            if !file.invalid.is_empty() {
                let lines = file.text.0[header.body.clone()].matches('\n').count();
                let lines = header.line..=header.line + lines;
                if let Some(&line) = file.invalid.iter().find(|line| lines.contains(line)) {
                    return Err(file.error(line, LineFault::NotUtf8));
                }
            }
            properties.append(&mut body.properties);
        }
        Ok(properties)
    }

    fn at(&self, section: &Header, range: &Range<usize>) -> &str {
        &self.files[section.file as usize].text.0[range.clone()]
    }
}

/// The key ID and the secret in the `[Credentials]` of a file of boto 2, which has the same format.
pub fn boto_keys(
    path: &Path,
    bytes: &[u8],
) -> Result<Option<(String, Option<String>)>, ConfigFileError> {
    let file = File::of(path.to_owned(), bytes.to_vec());
    let config = Config::scan([File::default(), file])?;
    let section = config.profile("Credentials")?;
    let found = section.and_then(|section| {
        let own = |key: &str| section.get(key).map(str::to_owned);
        Some((own("aws_access_key_id")?, own("aws_secret_access_key")))
    });
    Ok(found)
}

/// A profile or another section, merged from both files.
pub struct Section<'a> {
    name: String,
    place: (&'a Path, usize),
    /// By file: the last of a key counts.
    parts: [Vec<Property<'a>>; 2],
}

// The values may be secrets.
impl fmt::Debug for Section<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Section").field(&self.name).finish()
    }
}

impl Section<'_> {
    /// Its name, without the prefix.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file and the line of its header; of the one in the config file, if it is in both.
    #[allow(dead_code, reason = "for messages of other modules")]
    pub fn place(&self) -> (&Path, usize) {
        self.place
    }

    /// A property, even an empty one; `key` is in lower case.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.get_in(WhichFile::Credentials, key)
            .or_else(|| self.get_in(WhichFile::Config, key))
    }

    /// Whether it has no properties at all.
    pub fn is_empty(&self) -> bool {
        self.parts.iter().all(Vec::is_empty)
    }

    /// A property of the indented block below a key.
    pub fn nested(&self, block: &str, key: &str) -> Option<String> {
        let block = self.get(block)?.strip_prefix('\n')?;
        block.rsplit('\n').find_map(|line| {
            let (k, v) = line.split_once('=')?;
            let value = reader::before_comment(strip(v));
            (strip(k) == key).then(|| value.to_owned())
        })
    }

    /// The same from one of the files.
    pub fn get_in(&self, file: WhichFile, key: &str) -> Option<&str> {
        let mut properties = self.parts[file as usize].iter().rev();
        let value = &*properties.find(|p| p.key == key)?.value;
        match COMMENTED.contains(&key) {
            true => Some(reader::before_comment(value)),
            false => Some(value),
        }
    }
}
