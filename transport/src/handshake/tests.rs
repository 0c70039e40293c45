//! The handshake against itself, and against `docs/vectors/handshake.json`.
//!
//! `PINHOLE_WRITE_VECTORS=1 cargo test -p pinhole-transport vectors` writes the file anew.

use pinhole_proto::{NetworkKey, SecretKey};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::*;
use crate::{
    protection::{Header, Packet, Suite},
    session::{FIXED_SUITE, FLOOR, retry_tag},
};

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/vectors/handshake.json");

/// Everything fixed about one handshake.
struct Case {
    name: &'static str,
    network: NetworkKey,
    dialer: StaticKey,
    dialer_seed: [u8; 32],
    responder: StaticKey,
    responder_seed: [u8; 32],
    dialer_ephemeral: [u8; 32],
    responder_ephemeral: [u8; 32],
    hello: Hello,
    accept: Accept,
}

/// The first key pair whose seed is `first` and then counts up.
fn key(first: u8) -> (SecretKey, [u8; 32]) {
    (0..=u8::MAX)
        .find_map(|i| {
            let mut seed = [first; 32];
            seed[31] = i;
            SecretKey::from_seed(seed).ok().map(|key| (key, seed))
        })
        .unwrap()
}

fn case(name: &'static str, network: NetworkKey, suite: Suite) -> Case {
    let ((dialer, dialer_seed), (responder, responder_seed)) = (key(0x11), key(0x22));
    // initial_source_connection_id, active_connection_id_limit
    let dialer_parameters = [0x0f, 8, 0x80, 1, 2, 3, 4, 5, 6, 7, 0x0e, 1, 5];
    Case {
        name,
        network,
        dialer: StaticKey::new(&dialer),
        dialer_seed,
        responder: StaticKey::new(&responder),
        responder_seed,
        dialer_ephemeral: [0x33; 32],
        responder_ephemeral: [0x44; 32],
        hello: Hello {
            dialer: dialer.peer_id(),
            counter: 1_750_000_000_000_000,
            early_secret: Zeroizing::new([0x55; 32]),
            suites: vec![1, 2],
            parameters: dialer_parameters.to_vec(),
        },
        accept: Accept { suite, early_data: true, parameters: FLOOR.to_vec() },
    }
}

fn cases() -> [Case; 2] {
    [
        case("public network, AES-128-GCM", NetworkKey::PUBLIC, Suite::Aes128Gcm),
        case(
            "private network, ChaCha20",
            NetworkKey::from_bytes([0x66; 32]),
            Suite::ChaCha20Poly1305,
        ),
    ]
}

struct Run {
    hello: Vec<u8>,
    reply: Vec<u8>,
    dialer_early: Secret,
    responder_early: Secret,
    dialer: Secrets,
    responder: Secrets,
}

fn start(case: &Case) -> (Dialer, Vec<u8>) {
    let to = Destination { network: &case.network, responder: case.responder.peer_id };
    let ephemeral = Zeroizing::new(case.dialer_ephemeral);
    Dialer::start(&case.dialer, to, &case.hello, ephemeral, &SharedSecrets::default()).unwrap()
}

fn read(case: &Case, hello: &[u8]) -> Result<Acceptor, HandshakeError> {
    let ephemeral = Zeroizing::new(case.responder_ephemeral);
    let shared = SharedSecrets::default();
    Acceptor::read(&case.responder, &case.network, hello, ephemeral, &shared)
}

fn run(case: &Case) -> Run {
    let (dialer, hello) = start(case);
    let acceptor = read(case, &hello).unwrap();
    assert_eq!(acceptor.hello, case.hello);
    let dialer_early = dialer.early_secret().0.clone();
    let responder_early = acceptor.early_secret().0.clone();
    let (reply, responder) = acceptor.reply().unwrap();
    let dialer = dialer.finish(&reply).unwrap();
    Run { hello, reply, dialer_early, responder_early, dialer, responder }
}

#[test]
fn both_ends_derive_the_same_secrets_and_they_differ_from_each_other() {
    for case in cases() {
        let run = run(&case);
        assert_eq!(run.dialer_early, run.responder_early);
        let list = |s: &Secrets| {
            let (h, a) = (&s.handshake, &s.application);
            [&h.dialer, &h.responder, &a.dialer, &a.responder, &s.exporter].map(Clone::clone)
        };
        assert_eq!(list(&run.dialer), list(&run.responder));
        let secrets = list(&run.dialer);
        let mut all: std::collections::BTreeSet<_> = secrets.iter().map(|s| **s).collect();
        all.insert(*run.dialer_early);
        assert_eq!(all.len(), 6);
    }
}

