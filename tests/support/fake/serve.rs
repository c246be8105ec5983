//! Connections of the fake AWS: accepts, answers, and breaks them as a script says.

use std::io::{self, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use rustls::{ServerConnection, StreamOwned};
use serde_json::json;
use socket2::SockRef;

use super::behaviour::{Accept, Answer, Behaviour};
use super::http::{Reply, Request, Stream};
use super::services::{self, Asked, Service};
use super::{Shared, State, TICK, locked};

pub(super) fn accept(shared: &Arc<Shared>, listener: &TcpListener, tls: bool) {
    loop {
        let accepted = listener.accept();
        if shared.stopped.load(Ordering::SeqCst) {
            return;
        }
        let Ok((tcp, _)) = accepted else {
            thread::sleep(Duration::from_millis(2));
            continue;
        };
        let id = shared.connections.fetch_add(1, Ordering::SeqCst);
        let _ = tcp.set_nodelay(true);
        if let Ok(second) = tcp.try_clone() {
            locked(&shared.open).insert(id, second);
        }
        let inner = Arc::clone(shared);
        // A connection that no thread can be had for is closed.
        let spawned = thread::Builder::new().spawn(move || {
            connection(&inner, tcp, tls);
            locked(&inner.open).remove(&id);
        });
        if spawned.is_err() {
            locked(&shared.open).remove(&id);
        }
    }
}

/// Whether the connection may carry another request.
#[derive(PartialEq, Eq)]
enum Next {
    Continue,
    End,
}

fn connection(shared: &Shared, mut tcp: TcpStream, tls: bool) {
    let accept = locked(&shared.state).behaviour.accept;
    match accept {
        Accept::Serve => {}
        Accept::Hang => return hang(shared, &tcp),
        Accept::Reset => return reset(&tcp),
        Accept::Close => return,
        Accept::Garbage => {
            let _ = tcp.write_all(b"\0\x01\x02 neither TLS nor HTTP\r\n");
            return;
        }
    }
    let stream = match (&shared.tls, tls) {
        (Some(config), true) => {
            let Ok(connection) = ServerConnection::new(Arc::clone(config)) else {
                return;
            };
            Stream::Tls(Box::new(StreamOwned::new(connection, tcp)))
        }
        (None, true) => return,
        (_, false) => Stream::Plain(tcp),
    };
    let mut stream = BufReader::with_capacity(16 << 10, stream);
    while !shared.stopped.load(Ordering::SeqCst) {
        let Some(request) = Request::read(&mut stream) else {
            break;
        };
        let next = if request.path.starts_with("/__control/") {
            control(shared, &request, stream.get_mut())
        } else {
            serve(shared, &request, stream.get_mut())
        };
        if next == Next::End || request.wants_close() {
            break;
        }
    }
    if let Stream::Tls(tls) = stream.get_mut() {
        tls.conn.send_close_notify();
        let _ = tls.flush();
    }
}

#[expect(clippy::too_many_lines, reason = "one arm per way to break a response")]
fn serve(shared: &Shared, request: &Request, stream: &mut Stream) -> Next {
    let asked = Asked::of(request);
    let is_head = request.method == "HEAD";
    let (mut answer, mut reply, date) = {
        let mut state = locked(&shared.state);
        let count = &mut state.answered[asked.service as usize];
        let nth = *count;
        *count += 1;
        let answer = match asked.service {
            Service::Registry | Service::Unknown => Answer::default(),
            Service::Ecr if !state.admits() => {
                Answer::error(400, "ThrottlingException", "Rate exceeded")
            }
            service => service.script(&state.behaviour).answer(nth).clone(),
        };
        let mut call = asked.call(request, stream.is_tls(), stream.server_name());
        answer.name().clone_into(&mut call.answer);
        state.calls.push(call);
        let reply = services::whole(&asked, request, innermost(&answer), &mut state);
        let now = Utc::now() + TimeDelta::seconds(state.behaviour.clock_offset);
        let date = now.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        (answer, reply, date)
    };
    if is_head {
        reply.body.clear();
    }
    while let Answer::Delay { ms, then } = answer {
        wait(shared, Duration::from_millis(ms));
        answer = *then;
    }
    let close = request.wants_close();
    let sent = match answer {
        Answer::ResetBefore => {
            reset(stream.tcp());
            return Next::End;
        }
        Answer::CloseWithoutReply => return Next::End,
        Answer::HangBeforeHeaders => {
            hang(shared, stream.tcp());
            return Next::End;
        }
        Answer::HangInBody => {
            let _ = send(stream, &half(&reply, &date));
            hang(shared, stream.tcp());
            return Next::End;
        }
        Answer::ResetMidway => {
            let _ = send(stream, &half(&reply, &date));
            // Lets the client read its half before the reset throws it away.
            thread::sleep(Duration::from_millis(20));
            reset(stream.tcp());
            return Next::End;
        }
        Answer::Trickle => trickle(shared, stream, &reply, &date),
        Answer::HugeBody { mib } => huge(shared, stream, &reply, &date, mib),
        Answer::Truncated => {
            reply.body.truncate(reply.body.len() / 2);
            send(stream, &reply.bytes(&date, close))
        }
        _ => send(stream, &reply.bytes(&date, close)),
    };
    if sent.is_ok() && !close {
        Next::Continue
    } else {
        Next::End
    }
}

fn innermost(answer: &Answer) -> &Answer {
    match answer {
        Answer::Delay { then, .. } => innermost(then),
        other => other,
    }
}

fn send(stream: &mut Stream, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes)?;
    stream.flush()
}

