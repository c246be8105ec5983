//! Access control lists on Windows: as with modes on Unix, only the user and administrators may
//! write.
//!
//! A directory of ours gets a list of its own, which grants the user everything, other users
//! nothing, inherits nothing from above and is inherited by what is created in it. So only the
//! directories and files of the cache are checked, never those above: a user who can write there can
//! put another directory in place of the cache, but not one that belongs to this user. Of the file of
//! rules only the file itself is checked, as on Unix.
//!
//! Access rights are compared as text, in the security descriptor definition language (SDDL),
//! which the system itself makes of them: a list that is missing altogether, which grants
//! everything, has a text as well.

/// The system, the administrators, and the owner of the object, who is checked apart.
const TRUSTED: &[&str] = &["SY", "BA", "OW"];

/// Owners who are as good as the user: what an elevated process creates is the administrators'.
const OWNERS: &[&str] = &["SY", "BA"];

/// The rights to write, append, set attributes, remove, and change owner or rights; for files and
/// directories alike.
const WRITE: u32 = 0x500d_0156;

/// Two letters each in SDDL, where a right is not written as a number.
const RIGHTS: &[(&str, u32)] = &[
    ("GA", 0x1000_0000),
    ("GX", 0x2000_0000),
    ("GW", 0x4000_0000),
    ("GR", 0x8000_0000),
    ("FA", 0x001f_01ff),
    ("FR", 0x0012_0089),
    ("FW", 0x0012_0116),
    ("FX", 0x0012_00a0),
    ("RC", 0x0002_0000),
    ("SD", 0x0001_0000),
    ("WD", 0x0004_0000),
    ("WO", 0x0008_0000),
    ("CC", 0x0001),
    ("DC", 0x0002),
    ("LC", 0x0004),
    ("SW", 0x0008),
    ("RP", 0x0010),
    ("WP", 0x0020),
    ("DT", 0x0040),
    ("LO", 0x0080),
    ("CR", 0x0100),
];

/// Why another user could have changed what has this owner and these rights. `me` is the user as
/// SDDL names it.
fn why_untrusted(sddl: &str, me: &str) -> Option<&'static str> {
    let (owner, list) = split(sddl);
    if owner != me && !OWNERS.contains(&owner) {
        return Some("is owned by another user");
    }
    let Some(list) = list.filter(|list| !list.contains("NO_ACCESS_CONTROL")) else {
        return Some("has no access control list");
    };
    let is_foreign = |entry: &AccessEntry<'_>| {
        entry.grants
            && entry.rights & WRITE != 0
            && entry.who != me
            && !TRUSTED.contains(&entry.who)
    };
    entries(list)
        .any(|entry| is_foreign(&entry))
        .then_some("can be written by other users")
}

/// Whether the list is the one that a directory of ours gets.
fn is_private(sddl: &str, me: &str) -> bool {
    let Some(list) = split(sddl).1 else {
        return false;
    };
    let is_protected = list
        .split('(')
        .next()
        .is_some_and(|flags| flags.contains('P'));
    is_protected && entries(list).all(|entry| entry.who == me) && entries(list).count() == 1
}

/// The owner, and the list with its flags before it, if there is one.
fn split(sddl: &str) -> (&str, Option<&str>) {
    let (owner, list) = match sddl.split_once("D:") {
        Some((owner, list)) => (owner, Some(list)),
        None => (sddl, None),
    };
    (owner.strip_prefix("O:").unwrap_or_default(), list)
}

struct AccessEntry<'a> {
    grants: bool,
    rights: u32,
    who: &'a str,
}

/// The entries that concern the object itself, not only what is created in it.
fn entries(list: &str) -> impl Iterator<Item = AccessEntry<'_>> {
    list.split('(').skip(1).filter_map(|entry| {
        let mut fields = entry.split(')').next().unwrap_or_default().split(';');
        let (kind, flags, rights) = (fields.next()?, fields.next()?, fields.next()?);
        let is_inherited_only = flags.as_bytes().chunks(2).any(|flag| flag == b"IO");
        (!is_inherited_only).then(|| AccessEntry {
            grants: !matches!(kind, "D" | "OD" | "XD"),
            rights: parse_rights(rights),
            who: fields.nth(2).unwrap_or_default(),
        })
    })
}

