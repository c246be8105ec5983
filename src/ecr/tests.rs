use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_types::retry::RetryConfig;
use aws_types::SdkConfig;
use aws_types::region::Region;

use super::classify::{FailureContext, Step, classify};
use super::http::{Failure, RequestOutcome};
use super::*;
use crate::env;
use crate::principal::{
    AccessKeys, CaBundle, ConsoleLogin, Container, Endpoint, Identity, InstanceMetadata, Role,
    Source, Sso, Subject, WebIdentity,
};
use crate::problem::ProblemKind;
use crate::registry::{PARTITIONS, Service};
use crate::secret::Secret;

/// What the server does with one request.
#[derive(Clone)]
enum Act {
    Reply(u16, &'static str, String),
    /// A body of this many bytes, and how many of them were taken.
    Flood(usize),
    Close,
    Hang,
    /// For a proxy: says yes, then serves TLS or HTTP on the same connection.
    Tunnel,
}

/// A server on loopback that plays a script, the last act for ever.
struct Server {
    port: u16,
    seen: Arc<Mutex<Vec<String>>>,
    connections: Arc<Mutex<u32>>,
    sent: Arc<Mutex<usize>>,
}

trait Wire: Read + Write {}
impl<T: Read + Write> Wire for T {}

fn server(tls: bool, script: Vec<Act>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let server = Server {
        port: listener.local_addr().expect("bound").port(),
        seen: Arc::default(),
        connections: Arc::default(),
        sent: Arc::default(),
    };
    let (seen, connections) = (server.seen.clone(), server.connections.clone());
    let sent = server.sent.clone();
    let script = Arc::new(Mutex::new(script));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            *connections.lock().expect("whole") += 1;
            let (seen, script, sent) = (seen.clone(), script.clone(), sent.clone());
            std::thread::spawn(move || {
                let _ = stream.set_nodelay(true);
                let wire = if tls {
                    over_tls(stream)
                } else {
                    Box::new(stream)
                };
                serve(wire, &script, &seen, &sent);
            });
        }
    });
    server
}

fn over_tls(stream: TcpStream) -> Box<dyn Wire> {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let pem = include_bytes!("test-server.pem");
    let key = PrivateKeyDer::from_pem_slice(pem).expect("key");
    let chain = CertificateDer::pem_slice_iter(pem).flatten().collect();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("certificate");
    let connection = rustls::ServerConnection::new(Arc::new(config)).expect("connection");
    Box::new(rustls::StreamOwned::new(connection, stream))
}

fn read_request(wire: &mut dyn Wire) -> Option<String> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        match wire.read(&mut byte) {
            Ok(1) => bytes.push(byte[0]),
            _ => return None,
        }
    }
    let head = String::from_utf8(bytes).expect("UTF-8");
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse().expect("length"))
    });
    let mut body = vec![0; length.unwrap_or(0)];
    wire.read_exact(&mut body).ok()?;
    Some(head + &String::from_utf8(body).expect("UTF-8"))
}

fn serve(
    mut wire: Box<dyn Wire>,
    script: &Mutex<Vec<Act>>,
    seen: &Mutex<Vec<String>>,
    sent: &Mutex<usize>,
) {
    while let Some(request) = read_request(&mut *wire) {
        seen.lock().expect("whole").push(request);
        let act = {
            let mut script = script.lock().expect("whole");
            if script.len() > 1 {
                script.remove(0)
            } else {
                script[0].clone()
            }
        };
        match act {
            Act::Reply(status, headers, body) => {
                let head = format!(
                    "HTTP/1.1 {status} X\r\ncontent-length: {}\r\n{headers}\r\n",
                    body.len()
                );
                let _ = wire.write_all((head + &body).as_bytes());
                let _ = wire.flush();
            }
            Act::Flood(size) => {
                let _ = wire.write_all(
                    format!("HTTP/1.1 200 X\r\ncontent-length: {size}\r\n\r\n").as_bytes(),
                );
                let chunk = vec![b' '; 1 << 16];
                let mut left = size;
                while left > 0 && wire.write_all(&chunk).is_ok() {
                    left = left.saturating_sub(chunk.len());
                    *sent.lock().expect("whole") += chunk.len();
                }
                return;
            }
            Act::Close => return,
            Act::Hang => std::thread::sleep(Duration::from_secs(30)),
            Act::Tunnel => {
                let _ = wire.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n");
                let _ = wire.flush();
            }
        }
    }
}

const REGISTRY: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";

fn registry(host: &str) -> Registry {
    Registry::from_server_url(host).expect(host)
}

