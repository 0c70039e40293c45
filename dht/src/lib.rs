//! Kademlia over authenticated connections: routing table, lookup and record store.
//!
//! This crate holds cores only: it knows `PeerId`s and messages, never connections, sockets or
//! clocks, and it reaches neither tokio nor quinn (a test asserts that). The distributed hash
//! table itself is not written yet; until it is, peers are found by address.
