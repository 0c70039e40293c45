//! What follows from the facts about a peer: which link is kept, which drain or are closed, and in
//! what state the peer is.

use std::time::Instant;

use pinhole_proto::PeerId;

use super::entry::Entry;
use super::link::{self, DrainStep, LinkId};
use super::surface::{CloseReason, PeerCommand, PeerEvent};
use super::witness::Round;
use super::{PeerState, Peers, Reason};

impl Peers {
    /// Draws the conclusions from the facts about `peer`: which link is kept, which drain, whether it
    /// is dialed again, and in what state it is.
    pub(super) fn settle(&mut self, now: Instant, peer: PeerId, reason: Reason) {
        self.settle_links(now, peer);
        if self.peers.get(&peer).is_some_and(Entry::needs_backoff) {
            self.back_off(now, peer);
        }
        self.settle_state(now, peer, reason);
    }

    fn settle_links(&mut self, now: Instant, peer: PeerId) {
        let we_are_lower = self.us < peer;
        let Some(entry) = self.entry_mut(&peer) else { return };
        let kept = link::kept(&entry.links, we_are_lower);
        let mut commands = Vec::new();
        if std::mem::replace(&mut entry.kept, kept) != kept {
            commands.push(PeerCommand::Keep { peer, link: kept });
        }
        let mut replaced = Vec::new();
        for link in entry.links.iter_mut().filter(|link| !link.closing) {
            if Some(link.id) == kept {
                link.handle_kept(now);
            } else if link.has_failed() {
                replaced.extend(kept.map(|_| link.id));
            } else if link.handle_lost_tie(now) {
                commands.push(PeerCommand::WatchUse(link.id));
            }
        }
        self.commands.extend(commands);
        for id in replaced {
            self.close(id, CloseReason::Duplicate);
        }
        if let Some(kept) = kept {
            self.send_heartbeat(kept);
        }
    }

    fn settle_state(&mut self, now: Instant, peer: PeerId, reason: Reason) {
        let Some(entry) = self.entry_mut(&peer) else { return };
        let state = entry.derive_state();
        let was = std::mem::replace(&mut entry.state, state);
        if was == state {
            return;
        }
        entry.since = now;
        entry.reason = Some(reason);
        if !matches!(state, PeerState::Suspect | PeerState::Failed) {
            entry.round = Round::default();
        }
        let failed = state == PeerState::Failed;
        let reached_by = if failed { entry.round.heard().to_vec() } else { Vec::new() };
        self.events.push_back(PeerEvent::State { peer, state, was, reason, reached_by });
    }

    pub(super) fn step_drain(&mut self, now: Instant, id: LinkId) {
        let times = self.config.times;
        let Some(link) = self.link_mut(id).filter(|link| !link.closing) else { return };
        match link.drain_step(now, &times) {
            Some(DrainStep::SayDrained) => {
                link.handle_said_drained();
                self.commands.push_back(PeerCommand::SayDrained(id));
            }
            Some(DrainStep::Close) => self.close(id, CloseReason::Duplicate),
            None => {}
        }
    }

    pub(super) fn step_idle(&mut self, now: Instant, id: LinkId) {
        let Some(peer) = self.links.get(&id).copied() else { return };
        let idle = self.peers.get(&peer).is_some_and(|entry| {
            entry.link(id).is_some_and(|link| {
                !link.closing
                    && entry.closes_when_idle(link)
                    && link.idle_at(&self.config.times).is_some_and(|at| now >= at)
            })
        });
        if idle {
            self.close(id, CloseReason::Idle);
            self.settle(now, peer, Reason::Idle);
        }
    }
}
