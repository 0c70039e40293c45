//! Requests under way: what each is for, and what its answer means.

use std::net::SocketAddr;
use std::time::Instant;

use pinhole_proto::dht::{Contact, FindRequest, Found, Want};
use pinhole_proto::message::Exchange;
use pinhole_proto::{decode, encode};

use super::operation::Goal;
use super::surface::{FailureKind, OperationId, Proof, RequestId, Role, Rpc, Transmit};
use super::{Dht, Find, Stored};
use crate::lookup::Query;

/// A request under way.
#[derive(Clone, Debug)]
pub(super) struct Request {
    purpose: Purpose,
    to: Contact,
    sent: Instant,
    pub(super) give_up: Instant,
}

/// What a request is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    Lookup(OperationId, u8),
    Store(OperationId),
    Check,
}

impl Dht {
    pub(super) fn has_capacity(&self) -> bool {
        self.requests.len() < self.config.max_requests
    }

    pub(super) fn send_query(&mut self, now: Instant, id: OperationId, query: Query) {
        let Some(operation) = self.operations.get(&id) else { return };
        let want = match operation.goal {
            Goal::Refresh | Goal::Join | Goal::Put(_) => Want::Contacts,
            _ => Want::Records(operation.lookup.target()),
        };
        let serves = self.role == Role::Server;
        let body = encode(&FindRequest { serves, near: query.near, want }, Find::REQUEST_LIMIT);
        let purpose = Purpose::Lookup(id, query.hop);
        self.send(now, query.contact, Rpc::Find, body.unwrap_or_default(), false, purpose);
    }

    /// Asks a node about a point at its own distance from us, or about ourselves if it is near.
    pub(super) fn send_check(&mut self, now: Instant, contact: Contact, fresh: bool) {
        let random = self.rng.position();
        let near = self.table.point_like(&contact.peer, &random);
        let serves = self.role == Role::Server;
        let request = FindRequest { serves, near, want: Want::Contacts };
        let body = encode(&request, Find::REQUEST_LIMIT).unwrap_or_default();
        self.send(now, contact, Rpc::Find, body, fresh, Purpose::Check);
    }

    pub(super) fn send(
        &mut self,
        now: Instant,
        to: Contact,
        rpc: Rpc,
        body: Vec<u8>,
        fresh: bool,
        purpose: Purpose,
    ) {
        let id = RequestId(self.new_id());
        let give_up = now + self.config.give_up;
        self.requests.insert(id, Request { purpose, to, sent: now, give_up });
        self.transmits.push_back(Transmit { id, to, rpc, body, fresh });
    }

    pub(super) fn answered(
        &mut self,
        now: Instant,
        request: Request,
        dialed: Option<SocketAddr>,
        body: &[u8],
    ) {
        let Request { purpose, to, sent, .. } = request;
        if let Purpose::Store(id) = purpose {
            return self.stored(id, decode::<Stored>(body).ok());
        }
        let Ok(found) = decode::<Found>(body) else {
            return self.failed(request, FailureKind::Peer);
        };
        self.timing.handle_sample(now.saturating_duration_since(sent));
        let us = self.table.me();
        let mut named = found.contacts.into_vec();
        named.retain(|contact| contact.peer != us && contact.peer != to.peer);
        for contact in &named {
            self.table.handle_named(now, *contact);
        }
        // After what it named is known: the first that is reached begins a lookup from there.
        match dialed.and_then(|addr| Contact::at(to.peer, addr)) {
            Some(contact) => self.reached(now, contact),
            None => self.table.handle_came(now, to),
        }
        let Purpose::Lookup(id, hop) = purpose else { return self.checked(true) };
        let Some(operation) = self.operations.get_mut(&id) else { return };
        operation.lookup.handle_reply(&to.peer, &named);
        if matches!(operation.goal, Goal::Locate(peer) if peer == to.peer) {
            self.located(id, to, hop, Proof::Reached);
            return self.finish(id);
        }
        self.look_among(id, &named, hop);
        self.found_records(now, id, Some(&to), hop, found.records.into_vec());
    }

    pub(super) fn failed(&mut self, request: Request, kind: FailureKind) {
        if kind == FailureKind::Peer && !matches!(request.purpose, Purpose::Store(_)) {
            self.table.handle_failed(&request.to);
        }
        match request.purpose {
            Purpose::Lookup(id, _) => {
                if let Some(operation) = self.operations.get_mut(&id) {
                    operation.lookup.handle_failure(&request.to.peer);
                }
            }
            Purpose::Store(id) => self.stored(id, None),
            Purpose::Check => self.checked(false),
        }
    }

    pub(super) fn give_up_late(&mut self, now: Instant) {
        let late = |(id, request): (&RequestId, &Request)| (request.give_up <= now).then_some(*id);
        let late: Vec<RequestId> = self.requests.iter().filter_map(late).collect();
        for id in late {
            if let Some(request) = self.requests.remove(&id) {
                self.failed(request, FailureKind::Peer);
            }
        }
    }
}
