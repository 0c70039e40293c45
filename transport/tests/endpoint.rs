//! Two endpoints on loopback, through the public interface.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

use std::{sync::Arc, time::Duration};

use pinhole_proto::{CloseCode, NetworkKey, PeerId, Protocol, SecretKey, StreamCode};
use pinhole_transport::{
    Admission, AdmitAll, ClosedBy, Config, ConnectError, Connection, Endpoint, IdempotentProtocol,
    Inbound, StreamError,
};
use tokio::time::timeout;

const ECHO: Protocol = Protocol::from_static("echo/1");
const LIMIT: usize = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(20);

fn key() -> SecretKey {
    SecretKey::generate(|bytes| getrandom::fill(bytes).unwrap())
}

fn config() -> Config {
    let mut config = Config::new(vec![([127, 0, 0, 1], 0).into()]);
    config.early_protocols = vec![ECHO];
    config
}

fn bind(config: Config) -> Endpoint {
    Endpoint::bind(&key(), config, Arc::new(AdmitAll)).unwrap()
}

fn echo() -> IdempotentProtocol {
    IdempotentProtocol::new(ECHO, LIMIT)
}

/// Accepts connections and echoes every frame of every stream, early ones too.
fn serve(endpoint: Endpoint) {
    tokio::spawn(async move {
        while let Some(inbound) = endpoint.accept().await {
            tokio::spawn(serve_connection(inbound));
        }
    });
}

async fn serve_connection(inbound: Inbound) {
    while let Some(offer) = inbound.accept_early().await {
        tokio::spawn(async move {
            if let Ok(mut stream) = offer.open(LIMIT).await
                && let Ok(Some(frame)) = stream.recv().await
            {
                let _ = stream.reply(&frame).await;
            }
        });
    }
    let Ok(connection) = inbound.confirmed().await else { return };
    while let Ok(offer) = connection.accept().await {
        tokio::spawn(async move {
            let known = |protocol: &Protocol| (*protocol == ECHO).then_some(LIMIT);
            let Ok(mut stream) = offer.open(known).await else { return };
            while let Ok(Some(frame)) = stream.recv().await {
                if stream.send(&frame).await.is_err() {
                    return;
                }
            }
            let _ = stream.finish().await;
            let _ = stream.finished().await;
        });
    }
}

async fn connect(from: &Endpoint, to: &Endpoint) -> Connection {
    let dial = from.dial(to.peer_id(), to.listen_addrs()).unwrap();
    timeout(PATIENCE, dial.established()).await.unwrap().unwrap()
}

async fn round_trip(connection: &Connection, frame: &[u8]) -> Vec<u8> {
    let mut stream = connection.open(&ECHO, LIMIT).await.unwrap();
    stream.send(frame).await.unwrap();
    stream.finish().await.unwrap();
    timeout(PATIENCE, stream.recv()).await.unwrap().unwrap().unwrap()
}

#[tokio::test]
async fn both_ends_know_each_other_and_exchange_frames() {
    let (server, client) = (bind(config()), bind(config()));
    let dial = client.dial(server.peer_id(), server.listen_addrs()).unwrap();
    let inbound = async { server.accept().await.unwrap().confirmed().await.unwrap() };
    let (dialed, accepted) = tokio::join!(dial.established(), inbound);
    let dialed = dialed.unwrap();
    assert_eq!(dialed.peer(), server.peer_id());
    assert_eq!(accepted.peer(), client.peer_id());
    assert!(dialed.dialed() && !accepted.dialed());
    assert_eq!(dialed.remote_addr(), server.listen_addrs()[0]);
    assert_eq!(accepted.remote_addr(), client.listen_addrs()[0]);
    assert_eq!(dialed.suite(), accepted.suite());

    let mut stream = dialed.open(&ECHO, LIMIT).await.unwrap();
    stream.send(b"hello").await.unwrap();
    let mut other = accepted.accept().await.unwrap().open(|_| Some(LIMIT)).await.unwrap();
    assert_eq!(other.protocol(), &ECHO);
    assert_eq!(other.recv().await.unwrap().unwrap(), b"hello");
    other.send(b"world").await.unwrap();
    assert_eq!(stream.recv().await.unwrap().unwrap(), b"world");

    let label = (&b"test"[..], &b"context"[..]);
    let exported = dialed.export_key(label.0, label.1).unwrap();
    assert_eq!(exported, accepted.export_key(label.0, label.1).unwrap());
    assert_ne!(exported, dialed.export_key(b"test", b"").unwrap());

    dialed.close(CloseCode::Disconnect, "enough");
    let closed = accepted.closed().await;
    assert_eq!((closed.by, closed.code), (ClosedBy::Peer, Some(CloseCode::Disconnect)));
    assert_eq!(closed.reason, "enough");
}

