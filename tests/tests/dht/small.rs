//! Small forms of the rows, for every run of the tests.

use std::time::Duration;

use super::full::{Swarm, collude, swarmed};
use super::network::Manners;
use super::population::{Population, idle_traffic};
use super::reads;

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn everybody_is_found_in_a_steady_network() {
    let population = Population::steady(120);
    let mut network = population.form(1);
    population.run_for(&mut network, MINUTE * 30);
    let traffic = idle_traffic(&mut network, &population, MINUTE * 30);
    let reads = reads::locate(&mut network, &population, 100, MINUTE * 2);
    println!("{reads}; idle {:.0} B/s", traffic.mean());
    assert_eq!(reads.found, reads.tried);
    assert!(reads.hops.at(0.5) <= 4.0 && reads.hops.at(0.99) <= 6.0);
}

#[test]
fn nearly_everybody_is_found_while_members_come_and_go() {
    let mut population = Population::steady(120);
    population.behind_nat = 30;
    population.session = Some(MINUTE * 60);
    let mut network = population.form(2);
    population.run_for(&mut network, MINUTE * 60);
    let reads = reads::locate(&mut network, &population, 100, MINUTE * 5);
    println!("{reads}");
    assert!(reads.share() >= 97.0);
}

#[test]
fn a_fifth_of_liars_hides_nobody() {
    let population = Population::steady(150);
    let mut network = population.form(3);
    population.run_for(&mut network, MINUTE * 60);
    for manners in [Manners::Accomplices, Manners::Mixed] {
        let reads = collude(&mut network, &population, manners, MINUTE * 5, 60);
        println!("{manners:?}: {reads}");
        assert!(reads.share() >= 97.0, "{manners:?}");
    }
}

#[test]
fn a_swarm_around_a_record_does_not_hide_it() {
    let population = Population::steady(150);
    let mut network = population.form(4);
    population.run_for(&mut network, MINUTE * 60);
    for (before_put, subnets) in [(true, 30), (false, 8)] {
        let swarm = Swarm { members: 30, before_put, subnets, bits: 9 };
        let reads = swarmed(&mut network, &population, swarm, MINUTE * 5, 40);
        assert!(reads.share() >= 95.0, "{swarm:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_network() {
    let run = || {
        let population = Population::steady(40);
        let mut network = population.form(5);
        let reads = reads::locate(&mut network, &population, 20, MINUTE);
        (network.requests, format!("{reads}"))
    };
    assert_eq!(run(), run());
}
