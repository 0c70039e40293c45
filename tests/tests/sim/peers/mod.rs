//! Whole networks of tables of peers (`pinhole_node::peers`), hundreds of nodes in virtual time,
//! all with the preset `normal`.

mod liveness;
mod reconnect;
mod transport;
mod world;

use std::time::Duration;

/// How many seeds a test runs under: `few`, or the number in the environment variable
/// `PINHOLE_SEEDS`.
fn seeds(few: u64) -> u64 {
    std::env::var("PINHOLE_SEEDS").map_or(few, |count| count.parse().unwrap())
}

/// What is left of a sorted list below `share` of 1000.
fn quantile(sorted: &[Duration], share: usize) -> Duration {
    sorted[(sorted.len() * share / 1000).min(sorted.len() - 1)]
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}
