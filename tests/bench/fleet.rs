//! A fleet whose nodes all need a token at the same moment, in virtual time: how many get one, with
//! how many calls, and how late, under the limits that AWS publishes.
//!
//!     cargo run --example fleet
//!
//! The pauses are those of the program itself: its module is compiled in.

#![allow(
    clippy::pedantic,
    reason = "virtual time is counted in floats and small integers"
)]
#![warn(clippy::too_many_lines)]

#[allow(dead_code, reason = "only parts of it are needed here")]
#[path = "../../src/ecr/retry.rs"]
mod retry;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use retry::{AttemptFault, RetryLimits, pause};

/// A name look-up, TCP, TLS, and the processor time of a cold start.
const CONNECT_MS: u64 = 60;
/// Sending one request and getting the response.
const CALL_MS: u64 = 25;
/// Starts are spread over this: no two nodes boot in the same millisecond.
const SPREAD_MS: u64 = 200;

/// A token bucket, per account and region.
#[derive(Clone, Copy)]
struct Limit {
    name: &'static str,
    per_second: f64,
    burst: f64,
}

/// Service Quotas L-55A41110, and ECR's page of common errors.
const LIMITS: [Limit; 2] = [
    Limit {
        name: "500/s",
        per_second: 500.0,
        burst: 500.0,
    },
    Limit {
        name: "20/s, burst 200",
        per_second: 20.0,
        burst: 200.0,
    },
];

#[derive(Debug)]
struct Outcome {
    success: f64,
    calls_per_token: f64,
    p95: Duration,
}

/// splitmix64: the same run every time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// `admit(now_ms, random)`: whether a call is served.
fn simulate(
    nodes: u32,
    deadline: Duration,
    attempts: Option<u32>,
    mut admit: impl FnMut(u64, f64) -> bool,
) -> Outcome {
    let mut random = Random(42);
    let end = u64::try_from(deadline.as_millis()).expect("short");
    // When a call reaches the server; the node, when it started, its attempts.
    let mut calls = BinaryHeap::new();
    for node in 0..nodes {
        let start = (random.next() * SPREAD_MS as f64) as u64;
        calls.push(Reverse((start + CONNECT_MS, node, start, 1)));
    }
    let (mut made, mut times) = (0_u64, Vec::new());
    while let Some(Reverse((at, node, start, attempt))) = calls.pop() {
        made += 1;
        let now = at + CALL_MS;
        if admit(at, random.next()) {
            if now - start <= end {
                times.push(now - start);
            }
            continue;
        }
        let left = Duration::from_millis((start + end).saturating_sub(now));
        let limits = RetryLimits { attempts };
        if let Some(pause) = pause(
            limits,
            attempt,
            AttemptFault::Throttled,
            left,
            random.next(),
            None,
        ) {
            let pause = u64::try_from(pause.as_millis()).expect("short");
            calls.push(Reverse((now + pause, node, start, attempt + 1)));
        }
    }
    times.sort_unstable();
    let p95 = times
        .get(times.len() * 95 / 100)
        .copied()
        .unwrap_or_default();
    Outcome {
        success: times.len() as f64 / f64::from(nodes),
        calls_per_token: made as f64 / times.len().max(1) as f64,
        p95: Duration::from_millis(p95),
    }
}

fn fleet(nodes: u32, seconds: u64, limit: Limit, attempts: Option<u32>) -> Outcome {
    let (mut tokens, mut last) = (limit.burst, 0);
    simulate(nodes, Duration::from_secs(seconds), attempts, |now, _| {
        let gained = (now - last) as f64 / 1000.0 * limit.per_second;
        tokens = (tokens + gained).min(limit.burst);
        last = now;
        let served = tokens >= 1.0;
        tokens -= if served { 1.0 } else { 0.0 };
        served
    })
}

fn row(what: &str, outcome: &Outcome) {
    println!(
        "{what:<48} {:>6.1} % {:>7.1} calls per token  p95 {:>5.1} s",
        outcome.success * 100.0,
        outcome.calls_per_token,
        outcome.p95.as_secs_f64()
    );
}

fn main() {
    for limit in LIMITS {
        for nodes in [100, 200, 500, 1000, 2000, 5000, 10_000] {
            for seconds in [20, 60] {
                let outcome = fleet(nodes, seconds, limit, None);
                row(
                    &format!("{nodes} nodes, {}, {seconds} s", limit.name),
                    &outcome,
                );
            }
        }
    }
    let small = Limit {
        name: "10/s, burst 10",
        per_second: 10.0,
        burst: 10.0,
    };
    let before = fleet(200, 20, small, Some(3));
    row("200 nodes, 10/s, burst 10, 20 s, 3 attempts", &before);
    let outcome = fleet(200, 20, small, None);
    row("200 nodes, 10/s, burst 10, 20 s", &outcome);
    assert!(outcome.success >= 0.99, "{outcome:?}");
    for (share, success, p95) in [(0.5, 0.999, 5), (0.9, 0.45, 20)] {
        let twenty = Duration::from_secs(20);
        let outcome = simulate(10_000, twenty, None, |_, random| random >= share);
        row(
            &format!("{:.0} % throttled at random, 20 s", share * 100.0),
            &outcome,
        );
        assert!(outcome.success >= success, "{outcome:?}");
        assert!(outcome.p95 < Duration::from_secs(p95), "{outcome:?}");
    }
}
