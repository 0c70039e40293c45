//! Where the packets of dialed connections really go (core), SPEC §8.3.
//!
//! *Purpose*: quinn knows each dialed peer by one synthetic address; this table maps it to the
//! candidate that answers, and races the candidates until one does.
//!
//! *Inputs*: the candidates of a dial, datagrams that quinn sends to a synthetic address,
//! datagrams that come in for a dialed connection, and time.
//!
//! *Outputs*: a `Route` for each datagram out, datagrams to send by itself, and the synthetic
//! address of each datagram in.
//!
//! *Not handled*: resolving names, sockets, and connections that we accepted (quinn follows those
//! by migration).

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    net::{Ipv6Addr, SocketAddr, SocketAddrV6},
    time::{Duration, Instant},
};

use crate::{
    handshake::{InitialSalt, InitialSecrets, Secret},
    packet::{self, Initial, Kind},
    session,
};
use subtle::ConstantTimeEq;

/// Candidates that one dial tries (SPEC §8.3).
pub(crate) const MAX_CANDIDATES: usize = pinhole_proto::MAX_CANDIDATES;
/// Initials that one candidate gets without an answer (SPEC §8.3).
pub(crate) const INITIALS_PER_CANDIDATE: usize = 4;
/// Time between the starts of two candidates (SPEC §8.3, after RFC 8305 §5).
pub(crate) const STAGGER: Duration = Duration::from_millis(250);
/// How long a closed connection keeps its address, for its last packets (SPEC §8.3).
const LINGER: Duration = Duration::from_secs(10);
/// Datagrams kept until a candidate answers.
const MAX_HELD: usize = 8;
/// The network part of synthetic addresses, `fd70:696e:686f:6c65::/64`: "pinhole" in an ULA.
const SYNTHETIC_PREFIX: [u16; 4] = [0xfd70, 0x696e, 0x686f, 0x6c65];

/// Names one dial, for as long as its connection lives.
pub(crate) type DialId = u64;

/// Where a datagram that quinn sends should go.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// Along the chosen path.
    To(SocketAddr),
    /// Along every path that is being raced.
    Race(Vec<SocketAddr>),
    /// Nowhere for now: it leaves when a candidate has answered, or the dial is gone.
    Held,
}

pub(crate) struct Paths {
    version: u32,
    next_id: DialId,
    dials: BTreeMap<DialId, Dial>,
    by_cid: HashMap<Vec<u8>, DialId>,
    /// The dials that were answered from an address, the last one last: for connection ids that
    /// quinn gave out later, of which we know nothing.
    by_addr: HashMap<SocketAddr, Vec<DialId>>,
    transmits: VecDeque<(SocketAddr, Vec<u8>)>,
}

struct Dial {
    state: State,
    cid: Option<Vec<u8>>,
    closed: Option<Instant>,
}

enum State {
    Racing(Race),
    Chosen(SocketAddr),
}

struct Race {
    salt: InitialSalt,
    /// The connection id of the first Initial, and the responder's Initial secret that follows
    /// from it; known once it left.
    initial: Option<(Vec<u8>, Secret)>,
    /// The datagram that is raced: the last with an Initial in it.
    first: Option<Vec<u8>>,
    held: Vec<Vec<u8>>,
    candidates: Vec<Candidate>,
    /// Candidates that were tried so far, from the front.
    started: usize,
    next_start: Instant,
}

struct Candidate {
    addr: SocketAddr,
    sent: usize,
}

impl Paths {
    pub(crate) fn new(version: u32) -> Self {
        Self {
            version,
            next_id: 1,
            dials: BTreeMap::new(),
            by_cid: HashMap::new(),
            by_addr: HashMap::new(),
            transmits: VecDeque::new(),
        }
    }

    /// Begins a dial; its connection has the address `synthetic(id)`.
    pub(crate) fn insert(
        &mut self,
        now: Instant,
        salt: InitialSalt,
        candidates: &[SocketAddr],
    ) -> DialId {
        self.sweep(now);
        let id = self.next_id;
        self.next_id += 1;
        let candidates: Vec<_> = candidates
            .iter()
            .take(MAX_CANDIDATES)
            .map(|&addr| Candidate { addr, sent: 0 })
            .collect();
        let race = Race {
            salt,
            initial: None,
            first: None,
            held: Vec::new(),
            candidates,
            started: 0,
            next_start: now,
        };
        self.dials.insert(id, Dial { state: State::Racing(race), cid: None, closed: None });
        id
    }

