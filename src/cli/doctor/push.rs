//! `--push`: whether the five actions of a push are allowed, without a push.
//!
//! Each request is one that a push makes and that cannot be completed: the upload is one byte under
//! the digest of other bytes, and the manifest names a configuration that was never uploaded and is
//! sent under its own digest, so that no tag can move. An unfinished upload expires; where a
//! registry can cancel one, it is cancelled. IAM is evaluated first, so any error but a denial
//! means that the action is allowed.
//!
//! ECR may create a missing repository when a push begins, from a repository creation template. So
//! an upload starts only if a response to a pull shows that the repository exists.

use std::fmt::Write;

use serde_json::json;
use sha2::{Digest, Sha256};

use super::Check;
use super::image::Image;
use super::refusal::{self, CHECK_LAYER, COMPLETE, INITIATE, PUT_IMAGE, UPLOAD};
use super::registry::Repository;
use super::visit::{Visit, VisitRequest};
use crate::ecr::RegistryResponse;
use crate::problem::Problem;

const ABOUT: &str = "push";
const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const BYTES: &str = "application/octet-stream";

/// Content that is never uploaded.
const ABSENT: &[u8] = b"docker-credential-ecr-login doctor: no layer has this digest";

/// The findings so far.
struct PushTrial<'a, 'v, 'c> {
    visit: &'a mut Visit<'v, 'c>,
    image: &'a Image,
    allowed: Vec<String>,
    checks: Vec<Check>,
}

pub(super) fn absent_digest() -> String {
    digest_of(ABSENT)
}

pub(super) fn check(visit: &mut Visit<'_, '_>, image: &Image, found: Repository) -> Vec<Check> {
    if found == Repository::Missing {
        return vec![Check::not_checked(ABOUT, "the repository does not exist")];
    }
    let mut push = PushTrial {
        visit,
        image,
        allowed: Vec::new(),
        checks: Vec::new(),
    };
    let absent = absent_digest();
    let repository = format!("/v2/{}", image.repository);
    push.try_action(
        CHECK_LAYER,
        "HEAD",
        &format!("{repository}/blobs/{absent}"),
        None,
    );
    match found {
        Repository::Exists => push.uploads(&repository, &absent),
        _ => push.not_checked(
            &[INITIATE, UPLOAD, COMPLETE, PUT_IMAGE],
            "this identity may not see whether the repository exists, and a push could create it",
        ),
    }
    let PushTrial {
        allowed,
        mut checks,
        ..
    } = push;
    if !allowed.is_empty() {
        let text = format!("allowed: {}; nothing was pushed", allowed.join(", "));
        checks.insert(0, Check::ok(ABOUT, text));
    }
    checks
}

/// A manifest whose configuration was never uploaded.
fn manifest_of(absent: &str) -> String {
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {
            "mediaType": "application/vnd.docker.container.image.v1+json",
            "size": ABSENT.len(),
            "digest": absent,
        },
        "layers": [],
    });
    manifest.to_string()
}

impl PushTrial<'_, '_, '_> {
    /// Tries the actions that write.
    fn uploads(&mut self, repository: &str, absent: &str) {
        self.upload(repository, absent);
        let manifest = manifest_of(absent);
        let target = format!("{repository}/manifests/{}", digest_of(manifest.as_bytes()));
        let body = Some((MANIFEST, manifest.as_bytes()));
        self.try_action(PUT_IMAGE, "PUT", &target, body);
    }

    /// The three actions of an upload; without the first there is nothing to try the others on.
    fn upload(&mut self, repository: &str, absent: &str) {
        let target = format!("{repository}/blobs/uploads/");
        let begun = self.try_action(INITIATE, "POST", &target, None);
        let Some(upload) = begun.and_then(|response| self.next(&response)) else {
            return self.not_checked(&[UPLOAD, COMPLETE], "no upload was begun");
        };
        let written = self.try_action(UPLOAD, "PATCH", &upload, Some((BYTES, b"x")));
        let last = written.and_then(|response| self.next(&response));
        let last = last.unwrap_or_else(|| upload.clone());
        let mark = if last.contains('?') { '&' } else { '?' };
        self.try_action(
            COMPLETE,
            "PUT",
            &format!("{last}{mark}digest={absent}"),
            None,
        );
        let cancel = VisitRequest {
            method: "DELETE",
            target: &last,
            ..VisitRequest::default()
        };
        // ECR cannot; there, an upload that is not completed expires.
        let _ = self.visit.send(&cancel);
    }

    /// Where the upload goes on.
    fn next(&self, response: &RegistryResponse) -> Option<String> {
        let location = response.location.as_deref()?;
        self.visit.absolute(location)
    }

    /// Sends a request; the response if the action is allowed.
    fn try_action(
        &mut self,
        action: &str,
        method: &'static str,
        target: &str,
        body: Option<(&'static str, &[u8])>,
    ) -> Option<RegistryResponse> {
        let request = VisitRequest {
            method,
            target,
            accept: None,
            body,
        };
        match self.visit.send(&request) {
            Ok(response) if is_allowed(method, &response) => {
                self.allowed.push(self.visit.subject.action(action));
                Some(response)
            }
            Ok(response) => {
                self.fail(&refusal::explain(
                    self.visit.subject,
                    self.image,
                    action,
                    &response,
                ));
                None
            }
            Err(problem) => {
                self.fail(&problem);
                None
            }
        }
    }

    fn fail(&mut self, problem: &Problem) {
        self.checks.push(Check::failed(ABOUT, problem));
    }

    fn not_checked(&mut self, actions: &[&str], why: &str) {
        let names: Vec<_> = actions
            .iter()
            .map(|action| self.visit.subject.action(action))
            .collect();
        let text = format!("{}: {why}", names.join(", "));
        self.checks.push(Check::not_checked(ABOUT, text));
    }
}

/// Whether the registry took the request, or refused it for what is in it. A redirect, or a refusal
/// without a registry's error code, is the answer of something else.
fn is_allowed(method: &str, response: &RegistryResponse) -> bool {
    let code = response.error.as_ref().map(|(code, _)| code.as_str());
    match (response.status, code) {
        (200..=299, _) => true,
        (404, None) => method == "HEAD",
        (401 | 403 | 405 | 429, _) | (_, None) => false,
        (400..=499, Some(code)) => !matches!(
            code,
            "NAME_UNKNOWN" | "DENIED" | "UNAUTHORIZED" | "UNSUPPORTED"
        ),
        _ => false,
    }
}

fn digest_of(bytes: &[u8]) -> String {
    let mut digest = "sha256:".to_owned();
    for byte in Sha256::digest(bytes) {
        // A string takes whatever is written to it.
        let _ = write!(digest, "{byte:02x}");
    }
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_registry_allows_or_refuses_a_push() {
        for (method, status, code, expected) in [
            ("POST", 202, None, true),
            ("HEAD", 404, None, true),
            ("PUT", 400, Some("DIGEST_INVALID"), true),
            ("PUT", 404, Some("BLOB_UPLOAD_UNKNOWN"), true),
            ("POST", 404, Some("NAME_UNKNOWN"), false),
            ("POST", 403, Some("DENIED"), false),
            // Of a redirector, a proxy, a firewall.
            ("PUT", 307, None, false),
            ("PUT", 400, None, false),
            ("POST", 404, None, false),
            ("POST", 502, Some("BLOB_UNKNOWN"), false),
        ] {
            let response = RegistryResponse::of_status(status, code.map(|code| (code, "")));
            assert_eq!(is_allowed(method, &response), expected, "{method} {status}");
        }
    }
}
