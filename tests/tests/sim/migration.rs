//! A dialer whose address changes under its connections, as behind a NAT that forgot it.

use std::{cell::Cell, net::SocketAddr, rc::Rc, time::Duration};

use pinhole_tests::world::{Datagram, Link, World};
use pinhole_transport::testing::Status;

const PATIENCE: Duration = Duration::from_secs(20);
const MAPPED: [SocketAddr; 3] = [mapped(1), mapped(2), mapped(3)];

const fn mapped(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 1)), port)
}

/// Responder 0 and dialer 1 behind a NAT, and the number of the mapping that the NAT uses now.
fn world() -> (World, Rc<Cell<usize>>) {
    let mut world = World::new(6, Link::good(Duration::from_millis(20)));
    world.add();
    world.add();
    let (responder, dialer) = (world.addr(0), world.addr(1));
    let current = Rc::new(Cell::new(0));
    let mapping = current.clone();
    world.intercept(move |Datagram { from, to, bytes }| {
        let now = MAPPED[mapping.get()];
        match from {
            _ if from == dialer => vec![Datagram { from: now, to, bytes }],
            _ if from == responder && to == now => vec![Datagram { from, to: dialer, bytes }],
            _ => vec![], // the old mapping is gone
        }
    });
    (world, current)
}

fn echo(world: &mut World, dial: u64) {
    world.send(1, dial, &[1; 3000]).unwrap();
    let mut reply = None;
    world.run_until(PATIENCE, |world| {
        world.echo(0);
        reply = world.node(1).receive(dial);
        reply.is_some()
    });
    assert_eq!(reply.map(|(_, bytes)| bytes.len()), Some(3000), "over connection {dial}");
}

#[test]
fn a_connection_survives_new_mappings() {
    let (mut world, mapping) = world();
    let dial = world.dial(1, 0);
    assert_eq!(world.settle(1, dial, PATIENCE), Status::Established);
    for number in [0, 1, 2, 0] {
        mapping.set(number);
        echo(&mut world, dial);
        world.run_for(Duration::from_secs(1));
    }
}

/// Dials to the same address that failed or are over do not take its packets away.
#[test]
fn a_connection_survives_new_mappings_after_other_dials_to_its_address() {
    let (mut world, mapping) = world();
    let dial = world.dial(1, 0);
    assert_eq!(world.settle(1, dial, PATIENCE), Status::Established);
    let over = world.dial(1, 0);
    assert_eq!(world.settle(1, over, PATIENCE), Status::Established);
    world.close(1, over);
    let (nobody, addr, now) = (world.rng.key().peer_id(), world.addr(0), world.now);
    world.node(1).dial(now, nobody, &[addr]);
    for number in [0, 1, 2, 0] {
        mapping.set(number);
        echo(&mut world, dial);
        world.run_for(Duration::from_secs(1));
    }
}
