//! Requests to the registry itself: as clients send them, with the password, to ECR's hosts and to
//! names of the user's own.

use std::time::Instant;

use zeroize::Zeroizing;

use crate::cli::Context;
use crate::ecr::{RegistryLogin, RegistryRequest, RegistryResponse};
use crate::principal::Network;
use crate::problem::Problem;
use crate::registry::host_and_port;
use crate::secret::Secret;
use crate::token::Login;

use super::{DoctorSubject, limit};

/// The media types of manifests.
pub(super) const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, \
    application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.docker.distribution.manifest.list.v2+json";

/// A registry that is being asked.
pub(super) struct Visit<'a, 'c> {
    pub(super) context: &'a mut Context<'c>,
    pub(super) network: &'a Network,
    pub(super) subject: &'a DoctorSubject,
    /// The password; none: anonymous.
    password: Option<RegistryLogin>,
    /// The registry's token for the password.
    bearer: Option<RegistryLogin>,
}

/// One request, by its path below the registry or its whole URL.
#[derive(Default)]
pub(super) struct VisitRequest<'a> {
    pub(super) method: &'static str,
    pub(super) target: &'a str,
    pub(super) accept: Option<&'static str>,
    pub(super) body: Option<(&'static str, &'a [u8])>,
}

impl<'a, 'c> Visit<'a, 'c> {
    pub(super) fn new(
        context: &'a mut Context<'c>,
        network: &'a Network,
        subject: &'a DoctorSubject,
        login: Option<Login>,
    ) -> Self {
        Self {
            context,
            network,
            subject,
            password: login.map(RegistryLogin::Basic),
            bearer: None,
        }
    }

    pub(super) fn is_anonymous(&self) -> bool {
        self.password.is_none()
    }

    pub(super) fn get(&mut self, target: &str) -> Result<RegistryResponse, Problem> {
        self.send(&VisitRequest {
            method: "GET",
            target,
            ..VisitRequest::default()
        })
    }

    /// Sends a request; where the registry wants a token for the password, gets one and sends it
    /// again.
    pub(super) fn send(&mut self, request: &VisitRequest<'_>) -> Result<RegistryResponse, Problem> {
        let url = match request.target.starts_with('/') {
            true => format!("https://{}{}", self.subject.host, request.target),
            false => request.target.to_owned(),
        };
        let login = self.bearer.clone().or_else(|| self.password.clone());
        let response = self.once(request, &url, login.as_ref())?;
        let realm = response.challenge.as_deref().and_then(realm);
        let (401, Some(url_of_token)) = (response.status, realm) else {
            return Ok(response);
        };
        // The password goes to no other host, whatever the challenge says.
        if !self.may_be_sent_to(&url_of_token) {
            return Ok(response);
        }
        let token = VisitRequest {
            method: "GET",
            ..VisitRequest::default()
        };
        let password = self.password.clone();
        let given = self.once(&token, &url_of_token, password.as_ref())?;
        let Some(token) = token_in(&given) else {
            // A page without a token is not the registry's consent.
            return Ok(if given.status == 200 { response } else { given });
        };
        self.bearer = Some(RegistryLogin::Bearer(token));
        let login = self.bearer.clone();
        self.once(request, &url, login.as_ref())
    }

    fn once(
        &mut self,
        request: &VisitRequest<'_>,
        url: &str,
        login: Option<&RegistryLogin>,
    ) -> Result<RegistryResponse, Problem> {
        let deadline = Instant::now() + limit(self.context.env);
        let request = RegistryRequest {
            method: request.method,
            url,
            accept: request.accept,
            body: request.body,
            login,
        };
        let issuer = &mut self.context.issuer;
        issuer.registry(self.network, &request, deadline)
    }

    /// Whether a URL leads to the registry.
    pub(super) fn may_be_sent_to(&self, url: &str) -> bool {
        let bare = |host: &str| {
            host.strip_suffix(":443")
                .unwrap_or(host)
                .to_ascii_lowercase()
        };
        let host = url
            .strip_prefix("https://")
            .and_then(|_| host_and_port(url))
            .map(bare);
        host.is_some_and(|host| {
            host == bare(&self.subject.host) || host == self.subject.registry.host()
        })
    }

    /// The URL in a `Location` header, if it leads to the registry.
    pub(super) fn absolute(&self, location: &str) -> Option<String> {
        let url = match location.starts_with('/') {
            true => format!("https://{}{location}", self.subject.host),
            false => location.to_owned(),
        };
        self.may_be_sent_to(&url).then_some(url)
    }
}

/// The URL that a challenge names for a token, with its service and scope.
fn realm(challenge: &str) -> Option<String> {
    let (scheme, parameters) = challenge.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("Bearer") {
        return None;
    }
    let value = |name: &str| {
        let start = format!("{name}=\"");
        let mut quoted = parameters.split_inclusive('"');
        let rest = loop {
            let (key, value) = (quoted.next()?, quoted.next()?);
            if key
                .trim_start_matches([',', ' '])
                .eq_ignore_ascii_case(&start)
            {
                break value;
            }
        };
        Some(rest.trim_end_matches('"'))
    };
    let realm = value("realm")?;
    // Only what can stand in a query as it is: nothing that a registry needs is lost.
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/,".contains(&b);
    let query: Vec<_> = ["service", "scope"]
        .into_iter()
        .filter_map(|name| Some((name, value(name)?)))
        .filter(|(_, value)| value.bytes().all(plain))
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    Some(match query.is_empty() {
        true => realm.to_owned(),
        false => {
            let mark = if realm.contains('?') { '&' } else { '?' };
            format!("{realm}{mark}{}", query.join("&"))
        }
    })
}

fn token_in(response: &RegistryResponse) -> Option<Secret> {
    #[derive(serde::Deserialize)]
    struct Given {
        token: Option<Zeroizing<String>>,
        access_token: Option<Zeroizing<String>>,
    }
    if response.status != 200 {
        return None;
    }
    let given: Given = serde_json::from_slice(&response.body).ok()?;
    let token = given.token.or(given.access_token)?;
    Some(Secret::from(token.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenge_says_where_tokens_are() {
        for (challenge, url) in [
            (
                "Bearer realm=\"https://public.ecr.aws/token/\",service=\"public.ecr.aws\",scope=\"aws\"",
                Some("https://public.ecr.aws/token/?service=public.ecr.aws&scope=aws"),
            ),
            ("bearer realm=\"https://h/t\"", Some("https://h/t")),
            (
                "Bearer realm=\"https://h/t?a=b\", xscope=\"x\", service=\"s\"",
                Some("https://h/t?a=b&service=s"),
            ),
            (
                "Bearer realm=\"https://h/t\",scope=\"a&b\"",
                Some("https://h/t"),
            ),
            ("Basic realm=\"https://h/\"", None),
            ("Bearer", None),
            ("Bearer service=\"x\"", None),
        ] {
            assert_eq!(realm(challenge).as_deref(), url, "{challenge}");
        }
    }
}
