//! The meaning of a registry's refusal: which IAM action is missing.

use crate::ecr::{Denial, DenialReason, RegistryResponse};
use crate::problem::{Problem, ProblemKind};
use crate::registry::Service;

use super::DoctorSubject;
use super::image::Image;

/// The actions of IAM that a pull and a push need, without the service's prefix.
pub(super) const GET_IMAGE: &str = "BatchGetImage";
pub(super) const GET_LAYER: &str = "GetDownloadUrlForLayer";
pub(super) const CHECK_LAYER: &str = "BatchCheckLayerAvailability";
pub(super) const INITIATE: &str = "InitiateLayerUpload";
pub(super) const UPLOAD: &str = "UploadLayerPart";
pub(super) const COMPLETE: &str = "CompleteLayerUpload";
pub(super) const PUT_IMAGE: &str = "PutImage";

impl DoctorSubject {
    /// The action as policies name it.
    pub(super) fn action(&self, action: &str) -> String {
        match self.registry.service() {
            Service::Ecr => format!("ecr:{action}"),
            Service::EcrPublic => format!("ecr-public:{action}"),
        }
    }
}

fn refused(cause: impl Into<String>, hint: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::Refused, cause, hint)
}

/// Why a request about an image that needs this action failed.
pub(super) fn explain(
    subject: &DoctorSubject,
    image: &Image,
    action: &str,
    response: &RegistryResponse,
) -> Problem {
    let (code, message) = match &response.error {
        Some((code, message)) => (code.as_str(), message.as_str()),
        None => ("", ""),
    };
    let host = &subject.host;
    let repository = &image.repository;
    match (response.status, code) {
        (404, "NAME_UNKNOWN") => no_repository(subject, repository),
        (404, "MANIFEST_UNKNOWN") => no_image(subject, image),
        (404, "BLOB_UNKNOWN") => refused(
            format!("a part of {} is missing in the repository", image.shown),
            "push the image again",
        ),
        (401, _) => password_refused(subject),
        (403, _) => denied(subject, repository, action, message),
        (429, _) => refused(
            format!("{host} returned HTTP 429 (too many requests)"),
            "try again later",
        ),
        (status, "") => refused(
            format!("{host} returned HTTP {status}"),
            "try again; https://health.aws.amazon.com reports outages",
        ),
        (status, code) => refused(
            format!("{host} returned HTTP {status}, {code}: {message}"),
            "correct what the registry's message names",
        ),
    }
}

pub(super) fn password_refused(subject: &DoctorSubject) -> Problem {
    let host = &subject.host;
    let hint = match subject.is_own_name() {
        true => format!(
            "check that {host} passes the Authorization header on to {}",
            subject.registry
        ),
        false => "check for a proxy that changes requests, and this machine's clock".to_owned(),
    };
    refused(format!("{host} does not accept the new password"), hint)
}

fn no_repository(subject: &DoctorSubject, repository: &str) -> Problem {
    let region = subject.registry.region();
    match subject.registry.account_id() {
        Some(account_id) => refused(
            format!("account {account_id} has no repository {repository} in {region}"),
            format!(
                "correct the name, or run aws ecr create-repository --repository-name {repository} --region {region}"
            ),
        ),
        None => refused(
            format!("{} has no repository {repository}", subject.host),
            "correct the name: https://gallery.ecr.aws lists public repositories",
        ),
    }
}

fn no_image(subject: &DoctorSubject, image: &Image) -> Problem {
    let Image {
        repository,
        reference,
        ..
    } = image;
    let what = match image.is_digest() {
        true => "digest",
        false => "tag",
    };
    let hint = match subject.registry.account_id() {
        Some(account_id) => format!(
            "correct the {what}; aws ecr list-images --registry-id {account_id} --region {} --repository-name {repository} lists all",
            subject.registry.region()
        ),
        None => format!("correct the {what}: https://gallery.ecr.aws lists all"),
    };
    refused(
        format!("the repository {repository} has no {what} {reference}"),
        hint,
    )
}

