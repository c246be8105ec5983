//! Lines, sections and properties of an AWS config file, as Python's `configparser` reads them,
//! which is what the AWS CLI uses: the reference is `RawConfigParser._read` of CPython.
//!
//! An indented line continues a value only if it is indented deeper than its key; a comment is a
//! whole line; `=` and `:` separate; white space is what `str.isspace` says. Unlike there, a fault
//! belongs to the section that it is in, and the other sections stay usable.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::LineFault;
use crate::secret;

/// White space as Python's `str.isspace` defines it.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\x1c'..='\x1f')
}

/// Python's `str.strip`.
pub fn strip(text: &str) -> &str {
    // Nearly every text has nothing to strip, or plain spaces only.
    let is_bare = |text: &str| {
        let bytes = text.as_bytes();
        matches!(
            (bytes.first(), bytes.last()),
            (Some(b'!'..=b'~'), Some(b'!'..=b'~'))
        )
    };
    if is_bare(text) {
        return text;
    }
    let text = text.trim_matches(' ');
    match is_bare(text) {
        true => text,
        false => text.trim_matches(is_space),
    }
}

/// Where the first `\n` is. Lines are short, and finding their ends was most of the time that a
/// file of hundreds of sections took: eight bytes at a time are several times as fast as the
/// standard library's search, which is made for long texts.
fn line_end(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH_BITS: u64 = ONES << 7;
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        // A byte of zero is where the line ends; the lowest mark is never a false one.
        let word = u64::from_le_bytes(*word) ^ (ONES * u64::from(b'\n'));
        let marks = word.wrapping_sub(ONES) & !word & HIGH_BITS;
        if marks != 0 {
            return Some(index * 8 + marks.trailing_zeros() as usize / 8);
        }
    }
    let end = rest.iter().position(|&byte| byte == b'\n')?;
    Some(words.len() * 8 + end)
}

/// The text of a file, with every line ended by `\n`, and the lines that were not UTF-8.
pub fn decode(mut bytes: Vec<u8>) -> (String, Vec<usize>) {
    if bytes.contains(&b'\r') {
        let mut plain = Vec::with_capacity(bytes.len());
        for (index, &byte) in bytes.iter().enumerate() {
            match byte {
                b'\r' if bytes.get(index + 1) == Some(&b'\n') => {}
                b'\r' => plain.push(b'\n'),
                _ => plain.push(byte),
            }
        }
        secret::wipe(&mut bytes);
        bytes = plain;
    }
    let error = match String::from_utf8(bytes) {
        Ok(text) => return (text, Vec::new()),
        Err(error) => error,
    };
    let mut bytes = error.into_bytes();
    // Three bytes stand in for each one that is not UTF-8.
    let mut text = String::with_capacity(bytes.len() * 3);
    let mut invalid = Vec::new();
    for (index, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
        if index > 0 {
            text.push('\n');
        }
        let line = String::from_utf8_lossy(line);
        let comment = strip(&line).starts_with(['#', ';']);
        if matches!(line, Cow::Owned(_)) && !comment {
            invalid.push(index + 1);
        }
        text.push_str(&line);
    }
    secret::wipe(&mut bytes);
    (text, invalid)
}

