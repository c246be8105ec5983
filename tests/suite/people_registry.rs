//! `doctor` and the registry itself: what it says of an image, and that it changes nothing.

use serde_json::Value;

use super::people::Machine;
use super::people_doctor::doctor;
use crate::support::fake::behaviour::Behaviour;

const HOST: &str = "123456789012.dkr.ecr.us-east-1.amazonaws.com";
const DEV: &[(&str, &str)] = &[("AWS_PROFILE", "dev")];
const FIVE: [&str; 5] = [
    "BatchCheckLayerAvailability",
    "InitiateLayerUpload",
    "UploadLayerPart",
    "CompleteLayerUpload",
    "PutImage",
];

/// The registry's behaviour, the argument after the host, and the report of doctor: status,
/// what it is about, and a part of its text or hint.
type Case = (
    fn(&mut Behaviour),
    &'static [&'static str],
    (&'static str, &'static str, &'static str),
);

fn nothing(_: &mut Behaviour) {}

fn deny(behaviour: &mut Behaviour, action: &str, end: &str) {
    let denied = &mut behaviour.registry.denied;
    denied.insert(action.to_owned(), end.to_owned());
}

fn no_pull(behaviour: &mut Behaviour) {
    deny(behaviour, "BatchGetImage", "");
    deny(behaviour, "GetDownloadUrlForLayer", "");
}

#[rustfmt::skip]
const CASES: &[Case] = &[
    (nothing, &["/team/app:1.0"], ("ok", "image", "team/app:1.0 exists")),
    (nothing, &["/team/app:1.0"], ("ok", "layers", "from prod-us-east-1-starport-layer-bucket.s3.us-east-1.amazonaws.com")),
    (nothing, &["/team/app:index"], ("ok", "layers", "may be downloaded")),
    (nothing, &["/team/none:1.0"], ("failed", "image", "account 123456789012 has no repository team/none in us-east-1")),
    (nothing, &["/team/none:1.0"], ("failed", "image", "aws ecr create-repository --repository-name team/none")),
    (nothing, &["/team/app:2.0"], ("failed", "image", "the repository team/app has no tag 2.0")),
    (nothing, &["/team/app"], ("failed", "image", "has no tag latest")),
    (nothing, &["/team/app@sha256:0000000000000000000000000000000000000000000000000000000000000000"], ("failed", "image", "has no digest sha256:0000")),
    (|b| deny(b, "BatchGetImage", " because no identity-based policy allows the ecr:BatchGetImage action"), &["/team/app:1.0"], ("failed", "image", "may not call ecr:BatchGetImage on team/app (no identity-based policy allows it)")),
    (|b| deny(b, "BatchGetImage", " because no resource-based policy allows the ecr:BatchGetImage action"), &["/team/app:1.0"], ("failed", "image", "to this identity in the policy of the repository team/app")),
    (|b| deny(b, "BatchGetImage", " with an explicit deny in a service control policy"), &["/team/app:1.0"], ("failed", "image", "explicit deny in a service control policy")),
    (|b| deny(b, "GetDownloadUrlForLayer", ""), &["/team/app:1.0"], ("failed", "layers", "may not call ecr:GetDownloadUrlForLayer")),
    (|b| b.registry.locked = true, &[""], ("failed", "registry", "does not accept the new password")),
    (|b| b.registry.locked = true, &["/team/app:1.0"], ("not_checked", "image", "the registry cannot be used")),
    (nothing, &["/team/app:1.0", "--push"], ("ok", "push", "allowed: ecr:BatchCheckLayerAvailability, ecr:InitiateLayerUpload, ecr:UploadLayerPart, ecr:CompleteLayerUpload, ecr:PutImage; nothing was pushed")),
    (nothing, &["/team/app:2.0", "--push"], ("ok", "image", "team/app:2.0 does not exist yet")),
    (nothing, &["/team/none:2.0", "--push"], ("not_checked", "push", "the repository does not exist")),
    (|b| deny(b, "BatchGetImage", ""), &["/team/app:1.0", "--push"], ("warning", "image", "ecr:BatchGetImage")),
    (|b| deny(b, "BatchGetImage", ""), &["/team/app:1.0", "--push"], ("ok", "push", "ecr:PutImage; nothing was pushed")),
    (|b| deny(b, "BatchGetImage", ""), &["/team/none:1.0", "--push"], ("not_checked", "push", "the repository does not exist")),
    (no_pull, &["/team/app:1.0", "--push"], ("ok", "push", "allowed: ecr:BatchCheckLayerAvailability; nothing was pushed")),
    (no_pull, &["/team/none:1.0", "--push"], ("not_checked", "push", "ecr:PutImage: this identity may not see whether the repository exists")),
    (|b| deny(b, "BatchCheckLayerAvailability", ""), &["/team/app:1.0", "--push"], ("failed", "push", "may not call ecr:BatchCheckLayerAvailability")),
    (|b| deny(b, "InitiateLayerUpload", ""), &["/team/app:1.0", "--push"], ("failed", "push", "allow ecr:InitiateLayerUpload")),
    (|b| deny(b, "InitiateLayerUpload", ""), &["/team/app:1.0", "--push"], ("not_checked", "push", "ecr:UploadLayerPart, ecr:CompleteLayerUpload: no upload was begun")),
    (|b| deny(b, "UploadLayerPart", ""), &["/team/app:1.0", "--push"], ("failed", "push", "may not call ecr:UploadLayerPart")),
    (|b| deny(b, "CompleteLayerUpload", ""), &["/team/app:1.0", "--push"], ("failed", "push", "may not call ecr:CompleteLayerUpload")),
    (|b| deny(b, "PutImage", ""), &["/team/app:1.0", "--push"], ("failed", "push", "may not call ecr:PutImage")),
    (|b| b.registry.uploads_at = "https://evil.example/1".to_owned(), &["/team/app:1.0", "--push"], ("not_checked", "push", "no upload was begun")),
];

