//! A scanner that knows nothing, one that sees a live connection, and one that recorded it: not
//! one byte comes back.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use pinhole_tests::{
    Rng,
    endpoints::{bind, connect, echo, serve},
    forwarder::{Forwarder, loopback},
    machine::has_ipv6,
    node::TestNode,
    probes,
    world::Link,
};
use pinhole_transport::{Counters, Endpoint};

/// Nothing happens for this long: then nothing will.
const QUIET: Duration = Duration::from_millis(400);

#[tokio::test]
async fn a_node_with_live_connections_is_silent_over_ipv4() {
    scan((Ipv4Addr::LOCALHOST, 0).into()).await;
}

#[tokio::test]
async fn a_node_with_live_connections_is_silent_over_ipv6() {
    if has_ipv6("a_node_with_live_connections_is_silent_over_ipv6") {
        scan((Ipv6Addr::LOCALHOST, 0).into()).await;
    }
}

async fn scan(addr: SocketAddr) {
    let (server, client) = (bind(addr), bind(addr));
    serve(&server);
    let target = server.listen_addrs()[0];
    let forwarder = Forwarder::start(target, Link::good(Duration::from_millis(1)), 1);
    let connection = connect(&client, &server, forwarder.addr).await;
    echo(&connection, &[5; 20_000]).await;

    let scanner = Scanner::new(target);
    let mut rng = Rng::from_seed(3);
    let recorded = quiet(&server, &forwarder).await;
    scanner.silence(&server, &probes::scan(&mut rng), "a scan").await;
    let live = probes::with_live_ids(&mut rng, &recorded);
    scanner.silence(&server, &live, "ids of a live connection").await;
    scanner.silence(&server, &recorded, "a replay from another address").await;

    let before = server.counters();
    recorded.iter().for_each(|datagram| forwarder.inject(datagram));
    let after = received(&server, &before, recorded.len()).await;
    assert_eq!(after.datagrams_sent, before.datagrams_sent, "a replay from the same address");

    // Nobody was harmed.
    echo(&connection, b"still here").await;
    let connection = connect(&client, &server, target).await;
    echo(&connection, b"and others too").await;
}

/// Waits until the connection has nothing to say; what its dialer had sent by then.
async fn quiet(server: &Endpoint, forwarder: &Forwarder) -> Vec<Vec<u8>> {
    loop {
        let before = server.counters();
        tokio::time::sleep(QUIET).await;
        if server.counters() == before {
            return forwarder.recorded().there;
        }
    }
}

/// Waits until `count` datagrams more have arrived and had time to be answered.
async fn received(server: &Endpoint, before: &Counters, count: usize) -> Counters {
    let expected = before.datagrams_received + count as u64;
    let all = async {
        while server.counters().datagrams_received < expected {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), all).await.expect("all probes arrive");
    tokio::time::sleep(QUIET).await;
    server.counters()
}

struct Scanner(UdpSocket);

impl Scanner {
    fn new(target: SocketAddr) -> Self {
        let socket = UdpSocket::bind((loopback(target), 0)).unwrap();
        socket.connect(target).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self(socket)
    }

    /// Sends all probes; neither the scanner nor anybody else gets anything.
    async fn silence(&self, server: &Endpoint, probes: &[Vec<u8>], what: &str) {
        let start = server.counters();
        // A few at a time, so that no buffer overflows.
        for probes in probes.chunks(16) {
            let before = server.counters();
            for probe in probes {
                self.0.send(probe).unwrap();
            }
            let arrived = probes.iter().filter(|probe| !probe.is_empty()).count() as u64;
            while server.counters().datagrams_received < before.datagrams_received + arrived {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        let after = received(server, &start, 0).await;
        assert_eq!(after.datagrams_sent, start.datagrams_sent, "{what}");
        let mut buffer = [0; 2048];
        assert!(self.0.recv(&mut buffer).is_err(), "{what}: {buffer:?}");
    }
}

/// The real program, with a peer connected to it: what a scanner finds on the network.
#[test]
fn the_program_is_silent() {
    let mut listen = vec!["127.0.0.1:0"];
    if has_ipv6("the_program_is_silent") {
        listen.push("[::1]:0");
    }
    let node = TestNode::listening(&listen, &[]);
    for &target in &node.listen {
        let forwarder = Forwarder::start(target, Link::good(Duration::from_millis(1)), 1);
        let peer = TestNode::listening(
            &[&SocketAddr::from((loopback(target), 0)).to_string()],
            &["--peer", &format!("{}@{}", node.peer, forwarder.addr)],
        );
        peer.wait_state(node.peer, "connected");
        let mut rng = Rng::from_seed(4);
        // The peer says that it is connected before its Confirm has gone through the forwarder.
        let patience = Instant::now() + Duration::from_secs(20);
        let recorded = loop {
            let recorded = forwarder.recorded().there;
            if recorded.len() >= 2 {
                break recorded;
            }
            assert!(Instant::now() < patience, "{} datagrams", recorded.len());
            std::thread::sleep(Duration::from_millis(1));
        };
        let scanner = Scanner::new(target);
        let mut all = probes::scan(&mut rng);
        all.extend(probes::with_live_ids(&mut rng, &recorded));
        all.extend(recorded);
        for probes in all.chunks(16) {
            for probe in probes {
                scanner.0.send(probe).unwrap();
            }
            std::thread::sleep(Duration::from_millis(2)); // so that no buffer overflows
        }
        std::thread::sleep(QUIET);
        let mut buffer = [0; 2048];
        let answer = scanner.0.recv(&mut buffer);
        assert!(answer.is_err(), "{answer:?} bytes: {buffer:?}");
        let (lines, alive) = peer.command(&["ping", &node.peer.to_string(), "-c", "1"]);
        assert!(alive, "{lines:?}");
    }
}
