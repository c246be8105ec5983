//! The credentials of roles that the AWS CLI keeps below `~/.aws/cli/cache`, read and never
//! written.
//!
//! A credential helper cannot prompt for an MFA code. But once a command of the AWS CLI has, the
//! role's credentials are there until they expire. A file is named by the SHA-1 of the role's
//! arguments, as botocore serializes them (`AssumeRoleCredentialFetcher._create_cache_key`). The
//! keys that the role was assumed with are not among them, and only an MFA serial ties a file to a
//! user. Other roles are assumed again, so no password is cached for keys that may not assume the
//! role.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;
use sha1::Sha1;
use sha2::Digest;
use zeroize::Zeroizing;

use super::cache_key::hex;
use super::{AccessKeys, Plan, Role, problem};
use crate::fs::{self, Links};
use crate::problem::Problem;
use crate::secret::Secret;
use crate::time;

/// In bytes; the files have about 2 KiB.
const LIMIT: usize = 1 << 16;

/// A role's credentials from the cache of the AWS CLI.
#[derive(Debug)]
pub struct KeptRole<'a> {
    /// The keys.
    pub keys: AccessKeys,
    /// The role that they are of.
    pub role: &'a Role,
    /// The roles still to be assumed.
    pub remaining: &'a [Role],
}

impl Plan {
    /// The credentials of the outermost role with MFA, which the AWS CLI has kept: then neither the
    /// source nor that role's STS has to be called. None if no role requires MFA.
    ///
    /// Fails if there are none that are valid.
    pub fn kept_role(&self, now: DateTime<Utc>) -> Result<Option<KeptRole<'_>>, Problem> {
        let Some(dir) = &self.cli_cache else {
            return Ok(None);
        };
        for (index, role) in self.roles.iter().enumerate().rev() {
            let (Some(profile), Some(_)) = (&role.profile, &role.mfa_serial) else {
                continue;
            };
            let file = read(&dir.join(file_name(role)));
            let has_expired = file.is_some();
            return match file.filter(|file| file.expires_at > now) {
                Some(file) => Ok(Some(KeptRole {
                    keys: file.keys,
                    role,
                    remaining: &self.roles[index + 1..],
                })),
                None => {
                    let selected = self.profile.as_deref().unwrap_or(profile);
                    Err(problem::mfa_required(profile, selected, has_expired))
                }
            };
        }
        Ok(None)
    }
}

/// The name of the role's file.
fn file_name(role: &Role) -> String {
    let mut arguments = BTreeMap::from([("RoleArn", quoted(&role.role_arn))]);
    let optional = [
        ("RoleSessionName", &role.session_name),
        ("ExternalId", &role.external_id),
        ("SerialNumber", &role.mfa_serial),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            arguments.insert(name, quoted(value));
        }
    }
    if let Some(seconds) = role.duration {
        arguments.insert("DurationSeconds", seconds.to_string());
    }
    // Python's json.dumps(…, sort_keys=True).
    let fields: Vec<_> = arguments
        .iter()
        .map(|(name, value)| format!("\"{name}\": {value}"))
        .collect();
    let json = format!("{{{}}}", fields.join(", "));
    hex(&Sha1::digest(json)) + ".json"
}

/// A JSON string as Python writes it: everything but printable ASCII is escaped.
fn quoted(text: &str) -> String {
    let mut json = String::from('"');
    for unit in text.encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte @ (b'"' | b'\\')) => json.extend(['\\', byte.into()]),
            Ok(byte @ b' '..=b'~') => json.push(byte.into()),
            Ok(b'\n') => json.push_str("\\n"),
            Ok(b'\r') => json.push_str("\\r"),
            Ok(b'\t') => json.push_str("\\t"),
            Ok(0x08) => json.push_str("\\b"),
            Ok(0x0c) => json.push_str("\\f"),
            _ => {
                json.push_str("\\u");
                json.push_str(&hex(&unit.to_be_bytes()));
            }
        }
    }
    json.push('"');
    json
}

