//! The configuration of other programs: docker's, and that of podman, skopeo and buildah.

pub(crate) mod auth_file;
pub(crate) mod podman;
pub(crate) mod search_path;

/// The name of this program in those files.
pub(crate) const HELPER: &str = "ecr-login";

/// The program that a client runs for it.
pub(crate) const PROGRAM: &str = "docker-credential-ecr-login";
