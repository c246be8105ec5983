//! Why the files cannot be used, and what can be wrong with a line of them.

use std::fmt;
use std::path::PathBuf;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Something stands before the first section.
    NoSection,
    /// A section's name without its closing bracket.
    NoBracket,
    /// White space inside the brackets: the AWS CLI finds no profile there.
    Padded,
    /// A second header of the same name.
    DuplicateSection,
    /// A property without a delimiter.
    NoDelimiter,
    /// A property without a name.
    NoKey,
    /// A second property of the same name.
    DuplicateKey,
    /// A line without an equals sign in an indented block of properties.
    NoEquals,
    /// Bytes that are not UTF-8.
    NotUtf8,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSection => "text before the first [section]",
            Self::NoBracket => "the section's name does not end with ']'",
            Self::Padded => "white space inside the brackets of a section's name",
            Self::DuplicateSection => "this section is in the file twice",
            Self::NoDelimiter => "no '=' between key and value",
            Self::NoKey => "no key before the '='",
            Self::DuplicateKey => "this key is in the section twice",
            Self::NoEquals => "no '=' in an indented line below a key without value",
            Self::NotUtf8 => "not UTF-8",
        })
    }
}
