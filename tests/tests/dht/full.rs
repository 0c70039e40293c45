//! The rows of `docs/dht-simulation.md`, each a test that is run on demand.

use std::time::Duration;

use pinhole_proto::dht::Position;
use pinhole_proto::record::Body;
use pinhole_proto::{Bytes, Text};

use super::network::{Manners, Network};
use super::population::{Population, honest, idle_traffic, random, tables};
use super::reads;
use super::swarm;
use super::tally::Reads;

const MINUTE: Duration = Duration::from_secs(60);

fn seed() -> u64 {
    std::env::var("PINHOLE_SEED").map_or(1, |seed| seed.parse().unwrap())
}

fn nodes(default: usize) -> usize {
    std::env::var("PINHOLE_NODES").map_or(default, |nodes| nodes.parse().unwrap())
}

#[test]
#[ignore = "takes minutes; see docs/dht-simulation.md"]
fn steady() {
    let population = Population::steady(nodes(10_000));
    let mut network = population.form(seed());
    let joined = network.requests;
    population.run_for(&mut network, MINUTE * 60);
    let settling = network.requests - joined;
    let traffic = idle_traffic(&mut network, &population, MINUTE * 60);
    let reads = reads::locate(&mut network, &population, 2000, MINUTE * 10);
    let (sizes, alive) = tables(&network);
    println!("{} nodes, no churn: {reads}", population.nodes);
    println!(
        "  joining {} requests a node, then {settling} in an hour",
        joined as usize / population.nodes
    );
    println!(
        "  idle server: mean {:.0}, median {:.0}, p99 {:.0} B/s",
        traffic.mean(),
        traffic.at(0.5),
        traffic.at(0.99)
    );
    println!("  tables: median {}, {:.1} % alive", sizes.at(0.5), alive * 100.0);
}

#[test]
#[ignore = "takes minutes; see docs/dht-simulation.md"]
fn churn() {
    let mut population = Population::steady(nodes(10_000));
    population.behind_nat = 30;
    population.session = Some(MINUTE * 60);
    let mut network = population.form(seed());
    population.run_for(&mut network, MINUTE * 120);
    let traffic = idle_traffic(&mut network, &population, MINUTE * 60);
    let reads = reads::locate(&mut network, &population, 2000, MINUTE * 30);
    let (sizes, alive) = tables(&network);
    println!("{} nodes, sessions of 60 min, 30 % behind NAT: {reads}", population.nodes);
    println!(
        "  idle server: mean {:.0}, median {:.0}, p99 {:.0} B/s",
        traffic.mean(),
        traffic.at(0.5),
        traffic.at(0.99)
    );
    println!("  tables: median {}, {:.1} % alive", sizes.at(0.5), alive * 100.0);
}

/// One in five lies from the middle of a network's life on, through one round of publications.
pub fn liars(nodes: usize, manners: Manners, count: usize, seed: u64) -> Reads {
    let population = Population::steady(nodes);
    let mut network = population.form(seed);
    population.run_for(&mut network, MINUTE * 60);
    swarm::corrupt(&mut network, 20, manners);
    population.run_for(&mut network, MINUTE * 120);
    reads::locate(&mut network, &population, count, MINUTE * 10)
}

#[test]
#[ignore = "takes minutes; see docs/dht-simulation.md"]
fn collusion() {
    for manners in [Manners::Accomplices, Manners::Lies, Manners::Silence, Manners::Mixed] {
        let reads = liars(nodes(1000), manners, 2000, seed());
        println!("1000 nodes, 20 % {manners:?}: {reads}");
    }
}

/// A swarm of 200 around a record.
#[derive(Clone, Copy, Debug)]
pub struct Swarm {
    pub before_put: bool,
    pub subnets: usize,
    /// Ids share so many bits with the record's place.
    pub bits: u16,
}

pub fn swarmed(nodes: usize, swarm: Swarm, count: usize, seed: u64) -> Reads {
    let population = Population::steady(nodes);
    let mut network = population.form(seed);
    population.run_for(&mut network, MINUTE * 60);
    let publisher = random(&mut network, honest);
    let owner = network.nodes[publisher].peer;
    let place = Position::of_value(&owner, "news");
    let attack = |network: &mut Network| {
        let ids = swarm::ids_near(&place, swarm.bits, nodes / 5);
        swarm::add(network, &ids, swarm.subnets);
        swarm::push(network);
        population.run_for(network, MINUTE * 60);
    };
    if swarm.before_put {
        attack(&mut network);
    }
    let body =
        Body::Value { name: Text::new("news").unwrap(), value: Bytes::new(*b"it rains").unwrap() };
    let life = MINUTE * 60 * 24;
    network.with(publisher, |now, dht| dht.publish(now, body, 1, life)).unwrap();
    population.run_for(&mut network, MINUTE);
    if !swarm.before_put {
        attack(&mut network);
    }
    let reads = reads::value(&mut network, &population, (owner, "news", b"it rains"), count);
    let holders = (0..network.nodes.len()).filter(|at| {
        let dht = network.nodes[*at].dht.as_ref();
        dht.is_some_and(|dht| dht.store().records().any(|record| record.position() == place))
    });
    println!("  {} honest holders", holders.count());
    reads
}

#[test]
#[ignore = "takes minutes; see docs/dht-simulation.md"]
fn swarms() {
    for bits in [12, 5] {
        for before_put in [true, false] {
            for subnets in [200, 8] {
                let swarm = Swarm { before_put, subnets, bits };
                let mut all = Reads::default();
                for seed in seed()..seed() + 3 {
                    let reads = swarmed(nodes(1000), swarm, 100, seed);
                    println!("  {reads}");
                    all.tried += reads.tried;
                    all.found += reads.found;
                }
                println!("{swarm:?}: found {:.2} % of {}", all.share(), all.tried);
            }
        }
    }
}
