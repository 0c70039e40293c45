//! First contact over a good link: how long it takes, and what comes of it.

use std::{sync::Arc, time::Duration};

use pinhole_proto::{NetworkKey, Protocol};
use pinhole_tests::world::{Link, World};
use pinhole_transport::{AdmitAll, testing::Status};

const ONE_WAY: Duration = Duration::from_millis(50);
const ROUND_TRIP: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(20);

fn world() -> World {
    World::new(7, Link::good(ONE_WAY))
}

/// A world in which node 0 takes early data.
fn early_world() -> World {
    let mut world = world();
    let mut config = world.config();
    config.early_protocols = vec![Protocol::from_static("echo/1")];
    world.add_with(&config, Arc::new(AdmitAll));
    world.add();
    world
}

#[test]
fn both_ends_are_authenticated_after_one_round_trip() {
    let mut world = world();
    let (responder, dialer) = (world.add(), world.add());
    let dial = world.dial(dialer, responder);
    assert_eq!(world.settle(dialer, dial, PATIENCE), Status::Established);
    assert_eq!(world.elapsed(), ROUND_TRIP);
    world.run_for(ONE_WAY);
    let dialer_id = world.peer_id(dialer);
    let accepted = world.established(responder, dialer_id);
    assert_eq!(accepted.len(), 1, "after another half round trip the responder knows too");
    let exported = world.node(dialer).exported(dial);
    assert!(exported.is_some());
    assert_eq!(exported, world.node(responder).exported(accepted[0]));
}

#[test]
fn a_request_with_the_first_packet_is_answered_after_one_round_trip() {
    let mut world = early_world();
    let dial = world.dial(1, 0);
    world.send(1, dial, b"request").unwrap();
    let mut reply = None;
    world.run_until(PATIENCE, |world| {
        world.echo(0);
        reply = world.node(1).receive(dial);
        reply.is_some()
    });
    assert_eq!(reply.unwrap().1, b"request");
    assert_eq!(world.elapsed(), ROUND_TRIP);
    assert!(world.node(1).early_accepted(dial));
}

#[test]
fn early_data_that_is_rejected_is_never_delivered() {
    let mut world = world();
    let (responder, dialer) = (world.add(), world.add());
    let dial = world.dial(dialer, responder);
    world.send(dialer, dial, b"too early").unwrap();
    assert_eq!(world.settle(dialer, dial, PATIENCE), Status::Established);
    assert!(!world.node(dialer).early_accepted(dial));
    world.send(dialer, dial, b"once more").unwrap();
    let mut reply = None;
    world.run_until(PATIENCE, |world| {
        world.echo(responder);
        reply = world.node(dialer).receive(dial);
        reply.is_some()
    });
    assert_eq!(reply.unwrap().1, b"once more");
    assert_eq!(world.elapsed(), 2 * ROUND_TRIP);
    assert_eq!(world.node(dialer).receive(dial), None);
}

#[test]
fn keys_change_in_the_middle_of_a_stream() {
    let mut world = world();
    let (responder, dialer) = (world.add(), world.add());
    let dial = world.dial(dialer, responder);
    world.settle(dialer, dial, PATIENCE);
    world.run_for(ROUND_TRIP);
    let dialer_id = world.peer_id(dialer);
    let accepted = world.established(responder, dialer_id)[0];
    let bytes = world.rng.vec(200_000);
    for round in 0..6 {
        world.send(dialer, dial, &bytes).unwrap();
        world.run_for(ROUND_TRIP + ONE_WAY / 2);
        match round % 2 {
            0 => world.node(dialer).update_keys(dial),
            _ => world.node(responder).update_keys(accepted),
        }
        let mut reply = None;
        world.run_until(PATIENCE, |world| {
            world.echo(responder);
            reply = world.node(dialer).receive(dial);
            reply.is_some()
        });
        assert!(reply.unwrap().1 == bytes, "round {round}");
    }
}

#[test]
fn a_wrong_id_or_network_gets_no_byte() {
    let mut world = world();
    let mut private = world.config();
    private.network_key = NetworkKey::from_bytes([9; 32]);
    let (responder, stranger) = (world.add(), world.add());
    let foreigner = world.add_with(&private, Arc::new(AdmitAll));
    let absent = world.rng.key().peer_id();
    let addr = world.addr(responder);
    let now = world.now;
    let wrong_id = world.node(stranger).dial(now, absent, &[addr]);
    let wrong_network = world.dial(foreigner, responder);
    for (node, dial) in [(stranger, wrong_id), (foreigner, wrong_network)] {
        let status = world.settle(node, dial, Duration::from_secs(60));
        assert!(matches!(status, Status::Closed(_)), "{status:?}");
    }
    assert!(world.sent.iter().all(|datagram| datagram.from != addr));
    let counters = world.node(responder).gate_counters();
    assert!(counters.foreign >= 1, "{counters:?}");
    assert_eq!(counters.admitted, 0);
}

#[test]
fn at_the_cap_a_dialer_shows_its_address_and_others_get_nothing() {
    let mut world = world();
    let mut config = world.config();
    config.max_half_open = 1;
    config.early_protocols = vec![Protocol::from_static("echo/1")];
    let responder = world.add_with(&config, Arc::new(AdmitAll));
    let (silent, honest) = (world.add(), world.add());
    let lost = world.addr(silent);
    world.intercept(move |datagram| if datagram.to == lost { vec![] } else { vec![datagram] });
    world.dial(silent, responder);
    world.run_for(ONE_WAY);
    assert_eq!(world.node(responder).half_open(), 1);

    let dial = world.dial(honest, responder);
    world.send(honest, dial, b"early").unwrap();
    let mut reply = None;
    world.run_until(PATIENCE, |world| {
        world.echo(responder);
        reply = world.node(honest).receive(dial);
        reply.is_some()
    });
    assert_eq!(reply.unwrap().1, b"early");
    assert_eq!(world.node(responder).gate_counters().retried, 1);
    assert_eq!(world.node(honest).status(dial), Status::Established);
    // Who never confirmed is forgotten.
    world.run_for(Duration::from_secs(6));
    assert_eq!(world.node(responder).half_open(), 0);
}

#[test]
fn both_may_dial_at_the_same_time() {
    let mut world = world();
    let (a, b) = (world.add(), world.add());
    let there = world.dial(a, b);
    let back = world.dial(b, a);
    assert_eq!(world.settle(a, there, PATIENCE), Status::Established);
    assert_eq!(world.settle(b, back, PATIENCE), Status::Established);
    assert_eq!(world.elapsed(), ROUND_TRIP);
    world.send(a, there, b"there").unwrap();
    world.send(b, back, b"back").unwrap();
    let mut replies = Vec::new();
    world.run_until(PATIENCE, |world| {
        world.echo(a);
        world.echo(b);
        replies.len() == 2 || {
            replies.extend(world.node(a).receive(there));
            replies.extend(world.node(b).receive(back));
            false
        }
    });
    assert_eq!(replies.len(), 2);
}
