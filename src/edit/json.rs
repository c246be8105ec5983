//! Sets and removes string members of a JSON object, at the root or one level below, in the text.
//!
//! Parsing to values and writing them again would lose the indentation and the order of keys; the
//! crates that edit JSON text in place keep those, but do not give back the former bytes when a
//! member is removed. So members are located by their offsets and the text is spliced. How an
//! empty object is filled depends on how it was written, so that its former text can be told from
//! the result: see `fill_root` and `fill_inner`, which `empty_root` and `empty_inner` invert.

mod scan;

use std::ops::Range;

use serde::de::IgnoredAny;
use thiserror::Error;

use super::{Change, newline_of, position};
use scan::{end_of_string, end_of_value, skip_space};

/// Why a text is not edited.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum JsonError {
    /// It begins with a byte order mark, over which docker and podman fail.
    #[error("begins with a byte order mark")]
    ByteOrderMark,
    /// It is not valid JSON.
    #[error("is not valid JSON (line {line}, column {column})")]
    Syntax { line: usize, column: usize },
    /// The root, or the value of this key, is not an object.
    #[error("{} (line {line}, column {column})", .key.as_ref().map_or_else(
        || "does not hold a JSON object".to_owned(),
        |key| format!("has a {key:?} that is not an object"),
    ))]
    NotAnObject {
        key: Option<String>,
        line: usize,
        column: usize,
    },
}

/// The text of a file that holds one JSON object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Document {
    /// None while there is no file.
    text: Option<String>,
}

impl Document {
    /// A file's content, or none for a file that is not there. A file of white space counts as an
    /// object without members, as it does for docker.
    pub(crate) fn parse(bytes: Option<&[u8]>) -> Result<Self, JsonError> {
        let Some(bytes) = bytes else {
            return Ok(Self { text: None });
        };
        if bytes.starts_with(b"\xef\xbb\xbf") {
            return Err(JsonError::ByteOrderMark);
        }
        if !bytes.iter().all(u8::is_ascii_whitespace) {
            serde_json::from_slice::<IgnoredAny>(bytes).map_err(|error| JsonError::Syntax {
                line: error.line(),
                column: error.column(),
            })?;
        }
        // serde_json looks into strings only for their escapes.
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let valid = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            let (line, column) = position(&valid, valid.len());
            JsonError::Syntax { line, column }
        })?;
        let document = Self {
            text: Some(text.to_owned()),
        };
        let start = skip_space(text.as_bytes(), 0);
        match text.as_bytes().get(start) {
            None | Some(b'{') => Ok(document),
            Some(_) => Err(not_an_object(text, None, start)),
        }
    }

    /// The bytes to write; none if the file should not be there.
    pub(crate) fn bytes(&self) -> Option<&[u8]> {
        self.text.as_deref().map(str::as_bytes)
    }

    /// The string at `key` of the root or of its object `object`.
    pub(crate) fn get(&self, object: Option<&str>, key: &str) -> Option<String> {
        let root = self.root()?;
        let (holder, exact) = match object {
            None => (root, false),
            Some(name) => (root.inner(name)?, true),
        };
        holder.string(holder.find(key, exact)?)
    }

    /// Sets a string, and makes the object if it is missing.
    pub(crate) fn set(
        &mut self,
        object: Option<&str>,
        key: &str,
        value: &str,
    ) -> Result<Change, JsonError> {
        let quoted = quote(value);
        let Some(root) = self.root() else {
            let tail = self.text.as_ref().map(|space| format!("\n{space}"));
            let style = RootStyle::fresh("\t");
            let member = style.member(object, key, &quoted);
            let tail = tail.unwrap_or_default();
            self.text = Some(format!("{{\n\t{member}\n}}{tail}"));
            return Ok(Change::Added);
        };
        let style = RootStyle::of(&root);
        let (range, new) = match object {
            None => match root.find(key, false) {
                Some(at) => return Ok(self.replace(&root.members[at].clone(), value)),
                None => root.with_member(&style, &style.member(None, key, &quoted)),
            },
            Some(name) => match root.find(name, false) {
                None => root.with_member(&style, &style.member(object, key, &quoted)),
                Some(at) => {
                    let outer = root.members[at].clone();
                    match &root.text[outer.value.clone()] {
                        "null" => (outer.value, style.object(key, &quoted)),
                        text if text.starts_with('{') => {
                            let inner = Object::at(root.text, outer.value.start);
                            match inner.find(key, true) {
                                Some(at) => {
                                    return Ok(self.replace(&inner.members[at].clone(), value));
                                }
                                None => inner.with_entry(&style, key, &quoted),
                            }
                        }
                        _ => {
                            let start = outer.value.start;
                            return Err(not_an_object(root.text, Some(name), start));
                        }
                    }
                }
            },
        };
        self.splice(range, &new);
        Ok(Change::Added)
    }

    /// Removes a member, with the object around it if `set` made that; returns its string.
    pub(crate) fn remove(&mut self, object: Option<&str>, key: &str) -> Option<String> {
        let mut removed = None;
        // A key may stand there twice.
        while let Some(value) = self.remove_once(object, key) {
            removed = Some(value);
        }
        removed
    }

    fn remove_once(&mut self, object: Option<&str>, key: &str) -> Option<String> {
        let root = self.root()?;
        let Some(name) = object else {
            let at = root.find(key, false)?;
            let value = root.string(at)?;
            self.remove_from_root(at);
            return Some(value);
        };
        let outer = root.find(name, false)?;
        let inner = root.inner(name)?;
        let at = inner.find(key, true)?;
        let value = inner.string(at)?;
        if inner.members.len() > 1 {
            let range = inner.cut(at);
            self.splice(range, "");
        } else if let Some(space) = inner.emptied() {
            let (range, space) = (inner.open + 1..inner.close, space.to_owned());
            self.splice(range, &space);
        } else {
            self.remove_from_root(outer);
        }
        Some(value)
    }

    fn remove_from_root(&mut self, at: usize) {
        let Some(root) = self.root() else { return };
        if root.members.len() > 1 {
            let range = root.cut(at);
            self.splice(range, "");
        } else {
            self.text = root.emptied_root();
        }
    }

    fn root(&self) -> Option<Object<'_>> {
        let text = self.text.as_deref()?;
        let start = skip_space(text.as_bytes(), 0);
        (start < text.len()).then(|| Object::at(text, start))
    }

    fn replace(&mut self, member: &Member, value: &str) -> Change {
        let text = self.text.as_deref().unwrap_or_default();
        let old = &text[member.value.clone()];
        let old = serde_json::from_str(old).unwrap_or_else(|_| old.to_owned());
        if old == value {
            return Change::None;
        }
        self.splice(member.value.clone(), &quote(value));
        Change::Replaced(old)
    }

    fn splice(&mut self, range: Range<usize>, new: &str) {
        if let Some(text) = &mut self.text {
            text.replace_range(range, new);
        }
    }
}

