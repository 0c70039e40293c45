//! Somebody recorded everything and sends it again, from the same address and from others.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use pinhole_proto::Protocol;
use pinhole_tests::{
    seeds::for_seeds,
    world::{Datagram, Link, World},
};
use pinhole_transport::{AdmitAll, testing::Status};

const PATIENCE: Duration = Duration::from_secs(20);
const ELSEWHERE: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 66)), 6666);

/// Responder 0 and dialer 1 exchange something; all that node 1 sent.
fn recorded(world: &mut World) -> (u64, Vec<Datagram>) {
    let mut config = world.config();
    config.early_protocols = vec![Protocol::from_static("echo/1")];
    world.add_with(&config, Arc::new(AdmitAll));
    world.add();
    let dial = world.dial(1, 0);
    world.send(1, dial, b"early").unwrap();
    assert_eq!(world.settle(1, dial, PATIENCE), Status::Established);
    world.run_for(Duration::from_millis(500));
    world.send(1, dial, &[7; 5000]).unwrap();
    world.run_until(PATIENCE, |world| {
        world.echo(0);
        world.node(1).receive(dial).is_some_and(|(_, reply)| reply.len() == 5000)
    });
    world.run_for(Duration::from_secs(1));
    let dialer = world.addr(1);
    (dial, world.sent.iter().filter(|d| d.from == dialer).cloned().collect())
}

/// Sends all of it again; asserts that node 0 sends nothing.
fn replay(world: &mut World, recorded: &[Datagram], sources: &[SocketAddr]) {
    let responder = world.addr(0);
    for &from in sources {
        let before = world.sent.len();
        for datagram in recorded {
            world.inject(Datagram { from, ..datagram.clone() });
            world.run_for(Duration::from_millis(30));
        }
        world.run_for(Duration::from_secs(2));
        let answers: Vec<_> = world.sent[before..].iter().filter(|d| d.from == responder).collect();
        assert!(answers.is_empty(), "from {from}: {answers:?}");
    }
}

#[test]
fn a_live_connection_gives_no_answer() {
    for_seeds(10, |seed| {
        let mut world = World::new(seed, Link::good(Duration::from_millis(10)));
        let (dial, recorded) = recorded(&mut world);
        let dialer = world.addr(1);
        replay(&mut world, &recorded, &[ELSEWHERE, dialer]);
        assert_eq!(world.node(1).status(dial), Status::Established);
    });
}

#[test]
fn a_connection_that_is_over_gives_no_answer_to_long_headers() {
    // Short headers may get a stateless reset: its connection id was ours (SPEC §8.2).
    for_seeds(10, |seed| {
        let mut world = World::new(seed, Link::good(Duration::from_millis(10)));
        let (dial, mut recorded) = recorded(&mut world);
        recorded.retain(|datagram| datagram.bytes[0] & 0x80 != 0);
        world.close(1, dial);
        world.run_for(Duration::from_secs(1));
        let dialer = world.addr(1);
        replay(&mut world, &recorded, &[ELSEWHERE, dialer]);
        world.run_for(Duration::from_secs(10));
        replay(&mut world, &recorded, &[ELSEWHERE, dialer]);
    });
}

#[test]
fn a_first_packet_whose_dialer_fell_silent_is_not_answered_for_ever() {
    let mut world = World::new(3, Link::good(Duration::from_millis(10)));
    world.add();
    world.add();
    let (responder, dialer) = (world.addr(0), world.addr(1));
    // The dialer's first packet arrives and nothing else.
    let mut first = true;
    world.intercept(move |datagram| match std::mem::take(&mut first) {
        true => vec![datagram],
        false => vec![],
    });
    world.dial(1, 0);
    world.run_for(Duration::from_secs(12));
    world.stop_intercepting();
    let hello = world.sent.iter().find(|d| d.from == dialer).cloned().unwrap();
    let half_open = world.node(0).half_open();
    assert_eq!(half_open, 0);
    replay(&mut world, &[hello.clone(), hello], &[ELSEWHERE, dialer]);
    let total: usize =
        world.sent.iter().filter(|d| d.from == responder).map(|d| d.bytes.len()).sum();
    assert!(total <= 3 * 1200 + 1200, "{total} bytes for one datagram of 1200");
}

#[test]
fn copies_of_a_first_packet_while_it_opens_get_no_more_than_three_times_their_bytes() {
    let mut world = World::new(4, Link::good(Duration::from_millis(200)));
    world.add();
    world.add();
    let responder = world.addr(0);
    world.dial(1, 0);
    world.run_for(Duration::from_millis(1));
    let hello = world.sent[0].clone();
    world.run_for(Duration::from_millis(200));
    let sources: Vec<SocketAddr> =
        (1..=20).map(|n| SocketAddr::from(([192, 0, 2, n], 6666))).collect();
    for &from in &sources {
        world.deliver_now(Datagram { from, ..hello.clone() });
    }
    world.run_for(Duration::from_secs(8));
    let sent_to = |addr| {
        let to = world.sent.iter().filter(|d| d.from == responder && d.to == addr);
        to.map(|d| d.bytes.len()).sum::<usize>()
    };
    let answered: Vec<_> = sources.iter().map(|&s| sent_to(s)).filter(|&n| n > 0).collect();
    assert!(answered.len() <= 2, "{answered:?}");
    assert!(answered.iter().all(|&bytes| bytes <= 3 * 1200), "{answered:?}");
}
