//! The registry itself, as far as `doctor` asks it: ECR's answers to a pull and to a push, with IAM
//! in front of them. What is uploaded is not kept, but it is noted.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::State;
use super::http::{Reply, Request};

const PUBLIC: &str = "public.ecr.aws";
const BEARER: &str = "FAKE-SESSION-TOKEN-OF-ECR-PUBLIC";
/// The digest of every configuration.
pub const CONFIG: &str = "sha256:c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0";
/// The digest of the image that the tag `index` leads to.
const CHILD: &str = "sha256:c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1";

/// The contents of the registry, and its access rights.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Registry {
    /// The tags of each repository; `index` is one of an index.
    pub images: BTreeMap<String, Vec<String>>,
    /// Actions that IAM does not allow, each with the end of its message.
    pub denied: BTreeMap<String, String>,
    /// Passwords are refused, good ones too.
    pub locked: bool,
    /// Where uploads go on; `$HOST` is this registry.
    pub uploads_at: String,
}

impl Default for Registry {
    fn default() -> Self {
        let tags = ["1.0", "index"].map(str::to_owned).to_vec();
        Self {
            images: BTreeMap::from([("team/app".to_owned(), tags)]),
            denied: BTreeMap::new(),
            locked: false,
            uploads_at: "https://$HOST/v2/team/app/blobs/uploads/1".to_owned(),
        }
    }
}

/// Whether a request is for the registry. A container's credentials are below `/v2/` too.
pub fn is_for_registry(request: &Request) -> bool {
    let path = request.path.as_str();
    path == "/token/" || path.starts_with("/v2/") && !path.starts_with("/v2/credentials")
}

pub(super) fn reply(request: &Request, state: &State) -> Reply {
    let host = request.header("host").unwrap_or_default();
    let registry = &state.behaviour.registry;
    let authorization = request.header("authorization").unwrap_or_default();
    let is_public = host == PUBLIC;
    if request.path == "/token/" {
        return match authorization.is_empty() || is_issued(authorization, state) {
            true => json_reply(200, &json!({"token": BEARER, "access_token": BEARER})),
            false => error(401, "UNAUTHORIZED", "not authorized"),
        };
    }
    let is_in = match is_public {
        true => authorization == format!("Bearer {BEARER}"),
        false => is_issued(authorization, state),
    };
    if registry.locked || !is_in {
        let challenge = match is_public {
            true => {
                format!("Bearer realm=\"https://{host}/token/\",service=\"{host}\",scope=\"aws\"")
            }
            false => format!("Basic realm=\"https://{host}/\",service=\"ecr.amazonaws.com\""),
        };
        return error(401, "UNAUTHORIZED", "not authorized").with("WWW-Authenticate", challenge);
    }
    match request.path.strip_prefix("/v2/") {
        None | Some("") => json_reply(200, &json!({})),
        Some(rest) => below(request, rest, registry, host),
    }
}

fn is_issued(authorization: &str, state: &State) -> bool {
    let pair = authorization.strip_prefix("Basic ").unwrap_or_default();
    let pair = String::from_utf8(STANDARD.decode(pair).unwrap_or_default()).unwrap_or_default();
    let password = pair.strip_prefix("AWS:").unwrap_or_default();
    state.passwords.iter().any(|issued| issued == password)
}

/// Manifests and blobs.
fn below(request: &Request, rest: &str, registry: &Registry, host: &str) -> Reply {
    let method = request.method.as_str();
    let Some((repository, what)) = ["/manifests/", "/blobs/"].into_iter().find_map(|part| {
        let (repository, last) = rest.split_once(part)?;
        Some((repository, format!("{part}{last}")))
    }) else {
        return error(404, "UNSUPPORTED", "no such path");
    };
    let action = match (method, what.starts_with("/manifests/")) {
        ("GET", true) => "BatchGetImage",
        ("PUT", true) => "PutImage",
        ("GET", false) => "GetDownloadUrlForLayer",
        ("HEAD", false) => "BatchCheckLayerAvailability",
        ("POST", false) => "InitiateLayerUpload",
        ("PATCH", false) => "UploadLayerPart",
        ("PUT", false) => "CompleteLayerUpload",
        _ => return error(405, "UNSUPPORTED", "no such method"),
    };
    if let Some(end) = registry.denied.get(action) {
        return error(
            403,
            "DENIED",
            &format!(
                "User: arn:aws:iam::123456789012:user/puller is not authorized to perform: ecr:{action} \
             on resource: arn:aws:ecr:us-east-1:123456789012:repository/{repository}{end}"
            ),
        );
    }
    let Some(tags) = registry.images.get(repository) else {
        return error(
            404,
            "NAME_UNKNOWN",
            &format!(
                "The repository with name '{repository}' does not exist in the registry with id '123456789012'"
            ),
        );
    };
    let last = what.rsplit('/').next().unwrap_or_default();
    match action {
        "BatchGetImage" if last == "index" => json_reply(200, &index()),
        "BatchGetImage" if last == CHILD || tags.iter().any(|tag| tag == last) => {
            json_reply(200, &json!({"schemaVersion": 2, "config": {"digest": CONFIG}, "layers": []}))
        }
        "BatchGetImage" => error(404, "MANIFEST_UNKNOWN", "Requested image not found"),
        "GetDownloadUrlForLayer" if last == CONFIG => Reply::new(307, "", "").with(
            "Location",
            "https://prod-us-east-1-starport-layer-bucket.s3.us-east-1.amazonaws.com/x?X-Amz-Signature=s",
        ),
        "GetDownloadUrlForLayer" => error(404, "BLOB_UNKNOWN", "blob unknown to registry"),
        "InitiateLayerUpload" | "UploadLayerPart" => Reply::new(202, "", "")
            .with("Location", registry.uploads_at.replace("$HOST", host)),
        "CompleteLayerUpload" => error(400, "DIGEST_INVALID", "provided digest did not match"),
        "PutImage" => error(400, "MANIFEST_BLOB_UNKNOWN", "blob unknown to registry"),
        _ => error(404, "BLOB_UNKNOWN", "blob unknown to registry"),
    }
}

fn index() -> Value {
    json!({"schemaVersion": 2, "manifests": [
        {"digest": CHILD, "platform": {"os": "linux", "architecture": "amd64"}},
    ]})
}

fn json_reply(status: u16, body: &Value) -> Reply {
    Reply::new(status, "application/json", body.to_string())
}

fn error(status: u16, code: &str, message: &str) -> Reply {
    let body = json!({"errors": [{"code": code, "message": message}]});
    json_reply(status, &body).with("Docker-Distribution-Api-Version", "registry/2.0")
}
