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
    AccessKeys, Address, CaBundle, ConsoleLogin, Container, Endpoint, Identity, InstanceMetadata,
    RegistryApi, Role, Source, Sso, Subject, Variant, WebIdentity,
};
use crate::problem::ProblemKind;
use crate::registry::{PARTITIONS, Service};
use crate::secret::Secret;

/// The server's reaction to one request.
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

impl Server {
    fn bind() -> (TcpListener, Self) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let server = Self {
            port: listener.local_addr().expect("bound").port(),
            seen: Arc::default(),
            connections: Arc::default(),
            sent: Arc::default(),
        };
        (listener, server)
    }
}

trait TestStream: Read + Write {}
impl<T: Read + Write> TestStream for T {}

fn server(tls: bool, script: Vec<Act>) -> Server {
    let (listener, server) = Server::bind();
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

fn over_tls(stream: TcpStream) -> Box<dyn TestStream> {
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

fn read_request(wire: &mut dyn TestStream) -> Option<String> {
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
    mut wire: Box<dyn TestStream>,
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
        address: Address::Url(url),
    }
}

fn api(url: String) -> RegistryApi {
    RegistryApi {
        region: "eu-west-1".into(),
        url,
        variant: Variant::default(),
    }
}

fn plan(url: String) -> Plan {
    Plan {
        source: Source::Environment(keys()),
        roles: Vec::new(),
        api: api(url),
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
        session: Some("an unknown session".into()),
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
    assert_eq!(error.hint(), "run aws sso login --profile dev");
}

mod container;
#[cfg(unix)]
mod early;
mod environment;
mod failures;
mod metadata;
mod network;
mod sessions;