fn reports(report: &Value, (status, about, part): (&str, &str, &str)) -> bool {
    let checks = report["checks"].as_array().expect("a list");
    checks.iter().any(|check| {
        let contains = |key: &str| check[key].as_str().is_some_and(|text| text.contains(part));
        check["status"] == status
            && check["about"] == about
            && (contains("text") || contains("hint"))
    })
}

#[test]
fn answers_of_the_registry_are_in_words() {
    let machine = Machine::new();
    for (change, arguments, found) in CASES {
        machine.fake.set(Behaviour::default());
        machine.fake.change(change);
        machine.proxy.seen();
        let subject = format!("{HOST}{}", arguments[0]);
        let arguments = [&[subject.as_str()], &arguments[1..]].concat();
        let (code, report) = doctor(&machine, DEV, &arguments);
        assert!(reports(&report, *found), "{arguments:?}: {report:#}");
        assert_eq!(code, Some(i32::from(report["ok"] == false)), "{report:#}");
        let text = report.to_string();
        for password in machine.fake.issued_passwords() {
            assert!(!text.contains(&password), "{report:#}");
        }
        // Nothing goes to another host, whatever the registry says.
        assert!(machine.proxy.seen().iter().all(|host| host == HOST));
    }
}

#[test]
fn push_is_tried_without_being_made() {
    let machine = Machine::new();
    machine.fake.forget();
    let image = format!("{HOST}/team/app:1.0");
    let (code, _) = doctor(&machine, DEV, &[&image, "--push"]);
    assert_eq!(code, Some(0));
    let calls = machine.fake.calls_to("registry");
    let made: Vec<_> = calls
        .iter()
        .map(|call| {
            let path = call.path.rsplit_once('/').expect("a path").0;
            (call.method.as_str(), path)
        })
        .collect();
    assert_eq!(
        made,
        [
            ("GET", "/v2"),
            ("GET", "/v2/team/app/manifests"),
            ("GET", "/v2/team/app/blobs"),
            ("HEAD", "/v2/team/app/blobs"),
            ("POST", "/v2/team/app/blobs/uploads"),
            ("PATCH", "/v2/team/app/blobs/uploads"),
            ("PUT", "/v2/team/app/blobs/uploads"),
            ("DELETE", "/v2/team/app/blobs/uploads"),
            ("PUT", "/v2/team/app/manifests"),
        ]
    );
    // No tag can move: the manifest is sent under its own digest.
    assert!(calls[8].path.contains("/manifests/sha256:"));
    assert!(
        calls
            .iter()
            .all(|call| call.authorized && call.tls && call.host == HOST)
    );
    // Without the flag, only what a pull asks.
    machine.fake.forget();
    doctor(&machine, DEV, &[&image]);
    assert!(
        machine
            .fake
            .calls_to("registry")
            .iter()
            .all(|call| call.method == "GET")
    );
}

