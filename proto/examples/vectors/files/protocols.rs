//! The messages of `ping/1`, `identify/1`, `message/1` and `reach/1`. SPEC §7.

use pinhole_proto::message::{
    Deliver, Exchange, Identify, IdentifyReply, IdentifyRequest, Kind, Message, MessageId, Outcome,
    Ping, PingBody, Reach, ReachRequest, Reached, Receipt, Refusal,
};
use pinhole_proto::{Bytes, List, Protocol, StreamHeader, Text, decode, encode, encode_frame};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{bytes, hex, peer};

/// The whole file.
pub(super) fn file() -> Value {
    json!({
        "spec": "7-protocols.md",
        "protocols": [about::<Ping>(), about::<Identify>(), about::<Deliver>(), about::<Reach>()],
        "exchanges": exchanges(),
        "refused": refused(),
    })
}

fn about<E: Exchange>() -> Value {
    json!({
        "protocol": E::PROTOCOL.as_str(),
        "request_limit": E::REQUEST_LIMIT,
        "reply_limit": E::REPLY_LIMIT,
        "idempotent": E::IDEMPOTENT,
    })
}

/// One exchange: what it means, the bodies, and all bytes of the stream in each direction.
fn exchange<E: Exchange>(request: (Value, E::Request), reply: (Value, E::Reply)) -> Value {
    let request_body = body(&request.1, E::REQUEST_LIMIT);
    let reply_body = body(&reply.1, E::REPLY_LIMIT);
    let (mut out, mut back) = (Vec::new(), Vec::new());
    StreamHeader::new(E::PROTOCOL).encode_frame(&mut out);
    encode_frame(&request_body, &mut out);
    encode_frame(&reply_body, &mut back);
    json!({
        "protocol": E::PROTOCOL.as_str(),
        "request": request.0,
        "request_body": hex(&request_body),
        "reply": reply.0,
        "reply_body": hex(&reply_body),
        "stream_of_opening_side": hex(&out),
        "stream_of_answering_side": hex(&back),
    })
}

fn body<T: Serialize>(value: &T, limit: usize) -> Vec<u8> {
    encode(value, limit).expect("it is within its limit")
}

fn exchanges() -> Vec<Value> {
    let mut all = vec![ping(), identify_little(), identify_much()];
    let outcomes = [
        (Outcome::Accepted, json!("accepted")),
        (Outcome::Refused(Refusal::Full), json!({ "refused": "full" })),
        (Outcome::Refused(Refusal::NotWanted), json!({ "refused": "not_wanted" })),
        (Outcome::Refused(Refusal::Body), json!({ "refused": "body" })),
    ];
    let contents: [(Kind, &[u8]); 4] = [
        (Kind::Chat, "grüß dich".as_bytes()),
        (Kind::Data, b""),
        (Kind::Control, &[0xff; 200]),
        (Kind::Chat, &[0xff]),
    ];
    all.extend(contents.into_iter().zip(outcomes).map(message));
    all.extend(reach());
    all
}

fn reach() -> Vec<Value> {
    let answers = [
        (Reached::Heard { rtt_ms: 0 }, json!({ "heard": { "rtt_ms": 0 } })),
        (Reached::Heard { rtt_ms: 300 }, json!({ "heard": { "rtt_ms": 300 } })),
        (Reached::Silent, json!("silent")),
        (Reached::NotConnected, json!("not_connected")),
        (Reached::Busy, json!("busy")),
    ];
    let about = |(reached, said)| {
        let peer = peer("bob");
        let request = json!({ "peer": peer.to_string() });
        exchange::<Reach>((request, ReachRequest { peer }), (said, reached))
    };
    answers.into_iter().map(about).collect()
}

fn ping() -> Value {
    let body = PingBody { nonce: *b"\x00\x01\x02\x03\xfc\xfd\xfe\xff" };
    let value = json!({ "nonce": hex(&body.nonce) });
    exchange::<Ping>((value.clone(), body), (value, body))
}

fn identify_little() -> Value {
    identify("", "192.0.2.9:1024", &[], &[])
}

fn identify_much() -> Value {
    let relayed = format!("relay/{}@relay.example.org:4433", peer("bob"));
    identify(
        "pinhole/0.1.0",
        "[2001:db8::9]:54321",
        &["192.0.2.7:4433", "[2001:db8::7]:4433", "/dns4/example.org/udp/443", &relayed],
        &["identify/1", "message/1", "ping/1"],
    )
}

