//! The table of known peers: who is there, who is wanted, which connection of several is kept.
//!
//! *Purpose*: turn what happens to dials and connections into the state of each peer, and what is
//! wanted of peers into dials and closes. SPEC §8.5 has the rule for two connections to one
//! peer.
//!
//! *Inputs*: peers and addresses that somebody named, wishes, verdicts of the allowlist, dials that
//! failed, connections that were confirmed, closed, used or drained, the vitals of connections,
//! what witnesses say and what others ask, and the time.
//!
//! *Outputs*: [`PeerCommand`]s for the shell and [`PeerEvent`]s for people; both queues are empty
//! again after each input if the shell drains them, as it must, and one input adds at most a few
//! entries for each known peer.
//!
//! *Not handled*: sockets, name resolution, streams, storage. Each link has a
//! [`Liveness`](crate::liveness::Liveness) as child, and the table a
//! [`Keepalive`].
//!
//! A peer's state is not stored and changed but derived from the facts (verdict, links and their
//! health, dial) after each input; so there is no order of inputs that leads to a state that is not
//! true.

mod agenda;
mod dials;
mod entry;
mod health;
mod link;
mod questions;
mod settle;
mod state;
mod surface;
#[cfg(test)]
mod tests;
mod witness;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use pinhole_proto::{Candidate, PeerId};

use self::agenda::{Agenda, Plan};
pub use self::dials::{HASTE_SPACING, LOST_TOGETHER};
use self::entry::Entry;
pub use self::health::REBOUND_SPACING;
use self::link::Link;
pub use self::link::{DRAIN_TIME, IDLE_TIME, LINGER_TIME, LinkId, LinkTimes, LinkUp};
use self::questions::Questions;
pub use self::questions::{
    MAX_QUESTIONS, QUESTION_BURST, QUESTION_SPACING, QUESTION_TIME, QuestionId,
};
pub use self::state::{Origin, PeerState, Reason};
pub use self::surface::{
    CloseReason, DIAL_SPACING, DialAnswer, DialId, MAX_RETRYING, PeerCommand, PeerEvent,
    PeerRecord, PeerRefused, PeersConfig, Testimony,
};
pub use self::witness::{MAX_ASKED, MAX_ASKING, WITNESSES};
use crate::allowlist::Verdict;
use crate::keepalive::Keepalive;
use pinhole_proto::rng::Rng;

/// Of two connections that came up within this time, the dials may have crossed.
const DIALED_AT_ONCE: Duration = Duration::from_secs(10);

/// The table. See the module's notes.
pub struct Peers {
    config: PeersConfig,
    us: PeerId,
    rng: Rng,
    peers: BTreeMap<PeerId, Entry>,
    links: BTreeMap<LinkId, PeerId>,
    agenda: Agenda,
    /// Whose entries were changed since the agenda was written.
    touched: Vec<PeerId>,
    next_dial: u64,
    /// When the next dial that nobody waits for may start.
    next_start: Option<Instant>,
    questions: Questions,
    keepalive: Keepalive,
    /// The keepalive's interval, as the links know it.
    interval: Duration,
    paused_at: Option<Instant>,
    commands: VecDeque<PeerCommand>,
    events: VecDeque<PeerEvent>,
}

