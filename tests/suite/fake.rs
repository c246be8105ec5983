//! The fake is asked with the SDK's own clients, so that what the program is tested against
//! speaks as the real services do.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_types::error::display::DisplayErrorContext;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_smithy_types::retry::RetryConfig;

use crate::support::fake::behaviour::{Accept, Answer, Behaviour, Good, Script};
use crate::support::fake::{BlackHole, Fake, PASSWORD_SENTINEL};

/// User name and password in an authorization token.
fn decode(token: &str) -> (String, String) {
    let text = String::from_utf8(STANDARD.decode(token).expect("base64")).expect("UTF-8");
    let (username, password) = text.split_once(':').expect("user:password");
    (username.to_owned(), password.to_owned())
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(future)
}

fn config(url: &str) -> aws_types::sdk_config::Builder {
    let keys = Credentials::new("AKIAFAKE", "secret", None, None, "test");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("eu-west-1"))
        .endpoint_url(url)
        .credentials_provider(SharedCredentialsProvider::new(keys))
        .retry_config(RetryConfig::disabled())
        .sleep_impl(TokioSleep::new())
        .http_client(Builder::new().build_http())
}

/// Asks ECR; an error as its whole chain of causes.
fn ask_ecr(config: &SdkConfig) -> Result<aws_sdk_ecr::types::AuthorizationData, String> {
    block_on(async {
        let request = aws_sdk_ecr::Client::new(config).get_authorization_token();
        #[expect(deprecated, reason = "the old helper sent it")]
        let reply = request.registry_ids("111111111111").send().await;
        let reply = reply.map_err(|error| {
            let code = error.code().unwrap_or_default().to_owned();
            format!("{code} {}", DisplayErrorContext(error))
        })?;
        let data = reply.authorization_data().first().cloned();
        data.ok_or_else(|| "no data".to_owned())
    })
}

#[test]
fn ecr_answers_as_ecr_does() {
    let fake = Fake::start();
    let config = config(&fake.url()).build();
    let data = ask_ecr(&config).expect("a token");
    let proxy = "https://111111111111.dkr.ecr.eu-west-1.amazonaws.com";
    assert_eq!(data.proxy_endpoint(), Some(proxy));

    let (username, password) = decode(data.authorization_token().expect("a token"));
    assert_eq!(username, "AWS");
    assert_eq!(fake.issued_passwords(), [password.as_str()]);
    assert!((1500..2500).contains(&password.len()), "{}", password.len());
    assert!(password.contains(PASSWORD_SENTINEL));

    let expires = data.expires_at().expect("an expiry").secs();
    let inside = STANDARD.decode(&password).expect("base64");
    let inside: serde_json::Value = serde_json::from_slice(&inside).expect("JSON");
    assert_eq!(inside["expiration"], expires);
    let left = expires - chrono::Utc::now().timestamp();
    assert!((43_190..=43_200).contains(&left), "{left}");

    let again = ask_ecr(&config).expect("another token");
    assert_ne!(again.authorization_token(), data.authorization_token());

    let calls = fake.calls_to("ecr");
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[0].operation, "GetAuthorizationToken");
    assert_eq!(calls[0].access_key_id.as_deref(), Some("AKIAFAKE"));
    assert_eq!(calls[0].signing_region.as_deref(), Some("eu-west-1"));
    assert_eq!(calls[0].signing_service.as_deref(), Some("ecr"));
    assert_eq!(calls[0].param("registryIds"), Some("111111111111"));
    assert_eq!(calls[0].host, fake.addr().to_string());
}

#[test]
fn ecr_public_answers_without_a_proxy_endpoint() {
    let fake = Fake::start();
    let config = config(&fake.url()).region(Region::new("us-east-1")).build();
    let reply = block_on(
        aws_sdk_ecrpublic::Client::new(&config)
            .get_authorization_token()
            .send(),
    )
    .expect("a token");
    let data = reply.authorization_data().expect("data");
    decode(data.authorization_token().expect("a token"));
    assert!(data.expires_at().is_some());
    assert_eq!(fake.count("ecr_public"), 1);
    let call = &fake.calls()[0];
    assert_eq!(call.signing_service.as_deref(), Some("ecr-public"));
}

