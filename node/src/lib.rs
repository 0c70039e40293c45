//! pinhole: dial a public key, get an authenticated QUIC connection to whoever holds it.
//!
//! A [`Node`] has an identity, listens, dials peers by id and address, serves protocols, and keeps
//! the connections that are wanted. Both ends of a connection know who the other is after one
//! round trip.
//!
//! ```
//! use pinhole_node::{Node, PeerId, Protocol, Stream};
//!
//! const ECHO: Protocol = Protocol::from_static("echo/1");
//!
//! async fn echo(mut stream: Stream, _peer: PeerId) {
//!     while let Ok(Some(frame)) = stream.recv().await {
//!         if stream.send(&frame).await.is_err() {
//!             return;
//!         }
//!     }
//!     let _ = stream.finish().await;
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let server = Node::builder().listen(([127, 0, 0, 1], 0)).protocol(ECHO, echo).start().await?;
//! let client = Node::builder().listen(([127, 0, 0, 1], 0)).start().await?;
//! println!("dialing {}", server.addr()); // pin1…@127.0.0.1:40123
//!
//! let mut stream = client.open(server.addr(), &ECHO).await?;
//! stream.send(b"hello").await?;
//! assert_eq!(stream.recv().await?, Some(b"hello".to_vec()));
//!
//! client.close().await?; // dropping the last handle does the same
//! # Ok(()) })}
//! ```
//!
//! | to | use |
//! |---|---|
//! | serve a protocol | [`Builder::protocol`], and [`Builder::idempotent`] for requests that may come as early data |
//! | talk | [`Node::open`] for frames, [`Node::request`] for one there and one back, [`Node::request_early`] to get a reply one round trip after the dial began |
//! | send messages | [`Node::send`], [`Builder::messages`] and [`Node::messages`] |
//! | keep a peer connected | [`Builder::peer`], [`Node::want`] |
//! | see what happens | [`Node::events`], [`Node::peers`], [`Node::status`], [`Node::metrics`] |
//! | choose who may connect | [`Builder::allowlist`], [`Node::allow`], [`Node::deny`] |
//! | stop | [`Node::close`], and [`Node::closed`] to learn why it did |
//!
//! Sending waits while the peer is slow, and everything that a peer can fill has a bound in
//! [`Limits`]. A task of the node that fails stops the node, with the reason in
//! [`Node::closed`] and in the last [`Event`].
//!
//! Cores (plain state machines without clock or I/O): [`peers`], [`backoff`], [`allowlist`],
//! [`liveness`], [`network`], `refusals`. Shells: `node`, `driver`, `link`, `dial`, `protocols`,
//! `network_watch`, `admission`.

mod addrs;
#[allow(clippy::disallowed_methods)] // shell
mod admission;
pub mod allowlist;
pub mod backoff;
#[allow(clippy::disallowed_methods)] // shell
mod builder;
mod dial; // shell
#[allow(clippy::disallowed_methods)] // shell
mod driver;
mod error;
mod event;
mod handler;
mod info;
#[allow(clippy::disallowed_methods)] // shell
mod inner;
pub mod keepalive;
mod link; // shell
pub mod liveness;
pub mod network;
#[allow(clippy::disallowed_methods)] // shell
mod network_watch;
#[allow(clippy::disallowed_methods)] // shell
mod node;
pub mod peers;
mod protocols; // shell
mod refusals;
mod stream;
mod tally;
#[cfg(test)]
mod testing;

pub use builder::{Builder, Limits};
pub use error::{ConnectError, NodeFailed, OpenError, RequestError, SendError, StartError};
pub use event::{Event, Events, Path};
pub use handler::{Handler, IdempotentHandler};
pub use info::{AllowlistInfo, Connected, Metrics, PeerInfo, StateCounts, Status};
pub use liveness::{LivenessConfig, Preset};
pub use node::Node;
pub use peers::{Origin, PeerState, Reason};
pub use protocols::message::{IncomingMessage, Messages};
pub use stream::{RecvHalf, SendHalf, Stream};

pub use pinhole_proto as proto;
pub use pinhole_proto::message::{IdentifyReply, Kind, MessageId};
pub use pinhole_proto::{
    Candidate, CloseCode, NetworkKey, PeerAddr, PeerId, Protocol, SecretKey, StreamCode,
};
pub use pinhole_transport::{
    BindError, Closed, ClosedBy, DialError, IdempotentProtocol, StreamError,
};