/// All of them where a right is not known.
fn parse_rights(text: &str) -> u32 {
    if let Some(number) = text.strip_prefix("0x") {
        return u32::from_str_radix(number, 16).unwrap_or(u32::MAX);
    }
    text.as_bytes().chunks(2).fold(0, |rights, letters| {
        let known = RIGHTS.iter().find(|(name, _)| name.as_bytes() == letters);
        rights | known.map_or(u32::MAX, |(_, bits)| *bits)
    })
}

#[cfg(windows)]
mod system {
    use std::fs::{File, OpenOptions};
    use std::io;
    use std::os::windows::fs::OpenOptionsExt;
    use std::path::Path;

    use windows_permissions::constants::{SeObjectType, SecurityInformation};
    use windows_permissions::utilities::current_process_sid;
    use windows_permissions::wrappers::{
        ConvertSecurityDescriptorToStringSecurityDescriptor, ConvertSidToStringSid,
        GetSecurityInfo, SetSecurityInfo,
    };
    use windows_permissions::{LocalBox, SecurityDescriptor};

    /// Without it no directory can be opened.
    const FILE_FLAG_BACKUP_SEMANTICS: u32 = 0x0200_0000;
    const READ_CONTROL: u32 = 0x0002_0000;
    const WRITE_DAC: u32 = 0x0004_0000;
    const UNREADABLE: &str = "has access rights that cannot be read";

    /// Why another user could have changed a file or directory; a link is followed. An error if it
    /// is missing.
    pub(crate) fn why_path_untrusted(path: &Path) -> io::Result<Option<&'static str>> {
        match open(path, READ_CONTROL) {
            Ok(file) => Ok(why_file_untrusted(&file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(error),
            Err(_) => Ok(Some(UNREADABLE)),
        }
    }

    /// The same of a file that is open.
    pub(crate) fn why_file_untrusted(file: &File) -> Option<&'static str> {
        let judged = text_of(file).and_then(|sddl| Ok(super::why_untrusted(&sddl, &me()?.1)));
        judged.unwrap_or(Some(UNREADABLE))
    }

    /// Lets only the user in, unless that is so already.
    pub(crate) fn restrict(path: &Path) -> io::Result<()> {
        let mut file = open(path, READ_CONTROL | WRITE_DAC)?;
        let (sid, alias) = me()?;
        if super::is_private(&text_of(&file)?, &alias) {
            return Ok(());
        }
        let wanted: LocalBox<SecurityDescriptor> = format!("D:P(A;OICI;FA;;;{sid})").parse()?;
        let what = SecurityInformation::Dacl | SecurityInformation::ProtectedDacl;
        SetSecurityInfo(
            &mut file,
            SeObjectType::SE_FILE_OBJECT,
            what,
            None,
            None,
            wanted.dacl(),
            None,
        )
    }

    fn open(path: &Path, access: u32) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options
            .access_mode(access)
            .custom_flags(FILE_FLAG_BACKUP_SEMANTICS);
        options.open(path)
    }

    fn text_of(file: &File) -> io::Result<String> {
        let what = SecurityInformation::Owner | SecurityInformation::Dacl;
        text(&*GetSecurityInfo(file, SeObjectType::SE_FILE_OBJECT, what)?)
    }

    fn text(descriptor: &SecurityDescriptor) -> io::Result<String> {
        let what = SecurityInformation::Owner | SecurityInformation::Dacl;
        let text = ConvertSecurityDescriptorToStringSecurityDescriptor(descriptor, what)?;
        text.into_string()
            .map_err(|_| io::ErrorKind::InvalidData.into())
    }

    /// The security ID of the user, and what SDDL makes of it, which has short names for some.
    fn me() -> io::Result<(String, String)> {
        let sid = ConvertSidToStringSid(&*current_process_sid()?)?;
        let sid = sid.into_string().map_err(|_| io::ErrorKind::InvalidData)?;
        let owner: LocalBox<SecurityDescriptor> = format!("O:{sid}").parse()?;
        let alias = super::split(&text(&owner)?).0.to_owned();
        Ok((sid, alias))
    }
}

