//! Proxies, private CAs, private endpoints: as much of locked-down networks as can be shown on
//! loopback. A proxy of a few lines leads every name to the fake, so that the program goes by the
//! real host names here too; with real proxies and resolvers, tests/system/network.py does it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;

use crate::support::fake::{Answer, Fake, Script};
use crate::support::run::{Helper, KEY_ID, NOT_FOUND, Output, SECRET_KEY};

const HOST: &str = "123456789012.dkr.ecr.us-east-1.amazonaws.com";
const CHINA: &str = "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn";

/// A forward proxy on loopback. Its threads end with the test's process.
pub(crate) struct Proxy {
    addr: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// Leads everything to the fake; `authorization` is asked for, and names that begin with
    /// `unknown` do not resolve.
    pub(crate) fn to(
        fake: &Fake,
        authorization: Option<&'static str>,
        unknown: &'static str,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let addr = listener.local_addr().expect("bound");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (https, log) = (fake.https_addrs()[0], Arc::clone(&seen));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let log = Arc::clone(&log);
                thread::spawn(move || tunnel(&client, https, authorization, unknown, &log));
            }
        });
        Self { addr, seen }
    }

    pub(crate) fn url(&self, user: &str) -> String {
        format!("http://{user}{}", self.addr)
    }

    /// The hosts that were asked for since the last time.
    pub(crate) fn seen(&self) -> Vec<String> {
        std::mem::take(&mut self.seen.lock().expect("no panic"))
    }
}

fn tunnel(
    mut client: &TcpStream,
    fake: SocketAddr,
    authorization: Option<&str>,
    unknown: &str,
    seen: &Mutex<Vec<String>>,
) -> Option<()> {
    let mut head = Vec::new();
    // Unbuffered: what follows the head belongs to the fake.
    let mut reader = BufReader::with_capacity(1, client);
    while !head.ends_with(b"\r\n\r\n") {
        if reader.read_until(b'\n', &mut head).ok()? == 0 {
            return None;
        }
    }
    let head = String::from_utf8(head).ok()?;
    let host = head.strip_prefix("CONNECT ")?.split(' ').next()?;
    seen.lock().ok()?.push(host.trim_end_matches(":443").into());
    let allowed = authorization.is_none_or(|wanted| {
        head.lines()
            .any(|line| line.eq_ignore_ascii_case(&format!("proxy-authorization: {wanted}")))
    });
    let refusal = match allowed {
        false => "HTTP/1.1 407 Who are you\r\n\r\n",
        true if !unknown.is_empty() && host.starts_with(unknown) => "HTTP/1.1 502 No\r\n\r\n",
        true => "",
    };
    if !refusal.is_empty() {
        return client.write_all(refusal.as_bytes()).ok();
    }
    let server = TcpStream::connect(fake).ok()?;
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    client.write_all(b"HTTP/1.1 200 Here\r\n\r\n").ok()?;
    thread::scope(|scope| {
        scope.spawn(|| copy(client, &server));
        copy(&server, client);
    });
    Some(())
}

