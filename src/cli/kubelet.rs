//! The kubelet's credential provider protocol, `credentialprovider.kubelet.k8s.io/v1`: how
//! containerd and CRI-O get registry credentials on a Kubernetes node.
//!
//! A drop-in for cloud-provider-aws's `ecr-credential-provider`. The kubelet has a cache of its
//! own, so the one on disk is not touched. It logs stderr as one message, and only when the
//! provider fails: so a failure is one line here.

use std::collections::BTreeMap;
use std::io;
use std::process::ExitCode;

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Context, NAME};
use crate::helper::Cacheable;
use crate::principal::{PodIdentity, Selection, Surroundings};
use crate::problem::{Problem, ProblemKind};
use crate::protocol::{self, Form};
use crate::registry::{Registry, host_and_port, is_region};
use crate::rules::Rules;
use crate::secret::Secret;
use crate::settings;

const API_VERSION: &str = "credentialprovider.kubelet.k8s.io/v1";

/// The annotation of a service account that names the role to assume, as in cloud-provider-aws.
const ROLE_ANNOTATION: &str = "eks.amazonaws.com/ecr-role-arn";

/// The variable that names it for all service accounts.
const ROLE_VARIABLE: &str = settings::ROLE_ARN.name;

/// The session name in CloudTrail, as in cloud-provider-aws.
const SESSION_NAME: &str = "ecr-credential-provider";

/// How much of a text from outside a message shows, in characters.
const LONGEST_SHOWN: usize = 100;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KubeletRequest {
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
struct KubeletResponse<'a> {
    api_version: &'a str,
    kind: &'a str,
    cache_key_type: &'a str,
    cache_duration: String,
    auth: BTreeMap<&'a str, KubeletAuth<'a>>,
}

#[derive(Serialize)]
struct KubeletAuth<'a> {
    username: &'a str,
    password: &'a str,
}

/// Why there is no response: one line for the kubelet's log.
struct Refusal {
    cause: String,
    hint: String,
}

impl Refusal {
    fn new(cause: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            cause: cause.into(),
            hint: hint.into(),
        }
    }
}

pub(super) fn run(context: &mut Context<'_>) -> io::Result<ExitCode> {
    match respond(context)? {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(Refusal { cause, hint }) => {
            // A closed stderr is no reason to panic. Without a newline at the end the kubelet logs
            // this as one line.
            let _ = write!(context.io.stderr, "{NAME}: {cause}; hint: {hint}");
            Ok(ExitCode::FAILURE)
        }
    }
}

