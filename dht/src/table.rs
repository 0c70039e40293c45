//! [`Table`]: the nodes that we know, most of them near us. SPEC §11.2.
//!
//! *Purpose*: Kademlia's routing table. *Inputs*: nodes that we reached, nodes that came to us or
//! were named by others, requests that were not answered, and the time. *Outputs*: the nodes
//! nearest to a point, and which node should be contacted next to keep the table true.
//! *Not handled*: contacting anybody, lookups, storage on disk.
//!
//! Only an address that we dialed ourselves with success gives a node its entry. An entry that
//! answers is never pushed out; one that failed is, by the next node that we reach.

use std::time::Instant;

use pinhole_proto::PeerId;
use pinhole_proto::dht::{Contact, Distance, Position};

use crate::bucket::{Bucket, Entry, Spare};
use crate::config::Config;
use crate::subnet::Subnets;

/// An entry that failed so often in a row is forgotten.
const FAILURES: u8 = 2;

/// The routing table. See the module's notes.
#[derive(Clone, Debug)]
pub struct Table {
    me: PeerId,
    us: Position,
    config: Config,
    buckets: Vec<Bucket>,
    subnets: Subnets,
    len: usize,
}

/// A node that should be contacted, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// It waits for a place.
    Spare(Contact),
    /// It has not been heard for long.
    Entry(Contact),
}

impl Check {
    /// Whom to contact.
    #[must_use]
    pub const fn contact(&self) -> &Contact {
        match self {
            Self::Spare(contact) | Self::Entry(contact) => contact,
        }
    }
}

impl Table {
    /// A table without entries.
    #[must_use]
    pub fn new(me: PeerId, config: Config) -> Self {
        let us = Position::of_peer(&me);
        Self { me, us, config, buckets: Vec::new(), subnets: Subnets::default(), len: 0 }
    }

    /// We dialed the contact and it answered. Whether it has an entry now.
    pub fn handle_reached(&mut self, now: Instant, contact: Contact) -> bool {
        let Some((depth, position)) = self.place(&contact) else { return false };
        let bucket = self.bucket_mut(depth);
        bucket.forget_spare(&contact.peer);
        if bucket.entry(&contact.peer).is_some() {
            self.hear(now, depth, &contact);
            return true;
        }
        while !self.has_room(depth, &position, &contact) {
            if !self.evict_failed(depth) {
                let spare = Spare { contact, position, since: now, came: true };
                let most = self.config.spares;
                self.bucket_mut(depth).push_spare(spare, most);
                return false;
            }
        }
        self.subnets.add(&contact.addrs);
        self.len += 1;
        let entry = Entry { contact, position, heard: now, failures: 0 };
        self.bucket_mut(depth).push(entry);
        true
    }

    /// A node that serves came to us from this address: authenticated, but we did not dial it.
    pub fn handle_came(&mut self, now: Instant, contact: Contact) {
        self.wait(now, contact, true);
    }

    /// Somebody named a node.
    pub fn handle_named(&mut self, now: Instant, contact: Contact) {
        self.wait(now, contact, false);
    }

    /// A request to the contact was not answered. That says nothing of the same peer at another
    /// address, or anybody could have an entry removed by naming it at a false one.
    pub fn handle_failed(&mut self, contact: &Contact) {
        let Some((depth, _)) = self.place(contact) else { return };
        let Some(bucket) = self.buckets.get_mut(usize::from(depth)) else { return };
        bucket.spares.retain(|spare| spare.contact != *contact);
        let Some(entry) = bucket.entry_mut(&contact.peer) else { return };
        if entry.contact.addrs != contact.addrs {
            return;
        }
        entry.failures = entry.failures.saturating_add(1);
        if entry.failures >= FAILURES {
            self.remove(depth, |entry| entry.contact.peer == contact.peer);
        }
    }