#[tokio::test]
async fn an_idempotent_request_is_answered_on_first_contact() {
    let (server, client) = (bind(config()), bind(config()));
    serve(server.clone());
    let dial = client.dial(server.peer_id(), server.listen_addrs()).unwrap();
    let reply = timeout(PATIENCE, dial.request(&echo(), b"early")).await.unwrap().unwrap();
    assert_eq!(reply, b"early");
    let connection = dial.established().await.unwrap();
    assert_eq!(round_trip(&connection, b"later").await, b"later");
}

#[tokio::test]
async fn a_rejected_early_request_is_sent_again() {
    let mut without = config();
    without.early_protocols.clear();
    let (server, client) = (bind(without), bind(config()));
    serve(server.clone());
    let dial = client.dial(server.peer_id(), server.listen_addrs()).unwrap();
    let reply = timeout(PATIENCE, dial.request(&echo(), b"again")).await.unwrap().unwrap();
    assert_eq!(reply, b"again");
}

#[tokio::test]
async fn a_protocol_that_is_not_idempotent_is_refused_as_early_data() {
    let (server, client) = (bind(config()), bind(config()));
    serve(server.clone());
    let other = IdempotentProtocol::new(Protocol::from_static("other/1"), LIMIT);
    let dial = client.dial(server.peer_id(), server.listen_addrs()).unwrap();
    let error = timeout(PATIENCE, dial.request(&other, b"x")).await.unwrap().unwrap_err();
    let refused = StreamError::Refused(StreamCode::EarlyData);
    assert_eq!(error, pinhole_transport::RequestError::Stream(refused));
    // The connection itself is none the worse.
    assert_eq!(round_trip(&dial.established().await.unwrap(), b"ok").await, b"ok");
}

#[tokio::test]
async fn a_wrong_id_or_network_gets_silence() {
    let server = bind(config());
    serve(server.clone());
    let mut private = config();
    private.network_key = NetworkKey::from_bytes([7; 32]);
    let (stranger, foreigner) = (bind(config()), bind(private));
    let wrong_id = stranger.dial(key().peer_id(), server.listen_addrs()).unwrap();
    let wrong_network = foreigner.dial(server.peer_id(), server.listen_addrs()).unwrap();
    let patience = Duration::from_millis(1500);
    assert!(timeout(patience, wrong_id.established()).await.is_err());
    assert!(timeout(patience, wrong_network.established()).await.is_err());
    let counters = server.counters();
    assert_eq!(counters.datagrams_sent, 0);
    assert!(counters.gate.foreign >= 1, "{counters:?}");
    assert!(counters.datagrams_received >= 2, "{counters:?}");
    assert_eq!((counters.half_open, counters.gate.admitted), (0, 0));
}

struct Only(PeerId);

impl Admission for Only {
    fn admits(&self, peer: &PeerId) -> bool {
        *peer == self.0
    }
}

#[tokio::test]
async fn an_unlisted_peer_gets_silence_and_a_listed_one_a_connection() {
    let (friend, stranger) = (bind(config()), bind(config()));
    let server = Endpoint::bind(&key(), config(), Arc::new(Only(friend.peer_id()))).unwrap();
    serve(server.clone());
    let dial = stranger.dial(server.peer_id(), server.listen_addrs()).unwrap();
    assert!(timeout(Duration::from_millis(500), dial.established()).await.is_err());
    assert_eq!(server.counters().datagrams_sent, 0);
    assert!(server.counters().gate.denied >= 1);
    assert_eq!(round_trip(&connect(&friend, &server).await, b"friend").await, b"friend");
}

