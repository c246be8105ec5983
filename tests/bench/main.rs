//! Time and memory of the program, measured from outside: whole processes, as a client starts them, in
//! rounds that take turns (A B C A B C …), each run paired with a `/bin/true` just before it, so
//! that a busy machine slows down both.
//!
//! `cargo bench` measures everything, prints a table and writes `target/bench.json`. After `--`:
//! `--markdown PATH` writes the table there as well; `--quick` makes few rounds; `--binary NAME=PATH`
//! measures that one (any number of times); `--check-budget` compares instruction and system-call counts, which do not depend on the machine's load, with those in
//! `budget.json`, and `--write-budget` records them there.
#![allow(
    clippy::pedantic,
    reason = "test code counts in floats and small integers"
)]
#![warn(clippy::too_many_lines)]

#[path = "../support/mod.rs"]
mod support;

mod budget;
mod homes;
mod limits;
mod measure;
mod programs;
mod report;
mod scenarios;
mod surroundings;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// The repository, as it is at run time.
const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The arguments.
#[derive(Debug, Clone, Default)]
pub struct Options {
    pub(crate) quick: bool,
    /// Only rows whose title contains this.
    pub only: Option<String>,
    /// The programs of ours to measure, by name.
    pub ours: Vec<(String, PathBuf)>,
    /// Where the table is written for people.
    pub markdown: Option<PathBuf>,
    /// Where scratch files and results go.
    pub target: PathBuf,
    /// Already in a network namespace of our own.
    inside: bool,
    check_budget: bool,
    write_budget: bool,
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<bool> {
    let Some(mut options) = parse()? else {
        println!("this is a benchmark: cargo bench");
        return Ok(true);
    };
    if options.ours.is_empty() {
        options.ours = built(&options.target)?;
    }
    if options.check_budget || options.write_budget {
        return budget::run(&options, options.write_budget);
    }
    if !options.inside
        && let Some(good) = surroundings::again_inside(&options)?
    {
        return Ok(good);
    }
    let measured = scenarios::run(&options, options.inside)?;
    report::write(&options, &measured)?;
    Ok(true)
}

/// None without `--bench`: `cargo test --all-targets` runs this too.
fn parse() -> Result<Option<Options>> {
    let executable = std::env::current_exe()?;
    let target = executable.ancestors().nth(3).ok_or("no target directory")?;
    let mut options = Options {
        target: target.to_owned(),
        ..Options::default()
    };
    let mut asked = false;
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} needs a value"));
        match arg.as_str() {
            "--bench" => asked = true,
            "--quick" => options.quick = true,
            "--inside" => options.inside = true,
            "--check-budget" => options.check_budget = true,
            "--write-budget" => options.write_budget = true,
            "--markdown" => options.markdown = Some(std::path::absolute(value()?)?),
            "--only" => options.only = Some(value()?),
            "--binary" => {
                let value = value()?;
                let (name, path) = value.split_once('=').unwrap_or(("given", &value));
                let path = std::fs::canonicalize(path)?;
                options.ours.push((name.to_owned(), path));
            }
            other => return Err(format!("unknown option {other}").into()),
        }
    }
    Ok(asked.then_some(options))
}

/// The program of `cargo build --release` and, if `packaging/build-static` has run, the shipped one.
fn built(target: &Path) -> Result<Vec<(String, PathBuf)>> {
    const NAME: &str = env!("CARGO_PKG_NAME");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    // Variables that cargo sets for this program would make build scripts run again.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        let ours = [
            "CARGO_PKG_",
            "CARGO_MANIFEST_",
            "CARGO_BIN_",
            "CARGO_CRATE_",
            "CARGO_PRIMARY_",
        ];
        if ours.iter().any(|prefix| name.starts_with(prefix)) {
            build.env_remove(&*name);
        }
    }
    let status = build
        .args(["build", "--release", "--locked", "--bin", NAME])
        .arg("--target-dir")
        .arg(target)
        .current_dir(ROOT)
        .status()?;
    if !status.success() {
        return Err("cargo build --release failed".into());
    }
    let mut built = vec![("release".to_owned(), target.join("release").join(NAME))];
    let shipped = target.join(format!(
        "{}-unknown-linux-musl/release/{NAME}",
        std::env::consts::ARCH
    ));
    if shipped.exists() {
        built.push(("static".to_owned(), shipped));
    }
    Ok(built)
}
