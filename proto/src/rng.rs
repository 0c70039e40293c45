//! A small seeded generator for the cores.
//!
//! *Purpose*: spread times (jitter), break patterns and choose among equals, reproducibly: the same
//! seed gives the same numbers. *Inputs*: a seed, from the operating system in a shell and from the test in a test.
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

    /// A number below `end`; 0 if `end` is 0.
    pub fn below(&mut self, end: usize) -> usize {
        self.scaled(end as u64) as usize
    }

    /// A duration drawn evenly from 0 to `most`, both included, in whole microseconds.
    pub fn up_to(&mut self, most: Duration) -> Duration {
        let micros = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
        let drawn = match micros.checked_add(1) {
            Some(span) => self.scaled(span),
            None => self.next_u64(),
        };
        Duration::from_micros(drawn)
    }

    /// A time between three and five quarters of `about`, so that what is periodic spreads.
    pub fn around(&mut self, about: Duration) -> Duration {
        about.mul_f64(0.75 + 0.5 * (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64)
    }

    /// Puts the elements in a random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, elements: &mut [T]) {
        for last in (1..elements.len()).rev() {
            elements.swap(last, self.below(last + 1));
        }
    }

    /// The high half of the product: even, to within 2^-64 of the range, without a division.
    fn scaled(&mut self, span: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(span)) >> 64) as u64
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
        for _ in 0..1000 {
            assert!(rng.below(3) < 3);
            let around = rng.around(Duration::from_secs(100)).as_secs_f64();
            assert!((75.0..=125.0).contains(&around));
        }
        assert_eq!(rng.below(0), 0);
    }

    #[test]
    fn a_shuffle_keeps_every_element() {
        let mut all: Vec<_> = (0..50).collect();
        Rng::from_seed(1).shuffle(&mut all);
        assert_ne!(all, (0..50).collect::<Vec<_>>());
        all.sort_unstable();
        assert_eq!(all, (0..50).collect::<Vec<_>>());
    }
}
