//! The program's own switches, one function per variable.

use std::path::PathBuf;
use std::time::Duration;

use crate::env::Env;

/// The deadline of one `get`.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The deadline where a credential_process may ask a person something.
const TIMEOUT_WITH_PROCESS: Duration = Duration::from_mins(1);

/// `AWS_ECR_TIMEOUT`, in seconds; what is not a positive number counts as not set.
pub fn timeout(env: &Env, asks_a_process: bool) -> Duration {
    let set = env
        .var("AWS_ECR_TIMEOUT")
        .and_then(|text| text.parse().ok());
    match set.map(Duration::try_from_secs_f64) {
        Some(Ok(timeout)) if !timeout.is_zero() => timeout.min(Duration::from_hours(1)),
        _ if asks_a_process => TIMEOUT_WITH_PROCESS,
        _ => TIMEOUT,
    }
}

/// The place of the cache, unless `AWS_ECR_DISABLE_CACHE` is set.
pub fn cache_dir(env: &Env) -> Option<PathBuf> {
    let disabled = env
        .raw("AWS_ECR_DISABLE_CACHE")
        .is_some_and(|v| !v.is_empty());
    if disabled { None } else { cache_place(env) }
}

/// `AWS_ECR_CACHE_DIR`, else our directory in the user's cache directory; none if there is no such
/// place. What has been kept there can be erased also while nothing is.
pub fn cache_place(env: &Env) -> Option<PathBuf> {
    if let Some(dir) = env.path("AWS_ECR_CACHE_DIR") {
        return Some(dir);
    }
    // A relative HOME names another place in each directory that a client starts us in.
    let dir = env.cache_dir().filter(|dir| dir.is_absolute())?;
    Some(dir.join(env!("CARGO_PKG_NAME")))
}

/// `AWS_ECR_STRICT`: a failing `get` says why on stdout.
pub fn strict(env: &Env) -> bool {
    env.is_true("AWS_ECR_STRICT")
}

/// `AWS_ECR_IGNORE_CREDS_STORAGE`: `store` and `erase` do nothing and succeed.
pub fn ignore_creds_storage(env: &Env) -> bool {
    env.is_true("AWS_ECR_IGNORE_CREDS_STORAGE")
}

/// `AWS_ECR_LOG=debug`.
pub fn log_debug(env: &Env) -> bool {
    env.var("AWS_ECR_LOG")
        .is_some_and(|level| level.eq_ignore_ascii_case("debug"))
}
