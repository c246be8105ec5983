//! Where the AWS config files are.

use std::path::PathBuf;

use crate::env::Env;

/// Where the two files are: `AWS_CONFIG_FILE` and `AWS_SHARED_CREDENTIALS_FILE`, else in `~/.aws`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// The config file; none without a home directory.
    pub config: Option<PathBuf>,
    /// The credentials file; none without a home directory.
    pub credentials: Option<PathBuf>,
    pub(super) named: [bool; 2],
}

impl Paths {
    /// The paths as the AWS CLI finds them.
    pub fn find(env: &Env) -> Self {
        let find = |variable: &str, name: &str| match env.aws_path(variable) {
            Some(path) => (Some(path), true),
            None => (env.home().map(|home| home.join(".aws").join(name)), false),
        };
        let (config, config_named) = find("AWS_CONFIG_FILE", "config");
        let (credentials, credentials_named) = find("AWS_SHARED_CREDENTIALS_FILE", "credentials");
        Self {
            config,
            credentials,
            named: [config_named, credentials_named],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::HOME;

    #[test]
    fn variables_name_the_files_else_home_does() {
        let find = |vars: &[(&str, &str)]| {
            let paths = Paths::find(&Env::of(vars.iter().copied()));
            (paths.config, paths.credentials)
        };
        let home = (HOME, "/h");
        let standard = (
            Some("/h/.aws/config".into()),
            Some("/h/.aws/credentials".into()),
        );
        assert_eq!(find(&[home]), standard);
        assert_eq!(find(&[]), (None, None));
        let named = [
            ("X", "/x"),
            ("AWS_CONFIG_FILE", "$X/c"),
            ("AWS_SHARED_CREDENTIALS_FILE", ""),
        ];
        assert_eq!(find(&named), (Some("/x/c".into()), Some("".into())));
    }
}
