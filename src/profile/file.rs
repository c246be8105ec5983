//! One of the files: reading it, and finding its sections.

use std::io::{self, ErrorKind};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::reader::{self, Line, strip};
use super::{ConfigFileError, DEFAULTS, LIMIT, LineFault, WhichFile};
use crate::fs::read_bounded;
use crate::secret;

/// One of the files, with its text, which may hold secrets.
#[derive(Default)]
pub(super) struct File {
    pub(super) path: PathBuf,
    pub(super) text: Text,
    /// The lines that are not UTF-8, comments apart.
    pub(super) invalid: Vec<usize>,
    pub(super) unreadable: Option<ConfigFileError>,
}

#[derive(Default)]
pub(super) struct Text(pub(super) String);

impl Drop for Text {
    fn drop(&mut self) {
        secret::wipe(&mut std::mem::take(&mut self.0).into_bytes());
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Topic {
    Profile,
    SsoSession,
    Services,
    Defaults,
}

/// How a header's name is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelling {
    Plain,
    /// With quotes or backslashes.
    Quoted,
    /// In a way that the AWS CLI does not find.
    Loose,
    /// Without the closing bracket.
    Broken,
}

/// Where a section is; offsets count in bytes of its file.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) file: WhichFile,
    pub(super) topic: Topic,
    pub(super) spelling: Spelling,
    /// Counted from 1.
    pub(super) line: usize,
    /// The text between the brackets.
    pub(super) raw: Range<usize>,
    pub(super) name: Range<usize>,
    pub(super) body: Range<usize>,
}

impl File {
    pub(super) fn of(path: PathBuf, bytes: Vec<u8>) -> Self {
        let (text, invalid) = reader::decode(bytes);
        Self {
            path,
            text: Text(text),
            invalid,
            unreadable: None,
        }
    }

    /// Reads a file. Like the AWS CLI, this takes one that cannot be read for a missing one, but
    /// keeps the reason. A file that the user did not name and whose existence cannot be
    /// determined (another user's home directory) is missing, too.
    pub(super) fn read(path: Option<&Path>, named: bool) -> Result<Self, ConfigFileError> {
        let Some(path) = path else {
            return Ok(Self::default());
        };
        let missing = |e: &io::Error| match e.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => true,
            ErrorKind::PermissionDenied => !named && std::fs::metadata(path).is_err(),
            _ => false,
        };
        match read_bounded(path, LIMIT) {
            Ok(bytes) => Ok(Self::of(path.to_owned(), bytes)),
            Err(e) if missing(&e) => Ok(Self::default()),
            Err(e) => {
                let error = ConfigFileError::Unreadable {
                    path: path.to_owned(),
                    reason: e.to_string(),
                };
                match e.kind() {
                    ErrorKind::FileTooLarge => Err(error),
                    _ => Ok(Self {
                        unreadable: Some(error),
                        ..Self::default()
                    }),
                }
            }
        }
    }

    pub(super) fn error(&self, line: usize, fault: LineFault) -> ConfigFileError {
        ConfigFileError::Malformed {
            path: self.path.clone(),
            line,
            fault,
        }
    }

    /// Finds the sections. Text before the first one makes the file useless: it may be a header
    /// behind an invisible character.
    pub(super) fn scan(
        &self,
        which: WhichFile,
        sections: &mut Vec<Header>,
    ) -> Result<(), ConfigFileError> {
        let text = &*self.text.0;
        let first = sections.len();
        // Whether the last section has begun, and whether it is one that is looked up.
        let (mut begun, mut open) = (false, false);
        for (index, (start, line)) in reader::lines(text).enumerate() {
            let (raw, broken) = match line {
                Line::Header(raw) => (raw, false),
                Line::BrokenHeader(raw) => (raw, true),
                Line::Blank | Line::Comment => continue,
                Line::Property(_) | Line::Continuation(_) if begun => continue,
                Line::Property(_) | Line::Continuation(_) => {
                    return Err(self.error(index + 1, LineFault::NoSection));
                }
            };
            begun = true;
            if open && let Some(last) = sections[first..].last_mut() {
                last.body.end = start;
            }
            let known = topic_of(raw, which);
            open = known.is_some();
            if let Some((topic, spelling, name)) = known {
                let range = |part: &str| {
                    let at = part.as_ptr() as usize - text.as_ptr() as usize;
                    at..at + part.len()
                };
                let end = text[start..]
                    .find('\n')
                    .map_or(text.len(), |n| start + n + 1);
                sections.push(Header {
                    file: which,
                    topic,
                    spelling: if broken { Spelling::Broken } else { spelling },
                    line: index + 1,
                    raw: range(raw),
                    name: range(name),
                    body: end..text.len(),
                });
            }
        }
        Ok(())
    }
}

/// The topic of a header; none for a section that holds nothing for this program.
fn topic_of(raw: &str, file: WhichFile) -> Option<(Topic, Spelling, &str)> {
    if raw == DEFAULTS {
        return Some((Topic::Defaults, Spelling::Plain, raw));
    }
    if file == WhichFile::Credentials || raw == "default" {
        return Some((Topic::Profile, Spelling::Plain, raw));
    }
    let bare = strip(raw);
    let (topic, prefix) = if bare.starts_with("profile") {
        (Topic::Profile, "profile")
    } else if bare.starts_with("sso-session") {
        (Topic::SsoSession, "sso-session")
    } else if bare.starts_with("services") {
        (Topic::Services, "services")
    } else {
        return None;
    };
    let padded = !raw.starts_with(prefix);
    if !padded && raw.contains(['\'', '"', '\\']) {
        let name = strip(&bare[prefix.len()..]);
        return Some((topic, Spelling::Quoted, name));
    }
    // The words as `shlex` splits them: the first may be longer than the prefix.
    let mut words = raw.split([' ', '\t']).filter(|word| !word.is_empty());
    if let (false, Some(_), Some(name), None) = (padded, words.next(), words.next(), words.next()) {
        return Some((topic, Spelling::Plain, name));
    }
    let name = &bare[prefix.len()..];
    let spaced = name.starts_with(reader::is_space);
    let name = strip(name);
    let name = unquoted(name).unwrap_or(name);
    (spaced && !name.is_empty()).then_some((topic, Spelling::Loose, name))
}

/// The name in a header that is written with quotes, as the AWS CLI reads it.
pub(super) fn quoted_name(raw: &str) -> Option<String> {
    let [_, name] = <[String; 2]>::try_from(reader::words(raw)?).ok()?;
    Some(name)
}

/// A name without the quotes around it; none if there are none.
pub(super) fn unquoted(name: &str) -> Option<&str> {
    let inside = |quote| name.strip_prefix(quote)?.strip_suffix(quote);
    inside('"').or_else(|| inside('\''))
}