#[test]
fn a_second_handshake_of_a_pair_uses_what_is_kept_and_agrees() {
    let case = &cases()[0];
    let (ours, theirs) = (SharedSecrets::default(), SharedSecrets::default());
    let to = Destination { network: &case.network, responder: case.responder.peer_id };
    for round in 0..3 {
        let ephemeral = Zeroizing::new([round + 1; 32]);
        let (dialer, hello) =
            Dialer::start(&case.dialer, to, &case.hello, ephemeral.clone(), &ours).unwrap();
        let acceptor =
            Acceptor::read(&case.responder, &case.network, &hello, ephemeral, &theirs).unwrap();
        let (reply, secrets) = acceptor.reply().unwrap();
        assert_eq!(dialer.finish(&reply).unwrap().exporter, secrets.exporter);
    }
}

#[test]
fn every_changed_byte_of_hello_and_reply_is_noticed() {
    let case = &cases()[0];
    let (_, hello) = start(case);
    for at in 0..hello.len() {
        let mut forged = hello.clone();
        forged[at] ^= 0x20;
        assert!(read(case, &forged).is_err(), "byte {at} of Hello");
    }
    for len in 0..hello.len() {
        assert!(read(case, &hello[..len]).is_err(), "Hello of {len} bytes");
    }
    let (reply, _) = read(case, &hello).unwrap().reply().unwrap();
    for at in 0..reply.len() {
        let mut forged = reply.clone();
        forged[at] ^= 0x20;
        assert!(start(case).0.finish(&forged).is_err(), "byte {at} of Reply");
    }
    for len in 0..reply.len() {
        assert!(start(case).0.finish(&reply[..len]).is_err(), "Reply of {len} bytes");
    }
}

#[test]
fn another_network_another_responder_and_a_borrowed_identity_do_not_authenticate() {
    let mut case = case("", NetworkKey::PUBLIC, Suite::ChaCha20Poly1305);
    let (_, hello) = start(&case);
    case.network = NetworkKey::from_bytes([1; 32]);
    assert_eq!(read(&case, &hello).err(), Some(HandshakeError::Authentication));
    case.network = NetworkKey::PUBLIC;
    case.responder = StaticKey::new(&key(0x77).0);
    assert_eq!(read(&case, &hello).err(), Some(HandshakeError::Authentication));
    // Its own static key, somebody else's PeerId.
    case.hello.dialer = key(0x78).0.peer_id();
    let (_, hello) = start(&case);
    assert_eq!(read(&case, &hello).err(), Some(HandshakeError::Identity));
}

#[test]
fn messages_and_payloads_out_of_bounds_are_refused() {
    assert_eq!(Message::decode(&[1, 0]), Ok(None));
    assert_eq!(Message::decode(&[1, 0, 2, 9]), Ok(None));
    assert_eq!(Message::decode(&[2, 0, 1, 9, 9]), Ok(Some((Message::Reply(&[9]), 4))));
    assert_eq!(Message::decode(&[1, 0xff, 0xff]), Err(HandshakeError::Length));
    assert_eq!(Message::decode(&[5, 0, 0]), Err(HandshakeError::UnexpectedMessage));
    assert_eq!(Message::decode(&[5, 0, 9]), Err(HandshakeError::UnexpectedMessage));
    assert_eq!(Message::decode(&[4, 0, 1, 0]), Err(HandshakeError::Length));

    let hello = cases()[0].hello.clone();
    assert_eq!(Hello::decode(&hello.encode()), Ok(hello.clone()));
    let only_aes = Hello { suites: vec![1], ..hello.clone() };
    assert_eq!(Hello::decode(&only_aes.encode()), Err(HandshakeError::Suite));
    let nine = Hello { suites: vec![2; 9], ..hello.clone() };
    assert_eq!(Hello::decode(&nine.encode()), Err(HandshakeError::Length));
    assert_eq!(Hello::decode(&hello.encode()[..73]), Err(HandshakeError::Length));
    assert_eq!(Accept::decode(&[1]), Err(HandshakeError::Length));
    assert_eq!(Accept::decode(&[3, 0]), Err(HandshakeError::Suite));
    let accept = Accept::decode(&[2, 0xfe]).unwrap();
    assert!(!accept.early_data && accept.parameters.is_empty());
}

