//! How long connections may stay quiet: as long as the NATs on the way remember them.
//!
//! *Purpose*: find the longest interval between heartbeats at which the peers still see us at the
//! same address. *Inputs*: heartbeats that were answered after a quiet time, notes of acceptors
//! that our address changed after one (SPEC §10.5), changes of our own network. *Outputs*: the
//! interval. *Not handled*: sending; who is alive.
//!
//! There is one for a node, not one for a connection: what forgets first is nearly always the NAT
//! nearest to us, and all connections share that one.

use std::time::{Duration, Instant};

/// The interval's bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepaliveConfig {
    /// Where it begins.
    pub first: Duration,
    /// The shortest, whatever a NAT does.
    pub least: Duration,
    /// The longest; as long as `first` where it is not to grow.
    pub most: Duration,
}

impl KeepaliveConfig {
    /// An interval that does not adapt.
    #[must_use]
    pub const fn fixed(interval: Duration) -> Self {
        Self { first: interval, least: interval, most: interval }
    }
}

/// Answered heartbeats at an interval until a longer one is tried. SPEC §10.5.
pub const CLIMB_AFTER: u32 = 3;
/// After a note that the interval was too long, until it grows again. SPEC §10.5.
pub const NO_CLIMB: Duration = Duration::from_secs(3600);
/// After a change of our own network, how long notes mean that change. SPEC §10.5.
pub const OWN_CHANGE: Duration = Duration::from_secs(60);
/// A shorter silence than this says nothing about a NAT. SPEC §10.5.
pub const QUIET_TIME: Duration = Duration::from_secs(5);

/// The interval in use. See the module's notes.
#[derive(Clone, Debug)]
pub struct Keepalive {
    config: KeepaliveConfig,
    interval: Duration,
    went_well: u32,
    no_climb_until: Option<Instant>,
    own_change: Option<Instant>,
}

impl Keepalive {
    /// Begins at [`KeepaliveConfig::first`].
    #[must_use]
    pub fn new(config: KeepaliveConfig) -> Self {
        Self {
            config,
            interval: config.first,
            went_well: 0,
            no_climb_until: None,
            own_change: None,
        }
    }

    /// A heartbeat of ours, on a connection that we dialed, was answered after `quiet`.
    pub fn handle_answered(&mut self, now: Instant, quiet: Duration) {
        if self.no_climb_until.is_some_and(|until| now < until) || !self.is_at(quiet) {
            return;
        }
        self.went_well += 1;
        if self.went_well >= CLIMB_AFTER {
            self.went_well = 0;
            self.interval = (self.interval * 3 / 2).min(self.config.most);
        }
    }

    /// An acceptor said that our address changed after `quiet`.
    pub fn handle_rebound(&mut self, now: Instant, quiet: Duration) {
        let ours = self.own_change.is_some_and(|at| now.duration_since(at) < OWN_CHANGE);
        if ours || quiet < QUIET_TIME {
            return;
        }
        self.went_well = 0;
        self.no_climb_until = Some(now + NO_CLIMB);
        self.interval = self.interval.min((quiet / 4 * 3).max(self.config.least));
    }

    /// We are in another network, behind another NAT or none.
    pub fn handle_network_change(&mut self, now: Instant) {
        *self = Self { own_change: Some(now), ..Self::new(self.config) };
    }

    /// The longest silence to leave.
    #[must_use]
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Whether a silence of `quiet` tests the interval in use; heartbeats of several connections
    /// are sent together, some a little early.
    fn is_at(&self, quiet: Duration) -> bool {
        quiet >= self.interval / 4 * 3
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)] // one Instant::now() as the beginning of virtual time
    use super::*;

    const BATTERY: KeepaliveConfig = KeepaliveConfig {
        first: Duration::from_secs(25),
        least: Duration::from_secs(15),
        most: Duration::from_secs(110),
    };

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn it_climbs_to_the_most_and_no_further() {
        let (now, mut keepalive) = (Instant::now(), Keepalive::new(BATTERY));
        let mut seen = Vec::new();
        for _ in 0..18 {
            seen.push(keepalive.interval().as_millis());
            keepalive.handle_answered(now, keepalive.interval());
        }
        seen.dedup();
        assert_eq!(seen, [25_000, 37_500, 56_250, 84_375, 110_000]);
        assert_eq!(keepalive.interval(), secs(110));
    }

    #[test]
    fn an_answer_after_a_shorter_silence_proves_nothing() {
        let (now, mut keepalive) = (Instant::now(), Keepalive::new(BATTERY));
        for _ in 0..100 {
            keepalive.handle_answered(now, secs(10));
        }
        assert_eq!(keepalive.interval(), secs(25));
    }

    #[test]
    fn a_rebound_takes_it_to_three_quarters_for_an_hour() {
        let (now, mut keepalive) = (Instant::now(), Keepalive::new(BATTERY));
        for _ in 0..12 {
            keepalive.handle_answered(now, secs(110));
        }
        keepalive.handle_rebound(now, secs(84));
        assert_eq!(keepalive.interval(), secs(63));
        keepalive.handle_rebound(now, secs(100));
        assert_eq!(keepalive.interval(), secs(63), "another connection was quiet for longer");
        for _ in 0..12 {
            keepalive.handle_answered(now + secs(3599), secs(63));
        }
        assert_eq!(keepalive.interval(), secs(63));
        for _ in 0..3 {
            keepalive.handle_answered(now + secs(3600), secs(63));
        }
        assert!(keepalive.interval() > secs(90));
    }

    #[test]
    fn the_least_is_kept_whatever_peers_say() {
        let (now, mut keepalive) = (Instant::now(), Keepalive::new(BATTERY));
        keepalive.handle_rebound(now, secs(4));
        assert_eq!(keepalive.interval(), secs(25), "no quiet time");
        for _ in 0..10 {
            keepalive.handle_rebound(now, secs(5));
        }
        assert_eq!(keepalive.interval(), secs(15));
    }

    #[test]
    fn our_own_move_is_not_the_nats_fault_and_begins_anew() {
        let (now, mut keepalive) = (Instant::now(), Keepalive::new(BATTERY));
        keepalive.handle_rebound(now, secs(20));
        assert_eq!(keepalive.interval(), secs(15));
        keepalive.handle_network_change(now);
        assert_eq!(keepalive.interval(), secs(25));
        keepalive.handle_rebound(now + secs(59), secs(20));
        assert_eq!(keepalive.interval(), secs(25));
        keepalive.handle_rebound(now + secs(60), secs(20));
        assert_eq!(keepalive.interval(), secs(15));
    }
}
