//! Exact outputs of the command line, one file per case in `tests/cmd/protocol`.
//!
//! After a change of wording, `TRYCMD=overwrite cargo test --test suite cmd` writes them anew.

use crate::support::run::program;

#[test]
fn outputs_are_those_of_the_files() {
    let home = tempfile::tempdir().expect("a directory");
    let home = home.path().to_str().expect("UTF-8");
    trycmd::TestCases::new()
        .register_bin(
            "docker-credential-ecr-login",
            std::path::Path::new(program()),
        )
        .env("HOME", home)
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .case("tests/cmd/protocol/*.toml");
}
