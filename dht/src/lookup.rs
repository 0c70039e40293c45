//! [`Lookup`]: the way to the nodes around a place, on paths that share no node. SPEC §11.6.
//!
//! *Purpose*: Kademlia's iterative lookup, on disjoint paths (Baumgart and Mies, S/Kademlia, 2007)
//! that aim at points spread over the region of the target. *Inputs*: the nodes to begin with,
//! answers, failures, the time. *Outputs*: whom to ask next and about which point; at the end, who
//! answered. *Not handled*: records, sending, round-trip times.
//!
//! A path knows only what the nodes on it said, and no node is asked on two paths: so a liar
//! spoils one path. A node that answers late is not waited for, and its answer counts all the same.
//! A node whose word led to silence three times and never to an answer is not believed any more.

mod path;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use pinhole_proto::PeerId;
use pinhole_proto::dht::{Addrs, Contact, Position};

use self::path::Path;
use crate::config::Config;
use pinhole_proto::rng::Rng;

/// Nodes that led to silence so often, and never to an answer, are not believed. SPEC §11.6.
pub const DISBELIEF: u8 = 3;

/// Addresses of one peer that a lookup tries, if several are told. SPEC §11.6.
pub const ADDRESSES: u8 = 3;

/// So many paths remember as many candidates as the configuration says; the others a third.
const FEW_PATHS: usize = 8;

/// One lookup. See the module's notes.
#[derive(Clone, Debug)]
pub struct Lookup {
    target: Position,
    paths: Vec<Path>,
    peers: BTreeMap<PeerId, Peer>,
    /// How those answered that each one named who answered us.
    credits: BTreeMap<Teller, Credit>,
    alpha: usize,
    width: usize,
    list: usize,
    subnet: usize,
    turn: usize,
    queries: usize,
    max_queries: usize,
}

/// A request that should be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query {
    /// To whom.
    pub contact: Contact,
    /// About which point.
    pub near: Position,
    /// How many answers led here, this one included: the round trips from us.
    pub hop: u8,
}

/// What a lookup knows of a peer.
#[derive(Clone, Copy, Debug)]
struct Peer {
    contact: Contact,
    /// Where else it is said to be, and by whom: tried if it does not answer.
    other: Option<(Addrs, Option<Teller>)>,
    /// Addresses that were tried.
    tried: u8,
    position: Position,
    state: State,
    /// The path that asked it, while it is more than `Fresh`.
    path: u16,
    hop: u8,
    /// Who named it; `None` if our own table did.
    teller: Option<Teller>,
}

/// Who named somebody: the first bytes of its id, which is enough to tell a few hundred apart.
type Teller = u64;

/// How those answered that one node named.
#[derive(Clone, Copy, Debug, Default)]
struct Credit {
    silent: u8,
    answered: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Fresh,
    /// Asked, with the time after which it is late.
    Asked(Instant),
    Late,
    Answered,
    Failed,
}

impl Lookup {
    /// A lookup of `target` with one path to each of `points`, beginning at `seeds`.
    #[must_use]
    pub fn new(
        target: Position,
        points: &[Position],
        width: usize,
        seeds: &[Contact],
        config: &Config,
    ) -> Self {
        let mut lookup = Self {
            target,
            paths: Vec::new(),
            peers: BTreeMap::new(),
            credits: BTreeMap::new(),
            alpha: config.alpha,
            width,
            list: config.path_list,
            subnet: config.subnet_in_bucket,
            turn: 0,
            queries: 0,
            max_queries: config.max_queries,
        };
        lookup.open_paths(points, seeds);
        lookup
    }

    /// Opens more paths, which begin at `seeds` and at all that answered so far.
    ///
    /// If there are many, each remembers less.
    pub fn open_paths(&mut self, points: &[Position], seeds: &[Contact]) {
        let known = self.answered().map(|(contact, _)| contact);
        let seeds: Vec<Contact> = seeds.iter().copied().chain(known).collect();
        for point in points {
            let at = self.paths.len();
            let most = if at < FEW_PATHS { self.list } else { self.list / 3 };
            self.paths.push(Path::new(*point, most));
            self.add(at, &seeds, None, 1);
        }
    }

