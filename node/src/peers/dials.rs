//! Dials: when a wanted peer is dialed again, and how many at a time. SPEC §10.8.

use std::time::{Duration, Instant};

use pinhole_proto::{Candidate, PeerId};

use super::entry::{Dialing, Entry};
use super::surface::{DialId, PeerCommand};
use super::{LinkId, Peers, Reason};

/// Peers that were lost within this time of each other are likely to come back together.
/// SPEC §10.8.
pub const LOST_TOGETHER: Duration = Duration::from_secs(60);

/// Between two times that a peer's backoff starts over because others came back. SPEC §10.8.
pub const HASTE_SPACING: Duration = Duration::from_secs(60);

impl Peers {
    pub(super) fn start_dial(&mut self, now: Instant, peer: PeerId, reason: Reason) -> DialId {
        let dial = DialId(self.next_dial);
        self.next_dial += 1;
        if let Some(entry) = self.entry_mut(&peer) {
            entry.dial = Some(Dialing { id: dial, retrying: reason != Reason::Dialing });
            entry.retry_at = None;
            let candidates = entry.candidates.clone();
            self.commands.push_back(PeerCommand::Dial { peer, dial, candidates });
        }
        self.settle(now, peer, reason);
        dial
    }

    /// Dials the wanted peers whose time has come, as many as may be dialed at a time and in a
    /// time.
    pub(super) fn start_due_dials(&mut self, now: Instant) {
        self.replan();
        let Some((at, peer)) = self.agenda.next_retry() else { return };
        let full = self.agenda.retrying() >= self.config.max_retrying;
        if !full && now >= at && self.next_start.is_none_or(|start| now >= start) {
            self.next_start = Some(now + self.config.dial_spacing);
            let reason = self.peers.get(&peer).map_or(Reason::Retrying, |entry| entry.retry_why);
            self.start_dial(now, peer, reason);
        }
    }

    /// When the next wanted peer is dialed.
    pub(super) fn dial_timeout(&self) -> Option<Instant> {
        let (next, _) = self.agenda.next_retry()?;
        let room = self.agenda.retrying() < self.config.max_retrying;
        room.then(|| self.next_start.map_or(next, |start| start.max(next)))
    }

    /// Draws the wait until `peer` is dialed again, if it is wanted.
    pub(super) fn back_off(&mut self, now: Instant, peer: PeerId) {
        let (config, hurry) = (self.config.backoff, self.hears_nobody());
        self.touched.push(peer);
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        let wait = entry.backoff.handle_failure(&config, hurry, &mut self.rng);
        entry.retry_at = entry.wanted.then(|| now + wait);
        entry.retry_why = Reason::Retrying;
    }

    /// A connection of `peer` is lost. If it had lasted, the backoff starts over.
    pub(super) fn note_lost(&mut self, now: Instant, peer: PeerId, id: LinkId) {
        let stable = self.config.stable;
        let Some(entry) = self.entry_mut(&peer) else { return };
        let Some(link) = entry.link(id) else { return };
        let lasted = now.saturating_duration_since(link.since);
        entry.lost_at = Some(now);
        if lasted >= stable {
            entry.backoff.handle_success();
        }
    }

    /// A link to `peer` came up. If nobody was there before, our own network is back; and those
    /// who were lost together with `peer` are likely to be back too.
    pub(super) fn hasten_with(&mut self, now: Instant, peer: PeerId, first: bool) {
        if first {
            return self.hasten_all(now, Reason::Retrying);
        }
        let Some(lost) = self.peers.get(&peer).and_then(|entry| entry.lost_at) else { return };
        let together = |at: Instant| at.max(lost) - at.min(lost) <= LOST_TOGETHER;
        let due = |entry: &Entry| entry.lost_at.is_some_and(together) && entry.may_hasten(now);
        self.entries_mut()
            .filter(|entry| due(entry))
            .for_each(|entry| entry.hasten(now, Reason::Retrying));
    }

    /// Everybody who is away and wanted is dialed at once.
    pub(super) fn hasten_all(&mut self, now: Instant, reason: Reason) {
        let changed = reason == Reason::NetworkChanged;
        let due = |entry: &&mut Entry| changed || entry.may_hasten(now);
        self.entries_mut().filter(due).for_each(|entry| entry.hasten(now, reason));
    }

    /// Who else is known to live where `peer` was looked for.
    pub(super) fn who_lives_there(&self, peer: PeerId) -> Option<PeerId> {
        let candidates = &self.peers.get(&peer)?.candidates;
        let lives_there = |(other, entry): (&PeerId, &Entry)| {
            let at = Candidate::direct(entry.kept_link()?.addr).ok()?;
            (*other != peer && candidates.contains(&at)).then_some(*other)
        };
        self.peers.iter().find_map(lives_there)
    }
}

impl Entry {
    /// Whether it may be dialed early because others came back.
    fn may_hasten(&self, now: Instant) -> bool {
        let spared = self.hastened_at.is_some_and(|at| now < at + HASTE_SPACING);
        self.kept.is_none() && !spared
    }

    fn hasten(&mut self, now: Instant, why: Reason) {
        self.backoff.handle_success();
        if self.wanted && self.is_away() {
            self.hastened_at = Some(now);
            self.retry_at = Some(now);
            self.retry_why = why;
        }
    }
}
