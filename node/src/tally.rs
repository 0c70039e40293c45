//! What the driver counts (core).
//!
//! - *Inputs*: changes of state, refused dials, connections that ended.
//! - *Outputs*: [`Tallied`], whose numbers only grow.
//! - *Not handled*: what the endpoint and the streams count, which have counters of their own.

use std::collections::BTreeSet;
use std::ops::AddAssign;

use pinhole_proto::PeerId;

use crate::peers::{PeerState, Reason};

/// Peers that are remembered as met before those go that the table has forgotten.
const MAX_MET: usize = 4096;

/// QUIC packets that were sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Packets {
    pub(crate) sent: u64,
    pub(crate) lost: u64,
}

impl AddAssign for Packets {
    fn add_assign(&mut self, other: Self) {
        self.sent = self.sent.saturating_add(other.sent);
        self.lost = self.lost.saturating_add(other.lost);
    }
}

/// The sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tallied {
    /// Of connections that have ended.
    pub(crate) packets: Packets,
    /// How often a peer failed.
    pub(crate) failed: u64,
    /// How often a peer was connected that had been connected before.
    pub(crate) reconnects: u64,
    /// How often our own allowlist kept us from dialing.
    pub(crate) dials_denied: u64,
    /// Heartbeats sent.
    pub(crate) heartbeats: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) sums: Tallied,
    /// Peers that were connected once.
    met: BTreeSet<PeerId>,
}

impl Tally {
    /// A peer's state changed. A peer that the table has forgotten meanwhile counts as never met.
    pub(crate) fn handle_state(
        &mut self,
        peer: PeerId,
        state: PeerState,
        reason: Reason,
        is_known: impl Fn(&PeerId) -> bool,
    ) {
        let has_new_link = matches!(reason, Reason::Dialed | Reason::Accepted);
        match state {
            PeerState::Failed => self.sums.failed += 1,
            PeerState::Connected if has_new_link => {
                if self.met.len() >= MAX_MET {
                    self.met.retain(is_known);
                }
                self.sums.reconnects += u64::from(!self.met.insert(peer));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::peer;

    #[test]
    fn a_peer_reconnects_when_it_comes_again_and_not_when_it_is_heard_again() {
        let mut tally = Tally::default();
        let mut connected = |n, reason| {
            tally.handle_state(peer(n), PeerState::Connected, reason, |_| true);
            tally.sums.reconnects
        };
        assert_eq!(connected(1, Reason::Dialed), 0);
        assert_eq!(connected(2, Reason::Accepted), 0);
        assert_eq!(connected(1, Reason::Allowed), 0, "not a new connection");
        assert_eq!(connected(1, Reason::Accepted), 1);
        assert_eq!(connected(2, Reason::Dialed), 2);
    }

    #[test]
    fn every_failure_counts() {
        let mut tally = Tally::default();
        for _ in 0..2 {
            tally.handle_state(peer(1), PeerState::Failed, Reason::Lost, |_| true);
            tally.handle_state(peer(1), PeerState::Disconnected, Reason::Lost, |_| true);
        }
        assert_eq!(tally.sums.failed, 2);
    }

    #[test]
    fn who_was_met_is_remembered_no_longer_than_the_table_does() {
        let mut tally = Tally::default();
        let all = u32::try_from(MAX_MET).unwrap() + 10;
        for n in 0..all {
            let is_known = |other: &PeerId| *other == peer(0);
            tally.handle_state(peer(n), PeerState::Connected, Reason::Dialed, is_known);
        }
        assert!(tally.met.len() <= MAX_MET && tally.met.contains(&peer(0)));
        assert_eq!(tally.sums.reconnects, 0);
    }
}
