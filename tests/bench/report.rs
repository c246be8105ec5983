//! The results, as a table for people and as JSON for programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use serde_json::{Value, json};

use crate::limits::Limits;
use crate::{Options, Result};

/// The text before the table in the file that `--markdown` writes.
const INTRODUCTION: &str = "\
# Benchmarks

Written by `cargo bench -- --markdown docs/benchmarks.md`. Whole processes, in rounds that take turns,
each run paired with the `/bin/true` (dynamic, coreutils) just before it; the ratios are medians.
\"static\" is what `packaging/build-static` makes and what the packages ship, \"release\" what
`cargo build --release` makes, \"Go 0.6.0\" Debian's `amazon-ecr-credential-helper` in the same rounds. AWS is a
fake on loopback, in a network namespace of its own.
";

/// Everything that was measured.
pub struct Measured {
    /// Size of each program in bytes.
    pub sizes: Vec<(String, u64)>,
    pub rows: Vec<Row>,
    /// Whether there was a network of our own, and so the Go helper and ECS.
    pub inside: bool,
}

/// One scenario with one program.
pub struct Row {
    pub title: String,
    pub program: String,
    pub median_ms: f64,
    pub min_ms: f64,
    /// Median of the ratios to the `/bin/true` that ran just before.
    pub ratio: f64,
    /// Median of the ratios to the Go helper in the same round.
    pub against_go: Option<f64>,
    pub system_calls: Option<u64>,
    pub threads: Option<u64>,
    pub by_name: BTreeMap<String, u64>,
    pub peak_kib: Option<u64>,
    /// Requests that reached the fake AWS.
    pub calls: usize,
    pub limits: Limits,
}

impl Row {
    /// Figures over their limits.
    fn misses(&self) -> Vec<String> {
        let limits = &self.limits;
        let mut misses = Vec::new();
        let mut judge = |what: &str, value: Option<f64>, limit: Option<f64>| {
            if let (Some(value), Some(limit)) = (value, limit)
                && value > limit
            {
                misses.push(format!("{what} {value:.2}, at most {limit}"));
            }
        };
        let whole = |n: Option<u64>| n.map(|n| n as f64);
        judge("times /bin/true:", Some(self.ratio), limits.ratio);
        judge("times the Go helper:", self.against_go, limits.go);
        judge("milliseconds:", Some(self.median_ms), limits.milliseconds);
        judge(
            "system calls:",
            whole(self.system_calls),
            whole(limits.system_calls),
        );
        judge("threads:", whole(self.threads), whole(limits.threads));
        judge("KiB:", whole(self.peak_kib), whole(limits.peak_kib));
        judge(
            "calls to AWS:",
            Some(self.calls as f64),
            limits.calls.map(|n| n as f64),
        );
        misses
    }

    fn json(&self) -> Value {
        json!({
            "scenario": self.title,
            "program": self.program,
            "median_ms": self.median_ms,
            "min_ms": self.min_ms,
            "times_true": self.ratio,
            "times_go": self.against_go,
            "system_calls": self.system_calls,
            "system_calls_by_name": self.by_name,
            "threads": self.threads,
            "peak_kib": self.peak_kib,
            "aws_calls": self.calls,
            "misses": self.misses(),
        })
    }
}

/// Prints the table and writes the JSON.
pub fn write(options: &Options, measured: &Measured) -> Result<()> {
    let mut out = String::from(
        "| scenario | program | ms | min | x true | x Go | system calls | threads | peak KiB | calls to AWS |\n\
         |---|---|--:|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    let whole = |n: Option<u64>| n.map_or_else(String::new, |n| n.to_string());
    for row in &measured.rows {
        let go = row.against_go.map(|x| format!("{x:.2}"));
        writeln!(
            out,
            "| {} | {} | {:.2} | {:.2} | {:.2} | {} | {} | {} | {} | {} |",
            row.title,
            row.program,
            row.median_ms,
            row.min_ms,
            row.ratio,
            go.unwrap_or_default(),
            whole(row.system_calls),
            whole(row.threads),
            whole(row.peak_kib),
            row.calls,
        )?;
    }
    out.push_str("\nSize:");
    for (name, bytes) in &measured.sizes {
        write!(out, " {name} {:.2} MB;", *bytes as f64 / 1e6)?;
    }
    out.pop();
    out.push_str(".\n");
    if !measured.inside {
        out.push_str(
            "Without the Go helper and ECS: they take a network namespace of their own \
             (root, or user namespaces; iproute2 and util-linux).\n",
        );
    }
    // The limits are those of the program that is shipped.
    for row in measured.rows.iter().filter(|row| row.program == "static") {
        for miss in row.misses() {
            writeln!(
                out,
                "Over its limit: {} ({}): {miss}.",
                row.title, row.program
            )?;
        }
    }
    println!("{out}");
    if let Some(path) = &options.markdown {
        let rounds = match options.quick {
            true => "With `--quick`: 20 rounds, 10 where nothing is cached.\n",
            false => "",
        };
        fs::write(path, format!("{INTRODUCTION}{rounds}\n{out}"))?;
    }
    let rows: Vec<_> = measured.rows.iter().map(Row::json).collect();
    let sizes: BTreeMap<_, _> = measured.sizes.iter().cloned().collect();
    let path = options.target.join("bench.json");
    let whole = json!({ "bytes": sizes, "rows": rows, "own_network": measured.inside });
    fs::write(&path, serde_json::to_string_pretty(&whole)?)?;
    println!("Also in {}.", path.display());
    Ok(())
}
