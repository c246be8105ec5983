//! Homes: one per source of credentials, each with the files and variables that such a user has.

use std::cell::RefCell;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha1::Digest;
use tempfile::TempDir;

/// Where the credentials of a home come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Environment,
    Profile,
    /// A static profile among 200, in a config file of 60 KiB.
    HeavyProfile,
    /// A static profile that the rules file names.
    Rule,
    /// The same, by the last of 501 sections.
    ManyRules,
    Role,
    Sso,
    WebIdentity,
    Login,
    Ecs,
    Process,
}

impl Source {
    pub const ALL: &[Self] = &[
        Self::Environment,
        Self::Profile,
        Self::HeavyProfile,
        Self::Rule,
        Self::ManyRules,
        Self::Role,
        Self::Sso,
        Self::WebIdentity,
        Self::Login,
        Self::Ecs,
        Self::Process,
    ];

    pub fn title(self) -> &'static str {
        match self {
            Self::Environment => "keys in the environment",
            Self::Profile => "static profile",
            Self::HeavyProfile => "static profile among 200 (60 KiB)",
            Self::Rule => "static profile by a rule",
            Self::ManyRules => "static profile by the last of 501 rules",
            Self::Role => "role_arn + source_profile",
            Self::Sso => "SSO",
            Self::WebIdentity => "web identity",
            Self::Login => "aws login",
            Self::Ecs => "ECS",
            Self::Process => "credential_process (asked every time)",
        }
    }

    /// A word for the names of directories and budgets.
    pub fn word(self) -> &'static str {
        match self {
            Self::Environment => "environment",
            Self::Profile => "profile",
            Self::HeavyProfile => "heavy",
            Self::Rule => "rule",
            Self::ManyRules => "many-rules",
            Self::Role => "role",
            Self::Sso => "sso",
            Self::WebIdentity => "web-identity",
            Self::Login => "login",
            Self::Ecs => "ecs",
            Self::Process => "process",
        }
    }
}

/// Home directories, as deep as `/home/user`: each component is checked at every cached `get`. They
/// are removed when this is dropped.
#[derive(Debug, Default)]
pub struct Homes(RefCell<Vec<TempDir>>);

/// A home directory and the variables that go with it.
#[derive(Debug, Clone)]
pub struct Home {
    pub dir: PathBuf,
    pub env: Vec<(String, OsString)>,
}

const SESSION: &str = "arn:aws:iam::123456789012:user/developer";
const EXPIRES: &str = "2099-12-31T23:59:59Z";

impl Homes {
    /// Makes a home with this source of credentials.
    pub fn make(&self, source: Source) -> io::Result<Home> {
        let dir = tempfile::Builder::new().prefix("ecr-bench-").tempdir()?;
        let home = Home::fill(dir.path().to_owned(), source)?;
        self.0.borrow_mut().push(dir);
        Ok(home)
    }
}

