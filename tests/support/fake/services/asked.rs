//! A request, understood.

use std::collections::BTreeMap;

use chrono::Utc;
use serde_json::Value;

use super::super::http::{Request, form};
use super::super::{Call, registry};
use super::Service;

/// The service, the operation and its parameters.
pub struct Asked {
    pub service: Service,
    pub operation: String,
    pub params: BTreeMap<String, String>,
    pub(super) access_key_id: Option<String>,
    pub(super) region: Option<String>,
}

impl Asked {
    #[expect(clippy::too_many_lines, reason = "one branch per protocol")]
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

    pub(super) fn param(&self, name: &str) -> Option<&str> {
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