/// A line, by its syntax.
pub enum Line<'a> {
    /// White space only: part of a value that goes on after it.
    Blank,
    Comment,
    /// The text between the brackets.
    Header(&'a str),
    /// A line like `[name` without its closing bracket: what follows the opening one.
    BrokenHeader(&'a str),
    /// A key with its value, or a line that is nothing at all.
    Property(&'a str),
    Continuation(&'a str),
}

/// Lines with the offsets of their beginnings.
pub struct Lines<'a> {
    /// The rest, unless the last line has been read.
    rest: Option<&'a str>,
    offset: usize,
    /// How far the last line that was not a continuation is indented, in characters.
    indent: usize,
    /// Whether there is a property that a line can continue.
    open: bool,
}

/// Splits a text, which begins at a header or at the beginning of a file.
pub fn lines(text: &str) -> Lines<'_> {
    Lines {
        rest: Some(text),
        offset: 0,
        indent: 0,
        open: false,
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = (usize, Line<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest?;
        let line = match line_end(rest.as_bytes()) {
            Some(end) => {
                self.rest = Some(&rest[end + 1..]);
                &rest[..end]
            }
            None => {
                self.rest = None;
                rest
            }
        };
        let offset = self.offset;
        self.offset += line.len() + 1;
        let kind = match line.as_bytes().first() {
            None => Line::Blank,
            Some(b'#' | b';') => Line::Comment,
            Some(b'[') => self.header(line, 0),
            Some(b'!'..=b'~') => self.property(line, 0),
            Some(_) => self.indented(line),
        };
        Some((offset, kind))
    }
}

impl<'a> Lines<'a> {
    fn property(&mut self, line: &'a str, indent: usize) -> Line<'a> {
        self.indent = indent;
        self.open = true;
        Line::Property(line)
    }

    /// A line that begins with a bracket.
    fn header(&mut self, line: &'a str, indent: usize) -> Line<'a> {
        let last_bracket = match line.strip_suffix(']') {
            Some(before) => Some(before.len()),
            None => line.rfind(']'),
        };
        let inside = match last_bracket {
            Some(end) if end > 1 => Line::Header(&line[1..end]),
            _ if line.contains(['=', ':']) => return self.property(line, indent),
            _ => Line::BrokenHeader(strip(&line[1..])),
        };
        self.indent = indent;
        self.open = false;
        inside
    }

    /// A line that does not begin with a visible ASCII character.
    #[inline(never)]
    fn indented(&mut self, line: &'a str) -> Line<'a> {
        let bare = line.trim_start_matches(is_space);
        let indent = line[..line.len() - bare.len()].chars().count();
        let bare = bare.trim_end_matches(is_space);
        match bare.as_bytes().first() {
            None => Line::Blank,
            Some(b'#' | b';') => Line::Comment,
            Some(_) if self.open && indent > self.indent => Line::Continuation(bare),
            Some(b'[') => self.header(bare, indent),
            Some(_) => self.property(bare, indent),
        }
    }
}

/// A key with its value.
pub(super) struct Property<'a> {
    pub(super) key: Cow<'a, str>,
    pub(super) value: Cow<'a, str>,
    /// Counted from 1.
    pub(super) line: usize,
}

/// The properties of one section, and what is wrong with them.
#[derive(Default)]
pub(super) struct Body<'a> {
    pub(super) properties: Vec<Property<'a>>,
    pub(super) faults: Vec<(usize, LineFault)>,
    /// Blank lines since the last line of the value.
    blank: usize,
}

impl<'a> Body<'a> {
    /// Reads the lines below a header, the first of which has this number.
    pub(super) fn of(text: &'a str, first: usize) -> Self {
        let mut body = Self::default();
        for (index, (_, line)) in lines(text).enumerate() {
            body.push(line, first + index);
        }
        body.finish();
        body
    }

    fn push(&mut self, line: Line<'a>, number: usize) {
        match line {
            Line::Blank => self.blank += 1,
            Line::Comment | Line::Header(_) => {}
            Line::BrokenHeader(_) => self.faults.push((number, LineFault::NoBracket)),
            Line::Property(line) => {
                self.blank = 0;
                self.property(line, number);
            }
            Line::Continuation(line) => {
                let blank = std::mem::take(&mut self.blank);
                let Some(property) = self.properties.last_mut() else {
                    return;
                };
                // A value that begins on a line of its own is a block of properties.
                let block = property.value.is_empty() || property.value.starts_with('\n');
                if block && !line.contains('=') {
                    self.faults.push((number, LineFault::NoEquals));
                }
                let value = property.value.to_mut();
                value.extend(std::iter::repeat_n('\n', blank + 1));
                value.push_str(line);
            }
        }
    }

    fn property(&mut self, line: &'a str, number: usize) {
        let delimiter = line.bytes().position(|b| matches!(b, b'=' | b':'));
        let Some(delimiter) = delimiter else {
            self.faults.push((number, LineFault::NoDelimiter));
            return;
        };
        let key = strip(&line[..delimiter]);
        if key.is_empty() {
            self.faults.push((number, LineFault::NoKey));
            return;
        }
        let key = if key.bytes().any(|b| b.is_ascii_uppercase()) {
            Cow::Owned(key.to_ascii_lowercase())
        } else {
            Cow::Borrowed(key)
        };
        self.properties.push(Property {
            key,
            value: Cow::Borrowed(strip(&line[delimiter + 1..])),
            line: number,
        });
    }

    fn finish(&mut self) {
        let mut keys: Vec<_> = self.properties.iter().map(|p| (&*p.key, p.line)).collect();
        keys.sort_unstable();
        let twice = keys.windows(2).filter(|pair| pair[0].0 == pair[1].0);
        self.faults
            .extend(twice.map(|pair| (pair[1].1, LineFault::DuplicateKey)));
        self.faults.sort_unstable_by_key(|&(line, _)| line);
    }
}

/// Every fault of a file, by line. Too slow for the path of a cached answer.
pub(super) fn faults(text: &str) -> Vec<(usize, LineFault)> {
    let mut faults = Vec::new();
    let mut headers = BTreeSet::new();
    let mut body: Option<Body<'_>> = None;
    let close = |body: Option<Body<'_>>, faults: &mut Vec<_>| {
        if let Some(mut body) = body {
            body.finish();
            faults.append(&mut body.faults);
        }
    };
    for (index, (_, line)) in lines(text).enumerate() {
        let number = index + 1;
        match line {
            Line::Header(raw) => {
                close(body.replace(Body::default()), &mut faults);
                if raw != super::DEFAULTS && !headers.insert(raw) {
                    faults.push((number, LineFault::DuplicateSection));
                }
                if strip(raw) != raw {
                    faults.push((number, LineFault::Padded));
                }
            }
            Line::BrokenHeader(_) => {
                close(body.replace(Body::default()), &mut faults);
                faults.push((number, LineFault::NoBracket));
            }
            line => match &mut body {
                Some(body) => body.push(line, number),
                None if matches!(line, Line::Blank | Line::Comment) => {}
                None => faults.push((number, LineFault::NoSection)),
            },
        }
    }
    close(body, &mut faults);
    faults
}

/// The words of a header, split as Python's `shlex.split` does; none if a quote is not closed.
pub(super) fn words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '"' => break,
                        '\\' => match chars.next()? {
                            c @ ('"' | '\\') => word.push(c),
                            c => word.extend(['\\', c]),
                        },
                        c => word.push(c),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(chars.next()?),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Some(words)
}

/// A value without a comment behind it: `#` or `;` after white space.
pub fn before_comment(value: &str) -> &str {
    let mut space = false;
    for (index, c) in value.char_indices() {
        if space && matches!(c, '#' | ';') {
            return value[..index].trim_end_matches(is_space);
        }
        space = is_space(c);
    }
    value
}

#[cfg(test)]
mod line_tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn lines_end_where_split_ends_them(text in "[\n\n\u{b}\u{8a}\u{10a}\u{a0a}a]{0,40}") {
            let ends: Vec<_> = lines(&text).map(|(start, _)| start).collect();
            let mut expected = vec![0];
            expected.extend(text.match_indices('\n').map(|(at, _)| at + 1));
            prop_assert_eq!(ends, expected);
            prop_assert_eq!(line_end(text.as_bytes()), text.find('\n'));
        }
    }
}
