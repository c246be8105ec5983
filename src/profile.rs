//! The AWS config and credentials files, read as the AWS SDK reads them, but in one pass.
//!
//! They are on the path of every cached answer, and a heavy user's file holds hundreds of
//! profiles. So the text is scanned once for sections and for faults, nothing is copied, and only
//! the sections that somebody asks for are taken apart. The rules are those of `aws-runtime`
//! (`env_config`), and tests compare the two. Unlike there, a file that cannot be read is an error
//! and not an empty file, and `[profile a]` and `[profile  a]` merge in the order of the file.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::env::Env;
use crate::fs::read_bounded;
use crate::secret;

/// What the format counts as white space.
const BLANK: [char; 2] = [' ', '\t'];

/// Above this many bytes a file is not a config file.
const LIMIT: usize = 16 << 20;

/// The two files, merged; properties of the credentials file win.
pub struct Config {
    texts: [Text; 2],
    sections: Vec<Header>,
}

/// The text of a file, which may hold secrets.
#[derive(Default)]
struct Text(String);

impl Drop for Text {
    fn drop(&mut self) {
        secret::wipe(&mut std::mem::take(&mut self.0).into_bytes());
    }
}

/// Which of the two files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WhichFile {
    Config = 0,
    Credentials = 1,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Topic {
    Profile,
    SsoSession,
    Services,
}

/// Where a section is; offsets count in bytes of its file.
#[derive(Debug)]
struct Header {
    file: WhichFile,
    topic: Topic,
    /// What stands between the brackets.
    raw: Range<usize>,
    name: Range<usize>,
    body: Range<usize>,
}

// The text holds secrets.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.sections.iter().map(|s| self.at(s, &s.raw));
        f.debug_set().entries(names).finish()
    }
}

/// Where the two files are: `AWS_CONFIG_FILE` and `AWS_SHARED_CREDENTIALS_FILE`, else in `~/.aws`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// The config file; none without a home directory.
    pub config: Option<PathBuf>,
    /// The credentials file; none without a home directory.
    pub credentials: Option<PathBuf>,
    named: [bool; 2],
}

impl Paths {
    /// The paths as the SDK finds them.
    pub fn find(env: &Env) -> Self {
        let find = |variable: &str, name: &str| match env.raw(variable) {
            Some(path) => (Some(env.expand_home(Path::new(&path))), true),
            None => (env.home().map(|home| home.join(".aws").join(name)), false),
        };
        let (config, config_named) = find("AWS_CONFIG_FILE", "config");
        let (credentials, credentials_named) = find("AWS_SHARED_CREDENTIALS_FILE", "credentials");
        Self {
            config,
            credentials,
            named: [config_named, credentials_named],
        }
    }
}

/// Why the files cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// A file is there but cannot be read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's words, or ours.
        reason: String,
    },
    /// A file breaks the format.
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        fault: Fault,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, reason } => {
                write!(f, "cannot read {}: {reason}", path.display())
            }
            Self::Malformed { path, line, fault } => {
                write!(f, "{}, line {line}: {fault}", path.display())
            }
        }
    }
}

impl std::error::Error for Error {}

/// What can be wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Something stands before the first section.
    NoSection,
    /// A section's name without its closing bracket.
    NoBracket,
    /// A property without an equals sign.
    NoEquals,
    /// A property without a name.
    NoKey,
    /// An indented line with nothing to continue.
    Stray,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSection => "there is something before the first [section]",
            Self::NoBracket => "the section's name does not end with ']'",
            Self::NoEquals => "there is no '=' between key and value",
            Self::NoKey => "there is no key before the '='",
            Self::Stray => "an indented line has no property above it to continue",
        })
    }
}

impl Config {
    /// Reads and parses both files; a missing one is empty.
    pub fn load(paths: &Paths) -> Result<Self, Error> {
        let config = read(paths.config.as_deref(), paths.named[0])?;
        let credentials = read(paths.credentials.as_deref(), paths.named[1])?;
        Self::parse(config, credentials).map_err(|(kind, line, fault)| {
            let path = match kind {
                WhichFile::Config => &paths.config,
                WhichFile::Credentials => &paths.credentials,
            };
            Error::Malformed {
                path: path.clone().unwrap_or_default(),
                line,
                fault,
            }
        })
    }

