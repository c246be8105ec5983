//! Faults of credentials, for each of their sources.

use std::collections::BTreeMap;

use super::party::Party;
use super::party::Party::{Container, Oidc, Sso, Sts, WebIdentity};
use super::rows::{Row, always, fails, token};
use crate::support::fake::Answer;

/// Faults of credentials.
#[expect(clippy::too_many_lines, reason = "rows of one table")]
pub(super) fn credentials() -> Vec<Row> {
    let mut rows = Vec::new();
    const STS_ODD: &[&str] = &["unexpected response from STS"];
    const STS_BOTH: &[Party] = &[Sts, WebIdentity];
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
