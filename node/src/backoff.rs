//! How long to wait before a peer is dialed again.
//!
//! *Purpose*: exponential backoff with full jitter, so that a peer that is away costs little and
//! many peers that lost the same node do not come back in step. SPEC §10.8. *Inputs*: failures,
//! successes, a seeded generator. *Outputs*: the wait before the next try. *Not handled*: clocks
//! and dials; whoever owns a `Backoff` adds the wait to its own now.

use std::time::Duration;

use pinhole_proto::rng::Rng;

/// The longest wait after the first failure, by default. SPEC §10.8.
pub const BASE: Duration = Duration::from_secs(1);
/// The longest wait between tries, by default. SPEC §10.8.
pub const CAP: Duration = Duration::from_secs(15);
/// Failures in a row until a peer is tried more rarely, by default. SPEC §10.8.
pub const TRIES: u32 = 30;
/// The longest wait from then on, by default. SPEC §10.8.
pub const SLOW: Duration = Duration::from_secs(600);

/// The shape of the waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackoffConfig {
    /// The longest wait after the first failure.
    pub base: Duration,
    /// The longest wait after any number of failures up to `tries`.
    pub cap: Duration,
    /// Failures in a row after which the waits are slow.
    pub tries: u32,
    /// The longest wait from then on.
    pub slow: Duration,
}

impl Default for BackoffConfig {
    fn default() -> Self {
        Self { base: BASE, cap: CAP, tries: TRIES, slow: SLOW }
    }
}

/// The failures of one peer since it last succeeded.
#[derive(Clone, Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// One more failure: the wait before the next try, drawn evenly from zero to
    /// `min(cap, base × 2^failures before this one)`. After `tries` failures it is drawn from zero
    /// to `slow` instead, unless `hurry`: for who hears nobody at all, the fault is its own
    /// network's, and that may be back at any moment.
    pub fn handle_failure(
        &mut self,
        config: &BackoffConfig,
        hurry: bool,
        rng: &mut Rng,
    ) -> Duration {
        let slow = self.failures >= config.tries && !hurry;
        let most = if slow { config.slow } else { self.ceiling(config) };
        self.failures = self.failures.saturating_add(1);
        rng.up_to(most)
    }

    /// A try worked, or the world changed: the next failure is the first one again.
    pub fn handle_success(&mut self) {
        self.failures = 0;
    }

    /// Failures in a row.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// The longest wait that the next failure can give, but for slow ones.
    fn ceiling(&self, config: &BackoffConfig) -> Duration {
        2u32.checked_pow(self.failures)
            .and_then(|factor| config.base.checked_mul(factor))
            .map_or(config.cap, |wait| wait.min(config.cap))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: BackoffConfig = BackoffConfig {
        base: Duration::from_secs(1),
        cap: Duration::from_secs(60),
        tries: 30,
        slow: Duration::from_secs(600),
    };

    #[test]
    fn ceilings_double_up_to_the_cap() {
        let mut backoff = Backoff::default();
        let mut rng = Rng::from_seed(3);
        let mut ceilings = Vec::new();
        for _ in 0..8 {
            let most = backoff.ceiling(&CONFIG);
            ceilings.push(most.as_secs());
            assert!(backoff.handle_failure(&CONFIG, false, &mut rng) <= most);
        }
        assert_eq!(ceilings, [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn jitter_is_full_and_even() {
        let mut rng = Rng::from_seed(5);
        let mut tenths = [0; 10];
        for _ in 0..10_000 {
            let wait = Backoff { failures: 3 }.handle_failure(&CONFIG, false, &mut rng);
            assert!(wait <= Duration::from_secs(8));
            tenths[(wait.as_micros() * 10 / 8_000_001) as usize] += 1;
        }
        assert!(tenths.iter().all(|count| (900..1100).contains(count)), "{tenths:?}");
    }

    #[test]
    fn after_the_tries_it_is_slow_unless_nobody_is_there() {
        let mut rng = Rng::from_seed(5);
        let mut waits = |failures, hurry| {
            let mut draw = || Backoff { failures }.handle_failure(&CONFIG, hurry, &mut rng);
            (0..1000).map(|_| draw()).max().unwrap()
        };
        assert!(waits(29, false) <= CONFIG.cap);
        assert!(waits(30, false) > CONFIG.slow * 9 / 10);
        assert!(waits(u32::MAX, false) <= CONFIG.slow);
        assert!(waits(u32::MAX, true) <= CONFIG.cap);
    }

    #[test]
    fn no_number_of_failures_overflows() {
        let mut rng = Rng::from_seed(5);
        let huge = BackoffConfig { base: Duration::MAX, cap: Duration::MAX, ..CONFIG };
        let mut backoff = Backoff { failures: u32::MAX };
        backoff.handle_failure(&CONFIG, false, &mut rng);
        backoff.handle_failure(&huge, true, &mut rng);
        assert_eq!(backoff.failures(), u32::MAX);
        assert_eq!(backoff.ceiling(&CONFIG), CONFIG.cap);
    }

    #[test]
    fn success_starts_over() {
        let mut rng = Rng::from_seed(5);
        let mut backoff = Backoff { failures: 40 };
        backoff.handle_success();
        assert!(backoff.handle_failure(&CONFIG, false, &mut rng) <= CONFIG.base);
        assert_eq!(backoff.failures(), 1);
    }
}
