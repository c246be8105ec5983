//! The services that can be at fault, and a user whose requests reach each.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use crate::support::fake::{Behaviour, Script};
use crate::support::run::Helper;

const HOST: &str = "123456789012.dkr.ecr.us-east-1.amazonaws.com";
const PUBLIC: &str = "public.ecr.aws";

/// Party is at fault, and how a user comes to ask them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Party {
    Ecr,
    Public,
    Sts,
    WebIdentity,
    Sso,
    /// The service that renews an SSO session.
    Oidc,
    Container,
    Metadata,
}

use Party::{Container, Ecr, Metadata, Oidc, Public, Sso, Sts, WebIdentity};

pub(super) const ALL: &[Party] = &[
    Ecr,
    Public,
    Sts,
    WebIdentity,
    Sso,
    Oidc,
    Container,
    Metadata,
];
pub(super) const TOKENS: &[Party] = &[Ecr, Public];
/// All but instance metadata, which is link-local: it gets two seconds, and one try where nothing
/// answers.
pub(super) const RETRIED: &[Party] = &[Ecr, Public, Sts, WebIdentity, Sso, Oidc, Container];

const ROLE: &str = "[default]\nrole_arn = arn:aws:iam::123456789012:role/r\nsource_profile = base\n\
    [profile base]\naws_access_key_id = AKIAFAKEPROFILE00001\n\
    aws_secret_access_key = FAKE-SECRET-KEY-PROFILE\n";
const SSO: &str = "[default]\nsso_session = corp\nsso_account_id = 123456789012\n\
    sso_role_name = Developer\n[sso-session corp]\nsso_region = us-east-1\n\
    sso_start_url = https://example.awsapps.com/start\n";

impl Party {
    pub(super) fn service(self) -> &'static str {
        match self {
            Ecr => "ecr",
            Public => "ecr_public",
            Sts | WebIdentity => "sts",
            Sso => "sso",
            Oidc => "oidc",
            Container => "container",
            Metadata => "imds",
        }
    }

    pub(super) fn script(self, behaviour: &mut Behaviour) -> &mut Script {
        match self {
            Ecr => &mut behaviour.ecr,
            Public => &mut behaviour.ecr_public,
            Sts | WebIdentity => &mut behaviour.sts,
            Sso => &mut behaviour.sso,
            Oidc => &mut behaviour.oidc,
            Container => &mut behaviour.container,
            Metadata => &mut behaviour.imds,
        }
    }

    pub(super) fn host(self) -> &'static str {
        if self == Public { PUBLIC } else { HOST }
    }

    pub(super) fn user(self, url: &str) -> Helper {
        let helper = Helper::new()
            .env("AWS_ENDPOINT_URL", url)
            // Throttling would be retried until the deadline.
            .env("AWS_MAX_ATTEMPTS", "3")
            .env("AWS_REGION", "us-east-1");
        match self {
            Ecr | Public => helper.keys(),
            Sts => helper.file("~/.aws/config", ROLE),
            WebIdentity => {
                let payload = json!({
                    "iss": "https://issuer.example", "aud": "sts.amazonaws.com", "sub": "me",
                    "note": "FAKE-WEB-IDENTITY-TOKEN",
                });
                let payload = URL_SAFE_NO_PAD.encode(payload.to_string());
                let file = helper.path("~/token");
                helper
                    .file("~/token", format!("e30.{payload}.c2ln"))
                    .env("AWS_WEB_IDENTITY_TOKEN_FILE", file)
                    .env("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/r")
            }
            Sso => helper.file("~/.aws/config", SSO).sso_login("corp", 3600),
            Oidc => {
                let helper = helper.file("~/.aws/config", SSO);
                helper.sso_login_renewable("corp", -10)
            }
            Container => helper
                .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{url}/creds"))
                .env("AWS_CONTAINER_AUTHORIZATION_TOKEN", "FAKE-CONTAINER-TOKEN"),
            Metadata => helper
                .unset("AWS_EC2_METADATA_DISABLED")
                .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", url),
        }
    }

    /// Causes that any failure of this source may have.
    pub(super) fn usual_causes(self) -> &'static [&'static str] {
        match self {
            Oidc => &["the SSO session for profile \"default\" has expired"],
            Metadata => &[
                "no AWS credentials found",
                "unexpected response from instance metadata",
                "instance metadata gives no session token",
            ],
            _ => &[],
        }
    }

    /// Whether a cached token can be found without calling this source, and the source is called
    /// again when the token ages: a renewed SSO session outlives that.
    pub(super) fn is_optional(self) -> bool {
        !matches!(self, Container | Metadata | Oidc)
    }
}