fn keys() -> AccessKeys {
    AccessKeys {
        access_key_id: "AKIDEXAMPLE".into(),
        secret_access_key: Secret::from("sentinel-secret"),
        session_token: Some(Secret::from("sentinel-session")),
    }
}

fn endpoint(url: String) -> Endpoint {
    Endpoint {
        region: "eu-west-1".into(),
        url: Some(url),
        fips: false,
        dual_stack: false,
    }
}

fn plan(url: String) -> Plan {
    Plan {
        source: Source::Environment(keys()),
        roles: Vec::new(),
        api: endpoint(url),
        profile: None,
        network: Network::default(),
        identity: Identity::Ambient,
        session_digest: None,
        cli_cache: None,
    }
}

fn issue(env: &Env, plan: &Plan, host: &str, seconds: f32) -> Result<Issued, Problem> {
    let deadline = Instant::now() + Duration::from_secs_f32(seconds);
    Aws::new(env, &env::now, Log::off()).issue(plan, None, &registry(host), deadline)
}

fn none() -> Env {
    Env::of::<String, String>([])
}

fn good() -> String {
    format!(
        r#"{{"authorizationData":[{{"authorizationToken":"{}","expiresAt":1800000000.5,"proxyEndpoint":"https://{REGISTRY}"}}]}}"#,
        STANDARD.encode("AWS:pw")
    )
}

fn assumed() -> String {
    "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIAROLE</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>2999-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>".into()
}

impl Server {
    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().expect("whole").clone()
    }
}

#[test]
fn one_signed_request_fetches_a_token() {
    let server = server(false, vec![Act::Reply(200, "", good())]);
    let env = none();
    let issued = issue(&env, &plan(server.url() + "/base"), REGISTRY, 10.0).expect("issued");
    assert_eq!(issued.login.username, "AWS");
    assert_eq!(issued.login.password.expose(), "pw");
    assert_eq!(
        issued.expires_at.map(|at| at.timestamp_millis()),
        Some(1_800_000_000_500)
    );
    assert_eq!(
        issued.proxy_endpoint.as_deref(),
        Some("https://123456789012.dkr.ecr.eu-west-1.amazonaws.com")
    );
    let seen = server.seen();
    assert_eq!(seen.len(), 1);
    let request = seen[0].to_lowercase();
    for part in [
        "post /base/ http/1.1\r\n".to_owned(),
        format!("\r\nhost: 127.0.0.1:{}\r\n", server.port),
        "credential=akidexample/".into(),
        "/eu-west-1/ecr/aws4_request".into(),
        "amazonec2containerregistry_v20150921.getauthorizationtoken".into(),
        r#"{"registryids":["123456789012"]}"#.into(),
    ] {
        assert!(request.contains(&part), "{part} in {request}");
    }
    assert!(!request.contains("sentinel-secret"));
}

#[test]
fn ecr_public_is_asked_with_its_own_service() {
    let body = good().replace(['[', ']'], "");
    let server = server(false, vec![Act::Reply(200, "", body)]);
    let issued = issue(&none(), &plan(server.url()), "public.ecr.aws", 10.0).expect("issued");
    assert_eq!(issued.login.password.expose(), "pw");
    assert_eq!(issued.proxy_endpoint, None);
    let request = &server.seen()[0];
    assert!(request.contains("/ecr-public/aws4_request"), "{request}");
    assert!(request.contains("SpencerFrontendService.GetAuthorizationToken"));
}

#[test]
fn chained_roles_share_one_connection() {
    let server = server(
        false,
        vec![
            Act::Reply(200, "", assumed()),
            Act::Reply(200, "", assumed()),
            Act::Reply(200, "", good()),
        ],
    );
    let role = |name: &str| Role {
        sts: endpoint(server.url()),
        ..role(&format!("arn:aws:iam::123456789012:role/{name}"))
    };
    let mut plan = plan(server.url());
    plan.roles = vec![role("first"), role("second")];
    issue(&none(), &plan, REGISTRY, 10.0).expect("issued");
    let seen = server.seen();
    let marks = [
        ("role%2Ffirst", "AKIDEXAMPLE"),
        ("role%2Fsecond", "ASIAROLE"),
        ("registryIds", "ASIAROLE"),
    ];
    for (request, (what, who)) in seen.iter().zip(marks) {
        assert!(request.contains(what) && request.contains(who), "{request}");
    }
    assert!(seen[0].contains("ExternalId=ext") && seen[0].contains("Action=AssumeRole"));
    assert_eq!(
        (seen.len(), *server.connections.lock().expect("whole")),
        (3, 1)
    );
}

