//! What every fault of AWS leads to: for each, whether a token comes and at how many requests, or
//! what the user is told; the time it takes; that nothing secret is said; and that the cache is
//! none the worse. The table is data; each row is met by every service that it can happen to.
//!
//! `FAULTS=show cargo test --test suite faults -- --nocapture` prints what was seen, case by case.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::support::fake::authority::Authority;
use crate::support::fake::{
    ANY_PORT, Accept, Answer, Behaviour, Fake, Good, Options, PASSWORD_SENTINEL, Script,
};
use crate::support::run::{Helper, NOT_FOUND, Output, SECRET_KEY};

const HOST: &str = "123456789012.dkr.ecr.us-east-1.amazonaws.com";
const PUBLIC: &str = "public.ecr.aws";

/// What the machine itself adds when it is busy.
const SLACK: Duration = Duration::from_millis(2500);

/// Who is at fault, and how a user comes to ask them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Ecr,
    Public,
    Sts,
    WebIdentity,
    Sso,
    /// The service that renews an SSO login.
    Oidc,
    Container,
    Metadata,
}

use Who::{Container, Ecr, Metadata, Oidc, Public, Sso, Sts, WebIdentity};

const ALL: &[Who] = &[
    Ecr,
    Public,
    Sts,
    WebIdentity,
    Sso,
    Oidc,
    Container,
    Metadata,
];
const TOKENS: &[Who] = &[Ecr, Public];
/// Instance metadata is next door: it gets two seconds, and one try where nothing answers.
const PATIENT: &[Who] = &[Ecr, Public, Sts, WebIdentity, Sso, Oidc, Container];

const ROLE: &str = "[default]\nrole_arn = arn:aws:iam::123456789012:role/r\nsource_profile = base\n\
    [profile base]\naws_access_key_id = AKIAFAKEPROFILE00001\n\
    aws_secret_access_key = FAKE-SECRET-KEY-PROFILE\n";
const SSO: &str = "[default]\nsso_session = corp\nsso_account_id = 123456789012\n\
    sso_role_name = Developer\n[sso-session corp]\nsso_region = us-east-1\n\
    sso_start_url = https://example.awsapps.com/start\n";

impl Who {
    fn service(self) -> &'static str {
        match self {
            Ecr => "ecr",
            Public => "ecr_public",
            Sts | WebIdentity => "sts",
            Sso => "sso",
            Oidc => "oidc",
            Container => "container",
            Metadata => "imds",
        }
    }

    fn script(self, behaviour: &mut Behaviour) -> &mut Script {
        match self {
            Ecr => &mut behaviour.ecr,
            Public => &mut behaviour.ecr_public,
            Sts | WebIdentity => &mut behaviour.sts,
            Sso => &mut behaviour.sso,
            Oidc => &mut behaviour.oidc,
            Container => &mut behaviour.container,
            Metadata => &mut behaviour.imds,
        }
    }

    fn host(self) -> &'static str {
        if self == Public { PUBLIC } else { HOST }
    }

    fn user(self, url: &str) -> Helper {
        let helper = Helper::new()
            .env("AWS_ENDPOINT_URL", url)
            // Throttling would be retried until the deadline.
            .env("AWS_MAX_ATTEMPTS", "3")
            .env("AWS_REGION", "us-east-1");
        match self {
            Ecr | Public => helper.keys(),
            Sts => helper.file("~/.aws/config", ROLE),
            WebIdentity => {
                let payload = json!({
                    "iss": "https://issuer.example", "aud": "sts.amazonaws.com", "sub": "me",
                    "note": "FAKE-WEB-IDENTITY-TOKEN",
                });
                let payload = URL_SAFE_NO_PAD.encode(payload.to_string());
                let file = helper.path("~/token");
                helper
                    .file("~/token", format!("e30.{payload}.c2ln"))
                    .env("AWS_WEB_IDENTITY_TOKEN_FILE", file)
                    .env("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/r")
            }
            Sso => helper.file("~/.aws/config", SSO).sso_login("corp", 3600),
            Oidc => {
                let helper = helper.file("~/.aws/config", SSO);
                helper.sso_login_renewable("corp", -10)
            }
            Container => helper
                .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{url}/creds"))
                .env("AWS_CONTAINER_AUTHORIZATION_TOKEN", "FAKE-CONTAINER-TOKEN"),
            Metadata => helper
                .unset("AWS_EC2_METADATA_DISABLED")
                .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", url),
        }
    }

    /// What is said of any failure of this source.
    fn always_says(self) -> &'static [&'static str] {
        match self {
            Oidc => &["the SSO session for profile \"default\" has expired"],
            Metadata => &[
                "no AWS credentials found",
                "unexpected response from instance metadata",
                "instance metadata gives no session token",
            ],
            _ => &[],
        }
    }

    /// Whether a cached token can be found without asking this source, and the source is asked
    /// again when it ages: a renewed SSO login outlives that.
    fn can_be_done_without(self) -> bool {
        !matches!(self, Container | Metadata | Oidc)
    }
}

