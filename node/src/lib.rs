//! pinhole.
pub mod allowlist;
pub mod backoff;
pub mod peers;
pub mod rng;
#[cfg(test)]
mod testing;