    /// Whom to ask next; `soft` is how long it may take before others are asked meanwhile.
    pub fn next_query(&mut self, now: Instant, soft: Duration) -> Option<Query> {
        if self.queries >= self.max_queries {
            return None;
        }
        for _ in 0..self.paths.len() {
            let at = self.turn % self.paths.len();
            self.turn = self.turn.wrapping_add(1);
            if let Some(peer) = self.next_on_path(at) {
                return self.ask(now, at, peer, soft);
            }
        }
        None
    }

    /// A peer answered and named these nodes. The hop at which it was asked.
    pub fn handle_reply(&mut self, peer: &PeerId, named: &[Contact]) -> Option<u8> {
        let known = self.peers.get_mut(peer)?;
        let was_asked = matches!(known.state, State::Asked(_) | State::Late | State::Failed);
        if !was_asked {
            return None;
        }
        known.state = State::Answered;
        let (path, hop, teller) = (known.path, known.hop, known.teller);
        self.credit(teller, |credit| &mut credit.answered);
        self.add(usize::from(path), named, Some(teller_of(peer)), hop.saturating_add(1));
        Some(hop)
    }

    /// A peer did not answer.
    pub fn handle_failure(&mut self, peer: &PeerId) {
        let Some(known) = self.peers.get_mut(peer) else { return };
        if !matches!(known.state, State::Asked(_) | State::Late) {
            return;
        }
        let teller = known.teller;
        known.state = State::Failed;
        if let Some((addrs, teller)) = known.other.take() {
            known.state = State::Fresh;
            known.contact.addrs = addrs;
            known.teller = teller;
        }
        self.credit(teller, |credit| &mut credit.silent);
    }

    /// Time went by: who has not answered is late.
    pub fn handle_timeout(&mut self, now: Instant) {
        for peer in self.peers.values_mut() {
            if matches!(peer.state, State::Asked(soft) if soft <= now) {
                peer.state = State::Late;
            }
        }
    }

