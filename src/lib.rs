//! The library behind `docker-credential-ecr-login`: the map of the house.
//!
//! Each room imports only from rooms above it.
//!
//! | room | what is in it |
//! |---|---|
//! | [`secret`] | a string that must not be seen |
//! | [`env`](mod@env) | the environment as a value; the only reader of the process's own |
//! | [`log`] | the debug log as a value |
//! | [`registry`] | which hosts are ECR; the one table of partitions |
//! | [`token`] | user, password and the life of both |
//! | [`protocol`] | what clients ask on stdin and get on stdout |
//! | [`settings`] | the program's own switches |
//! | [`profile`] | the AWS config files |
//! | [`principal`] | the plan: who would ask, from local facts |
//! | [`cache`] | tokens on disk, and the lock beside each |
//! | [`proxy`] | which requests go through which proxy |
//! | [`ecr`] | executes a plan; the only one that names the AWS SDK |
//! | [`helper`] | the policy: cached, asked for, kept, fallen back on |
//! | [`cli`] | one file per verb; the only one that prints |
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
