//! Queries to the name servers of resolv.conf.
//!
//! Servers are asked in order; the next one when one fails, or is silent for a moment, while the
//! earlier ones may still respond. Each address family is a question of its own: the first one with
//! addresses is passed on at once, and the failure of one is not that of the name.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::files::ResolverSettings;
use super::message::{DnsAnswer, Family, answer, query};
use super::{NotFound, Results};
use crate::ecr::retry::random;

/// How long a server may be silent before the next one is asked as well. Doubles each time. The
/// first one has mostly been silent to the system's resolver already.
const NEXT_SERVER: Duration = Duration::from_millis(150);

/// How long a negative response of a later server waits for those of earlier ones.
const EARLIER_SERVERS: Duration = Duration::from_secs(1);

/// How long the other family may take once one has been found.
const OTHER_FAMILY: Duration = Duration::from_secs(2);

/// Queries in flight: enough for every server and attempt, so a bound of last resort.
const MAX_QUERIES: usize = 30;

/// Sends the addresses of the name to `found` as they come in.
pub(super) async fn by_servers(
    settings: &ResolverSettings,
    name: &str,
    found: &Results,
) -> Result<(), NotFound> {
    let mut end = NotFound::Absent;
    let candidates = settings.candidates(name);
    let short = !name.contains('.');
    for candidate in candidates {
        match Search::new(settings, &candidate).run(found).await {
            Ok(()) => return Ok(()),
            Err(NotFound::Absent) => {}
            Err(NotFound::Unknown) if short => end = NotFound::Unknown,
            // Whether a name with dots exists is not known, so it is not looked for elsewhere.
            Err(NotFound::Unknown) => return Err(NotFound::Unknown),
        }
    }
    Err(end)
}

/// The state of the look-up of one address family.
struct FamilyLookup {
    family: Family,
    /// How many of the planned queries have been sent.
    sent: usize,
    /// Places in the plan of those without a response.
    open: Vec<usize>,
    /// The place of a negative response.
    negative: Option<usize>,
    done: Option<LookupState>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LookupState {
    Found,
    Absent,
    Unknown,
}

/// One name, both families, all servers.
struct Search<'a> {
    settings: &'a ResolverSettings,
    name: &'a str,
    /// The server of each query, in order.
    plan: Vec<SocketAddr>,
    families: Vec<FamilyLookup>,
    queries: JoinSet<(usize, usize, Option<DnsAnswer>)>,
    /// When waiting ends: for earlier servers where a later one has responded, and for the other
    /// family where one has been found.
    settle: Instant,
}

impl<'a> Search<'a> {
    fn new(settings: &'a ResolverSettings, name: &'a str) -> Self {
        let mut servers = settings.servers.clone();
        if settings.rotate {
            let by = random() % u64::try_from(servers.len()).unwrap_or(1).max(1);
            servers.rotate_left(usize::try_from(by).unwrap_or(0));
        }
        let plan: Vec<_> = std::iter::repeat_n(servers, settings.attempts)
            .flatten()
            .take(MAX_QUERIES)
            .collect();
        let families = match settings.no_aaaa {
            true => &[Family::V4][..],
            false => &[Family::V4, Family::V6],
        };
        let families = families.iter().map(|&family| FamilyLookup {
            family,
            sent: 0,
            open: Vec::new(),
            negative: None,
            done: None,
        });
        Self {
            settings,
            name,
            plan,
            families: families.collect(),
            queries: JoinSet::new(),
            settle: Instant::now() + EARLIER_SERVERS,
        }
    }

    async fn run(mut self, found: &Results) -> Result<(), NotFound> {
        if query(0, self.name, Family::V4).is_none() {
            return Err(NotFound::Absent);
        }
        let mut pause = NEXT_SERVER;
        let mut next = Instant::now() + pause;
        for index in 0..self.families.len() {
            self.ask(index);
        }
        while self.families.iter().any(|family| family.done.is_none()) {
            tokio::select! {
                Some(response) = self.queries.join_next() => {
                    if let Ok((index, place, answer)) = response
                        && self.take(index, place, answer, found)
                    {
                        self.settle = Instant::now() + OTHER_FAMILY;
                    }
                }
                () = sleep_until(next) => {
                    pause *= 2;
                    next += pause;
                    self.ask_silent();
                }
                () = sleep_until(self.settle), if Instant::now() < self.settle => {}
            }
            self.finish();
        }
        let all = |verdict| {
            self.families
                .iter()
                .any(|family| family.done == Some(verdict))
        };
        if all(LookupState::Found) {
            Ok(())
        } else if all(LookupState::Absent) {
            Err(NotFound::Absent)
        } else {
            Err(NotFound::Unknown)
        }
    }

