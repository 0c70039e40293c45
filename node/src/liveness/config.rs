//! How soon a silent peer is noticed, and what that costs.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;

use crate::keepalive::KeepaliveConfig;

/// Silence on a connection until its dialer sends a heartbeat, by default. SPEC §10.3.
pub const QUIET: Duration = Duration::from_secs(18);
/// Between two heartbeats that ask the same silent peer, by default. SPEC §10.3.
pub const RETRY: Duration = Duration::from_millis(400);
/// After the dialer's heartbeat was due, until the acceptor sends one. SPEC §10.3.
pub const OVERDUE: Duration = Duration::from_secs(2);
/// The longest announced interval that counts. SPEC §10.4.
pub const MAX_ANNOUNCED: Duration = Duration::from_secs(120);
/// After the first heartbeat until an idle peer is suspect, by default. SPEC §10.6.
pub const IDLE_SUSPECT: Duration = Duration::from_secs(3);
/// After the first heartbeat was due until an idle peer has failed, by default. SPEC §10.6.
pub const IDLE_FAIL: Duration = Duration::from_secs(10);
/// How long something waits until a heartbeat is sent, by default. SPEC §10.6.
pub const WAITING_PROBE: Duration = Duration::from_secs(1);
/// How long something waits until the peer is suspect, by default. SPEC §10.6.
pub const WAITING_SUSPECT: Duration = Duration::from_secs(2);
/// How long something waits until the peer has failed, by default. SPEC §10.6.
pub const WAITING_FAIL: Duration = Duration::from_millis(4400);
/// How long the connection of a failed peer is held. SPEC §10.6.
pub const HOLD: Duration = Duration::from_secs(60);
/// Between two heartbeats to a failed peer. SPEC §10.6.
pub const HOLD_RETRY: Duration = Duration::from_secs(2);

/// Times of [`Liveness`](super::Liveness).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LivenessConfig {
    /// Silence until the first heartbeat, and the bounds within which it adapts.
    pub keepalive: KeepaliveConfig,
    /// Between two heartbeats to a silent idle peer; half of it where something waits, and a
    /// quarter once that peer is suspect.
    pub retry: Duration,
    /// How much longer than announced the acceptor waits before it sends heartbeats itself.
    pub overdue: Duration,
    /// After the first heartbeat until an idle peer is suspect, at least two round trips.
    pub idle_suspect: Duration,
    /// After the dialer's heartbeat was due until an idle peer has failed, at least three round
    /// trips.
    pub idle_fail: Duration,
    /// How long something waits for progress until a heartbeat is sent.
    pub waiting_probe: Duration,
    /// How long something waits for progress until the peer is suspect, at least two round trips.
    pub waiting_suspect: Duration,
    /// How long something waits for progress until the peer has failed, at least three round
    /// trips.
    pub waiting_fail: Duration,
    /// How often connections with open streams are looked at; at most `waiting_probe`.
    pub watch: Duration,
    /// How long the connection of a failed peer is held.
    pub hold: Duration,
    /// Between two heartbeats to a failed peer.
    pub hold_retry: Duration,
    /// A timer that is late by more than this says that we ourselves were not running.
    pub pause: Duration,
}

impl Default for LivenessConfig {
    fn default() -> Self {
        Preset::Normal.config()
    }
}

impl LivenessConfig {
    /// Whether the times make sense together.
    ///
    /// # Errors
    /// [`LivenessConfigError`] names the first rule that is broken.
    pub fn check(&self) -> Result<(), LivenessConfigError> {
        let KeepaliveConfig { first, least, most } = self.keepalive;
        let second = Duration::from_secs(1);
        let rules = [
            (least >= second, "the shortest interval has to be 1 s or more"),
            (least <= first && first <= most, "the intervals have to grow: least, first, most"),
            (most <= MAX_ANNOUNCED, "the longest interval has to be 120 s or less"),
            (self.retry >= Duration::from_millis(100), "retry has to be 0.1 s or more"),
            (self.retry < self.idle_suspect, "retry has to be shorter than idle_suspect"),
            (self.idle_suspect < self.idle_fail, "idle_suspect has to be shorter than idle_fail"),
            (self.idle_fail > self.overdue, "idle_fail has to be longer than overdue"),
            (!self.watch.is_zero(), "watch has to be longer than nothing"),
            (self.watch <= self.waiting_probe, "watch has to be waiting_probe or shorter"),
            (
                self.waiting_probe < self.waiting_suspect,
                "waiting_probe has to be shorter than waiting_suspect",
            ),
            (
                self.waiting_suspect < self.waiting_fail,
                "waiting_suspect has to be shorter than waiting_fail",
            ),
            (self.hold_retry >= second, "hold_retry has to be 1 s or more"),
            (!self.pause.is_zero(), "pause has to be longer than nothing"),
        ];
        let broken = rules.into_iter().find(|(kept, _)| !kept);
        broken.map_or(Ok(()), |(_, rule)| Err(LivenessConfigError(rule)))
    }
}

