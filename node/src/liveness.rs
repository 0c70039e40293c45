//! Whether the other end of one connection is alive.
//!
//! *Purpose*: tell a quiet peer from a dead one, soon where something waits for it and cheaply
//! where nothing does. SPEC §10.
//!
//! *Inputs*: when a packet of the peer last came and since when something of ours waits
//! ([`Vitals`]), the interval that the dialer announced, the word of a witness, a pause of our own,
//! and the time.
//!
//! *Outputs*: heartbeats to send, and [`LivenessEvent`]s.
//!
//! *Not handled*: packets, who the witnesses are, what becomes of a connection that failed.
//!
//! Health falls one step at a time, at the end of a deadline, and only
//! [`handle_timeout`](Liveness::handle_timeout) lowers it; it recovers at once with the first
//! sign of life. Every deadline counts from the newest of: the last sign of life, the end of a
//! pause of ours, and (where something waits) the begin of waiting.

mod config;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

pub use self::config::{
    HOLD, HOLD_RETRY, IDLE_FAIL, IDLE_SUSPECT, LivenessConfig, LivenessConfigError, MAX_ANNOUNCED,
    OVERDUE, Preset, QUIET, RETRY, UnknownPreset, WAITING_FAIL, WAITING_PROBE, WAITING_SUSPECT,
};

/// What the transport knows about a connection at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vitals {
    /// When an authenticated packet of the peer last came.
    pub heard: Instant,
    /// Since when something of ours that has to be acknowledged is in flight without progress.
    pub waiting: Option<Instant>,
    /// Whether streams are open.
    pub active: bool,
    /// The round trip.
    pub rtt: Duration,
}

/// How a connection's other end is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// Nothing speaks against it.
    #[default]
    Alive,
    /// Heartbeats went unanswered for a while.
    Suspect,
    /// Heartbeats went unanswered for so long that it counts as gone.
    Failed,
}

/// What the owner of a [`Liveness`] has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LivenessEvent {
    /// Something came after a heartbeat of ours.
    Answered {
        /// The round trip.
        rtt: Duration,
        /// How long the connection had been quiet when that heartbeat was sent.
        quiet: Duration,
    },
    /// It is suspect now.
    Suspect,
    /// It has failed.
    Failed,
    /// It was suspect or failed, and something came.
    Recovered,
    /// It has failed and was held for long enough.
    Over,
}

/// One connection's liveness. See the module's notes.
#[derive(Debug)]
pub struct Liveness {
    dialed: bool,
    health: Health,
    heard: Instant,
    /// The last silence that ended, and when.
    last_gap: Option<(Duration, Instant)>,
    rtt: Duration,
    told: Option<Vitals>,
    waiting: Option<Instant>,
    active_since: Option<Instant>,
    /// Since when something waits, in this silence.
    pending: Option<Instant>,
    /// Silence before this does not count.
    paused: Option<Instant>,
    /// Silence to leave, as the other end knows it.
    quiet: Duration,
    /// What the next heartbeat of the dialer announces.
    next_quiet: Duration,
    /// When `quiet` last changed; no timer is due before.
    armed: Instant,
    /// The first and the last heartbeat in this silence.
    probes: Option<(Instant, Instant)>,
    witnessed: bool,
    held_since: Option<Instant>,
    looked: Instant,
    heartbeat: bool,
    events: VecDeque<LivenessEvent>,
}

/// When things are due in one silence.
struct Deadlines {
    probe: Instant,
    suspect: Instant,
    failed: Instant,
    every: Duration,
}

impl Deadlines {
    fn or_earlier(self, other: Self, now: Instant) -> Self {
        let every = if now >= other.probe { self.every.min(other.every) } else { self.every };
        Self {
            probe: self.probe.min(other.probe),
            suspect: self.suspect.min(other.suspect),
            failed: self.failed.min(other.failed),
            every,
        }
    }
}

impl Liveness {
    /// Of a connection that came up now; `interval` is the silence that we leave at present.
    #[must_use]
    pub fn new(now: Instant, dialed: bool, interval: Duration) -> Self {
        Self {
            dialed,
            health: Health::Alive,
            heard: now,
            last_gap: None,
            rtt: Duration::ZERO,
            told: None,
            waiting: None,
            active_since: None,
            pending: None,
            paused: None,
            quiet: interval,
            next_quiet: interval,
            armed: now,
            probes: None,
            witnessed: false,
            held_since: None,
            looked: now,
            heartbeat: dialed,
            events: VecDeque::new(),
        }
    }

