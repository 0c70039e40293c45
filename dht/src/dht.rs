//! [`Dht`]: routing table, lookups and record store as one core. SPEC §11, §12.
//!
//! *Purpose*: find peers and records, keep records for others, and keep the table true with as
//! little traffic as possible. *Inputs*: nodes that were reached or came, requests of others,
//! replies and failures, wishes of the application, the time. *Outputs*: [`Transmit`]s, which name
//! a peer, its addresses and a message, and [`Event`]s. *Not handled*: connections, who may ask,
//! whether we can be reached ([`Dht::handle_role`] is told), storage on disk.
//!
//! The table is kept by what lookups learn. Beside them there are three kinds of upkeep: every
//! publication is a lookup of its own region; now and then a random point is looked up; and one
//! node at a time is checked, those that wait for a free place first.

mod operation;
mod requests;
mod surface;
mod upkeep;

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use pinhole_proto::dht::{
    Contact, FIND_RECORDS_LIMIT, Find, FindRequest, Found, MAX_CONTACTS, MAX_RECORDS, Position,
    Store as StoreExchange, StoreRefusal, Stored, Want,
};
use pinhole_proto::message::Exchange;
use pinhole_proto::record::Body;
use pinhole_proto::{Candidate, List, PeerId, Record, SecretKey, StreamCode, decode, encode};

use self::operation::{Goal, Operation};
use self::requests::Request;
pub use self::surface::{
    DhtError, Event, FailureKind, FindAnswer, OperationId, Outcome, Proof, RequestId, Role, Rpc,
    Transmit,
};
use self::upkeep::{Publication, Upkeep};
use crate::config::Config;
use crate::size::NetworkSize;
use crate::store::Store;
use crate::table::Table;
use crate::timing::Timing;
use pinhole_proto::rng::Rng;

/// The distributed hash table of one node. See the module's notes.
pub struct Dht {
    config: Config,
    key: SecretKey,
    rng: Rng,
    role: Role,
    /// Unix time at some moment.
    clock: (Instant, u64),
    table: Table,
    store: Store,
    size: NetworkSize,
    timing: Timing,
    operations: BTreeMap<OperationId, Operation>,
    requests: BTreeMap<RequestId, Request>,
    publications: BTreeMap<Position, Publication>,
    upkeep: Upkeep,
    next_id: u64,
    transmits: VecDeque<Transmit>,
    events: VecDeque<Event>,
}