#[tokio::test]
async fn one_socket_dials_and_accepts_the_same_peer_at_the_same_time() {
    let (a, b) = (bind(config()), bind(config()));
    serve(a.clone());
    serve(b.clone());
    let (there, back) = tokio::join!(connect(&a, &b), connect(&b, &a));
    for i in 0..50u8 {
        let (small, large) = ([i; 100], [i; 2000]);
        let (x, y) = tokio::join!(round_trip(&there, &small), round_trip(&back, &large));
        assert_eq!((x, y), (vec![i; 100], vec![i; 2000]));
    }
}

#[tokio::test]
async fn bulk_data_flows_both_ways_and_keys_change_on_the_way() {
    let (a, b) = (bind(config()), bind(config()));
    serve(a.clone());
    serve(b.clone());
    let (there, back) = tokio::join!(connect(&a, &b), connect(&b, &a));
    let frame: Vec<u8> = (0..LIMIT).map(|i| ((i * i) >> 7) as u8).collect();
    for connection in [&there, &back, &there] {
        let (x, y) = tokio::join!(round_trip(connection, &frame), async {
            there.force_key_update();
            round_trip(&back, b"small").await
        });
        assert!(x == frame && y == b"small");
    }
}

#[tokio::test]
async fn the_candidate_that_answers_wins() {
    let (server, client) = (bind(config()), bind(config()));
    serve(server.clone());
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let dead = silent.local_addr().unwrap();
    let candidates = [dead, server.listen_addrs()[0]];
    let dial = client.dial(server.peer_id(), &candidates).unwrap();
    let reply = timeout(PATIENCE, dial.request(&echo(), &[9; 1500])).await.unwrap().unwrap();
    assert_eq!(reply, [9; 1500]);
    let connection = dial.established().await.unwrap();
    assert_eq!(connection.remote_addr(), server.listen_addrs()[0]);
}

#[tokio::test]
async fn at_the_cap_dialers_must_show_their_address() {
    let mut small = config();
    small.max_half_open = 1;
    let server = bind(small);
    let (first, second) = (bind(config()), bind(config()));
    // The first dialer never confirms: nobody accepts its connection, so it gets no Reply.
    let held = first.dial(server.peer_id(), server.listen_addrs()).unwrap();
    while server.counters().half_open == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let dial = second.dial(server.peer_id(), server.listen_addrs()).unwrap();
    while server.counters().gate.retried == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    serve(server.clone());
    let connection = timeout(PATIENCE, dial.established()).await.unwrap().unwrap();
    assert_eq!(round_trip(&connection, b"validated").await, b"validated");
    drop(held);
}

#[tokio::test]
async fn unknown_protocols_and_oversized_frames_are_refused_by_name() {
    let (server, client) = (bind(config()), bind(config()));
    serve(server.clone());
    let connection = connect(&client, &server).await;
    let unknown = Protocol::from_static("unknown/1");
    let mut stream = connection.open(&unknown, LIMIT).await.unwrap();
    stream.send(b"?").await.unwrap();
    let refused = StreamError::Refused(StreamCode::UnknownProtocol);
    assert_eq!(stream.recv().await.unwrap_err(), refused);

    let mut stream = connection.open(&ECHO, 2 * LIMIT).await.unwrap();
    let too_large = StreamError::Refused(StreamCode::FrameTooLarge);
    let sent = stream.send(&vec![0; LIMIT + 1]).await;
    assert!(sent.is_ok() || sent == Err(too_large.clone()), "{sent:?}");
    assert_eq!(stream.recv().await, Err(too_large));
    let mut stream = connection.open(&ECHO, 4).await.unwrap();
    let error = stream.send(b"12345").await.unwrap_err();
    assert_eq!(error, StreamError::TooLong { len: 5, limit: 4 });
}

#[tokio::test]
async fn closing_ends_everything_and_twice_is_harmless() {
    let (server, client) = (bind(config()), bind(config()));
    serve(server.clone());
    let connection = connect(&client, &server).await;
    round_trip(&connection, b"confirmed").await;
    server.close(CloseCode::Shutdown).await;
    server.close(CloseCode::Shutdown).await;
    let closed = timeout(PATIENCE, connection.closed()).await.unwrap();
    assert_eq!((closed.by, closed.code), (ClosedBy::Peer, Some(CloseCode::Shutdown)));
    assert!(server.accept().await.is_none());
    let dial = server.dial(client.peer_id(), client.listen_addrs());
    assert!(matches!(dial, Err(pinhole_transport::DialError::EndpointClosed)), "{dial:?}");
}