    /// When somebody will be late.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let soft = |peer: &Peer| match peer.state {
            State::Asked(soft) => Some(soft),
            _ => None,
        };
        self.peers.values().filter_map(soft).min()
    }

    /// Whether every path has ended. Ask [`next_query`](Self::next_query) first.
    #[must_use]
    pub fn is_done(&self) -> bool {
        (0..self.paths.len()).all(|at| self.path_is_done(at))
    }

    /// Who answered, and their places; in the order of ids.
    pub fn answered(&self) -> impl Iterator<Item = (Contact, Position)> + '_ {
        let answered = self.peers.values().filter(|peer| peer.state == State::Answered);
        answered.map(|peer| (peer.contact, peer.position))
    }

    /// Who answered or may still: known places whose first `bits` bits are those of the target.
    #[must_use]
    pub fn in_region(&self, bits: u16) -> usize {
        let near = |peer: &&Peer| {
            peer.state != State::Failed
                && peer.position.common_bits(&self.target) >= bits
                && !self.is_disbelieved(peer)
        };
        self.peers.values().filter(near).count()
    }

    /// What the lookup is about.
    #[must_use]
    pub const fn target(&self) -> Position {
        self.target
    }

    /// Requests that were sent.
    #[must_use]
    pub const fn queries(&self) -> usize {
        self.queries
    }

    /// Candidates that are remembered, for limits on memory.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.peers.len()
    }

    fn ask(&mut self, now: Instant, path: usize, peer: PeerId, soft: Duration) -> Option<Query> {
        let known = self.peers.get_mut(&peer)?;
        known.state = State::Asked(now + soft);
        known.tried += 1;
        known.path = path as u16;
        self.queries += 1;
        let near = self.paths[path].point();
        Some(Query { contact: known.contact, near, hop: known.hop })
    }

    /// The nearest that was not asked among the first `width` that are not given up, if the path
    /// has not enough requests under way.
    fn next_on_path(&self, at: usize) -> Option<PeerId> {
        let mut under_way = 0;
        let mut fresh = None;
        for peer in self.front(at) {
            match peer.state {
                State::Asked(_) => under_way += 1,
                State::Fresh => fresh = fresh.or(Some(peer.contact.peer)),
                _ => {}
            }
        }
        fresh.filter(|_| under_way < self.alpha)
    }

    /// Whether nothing is left to ask or to wait for at the front of a path. Late ones are waited
    /// for only if too few answered without them.
    fn path_is_done(&self, at: usize) -> bool {
        let (mut open, mut answered) = (false, 0);
        for peer in self.front(at) {
            match peer.state {
                State::Fresh => open |= self.queries < self.max_queries,
                State::Asked(_) => open = true,
                _ => answered += 1,
            }
        }
        !open && (answered >= self.width || !self.is_waiting(at))
    }

    fn is_waiting(&self, at: usize) -> bool {
        self.peers.values().any(|peer| peer.state == State::Late && usize::from(peer.path) == at)
    }

    /// The first `width` nodes of a path that are neither given up nor late nor another path's,
    /// not more than the limit from one subnet.
    fn front(&self, at: usize) -> impl Iterator<Item = &Peer> {
        let mut subnets = crate::subnet::Subnets::default();
        let usable = self.paths[at].peers().filter_map(move |peer| {
            let peer = self.peers.get(peer)?;
            let usable = match peer.state {
                State::Fresh => !self.is_disbelieved(peer),
                State::Asked(_) | State::Answered => usize::from(peer.path) == at,
                State::Late | State::Failed => false,
            };
            (usable && subnets.try_add(&peer.contact.addrs, self.subnet)).then_some(peer)
        });
        usable.take(self.width)
    }

    fn is_disbelieved(&self, peer: &Peer) -> bool {
        let credit = peer.teller.and_then(|teller| self.credits.get(&teller));
        peer.state == State::Fresh
            && credit.is_some_and(|credit| credit.silent >= DISBELIEF && credit.answered == 0)
    }

    fn credit(&mut self, teller: Option<Teller>, count: impl Fn(&mut Credit) -> &mut u8) {
        if let Some(teller) = teller {
            let count = count(self.credits.entry(teller).or_default());
            *count = count.saturating_add(1);
        }
    }

    fn add(&mut self, path: usize, named: &[Contact], teller: Option<Teller>, hop: u8) {
        for contact in named {
            let position = Position::of_peer(&contact.peer);
            let fresh = Peer {
                contact: *contact,
                other: None,
                tried: 0,
                position,
                state: State::Fresh,
                path: path as u16,
                hop,
                teller,
            };
            let known = *self.peers.entry(contact.peer).or_insert(fresh);
            if self.is_disbelieved(&known) {
                self.peers.insert(contact.peer, fresh);
            } else if known.contact.addrs != contact.addrs {
                self.add_addrs(contact, teller);
            }
            self.paths[path].insert(contact.peer, &position);
        }
        self.trim(path);
    }

    /// Somebody says that a known peer is somewhere else. Who says so may lie, and so may who said
    /// the other: each is tried if the one before does not answer.
    fn add_addrs(&mut self, contact: &Contact, teller: Option<Teller>) {
        let Some(known) = self.peers.get_mut(&contact.peer) else { return };
        match known.state {
            State::Failed if known.tried < ADDRESSES => {
                known.state = State::Fresh;
                known.contact.addrs = contact.addrs;
                known.teller = teller;
            }
            State::Fresh | State::Asked(_) | State::Late if known.tried + 1 < ADDRESSES => {
                known.other = known.other.or(Some((contact.addrs, teller)));
            }
            _ => {}
        }
    }

    /// Forgets what a path has too much, the farthest first, unless it was asked or is on another.
    fn trim(&mut self, at: usize) {
        for peer in self.paths[at].trim() {
            let fresh = self.peers.get(&peer).is_some_and(|known| known.state == State::Fresh);
            if fresh && !self.paths.iter().any(|path| path.contains(&peer)) {
                self.peers.remove(&peer);
            }
        }
    }
}

fn teller_of(peer: &PeerId) -> Teller {
    peer.as_bytes().iter().take(8).fold(0, |bytes, byte| bytes << 8 | u64::from(*byte))
}

/// The points at which the paths of a lookup aim: the target, and one random point in each of the
/// other equal parts of its region, which is all that shares its first `bits` bits. SPEC §11.7.
#[must_use]
pub fn points(target: &Position, bits: u16, paths: usize, rng: &mut Rng) -> Vec<Position> {
    let part_bits = paths.next_power_of_two().trailing_zeros() as u16;
    let point = |part: usize| {
        if part == 0 {
            return *target;
        }
        let random = target.prefix_with(bits, &rng.position());
        (0..part_bits).fold(random, |point, bit| {
            let flip = part >> bit & 1 == 1;
            let at = bits + bit;
            point.with_bit(at, target.bit(at) ^ flip)
        })
    };
    (0..paths).map(point).collect()
}

#[cfg(test)]
mod tests;
