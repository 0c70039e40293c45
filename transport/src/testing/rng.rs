//! A small seeded generator: the same seed gives the same test.

use std::ops::{Deref, DerefMut};

use pinhole_proto::{SecretKey, rng};

/// The generator of the cores, and what else tests draw.
#[derive(Clone, Debug)]
pub struct Rng(rng::Rng);

impl Rng {
    /// A generator that always gives the same numbers for the same `seed`.
    pub const fn from_seed(seed: u64) -> Self {
        Self(rng::Rng::from_seed(seed))
    }

    /// True with a chance of `percent` in 100.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next_u64().to_le_bytes()[..chunk.len()]);
        }
    }

    /// Some bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }

    /// As many bytes as are asked for.
    pub fn vec(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.fill(&mut bytes);
        bytes
    }

    /// An identity.
    pub fn key(&mut self) -> SecretKey {
        SecretKey::generate(|seed| self.fill(seed))
    }
}

impl Deref for Rng {
    type Target = rng::Rng;

    fn deref(&self) -> &rng::Rng {
        &self.0
    }
}

impl DerefMut for Rng {
    fn deref_mut(&mut self) -> &mut rng::Rng {
        &mut self.0
    }
}
