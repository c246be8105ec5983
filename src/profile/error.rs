//! Why the files cannot be used, and what can be wrong with a line of them.

use std::path::PathBuf;

use thiserror::Error;

/// Why the files cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigFileError {
    /// A file is there but cannot be read.
    #[error("cannot read {}: {reason}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's words, or this program's.
        reason: String,
    },
    /// A file breaks the format.
    #[error("{}, line {line}: {fault}", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The fault.
        fault: LineFault,
    },
}

/// A fault of one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Error)]
pub enum LineFault {
    /// Something stands before the first section.
    #[error("text before the first [section]")]
    NoSection,
    /// A section's name without its closing bracket.
    #[error("the section's name does not end with ']'")]
    NoBracket,
    /// White space inside the brackets: the AWS CLI finds no profile there.
    #[error("white space inside the brackets of a section's name")]
    Padded,
    /// A second header of the same name.
    #[error("this section is in the file twice")]
    DuplicateSection,
    /// A property without a delimiter.
    #[error("no '=' between key and value")]
    NoDelimiter,
    /// A property without a name.
    #[error("no key before the '='")]
    NoKey,
    /// A second property of the same name.
    #[error("this key is in the section twice")]
    DuplicateKey,
    /// A line without an equals sign in an indented block of properties.
    #[error("no '=' in an indented line below a key without value")]
    NoEquals,
    /// Bytes that are not UTF-8.
    #[error("not UTF-8")]
    NotUtf8,
}
