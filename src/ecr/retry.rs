//! When a failed request is sent again: a pure function, which tests/bench/fleet simulates.
//!
//! AWS throttles GetAuthorizationToken per account and region. After three attempts within a
//! second, as in every SDK, most of a fleet that starts at once has no token. So throttled requests
//! are retried until the deadline: soon at first, since most throttling is short, then after pauses
//! of seconds, half of each random, so that the attempts of a fleet spread out.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

/// Error codes of throttling, which come with HTTP 400.
pub const THROTTLING_CODES: &[&str] = &[
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "RequestThrottledException",
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "BandwidthLimitExceeded",
    "SlowDown",
    "PriorRequestNotComplete",
];

/// Before the first retry; doubles from then on.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

const LONGEST_PAUSE: Duration = Duration::from_secs(4);

/// A response takes this long at most times: an attempt that begins later is wasted.
const LAST_ATTEMPT: Duration = Duration::from_millis(500);

/// Attempts where the server or the network fails: an outage is reported within seconds.
const FAULT_ATTEMPTS: u32 = 5;

/// Pauses where the server or the network fails.
const LONGEST_FAULT_PAUSE: Duration = Duration::from_secs(2);

/// Why an attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptFault {
    /// HTTP 429, or an error code of throttling.
    Throttled,
    /// HTTP 5xx, or no response.
    Transient,
}

/// The bounds of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryLimits {
    /// `AWS_MAX_ATTEMPTS` or `max_attempts`, if set.
    pub attempts: Option<u32>,
}

/// How long to wait before the next attempt; none if there is no next one.
///
/// `attempt` is the number of those made, `left` the time until the deadline, `random` evenly
/// distributed in 0..1, `retry_after` what the server asks for.
pub fn pause(
    limits: RetryLimits,
    attempt: u32,
    fault: AttemptFault,
    left: Duration,
    random: f64,
    retry_after: Option<Duration>,
) -> Option<Duration> {
    let (most, longest) = match fault {
        AttemptFault::Throttled => (u32::MAX, LONGEST_PAUSE),
        AttemptFault::Transient => (FAULT_ATTEMPTS, LONGEST_FAULT_PAUSE),
    };
    if attempt >= limits.attempts.unwrap_or(most).max(1) {
        return None;
    }
    let usable = left.checked_sub(LAST_ATTEMPT)?;
    let doublings = attempt.saturating_sub(1).min(16);
    let whole = FIRST_PAUSE.saturating_mul(1 << doublings).min(longest);
    let pause = whole.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0);
    // A server that asks for more time than there is gets what there is.
    let asked = retry_after
        .filter(|asked| *asked <= usable)
        .unwrap_or_default();
    let pause = pause.max(asked);
    if pause <= usable {
        return Some(pause);
    }
    // The last attempt is not given away because its pause would end too late.
    (usable >= whole / 4).then(|| usable.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0))
}

/// 64 bits that cannot be predicted: std seeds its hashers from the operating system.
pub fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Evenly distributed in 0..1.
pub fn random_fraction() -> f64 {
    f64::from(u32::try_from(random() >> 32).unwrap_or_default()) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_LIMIT: RetryLimits = RetryLimits { attempts: None };
    const LONG: Duration = Duration::from_mins(1);

    fn throttled(attempt: u32, left: f64, random: f64) -> Option<f64> {
        let left = Duration::from_secs_f64(left);
        pause(
            NO_LIMIT,
            attempt,
            AttemptFault::Throttled,
            left,
            random,
            None,
        )
        .map(|p| p.as_secs_f64())
    }

    #[test]
    fn pauses_grow_and_half_of_each_is_random() {
        let longest: Vec<_> = (1..=8).map(|n| throttled(n, 60.0, 1.0)).collect();
        let expected = [0.2, 0.4, 0.8, 1.6, 3.2, 4.0, 4.0, 4.0].map(Some);
        assert_eq!(longest, expected);
        for attempt in [1, 5, 100] {
            let shortest = throttled(attempt, 60.0, 0.0).expect("pause") * 2.0;
            assert_eq!(Some(shortest), throttled(attempt, 60.0, 1.0));
        }
    }

    #[test]
    fn throttling_is_retried_until_the_deadline() {
        // The pause does not fit, but another attempt does.
        assert_eq!(throttled(9, 3.5, 1.0), Some(3.0));
        assert_eq!(throttled(9, 3.5, 0.0), Some(2.0));
        assert_eq!(throttled(9, 1.0, 0.5), None);
        assert_eq!(throttled(1, 0.4, 0.5), None);
        assert_eq!(throttled(1, 0.0, 0.5), None);
    }

    #[test]
    fn attempts_are_bounded_by_the_setting_and_the_fault() {
        let attempts = |limit, fault| {
            let limits = RetryLimits { attempts: limit };
            let next = |attempt| pause(limits, attempt, fault, LONG, 0.5, None);
            (1..100).find(|attempt| next(*attempt).is_none())
        };
        assert_eq!(attempts(None, AttemptFault::Throttled), None);
        assert_eq!(
            attempts(None, AttemptFault::Transient),
            Some(FAULT_ATTEMPTS)
        );
        for fault in [AttemptFault::Throttled, AttemptFault::Transient] {
            for (limit, expected) in [(0, 1), (1, 1), (7, 7)] {
                assert_eq!(attempts(Some(limit), fault), Some(expected));
            }
        }
    }

    #[test]
    fn retry_after_counts_inside_the_deadline() {
        let after = |seconds| {
            let asked = Some(Duration::from_secs(seconds));
            pause(
                NO_LIMIT,
                1,
                AttemptFault::Throttled,
                Duration::from_secs(10),
                1.0,
                asked,
            )
        };
        assert_eq!(after(0), Some(FIRST_PAUSE));
        assert_eq!(after(7), Some(Duration::from_secs(7)));
        assert_eq!(after(10), Some(FIRST_PAUSE));
        assert_eq!(after(u64::MAX), Some(FIRST_PAUSE));
    }

    #[test]
    fn random_fractions_differ() {
        let (a, b) = (random_fraction(), random_fraction());
        assert!((0.0..=1.0).contains(&a) && (0.0..=1.0).contains(&b));
        assert!((a - b).abs() > f64::EPSILON);
    }
}
