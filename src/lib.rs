//! The library behind `docker-credential-ecr-login`.
//!
//! Each room imports only from rooms above it.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod cache;
pub mod cli;
pub mod ecr;
pub mod env;
pub mod helper;
pub mod log;
pub mod principal;
pub mod profile;
pub mod protocol;
pub mod proxy;
pub mod registry;
pub mod secret;
pub mod settings;
pub mod token;
