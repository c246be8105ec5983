//! The debug log: why each decision was taken, for `AWS_ECR_LOG=debug`.
//!
//! A [`Log`] is handed down like the environment is, so no room writes anywhere by itself, and
//! only events of this program can appear: the SDK's own tracing, which prints requests and
//! replies, is not connected to anything.

use std::fmt;

/// Where debug lines go; copying it is free.
#[derive(Clone, Copy)]
pub struct Log<'a>(Option<&'a dyn Fn(fmt::Arguments<'_>)>);

impl<'a> Log<'a> {
    /// Nothing is logged.
    pub fn off() -> Self {
        Self(None)
    }

    /// Each line is handed to `write`.
    pub fn to(write: &'a dyn Fn(fmt::Arguments<'_>)) -> Self {
        Self(Some(write))
    }

    /// Whether lines go anywhere, to skip formatting expensive messages.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Logs one line; never pass a secret.
    pub fn debug(&self, line: fmt::Arguments<'_>) {
        if let Some(write) = self.0 {
            write(line);
        }
    }
}

impl fmt::Debug for Log<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "Log(on)"
        } else {
            "Log(off)"
        })
    }
}
