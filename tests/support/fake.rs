//! A fake of the parts of AWS that a credential helper asks, on loopback: ECR, ECR Public, STS,
//! SSO, `aws login`, the container endpoint and instance metadata. It keeps a list of the calls
//! and does what it is told, faults included. Whole processes are timed against it, so it waits
//! for nothing that it was not told to wait for; threads and blocking sockets are enough.
//!
//! Tests start one with [`Fake::start`]; other programs run the example `fake-aws`.

pub mod authority;
pub mod behaviour;
mod http;
pub mod registry;
mod services;

use std::collections::{BTreeMap, HashMap};
use std::io::{self, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde::Serialize;
use serde_json::json;
use socket2::{Domain, SockRef, Socket, Type};

use authority::Authority;
pub use behaviour::{Accept, Answer, Behaviour, Good, RateLimit, Script};
use http::{Reply, Request, Stream};
use services::{Asked, Service};

pub use services::{PASSWORD_SENTINEL, SECRET_SENTINEL, SESSION_SENTINEL};

/// How often a connection that is left hanging looks whether it may end.
const TICK: Duration = Duration::from_millis(50);

/// A request that was made, without what is secret in it.
#[derive(Debug, Clone, Serialize)]
pub struct Call {
    /// Seconds since the epoch.
    pub time: f64,
    /// `ecr`, `ecr_public`, `sts`, `sso`, `oidc`, `signin`, `container`, `imds`, `imds_token`,
    /// `registry` or `unknown`.
    pub service: String,
    /// The API's name for it; method and path where there is none.
    pub operation: String,
    pub method: String,
    pub path: String,
    pub host: String,
    pub tls: bool,
    /// The name in the TLS greeting.
    pub server_name: Option<String>,
    pub access_key_id: Option<String>,
    pub signing_region: Option<String>,
    pub signing_service: Option<String>,
    /// Whether there was an `Authorization` header.
    pub authorized: bool,
    /// Whether there was a session token.
    pub session_token: bool,
    pub content_type: Option<String>,
    pub user_agent: Option<String>,
    /// The SDK's own count of attempts.
    pub attempt: Option<String>,
    /// Registry IDs, role, session name, account and so on; of secrets the first characters.
    pub params: BTreeMap<String, String>,
    /// The kind of answer that was given.
    pub answer: String,
}

impl Call {
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.get(name).map(String::as_str)
    }
}

struct State {
    behaviour: Behaviour,
    calls: Vec<Call>,
    passwords: Vec<String>,
    answered: [usize; Service::ALL],
    made: HashMap<&'static str, usize>,
    numbers: HashMap<String, usize>,
    identity: u64,
    /// What is in the bucket of ECR's limit, and since when.
    bucket: Option<(f64, Instant)>,
}

impl State {
    fn new(behaviour: Behaviour, identity: u64) -> Self {
        Self {
            behaviour,
            calls: Vec::new(),
            passwords: Vec::new(),
            answered: [0; Service::ALL],
            made: HashMap::new(),
            numbers: HashMap::new(),
            identity,
            bucket: None,
        }
    }

    /// Whether ECR's limit lets one more call through.
    fn admits(&mut self) -> bool {
        let Some(limit) = self.behaviour.ecr_limit else {
            return true;
        };
        let now = Instant::now();
        let (held, since) = self.bucket.unwrap_or((limit.burst, now));
        let gained = now.duration_since(since).as_secs_f64() * limit.per_second;
        let held = (held + gained).min(limit.burst);
        let admitted = held >= 1.0;
        self.bucket = Some((if admitted { held - 1.0 } else { held }, now));
        admitted
    }

    /// A number for the next credentials of this kind, from 1.
    fn next(&mut self, kind: &'static str) -> usize {
        let n = self.made.entry(kind).or_default();
        *n += 1;
        *n
    }