impl Dht {
    /// A node that knows nobody; `unix` is the time of the clock on the wall, in seconds.
    #[must_use]
    pub fn new(now: Instant, unix: u64, key: SecretKey, config: Config, rng: Rng) -> Self {
        let us = Position::of_peer(&key.peer_id());
        Self {
            table: Table::new(key.peer_id(), config.clone()),
            store: Store::new(us, &config),
            upkeep: Upkeep::default(),
            config,
            key,
            rng,
            role: Role::Client,
            clock: (now, unix),
            size: NetworkSize::default(),
            timing: Timing::default(),
            operations: BTreeMap::new(),
            requests: BTreeMap::new(),
            publications: BTreeMap::new(),
            next_id: 0,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// The clock on the wall was set.
    pub const fn handle_clock(&mut self, now: Instant, unix: u64) {
        self.clock = (now, unix);
    }

    /// Whether others can reach us, as the node believes. A client serves nobody.
    pub const fn handle_role(&mut self, role: Role) {
        self.role = role;
    }

    /// Asks a node that somebody configured, or that is remembered from before.
    pub fn handle_seed(&mut self, now: Instant, contact: Contact) {
        if contact.peer != self.table.me() && self.has_capacity() {
            self.send_check(now, contact, false);
        }
    }

    /// The node dialed a peer that serves `find/1` at this address, for reasons of its own.
    pub fn handle_reached(&mut self, now: Instant, contact: Contact) {
        self.reached(now, contact);
        self.drive(now);
    }

    /// A peer that said that it serves came to us from this address, over a connection that is
    /// confirmed.
    pub fn handle_came(&mut self, now: Instant, contact: Contact) {
        let known = self.table.knows(&contact.peer);
        self.table.handle_came(now, contact);
        if !known {
            self.newcomer(now, &contact);
        }
        if self.table.is_empty() && self.requests.is_empty() {
            // The first of a network knows nobody else whom it could ask.
            self.send_check(now, contact, true);
        }
    }

    /// Answers a request of `find/1`; may be early data, so it changes nothing.
    ///
    /// # Errors
    /// The code with which the stream is to be refused.
    pub fn handle_find(&mut self, now: Instant, body: &[u8]) -> Result<FindAnswer, StreamCode> {
        let request: FindRequest = decode(body).map_err(|error| error.code())?;
        let records = match request.want {
            Want::Records(place) => self.records_at(now, &place),
            _ => Vec::new(),
        };
        let contacts = self.table.closest(&request.near, self.config.k.min(MAX_CONTACTS));
        let mut found =
            Found { records: List::of_first(records), contacts: List::of_first(contacts) };
        loop {
            if let Ok(body) = encode(&found, Find::REPLY_LIMIT) {
                return Ok(FindAnswer { body, serves: request.serves });
            }
            let mut contacts = found.contacts.into_vec();
            if contacts.pop().is_none() {
                return Err(StreamCode::Internal);
            }
            found.contacts = List::of_first(contacts);
        }
    }

    /// Answers a request of `store/1` from a confirmed peer at this address.
    ///
    /// # Errors
    /// The code with which the stream is to be refused.
    pub fn handle_store(
        &mut self,
        now: Instant,
        source: IpAddr,
        body: &[u8],
    ) -> Result<Vec<u8>, StreamCode> {
        let record: Record = decode(body).map_err(|error| error.code())?;
        let stored = if self.role == Role::Client {
            Stored::Refused(StoreRefusal::NotServing)
        } else if record.verify().is_err() {
            Stored::Refused(StoreRefusal::Invalid)
        } else {
            self.store.handle_record(self.unix(now), source, record)
        };
        encode(&stored, StoreExchange::REPLY_LIMIT).map_err(|_| StreamCode::Internal)
    }

    /// A request was answered. `dialed` is the address that we dialed; `None` if the connection
    /// was opened by the other side.
    pub fn handle_reply(
        &mut self,
        now: Instant,
        id: RequestId,
        dialed: Option<SocketAddr>,
        body: &[u8],
    ) {
        if let Some(request) = self.requests.remove(&id) {
            self.answered(now, request, dialed, body);
            self.drive(now);
        }
    }

    /// A request was not answered.
    pub fn handle_failure(&mut self, now: Instant, id: RequestId, kind: FailureKind) {
        if let Some(request) = self.requests.remove(&id) {
            self.failed(request, kind);
            self.drive(now);
        }
    }

    /// Time went by.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.give_up_late(now);
        self.operations.values_mut().for_each(|operation| operation.lookup.handle_timeout(now));
        self.keep_up(now);
        self.drive(now);
    }

    /// Looks for the addresses of a peer: [`Event::Located`], as often as there is something new.
    ///
    /// # Errors
    /// [`DhtError`].
    pub fn locate(&mut self, now: Instant, peer: PeerId) -> Result<OperationId, DhtError> {
        self.start(now, Goal::Locate(peer), Position::of_peer(&peer))
    }

    /// Looks for a value: [`Event::Record`], and again for a newer one.
    ///
    /// # Errors
    /// [`DhtError`].
    pub fn value(
        &mut self,
        now: Instant,
        owner: PeerId,
        name: &str,
    ) -> Result<OperationId, DhtError> {
        self.start(now, Goal::Value, Position::of_value(&owner, name))
    }

    /// Looks for providers of a topic or content key: one [`Event::Record`] for each.
    ///
    /// # Errors
    /// [`DhtError`].
    pub fn providers(&mut self, now: Instant, topic: &[u8; 32]) -> Result<OperationId, DhtError> {
        self.start(now, Goal::Providers, Position::of_topic(topic))
    }

    /// Stores a record once.
    ///
    /// # Errors
    /// [`DhtError`]; [`DhtError::Record`] for one that others would refuse.
    pub fn put(&mut self, now: Instant, record: Record) -> Result<OperationId, DhtError> {
        record.verify()?;
        record.check_time(self.unix(now))?;
        let place = record.position();
        self.start(now, Goal::Put(Box::new(record)), place)
    }

    /// Signs and stores a record of ours now, and again and again until
    /// [`unpublish`](Self::unpublish): a value, or an announcement as a provider. It lives for
    /// `life` from each publication.
    ///
    /// # Errors
    /// [`DhtError`]; nothing will be published.
    pub fn publish(
        &mut self,
        now: Instant,
        body: Body,
        sequence: u64,
        life: Duration,
    ) -> Result<Position, DhtError> {
        let publication = Publication::new(body, sequence, life, now);
        let record = self.sign(now, &publication)?;
        record.check_time(self.unix(now))?;
        let place = record.position();
        let known = self.publications.contains_key(&place);
        if !known && self.publications.len() >= self.config.max_publications {
            return Err(DhtError::Busy);
        }
        self.publications.insert(place, publication);
        self.keep_up(now);
        self.drive(now);
        Ok(place)
    }

    /// Publishes no more. What others keep stays until it expires.
    pub fn unpublish(&mut self, place: &Position) {
        self.publications.remove(place);
    }

    /// Where we can be reached, published for who looks for us; empty to publish no more.
    ///
    /// # Errors
    /// [`DhtError::Record`] if the candidates are too long for a record.
    pub fn handle_addresses(
        &mut self,
        now: Instant,
        candidates: Vec<Candidate>,
    ) -> Result<(), DhtError> {
        let place = self.table.us();
        if candidates.is_empty() {
            self.unpublish(&place);
            return Ok(());
        }
        let body = Body::Address { candidates: List::of_first(candidates) };
        let before = self.publications.get(&place);
        if before.is_some_and(|before| before.body == body) {
            return Ok(());
        }
        let sequence = self.unix(now).max(before.map_or(0, |before| before.sequence + 1));
        let life = self.config.address_life;
        self.publish(now, body, sequence, life).map(drop)
    }

    /// Ends an operation without an event; replies under way still serve the table.
    pub fn cancel(&mut self, operation: OperationId) {
        self.operations.remove(&operation);
    }

    /// What to send next.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// What happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let late = self.operations.values().filter_map(|operation| operation.lookup.poll_timeout());
        let given_up = self.requests.values().map(|request| request.give_up);
        late.chain(given_up).chain(self.next_upkeep()).min()
    }

