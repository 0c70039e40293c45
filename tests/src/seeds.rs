//! Seeds: each test runs under many, and says which one failed.

use std::thread;

/// Runs `test` under the seeds from 0 up to `count`, or only under that of the environment
/// variable `PINHOLE_SEED`. A failure prints its seed.
pub fn for_seeds(count: u64, mut test: impl FnMut(u64)) {
    let only = std::env::var("PINHOLE_SEED").ok().map(|seed| seed.parse::<u64>().unwrap());
    for seed in only.map_or(0..count, |seed| seed..seed + 1) {
        let _named = Named(seed);
        test(seed);
    }
}

struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("failed under seed {0}; once more with PINHOLE_SEED={0}", self.0);
        }
    }
}
