//! Links that lose, duplicate and reorder.

use std::{cell::RefCell, rc::Rc, sync::Arc, time::Duration};

use pinhole_proto::Protocol;
use pinhole_tests::{
    seeds::for_seeds,
    world::{Datagram, Link, World},
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

/// Dials until it succeeds; how many dials that took.
fn dial(world: &mut World) -> (u64, usize) {
    for attempt in 1..=5 {
        let dial = world.dial(1, 0);
        if world.settle(1, dial, PATIENCE) == Status::Established {
            return (dial, attempt);
        }
    }
    panic!("five dials in a row failed");
}

/// Sends over the connection and waits for the same bytes to come back.
fn echo(world: &mut World, dial: u64, bytes: &[u8]) -> bool {
    world.send(1, dial, bytes).unwrap();
    let mut reply = None;
    world.run_until(PATIENCE, |world| {
        world.echo(0);
        reply = world.node(1).receive(dial);
        reply.is_some()
    });
    reply.is_some_and(|(_, reply)| reply == bytes)
}

#[test]
fn connections_come_about_and_data_arrives_whole() {
    for_seeds(150, |seed| {
        let mut world = world(seed, BAD);
        let (dial, _) = dial(&mut world);
        let bytes = world.rng.vec(30_000);
        assert!(echo(&mut world, dial, &bytes));
        let dialer = world.peer_id(1);
        let exported = world.node(1).exported(dial).unwrap();
        let accepted = world.established(0, dialer);
        assert!(accepted.iter().any(|&id| world.node(0).exported(id) == Some(exported)));
    });
}

#[test]
fn keys_change_while_packets_are_lost_and_overtake_each_other() {
    for_seeds(40, |seed| {
        let mut world = world(seed, BAD);
        let (dial, _) = dial(&mut world);
        for _ in 0..4 {
            let bytes = world.rng.vec(20_000);
            world.send(1, dial, &bytes).unwrap();
            world.run_for(Duration::from_millis(40));
            world.node(1).update_keys(dial);
            let mut reply = None;
            world.run_until(PATIENCE, |world| {
                world.echo(0);
                reply = world.node(1).receive(dial);
                reply.is_some()
            });
            assert!(reply.is_some_and(|(_, reply)| reply == bytes));
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
        world.run_until(Duration::from_secs(30), |world| {
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

/// What befalls the datagrams of a handshake, by their number.
fn handshake(fate: impl Fn(usize) -> Fate + 'static) {
    let mut world = world(1, Link::good(Duration::from_millis(20)));
    let number = Rc::new(RefCell::new(0));
    let held: RefCell<Vec<Datagram>> = RefCell::default();
    world.intercept(move |datagram| {
        let mut number = number.borrow_mut();
        *number += 1;
        match fate(*number - 1) {
            Fate::Lost => vec![],
            Fate::Twice => vec![datagram.clone(), datagram],
            Fate::Late => {
                held.borrow_mut().push(datagram);
                vec![]
            }
            Fate::Arrives => {
                let mut datagrams = vec![datagram];
                datagrams.append(&mut held.borrow_mut());
                datagrams
            }
        }
    });
    let (dial, attempts) = dial(&mut world);
    assert_eq!(attempts, 1);
    assert!(echo(&mut world, dial, b"whole"));
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

#[test]
fn any_of_the_first_datagrams_may_be_lost() {
    for lost in 0..1usize << FIRST {
        if lost.count_ones() <= 4 {
            eprintln!("lost: {lost:07b}");
            handshake(move |n| if lost >> n & 1 == 1 { Fate::Lost } else { Fate::Arrives });
        }
    }
}

#[test]
fn any_of_the_first_datagrams_may_come_twice() {
    for twice in 0..1usize << FIRST {
        eprintln!("twice: {twice:07b}");
        handshake(move |n| if twice >> n & 1 == 1 { Fate::Twice } else { Fate::Arrives });
    }
}

#[test]
fn any_of_the_first_datagrams_may_be_overtaken() {
    for late in 0..1usize << FIRST {
        eprintln!("late: {late:07b}");
        handshake(move |n| if late >> n & 1 == 1 { Fate::Late } else { Fate::Arrives });
    }
}
