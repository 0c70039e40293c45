//! Signs of life of a connection (shell), for whoever decides whether its peer is there.
//!
//! They are noted where they show: that a packet came where it is opened, that one waits for an
//! acknowledgement where it is sealed and in the congestion controller. Everything is a relaxed
//! atomic, so that a thousand connections can be looked at often and quinn's locks stay alone.
//!
//! Time comes from a clock that the sockets set once for each batch that they read: an open costs
//! a copy, and no call of the system.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use crate::packet;

/// What is assumed before anything was measured (RFC 9002 §6.2.2).
const INITIAL_RTT: Duration = Duration::from_millis(333);
/// The longest that a peer may hold back an acknowledgement: the default, which all nodes keep
/// (RFC 9000 §18.2).
const MAX_ACK_DELAY: u64 = 25_000;

/// What a connection tells about its peer, at next to no cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Vitals {
    /// When the last authenticated packet came that is newer than all before it: an old one that
    /// somebody recorded and sends again does not count. Before the first, when the handshake got
    /// on. Read once for each batch of datagrams, so it may be some milliseconds early or late.
    pub heard: Instant,
    /// Since when something of ours that has to be acknowledged is in flight and nothing of it
    /// was: since it was sent, or since the last acknowledgement if that came later. `None` if the
    /// peer owes us nothing. Probes for a larger MTU do not count.
    pub waiting: Option<Instant>,
    /// The newest sample of the round-trip time, without what the peer held the acknowledgement
    /// back; 333 ms before the first.
    pub rtt: Duration,
}

/// The time as the sockets last saw it, in microseconds since it was made.
#[derive(Debug)]
pub(crate) struct Clock {
    origin: Instant,
    micros: AtomicU64,
}

impl Clock {
    pub(crate) fn new(origin: Instant) -> Self {
        Self { origin, micros: AtomicU64::new(0) }
    }

    pub(crate) fn set(&self, now: Instant) {
        self.micros.store(self.micros_at(now), Relaxed);
    }

    fn micros_at(&self, at: Instant) -> u64 {
        micros(at.saturating_duration_since(self.origin))
    }

    fn instant(&self, micros: u64) -> Instant {
        self.origin + Duration::from_micros(micros)
    }
}

/// The signs of life of one connection. Sessions and controllers write, anybody reads.
pub(crate) struct Pulse {
    clock: Arc<Clock>,
    heard: AtomicU64,
    /// One more than the number of the newest packet.
    newest: AtomicU64,
    /// By how much the peer says that it held back the acknowledgement in the last packet.
    ack_delay: AtomicU64,
    /// Bytes that were sealed since the controller last asked, in packets that have to be
    /// acknowledged.
    sealed: AtomicU64,
    /// The largest datagram that is no MTU probe.
    mtu: AtomicU64,
    /// One more than the microseconds, or 0.
    waiting: AtomicU64,
    /// One more than the microseconds, or 0.
    rtt: AtomicU64,
}

impl Pulse {
    pub(crate) fn new(clock: &Arc<Clock>, now: Instant) -> Self {
        Self {
            heard: AtomicU64::new(clock.micros_at(now)),
            clock: clock.clone(),
            newest: AtomicU64::new(0),
            ack_delay: AtomicU64::new(0),
            sealed: AtomicU64::new(0),
            mtu: AtomicU64::new(u64::MAX),
            waiting: AtomicU64::new(0),
            rtt: AtomicU64::new(0),
        }
    }

    /// The 1-RTT packet `number` was opened and holds `frames`.
    pub(crate) fn opened(&self, number: u64, frames: &[u8]) {
        self.ack_delay.store(packet::ack_delay(frames).unwrap_or(0), Relaxed);
        if number >= self.newest.load(Relaxed) {
            self.newest.store(number.saturating_add(1), Relaxed);
            self.hear();
        }
    }

    /// Something new came from the peer: a packet, or a message that took the handshake further.
    pub(crate) fn hear(&self) {
        self.heard.store(self.clock.micros.load(Relaxed), Relaxed);
    }

    /// A 1-RTT packet of `len` bytes with `frames` is about to be sealed.
    pub(crate) fn sealing(&self, len: usize, frames: &[u8]) {
        let len = len as u64;
        if len <= self.mtu.load(Relaxed) && packet::is_ack_eliciting(frames) {
            self.sealed.store(self.sealed.load(Relaxed).saturating_add(len), Relaxed);
        }
    }

    /// The bytes that were sealed since it was last asked and have to be acknowledged.
    pub(crate) fn take_sealed(&self) -> u64 {
        let sealed = self.sealed.load(Relaxed);
        if sealed > 0 {
            self.sealed.store(0, Relaxed);
        }
        sealed
    }

    pub(crate) fn ack_delay(&self) -> Duration {
        Duration::from_micros(self.ack_delay.load(Relaxed).min(MAX_ACK_DELAY))
    }

    pub(crate) fn set_mtu(&self, mtu: u16) {
        self.mtu.store(mtu.into(), Relaxed);
    }

    pub(crate) fn set_waiting(&self, since: Option<Instant>) {
        let since = since.map_or(0, |at| self.clock.micros_at(at).saturating_add(1));
        self.waiting.store(since, Relaxed);
    }

    pub(crate) fn set_rtt(&self, rtt: Duration) {
        self.rtt.store(micros(rtt).saturating_add(1), Relaxed);
    }

    pub(crate) fn vitals(&self) -> Vitals {
        let waiting = self.waiting.load(Relaxed).checked_sub(1);
        let rtt = self.rtt.load(Relaxed).checked_sub(1);
        Vitals {
            heard: self.clock.instant(self.heard.load(Relaxed)),
            waiting: waiting.map(|micros| self.clock.instant(micros)),
            rtt: rtt.map_or(INITIAL_RTT, Duration::from_micros),
        }
    }
}

impl fmt::Debug for Pulse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.vitals().fmt(f)
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