fn identify(agent: &str, observed: &str, listen: &[&str], protocols: &[&str]) -> Value {
    let reply = IdentifyReply {
        agent: Text::new(agent).expect("a short text"),
        observed: observed.parse().expect("an address"),
        listen: List::of_first(listen.iter().map(|text| text.parse().expect("a candidate"))),
        protocols: List::of_first(
            protocols.iter().map(|name| Protocol::new(*name).expect("a name")),
        ),
    };
    let value = json!({
        "agent": agent,
        "observed": observed,
        "listen": listen,
        "protocols": protocols,
    });
    exchange::<Identify>((json!({}), IdentifyRequest {}), (value, reply))
}

fn message(((kind, body), (outcome, said)): ((Kind, &[u8]), (Outcome, Value))) -> Value {
    let mut id = [0; 16];
    id.copy_from_slice(&bytes(kind.as_str())[..16]);
    let id = MessageId(id);
    let message = Message { id, kind, body: Bytes::new(body).expect("a short body") };
    let request = json!({ "id": hex(&id.0), "kind": kind.as_str(), "body": hex(body) });
    let reply = json!({ "id": hex(&id.0), "outcome": said });
    exchange::<Deliver>((request, message), (reply, Receipt { id, outcome }))
}

fn refused() -> Vec<Value> {
    let id = [7; 16];
    let with = |tail: &[u8]| [&id[..], tail].concat();
    let long_agent = [&[65][..], &[b'a'; 65], &[0, 192, 0, 2, 1, 1, 0, 0]].concat();
    let many = [&[0, 0, 192, 0, 2, 1, 1, 9][..], &[0; 80]].concat();
    let mapped = [&[0, 1][..], &[0; 10], &[0xff, 0xff, 192, 0, 2, 1, 1, 0, 0]].concat();
    vec![
        case::<PingBody>("ping request", b"1234567", "too short"),
        case::<PingBody>("ping request", b"123456789", "too long"),
        case::<IdentifyRequest>("identify request", &[0], "not empty"),
        case::<IdentifyReply>("identify reply", &long_agent, "an agent of 65 bytes"),
        case::<IdentifyReply>(
            "identify reply",
            &[1, 0x1b, 0, 192, 0, 2, 1, 1, 0, 0],
            "a control character in the agent",
        ),
        case::<IdentifyReply>("identify reply", &many, "nine candidates"),
        case::<IdentifyReply>("identify reply", &mapped, "observed is IPv4 mapped into IPv6"),
        case::<IdentifyReply>(
            "identify reply",
            &[0, 2, 0, 0, 0],
            "a kind of address from the future",
        ),
        case::<IdentifyReply>(
            "identify reply",
            b"\x00\x00\xc0\x00\x02\x01\x01\x00\x01\x04Ping",
            "a protocol that is not a name",
        ),
        case::<Message>("message request", &with(&[3, 0]), "a kind from the future"),
        case::<Message>("message request", &with(&[0, 2, b'a']), "the body ends too early"),
        case::<Message>("message request", &with(&[0, 0, 0]), "a byte too many"),
        case::<Message>("message request", &with(&[0x80, 0, 0]), "a kind not in its shortest form"),
        case::<Receipt>("message reply", &with(&[2]), "an outcome from the future"),
        case::<Receipt>("message reply", &with(&[1, 3]), "a refusal from the future"),
        case::<ReachRequest>("reach request", &[7; 31], "a PeerId of 31 bytes"),
        case::<ReachRequest>("reach request", &[0xff; 32], "no point of the curve"),
        case::<Reached>("reach reply", &[], "empty"),
        case::<Reached>("reach reply", &[0, 0xff, 0xff, 7], "a round trip above 16 bits"),
        case::<Reached>("reach reply", &[1, 0], "a byte too many"),
        case::<Reached>("reach reply", &[4], "an answer from the future"),
    ]
}

fn case<T: DeserializeOwned + std::fmt::Debug>(of: &str, body: &[u8], why: &str) -> Value {
    let error = decode::<T>(body).expect_err(why);
    json!({
        "type": of,
        "body": hex(body),
        "error": error.kind(),
        "code": error.code().as_str(),
        "why": why,
    })
}