enum Fault {
    /// The service answers like this.
    Says(Script),
    /// Every connection ends like this.
    Connections(Accept),
    /// Nobody listens.
    Gone,
    /// Another server is named in a redirect with this status.
    Redirect(u16),
    /// The clock of AWS is so many seconds ahead.
    Clock(i64),
}

enum Expect {
    /// A token.
    Token,
    /// A token with this password.
    Password(&'static str),
    /// A failure in some of these words.
    Cause(&'static [&'static str]),
}

struct Row {
    name: String,
    at: &'static [Who],
    fault: Fault,
    expect: Expect,
    /// How many requests there may be, or connections where a request cannot be seen.
    requests: RangeInclusive<usize>,
    /// Whether a token that comes is kept.
    kept: bool,
    /// Whether AWS refuses the principal, so that a held token is no longer served.
    refused: bool,
}

impl Row {
    fn at(mut self, at: &'static [Who]) -> Self {
        self.at = at;
        self
    }

    fn refused(mut self) -> Self {
        self.refused = true;
        self
    }

    fn once(mut self) -> Self {
        self.kept = false;
        self
    }
}

fn token(name: &str, fault: Fault, requests: RangeInclusive<usize>) -> Row {
    Row {
        name: name.to_owned(),
        at: ALL,
        fault,
        expect: Expect::Token,
        requests,
        kept: true,
        refused: false,
    }
}

fn fails(
    name: &str,
    fault: Fault,
    requests: RangeInclusive<usize>,
    words: &'static [&'static str],
) -> Row {
    Row {
        expect: Expect::Cause(words),
        ..token(name, fault, requests)
    }
}

fn always(answer: Answer) -> Fault {
    Fault::Says(Script::always(answer))
}

fn times(n: usize, answer: Answer) -> Fault {
    Fault::Says(Script::times(n, answer))
}

fn good(change: impl FnOnce(&mut Good)) -> Fault {
    let mut good = Good::default();
    change(&mut good);
    always(Answer::Ok(good))
}