impl Peers {
    /// A table that knows nobody. `us` breaks ties, `rng` spreads redials.
    #[must_use]
    pub fn new(us: PeerId, config: PeersConfig, rng: Rng) -> Self {
        let keepalive = Keepalive::new(config.liveness.keepalive);
        Self {
            config,
            us,
            rng,
            peers: BTreeMap::new(),
            links: BTreeMap::new(),
            agenda: Agenda::default(),
            touched: Vec::new(),
            next_dial: 0,
            next_start: None,
            questions: Questions::default(),
            interval: keepalive.interval(),
            keepalive,
            paused_at: None,
            commands: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// Somebody told us of a peer.
    ///
    /// # Errors
    /// [`PeerRefused::Ourselves`] and [`PeerRefused::Full`].
    pub fn handle_known(
        &mut self,
        now: Instant,
        peer: PeerId,
        candidates: &[Candidate],
        origin: Origin,
    ) -> Result<(), PeerRefused> {
        let most = self.config.max_candidates;
        self.entry(now, peer, origin)?.add_candidates(candidates, most);
        self.replan();
        Ok(())
    }

    /// `peer` is to be connected always, or only when needed.
    pub fn handle_wanted(&mut self, now: Instant, peer: PeerId, wanted: bool) {
        let Some(entry) = self.entry_mut(&peer) else { return };
        entry.wanted = wanted;
        entry.retry_at = (wanted && entry.is_away()).then_some(now);
        self.start_due_dials(now);
        self.replan();
    }

    /// Somebody needs a connection to `peer` now.
    ///
    /// # Errors
    /// [`PeerRefused`]; nothing was started.
    pub fn handle_dial(&mut self, now: Instant, peer: PeerId) -> Result<DialAnswer, PeerRefused> {
        if peer == self.us {
            return Err(PeerRefused::Ourselves);
        }
        let entry = self.peers.get(&peer).ok_or(PeerRefused::NoAddress)?;
        if entry.denied {
            return Err(PeerRefused::Denied);
        }
        if let Some(link) = entry.kept {
            return Ok(DialAnswer::Connected(link));
        }
        if let Some(dial) = &entry.dial {
            return Ok(DialAnswer::UnderWay(dial.id));
        }
        if entry.candidates.is_empty() {
            return Err(PeerRefused::NoAddress);
        }
        let dial = self.start_dial(now, peer, Reason::Dialing);
        self.replan();
        Ok(DialAnswer::Started(dial))
    }

    /// A dial ended without a connection.
    pub fn handle_dial_failed(&mut self, now: Instant, peer: PeerId, dial: DialId, why: Reason) {
        let Some(entry) = self.entry_mut(&peer) else { return };
        if entry.dial.as_ref().is_none_or(|under_way| under_way.id != dial) {
            return;
        }
        entry.dial = None;
        if entry.kept.is_none() {
            self.back_off(now, peer);
        }
        let other = self.who_lives_there(peer).filter(|_| why == Reason::NoAnswer);
        if let Some(entry) = self.entry_mut(&peer) {
            entry.wrong_identity = other;
        }
        self.settle(now, peer, if other.is_some() { Reason::WrongIdentity } else { why });
        self.start_due_dials(now);
        self.replan();
    }

    /// A connection was confirmed: `dial` is ours that led to it, if we dialed.
    pub fn handle_link(&mut self, now: Instant, peer: PeerId, up: LinkUp, dial: Option<DialId>) {
        let close = |reason| PeerCommand::Close { link: up.id, reason };
        if self.links.len() >= self.config.max_links && !self.make_room(now, peer) {
            self.commands.push_back(close(CloseReason::Full));
            return self.dial_ended(now, peer, dial, Reason::Full);
        }
        self.replan();
        let (interval, first) = (self.interval, self.count().1 == 0);
        let Ok(entry) = self.entry(now, peer, Origin::Inbound) else {
            return self.commands.push_back(close(CloseReason::Full));
        };
        if entry.denied {
            self.commands.push_back(close(CloseReason::Denied));
            return self.dial_ended(now, peer, dial, Reason::Denied);
        }
        if entry.dial.as_ref().is_some_and(|under_way| Some(under_way.id) == dial) {
            entry.dial = None;
        }
        entry.retry_at = None;
        entry.wrong_identity = None;
        // The peer would hardly have made another one if it still heard us on an older one.
        for older in &mut entry.links {
            if now >= older.since + DIALED_AT_ONCE {
                older.liveness.handle_pause(now);
            }
            older.superseded |= older.dialed == up.dialed;
        }
        entry.links.push(Link::new(up, now, interval));
        self.links.insert(up.id, peer);
        self.settle(now, peer, if up.dialed { Reason::Dialed } else { Reason::Accepted });
        self.hasten_with(now, peer, first);
        self.start_due_dials(now);
        self.replan();
    }

    /// A connection is gone, whoever closed it.
    pub fn handle_closed(&mut self, now: Instant, link: LinkId, why: Reason) {
        let Some(peer) = self.links.remove(&link) else { return };
        if self.peers.get(&peer).is_some_and(|entry| entry.kept == Some(link)) {
            self.note_lost(now, peer, link);
        }
        if let Some(entry) = self.entry_mut(&peer) {
            entry.forget_link(link);
        }
        self.settle(now, peer, why);
        self.start_due_dials(now);
        self.replan();
    }

    /// How many streams run on a connection, and when one last began or ended. To be told before
    /// each [`handle_timeout`](Self::handle_timeout), and at once for a watched link that ran dry.
    pub fn handle_use(&mut self, now: Instant, link: LinkId, active: u32, last_use: Instant) {
        if self.told(link, |link| link.handle_use(active, last_use)) {
            self.step_drain(now, link);
            self.replan();
        }
    }

    /// The acceptor of a connection that we dialed opens no more streams there.
    pub fn handle_drained(&mut self, now: Instant, link: LinkId) {
        if let Some(link) = self.link_mut(link).filter(|link| link.dialed) {
            link.handle_drained();
        }
        self.step_drain(now, link);
        self.replan();
    }

    /// Closes every connection to `peer` and dials it no more until somebody asks.
    pub fn handle_disconnect(&mut self, now: Instant, peer: PeerId) {
        self.drop_peer(now, peer, CloseReason::Disconnect, Reason::Disconnect);
        self.replan();
    }

    /// The allowlist's verdict on a peer, whenever it may have changed.
    pub fn handle_verdict(&mut self, now: Instant, peer: PeerId, verdict: Verdict) {
        let Some(entry) = self.entry_mut(&peer) else { return };
        let denied = verdict != Verdict::Admitted;
        if std::mem::replace(&mut entry.denied, denied) == denied {
            return;
        }
        if denied {
            let wanted = entry.wanted;
            self.drop_peer(now, peer, CloseReason::Denied, Reason::Denied);
            if let Some(entry) = self.entry_mut(&peer) {
                entry.wanted = wanted;
            }
        } else {
            entry.retry_at = entry.wanted.then_some(now);
            self.settle(now, peer, Reason::Allowed);
            self.start_due_dials(now);
        }
        self.replan();
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        for peer in self.agenda.chores_due(now) {
            let links = self.peers.get(&peer).map_or(&[][..], |entry| &entry.links);
            for link in links.iter().map(|link| link.id).collect::<Vec<_>>() {
                self.step_drain(now, link);
                self.step_idle(now, link);
            }
        }
        self.step_health(now);
        self.step_questions(now);
        self.start_due_dials(now);
        self.replan();
    }

    /// What to do next.
    pub fn poll_transmit(&mut self) -> Option<PeerCommand> {
        self.commands.pop_front()
    }

    /// What happened.
    pub fn poll_event(&mut self) -> Option<PeerEvent> {
        self.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let agenda = [self.agenda.next_health(), self.agenda.next_chore()];
        let rest = [self.dial_timeout(), self.questions.poll_timeout()];
        agenda.into_iter().chain(rest).flatten().min()
    }

    /// Every known peer, in the order of their ids.
    pub fn records(&self) -> impl Iterator<Item = PeerRecord> {
        self.peers.iter().map(|(peer, entry)| entry.record(*peer))
    }

    /// One peer.
    #[must_use]
    pub fn record(&self, peer: &PeerId) -> Option<PeerRecord> {
        Some(self.peers.get(peer)?.record(*peer))
    }

    /// Peers in the table, and those of them with a kept connection.
    #[must_use]
    pub fn count(&self) -> (usize, usize) {
        (self.peers.len(), self.agenda.connected())
    }

    fn live_links(&self) -> impl Iterator<Item = (&Entry, &Link)> {
        self.peers.values().flat_map(|entry| entry.live_links().map(move |link| (entry, link)))
    }

    fn link_mut(&mut self, link: LinkId) -> Option<&mut Link> {
        let peer = *self.links.get(&link)?;
        self.entry_mut(&peer)?.link_mut(link)
    }

    /// Tells a link something that is often nothing new; whether it was.
    fn told(&mut self, link: LinkId, tell: impl FnOnce(&mut Link) -> bool) -> bool {
        let Some(peer) = self.links.get(&link).copied() else { return false };
        let entry = self.peers.get_mut(&peer);
        let news = entry.and_then(|entry| entry.link_mut(link)).is_some_and(tell);
        if news {
            self.touched.push(peer);
        }
        news
    }

    /// The entry of `peer`, made if there is none and there is room for one.
    fn entry(
        &mut self,
        now: Instant,
        peer: PeerId,
        origin: Origin,
    ) -> Result<&mut Entry, PeerRefused> {
        if peer == self.us {
            return Err(PeerRefused::Ourselves);
        }
        let full = self.peers.len() >= self.config.max_known && !self.peers.contains_key(&peer);
        if full && !self.forget_one() {
            return Err(PeerRefused::Full { limit: self.config.max_known });
        }
        self.touched.push(peer);
        Ok(self.peers.entry(peer).or_insert_with(|| Entry::new(now, origin)))
    }

    /// Forgets the peer that has been away longest and that nobody wants.
    fn forget_one(&mut self) -> bool {
        let oldest = self
            .peers
            .iter()
            .filter(|(_, entry)| entry.may_be_forgotten())
            .min_by_key(|(_, entry)| entry.since)
            .map(|(peer, _)| *peer);
        let Some(peer) = oldest else { return false };
        if let Some(entry) = self.peers.remove(&peer) {
            self.agenda.replace(peer, entry.plan, Plan::default());
        }
        true
    }

    /// Closes the unwanted connection of another peer that has gone unused longest.
    fn make_room(&mut self, now: Instant, newcomer: PeerId) -> bool {
        let unused = self
            .peers
            .iter()
            .filter(|(peer, entry)| **peer != newcomer && !entry.wanted)
            .flat_map(|(peer, entry)| entry.live_links().map(move |link| (*peer, link)))
            .filter_map(|(peer, link)| Some((link.unused_since()?, peer, link.id)))
            .min();
        let Some((_, peer, link)) = unused else { return false };
        // It counts no more at once; a dialer that comes faster than links close gets nothing.
        self.links.remove(&link);
        self.close(link, CloseReason::Full);
        if let Some(entry) = self.entry_mut(&peer) {
            entry.links.retain(|other| other.id != link);
        }
        self.settle(now, peer, Reason::Full);
        true
    }

    /// A dial led to a connection that is not taken.
    fn dial_ended(&mut self, now: Instant, peer: PeerId, dial: Option<DialId>, why: Reason) {
        if let Some(dial) = dial {
            self.handle_dial_failed(now, peer, dial, why);
        }
    }

    fn drop_peer(&mut self, now: Instant, peer: PeerId, close: CloseReason, why: Reason) {
        let Some(entry) = self.entry_mut(&peer) else { return };
        entry.wanted = false;
        entry.retry_at = None;
        entry.backoff.handle_success();
        let dial = entry.dial.take();
        let links: Vec<_> = entry.live_links().map(|link| link.id).collect();
        self.commands.extend(dial.map(|dial| PeerCommand::CancelDial { peer, dial: dial.id }));
        for link in links {
            self.close(link, close);
        }
        self.settle(now, peer, why);
    }

    fn close(&mut self, link: LinkId, reason: CloseReason) {
        if let Some(link) = self.link_mut(link) {
            link.closing = true;
        }
        self.commands.push_back(PeerCommand::Close { link, reason });
    }
}
