//! The protocols that every node serves, spoken by hand. SPEC §7.

#![allow(clippy::disallowed_methods, clippy::panic, clippy::unwrap_used)] // tests are shells

use std::time::Duration;

use pinhole_node::proto::message::{
    Deliver, Exchange, Identify, IdentifyReply, Message, MessageId, Outcome, Ping, Receipt, Refusal,
};
use pinhole_node::proto::{Bytes, decode, encode};
use pinhole_node::{
    Builder, Kind, Node, PeerState, Protocol, RequestError, StreamCode, StreamError,
};

const LIMIT: usize = 70_000;

fn local() -> Builder {
    Node::builder().listen(([127, 0, 0, 1], 0))
}

/// A node that is asked by hand, and one that asks.
async fn pair(asked: Builder) -> (Node, Node) {
    let asked = asked.start().await.unwrap();
    let asking = local().start().await.unwrap();
    asking.connect(asked.addr()).await.unwrap();
    (asked, asking)
}

/// Sends one frame; the reply, or the code of the refusal.
async fn ask(
    from: &Node,
    to: &Node,
    protocol: &Protocol,
    frame: &[u8],
) -> Result<Vec<u8>, StreamCode> {
    let exchange = async {
        let mut stream = from.open_with(to.id(), protocol, LIMIT).await.unwrap();
        stream.send(frame).await.unwrap();
        stream.recv().await
    };
    match tokio::time::timeout(Duration::from_secs(20), exchange).await.expect("no hang") {
        Ok(reply) => Ok(reply.expect("a reply or a refusal")),
        Err(StreamError::Refused(code)) => Err(code),
        Err(error) => panic!("{error}"),
    }
}

fn message(n: u8, kind: Kind, body: &[u8]) -> Vec<u8> {
    let message = Message { id: MessageId([n; 16]), kind, body: Bytes::new(body).unwrap() };
    encode(&message, Deliver::REQUEST_LIMIT).unwrap()
}

fn receipt(reply: &[u8], n: u8) -> Outcome {
    let receipt: Receipt = decode(reply).unwrap();
    assert_eq!(receipt.id, MessageId([n; 16]));
    receipt.outcome
}

#[tokio::test]
async fn ping_repeats_its_nonce_without_waiting_for_the_end_of_the_stream() {
    let (asked, asking) = pair(local()).await;
    assert_eq!(ask(&asking, &asked, &Ping::PROTOCOL, b"12345678").await.unwrap(), b"12345678");
    for short in [&b""[..], b"1", b"1234567"] {
        let refused = ask(&asking, &asked, &Ping::PROTOCOL, short).await.unwrap_err();
        assert_eq!(refused, StreamCode::Malformed);
    }
    let refused = ask(&asking, &asked, &Ping::PROTOCOL, b"123456789").await.unwrap_err();
    assert_eq!(refused, StreamCode::FrameTooLarge);
}

#[tokio::test]
async fn a_request_that_does_not_come_is_refused() {
    let (asked, asking) = pair(local()).await;
    for protocol in [Ping::PROTOCOL, Identify::PROTOCOL, Deliver::PROTOCOL] {
        let mut stream = asking.open_with(asked.id(), &protocol, LIMIT).await.unwrap();
        stream.finish().await.unwrap();
        let refused = stream.recv().await.unwrap_err();
        assert_eq!(refused, StreamError::Refused(StreamCode::Malformed), "{protocol}");
    }
}

#[tokio::test]
async fn identify_takes_an_empty_request_only() {
    let (asked, asking) = pair(local()).await;
    let reply = ask(&asking, &asked, &Identify::PROTOCOL, b"").await.unwrap();
    let reply: IdentifyReply = decode(&reply).unwrap();
    assert_eq!(reply.observed, asking.listen_addrs()[0]);
    let refused = ask(&asking, &asked, &Identify::PROTOCOL, b"x").await.unwrap_err();
    assert_eq!(refused, StreamCode::FrameTooLarge);
}