    /// What the transport knows now; false if that is nothing new.
    pub fn handle_vitals(&mut self, now: Instant, vitals: Vitals) -> bool {
        if self.told.replace(vitals) == Some(vitals) {
            return false;
        }
        self.rtt = self.believed(vitals.rtt);
        self.waiting = vitals.waiting;
        self.active_since = vitals.active.then(|| self.active_since.unwrap_or(now));
        let heard = vitals.heard.min(now);
        if heard > self.heard {
            self.handle_heard(heard);
        }
        self.note_pending();
        true
    }

    /// An acknowledgement that comes when a peer was frozen makes one sample as long as the freeze;
    /// a path that really became slower says so again and again.
    fn believed(&self, rtt: Duration) -> Duration {
        if self.rtt.is_zero() { rtt } else { rtt.min(self.rtt * 2 + RTT_STEP) }
    }

    fn handle_heard(&mut self, heard: Instant) {
        self.last_gap = Some((heard.duration_since(self.heard), heard));
        if let Some((first, _)) = self.probes.take() {
            let quiet = first.saturating_duration_since(self.heard);
            self.events.push_back(LivenessEvent::Answered { rtt: self.rtt, quiet });
            if self.dialed {
                self.quiet = self.next_quiet;
            }
        }
        self.heard = heard;
        self.pending = None;
        self.witnessed = false;
        self.held_since = None;
        if std::mem::take(&mut self.health) != Health::Alive {
            self.events.push_back(LivenessEvent::Recovered);
        }
    }

    /// What waits is noted with the time since when it counts. It counts until something comes,
    /// also if the stream that it was for is given up meanwhile.
    fn note_pending(&mut self) {
        let Some(waiting) = self.waiting else {
            self.pending = None;
            return;
        };
        if let (None, Some(active)) = (self.pending, self.active_since) {
            let floor = self.paused.unwrap_or(self.heard);
            self.pending = Some(waiting.max(active).max(self.heard).max(floor));
        }
    }

    /// The dialer of this connection announced its interval.
    pub fn handle_announced(&mut self, now: Instant, seconds: u8) {
        if !self.dialed {
            self.quiet = Duration::from_secs(u64::from(seconds.max(1))).min(MAX_ANNOUNCED);
            self.armed = now;
        }
    }

    /// The silence that we leave changed. A longer one holds once it was announced.
    pub fn handle_interval(&mut self, now: Instant, interval: Duration) {
        if self.dialed {
            self.next_quiet = interval;
            self.quiet = self.quiet.min(interval);
            self.armed = now;
        }
    }

    /// Somebody else heard this peer after it became suspect: it gets more time, once.
    pub fn handle_witness(&mut self) {
        self.witnessed |= self.health == Health::Suspect;
    }

    /// What was not heard until now does not count, and the peer is asked at once: because we were
    /// not running, or our network changed, or there is a reason to doubt the connection.
    pub fn handle_pause(&mut self, now: Instant) {
        self.paused = Some(now);
        self.pending = self.pending.map(|_| now);
        self.probes = None;
        self.witnessed = false;
        self.held_since = self.held_since.map(|_| now);
        self.looked = now;
        self.armed = now;
    }

    /// Another connection to the same peer failed, and this one was silent for as long.
    pub fn handle_failed(&mut self, now: Instant) {
        self.health = Health::Failed;
        self.held_since = Some(now);
    }

    /// Another connection's heartbeat is sent now: if ours is due soon, it goes along, so that a
    /// radio or a processor wakes once.
    pub fn handle_company(&mut self, now: Instant, config: &LivenessConfig) {
        let soon = self.deadlines(now, config).probe <= now + self.quiet / 8;
        if self.dialed && self.health == Health::Alive && self.probes.is_none() && soon {
            self.probe(now);
        }
    }

    /// Time passed; the vitals were told before.
    pub fn handle_timeout(&mut self, now: Instant, config: &LivenessConfig) {
        self.looked = now;
        if let Some(since) = self.held_since {
            return self.hold(now, since, config);
        }
        let due = self.deadlines(now, config);
        if self.health == Health::Alive && now >= due.suspect {
            self.health = Health::Suspect;
            self.events.push_back(LivenessEvent::Suspect);
        } else if self.health == Health::Suspect && now >= due.failed {
            self.health = Health::Failed;
            self.held_since = Some(now);
            self.events.push_back(LivenessEvent::Failed);
        }
        if now >= self.probe_at(&due) {
            self.probe(now);
        }
    }

    fn hold(&mut self, now: Instant, since: Instant, config: &LivenessConfig) {
        if now >= since + config.hold {
            self.events.push_back(LivenessEvent::Over);
        } else if self.probes.is_none_or(|(_, last)| now >= last + config.hold_retry) {
            self.probe(now);
        }
    }

