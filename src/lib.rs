//! The library behind `docker-credential-ecr-login`.
//!
//! Each module imports only from those above it in this table.
//!
//! | module | contents |
//! |---|---|
//! | `secret` | a string that must not be printed |
//! | `env` | the environment as a value; the only reader of the process environment |
//! | `log` | the debug log as a value |
//! | `fs` | bounded reads of files, and advisory locks |
//! | `time` | times as other programs write them |
//! | `problem` | a failure: cause, hint, and what the caller may do |
//! | `nearest` | suggestions for misspelt names |
//! | `edit` | single settings in files of other programs, everything else kept |
//! | `clients` | the configuration of docker and podman, and their search for this program |
//! | `registry` | which hosts are ECR; the one table of partitions |
//! | `token` | an authorization token and its lifetime |
//! | `protocol` | docker's protocol: requests on stdin, responses on stdout |
//! | `settings` | the program's own settings |
//! | `stdin` | standard input under a deadline |
//! | `profile` | the AWS config files |
//! | `principal` | the plan: which AWS principal would be used, from local facts |
//! | `rules` | the file `ecr-login`: which profile or role serves which registry |
//! | `cache` | tokens on disk, and their lock files |
//! | `proxy` | which requests go through which proxy |
//! | `ecr` | executes a plan; the only module that uses the AWS SDK |
//! | `helper` | the policy: when the cache serves, when AWS is called, what happens on failure |
//! | [`cli`] | one file per verb; the only module that prints |

mod cache;
pub mod cli;
mod clients;
mod ecr;
mod edit;
mod env;
mod fs;
mod helper;
mod log;
mod nearest;
mod principal;
mod problem;
mod profile;
mod protocol;
mod proxy;
mod registry;
mod rules;
mod secret;
mod settings;
mod stdin;
mod time;
mod token;

/// The interface of the fuzz targets.
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing {
    pub use crate::cache::{Cache, Provenance};
    pub use crate::ecr::{Caller, Issued, Issuer, Session};
    pub use crate::env::Env;
    pub use crate::log::Log;
    pub use crate::principal::{CacheKey, Endpoint, Identity, Plan, Selection, Surroundings, plan};
    pub use crate::problem::{Problem, ProblemKind};
    pub use crate::registry::{PARTITIONS, Registry, Service};
    pub use crate::rules::Rules;
    pub use crate::secret::Secret;
    pub use crate::token::{Login, Token};
}
