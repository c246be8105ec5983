//! Which CA certificates are trusted, read in one pass and only when TLS is used.
//!
//! A bundle that is set for AWS replaces the system trust store, and each of its certificates must
//! parse, as in the AWS CLI. `SSL_CERT_FILE` and `SSL_CERT_DIR` each replace their half of the
//! store, as in Go and OpenSSL: with only one of them set, the system's CA certificates are still
//! trusted. Certificates of the system trust store that do not parse are skipped. A distribution's
//! single bundle file is preferred to its directory of 145 files.
//!
//! On macOS and Windows the system itself verifies, wherever its CA certificates are trusted: Windows
//! fetches some of them when they are first needed, and macOS has settings for each.

use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use thiserror::Error;

use crate::env::Env;
use crate::principal::CaBundle;

/// The largest bundle of certificates that is read.
const MAX_BUNDLE: u64 = 16 << 20;

/// Whether the system verifies by CA certificates of its own.
const SYSTEM_VERIFIES: bool = cfg!(any(windows, target_os = "macos"));

/// CA certificates that cannot be loaded.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}{what}", .setting.as_ref().map(|name| format!("{name}: ")).unwrap_or_default())]
pub struct TrustStoreError {
    /// The environment variable or key that names the file or directory; none for the system trust
    /// store.
    pub setting: Option<String>,
    pub what: String,
}

/// CA certificates that were read.
#[derive(Debug)]
pub(super) struct CaCertificates {
    pub(super) roots: RootCertStore,
    /// Whether the system may verify as well.
    pub(super) with_system: bool,
}

impl CaCertificates {
    /// How many they are, and from where.
    pub(super) fn shown(&self, noun: &str, places: &str) -> String {
        match (self.roots.len(), self.with_system) {
            (0, true) => places.to_owned(),
            (count, true) => format!("{count}{noun} from {places}, and the system trust store"),
            (count, false) => format!("{count}{noun} from {places}"),
        }
    }
}

/// Where the CA certificates come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TrustStore {
    /// A file of certificates, all of which must parse.
    Bundle(CaBundle),
    /// `SSL_CERT_FILE` and `SSL_CERT_DIR`.
    Named {
        file: Option<PathBuf>,
        dirs: Option<PathBuf>,
    },
    /// The system's trust store.
    System,
}

impl TrustStore {
    pub(super) fn of(env: &Env, bundle: Option<&CaBundle>) -> Self {
        if let Some(bundle) = bundle {
            return Self::Bundle(bundle.clone());
        }
        let (file, dirs) = (env.path("SSL_CERT_FILE"), env.path("SSL_CERT_DIR"));
        if file.is_none() && dirs.is_none() {
            Self::System
        } else {
            Self::Named { file, dirs }
        }
    }

    /// For the debug log.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Bundle(bundle) => format!("{} {}", bundle.setting, bundle.path.display()),
            Self::Named { file, dirs } => [("SSL_CERT_FILE", file), ("SSL_CERT_DIR", dirs)]
                .into_iter()
                .filter_map(|(name, path)| Some(format!("{name} {}", path.as_ref()?.display())))
                .collect::<Vec<_>>()
                .join(", "),
            Self::System => "the system trust store".to_owned(),
        }
    }

    /// Reads them.
    pub(super) fn load(&self) -> Result<CaCertificates, TrustStoreError> {
        let mut roots = RootCertStore::empty();
        let mut with_system = false;
        match self {
            Self::Bundle(bundle) => {
                add_file(&mut roots, &bundle.path).map_err(|what| TrustStoreError {
                    setting: Some(bundle.setting.clone()),
                    what,
                })?;
            }
            Self::Named { file, dirs } => {
                let error = |setting: &str, what| TrustStoreError {
                    setting: Some(setting.to_owned()),
                    what,
                };
                if let Some(file) = file {
                    add_file(&mut roots, file).map_err(|what| error("SSL_CERT_FILE", what))?;
                }
                if let Some(dirs) = dirs {
                    let before = roots.len();
                    for dir in std::env::split_paths(dirs) {
                        add_dir(&mut roots, &dir);
                    }
                    if roots.len() == before {
                        let what = format!("no CA certificate in {}", dirs.display());
                        return Err(error("SSL_CERT_DIR", what));
                    }
                }
                if file.is_none() || dirs.is_none() {
                    add_system(&mut roots);
                    with_system = SYSTEM_VERIFIES;
                }
            }
            Self::System => {
                add_system(&mut roots);
                with_system = SYSTEM_VERIFIES;
            }
        }
        if roots.is_empty() && !with_system {
            return Err(TrustStoreError {
                setting: None,
                what: "the system trust store has no CA certificates".to_owned(),
            });
        }
        Ok(CaCertificates { roots, with_system })
    }
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    // Before it is opened: opening a pipe without a writer blocks.
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(std::io::Error::other("not a regular file"));
    }
    let file = std::fs::File::open(path)?;
    // Spare capacity, or the end of the file is probed for in many small reads.
    let room = usize::try_from(metadata.len().min(MAX_BUNDLE)).unwrap_or(0) + 64;
    let mut bytes = Vec::with_capacity(room);
    file.take(MAX_BUNDLE).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Every certificate of a file, all of which must parse.
fn add_file(roots: &mut RootCertStore, path: &Path) -> Result<(), String> {
    let shown = path.display();
    let pem = read(path).map_err(|error| format!("{shown} cannot be read: {error}"))?;
    let mut count = 0;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        count += 1;
        certificate
            .ok()
            .and_then(|der| roots.add(der).ok())
            .ok_or_else(|| format!("certificate {count} in {shown} is malformed"))?;
    }
    if count == 0 {
        return Err(format!("no PEM certificate in {shown}"));
    }
    Ok(())
}