fn not_an_object(text: &str, key: Option<&str>, offset: usize) -> JsonError {
    let (line, column) = position(text, offset);
    JsonError::NotAnObject {
        key: key.map(str::to_owned),
        line,
        column,
    }
}

fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// How the root object is written.
struct RootStyle {
    newline: &'static str,
    /// The indentation of the root's members; none if they share a line with the brace.
    indent: Option<String>,
    /// From the end of a key to its value.
    colon: String,
}

impl RootStyle {
    fn fresh(indent: &str) -> Self {
        Self {
            newline: "\n",
            indent: Some(indent.to_owned()),
            colon: ": ".to_owned(),
        }
    }

    fn of(root: &Object<'_>) -> Self {
        let newline = newline_of(root.text);
        let first = root.members.first();
        let lead = first.map_or_else(
            || root.filling(newline),
            |member| root.lead(member).to_owned(),
        );
        let (_, indent) = lead.rsplit_once('\n').unzip();
        let colon = first.map_or(": ", |m| &root.text[m.key_end..m.value.start]);
        // A value on the line below its key is no style to follow.
        let colon = if colon.contains('\n') { ": " } else { colon };
        Self {
            newline,
            indent: indent.map(str::to_owned),
            colon: colon.to_owned(),
        }
    }

    /// A member of the root: a string, or an object with one string in it.
    fn member(&self, object: Option<&str>, key: &str, quoted: &str) -> String {
        match object {
            None => self.pair(key, quoted),
            Some(name) => self.pair(name, &self.object(key, quoted)),
        }
    }

    fn object(&self, key: &str, quoted: &str) -> String {
        let pair = self.pair(key, quoted);
        match &self.indent {
            None => format!("{{{pair}}}"),
            Some(indent) => {
                let newline = self.newline;
                format!("{{{newline}{indent}{indent}{pair}{newline}{indent}}}")
            }
        }
    }

    fn pair(&self, key: &str, value: &str) -> String {
        format!("{}{}{value}", quote(key), self.colon)
    }
}

#[derive(Debug, Clone)]
struct Member {
    /// Without quotes and escapes.
    key: String,
    /// After the `{` or `,` before it.
    lead: usize,
    start: usize,
    key_end: usize,
    value: Range<usize>,
}

/// An object in a text that is valid JSON.
struct Object<'a> {
    text: &'a str,
    /// Where `{` and `}` are.
    open: usize,
    close: usize,
    members: Vec<Member>,
}

