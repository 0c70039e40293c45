//! Simultaneous dials over a network that loses packets.

#![allow(clippy::disallowed_methods, clippy::unwrap_used)] // tests are shells

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pinhole_node::proto::rng::Rng;
use pinhole_node::{Candidate, Node, PeerAddr, PeerId, Protocol, Stream};
use tokio::net::UdpSocket;

const ECHO: Protocol = Protocol::from_static("echo/1");

/// Datagrams to its address go on to `to`, and the answers back; one of `one_in` is lost.
async fn lossy(to: SocketAddr, one_in: u64, seed: u64) -> SocketAddr {
    let front = Arc::new(UdpSocket::bind(("127.0.0.1", 0)).await.unwrap());
    let addr = front.local_addr().unwrap();
    tokio::spawn(async move {
        let mut rng = Rng::from_seed(seed);
        let mut backs = HashMap::new();
        let mut buffer = [0; 2048];
        while let Ok((len, from)) = front.recv_from(&mut buffer).await {
            if let Entry::Vacant(new) = backs.entry(from) {
                let back = Arc::new(UdpSocket::bind(("127.0.0.1", 0)).await.unwrap());
                back.connect(to).await.unwrap();
                tokio::spawn(answers(back.clone(), front.clone(), from, one_in, seed + 1));
                new.insert(back);
            }
            if !rng.next_u64().is_multiple_of(one_in) {
                let _ = backs[&from].send(&buffer[..len]).await;
            }
        }
    });
    addr
}

async fn answers(
    back: Arc<UdpSocket>,
    front: Arc<UdpSocket>,
    to: SocketAddr,
    one_in: u64,
    seed: u64,
) {
    let mut rng = Rng::from_seed(seed);
    let mut buffer = [0; 2048];
    while let Ok(len) = back.recv(&mut buffer).await {
        if !rng.next_u64().is_multiple_of(one_in) {
            let _ = front.send_to(&buffer[..len], to).await;
        }
    }
}

async fn echo(mut stream: Stream, _: PeerId) {
    while let Ok(Some(frame)) = stream.recv().await {
        if stream.send(&frame).await.is_err() {
            return;
        }
    }
    let _ = stream.finish().await;
}

async fn node() -> Node {
    let mut limits = pinhole_node::Limits::default();
    // Nine in ten arrive, and lost ones are sent again after ever longer times.
    limits.dial_timeout = Duration::from_secs(30);
    limits.request_timeout = Duration::from_secs(30);
    let builder = Node::builder().limits(limits).listen(([127, 0, 0, 1], 0)).protocol(ECHO, echo);
    builder.start().await.unwrap()
}

async fn talk(from: Node, to: PeerAddr) {
    let requests = (0..8u8).map(|n| {
        let (from, to) = (from.clone(), to.clone());
        tokio::spawn(async move {
            let reply = from.request(to, &ECHO, &[n; 100]).await;
            assert_eq!(reply, Ok(vec![n; 100]));
        })
    });
    for request in requests.collect::<Vec<_>>() {
        request.await.unwrap();
    }
}

/// What was opened on the connection that is given up arrives too: its dialer closes it only when
/// the acceptor has said that it is done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_on_the_connection_that_is_given_up() {
    let round = async |seed: u64| {
        let (left, right) = (node().await, node().await);
        let through = async |node: &Node, seed| {
            let front = lossy(node.listen_addrs()[0], 10, seed).await;
            PeerAddr::new(node.id(), vec![Candidate::direct(front).unwrap()]).unwrap()
        };
        let (to_right, to_left) = (through(&right, seed).await, through(&left, seed + 2).await);
        let left_talks = tokio::spawn(talk(left.clone(), to_right));
        let right_talks = tokio::spawn(talk(right.clone(), to_left));
        left_talks.await.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        right_talks.await.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let _ = tokio::join!(left.close(), right.close());
    };
    for batch in 0..3 {
        let seed = batch * 100;
        tokio::join!(round(seed), round(seed + 10), round(seed + 20), round(seed + 30));
    }
}