#[tokio::test]
async fn a_dial_that_is_dropped_ends_at_once_and_says_nothing() {
    let mut patient = config();
    (patient.idle_timeout, patient.keep_alive) = (None, None);
    let client = bind(patient);
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    silent.set_read_timeout(Some(PATIENCE)).unwrap();
    let addr = silent.local_addr().unwrap();
    let candidates = [addr, ([127, 0, 0, 1], 9).into()];
    let dial = client.dial(key().peer_id(), &candidates).unwrap();
    let given_up = timeout(Duration::from_millis(50), dial.established()).await;
    assert!(given_up.is_err(), "a caller's own time");
    assert_eq!(
        tokio::task::spawn_blocking(move || silent.recv(&mut [0; 1500])).await.unwrap().unwrap(),
        1200
    );
    drop(dial);
    // It waits for whatever the dial still has to send.
    client.close(CloseCode::Shutdown).await;
    assert_eq!(client.counters().datagrams_sent, 1, "neither a farewell nor another candidate");
}

#[tokio::test]
async fn vitals_tell_of_life_and_of_waiting() {
    let mut quiet = config();
    (quiet.idle_timeout, quiet.keep_alive) = (None, None);
    let (server, client) = (bind(quiet.clone()), bind(quiet));
    let inbound = async { server.accept().await.unwrap().confirmed().await.unwrap() };
    let (dialed, accepted) = tokio::join!(connect(&client, &server), inbound);
    for _ in 0..3 {
        let before = (dialed.vitals(), accepted.vitals());
        dialed.send_datagram(vec![0x00, 18].into()).unwrap();
        assert_eq!(
            timeout(PATIENCE, accepted.read_datagram()).await.unwrap().unwrap()[..],
            [0, 18]
        );
        let acknowledged = || {
            let now = dialed.vitals();
            now.heard > before.0.heard && now.waiting.is_none()
        };
        while !acknowledged() {
            tokio::time::sleep(Duration::from_millis(5)).await; // nothing tells of it
        }
        assert!(accepted.vitals().heard > before.1.heard);
        assert_ne!(dialed.vitals().rtt, Duration::from_millis(333), "nothing was measured");
    }
    server.close(CloseCode::Shutdown).await;
    drop(dialed.closed().await);
}

#[tokio::test]
async fn a_dial_that_nobody_answers_ends_with_no_answer() {
    let mut impatient = config();
    impatient.idle_timeout = Some(Duration::from_millis(300));
    let client = bind(impatient);
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let dial = client.dial(key().peer_id(), &[silent.local_addr().unwrap()]).unwrap();
    let error = timeout(PATIENCE, dial.established()).await.unwrap().unwrap_err();
    assert_eq!(error, ConnectError::NoAnswer);
}

#[tokio::test]
async fn a_send_that_is_cancelled_half_way_damages_nothing() {
    let mut narrow = config();
    narrow.stream_window = 20_000;
    let (server, client) = (bind(narrow), bind(config()));
    let accepted = tokio::spawn({
        let server = server.clone();
        async move { server.accept().await.unwrap().confirmed().await.unwrap() }
    });
    let connection = connect(&client, &server).await;
    let accepted = accepted.await.unwrap();

    let (first, second) = (vec![1; 100_000], vec![2; 50_000]);
    let mut stream = connection.open(&ECHO, LIMIT).await.unwrap();
    // Nobody reads, so that only a part of it finds room.
    assert!(timeout(Duration::from_millis(300), stream.send(&first)).await.is_err());

    let reader = tokio::spawn(async move {
        let offer = accepted.accept().await.unwrap();
        let mut stream = offer.open(|_| Some(LIMIT)).await.unwrap();
        let mut frames = Vec::new();
        while let Some(frame) = stream.recv().await.unwrap() {
            frames.push(frame);
        }
        frames
    });
    timeout(PATIENCE, stream.send(&second)).await.unwrap().unwrap();
    stream.finish().await.unwrap();
    let frames = timeout(PATIENCE, reader).await.unwrap().unwrap();
    assert!(frames == [first, second], "{} frames", frames.len());
}
