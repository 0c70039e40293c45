//! Small forms of the rows, for every run of the tests.

use std::time::Duration;

use super::population::Population;
use super::reads;

#[test]
fn everybody_is_found_in_a_steady_network() {
    let population = Population::steady(150);
    let mut network = population.form(1);
    population.run_for(&mut network, Duration::from_secs(900));
    let reads = reads::locate(&mut network, &population, 100, Duration::from_secs(100));
    println!("{reads}; {} requests", network.requests);
    assert_eq!(reads.found, reads.tried);
    assert!(reads.hops.at(0.99) <= 4.0);
}