/// A configuration whose times contradict each other: which rule is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct LivenessConfigError(pub &'static str);

/// Named configurations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Preset {
    /// Notices within seconds, at three to four times the cost; meant for links that lose little.
    Fast,
    /// Notices within 5 s what something waits for and within 30 s what is idle.
    #[default]
    Normal,
    /// Seldom wakes a radio: the interval grows as far as the NATs on the way let it.
    Battery,
}

impl Preset {
    /// Every preset.
    pub const ALL: [Self; 3] = [Self::Fast, Self::Normal, Self::Battery];

    /// The word of the configuration and the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Normal => "normal",
            Self::Battery => "battery",
        }
    }

    /// Its times.
    #[must_use]
    pub const fn config(self) -> LivenessConfig {
        let normal = LivenessConfig {
            keepalive: KeepaliveConfig {
                first: QUIET,
                least: Duration::from_secs(10),
                most: QUIET,
            },
            retry: RETRY,
            overdue: OVERDUE,
            idle_suspect: IDLE_SUSPECT,
            idle_fail: IDLE_FAIL,
            waiting_probe: WAITING_PROBE,
            waiting_suspect: WAITING_SUSPECT,
            waiting_fail: WAITING_FAIL,
            watch: Duration::from_secs(1),
            hold: HOLD,
            hold_retry: HOLD_RETRY,
            pause: Duration::from_secs(1),
        };
        match self {
            Self::Normal => normal,
            Self::Fast => LivenessConfig {
                keepalive: KeepaliveConfig::fixed(Duration::from_secs(4)),
                retry: Duration::from_millis(250),
                idle_suspect: Duration::from_secs(2),
                idle_fail: Duration::from_secs(6),
                waiting_probe: Duration::from_millis(500),
                waiting_suspect: Duration::from_millis(1200),
                waiting_fail: Duration::from_millis(2500),
                watch: Duration::from_millis(500),
                ..normal
            },
            Self::Battery => LivenessConfig {
                keepalive: KeepaliveConfig {
                    first: Duration::from_secs(25),
                    least: Duration::from_secs(15),
                    most: Duration::from_secs(110),
                },
                waiting_probe: Duration::from_secs(2),
                waiting_suspect: Duration::from_secs(3),
                waiting_fail: Duration::from_secs(6),
                watch: Duration::from_secs(2),
                ..normal
            },
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Preset {
    type Err = UnknownPreset;

    fn from_str(word: &str) -> Result<Self, UnknownPreset> {
        Self::ALL.into_iter().find(|preset| preset.name() == word).ok_or(UnknownPreset)
    }
}

/// A word that is no [`Preset`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("liveness is one of fast, normal and battery")]
pub struct UnknownPreset;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_keep_their_own_rules_and_have_their_words() {
        for preset in Preset::ALL {
            assert_eq!(preset.config().check(), Ok(()), "{preset}");
            assert_eq!(preset.name().parse(), Ok(preset));
        }
        assert_eq!("turbo".parse::<Preset>(), Err(UnknownPreset));
    }

    #[test]
    fn contradictions_are_named() {
        let normal = LivenessConfig::default();
        let wrong = LivenessConfig { idle_fail: normal.idle_suspect, ..normal };
        let rule = wrong.check().unwrap_err().to_string();
        assert_eq!(rule, "idle_suspect has to be shorter than idle_fail");
        let keepalive = KeepaliveConfig::fixed(Duration::from_secs(121));
        let rule = LivenessConfig { keepalive, ..normal }.check().unwrap_err();
        assert_eq!(rule.0, "the longest interval has to be 120 s or less");
    }
}
