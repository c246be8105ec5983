//! The plan's choice beside that of aws-config's own profile provider, for generated profiles.
//!
//! The SDK gets the same text, a fake network and stand-ins for the sources that a profile can
//! name; what it asks and whose keys it signs with shows what it chose. Where the plan is stricter
//! or milder on purpose, [`excused`] says so, and there is no other place. Not generated: blank
//! values, which the SDK takes for values and the plan for missing; unreadable files, which the
//! SDK takes for empty; one section in two spellings, which it merges at random.

use std::error::Error as _;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use proptest::prelude::*;

use super::*;
use crate::env::Env;
use crate::log::Log;
use crate::profile::{Config, Paths};

/// What was chosen, in words that both sides can be put into.
#[derive(Debug, PartialEq)]
enum Choice {
    /// AccessKeys and calls, one after the other.
    Steps(Vec<String>),
    /// The next source in the order is asked.
    Next(String),
    Refused(String),
}

/// A network on which every role can be assumed.
#[derive(Debug, Clone, Default)]
struct Sts(Arc<Mutex<Vec<String>>>);

impl Sts {
    fn config(&self) -> ProviderConfig {
        let connector = SharedHttpConnector::new(self.clone());
        let region = aws_types::region::Region::new("us-east-1");
        ProviderConfig::without_region()
            .with_region(Some(region))
            .with_http_client(http_client_fn(move |_, _| connector.clone()))
    }
}

impl HttpConnector for Sts {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let body = request.body().bytes().unwrap_or_default();
        let body = String::from_utf8_lossy(body)
            .replace("%3A", ":")
            .replace("%2F", "/");
        let field = |name: &str| {
            let mut pairs = body.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(k, _)| *k == name).map(|(_, v)| v.to_owned())
        };
        let signer = request.headers().get("authorization").and_then(|header| {
            Some(
                header
                    .split_once("Credential=")?
                    .1
                    .split('/')
                    .next()?
                    .to_owned(),
            )
        });
        let mut calls = self.0.lock().expect("no panic inside");
        if field("Action").is_none() {
            // Not STS: a source that lives in the machine, which gives nothing.
            calls.push(
                request
                    .uri()
                    .split('?')
                    .next()
                    .unwrap_or_default()
                    .to_owned(),
            );
            let status = 403.try_into().expect("a status");
            return HttpConnectorFuture::ready(Ok(HttpResponse::new(status, SdkBody::empty())));
        }
        let action = field("Action").unwrap_or_default();
        calls.push(call(
            &action,
            field("RoleArn").unwrap_or_default().as_str(),
            field("ExternalId").as_deref(),
            field("RoleSessionName").as_deref(),
            &signer
                .or_else(|| field("WebIdentityToken").map(|_| "token".to_owned()))
                .unwrap_or_default(),
        ));
        let key = format!("ASIA{}", calls.len());
        let reply = format!(
            "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result>\
             <AssumedRoleUser><AssumedRoleId>A:x</AssumedRoleId><Arn>arn:aws:sts::1:assumed-role/r/x</Arn>\
             </AssumedRoleUser><Credentials><AccessKeyId>{key}</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
             <SessionToken>t</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>\
             </{action}Result></{action}Response>"
        );
        let status = 200.try_into().expect("a status");
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status, SdkBody::from(reply))))
    }
}

/// A session name that nobody set holds the time of day.
fn call(action: &str, role: &str, id: Option<&str>, session: Option<&str>, by: &str) -> String {
    const UNSET: [&str; 2] = ["assume-role-from-profile-", "web-identity-token-"];
    let session = session.filter(|s| !UNSET.iter().any(|unset| s.starts_with(unset)));
    format!("{action} {role} {id:?} {session:?} {by}")
}

/// Stands in for a source that a profile names.
#[derive(Debug)]
struct Named(Option<&'static str>);

impl ProvideCredentials for Named {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(match self.0 {
            Some(key) => Ok(Credentials::new(key, "s", None, None, "test")),
            None => Err(CredentialsError::not_loaded_no_source()),
        })
    }
}

