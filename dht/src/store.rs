//! [`Store`]: the records that we keep for others. SPEC §12.4.
//!
//! *Purpose*: keep the newest of each record until it expires, within fixed bounds. *Inputs*:
//! records that were verified, the subnet of who brought them, the time. *Outputs*: whether a
//! record is kept, and the records at a place. *Not handled*: signatures, which are checked before;
//! publishing.
//!
//! When it is full, somebody has to go: of the subnet that brought most, if it brought more than
//! its share; otherwise of all. Among these, the record farthest from us, and of equally far ones
//! the one that ends first.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::IpAddr;

use pinhole_proto::Record;
use pinhole_proto::dht::{Position, StoreRefusal, Stored};

use crate::config::Config;
use crate::subnet::Subnet;
use pinhole_proto::rng::Rng;

/// Memory that a record takes beside its bytes on the wire.
const OVERHEAD: usize = 400;
/// One subnet may bring one in so many records before they are the first to go.
const SHARE: usize = 16;

/// The place of a record and the bytes of its owner's id.
type Key = (Position, [u8; 32]);

/// How much a record is worth keeping, compared field by field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Worth {
    /// How many the subnet brought that brought it, if that is more than its share.
    over: Reverse<usize>,
    near: u16,
    expires: u64,
    key: Key,
}

/// The record store. See the module's notes.
#[derive(Clone, Debug)]
pub struct Store {
    us: Position,
    limits: Limits,
    records: BTreeMap<Key, Kept>,
    owners: BTreeMap<[u8; 32], usize>,
    sources: BTreeMap<Option<Subnet>, usize>,
    bytes: usize,
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    records: usize,
    bytes: usize,
    of_owner: usize,
    of_topic: usize,
}

#[derive(Clone, Debug)]
struct Kept {
    record: Record,
    bytes: usize,
    source: Option<Subnet>,
}

impl Store {
    /// A store without records.
    #[must_use]
    pub fn new(us: Position, config: &Config) -> Self {
        let limits = Limits {
            records: config.max_records,
            bytes: config.max_store_bytes,
            of_owner: config.records_of_owner,
            of_topic: config.records_of_topic,
        };
        Self {
            us,
            limits,
            records: BTreeMap::new(),
            owners: BTreeMap::new(),
            sources: BTreeMap::new(),
            bytes: 0,
        }
    }

    /// Keeps a record whose signature was checked, brought by somebody at `source`.
    pub fn handle_record(&mut self, unix: u64, source: IpAddr, record: Record) -> Stored {
        if record.check_time(unix).is_err() {
            return Stored::Refused(StoreRefusal::Expiry);
        }
        let key = (record.position(), record.owner.to_bytes());
        if let Some(known) = self.records.get(&key) {
            if known.record.is_newer_than(&record) {
                return Stored::Older { sequence: known.record.sequence };
            }
            if !record.is_newer_than(&known.record) {
                return Stored::Kept;
            }
        }
        let source = Subnet::of(source);
        let bytes = record.encoded_len().saturating_add(OVERHEAD);
        let replaced = self.remove(&key);
        if self.makes_room(&key, bytes, source, record.expires) {
            self.insert(key, Kept { record, bytes, source });
            return Stored::Kept;
        }
        if let Some(replaced) = replaced {
            self.insert(key, replaced);
        }
        Stored::Refused(StoreRefusal::Full)
    }

    /// Records at a place, not more than `most` and together not longer than `bytes`; which ones,
    /// if there are more, is drawn anew each time.
    #[must_use]
    pub fn at(
        &self,
        unix: u64,
        place: &Position,
        most: usize,
        bytes: usize,
        rng: &mut Rng,
    ) -> Vec<Record> {
        let mut kept: Vec<&Kept> = self.of_place(place).map(|(_, kept)| kept).collect();
        kept.retain(|kept| kept.record.expires > unix);
        if kept.len() > most {
            rng.shuffle(&mut kept);
        }
        let mut left = bytes;
        let fits = |kept: &&&Kept| {
            let len = kept.bytes - OVERHEAD;
            let fits = len <= left;
            left -= if fits { len } else { 0 };
            fits
        };
        kept.iter().take(most).filter(fits).map(|kept| kept.record.clone()).collect()
    }

    /// Forgets what has expired.
    pub fn expire(&mut self, unix: u64) {
        let over = |(key, kept): (&Key, &Kept)| (kept.record.expires <= unix).then_some(*key);
        let keys: Vec<_> = self.records.iter().filter_map(over).collect();
        keys.iter().for_each(|key| drop(self.remove(key)));
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The bytes that they take, overhead included.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// All records, by place.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.records.values().map(|kept| &kept.record)
    }

    fn of_place(&self, place: &Position) -> impl Iterator<Item = (&Key, &Kept)> + use<'_> {
        self.records.range((*place, [0; 32])..=(*place, [0xff; 32]))
    }

    /// Makes room for one more, if there are others that should go before it; whether there is.
    fn makes_room(
        &mut self,
        key: &Key,
        bytes: usize,
        source: Option<Subnet>,
        expires: u64,
    ) -> bool {
        if self.owners.get(&key.1).copied().unwrap_or(0) >= self.limits.of_owner {
            return false;
        }
        let of_topic: Vec<Worth> =
            self.of_place(&key.0).map(|(key, kept)| self.worth(key, kept)).collect();
        let newcomer = self.worth_of(key, source, expires);
        if of_topic.len() >= self.limits.of_topic {
            let Some(least) = of_topic.iter().min().filter(|least| **least < newcomer) else {
                return false;
            };
            self.remove(&least.key.clone());
        }
        while self.records.len() >= self.limits.records || self.bytes + bytes > self.limits.bytes {
            let worths = self.records.iter().map(|(key, kept)| self.worth(key, kept));
            let Some(least) = worths.min().filter(|least| *least < newcomer) else {
                return false;
            };
            self.remove(&least.key);
        }
        true
    }

    fn worth(&self, key: &Key, kept: &Kept) -> Worth {
        self.worth_of(key, kept.source, kept.record.expires)
    }

    /// Whoever has the least worth goes first.
    fn worth_of(&self, key: &Key, source: Option<Subnet>, expires: u64) -> Worth {
        let brought = self.sources.get(&source).copied().unwrap_or(0);
        let over = source.is_some() && brought > self.limits.records / SHARE;
        let over = if over { brought } else { 0 };
        Worth { over: Reverse(over), near: self.us.common_bits(&key.0), expires, key: *key }
    }

    fn insert(&mut self, key: Key, kept: Kept) {
        self.bytes += kept.bytes;
        *self.owners.entry(key.1).or_default() += 1;
        *self.sources.entry(kept.source).or_default() += 1;
        self.records.insert(key, kept);
    }

    fn remove(&mut self, key: &Key) -> Option<Kept> {
        let kept = self.records.remove(key)?;
        self.bytes -= kept.bytes;
        count_down(&mut self.owners, &key.1);
        count_down(&mut self.sources, &kept.source);
        Some(kept)
    }
}

fn count_down<K: Ord>(counts: &mut BTreeMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests;
