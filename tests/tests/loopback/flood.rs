//! 10,000 hostile packets a second from 1,000 source ports against the real program: no answer, no
//! growth, and an honest dial succeeds meanwhile and afterwards.
//!
//! Two seconds for each kind of packet; ten with `PINHOLE_LONG=1`.

use std::{net::SocketAddr, thread, time::Duration};

use pinhole_proto::{PUBLIC_QUIC_VERSION, PeerId};
use pinhole_tests::{
    Rng,
    endpoints::{PATIENCE, bind},
    flood::Flood,
    forwarder::Forwarder,
    machine::resident,
    node::TestNode,
    probes::{foreign_initial, garbage_hello},
    world::Link,
};
use tokio::time::timeout;

const SOURCES: usize = 1000;
const PACKETS_PER_SECOND: u64 = 10_000;
/// Different packets of one kind.
const DIFFERENT: usize = 2000;
/// What resident memory may move, in bytes.
const MOVES: usize = 2_000_000;

fn time() -> Duration {
    let long = std::env::var("PINHOLE_LONG").is_ok_and(|long| long == "1");
    Duration::from_secs(if long { 10 } else { 2 })
}

#[test]
fn a_flood_gets_no_answer_and_shuts_nobody_out() {
    let node = TestNode::start(&[]);
    let target = node.listen[0];
    let mut rng = Rng::from_seed(5);
    let flood = Flood::new(target, SOURCES);
    let recorded = recorded_hello(&node);

    let foreign = |n: usize, rng: &mut Rng| {
        foreign_initial(rng, if n.is_multiple_of(2) { 1 } else { PUBLIC_QUIC_VERSION })
    };
    let foreign: Vec<_> = (0..DIFFERENT).map(|n| foreign(n, &mut rng)).collect();
    let garbage: Vec<_> = (0..DIFFERENT).map(|_| garbage_hello(&mut rng, node.peer)).collect();
    // Once, so that what is allocated once is allocated.
    honest_dial(node.peer, target).unwrap();
    flood.send(PACKETS_PER_SECOND, Duration::from_millis(300), &foreign);

    for (what, packets) in
        [("foreign", foreign), ("garbage", garbage), ("replayed", vec![recorded])]
    {
        let before = resident(node.pid());
        let (sent, during) = thread::scope(|scope| {
            let peer = node.peer;
            let dial = scope.spawn(move || {
                thread::sleep(time() / 4);
                honest_dial(peer, target)
            });
            let sent = flood.send(PACKETS_PER_SECOND, time(), &packets);
            (sent, dial.join().unwrap())
        });
        let after = resident(node.pid());
        let during = during.unwrap_or_else(|error| panic!("{what}: dial during: {error}"));
        let later = honest_dial(node.peer, target).unwrap();
        let answers = flood.answers();
        println!(
            "{what}: {sent:?}, {answers} bytes of answers, memory {before} to {after}, honest dial \
             {during:?} during and {later:?} after"
        );
        assert_eq!(answers, 0, "{what}");
        assert!(after.abs_diff(before) < MOVES, "{what}: memory went from {before} to {after}");
    }
}

/// How long it takes somebody new to connect.
fn honest_dial(peer: PeerId, addr: SocketAddr) -> Result<Duration, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let start = std::time::Instant::now();
        let dialer = bind((addr.ip(), 0).into());
        let dial = dialer.dial(peer, &[addr]).map_err(|error| error.to_string())?;
        let connection = timeout(PATIENCE, dial.established()).await;
        connection.map_err(|_| "no answer")?.map_err(|error| error.to_string())?;
        let elapsed = start.elapsed();
        dialer.close(pinhole_proto::CloseCode::Shutdown).await;
        Ok(elapsed)
    })
}

/// The first datagram of an honest dial, as somebody on the path keeps it.
fn recorded_hello(node: &TestNode) -> Vec<u8> {
    let link = Link::good(Duration::from_millis(1));
    let forwarder = Forwarder::start(node.listen[0], link, 1);
    honest_dial(node.peer, forwarder.addr).unwrap();
    forwarder.recorded().there.swap_remove(0)
}
