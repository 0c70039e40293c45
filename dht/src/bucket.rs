//! [`Bucket`]: the nodes at one distance, with those that wait for a place. SPEC §11.2.

use std::time::Instant;

use pinhole_proto::PeerId;
use pinhole_proto::dht::{Contact, Position};

use crate::subnet::Subnets;

/// The bits behind the bucket's own that make a cell.
const CELL_BITS: u16 = 3;

/// A node that we reached.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Who, and where we reached it.
    pub contact: Contact,
    /// Its place.
    pub position: Position,
    /// When an authenticated packet last came from it.
    pub heard: Instant,
    /// Requests in a row that it did not answer.
    pub failures: u8,
}

/// A node that may get a place once we reach it.
#[derive(Clone, Debug)]
pub struct Spare {
    /// Who, and where it is said to be.
    pub contact: Contact,
    /// Its place.
    pub position: Position,
    /// When it, or who told us of it, was last heard.
    pub since: Instant,
    /// It came to us itself; otherwise somebody named it.
    pub came: bool,
}

/// The nodes whose positions have the same number of bits in common with ours.
#[derive(Clone, Debug, Default)]
pub struct Bucket {
    /// Those that we reached, in the order in which they came in: the oldest first.
    pub entries: Vec<Entry>,
    /// Those that wait, the newest last.
    pub spares: Vec<Spare>,
    pub(crate) subnets: Subnets,
}

impl Bucket {
    pub(crate) fn entry(&self, peer: &PeerId) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.contact.peer == *peer)
    }

    pub(crate) fn entry_mut(&mut self, peer: &PeerId) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.contact.peer == *peer)
    }

    /// Entries in the same cell as `position`, in a bucket of this depth.
    pub(crate) fn in_cell(&self, depth: u16, position: &Position) -> usize {
        let same = |entry: &&Entry| entry.position.common_bits(position) > depth + CELL_BITS;
        self.entries.iter().filter(same).count()
    }

    pub(crate) fn push(&mut self, entry: Entry) {
        self.subnets.add(&entry.contact.addrs);
        self.entries.push(entry);
    }

    pub(crate) fn take(&mut self, at: usize) -> Entry {
        let entry = self.entries.remove(at);
        self.subnets.remove(&entry.contact.addrs);
        entry
    }

    pub(crate) fn forget_spare(&mut self, peer: &PeerId) {
        self.spares.retain(|spare| spare.contact.peer != *peer);
    }

    /// Remembers a node that waits. Those that came to us push out those that others named.
    pub(crate) fn push_spare(&mut self, spare: Spare, most: usize) {
        let known = self.spares.iter().find(|known| known.contact.peer == spare.contact.peer);
        if known.is_some() && !spare.came {
            return;
        }
        self.forget_spare(&spare.contact.peer);
        if self.spares.len() >= most {
            match self.spares.iter().position(|known| !known.came) {
                Some(named) => drop(self.spares.remove(named)),
                None if spare.came => drop(self.spares.remove(0)),
                None => return,
            }
        }
        self.spares.push(spare);
    }
}