#[test]
fn faults_of_the_service_are_told_apart() {
    let json = |code: &str, message: &str| {
        format!(r#"{{"__type":"com.amazonaws.ecr#{code}","message":"{message}"}}"#)
    };
    let data =
        |token: &str| format!(r#"{{"authorizationData":[{{"authorizationToken":{token}}}]}}"#);
    let quoted = |text: &str| format!("\"{}\"", STANDARD.encode(text));
    #[rustfmt::skip]
    let cases: Vec<(Vec<Act>, usize, &str)> = vec![
        (vec![Act::Reply(500, "", "{}".into()), Act::Reply(503, "", "oops".into()), Act::Reply(200, "", good())], 3, "ok"),
        (vec![Act::Close, Act::Reply(200, "", good())], 2, "ok"),
        (vec![Act::Reply(500, "", "{}".into())], 3, "ECR failed with HTTP status 500"),
        (vec![Act::Reply(400, "", json("ThrottlingException", "Rate exceeded"))], 3, "ECR is throttling requests"),
        (vec![Act::Reply(429, "", String::new())], 3, "ECR is throttling requests"),
        (vec![Act::Reply(400, "", json("AccessDeniedException", "User: arn:aws:iam::1:user/u is not authorized to perform: ecr:GetAuthorizationToken on resource: *"))], 1, "access denied: arn:aws:iam::1:user/u may not call ecr:GetAuthorizationToken"),
        (vec![Act::Reply(400, "", json("UnrecognizedClientException", "The security token included in the request is invalid."))], 1, "AWS does not know the access key of the environment (AKIDEXAMPLE)"),
        (vec![Act::Reply(400, "", json("ExpiredTokenException", "x"))], 1, "the session token of the environment (AKIDEXAMPLE) has expired"),
        (vec![Act::Reply(400, "", json("InvalidSignatureException", "The canonical string was sentinel-session"))], 1, "AWS does not accept the signature made by the environment (AKIDEXAMPLE)"),
        (vec![Act::Reply(400, "", json("ServerSays", "echo sentinel-session and\\nsentinel-secret\\u001b[1m"))], 1, "ECR refused with ServerSays: echo … and … [1m"),
        (vec![Act::Reply(302, "location: http://127.0.0.1:1/\r\n", String::new())], 1, "unexpected response from ECR: a redirect (HTTP status 302), which is not followed"),
        (vec![Act::Reply(200, "", "<html>".into())], 1, "unexpected response from ECR: it is not what the API documents"),
        (vec![Act::Reply(200, "", "{\"authorizationData\":[".into())], 1, "unexpected response from ECR: it is not what the API documents"),
        (vec![Act::Reply(200, "", "[".repeat(100_000))], 1, "unexpected response from ECR: it is not what the API documents"),
        (vec![Act::Reply(200, "", format!("{{\"x\":{}", "[".repeat(100_000)))], 1, "unexpected response from ECR: it is not what the API documents"),
        (vec![Act::Reply(200, "", "{}".into())], 1, "unexpected response from ECR: no authorization data in it"),
        (vec![Act::Reply(200, "", "{\"authorizationData\":null}".into())], 1, "unexpected response from ECR: no authorization data in it"),
        (vec![Act::Reply(200, "", data("null"))], 1, "unexpected response from ECR: no authorization token in it"),
        (vec![Act::Reply(200, "", data(&(quoted("AWS:p") + r#","expiresAt":"soon""#)))], 1, "unexpected response from ECR: it is not what the API documents"),
        (vec![Act::Reply(200, "", data(&(quoted("AWS:p") + r#","expiresAt":1e300"#)))], 1, "ok"),
        (vec![Act::Reply(200, "", data(&(quoted("AWS:p") + r#","expiresAt":-62135596801"#)))], 1, "ok"),
        (vec![Act::Reply(200, "", data(&(quoted("AWS:p") + r#","expiresAt":null,"proxyEndpoint":null"#)))], 1, "ok"),
        (vec![Act::Reply(200, "", data("7"))], 1, "unexpected response from ECR: it is not what the API documents"),
        (vec![Act::Reply(200, "", data("\"%\""))], 1, "unexpected response from ECR: the authorization token is not base64"),
        (vec![Act::Reply(200, "", data(&quoted("AWS")))], 1, "unexpected response from ECR: the authorization token has no colon between user and password"),
        (vec![Act::Reply(200, "", data(&quoted("AWS:p:q")))], 1, "ok"),
        (vec![Act::Reply(400, "", "not json".into())], 1, "unexpected response from ECR: HTTP status 400 without an error code"),
        (vec![Act::Flood(512 << 20)], 1, "the response from 127.0.0.1 exceeds 1048576 bytes"),
    ];
    for (script, requests, expected) in cases {
        let server = server(false, script);
        let mut plan = plan(server.url());
        plan.network.max_attempts = Some(3);
        let found = issue(&none(), &plan, REGISTRY, 10.0);
        let text = match &found {
            Ok(_) => "ok".to_owned(),
            Err(error) => error.to_string(),
        };
        let (cause, tries) = text.split_once(" (3 attempts in ").unwrap_or((&text, ""));
        assert_eq!(cause, expected);
        assert_eq!(
            tries.ends_with(" s)"),
            cause != "ok" && requests > 1,
            "{text}"
        );
        assert_eq!(server.seen().len(), requests, "{expected}");
        assert!(*server.sent.lock().expect("whole") < 32 << 20);
        let shown = format!("{found:?} {text}");
        assert!(!shown.contains("sentinel"), "{shown}");
    }
}

#[test]
fn a_clock_that_is_off_is_measured() {
    let body = r#"{"__type":"InvalidSignatureException","message":"Signature expired: 20260101T000000Z is now earlier than 20260101T010000Z"}"#;
    let server = server(
        false,
        vec![Act::Reply(
            400,
            "date: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
            body.into(),
        )],
    );
    let error = issue(&none(), &plan(server.url()), REGISTRY, 10.0).expect_err("skewed");
    let text = error.to_string();
    assert!(text.contains("days ahead of that of AWS"), "{text}");
}

#[test]
fn what_hangs_ends_with_the_deadline() {
    let server = server(false, vec![Act::Hang]);
    let start = Instant::now();
    let error = issue(&none(), &plan(server.url()), REGISTRY, 1.0).expect_err("hangs");
    assert!(start.elapsed() < Duration::from_millis(1500));
    let text = error.to_string();
    assert!(
        text.starts_with("timed out waiting for the response from 127.0.0.1"),
        "{text}"
    );
    assert!(error.is_shared());
}

#[test]
fn nobody_listening_and_no_such_name_are_told_apart() {
    let free = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let port = free.local_addr().expect("bound").port();
    drop(free);
    for (url, expected) in [
        (
            format!("http://127.0.0.1:{port}"),
            format!("connection refused by 127.0.0.1:{port}"),
        ),
        (
            "ftp://127.0.0.1".into(),
            "the endpoint is not an http:// or https:// URL".into(),
        ),
    ] {
        let error = issue(&none(), &plan(url), REGISTRY, 10.0).expect_err("nobody");
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn a_private_authority_has_to_be_named() {
    let server = server(true, vec![Act::Reply(200, "", good())]);
    let url = format!("https://localhost:{}", server.port);
    let ca = concat!(env!("CARGO_MANIFEST_DIR"), "/src/ecr/test-ca.pem");
    let mut with_bundle = plan(url.clone());
    let bundle = |path: &str| CaBundle {
        setting: "AWS_CA_BUNDLE".into(),
        path: path.into(),
    };
    with_bundle.network.ca_bundle = Some(bundle(ca));
    issue(&none(), &with_bundle, REGISTRY, 10.0).expect("trusted");
    let named = Env::of([("SSL_CERT_FILE", ca)]);
    issue(&named, &plan(url.clone()), REGISTRY, 10.0).expect("trusted");
    with_bundle.network.ca_bundle = Some(bundle("/nowhere/ca.pem"));
    let error = issue(&none(), &with_bundle, REGISTRY, 10.0).expect_err("missing");
    assert!(
        error
            .to_string()
            .starts_with("AWS_CA_BUNDLE: /nowhere/ca.pem cannot be read")
    );
    // Another authority.
    let other = std::env::temp_dir().join(format!("ecr-other-ca-{}.pem", std::process::id()));
    std::fs::write(&other, include_str!("test-other-ca.pem")).expect("writable");
    with_bundle.network.ca_bundle = Some(bundle(&other.display().to_string()));
    let before = server.seen().len();
    let error = issue(&none(), &with_bundle, REGISTRY, 10.0).expect_err("untrusted");
    std::fs::remove_file(other).expect("ours");
    assert_eq!(
        error.to_string(),
        "the TLS certificate of localhost is not signed by a trusted CA"
    );
    assert!(error.hint().contains("AWS_CA_BUNDLE or SSL_CERT_FILE"));
    assert!(!error.is_shared());
    assert_eq!(server.seen().len(), before);
}

#[test]
fn a_plain_endpoint_loads_no_authorities() {
    let server = server(false, vec![Act::Reply(200, "", good())]);
    let mut plan = plan(server.url());
    plan.network.ca_bundle = Some(CaBundle {
        setting: "AWS_CA_BUNDLE".into(),
        path: "/nowhere".into(),
    });
    issue(&none(), &plan, REGISTRY, 10.0).expect("issued");
}

#[test]
fn https_tunnels_and_http_uses_absolute_form() {
    let proxy = server(false, vec![Act::Reply(200, "", good())]);
    let url = format!("http://u:sentinel@127.0.0.1:{}", proxy.port);
    let env = Env::of([("HTTP_PROXY", &url)]);
    issue(
        &env,
        &plan("http://ecr.test.example/".into()),
        REGISTRY,
        10.0,
    )
    .expect("issued");
    let seen = &proxy.seen()[0];
    assert!(
        seen.starts_with("POST http://ecr.test.example/ HTTP/1.1\r\n"),
        "{seen}"
    );
    assert!(
        seen.contains("proxy-authorization: Basic dTpzZW50aW5lbA=="),
        "{seen}"
    );
    assert!(seen.contains("host: ecr.test.example\r\n"), "{seen}");

    for (act, expected) in [
        (
            Act::Reply(407, "", String::new()),
            "rejects the user name and password in its URL",
        ),
        (
            Act::Reply(401, "", String::new()),
            "rejects the user name and password in its URL",
        ),
        (
            Act::Reply(403, "", String::new()),
            "refuses the connection to ecr.test.example with HTTP 403",
        ),
        (
            Act::Reply(503, "", String::new()),
            "cannot reach ecr.test.example: it returned HTTP 503",
        ),
        (Act::Close, "closed the connection"),
    ] {
        let proxy = server(false, vec![act]);
        let url = format!("http://u:sentinel@127.0.0.1:{}", proxy.port);
        let env = Env::of([("https_proxy", &url)]);
        let plan = plan("https://ecr.test.example".into());
        let error = issue(&env, &plan, REGISTRY, 10.0).expect_err(expected);
        assert_eq!(
            error.to_string(),
            format!(
                "the proxy 127.0.0.1:{} (https_proxy) {expected}",
                proxy.port
            )
        );
        let seen = &proxy.seen()[0];
        assert!(
            seen.starts_with("CONNECT ecr.test.example:443 HTTP/1.1\r\n"),
            "{seen}"
        );
        assert!(
            seen.contains("Proxy-Authorization: Basic dTpzZW50aW5lbA=="),
            "{seen}"
        );
        assert!(!seen.to_lowercase().contains("\r\nauthorization"), "{seen}");
    }

    let proxy = server(false, vec![Act::Tunnel, Act::Close]);
    let url = format!("http://127.0.0.1:{}", proxy.port);
    let env = Env::of([("HTTPS_PROXY", &url)]);
    let plan = plan("https://ecr.test.example".into());
    // What follows the tunnel's opening is TLS, which this server does not speak.
    assert!(issue(&env, &plan, REGISTRY, 1.0).is_err());
}

#[test]
fn ambient_credentials_are_fetched_once() {
    let creds = r#"{"AccessKeyId":"ASIAC","SecretAccessKey":"s","Token":"t","Expiration":"2999-01-01T00:00:00Z"}"#;
    let server = server(
        false,
        vec![
            Act::Reply(
                200,
                "x-aws-ec2-metadata-token-ttl-seconds: 21600\r\n",
                "token".into(),
            ),
            Act::Reply(200, "", "role".into()),
            Act::Reply(200, "", format!("{{\"Code\":\"Success\",{}", &creds[1..])),
            Act::Reply(200, "", good()),
        ],
    );
    let mut plan = plan(server.url());
    plan.source = Source::InstanceMetadata(InstanceMetadata {
        endpoint: Some(server.url()),
        ..InstanceMetadata::default()
    });
    let env = none();
    let mut aws = Aws::new(&env, &env::now, Log::off());
    let deadline = Instant::now() + Duration::from_secs(10);
    let session = aws.identify(&plan, deadline).expect("credentials");
    assert_eq!(session.access_key_id(), "ASIAC");
    assert_eq!(server.seen().len(), 3);
    aws.issue(&plan, Some(session), &registry(REGISTRY), deadline)
        .expect("issued");
    assert_eq!(server.seen().len(), 4);
    assert_eq!(*server.connections.lock().expect("whole"), 1);
}

#[test]
fn silent_instance_metadata_is_no_credentials() {
    for (act, expected) in [
        (Act::Hang, "instance metadata cannot be reached"),
        (
            Act::Reply(403, "", String::new()),
            "instance metadata refused with HTTP status 403",
        ),
        (Act::Close, "instance metadata cannot be reached"),
    ] {
        let server = server(false, vec![act]);
        let mut plan = plan(server.url());
        plan.source = Source::InstanceMetadata(InstanceMetadata {
            endpoint: Some(server.url()),
            ..InstanceMetadata::default()
        });
        let start = Instant::now();
        let error = issue(&none(), &plan, REGISTRY, 20.0).expect_err("none");
        assert!(
            start.elapsed() < Duration::from_secs(5),
            "{:?}",
            start.elapsed()
        );
        let text = error.to_string();
        assert!(
            text.starts_with("no AWS credentials found: ") && text.contains(expected),
            "{text}"
        );
    }
}

#[derive(Debug, Clone, Default)]
struct Capture(Arc<Mutex<Option<String>>>);

impl HttpConnector for Capture {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        *self.0.lock().expect("whole") = Some(request.uri().to_owned());
        HttpConnectorFuture::ready(Err(ConnectorError::user("captured".into())))
    }
}

/// The URL that the SDK would ask, none if it refuses the combination.
fn sdk_url(service: Service, region: &str, fips: bool, dual_stack: bool) -> Option<String> {
    let capture = Capture::default();
    let connector = SharedHttpConnector::new(capture.clone());
    let config = SdkConfig::builder()
        .behavior_version(aws_sdk_ecr::config::BehaviorVersion::latest())
        .region(Region::new(region.to_owned()))
        .use_fips(fips)
        .use_dual_stack(dual_stack)
        .http_client(http_client_fn(move |_, _| connector.clone()))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
            "a", "b", None, None, "test",
        )))
        .retry_config(RetryConfig::disabled())
        .build();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("runtime");
    runtime.block_on(async {
        match service {
            Service::Ecr => {
                let client = aws_sdk_ecr::Client::new(&config);
                let _ = client.get_authorization_token().send().await;
            }
            Service::EcrPublic => {
                let client = aws_sdk_ecrpublic::Client::new(&config);
                let _ = client.get_authorization_token().send().await;
            }
        }
    });
    let url = capture.0.lock().expect("whole").clone()?;
    Some(url.trim_end_matches('/').to_owned())
}

#[test]
fn api_hosts_are_those_that_the_sdk_chooses() {
    for partition in PARTITIONS {
        for (fips, dual_stack) in [(false, false), (true, false), (false, true), (true, true)] {
            let region = partition.home_region;
            let mut services = vec![Service::Ecr];
            if partition.id == "aws" {
                services.push(Service::EcrPublic);
            }
            for service in services {
                let ours = service.api_url(region, partition, fips, dual_stack);
                let sdk = sdk_url(service, region, fips, dual_stack);
                assert_eq!(
                    Some(ours),
                    sdk,
                    "{service:?} in {region}, fips {fips}, dual-stack {dual_stack}"
                );
            }
        }
    }
}

/// Step, code, message and outcome; then the cause, and whether others share it.
type Case<'a> = (
    Step<'a>,
    &'a str,
    &'a str,
    Option<RequestOutcome>,
    &'a str,
    bool,
);

#[test]
fn failures_are_classified_by_step_code_and_outcome() {
    let host = registry(REGISTRY);
    let public = registry("public.ecr.aws");
    let api = endpoint("http://127.0.0.1:1".into());
    let token = Step::Token {
        registry: &host,
        api: &api,
        owner: "K",
    };
    let dev_role = role("R");
    let role = Step::Role {
        role: &dev_role,
        owner: "K",
    };
    let pod = WebIdentity {
        profile: None,
        role_arn: "R".into(),
        session_name: None,
        token: Secret::from("t"),
        subject: Subject::of("t"),
        sts: api.clone(),
    };
    let web = Step::WebIdentity(&pod);
    let dev = sso_profile();
    let sso = Step::SsoRole(&dev);
    let console = ConsoleLogin {
        profile: "dev".into(),
        session_arn: "arn".into(),
        signin: api.clone(),
        login_file: "/nonexistent/login.json".into(),
    };
    let login = Step::Login(&console);
    let from_public = Step::Token {
        registry: &public,
        api: &api,
        owner: "K",
    };
    let replied = |status| {
        Some(RequestOutcome::Replied {
            host: "h".into(),
            status,
            date: None,
        })
    };
    let failed = |failure| Some(RequestOutcome::Failed(failure));
    let dns = || Failure::Dns {
        host: "h".into(),
        temporary: false,
    };
    let pending = Some(RequestOutcome::Pending {
        doing: "connecting to h".into(),
    });
    #[rustfmt::skip]
    let cases: Vec<Case<'_>> = vec![
        (token, "", "", failed(dns()), "the name h does not resolve", true),
        (token, "", "", failed(Failure::Refused { at: "h:1".into() }), "connection refused by h:1", true),
        (token, "", "", failed(Failure::CertificateTime { host: "h".into() }), "the TLS certificate of h has expired or is not valid yet", false),
        (token, "", "", pending.clone(), "timed out connecting to h", true),
        (token, "RequestTimeTooSkewed", "", replied(400), "this machine's clock and that of AWS are too far apart", false),
        (token, "SignatureDoesNotMatch", "x", replied(403), "AWS does not accept the signature made by K", false),
        (token, "AccessDeniedException", "no", replied(400), "access denied: the principal may not call ecr:GetAuthorizationToken", true),
        (token, "AccessDeniedException", "User: arn:aws:iam::1:user/u is not authorized to perform: ecr:GetAuthorizationToken on resource: * with an explicit deny in a service control policy", replied(400), "access denied: arn:aws:iam::1:user/u may not call ecr:GetAuthorizationToken with an explicit deny in a service control policy", true),
        (from_public, "AccessDeniedException", "no", replied(400), "access denied: the principal may not call ecr-public:GetAuthorizationToken", true),
        (token, "Throttling", "", replied(400), "ECR is throttling requests", true),
        (from_public, "", "", replied(502), "ECR Public failed with HTTP status 502", true),
        (role, "AccessDenied", "not authorized", replied(403), "the role R cannot be assumed by K: not authorized", true),
        (role, "InvalidClientTokenId", "", replied(403), "AWS does not know the access key of K", false),
        (role, "ExpiredToken", "", replied(403), "the session token of K has expired", false),
        (web, "ExpiredTokenException", "", replied(400), "the web identity token has expired", false),
        (web, "InvalidIdentityToken", "no key", replied(400), "the web identity token is not accepted: no key", false),
        (web, "AccessDenied", "no trust", replied(403), "the role R cannot be assumed by the web identity token: no trust", false),
        (sso, "UnauthorizedException", "", replied(401), "the SSO session for profile \"dev\" has expired", true),
        (sso, "ForbiddenException", "", replied(403), "the SSO user of profile \"dev\" is not assigned the role r in account 1", true),
        (sso, "TooManyRequestsException", "", replied(429), "IAM Identity Center is throttling requests", true),
        (login, "", "", replied(401), "the \"aws login\" session for profile \"dev\" has expired", true),
        (Step::Container, "", "", replied(403), "container credentials: the endpoint refused with HTTP status 403", true),
        (Step::Container, "", "", replied(200), "container credentials: the response holds no credentials", true),
        (Step::Metadata, "", "", failed(dns()), "no AWS credentials found: instance metadata cannot be reached (the name h does not resolve)", false),
        (Step::Metadata, "", "", pending, "no AWS credentials found: instance metadata cannot be reached (timed out connecting to h)", false),
        (Step::Metadata, "", "", replied(404), "no AWS credentials found: this machine has no role in its instance metadata", false),
        (Step::Metadata, "", "", replied(500), "instance metadata failed with HTTP status 500", true),
    ];
    for (step, code, message, outcome, expected, shared) in cases {
        let error = classify(
            step,
            &FailureContext {
                code: Some(code.to_owned()).filter(|code| !code.is_empty()),
                message: Some(message.to_owned()),
                outcome,
                ..FailureContext::default()
            },
        );
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.is_shared(), shared, "{expected}");
        assert!(
            !error.hint().is_empty() && !error.hint().ends_with('.'),
            "{expected}"
        );
    }
}

fn role(arn: &str) -> Role {
    Role {
        profile: None,
        mfa_serial: None,
        duration: None,
        role_arn: arn.into(),
        external_id: Some("ext".into()),
        session_name: None,
        sts: endpoint("http://127.0.0.1:1".into()),
    }
}

fn sso_profile() -> Sso {
    Sso {
        profile: "dev".into(),
        session: Some("a session that nobody has".into()),
        start_url: "https://start.example".into(),
        account_id: "1".into(),
        role_name: "r".into(),
        portal: endpoint("http://127.0.0.1:1".into()),
        oidc: endpoint("http://127.0.0.1:1".into()),
        login_file: "/nonexistent/login.json".into(),
    }
}

#[test]
fn an_sso_login_that_is_not_there_counts_as_expired() {
    let mut plan = plan("http://127.0.0.1:1".into());
    plan.source = Source::Sso(sso_profile());
    let error = issue(&none(), &plan, REGISTRY, 5.0).expect_err("no login");
    assert_eq!(error.kind(), ProblemKind::SessionExpired, "{error}");
    assert_eq!(error.hint(), "aws sso login --profile dev");
}

#[test]
fn strange_keys_and_endpoints_are_errors_and_no_panic() {
    let server = server(false, vec![Act::Reply(200, "", "<html> \u{1}?#".into())]);
    for (id, session) in [
        ("AK\nID", "t"),
        ("AKID", "sentinel\r\nx: y"),
        ("\u{e9}", "\0"),
    ] {
        let mut plan = plan(server.url());
        plan.source = Source::Environment(AccessKeys {
            access_key_id: id.into(),
            secret_access_key: Secret::from("sentinel"),
            session_token: Some(Secret::from(session)),
        });
        let error = issue(&none(), &plan, REGISTRY, 5.0).expect_err(id);
        assert!(
            !format!("{error} {error:?}").contains("sentinel"),
            "{error}"
        );
    }
    for url in [
        "",
        "x",
        "http://",
        "http://[",
        "http://a b",
        "//x",
        "http://u:p@127.0.0.1:1",
    ] {
        assert!(
            issue(&none(), &plan(url.into()), REGISTRY, 5.0).is_err(),
            "{url}"
        );
    }
    let mut plan = plan(server.url());
    plan.source = Source::InstanceMetadata(InstanceMetadata {
        endpoint: Some(server.url()),
        ..InstanceMetadata::default()
    });
    assert!(issue(&none(), &plan, REGISTRY, 5.0).is_err());
    for uri in ["localhost:80", "http:/x", "*", "x/y", ""] {
        plan.source = Source::Container(Container {
            uri: Secret::from(uri),
            relative: false,
            token: None,
            token_file: None,
        });
        let error = issue(&none(), &plan, REGISTRY, 5.0).expect_err(uri);
        assert_eq!(error.kind(), ProblemKind::Configuration, "{error}");
    }
}

#[test]
fn missing_fips_or_dual_stack_endpoint_is_named() {
    // No resolver is asked for a label of 64 characters.
    let suffix = "a".repeat(64);
    for (fips, dual_stack, url, expected) in [
        (
            true,
            false,
            format!("https://api.ecr-fips.{suffix}"),
            format!(
                "ECR has no FIPS endpoint in the region eu-west-1: api.ecr-fips.{suffix} or ecr-fips.{suffix} does not resolve"
            ),
        ),
        (
            true,
            true,
            format!("https://ecr-fips.{suffix}"),
            format!(
                "ECR has no dual-stack FIPS endpoint in the region eu-west-1: ecr-fips.{suffix} does not resolve"
            ),
        ),
        (
            false,
            true,
            format!("https://ecr.{suffix}"),
            format!(
                "ECR has no dual-stack endpoint in the region eu-west-1: ecr.{suffix} does not resolve"
            ),
        ),
        (
            false,
            false,
            format!("https://ecr.{suffix}"),
            format!("the name ecr.{suffix} does not resolve"),
        ),
    ] {
        let mut plan = plan(url);
        plan.api.fips = fips;
        plan.api.dual_stack = dual_stack;
        plan.network.ca_bundle = Some(CaBundle {
            setting: "AWS_CA_BUNDLE".into(),
            path: concat!(env!("CARGO_MANIFEST_DIR"), "/src/ecr/test-ca.pem").into(),
        });
        let error = issue(&none(), &plan, REGISTRY, 10.0).expect_err("none");
        // The whole of what is cut in a cause.
        let text = error.to_string();
        assert_eq!(error.detail().unwrap_or(&text), expected);
    }
}

#[test]
fn a_command_that_takes_too_long_is_named() {
    let mut plan = plan("http://127.0.0.1:1".into());
    plan.source = Source::Process {
        profile: "dev".into(),
        command: Secret::from(if cfg!(windows) {
            "timeout 5"
        } else {
            "sleep 5"
        }),
    };
    let error = issue(&none(), &plan, REGISTRY, 0.3).expect_err("too long");
    assert_eq!(
        error.to_string(),
        "timed out waiting for the credential_process of profile \"dev\" (after 0.3 s)"
    );
}

mod container;
mod metadata;
mod sessions;