fn theirs(config: &str, credentials: &str, selected: &str) -> Choice {
    let sts = Sts::default();
    let provider_config = sts.config();
    let files = EnvConfigFiles::builder()
        .with_contents(EnvConfigFileKind::Config, config)
        .with_contents(EnvConfigFileKind::Credentials, credentials)
        .build();
    let provider = ProfileFileCredentialsProvider::builder()
        .configure(&provider_config)
        .profile_files(files)
        .profile_name(selected)
        .with_custom_provider("Environment", Named(None))
        .with_custom_provider("EcsContainer", Named(Some("ECS")))
        .with_custom_provider("Ec2InstanceMetadata", Named(Some("EC2")))
        .build();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("runtime");
    let result = runtime.block_on(provider.provide_credentials());
    let mut steps = std::mem::take(&mut *sts.0.lock().expect("no panic inside"));
    let error = match result {
        Ok(keys) => {
            steps.push(keys.access_key_id().to_owned());
            return Choice::Steps(steps);
        }
        Err(error) => error,
    };
    let mut text = format!("{error} {error:?}");
    let mut source = error.source();
    while let Some(error) = source {
        let _ = write!(text, " {error} {error:?}");
        source = error.source();
    }
    let cached = ["sso", "login"].into_iter().find_map(|kind| {
        let (_, rest) = text.split_once(&format!("/{kind}/cache/"))?;
        Some(format!("{kind} {}", rest.split(".json").next()?))
    });
    match cached {
        Some(step) => Choice::Steps(vec![step]),
        None if text.contains("credentials-process") => Choice::Steps(vec!["process".into()]),
        None if matches!(error, CredentialsError::CredentialsNotLoaded(_)) => Choice::Next(text),
        None => Choice::Refused(text),
    }
}

fn ours(config: &str, credentials: &str, selected: &str) -> (Choice, Option<Error>) {
    let env = Env::of([
        ("AWS_PROFILE", selected),
        ("HOME", "/nonexistent"),
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/test"),
    ]);
    let config = Config::of(config, credentials).map_err(Error::File);
    let facts = Surroundings::of(&env, config, Paths::find(&env), Log::off());
    let registry = "123456789012.dkr.ecr.us-east-1.amazonaws.com";
    let registry = Registry::from_server_url(registry).expect("a registry");
    let plan = match facts.plan(&registry) {
        Ok(plan) if plan.profile.is_none() => return (Choice::Next(String::new()), None),
        Ok(plan) => plan,
        Err(Error::LoggedOut { command, path, .. }) => {
            let kind = if command == "aws login" {
                "login"
            } else {
                "sso"
            };
            let file = path.file_stem().expect("a file").to_string_lossy();
            return (Choice::Steps(vec![format!("{kind} {file}")]), None);
        }
        Err(error) => return (Choice::Refused(error.to_string()), Some(error)),
    };
    let mut steps = Vec::new();
    let mut key = match &plan.source {
        Source::Static { keys, .. } => keys.access_key_id.clone(),
        Source::Container { .. } => "ECS".to_owned(),
        Source::InstanceMetadata { .. } => "EC2".to_owned(),
        Source::Process { .. } => return (Choice::Steps(vec!["process".into()]), None),
        Source::WebIdentity(web) => {
            let (role, session) = (&web.role_arn, web.session_name.as_deref());
            steps.push(call(
                "AssumeRoleWithWebIdentity",
                role,
                None,
                session,
                "token",
            ));
            "ASIA1".to_owned()
        }
        other => panic!("{other:?} without a login or without its variables"),
    };
    for role in &plan.roles {
        let (id, session) = (role.external_id.as_deref(), role.session_name.as_deref());
        steps.push(call("AssumeRole", &role.role_arn, id, session, &key));
        key = format!("ASIA{}", steps.len());
    }
    steps.push(key);
    (Choice::Steps(steps), None)
}

/// The differences that are meant.
fn excused(theirs: &Choice, error: Option<&Error>) -> bool {
    match (theirs, error) {
        // The SDK does not read it and assumes the role without a code.
        (_, Some(Error::MfaRequired { .. })) => true,
        // The SDK asks the next source, which is somebody else.
        (Choice::Next(_), Some(Error::UnknownProfile { .. })) => true,
        (Choice::Next(_), Some(Error::Incomplete { key, .. })) => key.starts_with("sso_"),
        (
            Choice::Next(_),
            Some(Error::SourceWithoutCredentials {
                profile,
                role_profile,
            }),
        ) => profile == role_profile,
        // Two equal values are no contradiction, as in the SDK for Go.
        (Choice::Refused(text), None) => {
            text.contains("can only be specified in the [sso-session]")
        }
        // Which of two faults is found first is nobody's business.
        (Choice::Refused(_), Some(_)) => true,
        _ => false,
    }
}

/// Stands in for a web identity token: any file that is there.
const TOKEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");

