//! The services of AWS that a credential helper asks: which one a request means, what is noted
//! about it, and what a good or a refused reply looks like in that service's own format.

mod asked;
mod replies;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::behaviour::{Behaviour, Good, Script};
use super::http::{Reply, Request};
use super::{State, registry};
pub use asked::Asked;
use replies::refusal;
pub use replies::whole;

/// A part of every made-up password, as it appears in the password: ECR's are base64, and a
/// search for a leak looks for this.
pub const PASSWORD_SENTINEL: &str = "RkFLRS1FQ1ItUEFTU1dPUkQt";
/// The same before it is encoded.
const PASSWORD_PLAIN: &str = "FAKE-ECR-PASSWORD-";
/// The prefix of every secret key that this AWS gives out.
pub const SECRET_SENTINEL: &str = "FAKE-SECRET-KEY-";
/// The prefix of every session token that this AWS gives out.
pub const SESSION_SENTINEL: &str = "FAKE-SESSION-TOKEN-";

const TOKEN_LIFE: i64 = 12 * 3600;
const CREDENTIALS_LIFE: i64 = 3600;
/// AWS refuses signatures that are further off.
const SKEW_ALLOWED: i64 = 300;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    Ecr,
    EcrPublic,
    Sts,
    Sso,
    Oidc,
    Signin,
    Container,
    Imds,
    ImdsToken,
    Registry,
    Unknown,
}

impl Service {
    pub const ALL: usize = 11;

    pub fn name(self) -> &'static str {
        match self {
            Self::Ecr => "ecr",
            Self::EcrPublic => "ecr_public",
            Self::Sts => "sts",
            Self::Sso => "sso",
            Self::Oidc => "oidc",
            Self::Signin => "signin",
            Self::Container => "container",
            Self::Imds => "imds",
            Self::ImdsToken => "imds_token",
            Self::Registry => "registry",
            Self::Unknown => "unknown",
        }
    }

    /// The script of this service.
    pub fn script(self, behaviour: &Behaviour) -> &Script {
        match self {
            Self::Ecr | Self::Registry | Self::Unknown => &behaviour.ecr,
            Self::EcrPublic => &behaviour.ecr_public,
            Self::Sts => &behaviour.sts,
            Self::Sso => &behaviour.sso,
            Self::Oidc => &behaviour.oidc,
            Self::Signin => &behaviour.signin,
            Self::Container => &behaviour.container,
            Self::Imds => &behaviour.imds,
            Self::ImdsToken => &behaviour.imds_token,
        }
    }

    fn is_signed(self) -> bool {
        matches!(self, Self::Ecr | Self::EcrPublic | Self::Sts)
    }
}

/// The good reply to `asked`, or the refusal that AWS itself would give.
pub fn reply(asked: &Asked, request: &Request, good: &Good, state: &mut State) -> Reply {
    let now = Utc::now() + TimeDelta::seconds(state.behaviour.clock_offset);
    if asked.service.is_signed()
        && let Some(refusal) = skewed(asked, request, now)
    {
        return refusal;
    }
    match asked.service {
        Service::Ecr => ecr(asked, good, state, now),
        Service::EcrPublic => ecr(asked, good, state, now),
        Service::Sts => sts(asked, request, good, state, now),
        Service::Sso => sso(asked, good, state, now),
        Service::Oidc => oidc(good, state),
        Service::Signin => signin(good, state),
        Service::Container => container(asked, request, good, state, now),
        Service::Imds => imds(request, good, state, now),
        Service::ImdsToken => imds_token(request),
        Service::Registry => registry::reply(request, state),
        Service::Unknown => refusal(
            Service::Unknown,
            404,
            "UnknownOperationException",
            &asked.operation,
        ),
    }
}

