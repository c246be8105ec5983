//! Name look-up: the system's resolver first, a second one where that fails or stays silent.
//!
//! getaddrinfo knows nsswitch, mDNS and a VPN's policies, so it is asked first. But musl's takes
//! the first negative response of any server, and fails a name when one address family fails; both
//! C libraries wait five seconds for a lost datagram, and walk through the search list of a
//! Kubernetes pod before the name itself. So after 250 ms of silence, or a failure, the name
//! servers of resolv.conf are also queried here: in order, both families at once, each family on
//! its own, the name as it is first.
//!
//! On macOS and Windows there is only the system's resolver: /etc/resolv.conf is not the whole
//! configuration there.

#[cfg(all(unix, not(target_vendor = "apple")))]
mod files;
#[cfg(all(unix, not(target_vendor = "apple")))]
mod message;
#[cfg(all(unix, not(target_vendor = "apple")))]
mod servers;
#[cfg(all(test, unix, not(target_vendor = "apple")))]
mod tests;

use std::net::IpAddr;

use tokio::sync::mpsc;

use super::failure::Failure;
use crate::env::Env;

/// Looks up names. Made from the environment; files are read at the first look-up.
#[derive(Debug, Clone, Default)]
pub(in crate::ecr) struct Resolver {
    #[cfg_attr(not(all(unix, not(target_vendor = "apple"))), expect(dead_code))]
    options: Option<String>,
    #[cfg_attr(not(all(unix, not(target_vendor = "apple"))), expect(dead_code))]
    search: Option<String>,
}

/// How a look-up ends that has found nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NotFound {
    /// The name, or any address of it, does not exist.
    Absent,
    /// No resolver gave an answer.
    Unknown,
}

/// The addresses of one name, as they come in.
pub(super) struct Lookup {
    host: String,
    results: mpsc::UnboundedReceiver<Result<Vec<IpAddr>, NotFound>>,
}

type Results = mpsc::UnboundedSender<Result<Vec<IpAddr>, NotFound>>;

impl Lookup {
    /// More addresses; none when there are no more.
    pub(super) async fn more(&mut self) -> Option<Vec<IpAddr>> {
        self.results.recv().await?.ok()
    }

    /// The first addresses.
    pub(super) async fn first(&mut self) -> Result<Vec<IpAddr>, Failure> {
        let temporary = match self.results.recv().await {
            Some(Ok(addresses)) => return Ok(addresses),
            Some(Err(NotFound::Absent)) => false,
            Some(Err(NotFound::Unknown)) | None => true,
        };
        Err(Failure::Dns {
            host: self.host.clone(),
            temporary,
        })
    }
}

impl Resolver {
    pub(in crate::ecr) fn from_env(env: &Env) -> Self {
        let set = |name| env.var(name).map(|value| (*value).to_owned());
        Self {
            options: set("RES_OPTIONS"),
            search: set("LOCALDOMAIN"),
        }
    }

    /// Starts a look-up, which ends early when it is dropped.
    pub(super) fn look_up(&self, host: &str) -> Lookup {
        let (sender, results) = mpsc::unbounded_channel();
        let (resolver, name) = (self.clone(), host.to_owned());
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = sender.closed() => {}
                found = resolver.run(&name, &sender) => {
                    if let Err(not_found) = found {
                        let _ = sender.send(Err(not_found));
                    }
                }
            }
        });
        Lookup {
            host: host.to_owned(),
            results,
        }
    }

    #[cfg(not(all(unix, not(target_vendor = "apple"))))]
    async fn run(&self, name: &str, found: &Results) -> Result<(), NotFound> {
        let _ = found.send(Ok(by_system(name).await?));
        Ok(())
    }

    #[cfg(all(unix, not(target_vendor = "apple")))]
    async fn run(&self, name: &str, found: &Results) -> Result<(), NotFound> {
        use std::path::Path;

        use self::files::{ResolverSettings, in_hosts};
        use self::servers::by_servers;
        use crate::fs::read_bounded;

        /// The largest configuration file that is read.
        const MAX_FILE: usize = 1 << 20;
        let read = |path| {
            let bytes = read_bounded(Path::new(path), MAX_FILE).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let settings = ResolverSettings::parse(
            &read("/etc/resolv.conf"),
            self.options.as_deref(),
            self.search.as_deref(),
        );
        // The system's resolver would walk through the search list first. A final dot keeps it
        // from that, but also from /etc/hosts.
        let dots = name.matches('.').count();
        let absolute = (1..settings.ndots).contains(&dots) && !name.ends_with('.');
        if absolute {
            let addresses = in_hosts(&read("/etc/hosts"), name);
            if !addresses.is_empty() {
                let _ = found.send(Ok(addresses));
                return Ok(());
            }
        }
        let asked = if absolute {
            format!("{name}.")
        } else {
            name.to_owned()
        };
        let system = by_system(&asked);
        let second = by_servers(&settings, name, found);
        first_of(system, second, found).await
    }
}

/// How long the system's resolver may be silent before the name servers are queried as well.
#[cfg(all(unix, not(target_vendor = "apple")))]
const SILENCE: std::time::Duration = std::time::Duration::from_millis(250);

/// The system's result, or that of `second`, which sends its addresses to `found` by itself and
/// starts when the system's resolver has failed or has been silent.
#[cfg(all(unix, not(target_vendor = "apple")))]
async fn first_of(
    system: impl Future<Output = Result<Vec<IpAddr>, NotFound>>,
    second: impl Future<Output = Result<(), NotFound>>,
    found: &Results,
) -> Result<(), NotFound> {
    tokio::pin!(system, second);
    let mut by_system = tokio::time::timeout(SILENCE, &mut system).await.ok();
    let mut by_second = None;
    loop {
        match (by_system, by_second) {
            (Some(Ok(addresses)), _) => {
                let _ = found.send(Ok(addresses));
                return Ok(());
            }
            (_, Some(Ok(()))) => return Ok(()),
            // The name servers' own answer is more exact.
            (Some(Err(_)), Some(Err(not_found))) => return Err(not_found),
            (system_result, second_result) => {
                by_system = system_result;
                by_second = second_result;
            }
        }
        tokio::select! {
            result = &mut system, if by_system.is_none() => by_system = Some(result),
            result = &mut second, if by_second.is_none() => by_second = Some(result),
        }
    }
}

/// getaddrinfo.
async fn by_system(name: &str) -> Result<Vec<IpAddr>, NotFound> {
    match tokio::net::lookup_host((name, 0)).await {
        Ok(found) => {
            let found: Vec<_> = found.map(|address| address.ip()).collect();
            match found.is_empty() {
                true => Err(NotFound::Absent),
                false => Ok(found),
            }
        }
        Err(error) => {
            // tokio drops the resolver's code; glibc and musl use these words.
            let text = error.to_string().to_lowercase();
            match text.contains("temporary") || text.contains("try again") {
                true => Err(NotFound::Unknown),
                false => Err(NotFound::Absent),
            }
        }
    }
}
