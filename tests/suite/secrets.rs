//! Nothing secret leaves the program but on stdout of a successful answer: every source, verb and
//! kind of failure, with and without the debug log; and nothing is left in files, in the
//! arguments of children, or in a core file.

use std::collections::BTreeMap;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use crate::support::fake::{Answer, Fake, PASSWORD_SENTINEL, Script};
use crate::support::run::{Helper, Output};

const HOST: &str = "123456789012.dkr.ecr.us-east-1.amazonaws.com";
const CACHE: &str = ".cache/docker-credential-ecr-login";

/// A part of every secret in these tests, and of nothing else.
const MARK: &str = "FAKE-";

/// The mark, plain and in base64 at each of the three places where it can begin.
fn marks() -> Vec<String> {
    let mut marks = vec![MARK.to_owned(), PASSWORD_SENTINEL.to_owned()];
    for shift in 0..3 {
        let text = format!("{}{MARK}", &"___"[..shift]);
        let encoded = STANDARD.encode(&text);
        // Letters that hold bits of its neighbours differ from case to case.
        let (from, to) = ((shift * 8).div_ceil(6), text.len() * 8 / 6);
        marks.push(encoded[from..to].to_owned());
    }
    marks
}

fn shows_a_secret(text: &str) -> bool {
    marks().iter().any(|mark| text.contains(mark))
}

