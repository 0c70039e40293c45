//! What goes wrong with wanted peers, in words: told once, and taken back when it is over.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use pinhole_node::{Candidate, Node, PeerId, PeerInfo};

use super::config::why_not_dialed;

/// What a problem is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Topic {
    /// The allowlist does not admit a wanted peer.
    NotAdmitted,
    /// None of a wanted peer's names has an address.
    Unresolved,
    /// Somebody else lives at a wanted peer's address.
    WrongIdentity,
    /// The peer was forgotten while the configuration allows it.
    ForgottenForNow,
}

/// The problems that were told and are not over.
#[derive(Debug, Default)]
pub(crate) struct Troubles(BTreeMap<(PeerId, Topic), String>);

impl Troubles {
    /// Whether this was told.
    pub(crate) fn told(&self, peer: PeerId, topic: Topic) -> bool {
        self.0.contains_key(&(peer, topic))
    }

    /// Tells of a problem, if that is news.
    pub(crate) fn tell(
        &mut self,
        node: &Node,
        peer: PeerId,
        topic: Topic,
        what: String,
        hint: &str,
    ) {
        let known = self.0.insert((peer, topic), what.clone());
        match known {
            Some(known) if known == what => return,
            Some(known) => node.withdraw_problem(&known),
            None => {}
        }
        node.report_problem(what, hint);
    }

    /// A problem is over.
    pub(crate) fn over(&mut self, node: &Node, peer: PeerId, topic: Topic) {
        if let Some(what) = self.0.remove(&(peer, topic)) {
            node.withdraw_problem(&what);
        }
    }

    /// Looks whether each wanted peer is admitted.
    pub(crate) fn review_admission(&mut self, node: &Node, peers: &[PeerInfo]) {
        let mut over: Vec<PeerId> = self.about(Topic::NotAdmitted).collect();
        for info in peers.iter().filter(|info| info.wanted) {
            let verdict = node.inspect_allowlist(|list| list.verdict(&info.peer));
            if let Some((why, hint)) = why_not_dialed(verdict) {
                let what = format!("the wanted peer {} {why}", info.peer);
                self.tell(node, info.peer, Topic::NotAdmitted, what, hint);
                over.retain(|peer| *peer != info.peer);
            }
        }
        for peer in over {
            self.over(node, peer, Topic::NotAdmitted);
        }
    }

    fn about(&self, topic: Topic) -> impl Iterator<Item = PeerId> {
        self.0.keys().filter(move |(_, other)| *other == topic).map(|(peer, _)| *peer)
    }
}

/// Who else is connected at an address at which `peer` is looked for.
pub(crate) fn who_lives_there(
    peers: &[PeerInfo],
    peer: PeerId,
    named: &[Candidate],
) -> Option<(SocketAddr, PeerId)> {
    let known = peers.iter().filter(|info| info.peer == peer).flat_map(|info| &info.candidates);
    let looked_for: Vec<SocketAddr> =
        named.iter().chain(known).filter_map(Candidate::socket_addr).collect();
    let others = peers.iter().filter(|info| info.peer != peer);
    others
        .filter_map(|info| {
            let addr = info.addr?;
            Some((SocketAddr::new(addr.ip().to_canonical(), addr.port()), info.peer))
        })
        .find(|(addr, _)| looked_for.contains(addr))
}

/// Somebody else lives at the address of `peer`.
pub(crate) fn wrong_identity(peer: PeerId, addr: SocketAddr, other: PeerId) -> String {
    format!("{addr} is {other}, not {peer}")
}

/// What to do about [`wrong_identity`].
pub(crate) const WRONG_IDENTITY_HINT: &str = "correct the address or the id";

/// A wanted peer of which no name has an address.
pub(crate) fn unresolved(info: &PeerInfo) -> String {
    let names: Vec<String> = info
        .candidates
        .iter()
        .filter(|candidate| candidate.socket_addr().is_none())
        .map(|candidate| candidate.host().to_string())
        .collect();
    format!("{} of the wanted peer {} cannot be resolved", names.join(", "), info.peer)
}

/// What to do about [`unresolved`].
pub(crate) const UNRESOLVED_HINT: &str =
    "check the spelling and the DNS of this machine; the name is looked up again at each try";