#[test]
fn vectors() {
    let cases: Vec<Value> = cases().iter().map(vector).collect();
    let document = json!({
        "chapter": "4 Handshake",
        "noise": super::noise::PATTERN,
        "label": String::from_utf8_lossy(PROTOCOL_LABEL),
        "early_parameters": hex(FLOOR),
        "handshakes": cases,
    });
    let text = serde_json::to_string_pretty(&document).unwrap() + "\n";
    if std::env::var_os("PINHOLE_WRITE_VECTORS").is_some() {
        std::fs::write(VECTORS, &text).unwrap();
    }
    let written = std::fs::read_to_string(VECTORS).unwrap();
    assert!(written == text, "docs/vectors/handshake.json is not what the code does");
}

fn vector(case: &Case) -> Value {
    let run = run(case);
    let salt = InitialSalt::new(&case.network, &case.responder.peer_id);
    let dcid: Vec<u8> = (0x70..0x80).collect();
    let initial = InitialSecrets::new(&salt, &dcid);
    let suite = case.accept.suite;
    let (hello, reply) = (message(Message::Hello(&run.hello)), message(Message::Reply(&run.reply)));
    let accept_body = case.accept.encode();
    let accept = message(Message::Accept(&accept_body));
    let confirm = message(Message::Confirm);
    let mut updated = run.dialer.application.clone();
    updated.update();
    let mut exported = [0; 32];
    let context = ring::digest::digest(&ring::digest::SHA256, b"context");
    expand_label(&run.dialer.exporter, b"label", context.as_ref(), &mut exported);
    let version = case.network.quic_version();
    json!({
        "name": case.name,
        "network_key": hex(case.network.as_bytes()),
        "quic_version": format!("{version:08x}"),
        "dialer": {
            "seed": hex(&case.dialer_seed),
            "peer_id": case.dialer.peer_id.to_string(),
            "static_private": hex(&*case.dialer.private),
            "static_public": hex(&case.dialer.public),
            "ephemeral_private": hex(&case.dialer_ephemeral),
        },
        "responder": {
            "seed": hex(&case.responder_seed),
            "peer_id": case.responder.peer_id.to_string(),
            "static_private": hex(&*case.responder.private),
            "static_public": hex(&case.responder.public),
            "ephemeral_private": hex(&case.responder_ephemeral),
        },
        "prologue": hex(
            &Destination { network: &case.network, responder: case.responder.peer_id }.prologue(),
        ),
        "initial": {
            "dcid": hex(&dcid),
            "dialer": keys(FIXED_SUITE, &initial.dialer),
            "responder": keys(FIXED_SUITE, &initial.responder),
        },
        "hello": {
            "counter": case.hello.counter,
            "early_secret": hex(&*case.hello.early_secret),
            "suites": case.hello.suites,
            "transport_parameters": hex(&case.hello.parameters),
            "payload": hex(&case.hello.encode()),
            "body": hex(&run.hello),
            "message": hex(&hello),
        },
        "h1": hex(start(case).0.noise.get_handshake_hash()),
        "early": keys(FIXED_SUITE, &run.dialer_early),
        "reply": { "body": hex(&run.reply), "message": hex(&reply) },
        "h2": hex(&hash_after_reply(case, &run.hello)),
        "accept": {
            "suite": suite.code(),
            "early_data": case.accept.early_data,
            "transport_parameters": hex(&case.accept.parameters),
            "body": hex(&accept_body),
            "message": hex(&accept),
        },
        "confirm": { "message": hex(&confirm) },
        "dialer_hs": keys(FIXED_SUITE, &run.dialer.handshake.dialer),
        "responder_hs": keys(FIXED_SUITE, &run.dialer.handshake.responder),
        "dialer_ap": keys(suite, &run.dialer.application.dialer),
        "responder_ap": keys(suite, &run.dialer.application.responder),
        "dialer_ap_after_update": updated_keys(suite, &updated.dialer),
        "responder_ap_after_update": updated_keys(suite, &updated.responder),
        "exporter": {
            "secret": hex(&*run.dialer.exporter),
            "label": "label",
            "context": hex(b"context"),
            "length": 32,
            "output": hex(&exported),
        },
        "packets": [
            packet("initial", FIXED_SUITE, &initial.dialer, &long(version, 0xc3, &dcid, true), &crypto(&hello)),
            packet("0-rtt", FIXED_SUITE, &run.dialer_early, &long(version, 0xd3, &dcid, false), b"\x01 early data"),
            packet("handshake", FIXED_SUITE, &run.dialer.handshake.dialer, &long(version, 0xe3, &dcid, false), &crypto(&confirm)),
            packet("1-rtt", suite, &run.dialer.application.dialer, &[&[0x43], &dcid[..]].concat(), b"\x01 application data"),
        ],
        "retry": retry(version, &salt, &dcid),
    })
}

