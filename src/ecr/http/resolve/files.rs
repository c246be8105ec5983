//! `/etc/resolv.conf`, `RES_OPTIONS` and `/etc/hosts`, as resolv.conf(5) and hosts(5) have them.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::time::Duration;

/// As many as glibc and musl use.
const MAX_SERVERS: usize = 3;

/// How names are looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ResolverSettings {
    pub(super) servers: Vec<SocketAddr>,
    pub(super) search: Vec<String>,
    /// From how many dots on the system's resolver takes a name as it is first.
    pub(super) ndots: usize,
    /// For one server.
    pub(super) timeout: Duration,
    /// How often each server is asked.
    pub(super) attempts: usize,
    /// Starts with a random server.
    pub(super) rotate: bool,
    /// TCP only.
    pub(super) tcp: bool,
    pub(super) no_aaaa: bool,
}

impl ResolverSettings {
    /// From the text of resolv.conf and the variables `RES_OPTIONS` and `LOCALDOMAIN`.
    pub(super) fn parse(text: &str, options: Option<&str>, search: Option<&str>) -> Self {
        let mut settings = Self {
            servers: Vec::new(),
            search: Vec::new(),
            ndots: 1,
            timeout: Duration::from_secs(5),
            attempts: 2,
            rotate: false,
            tcp: false,
            no_aaaa: false,
        };
        for line in text.lines() {
            // Only at the start of a line, as glibc has it; musl alike.
            let line = line.split(['#', ';']).next().unwrap_or_default();
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") if settings.servers.len() < MAX_SERVERS => {
                    settings.servers.extend(words.next().and_then(server));
                }
                Some("search" | "domain") => settings.search = domains(words),
                Some("options") => words.for_each(|word| settings.option(word)),
                _ => {}
            }
        }
        if settings.servers.is_empty() {
            settings
                .servers
                .push(SocketAddr::from(([127, 0, 0, 1], 53)));
        }
        if let Some(search) = search {
            settings.search = domains(search.split_ascii_whitespace());
        }
        let options = options.unwrap_or_default().split_ascii_whitespace();
        options.for_each(|word| settings.option(word));
        settings
    }

    fn option(&mut self, word: &str) {
        let (name, value) = word.split_once(':').unwrap_or((word, ""));
        let number = value.parse::<u16>().ok();
        match (name, number) {
            ("ndots", Some(n)) => self.ndots = usize::from(n.min(15)),
            ("timeout", Some(n)) => self.timeout = Duration::from_secs(u64::from(n.clamp(1, 30))),
            ("attempts", Some(n)) => self.attempts = usize::from(n.clamp(1, 5)),
            ("rotate", _) => self.rotate = true,
            ("use-vc", _) => self.tcp = true,
            ("no-aaaa", _) => self.no_aaaa = true,
            _ => {}
        }
    }

    /// The names to look up, in order: a name with a dot as it is first, a short one in the search
    /// list first.
    pub(super) fn candidates(&self, name: &str) -> Vec<String> {
        if name.ends_with('.') {
            return vec![name.to_owned()];
        }
        let mut all: Vec<_> = self
            .search
            .iter()
            .map(|domain| format!("{name}.{domain}"))
            .collect();
        let at = if name.contains('.') { 0 } else { all.len() };
        all.insert(at, name.to_owned());
        all
    }
}

fn domains<'a>(words: impl Iterator<Item = &'a str>) -> Vec<String> {
    let bare = words.map(|word| word.trim_matches('.').to_owned());
    bare.filter(|domain| !domain.is_empty()).collect()
}

/// An address, with the interface after `%` where it is link-local.
fn server(text: &str) -> Option<SocketAddr> {
    match text.split_once('%') {
        None => Some(SocketAddr::new(text.parse().ok()?, 53)),
        Some((address, interface)) => {
            let scope = interface
                .parse()
                .ok()
                .or_else(|| interface_index(interface))?;
            let address = SocketAddrV6::new(address.parse().ok()?, 53, 0, scope);
            Some(SocketAddr::V6(address))
        }
    }
}

fn interface_index(interface: &str) -> Option<u32> {
    if interface.contains(['/', '.']) {
        return None;
    }
    let index = std::fs::read_to_string(format!("/sys/class/net/{interface}/ifindex")).ok()?;
    index.trim().parse().ok()
}

/// The addresses of a name in the text of /etc/hosts.
pub(super) fn in_hosts(text: &str, name: &str) -> Vec<IpAddr> {
    let name = name.trim_end_matches('.');
    let lines = text.lines().filter_map(|line| {
        let line = line.split('#').next()?;
        let mut words = line.split_ascii_whitespace();
        let address = words.next()?.parse().ok()?;
        words
            .any(|word| word.eq_ignore_ascii_case(name))
            .then_some(address)
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolv_conf_and_variables_are_honoured() {
        let text = "# comment\nnameserver 192.0.2.1\nnameserver 2001:db8::1 ; second\n\
                    nameserver fe80::1%7\nnameserver 192.0.2.4\nnameserver junk\n\
                    domain old.example\nsearch a.example. b.example\n\
                    options ndots:5 timeout:1 attempts:9 rotate use-vc no-aaaa other:3 ndots:x\n";
        let settings = ResolverSettings::parse(text, None, None);
        let servers = ["192.0.2.1:53", "[2001:db8::1]:53", "[fe80::1%7]:53"];
        assert_eq!(
            settings,
            ResolverSettings {
                servers: servers.map(|s| s.parse().expect(s)).to_vec(),
                search: vec!["a.example".into(), "b.example".into()],
                ndots: 5,
                timeout: Duration::from_secs(1),
                attempts: 5,
                rotate: true,
                tcp: true,
                no_aaaa: true,
            }
        );
        let with =
            ResolverSettings::parse("options ndots:5", Some("ndots:2 timeout:99"), Some("c"));
        assert_eq!((with.ndots, with.timeout.as_secs()), (2, 30));
        assert_eq!(with.search, ["c"]);
        assert_eq!(with.servers, ["127.0.0.1:53".parse().expect("address")]);
    }

    #[test]
    fn names_with_a_dot_are_absolute_first() {
        let settings = ResolverSettings::parse("search a b\noptions ndots:5", None, None);
        assert_eq!(settings.candidates("x.y"), ["x.y", "x.y.a", "x.y.b"]);
        assert_eq!(settings.candidates("x"), ["x.a", "x.b", "x"]);
        assert_eq!(settings.candidates("x."), ["x."]);
    }

    #[test]
    fn hosts_file_names_are_found() {
        let text =
            "127.0.0.1 localhost\n192.0.2.1 x.example X # y\n2001:db8::1\tother X.EXAMPLE\nz x\n";
        let found = |name| {
            in_hosts(text, name)
                .iter()
                .map(IpAddr::to_string)
                .collect::<Vec<_>>()
        };
        assert_eq!(found("x.example"), ["192.0.2.1", "2001:db8::1"]);
        assert_eq!(found("x.example."), ["192.0.2.1", "2001:db8::1"]);
        assert_eq!(found("x"), ["192.0.2.1"]);
        assert_eq!(found("y"), [""; 0]);
    }
}
