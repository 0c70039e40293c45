//! The messages in DATAGRAM frames. SPEC §10.2.

use std::num::NonZeroU8;

use pinhole_proto::Datagram;
use serde_json::{Value, json};

use super::hex;

/// The whole file.
pub(super) fn file() -> Value {
    json!({
        "spec": "10-liveness.md",
        "datagrams": datagrams(),
        "ignored": ignored(),
    })
}

fn datagrams() -> Vec<Value> {
    let heartbeat = |seconds| {
        let seconds = NonZeroU8::new(seconds).expect("not zero");
        let payload = hex(&Datagram::Heartbeat { seconds }.encode());
        json!({ "message": { "heartbeat": { "seconds": seconds } }, "payload": payload })
    };
    let mut all: Vec<_> = [1, 18, 110, 255].into_iter().map(heartbeat).collect();
    let payload = hex(&Datagram::Rebound.encode());
    all.push(json!({ "message": "rebound", "payload": payload }));
    all
}

fn ignored() -> Vec<Value> {
    let cases: [(&[u8], &str); 8] = [
        (&[], "not even a kind"),
        (&[0x00], "a heartbeat without its interval"),
        (&[0x00, 0x00], "an interval of nothing"),
        (&[0x00, 0x12, 0x00], "a byte too many"),
        (&[0x01, 0x00], "a byte too many"),
        (&[0x02], "a kind from the future"),
        (&[0x10, 0x00, 0x01], "a kind that is left for relayed packets"),
        (&[0xff], "a kind from the future"),
    ];
    cases
        .into_iter()
        .map(|(payload, why)| {
            let error = Datagram::decode(payload).expect_err(why);
            json!({ "payload": hex(payload), "error": error.kind(), "why": why })
        })
        .collect()
}
