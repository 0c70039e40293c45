//! Who is asked about a peer that is silent. SPEC §10.7.

use std::time::Instant;

use pinhole_proto::PeerId;

use super::surface::{PeerCommand, Testimony};
use super::{LinkId, PeerState, Peers};
use pinhole_proto::rng::Rng;

/// Witnesses asked at a time about one peer. SPEC §10.7.
pub const WITNESSES: usize = 3;
/// Witnesses asked about one silence of one peer. SPEC §10.7.
pub const MAX_ASKED: usize = 6;
/// Questions of ours under way in all. SPEC §10.7.
pub const MAX_ASKING: usize = 16;

/// The questions about one silence of one peer.
#[derive(Debug, Default)]
pub(super) struct Round {
    asked: Vec<PeerId>,
    open: Vec<PeerId>,
    heard: Vec<PeerId>,
}

impl Round {
    /// How many may be asked now.
    fn room(&self) -> usize {
        let told = self.asked.len() - self.open.len();
        let useful = self.open.len() + self.heard.len();
        WITNESSES.saturating_sub(useful).min(MAX_ASKED.saturating_sub(self.open.len() + told))
    }

    fn handle_asked(&mut self, witness: PeerId) {
        self.asked.push(witness);
        self.open.push(witness);
    }

    /// False if that witness was not asked in this round, or answered before.
    fn handle_testimony(&mut self, witness: PeerId, testimony: Testimony) -> bool {
        let Some(at) = self.open.iter().position(|open| *open == witness) else { return false };
        self.open.swap_remove(at);
        if testimony == Testimony::Heard {
            self.heard.push(witness);
        }
        true
    }

    /// Who said that they hear the peer.
    pub(super) fn heard(&self) -> &[PeerId] {
        &self.heard
    }
}

impl Peers {
    /// A witness answered, or did not.
    pub fn handle_testimony(
        &mut self,
        _now: Instant,
        about: PeerId,
        witness: PeerId,
        testimony: Testimony,
    ) {
        let Some(entry) = self.entry_mut(&about) else { return };
        if !entry.round.handle_testimony(witness, testimony) {
            return;
        }
        match testimony {
            Testimony::Heard => {
                if let Some(link) = entry.vital_link_mut() {
                    link.liveness.handle_witness();
                }
            }
            Testimony::Elsewhere => self.ask_witnesses(about),
            Testimony::Silent => {}
        }
        self.replan();
    }

    /// Asks others about a suspect peer, as many as there may be.
    pub(super) fn ask_witnesses(&mut self, about: PeerId) {
        let asking: usize = self.peers.values().map(|entry| entry.round.open.len()).sum();
        let Some(entry) = self.peers.get(&about) else { return };
        if entry.state != PeerState::Suspect {
            return;
        }
        let room = entry.round.room().min(MAX_ASKING.saturating_sub(asking));
        let mut witnesses = self.witnesses(about);
        for _ in 0..room {
            let Some((witness, link)) = pick(&mut witnesses, &mut self.rng) else { return };
            let Some(entry) = self.entry_mut(&about) else { return };
            entry.round.handle_asked(witness);
            self.commands.push_back(PeerCommand::AskWitness { about, witness, link });
        }
    }

    /// Those who can be asked about `about` and were not yet.
    fn witnesses(&self, about: PeerId) -> Vec<(PeerId, LinkId)> {
        let asked = self.peers.get(&about).map_or(&[][..], |entry| &entry.round.asked);
        self.peers
            .iter()
            .filter(|(peer, entry)| {
                entry.state == PeerState::Connected && **peer != about && !asked.contains(peer)
            })
            .filter_map(|(peer, entry)| Some((*peer, entry.kept?)))
            .collect()
    }
}

fn pick<T>(from: &mut Vec<T>, rng: &mut Rng) -> Option<T> {
    let len = from.len() as u64;
    (len > 0).then(|| from.swap_remove((rng.next_u64() % len) as usize))
}
