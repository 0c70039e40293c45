//! One confirmed connection of a peer, and which of several is kept. SPEC §8.5.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::liveness::{Health, Liveness};

/// A connection of the transport, by the number that it has there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// A confirmed connection, as it is handed to the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkUp {
    /// Its number.
    pub id: LinkId,
    /// Whether we dialed it.
    pub dialed: bool,
    /// The other end's address.
    pub addr: SocketAddr,
}

/// How long a connection may go unused or drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkTimes {
    /// Without use, until the dialer closes a connection that nobody wants.
    pub idle: Duration,
    /// Until a duplicate is closed by its dialer, whatever still runs on it.
    pub drain: Duration,
    /// After the last use of a duplicate, so that what was sent last arrives even when packets are
    /// lost.
    pub linger: Duration,
}

impl Default for LinkTimes {
    fn default() -> Self {
        Self { idle: IDLE_TIME, drain: DRAIN_TIME, linger: LINGER_TIME }
    }
}

/// Without use, until the dialer closes a connection that it does not want. SPEC §8.6.
pub const IDLE_TIME: Duration = Duration::from_secs(60);

/// Until a duplicate is closed by its dialer, whatever still runs on it. SPEC §8.5.
pub const DRAIN_TIME: Duration = Duration::from_secs(10);

/// After the last use of a duplicate, so that lost packets can be sent again. SPEC §8.5.
pub const LINGER_TIME: Duration = Duration::from_secs(1);

/// What a draining link needs now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DrainStep {
    /// Tell the dialer that we use it no more.
    SayDrained,
    /// Close it.
    Close,
}

#[derive(Debug)]
struct Drain {
    since: Instant,
    /// We told the dialer that we use it no more.
    said: bool,
    /// The acceptor told us that it uses it no more.
    heard: bool,
}

#[derive(Debug)]
pub(super) struct Link {
    pub(super) id: LinkId,
    pub(super) dialed: bool,
    pub(super) addr: SocketAddr,
    pub(super) closing: bool,
    /// The side that dialed it has dialed again since: it is not taken up again.
    pub(super) superseded: bool,
    /// When it came up.
    pub(super) since: Instant,
    pub(super) liveness: Liveness,
    /// When we last told its dialer that its address changed.
    pub(super) said_rebound: Option<Instant>,
    active: u32,
    last_use: Instant,
    drain: Option<Drain>,
    /// The acceptor may be done before we know that there is a duplicate.
    heard_early: bool,
}

impl Link {
    pub(super) fn new(up: LinkUp, now: Instant, quiet: Duration) -> Self {
        Self {
            id: up.id,
            dialed: up.dialed,
            addr: up.addr,
            closing: false,
            superseded: false,
            since: now,
            liveness: Liveness::new(now, up.dialed, quiet),
            said_rebound: None,
            active: 0,
            last_use: now,
            drain: None,
            heard_early: false,
        }
    }

    /// True if that is news.
    pub(super) fn handle_use(&mut self, active: u32, last_use: Instant) -> bool {
        let was = (self.active, self.last_use);
        self.active = active;
        self.last_use = self.last_use.max(last_use);
        was != (self.active, self.last_use)
    }

    /// This link is the one that is kept.
    pub(super) fn handle_kept(&mut self, now: Instant) {
        if self.drain.take().is_some() {
            self.heard_early = false;
            // Nobody looked after it meanwhile.
            self.liveness.handle_pause(now);
        }
    }

    /// Another link is kept. True if that is new.
    pub(super) fn handle_lost_tie(&mut self, now: Instant) -> bool {
        let new = self.drain.is_none();
        let heard = self.heard_early;
        self.drain.get_or_insert(Drain { since: now, said: false, heard });
        new
    }

    /// The acceptor opens no more streams here, and its last one is done.
    pub(super) fn handle_drained(&mut self) {
        match &mut self.drain {
            Some(drain) => drain.heard = true,
            None => self.heard_early = true,
        }
    }

    pub(super) fn handle_said_drained(&mut self) {
        if let Some(drain) = &mut self.drain {
            drain.said = true;
        }
    }

    pub(super) fn has_failed(&self) -> bool {
        self.liveness.health() == Health::Failed
    }

    pub(super) fn is_draining(&self) -> bool {
        self.drain.is_some()
    }

    /// What the end of a duplicate asks for now. Its dialer closes it: when it has no stream there
    /// and the acceptor said the same, or when the time is over. The acceptor closes only if the
    /// dialer does not.
    pub(super) fn drain_step(&self, now: Instant, times: &LinkTimes) -> Option<DrainStep> {
        let drain = self.drain.as_ref()?;
        let due = self.drain_at(times).is_some_and(|at| now >= at);
        let over = now >= self.drain_end(drain, times);
        due.then_some(if over || self.dialed { DrainStep::Close } else { DrainStep::SayDrained })
    }

    /// When the next step of a draining link is due.
    pub(super) fn drain_at(&self, times: &LinkTimes) -> Option<Instant> {
        let drain = self.drain.as_ref()?;
        let end = self.drain_end(drain, times);
        let waits_for_peer = if self.dialed { !drain.heard } else { drain.said };
        if self.active > 0 || waits_for_peer {
            return Some(end);
        }
        Some(end.min(self.last_use.max(drain.since) + times.linger))
    }

    fn drain_end(&self, drain: &Drain, times: &LinkTimes) -> Instant {
        drain.since + if self.dialed { times.drain } else { times.drain * 3 / 2 }
    }

    /// When a kept link that nobody wants is closed: only its dialer does that, so that the wish of
    /// either end keeps it.
    pub(super) fn idle_at(&self, times: &LinkTimes) -> Option<Instant> {
        (self.dialed && self.active == 0).then(|| self.last_use + times.idle)
    }

    /// For making room: when it was used last, if nothing runs on it.
    pub(super) fn unused_since(&self) -> Option<Instant> {
        (self.active == 0).then_some(self.last_use)
    }
}

/// Which of a peer's links is kept: one dialed by the lower id before one dialed by the higher,
/// and the newer of two from the same side. Both ends come to the same answer, whatever the order
/// in which they see the links come and go. One that has failed is not kept.
pub(super) fn kept(links: &[Link], we_are_lower: bool) -> Option<LinkId> {
    links
        .iter()
        .filter(|link| !link.closing && !link.superseded && !link.has_failed())
        // `max_by_key` gives the last of equals, and links are in the order of their coming.
        .max_by_key(|link| link.dialed == we_are_lower)
        .map(|link| link.id)
}
