//! How a network comes to be, and how its members come and go.

use std::time::{Duration, Instant};

use super::network::{Manners, Network};
use super::tally::Tally;

/// How a population behaves.
#[derive(Clone, Copy, Debug)]
pub struct Population {
    pub nodes: usize,
    /// Of 100 nodes, so many are behind a NAT.
    pub behind_nat: usize,
    /// Median of an exponential session time; none for nodes that stay.
    pub session: Option<Duration>,
    /// All join within this time.
    pub joining: Duration,
}

impl Population {
    pub fn steady(nodes: usize) -> Self {
        // The network doubles every few minutes; it cannot appear all at once through one node.
        let joining = Duration::from_secs(600 + nodes as u64 / 10);
        Self { nodes, behind_nat: 0, session: None, joining }
    }

    /// A network of this population, once all have joined.
    pub fn form(&self, seed: u64) -> Network {
        let mut network = Network::new(seed, (self.nodes / 2).max(50));
        network.join(true, None);
        let per_node = self.joining / self.nodes as u32;
        for at in 1..self.nodes {
            self.join(&mut network, at >= 20);
            let next = network.now + per_node;
            self.run_until(&mut network, next);
        }
        network
    }

    pub fn run_for(&self, network: &mut Network, time: Duration) {
        let until = network.now + time;
        self.run_until(network, until);
    }

    /// Whoever leaves is replaced by somebody new.
    pub fn run_until(&self, network: &mut Network, until: Instant) {
        while !network.run_until(until) {
            for _ in std::mem::take(&mut network.left) {
                self.join(network, true);
            }
        }
    }

    fn join(&self, network: &mut Network, may_be_behind_nat: bool) {
        let seed = random(network, |network, at| network.nodes[at].serves);
        let serves = !may_be_behind_nat || network.rng.below(100) >= self.behind_nat;
        let at = network.join(serves, Some(seed));
        if let Some(median) = self.session {
            let uniform = (network.rng.below(1 << 30) + 1) as f64 / (1_u64 << 30) as f64;
            network.leave_after(at, median.mul_f64(-uniform.log2()));
        }
    }
}

/// A node that is online and fits.
pub fn random(network: &mut Network, fits: impl Fn(&Network, usize) -> bool) -> usize {
    loop {
        let at = network.rng.below(network.nodes.len());
        if network.nodes[at].online && fits(network, at) {
            return at;
        }
    }
}

pub fn honest(network: &Network, at: usize) -> bool {
    network.nodes[at].manners == Manners::Honest && network.nodes[at].dht.is_some()
}

/// Bytes a second of each server that is there at the beginning and the end of `time`.
pub fn idle_traffic(network: &mut Network, population: &Population, time: Duration) -> Tally {
    let before: Vec<u64> = network.nodes.iter().map(|node| node.bytes).collect();
    population.run_for(network, time);
    let mut tally = Tally::default();
    for (node, before) in network.nodes.iter().zip(before) {
        if node.online && node.serves {
            tally.add((node.bytes - before) as f64 / time.as_secs_f64());
        }
    }
    tally
}

/// Entries of the servers' tables, and of these the share that is there in truth.
pub fn tables(network: &Network) -> (Tally, f64) {
    let (mut sizes, mut entries, mut alive) = (Tally::default(), 0, 0);
    let online: std::collections::HashSet<_> =
        network.nodes.iter().filter(|node| node.online).map(|node| node.peer).collect();
    for node in network.nodes.iter().filter(|node| node.online && node.serves) {
        let Some(dht) = &node.dht else { continue };
        sizes.add(dht.table().len() as f64);
        for entry in dht.table().entries() {
            entries += 1;
            alive += usize::from(online.contains(&entry.contact.peer));
        }
    }
    (sizes, f64::from(alive as u32) / f64::from(entries as u32))
}
