//! A network of our own, in which AWS is the fake: the Go helper knows no endpoint override, so it
//! has to find `api.ecr.us-east-1.amazonaws.com` where it always looks, and the ECS address is
//! fixed. A namespace gives both without touching the machine; where none can be had, the
//! rows that need one are left out.

use std::ffi::OsStr;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use crate::homes::Homes;
use crate::support::fake::authority::Authority;
use crate::support::fake::{ANY_PORT, Fake, Options as Listen};
use crate::{Options, Result};

/// Debian keeps the system's CA certificates here, and Go looks here first.
const SYSTEM: &str = "/etc/ssl/certs";
const BUNDLE: &str = "ca-certificates.crt";

/// How many CA certificates a distribution ships, the fake's included.
const CERTIFICATES: usize = 145;

/// The forms in which distributions ship them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certificates {
    File,
    Directory,
    /// Debian has both.
    Both,
}

/// Runs this program again in a namespace of its own; none if there can be none.
pub fn again_inside(options: &Options) -> Result<Option<bool>> {
    let mut flags = vec!["--net", "--mount"];
    if Command::new("id").arg("-u").output()?.stdout != b"0\n" {
        flags.push("--map-root-user");
    }
    let probe = Command::new("unshare")
        .args(&flags)
        .args(["sh", "-c", "ip link set lo up && mount --bind /tmp /mnt"])
        .stderr(Stdio::null())
        .status();
    if !probe.is_ok_and(|status| status.success()) {
        return Ok(None);
    }
    let mut command = Command::new("unshare");
    command.args(&flags).arg(std::env::current_exe()?);
    command.args(["--bench", "--inside"]);
    if options.quick {
        command.arg("--quick");
    }
    for (name, path) in &options.ours {
        let mut value = std::ffi::OsString::from(name);
        value.push("=");
        value.push(path);
        command.arg("--binary").arg(value);
    }
    if let Some(path) = &options.markdown {
        command.arg("--markdown").arg(path);
    }
    if let Some(only) = &options.only {
        command.arg("--only").arg(only);
    }
    Ok(Some(command.status()?.success()))
}

/// The fake, and the CA certificates that sign its own.
pub struct Surroundings {
    pub fake: Fake,
    pub inside: bool,
    pub scratch: PathBuf,
    pub homes: Homes,
}

impl Surroundings {
    pub fn make(scratch: &Path, inside: bool) -> Result<Self> {
        let authority = Arc::new(Authority::new()?);
        let mut listen = Listen {
            http: vec![ANY_PORT],
            https: vec![ANY_PORT],
            tls: Some(authority.server_config()?),
            ..Listen::default()
        };
        lay_out_certificates(scratch, authority.ca_pem())?;
        if inside {
            own_network(scratch)?;
            listen.http.push(SocketAddr::from(([169, 254, 170, 2], 80)));
            listen.https.push(SocketAddr::from(([127, 0, 0, 1], 443)));
        }
        Ok(Self {
            fake: Fake::with(listen)?,
            inside,
            scratch: scratch.to_owned(),
            homes: Homes::default(),
        })
    }

    /// From here on the system's CA certificates have this form. In a namespace of our own they are
    /// where they always are, and there is nothing to add to the environment.
    pub fn certificates(&self, form: Certificates) -> Result<Vec<(String, PathBuf)>> {
        let dir = self.scratch.join(form.dir());
        if self.inside {
            tool(
                "mount",
                [OsStr::new("--bind"), dir.as_ref(), SYSTEM.as_ref()],
            )?;
            return Ok(Vec::new());
        }
        let nowhere = self.scratch.join("nowhere");
        let (file, dir) = match form {
            Certificates::File => (dir.join(BUNDLE), nowhere),
            Certificates::Directory => (nowhere, dir),
            Certificates::Both => (dir.join(BUNDLE), dir),
        };
        Ok(vec![
            ("SSL_CERT_FILE".into(), file),
            ("SSL_CERT_DIR".into(), dir),
        ])
    }
}

impl Certificates {
    fn dir(self) -> &'static str {
        match self {
            Self::File => "ca-file",
            Self::Directory => "ca-directory",
            Self::Both => "ca-both",
        }
    }
}

/// As many CA certificates as a distribution has: first those of the machine, last the fake's.
fn lay_out_certificates(scratch: &Path, ours: &str) -> Result<()> {
    const END: &str = "-----END CERTIFICATE-----\n";
    let machine = fs::read_to_string(Path::new(SYSTEM).join(BUNDLE)).unwrap_or_default();
    let mut all: Vec<String> = machine
        .split_inclusive(END)
        .filter(|pem| pem.ends_with(END))
        .take(CERTIFICATES - 1)
        .map(str::to_owned)
        .collect();
    while all.len() < CERTIFICATES - 1 {
        all.push(Authority::new()?.ca_pem().to_owned());
    }
    all.push(ours.to_owned());
    for form in [
        Certificates::File,
        Certificates::Directory,
        Certificates::Both,
    ] {
        let dir = scratch.join(form.dir());
        fs::create_dir_all(&dir)?;
        if form != Certificates::Directory {
            fs::write(dir.join(BUNDLE), all.concat())?;
        }
        if form != Certificates::File {
            // Readers of a directory look for names as `c_rehash` makes them.
            for (n, pem) in all.iter().enumerate() {
                fs::write(dir.join(format!("{n:08x}.0")), pem)?;
            }
        }
    }
    Ok(())
}

fn own_network(scratch: &Path) -> Result<()> {
    tool("ip", ["link", "set", "lo", "up"])?;
    tool("ip", ["address", "add", "169.254.170.2/32", "dev", "lo"])?;
    silence_metadata()?;
    let hosts = scratch.join("hosts");
    fs::write(
        &hosts,
        "127.0.0.1 localhost api.ecr.us-east-1.amazonaws.com ecr.us-east-1.amazonaws.com\n\
         127.0.0.1 sts.us-east-1.amazonaws.com sts.amazonaws.com\n",
    )?;
    tool(
        "mount",
        [
            OsStr::new("--bind"),
            hosts.as_ref(),
            OsStr::new("/etc/hosts"),
        ],
    )
}

/// Sends what goes to instance metadata nowhere, as networks do that have none.
fn silence_metadata() -> Result<()> {
    let end = ["type", "veth", "peer", "name", "void"];
    tool("ip", [&["link", "add", "silent"], &end[..]].concat())?;
    for link in ["silent", "void"] {
        tool("ip", ["link", "set", link, "up"])?;
    }
    tool(
        "ip",
        ["route", "add", "169.254.169.254/32", "dev", "silent"],
    )?;
    let neighbour = [
        "neigh",
        "add",
        "169.254.169.254",
        "lladdr",
        "02:00:00:00:00:01",
    ];
    let permanent = ["dev", "silent", "nud", "permanent"];
    tool("ip", [&neighbour[..], &permanent[..]].concat())
}

fn tool<S: AsRef<OsStr>>(name: &str, args: impl IntoIterator<Item = S>) -> Result<()> {
    let status = Command::new(name).args(args).status()?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{name} failed").into())
    }
}
