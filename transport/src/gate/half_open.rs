//! Connections that are opening: admitted, and not confirmed yet (SPEC §5.4, §5.5).

use std::{collections::BTreeMap, net::SocketAddr, time::Instant};

use pinhole_proto::PeerId;

use super::{Admitted, HALF_OPEN_TIME};
use crate::handshake::Secret;

/// Sources of one dialer to which answers go (SPEC §5.5).
const MAX_SOURCES: usize = 3;
/// Bytes sent to a source for each byte that came from it (RFC 9000 §8.1).
const AMPLIFICATION: usize = 3;
/// Confirmed connections whose last Initials are still let through, in multiples of the cap.
const LINGERING: usize = 4;
/// Connection ids of one entry: that of the first Initial, and ours.
const MAX_CIDS: usize = 4;

/// Whether another connection may open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Room,
    /// Only for a dialer that has shown its address by a Retry token.
    MustValidate,
    Full,
}

/// Entries are named by the ephemeral key of their Hello.
type Id = [u8; 32];

pub(super) struct HalfOpenTable {
    max: usize,
    entries: BTreeMap<Id, HalfOpen>,
    by_cid: BTreeMap<Vec<u8>, Id>,
}

pub(crate) struct HalfOpen {
    /// Boxed, and gone once quinn has read the Hello: the entry stays for a while.
    admitted: Option<Box<Admitted>>,
    dialer: PeerId,
    counter: u64,
    secret: Secret,
    dialer_cid: Vec<u8>,
    cids: Vec<Vec<u8>>,
    sources: Vec<Source>,
    admitted_at: Instant,
    expires: Instant,
    must_validate: bool,
    /// A Retry token has shown that the first source is the dialer's address.
    validated: bool,
    settled: bool,
}

struct Source {
    addr: SocketAddr,
    received: usize,
    sent: usize,
}

impl HalfOpen {
    pub(super) fn new(
        admitted: Admitted,
        secret: Secret,
        dialer_cid: &[u8],
        (addr, received): (SocketAddr, usize),
        now: Instant,
        must_validate: bool,
    ) -> Self {
        let hello = &admitted.acceptor.hello;
        Self {
            dialer: hello.dialer,
            counter: hello.counter,
            admitted: Some(Box::new(admitted)),
            secret,
            dialer_cid: dialer_cid.to_vec(),
            cids: Vec::new(),
            sources: vec![Source { addr, received, sent: 0 }],
            admitted_at: now,
            expires: now + HALF_OPEN_TIME,
            must_validate,
            validated: false,
            settled: false,
        }
    }

    pub(super) fn knows(&self, source: SocketAddr) -> bool {
        self.sources.len() >= MAX_SOURCES || self.sources.iter().any(|s| s.addr == source)
    }

    /// Whether the dialer may still confirm.
    pub(super) fn is_opening(&self, now: Instant) -> bool {
        !self.settled && now < self.expires
    }

    /// When it was admitted.
    pub(super) fn admitted_at(&self) -> Instant {
        self.admitted_at
    }

    /// Whether QUIC took up the connection.
    pub(super) fn was_taken(&self) -> bool {
        self.admitted.is_none()
    }

    pub(super) fn secret(&self) -> &Secret {
        &self.secret
    }

    pub(super) fn must_validate(&self) -> bool {
        self.must_validate
    }

    fn received(&mut self, source: SocketAddr, len: usize) {
        if let Some(source) = self.sources.iter_mut().find(|s| s.addr == source) {
            source.received = source.received.saturating_add(len);
        }
    }

    /// The source by which QUIC knows the dialer: it never leaves it during the handshake.
    pub(super) fn known_as(&self) -> Option<SocketAddr> {
        let first = self.sources.first().map(|source| source.addr);
        first.filter(|_| !self.settled)
    }

    /// Whether QUIC means this dialer when it sends to `destination`.
    fn is_to(&self, destination: SocketAddr) -> bool {
        self.sources.first().is_some_and(|source| source.addr == destination)
    }

    /// Whether `len` bytes more may go to `destination`; counts them if so.
    fn spend(&mut self, destination: SocketAddr, len: usize) -> bool {
        let shown = self.validated;
        let source = self.sources.iter_mut().find(|source| source.addr == destination);
        source.is_none_or(|source| {
            let allowed = shown || source.allows(len);
            source.sent += if allowed { len } else { 0 };
            allowed
        })
    }

    /// All the addresses to which `len` bytes for `destination` go.
    fn targets(&mut self, destination: SocketAddr, len: usize) -> Vec<SocketAddr> {
        let mut targets = self.others(destination, len);
        if self.spend(destination, len) {
            targets.push(destination);
        }
        targets
    }

    /// The sources other than `destination` that may get `len` bytes more.
    fn others(&mut self, destination: SocketAddr, len: usize) -> Vec<SocketAddr> {
        let others = self.sources.iter_mut().filter(|source| source.addr != destination);
        let allowed = others.filter(|source| source.allows(len));
        allowed
            .map(|source| {
                source.sent += len;
                source.addr
            })
            .collect()
    }
}

impl Source {
    fn allows(&self, len: usize) -> bool {
        self.sent.saturating_add(len) <= self.received.saturating_mul(AMPLIFICATION)
    }
}

impl HalfOpenTable {
    pub(super) fn new(max: usize) -> Self {
        Self { max, entries: BTreeMap::new(), by_cid: BTreeMap::new() }
    }

    pub(super) fn unconfirmed(&self) -> usize {
        self.entries.values().filter(|entry| !entry.settled).count()
    }