/// One way to have credentials.
type Source = (&'static str, fn(&Fake) -> Helper);

fn profile(fake: &Fake, text: &str) -> Helper {
    Helper::new().asks(fake).file("~/.aws/config", text)
}

const SSO: &str = "[default]\nsso_session = corp\nsso_account_id = 123456789012\n\
    sso_role_name = Developer\n[sso-session corp]\nsso_region = us-east-1\n\
    sso_start_url = https://example.awsapps.com/start\n";
const KEYS: &str = "aws_access_key_id = AKIA1\naws_secret_access_key = FAKE-SECRET-KEY-FILE\n\
    aws_session_token = FAKE-SESSION-TOKEN-FILE\n";

fn web_token() -> String {
    let payload = r#"{"iss":"https://i","sub":"me","aud":"sts.amazonaws.com","x":"FAKE-WEB"}"#;
    format!("e30.{}.FAKE-SIGNATURE", URL_SAFE_NO_PAD.encode(payload))
}

const SOURCES: &[Source] = &[
    ("environment", |fake| {
        Helper::with_keys(fake).env("AWS_SESSION_TOKEN", "FAKE-SESSION-TOKEN-ENV")
    }),
    ("profile", |fake| {
        profile(fake, &format!("[default]\n{KEYS}"))
    }),
    ("credentials file", |fake| {
        let helper = Helper::new().asks(fake);
        helper.file("~/.aws/credentials", format!("[default]\n{KEYS}"))
    }),
    ("a malformed file", |fake| {
        profile(fake, &format!("[default]\n{KEYS}FAKE-SECRET-KEY-ALONE\n"))
    }),
    ("a file with a stray line", |fake| {
        profile(
            fake,
            &format!("FAKE-SECRET-KEY-FIRST = FAKE-\n[default]\n{KEYS}"),
        )
    }),
    ("half a pair", |fake| {
        profile(
            fake,
            "[default]\naws_secret_access_key = FAKE-SECRET-KEY-HALF\n",
        )
    }),
    ("keys that cannot be sent", |fake| {
        let helper = Helper::with_keys(fake);
        helper.env("AWS_SESSION_TOKEN", "FAKE-SESSION\u{e9}TOKEN")
    }),
    ("role", |fake| {
        let role = "role_arn = arn:aws:iam::123456789012:role/r\nsource_profile = base";
        profile(fake, &format!("[default]\n{role}\n[profile base]\n{KEYS}"))
    }),
    ("SSO", |fake| profile(fake, SSO).sso_login("corp", 3600)),
    ("SSO, to be renewed", |fake| {
        profile(fake, SSO).sso_login_renewable("corp", -10)
    }),
    ("SSO, expired", |fake| {
        profile(fake, SSO).sso_login("corp", -10)
    }),
    ("aws login", |fake| {
        let arn = "arn:aws:iam::123456789012:user/dev";
        let config = format!("[default]\nlogin_session = {arn}\n");
        profile(fake, &config).aws_login(arn, 840)
    }),
    ("aws login, to be renewed", |fake| {
        let arn = "arn:aws:iam::123456789012:user/dev";
        let config = format!("[default]\nlogin_session = {arn}\n");
        profile(fake, &config).aws_login(arn, -10)
    }),
    ("web identity", |fake| {
        let helper = Helper::new().asks(fake).file("~/token", web_token());
        let file = helper.path("~/token");
        helper
            .env("AWS_WEB_IDENTITY_TOKEN_FILE", file)
            .env("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/r")
    }),
    ("container", |fake| {
        let uri = format!("{}/creds?key=FAKE-QUERY", fake.url());
        let helper = Helper::new().asks(fake);
        helper
            .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri)
            .env("AWS_CONTAINER_AUTHORIZATION_TOKEN", "FAKE-CONTAINER-TOKEN")
    }),
    ("container with a bad token", |fake| {
        let uri = format!("{}/creds?key=FAKE-QUERY", fake.url());
        let helper = Helper::new().asks(fake);
        helper
            .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri)
            .env("AWS_CONTAINER_AUTHORIZATION_TOKEN", "FAKE-CONTAINER\nTOKEN")
    }),
    ("container that is refused", |fake| {
        let uri = "http://example.com/creds?key=FAKE-QUERY";
        let helper = Helper::new().asks(fake);
        helper.env("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri)
    }),
    ("pod", |fake| {
        let helper = Helper::new().asks(fake).file("~/token", "FAKE-POD-TOKEN");
        let file = helper.path("~/token");
        helper
            .env(
                "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                format!("{}/creds", fake.url()),
            )
            .env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file)
    }),
    ("instance metadata", |fake| {
        Helper::new().asks(fake).on_instance(fake)
    }),
    ("credential_process", |fake| {
        let helper = Helper::new().asks(fake).file(
            "~/process",
            "tr '\\0' '\\n' < /proc/$$/cmdline > ~/arguments\necho FAKE-NOISE >&2\n\
             echo '{\"Version\":1,\"AccessKeyId\":\"AKIA1\",\"SecretAccessKey\":\"FAKE-SECRET-KEY\",\
             \"SessionToken\":\"FAKE-SESSION-TOKEN\"}'\n",
        );
        helper.file(
            "~/.aws/config",
            "[default]\ncredential_process = sh ~/process\n",
        )
    }),
    ("credential_process that prints no JSON", |fake| {
        profile(
            fake,
            "[default]\ncredential_process = echo 'AccessKeyId: FAKE-SECRET-KEY'\n",
        )
    }),
    ("credential_process that prints the wrong JSON", |fake| {
        profile(
            fake,
            "[default]\ncredential_process = echo '{\"Version\":\"FAKE-SECRET-KEY\"}'\n",
        )
    }),
    (
        "credential_process that fails with its own secret",
        |fake| {
            profile(
                fake,
                "[default]\ncredential_process = no-such-program FAKE-SECRET-KEY\n",
            )
        },
    ),
    ("a proxy with a password", |fake| {
        let helper = Helper::with_keys(fake);
        // Not there: then all there is to say about it is said.
        helper
            .env("HTTP_PROXY", "http://user:FAKE-PROXY-PASSWORD@127.0.0.1:1")
            .env("HTTPS_PROXY", "http://user:FAKE-PROXY-PASSWORD@127.0.0.1:1")
            .env("AWS_ENDPOINT_URL", "http://api.example.test")
            .env("AWS_MAX_ATTEMPTS", "1")
    }),
    ("a proxy that is asked", |fake| {
        let proxy = format!("http://user:FAKE-PROXY-PASSWORD@{}", fake.addr());
        let helper = Helper::with_keys(fake);
        helper
            .env("HTTP_PROXY", proxy)
            .env("AWS_ENDPOINT_URL", "http://api.example.test")
    }),
    ("a proxy that is none", |fake| {
        let helper = Helper::with_keys(fake);
        helper
            .env("HTTP_PROXY", "ftp://user:FAKE-PROXY-PASSWORD@[x")
            .env("AWS_ENDPOINT_URL", "http://api.example.test")
    }),
    ("an endpoint with a password", |fake| {
        let url = format!("http://user:FAKE-URL-PASSWORD@{}", fake.addr());
        Helper::with_keys(fake).env("AWS_ENDPOINT_URL", url)
    }),
    ("an endpoint with a query", |fake| {
        let url = format!("{}/?key=FAKE-QUERY", fake.url());
        Helper::with_keys(fake).env("AWS_ENDPOINT_URL", url)
    }),
];

