//! Keys, ids, signatures and network keys. SPEC §2.

use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::edwards::CompressedEdwardsY;
use pinhole_proto::{NetworkKey, PeerId, SecretKey};
use serde_json::{Value, json};

use super::{bytes, hex, key, peer};

/// The whole file.
pub(super) fn file() -> Value {
    json!({
        "spec": "2-identity.md",
        "keys": keys(),
        "seeds_refused": seeds_refused(),
        "bytes_refused": bytes_refused(),
        "texts": texts(),
        "signatures_refused": signatures_refused(),
        "network_keys": network_keys(),
        "network_key_files": network_key_files(),
    })
}

fn keys() -> Vec<Value> {
    let rfc = [
        0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c,
        0xc4, 0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae,
        0x7f, 0x60,
    ];
    let rfc = SecretKey::from_seed(rfc).expect("RFC 8032 §7.1, test 1");
    [rfc, key("alice"), key("bob"), key("carol")]
        .iter()
        .zip(["", "hello", "pinhole", "a label: and a message"])
        .map(|(key, message)| {
            json!({
                "seed": hex(&*key.seed()),
                "peer": hex(key.peer_id().as_bytes()),
                "text": key.peer_id().to_string(),
                "noise_private": hex(&*key.noise_private()),
                "noise_public": hex(&key.peer_id().noise_public()),
                "message": hex(message.as_bytes()),
                "signature": hex(&key.sign(message.as_bytes())),
            })
        })
        .collect()
}

fn seeds_refused() -> Vec<Value> {
    let labels = (0..).map(|i| format!("refused {i}"));
    labels
        .map(|label| bytes(&label))
        .filter(|seed| SecretKey::from_seed(*seed).is_err())
        .take(3)
        .map(|seed| json!({ "seed": hex(&seed), "error": "sign_bit" }))
        .collect()
}

fn bytes_refused() -> Vec<Value> {
    let mut cases = Vec::new();
    let mut add = |bytes: [u8; 32], why: &str| {
        let (stage, error) = match PeerId::from_bytes(bytes) {
            Err(error) => ("parse", error),
            Ok(peer) => ("first_use", peer.check_torsion().expect_err(why)),
        };
        let error = error.kind();
        cases.push(json!({ "peer": hex(&bytes), "stage": stage, "error": error, "why": why }));
    };
    let mut signed = peer("alice").to_bytes();
    signed[31] |= 0x80;
    add(signed, "alice with the sign bit set");
    add(field(0xed, 0x7f), "y = p, which is 0 again");
    add(field(0xee, 0x7f), "y = p + 1, which is 1 again");
    add(field(0xff, 0x7f), "y = 2^255 - 1");
    let mut small = [0; 32];
    small[0] = 2;
    add(small, "y = 2 is not on the curve");
    small[0] = 1;
    add(small, "the identity");
    add(field(0xec, 0x7f), "y = -1, the point of order 2");
    small[0] = 0;
    add(small, "y = 0, a point of order 4");
    for point in EIGHT_TORSION.map(|point| point.compress().to_bytes()) {
        if point[31] & 0x80 == 0 && point[1..].iter().any(|&b| b != 0) && point[0] != 0xec {
            add(point, "a point of order 8");
        }
    }
    let alice = CompressedEdwardsY(peer("alice").to_bytes()).decompress().expect("alice");
    for torsion in &EIGHT_TORSION[1..] {
        let twisted = (alice + torsion).compress().to_bytes();
        if twisted[31] & 0x80 == 0 {
            add(twisted, "alice plus a point of small order");
        }
    }
    cases
}

/// The number whose lowest byte is `low`, highest `high`, and all others 0xff.
fn field(low: u8, high: u8) -> [u8; 32] {
    let mut bytes = [0xff; 32];
    bytes[0] = low;
    bytes[31] = high;
    bytes
}

