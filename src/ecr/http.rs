//! The HTTP client below the AWS SDK: one HTTP/1.1 connection per endpoint, opened at the first
//! request.
//!
//! The SDK's own connector loads the system's CA certificates when it is built, even for plain
//! HTTP, panics over a bad bundle, has other proxy rules than Go, and brings HTTP/2 and a pool that
//! a single request does not need. This one records what it is doing at each moment, so that a
//! timeout can say so. Responses are bounded, redirects are not followed, and only hosts are
//! logged.
//!
//! | module | contents |
//! |---|---|
//! | `failure` | what can go wrong: wording, hint, whether it is retried |
//! | `origin` | scheme, host and port of a URL, and the request line for it |
//! | `resolve` | name look-up: the system's resolver, and a second one |
//! | `dial` | Happy Eyeballs |
//! | `tunnel` | CONNECT through a proxy |
//! | `tls` | handshakes and what their errors mean |
//! | `connection` | all of these together; connections opened early |
//! | `exchange` | one request and its response |
//! | `attempts` | retries |
//! | `client` | the connector that the SDK calls |

mod attempts;
mod client;
mod connection;
mod dial;
mod exchange;
mod failure;
mod origin;
mod resolve;
mod tls;
mod tunnel;

use tokio::io::{AsyncRead, AsyncWrite};

pub(super) use self::client::{Client, ClientOptions, Tries};
pub use self::failure::Failure;
pub(super) use self::failure::RequestOutcome;
pub(crate) use self::origin::is_url;
pub(super) use self::resolve::Resolver;

/// No response of an AWS service is larger.
const MAX_BODY: usize = 1 << 20;

/// TCP, TLS, or TLS inside a tunnel.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}
