//! `docker-credential-ecr-login`: see the library.

use std::process::ExitCode;

// musl's own allocator asks the kernel once for each size of object: a dozen system calls, and page
// faults, of a run that makes few others.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> ExitCode {
    docker_credential_ecr_login::cli::main()
}
