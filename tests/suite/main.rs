//! The integration tests, in one binary: linking the AWS SDK once is slow enough.
#![allow(
    clippy::pedantic,
    reason = "test code counts in floats and small integers"
)]

#[path = "../support/mod.rs"]
mod support;

mod fake;
mod faults;
mod kubelet;
mod life;
#[cfg(target_os = "linux")]
mod locks;
mod logins;
mod network;
#[cfg(unix)]
mod people;
#[cfg(unix)]
mod people_configure;
mod protocol;
mod secrets;
mod sources;
mod surroundings;
mod together;
