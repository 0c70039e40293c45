//! The times and rates that the configuration may change: they are read, and checked against each
//! other, before a node starts.

use std::collections::BTreeMap;
use std::time::Duration;

use pinhole_node::backoff::BackoffConfig;
use pinhole_node::liveness::{LivenessConfig, Preset};

/// What the configuration and the flags say of liveness and of dialing again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tuning {
    pub(crate) preset: Option<Preset>,
    /// Times by the name of their key.
    pub(crate) times: BTreeMap<&'static str, Duration>,
    /// Failures in a row until a peer is tried rarely.
    pub(crate) backoff_tries: Option<u32>,
}

impl Tuning {
    /// These, with the preset of the command line if it names one.
    pub(crate) fn overridden_by(mut self, flags: Self) -> Self {
        self.preset = flags.preset.or(self.preset);
        self
    }

    /// The preset's times, with those that are named in the configuration, or which rule they
    /// break together.
    pub(crate) fn liveness(&self) -> Result<LivenessConfig, String> {
        let preset = self.preset.unwrap_or_default().config();
        let mut config = preset;
        let keepalive = &mut config.keepalive;
        if let Some(interval) = self.times.get("liveness_interval").copied() {
            // One that does not adapt stays one that does not.
            let grows = preset.keepalive.most > preset.keepalive.first;
            keepalive.first = interval;
            keepalive.least = keepalive.least.min(interval);
            keepalive.most = if grows { keepalive.most.max(interval) } else { interval };
        }
        for (key, field) in [
            ("liveness_interval_least", &mut keepalive.least),
            ("liveness_interval_most", &mut keepalive.most),
            ("liveness_retry", &mut config.retry),
            ("liveness_idle_suspect", &mut config.idle_suspect),
            ("liveness_idle_fail", &mut config.idle_fail),
            ("liveness_waiting_probe", &mut config.waiting_probe),
            ("liveness_waiting_suspect", &mut config.waiting_suspect),
            ("liveness_waiting_fail", &mut config.waiting_fail),
            ("liveness_hold", &mut config.hold),
        ] {
            *field = self.times.get(key).copied().unwrap_or(*field);
        }
        config.watch = config.watch.min(config.waiting_probe);
        config.check().map(|()| config).map_err(|rule| rule.to_string())
    }

    /// The waits between two dials of a wanted peer, or which rule they break together.
    pub(crate) fn backoff(&self) -> Result<BackoffConfig, String> {
        let mut config = BackoffConfig::default();
        for (key, field) in [
            ("backoff_base", &mut config.base),
            ("backoff_cap", &mut config.cap),
            ("backoff_slow", &mut config.slow),
        ] {
            *field = self.times.get(key).copied().unwrap_or(*field);
        }
        config.tries = self.backoff_tries.unwrap_or(config.tries);
        let grow = config.base <= config.cap && config.cap <= config.slow;
        let rule = "the waits have to grow: backoff_base, backoff_cap, backoff_slow";
        if grow { Ok(config) } else { Err(rule.to_owned()) }
    }

    /// Which rule the times break together, if they do.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.liveness()?;
        self.backoff()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn tuning(preset: Preset, times: &[(&'static str, u32)]) -> Tuning {
        let times = times.iter().map(|(key, seconds)| (*key, SECOND * *seconds)).collect();
        Tuning { preset: Some(preset), times, backoff_tries: None }
    }

    #[test]
    fn without_a_word_everything_has_its_default() {
        let tuning = Tuning::default();
        assert_eq!(tuning.liveness(), Ok(LivenessConfig::default()));
        assert_eq!(tuning.backoff(), Ok(BackoffConfig::default()));
    }

    #[test]
    fn single_times_change_the_preset() {
        let config = tuning(Preset::Fast, &[("liveness_idle_fail", 20)]).liveness().unwrap();
        assert_eq!(config, LivenessConfig { idle_fail: SECOND * 20, ..Preset::Fast.config() });
        let backoff = tuning(Preset::Fast, &[("backoff_cap", 300)]).backoff().unwrap();
        assert_eq!(backoff, BackoffConfig { cap: SECOND * 300, ..BackoffConfig::default() });
    }

    #[test]
    fn an_interval_that_does_not_grow_stays_as_it_is_named() {
        for interval in [5, 30] {
            let keepalive =
                tuning(Preset::Normal, &[("liveness_interval", interval)]).liveness().unwrap();
            let keepalive = keepalive.keepalive;
            assert_eq!((keepalive.first, keepalive.most), (SECOND * interval, SECOND * interval));
            assert!(keepalive.least <= keepalive.first);
        }
        let battery = tuning(Preset::Battery, &[("liveness_interval", 60)]).liveness().unwrap();
        assert_eq!(battery.keepalive.most, Preset::Battery.config().keepalive.most);
    }

    #[test]
    fn contradictions_are_named() {
        let wrong = tuning(Preset::Normal, &[("liveness_idle_suspect", 30)]);
        assert!(wrong.check().unwrap_err().contains("idle_suspect has to be shorter"));
        let wrong = tuning(Preset::Normal, &[("backoff_base", 31)]);
        assert!(wrong.check().unwrap_err().contains("backoff_base, backoff_cap"));
    }
}