fn skewed(asked: &Asked, request: &Request, now: DateTime<Utc>) -> Option<Reply> {
    const FORMAT: &str = "%Y%m%dT%H%M%SZ";
    let date = request.header("x-amz-date")?;
    let signed = NaiveDateTime::parse_from_str(date, FORMAT).ok()?.and_utc();
    let off = (now - signed).num_seconds();
    if off.abs() <= SKEW_ALLOWED {
        return None;
    }
    let at = |seconds| (now + TimeDelta::seconds(seconds)).format(FORMAT);
    let message = if off > 0 {
        format!(
            "Signature expired: {date} is now earlier than {} ({} - 5 min.)",
            at(-SKEW_ALLOWED),
            at(0)
        )
    } else {
        format!(
            "Signature not yet current: {date} is still later than {} ({} + 5 min.)",
            at(SKEW_ALLOWED),
            at(0)
        )
    };
    Some(match asked.service {
        Service::Sts => refusal(asked.service, 403, "SignatureDoesNotMatch", &message),
        _ => refusal(asked.service, 400, "InvalidSignatureException", &message),
    })
}

fn json_reply(body: &Value) -> Reply {
    Reply::new(200, "application/x-amz-json-1.1", body.to_string())
}

fn ecr(asked: &Asked, good: &Good, state: &mut State, now: DateTime<Utc>) -> Reply {
    if asked.operation != "GetAuthorizationToken" {
        let code = "UnknownOperationException";
        return refusal(asked.service, 400, code, "");
    }
    let Some(region) = asked.region.as_deref() else {
        let code = "MissingAuthenticationTokenException";
        return refusal(asked.service, 400, code, "Missing Authentication Token");
    };
    let expires = now + TimeDelta::seconds(good.expires_in.unwrap_or(TOKEN_LIFE));
    let mut data = serde_json::Map::new();
    if !good.no_authorization_token {
        let token = match &good.authorization_token {
            Some(raw) => raw.clone(),
            None => authorization_token(good.password.clone(), expires, state).into(),
        };
        data.insert("authorizationToken".to_owned(), token);
    }
    if !good.no_expires_at {
        let at = match &good.expires_at {
            Some(raw) => raw.clone(),
            None => (expires.timestamp_millis() as f64 / 1e3).into(),
        };
        data.insert("expiresAt".to_owned(), at);
    }
    if asked.service == Service::EcrPublic {
        return json_reply(&json!({ "authorizationData": data }));
    }
    if !good.no_proxy_endpoint {
        let account = asked.param("registryIds");
        let account = account.unwrap_or(&state.behaviour.account);
        let suffix = suffix(region);
        let endpoint = match &good.proxy_endpoint {
            Some(raw) => raw.clone(),
            None => format!("https://{account}.dkr.ecr.{region}.{suffix}").into(),
        };
        data.insert("proxyEndpoint".to_owned(), endpoint);
    }
    json_reply(&json!({ "authorizationData": [data] }))
}

/// The registries of a region end in this.
fn suffix(region: &str) -> &'static str {
    match region {
        r if r.starts_with("cn-") => "amazonaws.com.cn",
        r if r.starts_with("eusc-") => "amazonaws.eu",
        r if r.starts_with("us-iso-") => "c2s.ic.gov",
        r if r.starts_with("us-isob-") => "sc2s.sgov.gov",
        r if r.starts_with("eu-isoe-") => "cloud.adc-e.uk",
        r if r.starts_with("us-isof-") => "csp.hci.ic.gov",
        _ => "amazonaws.com",
    }
}

/// A fresh authorization token, its password put on record.
fn authorization_token(
    password: Option<String>,
    expires: DateTime<Utc>,
    state: &mut State,
) -> String {
    let n = state.passwords.len() + 1;
    let password = password.unwrap_or_else(|| {
        // As long as ECR's own, in letters that follow from the number.
        let filler = |length: usize| -> String {
            (0..length)
                .map(|i| char::from(b'A' + ((i * i + i * 7 + n) % 26) as u8))
                .collect()
        };
        let head = format!("{PASSWORD_PLAIN}{n:06}-{:016x}-", state.identity);
        let (payload, key) = (filler(900), filler(240));
        let expiration = expires.timestamp();
        STANDARD.encode(format!(
            r#"{{"payload":"{head}{payload}","datakey":"{key}","version":"2","type":"DATA_KEY","expiration":{expiration}}}"#
        ))
    });
    let token = STANDARD.encode(format!("AWS:{password}"));
    state.passwords.push(password);
    token
}

struct Credentials {
    id: String,
    secret: String,
    session: String,
    expires: DateTime<Utc>,
}

