//! The liveness of the table's links: what is told about them, and what follows. SPEC §10.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use pinhole_proto::PeerId;

use super::entry::Entry;
use super::link::Link;
use super::surface::{CloseReason, PeerCommand, PeerEvent};
use super::witness::Round;
use super::{LinkId, PeerState, Peers, Reason};
use crate::keepalive::QUIET_TIME;
use crate::liveness::{Health, LivenessEvent, Vitals};

/// Between two notes to the same dialer that its address changed. SPEC §10.5.
pub const REBOUND_SPACING: Duration = Duration::from_secs(10);

/// A pause of ours of this length always counts.
const LONG_PAUSE: Duration = Duration::from_secs(5);

/// A shorter one counts only if none did within this time: who is always late has to learn of
/// dead peers all the same.
const PAUSE_SPACING: Duration = Duration::from_secs(20);

/// After this long without an answer, a link is evidence against our own network.
const NO_ANSWER: Duration = Duration::from_secs(1);

impl Peers {
    /// What the transport knows about a connection. To be told for every connection, together
    /// with [`handle_use`](Self::handle_use): before each
    /// [`handle_timeout`](Self::handle_timeout), **and at once when the first stream of a
    /// connection opens**; the table sets no timer for a connection without streams in order to
    /// find that out.
    pub fn handle_vitals(&mut self, now: Instant, link: LinkId, vitals: Vitals) {
        let Some(peer) = self.links.get(&link).copied() else { return };
        if self.told(link, |link| link.liveness.handle_vitals(now, vitals)) {
            self.drain_liveness(now, peer, link);
            self.replan();
        }
    }

    /// The dialer of a connection announced the interval of its heartbeats.
    pub fn handle_announced(&mut self, now: Instant, link: LinkId, seconds: u8) {
        if let Some(link) = self.link_mut(link) {
            link.liveness.handle_announced(now, seconds);
        }
        self.replan();
    }

    /// The acceptor of a connection that we dialed said that our address changed after a quiet
    /// time.
    pub fn handle_rebound(&mut self, now: Instant, link: LinkId) {
        let Some(link) = self.link_mut(link).filter(|link| link.dialed) else { return };
        let quiet = link.liveness.quiet_before(now);
        self.keepalive.handle_rebound(now, quiet);
        self.spread_interval(now);
        self.replan();
    }

    /// The packets of a connection's other end come from another address than before.
    pub fn handle_moved(&mut self, now: Instant, id: LinkId, addr: SocketAddr) {
        let Some(link) = self.link_mut(id) else { return };
        let changed = std::mem::replace(&mut link.addr, addr) != addr;
        let quiet = link.liveness.quiet_before(now) >= QUIET_TIME;
        let said = link.said_rebound.is_some_and(|at| now < at + REBOUND_SPACING);
        if changed && quiet && !said && !link.dialed {
            link.said_rebound = Some(now);
            self.commands.push_back(PeerCommand::SayRebound(id));
        }
    }

    /// Our own network changed, or the machine slept: everybody is asked at once whether they
    /// hear us, nobody is blamed for the time before, and who is away is dialed.
    pub fn handle_network_change(&mut self, now: Instant) {
        self.keepalive.handle_network_change(now);
        self.spread_interval(now);
        self.pause(now);
        self.hasten_all(now, Reason::NetworkChanged);
        self.handle_timeout(now);
    }

    /// Looks after the links whose time has come.
    pub(super) fn step_health(&mut self, now: Instant) {
        self.notice_pause(now);
        self.replan();
        let mut began = false;
        for (peer, id) in self.links_due(now) {
            began |= self.step_link(now, peer, id);
        }
        if began {
            self.replan();
            self.send_along(now);
        }
    }

    /// One link; whether it began to ask after a quiet time.
    fn step_link(&mut self, now: Instant, peer: PeerId, id: LinkId) -> bool {
        let config = self.config.liveness;
        let Some(link) = self.link_mut(id) else { return false };
        let asked = link.liveness.unanswered_since().is_some();
        link.liveness.handle_timeout(now, &config);
        let asks = link.liveness.unanswered_since().is_some();
        self.drain_liveness(now, peer, id);
        !asked && asks
    }

    /// Heartbeats that are due soon go along with one that is sent now.
    fn send_along(&mut self, now: Instant) {
        let config = self.config.liveness;
        for (peer, id) in self.links_due(now + self.interval / 8) {
            if let Some(link) = self.link_mut(id) {
                link.liveness.handle_company(now, &config);
                self.drain_liveness(now, peer, id);
            }
        }
    }

    /// Does what the liveness of a link asks for.
    pub(super) fn drain_liveness(&mut self, now: Instant, peer: PeerId, id: LinkId) {
        while let Some(event) = self.link_mut(id).and_then(|link| link.liveness.poll_event()) {
            self.handle_liveness(now, peer, id, event);
        }
        self.send_heartbeat(id);
    }

    pub(super) fn send_heartbeat(&mut self, id: LinkId) {
        let Some(link) = self.link_mut(id).filter(|link| !link.closing) else { return };
        if let Some(seconds) = link.liveness.poll_transmit() {
            self.commands.push_back(PeerCommand::Heartbeat { link: id, seconds });
        }
    }

