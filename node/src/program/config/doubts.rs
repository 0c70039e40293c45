//! What is well written and cannot be meant: peers that are ourselves, or two of them at one
//! address, or that this node itself does not admit.

use std::collections::HashMap;

use pinhole_node::allowlist::{Allowlist, Verdict};
use pinhole_proto::{Candidate, PeerAddr, PeerId};

use super::read::insert;
use super::{Config, Level, Problem};

/// Something about a peer of the settings, by its index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Doubt {
    pub(crate) index: usize,
    pub(crate) what: String,
    pub(crate) hint: &'static str,
}

/// Peers that are ourselves, and addresses that are given for two peers.
pub(crate) fn about_addresses(peers: &[PeerAddr], us: Option<PeerId>) -> Vec<Doubt> {
    let mut doubts = Vec::new();
    let mut known = HashMap::new();
    for (index, addr) in peers.iter().enumerate() {
        if Some(addr.peer) == us {
            let what = format!("the wanted peer {} is this node itself", addr.peer);
            doubts.push(Doubt { index, what, hint: "take it out of the list of peers" });
            continue;
        }
        let own = |candidate: &&Candidate| !matches!(candidate, Candidate::Relay { .. });
        for candidate in addr.candidates.iter().filter(own) {
            let other = *known.entry(candidate).or_insert(addr.peer);
            if other != addr.peer {
                let what = format!("{candidate} is given for {} and for {other}", addr.peer);
                let hint = "one address has one node: ask it for its `id`, and correct the other";
                doubts.push(Doubt { index, what, hint });
            }
        }
    }
    doubts
}

/// Wanted peers that the allowlist does not admit.
fn about_admission(peers: &[PeerAddr], list: &Allowlist) -> Vec<Doubt> {
    let doubt = |(index, addr): (usize, &PeerAddr)| {
        let (why, hint) = why_not_dialed(list.verdict(&addr.peer))?;
        Some(Doubt { index, what: format!("the wanted peer {} {why}", addr.peer), hint })
    };
    peers.iter().enumerate().filter_map(doubt).collect()
}

/// Why a wanted peer is not dialed, and what to do; `None` if it is.
pub(crate) fn why_not_dialed(verdict: Verdict) -> Option<(&'static str, &'static str)> {
    match verdict {
        Verdict::Admitted => None,
        Verdict::Denied => Some(("is denied, so it is not dialed", ALLOW_IT)),
        Verdict::Unlisted => {
            Some(("is not on the allowlist (mode strict), so it is not dialed", ALLOW_IT))
        }
    }
}

const ALLOW_IT: &str =
    "`allow` it, or take it off the peers to stay connected to (configuration, or `disconnect`)";

impl Config {
    /// Adds what is doubtful on a node with this id and this allowlist, as far as they are known.
    pub(crate) fn handle_doubts(&mut self, us: Option<PeerId>, list: Option<&Allowlist>) {
        let peers = &self.settings.peers;
        let mut doubts = about_addresses(peers, us);
        doubts.extend(list.map(|list| about_admission(peers, list)).into_iter().flatten());
        for Doubt { index, what, hint } in doubts {
            // Each peer of the file has its place.
            let Some(&(line, column)) = self.places.get(index) else { continue };
            let hint = hint.to_owned();
            insert(&mut self.problems, Problem { level: Level::Doubt, line, column, what, hint });
        }
    }

    /// Where a peer of these settings was named: a place in the file, or else a flag.
    pub(crate) fn place(&self, index: usize) -> String {
        match self.places.get(index) {
            Some((line, column)) => format!("{}:{line}:{column}", self.path.display()),
            None => "--peer".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "pin178yhzfdz0055n2y9j2gntumngvlj2tw6y44wxj7m4hkknax64g8qpgrn44";
    const B: &str = "pin1qqcfyjpczwxaf8327yq866gm6f2f24q0zrh5mwljpqf32al5dglqwr7khx";

    fn peers(texts: &[&str]) -> Vec<PeerAddr> {
        texts.iter().map(|text| text.replace('A', A).replace('B', B).parse().unwrap()).collect()
    }

    #[test]
    fn one_address_is_not_two_peers() {
        let doubts = about_addresses(
            &peers(&["A@192.0.2.1:1", "B@192.0.2.2:1", "B@192.0.2.1:1", "A@host.example:1"]),
            None,
        );
        assert_eq!(doubts.len(), 1);
        assert_eq!(doubts[0].index, 2);
        assert_eq!(doubts[0].what, format!("192.0.2.1:1 is given for {B} and for {A}"));
        let names = peers(&["A@host.example:1", "B@/dns/HOST.example/udp/1", "B@host.example:2"]);
        assert_eq!(about_addresses(&names, None).len(), 1);
        assert_eq!(about_addresses(&peers(&["A@192.0.2.1:1", "A@192.0.2.1:1"]), None), []);
    }

    #[test]
    fn a_node_does_not_want_itself() {
        let doubts = about_addresses(&peers(&["A@192.0.2.1:1", "B"]), Some(B.parse().unwrap()));
        assert_eq!(doubts.len(), 1);
        assert!(doubts[0].index == 1 && doubts[0].what.contains("itself"));
    }

    #[test]
    fn whom_the_allowlist_refuses_is_wanted_in_vain() {
        let mut list = Allowlist::new(pinhole_node::allowlist::Mode::Strict);
        list.handle_allow(B.parse().unwrap()).unwrap();
        let peers = peers(&["A@192.0.2.1:1", "B@192.0.2.2:1"]);
        assert!(about_admission(&peers, &list)[0].what.contains("not on the allowlist"));
        list.handle_deny(A.parse().unwrap()).unwrap();
        list.handle_deny(B.parse().unwrap()).unwrap();
        let doubts = about_admission(&peers, &list);
        assert_eq!(doubts.len(), 2);
        assert!(doubts.iter().all(|doubt| doubt.what.contains("is denied")));
    }
}
