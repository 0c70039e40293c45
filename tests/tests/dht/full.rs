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
    eprintln!("formed: {} requests", joined);
    population.run_for(&mut network, MINUTE * 60);
    let settling = network.requests - joined;
    let kinds = network.kinds;
    let traffic = idle_traffic(&mut network, &population, MINUTE * 40);
    let hours = population.nodes as f64 * 40.0 / 60.0;
    println!("  {}", network.kinds.hourly(&kinds, hours));
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
    population.run_for(&mut network, MINUTE * 90);
    let kinds = network.kinds;
    let traffic = idle_traffic(&mut network, &population, MINUTE * 40);
    let hours = population.nodes as f64 * 40.0 / 60.0;
    println!("  {}", network.kinds.hourly(&kinds, hours));
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

#[test]
#[ignore = "takes minutes; see docs/dht-simulation.md"]
fn collusion() {
    let population = Population::steady(nodes(1000));
    let mut network = population.form(seed());
    population.run_for(&mut network, MINUTE * 60);
    for manners in [Manners::Accomplices, Manners::Lies, Manners::Silence, Manners::Mixed] {
        let reads = collude(&mut network, &population, manners, MINUTE * 60, 2000);
        println!("{} nodes, 20 % {manners:?}: {reads}", population.nodes);
    }
}

/// The same fifth of all nodes lies from now on, in another manner than before.
pub fn collude(
    network: &mut Network,
    population: &Population,
    manners: Manners,
    time: Duration,
    count: usize,
) -> Reads {
    swarm::corrupt(network, 20, manners);
    population.run_for(network, time);
    reads::locate(network, population, count, MINUTE * 10)
}

/// A swarm around a record.
#[derive(Clone, Copy, Debug)]
pub struct Swarm {
    pub members: usize,
    pub before_put: bool,
    pub subnets: usize,
    /// Ids share so many bits with the record's place.
    pub bits: u16,
}

pub fn swarmed(
    network: &mut Network,
    population: &Population,
    swarm: Swarm,
    time: Duration,
    count: usize,
) -> Reads {
    let publisher = random(network, honest);
    let owner = network.nodes[publisher].peer;
    let name = format!("news {}", network.requests);
    let place = Position::of_value(&owner, &name);
    let attack = |network: &mut Network| {
        let ids = swarm::ids_near(&place, swarm.bits, swarm.members);
        swarm::add(network, &ids, swarm.subnets);
        swarm::push(network);
        population.run_for(network, time);
    };
    if swarm.before_put {
        attack(network);
    }
    let body = Body::Value {
        name: Text::new(name.as_str()).unwrap(),
        value: Bytes::new(*b"it rains").unwrap(),
    };
    let life = MINUTE * 60 * 24;
    network.with(publisher, |now, dht| dht.publish(now, body, 1, life)).unwrap();
    population.run_for(network, MINUTE);
    if !swarm.before_put {
        attack(network);
    }
    let holds = |network: &Network, at: usize| {
        let dht = network.nodes[at].dht.as_ref();
        dht.is_some_and(|dht| dht.store().records().any(|record| record.position() == place))
    };
    let holders = (0..network.nodes.len()).filter(|at| holds(network, *at)).count();
    let reads = reads::value(network, population, (owner, &name, b"it rains"), count);
    println!("{swarm:?}: {holders} honest holders; {reads}");
    network.with(publisher, |_, dht| dht.unpublish(&place));
    swarm::retire(network);
    population.run_for(network, time);
    reads
}

#[test]
#[ignore = "takes minutes; see docs/dht-simulation.md"]
fn swarms() {
    let population = Population::steady(nodes(1000));
    let members = population.nodes / 5;
    let mut network = population.form(seed());
    population.run_for(&mut network, MINUTE * 60);
    for bits in [12, 5] {
        for before_put in [true, false] {
            for subnets in [members, 8] {
                let mut all = Reads::default();
                for _ in 0..3 {
                    let swarm = Swarm { members, before_put, subnets, bits };
                    let reads = swarmed(&mut network, &population, swarm, MINUTE * 20, 100);
                    all.tried += reads.tried;
                    all.found += reads.found;
                }
                let when = if before_put { "before" } else { "after" };
                println!(
                    "swarm of {members} at {bits} bits, {subnets} subnets, {when} the put: \
                     found {:.2} % of {}",
                    all.share(),
                    all.tried
                );
            }
        }
    }
}

/// How many requests, paths and answers a lookup should have: readers that differ, in one network
/// with liars.
#[test]
#[ignore = "takes minutes; see docs/dht-simulation.md"]
fn choices() {
    let population = Population::steady(nodes(1000));
    let mut network = population.form(seed());
    population.run_for(&mut network, MINUTE * 60);
    swarm::corrupt(&mut network, 20, Manners::Accomplices);
    let shipped = network.config.clone();
    for (alpha, paths, width) in
        [(3, 1, 20), (2, 2, 10), (1, 4, 5), (2, 4, 5), (3, 4, 5), (2, 6, 4), (2, 8, 3)]
    {
        network.config = pinhole_dht::Config { alpha, paths, width, ..shipped.clone() };
        let readers: Vec<usize> = (0..20)
            .map(|_| {
                let seed = random(&mut network, honest);
                network.join(false, Some(seed))
            })
            .collect();
        population.run_for(&mut network, MINUTE * 5);
        let reads = reads::locate_from(&mut network, &population, &readers, 600, MINUTE * 5);
        println!("alpha {alpha}, {paths} paths, {width} answers: {reads}");
    }
}
