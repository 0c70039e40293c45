//! What the table stores about one peer.

use std::time::Instant;

use pinhole_proto::{Candidate, PeerId};

use super::link::{Link, LinkId};
use super::state::{Origin, PeerState};
use super::surface::{DialId, PeerRecord};
use crate::backoff::{Backoff, BackoffConfig};
use crate::rng::Rng;

pub(super) struct Entry {
    pub(super) state: PeerState,
    pub(super) since: Instant,
    pub(super) origin: Origin,
    pub(super) wanted: bool,
    pub(super) denied: bool,
    pub(super) candidates: Vec<Candidate>,
    pub(super) dial: Option<Dialing>,
    /// In the order of their coming.
    pub(super) links: Vec<Link>,
    pub(super) kept: Option<LinkId>,
    pub(super) backoff: Backoff,
    pub(super) retry_at: Option<Instant>,
}

pub(super) struct Dialing {
    pub(super) id: DialId,
    /// Nobody waits for it.
    pub(super) retrying: bool,
}

impl Entry {
    pub(super) fn new(now: Instant, origin: Origin) -> Self {
        Self {
            state: PeerState::default(),
            since: now,
            origin,
            wanted: false,
            denied: false,
            candidates: Vec::new(),
            dial: None,
            links: Vec::new(),
            kept: None,
            backoff: Backoff::default(),
            retry_at: None,
        }
    }

    /// Adds what is new, and lets the oldest go when there are too many.
    pub(super) fn add_candidates(&mut self, candidates: &[Candidate], most: usize) {
        for candidate in candidates {
            if !self.candidates.contains(candidate) {
                self.candidates.push(candidate.clone());
            }
        }
        let excess = self.candidates.len().saturating_sub(most);
        self.candidates.drain(..excess);
    }

    pub(super) fn back_off(&mut self, now: Instant, config: &BackoffConfig, rng: &mut Rng) {
        let wait = self.backoff.handle_failure(config, rng);
        self.retry_at = self.wanted.then(|| now + wait);
    }

    /// Neither connected nor being dialed.
    pub(super) fn is_away(&self) -> bool {
        self.kept.is_none() && self.dial.is_none()
    }

    pub(super) fn may_be_forgotten(&self) -> bool {
        self.is_away() && self.links.is_empty() && !self.wanted
    }

    pub(super) fn is_retrying(&self) -> bool {
        self.dial.as_ref().is_some_and(|dial| dial.retrying)
    }

    /// When it is to be dialed again, if it may be.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        let may = self.wanted && !self.denied && self.is_away() && !self.candidates.is_empty();
        self.retry_at.filter(|_| may)
    }

    pub(super) fn closes_when_idle(&self, link: &Link) -> bool {
        !self.wanted && self.kept == Some(link.id)
    }

    pub(super) fn live_links(&self) -> impl Iterator<Item = &Link> {
        self.links.iter().filter(|link| !link.closing)
    }

    pub(super) fn link(&self, id: LinkId) -> Option<&Link> {
        self.links.iter().find(|link| link.id == id)
    }

    pub(super) fn link_mut(&mut self, id: LinkId) -> Option<&mut Link> {
        self.links.iter_mut().find(|link| link.id == id)
    }

    pub(super) fn derive_state(&self) -> PeerState {
        if self.denied {
            PeerState::Denied
        } else if self.kept.is_some() {
            PeerState::Connected
        } else if self.dial.is_some() {
            PeerState::Connecting
        } else {
            PeerState::Disconnected
        }
    }

    pub(super) fn record(&self, peer: PeerId) -> PeerRecord {
        let kept = self.kept.and_then(|id| self.link(id));
        PeerRecord {
            peer,
            state: self.state,
            since: self.since,
            origin: self.origin,
            wanted: self.wanted,
            link: self.kept,
            addr: kept.map(|link| link.addr),
            dialed: kept.is_some_and(|link| link.dialed),
            draining: self.links.iter().filter(|link| link.is_draining()).count(),
            failures: if kept.is_some() { 0 } else { self.backoff.failures() },
            next_retry: self.retry_at(),
            candidates: self.candidates.clone(),
        }
    }
}
