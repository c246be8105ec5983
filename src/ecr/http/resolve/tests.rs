use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::mpsc;

use super::files::ResolverSettings;
use super::servers::by_servers;
use super::{NotFound, first_of};

/// A name server's reaction to a query.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Says {
    Address,
    Nothing,
    NoSuchName,
    Failed,
    Truncated,
    Silence,
    /// The first time it is silent.
    Late,
    /// An answer to another question first.
    Forged,
}

type Queries = Arc<Mutex<Vec<String>>>;

/// Answers `script(name, is_aaaa)`; over TCP always with an address.
async fn server(
    log: &Queries,
    id: &'static str,
    script: impl Fn(&str, bool) -> Says + Send + 'static,
) -> SocketAddr {
    let (udp, tcp) = loop {
        let udp = UdpSocket::bind("127.0.0.1:0").await.expect("loopback");
        let addr = udp.local_addr().expect("bound");
        if let Ok(tcp) = TcpListener::bind(addr).await {
            break (udp, tcp);
        }
    };
    let addr = udp.local_addr().expect("bound");
    let seen = Arc::clone(log);
    tokio::spawn(async move {
        let mut late = 0;
        let mut buffer = [0; 512];
        while let Ok((length, from)) = udp.recv_from(&mut buffer).await {
            let (name, is_aaaa) = question(&buffer[..length]);
            let kind = if is_aaaa { "AAAA" } else { "A" };
            seen.lock()
                .expect("log")
                .push(format!("{id} {kind} {name}"));
            let mut says = script(&name, is_aaaa);
            if says == Says::Late {
                late += 1;
                says = if late > 2 {
                    Says::Address
                } else {
                    Says::Silence
                };
            }
            if says == Says::Forged {
                let mut other = response(&buffer[..length], Says::NoSuchName);
                other[0] ^= 1;
                udp.send_to(&other, from).await.expect("sent");
                udp.send_to(b"junk", from).await.expect("sent");
                says = Says::Address;
            }
            if says != Says::Silence {
                let message = response(&buffer[..length], says);
                udp.send_to(&message, from).await.expect("sent");
            }
        }
    });
    let seen = Arc::clone(log);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = tcp.accept().await {
            let length = stream.read_u16().await.expect("length");
            let mut query = vec![0; length.into()];
            stream.read_exact(&mut query).await.expect("query");
            seen.lock().expect("log").push(format!("{id} TCP"));
            let message = response(&query, Says::Address);
            let length = u16::try_from(message.len()).expect("short");
            stream.write_u16(length).await.expect("sent");
            stream.write_all(&message).await.expect("sent");
        }
    });
    addr
}

fn question(query: &[u8]) -> (String, bool) {
    let mut labels = Vec::new();
    let mut at = 12;
    while query[at] > 0 {
        let end = at + 1 + usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..end]).into_owned());
        at = end;
    }
    (labels.join("."), query[at + 2] == 28)
}

fn response(query: &[u8], says: Says) -> Vec<u8> {
    let (_, is_aaaa) = question(query);
    let mut message = query.to_vec();
    message[2..4].copy_from_slice(match says {
        Says::NoSuchName => &[0x81, 0x83],
        Says::Failed => &[0x81, 0x82],
        Says::Truncated => &[0x83, 0x80],
        _ => &[0x81, 0x80],
    });
    if says == Says::Address {
        message[7] = 1;
        let (kind, data): (u8, &[u8]) = match is_aaaa {
            true => (
                28,
                &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
            ),
            false => (1, &[192, 0, 2, 1]),
        };
        let length = u8::try_from(data.len()).expect("short");
        message.extend([0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 60, 0, length]);
        message.extend(data);
    }
    message
}

