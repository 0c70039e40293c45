//! When which peer has something to do, so that a table of a thousand peers looks only at those
//! whose time has come.

use std::collections::BTreeSet;
use std::time::Instant;

use pinhole_proto::PeerId;

use super::Peers;
use super::entry::Entry;
use super::link::LinkTimes;
use crate::liveness::LivenessConfig;

type Queue = BTreeSet<(Instant, PeerId)>;

/// The times of all peers.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    health: Queue,
    chores: Queue,
    retries: Queue,
    retrying: usize,
    connected: usize,
}

/// The times of one peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Its liveness is to be looked at.
    health: Option<Instant>,
    /// A connection is to be drained or closed as idle.
    chore: Option<Instant>,
    /// It is to be dialed again.
    retry: Option<Instant>,
    /// A dial that nobody waits for is under way.
    retrying: bool,
    connected: bool,
}

impl Plan {
    fn of(entry: &Entry, times: &LinkTimes, liveness: &LivenessConfig) -> Self {
        let drains = entry.live_links().filter_map(|link| link.drain_at(times));
        let idle = entry.kept_link().filter(|link| entry.closes_when_idle(link));
        Self {
            health: entry.live_links().map(|link| link.liveness.poll_timeout(liveness)).min(),
            chore: drains.chain(idle.and_then(|link| link.idle_at(times))).min(),
            retry: entry.retry_at(),
            retrying: entry.is_retrying(),
            connected: entry.kept.is_some(),
        }
    }
}

impl Agenda {
    pub(super) fn replace(&mut self, peer: PeerId, was: Plan, plan: Plan) {
        let mut times = [
            (&mut self.health, was.health, plan.health),
            (&mut self.chores, was.chore, plan.chore),
            (&mut self.retries, was.retry, plan.retry),
        ];
        for (queue, was, plan) in &mut times {
            if was != plan {
                was.map(|at| queue.remove(&(at, peer)));
                plan.map(|at| queue.insert((at, peer)));
            }
        }
        let counts = [
            (&mut self.retrying, was.retrying, plan.retrying),
            (&mut self.connected, was.connected, plan.connected),
        ];
        for (count, was, plan) in counts {
            *count = *count + usize::from(plan) - usize::from(was);
        }
    }

    /// When the liveness of somebody is to be looked at next.
    pub(super) fn next_health(&self) -> Option<Instant> {
        self.health.first().map(|(at, _)| *at)
    }

    /// When a connection of somebody is to be drained or closed next.
    pub(super) fn next_chore(&self) -> Option<Instant> {
        self.chores.first().map(|(at, _)| *at)
    }

    /// Who is to be dialed again next, and when.
    pub(super) fn next_retry(&self) -> Option<(Instant, PeerId)> {
        self.retries.first().copied()
    }

    /// Whose liveness is to be looked at by then.
    pub(super) fn health_due(&self, by: Instant) -> Vec<PeerId> {
        due(&self.health, by)
    }

    /// Who has a connection that is to be drained or closed by then.
    pub(super) fn chores_due(&self, by: Instant) -> Vec<PeerId> {
        due(&self.chores, by)
    }

    /// Dials under way that nobody waits for.
    pub(super) fn retrying(&self) -> usize {
        self.retrying
    }

    /// Peers with a kept connection.
    pub(super) fn connected(&self) -> usize {
        self.connected
    }
}

fn due(queue: &Queue, by: Instant) -> Vec<PeerId> {
    queue.iter().take_while(|(at, _)| *at <= by).map(|(_, peer)| *peer).collect()
}

impl Peers {
    /// The entry of a peer, to be changed.
    pub(super) fn entry_mut(&mut self, peer: &PeerId) -> Option<&mut Entry> {
        if self.touched.last() != Some(peer) {
            self.touched.push(*peer);
        }
        self.peers.get_mut(peer)
    }

    /// All entries, to be changed.
    pub(super) fn entries_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.touched.extend(self.peers.keys());
        self.peers.values_mut()
    }

    /// Puts what was changed on the agenda; at the end of every input, and before the agenda is
    /// read.
    pub(super) fn replan(&mut self) {
        for peer in std::mem::take(&mut self.touched) {
            let Some(entry) = self.peers.get_mut(&peer) else { continue };
            let plan = Plan::of(entry, &self.config.times, &self.config.liveness);
            let was = std::mem::replace(&mut entry.plan, plan);
            self.agenda.replace(peer, was, plan);
        }
    }

    /// Whether the agenda says what a look at every entry would say.
    #[cfg(test)]
    pub(super) fn agenda_is_true(&self) -> bool {
        let plan = |entry| Plan::of(entry, &self.config.times, &self.config.liveness);
        let all = |time: fn(&Plan) -> Option<Instant>| {
            self.peers.values().filter_map(|entry| time(&plan(entry))).min()
        };
        let retrying = self.peers.values().filter(|entry| entry.is_retrying()).count();
        let connected = self.peers.values().filter(|entry| entry.kept.is_some()).count();
        let looked = (all(|plan| plan.health), all(|plan| plan.chore), all(|plan| plan.retry));
        let agenda = &self.agenda;
        let next_retry = agenda.next_retry().map(|(at, _)| at);
        let written = (agenda.next_health(), agenda.next_chore(), next_retry);
        looked == written && (retrying, connected) == (agenda.retrying, agenda.connected)
    }
}
