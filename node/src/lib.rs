//! pinhole: dial a public key, get an authenticated QUIC connection to whoever holds it.
mod addrs;
pub mod allowlist;
pub mod backoff;
#[allow(clippy::disallowed_methods)] // shell
mod builder;
mod dial;
#[allow(clippy::disallowed_methods)] // shell
mod driver;
mod error;
mod event;
mod handler;
mod info;
#[allow(clippy::disallowed_methods)] // shell
mod inner;
#[allow(clippy::disallowed_methods)] // shell
mod link;
#[allow(clippy::disallowed_methods)] // shell
mod node;
pub mod peers;
mod protocols;
pub mod rng;
mod stream;
#[cfg(test)]
mod testing;

pub use builder::{Builder, Limits};
pub use error::{ConnectError, NodeFailed, OpenError, RequestError, SendError, StartError};
pub use event::{Event, Events, Path};
pub use handler::{Handler, IdempotentHandler};
pub use info::{AllowlistInfo, Connected, Metrics, PeerInfo, Status};
pub use node::Node;
pub use peers::{Origin, PeerState, Reason};
pub use protocols::message::{IncomingMessage, Messages};
pub use stream::{RecvHalf, SendHalf, Stream};

pub use pinhole_proto as proto;
pub use pinhole_proto::message::{IdentifyReply, Kind, MessageId};
pub use pinhole_proto::{Candidate, NetworkKey, PeerAddr, PeerId, Protocol, SecretKey, StreamCode};
pub use pinhole_transport::{BindError, DialError, IdempotentProtocol, StreamError};