/// Statuses, connections, time and bodies: they happen to everybody.
fn general() -> Vec<Row> {
    let mut rows = Vec::new();
    for (status, words) in [
        (500, &["HTTP status 500"][..]),
        (502, &["HTTP status 502"]),
        (503, &["HTTP status 503"]),
    ] {
        let answer = || Answer::status(status);
        rows.push(token(&format!("{status} once"), times(1, answer()), 2..=2));
        rows.push(token(&format!("{status} twice"), times(2, answer()), 3..=3).at(PATIENT));
        rows.push(fails(
            &format!("{status} always"),
            always(answer()),
            3..=3,
            words,
        ));
    }
    let throttled = || Answer::error(400, "ThrottlingException", "Rate exceeded");
    let many = || Answer::status(429);
    const SIGNED: &[Who] = &[Ecr, Public, Sts, WebIdentity, Sso];
    const SAYS: &[&str] = &["is throttling requests"];
    rows.extend([
        token("throttled once", times(1, throttled()), 2..=2).at(SIGNED),
        fails("throttled five times", times(5, throttled()), 3..=3, SAYS).at(SIGNED),
        fails("throttled always", always(throttled()), 3..=3, SAYS).at(SIGNED),
        token("429 once", times(1, many()), 2..=2).at(PATIENT),
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
        .at(PATIENT),
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
        .at(PATIENT),
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
        .at(PATIENT),
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
    const CLOCKED: &[Who] = &[Ecr, Public, Sts];
    // The refusal tells AWS's time, and the second attempt is signed with that.
    for (name, offset) in [
        ("10 minutes", 10 * MINUTE),
        ("5 hours", 5 * HOUR),
        ("3 days", 72 * HOUR),
    ] {
        let row = |side: &str, offset| {
            let name = format!("our clock {name} {side}");
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
            "our clock 4 minutes behind",
            Fault::Clock(4 * MINUTE),
            1..=1,
        )
        .at(CLOCKED),
    );
    rows.push(
        token(
            "our clock 4 minutes ahead",
            Fault::Clock(-4 * MINUTE),
            1..=1,
        )
        .at(CLOCKED),
    );
    rows
}

/// What can be odd about an authorization token.
fn shapes() -> Vec<Row> {
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
            "much more nested beside it",
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

/// What can be odd about credentials.
fn credentials() -> Vec<Row> {
    let mut rows = Vec::new();
    const STS_ODD: &[&str] = &["unexpected response from STS"];
    const STS_BOTH: &[Who] = &[Sts, WebIdentity];
    let answer = |inside: &str| {
        // The reader takes one element for the other.
        let body = format!(
            "<AssumeRoleResponse><AssumeRoleResult>{inside}</AssumeRoleResult></AssumeRoleResponse>"
        );
        always(Answer::Status {
            code: 200,
            body,
            content_type: Some("text/xml".into()),
            headers: BTreeMap::new(),
        })
    };
    let whole = |id: &str, expiration: &str| {
        format!(
            "<Credentials><AccessKeyId>{id}</AccessKeyId>\
             <SecretAccessKey>FAKE-SECRET-KEY-STS</SecretAccessKey>\
             <SessionToken>FAKE-SESSION-TOKEN-STS</SessionToken>{expiration}</Credentials>"
        )
    };
    let xml = [
        ("no credentials", String::new()),
        ("empty credentials", "<Credentials/>".into()),
        (
            "an expiry that is none",
            whole("ASIA", "<Expiration>soon</Expiration>"),
        ),
        (
            "an empty key ID",
            whole("", "<Expiration>2999-01-01T00:00:00Z</Expiration>"),
        ),
        (
            "elements that do not match",
            "<Credentials><AccessKeyId>".into(),
        ),
        ("nested elements", "<Credentials>".repeat(2000)),
    ];
    for (name, inside) in xml {
        rows.push(fails(name, answer(&inside), 1..=3, STS_ODD).at(STS_BOTH));
    }
    let endless = || answer(&whole("ASIA", ""));
    rows.push(token("no expiry", endless(), 1..=1).at(&[Sts]));
    rows.push(fails("no expiry", endless(), 1..=1, STS_ODD).at(&[WebIdentity]));
    for (name, code, words) in [
        (
            "role refused",
            "AccessDenied",
            &["cannot be assumed by "][..],
        ),
        ("an expired web identity", "ExpiredToken", &["has expired"]),
    ] {
        let fault = always(Answer::error(403, code, "no"));
        rows.push(fails(name, fault, 1..=1, words).at(STS_BOTH));
    }

    const SSO_ODD: &[&str] = &["unexpected response from IAM Identity Center"];
    for (name, body) in [
        ("credentials null", r#"{"roleCredentials":null}"#),
        ("credentials empty", r#"{"roleCredentials":{}}"#),
        (
            "credentials a text",
            r#"{"roleCredentials":"FAKE-SECRET-KEY"}"#,
        ),
        (
            "a key ID that is a number",
            r#"{"roleCredentials":{"accessKeyId":5,"secretAccessKey":"FAKE-SECRET-KEY","expiration":1}}"#,
        ),
        (
            "no secret key",
            r#"{"roleCredentials":{"accessKeyId":"ASIA","expiration":1}}"#,
        ),
        (
            "an expiry that is text",
            r#"{"roleCredentials":{"accessKeyId":"ASIA","secretAccessKey":"FAKE-SECRET-KEY","expiration":"FAKE-SESSION"}}"#,
        ),
    ] {
        rows.push(fails(name, always(Answer::json(body)), 1..=3, SSO_ODD).at(&[Sso]));
    }
    let refused = |status, code| always(Answer::error(status, code, "no"));
    rows.push(
        fails(
            "login over",
            refused(401, "UnauthorizedException"),
            1..=1,
            &["has expired"],
        )
        .at(&[Sso]),
    );
    rows.push(
        fails(
            "role not given",
            refused(403, "ForbiddenException"),
            1..=1,
            &["is not assigned the role"],
        )
        .at(&[Sso]),
    );
    rows.push(
        fails(
            "renewal refused",
            refused(400, "InvalidGrantException"),
            1..=1,
            &["has expired"],
        )
        .at(&[Oidc]),
    );

    const BOX: &[&str] = &["container credentials: the response holds no credentials"];
    for (name, body) in [
        (
            "keys null",
            r#"{"AccessKeyId":null,"SecretAccessKey":null,"Token":null,"Expiration":null}"#,
        ),
        (
            "a key ID that is a number",
            r#"{"AccessKeyId":5,"SecretAccessKey":"FAKE-SECRET-KEY","Token":"FAKE-SESSION","Expiration":"2999-01-01T00:00:00Z"}"#,
        ),
        (
            "no secret key",
            r#"{"AccessKeyId":"ASIA","Token":"FAKE-SESSION","Expiration":"2999-01-01T00:00:00Z"}"#,
        ),
        (
            "an expiry that is none",
            r#"{"AccessKeyId":"ASIA","SecretAccessKey":"FAKE-SECRET-KEY","Token":"FAKE-SESSION","Expiration":"soon"}"#,
        ),
        (
            "an expiry that is a number",
            r#"{"AccessKeyId":"ASIA","SecretAccessKey":"FAKE-SECRET-KEY","Token":"FAKE-SESSION","Expiration":5}"#,
        ),
        (
            "a code of failure",
            r#"{"Code":"AssumeRoleUnauthorizedAccess","Message":"no"}"#,
        ),
    ] {
        rows.push(fails(name, always(Answer::json(body)), 1..=3, BOX).at(&[Container]));
    }
    rows
}

/// One case: a row, who it happens to, and how they are reached.
struct Case {
    row: Arc<Row>,
    who: Who,
    tls: bool,
    cached: bool,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for row in general().into_iter().chain(shapes()).chain(credentials()) {
        let row = Arc::new(row);
        // A connection is another thing over TLS; a reply is not.
        let of_connections = matches!(row.fault, Fault::Connections(_) | Fault::Gone)
            || ["reset", "closed", "hang", "truncated", "512"]
                .iter()
                .any(|part| row.name.starts_with(part));
        for &who in row.at {
            let mut add = |tls, cached| {
                let row = Arc::clone(&row);
                cases.push(Case {
                    row,
                    who,
                    tls,
                    cached,
                });
            };
            add(false, false);
            if who != Metadata && (who == Ecr || of_connections) {
                add(true, false);
            }
            let lasting = !matches!(&row.fault, Fault::Says(script) if script.steps.len() == 1);
            let general = row.at == ALL || who == Ecr;
            if who.can_be_done_without() && general && (who == Ecr || of_connections) && lasting {
                add(false, true);
            }
        }
    }
    cases
}

impl Case {
    fn name(&self) -> String {
        let over = if self.tls { "https" } else { "http" };
        let held = if self.cached { ", token held" } else { "" };
        format!("{:?} over {over}{held}: {}", self.who, self.row.name)
    }

    /// Runs it; the error says what was not as it should be.
    fn run(&self, number: usize) -> Result<String, String> {
        static AUTHORITY: OnceLock<Arc<Authority>> = OnceLock::new();
        let authority =
            AUTHORITY.get_or_init(|| Arc::new(Authority::new().expect("keys can be made")));
        let mut fake = Fake::with(Options {
            http: if self.tls { vec![] } else { vec![ANY_PORT] },
            https: if self.tls { vec![ANY_PORT] } else { vec![] },
            tls: self
                .tls
                .then(|| authority.server_config().expect("keys can be made")),
            behaviour: Behaviour::default(),
        })
        .expect("loopback can be listened on");
        let url = if self.tls {
            fake.https_url()
        } else {
            fake.url()
        };
        let mut helper = self.who.user(&url);
        if self.tls {
            helper.write("~/ca.pem", authority.ca_pem());
            let file = helper.path("~/ca.pem");
            helper.set("AWS_CA_BUNDLE", file);
        }
        // Every other case says all that it can, so that a secret in it would be seen.
        let debug = number % 2 == 1;
        if debug {
            helper.set("AWS_ECR_LOG", "debug");
        }
        let slow = self.row.name.contains("hang") || self.row.name.contains("a byte");
        let deadline = Duration::from_secs(if slow && !self.cached { 2 } else { 20 });
        helper.set("AWS_ECR_TIMEOUT", deadline.as_secs().to_string());
        let host = self.who.host();

        let mut held = None;
        if self.cached {
            fake.change(|behaviour| {
                behaviour.ecr = Script::always(Answer::expires_in(600));
                behaviour.ecr_public = Script::always(Answer::expires_in(600));
            });
            held = Some(self.secret(&helper.get(host), debug)?);
            helper.age(host, 400);
        }
        let elsewhere = self.inject(&mut fake);
        let (asked, connected) = (fake.count(self.who.service()), fake.connections());
        let output = helper.get(host);
        let mut requests = fake.count(self.who.service()) - asked;
        if matches!(self.row.fault, Fault::Connections(_)) {
            requests = usize::try_from(fake.connections() - connected).unwrap_or(usize::MAX);
        }
        let seen = format!("{requests} requests, {:?}", output.elapsed);
        let wrong = |what: &str| Err(format!("{what}: {seen}: {output:?}"));

        let limit = if held.is_some() {
            Duration::from_secs(3)
        } else {
            deadline
        };
        if output.elapsed > limit + SLACK {
            return wrong("too late");
        }
        // Instance metadata takes three requests, each of which may be tried again.
        let most = *self.row.requests.end();
        let bounds = match self.who {
            Metadata => 0..=2 * most.max(2),
            _ => self.row.requests.clone(),
        };
        // Within three seconds there may not be room for every attempt.
        let least = if held.is_some() || slow {
            0
        } else {
            *bounds.start()
        };
        // After a renewal that failed the portal is asked with the old login.
        let most = match (self.who, &self.row.fault) {
            (Oidc, Fault::Connections(_)) => 2 * most,
            // The name may have two addresses.
            (_, Fault::Connections(_)) if self.tls => 2 * most,
            _ => *bounds.end(),
        };
        if requests < least || requests > most {
            return wrong("the number of requests");
        }
        if elsewhere.is_some_and(|other| other.connections() > 0) {
            return wrong("the redirect was followed");
        }
        let got = match (&self.row.expect, &held) {
            (Expect::Cause(words), held) if held.is_none() || self.row.refused => {
                let said = self.cause(&output, debug)?;
                let known = || words.iter().chain(self.who.always_says());
                if !known().any(|word| said.contains(word)) {
                    return wrong("other words");
                }
                said
            }
            (Expect::Cause(_), held) => {
                let held = held.as_ref().expect("a guard has seen to that");
                if self.secret(&output, debug)? != *held {
                    return wrong("not the token that was held");
                }
                let before = (fake.count(self.who.service()), fake.connections());
                let again = helper.get(host);
                if self.secret(&again, debug)? != *held {
                    return wrong("not the token that was held, at the second time");
                }
                if (fake.count(self.who.service()), fake.connections()) != before {
                    return wrong("another attempt within a minute");
                }
                "the token that was held".to_owned()
            }
            (Expect::Password(text), _) => {
                if self.secret(&output, debug)? != *text {
                    return wrong("another password");
                }
                "the password".to_owned()
            }
            (Expect::Token, _) => {
                let secret = self.secret(&output, debug)?;
                if held == Some(secret) {
                    return wrong("the token that was held");
                }
                "a token".to_owned()
            }
        };
        self.afterwards(fake, &mut helper, &output, held.as_deref(), debug)?;
        Ok(format!("{got} ({seen})"))
    }

    /// Makes it go wrong; returns the server that must not be asked.
    fn inject(&self, fake: &mut Fake) -> Option<Fake> {
        let set = |fake: &Fake, script: &Script| {
            fake.change(|behaviour| {
                script.clone_into(self.who.script(behaviour));
                if self.who == Metadata {
                    script.clone_into(&mut behaviour.imds_token);
                }
            });
        };
        match &self.row.fault {
            Fault::Says(script) => {
                set(fake, script);
                if self.who == Oidc && matches!(self.row.expect, Expect::Cause(_)) {
                    let over = Answer::error(401, "UnauthorizedException", "old");
                    fake.change(|behaviour| behaviour.sso = Script::always(over));
                }
            }
            Fault::Connections(accept) => fake.change(|behaviour| behaviour.accept = *accept),
            Fault::Gone => fake.stop(),
            Fault::Clock(clock_offset) => fake.set(Behaviour {
                clock_offset: *clock_offset,
                ..Behaviour::default()
            }),
            Fault::Redirect(code) => {
                let other = Fake::start();
                let location = BTreeMap::from([("location".to_owned(), other.url())]);
                if self.who == Oidc {
                    let over = Answer::error(401, "UnauthorizedException", "old");
                    fake.change(|behaviour| behaviour.sso = Script::always(over));
                }
                set(
                    fake,
                    &Script::always(Answer::Status {
                        code: *code,
                        body: String::new(),
                        content_type: None,
                        headers: location,
                    }),
                );
                return Some(other);
            }
        }
        None
    }

    /// The next `get` works, and finds what it should find.
    fn afterwards(
        &self,
        fake: Fake,
        helper: &mut Helper,
        output: &Output,
        held: Option<&str>,
        debug: bool,
    ) -> Result<(), String> {
        let host = self.who.host();
        let (fake, same) = if matches!(self.row.fault, Fault::Gone) {
            if self.cached || self.tls {
                return Ok(());
            }
            let other = Fake::start();
            for name in ["AWS_ENDPOINT_URL", "AWS_EC2_METADATA_SERVICE_ENDPOINT"] {
                helper.set(name, other.url());
            }
            if self.who == Container {
                helper.set(
                    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                    format!("{}/creds", other.url()),
                );
            }
            (other, false)
        } else {
            fake.set(Behaviour::default());
            (fake, true)
        };
        let before = fake.count("ecr") + fake.count("ecr_public");
        let next = self.secret(&helper.get(host), debug)?;
        let asked = fake.count("ecr") + fake.count("ecr_public") - before;
        // What came and was kept; else what was held before, whose renewal rests for a minute.
        let was = self.secret(output, debug).ok();
        let there = match held {
            Some(_) if self.row.refused => None,
            Some(held) if !self.row.kept => Some(held.to_owned()),
            _ => was.filter(|_| same && self.row.kept),
        };
        let found = there.as_ref() == Some(&next);
        if found != there.is_some() || asked != usize::from(!found) {
            return Err(format!(
                "the next one made {asked} requests, found: {found}"
            ));
        }
        Ok(())
    }

    /// Words to the user, without the debug log.
    fn said(&self, output: &Output, debug: bool) -> Result<Vec<String>, String> {
        if !matches!(output.code, Some(0 | 1)) {
            return Err(format!("crashed: {output:?}"));
        }
        if output.stderr.contains("FAKE-") || output.stderr.contains(PASSWORD_SENTINEL) {
            return Err(format!("a secret on stderr: {output:?}"));
        }
        let lines = output.stderr.lines();
        let lines = lines.filter(|line| !(debug && line.contains(": debug: ")));
        Ok(lines.map(str::to_owned).collect())
    }

    fn secret(&self, output: &Output, debug: bool) -> Result<String, String> {
        let said = self.said(output, debug)?;
        let answer: Value = serde_json::from_str(&output.stdout).unwrap_or_default();
        match (output.code, answer["Secret"].as_str(), said.is_empty()) {
            (Some(0), Some(secret), true) => Ok(secret.to_owned()),
            _ => Err(format!("no token: {output:?}")),
        }
    }

    fn cause(&self, output: &Output, debug: bool) -> Result<String, String> {
        let said = self.said(output, debug)?;
        match (output.code, output.stdout.as_str(), &said[..]) {
            (Some(1), NOT_FOUND, [cause, hint]) if hint.starts_with("hint: ") => Ok(cause.clone()),
            _ => Err(format!("no failure as clients know it: {output:?}")),
        }
    }
}

#[test]
fn every_fault_leads_to_a_token_or_to_its_cause() {
    let only = std::env::var("FAULTS_ONLY").unwrap_or_default();
    let mut cases = cases();
    cases.retain(|case| case.name().contains(&only));
    // The slow ones first.
    cases.sort_by_key(|case| !case.row.name.contains("hang") && !case.row.name.contains("byte"));
    let show = std::env::var_os("FAULTS").is_some();
    let (next, passed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let failed = Mutex::new(Vec::new());
    let began = std::time::Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(case) = cases.get(number) else {
                        return;
                    };
                    let result = case.run(number);
                    if show {
                        println!("{}: {result:?}", case.name());
                    }
                    match result {
                        Ok(_) => _ = passed.fetch_add(1, Ordering::Relaxed),
                        Err(error) => {
                            let line = format!("{}: {error}", case.name());
                            failed.lock().expect("no panic").push(line);
                        }
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().expect("no panic");
    println!(
        "faults: {} cases tried, {} passed, {:?}",
        cases.len(),
        passed.into_inner(),
        began.elapsed()
    );
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// The most memory that a process has had so far, in KiB, while it runs.
#[cfg(target_os = "linux")]
fn peak(id: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(target_os = "linux")]
#[test]
fn a_huge_reply_takes_no_memory() {
    for who in ALL {
        let fake = Fake::start();
        let huge = Script::always(Answer::HugeBody { mib: 512 });
        fake.change(|behaviour| {
            huge.clone_into(who.script(behaviour));
            let over = Answer::error(401, "UnauthorizedException", "old");
            if *who == Oidc {
                behaviour.sso = Script::always(over);
            }
        });
        // A process that ends at once on a busy machine may not be seen at all.
        let mut most = 0;
        for _ in 0..10 {
            let user = who.user(&fake.url());
            let running = user.run_of("get").stdin(who.host()).spawn();
            let mut samples = 0;
            // What has ended has no memory any more.
            while let Some(peak) = peak(running.child.id()) {
                most = most.max(peak);
                samples += 1;
                std::thread::sleep(Duration::from_millis(1));
            }
            let output = running.wait();
            assert_eq!(output.code, Some(1), "{output:?}");
            if samples >= 5 {
                break;
            }
        }
        println!("{who:?}: at most {most} KiB");
        assert!((1024..32 * 1024).contains(&most), "{who:?}: {most} KiB");
    }
}
