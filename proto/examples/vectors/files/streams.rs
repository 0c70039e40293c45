//! The encoding, frames, headers and codes. SPEC §1.4, §6.

use pinhole_proto::{
    CloseCode, Fault, FrameDecoder, HEADER_LIMIT, Protocol, StreamCode, StreamHeader, encode,
    encode_frame, encode_varint,
};
use serde_json::{Value, json};

use super::hex;

/// The whole file.
pub(super) fn file() -> Value {
    json!({
        "spec": "1-overview.md and 6-streams.md",
        "encoding": encoding(),
        "encoding_refused": encoding_refused(),
        "lengths": lengths(),
        "frames": frames(),
        "protocol_names": protocol_names(),
        "header_limit": HEADER_LIMIT,
        "headers": headers(),
        "stream_codes": StreamCode::ALL.iter().map(|code| {
            json!({ "code": code.code(), "name": code.as_str(), "fault": fault(code.fault()) })
        }).collect::<Vec<_>>(),
        "close_codes": CloseCode::ALL.iter().map(|code| {
            json!({ "code": code.code(), "name": code.as_str(), "fault": fault(code.fault()) })
        }).collect::<Vec<_>>(),
    })
}

fn fault(fault: Fault) -> &'static str {
    match fault {
        Fault::Nobody => "nobody",
        Fault::Sender => "sender",
        Fault::Receiver => "receiver",
    }
}

fn encoding() -> Vec<Value> {
    fn case<T: serde::Serialize>(of: &str, value: &T) -> Value {
        let bytes = encode(value, usize::MAX).expect("the format has all of these types");
        json!({ "type": of, "value": value, "hex": hex(&bytes) })
    }
    vec![
        case("bool", &true),
        case("u8", &200u8),
        case("u16", &0u16),
        case("u16", &127u16),
        case("u16", &128u16),
        case("u16", &65535u16),
        case("u32", &624_485u32),
        case("u32", &u32::MAX),
        case("u64", &300u64),
        case("u64", &u64::MAX),
        case("i32", &0i32),
        case("i32", &-1i32),
        case("i32", &1i32),
        case("i32", &-300i32),
        case("i64", &i64::MIN),
        case("text", &"grüß"),
        case("list of u16", &vec![1u16, 300, 2]),
        case("4 bytes", &[1u8, 2, 3, 4]),
        case("optional u16", &None::<u16>),
        case("optional u16", &Some(300u16)),
    ]
}

fn encoding_refused() -> Vec<Value> {
    fn case<T: serde::de::DeserializeOwned + std::fmt::Debug>(of: &str, body: &[u8]) -> Value {
        let error = pinhole_proto::decode::<T>(body).expect_err("every one of them is wrong");
        json!({ "type": of, "hex": hex(body), "error": error.kind() })
    }
    vec![
        case::<bool>("bool", &[2]),
        case::<u16>("u16", &[]),
        case::<u16>("u16", &[0x80]),
        case::<u16>("u16", &[0x80, 0x00]),
        case::<u16>("u16", &[0xff, 0xff, 0x04]),
        case::<u32>("u32", &[0xff, 0xff, 0xff, 0xff, 0x10]),
        case::<u64>("u64", &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]),
        case::<u16>("u16", &[1, 2]),
        case::<String>("text", &[2, b'a']),
        case::<String>("text", &[1, 0xff]),
        case::<Vec<u16>>("list of u16", &[3, 1, 2]),
        case::<Vec<u16>>("list of u16", &[0xff, 0xff, 0xff, 0xff, 0x0f, 1]),
        case::<Option<u16>>("optional u16", &[2, 1]),
    ]
}

fn lengths() -> Vec<Value> {
    let values = [0, 37, 63, 64, 15_293, 16_383, 16_384, 65_556, 494_878_333, (1 << 30) - 1];
    values
        .iter()
        .map(|&value| {
            let mut out = Vec::new();
            encode_varint(value, &mut out);
            json!({ "length": value, "hex": hex(&out) })
        })
        .collect()
}

fn frames() -> Vec<Value> {
    let framed = |bodies: &[&[u8]]| {
        let mut out = Vec::new();
        bodies.iter().for_each(|body| encode_frame(body, &mut out));
        out
    };
    let streams: [(usize, Vec<u8>); 12] = [
        (8, Vec::new()),
        (8, framed(&[b""])),
        (8, framed(&[b"12345678", b"", b"x"])),
        (64, framed(&[&[b'a'; 64], b"b"])),
        (8, framed(&[b"123456789"])),
        (8, framed(&[b"ok", b"123456789"])),
        (8, vec![0x40, 0x08, 1, 2, 3, 4, 5, 6, 7, 8]),
        (8, vec![0x80, 0, 0, 1, 0]),
        (8, vec![0xff; 8]),
        (8, vec![0x40]),
        (8, vec![3, 1, 2]),
        (8, vec![1, 7, 3, 1, 2]),
    ];
    streams.iter().map(|(limit, stream)| frame_case(*limit, stream)).collect()
}

fn frame_case(limit: usize, stream: &[u8]) -> Value {
    let (mut decoder, mut input, mut frames) = (FrameDecoder::new(limit), stream, Vec::new());
    let error = loop {
        match decoder.next(&mut input) {
            Ok(Some(frame)) => frames.push(hex(&frame)),
            Ok(None) => break decoder.finish().err(),
            Err(error) => break Some(error),
        }
    };
    let error = error.map(|error| json!({ "kind": error.kind(), "code": error.code().as_str() }));
    json!({ "limit": limit, "stream": hex(stream), "frames": frames, "error": error })
}

fn protocol_names() -> Vec<Value> {
    let names = [
        "ping/1".to_owned(),
        "a/65535".to_owned(),
        "org.example.chat-room_2/10".to_owned(),
        format!("{}/1", "a".repeat(62)),
        String::new(),
        format!("{}/1", "a".repeat(63)),
        "Ping/1".to_owned(),
        "pi ng/1".to_owned(),
        "/1".to_owned(),
        "1ping/1".to_owned(),
        "ping".to_owned(),
        "ping/".to_owned(),
        "ping/0".to_owned(),
        "ping/01".to_owned(),
        "ping/65536".to_owned(),
        "ping/1/2".to_owned(),
    ];
    names
        .into_iter()
        .map(|name| match Protocol::new(name.as_str()) {
            Ok(protocol) => {
                json!({ "text": name, "name": protocol.name(), "version": protocol.version() })
            }
            Err(error) => json!({ "text": name, "error": error.fault.kind() }),
        })
        .collect()
}

fn headers() -> Vec<Value> {
    let bodies: [&[u8]; 7] = [
        b"\x06ping/1",
        b"\x09message/1\x00",
        b"\x06ping/1 and fields of the future",
        b"",
        b"\x06ping",
        b"\x06Ping/1",
        b"\x86\x00ping/1",
    ];
    bodies
        .iter()
        .map(|body| match StreamHeader::decode(body) {
            Ok(header) => {
                let mut frame = Vec::new();
                header.encode_frame(&mut frame);
                let protocol = header.protocol.as_str();
                json!({ "body": hex(body), "protocol": protocol, "frame_as_sent": hex(&frame) })
            }
            Err(error) => {
                let (kind, code) = (error.kind(), error.code().as_str());
                json!({ "body": hex(body), "error": kind, "code": code })
            }
        })
        .collect()
}
