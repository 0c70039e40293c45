//! Peers that commands want: connected, and remembered with the addresses that work.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use pinhole_node::{Candidate, ConnectError, PeerAddr, PeerId};
use pinhole_proto::MAX_CANDIDATES;

use super::super::failure::{Failure, Kind};
use super::super::json::{Json, millis, object};
use super::super::state::{MAX_WANTED, save_wanted};
use super::super::troubles::{self, Topic};
use super::{Desk, Files, failure, lock, may_pass};

impl Desk {
    pub(super) async fn connect(&self, addr: PeerAddr, limit: Duration) -> Result<Json, Failure> {
        let begin = Instant::now();
        let result = self.node.connect_within(addr.clone(), limit).await;
        let elapsed = begin.elapsed();
        let result = match result {
            Ok(connected) => Ok(connected),
            Err(error) => Err(self.connect_failure(&addr, error).await),
        };
        let keep = match &result {
            Ok(_) => true,
            // A node that goes on running goes on trying.
            Err(failure) => !self.temporary && may_pass(failure.kind.name()),
        };
        if keep {
            let wanted = self.node.want(addr.clone()).await;
            wanted.map_err(|error| failure(error.kind(), error.to_string()))?;
            let works = result.as_ref().ok().map(|connected| (connected.addr, connected.dialed));
            self.remember(addr, works).await?;
        }
        match result {
            Ok(connected) => Ok(object! {
                "peer": connected.peer,
                "path": connected.path.name(),
                "addr": connected.addr,
                "elapsed_ms": millis(elapsed),
            }),
            Err(mut failure) => {
                if keep {
                    failure.message.push_str("; the node goes on trying until `disconnect`");
                }
                Err(failure)
            }
        }
    }

    /// Stores a peer that is wanted from now on.
    async fn remember(
        &self,
        named: PeerAddr,
        works: Option<(SocketAddr, bool)>,
    ) -> Result<(), Failure> {
        let known = match named.candidates.is_empty() {
            true => self.node.peer(named.peer).await.map(|info| info.candidates),
            false => None,
        };
        let mut files = self.files.lock().await;
        let place = files.wanted.iter().position(|other| other.peer == named.peer);
        if place.is_none() && files.wanted.len() >= MAX_WANTED {
            return Err(Failure::new(
                Kind::Busy,
                format!("{MAX_WANTED} peers are wanted already; `disconnect` some"),
            ));
        }
        self.store(&mut files, place, named, works, &known.unwrap_or_default())
    }

    /// A peer was reached: the address is stored, if the peer is.
    pub(super) async fn remember_what_works(
        &self,
        peer: PeerId,
        works: Option<(SocketAddr, bool)>,
    ) -> Result<(), Failure> {
        let mut files = self.files.lock().await;
        match files.wanted.iter().position(|other| other.peer == peer) {
            None => Ok(()),
            place => self.store(&mut files, place, PeerAddr::from_id(peer), works, &[]),
        }
    }

    fn store(
        &self,
        files: &mut Files,
        place: Option<usize>,
        named: PeerAddr,
        works: Option<(SocketAddr, bool)>,
        known: &[Candidate],
    ) -> Result<(), Failure> {
        let mut wanted = files.wanted.clone();
        let stored = place.and_then(|place| wanted.get_mut(place));
        let addr = with_what_works(named, stored.as_deref(), works, known);
        match stored {
            Some(stored) if *stored == addr => return Ok(()),
            Some(stored) => *stored = addr,
            None => wanted.push(addr),
        }
        save_wanted(&self.folder, &wanted)?;
        files.wanted = wanted;
        Ok(())
    }

    /// Closes a connection and wants the peer no more, here and on disk.
    pub(super) async fn disconnect(&self, peer: PeerId) -> Result<Json, Failure> {
        let known = self.node.peer(peer).await;
        self.node.disconnect(peer).await;
        {
            let mut troubles = lock(&self.troubles);
            for topic in [Topic::NotAdmitted, Topic::Unresolved, Topic::WrongIdentity] {
                troubles.over(&self.node, peer, topic);
            }
        }
        let mut files = self.files.lock().await;
        let mut wanted = files.wanted.clone();
        wanted.retain(|other| other.peer != peer);
        if wanted.len() < files.wanted.len() {
            save_wanted(&self.folder, &wanted)?;
            files.wanted = wanted;
        } else if known.is_none() {
            return Err(Failure::new(
                Kind::NotFound,
                format!("this node does not know {peer}; `peers` lists whom it knows"),
            ));
        }
        Ok(object! { "peer": peer })
    }

    /// Why a peer was not reached. Where there was silence and somebody else is known to live at its
    /// address, that is the likely reason.
    pub(super) async fn connect_failure(&self, addr: &PeerAddr, error: ConnectError) -> Failure {
        if error == ConnectError::NoAnswer
            && let Some(failure) = self.wrong_identity(addr).await
        {
            return failure;
        }
        failure(error.kind(), error.to_string())
    }

    /// Who else is known to live at this address.
    pub(super) async fn wrong_identity(&self, addr: &PeerAddr) -> Option<Failure> {
        let peers = self.node.peers().await;
        let (at, other) = troubles::who_lives_there(&peers, addr.peer, &addr.candidates)?;
        let what = troubles::wrong_identity(addr.peer, at, other);
        let hint = troubles::WRONG_IDENTITY_HINT;
        Some(Failure::new(Kind::WrongIdentity, format!("{what}; {hint}")))
    }

