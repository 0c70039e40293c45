//! Counting: shares, medians, traffic.

use std::time::Duration;

/// Numbers of which quantiles are wanted.
#[derive(Clone, Debug, Default)]
pub struct Tally(Vec<f64>);

impl Tally {
    pub fn add(&mut self, value: f64) {
        self.0.push(value);
    }

    pub fn add_time(&mut self, value: Duration) {
        self.add(value.as_secs_f64() * 1000.0);
    }

    pub fn at(&self, quantile: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let at = ((sorted.len() as f64 * quantile) as usize).min(sorted.len().saturating_sub(1));
        sorted.get(at).copied().unwrap_or(f64::NAN)
    }

    pub fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len() as f64
    }
}

/// What came of many lookups.
#[derive(Clone, Debug, Default)]
pub struct Reads {
    pub tried: usize,
    pub found: usize,
    pub hops: Tally,
    pub millis: Tally,
    pub asked: Tally,
}

impl Reads {
    pub fn share(&self) -> f64 {
        self.found as f64 / self.tried as f64 * 100.0
    }
}

impl std::fmt::Display for Reads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "found {:.2} % of {}; hops {} and {}; {:.0} and {:.0} ms; asked {:.0} and {:.0}",
            self.share(),
            self.tried,
            self.hops.at(0.5),
            self.hops.at(0.99),
            self.millis.at(0.5),
            self.millis.at(0.99),
            self.asked.at(0.5),
            self.asked.at(0.99),
        )
    }
}