/// A repository creation template may create one with a push.
#[test]
fn push_of_an_unseen_repository_is_not_begun() {
    let machine = Machine::new();
    for denied in [nothing, no_pull, |b: &mut Behaviour| {
        deny(b, "BatchGetImage", "");
    }] {
        machine.fake.set(Behaviour::default());
        machine.fake.change(denied);
        machine.fake.forget();
        let image = format!("{HOST}/team/none:1.0");
        doctor(&machine, DEV, &[&image, "--push"]);
        let calls = machine.fake.calls_to("registry");
        let reads = |method: &str| matches!(method, "GET" | "HEAD");
        assert!(calls.len() > 1, "{calls:?}");
        assert!(calls.iter().all(|call| reads(&call.method)), "{calls:?}");
    }
}

#[test]
fn each_missing_action_of_a_push_is_named() {
    let machine = Machine::new();
    machine.fake.change(|behaviour| {
        for action in FIVE {
            deny(behaviour, action, "");
        }
    });
    let image = format!("{HOST}/team/app:1.0");
    let (code, report) = doctor(&machine, DEV, &[&image, "--push"]);
    assert_eq!(code, Some(1));
    for action in FIVE {
        let text = format!("ecr:{action}");
        let found = [
            ("failed", "push", text.as_str()),
            ("not_checked", "push", &text),
        ];
        assert!(
            found.into_iter().any(|found| reports(&report, found)),
            "{action}: {report:#}"
        );
    }
}

#[test]
fn own_name_is_visited_with_the_password_behind_it() {
    let machine = Machine::new();
    let rules = format!(
        "[registry.example.com]\nregistry = {HOST}\n[unknown.example.com:8443]\nregistry = {HOST}\n"
    );
    machine.write("home/.aws/ecr-login", rules);
    let (code, report) = doctor(&machine, DEV, &["registry.example.com/team/app:1.0"]);
    assert_eq!(
        (code, &report["registry"]),
        (Some(0), &"registry.example.com".into()),
        "{report:#}"
    );
    for found in [
        ("ok", "rules", "registry.example.com is 123456789012"),
        (
            "ok",
            "registry",
            "registry.example.com accepts the new password",
        ),
        ("ok", "image", "team/app:1.0 exists"),
    ] {
        assert!(reports(&report, found), "{report:#}");
    }
    assert_eq!(machine.proxy.seen(), ["registry.example.com"]);
    let (code, report) = doctor(&machine, DEV, &["unknown.example.com:8443"]);
    assert_eq!(code, Some(1));
    assert!(
        reports(
            &report,
            ("failed", "registry", "cannot reach unknown.example.com")
        ),
        "{report:#}"
    );
    // A name that no section holds gets nothing.
    let output = machine.ecr_login_with(DEV, &["doctor", "other.example.com"]);
    assert_eq!(output.code, Some(1));
    assert!(
        output.stderr.contains("is not a registry of Amazon ECR"),
        "{}",
        output.stderr
    );
    assert_eq!(machine.proxy.seen(), ["unknown.example.com:8443"]);
}

#[test]
fn ecr_public_is_visited_with_and_without_credentials() {
    let machine = Machine::new();
    for (vars, part) in [
        (DEV, "accepts the new password"),
        (&[], "serves anonymous pulls"),
    ] {
        let (code, report) = doctor(&machine, vars, &["public.ecr.aws/team/app:1.0"]);
        assert_eq!(code, Some(0), "{report:#}");
        assert!(reports(&report, ("ok", "registry", part)), "{report:#}");
        assert!(reports(&report, ("ok", "image", "exists")), "{report:#}");
    }
    let calls = machine.fake.calls_to("registry");
    let tokens = calls.iter().filter(|call| call.path == "/token/");
    let authorized: Vec<_> = tokens.map(|call| call.authorized).collect();
    assert_eq!(authorized, [true, false]);
}

