//! A small seeded generator for the cores.
//!
//! *Purpose*: spread times (jitter) and break patterns, reproducibly: the same seed gives the same
//! numbers. *Inputs*: a seed, from the operating system in a shell and from the test in a test.
//! *Outputs*: numbers. *Not handled*: secrets; nothing here is fit for keys or tokens.

use std::time::Duration;

/// SplitMix64 (Steele, Lea and Flood, 2014): 64 bits of state, passes BigCrush.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// A generator that always gives the same numbers for the same `seed`.
    #[must_use]
    pub const fn from_seed(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A duration drawn evenly from 0 to `most`, both included, in whole microseconds.
    pub fn up_to(&mut self, most: Duration) -> Duration {
        let micros = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
        let drawn = match micros.checked_add(1) {
            // The high half of the product: even, to within 2^-64 of the range, without a division.
            Some(span) => ((u128::from(self.next_u64()) * u128::from(span)) >> 64) as u64,
            None => self.next_u64(),
        };
        Duration::from_micros(drawn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let draw = |seed| {
            let mut rng = Rng::from_seed(seed);
            (0..4).map(|_| rng.next_u64()).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn durations_stay_in_range_and_fill_it() {
        let mut rng = Rng::from_seed(1);
        let most = Duration::from_millis(10);
        let drawn: Vec<_> = (0..1000).map(|_| rng.up_to(most)).collect();
        assert!(drawn.iter().all(|d| *d <= most));
        assert!(drawn.iter().any(|d| *d < most / 10));
        assert!(drawn.iter().any(|d| *d > most / 10 * 9));
        assert_eq!(rng.up_to(Duration::ZERO), Duration::ZERO);
        rng.up_to(Duration::MAX);
    }
}
