//! Operations: a lookup, and what is to be found or done at its end.

use std::time::Instant;

use pinhole_proto::dht::{Contact, Position};
use pinhole_proto::record::Body;
use pinhole_proto::{Candidate, PeerId, Record, encode};

use super::requests::Purpose;
use super::surface::{DhtError, Event, OperationId, Outcome, Proof, Rpc};
use super::{Dht, Exchange, StoreExchange, Stored};
use crate::config::{CROWDED, Config};
use crate::lookup::{Lookup, points};
use crate::subnet::Subnets;

/// Answers that end a path of a lookup of a random point.
const REFRESH_WIDTH: usize = 4;
/// Addresses of one peer that are reported without a signature.
const MAX_NAMED: usize = 8;

/// What an operation is for.
#[derive(Clone, Debug)]
pub(super) enum Goal {
    /// To know the nodes around a random point.
    Refresh,
    /// To know the nodes around ourselves.
    Join,
    /// The addresses of a peer.
    Locate(PeerId),
    /// A value.
    Value,
    /// Providers.
    Providers,
    /// To have a record kept.
    Put(Box<Record>),
}

/// An operation under way.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) goal: Goal,
    pub(super) lookup: Lookup,
    /// Leading bits that the region shares.
    bits: u16,
    /// More paths were opened.
    extended: bool,
    /// The best records so far, one of each owner.
    records: Vec<Record>,
    /// Subnets of those that had the best record.
    agree: Subnets,
    agreed: usize,
    named: Vec<std::net::SocketAddr>,
    /// Stores that are under way, once the lookup is over.
    storing: Option<usize>,
    outcome: Outcome,
}

impl Dht {
    pub(super) fn start(
        &mut self,
        now: Instant,
        goal: Goal,
        target: Position,
    ) -> Result<OperationId, DhtError> {
        if self.operations.len() >= self.config.max_operations {
            return Err(DhtError::Busy);
        }
        let mut seeds = self.table.closest(&target, self.config.k);
        if !seeds.is_empty() && seeds.len() < self.config.k {
            // With few entries the paths would begin at one node; those that it named are better.
            let most = self.config.k - seeds.len();
            seeds.extend(self.table.named(most));
        }
        if seeds.is_empty() {
            return Err(DhtError::NoContacts);
        }
        let bits = self.size.region_bits(self.config.region);
        let Config { paths, width, .. } = self.config;
        let (points, width) = match goal {
            Goal::Refresh => (vec![target; 2], REFRESH_WIDTH),
            Goal::Join => (vec![target; paths], width),
            _ => (points(&target, bits, paths, &mut self.rng), width),
        };
        let id = OperationId(self.new_id());
        let operation = Operation {
            goal,
            lookup: Lookup::new(target, &points, width, &seeds, &self.config),
            bits,
            extended: false,
            records: Vec::new(),
            agree: Subnets::default(),
            agreed: 0,
            named: Vec::new(),
            storing: None,
            outcome: Outcome::default(),
        };
        self.operations.insert(id, operation);
        self.look_at_home(now, id, target);
        self.drive(now);
        Ok(id)
    }

    /// What we know ourselves takes no round trip.
    fn look_at_home(&mut self, now: Instant, id: OperationId, target: Position) {
        let Some(operation) = self.operations.get(&id) else { return };
        if let Goal::Locate(peer) = operation.goal
            && let Some(entry) = self.table.entry(&peer)
        {
            let contact = entry.contact;
            self.located(id, contact, 0, Proof::Named);
        }
        let records = self.records_at(now, &target);
        self.found_records(now, id, None, 0, records);
    }

    /// Sends what the operations want to send, and ends those that are over.
    pub(super) fn drive(&mut self, now: Instant) {
        let ids: Vec<OperationId> = self.operations.keys().copied().collect();
        for id in ids {
            self.drive_one(now, id);
        }
    }

    fn drive_one(&mut self, now: Instant, id: OperationId) {
        let soft = self.timing.late();
        while self.has_capacity() {
            let Some(operation) = self.operations.get_mut(&id) else { return };
            if operation.storing.is_some() {
                break;
            }
            let Some(query) = operation.lookup.next_query(now, soft) else { break };
            self.send_query(now, id, query);
        }
        let Some(operation) = self.operations.get_mut(&id) else { return };
        match operation.storing {
            Some(0) => self.finish(id),
            Some(_) => {}
            None if operation.lookup.is_done() => self.lookup_is_over(now, id),
            None => {}
        }
    }

