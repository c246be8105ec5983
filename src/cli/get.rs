//! `get`: user and password for a server URL.

use std::io;
use std::process::ExitCode;

use super::{Io, bazel, explain, refuse};
use crate::ecr::Issuer;
use crate::helper::Helper;
use crate::protocol::{self, NOT_FOUND};
use crate::registry::Registry;

pub(super) fn run<'a, I: Issuer>(
    io: &mut Io<'_>,
    helper: impl FnOnce() -> Helper<'a, I>,
    strict: bool,
) -> io::Result<ExitCode> {
    let stdin = match protocol::read(io.stdin) {
        Ok(stdin) => stdin,
        Err(error) => return refuse(io, format_args!("{error}")),
    };
    if bazel::asked(&stdin) {
        return bazel::run(io, &stdin, helper);
    }
    let server_url = match protocol::server_url(&stdin) {
        Ok(server_url) => server_url,
        Err(error) => return refuse(io, format_args!("{error}")),
    };
    let Some(registry) = Registry::from_server_url(&server_url) else {
        // docker asks a credsStore helper about every registry: no reason for words.
        return refuse(io, format_args!("{NOT_FOUND}"));
    };
    match helper().get(&registry) {
        Ok(token) => {
            protocol::write_login(io.stdout, &server_url, &token.login)?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            explain(io, &error, &error.hint());
            // Most clients take any other answer for a reason to stop, some of them for images
            // of other registries as well.
            match strict {
                true => refuse(io, format_args!("{error}")),
                false => refuse(io, format_args!("{NOT_FOUND}")),
            }
        }
    }
}