fn respond(context: &mut Context<'_>) -> io::Result<Result<(), Refusal>> {
    let (request, authority) = match read(context) {
        Ok(parts) => parts,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let web_identity = match web_identity(context, request) {
        Ok(web_identity) => web_identity,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let result = target(context, &authority, web_identity)
        .and_then(|(registry, selection)| context.helper(None, selection).get_uncached(&registry));
    let (token, cacheable) = match result {
        Ok(obtained) => obtained,
        Err(problem) => {
            let cause = format!("{authority}: {problem}");
            return Ok(Err(Refusal::new(cause, problem.hint())));
        }
    };
    let now = (context.clock)();
    let left = match cacheable {
        Cacheable::Yes => token.expires_at - now,
        Cacheable::No(_) => TimeDelta::zero(),
    };
    let auth = KubeletAuth {
        username: &token.login.username,
        password: token.login.password.expose(),
    };
    protocol::write_line(
        context.io.stdout,
        &KubeletResponse {
            api_version: API_VERSION,
            kind: "CredentialProviderResponse",
            cache_key_type: "Registry",
            cache_duration: go_duration(left / 2),
            auth: BTreeMap::from([(authority.as_str(), auth)]),
        },
    )?;
    Ok(Ok(()))
}

/// The request, and the registry's host as it is in the image's name.
fn read(context: &mut Context<'_>) -> Result<(KubeletRequest, String), Refusal> {
    let stdin = protocol::read(context.io.stdin, Form::Json)
        .map_err(|error| Refusal::new(error.to_string(), "send one JSON object"))?;
    let request: KubeletRequest = serde_json::from_str(stdin.expose()).map_err(|error| {
        // serde_json's own message would quote what it found, which may be the token.
        let (line, column) = (error.line(), error.column());
        Refusal::new(
            format!("stdin is not a CredentialProviderRequest: line {line}, column {column}"),
            "let the kubelet call this: docker calls get",
        )
    })?;
    if request.api_version != API_VERSION || request.kind != "CredentialProviderRequest" {
        return Err(Refusal::new(
            format!(
                "unsupported kind {:?} in apiVersion {:?}",
                shown(&request.kind),
                shown(&request.api_version)
            ),
            format!("set apiVersion to {API_VERSION} in the CredentialProviderConfig"),
        ));
    }
    let authority = request.image.split('/').next().unwrap_or_default();
    if host_and_port(authority).is_none() {
        return Err(Refusal::new(
            format!("{:?} is not a registry's host", shown(authority)),
            "check the image's name",
        ));
    }
    let authority = authority.to_owned();
    Ok((request, authority))
}

/// The registry of a host, and who gets the token.
fn target(
    context: &Context<'_>,
    authority: &str,
    pod: Option<PodIdentity>,
) -> Result<(Registry, Selection), Problem> {
    let rules = context.rules()?;
    let registry = match rules.resolve(authority)? {
        Some(registry) => registry,
        None => behind_mirror(context, &rules, authority)?,
    };
    let selection = match pod {
        // The pod's own role is more specific than any rule.
        Some(pod) => Selection {
            web_identity: Some(pod),
            ..Selection::default()
        },
        None => rules.selection(&registry)?,
    };
    Ok((registry, selection))
}

/// The registry behind a host that is not one of ECR's, as in cloud-provider-aws: the default one
/// of the node's region. A pull-through mirror is meant, and the administrator has agreed by
/// listing its host in matchImages.
fn behind_mirror(
    context: &Context<'_>,
    rules: &Rules,
    authority: &str,
) -> Result<Registry, Problem> {
    // The rules about a mirror do not depend on the region.
    let selection = rules.selection(&Registry::behind_mirror(authority, ""))?;
    let profile = selection.profile.as_ref().map(|profile| &*profile.value);
    let surroundings = Surroundings::read(context.env, context.log);
    let region = surroundings.region(context.env, profile);
    let region = region
        .filter(|region| is_region(region))
        .ok_or_else(no_region)?;
    Ok(Registry::behind_mirror(authority, &region))
}

fn no_region() -> Problem {
    Problem::new(
        ProblemKind::Configuration,
        "this is not a registry of ECR, and no region says which one it mirrors",
        "set AWS_REGION in the provider's env, or add a section with registry to ~/.aws/ecr-login",
    )
}

/// The pod's identity; none if the node's is meant. A pod that names a role never gets the node's
/// identity instead.
fn web_identity(
    context: &mut Context<'_>,
    mut request: KubeletRequest,
) -> Result<Option<PodIdentity>, Refusal> {
    let token = request
        .service_account_token
        .as_mut()
        .filter(|token| !token.is_empty())
        .map(|token| Secret::new(std::mem::take(&mut **token)));
    let annotation = request
        .service_account_annotations
        .as_mut()
        .and_then(|annotations| annotations.remove(ROLE_ANNOTATION));
    let role = match annotation {
        Some(role) => Some((role, format!("the annotation {ROLE_ANNOTATION}"))),
        None => context
            .env
            .selecting_var(ROLE_VARIABLE)
            .unwrap_or_else(|role| Some(role.to_string_lossy().into_owned()))
            .map(|role| (role, ROLE_VARIABLE.to_owned())),
    };
    match (token, role) {
        // Graphic characters alone, so that no message has to escape it.
        (_, Some((role, named_by)))
            if role.is_empty() || !role.bytes().all(|b| b.is_ascii_graphic()) =>
        {
            Err(Refusal::new(
                format!("{named_by} is not a role ARN: {:?}", shown(&role)),
                format!("set {named_by} to the ARN of an IAM role, or remove it"),
            ))
        }
        (Some(token), Some((role_arn, _))) => Ok(Some(PodIdentity {
            role_arn,
            session_name: SESSION_NAME.to_owned(),
            token,
        })),
        (None, Some((_, named_by))) => Err(Refusal::new(
            format!("{named_by} names a role, but no service-account token was sent"),
            "set tokenAttributes in the CredentialProviderConfig",
        )),
        (Some(_), None) => {
            // A closed stderr is no reason to fail.
            let _ = writeln!(
                context.io.stderr,
                "{NAME}: a service-account token came without a role, so the node's identity is \
                 used; hint: annotate the service account with {ROLE_ANNOTATION} or set \
                 {ROLE_VARIABLE}"
            );
            Ok(None)
        }
        (None, None) => Ok(None),
    }
}

/// As much of a text from outside as a message shows.
fn shown(text: &str) -> String {
    text.chars().take(LONGEST_SHOWN).collect()
}

/// A duration as Go writes it, in whole seconds, which is how the kubelet reads it; zero if it is
/// negative.
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
