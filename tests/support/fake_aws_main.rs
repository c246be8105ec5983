//! The fake AWS as a program, for tests and benchmarks that are not written in Rust.
//!
//! It prints one line of JSON that says where it listens, then serves until its standard input
//! ends (`--forever`: until it is killed). `/__control/calls`, `passwords`, `behaviour`,
//! `connections`, `forget` and `reset` on any of its ports steer it.
#![allow(
    clippy::pedantic,
    dead_code,
    unused_imports,
    reason = "the module serves the tests as well, which count in floats and small integers"
)]
#![warn(clippy::too_many_lines)]

mod fake;

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use fake::authority::{Authority, fixed_server_config};
use fake::{ANY_PORT, Fake, Options};

const USAGE: &str = "usage: fake-aws [--http ADDR]... [--https ADDR]... \
    [--cert PEM --key PEM [--p256-only] | --ca-out PEM] [--script JSON|@FILE] [--forever]

Without --cert, --https serves any name under an authority of its own; --ca-out says where its
certificate goes. --p256-only takes no other key share in TLS, as AWS's FIPS policies do. Port 0 is any free port. Without an address: --http 127.0.0.1:0.";

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fake-aws: {error}\n{USAGE}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let mut options = Options::default();
    let (mut cert, mut key, mut ca_out) = (None, None, None);
    let (mut forever, mut p256_only) = (false, false);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} needs a value"));
        match arg.as_str() {
            "--http" => options.http.push(value()?.parse()?),
            "--https" => options.https.push(value()?.parse()?),
            "--cert" => cert = Some(std::fs::read_to_string(value()?)?),
            "--key" => key = Some(std::fs::read_to_string(value()?)?),
            "--ca-out" => ca_out = Some(value()?),
            "--script" => {
                let mut script = value()?;
                if let Some(file) = script.strip_prefix('@') {
                    script = std::fs::read_to_string(file)?;
                }
                options.behaviour = serde_json::from_str(&script)?;
            }
            "--p256-only" => p256_only = true,
            "--forever" => forever = true,
            other => return Err(format!("unknown option {other}").into()),
        }
    }
    if options.http.is_empty() && options.https.is_empty() {
        options.http.push(ANY_PORT);
    }
    options.tls = match (cert, key) {
        (Some(cert), Some(key)) => Some(fixed_server_config(&cert, &key, p256_only)?),
        (None, None) if options.https.is_empty() => None,
        (None, None) => {
            let authority = Arc::new(Authority::new()?);
            if let Some(path) = ca_out {
                std::fs::write(path, authority.ca_pem())?;
            }
            Some(authority.server_config()?)
        }
        _ => return Err("--cert and --key go together".into()),
    };
    let fake = Fake::with(options)?;
    announce(&fake)?;
    if forever {
        loop {
            std::thread::park();
        }
    }
    let mut stdin = io::stdin().lock();
    let mut rest = [0; 256];
    while stdin.read(&mut rest)? > 0 {}
    drop(fake);
    Ok(())
}

/// One line of JSON on stdout: where the fake listens.
fn announce(fake: &Fake) -> Result<()> {
    let texts =
        |addrs: &[SocketAddr]| -> Vec<String> { addrs.iter().map(ToString::to_string).collect() };
    let ports = |addrs: &[SocketAddr]| -> Vec<u16> { addrs.iter().map(SocketAddr::port).collect() };
    let addresses = serde_json::json!({
        "pid": std::process::id(),
        "http": texts(fake.http_addrs()),
        "https": texts(fake.https_addrs()),
        "http_ports": ports(fake.http_addrs()),
        "https_ports": ports(fake.https_addrs()),
    });
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{addresses}")?;
    stdout.flush()?;
    Ok(())
}
