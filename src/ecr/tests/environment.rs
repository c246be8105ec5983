//! The plan holds all that a call needs: the process's environment and the config files do not
//! count once it is made. Each source runs in a process whose real environment leads elsewhere.

use std::fmt::Write as _;

use sha2::Digest;

use super::sessions::{login_file, sso_file, sso_keys};
use super::*;
use crate::principal::{self, Selection, Surroundings};

const CHILD: &str = "ECR_TEST_ENVIRONMENT";
const LATER: &str = "2999-01-01T00:00:00Z";

/// Every one of these would change the request, if anything read it.
const POISON: &[(&str, &str)] = &[
    ("AWS_ACCESS_KEY_ID", "AKIDPOISON"),
    ("AWS_CA_BUNDLE", "/nowhere"),
    ("AWS_CONFIG_FILE", "/nowhere"),
    ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "POISON"),
    (
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "http://127.0.0.1:9/POISON",
    ),
    ("AWS_EC2_METADATA_DISABLED", "true"),
    ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:9/"),
    ("AWS_ENDPOINT_URL", "http://127.0.0.1:9"),
    ("AWS_ENDPOINT_URL_ECR", "http://127.0.0.1:9"),
    ("AWS_ENDPOINT_URL_SSO", "http://127.0.0.1:9"),
    ("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:9"),
    ("AWS_MAX_ATTEMPTS", "0"),
    ("AWS_PROFILE", "POISON"),
    ("AWS_REGION", "xx-POISON-1"),
    ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/POISON"),
    ("AWS_SECRET_ACCESS_KEY", "POISON"),
    ("AWS_SESSION_TOKEN", "POISON"),
    ("AWS_SHARED_CREDENTIALS_FILE", "/nowhere"),
    ("AWS_USE_DUALSTACK_ENDPOINT", "true"),
    ("AWS_USE_FIPS_ENDPOINT", "true"),
    ("AWS_WEB_IDENTITY_TOKEN_FILE", "/nowhere"),
    ("HOME", "/nowhere"),
    ("HTTPS_PROXY", "http://127.0.0.1:9"),
    ("HTTP_PROXY", "http://127.0.0.1:9"),
    ("NO_PROXY", ""),
    ("SSL_CERT_FILE", "/nowhere"),
];