    fn probe(&mut self, now: Instant) {
        self.heartbeat = true;
        let first = self.probes.map_or(now, |(first, _)| first);
        self.probes = Some((first, now));
    }

    /// A heartbeat to send: the seconds that it announces.
    pub fn poll_transmit(&mut self) -> Option<u8> {
        std::mem::take(&mut self.heartbeat).then(|| {
            let interval = if self.dialed { self.next_quiet } else { self.quiet };
            let up = interval.as_secs() + u64::from(interval.subsec_nanos() > 0);
            u8::try_from(up.max(1)).unwrap_or(u8::MAX)
        })
    }

    /// What happened.
    pub fn poll_event(&mut self) -> Option<LivenessEvent> {
        self.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    #[must_use]
    pub fn poll_timeout(&self, config: &LivenessConfig) -> Instant {
        let due = match self.held_since {
            // Looked at often, so that a sign of life is noticed soon.
            Some(since) => (since + config.hold).min(self.looked + config.retry),
            None => {
                let due = self.deadlines(self.looked, config);
                let step = if self.health == Health::Alive { due.suspect } else { due.failed };
                let watch = self.active_since.map(|at| at.max(self.looked) + config.watch);
                let probe = self.probe_at(&due);
                watch.map_or(probe.min(step), |watch| watch.min(probe).min(step))
            }
        };
        due.max(self.armed)
    }

    /// How it is.
    #[must_use]
    pub fn health(&self) -> Health {
        self.health
    }

    /// When something last came.
    #[must_use]
    pub fn heard(&self) -> Instant {
        self.heard
    }

    /// The round trip.
    #[must_use]
    pub fn rtt(&self) -> Duration {
        self.rtt
    }

    /// Since when heartbeats of ours, or what waits, have been without an answer.
    #[must_use]
    pub fn unanswered_since(&self) -> Option<Instant> {
        let probed = self.probes.map(|(first, _)| first);
        [probed, self.pending].into_iter().flatten().min()
    }

    /// The silence that just ended, or that goes on.
    #[must_use]
    pub fn quiet_before(&self, now: Instant) -> Duration {
        const JUST: Duration = Duration::from_secs(5);
        let goes_on = now.saturating_duration_since(self.heard);
        let ended = self.last_gap.filter(|(_, at)| now.saturating_duration_since(*at) < JUST);
        ended.map_or(goes_on, |(gap, _)| gap.max(goes_on))
    }

    fn deadlines(&self, now: Instant, config: &LivenessConfig) -> Deadlines {
        let idle = self.idle_deadlines(config);
        match self.pending {
            Some(since) => idle.or_earlier(self.waiting_deadlines(since, config), now),
            None => idle,
        }
    }

    fn idle_deadlines(&self, config: &LivenessConfig) -> Deadlines {
        let probe_after = if self.dialed { self.quiet } else { self.quiet + config.overdue };
        let mut fail_after = self.quiet + config.idle_fail.max(self.rtt_times(3));
        if self.witnessed {
            fail_after += config.idle_fail;
        }
        // A pause moves the whole schedule so that the first heartbeat is due at its end.
        let paused = self.paused.filter(|at| *at >= self.heard);
        let since = paused.and_then(|at| at.checked_sub(probe_after)).unwrap_or(self.heard);
        Deadlines {
            probe: since + probe_after,
            suspect: since + probe_after + config.idle_suspect.max(self.rtt_times(2)),
            failed: since + fail_after,
            every: config.retry,
        }
    }

    fn waiting_deadlines(&self, since: Instant, config: &LivenessConfig) -> Deadlines {
        let mut fail_after = config.waiting_fail.max(self.rtt_times(3));
        if self.witnessed {
            fail_after += config.waiting_fail;
        }
        Deadlines {
            probe: since + config.waiting_probe,
            suspect: since + config.waiting_suspect.max(self.rtt_times(2)),
            failed: since + fail_after,
            every: config.retry / if self.health == Health::Alive { 2 } else { 4 },
        }
    }

    fn probe_at(&self, due: &Deadlines) -> Instant {
        self.probes.map_or(due.probe, |(_, last)| due.probe.max(last + due.every))
    }

    /// A peer can make its round trip look longer than it is, but not without end.
    fn rtt_times(&self, times: u32) -> Duration {
        self.rtt.min(MAX_RTT) * times
    }
}

/// A longer round trip does not move a deadline any further. SPEC §10.6.
pub const MAX_RTT: Duration = Duration::from_secs(4);

/// How much more than twice the round trip before is believed at once.
const RTT_STEP: Duration = Duration::from_millis(100);
