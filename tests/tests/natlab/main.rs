//! Tier natlab: real programs in network namespaces, where nft drops packets and nobody is told.
//!
//! Detection and recovery take real time, half a minute and more. The tests sleep most of it, so
//! that many at a time are as quick as one: `cargo test -p pinhole-tests --test natlab --
//! --test-threads 16 --nocapture` prints the measured times.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

mod detection;
mod network;
mod partition;
mod witness;
