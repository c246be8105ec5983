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
mod serve;
mod services;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use serde::Serialize;
use socket2::{Domain, Socket, Type};

use authority::Authority;
pub use behaviour::{Accept, Answer, Behaviour, Good, RateLimit, Script};
use services::Service;

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
    /// The level of the bucket of ECR's limit, and its time.
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
    closed: Vec<Socket>,
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
            closed: Vec::new(),
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
        let acceptor =
            thread::Builder::new().spawn(move || serve::accept(&shared, &listener, tls))?;
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

    /// The behaviour of ECR from now on.
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
        let limit = std::time::Instant::now() + Duration::from_secs(20);
        while self.count(service) < calls {
            assert!(
                std::time::Instant::now() < limit,
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
        // Bound and not listening: the port refuses connections, and no other test gets it.
        for address in self.http.iter().chain(&self.https) {
            self.closed.extend(closed_port(*address));
        }
    }
}

fn closed_port(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.stop();
    }
}

/// An address that takes connections and never completes them, as behind a firewall that drops
/// packets: its queue is full and is never read.
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
