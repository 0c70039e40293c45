//! Tier dht: thousands of `pinhole-dht` cores over a seeded network in virtual time.
//!
//! `cargo test -p pinhole-tests --test dht` runs small forms of every row. The table of
//! `docs/dht-simulation.md` comes from the command that stands there.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, unreachable_pub)]

mod full;
mod network;
mod population;
mod reads;
mod small;
mod swarm;
mod tally;