    fn handle_liveness(&mut self, now: Instant, peer: PeerId, id: LinkId, event: LivenessEvent) {
        match event {
            LivenessEvent::Answered { rtt, quiet } => {
                self.events.push_back(PeerEvent::Heartbeat { peer, rtt: Some(rtt) });
                if self.link_mut(id).is_some_and(|link| link.dialed) {
                    self.keepalive.handle_answered(now, quiet);
                    self.spread_interval(now);
                }
            }
            LivenessEvent::Suspect => self.handle_suspect(now, peer, id),
            LivenessEvent::Failed => self.handle_failed(now, peer, id),
            LivenessEvent::Recovered => {
                self.begin_round(peer);
                self.settle(now, peer, Reason::Heard);
            }
            LivenessEvent::Over => {
                self.close(id, CloseReason::Lost);
                self.settle(now, peer, Reason::Lost);
            }
        }
    }

    fn handle_suspect(&mut self, now: Instant, peer: PeerId, id: LinkId) {
        if !self.is_kept(peer, id) {
            return;
        }
        self.events.push_back(PeerEvent::Heartbeat { peer, rtt: None });
        self.begin_round(peer);
        self.settle(now, peer, self.why_silent(now, id));
        self.ask_witnesses(peer);
        // Whoever is heard on a duplicate lives.
        for other in self.others(peer, id) {
            other.liveness.handle_pause(now);
        }
    }

    fn handle_failed(&mut self, now: Instant, peer: PeerId, id: LinkId) {
        if !self.is_kept(peer, id) {
            return self.settle(now, peer, Reason::Silent);
        }
        let mut reason = match self.peers.get(&peer) {
            Some(entry) if !entry.round.heard().is_empty() => Reason::Unreachable,
            _ => self.why_silent(now, id),
        };
        for other in self.others(peer, id) {
            let asked = other.liveness.unanswered_since();
            if asked.is_some_and(|at| now >= at + NO_ANSWER) {
                other.liveness.handle_failed(now);
            } else if !other.superseded {
                reason = Reason::Heard;
            }
        }
        self.note_lost(now, peer, id);
        self.settle(now, peer, reason);
    }

    fn is_kept(&self, peer: PeerId, id: LinkId) -> bool {
        self.peers.get(&peer).is_some_and(|entry| entry.kept == Some(id))
    }

    /// The links of a peer beside one.
    fn others(&mut self, peer: PeerId, id: LinkId) -> impl Iterator<Item = &mut Link> {
        let links = self.entry_mut(&peer).map(|entry| entry.links.iter_mut());
        links.into_iter().flatten().filter(move |link| link.id != id && !link.closing)
    }

    fn begin_round(&mut self, peer: PeerId) {
        if let Some(entry) = self.entry_mut(&peer) {
            entry.round = Round::default();
        }
    }

    /// Whether the silence of a link is its own, or that of everybody: since it became suspect (or
    /// else was first asked), nobody else was heard, and somebody else was asked too.
    fn why_silent(&self, now: Instant, id: LinkId) -> Reason {
        let entry = self.links.get(&id).and_then(|peer| self.peers.get(peer));
        let asked = entry.and_then(|entry| entry.link(id)?.liveness.unanswered_since());
        let suspect = entry.filter(|entry| entry.state == PeerState::Suspect);
        let Some(since) = suspect.map(|entry| entry.since).or(asked) else {
            return Reason::Silent;
        };
        let others = || {
            let links = self.live_links().map(|(_, link)| link);
            links.filter(|link| link.id != id).map(|link| &link.liveness)
        };
        let nobody = others().all(|other| other.heard() <= since);
        let asked = others().filter_map(|other| other.unanswered_since());
        let alone = nobody && asked.into_iter().any(|at| now >= at + NO_ANSWER);
        if alone { Reason::Isolated } else { Reason::Silent }
    }

    /// A timer that comes late says that we were not running.
    fn notice_pause(&mut self, now: Instant) {
        let Some(due) = self.agenda.next_health() else { return };
        let late = now.saturating_duration_since(due);
        let counts =
            late >= LONG_PAUSE || self.paused_at.is_none_or(|at| now >= at + PAUSE_SPACING);
        if late > self.config.liveness.pause && counts {
            self.pause(now);
        }
    }

    fn pause(&mut self, now: Instant) {
        self.paused_at = Some(now);
        for entry in self.entries_mut() {
            for link in &mut entry.links {
                link.liveness.handle_pause(now);
            }
        }
    }

    /// Tells every link the interval that is in use.
    fn spread_interval(&mut self, now: Instant) {
        let interval = self.keepalive.interval();
        if std::mem::replace(&mut self.interval, interval) == interval {
            return;
        }
        for entry in self.entries_mut() {
            for link in &mut entry.links {
                link.liveness.handle_interval(now, interval);
            }
        }
    }

    /// A heartbeat beside the schedule.
    pub(super) fn heartbeat(&mut self, link: LinkId) {
        let interval = self.keepalive.interval().as_secs_f64().ceil();
        let seconds = (interval as u64).clamp(1, 255) as u8;
        self.commands.push_back(PeerCommand::Heartbeat { link, seconds });
    }

    /// The links of those who are to be looked at by then.
    fn links_due(&self, by: Instant) -> Vec<(PeerId, LinkId)> {
        let due = self.agenda.health_due(by).into_iter();
        due.flat_map(|peer| {
            let links = self.peers.get(&peer).into_iter().flat_map(Entry::live_links);
            links.map(move |link| (peer, link.id))
        })
        .collect()
    }

    /// Whether nobody at all is heard.
    pub(super) fn hears_nobody(&self) -> bool {
        let mut links = self.peers.values().filter_map(|entry| entry.kept_link());
        !links.any(|link| link.liveness.health() == Health::Alive)
    }
}
