//! Facts about this process that only the commands for people need.

use std::io::IsTerminal;
use std::path::PathBuf;

use chrono::{DateTime, FixedOffset, Offset, Utc};
use time::{OffsetDateTime, UtcOffset};

use super::{Env, Vars};

impl Env {
    /// Whether stdout shows colours: it is a terminal, and nothing forbids them.
    pub fn shows_colours(&self) -> bool {
        let forbidden =
            self.var("NO_COLOR").is_some() || self.var("TERM").as_deref() == Some("dumb");
        matches!(&self.vars, Vars::Process) && !forbidden && std::io::stdout().is_terminal()
    }

    /// The file of the running program.
    pub fn program(&self) -> Option<PathBuf> {
        match &self.vars {
            Vars::Process => std::env::current_exe().ok(),
            Vars::Fixed(_) => None,
        }
    }

    /// Local time; UTC where the system's time zone cannot be read.
    pub fn local(&self, at: DateTime<Utc>) -> DateTime<FixedOffset> {
        let offset = match &self.vars {
            Vars::Process => OffsetDateTime::from_unix_timestamp(at.timestamp())
                .ok()
                .and_then(|at| UtcOffset::local_offset_at(at).ok()),
            Vars::Fixed(_) => None,
        };
        let seconds = offset.map_or(0, UtcOffset::whole_seconds);
        at.with_timezone(&FixedOffset::east_opt(seconds).unwrap_or(Utc.fix()))
    }
}