    fn parse(config: Text, credentials: Text) -> Result<Self, (WhichFile, usize, Fault)> {
        let mut sections = Vec::new();
        scan(&config.0, WhichFile::Config, &mut sections)?;
        scan(&credentials.0, WhichFile::Credentials, &mut sections)?;
        Ok(Self {
            texts: [config, credentials],
            sections,
        })
    }

    /// The same from two texts, for tests without files.
    #[cfg(test)]
    pub(crate) fn of(config: &str, credentials: &str) -> Result<Self, Error> {
        let text = |text: &str| Text(text.to_owned());
        Self::parse(text(config), text(credentials)).map_err(|(kind, line, fault)| {
            let path = PathBuf::from(format!("{kind:?}").to_lowercase());
            Error::Malformed { path, line, fault }
        })
    }

    /// The profile of this name.
    pub fn profile(&self, name: &str) -> Option<Section<'_>> {
        self.section(Topic::Profile, name)
    }

    /// The `[sso-session name]` section.
    pub fn sso_session(&self, name: &str) -> Option<Section<'_>> {
        self.section(Topic::SsoSession, name)
    }

    /// `key` below `service` in `[services name]`.
    pub fn service(&self, name: &str, service: &str, key: &str) -> Option<String> {
        let mut found: Option<(&str, String)> = None;
        for header in self.named(Topic::Services, name) {
            let mut properties = Vec::new();
            self.collect(header, &mut properties);
            let Some((_, group)) = properties.iter().rev().find(|(k, _)| k == service) else {
                continue;
            };
            let raw = self.at(header, &header.raw);
            let value = group.split('\n').rev().find_map(|line| {
                let (k, v) = line.split_once('=')?;
                (k.trim_matches(BLANK) == key).then(|| v.trim_matches(BLANK).to_owned())
            });
            match value {
                Some(value) => found = Some((raw, value)),
                // A section of the same spelling replaces the whole group.
                None if found.as_ref().is_some_and(|(other, _)| *other == raw) => found = None,
                None => {}
            }
        }
        found.map(|(_, value)| value)
    }

    fn section(&self, topic: Topic, name: &str) -> Option<Section<'_>> {
        let mut section: Option<Section<'_>> = None;
        for header in self.named(topic, name) {
            let section = section.get_or_insert_with(|| Section {
                name: self.at(header, &header.name),
                properties: Vec::new(),
            });
            self.collect(header, &mut section.properties);
        }
        section
    }

    fn named<'a>(&'a self, topic: Topic, name: &'a str) -> impl Iterator<Item = &'a Header> {
        self.sections
            .iter()
            .filter(move |s| s.topic == topic && self.at(s, &s.name) == name)
    }

    fn at(&self, section: &Header, range: &Range<usize>) -> &str {
        &self.texts[section.file as usize].0[range.clone()]
    }

    fn collect<'a>(&'a self, header: &Header, into: &mut Properties<'a>) {
        for (_, line) in lines(self.at(header, &header.body)) {
            match Line::of(line) {
                Line::Continuation => {
                    if let Some((_, value)) = into.last_mut() {
                        let value = value.to_mut();
                        value.push('\n');
                        value.push_str(line.trim_matches(BLANK));
                    }
                }
                Line::Property => {
                    if let Ok(index) = equals(line) {
                        let key = line[..index].trim_end_matches(BLANK);
                        let key = if key.bytes().any(|b| b.is_ascii_uppercase()) {
                            Cow::Owned(key.to_ascii_lowercase())
                        } else {
                            Cow::Borrowed(key)
                        };
                        into.push((key, Cow::Borrowed(value_of(&line[index + 1..]))));
                    }
                }
                Line::Nothing | Line::Header => {}
            }
        }
    }
}