#[test]
fn reports_for_others_show_no_name() {
    let machine = Machine::new();
    let rules = format!("[registry.example.com]\nregistry = {HOST}\n");
    machine.write("home/.aws/ecr-login", rules);
    let proxy = machine.proxy.url("").replace("http://", "");
    for image in ["team/app:1.0", "team/app:2.0", "team/none"] {
        let image = format!("registry.example.com/{image}");
        let (_, report) = doctor(&machine, DEV, &["--redact", &image]);
        let text = report.to_string();
        for name in [
            "registry.example.com",
            "123456789012",
            "team/",
            "dev",
            "home/",
            &proxy,
        ] {
            assert!(!text.contains(name), "{name}: {report:#}");
        }
    }
}

#[test]
fn reports_of_faulty_files_show_no_name() {
    let dirs = [
        ("DOCKER_CONFIG", "my secret/docker"),
        ("AWS_ECR_CACHE_DIR", "a secret place/cache"),
        ("AWS_CA_BUNDLE", "no secret here/ca.pem"),
        ("REGISTRY_AUTH_FILE", "the secret file/auth.json"),
    ];
    for faulty in ["nothing", "home/.aws/config", "home/.aws/ecr-login"] {
        let machine = Machine::new();
        let vars = dirs.map(|(name, dir)| (name, machine.path(dir).display().to_string()));
        let mut vars: Vec<_> = vars.iter().map(|(k, v)| (*k, v.as_str())).collect();
        vars.push(("AWS_PROFILE", "secret-profile"));
        machine.write("home/.aws/ecr-login", SECRET_RULES);
        machine.write("the secret file/auth.json", "{");
        let stored = format!("{{\"auths\": {{\"{HOST}/secret/app\": {{\"auth\": \"eDp5\"}}}}}}");
        machine.write("home/.config/containers/auth.json", stored);
        let config = machine
            .read("home/.aws/config")
            .replace("dev", "secret-one");
        machine.write("home/.aws/config", config);
        match faulty {
            "nothing" => {}
            file if file.ends_with("config") => machine.write(file, b"[secret-\xff]\nx\n[secret"),
            file => machine.write(file, format!("secret line\n{SECRET_RULES}")),
        }
        let image = format!("{HOST}/secret/app:secret-tag");
        let (_, report) = doctor(&machine, &vars, &["--redact", &image]);
        let text = report.to_string();
        assert!(!text.contains("secret"), "{faulty}: {report:#}");
        assert!(text.contains("<path>"), "{faulty}: {report:#}");
    }
}

const SECRET_RULES: &str = "[secret.example.com]\nregistry = nowhere\n[secret-nothing]\nx = y\n\
    [123456789012]\nprofile = secret-two\nx = secret-value\n";

#[test]
fn misnamed_images_are_refused() {
    let machine = Machine::new();
    for (arguments, cause, hint) in [
        (
            &["doctor", "--push", HOST][..],
            "--push needs an image",
            "give an image",
        ),
        (
            &["doctor", "--push", "https://public.ecr.aws/team/app:1"],
            "and this is a URL",
            "leave out the scheme",
        ),
        (
            &["doctor", "--redact", "other.corp"],
            "\"<name>\" is not a registry",
            "give a host",
        ),
        (
            &["doctor", "public.ecr.aws/Team/app"],
            "is not the name of an image",
            "lower case",
        ),
        (
            &["doctor", "public.ecr.aws/Team app"],
            "is not the name of an image",
            "give an image",
        ),
        (
            &["doctor", "public.ecr.aws/app:"],
            "is not the name of an image",
            "give an image",
        ),
    ] {
        let output = machine.ecr_login_with(DEV, arguments);
        assert_eq!((output.code, output.stdout.as_str()), (Some(1), ""));
        assert!(
            output.stderr.contains(cause) && output.stderr.contains(hint),
            "{}",
            output.stderr
        );
    }
}