    /// Entries of which not only the packets with a long header are counted or copied.
    pub(super) fn watched(&self) -> usize {
        self.entries.values().filter(|entry| !entry.settled || entry.sources.len() > 1).count()
    }

    #[cfg(any(test, feature = "testing"))]
    pub(super) fn sizes(&self) -> (usize, usize) {
        (self.entries.len(), self.by_cid.len())
    }

    /// Forgets what expired, and says whether there is room for one more.
    pub(super) fn standing(&mut self, now: Instant, has_token: bool) -> Standing {
        self.expire(now);
        match self.unconfirmed() {
            open if open < self.max => Standing::Room,
            open if has_token && open >= 2 * self.max => Standing::Full,
            _ => Standing::MustValidate,
        }
    }

    fn expire(&mut self, now: Instant) {
        let expired: Vec<Id> =
            self.entries.iter().filter(|(_, e)| e.expires <= now).map(|(id, _)| *id).collect();
        expired.iter().for_each(|id| self.remove(id));
    }

    pub(super) fn insert(&mut self, id: Id, entry: HalfOpen, dcid: &[u8]) {
        if self.entries.len() >= (LINGERING + 2) * self.max {
            let settled = self.entries.iter().filter(|(_, e)| e.settled);
            let oldest = settled.min_by_key(|(_, e)| e.expires).map(|(id, _)| *id);
            oldest.iter().for_each(|id| self.remove(id));
        }
        self.entries.insert(id, entry);
        self.add_cid(id, dcid);
    }

    fn remove(&mut self, id: &Id) {
        for cid in self.entries.remove(id).map(|entry| entry.cids).unwrap_or_default() {
            self.by_cid.remove(&cid);
        }
    }

    pub(super) fn forget(&mut self, cid: &[u8]) {
        if let Some(id) = self.by_cid.get(cid).copied() {
            self.remove(&id);
        }
    }

    fn add_cid(&mut self, id: Id, cid: &[u8]) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        if entry.cids.len() < MAX_CIDS && !entry.cids.iter().any(|known| known == cid) {
            entry.cids.push(cid.to_vec());
            self.by_cid.insert(cid.to_vec(), id);
        }
    }

    pub(super) fn of_cid(&self, cid: &[u8]) -> Option<&HalfOpen> {
        self.by_cid.get(cid).and_then(|id| self.entries.get(id))
    }

    pub(super) fn contains(&self, id: &Id) -> bool {
        self.entries.contains_key(id)
    }

    /// A Retry token has shown that `source` is the address of a dialer: whether one of them waits
    /// to be taken up.
    pub(super) fn validate(&mut self, source: SocketAddr) -> bool {
        let from = |entry: &&mut HalfOpen| entry.sources.iter().any(|s| s.addr == source);
        let waiting = self.entries.values_mut().filter(|entry| !entry.was_taken()).find(from);
        waiting.is_some_and(|entry| {
            entry.validated = true;
            true
        })
    }

    fn of_cid_mut(&mut self, cid: &[u8]) -> Option<&mut HalfOpen> {
        self.by_cid.get(cid).and_then(|id| self.entries.get_mut(id))
    }

    pub(super) fn received(&mut self, cid: &[u8], source: SocketAddr, len: usize) {
        if let Some(entry) = self.of_cid_mut(cid) {
            entry.received(source, len);
        }
    }

    pub(super) fn add_source(&mut self, cid: &[u8], addr: SocketAddr, received: usize) {
        if let Some(entry) = self.of_cid_mut(cid)
            && !entry.settled
        {
            entry.sources.push(Source { addr, received, sent: 0 });
        }
    }

    pub(super) fn take_admitted(&mut self, id: &Id) -> Option<Box<Admitted>> {
        self.entries.get_mut(id)?.admitted.take()
    }

    /// A datagram of ours leaves for `destination`: all the addresses to which it goes. `cids` are
    /// those of a long header: the dialer's, and ours.
    pub(super) fn sent(
        &mut self,
        now: Instant,
        cids: Option<(&[u8], &[u8])>,
        destination: SocketAddr,
        len: usize,
    ) -> Vec<SocketAddr> {
        self.expire(now);
        let Some((dcid, ours)) = cids else { return self.copies(destination, len) };
        let opening = self.entries.iter_mut().find(|(_, entry)| {
            !entry.settled && entry.is_to(destination) && entry.dialer_cid == dcid
        });
        let Some((&id, entry)) = opening else { return self.copies(destination, len) };
        let targets = entry.targets(destination, len);
        self.add_cid(id, ours);
        targets
    }

    /// Where a datagram goes that does not say of which connection with `destination` it is. It may
    /// be an established one, so nothing is held back here; but it counts for those that are opening.
    fn copies(&mut self, destination: SocketAddr, len: usize) -> Vec<SocketAddr> {
        let opening = self.entries.values_mut().filter(|e| !e.settled && e.is_to(destination));
        opening.flat_map(|entry| entry.sources.first_mut()).for_each(|first| first.sent += len);
        let confirmed = self.entries.values_mut().filter(|e| e.settled && e.is_to(destination));
        let newest = confirmed.max_by_key(|entry| entry.expires);
        let mut targets = newest.map_or(Vec::new(), |entry| entry.others(destination, len));
        targets.push(destination);
        targets
    }

    pub(super) fn settle(&mut self, dialer: &PeerId, counter: u64) {
        let entries = self.entries.values_mut();
        entries
            .filter(|entry| entry.dialer == *dialer && entry.counter == counter)
            .for_each(|entry| entry.settled = true);
    }
}
