//! [`Timing`]: how long an answer usually takes.
//!
//! *Purpose*: tell a late answer from one on its way, without a fixed number. *Inputs*: the times
//! of answers. *Outputs*: a time after which a lookup asks somebody else meanwhile. *Not handled*:
//! giving a request up, which takes its own, longer time.

use std::time::Duration;

/// Before anything was measured.
const INITIAL: Duration = Duration::from_millis(600);
/// No sooner than this is an answer late.
const LEAST: Duration = Duration::from_millis(50);
/// And no later.
const MOST: Duration = Duration::from_secs(2);

/// A smoothed time and its deviation, over all peers, as in RFC 6298 §2.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timing {
    smoothed: Option<Duration>,
    deviation: Duration,
}

impl Timing {
    /// An answer took this long.
    pub fn handle_sample(&mut self, took: Duration) {
        let took = took.min(MOST * 2);
        let Some(smoothed) = self.smoothed else {
            self.smoothed = Some(took);
            self.deviation = took / 2;
            return;
        };
        self.deviation = (self.deviation * 15 + smoothed.abs_diff(took)) / 16;
        self.smoothed = Some((smoothed * 15 + took) / 16);
    }

    /// After this time an answer is late.
    #[must_use]
    pub fn late(&self) -> Duration {
        let usual = self.smoothed.map_or(INITIAL, |smoothed| smoothed + self.deviation * 3);
        usual.clamp(LEAST, MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_what_is_measured_within_bounds() {
        let mut timing = Timing::default();
        assert_eq!(timing.late(), INITIAL);
        (0..200).for_each(|_| timing.handle_sample(Duration::from_millis(100)));
        assert!(timing.late() < Duration::from_millis(130), "{:?}", timing.late());
        (0..200).for_each(|_| timing.handle_sample(Duration::MAX));
        assert_eq!(timing.late(), MOST);
        (0..500).for_each(|_| timing.handle_sample(Duration::ZERO));
        assert_eq!(timing.late(), LEAST);
    }
}
