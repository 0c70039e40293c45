//! The greatest counter seen from each of the recent peers (SPEC §5.3).

use std::collections::BTreeMap;

use pinhole_proto::PeerId;

pub(super) struct Replay {
    max: usize,
    seen: BTreeMap<PeerId, Seen>,
    clock: u64,
}

struct Seen {
    counter: u64,
    /// When, on a clock that ticks with each admitted Hello.
    at: u64,
}

impl Replay {
    pub(super) fn new(max: usize) -> Self {
        Self { max, seen: BTreeMap::new(), clock: 0 }
    }

    #[cfg(any(test, feature = "testing"))]
    pub(super) fn len(&self) -> usize {
        self.seen.len()
    }

    pub(super) fn is_new(&self, peer: &PeerId, counter: u64) -> bool {
        self.seen.get(peer).is_none_or(|seen| counter > seen.counter)
    }

    pub(super) fn record(&mut self, peer: PeerId, counter: u64) {
        if self.seen.len() >= self.max && !self.seen.contains_key(&peer) {
            let oldest = self.seen.iter().min_by_key(|(_, seen)| seen.at).map(|(peer, _)| *peer);
            oldest.and_then(|peer| self.seen.remove(&peer));
        }
        self.clock += 1;
        self.seen.insert(peer, Seen { counter, at: self.clock });
    }
}