    /// The connection is over. Its address stays for a while, if it has one: a dial that nobody
    /// answered sends nothing more.
    pub(crate) fn handle_closed(&mut self, id: DialId, now: Instant) {
        if let Some(dial) = self.dials.get_mut(&id) {
            dial.closed.get_or_insert(now);
        }
    }

    fn sweep(&mut self, now: Instant) {
        let over = |dial: &Dial| dial.closed.is_some_and(|at| now >= at + LINGER);
        let gone: Vec<_> = self.dials.iter().filter(|(_, d)| over(d)).map(|(id, _)| *id).collect();
        for id in gone {
            if let Some(cid) = self.dials.remove(&id).and_then(|dial| dial.cid) {
                self.by_cid.remove(&cid);
            }
        }
        self.by_addr.retain(|_, ids| {
            ids.retain(|id| self.dials.contains_key(id));
            !ids.is_empty()
        });
    }

    /// The address to which the packets of a dial go, once one has answered.
    pub(crate) fn chosen(&self, id: DialId) -> Option<SocketAddr> {
        match self.dials.get(&id)?.state {
            State::Chosen(addr) => Some(addr),
            State::Racing(_) => None,
        }
    }

    /// quinn sends `datagram` to the synthetic address of `id`.
    pub(crate) fn handle_transmit(&mut self, now: Instant, id: DialId, datagram: &[u8]) -> Route {
        let Some(dial) = self.dials.get_mut(&id) else { return Route::Held };
        let race = match &mut dial.state {
            State::Chosen(addr) => return Route::To(*addr),
            // Given up before anybody answered: there is nobody to take leave of.
            State::Racing(_) if dial.closed.is_some() => return Route::Held,
            State::Racing(race) => race,
        };
        match packet::classify(datagram, self.version) {
            Kind::Long { initial: true, dcid, scid, .. } => {
                if dial.cid.is_none() {
                    dial.cid = Some(scid.to_vec());
                    self.by_cid.insert(scid.to_vec(), id);
                }
                race.initial.get_or_insert_with(|| {
                    (dcid.to_vec(), InitialSecrets::new(&race.salt, dcid).responder)
                });
                race.first = Some(datagram.to_vec());
                race.start_due(now);
                Route::Race(race.next_targets())
            }
            _ => race.hold(datagram),
        }
    }

    /// A datagram came in for a connection that we dialed: whose is it?
    pub(crate) fn handle_datagram(
        &mut self,
        source: SocketAddr,
        datagram: &[u8],
    ) -> Option<DialId> {
        match packet::classify(datagram, self.version) {
            Kind::Short { dcid } => {
                self.by_cid.get(dcid).copied().or_else(|| self.newest_at(source))
            }
            Kind::Long { initial, retry, dcid, .. } => {
                let id = *self.by_cid.get(dcid)?;
                self.answered(id, source, datagram, initial, retry).then_some(id)
            }
            Kind::Other => None,
        }
    }

    /// Notes that a candidate answered; false if the datagram proves nothing and must be dropped.
    fn answered(
        &mut self,
        id: DialId,
        source: SocketAddr,
        datagram: &[u8],
        initial: bool,
        retry: bool,
    ) -> bool {
        let Some(dial) = self.dials.get_mut(&id) else { return false };
        let race = match &mut dial.state {
            State::Racing(race) => race,
            // quinn takes one Retry, and must not see a forged one: it would take no other.
            State::Chosen(_) => return !retry,
        };
        let authentic = match (retry, initial) {
            (true, _) => race.authenticates_retry(datagram),
            (false, true) => race.authenticates(datagram),
            (false, false) => false,
        };
        // Only a place that was dialed can answer (an address the peer uses besides comes later,
        // by migration).
        if !authentic || !race.candidates.iter().any(|c| c.addr == source && c.sent > 0) {
            return false;
        }
        let held = std::mem::take(&mut race.held);
        self.transmits.extend(held.into_iter().map(|datagram| (source, datagram)));
        dial.state = State::Chosen(source);
        self.by_addr.entry(source).or_default().push(id);
        true
    }