fn hash_after_reply(case: &Case, hello: &[u8]) -> Vec<u8> {
    let mut noise = read(case, hello).unwrap().noise;
    noise.write_message(&[], &mut [0; 48]).unwrap();
    noise.get_handshake_hash().to_vec()
}

fn message(message: Message<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    message.encode(&mut out);
    assert_eq!(Message::decode(&out), Ok(Some((message, out.len()))));
    out
}

/// A CRYPTO frame at offset 0 (RFC 9000 §19.6), padded so that header protection has its sample.
fn crypto(data: &[u8]) -> Vec<u8> {
    let len = u16::try_from(data.len()).unwrap() | 0x4000;
    [&[6, 0], &len.to_be_bytes()[..], data, &[0; 8]].concat()
}

/// A long header up to the length field; packet numbers have four bytes.
fn long(version: u32, first: u8, dcid: &[u8], token: bool) -> Vec<u8> {
    let scid = [0x80, 1, 2, 3, 4, 5, 6, 7];
    let dcid_len = u8::try_from(dcid.len()).unwrap();
    let no_token: &[u8] = if token { &[0] } else { &[] };
    [&[first], &version.to_be_bytes()[..], &[dcid_len], dcid, &[8], &scid, no_token].concat()
}

fn packet(kind: &str, suite: Suite, secret: &Secret, start: &[u8], payload: &[u8]) -> Value {
    use quinn_proto::crypto::{HeaderKey, PacketKey};
    let number = 2u32;
    let mut bytes = start.to_vec();
    if start[0] & 0x80 != 0 {
        let len = u16::try_from(4 + payload.len() + 16).unwrap() | 0x4000;
        bytes.extend(len.to_be_bytes());
    }
    let number_offset = bytes.len();
    bytes.extend(number.to_be_bytes());
    let header = bytes.clone();
    bytes.extend_from_slice(payload);
    bytes.extend([0; 16]);
    Packet::new(suite, secret).encrypt(number.into(), &mut bytes, header.len());
    HeaderKey::encrypt(&Header::new(suite, secret), number_offset, &mut bytes);
    json!({
        "type": kind,
        "number": number,
        "header": hex(&header),
        "payload": hex(payload),
        "protected": hex(&bytes),
    })
}

fn retry(version: u32, salt: &InitialSalt, orig_dcid: &[u8]) -> Value {
    let (dialer_cid, new_cid, token) =
        ([0x80, 1, 2, 3, 4, 5, 6, 7], [1, 2, 3, 4, 5, 6, 7, 8], b"token");
    let start = [&[0xf0], &version.to_be_bytes()[..], &[8], &dialer_cid, &[8], &new_cid, token];
    let start = start.concat();
    let (key, nonce) = salt.retry();
    json!({
        "original_dcid": hex(orig_dcid),
        "packet": hex(&start),
        "key": hex(&*key),
        "nonce": hex(&nonce),
        "tag": hex(&retry_tag(salt, orig_dcid, &start)),
    })
}

fn keys(suite: Suite, secret: &Secret) -> Value {
    let len = match suite {
        Suite::Aes128Gcm => 16,
        Suite::ChaCha20Poly1305 => 32,
    };
    let expand = |label: &[u8], len| {
        let mut out = vec![0; len];
        expand_label(secret, label, &[], &mut out);
        hex(&out)
    };
    json!({
        "secret": hex(&**secret),
        "key": expand(b"quic key", len),
        "iv": expand(b"quic iv", 12),
        "hp": expand(b"quic hp", len),
    })
}

/// A key update keeps the header protection key (RFC 9001 §6.1).
fn updated_keys(suite: Suite, secret: &Secret) -> Value {
    let mut keys = keys(suite, secret);
    keys.as_object_mut().unwrap().remove("hp");
    keys
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