    /// A wanted peer does not answer, and somebody else lives at its address.
    pub(super) async fn misnamed(&self, peer: PeerId) {
        if lock(&self.troubles).told(peer, Topic::WrongIdentity) {
            return;
        }
        let peers = self.node.peers().await;
        let is_wanted = peers.iter().any(|info| info.peer == peer && info.wanted);
        if let Some((at, other)) = troubles::who_lives_there(&peers, peer, &[])
            && is_wanted
        {
            let what = troubles::wrong_identity(peer, at, other);
            let hint = troubles::WRONG_IDENTITY_HINT;
            lock(&self.troubles).tell(&self.node, peer, Topic::WrongIdentity, what, hint);
        }
    }

    /// None of a wanted peer's names has an address.
    pub(super) async fn unresolved(&self, peer: PeerId) {
        if lock(&self.troubles).told(peer, Topic::Unresolved) {
            return;
        }
        if let Some(info) = self.node.peer(peer).await.filter(|info| info.wanted) {
            let what = troubles::unresolved(&info);
            let hint = troubles::UNRESOLVED_HINT;
            lock(&self.troubles).tell(&self.node, peer, Topic::Unresolved, what, hint);
        }
    }
}

/// The addresses of a wanted peer, best first: the one at which we dialed it, those that were named
/// now, those that were stored; where there is none of these, whence it dialed us, or else what is
/// known of it.
fn with_what_works(
    named: PeerAddr,
    stored: Option<&PeerAddr>,
    works: Option<(SocketAddr, bool)>,
    known: &[Candidate],
) -> PeerAddr {
    let peer = named.peer;
    let before = stored.into_iter().flat_map(|stored| stored.candidates.iter());
    let mut all: Vec<Candidate> = named.candidates.iter().chain(before).cloned().collect();
    let works = works.and_then(|(addr, dialed)| Candidate::direct(addr).ok().zip(Some(dialed)));
    match works {
        // A name stands for its addresses, which may change.
        Some((works, true)) if all.iter().all(|candidate| candidate.socket_addr().is_some()) => {
            all.insert(0, works);
        }
        Some((works, false)) if all.is_empty() => all.push(works),
        _ => {}
    }
    if all.is_empty() {
        all.extend_from_slice(known);
    }
    let mut distinct: Vec<Candidate> = Vec::new();
    for candidate in all {
        if distinct.len() < MAX_CANDIDATES && !distinct.contains(&candidate) {
            distinct.push(candidate);
        }
    }
    PeerAddr::new(peer, distinct).unwrap_or(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = "pin178yhzfdz0055n2y9j2gntumngvlj2tw6y44wxj7m4hkknax64g8qpgrn44";

    fn addr(candidates: &str) -> PeerAddr {
        let at = if candidates.is_empty() { "" } else { "@" };
        format!("{PEER}{at}{candidates}").parse().unwrap()
    }

    fn stored(named: &str, before: &str, works: Option<(&str, bool)>, known: &str) -> PeerAddr {
        let before = (!before.is_empty()).then(|| addr(before));
        let works = works.map(|(at, dialed)| (at.parse().unwrap(), dialed));
        with_what_works(addr(named), before.as_ref(), works, &addr(known).candidates)
    }

    #[test]
    fn the_address_that_works_comes_first_and_none_is_lost() {
        let works = Some(("192.0.2.9:1", true));
        assert_eq!(stored("192.0.2.1:1", "", None, ""), addr("192.0.2.1:1"));
        assert_eq!(stored("192.0.2.9:1", "", works, ""), addr("192.0.2.9:1"));
        assert_eq!(
            stored("192.0.2.1:1", "192.0.2.2:1", works, "192.0.2.3:1"),
            addr("192.0.2.9:1,192.0.2.1:1,192.0.2.2:1")
        );
        assert_eq!(stored("", "192.0.2.2:1", None, ""), addr("192.0.2.2:1"));
    }

    #[test]
    fn a_name_stays_a_name() {
        let works = Some(("192.0.2.9:1", true));
        assert_eq!(stored("host.example:1", "", works, ""), addr("host.example:1"));
    }

    #[test]
    fn whoever_was_named_by_id_alone_has_the_best_guess() {
        assert_eq!(stored("", "", Some(("192.0.2.9:1", false)), ""), addr("192.0.2.9:1"));
        assert_eq!(
            stored("192.0.2.1:1", "", Some(("192.0.2.9:1", false)), ""),
            addr("192.0.2.1:1")
        );
        assert_eq!(stored("", "", None, "192.0.2.3:1"), addr("192.0.2.3:1"));
        assert_eq!(stored("", "", None, ""), addr(""));
    }

    #[test]
    fn there_are_never_more_than_an_address_holds() {
        let many: Vec<String> = (1..=8).map(|n| format!("192.0.2.{n}:1")).collect();
        let all = stored(&many.join(","), "192.0.2.10:1", Some(("192.0.2.9:1", true)), "");
        assert_eq!(all.candidates.len(), 8);
        assert_eq!(all.candidates[0].to_string(), "192.0.2.9:1");
    }
}