fn denied(subject: &DoctorSubject, repository: &str, action: &str, message: &str) -> Problem {
    let denial = Denial::parse(message);
    let action = match denial.action {
        Some(action) => action.to_owned(),
        None => subject.action(action),
    };
    let cause = format!("access denied: this identity may not call {action} on {repository}");
    let reason = denial.reason.shown();
    let cause = match reason.is_empty() {
        true => cause,
        false => format!("{cause} ({reason})"),
    };
    let hint = match denial.reason {
        DenialReason::Explicit(_) => {
            "ask the policy's owner; an explicit deny cannot be overridden".to_owned()
        }
        DenialReason::NotAllowedBy("identity-based policy") => {
            format!("allow {action} in the policy of this identity")
        }
        DenialReason::NotAllowedBy("resource-based policy") => {
            format!("allow {action} to this identity in the policy of the repository {repository}")
        }
        DenialReason::NotAllowedBy(policy) => format!("allow {action} in the {policy}"),
        DenialReason::Unknown => format!(
            "allow {action} in the identity's policy, and for another account's identity also in the repository's"
        ),
    };
    refused(cause, hint)
}

#[cfg(test)]
mod tests {
    use crate::registry::Registry;

    use super::*;

    const HOST: &str = "123456789012.dkr.ecr.us-east-1.amazonaws.com";

    fn explained(host: &str, status: u16, error: Option<(&str, &str)>) -> (String, String) {
        let registry = Registry::from_server_url(host).expect("ECR's");
        let subject = DoctorSubject {
            host: host.to_owned(),
            registry,
            image: None,
        };
        let image = Image::parse("team/app:1.0")
            .expect("valid")
            .expect("an image");
        let response = RegistryResponse::of_status(status, error);
        let problem = explain(&subject, &image, GET_IMAGE, &response);
        (problem.to_string(), problem.hint().to_owned())
    }

    #[test]
    fn denials_name_the_action_and_the_policy() {
        let user = "User: arn:aws:iam::123456789012:user/u is not authorized to perform: ecr:BatchGetImage \
                    on resource: arn:aws:ecr:us-east-1:123456789012:repository/team/app";
        let cause = "access denied: this identity may not call ecr:BatchGetImage on team/app";
        for (end, more, hint) in [
            ("", "", "in the identity's policy, and"),
            (
                " because no identity-based policy allows the ecr:BatchGetImage action",
                " (no identity-based policy allows it)",
                "in the policy of this identity",
            ),
            (
                " because no resource-based policy allows the ecr:BatchGetImage action",
                " (no resource-based policy allows it)",
                "policy of the repository team/app",
            ),
            (
                " because no VPC endpoint policy allows the ecr:BatchGetImage action",
                " (no VPC endpoint policy allows it)",
                "in the VPC endpoint policy",
            ),
            (
                " with an explicit deny in a service control policy",
                " (explicit deny in a service control policy)",
                "ask the policy's owner",
            ),
        ] {
            let (found, hinted) = explained(HOST, 403, Some(("DENIED", &format!("{user}{end}"))));
            assert_eq!(found, format!("{cause}{more}"));
            assert!(hinted.contains(hint), "{hinted}");
        }
        let (found, _) = explained(HOST, 403, None);
        assert_eq!(found, cause);
        let (found, _) = explained("public.ecr.aws", 403, None);
        assert!(found.contains("ecr-public:BatchGetImage"), "{found}");
    }

    #[test]
    fn missing_things_are_told_apart() {
        for (host, status, error, cause, hint) in [
            (
                HOST,
                404,
                Some(("NAME_UNKNOWN", "x")),
                "account 123456789012 has no repository team/app in us-east-1",
                "aws ecr create-repository --repository-name team/app",
            ),
            (
                HOST,
                404,
                Some(("MANIFEST_UNKNOWN", "x")),
                "the repository team/app has no tag 1.0",
                "aws ecr list-images --registry-id 123456789012",
            ),
            (
                "public.ecr.aws",
                404,
                Some(("NAME_UNKNOWN", "x")),
                "public.ecr.aws has no repository team/app",
                "gallery.ecr.aws",
            ),
            (
                "public.ecr.aws",
                404,
                Some(("MANIFEST_UNKNOWN", "x")),
                "has no tag 1.0",
                "gallery.ecr.aws",
            ),
            (
                HOST,
                404,
                Some(("BLOB_UNKNOWN", "x")),
                "a part of team/app:1.0 is missing",
                "push the image again",
            ),
            (HOST, 401, None, "does not accept the new password", "clock"),
            (
                HOST,
                429,
                Some(("TOOMANYREQUESTS", "x")),
                "HTTP 429",
                "try again later",
            ),
            (HOST, 500, None, "HTTP 500", "try again"),
            (
                HOST,
                400,
                Some(("UNSUPPORTED", "why")),
                "HTTP 400, UNSUPPORTED: why",
                "correct",
            ),
        ] {
            let (found, hinted) = explained(host, status, error);
            assert!(found.contains(cause), "{found}");
            assert!(hinted.contains(hint), "{hinted}");
        }
    }
}
