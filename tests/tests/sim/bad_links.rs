//! Links that lose, duplicate and reorder.

use std::{cell::Cell, sync::Arc, time::Duration};

use pinhole_proto::Protocol;
use pinhole_tests::{
    seeds::for_seeds,
    world::{Link, World},
};
use pinhole_transport::{AdmitAll, testing::Status};

const BAD: Link = Link {
    loss: 20,
    duplicates: 10,
    delay: Duration::from_millis(10),
    jitter: Duration::from_millis(60),
};
const PATIENCE: Duration = Duration::from_secs(60);

/// Responder 0, which takes early data, and dialer 1.
fn world(seed: u64, link: Link) -> World {
    let mut world = World::new(seed, link);
    let mut config = world.config();
    config.early_protocols = vec![Protocol::from_static("echo/1")];
    world.add_with(&config, Arc::new(AdmitAll));
    world.add();
    world
}

/// Dials until a connection lasts long enough to carry `bytes` there and back: its number, and
/// how many dials that took.
///
/// A dialer is established when the Accept came; its Confirm may still be lost so often that the
/// responder gives up after 5 s (SPEC §5.4).
fn exchange(world: &mut World, bytes: &[u8]) -> (u64, usize) {
    for attempt in 1..=5 {
        let dial = world.dial(1, 0);
        let status = world.settle(1, dial, PATIENCE);
        if status == Status::Established && echo(world, dial, bytes) {
            return (dial, attempt);
        }
        assert!(matches!(world.node(1).status(dial), Status::Closed(_)), "neither works nor ends");
    }
    panic!("five dials in a row failed");
}

/// Sends over the connection and waits for the same bytes to come back.
fn echo(world: &mut World, dial: u64, bytes: &[u8]) -> bool {
    world.send(1, dial, bytes).unwrap();
    echoed(world, dial, bytes)
}

fn echoed(world: &mut World, dial: u64, bytes: &[u8]) -> bool {
    let mut reply = None;
    world.run_until(PATIENCE, |world| {
        world.echo(0);
        reply = world.node(1).receive(dial);
        reply.is_some() || matches!(world.node(1).status(dial), Status::Closed(_))
    });
    reply.is_some_and(|(_, reply)| reply == bytes)
}

#[test]
fn connections_come_about_and_data_arrives_whole() {
    let attempts = Cell::new(0);
    for_seeds(150, |seed| {
        let mut world = world(seed, BAD);
        let bytes = world.rng.vec(30_000);
        let (dial, attempt) = exchange(&mut world, &bytes);
        attempts.set(attempts.get() + attempt);
        let dialer = world.peer_id(1);
        let exported = world.node(1).exported(dial).unwrap();
        let accepted = world.established(0, dialer);
        assert!(accepted.iter().any(|&id| world.node(0).exported(id) == Some(exported)));
    });
    // Few dials fail at this loss: mostly by a lost Reply and then a lost Confirm.
    println!("{} dials for 150 connections", attempts.get());
    assert!(attempts.get() < 165, "{attempts:?} dials for 150 connections");
}

#[test]
fn keys_change_while_packets_are_lost_and_overtake_each_other() {
    for_seeds(40, |seed| {
        let mut world = world(seed, BAD);
        let (dial, _) = exchange(&mut world, b"confirmed");
        for _ in 0..4 {
            let bytes = world.rng.vec(20_000);
            world.send(1, dial, &bytes).unwrap();
            world.run_for(Duration::from_millis(40));
            world.node(1).update_keys(dial);
            assert!(echoed(&mut world, dial, &bytes));
        }
    });
}

#[test]
fn early_data_arrives_once_or_is_known_to_be_rejected() {
    for_seeds(100, |seed| {
        let mut world = world(seed, BAD);
        let dial = world.dial(1, 0);
        world.send(1, dial, b"early").unwrap();
        let mut replies = Vec::new();
        world.run_until(PATIENCE, |world| {
            world.echo(0);
            replies.extend(world.node(1).receive(dial));
            matches!(world.node(1).status(dial), Status::Closed(_))
        });
        let accepted = world.node(1).early_accepted(dial);
        assert!(replies.len() <= 1 && replies.iter().all(|(_, reply)| reply == b"early"));
        // A dial that lasted was answered.
        let closed = matches!(world.node(1).status(dial), Status::Closed(_));
        assert!(closed || !accepted || replies.len() == 1);
    });
}

/// An exchange in which something befalls the first datagrams, by their number; how many dials.
fn handshake(fate: impl Fn(usize) -> Fate + 'static) -> usize {
    let mut world = world(1, Link::good(Duration::from_millis(20)));
    let (mut number, mut held) = (0, Vec::new());
    world.intercept(move |datagram| {
        number += 1;
        match fate(number - 1) {
            Fate::Lost => vec![],
            Fate::Twice => vec![datagram.clone(), datagram],
            Fate::Late => {
                held.push(datagram);
                vec![]
            }
            Fate::Arrives => {
                let mut datagrams = vec![datagram];
                datagrams.append(&mut held);
                datagrams
            }
        }
    });
    exchange(&mut world, b"whole").1
}

enum Fate {
    Arrives,
    Lost,
    Twice,
    /// After the next that arrives.
    Late,
}

/// The first datagrams of a connection, more than its handshake has on a good link.
const FIRST: usize = 7;

/// The sets of at most `most` of the first datagrams, as bits.
fn sets(most: u32) -> impl Iterator<Item = usize> {
    (0..1usize << FIRST).filter(move |set| set.count_ones() <= most)
}

#[test]
fn any_three_of_the_first_datagrams_may_be_lost() {
    for set in sets(3) {
        let dials = handshake(move |n| if set >> n & 1 == 1 { Fate::Lost } else { Fate::Arrives });
        let allowed = if set.count_ones() <= 1 { 1 } else { 2 };
        assert!(dials <= allowed, "lost {set:07b}: {dials} dials");
    }
}

#[test]
fn any_of_the_first_datagrams_may_come_twice() {
    for set in sets(FIRST as u32) {
        let dials = handshake(move |n| if set >> n & 1 == 1 { Fate::Twice } else { Fate::Arrives });
        assert_eq!(dials, 1, "twice {set:07b}");
    }
}

#[test]
fn any_of_the_first_datagrams_may_be_overtaken() {
    for set in sets(3) {
        let dials = handshake(move |n| if set >> n & 1 == 1 { Fate::Late } else { Fate::Arrives });
        assert_eq!(dials, 1, "late {set:07b}");
    }
}
