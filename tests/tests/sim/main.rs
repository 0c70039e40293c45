//! Tier sim: the handshake, the gate and QUIC between two or more nodes, in virtual time.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

mod bad_links;
mod contact;
mod crowd;
mod migration;
mod peers;
mod quiet;
mod racing;
mod replay;
mod tamper;
mod vitals;