fn property() -> impl Strategy<Value = String> {
    const ROLES: [&str; 2] = ["arn:aws:iam::1:role/p", "arn:aws:iam::1:role/q"];
    let token = format!("web_identity_token_file = {TOKEN}");
    let one = |key: &'static str, values: &'static [&'static str]| {
        prop::sample::select(values).prop_map(move |value| format!("{key} = {value}"))
    };
    prop_oneof![
        6 => prop::sample::select(&ROLES[..]).prop_map(|role| format!("role_arn = {role}")),
        6 => one("source_profile", &["default", "a", "b", "c", "none"]),
        2 => one("credential_source", &["Environment", "EC2InstanceMetadata", "ecsContainer", "Moon"]),
        1 => one("external_id", &["e", "f"]),
        1 => one("role_session_name", &["m", "n"]),
        1 => Just(token),
        1 => Just("web_identity_token_file = /nonexistent/token".to_owned()),
        1 => one("sso_session", &["s", "none"]),
        1 => one("sso_start_url", &["https://x", "https://y"]),
        1 => one("sso_region", &["us-east-1"]),
        2 => one("sso_account_id", &["1"]),
        2 => one("sso_role_name", &["r"]),
        1 => one("login_session", &["arn:aws:iam::1:user/u"]),
        1 => one("credential_process", &["/nonexistent/process"]),
        5 => one("aws_access_key_id", &["AKIA1", "AKIA2"]),
        5 => one("aws_secret_access_key", &["s"]),
        1 => one("aws_session_token", &["t"]),
        2 => one("region", &["eu-west-1"]),
        1 => one("mfa_serial", &["m"]),
    ]
}

/// Settings that belong together; without them nearly every profile would be incomplete.
fn recipe() -> impl Strategy<Value = Vec<String>> {
    let role = "role_arn = arn:aws:iam::1:role/p";
    let sso = ["sso_account_id = 1", "sso_role_name = r"];
    let token = format!("web_identity_token_file = {TOKEN}");
    let of = |lines: &[&str]| {
        lines
            .iter()
            .map(|&line| line.to_owned())
            .collect::<Vec<_>>()
    };
    prop::sample::select(vec![
        of(&["aws_access_key_id = AKIA3", "aws_secret_access_key = s"]),
        of(&[role, "source_profile = a"]),
        of(&[role, "source_profile = b", "external_id = e"]),
        of(&[role, "source_profile = c", "role_session_name = m"]),
        of(&[role, "source_profile = default"]),
        of(&[role, "credential_source = EcsContainer"]),
        of(&["credential_source = Ec2InstanceMetadata"]),
        of(&[role, &token]),
        of(&[sso[0], sso[1], "sso_session = s"]),
        of(&[
            sso[0],
            sso[1],
            "sso_start_url = https://z",
            "sso_region = us-east-1",
        ]),
        of(&["login_session = arn:aws:iam::1:user/u"]),
        of(&["credential_process = /nonexistent/process"]),
        of(&["region = eu-west-1"]),
    ])
}

fn file(names: [&'static str; 4]) -> impl Strategy<Value = String> {
    let stray = prop_oneof![4 => Just(Vec::new()), 1 => prop::collection::vec(property(), 1..4)];
    let profile = (prop::collection::vec(recipe(), 0..3), stray).prop_map(|(recipes, stray)| {
        let lines: Vec<_> = recipes.into_iter().flatten().chain(stray).collect();
        lines.join("\n")
    });
    let profile = prop::option::weighted(0.8, profile);
    prop::collection::vec(profile, 4).prop_map(move |profiles| {
        let sections = names.iter().zip(profiles);
        let sections = sections.filter_map(|(name, lines)| Some(format!("[{name}]\n{}\n", lines?)));
        sections.collect()
    })
}

const SESSION: &str = "[sso-session s]\nsso_start_url = https://x\nsso_region = us-east-1\n";

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_plan_names_the_source_that_the_sdk_would_ask(
        config in file(["default", "profile a", "profile b", "profile c"]),
        credentials in prop_oneof![Just(String::new()), file(["default", "a", "b", "c"])],
        selected in prop::sample::select(vec!["default", "default", "a", "a", "b", "c", "none"]),
    ) {
        let config = config + SESSION;
        let theirs = theirs(&config, &credentials, selected);
        let (ours, error) = ours(&config, &credentials, selected);
        let same = match (&ours, &theirs) {
            (Choice::Next(_), Choice::Next(_)) => true,
            (ours, theirs) => ours == theirs,
        };
        prop_assert!(
            same || excused(&theirs, error.as_ref()),
            "ours {ours:?}, theirs {theirs:?}, of {selected} in\n{config}\n{credentials}"
        );
    }
}

