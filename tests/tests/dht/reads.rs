//! Many lookups, and what came of them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use pinhole_dht::{Event, OperationId};
use pinhole_proto::{Candidate, PeerId};

use super::network::Network;
use super::population::{Population, honest, random};
use super::tally::Reads;

struct Read {
    wanted: Wanted,
    begun: Instant,
}

enum Wanted {
    Address(Candidate),
    Value(Vec<u8>),
}

/// Random nodes look for random others, `count` times, spread over `time`. Both have been there
/// for a minute at least.
pub fn locate(
    network: &mut Network,
    population: &Population,
    count: usize,
    time: Duration,
) -> Reads {
    locate_from(network, population, &[], count, time)
}

/// The same, by these nodes only, if there are any.
pub fn locate_from(
    network: &mut Network,
    population: &Population,
    readers: &[usize],
    count: usize,
    time: Duration,
) -> Reads {
    let mut reads = Reads::default();
    let mut open = HashMap::new();
    network.events.clear();
    let step = time / count as u32;
    for _ in 0..count {
        let settled = |network: &Network, at: usize| {
            honest(network, at) && network.nodes[at].since + Duration::from_secs(60) <= network.now
        };
        let whom = random(network, settled);
        let who = match readers.len() {
            0 => random(network, settled),
            len => readers[network.rng.below(len)],
        };
        if who == whom {
            continue;
        }
        let peer = network.nodes[whom].peer;
        let wanted = Wanted::Address(Candidate::direct(network.nodes[whom].addr).unwrap());
        reads.tried += 1;
        let begun = network.now;
        if let Ok(id) = network.with(who, |now, dht| dht.locate(now, peer)) {
            open.insert((who, id), Read { wanted, begun });
        }
        let next = network.now + step;
        population.run_until(network, next);
        settle(network, &mut open, &mut reads);
    }
    population.run_for(network, Duration::from_secs(60));
    settle(network, &mut open, &mut reads);
    reads
}

/// Random honest nodes read a value, `count` times.
pub fn value(
    network: &mut Network,
    population: &Population,
    (owner, name, content): (PeerId, &str, &[u8]),
    count: usize,
) -> Reads {
    let mut reads = Reads::default();
    let mut open = HashMap::new();
    network.events.clear();
    for _ in 0..count {
        let who = random(network, honest);
        reads.tried += 1;
        let wanted = Wanted::Value(content.to_vec());
        let begun = network.now;
        if let Ok(id) = network.with(who, |now, dht| dht.value(now, owner, name)) {
            open.insert((who, id), Read { wanted, begun });
        }
        population.run_for(network, Duration::from_secs(2));
        settle(network, &mut open, &mut reads);
    }
    population.run_for(network, Duration::from_secs(60));
    settle(network, &mut open, &mut reads);
    reads
}

/// Takes what happened since; who found what was wanted needs no more of it.
fn settle(
    network: &mut Network,
    open: &mut HashMap<(usize, OperationId), Read>,
    reads: &mut Reads,
) {
    for (at, when, event) in std::mem::take(&mut network.events) {
        let (id, hops, hit) = match &event {
            Event::Located { operation, candidates, hops, .. } => {
                let hit = |read: &Read| {
                    matches!(&read.wanted, Wanted::Address(wanted)
                    if candidates.contains(wanted))
                };
                (*operation, *hops, open.get(&(at, *operation)).is_some_and(hit))
            }
            Event::Record { operation, record, hops } => {
                let hit = |read: &Read| match (&read.wanted, &record.body) {
                    (Wanted::Value(wanted), pinhole_proto::record::Body::Value { value, .. }) => {
                        wanted[..] == value[..]
                    }
                    _ => false,
                };
                (*operation, *hops, open.get(&(at, *operation)).is_some_and(hit))
            }
            Event::Finished { operation, outcome } => {
                if open.remove(&(at, *operation)).is_some() {
                    reads.asked.add(outcome.asked as f64);
                }
                continue;
            }
        };
        if hit && let Some(read) = open.get_mut(&(at, id)) {
            let (begun, done) =
                (read.begun, matches!(&read.wanted, Wanted::Value(w) if w.is_empty()));
            if !done {
                reads.found += 1;
                reads.hops.add(f64::from(hops));
                reads.millis.add_time(when - begun);
                // Once is enough; the operation goes on until it ends by itself.
                read.wanted = Wanted::Value(Vec::new());
            }
        }
    }
}