    /// The newest dial that was answered from `addr`, one that is not over if there is one. With
    /// two live connections to one address the older one's packets may be taken for the newer's;
    /// the node keeps only one (SPEC §8.5).
    fn newest_at(&self, addr: SocketAddr) -> Option<DialId> {
        let ids = self.by_addr.get(&addr)?;
        let live = |id: &&DialId| self.dials.get(id).is_some_and(|dial| dial.closed.is_none());
        ids.iter().rev().find(live).or(ids.last()).copied()
    }

    /// Starts the candidates whose time has come.
    pub(crate) fn handle_timeout(&mut self, now: Instant, id: DialId) {
        let Some(Dial { state: State::Racing(race), closed: None, .. }) = self.dials.get_mut(&id)
        else {
            return;
        };
        let Some(first) = race.first.clone() else {
            race.next_start = now + STAGGER; // quinn has not sent its first datagram yet
            return;
        };
        let before = race.started;
        race.start_due(now);
        for candidate in &mut race.candidates[before..race.started] {
            candidate.sent += 1;
            self.transmits.push_back((candidate.addr, first.clone()));
        }
    }

    /// When the next candidate of `id` starts.
    pub(crate) fn poll_timeout(&self, id: DialId) -> Option<Instant> {
        match self.dials.get(&id) {
            Some(Dial { state: State::Racing(race), closed: None, .. }) => {
                (race.started < race.candidates.len()).then_some(race.next_start)
            }
            _ => None,
        }
    }

    /// A datagram that leaves now, besides what quinn sends.
    pub(crate) fn poll_transmit(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        self.transmits.pop_front()
    }
}

impl Race {
    fn start_due(&mut self, now: Instant) {
        while self.started < self.candidates.len() && now >= self.next_start {
            self.started += 1;
            self.next_start = now + STAGGER;
        }
    }

    /// The candidates that get the next Initial of quinn.
    fn next_targets(&mut self) -> Vec<SocketAddr> {
        self.candidates[..self.started]
            .iter_mut()
            .filter(|candidate| candidate.sent < INITIALS_PER_CANDIDATE)
            .map(|candidate| {
                candidate.sent += 1;
                candidate.addr
            })
            .collect()
    }

    /// Early data follows its Initial at once where there is nothing to choose.
    fn hold(&mut self, datagram: &[u8]) -> Route {
        if let [only] = &self.candidates[..] {
            return Route::To(only.addr);
        }
        if self.held.len() < MAX_HELD {
            self.held.push(datagram.to_vec());
        }
        Route::Held
    }

    fn authenticates(&self, datagram: &[u8]) -> bool {
        let opened = self.initial.as_ref().zip(Initial::parse(datagram));
        opened.is_some_and(|((_, secret), initial)| initial.open(secret).is_some())
    }

    /// A Retry is a whole datagram, with its tag at the end (RFC 9000 §17.2.5).
    fn authenticates_retry(&self, datagram: &[u8]) -> bool {
        let parts = self.initial.as_ref().zip(datagram.split_last_chunk::<16>());
        parts.is_some_and(|((dcid, _), (packet, tag))| {
            session::retry_tag(&self.salt, dcid, packet).ct_eq(tag).into()
        })
    }
}

/// The address by which quinn knows the connection of a dial.
pub(crate) fn synthetic(id: DialId) -> SocketAddr {
    let mut segments = [0; 8];
    segments[..4].copy_from_slice(&SYNTHETIC_PREFIX);
    for (segment, shift) in segments[4..].iter_mut().zip([48, 32, 16, 0]) {
        *segment = (id >> shift & 0xffff) as u16;
    }
    SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::from(segments), 1, 0, 0))
}

/// The dial whose synthetic address this is.
pub(crate) fn dial_id(addr: SocketAddr) -> Option<DialId> {
    let SocketAddr::V6(addr) = addr else { return None };
    let segments = addr.ip().segments();
    (segments[..4] == SYNTHETIC_PREFIX)
        .then(|| segments[4..].iter().fold(0, |id, segment| id << 16 | u64::from(*segment)))
}