type Properties<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// A profile or another section, merged from all of its parts.
pub struct Section<'a> {
    name: &'a str,
    /// In the order of the files: the last of a key counts.
    properties: Properties<'a>,
}

impl Section<'_> {
    /// Its name, without the prefix.
    pub fn name(&self) -> &str {
        self.name
    }

    /// A property, even an empty one; `key` is in lower case.
    pub fn get(&self, key: &str) -> Option<&str> {
        let (_, value) = self.properties.iter().rev().find(|(k, _)| k == key)?;
        Some(value)
    }
}

/// The text of a file; empty if there is none. A file that the user did not name and of which
/// nobody can tell whether it exists (another user's home directory) is none, too.
fn read(path: Option<&Path>, named: bool) -> Result<Text, Error> {
    let Some(path) = path else {
        return Ok(Text::default());
    };
    let unreadable = |reason: String| Error::Unreadable {
        path: path.to_owned(),
        reason,
    };
    let missing =
        |e: &io::Error| matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory);
    match read_bounded(path, LIMIT) {
        Ok(bytes) => String::from_utf8(bytes).map(Text).map_err(|error| {
            secret::wipe(&mut error.into_bytes());
            unreadable("it is not UTF-8".into())
        }),
        Err(e) if missing(&e) => Ok(Text::default()),
        Err(e)
            if !named
                && e.kind() == ErrorKind::PermissionDenied
                && std::fs::metadata(path).is_err() =>
        {
            Ok(Text::default())
        }
        Err(e) => Err(unreadable(e.to_string())),
    }
}

/// Lines with their offsets, ended as [`str::lines`] ends them; there may be an empty one at the
/// end. (`split` is four times as fast here as `lines` or `split_inclusive`.)
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    text.split('\n').map(move |line| {
        let start = at;
        at += line.len() + 1;
        match line.strip_suffix('\r') {
            Some(bare) if at <= text.len() => (start, bare),
            _ => (start, line),
        }
    })
}

enum Line {
    Nothing,
    Header,
    Continuation,
    Property,
}

impl Line {
    fn of(line: &str) -> Self {
        match line.as_bytes().first() {
            None | Some(b'#' | b';') => Self::Nothing,
            Some(b'[') => Self::Header,
            Some(b' ' | b'\t') if line.bytes().all(|b| b == b' ' || b == b'\t') => Self::Nothing,
            Some(b' ' | b'\t') => Self::Continuation,
            Some(_) => Self::Property,
        }
    }
}

/// Whether a comment begins at `index`, which holds `#` or `;`: only after white space.
fn is_comment(line: &str, index: usize) -> bool {
    line[..index]
        .chars()
        .next_back()
        .is_some_and(char::is_whitespace)
}

/// Where the equals sign of a property is. The line begins with what is not blank.
fn equals(line: &str) -> Result<usize, Fault> {
    for (index, byte) in line.bytes().enumerate() {
        match byte {
            b'=' if index == 0 => return Err(Fault::NoKey),
            b'=' => return Ok(index),
            b'#' | b';' if is_comment(line, index) => break,
            _ => {}
        }
    }
    Err(Fault::NoEquals)
}

/// The value in what follows the equals sign.
fn value_of(rest: &str) -> &str {
    let comment = rest
        .bytes()
        .enumerate()
        .find(|&(index, byte)| matches!(byte, b'#' | b';') && is_comment(rest, index));
    let value = match comment {
        Some((index, _)) => &rest[..index],
        None => rest,
    };
    value.trim_matches(BLANK)
}

