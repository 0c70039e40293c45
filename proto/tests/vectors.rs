//! Holds the crate against `docs/vectors/`. What these files say, any implementation must do.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says so")]

use pinhole_proto::message::{
    Deliver, Exchange, Identify, IdentifyReply, IdentifyRequest, Message, Ping, PingBody, Reach,
    ReachRequest, Reached, Receipt,
};
use pinhole_proto::{
    Candidate, CloseCode, Datagram, DecodeError, FrameDecoder, HEADER_LIMIT, NetworkKey, PeerAddr,
    PeerId, Protocol, SecretKey, StreamCode, StreamHeader, decode, encode, encode_frame,
    encode_varint,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

#[path = "../examples/vectors/files/mod.rs"]
mod files;

fn read(name: &str) -> String {
    let path = format!("{}/../docs/vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn file(name: &str) -> Value {
    serde_json::from_str(&read(name)).unwrap()
}

fn cases<'a>(file: &'a Value, section: &str) -> &'a Vec<Value> {
    let cases = file[section].as_array().unwrap_or_else(|| panic!("no section {section}"));
    assert!(!cases.is_empty(), "{section} is empty");
    cases
}

fn text<'a>(case: &'a Value, field: &str) -> &'a str {
    case[field].as_str().unwrap_or_else(|| panic!("no text {field} in {case}"))
}

fn hex(case: &Value, field: &str) -> Vec<u8> {
    unhex(text(case, field))
}