    fn lookup_is_over(&mut self, now: Instant, id: OperationId) {
        if self.goes_on(id) {
            return self.drive_one(now, id);
        }
        let Some(operation) = self.operations.get(&id) else { return };
        match &operation.goal {
            Goal::Put(record) => {
                let record = record.clone();
                self.store_record(now, id, &record);
            }
            Goal::Refresh => {
                let target = operation.lookup.target();
                let places = operation.lookup.answered().map(|(_, place)| place);
                self.size.handle_lookup(&target, places, REFRESH_WIDTH * 2);
                self.finish(id);
            }
            Goal::Join => {
                let target = operation.lookup.target();
                let places = operation.lookup.answered().map(|(_, place)| place);
                self.size.handle_own(&target, places, self.config.k);
                let answered = operation.lookup.answered().count();
                // Those around us are connected now: the first publication goes to them.
                let us = self.table.us();
                let own = self.publications.get(&us).map(|own| self.sign(now, own));
                match own {
                    Some(Ok(record)) => self.store_record(now, id, &record),
                    _ => self.finish(id),
                }
                self.joined(now, answered);
            }
            _ => self.finish(id),
        }
    }

    /// Opens more paths once: many if the region is crowded, and a few if nothing was found.
    /// Whether it did. SPEC §11.7.
    fn goes_on(&mut self, id: OperationId) -> bool {
        let Some(operation) = self.operations.get_mut(&id) else { return false };
        let expected = self.size.in_region(operation.bits).max(self.config.region);
        let crowded = operation.lookup.in_region(operation.bits) * 2 > expected * CROWDED;
        let enough = match operation.goal {
            Goal::Refresh | Goal::Join => true,
            Goal::Put(_) => !crowded,
            Goal::Locate(_) | Goal::Value | Goal::Providers => {
                operation.outcome.found && (!crowded || operation.agreed >= self.config.quorum)
            }
        };
        if enough || operation.extended {
            return false;
        }
        operation.extended = true;
        operation.outcome.crowded = crowded;
        let Config { paths, more_paths, .. } = self.config;
        let count = paths + if crowded { more_paths } else { paths };
        let target = operation.lookup.target();
        let more = points(&target, operation.bits, count, &mut self.rng);
        operation.lookup.open_paths(&more[1..], &[]);
        true
    }

    fn store_record(&mut self, now: Instant, id: OperationId, record: &Record) {
        let Some(operation) = self.operations.get(&id) else { return };
        let target = operation.lookup.target();
        let holders = self.holders(operation, &target);
        let Ok(body) = encode(record, StoreExchange::REQUEST_LIMIT) else { return self.finish(id) };
        let mut sent = 0;
        self.published(now, &target, holders.len());
        for contact in holders {
            if self.has_capacity() {
                self.send(now, contact, Rpc::Store, body.clone(), false, Purpose::Store(id));
                sent += 1;
            }
        }
        if let Some(operation) = self.operations.get_mut(&id) {
            operation.storing = Some(sent);
        }
        self.drive_one(now, id);
    }

    /// Who is to keep a record: all of the region that answered, and if these are fewer than k, the
    /// nearest others; not more than the limit from one subnet. SPEC §12.3.
    fn holders(&self, operation: &Operation, target: &Position) -> Vec<Contact> {
        let mut answered: Vec<(Contact, Position)> = operation.lookup.answered().collect();
        answered.sort_unstable_by_key(|(_, place)| place.distance(target));
        let mut subnets = Subnets::default();
        answered
            .retain(|(contact, _)| subnets.try_add(&contact.addrs, self.config.subnet_in_bucket));
        let inside =
            |(_, place): &&(Contact, Position)| place.common_bits(target) >= operation.bits;
        let count = answered.iter().take_while(inside).count().max(self.config.k);
        let count = count.min(self.config.max_holders);
        answered.into_iter().take(count).map(|(contact, _)| contact).collect()
    }

    pub(super) fn stored(&mut self, id: OperationId, stored: Option<Stored>) {
        let Some(operation) = self.operations.get_mut(&id) else { return };
        operation.storing = operation.storing.map(|left| left.saturating_sub(1));
        let outcome = &mut operation.outcome;
        match stored {
            Some(Stored::Kept) => {
                outcome.kept += 1;
                outcome.found = true;
            }
            Some(Stored::Older { sequence }) => {
                outcome.older_than = outcome.older_than.max(Some(sequence));
            }
            _ => {}
        }
    }

