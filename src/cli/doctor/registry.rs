//! The registry itself: whether it accepts the password, and whether an image exists and may be
//! pulled.

use serde_json::Value;

use super::image::Image;
use super::refusal::{self, GET_IMAGE, GET_LAYER};
use super::visit::{MANIFESTS, Visit, VisitRequest};
use super::{Check, push};
use crate::ecr::RegistryResponse;
use crate::problem::{Problem, ProblemKind};

pub(super) fn check(visit: &mut Visit<'_, '_>, with_push: bool) -> Vec<Check> {
    const ABOUT: &str = "registry";
    let host = visit.subject.host.clone();
    let mut checks = match visit.get("/v2/") {
        Ok(response) if response.status == 200 => vec![Check::ok(
            ABOUT,
            match visit.is_anonymous() {
                true => format!("{host} serves anonymous pulls"),
                false => format!("{host} accepts the new password"),
            },
        )],
        Ok(response) => vec![Check::failed(ABOUT, &not_in(visit, &response))],
        Err(problem) => vec![Check::failed(ABOUT, &problem)],
    };
    let Some(image) = visit.subject.image.clone() else {
        return checks;
    };
    if checks.iter().any(Check::is_failed) {
        checks.push(Check::not_checked("image", "the registry cannot be used"));
        return checks;
    }
    let (found, repository) = pull(visit, &image, with_push);
    checks.extend(found);
    if with_push {
        checks.extend(push::check(visit, &image, repository));
    }
    checks
}

/// Whether the repository exists, from the answers to a pull.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repository {
    Exists,
    Missing,
    /// Hidden from an identity that may not pull.
    Unknown,
}

impl Repository {
    fn of(response: &RegistryResponse) -> Self {
        let code = response.error.as_ref().map(|(code, _)| code.as_str());
        match (response.status, code) {
            (200..=399, _) | (404, Some("MANIFEST_UNKNOWN" | "BLOB_UNKNOWN")) => Self::Exists,
            (404, Some("NAME_UNKNOWN")) => Self::Missing,
            _ => Self::Unknown,
        }
    }
}

/// Why `/v2/` is not served.
fn not_in(visit: &Visit<'_, '_>, response: &RegistryResponse) -> Problem {
    if response.status == 401 && !visit.is_anonymous() {
        return refusal::password_refused(visit.subject);
    }
    let (host, status) = (&visit.subject.host, response.status);
    let (cause, hint) = match &response.error {
        Some((code, message)) => (
            format!("{host} returned HTTP {status}, {code}: {message}"),
            "correct what the registry's message names",
        ),
        None => (
            format!("{host} returned HTTP {status} to GET /v2/"),
            "check what answers under this name, and HTTPS_PROXY",
        ),
    };
    Problem::new(ProblemKind::Refused, cause, hint)
}

/// The image and its layers, and whether the repository exists. A tag that a push will make need
/// not exist.
fn pull(visit: &mut Visit<'_, '_>, image: &Image, with_push: bool) -> (Vec<Check>, Repository) {
    const ABOUT: &str = "image";
    let response = match manifest(visit, image, &image.reference) {
        Ok(response) => response,
        Err(problem) => return (vec![Check::failed(ABOUT, &problem)], Repository::Unknown),
    };
    if response.status == 200 {
        let mut checks = vec![Check::ok(ABOUT, format!("{} exists", image.shown))];
        checks.push(layers(visit, image, &response));
        return (checks, Repository::Exists);
    }
    let mut repository = Repository::of(&response);
    if with_push && repository == Repository::Unknown {
        // The permission to download layers is another one.
        let absent = format!("/v2/{}/blobs/{}", image.repository, push::absent_digest());
        repository = visit
            .get(&absent)
            .map_or(repository, |r| Repository::of(&r));
    }
    let code = response.error.as_ref().map(|(code, _)| code.as_str());
    let problem = refusal::explain(visit.subject, image, GET_IMAGE, &response);
    let check = match (with_push, response.status, code) {
        (true, 404, Some("MANIFEST_UNKNOWN")) => {
            Check::ok(ABOUT, format!("{} does not exist yet", image.shown))
        }
        // A push works without it.
        (true, 403, _) => Check::warning(ABOUT, problem.to_string(), problem.hint()),
        _ => Check::failed(ABOUT, &problem),
    };
    (vec![check], repository)
}