    /// The number that belongs to `name`, from 1.
    fn number_of(&mut self, name: &str) -> usize {
        let next = self.numbers.len() + 1;
        *self.numbers.entry(name.to_owned()).or_insert(next)
    }

    fn set(&mut self, behaviour: Behaviour) {
        self.behaviour = behaviour;
        self.answered = [0; Service::ALL];
    }
}

struct Shared {
    state: Mutex<State>,
    stopped: AtomicBool,
    connections: AtomicU64,
    open: Mutex<HashMap<u64, TcpStream>>,
    tls: Option<Arc<ServerConfig>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where to listen, and how to begin.
#[derive(Default)]
pub struct Options {
    pub http: Vec<SocketAddr>,
    pub https: Vec<SocketAddr>,
    pub tls: Option<Arc<ServerConfig>>,
    pub behaviour: Behaviour,
}

/// A running fake. It ends when this is dropped.
pub struct Fake {
    shared: Arc<Shared>,
    http: Vec<SocketAddr>,
    https: Vec<SocketAddr>,
    acceptors: Vec<thread::JoinHandle<()>>,
    authority: Option<Arc<Authority>>,
}

/// Loopback, on any free port.
pub const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

impl Fake {
    /// Plain HTTP on a free port of loopback.
    pub fn start() -> Self {
        Self::behaving(Behaviour::default())
    }

    /// The same, told at once what to do.
    pub fn behaving(behaviour: Behaviour) -> Self {
        let options = Options {
            http: vec![ANY_PORT],
            behaviour,
            ..Options::default()
        };
        Self::with(options).expect("loopback can be listened on")
    }

    /// HTTP and HTTPS, with a certificate authority of its own that vouches for any name.
    pub fn start_tls() -> Self {
        let authority = Arc::new(Authority::new().expect("keys can be made"));
        let options = Options {
            http: vec![ANY_PORT],
            https: vec![ANY_PORT],
            tls: Some(authority.server_config().expect("keys can be made")),
            behaviour: Behaviour::default(),
        };
        let mut fake = Self::with(options).expect("loopback can be listened on");
        fake.authority = Some(authority);
        fake
    }

    pub fn with(options: Options) -> io::Result<Self> {
        static STARTED: AtomicU64 = AtomicU64::new(0);
        let nth = STARTED.fetch_add(1, Ordering::Relaxed);
        let identity = (u64::from(std::process::id()) << 32) | nth;
        let mut fake = Self {
            shared: Arc::new(Shared {
                state: Mutex::new(State::new(options.behaviour, identity)),
                stopped: AtomicBool::new(false),
                connections: AtomicU64::new(0),
                open: Mutex::default(),
                tls: options.tls,
            }),
            http: Vec::new(),
            https: Vec::new(),
            acceptors: Vec::new(),
            authority: None,
        };
        for address in options.http {
            let address = fake.listen(address, false)?;
            fake.http.push(address);
        }
        for address in options.https {
            let address = fake.listen(address, true)?;
            fake.https.push(address);
        }
        Ok(fake)
    }

    fn listen(&mut self, address: SocketAddr, tls: bool) -> io::Result<SocketAddr> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.bind(&address.into())?;
        // Hundreds of processes come at once in some tests.
        socket.listen(1024)?;
        let listener = TcpListener::from(socket);
        let address = listener.local_addr()?;
        let shared = Arc::clone(&self.shared);
        let acceptor = thread::Builder::new().spawn(move || accept(&shared, &listener, tls))?;
        self.acceptors.push(acceptor);
        Ok(address)
    }

