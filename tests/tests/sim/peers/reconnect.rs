//! Who was away comes back, soon and without a storm.

use std::time::Duration;

use pinhole_node::backoff::{Backoff, BackoffConfig};
use pinhole_node::peers::PeerState;
use pinhole_node::proto::rng::Rng;
use pinhole_tests::seeds::for_seeds;

use super::liveness::normal;
use super::transport::Net;
use super::world::{Action, Change, World};
use super::{quantile, secs, seeds};

/// 25 and 25 nodes, each of which wants ten others, cannot reach each other for a while.
#[test]
fn a_partition_heals_with_every_wanted_connection_back() {
    const NODES: usize = 50;
    for (length, name) in [(secs(30), "30 s"), (secs(300), "5 min"), (secs(3600), "1 h")] {
        let mut times = Vec::new();
        let mut most = 0;
        for_seeds(seeds(2), |seed| {
            let mut world = World::new(seed, Net::LOSSY, NODES, normal());
            let mut wanted = Vec::new();
            for a in 0..NODES {
                for step in [1, 2, 3, 5, 8, 13, 21, 25, 31, 40] {
                    wanted.push((a, (a + step) % NODES));
                }
            }
            wanted.iter().for_each(|(a, b)| world.want(*a, *b));
            let whole = |w: &World| wanted.iter().all(|(a, b)| w.pair(*a, *b));
            assert!(world.run_until(secs(120), whole), "the beginning");
            world.run_for(secs(60));
            world.cut(|a, b| a % 2 != b % 2);
            world.run_for(length);
            let (healed, from) = (world.now, world.log.len());
            let mut away: Vec<_> = wanted.iter().filter(|(a, b)| !world.pair(*a, *b)).collect();
            world.heal();
            while !away.is_empty() {
                let left = away.len();
                let back = |w: &World| away.iter().filter(|(a, b)| !w.pair(*a, *b)).count() < left;
                assert!(world.run_until(secs(120), back), "{name}: {left} are away");
                away.retain(|(a, b)| !world.pair(*a, *b));
                times.extend((away.len()..left).map(|_| world.now - healed));
            }
            most = most.max(world.counts.dials_in_a_second);
            world.run_for(secs(60));
            let failed = |c: &Change| c.state == PeerState::Failed;
            let after = world.change(from, failed).filter(|c| c.at > healed + secs(60));
            assert!(after.is_none(), "{after:?}");
        });
        times.sort();
        let (median, worst) = (quantile(&times, 500), times[times.len() - 1]);
        println!(
            "partition of {name}: {} connections back, median {:.2} s, worst {:.2} s, at most {most} \
             dials a second of one node",
            times.len(),
            median.as_secs_f64(),
            worst.as_secs_f64(),
        );
        assert!(median <= secs(10) && worst <= secs(60));
    }
}

/// One pair, so that nobody else's coming helps.
#[test]
fn a_lonely_pair_finds_itself_again() {
    let mut times = Vec::new();
    for_seeds(seeds(100), |seed| {
        let mut world = World::new(seed, Net::LOSSY, 2, normal());
        world.want(0, 1);
        assert!(world.run_until(secs(60), |w| w.pair(0, 1)));
        world.run_for(secs(10));
        world.cut(|_, _| true);
        world.run_for([secs(30), secs(300), secs(3600)][seed as usize % 3]);
        world.heal();
        let healed = world.now;
        assert!(world.run_until(secs(120), |w| w.pair(0, 1)));
        times.push(world.now - healed);
    });
    times.sort();
    println!(
        "lonely pair: {} times, median {:.2} s, worst {:.2} s",
        times.len(),
        quantile(&times, 500).as_secs_f64(),
        times.last().unwrap().as_secs_f64(),
    );
    assert!(*times.last().unwrap() <= secs(60));
}