/// Finds the sections of a file and checks every line.
fn scan(
    text: &str,
    file: WhichFile,
    sections: &mut Vec<Header>,
) -> Result<(), (WhichFile, usize, Fault)> {
    enum State {
        Start,
        Section,
        Property { nested: bool },
    }
    let first = sections.len();
    let mut state = State::Start;
    let mut prefixed_default = false;
    let mut open = false;
    for (number, (start, line)) in lines(text).enumerate() {
        let fault = |fault| (file, number + 1, fault);
        match Line::of(line) {
            Line::Nothing => {}
            Line::Header => {
                if let (true, Some(last)) = (open, sections.last_mut()) {
                    last.body.end = start;
                }
                let raw = header_of(line).ok_or(fault(Fault::NoBracket))?;
                let range = |part: &str| {
                    let at = part.as_ptr() as usize - text.as_ptr() as usize;
                    at..at + part.len()
                };
                let known = topic_of(raw, file);
                open = known.is_some();
                if let Some((topic, name)) = known {
                    prefixed_default |=
                        topic == Topic::Profile && name == "default" && raw.trim() != name;
                    sections.push(Header {
                        file,
                        topic,
                        raw: range(raw),
                        name: range(name),
                        body: start + line.len()..text.len(),
                    });
                }
                state = State::Section;
            }
            Line::Continuation => match state {
                State::Start => return Err(fault(Fault::NoSection)),
                State::Section => return Err(fault(Fault::Stray)),
                State::Property { nested: true } => {
                    equals(line.trim_start_matches(BLANK)).map_err(fault)?;
                }
                State::Property { nested: false } => {}
            },
            Line::Property => {
                if matches!(state, State::Start) {
                    return Err(fault(Fault::NoSection));
                }
                let rest = &line[equals(line).map_err(fault)? + 1..];
                // Looking for a comment costs more than all the rest: most values begin with none.
                let nested = match rest.bytes().find(|byte| !matches!(byte, b' ' | b'\t')) {
                    None => true,
                    Some(b'#' | b';') => value_of(rest).is_empty(),
                    Some(_) => false,
                };
                state = State::Property { nested };
            }
        }
    }
    if prefixed_default {
        // Within one file `[profile default]` replaces `[default]`.
        let mut index = 0;
        sections.retain(|s| {
            index += 1;
            index <= first || s.topic != Topic::Profile || text[s.raw.clone()].trim() != "default"
        });
    }
    Ok(())
}

/// What stands between the brackets.
fn header_of(line: &str) -> Option<&str> {
    let line = line.trim_matches(BLANK);
    let end = line.find(['#', ';']).unwrap_or(line.len());
    line[..end]
        .trim_matches(BLANK)
        .strip_prefix('[')?
        .strip_suffix(']')
}

