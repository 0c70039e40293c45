//! Which messages came already.
//!
//! *Purpose*: a message that its sender repeats is delivered once. *Inputs*: the sender and id of
//! each message that is delivered. *Outputs*: whether it is new. *Not handled*: repeats after more
//! messages of the same sender than are remembered, and after a restart.

use std::collections::{BTreeMap, VecDeque};

use pinhole_proto::PeerId;
use pinhole_proto::message::MessageId;

/// Ids remembered for a sender.
const PER_PEER: usize = 64;

/// Senders remembered; who has been silent longest goes first.
const PEERS: usize = 256;

#[derive(Default)]
pub(super) struct Seen {
    peers: BTreeMap<PeerId, Recent>,
    turn: u64,
}

#[derive(Default)]
struct Recent {
    ids: VecDeque<MessageId>,
    turn: u64,
}

impl Seen {
    pub(super) fn contains(&self, peer: &PeerId, id: &MessageId) -> bool {
        self.peers.get(peer).is_some_and(|recent| recent.ids.contains(id))
    }

    /// Remembers a message; false if it is remembered already.
    pub(super) fn handle_delivery(&mut self, peer: PeerId, id: MessageId) -> bool {
        if self.contains(&peer, &id) {
            return false;
        }
        if self.peers.len() >= PEERS && !self.peers.contains_key(&peer) {
            let silent = self.peers.iter().min_by_key(|(_, recent)| recent.turn);
            if let Some(silent) = silent.map(|(peer, _)| *peer) {
                self.peers.remove(&silent);
            }
        }
        self.turn += 1;
        let recent = self.peers.entry(peer).or_default();
        recent.turn = self.turn;
        if recent.ids.len() >= PER_PEER {
            recent.ids.pop_front();
        }
        recent.ids.push_back(id);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::peer;

    fn id(n: u32) -> MessageId {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&n.to_be_bytes());
        MessageId(id)
    }

    #[test]
    fn a_repeat_is_known_and_only_from_the_same_peer() {
        let mut seen = Seen::default();
        assert!(seen.handle_delivery(peer(1), id(1)));
        assert!(!seen.handle_delivery(peer(1), id(1)));
        assert!(seen.handle_delivery(peer(2), id(1)));
        assert!(seen.contains(&peer(2), &id(1)));
        assert!(!seen.contains(&peer(2), &id(2)));
    }

    #[test]
    fn one_sender_cannot_push_out_anothers() {
        let mut seen = Seen::default();
        seen.handle_delivery(peer(1), id(0));
        for n in 0..10_000 {
            seen.handle_delivery(peer(2), id(n));
        }
        assert!(seen.contains(&peer(1), &id(0)));
        assert_eq!(seen.peers[&peer(2)].ids.len(), PER_PEER);
    }

    #[test]
    fn senders_are_bounded_and_the_most_silent_goes() {
        let mut seen = Seen::default();
        for n in 0..PEERS as u32 {
            seen.handle_delivery(peer(n), id(0));
        }
        seen.handle_delivery(peer(0), id(1));
        seen.handle_delivery(peer(100_000), id(0));
        assert_eq!(seen.peers.len(), PEERS);
        assert!(seen.contains(&peer(0), &id(0)));
        assert!(!seen.contains(&peer(1), &id(0)));
    }
}