fn manifest(
    visit: &mut Visit<'_, '_>,
    image: &Image,
    reference: &str,
) -> Result<RegistryResponse, Problem> {
    let target = format!("/v2/{}/manifests/{reference}", image.repository);
    visit.send(&VisitRequest {
        // The response to HEAD would not say what is missing.
        method: "GET",
        target: &target,
        accept: Some(MANIFESTS),
        ..VisitRequest::default()
    })
}

/// Whether layers may be downloaded: the answer for the image's configuration, which is a small
/// one, is the same. It is where to download it, and that is not followed.
fn layers(visit: &mut Visit<'_, '_>, image: &Image, response: &RegistryResponse) -> Check {
    const ABOUT: &str = "layers";
    let mut digest = part_of(&response.body);
    if let Some(ManifestPart::Manifest(one)) = &digest {
        digest = match manifest(visit, image, one) {
            Ok(response) if response.status == 200 => part_of(&response.body),
            Ok(response) => {
                let problem = refusal::explain(visit.subject, image, GET_IMAGE, &response);
                return Check::failed(ABOUT, &problem);
            }
            Err(problem) => return Check::failed(ABOUT, &problem),
        };
    }
    let Some(ManifestPart::Blob(digest)) = digest else {
        return Check::not_checked(ABOUT, "the manifest names none");
    };
    match visit.get(&format!("/v2/{}/blobs/{digest}", image.repository)) {
        Ok(response) if response.status < 400 => {
            let host = response
                .location
                .as_deref()
                .and_then(crate::registry::host_and_port);
            Check::ok(
                ABOUT,
                match host {
                    Some(host) => format!("may be downloaded, from {host}"),
                    None => "may be downloaded".to_owned(),
                },
            )
        }
        Ok(response) => {
            let problem = refusal::explain(visit.subject, image, GET_LAYER, &response);
            Check::failed(ABOUT, &problem)
        }
        Err(problem) => Check::failed(ABOUT, &problem),
    }
}

/// The contents of a manifest.
#[derive(Debug, PartialEq, Eq)]
enum ManifestPart {
    /// The first image of an index.
    Manifest(String),
    Blob(String),
}

fn part_of(manifest: &[u8]) -> Option<ManifestPart> {
    let json: Value = serde_json::from_slice(manifest).ok()?;
    let digest = |value: &Value| {
        let digest = value["digest"].as_str().or(value["blobSum"].as_str())?;
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b':';
        digest.bytes().all(plain).then(|| digest.to_owned())
    };
    if let Some(images) = json["manifests"].as_array() {
        return images.iter().find_map(digest).map(ManifestPart::Manifest);
    }
    let blob = digest(&json["config"]).or_else(|| digest(&json["fsLayers"][0]));
    blob.map(ManifestPart::Blob)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_there_if_an_answer_says_so() {
        for (status, code, expected) in [
            (200, None, Repository::Exists),
            (307, None, Repository::Exists),
            (404, Some("MANIFEST_UNKNOWN"), Repository::Exists),
            (404, Some("BLOB_UNKNOWN"), Repository::Exists),
            (404, Some("NAME_UNKNOWN"), Repository::Missing),
            (403, Some("DENIED"), Repository::Unknown),
            (404, None, Repository::Unknown),
            (429, Some("TOOMANYREQUESTS"), Repository::Unknown),
            (503, None, Repository::Unknown),
        ] {
            let response = RegistryResponse::of_status(status, code.map(|code| (code, "")));
            assert_eq!(Repository::of(&response), expected, "{status} {code:?}");
        }
    }

    #[test]
    fn manifests_lead_to_a_blob() {
        let blob = |digest: &str| Some(ManifestPart::Blob(digest.to_owned()));
        for (manifest, part) in [
            (
                r#"{"config": {"digest": "sha256:1a"}, "layers": []}"#,
                blob("sha256:1a"),
            ),
            (
                r#"{"fsLayers": [{"blobSum": "sha256:2b"}]}"#,
                blob("sha256:2b"),
            ),
            (
                r#"{"manifests": [{"digest": "sha256:3c"}, {"digest": "sha256:4d"}]}"#,
                Some(ManifestPart::Manifest("sha256:3c".to_owned())),
            ),
            (r#"{"manifests": []}"#, None),
            (r#"{"config": {"digest": "../../x"}}"#, None),
            ("[]", None),
            ("", None),
        ] {
            assert_eq!(part_of(manifest.as_bytes()), part, "{manifest}");
        }
    }
}