#[cfg(windows)]
pub(crate) use system::{restrict, why_file_untrusted, why_path_untrusted};

#[cfg(test)]
mod tests {
    use super::*;

    const ME: &str = "S-1-5-21-1-2-3-1001";

    #[test]
    fn only_the_user_and_administrators_may_write() {
        const NO_LIST: Option<&str> = Some("has no access control list");
        const FOREIGN: Option<&str> = Some("is owned by another user");
        const WRITABLE: Option<&str> = Some("can be written by other users");
        #[rustfmt::skip]
        let cases = [
            // Set by this program; inherited from the local app data directory.
            ("O:ME D:P(A;OICI;FA;;;ME)", None),
            ("O:ME D:AI(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;OICIID;FA;;;ME)", None),
            // Created by an elevated process.
            ("O:BA D:AI(A;ID;FA;;;SY)(A;ID;FA;;;ME)", None),
            ("O:S-1-5-21-1-2-3-1002 D:P(A;OICI;FA;;;ME)", FOREIGN),
            ("O:ME ", NO_LIST),
            ("D:P(A;OICI;FA;;;ME)", FOREIGN),
            ("O:ME D:NO_ACCESS_CONTROL", NO_LIST),
            ("", FOREIGN),
            // Readable by others, as a mode of 0755 is.
            ("O:ME D:(A;OICI;FA;;;ME)(A;OICI;0x1200a9;;;BU)(A;;FR;;;WD)(A;;FX;;;AU)", None),
            // Below the root directory of a second disk.
            ("O:ME D:AI(A;OICIID;FA;;;BA)(A;OICIID;0x1301bf;;;AU)", WRITABLE),
            ("O:ME D:(A;;FA;;;WD)", WRITABLE),
            ("O:ME D:(A;;GA;;;WD)", WRITABLE),
            ("O:ME D:(A;;FW;;;S-1-5-21-1-2-3-1002)", WRITABLE),
            ("O:ME D:(A;;DC;;;AU)", WRITABLE),
            ("O:ME D:(A;;CCLC;;;AU)", WRITABLE),
            ("O:ME D:(A;;RCWD;;;AU)", WRITABLE),
            ("O:ME D:(A;;??;;;AU)", WRITABLE),
            ("O:ME D:(A;;0xfffffffff;;;AU)", WRITABLE),
            ("O:ME D:(OA;;WP;5b47d60f-6090-40b2-9f37-2a4de88f3063;;AU)", None),
            ("O:ME D:(XA;;FA;;;AU;(WIN://SYSAPPID Exists))", WRITABLE),
            // For what is created below: that is checked when it is there.
            ("O:ME D:(A;OICIIO;FA;;;CO)(A;OICIIO;GA;;;AU)(A;;FA;;;ME)", None),
            // Refusals take nothing away from what is trusted.
            ("O:ME D:(D;;FA;;;WD)(A;;FA;;;OW)", None),
        ];
        for (sddl, expected) in cases {
            let sddl = sddl.replace(' ', "").replace("ME", ME);
            assert_eq!(why_untrusted(&sddl, ME), expected, "{sddl}");
        }
    }

    #[test]
    fn a_private_list_has_one_entry_and_inherits_none() {
        for (sddl, expected) in [
            ("O:ME D:P(A;OICI;FA;;;ME)", true),
            ("O:BA D:PAI(A;OICI;FA;;;ME)", true),
            ("O:ME D:AI(A;OICIID;FA;;;ME)", false),
            ("O:ME D:P(A;OICI;FA;;;ME)(A;OICI;FA;;;SY)", false),
            ("O:ME D:P(A;OICI;FA;;;SY)", false),
            ("O:ME D:P", false),
            ("O:ME", false),
        ] {
            let sddl = sddl.replace(' ', "").replace("ME", ME);
            assert_eq!(is_private(&sddl, ME), expected, "{sddl}");
        }
    }
}
