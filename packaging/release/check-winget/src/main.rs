//! Fails unless each file is a manifest for winget: `check-winget FILE...`.
//!
//! Microsoft's schemas are in no registry. The types are those of Komac, a program that writes
//! manifests for Microsoft's repository: they refuse a value that the schema forbids, and a key that it
//! does not have is missing from what they write. `winget validate` checks more, on Windows alone.

use std::error::Error;

use serde::Serialize;
use serde::de::DeserializeOwned;
use winget_types::utils::GenericManifest;
use winget_types::{DefaultLocaleManifest, InstallerManifest, ManifestType, VersionManifest};
use yaml_serde::Value;

fn main() -> Result<(), Box<dyn Error>> {
    for file in std::env::args().skip(1) {
        check(&std::fs::read_to_string(&file)?).map_err(|error| format!("{file}: {error}"))?;
    }
    Ok(())
}

fn check(text: &str) -> Result<(), Box<dyn Error>> {
    const HEADER: &str = "# yaml-language-server: $schema=https://aka.ms/winget-manifest.";
    if !text.starts_with(HEADER) {
        return Err("no schema header".into());
    }
    let again = match yaml_serde::from_str::<GenericManifest>(text)?.r#type {
        ManifestType::Installer => again::<InstallerManifest>(text)?,
        ManifestType::DefaultLocale => again::<DefaultLocaleManifest>(text)?,
        ManifestType::Version => again::<VersionManifest>(text)?,
        ManifestType::Locale => return Err("a second language".into()),
    };
    match again == yaml_serde::from_str::<Value>(text)? {
        true => Ok(()),
        false => Err(format!("winget reads\n{}", yaml_serde::to_string(&again)?).into()),
    }
}

fn again<T: DeserializeOwned + Serialize>(text: &str) -> Result<Value, yaml_serde::Error> {
    yaml_serde::to_value(yaml_serde::from_str::<T>(text)?)
}
