//! Shared by the integration tests: a fake of AWS, and a way to run the built program.
#![allow(dead_code, unused_imports, reason = "no test binary uses all of it")]

pub mod fake;
pub mod install;
pub mod run;
pub mod sessions;
