//! The integration tests, in one binary: linking the AWS SDK once is slow enough.
#![allow(
    clippy::pedantic,
    reason = "test code counts in floats and small integers"
)]
#![warn(clippy::too_many_lines)]

// Windows has none of what `secrets`, `surroundings` and `together` are about: core files, modes,
// owners and links, signals and shell scripts.
#[path = "../support/mod.rs"]
mod support;

mod choice;
mod client_hello;
mod cmd;
mod conventions;
mod fake;
mod faults;
mod fleet;
mod hardening;
mod kubelet;
mod life;
mod logins;
mod messages;
mod network;
mod people;
mod people_configure;
mod people_doctor;
mod people_registry;
mod people_sessions;
mod principals;
mod promises;
mod protocol;
mod rules;
mod rules_file;
mod rules_other;
#[cfg(unix)]
mod secrets;
mod sources;
mod sources_keys;
mod sources_process;
mod sources_sessions;
#[cfg(unix)]
mod surroundings;
#[cfg(target_os = "linux")]
mod system_calls;
#[cfg(unix)]
mod together;
#[cfg(windows)]
mod windows;
