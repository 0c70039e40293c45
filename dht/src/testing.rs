//! What the tests of this crate share.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use pinhole_proto::dht::{Contact, Position};
use pinhole_proto::{PeerId, SecretKey};

use pinhole_proto::rng::Rng;

/// The start of a test's time. Its value does not matter.
#[allow(clippy::disallowed_methods, reason = "only differences are used")]
pub(crate) fn start() -> Instant {
    Instant::now()
}

pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) fn key(rng: &mut Rng) -> SecretKey {
    SecretKey::generate(|seed| *seed = rng.position().0)
}

/// Some id; nobody has its key.
pub(crate) fn peer(rng: &mut Rng) -> PeerId {
    loop {
        if let Ok(peer) = PeerId::from_bytes(rng.position().0) {
            return peer;
        }
    }
}

/// Some id whose place fits.
pub(crate) fn peer_where(rng: &mut Rng, fits: impl Fn(&Position) -> bool) -> PeerId {
    loop {
        let peer = peer(rng);
        if fits(&Position::of_peer(&peer)) {
            return peer;
        }
    }
}

/// A public address in a random subnet.
pub(crate) fn addr(rng: &mut Rng) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::from(0x2000_0000 + rng.below(1 << 28) as u32), 4433))
}

pub(crate) fn contact(rng: &mut Rng) -> Contact {
    let peer = peer(rng);
    at(peer, addr(rng))
}

pub(crate) fn at(peer: PeerId, addr: SocketAddr) -> Contact {
    Contact::at(peer, addr).unwrap()
}
