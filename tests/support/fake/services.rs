//! The services of AWS that a credential helper asks: which one a request means, what is noted
//! about it, and what a good or a refused reply looks like in that service's own format.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::behaviour::{Answer, Behaviour, Good, Script};
use super::http::{Reply, Request, form};
use super::{Call, State, registry};

/// What every made-up password contains, as it appears in the password: ECR's are base64, and a
/// search for a leak looks for this.
pub const PASSWORD_SENTINEL: &str = "RkFLRS1FQ1ItUEFTU1dPUkQt";
/// The same before it is encoded.
const PASSWORD_PLAIN: &str = "FAKE-ECR-PASSWORD-";
/// What every secret key that this AWS gives out begins with.
pub const SECRET_SENTINEL: &str = "FAKE-SECRET-KEY-";
/// What every session token that this AWS gives out begins with.
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

    /// What this service was told to do.
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

/// A request, understood.
pub struct Asked {
    pub service: Service,
    pub operation: String,
    pub params: BTreeMap<String, String>,
    access_key_id: Option<String>,
    region: Option<String>,
}

impl Asked {
    pub fn of(request: &Request) -> Self {
        let (access_key_id, region, _) = credential(request);
        let mut asked = Self {
            service: Service::Unknown,
            operation: format!("{} {}", request.method, request.path),
            params: BTreeMap::new(),
            access_key_id,
            region,
        };
        let path = request.path.as_str();
        let get = request.method == "GET";
        if let Some((service, operation)) = request
            .header("x-amz-target")
            .and_then(|target| target.split_once('.'))
        {
            asked.service = match service {
                "AmazonEC2ContainerRegistry_V20150921" => Service::Ecr,
                "SpencerFrontendService" => Service::EcrPublic,
                _ => Service::Unknown,
            };
            asked.operation = operation.to_owned();
            asked.note_json(&request.body, &["registryIds"], &[]);
        } else if registry::is_for_registry(request) {
            asked.service = Service::Registry;
        } else if path.contains("/latest/") {
            let token = path.ends_with("/latest/api/token");
            asked.service = if token {
                Service::ImdsToken
            } else {
                Service::Imds
            };
        } else if get && path.ends_with("/federation/credentials") {
            asked.service = Service::Sso;
            asked.operation = "GetRoleCredentials".to_owned();
            for name in ["account_id", "role_name"] {
                if let Some(value) = request.query.get(name) {
                    asked.params.insert(name.to_owned(), value.clone());
                }
            }
            asked.note_secret("token", request.header("x-amz-sso_bearer_token"));
        } else if !get && path.ends_with("/v1/token") {
            asked.service = Service::Signin;
            asked.operation = "CreateOAuth2Token".to_owned();
            let secret = ["refreshToken", "code"];
            asked.note_json(&request.body, &["clientId", "grantType"], &secret);
        } else if !get && path.ends_with("/token") {
            asked.service = Service::Oidc;
            asked.operation = "CreateToken".to_owned();
            let secret = ["refreshToken", "clientSecret"];
            asked.note_json(&request.body, &["clientId", "grantType"], &secret);
        } else if let Some(action) = action(request) {
            asked.service = Service::Sts;
            for (name, value) in &action {
                match name.as_str() {
                    "Action" => asked.operation = value.clone(),
                    "WebIdentityToken" => asked.note_secret(name, Some(value)),
                    "Version" => {}
                    _ => {
                        asked.params.insert(name.clone(), value.clone());
                    }
                }
            }
        } else if get {
            asked.service = Service::Container;
            asked.operation = "GetCredentials".to_owned();
            asked.params.insert("path".to_owned(), path.to_owned());
            asked.note_secret("authorization", request.header("authorization"));
        }
        asked
    }

    fn note_json(&mut self, body: &[u8], names: &[&str], secret: &[&str]) {
        let Ok(Value::Object(body)) = serde_json::from_slice(body) else {
            return;
        };
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            Value::Array(items) => {
                let items: Vec<_> = items.iter().filter_map(Value::as_str).collect();
                items.join(",")
            }
            other => other.to_string(),
        };
        for (name, value) in &body {
            if names.contains(&name.as_str()) {
                self.params.insert(name.clone(), text(value));
            } else if secret.contains(&name.as_str()) {
                self.note_secret(name, Some(&text(value)));
            }
        }
    }

    /// Notes the first characters only.
    fn note_secret(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            let start = value.chars().take(8).collect();
            self.params.insert(name.to_owned(), start);
        }
    }

    fn param(&self, name: &str) -> Option<&str> {
        self.params.get(name).map(String::as_str)
    }

    pub fn call(&self, request: &Request, tls: bool, server_name: Option<String>) -> Call {
        let (access_key_id, signing_region, signing_service) = credential(request);
        let owned = |name| request.header(name).map(str::to_owned);
        let now = Utc::now();
        Call {
            time: now.timestamp_micros() as f64 / 1e6,
            service: self.service.name().to_owned(),
            operation: self.operation.clone(),
            method: request.method.clone(),
            path: request.path.clone(),
            host: request.header("host").unwrap_or_default().to_owned(),
            tls,
            server_name,
            access_key_id,
            signing_region,
            signing_service,
            authorized: request.header("authorization").is_some(),
            session_token: request.header("x-amz-security-token").is_some(),
            content_type: owned("content-type"),
            user_agent: owned("user-agent"),
            attempt: owned("amz-sdk-request"),
            params: self.params.clone(),
            answer: String::new(),
        }
    }
}

