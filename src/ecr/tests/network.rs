//! Connections, proxies, trust, and the hosts of the APIs.

use super::*;

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
    // Bound and not listening: a port that was given back may be taken by another test.
    let held = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    let held = held.expect("socket");
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    held.bind(&any.into()).expect("loopback");
    let address = held.local_addr().expect("bound").as_socket();
    let port = address.expect("IPv4").port();
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
        let error = issue(&none(), &plan(url), REGISTRY, 10.0).expect_err("no server");
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
    std::fs::write(&other, include_str!("../test-other-ca.pem")).expect("writable");
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

    let proxy = server(false, vec![Act::Tunnel, Act::Close]);
    let url = format!("http://127.0.0.1:{}", proxy.port);
    let env = Env::of([("HTTPS_PROXY", &url)]);
    let plan = plan("https://ecr.test.example".into());
    // TLS follows once the tunnel is open, and this server does not speak it.
    assert!(issue(&env, &plan, REGISTRY, 1.0).is_err());
}

#[test]
fn a_refusing_proxy_is_named_without_its_password() {
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