impl Home {
    #[expect(clippy::too_many_lines, reason = "one arm per source")]
    fn fill(dir: PathBuf, source: Source) -> io::Result<Self> {
        fs::create_dir_all(dir.join(".aws"))?;
        let mut home = Self {
            env: vec![
                ("HOME".into(), dir.clone().into()),
                ("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into()),
                ("AWS_EC2_METADATA_DISABLED".into(), "true".into()),
            ],
            dir,
        };
        match source {
            Source::Environment => {
                home.set("AWS_ACCESS_KEY_ID", "AKIDENVIRONMENT0000");
                home.set("AWS_SECRET_ACCESS_KEY", "bench-secret-key");
            }
            Source::Profile => {
                home.file(".aws/config", "[default]\nregion = us-east-1\n")?;
                home.file(".aws/credentials", &keys("default"))?;
            }
            Source::HeavyProfile => {
                home.set("AWS_PROFILE", "account-150");
                home.file(".aws/config", &heavy_config())?;
                home.file(".aws/credentials", &keys("account-150"))?;
            }
            Source::Rule | Source::ManyRules => {
                home.file(".aws/config", "[profile dev]\nregion = us-east-1\n")?;
                home.file(".aws/credentials", &keys("dev"))?;
                let others = match source {
                    Source::ManyRules => 500,
                    _ => 0,
                };
                home.file(".aws/ecr-login", &rules(others))?;
            }
            Source::Role => {
                home.set("AWS_PROFILE", "build");
                home.file(
                    ".aws/config",
                    "[profile build]\nregion = us-east-1\nsource_profile = base\n\
                     role_arn = arn:aws:iam::123456789012:role/build\n",
                )?;
                home.file(".aws/credentials", &keys("base"))?;
            }
            Source::Sso => {
                home.set("AWS_PROFILE", "dev");
                home.file(
                    ".aws/config",
                    "[profile dev]\nregion = us-east-1\nsso_session = corp\n\
                     sso_account_id = 123456789012\nsso_role_name = Developer\n\n\
                     [sso-session corp]\nsso_region = us-east-1\n\
                     sso_start_url = https://corp.awsapps.com/start\n\
                     sso_registration_scopes = sso:account:access\n",
                )?;
                let login = format!(
                    r#"{{"startUrl":"https://corp.awsapps.com/start","region":"us-east-1","accessToken":"bench-access-token","expiresAt":"{EXPIRES}"}}"#
                );
                let name = hex(&sha1::Sha1::digest("corp"));
                home.file(&format!(".aws/sso/cache/{name}.json"), &login)?;
            }
            Source::WebIdentity => {
                let claims = r#"{"iss":"https://oidc.example.com/id/BENCH","sub":"system:serviceaccount:ci:build","aud":["sts.amazonaws.com"],"exp":4102444799}"#;
                let token = format!(
                    "{}.{}.{}",
                    URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","kid":"bench"}"#),
                    URL_SAFE_NO_PAD.encode(claims),
                    URL_SAFE_NO_PAD.encode([7; 256]),
                );
                let path = home.file("token", &token)?;
                home.set("AWS_WEB_IDENTITY_TOKEN_FILE", path);
                home.set("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/ci");
                home.set("AWS_ROLE_SESSION_NAME", "bench");
            }
            Source::Login => {
                home.set("AWS_PROFILE", "console");
                home.file(
                    ".aws/config",
                    &format!("[profile console]\nregion = us-east-1\nlogin_session = {SESSION}\n"),
                )?;
                let login = format!(
                    r#"{{"accessToken":{{"accessKeyId":"ASIALOGIN0000000000","secretAccessKey":"bench-secret-key","sessionToken":"bench-session-token","accountId":"123456789012","expiresAt":"{EXPIRES}"}},"tokenType":"aws_sigv4","refreshToken":"bench-refresh-token","idToken":"bench","clientId":"arn:aws:signin:::devtools/same-device","dpopKey":"bench"}}"#
                );
                let name = hex(&sha2::Sha256::digest(SESSION));
                home.file(&format!(".aws/login/cache/{name}.json"), &login)?;
            }
            Source::Ecs => home.set(
                "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
                "/v2/credentials/0f3a1d5e-7b2c-4c8e-9d1f-2a6b4c8d0e1f",
            ),
            Source::Process => {
                let path = home.file(
                    "credentials.json",
                    &format!(
                        r#"{{"Version":1,"AccessKeyId":"ASIAPROCESS00000000","SecretAccessKey":"bench-secret-key","SessionToken":"bench-session-token","Expiration":"{EXPIRES}"}}"#
                    ),
                )?;
                home.set("AWS_PROFILE", "external");
                home.file(
                    ".aws/config",
                    &format!(
                        "[profile external]\nregion = us-east-1\ncredential_process = /bin/cat {}\n",
                        path.display()
                    ),
                )?;
            }
        }
        Ok(home)
    }

    /// Sets a variable.
    pub fn set(&mut self, name: &str, value: impl Into<OsString>) {
        self.env.retain(|(known, _)| known != name);
        self.env.push((name.to_owned(), value.into()));
    }

    /// Writes a file of this home.
    pub fn file(&self, name: &str, contents: &str) -> io::Result<PathBuf> {
        let path = self.dir.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, contents)?;
        Ok(path)
    }

    /// Where our helper keeps its cache in this home.
    pub fn cache(&self) -> PathBuf {
        self.dir.join(".cache/docker-credential-ecr-login")
    }

    /// Where the Go helper keeps everything.
    pub fn go_cache(&self) -> PathBuf {
        self.dir.join(".ecr")
    }
}

fn keys(profile: &str) -> String {
    format!(
        "[{profile}]\naws_access_key_id = AKIDPROFILE00000000\naws_secret_access_key = bench-secret-key\n"
    )
}

/// The config file after `aws configure sso` in an organisation of 200 accounts.
fn heavy_config() -> String {
    let mut config = String::from(
        "[sso-session corp]\nsso_region = us-east-1\nsso_start_url = https://corp.awsapps.com/start\n\
         sso_registration_scopes = sso:account:access\n",
    );
    for n in 0..200 {
        if n == 150 {
            config.push_str("\n[profile account-150]\nregion = us-east-1\n");
            continue;
        }
        write!(
            config,
            "\n# The account of team {n}, by way of the organisation's identity center; see the wiki page about accounts.\n\
             [profile account-{n:03}]\nsso_session = corp\nsso_account_id = {:012}\n\
             sso_role_name = TeamDeveloperAccess\nregion = eu-central-1\noutput = json\ncli_pager =\n\
             s3 =\n  max_concurrent_requests = 20\n  max_queue_size = 10000\n",
            100_000_000_000_u64 + n
        )
        .expect("a string takes what is written to it");
    }
    config
}

/// Rules for this many other accounts, and for the one that is asked about.
fn rules(others: u64) -> String {
    let mut rules = String::new();
    for n in 0..others {
        write!(
            rules,
            "[{:012}]\nprofile = account-{n:03}\n\n",
            200_000_000_000_u64 + n
        )
        .expect("a string takes what is written to it");
    }
    rules + "[123456789012]\nprofile = dev\n"
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