/// The SDK reads the environment of the process, so each row is a process of its own: this test
/// again, with the row's variables and no others, in which it prints what the default chain did.
#[test]
fn sources_follow_the_default_chain() {
    const CHILD: &str = "PLAN_TEST_CHILD";
    if std::env::var_os(CHILD).is_some() {
        return println!("choice: {}", default_chain());
    }
    let id = ("AWS_ACCESS_KEY_ID", "AKIAENV");
    let secret = ("AWS_SECRET_ACCESS_KEY", "s");
    let old_secret = ("SECRET_ACCESS_KEY", "s");
    let dev = ("AWS_PROFILE", "dev");
    let token = ("AWS_WEB_IDENTITY_TOKEN_FILE", TOKEN);
    let role = ("AWS_ROLE_ARN", "arn:aws:iam::1:role/p");
    let session = ("AWS_ROLE_SESSION_NAME", "m");
    let relative = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/relative");
    let full = (
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "http://127.0.0.1/full",
    );
    let off = ("AWS_EC2_METADATA_DISABLED", "TRUE");
    let (blank, blank_secret) = (("AWS_ACCESS_KEY_ID", " "), ("AWS_SECRET_ACCESS_KEY", ""));
    let rows: &[&[(&str, &str)]] = &[
        &[id, secret, dev, token, role, relative, full],
        &[id, old_secret, dev],
        &[id, blank_secret, old_secret, dev],
        &[id, dev, token, role],
        &[secret, dev],
        &[blank, secret, dev],
        &[dev, token, role, relative],
        &[token, role, session, relative, full],
        &[token, role],
        &[token, relative, full],
        &[role, relative, full],
        &[relative, full, off],
        &[full],
        &[id],
        &[off],
        &[("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:9")],
        &[("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "ipv6")],
    ];
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/nonexistent");
    let dir = std::env::temp_dir().join(format!("ecr-order-{}", std::process::id()));
    let keys = "[dev]\naws_access_key_id = AKIAFILE\naws_secret_access_key = s\n";
    std::fs::write(&dir, keys).expect("write");
    let files = [
        ("AWS_CONFIG_FILE", config),
        ("AWS_SHARED_CREDENTIALS_FILE", dir.to_str().expect("UTF-8")),
    ];
    for row in rows {
        let vars: Vec<_> = files.iter().chain(*row).copied().collect();
        let output = std::process::Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "--nocapture"])
            .arg("principal::differential::sources_follow_the_default_chain")
            .env_clear()
            .envs(vars.iter().copied())
            .env(CHILD, "1")
            .output()
            .expect("run");
        let output = String::from_utf8_lossy(&output.stdout).into_owned();
        let theirs = output.split_once("choice: ").expect(&output).1;
        let theirs = theirs.lines().next().unwrap_or_default();

        let facts = Surroundings::load(&Env::of(vars), Log::off());
        let registry = Registry::from_server_url("public.ecr.aws").expect("a registry");
        let ours = match facts.plan(&registry).map(|plan| plan.source) {
            Ok(Source::Environment(keys) | Source::Static { keys, .. }) => keys.access_key_id,
            Ok(Source::WebIdentity(web)) => {
                let (role, session) = (&web.role_arn, web.session_name.as_deref());
                call("AssumeRoleWithWebIdentity", role, None, session, "token")
            }
            Ok(Source::Container { uri }) if uri.starts_with('/') => {
                format!("http://169.254.170.2{uri}")
            }
            Ok(Source::Container { uri }) => uri,
            Ok(Source::InstanceMetadata { endpoint, ipv6 }) => {
                let host = if ipv6 {
                    "[fd00:ec2::254]"
                } else {
                    "169.254.169.254"
                };
                let base = endpoint.unwrap_or_else(|| format!("http://{host}"));
                format!("{base}/latest/api/token")
            }
            Err(Error::NoCredentials { .. }) => "none".to_owned(),
            other => panic!("{other:?} for {row:?}"),
        };
        assert_eq!(ours, theirs, "{row:?}");
    }
    std::fs::remove_file(dir).expect("remove");
}

/// The first call that the SDK's default chain makes; without one, whose keys it found.
fn default_chain() -> String {
    let sts = Sts::default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("runtime");
    let keys = runtime.block_on(async {
        let chain = aws_config::default_provider::credentials::DefaultCredentialsChain::builder()
            .configure(sts.config())
            .region(aws_types::region::Region::new("us-east-1"))
            .build()
            .await;
        chain.provide_credentials().await
    });
    let calls = sts.0.lock().expect("no panic inside");
    match (calls.first(), keys) {
        (Some(call), _) => call.clone(),
        (None, Ok(keys)) => keys.access_key_id().to_owned(),
        (None, Err(_)) => "none".to_owned(),
    }
}
