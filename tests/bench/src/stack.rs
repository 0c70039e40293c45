//! What a stack must be able to do to be measured. Every row is written once, over this trait, and
//! runs for raw quinn and for pinhole alike.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::str::FromStr;

use anyhow::{Context, Result};

/// Bytes a bulk transfer hands over in one write, and offers in one read.
pub const CHUNK: usize = 64 * 1024;
/// Bytes of a small request, and of its reply.
pub const SMALL: usize = 64;
/// Larger requests than this are refused.
pub const REQUEST_LIMIT: usize = 64 * 1024;
/// Receive window of a stream: quinn's default, given to both stacks.
pub const STREAM_WINDOW: u32 = 1_250_000;
/// Unacknowledged bytes a connection may have: quinn's default, given to both stacks.
pub const SEND_WINDOW: u32 = 8 * STREAM_WINDOW;
/// Streams that a peer may have open at once: quinn's default, given to both stacks.
pub const STREAMS: u32 = 100;

/// One way to talk QUIC between two endpoints that authenticate each other.
pub trait Stack: Send + Sync + 'static {
    /// Its name on the command line of a child process.
    const NAME: &'static str;
    /// Key or certificate of an endpoint.
    type Identity: Clone + Send;
    /// A bound socket that can dial and accept.
    type Endpoint: Clone + Send + 'static;
    /// A connection whose both ends have been authenticated.
    type Connection: Clone + Send + 'static;

    /// A new identity.
    fn identity() -> Result<Self::Identity>;
    /// An endpoint on a free port of 127.0.0.1. Called inside a tokio runtime.
    fn bind(identity: &Self::Identity) -> Result<Self::Endpoint>;
    /// Where others dial this endpoint.
    fn target(endpoint: &Self::Endpoint) -> Result<Target>;
    /// Dials, and returns once this side knows that both are authenticated.
    fn connect(
        endpoint: &Self::Endpoint,
        target: &Target,
    ) -> impl Future<Output = Result<Self::Connection>> + Send;
    /// The next authenticated connection; `None` when the endpoint is closed.
    fn accept(endpoint: &Self::Endpoint) -> impl Future<Output = Option<Self::Connection>> + Send;
    /// Answers what the peer asks, until the connection ends.
    fn serve(connection: Self::Connection) -> impl Future<Output = ()> + Send;
    /// Accepts and serves for ever, requests in early data included where the stack has them.
    fn serve_all(endpoint: Self::Endpoint) -> impl Future<Output = ()> + Send {
        async move {
            while let Some(connection) = Self::accept(&endpoint).await {
                tokio::spawn(Self::serve(connection));
            }
        }
    }
    /// From no connection to the reply of a request that may be repeated.
    fn first_request(
        endpoint: &Self::Endpoint,
        target: &Target,
        body: &[u8],
    ) -> impl Future<Output = Result<Vec<u8>>> + Send;
    /// One request on a stream of its own, and its reply.
    fn request(
        connection: &Self::Connection,
        body: &[u8],
    ) -> impl Future<Output = Result<Vec<u8>>> + Send;
    /// Sends `bytes` on one stream; returns once the peer said that it has read them all.
    fn upload(connection: &Self::Connection, bytes: u64)
    -> impl Future<Output = Result<()>> + Send;
    /// Closes the connection without waiting.
    fn close(connection: &Self::Connection);
}

/// An address and the identity that must answer there, as text between two processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub addr: SocketAddr,
    /// Whatever the stack knows an endpoint by, in bytes.
    pub identity: Vec<u8>,
}

impl Target {
    /// The same identity behind another address, such as a forwarder's.
    pub fn via(&self, addr: SocketAddr) -> Target {
        Target { addr, identity: self.identity.clone() }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/", self.addr)?;
        self.identity.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Target {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Target> {
        let (addr, hex) = text.split_once('/').context("a target is ADDRESS/IDENTITY")?;
        let identity = (0..hex.len() / 2)
            .map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16))
            .collect::<Result<_, _>>()?;
        Ok(Target { addr: addr.parse()?, identity })
    }
}