/// The certificates of a file that parse.
fn add_what_parses(roots: &mut RootCertStore, path: &Path) {
    if let Ok(pem) = read(path) {
        roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&pem).flatten());
    }
}

fn add_dir(roots: &mut RootCertStore, dir: &Path) {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return;
    };
    // OpenSSL's hashed names are links to files of the same directory, under their own names.
    let is_alias = |entry: &std::fs::DirEntry| {
        entry.file_type().is_ok_and(|kind| kind.is_symlink())
            && std::fs::read_link(entry.path())
                .is_ok_and(|target| target.parent().is_none_or(|p| p.as_os_str().is_empty()))
    };
    let mut paths: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| !is_alias(entry))
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    for path in paths {
        add_what_parses(roots, &path);
    }
}

#[cfg(not(any(windows, target_os = "macos")))]
fn add_system(roots: &mut RootCertStore) {
    // Not openssl-probe's list: that reads the process environment, checks every directory before
    // the first file is read, and stops at an empty file.
    /// Debian and Alpine, Fedora, openSUSE, then others: the order of Go and OpenSSL.
    const FILES: &[&str] = &[
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/ca-bundle.pem",
        "/etc/pki/tls/cacert.pem",
        "/etc/ssl/cert.pem",
        "/usr/local/etc/ssl/cert.pem",
        "/usr/local/share/certs/ca-root-nss.crt",
        "/etc/openssl/certs/ca-certificates.crt",
    ];
    const DIRS: &[&str] = &["/etc/ssl/certs", "/etc/pki/tls/certs", "/etc/openssl/certs"];
    for file in FILES {
        add_what_parses(roots, Path::new(file));
        if !roots.is_empty() {
            return;
        }
    }
    for dir in DIRS {
        add_dir(roots, Path::new(dir));
    }
}

#[cfg(any(windows, target_os = "macos"))]
fn add_system(_: &mut RootCertStore) {}

#[cfg(test)]
mod tests {
    use super::*;

    /// A self-signed certificate, made with `openssl req -x509 -newkey ec` for these tests.
    const PEM: &str = include_str!("test-ca.pem");

    fn dir(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("ecr-trust-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("temporary directory");
        dir
    }

    fn bundle(path: &Path) -> TrustStore {
        let bundle = CaBundle {
            setting: "AWS_CA_BUNDLE".into(),
            path: path.to_owned(),
        };
        TrustStore::of(&Env::of([("SSL_CERT_FILE", "/nowhere")]), Some(&bundle))
    }

    #[test]
    fn every_certificate_of_a_bundle_must_parse() {
        let dir = dir("bundle");
        let bad_der = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        #[rustfmt::skip]
        let cases: &[(&str, &[u8], Option<&str>)] = &[
            ("good", PEM.as_bytes(), None),
            ("two", &[PEM.as_bytes(), b"# comment\n", PEM.as_bytes()].concat(), None),
            ("empty", b"", Some("no PEM certificate in")),
            ("junk", &[0, 255, 10, 13, 45, 45, 45], Some("no PEM certificate in")),
            ("key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", Some("no PEM certificate in")),
            ("bad-der", &[PEM.as_bytes(), bad_der.as_bytes()].concat(), Some("certificate 2 in")),
            ("cut", &PEM.as_bytes()[..PEM.len() / 2], Some("")),
        ];
        for (name, contents, expected) in cases {
            let path = dir.join(name);
            std::fs::write(&path, contents).expect("writable");
            match (bundle(&path).load(), expected) {
                (Ok(roots), None) => assert!(!roots.roots.is_empty(), "{name}"),
                (Err(error), Some(text)) => {
                    assert_eq!(error.setting.as_deref(), Some("AWS_CA_BUNDLE"), "{name}");
                    assert!(error.what.contains(text), "{name}: {}", error.what);
                    assert!(error.what.contains(name), "{name}: {}", error.what);
                }
                (found, _) => panic!("{name}: {found:?}"),
            }
        }
        for path in [dir.join("missing"), dir.clone()] {
            let error = bundle(&path).load().expect_err("no file");
            assert!(error.what.contains("cannot be read"), "{}", error.what);
        }
        std::fs::remove_dir_all(dir).expect("ours");
    }

    #[test]
    fn ssl_cert_file_and_dir_each_replace_half() {
        let dir = dir("named");
        std::fs::write(dir.join("ca.pem"), PEM).expect("writable");
        std::fs::write(dir.join("README"), "not a certificate").expect("writable");
        let path = dir.display().to_string();
        let load_all = |vars: &[(&str, String)]| {
            let vars = vars.iter().map(|(name, value)| (*name, value.clone()));
            TrustStore::of(&Env::of(vars), None)
                .load()
                .map(|roots| roots.roots.len())
                .map_err(|error| error.setting)
        };
        let load = |name, value| load_all(&[(name, value)]);
        let system = TrustStore::System
            .load()
            .map_or(0, |roots| roots.roots.len());
        let file = ("SSL_CERT_FILE", format!("{path}/ca.pem"));
        let dirs = ("SSL_CERT_DIR", path.clone());
        assert_eq!(load_all(std::slice::from_ref(&file)), Ok(system + 1));
        assert_eq!(load_all(std::slice::from_ref(&dirs)), Ok(system + 1));
        assert_eq!(load_all(&[file, dirs]), Ok(2));
        for (name, value) in [
            ("SSL_CERT_FILE", format!("{path}/missing")),
            ("SSL_CERT_FILE", format!("{path}/README")),
            ("SSL_CERT_DIR", format!("{path}/missing")),
        ] {
            assert_eq!(load(name, value), Err(Some(name.to_owned())));
        }
        std::fs::remove_dir_all(dir).expect("ours");
    }
}