#[test]
fn sts_gives_credentials_for_roles() {
    const ROLE: &str = "arn:aws:iam::222222222222:role/team/puller";
    let fake = Fake::start();
    let sts = aws_sdk_sts::Client::new(&config(&fake.url()).build());
    block_on(async {
        let assumed = sts
            .assume_role()
            .role_arn(ROLE)
            .role_session_name("me")
            .external_id("x")
            .send()
            .await
            .expect("credentials");
        let keys = assumed.credentials().expect("credentials");
        assert_eq!(keys.access_key_id(), "ASIASTS0000000000001");
        let user = assumed.assumed_role_user().expect("a user");
        assert_eq!(
            user.arn(),
            "arn:aws:sts::222222222222:assumed-role/team/puller/me"
        );
        let web = sts
            .assume_role_with_web_identity()
            .role_arn(ROLE)
            .role_session_name("me")
            .web_identity_token("eyJhbGciOi.something.secret")
            .send()
            .await
            .expect("credentials");
        let keys = web.credentials().expect("credentials");
        assert_eq!(keys.access_key_id(), "ASIAWEB0000000000001");
        assert!(keys.expiration().secs() > chrono::Utc::now().timestamp());
        let caller = sts.get_caller_identity().send().await.expect("an answer");
        assert_eq!(caller.account(), Some("123456789012"));

        fake.change(|b| b.sts = Script::always(Answer::error(403, "AccessDenied", "not <you>")));
        let refused = sts.get_caller_identity().send().await.expect_err("refused");
        assert_eq!(refused.code(), Some("AccessDenied"));
        assert_eq!(refused.message(), Some("not <you>"));
    });
    let calls = fake.calls_to("sts");
    assert_eq!(calls[0].param("RoleArn"), Some(ROLE));
    assert_eq!(calls[0].param("ExternalId"), Some("x"));
    assert_eq!(calls[1].param("WebIdentityToken"), Some("eyJhbGci"));
    assert!(!calls[1].authorized);
}

#[test]
fn sso_and_login_give_credentials() {
    let fake = Fake::start();
    let config = config(&fake.url()).build();
    block_on(async {
        let portal = aws_sdk_sso::Client::new(&config);
        let ask = || {
            portal
                .get_role_credentials()
                .account_id("333333333333")
                .role_name("Dev eloper")
                .access_token("FAKE-SSO-TOKEN")
                .send()
        };
        let reply = ask().await.expect("credentials");
        let keys = reply.role_credentials().expect("credentials");
        assert_eq!(keys.access_key_id(), Some("ASIASSO0000000000001"));
        assert!(keys.expiration() > chrono::Utc::now().timestamp_millis());

        let refusal = Answer::error(401, "UnauthorizedException", "expired");
        fake.change(|b| b.sso = Script::times(1, refusal));
        let refused = ask().await.expect_err("refused").into_service_error();
        assert!(refused.is_unauthorized_exception(), "{refused:?}");

        let reply = aws_sdk_ssooidc::Client::new(&config)
            .create_token()
            .client_id("id")
            .client_secret("FAKE-CLIENT-SECRET")
            .grant_type("refresh_token")
            .refresh_token("FAKE-REFRESH")
            .send()
            .await
            .expect("a token");
        assert!(reply.access_token().is_some() && reply.refresh_token().is_some());
        assert_eq!(reply.expires_in(), 3600);

        let body = aws_sdk_signin::types::CreateOAuth2TokenRequestBody::builder()
            .client_id("arn:aws:signin:::devtools/same-device")
            .grant_type("refresh_token")
            .refresh_token("FAKE-REFRESH")
            .build()
            .expect("complete");
        let reply = aws_sdk_signin::Client::new(&config)
            .create_o_auth2_token()
            .token_input(body)
            .send()
            .await
            .expect("credentials");
        let token = reply.token_output().expect("a token").access_token();
        let keys = token.expect("credentials");
        assert_eq!(keys.access_key_id(), "ASIALOGIN00000000001");
    });
    let sso = &fake.calls_to("sso")[0];
    assert_eq!(sso.param("role_name"), Some("Dev eloper"));
    assert_eq!(fake.count("oidc"), 1);
    assert_eq!(fake.count("signin"), 1);
    let all = serde_json::to_string(&fake.calls()).expect("serializes");
    for secret in ["FAKE-SSO-TOKEN", "FAKE-CLIENT-SECRET", "FAKE-REFRESH"] {
        assert!(!all.contains(secret), "{secret} is on record");
    }
}