/// The reaction of AWS.
fn outcomes() -> Vec<(&'static str, Answer)> {
    // As AWS quotes what was sent to it.
    let canonical = "The Canonical String for this request should have been 'POST / host \
        x-amz-security-token:FAKE-SESSION-TOKEN-ENV'";
    let whole = |body: &str| Answer::Status {
        code: 400,
        body: body.to_owned(),
        content_type: None,
        headers: BTreeMap::new(),
    };
    vec![
        ("a token", Answer::default()),
        ("500", Answer::status(500)),
        (
            "denied",
            Answer::error(
                400,
                "AccessDeniedException",
                "User: arn:aws:iam::1:user/u is not authorized to perform: ecr:GetAuthorizationToken",
            ),
        ),
        (
            "signature",
            Answer::error(400, "InvalidSignatureException", canonical),
        ),
        ("truncated", Answer::Truncated),
        (
            "a token that is none",
            Answer::json(r#"{"authorizationData":"$TOKEN"}"#),
        ),
        ("an error with a token in it", whole("$TOKEN $PASSWORD")),
        ("reset", Answer::ResetMidway),
    ]
}

fn check(output: &Output, what: &str) {
    assert!(matches!(output.code, Some(0 | 1)), "{what}: {output:?}");
    assert!(!shows_a_secret(&output.stderr), "{what}: {output:?}");
    if output.code != Some(0) {
        assert!(!shows_a_secret(&output.stdout), "{what}: {output:?}");
    }
}

/// Every file below the home, with its contents.
fn files(helper: &Helper) -> BTreeMap<PathBuf, Vec<u8>> {
    let read = |file: PathBuf| {
        let bytes = std::fs::read(helper.home().join(&file)).unwrap_or_default();
        (file, bytes)
    };
    helper.files("~/").into_iter().map(read).collect()
}

/// Files that are new or changed hold no secret, but for the password in an entry of the cache;
/// and what the SDK itself renews.
fn check_files(helper: &Helper, before: &BTreeMap<PathBuf, Vec<u8>>, what: &str) {
    for (file, bytes) in files(helper) {
        if before.get(&file) == Some(&bytes) || file.starts_with(".aws") {
            continue;
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let is_entry = file.starts_with(CACHE) && file.extension().is_some_and(|end| end == "json");
        let shown = match is_entry {
            // The password is there, once, and nothing else.
            true => {
                assert_eq!(
                    text.matches(PASSWORD_SENTINEL).count(),
                    1,
                    "{what}: {file:?}"
                );
                let rest = text.replacen(PASSWORD_SENTINEL, "", 1);
                rest.contains(MARK)
            }
            false => shows_a_secret(&text),
        };
        assert!(!shown, "{what}: {}: {text}", file.display());
    }
}

#[test]
fn no_source_and_no_failure_shows_a_secret() {
    let outcomes = outcomes();
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let (Some((source, user)), (outcome, answer)) = (
                        SOURCES.get(n / outcomes.len()),
                        &outcomes[n % outcomes.len()],
                    ) else {
                        return;
                    };
                    let fake = Fake::start();
                    let what = format!("{source}, {outcome}");
                    let helper = user(&fake).env("AWS_ECR_TIMEOUT", "6");
                    let before = files(&helper);
                    // Once all of AWS is like this, once only the last that is asked.
                    for all in [true, false] {
                        fake.change(|behaviour| {
                            behaviour.ecr = Script::always(answer.clone());
                            if all {
                                behaviour.sts = Script::always(answer.clone());
                                behaviour.sso = Script::always(answer.clone());
                                behaviour.oidc = Script::always(answer.clone());
                                behaviour.signin = Script::always(answer.clone());
                                behaviour.container = Script::always(answer.clone());
                            } else {
                                let good = behaviour.ecr_public.clone();
                                behaviour.sts = good.clone();
                                behaviour.sso = good.clone();
                                behaviour.oidc = good.clone();
                                behaviour.signin = good.clone();
                                behaviour.container = good;
                            }
                        });
                        let level = if all { "debug" } else { "" };
                        let run = helper.run_of("get").env("AWS_ECR_LOG", level).stdin(HOST);
                        check(&run.run(), &what);
                        let level = if all { "" } else { "debug" };
                        let run = helper.run_of("get").env("AWS_ECR_LOG", level).stdin(HOST);
                        let run = run.env("AWS_ECR_STRICT", "true");
                        check(&run.run(), &what);
                        check_files(&helper, &before, &what);
                    }
                }
            });
        }
    });
    println!(
        "secrets: {} sources, {} outcomes each",
        SOURCES.len(),
        outcomes.len()
    );
}

