//! What the table stores about one peer.

use std::time::Instant;

use pinhole_proto::{Candidate, PeerId};

use super::agenda::Plan;
use super::link::{Link, LinkId};
use super::questions::Budget;
use super::state::{Origin, PeerState, Reason};
use super::surface::{DialId, PeerRecord};
use super::witness::Round;
use crate::backoff::Backoff;
use crate::liveness::Health;

pub(super) struct Entry {
    pub(super) state: PeerState,
    pub(super) since: Instant,
    pub(super) reason: Option<Reason>,
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
    pub(super) retry_why: Reason,
    /// When its last connection was lost.
    pub(super) lost_at: Option<Instant>,
    /// When its backoff was last started over because others came back.
    pub(super) hastened_at: Option<Instant>,
    /// When a packet of it last came, on connections that are gone.
    pub(super) last_heard: Option<Instant>,
    pub(super) wrong_identity: Option<PeerId>,
    /// Who is asked about it while it is silent.
    pub(super) round: Round,
    /// What it may ask us.
    pub(super) budget: Budget,
    /// What the agenda has of it.
    pub(super) plan: Plan,
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
            reason: None,
            origin,
            wanted: false,
            denied: false,
            candidates: Vec::new(),
            dial: None,
            links: Vec::new(),
            kept: None,
            backoff: Backoff::default(),
            retry_at: None,
            retry_why: Reason::Retrying,
            lost_at: None,
            hastened_at: None,
            last_heard: None,
            wrong_identity: None,
            round: Round::default(),
            budget: Budget::default(),
            plan: Plan::default(),
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

    /// Neither connected nor being dialed.
    pub(super) fn is_away(&self) -> bool {
        self.kept.is_none() && self.dial.is_none()
    }

    /// It is to be dialed again, and no time for that is set.
    pub(super) fn needs_backoff(&self) -> bool {
        self.wanted && self.is_away() && self.retry_at.is_none()
    }

    /// A connection is gone.
    pub(super) fn forget_link(&mut self, id: LinkId) {
        if let Some(at) = self.links.iter().position(|link| link.id == id) {
            let heard = self.links.remove(at).liveness.heard();
            self.last_heard = self.last_heard.max(Some(heard));
        }
        // A table of thousands that were here once keeps no room for their links.
        if self.links.is_empty() {
            self.links = Vec::new();
        }
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

    pub(super) fn kept_link(&self) -> Option<&Link> {
        self.kept.and_then(|id| self.link(id))
    }

    /// The connection of a peer that has failed, as long as it is held.
    pub(super) fn held_link(&self) -> Option<&Link> {
        self.live_links().find(|link| link.has_failed())
    }

    /// The connection whose liveness is that of the peer.
    pub(super) fn vital_link(&self) -> Option<&Link> {
        self.kept_link().or_else(|| self.held_link())
    }

    pub(super) fn vital_link_mut(&mut self) -> Option<&mut Link> {
        let id = self.vital_link()?.id;
        self.link_mut(id)
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
        } else if let Some(kept) = self.kept_link() {
            match kept.liveness.health() {
                Health::Alive => PeerState::Connected,
                Health::Suspect | Health::Failed => PeerState::Suspect,
            }
        } else if self.held_link().is_some() {
            PeerState::Failed
        } else if self.dial.is_some() {
            PeerState::Connecting
        } else {
            PeerState::Disconnected
        }
    }

    pub(super) fn record(&self, peer: PeerId) -> PeerRecord {
        let kept = self.kept_link();
        let vital = self.vital_link();
        PeerRecord {
            peer,
            state: self.state,
            since: self.since,
            reason: self.reason,
            origin: self.origin,
            wanted: self.wanted,
            link: self.kept,
            addr: kept.map(|link| link.addr),
            dialed: kept.is_some_and(|link| link.dialed),
            draining: self.links.iter().filter(|link| link.is_draining()).count(),
            failures: if kept.is_some() { 0 } else { self.backoff.failures() },
            next_retry: self.retry_at(),
            candidates: self.candidates.clone(),
            last_heard: vital.map(|link| link.liveness.heard()).or(self.last_heard),
            rtt_now: kept.map(|link| link.liveness.rtt()).filter(|rtt| !rtt.is_zero()),
            reached_by: self.round.heard().to_vec(),
            wrong_identity: self.wrong_identity,
        }
    }
}