#[test]
fn instance_metadata_gives_the_same_credentials_again() {
    let fake = Fake::start();
    block_on(async {
        let provider = || {
            let config = ProviderConfig::empty()
                .with_region(Some(Region::new("us-east-1")))
                .with_sleep_impl(TokioSleep::new())
                .with_http_client(Builder::new().build_http());
            let client = aws_config::imds::Client::builder()
                .configure(&config)
                .endpoint(fake.url())
                .expect("a URL")
                .build();
            ImdsCredentialsProvider::builder()
                .configure(&config)
                .imds_client(client)
                .build()
        };
        for _ in 0..2 {
            let keys = provider().provide_credentials().await;
            let keys = keys.expect("credentials");
            assert_eq!(keys.access_key_id(), "ASIAEC20000000000001");
            assert!(keys.session_token().is_some());
        }
    });
    assert_eq!(fake.count("imds_token"), 2);
    assert_eq!(fake.count("imds"), 4);
}

/// Status and body of a plain request.
fn http_get(fake: &Fake, path: &str, headers: &str) -> (String, String) {
    use std::io::{Read, Write};
    let mut tcp = std::net::TcpStream::connect(fake.addr()).expect("it listens");
    let request = format!("GET {path} HTTP/1.1\r\nConnection: close\r\n{headers}\r\n");
    tcp.write_all(request.as_bytes()).expect("it reads");
    let mut reply = String::new();
    tcp.read_to_string(&mut reply).expect("it answers");
    let (head, body) = reply.split_once("\r\n\r\n").expect("HTTP");
    (head[9..12].to_owned(), body.to_owned())
}

#[test]
fn containers_get_credentials_if_they_may() {
    let fake = Fake::start();
    fake.change(|b| b.container_authorization = Some("right".to_owned()));
    let path = "/v2/credentials/0f2b1a5e-0000-4000-8000-000000000001";
    let (status, body) = http_get(&fake, path, "Authorization: right\r\n");
    assert_eq!(status, "200");
    let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    for name in ["AccessKeyId", "SecretAccessKey", "Token", "Expiration"] {
        assert!(body[name].is_string(), "{name}");
    }
    assert_eq!(http_get(&fake, path, "").0, "401");
    assert_eq!(fake.calls()[0].param("path"), Some(path));
    let imds = "/latest/meta-data/iam/security-credentials/";
    assert_eq!(http_get(&fake, imds, "").0, "401");
}

