//! Sentences of SECURITY.md that the other tests leave out, limitations among them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::network::Proxy;
use crate::support::fake::{Answer, Fake, Script};
use crate::support::run::Helper;

const HOST: &str = "123456789012.dkr.ecr.us-east-1.amazonaws.com";
const PUBLIC: &str = "public.ecr.aws";

#[test]
fn certificate_of_another_name_is_refused() {
    let fake = Fake::start_tls();
    let proxy = Proxy::to(&fake, None, "unknown");
    let helper = Helper::new()
        .keys()
        .env("HTTPS_PROXY", proxy.url(""))
        .env("AWS_MAX_ATTEMPTS", "1")
        .file("~/ca.pem", fake.ca_pem());
    let ca = helper.path("~/ca.pem");
    let helper = helper.env("AWS_CA_BUNDLE", ca);
    let get = |url: &str| {
        let run = helper.run_of("get").env("AWS_ENDPOINT_URL_ECR", url);
        run.stdin(HOST).run()
    };
    // The fake's certificate is for the name that a client asks for. For an IP address no name is
    // sent, so it presents localhost's certificate.
    let output = get("https://10.1.2.3");
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains("certificate"), "{output:?}");
    assert_eq!(fake.calls().len(), 0);
    get("https://api.example").expect_secret(HOST);
}

#[test]
fn public_and_private_registries_share_no_password() {
    let fake = Fake::start();
    let helper = Helper::with_keys(&fake);
    let (public, private) = (helper.secret(PUBLIC), helper.secret(HOST));
    assert_ne!(public, private);
    assert_eq!((fake.count("ecr"), fake.count("ecr_public")), (1, 1));
    // One in place of the other is not served.
    let cache = "~/.cache/docker-credential-ecr-login/v1";
    let entry = |host: &str| {
        let dir = helper.path(cache).join(host);
        let files = std::fs::read_dir(dir).expect("there").flatten();
        let mut files = files.map(|file| file.path());
        let is_entry = |path: &std::path::PathBuf| path.extension().is_some_and(|e| e == "json");
        files.find(is_entry).expect("an entry")
    };
    let (of_public, of_private) = (entry(PUBLIC), entry(HOST));
    let bytes = [&of_public, &of_private].map(|path| std::fs::read(path).expect("readable"));
    std::fs::write(&of_public, &bytes[1]).expect("writable");
    std::fs::write(&of_private, &bytes[0]).expect("writable");
    for host in [PUBLIC, HOST] {
        let secret = helper.secret(host);
        assert!(secret != public && secret != private, "{host}");
    }
}

#[test]
fn stored_login_is_not_used_on_an_instance() {
    let fake = Fake::start();
    let helper = Helper::new().asks(&fake).on_instance(&fake);
    let login = format!(r#"{{"ServerURL":"{HOST}","Username":"AWS","Secret":"FAKE-STORED"}}"#);
    // Stored logins that do not say when they expire are not kept.
    let expires = chrono::Utc::now().timestamp() + 3600;
    let payload =
        format!(r#"{{"payload":"p","version":"2","type":"DATA_KEY","expiration":{expires}}}"#);
    let secret = base64::engine::general_purpose::STANDARD.encode(payload);
    let stored = helper
        .run_of("store")
        .stdin(login.replace("FAKE-STORED", &secret));
    stored.run().expect(0, "", "");
    fake.ecr(Script::always(Answer::error(
        400,
        "AccessDeniedException",
        "no",
    )));
    let output = helper.get(HOST);
    assert_eq!(output.code, Some(1), "{output:?}");
    let alone = helper.env("AWS_EC2_METADATA_DISABLED", "true");
    assert_eq!(alone.secret(HOST), secret);
}

/// The key ID and the claims name a principal; secret and signature are for AWS to check.
#[test]
fn wrong_secrets_and_signatures_get_what_is_cached() {
    let fake = Fake::start();
    let helper = Helper::with_keys(&fake);
    let password = helper.secret(HOST);
    let helper = helper.env("AWS_SECRET_ACCESS_KEY", "wrong");
    assert_eq!(helper.secret(HOST), password);
    assert_eq!(fake.count("ecr"), 1);

    let token = |signature: &str| {
        let payload = URL_SAFE_NO_PAD.encode(r#"{"iss":"i","sub":"s","aud":"a"}"#);
        format!("e30.{payload}.{signature}")
    };
    let helper = Helper::new().asks(&fake).file("~/token", token("c2ln"));
    let file = helper.path("~/token");
    let helper = helper
        .env("AWS_WEB_IDENTITY_TOKEN_FILE", file)
        .env("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/web");
    let password = helper.secret(HOST);
    let helper = helper.file("~/token", token("Zm9yZ2Vk"));
    assert_eq!(helper.secret(HOST), password);
    assert_eq!((fake.count("ecr"), fake.count("sts")), (2, 1));
}
