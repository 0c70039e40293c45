//! Nodes without QUIC's idle timeout and keep-alive: what still ends by itself, and what stays.

use std::{sync::Arc, time::Duration};

use pinhole_tests::world::{Link, World};
use pinhole_transport::{AdmitAll, testing::Status};

const ONE_WAY: Duration = Duration::from_millis(50);
const ROUND_TRIP: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(20);
const DAY: Duration = Duration::from_secs(86_400);

fn world() -> World {
    let mut world = World::new(13, Link::good(ONE_WAY));
    let mut config = world.config();
    (config.idle_timeout, config.keep_alive) = (None, None);
    for _ in 0..2 {
        world.add_with(&config, Arc::new(AdmitAll));
    }
    world
}

#[test]
fn a_connection_lives_for_a_day_without_a_packet() {
    let mut world = world();
    let dialed = world.dial(1, 0);
    assert_eq!(world.settle(1, dialed, PATIENCE), Status::Established);
    world.run_for(PATIENCE);
    world.sent.clear();
    world.run_for(DAY);
    assert!(world.sent.is_empty(), "{:?}", world.sent);
    assert_eq!(world.node(1).status(dialed), Status::Established);
    world.send(1, dialed, b"still here").unwrap();
    let mut reply = None;
    world.run_until(PATIENCE, |world| {
        world.echo(0);
        reply = world.node(1).receive(dialed);
        reply.is_some()
    });
    assert_eq!(reply.unwrap().1, b"still here");
}

#[test]
fn a_dial_that_nobody_answers_soon_sends_nothing_more() {
    let mut world = world();
    let lost = world.addr(0);
    world.intercept(move |datagram| if datagram.to == lost { vec![] } else { vec![datagram] });
    let dialed = world.dial(1, 0);
    world.run_for(DAY);
    assert_eq!(world.sent.len(), 4, "the share of one candidate");
    assert_eq!(world.node(1).status(dialed), Status::Opening, "until its caller gives it up");
}

#[test]
fn a_dialer_that_does_not_confirm_is_gone_after_five_seconds() {
    let mut world = world();
    let silent = world.addr(1);
    world.intercept(move |datagram| if datagram.to == silent { vec![] } else { vec![datagram] });
    world.dial(1, 0);
    world.run_for(ROUND_TRIP);
    assert_eq!(world.node(0).half_open(), 1);
    world.run_for(Duration::from_secs(5));
    assert_eq!(world.node(0).half_open(), 0);
    let [(.., Status::Closed(reason))] = &world.node(0).connections()[..] else { panic!() };
    assert_eq!(reason, "not confirmed");
}

#[test]
fn datagrams_that_nobody_reads_are_bounded_and_the_oldest_go_first() {
    let mut world = world();
    let dialed = world.dial(1, 0);
    assert_eq!(world.settle(1, dialed, PATIENCE), Status::Established);
    world.run_for(ROUND_TRIP);
    let dialer = world.peer_id(1);
    let accepted = world.established(0, dialer)[0];
    for number in 0..10_000u16 {
        let now = world.now;
        assert!(world.node(1).send_datagram(now, dialed, &number.to_be_bytes()));
        if number % 100 == 0 {
            world.run_for(ROUND_TRIP);
        }
    }
    world.run_for(PATIENCE);
    let mut kept = Vec::new();
    while let Some(datagram) = world.node(0).receive_datagram(accepted) {
        kept.push(u16::from_be_bytes(datagram.try_into().unwrap()));
    }
    assert!((1000..2100).contains(&kept.len()), "{}", kept.len());
    assert_eq!(kept.last(), Some(&9_999));
}