/// What a section is about; none for one that does not count in this file.
fn topic_of(raw: &str, file: WhichFile) -> Option<(Topic, &str)> {
    let raw = raw.trim_matches(BLANK);
    let (prefix, name) = match raw.split_once(BLANK) {
        Some((prefix, name)) => (Some(prefix.trim()), name.trim()),
        None => (None, raw.trim()),
    };
    let topic = match (file, prefix) {
        (WhichFile::Config, Some("profile")) | (WhichFile::Credentials, None) => Topic::Profile,
        (WhichFile::Config, None) if name == "default" => Topic::Profile,
        (WhichFile::Config, Some("sso-session")) => Topic::SsoSession,
        (WhichFile::Config, Some("services")) => Topic::Services,
        _ => return None,
    };
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-/.%@:+".contains(&b);
    name.bytes().all(plain).then_some((topic, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
    use aws_runtime::env_config::property::PropertiesKey;
    use aws_runtime::env_config::section::EnvConfigSections;
    use aws_types::os_shim_internal::{Env as SdkEnv, Fs};
    use proptest::prelude::*;

    /// What the SDK makes of the same texts; an error's line if it makes nothing of them.
    fn sdk(config: &str, credentials: &str) -> Result<EnvConfigSections, String> {
        let files = EnvConfigFiles::builder()
            .with_contents(EnvConfigFileKind::Config, config)
            .with_contents(EnvConfigFileKind::Credentials, credentials)
            .build();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("runtime");
        let (env, fs) = (SdkEnv::from_slice(&[]), Fs::real());
        let source = runtime
            .block_on(aws_runtime::env_config::source::load(&env, &fs, &files))
            .expect("contents need no file");
        EnvConfigSections::parse(source).map_err(|e| e.to_string())
    }

    const NAMES: [&str; 6] = ["default", "a", "b.c", "profile", "", "A"];
    const KEYS: [&str; 5] = ["k", "region", "s3", "ecr", "x-y"];

    fn compare(config: &str, credentials: &str) {
        let ours = Config::of(config, credentials);
        match (&ours, sdk(config, credentials)) {
            (Err(Error::Malformed { line, .. }), Err(theirs)) => {
                assert!(
                    theirs.contains(&format!("on line {line}:")),
                    "{line}: {theirs}"
                );
            }
            (Ok(ours), Ok(theirs)) => {
                for name in NAMES {
                    let pairs = [
                        (
                            ours.profile(name),
                            theirs.get_profile(name).map(|p| KEYS.map(|k| p.get(k))),
                        ),
                        (
                            ours.sso_session(name),
                            theirs.sso_session(name).map(|s| KEYS.map(|k| s.get(k))),
                        ),
                    ];
                    for (ours, theirs) in pairs {
                        let ours = ours.as_ref().map(|s| KEYS.map(|k| s.get(k)));
                        assert_eq!(ours, theirs, "{name:?} in {config:?} {credentials:?}");
                    }
                    for (service, key) in KEYS.into_iter().flat_map(|s| KEYS.map(|k| (s, k))) {
                        let path = PropertiesKey::builder()
                            .section_key("services")
                            .section_name(name)
                            .property_name(service)
                            .sub_property_name(key)
                            .build()
                            .expect("complete");
                        let theirs = theirs.other_sections().get(&path).cloned();
                        assert_eq!(
                            ours.service(name, service, key),
                            theirs,
                            "{name} {service} {key} in {config:?}"
                        );
                    }
                }
            }
            (ours, theirs) => panic!("{ours:?} but {theirs:?} for {config:?} {credentials:?}"),
        }
    }

    /// Lines of every kind. One name has one spelling in a file: of several, the SDK takes the
    /// last one in the order of a hash map.
    fn file() -> impl Strategy<Value = String> {
        let header = prop_oneof![
            4 => prop::sample::select(vec!["[default]", "[profile default]", "[profile a]", "[ profile\t b.c ]", "[a]", "[b.c] # c", "[sso-session a]", "[services a]", "[services b.c];c", "[profile profile]", "[profile A]", "[]", "[x y]", "[profile a b]", "[profile ü]"]),
            1 => prop::sample::select(vec!["[profile a", "[a]]", "[profile a] x", "[", "[#]"]),
        ];
        let property = prop::sample::select(vec![
            "k = v",
            "K=v # c",
            "region=\tx#y",
            "k = a ;b",
            "s3 =",
            "ecr = # c",
            "ecr=k = 1",
            "k==",
            "x-y = ü\u{a0}# c",
            "REGION = r",
            "k\u{a0}#c=d",
            "s3 =\u{b}# c",
            "a b = c",
            "k = v\r",
        ]);
        let other = prop::sample::select(vec![
            "",
            "  ",
            "# c",
            "; c",
            " k = 1",
            "\tregion = 2 # d",
            "  K = 3",
            " # c",
            "  cont",
            "\r",
        ]);
        let bad = prop::sample::select(vec!["k", "= v", " = v", "k # = v", "\u{feff}[a]"]);
        let first =
            prop::sample::select(vec!["[default]", "[profile a]", "[a]", "[services a]", ""]);
        let line = prop_oneof![6 => header, 30 => property, 12 => other, 1 => bad];
        let end = prop::sample::select(vec!["\n", "\r\n"]);
        (first, prop::collection::vec((line, end), 0..14)).prop_map(|(first, lines)| {
            let lines = lines.into_iter().map(|(l, e)| format!("{l}{e}"));
            format!("{first}\n{}", lines.collect::<String>())
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn files_are_read_as_the_sdk_reads_them(config in file(), credentials in file()) {
            compare(&config, &credentials);
        }

        #[test]
        fn any_text_is_read_as_the_sdk_reads_it(text in "[\\[\\]=#; \t\r\nak\u{a0}ü]{0,40}") {
            // Only whether and where it fails: one name may have several spellings here.
            let ours = Config::of(&text, &text).map_err(|e| match e {
                Error::Malformed { line, .. } => line,
                Error::Unreadable { .. } => 0,
            });
            match (ours, sdk(&text, &text)) {
                (Ok(_), Ok(_)) => {}
                (Err(line), Err(theirs)) => {
                    prop_assert!(theirs.contains(&format!("on line {line}:")), "{line}: {theirs}");
                }
                (ours, theirs) => prop_assert!(false, "{ours:?} but {theirs:?}"),
            }
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(text) = String::from_utf8(bytes) {
                let _ = Config::of(&text, &text);
            }
        }
    }

    #[test]
    fn faults_name_their_line() {
        let cases = [
            ("k = v", 1, Fault::NoSection),
            ("\n [a]", 2, Fault::NoSection),
            ("[default", 1, Fault::NoBracket),
            ("[default]\n# c\nk", 3, Fault::NoEquals),
            ("[default]\n= v", 2, Fault::NoKey),
            ("[default]\n k = v", 2, Fault::Stray),
            ("[default]\ns3 =\n  k", 3, Fault::NoEquals),
        ];
        for (text, line, fault) in cases {
            let path = "config".into();
            let expected = Error::Malformed { path, line, fault };
            assert_eq!(Config::of(text, "").err(), Some(expected), "{text:?}");
        }
    }

    #[test]
    fn spellings_of_one_section_merge_in_file_order() {
        let config =
            Config::of("[profile a]\nk=1\nx=1\n[profile  a]\nk=2\n", "[a]\nx=3").expect("good");
        let a = config.profile("a").expect("there");
        assert_eq!((a.get("k"), a.get("x")), (Some("2"), Some("3")));
    }

    #[test]
    fn files_are_found_as_the_sdk_finds_them() {
        let find = |vars: &[(&str, &str)]| {
            let paths = Paths::find(&Env::of(vars.iter().copied()));
            (paths.config, paths.credentials)
        };
        let home = ("HOME", "/h");
        let standard = (
            Some("/h/.aws/config".into()),
            Some("/h/.aws/credentials".into()),
        );
        assert_eq!(find(&[home]), standard);
        assert_eq!(find(&[]), (None, None));
        let named = [
            home,
            ("AWS_CONFIG_FILE", "~/c"),
            ("AWS_SHARED_CREDENTIALS_FILE", ""),
        ];
        assert_eq!(find(&named), (Some("/h/c".into()), Some("".into())));
    }

    #[test]
    fn missing_file_is_empty_unreadable_is_an_error() {
        let dir = std::env::temp_dir().join(format!("ecr-profile-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("create");
        std::fs::write(dir.join("latin1"), b"[default]\nk = \xe9").expect("write");
        let load = |path: PathBuf| {
            let env = Env::of([("AWS_CONFIG_FILE", path)]);
            Config::load(&Paths::find(&env))
                .map(|_| ())
                .map_err(|e| e.to_string())
        };
        assert_eq!(load(dir.join("none")), Ok(()));
        assert_eq!(load(dir.join("latin1/none")), Ok(()));
        let error = load(dir.clone()).expect_err("a directory");
        assert!(error.contains(&dir.display().to_string()), "{error}");
        let error = load(dir.join("latin1")).expect_err("not UTF-8");
        assert!(error.ends_with("latin1: it is not UTF-8"), "{error}");
        let big = std::fs::File::create(dir.join("big")).expect("create");
        big.set_len(LIMIT as u64 + 1).expect("grow");
        let error = load(dir.join("big")).expect_err("too large");
        assert!(error.ends_with("it is too large"), "{error}");
        std::fs::remove_dir_all(dir).expect("remove");
    }

    #[test]
    fn debug_shows_no_value() {
        let config = Config::of("[default]\naws_secret_access_key = sentinel", "").expect("good");
        assert!(!format!("{config:?}").contains("sentinel"));
    }
}