struct KeptFile {
    keys: AccessKeys,
    expires_at: DateTime<Utc>,
}

/// None if there is no such file, if another user could have written it, or if it is not what the
/// AWS CLI writes.
fn read(path: &Path) -> Option<KeptFile> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct RoleResponse {
        credentials: RoleKeys,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct RoleKeys {
        access_key_id: String,
        secret_access_key: Zeroizing<String>,
        session_token: Zeroizing<String>,
        expiration: Value,
    }
    let bytes = Zeroizing::new(read_trusted(path).ok()?);
    let mut credentials = serde_json::from_slice::<RoleResponse>(&bytes)
        .ok()?
        .credentials;
    let secret = |text: &mut Zeroizing<String>| Secret::new(std::mem::take(&mut **text));
    if credentials.access_key_id.is_empty() || credentials.secret_access_key.is_empty() {
        return None;
    }
    Some(KeptFile {
        expires_at: time::parse(credentials.expiration.as_str()?)?,
        keys: AccessKeys {
            access_key_id: credentials.access_key_id,
            secret_access_key: secret(&mut credentials.secret_access_key),
            session_token: Some(secret(&mut credentials.session_token)),
        },
    })
}

/// The file's bytes, unless another user owns it or can write it.
fn read_trusted(path: &Path) -> io::Result<Vec<u8>> {
    let file = fs::open(path, Links::Follow)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let file = file.metadata()?;
        let own = file.uid() == rustix::process::geteuid().as_raw() || file.uid() == 0;
        if !own || file.mode() & 0o022 != 0 || !file.is_file() {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
    }
    fs::read_open(file, LIMIT)
}

/// The directory of these files.
pub(super) fn dir(home: &Path) -> PathBuf {
    home.join(".aws/cli/cache")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::principal::{Address, Endpoint, Variant};

    fn role(arn: &str) -> Role {
        Role {
            profile: Some("dev".to_owned()),
            role_arn: arn.to_owned(),
            external_id: None,
            session_name: None,
            mfa_serial: None,
            duration: None,
            sts: Endpoint {
                region: "us-east-1".to_owned(),
                address: Address::OfRegion(Variant::default()),
            },
        }
    }

    #[test]
    fn files_are_named_as_botocore_names_them() {
        // Printed by botocore 1.44.5.
        let plain = role("arn:aws:iam::123456789012:role/r");
        let full = Role {
            external_id: Some("e".to_owned()),
            session_name: Some("me".to_owned()),
            mfa_serial: Some("arn:aws:iam::123456789012:mfa/u".to_owned()),
            duration: Some(3600),
            ..plain.clone()
        };
        let odd = Role {
            external_id: Some("\"é\\\u{7f}\u{1f600}\t/\u{1}".to_owned()),
            ..plain.clone()
        };
        for (role, name) in [
            (plain, "6dc9e6e1e186b9f293814df3266de783142c48a2"),
            (full, "4a07b990fc23a02e8caac8a996d99bee3c804364"),
            (odd, "082712904a0b56af93d7b97df614f20729271d09"),
        ] {
            assert_eq!(file_name(&role), format!("{name}.json"));
        }
    }

    #[test]
    fn times_are_read_in_every_form() {
        let expected = DateTime::from_timestamp(1_800_000_000, 0);
        for text in [
            "2027-01-15T08:00:00Z",
            "2027-01-15T08:00:00UTC",
            "2027-01-15T08:00:00.000Z",
            "2027-01-15T08:00:00+00:00",
            "2027-01-15T09:00:00+0100",
            "2027-01-15T08:00:00.000000+00:00",
        ] {
            assert_eq!(time::parse(text), expected, "{text}");
        }
        for text in ["", "soon", "2027-01-15", "2027-01-15T08:00:00"] {
            assert_eq!(time::parse(text), None, "{text}");
        }
    }
}