    /// The endpoint, for `AWS_ENDPOINT_URL`.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr())
    }

    /// The first plain address.
    pub fn addr(&self) -> SocketAddr {
        self.http.first().copied().unwrap_or(ANY_PORT)
    }

    /// The endpoint over TLS, by name.
    pub fn https_url(&self) -> String {
        let port = self.https.first().map_or(0, SocketAddr::port);
        format!("https://localhost:{port}")
    }

    pub fn http_addrs(&self) -> &[SocketAddr] {
        &self.http
    }

    pub fn https_addrs(&self) -> &[SocketAddr] {
        &self.https
    }

    /// The certificate that a client must trust.
    pub fn ca_pem(&self) -> &str {
        self.authority.as_deref().map_or("", Authority::ca_pem)
    }

    /// Replaces the behaviour; scripts begin anew, the list of calls goes on.
    pub fn set(&self, behaviour: Behaviour) {
        locked(&self.shared.state).set(behaviour);
    }

    /// Changes some of the behaviour.
    pub fn change(&self, change: impl FnOnce(&mut Behaviour)) {
        let mut state = locked(&self.shared.state);
        let mut behaviour = state.behaviour.clone();
        change(&mut behaviour);
        state.set(behaviour);
    }

    /// What ECR does from now on.
    pub fn ecr(&self, script: Script) {
        self.change(|behaviour| behaviour.ecr = script);
    }

    /// Every call so far.
    pub fn calls(&self) -> Vec<Call> {
        locked(&self.shared.state).calls.clone()
    }

    /// The calls to one service, by its name in [`Call::service`].
    pub fn calls_to(&self, service: &str) -> Vec<Call> {
        let mut calls = self.calls();
        calls.retain(|call| call.service == service);
        calls
    }

    /// The number of calls to one service.
    pub fn count(&self, service: &str) -> usize {
        let state = locked(&self.shared.state);
        state.calls.iter().filter(|c| c.service == service).count()
    }

    /// Waits until a service has been called so many times.
    pub fn wait_for(&self, service: &str, calls: usize) {
        let patience = std::time::Instant::now() + Duration::from_secs(20);
        while self.count(service) < calls {
            assert!(
                std::time::Instant::now() < patience,
                "{service} was not called"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Forgets the calls and the passwords.
    pub fn forget(&self) {
        let mut state = locked(&self.shared.state);
        state.calls.clear();
        state.passwords.clear();
    }

    /// How many connections were accepted.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Every password that was given out, in order.
    pub fn issued_passwords(&self) -> Vec<String> {
        locked(&self.shared.state).passwords.clone()
    }

    /// Ends it: from here on connections are refused.
    pub fn stop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        for address in self.http.iter().chain(&self.https) {
            let mut address = *address;
            match address.ip() {
                IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
                IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
                _ => {}
            }
            // Wakes the acceptor; if that fails, it was awake.
            let _ = TcpStream::connect_timeout(&address, Duration::from_secs(1));
        }
        for acceptor in self.acceptors.drain(..) {
            let _ = acceptor.join();
        }
        for (_, stream) in locked(&self.shared.open).drain() {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.stop();
    }
}

/// An address that takes connections and never completes them, as behind a firewall that drops
/// packets: its queue is full and nobody accepts.
pub struct BlackHole {
    address: SocketAddr,
    _held: Vec<Socket>,
}

impl BlackHole {
    pub fn new() -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&ANY_PORT.into())?;
        socket.listen(0)?;
        let address = socket.local_addr()?;
        let mut held = vec![socket];
        for _ in 0..4 {
            let filler = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            filler.set_nonblocking(true)?;
            let _ = filler.connect(&address);
            held.push(filler);
        }
        Ok(Self {
            address: address.as_socket().unwrap_or(ANY_PORT),
            _held: held,
        })
    }

    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

fn accept(shared: &Arc<Shared>, listener: &TcpListener, tls: bool) {
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

/// JSON that goes on and on.
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

/// Closes so that the other side sees a reset.
fn reset(tcp: &TcpStream) {
    let _ = SockRef::from(tcp).set_linger(Some(Duration::ZERO));
}

/// Keeps the connection until the other side gives up or the fake ends.
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

/// What scripts in other languages use in place of the methods of [`Fake`].
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
