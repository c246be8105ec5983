//! The kubelet's credential provider protocol, `credentialprovider.kubelet.k8s.io/v1`: how
//! containerd and CRI-O get registry credentials on a Kubernetes node.
//!
//! A drop-in for cloud-provider-aws's `ecr-credential-provider`. The kubelet has a cache of its
//! own, so the one on disk is not touched. It logs stderr as one message, and only when the
//! provider fails: so a failure is one line here.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::process::ExitCode;

use chrono::{DateTime, TimeDelta};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Context, Io, NAME};
use crate::principal::PodIdentity;
use crate::protocol;
use crate::registry::Registry;
use crate::secret::Secret;

const API_VERSION: &str = "credentialprovider.kubelet.k8s.io/v1";

/// The annotation of a service account that names the role to take, as in cloud-provider-aws.
const ROLE_ANNOTATION: &str = "eks.amazonaws.com/ecr-role-arn";

/// The variable that names it for all service accounts.
const ROLE_VARIABLE: &str = "AWS_ECR_ROLE_ARN";

/// The session name in CloudTrail, as in cloud-provider-aws.
const SESSION_NAME: &str = "ecr-credential-provider";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    api_version: String,
    kind: String,
    image: String,
    #[serde(default)]
    service_account_token: Option<Zeroizing<String>>,
    #[serde(default)]
    service_account_annotations: Option<BTreeMap<String, String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    api_version: &'a str,
    kind: &'a str,
    cache_key_type: &'a str,
    cache_duration: String,
    auth: BTreeMap<&'a str, Auth<'a>>,
}

#[derive(Serialize)]
struct Auth<'a> {
    username: &'a str,
    password: &'a str,
}

pub(super) fn run(context: &mut Context<'_>) -> io::Result<ExitCode> {
    let io = &mut context.io;
    let stdin = match protocol::read(io.stdin) {
        Ok(stdin) => stdin,
        Err(error) => return Ok(fail(io, error, "the kubelet sends one JSON object")),
    };
    let mut request: Request = match serde_json::from_str(&stdin) {
        Ok(request) => request,
        // serde_json's own words would quote what it found, which may be the token.
        Err(error) => {
            let place = format!("line {}, column {}", error.line(), error.column());
            return Ok(fail(
                io,
                format_args!("stdin is not a CredentialProviderRequest: {place}"),
                "this action is for the kubelet: docker calls get",
            ));
        }
    };
    if request.api_version != API_VERSION || request.kind != "CredentialProviderRequest" {
        return Ok(fail(
            io,
            format_args!(
                "cannot answer {:?} of {:?}",
                request.kind, request.api_version
            ),
            format_args!("set apiVersion to {API_VERSION} in the CredentialProviderConfig"),
        ));
    }
    let authority = request.image.split('/').next().unwrap_or_default();
    let Some(registry) = Registry::from_server_url(authority) else {
        return Ok(fail(
            io,
            format_args!("{authority:?} is not a registry of Amazon ECR"),
            "let matchImages in the CredentialProviderConfig match ECR hosts only",
        ));
    };

    let token = request
        .service_account_token
        .as_mut()
        .filter(|token| !token.is_empty())
        .map(|token| Secret::new(std::mem::take(&mut **token)));
    let role = request
        .service_account_annotations
        .as_ref()
        .and_then(|annotations| annotations.get(ROLE_ANNOTATION))
        .filter(|role| !role.trim().is_empty())
        .cloned()
        .or_else(|| context.env.var(ROLE_VARIABLE));
    let web_identity = match (token, role) {
        (Some(token), Some(role_arn)) => Some(PodIdentity {
            role_arn,
            session_name: SESSION_NAME.to_owned(),
            token,
        }),
        (Some(_), None) => {
            // Nobody to tell where stderr is closed.
            let _ = writeln!(
                io.stderr,
                "{NAME}: a service-account token came without a role, so the node's identity is \
                 used; hint: annotate the service account with {ROLE_ANNOTATION} or set \
                 {ROLE_VARIABLE}"
            );
            None
        }
        (None, _) => None,
    };
    let mut helper = context.helper(None);
    let result = helper.get_uncached(&registry, web_identity);
    let io = &mut context.io;
    match result {
        Ok((token, cacheable)) => {
            let ends = if cacheable {
                token.expires_at
            } else {
                DateTime::UNIX_EPOCH
            };
            let auth = Auth {
                username: &token.login.username,
                password: token.login.password.expose(),
            };
            protocol::write_line(
                io.stdout,
                &Response {
                    api_version: API_VERSION,
                    kind: "CredentialProviderResponse",
                    cache_key_type: "Registry",
                    cache_duration: go_duration((ends - (context.clock)()) / 2),
                    auth: BTreeMap::from([(authority, auth)]),
                },
            )?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => Ok(fail(io, &error, error.hint())),
    }
}

fn fail(io: &mut Io<'_>, cause: impl fmt::Display, hint: impl fmt::Display) -> ExitCode {
    // Nobody to tell where stderr is closed.
    let _ = writeln!(io.stderr, "{NAME}: {cause}; hint: {hint}");
    ExitCode::FAILURE
}

/// A duration as Go writes it, in whole seconds, which is how the kubelet reads it; what is
/// negative is nothing.
fn go_duration(duration: TimeDelta) -> String {
    let seconds = duration.num_seconds().max(0);
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s}s"),
        (0, m, s) => format!("{m}m{s}s"),
        (h, m, s) => format!("{h}h{m}m{s}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_go_writes_them() {
        for (seconds, text) in [
            (6 * 3600, "6h0m0s"),
            (6 * 3600 - 1, "5h59m59s"),
            (3600, "1h0m0s"),
            (61, "1m1s"),
            (59, "59s"),
            (0, "0s"),
            (-60, "0s"),
        ] {
            assert_eq!(go_duration(TimeDelta::seconds(seconds)), text);
        }
    }
}