/// Credentials with a key ID that tells where they come from: `ASIA`, the kind, a number.
fn credentials(kind: &str, n: usize, good: &Good, now: DateTime<Utc>) -> Credentials {
    let width = 16 - kind.len();
    let made_up = || format!("ASIA{kind}{n:0width$}");
    Credentials {
        id: good.access_key_id.clone().unwrap_or_else(made_up),
        secret: format!("{SECRET_SENTINEL}{kind}-{n:06}"),
        session: format!("{SESSION_SENTINEL}{kind}-{n:06}"),
        expires: now + TimeDelta::seconds(good.expires_in.unwrap_or(CREDENTIALS_LIFE)),
    }
}

fn rfc3339(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The expiry of credentials as a JSON value; none if there is to be none.
fn expiration(good: &Good, otherwise: Value) -> Option<Value> {
    if good.no_expires_at {
        return None;
    }
    Some(good.expires_at.clone().unwrap_or(otherwise))
}

const XMLNS: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

fn sts(
    asked: &Asked,
    request: &Request,
    good: &Good,
    state: &mut State,
    now: DateTime<Utc>,
) -> Reply {
    let signed = request.header("authorization").is_some();
    let operation = asked.operation.as_str();
    if !signed && operation != "AssumeRoleWithWebIdentity" {
        let code = "MissingAuthenticationToken";
        let message = "Request is missing Authentication Token";
        return refusal(Service::Sts, 403, code, message);
    }
    let result = match operation {
        "GetCallerIdentity" => {
            let account = &state.behaviour.account;
            let key = asked.access_key_id.as_deref().unwrap_or("unknown");
            format!(
                "<Arn>arn:aws:iam::{account}:user/{key}</Arn><UserId>{key}</UserId>\
                 <Account>{account}</Account>"
            )
        }
        "AssumeRole" | "AssumeRoleWithWebIdentity" => {
            let Some(role) = asked.param("RoleArn") else {
                return refusal(Service::Sts, 400, "ValidationError", "no RoleArn");
            };
            let kind = if operation == "AssumeRole" {
                "STS"
            } else {
                "WEB"
            };
            let session = asked.param("RoleSessionName").unwrap_or("none");
            let n = state.next(kind);
            let made = credentials(kind, n, good, now);
            let user = role.replacen(":iam::", ":sts::", 1);
            let user = user.replacen(":role/", ":assumed-role/", 1);
            let expires = match expiration(good, rfc3339(made.expires).into()) {
                Some(Value::String(text)) => format!("<Expiration>{text}</Expiration>"),
                Some(other) => format!("<Expiration>{other}</Expiration>"),
                None => String::new(),
            };
            let (id, secret, token) = (made.id, made.secret, made.session);
            format!(
                "<AssumedRoleUser><Arn>{user}/{session}</Arn>\
                 <AssumedRoleId>AROAFAKE:{session}</AssumedRoleId></AssumedRoleUser>\
                 <Credentials><AccessKeyId>{id}</AccessKeyId>\
                 <SecretAccessKey>{secret}</SecretAccessKey>\
                 <SessionToken>{token}</SessionToken>{expires}</Credentials>"
            )
        }
        _ => return refusal(Service::Sts, 400, "InvalidAction", operation),
    };
    let body = format!(
        "<{operation}Response xmlns=\"{XMLNS}\"><{operation}Result>{result}</{operation}Result>\
         <ResponseMetadata><RequestId>fake-request</RequestId></ResponseMetadata>\
         </{operation}Response>"
    );
    Reply::new(200, "text/xml", body)
}

fn sso(asked: &Asked, good: &Good, state: &mut State, now: DateTime<Utc>) -> Reply {
    if asked.param("token").is_none() {
        let message = "Session token not found or invalid";
        return refusal(Service::Sso, 401, "UnauthorizedException", message);
    }
    let n = state.next("SSO");
    let made = credentials("SSO", n, good, now);
    let expires = expiration(good, made.expires.timestamp_millis().into());
    Reply::new(
        200,
        "application/json",
        json!({ "roleCredentials": {
            "accessKeyId": made.id,
            "secretAccessKey": made.secret,
            "sessionToken": made.session,
            "expiration": expires,
        }})
        .to_string(),
    )
}

fn oidc(good: &Good, state: &mut State) -> Reply {
    let n = state.next("OIDC");
    let life = json!(good.expires_in.unwrap_or(CREDENTIALS_LIFE));
    Reply::new(
        200,
        "application/json",
        json!({
            "accessToken": format!("{SESSION_SENTINEL}OIDC-{n:06}"),
            "tokenType": "Bearer",
            "expiresIn": expiration(good, life),
            "refreshToken": format!("{SESSION_SENTINEL}OIDC-REFRESH-{n:06}"),
        })
        .to_string(),
    )
}

fn signin(good: &Good, state: &mut State) -> Reply {
    let n = state.next("LOGIN");
    let made = credentials("LOGIN", n, good, Utc::now());
    let life = json!(good.expires_in.unwrap_or(900));
    Reply::new(
        200,
        "application/json",
        json!({
            "accessToken": {
                "accessKeyId": made.id,
                "secretAccessKey": made.secret,
                "sessionToken": made.session,
            },
            "tokenType": "urn:aws:params:oauth:token-type:access_token_sigv4",
            "expiresIn": expiration(good, life),
            "refreshToken": format!("{SESSION_SENTINEL}LOGIN-REFRESH-{n:06}"),
        })
        .to_string(),
    )
}

fn container(
    asked: &Asked,
    request: &Request,
    good: &Good,
    state: &mut State,
    now: DateTime<Utc>,
) -> Reply {
    let wanted = state.behaviour.container_authorization.as_deref();
    if wanted.is_some() && wanted != request.header("authorization") {
        let message = "the authorization token is missing or wrong";
        return refusal(asked.service, 401, "AccessDenied", message);
    }
    // The same credentials until they are told to change, as a task has them.
    let n = state.number_of(&request.path);
    let made = credentials("ECS", n, good, now);
    let expires = expiration(good, rfc3339(made.expires).into());
    Reply::new(
        200,
        "application/json",
        json!({
            "AccessKeyId": made.id,
            "SecretAccessKey": made.secret,
            "Token": made.session,
            "Expiration": expires,
            "RoleArn": "arn:aws:iam::123456789012:role/fake-task-role",
            "AccountId": state.behaviour.account,
        })
        .to_string(),
    )
}

const IMDS_TOKEN: &str = "FAKE-IMDS-TOKEN";

fn imds_token(request: &Request) -> Reply {
    const TTL: &str = "x-aws-ec2-metadata-token-ttl-seconds";
    match (request.method.as_str(), request.header(TTL)) {
        ("PUT", Some(ttl)) => Reply::new(200, "text/plain", IMDS_TOKEN).with(TTL, ttl),
        ("PUT", None) => Reply::new(400, "text/html", ""),
        _ => Reply::new(405, "text/html", ""),
    }
}

fn imds(request: &Request, good: &Good, state: &mut State, now: DateTime<Utc>) -> Reply {
    let token = request.header("x-aws-ec2-metadata-token");
    if token != Some(IMDS_TOKEN) && !(token.is_none() && state.behaviour.imds_v1) {
        return Reply::new(401, "text/html", "");
    }
    let not_found = || Reply::new(404, "text/html", "");
    let (_, path) = request.path.split_once("/latest/").unwrap_or_default();
    if path == "meta-data/placement/region" {
        return Reply::new(200, "text/plain", state.behaviour.imds_region.clone());
    }
    let Some(role) = state.behaviour.imds_role.clone() else {
        return not_found();
    };
    match path.strip_prefix("meta-data/iam/security-credentials/") {
        Some("") => Reply::new(200, "text/plain", role),
        Some(named) if named == role => {
            let n = state.number_of(&request.path);
            let made = credentials("EC2", n, good, now);
            let expires = expiration(good, rfc3339(made.expires).into());
            Reply::new(
                200,
                "text/plain",
                json!({
                    "Code": "Success",
                    "LastUpdated": rfc3339(now),
                    "Type": "AWS-HMAC",
                    "AccessKeyId": made.id,
                    "SecretAccessKey": made.secret,
                    "Token": made.session,
                    "Expiration": expires,
                })
                .to_string(),
            )
        }
        _ => not_found(),
    }
}