/// A configuration that selects one source, the replies that it needs, and the key that signs the
/// request to ECR.
struct Configuration {
    id: &'static str,
    config: String,
    variables: Vec<(&'static str, String)>,
    replies: Vec<Act>,
    key: &'static str,
}

fn reply(text: impl Into<String>) -> Act {
    Act::Reply(200, "", text.into())
}

fn keys_of(name: &str) -> String {
    format!(
        r#"{{"Version":1,"Code":"Success","AccessKeyId":"ASIA{name}","SecretAccessKey":"s","Token":"t","SessionToken":"t","Expiration":"{LATER}"}}"#
    )
}

/// A command that prints a line.
fn echo(line: &str) -> String {
    match cfg!(windows) {
        true => format!("echo {line}"),
        false => format!("echo '{line}'"),
    }
}

fn sso_config() -> String {
    "sso_session = s\nsso_account_id = 1\nsso_role_name = r\n[sso-session s]\n\
     sso_region = us-east-1\nsso_start_url = https://x\n"
        .into()
}

#[expect(clippy::too_many_lines, reason = "one table of sources")]
fn configurations(home: &str, url: &str) -> Vec<Configuration> {
    let arn = "arn:aws:iam::123456789012:role/r";
    let row = |id, config: &str, replies, key| Configuration {
        id,
        config: format!("[default]\n{config}\n"),
        variables: Vec::new(),
        replies,
        key,
    };
    let with = |row: Configuration, variables| Configuration { variables, ..row };
    let keys = "aws_access_key_id = AKIAFILE\naws_secret_access_key = s\n";
    vec![
        with(
            row("environment", "", vec![], "AKIAENV"),
            vec![
                ("AWS_ACCESS_KEY_ID", "AKIAENV".into()),
                ("AWS_SECRET_ACCESS_KEY", "s".into()),
            ],
        ),
        row("static", keys, vec![], "AKIAFILE"),
        row(
            "static",
            &format!("role_arn = {arn}\nsource_profile = b\n[profile b]\n{keys}"),
            vec![reply(assumed())],
            "ASIAROLE",
        ),
        row(
            "process",
            &format!("credential_process = {}", echo(&keys_of("PROCESS"))),
            vec![],
            "ASIAPROCESS",
        ),
        row("sso", &sso_config(), vec![sso_keys()], "ASIASSO"),
        row(
            "login",
            &format!("login_session = {arn}"),
            vec![],
            "ASIAOLD",
        ),
        with(
            row(
                "web-identity",
                "",
                vec![reply(assumed().replace("Role", "RoleWithWebIdentity"))],
                "ASIAROLE",
            ),
            vec![
                ("AWS_WEB_IDENTITY_TOKEN_FILE", format!("{home}/token")),
                ("AWS_ROLE_ARN", arn.into()),
            ],
        ),
        with(
            row(
                "container",
                "",
                vec![reply(keys_of("CONTAINER"))],
                "ASIACONTAINER",
            ),
            vec![("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{url}/c"))],
        ),
        with(
            row(
                "instance-metadata",
                "",
                vec![
                    Act::Reply(
                        200,
                        "x-aws-ec2-metadata-token-ttl-seconds: 21600\r\n",
                        "token".into(),
                    ),
                    reply("role"),
                    reply(keys_of("METADATA")),
                ],
                "ASIAMETADATA",
            ),
            vec![("AWS_EC2_METADATA_SERVICE_ENDPOINT", url.into())],
        ),
    ]
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn run(number: usize) -> Option<&'static str> {
    let dir = tempfile::tempdir().expect("directory");
    let home = dir.path().to_str().expect("UTF-8");
    let write = |name: String, text: String| {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().expect("below")).expect("made");
        std::fs::write(path, text).expect("written");
    };
    // The script needs the row, and the row the server's address.
    let script = configurations(home, "").into_iter().nth(number)?.replies;
    let server = server(false, [script, vec![reply(good())]].concat());
    let row = configurations(home, &server.url()).remove(number);
    let arn = "arn:aws:iam::123456789012:role/r";
    write("token".into(), format!("e30.{}.x", STANDARD.encode("{}")));
    let name = hex(sha1::Sha1::digest("s"));
    write(format!(".aws/sso/cache/{name}.json"), sso_file(LATER));
    let name = hex(sha2::Sha256::digest(arn));
    write(format!(".aws/login/cache/{name}.json"), login_file(LATER));
    write(".aws/config".into(), row.config);
    let mut variables = row.variables;
    variables.push((crate::env::HOME, home.into()));
    variables.push(("AWS_ENDPOINT_URL", server.url()));
    let env = Env::of(variables);
    let surroundings = Surroundings::read(&env, Log::off());
    let plan = principal::plan(&surroundings, &registry(REGISTRY), &Selection::default());
    let plan = plan.expect(row.id);
    assert_eq!(plan.source.id(), row.id);
    for name in [".aws/config", "token"] {
        std::fs::remove_file(dir.path().join(name)).expect("there");
    }
    // Everything outside the plan is gone: `ecr` gets an empty environment, too.
    issue(&none(), &plan, REGISTRY, 10.0).expect(row.id);
    let seen = server.seen();
    let last = seen.last().expect("a request");
    let signed = format!("Credential={}/", row.key);
    assert!(last.contains(&signed), "{}: {signed} in {last}", row.id);
    assert_eq!(seen.len(), row.replies.len() + 1, "{}", row.id);
    assert!(!seen.concat().contains("POISON"), "{}: {seen:?}", row.id);
    Some(row.id)
}

/// Not a test by itself: the process with the other environment in the one below.
#[test]
fn child_process() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let mut ran: Vec<_> = (0..).map_while(run).collect();
    ran.dedup();
    assert_eq!(ran.len(), 8, "one for each variant of Source: {ran:?}");
    println!("ran {}", ran.join(", "));
}

#[test]
fn a_plan_runs_without_the_real_environment() {
    let output = std::process::Command::new(std::env::current_exe().expect("this program"))
        .args([
            "--exact",
            "ecr::tests::environment::child_process",
            "--nocapture",
        ])
        .envs(POISON.iter().copied())
        .env(CHILD, "yes")
        .output()
        .expect("started");
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stdout} {stderr}");
    assert!(stdout.contains("instance-metadata"), "{stdout} {stderr}");
}
