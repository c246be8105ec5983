//! Faults of an authorization token.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::party::Party::{Ecr, Public};
use super::party::TOKENS;
use super::rows::{Expect, Row, always, fails, good, token};
use crate::support::fake::Answer;
use crate::support::run::SECRET_KEY;

/// Faults of an authorization token.
#[expect(clippy::too_many_lines, reason = "rows of one table")]
pub(super) fn tokens() -> Vec<Row> {
    const ODD: &[&str] = &["unexpected response from ECR"];
    let encoded = |text: &[u8]| Value::from(STANDARD.encode(text));
    let raw = |value: Value| good(|g| g.authorization_token = Some(value));
    let at = |value: Value| good(|g| g.expires_at = Some(value));
    let password = |name: &str, text: &'static str| Row {
        expect: Expect::Password(text),
        ..token(name, raw(encoded(format!("AWS:{text}").as_bytes())), 1..=1)
    };
    let now = || chrono::Utc::now().timestamp();
    let mut rows = vec![
        fails(
            "no authorizationToken",
            good(|g| g.no_authorization_token = true),
            1..=1,
            ODD,
        ),
        fails("authorizationToken null", raw(Value::Null), 1..=1, ODD),
        fails("authorizationToken a number", raw(json!(5)), 1..=1, ODD),
        fails("authorizationToken an object", raw(json!({})), 1..=1, ODD),
        fails("authorizationToken empty", raw(json!("")), 1..=1, ODD),
        fails("not base64", raw(json!("%%%")), 1..=1, ODD),
        fails("no colon", raw(encoded(b"AWS")), 1..=1, ODD),
        fails("empty user", raw(encoded(b":pw")), 1..=1, ODD),
        fails("empty password", raw(encoded(b"AWS:")), 1..=1, ODD),
        fails("only a colon", raw(encoded(b":")), 1..=1, ODD),
        fails("not UTF-8 inside", raw(encoded(b"AWS:\xff")), 1..=1, ODD),
        password("several colons", "a:b::c"),
        password("NUL", "a\0b"),
        password("newline", "a\nb\r\n"),
        password("quotes", "a\"b\\c'"),
        password("non-ASCII", "p\u{e4}ss\u{1f511}"),
        password("blank", " "),
        token("no expiresAt", good(|g| g.no_expires_at = true), 1..=1).once(),
        token("expiresAt null", at(Value::Null), 1..=1).once(),
        token("expiresAt an integer", at(json!(now() + 43_200)), 1..=1),
        fails("expiresAt text", at(json!("tomorrow")), 1..=1, ODD),
        fails("expiresAt an object", at(json!({})), 1..=1, ODD),
        fails("expiresAt true", at(json!(true)), 1..=1, ODD),
        token(
            "expiresAt in the past",
            good(|g| g.expires_in = Some(-60)),
            1..=1,
        )
        .once(),
        token(
            "expiresAt days ago",
            good(|g| g.expires_in = Some(-300_000)),
            1..=1,
        )
        .once(),
        token("expiresAt 0", at(json!(0)), 1..=1).once(),
        token("expiresAt negative", at(json!(-1e9)), 1..=1).once(),
        token("expiresAt in 9999", at(json!(253_402_300_799_i64)), 1..=1),
        token(
            "expiresAt in days",
            good(|g| g.expires_in = Some(300_000)),
            1..=1,
        ),
        token("expiresAt beyond all numbers", at(json!(1e300)), 1..=1).once(),
        fails(
            "expiresAt NaN",
            always(Answer::json(
                r#"{"authorizationData":[{"authorizationToken":"$TOKEN","expiresAt":NaN}]}"#,
            )),
            1..=1,
            ODD,
        ),
        token(
            "much more nested next to it",
            always(Answer::DeepJson { depth: 50 }),
            1..=1,
        ),
    ];
    for row in &mut rows {
        row.at = TOKENS;
    }
    let proxy = |value: Value| good(|g| g.proxy_endpoint = Some(value));
    let text = || at(json!("2099-01-01T00:00:00Z"));
    rows.push(token("expiresAt an RFC 3339 text", text(), 1..=1).at(&[Public]));
    let private = [
        fails("expiresAt an RFC 3339 text", text(), 1..=1, ODD),
        token("no proxyEndpoint", good(|g| g.no_proxy_endpoint = true), 1..=1),
        token("proxyEndpoint null", proxy(Value::Null), 1..=1),
        token("proxyEndpoint of another account", proxy(json!("https://999999999999.dkr.ecr.us-east-1.amazonaws.com")), 1..=1).once(),
        token("proxyEndpoint of another region", proxy(json!("https://123456789012.dkr.ecr.eu-west-1.amazonaws.com")), 1..=1).once(),
        fails("proxyEndpoint a number", proxy(json!(5)), 1..=1, ODD),
        token("the wrong content type", always(Answer::Status {
            code: 200,
            body: r#"{"authorizationData":[{"authorizationToken":"$TOKEN","expiresAt":$EXPIRES}]}"#.into(),
            content_type: Some("text/html".into()),
            headers: BTreeMap::new(),
        }), 1..=1),
        fails("authorizationData null", always(Answer::json(r#"{"authorizationData":null}"#)), 1..=1, ODD),
        fails("authorizationData empty", always(Answer::json(r#"{"authorizationData":[]}"#)), 1..=1, ODD),
        fails("authorizationData of null", always(Answer::json(r#"{"authorizationData":[null]}"#)), 1..=1, ODD),
        fails("authorizationData a text", always(Answer::json(r#"{"authorizationData":"x"}"#)), 1..=1, ODD),
        fails("nested too deeply", always(Answer::DeepJson { depth: 100_000 }), 1..=1, &["unexpected response from ECR", "exceeds"]),
        fails("denied", always(Answer::error(400, "AccessDeniedException", "no")), 1..=1, &["access denied: "]).refused(),
        fails("an unknown key", always(Answer::error(400, "UnrecognizedClientException", "bad")), 1..=1, &["AWS does not know the access key"]).refused(),
        fails("an expired key", always(Answer::error(400, "ExpiredTokenException", "old")), 1..=1, &["has expired"]).refused(),
        fails("an unknown error that repeats a secret", always(Answer::error(400, "OddException", SECRET_KEY)), 1..=1, &["ECR refused with OddException (request fake-request): \u{2026}"]).refused(),
    ];
    rows.extend(private.into_iter().map(|row| row.at(&[Ecr])));
    rows
}