/// A node that 1,000 others want, killed or stopped in order, comes back.
#[test]
fn a_bootstrap_that_restarts_has_all_its_peers_back_within_a_minute() {
    const PEERS: usize = 1000;
    for seed in 0..seeds(1) {
        for (away, name) in
            [(secs(1), "at once"), (secs(40), "after 40 s"), (secs(600), "after 10 min")]
        {
            let mut world = World::new(seed, Net::LOSSY, PEERS + 1, normal());
            (1..=PEERS).for_each(|peer| world.want(peer, 0));
            assert!(world.run_until(secs(120), |w| w.connected(0) == PEERS), "the beginning");
            world.run_for(secs(30));
            let (start, was) = (world.now + away, world.log.len());
            world.at(world.now, Action::Kill(0));
            world.at(start, Action::Start(0));
            world.run_for(away);
            let mut times = Vec::new();
            let all = |w: &World| w.connected(0) == PEERS;
            assert!(world.run_until(secs(60), all), "{name}: {} are back", world.connected(0));
            for change in &world.log[was..] {
                if change.node == 0 && change.at >= start && change.state == PeerState::Connected {
                    times.push(change.at - start);
                }
            }
            times.sort();
            println!(
                "bootstrap restarted {name}: {PEERS} peers, 50 accepted a second: half are back after \
             {:.1} s, all after {:.1} s",
                quantile(&times, 500).as_secs_f64(),
                times.last().unwrap().as_secs_f64(),
            );
        }
    }
}

/// The waits between dials of a peer that never answers, as the table draws them.
#[test]
fn backoff_is_as_specified() {
    let config = BackoffConfig::default();
    assert_eq!((config.base, config.cap), (secs(1), secs(15)));
    let mut rng = Rng::from_seed(9);
    let mut tenths = [0u32; 10];
    for _ in 0..500 {
        let mut backoff = Backoff::default();
        for failures in 0..40 {
            let exponential = secs(1u64 << failures.min(10)).min(config.cap);
            let most = if failures < config.tries { exponential } else { config.slow };
            let wait = backoff.handle_failure(&config, false, &mut rng);
            assert!(wait <= most, "{failures}: {wait:?}");
            tenths[(wait.as_nanos() * 10 / (most.as_nanos() + 1)) as usize] += 1;
        }
        backoff.handle_success();
        assert!(backoff.handle_failure(&config, false, &mut rng) <= config.base);
    }
    let (least, most) = (tenths.iter().min().unwrap(), tenths.iter().max().unwrap());
    assert!(*least > 1850 && *most < 2150, "{tenths:?}");

    let waits = waits_of_a_table();
    let slow = waits.iter().filter(|(failures, _)| *failures > config.tries).count();
    println!(
        "backoff: 20,000 waits, each tenth of the range has {least} to {most}; a table's {} waits keep \
         to it, {slow} of them slow, the longest {:.0} s",
        waits.len(),
        waits.iter().map(|(_, wait)| *wait).max().unwrap_or_default().as_secs_f64(),
    );
    for (failures, wait) in waits {
        let most = secs(1u64 << (failures - 1).min(10)).min(config.cap);
        assert!(wait <= if failures <= config.tries { most } else { config.slow });
    }
}

/// Node 0 wants node 1, which is dead, and has node 2 as company; the wait after each failure.
fn waits_of_a_table() -> Vec<(u32, Duration)> {
    let mut world = World::new(5, Net::GOOD, 3, normal());
    world.at(world.now, Action::Kill(1));
    world.want(0, 1);
    world.want(0, 2);
    let mut waits = Vec::new();
    let mut from = 0;
    while waits.len() < 45 {
        world.run_until(secs(1200), |w| {
            w.change(from, |c| c.peer == 1 && c.state == PeerState::Disconnected).is_some()
        });
        from = world.log.len();
        let record = world.record(0, 1);
        if let Some(at) = record.next_retry {
            waits.push((record.failures, at - world.now));
        }
        if world.elapsed() > secs(86_400) {
            break;
        }
    }
    waits
}
