//! Nodes on loopback, through the public interface.

#![allow(clippy::disallowed_methods, clippy::unwrap_used)] // tests are shells

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use pinhole_node::allowlist::{Allowlist, Mode};
use pinhole_node::{
    Builder, ConnectError, Event, IdempotentProtocol, Kind, Node, PeerAddr, PeerId, PeerState,
    Protocol, Reason, RequestError, SendError, StartError, Stream, StreamCode, StreamError,
};
use tokio::sync::{Notify, mpsc};

const ECHO: Protocol = Protocol::from_static("echo/1");

fn local() -> Builder {
    Node::builder().listen(([127, 0, 0, 1], 0))
}

async fn start(builder: Builder) -> Node {
    builder.start().await.expect("a node starts on loopback")
}

async fn echo(mut stream: Stream, _: PeerId) {
    while let Ok(Some(frame)) = stream.recv().await {
        if stream.send(&frame).await.is_err() {
            return;
        }
    }
    let _ = stream.finish().await;
}

/// Fails the test when `work` takes so long that something hangs.
async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), work).await.expect("no hang")
}

async fn wait_for(node: &Node, peer: PeerId, state: PeerState) {
    soon(async {
        let mut events = node.events();
        while node.peer(peer).await.is_none_or(|info| info.state != state) {
            events.recv().await;
        }
    })
    .await;
}

#[tokio::test]
async fn two_nodes_echo() {
    let server = start(local().protocol(ECHO, echo)).await;
    let client = start(local()).await;
    let mut stream = soon(client.open(server.addr(), &ECHO)).await.unwrap();
    for n in 0..100u32 {
        stream.send(&n.to_be_bytes()).await.unwrap();
        assert_eq!(soon(stream.recv()).await.unwrap().unwrap(), n.to_be_bytes());
    }
    stream.finish().await.unwrap();
    assert_eq!(soon(stream.recv()).await.unwrap(), None);
    let seen = client.peer(server.id()).await.unwrap();
    assert_eq!(seen.state, PeerState::Connected);
    assert_eq!(seen.dialed, Some(true));
    assert_eq!(seen.addr, Some(server.listen_addrs()[0]));
    wait_for(&server, client.id(), PeerState::Connected).await;
    assert_eq!(server.peer(client.id()).await.unwrap().dialed, Some(false));
    assert_eq!(server.status().await.connected, 1);
    assert_eq!(server.metrics().await.streams_served, 1);
}

#[tokio::test]
async fn dials_to_one_peer_are_one_dial() {
    let server = start(local()).await;
    let client = start(local()).await;
    let dials = (0..20).map(|_| {
        let (client, addr) = (client.clone(), server.addr());
        tokio::spawn(async move { client.connect(addr).await })
    });
    for dial in dials.collect::<Vec<_>>() {
        assert_eq!(soon(dial).await.unwrap().unwrap().peer, server.id());
    }
    assert_eq!(client.metrics().await.transport.dials, 1);
}

/// Both dial at once and send data on whatever connection they get; all of it arrives, and one
/// connection is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn simultaneous_dials_lose_nothing() {
    for round in 0..50 {
        let left = start(local().protocol(ECHO, echo)).await;
        let right = start(local().protocol(ECHO, echo)).await;
        let talk = |from: Node, to: PeerAddr| {
            tokio::spawn(async move {
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
            })
        };
        let a = talk(left.clone(), right.addr());
        let b = talk(right.clone(), left.addr());
        soon(a).await.unwrap_or_else(|error| panic!("round {round}: {error}"));
        soon(b).await.unwrap_or_else(|error| panic!("round {round}: {error}"));
        // The last handshake may still be under way at its acceptor.
        let dialer = async |node: &Node, other: &Node| node.peer(other.id()).await?.dialed;
        soon(async {
            while dialer(&left, &right).await != dialer(&right, &left).await.map(|us| !us) {
                tokio::task::yield_now().await;
            }
        })
        .await;
        soon(async { tokio::join!(left.close(), right.close()) }).await.0.unwrap();
    }
}