/// The form of a query-protocol request.
fn action(request: &Request) -> Option<BTreeMap<String, String>> {
    if request.query.contains_key("Action") {
        return Some(request.query.clone());
    }
    let typed = request.header("content-type")?;
    if !typed.starts_with("application/x-www-form-urlencoded") {
        return None;
    }
    let form = form(std::str::from_utf8(&request.body).ok()?);
    form.contains_key("Action").then_some(form)
}

/// Key ID, region and service that a request is signed with.
fn credential(request: &Request) -> (Option<String>, Option<String>, Option<String>) {
    let scope = request
        .header("authorization")
        .and_then(|value| value.split_once("Credential="))
        .and_then(|(_, rest)| rest.split(',').next());
    let mut parts = scope.unwrap_or_default().split('/');
    let mut next = || parts.next().filter(|p| !p.is_empty()).map(str::to_owned);
    let key = next();
    let _date = next();
    (key, next(), next())
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

/// An error as this service words it.
pub fn refusal(service: Service, status: u16, code: &str, message: &str) -> Reply {
    let reply = match service {
        Service::Ecr | Service::EcrPublic | Service::Registry | Service::Unknown => Reply::new(
            status,
            "application/x-amz-json-1.1",
            json!({ "__type": code, "message": message }).to_string(),
        ),
        Service::Sts => {
            let message = message.replace('&', "&amp;").replace('<', "&lt;");
            Reply::new(
                status,
                "text/xml",
                format!(
                    "<ErrorResponse xmlns=\"{XMLNS}\"><Error><Type>Sender</Type>\
                     <Code>{code}</Code><Message>{message}</Message></Error>\
                     <RequestId>fake-request</RequestId></ErrorResponse>"
                ),
            )
        }
        Service::Sso => Reply::new(
            status,
            "application/json",
            json!({
                "message": message,
                "__type": format!("com.amazonaws.switchboard.portal#{code}"),
            })
            .to_string(),
        )
        .with("x-amzn-ErrorType", code),
        Service::Oidc => Reply::new(
            status,
            "application/json",
            json!({ "error": snake(code), "error_description": message }).to_string(),
        )
        .with("x-amzn-ErrorType", code),
        Service::Signin => Reply::new(
            status,
            "application/json",
            json!({ "error": "TOKEN_EXPIRED", "message": message }).to_string(),
        )
        .with("x-amzn-ErrorType", code),
        Service::Container => Reply::new(
            status,
            "application/json",
            json!({ "code": code, "message": message }).to_string(),
        ),
        Service::Imds | Service::ImdsToken => Reply::new(
            status,
            "text/plain",
            json!({ "Code": code, "Message": message }).to_string(),
        ),
    };
    reply.with("x-amzn-RequestId", "fake-request")
}

/// `InvalidGrantException` as OAuth spells it.
fn snake(code: &str) -> String {
    let mut out = String::new();
    for c in code.trim_end_matches("Exception").chars() {
        if c.is_ascii_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

/// A good reply's body with `depth` arrays inside one another beside what was asked for.
pub fn deepened(mut reply: Reply, depth: usize) -> Reply {
    if reply.body.first() == Some(&b'{') {
        let mut body = br#"{"deep":"#.to_vec();
        body.resize(body.len() + depth, b'[');
        body.resize(body.len() + depth, b']');
        body.push(b',');
        body.extend_from_slice(&reply.body[1..]);
        reply.body = body;
    }
    reply
}

/// The body of a scripted status, its placeholders filled in.
pub fn filled(body: &str, state: &mut State) -> String {
    if !body.contains('$') {
        return body.to_owned();
    }
    let expires = Utc::now() + TimeDelta::seconds(TOKEN_LIFE);
    let mut body = body.replace("$EXPIRES", &expires.timestamp().to_string());
    if body.contains("$TOKEN") || body.contains("$PASSWORD") {
        let token = authorization_token(None, expires, state);
        let password = state.passwords.last().cloned().unwrap_or_default();
        body = body
            .replace("$TOKEN", &token)
            .replace("$PASSWORD", &password);
    }
    body
}

/// What a plain answer makes of the request, for those answers that carry a whole reply.
pub fn whole(asked: &Asked, request: &Request, answer: &Answer, state: &mut State) -> Reply {
    match answer {
        Answer::Ok(good) => reply(asked, request, good, state),
        Answer::Status {
            code,
            body,
            content_type,
            headers,
        } => {
            let json = "application/x-amz-json-1.1";
            let typed = content_type.as_deref().unwrap_or(json);
            let mut reply = Reply::new(*code, typed, filled(body, state));
            for (name, value) in headers {
                reply = reply.with(name, value);
            }
            reply
        }
        Answer::AwsError {
            code,
            message,
            status,
        } => refusal(asked.service, *status, code, message),
        Answer::Html200 => Reply::new(
            200,
            "text/html",
            "<html><body>Welcome to the hotel's network</body></html>",
        ),
        Answer::Redirect { location } => Reply::new(307, "", "").with("Location", location),
        Answer::DeepJson { depth } => {
            deepened(reply(asked, request, &Good::default(), state), *depth)
        }
        _ => reply(asked, request, &Good::default(), state),
    }
}