    /// Sends the next planned query of a family.
    fn ask(&mut self, index: usize) {
        let Some(family) = self.families.get_mut(index) else {
            return;
        };
        let Some(&server) = self.plan.get(family.sent) else {
            return;
        };
        let place = family.sent;
        family.sent += 1;
        family.open.push(place);
        let kind = family.family;
        let id = u16::try_from(random() & 0xffff).unwrap_or_default();
        let query = query(id, self.name, kind).unwrap_or_default();
        let (limit, tcp) = (self.settings.timeout, self.settings.tcp);
        self.queries.spawn(async move {
            let asked = async {
                if !tcp {
                    match over_udp(server, &query, kind).await? {
                        DnsAnswer::Truncated => {}
                        answer => return Ok(answer),
                    }
                }
                over_tcp(server, &query, kind).await
            };
            let answer: Option<io::Result<DnsAnswer>> = timeout(limit, asked).await.ok();
            (index, place, answer.and_then(Result::ok))
        });
    }

    /// Whether one family has been found, the other may go on without further queries.
    fn any_found(&self) -> bool {
        self.families
            .iter()
            .any(|family| family.done == Some(LookupState::Found))
    }

    /// Takes one response; true if it is the first with addresses.
    fn take(
        &mut self,
        index: usize,
        place: usize,
        answer: Option<DnsAnswer>,
        found: &Results,
    ) -> bool {
        let first = !self.any_found();
        let Some(family) = self.families.get_mut(index) else {
            return false;
        };
        family.open.retain(|&open| open != place);
        if family.done.is_some() {
            return false;
        }
        match answer {
            Some(DnsAnswer::Addresses(addresses)) if !addresses.is_empty() => {
                family.done = Some(LookupState::Found);
                let _ = found.send(Ok(addresses));
                return first;
            }
            Some(DnsAnswer::Addresses(_) | DnsAnswer::NoSuchName) => {
                family.negative = Some(family.negative.map_or(place, |at| at.min(place)));
            }
            // The next server, unless a later one has been asked already.
            Some(DnsAnswer::Failed | DnsAnswer::Truncated) | None => {
                if family.sent == place + 1 {
                    self.ask(index);
                }
            }
        }
        false
    }

    /// Asks the next server about every family that has no response yet.
    fn ask_silent(&mut self) {
        if self.any_found() {
            return;
        }
        for index in 0..self.families.len() {
            let family = &self.families[index];
            if family.done.is_none() && family.negative.is_none() {
                self.ask(index);
            }
        }
    }

    /// Ends the families whose responses are all in, or whose negative response is from the
    /// earliest server that has not failed.
    fn finish(&mut self) {
        let planned = self.plan.len();
        let settled = Instant::now() >= self.settle;
        let given_up = settled && self.any_found();
        for family in &mut self.families {
            if family.done.is_some() {
                continue;
            }
            let earlier = |at: usize| family.open.iter().any(|&open| open < at);
            if given_up || family.negative.is_some_and(|at| settled || !earlier(at)) {
                family.done = Some(LookupState::Absent);
            } else if family.open.is_empty() && family.sent == planned {
                family.done = Some(LookupState::Unknown);
            }
        }
    }
}

async fn over_udp(server: SocketAddr, query: &[u8], family: Family) -> io::Result<DnsAnswer> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // The kernel chooses a random port; connected, so that only this server's datagrams arrive.
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(query).await?;
    let mut buffer = vec![0; 4096];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if let Some(answer) = answer(query, &buffer[..length], family) {
            return Ok(answer);
        }
    }
}

async fn over_tcp(server: SocketAddr, query: &[u8], family: Family) -> io::Result<DnsAnswer> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(query.len()).map_err(io::Error::other)?;
    let message = [&length.to_be_bytes(), query].concat();
    stream.write_all(&message).await?;
    let length = stream.read_u16().await?;
    let mut buffer = vec![0; usize::from(length)];
    stream.read_exact(&mut buffer).await?;
    match answer(query, &buffer, family) {
        None | Some(DnsAnswer::Truncated) => Ok(DnsAnswer::Failed),
        Some(answer) => Ok(answer),
    }
}