fn unhex(digits: &str) -> Vec<u8> {
    let pairs = (0..digits.len()).step_by(2).map(|i| &digits[i..i + 2]);
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

fn array<const N: usize>(case: &Value, field: &str) -> [u8; N] {
    hex(case, field).try_into().unwrap_or_else(|_| panic!("{field} in {case} has another length"))
}

fn number(case: &Value, field: &str) -> u64 {
    case[field].as_u64().unwrap_or_else(|| panic!("no number {field} in {case}"))
}

#[test]
fn the_files_are_what_the_generator_writes() {
    for (name, content) in files::all() {
        let same = read(name) == content;
        assert!(same, "{name} is not up to date: cargo run -p pinhole-proto --example vectors");
    }
}

#[test]
fn keys() {
    for case in cases(&file("identity.json"), "keys") {
        let key = SecretKey::from_seed(array(case, "seed")).unwrap();
        let peer = PeerId::from_bytes(array(case, "peer")).unwrap();
        assert_eq!(key.peer_id(), peer);
        assert_eq!(peer.check_torsion(), Ok(()));
        assert_eq!(peer.to_string(), text(case, "text"));
        assert_eq!(text(case, "text").parse(), Ok(peer));
        assert_eq!(*key.noise_private(), array(case, "noise_private"));
        assert_eq!(peer.noise_public(), array(case, "noise_public"));
        let (message, signature) = (hex(case, "message"), array(case, "signature"));
        assert_eq!(key.sign(&message), signature);
        assert_eq!(peer.verify(&message, &signature), Ok(()));
    }
}

#[test]
fn what_is_no_identity() {
    let file = file("identity.json");
    for case in cases(&file, "seeds_refused") {
        assert!(SecretKey::from_seed(array(case, "seed")).is_err());
    }
    for case in cases(&file, "bytes_refused") {
        let parsed = PeerId::from_bytes(array(case, "peer"));
        let error = match text(case, "stage") {
            "parse" => parsed.unwrap_err(),
            _ => parsed.unwrap().check_torsion().unwrap_err(),
        };
        assert_eq!(error.kind(), text(case, "error"), "{case}");
    }
    for case in cases(&file, "texts") {
        match text(case, "text").parse::<PeerId>() {
            Ok(peer) => assert_eq!(peer.to_bytes(), array(case, "peer")),
            Err(error) => assert_eq!(error.kind(), text(case, "error"), "{case}"),
        }
    }
    for case in cases(&file, "signatures_refused") {
        let peer = PeerId::from_bytes(array(case, "peer")).unwrap();
        let (message, signature) = (hex(case, "message"), array(case, "signature"));
        assert!(peer.verify(&message, &signature).is_err(), "{case}");
    }
}

#[test]
fn network_keys() {
    let file = file("identity.json");
    for case in cases(&file, "network_keys") {
        let key = NetworkKey::from_bytes(array(case, "key"));
        assert_eq!(key.is_public(), case["public"].as_bool().unwrap());
        assert_eq!(format!("{:08x}", key.quic_version()), text(case, "quic_version"));
    }
    for case in cases(&file, "network_key_files") {
        match text(case, "file").parse::<NetworkKey>() {
            Ok(key) => assert_eq!(*key.as_bytes(), array(case, "key")),
            Err(error) => assert_eq!(error.kind(), text(case, "error"), "{case}"),
        }
    }
}

#[test]
fn addresses() {
    let file = file("addresses.json");
    for case in cases(&file, "texts") {
        let addr = match text(case, "text").parse::<PeerAddr>() {
            Ok(addr) => addr,
            Err(error) => {
                assert_eq!(error.kind(), text(case, "error"), "{case}");
                continue;
            }
        };
        assert_eq!(addr.to_string(), text(case, "canonical"));
        assert_eq!(addr.peer.to_string(), text(case, "peer"));
        let candidates: Vec<_> = addr.candidates.iter().map(Candidate::to_string).collect();
        assert_eq!(serde_json::json!(candidates), case["candidates"]);
        assert_eq!(decode::<PeerAddr>(&hex(case, "wire")), Ok(addr.clone()));
        assert_eq!(encode(&addr, 4096).unwrap(), hex(case, "wire"));
    }
    for case in cases(&file, "candidates_refused") {
        let error = decode::<Candidate>(&hex(case, "body")).unwrap_err();
        assert_eq!(error.kind(), text(case, "error"), "{case}");
    }
}

/// Both directions of one value of the encoding.
fn same<T: Serialize + DeserializeOwned>(case: &Value) {
    let value: T = serde_json::from_value(case["value"].clone()).unwrap();
    assert_eq!(encode(&value, usize::MAX).unwrap(), hex(case, "hex"), "{case}");
    let back: T = decode(&hex(case, "hex")).unwrap();
    assert_eq!(serde_json::to_value(back).unwrap(), case["value"]);
}

fn refused<T: DeserializeOwned>(body: &[u8]) -> DecodeError {
    decode::<T>(body).err().expect("it has to be refused")
}

#[test]
fn encoding() {
    let file = file("streams.json");
    for case in cases(&file, "encoding") {
        match text(case, "type") {
            "bool" => same::<bool>(case),
            "u8" => same::<u8>(case),
            "u16" => same::<u16>(case),
            "u32" => same::<u32>(case),
            "u64" => same::<u64>(case),
            "i32" => same::<i32>(case),
            "i64" => same::<i64>(case),
            "text" => same::<String>(case),
            "list of u16" => same::<Vec<u16>>(case),
            "4 bytes" => same::<[u8; 4]>(case),
            "optional u16" => same::<Option<u16>>(case),
            other => panic!("unknown type {other}"),
        }
    }
    for case in cases(&file, "encoding_refused") {
        let body = hex(case, "hex");
        let error = match text(case, "type") {
            "bool" => refused::<bool>(&body),
            "u16" => refused::<u16>(&body),
            "u32" => refused::<u32>(&body),
            "u64" => refused::<u64>(&body),
            "text" => refused::<String>(&body),
            "list of u16" => refused::<Vec<u16>>(&body),
            "optional u16" => refused::<Option<u16>>(&body),
            other => panic!("unknown type {other}"),
        };
        assert_eq!(error.kind(), text(case, "error"), "{case}");
    }
}

#[test]
fn frames() {
    let file = file("streams.json");
    for case in cases(&file, "lengths") {
        let mut out = Vec::new();
        encode_varint(number(case, "length"), &mut out);
        assert_eq!(out, hex(case, "hex"));
    }
    for case in cases(&file, "frames") {
        let stream = hex(case, "stream");
        let whole = cut(case, &[&stream]);
        let single: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(whole, cut(case, &single), "{case}");
        let frames: Vec<_> = case["frames"].as_array().unwrap().iter().collect();
        let expected: Vec<_> = frames.iter().map(|f| unhex(f.as_str().unwrap())).collect();
        assert_eq!(whole.0, expected, "{case}");
        match whole.1 {
            None => assert!(case["error"].is_null(), "{case}"),
            Some((kind, code)) => {
                assert_eq!(
                    (kind, code),
                    (text(&case["error"], "kind"), text(&case["error"], "code"))
                );
            }
        }
    }
}

type Frames = (Vec<Vec<u8>>, Option<(&'static str, &'static str)>);

fn cut(case: &Value, pieces: &[&[u8]]) -> Frames {
    let mut decoder = FrameDecoder::new(number(case, "limit") as usize);
    let mut frames = Vec::new();
    for mut piece in pieces.iter().copied() {
        loop {
            match decoder.next(&mut piece) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some((error.kind(), error.code().as_str()))),
            }
        }
    }
    let end = decoder.finish().err().map(|error| (error.kind(), error.code().as_str()));
    (frames, end)
}