impl<'a> Object<'a> {
    fn at(text: &'a str, open: usize) -> Self {
        let bytes = text.as_bytes();
        let mut members = Vec::new();
        let mut lead = open + 1;
        loop {
            let start = skip_space(bytes, lead);
            if bytes.get(start) != Some(&b'"') {
                let close = start.min(text.len());
                return Self {
                    text,
                    open,
                    close,
                    members,
                };
            }
            let key_end = end_of_string(bytes, start);
            let colon = skip_space(bytes, key_end);
            let value_start = skip_space(bytes, colon + 1);
            let value_end = end_of_value(bytes, value_start);
            let key = &text[start..key_end];
            members.push(Member {
                key: serde_json::from_str(key).unwrap_or_else(|_| key.to_owned()),
                lead,
                start,
                key_end,
                value: value_start..value_end,
            });
            lead = skip_space(bytes, value_end);
            if bytes.get(lead) == Some(&b',') {
                lead += 1;
            }
        }
    }

    /// The last member of this name, as in Go's decoder, which ignores case where the name is a
    /// struct's (`exact` is false).
    fn find(&self, key: &str, exact: bool) -> Option<usize> {
        self.members
            .iter()
            .rposition(|member| member.key == key || !exact && member.key.eq_ignore_ascii_case(key))
    }

    fn inner(&self, name: &str) -> Option<Object<'a>> {
        let outer = &self.members[self.find(name, false)?];
        let is_object = self.text[outer.value.clone()].starts_with('{');
        is_object.then(|| Object::at(self.text, outer.value.start))
    }

    fn string(&self, at: usize) -> Option<String> {
        serde_json::from_str(&self.text[self.members[at].value.clone()]).ok()
    }

    fn lead(&self, member: &Member) -> &'a str {
        &self.text[member.lead..member.start]
    }

    /// White space between the braces of an object without members.
    fn space(&self) -> &'a str {
        &self.text[self.open + 1..self.close]
    }

    /// Where and what to insert for one more member, behind the last.
    fn with_member(&self, style: &RootStyle, member: &str) -> (Range<usize>, String) {
        let Some(last) = self.members.last() else {
            return (self.open + 1..self.close, self.fill_root(style, member));
        };
        let lead = match self.lead(last) {
            "" if self.members.len() == 1 && style.colon.ends_with(' ') => " ",
            lead => lead,
        };
        (last.value.end..last.value.end, format!(",{lead}{member}"))
    }

    /// The same for an object one level below.
    fn with_entry(&self, style: &RootStyle, key: &str, quoted: &str) -> (Range<usize>, String) {
        let pair = style.pair(key, quoted);
        match self.members.is_empty() {
            true => (self.open + 1..self.close, self.fill_inner(&pair)),
            false => self.with_member(style, &pair),
        }
    }

    /// The text before the first member of a root that has none yet.
    fn filling(&self, newline: &str) -> String {
        match self.space() {
            "" => format!("{newline}  "),
            space if space == newline => format!("{newline}    "),
            space => space.to_owned(),
        }
    }

    fn fill_root(&self, style: &RootStyle, member: &str) -> String {
        let lead = self.filling(style.newline);
        let space = self.space();
        let tail = if space.is_empty() || space == style.newline {
            style.newline
        } else {
            ""
        };
        format!("{lead}{member}{tail}")
    }

    fn fill_inner(&self, pair: &str) -> String {
        match self.space() {
            "" => format!(" {pair} "),
            space => format!("{space}{pair}"),
        }
    }

    /// The text between the braces before `fill_inner`; none if `RootStyle::object` made the object.
    fn emptied(&self) -> Option<&'a str> {
        let (before, after) = self.around();
        match (before, after) {
            ("", "") => None,
            (before, "") => Some(before),
            (before, after) if before.contains('\n') && after.contains('\n') => None,
            _ => Some(""),
        }
    }

    /// The file's text before `fill_root`; none if there was no file.
    fn emptied_root(&self) -> Option<String> {
        let (head, tail) = (&self.text[..self.open], &self.text[self.close + 1..]);
        let newline = newline_of(self.text);
        let (before, after) = self.around();
        let indent = before.strip_prefix(newline).filter(|_| after == newline);
        let space = match (indent, after) {
            (Some("\t"), _) if head.is_empty() && tail.is_empty() => return None,
            (Some("\t"), _) if head.is_empty() && tail.starts_with('\n') => {
                return Some(tail[1..].to_owned());
            }
            (Some("    "), _) => newline,
            (None, "") => before,
            _ => "",
        };
        Some(format!("{head}{{{space}}}{tail}"))
    }

    /// White space before and behind the members.
    fn around(&self) -> (&'a str, &'a str) {
        let first = self.members.first().map_or(self.close, |m| m.start);
        let last = self.members.last().map_or(first, |m| m.value.end);
        (
            &self.text[self.open + 1..first],
            &self.text[last..self.close],
        )
    }

    /// The range that removes a member which is not the only one.
    fn cut(&self, at: usize) -> Range<usize> {
        let member = &self.members[at];
        match (self.members.get(at + 1), at.checked_sub(1)) {
            (Some(next), _) => member.start..next.start,
            (None, Some(before)) => self.members[before].value.end..member.value.end,
            (None, None) => member.start..member.value.end,
        }
    }
}

#[cfg(test)]
mod tests;
