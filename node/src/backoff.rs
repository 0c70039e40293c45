//! How long to wait before a peer is dialed again.
//!
//! *Purpose*: exponential backoff with full jitter, so that a peer that is away costs little and
//! many peers that lost the same node do not come back in step. *Inputs*: failures, successes, a
//! seeded generator. *Outputs*: the wait before the next try. *Not handled*: clocks and dials;
//! whoever owns a `Backoff` adds the wait to its own now.

use std::time::Duration;

use crate::rng::Rng;

/// The shape of the waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackoffConfig {
    /// The longest wait after the first failure.
    pub base: Duration,
    /// The longest wait after any number of failures.
    pub cap: Duration,
}

impl Default for BackoffConfig {
    fn default() -> Self {
        Self { base: Duration::from_secs(1), cap: Duration::from_secs(120) }
    }
}

/// The failures of one peer since it last succeeded.
#[derive(Clone, Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// One more failure: the wait before the next try, drawn evenly from zero to
    /// `min(cap, base × 2^failures before this one)`.
    pub fn handle_failure(&mut self, config: &BackoffConfig, rng: &mut Rng) -> Duration {
        let most = self.ceiling(config);
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

    /// The longest wait that the next failure can give.
    fn ceiling(&self, config: &BackoffConfig) -> Duration {
        2u32.checked_pow(self.failures)
            .and_then(|factor| config.base.checked_mul(factor))
            .map_or(config.cap, |wait| wait.min(config.cap))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: BackoffConfig =
        BackoffConfig { base: Duration::from_secs(1), cap: Duration::from_secs(60) };

    #[test]
    fn ceilings_double_up_to_the_cap() {
        let mut backoff = Backoff::default();
        let mut rng = Rng::from_seed(3);
        let mut ceilings = Vec::new();
        for _ in 0..8 {
            let most = backoff.ceiling(&CONFIG);
            ceilings.push(most.as_secs());
            assert!(backoff.handle_failure(&CONFIG, &mut rng) <= most);
        }
        assert_eq!(ceilings, [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn jitter_is_full() {
        let mut rng = Rng::from_seed(5);
        let waits: Vec<_> =
            (0..500).map(|_| Backoff { failures: 3 }.handle_failure(&CONFIG, &mut rng)).collect();
        assert!(waits.iter().any(|w| *w < Duration::from_secs(1)));
        assert!(waits.iter().any(|w| *w > Duration::from_secs(7)));
    }

    #[test]
    fn no_number_of_failures_overflows() {
        let mut rng = Rng::from_seed(5);
        let huge = BackoffConfig { base: Duration::MAX, cap: Duration::MAX };
        let mut backoff = Backoff { failures: u32::MAX };
        backoff.handle_failure(&CONFIG, &mut rng);
        backoff.handle_failure(&huge, &mut rng);
        assert_eq!(backoff.failures(), u32::MAX);
        assert_eq!(backoff.ceiling(&CONFIG), CONFIG.cap);
    }

    #[test]
    fn success_starts_over() {
        let mut rng = Rng::from_seed(5);
        let mut backoff = Backoff { failures: 9 };
        backoff.handle_success();
        assert!(backoff.handle_failure(&CONFIG, &mut rng) <= CONFIG.base);
        assert_eq!(backoff.failures(), 1);
    }
}
