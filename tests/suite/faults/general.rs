//! Faults that every service can have: statuses, connections, time and bodies.

use std::collections::BTreeMap;

use super::party::Party::{Ecr, Public, Sso, Sts, WebIdentity};
use super::party::{Party, RETRIED};
use super::rows::{Fault, Row, always, fails, times, token};
use crate::support::fake::{Accept, Answer};

/// Statuses, connections, time and bodies.
#[expect(clippy::too_many_lines, reason = "rows of one table")]
pub(super) fn general() -> Vec<Row> {
    let mut rows = Vec::new();
    for (status, words) in [
        (500, &["HTTP status 500"][..]),
        (502, &["HTTP status 502"]),
        (503, &["HTTP status 503"]),
    ] {
        let answer = || Answer::status(status);
        rows.push(token(&format!("{status} once"), times(1, answer()), 2..=2));
        rows.push(token(&format!("{status} twice"), times(2, answer()), 3..=3).at(RETRIED));
        rows.push(fails(
            &format!("{status} always"),
            always(answer()),
            3..=3,
            words,
        ));
    }
    let throttled = || Answer::error(400, "ThrottlingException", "Rate exceeded");
    let many = || Answer::status(429);
    const SIGNED: &[Party] = &[Ecr, Public, Sts, WebIdentity, Sso];
    const SAYS: &[&str] = &["is throttling requests"];
    rows.extend([
        token("throttled once", times(1, throttled()), 2..=2).at(SIGNED),
        fails("throttled five times", times(5, throttled()), 3..=3, SAYS).at(SIGNED),
        fails("throttled always", always(throttled()), 3..=3, SAYS).at(SIGNED),
        token("429 once", times(1, many()), 2..=2).at(RETRIED),
        fails("429 five times", times(5, many()), 3..=3, SAYS),
        fails("429 always", always(many()), 3..=3, SAYS),
    ]);
    const BROKEN: &[&str] = &["connection to ", "connection refused by "];
    const LATE: &[&str] = &["timed out"];
    const ODD: &[&str] = &[
        "unexpected response from ",
        "the response holds no credentials",
        "refused with HTTP status",
    ];
    rows.extend([
        fails("refused", Fault::Gone, 0..=0, BROKEN),
        fails(
            "reset at once",
            Fault::Connections(Accept::Reset),
            1..=4,
            BROKEN,
        ),
        fails(
            "closed at once",
            Fault::Connections(Accept::Close),
            1..=4,
            BROKEN,
        ),
        fails(
            "garbage",
            Fault::Connections(Accept::Garbage),
            1..=4,
            &["connection to ", "the TLS handshake with "],
        ),
        fails(
            "hang at connect",
            Fault::Connections(Accept::Hang),
            1..=4,
            LATE,
        ),
        token(
            "reset before the reply, once",
            times(1, Answer::ResetBefore),
            2..=2,
        )
        .at(RETRIED),
        fails(
            "reset before the reply",
            always(Answer::ResetBefore),
            3..=3,
            BROKEN,
        ),
        token(
            "reset in the reply, once",
            times(1, Answer::ResetMidway),
            2..=2,
        )
        .at(RETRIED),
        fails(
            "reset in the reply",
            always(Answer::ResetMidway),
            3..=3,
            BROKEN,
        ),
        token(
            "closed without a reply, once",
            times(1, Answer::CloseWithoutReply),
            2..=2,
        )
        .at(RETRIED),
        fails(
            "closed without a reply",
            always(Answer::CloseWithoutReply),
            3..=3,
            BROKEN,
        ),
        token(
            "hang before the headers, once",
            times(1, Answer::HangBeforeHeaders),
            2..=2,
        )
        .at(SIGNED),
        fails(
            "hang before the headers",
            always(Answer::HangBeforeHeaders),
            1..=3,
            LATE,
        ),
        fails("hang in the body", always(Answer::HangInBody), 1..=3, LATE),
        fails("a byte a second", always(Answer::Trickle), 1..=3, LATE),
        fails("truncated", always(Answer::Truncated), 1..=3, ODD),
        fails("HTML with 200", always(Answer::Html200), 1..=3, ODD),
        fails("empty with 200", always(Answer::json("")), 1..=3, ODD),
        fails("JSON null", always(Answer::json("null")), 1..=3, ODD),
        fails("JSON number", always(Answer::json("NaN")), 1..=3, ODD),
        fails("empty object", always(Answer::json("{}")), 1..=3, ODD),
        fails("empty array", always(Answer::json("[]")), 1..=3, ODD),
        fails(
            "not UTF-8, nearly",
            always(Answer::json("{\"\u{0}\u{fffd}")),
            1..=3,
            ODD,
        ),
        fails("204", always(Answer::status(204)), 1..=3, ODD),
        fails("404", always(Answer::status(404)), 1..=3, ODD),
        fails(
            "418 with HTML",
            always(Answer::Status {
                code: 418,
                body: "<html>teapot</html>".into(),
                content_type: Some("text/html".into()),
                headers: BTreeMap::new(),
            }),
            1..=3,
            &["HTTP status 418"],
        ),
        fails(
            "nested JSON alone",
            always(Answer::json("[".repeat(200_000))),
            1..=3,
            ODD,
        ),
        fails(
            "512 MiB",
            always(Answer::HugeBody { mib: 512 }),
            1..=3,
            &["exceeds"],
        ),
        fails("redirect 301", Fault::Redirect(301), 1..=1, ODD),
        fails("redirect 302", Fault::Redirect(302), 1..=1, ODD),
        fails("redirect 307", Fault::Redirect(307), 1..=1, ODD),
        fails("redirect 308", Fault::Redirect(308), 1..=1, ODD),
    ]);
    const MINUTE: i64 = 60;
    const HOUR: i64 = 3600;
    const CLOCKED: &[Party] = &[Ecr, Public, Sts];
    // The refusal tells AWS's time, and the second attempt is signed with that.
    for (name, offset) in [
        ("10 minutes", 10 * MINUTE),
        ("5 hours", 5 * HOUR),
        ("3 days", 72 * HOUR),
    ] {
        let row = |side: &str, offset| {
            let name = format!("local clock {name} {side}");
            token(&name, Fault::Clock(offset), 2..=2).at(CLOCKED)
        };
        rows.push(row("behind", offset));
        let ahead = row("ahead", -offset);
        // By such a clock a new token has expired already.
        rows.push(if offset > 12 * HOUR {
            ahead.once()
        } else {
            ahead
        });
    }
    rows.push(
        token(
            "local clock 4 minutes behind",
            Fault::Clock(4 * MINUTE),
            1..=1,
        )
        .at(CLOCKED),
    );
    rows.push(
        token(
            "local clock 4 minutes ahead",
            Fault::Clock(-4 * MINUTE),
            1..=1,
        )
        .at(CLOCKED),
    );
    rows
}
