//! Records and their signatures. SPEC §12.

use pinhole_proto::record::{Body, CLOCK_TOLERANCE, MAX_LIFE, MAX_VALUE, RECORD_LIMIT};
use pinhole_proto::{Bytes, List, Record, Text, decode, encode};
use serde_json::{Value, json};

use super::{bytes, hex, key, peer};

const EXPIRES: u64 = 1_800_003_600;

/// The whole file.
pub(super) fn file() -> Value {
    json!({
        "spec": "12-records.md",
        "record_limit": RECORD_LIMIT,
        "records": records(),
        "refused": refused(),
        "times": times(),
    })
}

pub(super) fn value(owner: &str, name: &str, content: &[u8], sequence: u64) -> Record {
    let body = Body::Value {
        name: Text::new(name).expect("a name"),
        value: Bytes::new(content).expect("a short value"),
    };
    Record::sign(&key(owner), body, sequence, EXPIRES).expect("a short record")
}

fn case(record: &Record, said: &Value) -> Value {
    json!({
        "owner": hex(record.owner.as_bytes()),
        "body": said,
        "sequence": record.sequence,
        "expires": record.expires,
        "place": hex(&record.position().0),
        "record": hex(&encode(record, RECORD_LIMIT).expect("within its limit")),
    })
}

fn records() -> Vec<Value> {
    let texts = ["192.0.2.7:4433", "/dns4/example.org/udp/443"];
    let candidates = || List::of_first(texts.iter().map(|text| text.parse().expect("a place")));
    let topic = bytes("topic");
    let address = Body::Address { candidates: candidates() };
    let provider = Body::Provider { topic, candidates: List::default() };
    let sign = |body| Record::sign(&key("bob"), body, 1_800_000_000, EXPIRES).expect("short");
    let long = vec![0xff; MAX_VALUE];
    vec![
        case(
            &value("alice", "news", b"it rains", 7),
            &json!({ "value": { "name": "news", "value": hex(b"it rains") } }),
        ),
        case(
            &value("alice", "", &long, u64::from(u32::MAX)),
            &json!({ "value": { "name": "", "value": hex(&long) } }),
        ),
        case(&sign(address), &json!({ "address": texts })),
        case(&sign(provider), &json!({ "provider": { "topic": hex(&topic), "candidates": [] } })),
    ]
}

fn refused() -> Vec<Value> {
    let record = value("alice", "news", b"it rains", 7);
    let with = |why: &str, record: Record| {
        let error = record.verify().expect_err(why);
        let bytes = encode(&record, usize::MAX).expect("any length");
        json!({ "record": hex(&bytes), "error": error.kind(), "why": why })
    };
    let future = [&peer("alice").to_bytes()[..], &[3, 0, 0], &[0; 64]].concat();
    let unknown = decode::<Record>(&future).expect_err("a body to come");
    vec![
        with("another sequence", Record { sequence: 8, ..record.clone() }),
        with("another expiry", Record { expires: EXPIRES + 1, ..record.clone() }),
        with("another owner", Record { owner: peer("bob"), ..record.clone() }),
        with("no signature", Record { signature: [0; 64], ..record }),
        json!({ "record": hex(&future), "error": unknown.kind(), "why": "a body to come" }),
    ]
}

fn times() -> Vec<Value> {
    let record = value("alice", "news", b"it rains", 7);
    let longest = MAX_LIFE + CLOCK_TOLERANCE;
    let at = |now: u64| {
        let error = record.check_time(now).err().map(|error| error.kind());
        json!({ "expires": EXPIRES, "now": now, "error": error })
    };
    vec![
        at(EXPIRES - 1),
        at(EXPIRES),
        at(EXPIRES + 1),
        at(EXPIRES - longest),
        at(EXPIRES - longest - 1),
    ]
}
