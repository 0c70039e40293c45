//! Places and the messages of `find/1` and `store/1`. SPEC §11.

use pinhole_proto::dht::{
    Addrs, Contact, Find, FindRequest, Found, Position, Store, StoreRefusal, Stored, Want,
};
use pinhole_proto::message::Exchange;
use pinhole_proto::{List, decode, encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::records::value;
use super::{bytes, hex, peer};

/// The whole file.
pub(super) fn file() -> Value {
    json!({
        "spec": "11-dht.md",
        "protocols": [about::<Find>(), about::<Store>()],
        "places": places(),
        "requests": requests(),
        "replies": replies(),
        "stored": stored(),
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

fn body<T: Serialize>(value: &T, limit: usize) -> String {
    hex(&encode(value, limit).expect("it is within its limit"))
}

fn places() -> Vec<Value> {
    let alice = peer("alice");
    let topic = bytes("topic");
    vec![
        json!({ "of": "peer", "peer": hex(alice.as_bytes()),
                "place": hex(&Position::of_peer(&alice).0) }),
        json!({ "of": "value", "peer": hex(alice.as_bytes()), "name": "news",
                "place": hex(&Position::of_value(&alice, "news").0) }),
        json!({ "of": "value", "peer": hex(alice.as_bytes()), "name": "",
                "place": hex(&Position::of_value(&alice, "").0) }),
        json!({ "of": "topic", "topic": hex(&topic),
                "place": hex(&Position::of_topic(&topic).0) }),
    ]
}

fn requests() -> Vec<Value> {
    let (near, place) = (Position(bytes("point")), Position(bytes("place")));
    let request = |serves, want, said: Value| {
        let request = FindRequest { serves, near, want };
        json!({ "serves": serves, "near": hex(&near.0), "want": said,
                "body": body(&request, Find::REQUEST_LIMIT) })
    };
    vec![
        request(false, Want::Contacts, json!("contacts")),
        request(true, Want::Records(place), json!({ "records": hex(&place.0) })),
    ]
}

fn addrs(texts: &[&str]) -> Addrs {
    let one = |text: &&str| {
        Addrs::one(text.parse().expect("an address")).expect("one that can be dialed")
    };
    let mut all = one(&texts[0]);
    texts.iter().map(one).for_each(|addr| all.update(&addr));
    all
}

fn replies() -> Vec<Value> {
    let known: [(&str, &[&str]); 3] = [
        ("alice", &["192.0.2.7:4433"]),
        ("bob", &["[2001:db8::7]:65535"]),
        ("carol", &["198.51.100.1:1", "[2001:db8::1]:1"]),
    ];
    let said: Vec<Value> = known
        .iter()
        .map(|(name, texts)| json!({ "peer": hex(peer(name).as_bytes()), "addrs": texts }))
        .collect();
    let contacts = known.map(|(name, texts)| Contact { peer: peer(name), addrs: addrs(texts) });
    let record = value("alice", "news", b"it rains", 7);
    let record_body = body(&record, Store::REQUEST_LIMIT);
    let reply = |records: Vec<_>, contacts: Vec<Contact>, said: Value| {
        let found = Found { records: List::of_first(records), contacts: List::of_first(contacts) };
        json!({ "reply": said, "body": body(&found, Find::REPLY_LIMIT) })
    };
    vec![
        reply(vec![], vec![], json!({ "records": [], "contacts": [] })),
        reply(vec![], contacts.to_vec(), json!({ "records": [], "contacts": said })),
        reply(
            vec![record],
            contacts[..1].to_vec(),
            json!({ "records": [record_body], "contacts": said[..1] }),
        ),
    ]
}

fn stored() -> Vec<Value> {
    let case = |stored: Stored, said: Value| json!({ "stored": said, "body": body(&stored, Store::REPLY_LIMIT) });
    let refused = |refusal, name: &str| case(Stored::Refused(refusal), json!({ "refused": name }));
    vec![
        case(Stored::Kept, json!("kept")),
        case(Stored::Older { sequence: 300 }, json!({ "older": 300 })),
        refused(StoreRefusal::NotServing, "not_serving"),
        refused(StoreRefusal::Invalid, "invalid"),
        refused(StoreRefusal::Expiry, "expiry"),
        refused(StoreRefusal::Full, "full"),
    ]
}

fn refused() -> Vec<Value> {
    let id = peer("alice");
    let contact = |tail: &[u8]| [&[0, 1][..], id.as_bytes(), tail].concat();
    let v4 = [0, 192, 0, 2, 1, 1];
    vec![
        case::<FindRequest>("find request", &[&[2][..], &[0; 33]].concat(), "a flag of two"),
        case::<FindRequest>("find request", &[&[0][..], &[0; 32], &[2]].concat(), "a want to come"),
        case::<FindRequest>("find request", &[&[0][..], &[0; 34]].concat(), "a byte too many"),
        case::<Found>("find reply", &contact(&[0]), "no address"),
        case::<Found>("find reply", &contact(&[&[2][..], &v4, &v4].concat()), "twice IPv4"),
        case::<Found>("find reply", &contact(&[1, 0, 192, 0, 2, 1, 0]), "port 0"),
        case::<Found>("find reply", &contact(&[1, 0, 224, 0, 0, 1, 1]), "multicast"),
        case::<Found>("find reply", &[&[0, 21][..], &[0; 900]].concat(), "21 contacts"),
        case::<Found>("find reply", &[&[9][..], &[0; 900]].concat(), "nine records"),
        case::<Stored>("store reply", &[3], "an answer to come"),
        case::<Stored>("store reply", &[2, 4], "a refusal to come"),
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