#[tokio::test]
async fn a_message_that_comes_again_is_acknowledged_again_and_delivered_once() {
    let (asked, asking) = pair(local().messages(10)).await;
    let mut inbox = asked.messages().unwrap();
    for n in [1, 1, 2, 1] {
        let once = message(n, Kind::Data, b"once");
        let reply = ask(&asking, &asked, &Deliver::PROTOCOL, &once).await.unwrap();
        assert_eq!(receipt(&reply, n), Outcome::Accepted);
    }
    assert_eq!(inbox.recv().await.unwrap().id, MessageId([1; 16]));
    assert_eq!(inbox.recv().await.unwrap().id, MessageId([2; 16]));
    let metrics = asked.metrics().await;
    assert_eq!((metrics.messages_received, metrics.messages_repeated), (2, 2));
    asked.close().await.unwrap();
    assert!(inbox.recv().await.is_none());
}

#[tokio::test]
async fn messages_that_are_refused() {
    let (asked, asking) = pair(local().messages(10)).await;
    let text = message(1, Kind::Chat, &[0xff]);
    let reply = ask(&asking, &asked, &Deliver::PROTOCOL, &text).await.unwrap();
    assert_eq!(receipt(&reply, 1), Outcome::Refused(Refusal::Body));

    let mut unknown = message(2, Kind::Chat, b"");
    assert_eq!(unknown[16], 0, "the kind follows the id");
    unknown[16] = 77;
    let refused = ask(&asking, &asked, &Deliver::PROTOCOL, &unknown).await.unwrap_err();
    assert_eq!(refused, StreamCode::UnknownVariant);

    let mut longer = message(3, Kind::Data, b"x");
    longer.push(0);
    let refused = ask(&asking, &asked, &Deliver::PROTOCOL, &longer).await.unwrap_err();
    assert_eq!(refused, StreamCode::Malformed);

    drop(asked.messages());
    let reply = ask(&asking, &asked, &Deliver::PROTOCOL, &message(4, Kind::Data, b"")).await;
    assert_eq!(receipt(&reply.unwrap(), 4), Outcome::Refused(Refusal::NotWanted));
}

#[tokio::test]
async fn a_full_queue_is_named_after_a_while() {
    let (asked, asking) = pair(local().messages(1)).await;
    let _inbox = asked.messages().unwrap();
    let reply = ask(&asking, &asked, &Deliver::PROTOCOL, &message(1, Kind::Data, b"")).await;
    assert_eq!(receipt(&reply.unwrap(), 1), Outcome::Accepted);
    let reply = ask(&asking, &asked, &Deliver::PROTOCOL, &message(2, Kind::Data, b"")).await;
    assert_eq!(receipt(&reply.unwrap(), 2), Outcome::Refused(Refusal::Full));
}

/// A peer may say `drain/1` when nothing drains; nothing comes of it.
#[tokio::test]
async fn a_false_drain_closes_nothing() {
    let (asked, asking) = pair(local()).await;
    let drain = Protocol::from_static("drain/1");
    asking.ping(asked.id()).await.unwrap(); // now both know that they are connected
    for (from, to) in [(&asked, &asking), (&asking, &asked)] {
        let mut stream = from.open_with(to.id(), &drain, 0).await.unwrap();
        stream.finish().await.unwrap();
        assert_eq!(stream.recv().await, Ok(None));
    }
    asking.ping(asked.id()).await.unwrap();
    assert_eq!(asking.peer(asked.id()).await.unwrap().state, PeerState::Connected);
    assert_eq!(asking.metrics().await.transport.dials, 1);
}

#[tokio::test]
async fn a_peer_that_lies_is_not_believed() {
    // It answers requests of its own protocol with more than one node would take.
    let name = Protocol::from_static("long/1");
    let serve = async |mut stream: pinhole_node::Stream, _| {
        let _ = stream.recv().await;
        let _ = stream.send(&[0; 60_000]).await;
        let _ = stream.finish().await;
    };
    let (asked, asking) = pair(local().protocol(name.clone(), serve)).await;
    let mut stream = asking.open_with(asked.id(), &name, 100).await.unwrap();
    stream.send(b"?").await.unwrap();
    assert!(matches!(stream.recv().await, Err(StreamError::Invalid(_))));
    let error = asking.request(asked.id(), &name, b"?").await;
    assert_eq!(error.map(|reply| reply.len()), Ok::<_, RequestError>(60_000));
}
