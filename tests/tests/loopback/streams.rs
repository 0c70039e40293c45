//! Streams over real sockets under adverse conditions.

use std::{net::Ipv4Addr, time::Duration};

use pinhole_tests::{
    endpoints::{ECHO, LIMIT, PATIENCE, bind, connect, echo, serve},
    forwarder::Forwarder,
    seeds::for_seeds,
    world::Link,
};
use tokio::time::timeout;

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

#[test]
fn data_arrives_whole_over_a_lossy_path() {
    let link = Link {
        loss: 5,
        duplicates: 5,
        delay: Duration::from_millis(2),
        jitter: Duration::from_millis(6),
    };
    for_seeds(3, |seed| {
        run(async {
            let addr = (Ipv4Addr::LOCALHOST, 0).into();
            let (server, client) = (bind(addr), bind(addr));
            serve(&server);
            let forwarder = Forwarder::start(server.listen_addrs()[0], link, seed);
            let connection = connect(&client, &server, forwarder.addr).await;
            for round in 0..10u8 {
                echo(&connection, &vec![round; 20_000]).await;
            }
        });
    });
}

/// A peer that stops reading holds up its own stream, and neither our memory nor another stream.
#[tokio::test]
async fn a_peer_that_stops_reading_stops_only_its_own_stream() {
    let addr = (Ipv4Addr::LOCALHOST, 0).into();
    let (server, client) = (bind(addr), bind(addr));
    let accepting = async { server.accept().await.unwrap().confirmed().await.unwrap() };
    let dialing = connect(&client, &server, server.listen_addrs()[0]);
    let (accepted, dialed) = tokio::join!(accepting, dialing);

    let mut stuck = dialed.open(&ECHO, LIMIT).await.unwrap();
    let frame = vec![1; LIMIT];
    let mut sent = 0;
    while timeout(Duration::from_millis(300), stuck.send(&frame)).await.is_ok() {
        sent += frame.len();
        assert!(sent < 32 << 20, "the peer reads nothing, and {sent} bytes were taken");
    }
    let _unread = accepted.accept().await.unwrap();
    let answering = async {
        let offer = accepted.accept().await.unwrap();
        let mut stream = offer.open(|_| Some(LIMIT)).await.unwrap();
        let frame = stream.recv().await.unwrap().unwrap();
        stream.send(&frame).await.unwrap();
        stream.finish().await.unwrap();
    };
    timeout(PATIENCE, async { tokio::join!(answering, echo(&dialed, b"another stream")) })
        .await
        .unwrap();
}
