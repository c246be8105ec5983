//! Edits single settings in files that people and other programs write.
//!
//! Everything else in such a file stays as it is, byte by byte: unknown keys, order, indentation,
//! line endings, comments. Taking an edit back gives the bytes from before it. The text functions
//! are pure; `file` replaces a file.

pub(crate) mod file;
pub(crate) mod json;
pub(crate) mod sections;
pub(crate) mod toml;

/// The effect of an edit on one setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// It has that value already.
    None,
    /// It was not set.
    Added,
    /// It had this value.
    Replaced(String),
}

/// The line ending of a text: that of its first line.
fn newline_of(text: &str) -> &'static str {
    match text.find('\n') {
        Some(at) if text[..at].ends_with('\r') => "\r\n",
        _ => "\n",
    }
}

/// Line and column, both from 1, of a byte offset.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..offset];
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    (line, before[start..].chars().count() + 1)
}