/// Addresses in the order of their arrival, the result, and how long the first one took.
async fn ask(
    servers: &[SocketAddr],
    conf: &str,
    name: &str,
) -> (Vec<String>, Result<(), NotFound>, Duration) {
    let mut settings = ResolverSettings::parse(conf, None, None);
    settings.servers = servers.to_vec();
    let (sender, mut results) = mpsc::unbounded_channel::<Result<Vec<IpAddr>, NotFound>>();
    let start = Instant::now();
    let collect = async {
        let mut all = Vec::new();
        let mut first = None;
        while let Some(found) = results.recv().await {
            first.get_or_insert(start.elapsed());
            all.extend(found.expect("addresses").iter().map(IpAddr::to_string));
        }
        (all, first)
    };
    let ask = async move { by_servers(&settings, name, &sender).await };
    let (result, (all, first)) = tokio::join!(ask, collect);
    (all, result, first.unwrap_or_else(|| start.elapsed()))
}

const NAME: &str = "api.ecr.example";

fn seen(log: &Queries) -> Vec<String> {
    let mut seen = std::mem::take(&mut *log.lock().expect("log"));
    seen.sort();
    seen
}

#[tokio::test]
async fn one_familys_failure_is_not_the_names() {
    let log = Queries::default();
    for other in [
        Says::Nothing,
        Says::NoSuchName,
        Says::Failed,
        Says::Silence,
        Says::Address,
    ] {
        for broken in [true, false] {
            let script = move |_: &str, is_aaaa| match is_aaaa == broken {
                true => other,
                false => Says::Address,
            };
            let server = server(&log, "1", script).await;
            let (found, result, first) = ask(&[server], "", NAME).await;
            assert_eq!(result, Ok(()), "{other:?}");
            let expected = if other == Says::Address { 2 } else { 1 };
            assert_eq!(found.len(), expected, "{other:?} {found:?}");
            assert!(first < Duration::from_millis(200), "{other:?} {first:?}");
        }
    }
}

#[tokio::test]
async fn names_as_they_are_come_first() {
    let log = Queries::default();
    let conf = "search a.example b.example\noptions ndots:5";
    let only = |wanted: &'static str| {
        move |name: &str, _| match name == wanted {
            true => Says::Address,
            false => Says::NoSuchName,
        }
    };
    let good = server(&log, "1", only(NAME)).await;
    assert_eq!(ask(&[good], conf, NAME).await.1, Ok(()));
    assert_eq!(
        seen(&log),
        [format!("1 A {NAME}"), format!("1 AAAA {NAME}")]
    );
    let other = server(&log, "1", only("proxy.corp.b.example")).await;
    assert_eq!(ask(&[other], conf, "proxy.corp").await.1, Ok(()));
    assert_eq!(seen(&log).len(), 6);
    let short = server(&log, "1", only("proxy.a.example")).await;
    assert_eq!(ask(&[short], conf, "proxy").await.1, Ok(()));
    assert_eq!(seen(&log).len(), 2);
    let (_, result, _) = ask(&[short], conf, "nowhere.example").await;
    assert_eq!(result, Err(NotFound::Absent));
    assert_eq!(seen(&log).len(), 6);
}

#[tokio::test]
async fn servers_are_asked_in_order() {
    let log = Queries::default();
    let all = |says| move |_: &str, _| says;
    let good = server(&log, "good", all(Says::Address)).await;
    let none = server(&log, "none", all(Says::NoSuchName)).await;
    let failed = server(&log, "failed", all(Says::Failed)).await;
    let silent = server(&log, "silent", all(Says::Silence)).await;
    // The first one's word counts.
    assert_eq!(ask(&[good, none], "", NAME).await.1, Ok(()));
    assert_eq!(ask(&[none, good], "", NAME).await.1, Err(NotFound::Absent));
    assert_eq!(seen(&log).len(), 4);
    // One that fails or is not there does not hold up the next.
    let closed = "127.0.0.1:1".parse().expect("address");
    for first in [failed, closed] {
        let (_, result, time) = ask(&[first, good], "", NAME).await;
        assert_eq!(result, Ok(()));
        assert!(time < Duration::from_millis(200), "{time:?}");
    }
    // A silent one for a moment.
    let (_, result, time) = ask(&[silent, good], "", NAME).await;
    assert_eq!(result, Ok(()));
    assert!(time < Duration::from_millis(450), "{time:?}");
    let (_, result, _) = ask(&[silent, none], "", NAME).await;
    assert_eq!(result, Err(NotFound::Absent));
    // No resolver has an answer.
    let (_, result, _) = ask(&[failed, closed], "options attempts:1", NAME).await;
    assert_eq!(result, Err(NotFound::Unknown));
    let (_, result, time) = ask(&[silent], "options attempts:1 timeout:1", NAME).await;
    assert_eq!(result, Err(NotFound::Unknown));
    assert!(time < Duration::from_secs(3), "{time:?}");
}

