//! Helpers for the test tiers of pinhole. The tests themselves are in `tests/tests`, one program
//! for each tier: `sim` (cores and quinn in virtual time), `loopback` (real sockets and programs),
//! `chaos` (real programs that are killed).
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

pub mod endpoints;
pub mod flood;
pub mod forwarder;
pub mod lab;
pub mod library;
pub mod machine;
pub mod mesh;
pub mod node;
pub mod probes;
pub mod seeds;
pub mod world;

pub use pinhole_transport::testing::Rng;