#[test]
fn scripts_are_followed_step_by_step() {
    let fake = Fake::start();
    let config = config(&fake.url()).build();
    fake.ecr(Script::steps(vec![
        Answer::status(503),
        Answer::error(400, "ThrottlingException", "slow down"),
        Answer::ResetBefore,
        Answer::ResetMidway,
        Answer::CloseWithoutReply,
        Answer::Truncated,
        Answer::Html200,
        Answer::json(r#"{"authorizationData":[]}"#),
        Answer::Ok(Good {
            no_expires_at: true,
            no_proxy_endpoint: true,
            password: Some("plain:text".to_owned()),
            ..Good::default()
        }),
        Answer::json(
            r#"{"authorizationData":[{"authorizationToken":"$TOKEN","expiresAt":$EXPIRES}]}"#,
        ),
        Answer::DeepJson { depth: 100 },
    ]));
    let ask = || ask_ecr(&config);
    let failed = |reply: Result<_, String>| reply.expect_err("a failure");
    assert!(failed(ask()).contains("503"));
    assert!(failed(ask()).starts_with("ThrottlingException"));
    for _ in 0..3 {
        assert!(failed(ask()).starts_with(' '), "no reply, no code");
    }
    failed(ask());
    failed(ask());
    assert_eq!(failed(ask()), "no data");
    let plain = ask().expect("a token");
    assert_eq!((plain.expires_at(), plain.proxy_endpoint()), (None, None));
    assert_eq!(fake.issued_passwords().last().expect("one"), "plain:text");
    let raw = ask().expect("a token");
    decode(raw.authorization_token().expect("a token"));
    let deep = ask().expect("the rest is ignored");
    assert!(deep.authorization_token().is_some());
    assert!(ask().is_ok(), "after the script all is well");
    let answers: Vec<_> = fake.calls().into_iter().map(|call| call.answer).collect();
    assert_eq!(answers[..3], ["status", "aws_error", "reset_before"]);
}

#[test]
fn hangs_last_until_the_client_gives_up() {
    let fake = Fake::start();
    let timeout = aws_smithy_types::timeout::TimeoutConfig::builder()
        .operation_timeout(Duration::from_millis(300))
        .build();
    let config = config(&fake.url()).timeout_config(timeout).build();
    for answer in [
        Answer::HangBeforeHeaders,
        Answer::HangInBody,
        Answer::Trickle,
        Answer::delay(2000, Answer::default()),
    ] {
        let name = answer.name();
        fake.ecr(Script::always(answer));
        let started = Instant::now();
        ask_ecr(&config).expect_err(name);
        let took = started.elapsed().as_millis();
        assert!((300..1500).contains(&took), "{name} took {took} ms");
    }
    fake.set(Behaviour {
        accept: Accept::Hang,
        ..Behaviour::default()
    });
    ask_ecr(&config).expect_err("hang");
    fake.set(Behaviour::default());
    ask_ecr(&config).expect("all is well again");
    let hole = BlackHole::new().expect("loopback");
    let refused = std::net::TcpStream::connect_timeout(&hole.addr(), Duration::from_millis(300));
    let error = refused.expect_err("no answer");
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
}

#[test]
fn a_clock_that_is_off_is_refused_as_aws_refuses_it() {
    let fake = Fake::start();
    fake.change(|b| b.clock_offset = 3600);
    // The first try is refused, the second is signed by the server's clock.
    let config = config(&fake.url());
    let config = config.retry_config(RetryConfig::standard()).build();
    ask_ecr(&config).expect("the SDK sets its clock right");
    assert_eq!(fake.count("ecr"), 2);
}

#[test]
fn tls_is_proven_for_the_name_that_is_asked_for() {
    let fake = Fake::start_tls();
    let client = |pem: &str| {
        let trust = TrustStore::empty().with_pem_certificate(pem.as_bytes());
        let context = TlsContext::builder().with_trust_store(trust).build();
        Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .tls_context(context.expect("a context"))
            .build_https()
    };
    let trusting = config(&fake.https_url()).http_client(client(fake.ca_pem()));
    ask_ecr(&trusting.build()).expect("trusted");
    let call = &fake.calls()[0];
    assert!(call.tls);
    assert_eq!(call.server_name.as_deref(), Some("localhost"));

    let other = Fake::start_tls();
    let wary = config(&fake.https_url()).http_client(client(other.ca_pem()));
    let error = ask_ecr(&wary.build()).expect_err("not trusted");
    assert!(error.contains("invalid peer certificate"), "{error}");
}

#[test]
fn a_stopped_fake_refuses_connections() {
    let mut fake = Fake::start();
    let config = config(&fake.url()).build();
    ask_ecr(&config).expect("a token");
    fake.stop();
    let error = ask_ecr(&config).expect_err("refused");
    assert!(error.contains("refused"), "{error}");
}