/// Verbs and the standard input that each gets.
fn requests(token: &str) -> [(&'static str, String); 20] {
    let kubelet = |inside: &str| {
        format!(
            "{{\"apiVersion\":\"credentialprovider.kubelet.k8s.io/v1\",\
             \"kind\":\"CredentialProviderRequest\",\"image\":\"{HOST}/x\",{inside}}}"
        )
    };
    let role = "\"serviceAccountAnnotations\":\
        {\"eks.amazonaws.com/ecr-role-arn\":\"arn:aws:iam::123456789012:role/r\"}";
    let stored = |host: &str| {
        format!("{{\"ServerURL\":\"{host}\",\"Username\":\"AWS\",\"Secret\":\"FAKE-PASSWORD\"}}")
    };
    [
        ("get", HOST.to_owned()),
        ("get", format!("https://user:FAKE-PASSWORD@{HOST}")),
        ("get", format!("https://{HOST}/?token=FAKE-QUERY")),
        ("get", "FAKE-PASSWORD\u{1}".to_owned()),
        (
            "get",
            format!("{{\"uri\":\"https://{HOST}/v2/?x=FAKE-QUERY\"}}"),
        ),
        ("get", "{\"uri\":FAKE-PASSWORD".to_owned()),
        ("get", stored(HOST)),
        ("store", stored(HOST)),
        ("store", stored("docker.io")),
        ("store", "{\"Secret\":\"FAKE-PASSWORD\",".to_owned()),
        (
            "store",
            "{\"Secret\":5,\"ServerURL\":\"FAKE-PASSWORD\"}".to_owned(),
        ),
        ("erase", format!("https://user:FAKE-PASSWORD@{HOST}")),
        ("erase", stored(HOST)),
        ("list", "FAKE-PASSWORD".to_owned()),
        ("version", "FAKE-PASSWORD".to_owned()),
        (
            "kubelet",
            kubelet(&format!("\"serviceAccountToken\":\"{token}\",{role}")),
        ),
        (
            "kubelet",
            kubelet(&format!("\"serviceAccountToken\":\"{token}\"")),
        ),
        (
            "kubelet",
            kubelet("\"serviceAccountToken\":[\"FAKE-TOKEN\"]"),
        ),
        (
            "kubelet",
            kubelet("\"serviceAccountToken\":\"FAKE-TOKEN").replace('}', ""),
        ),
        ("kubelet", "FAKE-TOKEN".to_owned()),
    ]
}

#[test]
fn no_verb_shows_a_secret() {
    let token = web_token();
    let requests = requests(&token);
    for failing in [false, true] {
        let fake = Fake::start();
        if failing {
            let echo = Answer::error(400, "InvalidIdentityToken", &token);
            fake.change(|behaviour| {
                behaviour.ecr = Script::always(Answer::status(400));
                behaviour.sts = Script::always(echo);
            });
        }
        for level in ["", "debug"] {
            let helper = Helper::with_keys(&fake).env("AWS_ECR_LOG", level);
            let before = files(&helper);
            for (verb, stdin) in &requests {
                let output = helper.run_of(verb).stdin(stdin).run();
                let what = format!("{verb} {stdin}");
                check(&output, &what);
                if !matches!(*verb, "get" | "kubelet") {
                    assert!(!shows_a_secret(&output.stdout), "{what}: {output:?}");
                }
                check_files(&helper, &before, &what);
            }
        }
    }
}

#[test]
fn the_marks_are_found_where_they_are() {
    for text in [
        "FAKE-x",
        "a:FAKE-SECRET",
        "ab:FAKE-SECRET",
        "abc:FAKE-SECRET",
    ] {
        assert!(shows_a_secret(text));
        assert!(shows_a_secret(&STANDARD.encode(text)), "{text}");
    }
    assert!(!shows_a_secret("AKIAFAKEENVIRONMENT1"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_crash_leaves_no_core_file() {
    use std::os::unix::process::ExitStatusExt;
    let fake = Fake::start();
    fake.ecr(Script::always(Answer::HangBeforeHeaders));
    let helper = Helper::with_keys(&fake);
    let abort = |script: &str, ready: &dyn Fn()| {
        let mut child = helper
            .shell(&format!("ulimit -c unlimited; {script}"))
            .stdin(HOST);
        child.command.stdin(std::process::Stdio::piped());
        let mut running = child.spawn();
        ready();
        let pid = rustix::process::Pid::from_child(&running.child);
        rustix::process::kill_process(pid, rustix::process::Signal::ABORT).expect("it runs");
        let status = running.child.wait().expect("a child of ours");
        (status.signal(), status.core_dumped())
    };
    let wait = || std::thread::sleep(std::time::Duration::from_millis(300));
    let control = abort("exec sleep 20", &wait);
    if control != (Some(6), true) {
        println!("not tried: no process leaves a core file here ({control:?})");
        return;
    }
    let program = crate::support::run::program();
    let ours = abort(&format!("exec {program} get"), &|| fake.wait_for("ecr", 1));
    assert_eq!(ours, (Some(6), false));
}

#[test]
fn odd_key_id_is_never_printed() {
    let helper = Helper::new()
        .env("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        .env("AWS_ECR_LOG", "debug")
        .file(
            "~/.aws/config",
            "[default]\naws_access_key_id = AKIA SENTINEL\naws_secret_access_key = s\n",
        );
    let said = format!(
        "{:?}",
        helper.get("123456789012.dkr.ecr.us-east-1.amazonaws.com")
    );
    assert!(
        said.contains("an odd key ID") && !said.contains("SENTINEL"),
        "{said}"
    );
}
