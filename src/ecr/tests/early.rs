//! Connections that are opened while a source is asked; the commands are a Unix shell's.

use super::*;

/// When an unused connection is closed.
const UNUSED: Duration = Duration::from_millis(200);

/// Whether the connection is closed unused, by number.
type Closes = fn(u32) -> bool;

/// A server that has its connections counted, closes some of them, and answers on the others.
fn closing(closes: Closes, body: String) -> Server {
    let (listener, server) = Server::bind();
    let (seen, connections) = (server.seen.clone(), server.connections.clone());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let number = {
                let mut connections = connections.lock().expect("whole");
                *connections += 1;
                *connections
            };
            if closes(number) {
                std::thread::spawn(move || {
                    std::thread::sleep(UNUSED);
                    drop(stream);
                });
                continue;
            }
            let (seen, script) = (
                seen.clone(),
                Mutex::new(vec![Act::Reply(200, "", body.clone())]),
            );
            std::thread::spawn(move || {
                serve(Box::new(stream), &script, &seen, &Mutex::default());
            });
        }
    });
    server
}

/// Credentials after `wait`, a shell command.
fn process(wait: &str) -> Source {
    let json = r#"{"Version":1,"AccessKeyId":"AKIDP","SecretAccessKey":"s"}"#;
    Source::Process {
        profile: "p".into(),
        command: Secret::new(format!("{wait}; echo '{json}'")),
    }
}

struct Got {
    result: Result<Issued, Problem>,
    /// How long the request for the token took.
    elapsed: Duration,
}

/// As `get` on a miss, with a pause before the request for the token.
fn get(env: &Env, plan: &Plan, pause: Duration, between: impl FnOnce()) -> Got {
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut aws = Aws::new(env, &env::now, Log::off());
    aws.connect_early(plan, deadline);
    let session = aws.identify(plan, deadline).expect("credentials");
    between();
    std::thread::sleep(pause);
    let start = Instant::now();
    Got {
        result: aws.issue(plan, Some(session), &registry(REGISTRY), deadline),
        elapsed: start.elapsed(),
    }
}

fn connections(server: &Server) -> u32 {
    *server.connections.lock().expect("whole")
}

#[test]
fn a_process_has_all_its_connections_opened_early() {
    let (sts, api) = (closing(|_| false, assumed()), closing(|_| false, good()));
    let mut plan = plan(api.url());
    plan.source = process("sleep 0.3");
    plan.roles = vec![Role {
        sts: endpoint(sts.url()),
        ..role("arn:aws:iam::123456789012:role/r")
    }];
    let opened = || assert_eq!((connections(&sts), connections(&api)), (1, 1));
    get(&none(), &plan, Duration::ZERO, opened)
        .result
        .expect("issued");
    opened();
}

#[test]
fn a_proxy_is_connected_to_early() {
    let proxy = server(false, vec![Act::Tunnel, Act::Close]);
    let env = Env::of([("HTTPS_PROXY", format!("http://127.0.0.1:{}", proxy.port))]);
    let mut plan = plan("https://ecr.test.example".into());
    plan.source = process("sleep 0.3");
    plan.network.max_attempts = Some(1);
    let tunnelled = || {
        let seen = proxy.seen();
        assert!(
            seen[0].starts_with("CONNECT ecr.test.example:443 "),
            "{seen:?}"
        );
    };
    // It closes the connection in the TLS handshake.
    let got = get(&env, &plan, Duration::ZERO, tunnelled);
    got.result.expect_err("no TLS");
    assert_eq!(connections(&proxy), 1);
}

#[test]
fn closed_early_connections_are_opened_anew() {
    // While the source is asked, and while nothing of the network is polled.
    for (wait, pause) in [("sleep 0.4", Duration::ZERO), ("sleep 0.05", UNUSED * 2)] {
        let api = closing(|number| number == 1, good());
        let mut plan = plan(api.url());
        plan.source = process(wait);
        plan.network.max_attempts = Some(1);
        let got = get(&none(), &plan, pause, || {});
        got.result.expect("issued");
        assert_eq!((connections(&api), api.seen().len()), (2, 1), "{wait}");
        assert!(got.elapsed < UNUSED, "{:?}", got.elapsed);
    }
}

#[test]
fn early_failures_are_those_of_the_request() {
    let api = closing(|_| true, String::new());
    let mut plan = plan(format!("https://localhost:{}", api.port));
    plan.network.ca_bundle = Some(CaBundle {
        setting: "AWS_CA_BUNDLE".into(),
        path: concat!(env!("CARGO_MANIFEST_DIR"), "/src/ecr/test-ca.pem").into(),
    });
    plan.source = process("sleep 0.2");
    plan.network.max_attempts = Some(1);
    let error = get(&none(), &plan, Duration::ZERO, || {}).result;
    let error = error.expect_err("closed").to_string();
    assert!(error.contains("in the TLS handshake"), "{error}");
    assert_eq!(connections(&api), 1);
}

#[test]
fn a_failed_source_drops_early_connections() {
    let api = closing(|_| true, String::new());
    let mut plan = plan(api.url());
    plan.source = Source::Process {
        profile: "p".into(),
        command: Secret::from("sleep 0.2; exit 3"),
    };
    let env = none();
    let mut aws = Aws::new(&env, &env::now, Log::off());
    let deadline = Instant::now() + Duration::from_secs(10);
    aws.connect_early(&plan, deadline);
    let error = aws.identify(&plan, deadline).expect_err("exit 3");
    assert!(error.to_string().contains("exit status 3"), "{error}");
    assert_eq!((connections(&api), api.seen().len()), (1, 0));
}

#[test]
fn each_role_of_a_chain_is_connected_to_early() {
    let (first, second) = (closing(|_| false, assumed()), closing(|_| false, assumed()));
    let api = closing(|_| false, good());
    let mut plan = plan(api.url());
    plan.roles = [&first, &second]
        .map(|sts| Role {
            sts: endpoint(sts.url()),
            ..role("arn:aws:iam::123456789012:role/r")
        })
        .into();
    issue(&none(), &plan, REGISTRY, 10.0).expect("issued");
    let all = [&first, &second, &api];
    assert_eq!(all.map(connections), [1, 1, 1]);
}