#[test]
fn headers() {
    let file = file("streams.json");
    assert_eq!(number(&file, "header_limit"), HEADER_LIMIT as u64);
    for case in cases(&file, "protocol_names") {
        match Protocol::new(text(case, "text")) {
            Ok(protocol) => {
                assert_eq!(protocol.name(), text(case, "name"));
                assert_eq!(u64::from(protocol.version()), number(case, "version"));
            }
            Err(error) => assert_eq!(error.fault.kind(), text(case, "error"), "{case}"),
        }
    }
    for case in cases(&file, "headers") {
        match StreamHeader::decode(&hex(case, "body")) {
            Ok(header) => {
                assert_eq!(header.protocol.as_str(), text(case, "protocol"));
                let mut frame = Vec::new();
                header.encode_frame(&mut frame);
                assert_eq!(frame, hex(case, "frame_as_sent"));
            }
            Err(error) => {
                assert_eq!(error.kind(), text(case, "error"), "{case}");
                assert_eq!(error.code().as_str(), text(case, "code"), "{case}");
            }
        }
    }
}

#[test]
fn codes() {
    let file = file("streams.json");
    let stream = cases(&file, "stream_codes");
    assert_eq!(stream.len(), StreamCode::ALL.len());
    for case in stream {
        let code = StreamCode::from_code(number(case, "code")).unwrap();
        assert_eq!(code.as_str(), text(case, "name"));
    }
    let close = cases(&file, "close_codes");
    assert_eq!(close.len(), CloseCode::ALL.len());
    for case in close {
        let code = CloseCode::from_code(number(case, "code")).unwrap();
        assert_eq!(code.as_str(), text(case, "name"));
    }
}

#[test]
fn protocols() {
    let file = file("protocols.json");
    for case in cases(&file, "protocols") {
        let here = match text(case, "protocol") {
            "ping/1" => about::<Ping>(),
            "identify/1" => about::<Identify>(),
            "message/1" => about::<Deliver>(),
            "reach/1" => about::<Reach>(),
            other => panic!("unknown protocol {other}"),
        };
        let idempotent = case["idempotent"].as_bool().unwrap();
        assert_eq!(here, (number(case, "request_limit"), number(case, "reply_limit"), idempotent));
    }
    for case in cases(&file, "exchanges") {
        match text(case, "protocol") {
            "ping/1" => exchange::<Ping>(case),
            "identify/1" => exchange::<Identify>(case),
            "message/1" => exchange::<Deliver>(case),
            "reach/1" => exchange::<Reach>(case),
            other => panic!("unknown protocol {other}"),
        }
    }
}

fn about<E: Exchange>() -> (u64, u64, bool) {
    (E::REQUEST_LIMIT as u64, E::REPLY_LIMIT as u64, E::IDEMPOTENT)
}

/// Reads both directions of the stream, and writes what was read again. That the values are those
/// of the file is a matter of the generator, which made them from the file's own words.
fn exchange<E: Exchange>(case: &Value) {
    let request: E::Request = decode(&hex(case, "request_body")).unwrap();
    let reply: E::Reply = decode(&hex(case, "reply_body")).unwrap();
    let mut out = Vec::new();
    StreamHeader::new(E::PROTOCOL).encode_frame(&mut out);
    encode_frame(&encode(&request, E::REQUEST_LIMIT).unwrap(), &mut out);
    assert_eq!(out, hex(case, "stream_of_opening_side"));
    let mut back = Vec::new();
    encode_frame(&encode(&reply, E::REPLY_LIMIT).unwrap(), &mut back);
    assert_eq!(back, hex(case, "stream_of_answering_side"));
}

#[test]
fn messages_refused() {
    for case in cases(&file("protocols.json"), "refused") {
        let body = hex(case, "body");
        let error = match text(case, "type") {
            "ping request" => refused::<PingBody>(&body),
            "identify request" => refused::<IdentifyRequest>(&body),
            "identify reply" => refused::<IdentifyReply>(&body),
            "message request" => refused::<Message>(&body),
            "message reply" => refused::<Receipt>(&body),
            "reach request" => refused::<ReachRequest>(&body),
            "reach reply" => refused::<Reached>(&body),
            other => panic!("unknown type {other}"),
        };
        assert_eq!(error.kind(), text(case, "error"), "{case}");
        assert_eq!(error.code().as_str(), text(case, "code"), "{case}");
    }
}

#[test]
fn datagrams() {
    let file = file("liveness.json");
    for case in cases(&file, "datagrams") {
        let payload = hex(case, "payload");
        let datagram = Datagram::decode(&payload).unwrap();
        assert_eq!(datagram.encode(), payload);
        match datagram {
            Datagram::Heartbeat { seconds } => {
                let said = &case["message"]["heartbeat"];
                assert_eq!(u64::from(seconds.get()), number(said, "seconds"));
            }
            Datagram::Rebound => assert_eq!(text(case, "message"), "rebound"),
        }
    }
    for case in cases(&file, "ignored") {
        let error = Datagram::decode(&hex(case, "payload")).unwrap_err();
        assert_eq!(error.kind(), text(case, "error"), "{case}");
    }
}
