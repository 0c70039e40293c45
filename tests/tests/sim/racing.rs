//! Dials along several paths at once (SPEC §8.3, §5.5).

use std::{net::SocketAddr, sync::Arc, time::Duration};

use pinhole_proto::Protocol;
use pinhole_tests::world::{Datagram, Link, World};
use pinhole_transport::{AdmitAll, testing::Status};

const ONE_WAY: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(20);
/// Where node 0 is besides its own address.
const THERE: SocketAddr = addr([198, 51, 100, 1]);
/// How node 0 sees node 1 on that path.
const BACK: SocketAddr = addr([198, 51, 100, 2]);
/// Where nobody is.
const NOWHERE: SocketAddr = addr([203, 0, 113, 9]);

const fn addr(ip: [u8; 4]) -> SocketAddr {
    let ip = std::net::Ipv4Addr::new(ip[0], ip[1], ip[2], ip[3]);
    SocketAddr::new(std::net::IpAddr::V4(ip), 7777)
}

/// What a path does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Path {
    Works,
    /// Nothing comes back.
    OneWay,
    Dead,
}

/// Responder 0 and dialer 1, who reach each other by two paths.
fn world(first: Path, second: Path, max_half_open: usize) -> World {
    let mut world = World::new(2, Link::good(ONE_WAY));
    let mut config = world.config();
    config.early_protocols = vec![Protocol::from_static("echo/1")];
    config.max_half_open = max_half_open;
    world.add_with(&config, Arc::new(AdmitAll));
    world.add();
    let (responder, dialer) = (world.addr(0), world.addr(1));
    world.intercept(move |datagram| {
        let Datagram { from, to, bytes } = datagram;
        let (path, there) = match to {
            _ if to == responder => (first, true),
            _ if to == dialer => (first, false),
            THERE => (second, true),
            BACK => (second, false),
            _ => return vec![],
        };
        if path == Path::Dead || (path == Path::OneWay && !there) {
            return vec![];
        }
        // The second path has addresses of its own at both ends.
        let datagram = match to {
            THERE => Datagram { from: BACK, to: responder, bytes },
            BACK => Datagram { from: THERE, to: dialer, bytes },
            _ => Datagram { from, to, bytes },
        };
        vec![datagram]
    });
    world
}

/// Dials by these candidates; the time until it was established, and then until the data that had
/// been sent at once came back.
fn race(world: &mut World, candidates: &[SocketAddr]) -> (Duration, Duration) {
    let (peer, now) = (world.peer_id(0), world.now);
    let start = world.elapsed();
    let dial = world.node(1).dial(now, peer, candidates);
    world.send(1, dial, &[3; 3000]).unwrap();
    assert_eq!(world.settle(1, dial, PATIENCE), Status::Established);
    let established = world.elapsed() - start;
    let mut reply = None;
    world.run_until(PATIENCE, |world| {
        world.echo(0);
        reply = world.node(1).receive(dial);
        reply.is_some()
    });
    assert_eq!(reply.unwrap().1, [3; 3000]);
    let answered = world.elapsed() - start;
    // And it goes on.
    world.send(1, dial, &[4; 50_000]).unwrap();
    let mut reply = None;
    world.run_until(PATIENCE, |world| {
        world.echo(0);
        reply = world.node(1).receive(dial);
        reply.is_some()
    });
    assert_eq!(reply.unwrap().1.len(), 50_000);
    (established, answered)
}

#[test]
fn a_dead_candidate_costs_one_stagger() {
    let mut world = world(Path::Works, Path::Dead, 64);
    let responder = world.addr(0);
    let (established, _) = race(&mut world, &[NOWHERE, responder]);
    assert_eq!(established, Duration::from_millis(250) + 2 * ONE_WAY);
}

#[test]
fn the_first_of_two_that_work_wins() {
    for (candidates, expected) in [([0, 1], 2 * ONE_WAY), ([1, 0], 2 * ONE_WAY)] {
        let mut world = world(Path::Works, Path::Works, 64);
        let both = [world.addr(0), THERE];
        let (established, answered) = race(&mut world, &candidates.map(|index| both[index]));
        assert_eq!(established, expected);
        assert!(answered <= Duration::from_millis(300), "{answered:?}");
    }
}

/// The responder binds itself to the path of the first packet, and that one passes no answers.
#[test]
fn a_path_that_passes_no_answers_does_not_hold_up_the_other() {
    for (first, second) in [(Path::OneWay, Path::Works), (Path::Works, Path::OneWay)] {
        let mut world = world(first, second, 64);
        let mut candidates = [world.addr(0), THERE];
        if first == Path::Works {
            candidates.reverse();
        }
        let (established, answered) = race(&mut world, &candidates);
        // The dialer's first retransmission comes after a second, and its answer goes both ways.
        assert!(established < Duration::from_millis(1300), "established after {established:?}");
        assert!(answered < Duration::from_millis(2000), "answered after {answered:?}");
    }
}

#[test]
fn at_the_cap_a_raced_dial_succeeds_too() {
    for candidates in [[0, 1], [1, 0]] {
        let mut world = world(Path::Works, Path::Works, 1);
        // Somebody begins and does not finish.
        let silent = world.add();
        world.dial(silent, 0);
        world.run_for(2 * ONE_WAY);
        assert_eq!(world.node(0).half_open(), 1);
        let both = [world.addr(0), THERE];
        let (established, _) = race(&mut world, &candidates.map(|index| both[index]));
        assert!(established <= 4 * ONE_WAY, "{established:?}");
        assert_eq!(world.node(0).gate_counters().retried, 1);
    }
}