fn copy(mut from: &TcpStream, mut to: &TcpStream) {
    let mut bytes = [0; 16 << 10];
    while let Ok(n @ 1..) = from.read(&mut bytes) {
        if to.write_all(&bytes[..n]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

/// A user behind this proxy, who trusts the fake's authority.
fn behind(proxy: &Proxy, fake: &Fake) -> Helper {
    let helper = Helper::new().file("~/ca.pem", fake.ca_pem());
    let bundle = helper.path("~/ca.pem");
    helper
        .env("AWS_CA_BUNDLE", bundle)
        .env("HTTPS_PROXY", proxy.url(""))
}

/// Each call as `service host region`; the name in the TLS greeting is that of the request.
fn calls(fake: &Fake) -> Vec<String> {
    let calls = fake.calls();
    fake.forget();
    let shown = calls.iter().map(|call| {
        assert_eq!(call.server_name.as_deref(), Some(call.host.as_str()));
        let region = call.signing_region.as_deref().unwrap_or("-");
        format!("{} {} {region}", call.service, call.host)
    });
    shown.collect()
}

fn refused(output: &Output, cause: &str, hint: &str) {
    assert_eq!(output.stdout, NOT_FOUND);
    let (first, second) = output.stderr.split_once('\n').expect("two lines");
    assert!(first.contains(cause), "{cause}: {output:?}");
    assert!(second.starts_with("hint: "), "{output:?}");
    assert!(second.contains(hint), "{hint}: {output:?}");
    assert!(!output.stderr.contains("hunter2"), "{output:?}");
}

fn static_profile(more: &str) -> String {
    format!(
        "[profile p]\naws_access_key_id = {KEY_ID}\naws_secret_access_key = {SECRET_KEY}\n{more}\n"
    )
}

#[test]
fn each_registry_has_its_api_host() {
    let fake = Fake::start_tls();
    let proxy = Proxy::to(&fake, None, "");
    let table = include_str!("../support/api_hosts.txt").lines();
    let mut rows = 0;
    for row in table.filter(|row| !row.is_empty() && !row.starts_with('#')) {
        let words: Vec<_> = row.split_whitespace().collect();
        let [registry, host, region, settings @ ..] = &words[..] else {
            panic!("{row}");
        };
        let mut helper = behind(&proxy, &fake).keys();
        let mut profile = String::new();
        for setting in settings {
            let (name, value) = setting.split_once('=').expect(row);
            if name.starts_with(|c: char| c.is_ascii_uppercase()) {
                helper.set(name, value);
            } else {
                profile += &format!("{name} = {value}\n");
            }
        }
        if !profile.is_empty() {
            helper = helper
                .env("AWS_PROFILE", "p")
                .file("~/.aws/config", static_profile(&profile));
        }
        helper.secret(registry);
        let service = match registry.contains("public") {
            true => "ecr_public",
            false => "ecr",
        };
        assert_eq!(
            calls(&fake),
            [format!("{service} {host} {region}")],
            "{row}"
        );
        assert_eq!(proxy.seen(), [*host], "{row}");
        helper.secret(registry);
        assert_eq!((calls(&fake), proxy.seen()), (vec![], vec![]), "{row}");
        rows += 1;
    }
    assert!(rows > 40, "{rows}");
}

#[test]
fn sts_is_that_of_the_registrys_region() {
    let fake = Fake::start_tls();
    let proxy = Proxy::to(&fake, None, "");
    #[rustfmt::skip]
    let cases = [
        (HOST, "aws", "", "sts.us-east-1.amazonaws.com us-east-1"),
        (HOST, "aws", "region = eu-west-1", "sts.us-east-1.amazonaws.com us-east-1"),
        (HOST, "aws", "region = cn-north-1", "sts.us-east-1.amazonaws.com us-east-1"),
        (HOST, "aws", "use_fips_endpoint = true", "sts-fips.us-east-1.amazonaws.com us-east-1"),
        (CHINA, "aws-cn", "region = us-east-1", "sts.cn-north-1.amazonaws.com.cn cn-north-1"),
        (CHINA, "aws-cn", "region = cn-northwest-1", "sts.cn-north-1.amazonaws.com.cn cn-north-1"),
        ("123456789012.dkr.ecr.us-gov-west-1.amazonaws.com", "aws-us-gov", "region = us-east-1", "sts.us-gov-west-1.amazonaws.com us-gov-west-1"),
        ("123456789012.dkr.ecr.zz-new-1.amazonaws.com.cn", "aws-cn", "", "sts.cn-north-1.amazonaws.com.cn cn-north-1"),
    ];
    for (registry, partition, more, expected) in cases {
        let helper = behind(&proxy, &fake).env("AWS_PROFILE", "p").file(
            "~/.aws/config",
            format!(
                "[profile p]\nrole_arn = arn:{partition}:iam::123456789012:role/r\n\
                 source_profile = q\n{more}\n{}",
                static_profile("").replace("profile p", "profile q")
            ),
        );
        helper.secret(registry);
        let calls = calls(&fake);
        assert_eq!(calls.len(), 2, "{calls:?}");
        assert_eq!(calls[0], format!("sts {expected}"), "{registry} {more}");
    }
}

#[test]
fn published_fips_endpoint_is_tried_once() {
    let fake = Fake::start_tls();
    let proxy = Proxy::to(&fake, None, "api.ecr-fips.");
    let helper = behind(&proxy, &fake).keys().env("AWS_MAX_ATTEMPTS", "1");
    helper.secret("123456789012.dkr.ecr-fips.us-east-1.amazonaws.com");
    assert_eq!(
        proxy.seen(),
        [
            "api.ecr-fips.us-east-1.amazonaws.com",
            "ecr-fips.us-east-1.amazonaws.com"
        ]
    );
    // Of dual-stack names there is one form, and never is the name without FIPS asked.
    let proxy = Proxy::to(&fake, None, "ecr-fips.");
    let helper = behind(&proxy, &fake).keys().env("AWS_MAX_ATTEMPTS", "1");
    let output = helper.get("123456789012.dkr-ecr-fips.us-east-1.on.aws");
    refused(
        &output,
        "cannot reach ecr-fips.us-east-1.api.aws",
        "NO_PROXY",
    );
    assert_eq!(proxy.seen(), ["ecr-fips.us-east-1.api.aws"]);
}

#[test]
fn failing_proxy_is_named_without_its_password() {
    /// Windows does not tell them apart, and the other one is looked up first.
    const LOWER: &str = if cfg!(windows) {
        "HTTPS_PROXY"
    } else {
        "https_proxy"
    };
    let fake = Fake::start_tls();
    let proxy = Proxy::to(&fake, Some("Basic dXNlcjpodW50ZXIy"), "");
    let with = |name, value: String| {
        let helper = behind(&proxy, &fake).unset("HTTPS_PROXY").keys();
        helper.env(name, value).get(HOST)
    };
    with("HTTPS_PROXY", proxy.url("user:hunter2@")).expect_secret(HOST);
    with("https_proxy", proxy.url("user:%68unter2@")).expect_secret(HOST);
    let at = proxy.addr;
    #[rustfmt::skip]
    let cases = [
        ("HTTPS_PROXY", proxy.url("user:not-hunter2@"), format!("the proxy {at} (HTTPS_PROXY) rejects the user name and password")),
        (LOWER, proxy.url(""), format!("the proxy {at} ({LOWER}) requires a user name and password")),
        ("HTTPS_PROXY", "http://user:hunter2@127.0.0.1:1".into(), "the proxy 127.0.0.1:1 (HTTPS_PROXY) cannot be reached".into()),
        ("HTTPS_PROXY", "socks5://user:hunter2@127.0.0.1:1".into(), "HTTPS_PROXY has the scheme \"socks5\"".into()),
        (LOWER, "http://hunter2:no-port".into(), format!("{LOWER} is not a proxy URL")),
    ];
    for (name, value, cause) in cases {
        refused(&with(name, value), &cause, name);
    }
    assert_eq!(fake.count("ecr"), 2);
}

#[test]
fn authorities_are_found_where_they_are_named() {
    let fake = Fake::start_tls();
    let directory = tempfile::tempdir().expect("temporary");
    let path = |name: &str| directory.path().join(name);
    let good = fake.ca_pem();
    let bad_der = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    std::fs::create_dir(path("dir")).expect("temporary");
    std::fs::create_dir(path("no-certificates")).expect("temporary");
    for (name, text) in [
        ("ca.pem", good),
        ("dir/ca.pem", good),
        ("empty", ""),
        ("junk", "\u{0}\u{1}-----"),
        ("cut", &good[..good.len() / 2]),
        ("bad-der", &format!("{good}{bad_der}")),
    ] {
        std::fs::write(path(name), text).expect("temporary");
    }
    let get = |settings: &[(&str, PathBuf)]| {
        let mut helper = Helper::new().keys();
        helper.set("AWS_ENDPOINT_URL_ECR", fake.https_url());
        for (name, value) in settings {
            match *name {
                "ca_bundle" => {
                    let text = static_profile(&format!("ca_bundle = {}", value.display()));
                    helper.write("~/.aws/config", text);
                    helper.set("AWS_PROFILE", "p");
                }
                name => helper.set(name, value),
            }
        }
        helper.get(HOST)
    };
    for good in [
        &[("AWS_CA_BUNDLE", path("ca.pem"))][..],
        &[("ca_bundle", path("ca.pem"))],
        &[("SSL_CERT_FILE", path("ca.pem"))],
        &[("SSL_CERT_DIR", path("dir"))],
        &[("AWS_CA_BUNDLE", path("ca.pem")), ("ca_bundle", path("no"))],
        &[
            ("AWS_CA_BUNDLE", path("ca.pem")),
            ("SSL_CERT_FILE", path("no")),
        ],
    ] {
        get(good).expect_secret(HOST);
    }
    let untrusted = get(&[]);
    refused(&untrusted, "localhost", "AWS_CA_BUNDLE");
    fake.forget();
    for setting in ["AWS_CA_BUNDLE", "ca_bundle", "SSL_CERT_FILE"] {
        for name in ["missing", "empty", "junk", "cut", "bad-der", "dir"] {
            let output = get(&[(setting, path(name))]);
            refused(&output, &path(name).display().to_string(), setting);
            refused(&output, setting, setting);
        }
    }
    for name in ["missing", "no-certificates"] {
        let output = get(&[("SSL_CERT_DIR", path(name))]);
        refused(&output, &path(name).display().to_string(), "SSL_CERT_DIR");
    }
    assert_eq!(fake.count("ecr"), 0);
}

#[test]
fn configured_endpoints_can_be_ignored_for_sts() {
    let fake = Fake::start_tls();
    let proxy = Proxy::to(&fake, None, "");
    let get = |more: &str, variable: &str| {
        let config = format!(
            "[profile p]\nrole_arn = arn:aws:iam::123456789012:role/r\nsource_profile = q\n\
             services = corp\n{more}\n{}\
             [services corp]\necr =\n  endpoint_url = https://ecr.corp.example/a\n\
             sts =\n  endpoint_url = https://sts.corp.example\n",
            static_profile("").replace("profile p", "profile q")
        );
        let helper = behind(&proxy, &fake)
            .env("AWS_PROFILE", "p")
            .file("~/.aws/config", config);
        helper
            .env("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", variable)
            .secret(HOST);
        calls(&fake)
    };
    let configured = [
        "sts sts.corp.example us-east-1",
        "ecr ecr.corp.example us-east-1",
    ];
    let real = [
        "sts sts.us-east-1.amazonaws.com us-east-1",
        "ecr api.ecr.us-east-1.amazonaws.com us-east-1",
    ];
    assert_eq!(get("", "false"), configured);
    assert_eq!(get("", "true"), real);
    assert_eq!(get("ignore_configured_endpoint_urls = true", ""), real);
}

#[test]
fn attempts_are_as_many_as_are_set() {
    let fake = Fake::start();
    fake.ecr(Script::always(Answer::status(503)));
    for (variable, key, expected) in [
        ("", "", 5),
        ("1", "", 1),
        ("2", "max_attempts = 1", 2),
        ("", "max_attempts = 2", 2),
        ("2", "retry_mode = adaptive", 2),
    ] {
        fake.forget();
        let output = Helper::new()
            .asks(&fake)
            .env("AWS_MAX_ATTEMPTS", variable)
            .env("AWS_PROFILE", "p")
            .file("~/.aws/config", static_profile(key))
            .get(HOST);
        refused(&output, "ECR failed with HTTP status 503", "try again");
        assert_eq!(fake.count("ecr"), expected, "{variable:?} {key:?}");
    }
}

#[test]
fn an_unknown_key_may_be_one_of_another_partition() {
    let fake = Fake::start();
    let code = "UnrecognizedClientException";
    fake.ecr(Script::always(Answer::error(400, code, "is invalid")));
    let output = Helper::with_keys(&fake).get(CHINA);
    refused(&output, "AWS does not know the access key", "partition");
}

#[test]
fn unrenewable_sso_session_is_not_called_expired() {
    let mut fake = Fake::start();
    let get = |fake: &Fake| {
        let config = "[profile p]\nsso_session = corp\nsso_account_id = 123456789012\n\
                      sso_role_name = r\n[sso-session corp]\nsso_region = us-east-1\n\
                      sso_start_url = https://example.awsapps.com/start\n";
        let helper = Helper::new().asks(fake).env("AWS_PROFILE", "p");
        let helper = helper.env("AWS_MAX_ATTEMPTS", "1");
        let helper = helper.file("~/.aws/config", config);
        helper.sso_login_renewable("corp", -60).get(HOST)
    };
    fake.change(|b| b.oidc = Script::always(Answer::error(400, "InvalidGrantException", "")));
    refused(&get(&fake), "has expired", "aws sso login --profile p");
    fake.change(|b| b.oidc = Script::always(Answer::status(503)));
    refused(
        &get(&fake),
        "IAM Identity Center failed with HTTP status 503",
        "",
    );
    fake.stop();
    refused(&get(&fake), "connection refused", "network");
}