    /// The routing table.
    #[must_use]
    pub const fn table(&self) -> &Table {
        &self.table
    }

    /// The record store.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// How large the network seems to be.
    #[must_use]
    pub const fn size(&self) -> &NetworkSize {
        &self.size
    }

    /// Operations under way.
    #[must_use]
    pub fn operations(&self) -> usize {
        self.operations.len()
    }

    fn records_at(&mut self, now: Instant, place: &Position) -> Vec<Record> {
        let unix = self.unix(now);
        self.store.at(unix, place, MAX_RECORDS, FIND_RECORDS_LIMIT, &mut self.rng)
    }

    fn unix(&self, now: Instant) -> u64 {
        let (at, unix) = self.clock;
        unix.saturating_add(now.saturating_duration_since(at).as_secs())
    }

    fn sign(&self, now: Instant, publication: &Publication) -> Result<Record, DhtError> {
        let expires = self.unix(now).saturating_add(publication.life.as_secs());
        Ok(Record::sign(&self.key, publication.body.clone(), publication.sequence, expires)?)
    }

    fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn reached(&mut self, now: Instant, contact: Contact) {
        let first = self.table.is_empty();
        let known = self.table.knows(&contact.peer);
        self.table.handle_reached(now, contact);
        if !known {
            self.newcomer(now, &contact);
        }
        if first && !self.table.is_empty() {
            self.join(now);
        }
    }
}

#[cfg(test)]
mod tests;