fn half(reply: &Reply, date: &str) -> Vec<u8> {
    let mut bytes = reply.head(date, reply.body.len(), false);
    bytes.extend_from_slice(&reply.body[..reply.body.len() / 2]);
    bytes
}

fn trickle(shared: &Shared, stream: &mut Stream, reply: &Reply, date: &str) -> io::Result<()> {
    send(stream, &reply.head(date, reply.body.len(), false))?;
    for byte in &reply.body {
        if shared.stopped.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        send(stream, std::slice::from_ref(byte))?;
        wait(shared, Duration::from_secs(1));
    }
    Ok(())
}

/// JSON of the wanted length.
fn huge(
    shared: &Shared,
    stream: &mut Stream,
    reply: &Reply,
    date: &str,
    mib: usize,
) -> io::Result<()> {
    let start = br#"{"padding":""#;
    let chunk = vec![b'x'; 64 << 10];
    let mut left = mib << 20;
    send(stream, &reply.head(date, left, true))?;
    send(stream, start)?;
    left = left.saturating_sub(start.len());
    while left > 0 && !shared.stopped.load(Ordering::SeqCst) {
        let length = left.min(chunk.len());
        stream.write_all(&chunk[..length])?;
        left -= length;
    }
    stream.flush()?;
    Err(io::ErrorKind::ConnectionAborted.into())
}

/// Closes so that the peer sees a reset.
fn reset(tcp: &TcpStream) {
    let _ = SockRef::from(tcp).set_linger(Some(Duration::ZERO));
}

/// Keeps the connection until the peer gives up or the fake ends.
fn hang(shared: &Shared, mut tcp: &TcpStream) {
    let _ = tcp.set_read_timeout(Some(TICK));
    let mut rest = [0; 4096];
    while !shared.stopped.load(Ordering::SeqCst) {
        match tcp.read(&mut rest) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock
                | io::ErrorKind::TimedOut
                | io::ErrorKind::Interrupted => {}
                _ => return,
            },
        }
    }
}

fn wait(shared: &Shared, duration: Duration) {
    let end = Instant::now() + duration;
    while !shared.stopped.load(Ordering::SeqCst) {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        thread::sleep(left.min(TICK));
    }
}

/// The methods of [`Fake`](super::Fake), for scripts in other languages.
fn control(shared: &Shared, request: &Request, stream: &mut Stream) -> Next {
    let path = request.path.trim_start_matches("/__control/");
    let mut state = locked(&shared.state);
    let (status, body) = match (request.method.as_str(), path) {
        ("GET", "calls") => (200, json!(state.calls)),
        ("GET", "passwords") => (200, json!(state.passwords)),
        ("GET", "behaviour") => (200, json!(state.behaviour)),
        ("GET", "connections") => (200, json!(shared.connections.load(Ordering::SeqCst))),
        ("POST", "behaviour") => match serde_json::from_slice(&request.body) {
            Ok(behaviour) => {
                state.set(behaviour);
                (200, json!({}))
            }
            Err(error) => (400, json!({ "error": error.to_string() })),
        },
        ("POST", "forget") => {
            state.calls.clear();
            state.passwords.clear();
            (200, json!({}))
        }
        ("POST", "reset") => {
            *state = State::new(Behaviour::default(), state.identity);
            (200, json!({}))
        }
        _ => (404, json!({ "error": "no such control" })),
    };
    drop(state);
    let reply = Reply::new(status, "application/json", body.to_string());
    let close = request.wants_close();
    match send(stream, &reply.bytes("Thu, 01 Jan 1970 00:00:00 GMT", close)) {
        Ok(()) => Next::Continue,
        Err(_) => Next::End,
    }
}