#[tokio::test]
async fn lost_queries_are_sent_again_soon() {
    let log = Queries::default();
    let late = server(&log, "1", |_: &str, _| Says::Late).await;
    let (found, result, time) = ask(&[late], "", NAME).await;
    assert_eq!((found.len(), result), (2, Ok(())));
    assert!(time < Duration::from_millis(450), "{time:?}");
    assert_eq!(seen(&log).len(), 4);
}

#[tokio::test]
async fn tcp_serves_truncated_answers_and_use_vc() {
    let log = Queries::default();
    let cut = server(&log, "1", |_: &str, _| Says::Truncated).await;
    let (found, result, _) = ask(&[cut], "", NAME).await;
    assert_eq!((found.len(), result), (2, Ok(())));
    assert_eq!(seen(&log).len(), 4);
    let (found, result, _) = ask(&[cut], "options use-vc no-aaaa", NAME).await;
    assert_eq!((found, result), (vec!["192.0.2.1".to_owned()], Ok(())));
    assert_eq!(seen(&log), ["1 TCP"]);
}

#[tokio::test]
async fn messages_of_others_are_ignored() {
    let log = Queries::default();
    let forged = server(&log, "1", |_: &str, _| Says::Forged).await;
    let (found, result, _) = ask(&[forged], "", NAME).await;
    assert_eq!((found.len(), result), (2, Ok(())));
}

#[tokio::test]
async fn system_resolver_has_the_first_word() {
    let address: IpAddr = "192.0.2.9".parse().expect("address");
    let run = async |wait, system, second: Option<Result<(), NotFound>>| {
        let (sender, mut results) = mpsc::unbounded_channel::<Result<Vec<IpAddr>, NotFound>>();
        let asked = Arc::new(Mutex::new(false));
        let noted = Arc::clone(&asked);
        let system = async move {
            tokio::time::sleep(Duration::from_millis(wait)).await;
            system
        };
        let found = sender.clone();
        let second = async move {
            *noted.lock().expect("flag") = true;
            match second {
                Some(result) => {
                    if result.is_ok() {
                        let _ = found.send(Ok(vec![]));
                    }
                    result
                }
                None => std::future::pending().await,
            }
        };
        let result = first_of(system, second, &sender).await;
        let sent = results
            .try_recv()
            .ok()
            .map(|found| found.expect("addresses").len());
        let asked = *asked.lock().expect("flag");
        (result, sent, asked)
    };
    let good = || Ok(vec![address]);
    let absent = || Err(NotFound::Absent);
    assert_eq!(run(0, good(), Some(Ok(()))).await, (Ok(()), Some(1), false));
    assert_eq!(
        run(0, absent(), Some(Ok(()))).await,
        (Ok(()), Some(0), true)
    );
    assert_eq!(
        run(900, good(), Some(Ok(()))).await,
        (Ok(()), Some(0), true)
    );
    assert_eq!(run(400, good(), None).await, (Ok(()), Some(1), true));
    let unknown = Some(Err(NotFound::Unknown));
    assert_eq!(run(400, good(), unknown).await, (Ok(()), Some(1), true));
    assert_eq!(
        run(0, absent(), unknown).await,
        (Err(NotFound::Unknown), None, true)
    );
}