fn texts() -> Vec<Value> {
    let good = peer("alice").to_string();
    let changed = |at: usize, to: &str| format!("{}{to}{}", &good[..at], &good[at + 1..]);
    let typo = if &good[29..30] == "q" { "p" } else { "q" };
    let swapped = format!("{}{}{}{}", &good[..9], &good[10..11], &good[9..10], &good[11..]);
    [
        good.clone(),
        good.to_uppercase(),
        String::new(),
        "alice".to_owned(),
        changed(3, "b"),
        "pin1".to_owned(),
        good[..61].to_owned(),
        format!("{good}q"),
        format!("{}{}", good[..30].to_uppercase(), &good[30..]),
        changed(20, "b"),
        changed(29, typo),
        swapped,
        BECH32_NOT_M.to_owned(),
        PADDING.to_owned(),
        SIGN_BIT.to_owned(),
        IDENTITY.to_owned(),
        "12D3KooWGRUfyMnPZKrHYPTQy7RLfBAXBXZ6CbGpFq6TuCcMb3Hm".to_owned(),
        hex(peer("alice").as_bytes()),
    ]
    .into_iter()
    .map(|text| match text.parse::<PeerId>() {
        Ok(peer) => json!({ "text": text, "peer": hex(peer.as_bytes()) }),
        Err(error) => json!({ "text": text, "error": error.kind() }),
    })
    .collect()
}

const BECH32_NOT_M: &str = "pin1hg6tz3fuu082kl8lmc0dk5js6ef90kamz4jl57xmxzyr86ypvs9see9p8t";
const PADDING: &str = "pin1hg6tz3fuu082kl8lmc0dk5js6ef90kamz4jl57xmxzyr86ypvs933npclm";
const SIGN_BIT: &str = "pin1hg6tz3fuu082kl8lmc0dk5js6ef90kamz4jl57xmxzyr86ypvj9sgp82es";
const IDENTITY: &str = "pin1qyqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq7u6rp2";

fn signatures_refused() -> Vec<Value> {
    let (alice, message) = (key("alice"), b"hello");
    let good = alice.sign(message);
    let case = |peer: PeerId, message: &[u8], signature: &[u8; 64], why: &str| {
        json!({
            "peer": hex(peer.as_bytes()),
            "message": hex(message),
            "signature": hex(signature),
            "why": why,
        })
    };
    let mut flipped = good;
    flipped[40] ^= 1;
    let mut small_order = good;
    small_order[..32].fill(0);
    small_order[0] = 1;
    vec![
        case(alice.peer_id(), b"hullo", &good, "another message"),
        case(peer("bob"), message, &good, "another peer"),
        case(alice.peer_id(), message, &flipped, "one bit flipped"),
        case(alice.peer_id(), message, &plus_order(good), "S + L instead of S"),
        case(alice.peer_id(), message, &small_order, "R is the identity"),
    ]
}

/// Adds the group order to the second half.
fn plus_order(mut signature: [u8; 64]) -> [u8; 64] {
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde,
        0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut carry = 0;
    for (byte, order) in signature[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        *byte = sum as u8;
        carry = sum >> 8;
    }
    signature
}

fn network_keys() -> Vec<Value> {
    let private = (0..4).map(|i| NetworkKey::from_bytes(bytes(&format!("network {i}"))));
    std::iter::once(NetworkKey::PUBLIC)
        .chain(private)
        .map(|key| {
            json!({
                "key": hex(key.as_bytes()),
                "public": key.is_public(),
                "quic_version": format!("{:08x}", key.quic_version()),
            })
        })
        .collect()
}

fn network_key_files() -> Vec<Value> {
    let good = hex(&bytes("network 0"));
    [
        format!("{good}\n"),
        format!("  {}\r\n", good.to_uppercase()),
        good.clone(),
        String::new(),
        format!("{good}\n{good}\n"),
        good[1..].to_owned(),
        format!("x{}", &good[1..]),
    ]
    .into_iter()
    .map(|file| match file.parse::<NetworkKey>() {
        Ok(key) => json!({ "file": file, "key": hex(key.as_bytes()) }),
        Err(error) => json!({ "file": file, "error": error.kind() }),
    })
    .collect()
}
