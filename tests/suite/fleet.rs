//! Throttling: many nodes at once, and what one of them does about it.

use std::time::Duration;

use crate::support::fake::{Answer, Fake, RateLimit, Script};
use crate::support::run::{Helper, NOT_FOUND, slowness};

const HOST: &str = "123456789012.dkr.ecr.us-east-1.amazonaws.com";

#[test]
fn fleet_that_starts_at_once_gets_its_tokens() {
    let fake = Fake::start();
    fake.change(|behaviour| {
        behaviour.ecr_limit = Some(RateLimit {
            per_second: 10.0,
            burst: 10.0,
        });
    });
    let many = 200 / slowness() as usize;
    // Each with a cache of its own.
    let nodes: Vec<_> = (0..many).map(|_| Helper::with_keys(&fake)).collect();
    let running: Vec<_> = nodes
        .iter()
        .map(|node| node.run_of("get").stdin(HOST).spawn())
        .collect();
    let outputs: Vec<_> = running.into_iter().map(|running| running.wait()).collect();
    let failed: Vec<_> = outputs
        .iter()
        .filter(|output| output.code != Some(0))
        .collect();
    println!(
        "{} of {many} nodes have a token, {:.1} calls per token",
        many - failed.len(),
        fake.count("ecr") as f64 / (many - failed.len()).max(1) as f64
    );
    assert!(failed.len() <= many / 100, "{failed:?}");
    for output in failed {
        assert!(output.stderr.contains(" attempts in "), "{output:?}");
    }
}

#[test]
fn throttling_is_retried_beyond_three_attempts() {
    let fake = Fake::start();
    for answer in [
        Answer::status(429),
        Answer::error(400, "ThrottlingException", "Rate exceeded"),
    ] {
        fake.forget();
        fake.ecr(Script::times(4, answer));
        Helper::with_keys(&fake).get(HOST).expect_secret(HOST);
        assert_eq!(fake.count("ecr"), 5);
    }
}

#[test]
fn throttling_names_attempts_and_time() {
    let fake = Fake::start();
    fake.ecr(Script::always(Answer::status(429)));
    let output = Helper::with_keys(&fake)
        .env("AWS_MAX_ATTEMPTS", "2")
        .get(HOST);
    assert_eq!(output.stdout, NOT_FOUND);
    let cause = "ECR is throttling requests (2 attempts in 0.";
    assert!(output.stderr.contains(cause), "{output:?}");
    assert_eq!(fake.count("ecr"), 2);
    // Until the deadline, but not beyond.
    fake.forget();
    let output = Helper::with_keys(&fake)
        .env("AWS_ECR_TIMEOUT", "3")
        .get(HOST);
    assert!(
        output.stderr.contains("ECR is throttling requests ("),
        "{output:?}"
    );
    assert!(fake.count("ecr") >= 4, "{}", fake.count("ecr"));
    assert!(output.elapsed < Duration::from_secs(5), "{output:?}");
}

#[test]
fn retry_after_is_kept_inside_the_deadline() {
    let fake = Fake::start();
    let asks = |status, seconds: u32, code: &str| Answer::Status {
        code: status,
        body: format!(r#"{{"__type":"{code}"}}"#),
        content_type: None,
        headers: [("retry-after".to_owned(), seconds.to_string())].into(),
    };
    // Longer than there is time: not waited for.
    for (status, seconds, waited) in [
        (429, 2, true),
        (400, 2, true),
        (503, 2, true),
        (429, 60, false),
    ] {
        fake.forget();
        let code = if status == 400 {
            "ThrottlingException"
        } else {
            ""
        };
        fake.ecr(Script::times(1, asks(status, seconds, code)));
        let output = Helper::with_keys(&fake).get(HOST);
        output.expect_secret(HOST);
        assert_eq!(fake.count("ecr"), 2, "{status}");
        let took = output.elapsed >= Duration::from_secs(2);
        assert_eq!(took, waited, "{status}: {output:?}");
    }
}