#[tokio::test]
async fn the_duplicate_of_a_simultaneous_dial_goes_away() {
    for _ in 0..20 {
        let (a, b) = (start(local()).await, start(local()).await);
        let (x, y) = soon(async { tokio::join!(a.connect(b.addr()), b.connect(a.addr())) }).await;
        assert!(x.is_ok() && y.is_ok());
        let connections = async |node: &Node| node.metrics().await.transport.connections;
        if connections(&a).await < 2 {
            continue;
        }
        soon(async {
            while connections(&a).await > 1 || connections(&b).await > 1 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        assert!(a.ping(b.id()).await.is_ok());
        assert!(b.ping(a.id()).await.is_ok());
        return;
    }
    panic!("twenty simultaneous dials and not one duplicate");
}

#[tokio::test]
async fn an_unknown_protocol_is_refused_by_name() {
    let (server, client) = (start(local()).await, start(local()).await);
    let error = soon(client.request(server.addr(), &ECHO, b"?")).await.unwrap_err();
    let expected = StreamError::Refused(StreamCode::UnknownProtocol);
    assert_eq!(error, RequestError::Stream(expected));
    assert!(client.ping(server.id()).await.is_ok(), "the connection stays");
}

#[tokio::test]
async fn an_oversized_frame_stops_at_the_sender_and_at_the_receiver() {
    let server = start(local().protocol_with(ECHO, 100, echo)).await;
    let client = start(local()).await;
    let mut stream = soon(client.open_with(server.addr(), &ECHO, 100)).await.unwrap();
    let error = stream.send(&[0; 101]).await.unwrap_err();
    assert_eq!(error, StreamError::TooLong { len: 101, limit: 100 });
    let mut stream = soon(client.open_with(server.addr(), &ECHO, 1000)).await.unwrap();
    stream.send(&[0; 101]).await.unwrap();
    let refused = soon(stream.recv()).await.unwrap_err();
    assert_eq!(refused, StreamError::Refused(StreamCode::FrameTooLarge));
    assert_eq!(soon(client.request(server.id(), &ECHO, &[7; 100])).await, Ok(vec![7; 100]));
}

#[tokio::test]
async fn a_request_on_first_contact() {
    let lookup = IdempotentProtocol::new(Protocol::from_static("lookup/1"), 1000);
    let served = Arc::new(AtomicUsize::new(0));
    let count = served.clone();
    let answer = move |request: Vec<u8>| {
        count.fetch_add(1, Ordering::SeqCst);
        async move { [&b"re: "[..], &request].concat() }
    };
    let server = start(local().idempotent(&lookup, answer)).await;
    let client = start(local()).await;
    let reply = soon(client.request_early(server.addr(), &lookup, b"first")).await;
    assert_eq!(reply.unwrap(), b"re: first");
    assert_eq!(server.metrics().await.early_served, 1);
    // Once more over the connection that this left, and as an ordinary request.
    wait_for(&client, server.id(), PeerState::Connected).await;
    let reply = soon(client.request_early(server.addr(), &lookup, b"second")).await;
    assert_eq!(reply.unwrap(), b"re: second");
    let reply = soon(client.request(server.id(), lookup.protocol(), b"third")).await;
    assert_eq!(reply.unwrap(), b"re: third");
    assert_eq!(server.metrics().await.early_served, 1);
    assert_eq!(served.load(Ordering::SeqCst), 3);
    assert_eq!(client.metrics().await.transport.dials, 1);
}

#[tokio::test]
async fn an_early_request_to_nobody_ends_in_time() {
    let mut limits = pinhole_node::Limits::default();
    limits.dial_timeout = Duration::from_millis(500);
    let client = start(local().limits(limits)).await;
    let nobody = start(local()).await;
    let addr = nobody.addr();
    nobody.close().await.unwrap();
    let lookup = IdempotentProtocol::new(ECHO, 1000);
    let error = soon(client.request_early(addr, &lookup, b"?")).await.unwrap_err();
    assert_eq!(error, RequestError::Connect(ConnectError::NoAnswer));
}

#[tokio::test]
async fn silence_ends_after_the_dials_time_and_names_its_causes() {
    let mut limits = pinhole_node::Limits::default();
    limits.dial_timeout = Duration::from_millis(300);
    let client = start(local().limits(limits)).await;
    let server = start(local()).await;
    let stranger = start(local()).await;
    let wrong = PeerAddr::new(stranger.id(), server.addrs()).unwrap();
    let error = soon(client.connect(wrong)).await.unwrap_err();
    assert_eq!(error, ConnectError::NoAnswer);
    assert_eq!(error.kind(), "timeout");
    assert_eq!(error.to_string(), "no answer: wrong id or network, offline, or not allowed");
    let info = client.peer(stranger.id()).await.unwrap();
    assert_eq!((info.state, info.failures), (PeerState::Disconnected, 1));
}

#[tokio::test]
async fn what_cannot_be_dialed_says_why() {
    let node = start(local()).await;
    let stranger = start(local()).await;
    let kind = |error: ConnectError| error.kind();
    assert_eq!(node.connect(node.addr()).await.map_err(kind).unwrap_err(), "usage");
    assert_eq!(node.connect(stranger.id()).await.map_err(kind).unwrap_err(), "not_found");
    let name = format!("{}@no-such-name.invalid:1", stranger.id());
    let error = soon(node.connect(name.parse::<PeerAddr>().unwrap())).await.unwrap_err();
    assert!(matches!(error, ConnectError::Unresolved { .. }), "{error}");
    assert!(error.to_string().contains("no-such-name.invalid"), "{error}");
}

#[tokio::test]
async fn a_slow_reader_slows_the_writer_down() {
    let release = Arc::new(Notify::new());
    let (received, mut total) = mpsc::channel(1);
    let released = release.clone();
    let sink = move |mut stream: Stream, _: PeerId| {
        let (released, received) = (released.clone(), received.clone());
        async move {
            released.notified().await;
            let mut sum = 0;
            while let Ok(Some(frame)) = stream.recv().await {
                sum += frame.len();
            }
            let _ = received.send(sum).await;
        }
    };
    let server = start(local().protocol(ECHO, sink)).await;
    let client = start(local()).await;
    let mut stream = soon(client.open(server.addr(), &ECHO)).await.unwrap();
    let frame = vec![0; 60_000];
    let mut sent = 0;
    // The windows are 8 MiB at most; a writer that gets further is not held back.
    while let Ok(done) = tokio::time::timeout(Duration::from_secs(1), stream.send(&frame)).await {
        done.unwrap();
        sent += frame.len();
        assert!(sent < 20 << 20, "nothing holds the writer back");
    }
    assert!(client.ping(server.id()).await.is_ok(), "other streams go on");
    release.notify_one();
    // The cancelled send left a part of a frame, so the stream ends unfinished.
    drop(stream);
    let sum = soon(total.recv()).await.unwrap();
    assert!(sum <= sent);
}

#[tokio::test]
async fn messages_are_acknowledged_once_the_queue_has_them() {
    let receiver = start(local().messages(2)).await;
    let sender = start(local()).await;
    let mut inbox = receiver.messages().unwrap();
    assert!(receiver.messages().is_none(), "there is one reader");
    let id = soon(sender.send(receiver.addr(), Kind::Chat, "hello")).await.unwrap();
    let message = soon(inbox.recv()).await.unwrap();
    assert_eq!((message.id, message.peer), (id, sender.id()));
    assert_eq!((message.kind, &message.body[..]), (Kind::Chat, &b"hello"[..]));

    for n in 0..2u8 {
        soon(sender.send(receiver.id(), Kind::Data, [n])).await.unwrap();
    }
    let third = tokio::spawn({
        let (sender, to) = (sender.clone(), receiver.id());
        async move { sender.send(to, Kind::Data, [2]).await }
    });
    let waiting = tokio::time::timeout(Duration::from_millis(300), async { third.is_finished() });
    assert_eq!(waiting.await, Ok(false), "the queue is full, the sender waits");
    for n in 0..3u8 {
        assert_eq!(soon(inbox.recv()).await.unwrap().body, [n]);
    }
    soon(third).await.unwrap().unwrap();
    assert_eq!(receiver.metrics().await.messages_received, 4);
}

#[tokio::test]
async fn messages_that_cannot_be_taken() {
    let deaf = start(local()).await;
    let sender = start(local()).await;
    let error = soon(sender.send(deaf.addr(), Kind::Chat, "hello")).await.unwrap_err();
    assert!(matches!(error, SendError::Refused(_)), "{error}");
    let error = sender.send(deaf.id(), Kind::Chat, vec![0xff]).await.unwrap_err();
    assert_eq!(error, SendError::NotText);
    let error = sender.send(deaf.id(), Kind::Data, vec![0; 70_000]).await.unwrap_err();
    assert_eq!(error.kind(), "usage");
}

#[tokio::test]
async fn a_message_on_first_contact_and_who_is_there() {
    let receiver = start(local().messages(1).agent("test/1").protocol(ECHO, echo)).await;
    let sender = start(local()).await;
    soon(sender.send(receiver.addr(), Kind::Control, [0])).await.unwrap();
    let who = soon(sender.identify(receiver.id())).await.unwrap();
    assert_eq!(&*who.agent, "test/1");
    assert_eq!(who.observed, sender.listen_addrs()[0]);
    assert_eq!(who.listen.to_vec(), receiver.addrs());
    assert!(who.protocols.contains(&ECHO));
}

#[tokio::test]
async fn events_tell_the_story_of_a_peer() {
    let (server, client) = (start(local()).await, start(local()).await);
    let mut events = client.events();
    soon(client.connect(server.addr())).await.unwrap();
    client.disconnect(server.id()).await;
    let mut story = Vec::new();
    while story.len() < 3 {
        if let Some(Event::Peer { peer, state, reason, .. }) = soon(events.recv()).await {
            assert_eq!(peer, server.id());
            story.push((state, reason));
        }
    }
    let expected = [
        (PeerState::Connecting, Reason::Dialing),
        (PeerState::Connected, Reason::Dialed),
        (PeerState::Disconnected, Reason::Disconnect),
    ];
    assert_eq!(story, expected);
    wait_for(&server, client.id(), PeerState::Disconnected).await;
}

#[tokio::test]
async fn a_slow_listener_is_told_how_much_it_missed() {
    let mut limits = pinhole_node::Limits::default();
    limits.event_queue = 4;
    let node = start(local().limits(limits)).await;
    let mut events = node.events();
    for n in 0..10 {
        node.report_problem(format!("problem {n}"), "none");
    }
    assert_eq!(soon(events.recv()).await, Some(Event::Lost { count: 6 }));
    let Some(Event::Problem { what, .. }) = soon(events.recv()).await else { panic!() };
    assert_eq!(what, "problem 6");
    assert_eq!(node.status().await.problems.len(), 10);
}

#[tokio::test]
async fn a_wanted_peer_that_restarts_is_connected_again() {
    let key = || pinhole_node::SecretKey::from_seed(seed()).unwrap();
    let server = start(local().secret_key(key())).await;
    let addr = server.listen_addrs()[0];
    let client = start(local().peer(server.addr())).await;
    wait_for(&client, server.id(), PeerState::Connected).await;
    server.close().await.unwrap();
    wait_for(&client, server.id(), PeerState::Disconnected).await;
    let again = start(Node::builder().listen(addr).secret_key(key())).await;
    wait_for(&client, again.id(), PeerState::Connected).await;
    assert!(client.ping(again.id()).await.is_ok());
}

/// A seed whose key has its sign bit clear.
fn seed() -> [u8; 32] {
    (0..).map(|n| [n; 32]).find(|s| pinhole_node::SecretKey::from_seed(*s).is_ok()).unwrap()
}

#[tokio::test]
async fn a_strict_node_is_silent_to_the_unlisted() {
    let mut limits = pinhole_node::Limits::default();
    limits.dial_timeout = Duration::from_millis(500);
    let server = start(local().allowlist(Allowlist::new(Mode::Strict))).await;
    let client = start(local().limits(limits)).await;
    let dial = async || soon(client.connect(server.addr())).await;
    assert_eq!(dial().await.unwrap_err(), ConnectError::NoAnswer);
    assert_eq!(server.allow(client.id()).await, Ok(true));
    dial().await.unwrap();
    wait_for(&server, client.id(), PeerState::Connected).await;
    assert_eq!(server.deny(client.id()).await, Ok(true));
    wait_for(&client, server.id(), PeerState::Disconnected).await;
    wait_for(&server, client.id(), PeerState::Denied).await;
    assert_eq!(dial().await.unwrap_err(), ConnectError::NoAnswer);
    let error = server.connect(client.addr()).await.unwrap_err();
    assert_eq!(error.kind(), "denied");
}

#[tokio::test]
async fn close_is_idempotent_and_ends_everything() {
    let server = start(local().protocol(ECHO, echo).messages(1)).await;
    let client = start(local()).await;
    let mut inbox = server.messages().unwrap();
    let mut events = server.events();
    let mut stream = soon(client.open(server.addr(), &ECHO)).await.unwrap();
    stream.send(b"hold on").await.unwrap();
    soon(stream.recv()).await.unwrap();
    let begin = Instant::now();
    let other = server.clone();
    let (first, second) = soon(async { tokio::join!(server.close(), other.close()) }).await;
    assert_eq!((first, second), (Ok(()), Ok(())));
    assert_eq!(soon(server.close()).await, Ok(()));
    assert!(begin.elapsed() < Duration::from_secs(5));
    assert_eq!(soon(inbox.recv()).await, None);
    let mut last = None;
    while let Some(event) = soon(events.recv()).await {
        last = Some(event);
    }
    assert_eq!(last, Some(Event::Shutdown { reason: "closed".into() }));
    assert_eq!(server.connect(client.addr()).await.unwrap_err(), ConnectError::Stopped);
    assert!(server.peers().await.is_empty());
    soon(stream.recv()).await.unwrap_err();
    wait_for(&client, server.id(), PeerState::Disconnected).await;
}

#[tokio::test]
async fn dropping_the_last_handle_ends_the_tasks() {
    let alive = Arc::new(());
    let token = alive.clone();
    let handler = move |stream: Stream, peer: PeerId| {
        let token = token.clone();
        async move {
            echo(stream, peer).await;
            drop(token);
        }
    };
    let server = start(local().protocol(ECHO, handler)).await;
    let client = start(local()).await;
    let mut stream = soon(client.open(server.addr(), &ECHO)).await.unwrap();
    stream.send(b"x").await.unwrap();
    soon(stream.recv()).await.unwrap();
    let (addr, other) = (server.listen_addrs()[0], server.clone());
    drop(server);
    assert!(client.ping(other.id()).await.is_ok(), "a handle is left");
    drop(other);
    soon(async {
        while Arc::strong_count(&alive) > 1 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    // The socket is free again.
    soon(async {
        while Node::builder().listen(addr).start().await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_handler_that_panics_stops_the_node_with_its_message() {
    let broken = |_: Stream, _: PeerId| async { panic!("the sky fell") };
    let server = start(local().protocol(ECHO, broken)).await;
    let client = start(local()).await;
    let mut events = server.events();
    soon(client.request(server.addr(), &ECHO, b"?")).await.unwrap_err();
    let failed = soon(server.closed()).await.unwrap_err();
    assert_eq!(failed.message, "the sky fell");
    assert_eq!(soon(server.close()).await, Err(failed));
    let mut last = None;
    while let Some(event) = soon(events.recv()).await {
        last = Some(event);
    }
    let Some(Event::Shutdown { reason }) = last else { panic!("{last:?}") };
    assert!(reason.contains("the sky fell"), "{reason}");
}

#[tokio::test]
async fn starts_that_fail() {
    let node = start(local()).await;
    let busy = Node::builder().listen(node.listen_addrs()[0]).start().await.unwrap_err();
    assert_eq!(busy.kind(), "busy");
    let twice = local().protocol(ECHO, echo).protocol(ECHO, echo).start().await.unwrap_err();
    assert!(matches!(twice, StartError::Protocol(_)));
    let builtin = local().protocol(Protocol::from_static("ping/1"), echo).start().await;
    assert!(matches!(builtin, Err(StartError::Protocol(_))));
}

#[tokio::test]
async fn a_node_that_is_to_dial_itself_says_so_and_starts() {
    let key = || pinhole_node::SecretKey::from_seed(seed()).unwrap();
    let node = start(local().secret_key(key()).peer(key().peer_id())).await;
    assert!(node.status().await.problems[0].contains("this node itself"));
    assert!(node.peers().await.is_empty());
}

#[test]
fn a_node_needs_a_runtime() {
    let mut start = std::pin::pin!(local().start());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(Err(error)) = start.as_mut().poll(&mut context) else {
        panic!("it has to fail at once")
    };
    assert!(matches!(error, StartError::NoRuntime));
}

#[tokio::test]
async fn a_node_without_an_address_listens_on_what_there_is() {
    let server = start(Node::builder()).await;
    let client = start(Node::builder()).await;
    assert!(!server.addrs().is_empty());
    soon(client.ping(server.addr())).await.unwrap();
}
