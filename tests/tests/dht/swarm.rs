//! Those who lie: colluding nodes, and swarms of ids around one place.

use pinhole_proto::PeerId;
use pinhole_proto::dht::Position;

use super::network::{Manners, Network};

/// A share of the nodes, the same at each call, lies from now on. They know everybody.
pub fn corrupt(network: &mut Network, share: usize, manners: Manners) {
    for liar in network.liars.clone() {
        network.nodes[liar].manners = manners;
    }
    let count = network.nodes.len() * share / 100;
    while network.liars.len() < count {
        let at = network.rng.below(network.nodes.len());
        if network.nodes[at].manners == Manners::Honest && network.nodes[at].serves {
            network.nodes[at].manners = manners;
            network.liars.push(at);
        }
    }
    let all = 0..network.nodes.len();
    let honest = all.filter(|at| network.nodes[*at].manners == Manners::Honest);
    network.honest = honest.map(|at| network.contact(at)).collect();
}

/// Ids without known keys whose places share `bits` bits with `place`; members of a swarm sign
/// nothing.
pub fn ids_near(place: &Position, bits: u16, count: usize) -> Vec<PeerId> {
    let mut found = Vec::new();
    let mut bytes = [0; 32];
    for number in 0_u64.. {
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        let position = hash(&bytes);
        if position.common_bits(place) >= bits
            && let Ok(peer) = PeerId::from_bytes(bytes)
        {
            found.push(peer);
            if found.len() == count {
                break;
            }
        }
    }
    found
}

/// As `Position::of_peer`, for bytes that may be no id.
fn hash(bytes: &[u8; 32]) -> Position {
    use sha2::{Digest, Sha256};
    Position(
        Sha256::new().chain_update(b"pinhole dht peer 1").chain_update(bytes).finalize().into(),
    )
}

/// The members come from so many subnets, one after the other.
pub fn add(network: &mut Network, ids: &[PeerId], subnets: usize) {
    for (number, peer) in ids.iter().enumerate() {
        let subnet = 1_000_000 + number % subnets;
        let at = network.add(*peer, subnet, true, Manners::Accomplices);
        network.liars.push(at);
    }
}

/// The members leave.
pub fn retire(network: &mut Network) {
    for member in std::mem::take(&mut network.liars) {
        network.nodes[member].online = false;
    }
}

/// Every honest node hears of every member, and has even reached it: more than they could do.
pub fn push(network: &mut Network) {
    let members: Vec<_> = network.liars.iter().map(|at| network.contact(*at)).collect();
    for at in 0..network.nodes.len() {
        if network.nodes[at].dht.is_some() {
            network.with(at, |now, dht| {
                for member in &members {
                    dht.handle_reached(now, *member);
                }
            });
        }
    }
}