    /// The nodes nearest to a point, the nearest first; none that failed lately, and no more than
    /// the limit from one subnet. SPEC §11.3, §11.5.
    #[must_use]
    pub fn closest(&self, point: &Position, count: usize) -> Vec<Contact> {
        let mut all: Vec<(Distance, &Entry)> = self
            .entries()
            .filter(|entry| entry.failures == 0)
            .map(|entry| (entry.position.distance(point), entry))
            .collect();
        // Sorting a part of the table is enough nearly always.
        let part = all.len().min(count * 2);
        if part < all.len() {
            all.select_nth_unstable_by_key(part, |(distance, _)| *distance);
        }
        all[..part].sort_unstable_by_key(|(distance, _)| *distance);
        let mut found = self.diverse(&all[..part], count);
        if found.len() < count && part < all.len() {
            all.sort_unstable_by_key(|(distance, _)| *distance);
            found = self.diverse(&all, count);
        }
        found
    }

    /// Whether the peer has an entry or waits for one.
    #[must_use]
    pub fn knows(&self, peer: &PeerId) -> bool {
        let bucket =
            self.place_of(peer).and_then(|(depth, _)| self.buckets.get(usize::from(depth)));
        bucket.is_some_and(|bucket| {
            bucket.entry(peer).is_some()
                || bucket.spares.iter().any(|spare| spare.came && spare.contact.peer == *peer)
        })
    }

    /// The node to contact next, if any: one that waits for a place that is free, the nearest to
    /// us first; then the entry that was not heard for longest.
    #[must_use]
    pub fn next_check(&self, now: Instant) -> Option<Check> {
        let waiting = self.buckets.iter().enumerate().rev();
        let spare = waiting.filter(|(_, bucket)| self.wants(bucket)).find_map(|(depth, bucket)| {
            bucket.spares.iter().rev().find(|spare| {
                let quiet = now.saturating_duration_since(spare.since) >= self.config.quiet;
                let ready = quiet || !spare.came;
                ready && self.would_fit(depth as u16, spare)
            })
        });
        if let Some(spare) = spare {
            return Some(Check::Spare(spare.contact));
        }
        let unsure = self.entries().filter(|entry| entry.failures == 0);
        let oldest = unsure.min_by_key(|entry| (entry.heard, entry.position))?;
        let old = now.saturating_duration_since(oldest.heard) >= self.config.fresh;
        old.then_some(Check::Entry(oldest.contact))
    }

    /// Whether a bucket that should be full has few entries, and somebody waits for a place.
    #[must_use]
    pub fn is_thin(&self, now: Instant) -> bool {
        let ready = |bucket: &Bucket| {
            let quiet = |spare: &Spare| now.saturating_duration_since(spare.since);
            bucket.spares.iter().any(|spare| !spare.came || quiet(spare) >= self.config.quiet)
        };
        self.buckets.iter().filter(|bucket| self.is_sparse(bucket)).any(ready)
    }

