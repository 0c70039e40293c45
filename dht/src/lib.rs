//! Kademlia over authenticated connections: routing table, lookup and record store.
//!
//! This crate holds cores only: it knows `PeerId`s and messages, never connections, sockets or
//! clocks, and it reaches neither tokio nor quinn (a test asserts that). The text is SPEC §11 and
//! §12; what was measured is in `docs/dht-simulation.md`.
//!
//! - [`Dht`]: the whole; it says whom to ask what, and is told what came of it.
//! - [`table`], [`bucket`]: the nodes that we reached.
//! - [`lookup`]: the way to the nodes around a place.
//! - [`store`]: the records that we keep for others.
//! - [`size`], [`subnet`], [`timing`]: what these three share.

pub mod bucket;
pub mod config;
pub mod dht;
pub mod lookup;
pub mod size;
pub mod store;
pub mod subnet;
pub mod table;
pub mod timing;

#[cfg(test)]
mod testing;

pub use config::Config;
pub use dht::{
    Dht, DhtError, Event, FailureKind, OperationId, Outcome, Proof, RequestId, Role, Rpc, Transmit,
};
pub use pinhole_proto::rng::Rng;
