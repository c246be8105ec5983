//! The cache key: which changes of configuration give another one.

use crate::sources::{HOST, jwt, keys_in, profile, role};
use crate::support::fake::Fake;
use crate::support::run::Helper;

/// A change that selects another principal or endpoint.
type Switch = (&'static str, fn(Helper) -> Helper);

const SWITCHES: &[Switch] = &[
    ("profile", |h| h.env("AWS_PROFILE", "other")),
    ("static profile", |h| h.env("AWS_PROFILE", "keys")),
    ("environment keys", |h| h.keys()),
    ("role", |h| {
        let text = h.read("~/.aws/config").replace("role/dev", "role/dev2");
        h.file("~/.aws/config", text)
    }),
    ("account of the role", |h| {
        let text = h
            .read("~/.aws/config")
            .replace("123456789012:role/dev", "999999999999:role/dev");
        h.file("~/.aws/config", text)
    }),
    ("session name", |h| {
        let text = h
            .read("~/.aws/config")
            .replace("[profile dev]", "[profile dev]\nrole_session_name = s");
        h.file("~/.aws/config", text)
    }),
    ("external ID", |h| {
        let text = h
            .read("~/.aws/config")
            .replace("[profile dev]", "[profile dev]\nexternal_id = e");
        h.file("~/.aws/config", text)
    }),
    ("key of the source", |h| {
        let text = h
            .read("~/.aws/config")
            .replace("AKIAFAKEPROFILE00001", "AKIAFAKEPROFILE00002");
        h.file("~/.aws/config", text)
    }),
    ("endpoint", |h| {
        let url = h.value("AWS_ENDPOINT_URL");
        h.env("AWS_ENDPOINT_URL_ECR", format!("{url}/other"))
    }),
    ("STS endpoint", |h| {
        let url = h.value("AWS_ENDPOINT_URL");
        h.env("AWS_ENDPOINT_URL_STS", format!("{url}/other"))
    }),
];

#[test]
fn principals_never_share_a_token() {
    let base = || {
        format!(
            "[profile dev]\nrole_arn = {}\nsource_profile = base\nregion = us-east-1\n\
             [profile other]\nrole_arn = {}\nsource_profile = base\n{}\
             [profile keys]\naws_access_key_id = AKIAFAKEPROFILE00009\naws_secret_access_key = s\n",
            role("dev"),
            role("other"),
            keys_in("profile base", "AKIAFAKEPROFILE00001"),
        )
    };
    for (name, switch) in SWITCHES {
        let fake = Fake::start();
        let user = || {
            Helper::new()
                .asks(&fake)
                .env("AWS_PROFILE", "dev")
                .file("~/.aws/config", base())
        };
        let helper = user();
        let first = helper.secret(HOST);
        assert_eq!(fake.count("ecr"), 1);
        let helper = switch(helper);
        let second = helper.secret(HOST);
        assert_ne!(second, first, "{name}");
        assert_eq!(fake.count("ecr"), 2, "{name}");
        assert_eq!(helper.secret(HOST), second, "{name}: and back to warm");
        assert_eq!(fake.count("ecr"), 2, "{name}");
    }
}

#[test]
fn unrelated_settings_keep_the_cache_key() {
    let fake = Fake::start();
    let helper = profile(
        &fake,
        &format!(
            "[profile dev]\nrole_arn = {}\nsource_profile = base\nduration_seconds = 900\n{}",
            role("dev"),
            keys_in("profile base", "AKIAFAKEPROFILE00001"),
        ),
    );
    let first = helper.secret(HOST);
    let text = helper.read("~/.aws/config").replace("900", "1800");
    let helper = helper
        .file("~/.aws/config", text)
        .env("AWS_ECR_TIMEOUT", "7")
        .env("NO_PROXY", "example.com")
        .env("AWS_MAX_ATTEMPTS", "2");
    assert_eq!(helper.secret(HOST), first);
    assert_eq!(fake.count("ecr"), 1);
}

#[test]
fn a_web_identity_is_its_subject_and_not_its_token() {
    let fake = Fake::start();
    let helper = Helper::new().asks(&fake).file("~/token", jwt("ci", 1));
    let file = helper.path("~/token");
    let helper = helper
        .env("AWS_WEB_IDENTITY_TOKEN_FILE", file)
        .env("AWS_ROLE_ARN", role("web"));
    let first = helper.secret(HOST);
    let helper = helper.file("~/token", jwt("ci", 2));
    assert_eq!(
        helper.secret(HOST),
        first,
        "a renewed token of the same subject"
    );
    let helper = helper.file("~/token", jwt("another subject", 3));
    assert_ne!(helper.secret(HOST), first, "another subject");
    assert_eq!(fake.count("ecr"), 2);
}