    /// A node named others: is the peer that we look for among them?
    pub(super) fn look_among(&mut self, id: OperationId, named: &[Contact], hop: u8) {
        let Some(operation) = self.operations.get(&id) else { return };
        let Goal::Locate(peer) = operation.goal else { return };
        for contact in named.iter().filter(|contact| contact.peer == peer) {
            self.located(id, *contact, hop, Proof::Named);
        }
    }

    /// Reports addresses of the peer that is looked for, each once.
    pub(super) fn located(&mut self, id: OperationId, contact: Contact, hops: u8, proof: Proof) {
        let Some(operation) = self.operations.get_mut(&id) else { return };
        let named = &mut operation.named;
        let known = contact.addrs.iter().all(|addr| named.contains(&addr));
        if proof == Proof::Named && (known || named.len() >= MAX_NAMED) {
            return;
        }
        named.extend(contact.addrs.iter());
        operation.outcome.found = true;
        let candidates = contact.addrs.iter().filter_map(|addr| Candidate::direct(addr).ok());
        let candidates = candidates.collect();
        let peer = contact.peer;
        self.events.push_back(Event::Located { operation: id, peer, candidates, proof, hops });
    }

    /// Somebody answered with records: the valid ones that were asked for count.
    pub(super) fn found_records(
        &mut self,
        now: Instant,
        id: OperationId,
        from: Option<&Contact>,
        hops: u8,
        records: Vec<Record>,
    ) {
        let unix = self.unix(now);
        let Some(target) = self.operations.get(&id).map(|operation| operation.lookup.target())
        else {
            return;
        };
        for record in records {
            let Some(operation) = self.operations.get_mut(&id) else { return };
            let wanted = match operation.goal {
                Goal::Locate(_) | Goal::Value => 1,
                Goal::Providers => self.config.max_providers,
                Goal::Refresh | Goal::Join | Goal::Put(_) => return,
            };
            if record.position() != target || record.check_time(unix).is_err() {
                continue;
            }
            match operation.weigh(&record, wanted) {
                Weight::Same => operation.agree(from),
                Weight::Nothing => {}
                Weight::New if record.verify().is_err() => {}
                Weight::New => {
                    operation.records.retain(|known| known.owner != record.owner);
                    operation.records.push(record.clone());
                    operation.outcome.found = true;
                    operation.agree = Subnets::default();
                    operation.agreed = 0;
                    operation.agree(from);
                    self.report(id, record, hops);
                }
            }
        }
        let enough = |operation: &Operation| {
            !matches!(operation.goal, Goal::Providers) && operation.agreed >= self.config.quorum
                || operation.records.len() >= self.config.max_providers
        };
        if self.operations.get(&id).is_some_and(enough) {
            self.finish(id);
        }
    }

    fn report(&mut self, operation: OperationId, record: Record, hops: u8) {
        self.events.push_back(match record.body {
            Body::Address { candidates } => Event::Located {
                operation,
                peer: record.owner,
                candidates: candidates.into_vec(),
                proof: Proof::Signed,
                hops,
            },
            _ => Event::Record { operation, record: Box::new(record), hops },
        });
    }

    pub(super) fn finish(&mut self, id: OperationId) {
        let Some(operation) = self.operations.remove(&id) else { return };
        let mut outcome = operation.outcome;
        outcome.asked = operation.lookup.queries();
        self.events.push_back(Event::Finished { operation: id, outcome });
    }
}

impl Operation {
    /// One more node has the best record; those of one subnet count once.
    fn agree(&mut self, from: Option<&Contact>) {
        if from.is_none_or(|contact| self.agree.try_add(&contact.addrs, 1)) {
            self.agreed += 1;
        }
    }

    /// What a record adds to those that are known, if its signature is valid.
    fn weigh(&self, record: &Record, most: usize) -> Weight {
        match self.records.iter().find(|known| known.owner == record.owner) {
            Some(known) if known == record => Weight::Same,
            Some(known) if !record.is_newer_than(known) => Weight::Nothing,
            None if self.records.len() >= most => Weight::Nothing,
            _ => Weight::New,
        }
    }
}

enum Weight {
    /// It is known, valid, and nobody has a better one.
    Same,
    /// It is older, or one too many.
    Nothing,
    /// It is the first of its owner, or newer.
    New,
}