    /// Nodes without an entry, the farthest bucket first.
    pub fn named(&self, most: usize) -> impl Iterator<Item = Contact> + '_ {
        let spares = self.buckets.iter().flat_map(|bucket| &bucket.spares);
        spares.map(|spare| spare.contact).take(most)
    }

    /// A random point at the same distance from us as the peer.
    #[must_use]
    pub fn point_like(&self, peer: &PeerId, random: &Position) -> Position {
        let theirs = Position::of_peer(peer);
        let depth = self.us.common_bits(&theirs);
        theirs.prefix_with(depth.saturating_add(1), random)
    }

    /// All entries, the farthest bucket first.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.buckets.iter().flat_map(|bucket| &bucket.entries)
    }

    /// All buckets, the farthest first.
    #[must_use]
    pub fn buckets(&self) -> &[Bucket] {
        &self.buckets
    }

    /// The entry of a peer.
    #[must_use]
    pub fn entry(&self, peer: &PeerId) -> Option<&Entry> {
        let (depth, _) = self.place_of(peer)?;
        self.buckets.get(usize::from(depth))?.entry(peer)
    }

    /// How many entries there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no entry.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Our own place.
    #[must_use]
    pub const fn us(&self) -> Position {
        self.us
    }

    /// Who we are.
    #[must_use]
    pub const fn me(&self) -> PeerId {
        self.me
    }

    fn diverse(&self, sorted: &[(Distance, &Entry)], count: usize) -> Vec<Contact> {
        let mut subnets = Subnets::default();
        let most = self.config.subnet_in_bucket;
        let contacts = sorted.iter().map(|(_, entry)| entry.contact);
        contacts.filter(|contact| subnets.try_add(&contact.addrs, most)).take(count).collect()
    }

    fn place(&self, contact: &Contact) -> Option<(u16, Position)> {
        self.place_of(&contact.peer)
    }

    /// `None` for ourselves.
    fn place_of(&self, peer: &PeerId) -> Option<(u16, Position)> {
        let position = Position::of_peer(peer);
        let depth = self.us.common_bits(&position);
        (depth < Position::BITS).then_some((depth, position))
    }

    fn bucket_mut(&mut self, depth: u16) -> &mut Bucket {
        let depth = usize::from(depth);
        if self.buckets.len() <= depth {
            self.buckets.resize_with(depth + 1, Bucket::default);
        }
        &mut self.buckets[depth]
    }

    fn is_sparse(&self, bucket: &Bucket) -> bool {
        let live = bucket.entries.iter().filter(|entry| entry.failures == 0);
        live.count() < self.config.thin
    }

    /// Whether the bucket takes another entry.
    fn wants(&self, bucket: &Bucket) -> bool {
        bucket.entries.len() < self.config.k || bucket.entries.iter().any(|e| e.failures > 0)
    }

    fn would_fit(&self, depth: u16, spare: &Spare) -> bool {
        let failed = |bucket: &Bucket| bucket.entries.iter().any(|entry| entry.failures > 0);
        self.has_room(depth, &spare.position, &spare.contact)
            || self.buckets.get(usize::from(depth)).is_some_and(failed)
    }

    fn has_room(&self, depth: u16, position: &Position, contact: &Contact) -> bool {
        let Config { k, max_entries, in_cell, subnet_in_bucket, subnet_in_table, .. } = self.config;
        let bucket_has = self.buckets.get(usize::from(depth)).is_none_or(|bucket| {
            bucket.entries.len() < k
                && bucket.in_cell(depth, position) < in_cell
                && bucket.subnets.fits(&contact.addrs, subnet_in_bucket)
        });
        bucket_has && self.len < max_entries && self.subnets.fits(&contact.addrs, subnet_in_table)
    }

    fn evict_failed(&mut self, depth: u16) -> bool {
        self.remove(depth, |entry| entry.failures > 0)
    }

    /// Removes the first entry of a bucket for which `which` holds; whether there was one.
    fn remove(&mut self, depth: u16, which: impl Fn(&Entry) -> bool) -> bool {
        let Some(bucket) = self.buckets.get_mut(usize::from(depth)) else { return false };
        let Some(at) = bucket.entries.iter().position(which) else { return false };
        let entry = bucket.take(at);
        self.subnets.remove(&entry.contact.addrs);
        self.len -= 1;
        true
    }

    /// An entry was heard, perhaps at another address than before.
    fn hear(&mut self, now: Instant, depth: u16, contact: &Contact) {
        let bucket = &mut self.buckets[usize::from(depth)];
        let Some(at) = bucket.entries.iter().position(|e| e.contact.peer == contact.peer) else {
            return;
        };
        let entry = &mut bucket.entries[at];
        entry.heard = entry.heard.max(now);
        entry.failures = 0;
        let before = entry.contact.addrs;
        let mut after = before;
        after.update(&contact.addrs);
        if after == before {
            return;
        }
        bucket.subnets.remove(&before);
        self.subnets.remove(&before);
        let fits = bucket.subnets.fits(&after, self.config.subnet_in_bucket)
            && self.subnets.fits(&after, self.config.subnet_in_table);
        let kept = if fits { after } else { before };
        bucket.entries[at].contact.addrs = kept;
        bucket.subnets.add(&kept);
        self.subnets.add(&kept);
    }

    fn wait(&mut self, now: Instant, contact: Contact, came: bool) {
        let Some((depth, position)) = self.place(&contact) else { return };
        let known = self.buckets.get_mut(usize::from(depth));
        if let Some(entry) = known.and_then(|bucket| bucket.entry_mut(&contact.peer)) {
            if came && entry.contact.addrs == contact.addrs {
                entry.heard = entry.heard.max(now);
            }
            return;
        }
        let most = self.config.spares;
        let spare = Spare { contact, position, since: now, came };
        self.bucket_mut(depth).push_spare(spare, most);
    }
}

#[cfg(test)]
mod tests;
