use super::*;
use crate::frame::FrameDecoder;
use crate::testing::Rng;

#[test]
fn good_names() {
    for (text, name, version) in [
        ("ping/1", "ping", 1),
        ("a/65535", "a", 65535),
        ("org.example.chat-room_2/10", "org.example.chat-room_2", 10),
        (&format!("{}/1", "a".repeat(62)), &"a".repeat(62), 1),
    ] {
        let protocol = Protocol::new(text).unwrap();
        assert_eq!((protocol.name(), protocol.version()), (name, version));
        assert_eq!(protocol.to_string(), text);
    }
}

#[test]
fn each_fault_of_a_name_has_its_error() {
    for (text, fault) in [
        ("", ProtocolFault::Length),
        (&format!("{}/1", "a".repeat(63)), ProtocolFault::Length),
        ("Ping/1", ProtocolFault::Character),
        ("pi ng/1", ProtocolFault::Character),
        ("ping\n/1", ProtocolFault::Character),
        ("pïng/1", ProtocolFault::Character),
        ("/1", ProtocolFault::Name),
        ("1ping/1", ProtocolFault::Name),
        (".ping/1", ProtocolFault::Name),
        ("ping", ProtocolFault::Version),
        ("ping/", ProtocolFault::Version),
        ("ping/0", ProtocolFault::Version),
        ("ping/01", ProtocolFault::Version),
        ("ping/65536", ProtocolFault::Version),
        ("ping/99999999999999999999", ProtocolFault::Version),
        ("ping/1/2", ProtocolFault::Version),
        ("ping/1 ", ProtocolFault::Version),
        ("ping/+1", ProtocolFault::Version),
    ] {
        assert_eq!(Protocol::new(text).unwrap_err().fault, fault, "{text:?}");
    }
}

#[test]
fn a_header_is_a_length_and_a_name() {
    let mut out = Vec::new();
    StreamHeader::new(Protocol::from_static("ping/1")).encode_frame(&mut out);
    assert_eq!(out, b"\x07\x06ping/1");
}

#[test]
fn the_longest_header_fits_its_limit() {
    let longest = Protocol::new(format!("{}/1", "a".repeat(62))).unwrap();
    let mut out = Vec::new();
    StreamHeader::new(longest.clone()).encode_frame(&mut out);
    let frame = FrameDecoder::new(HEADER_LIMIT).next(&mut &out[..]).unwrap().unwrap();
    assert_eq!(StreamHeader::decode(&frame).unwrap().protocol, longest);
    let by_serde = crate::encode(&StreamHeader::new(longest), HEADER_LIMIT).unwrap();
    assert_eq!(by_serde, frame);
}

#[test]
fn fields_of_later_versions_are_skipped() {
    let header = StreamHeader::decode(b"\x06ping/1\x00\xff\x07").unwrap();
    assert_eq!(header.protocol.as_str(), "ping/1");
}

#[test]
fn a_wrong_header_is_malformed() {
    for body in [&b""[..], b"\x06ping", b"\x06Ping/1", b"\x04ping", b"\x01\xff", b"\x86\x00ping/1"]
    {
        let error = StreamHeader::decode(body).unwrap_err();
        assert_eq!(error.code(), crate::StreamCode::Malformed, "{body:?}");
    }
}

#[test]
fn no_bytes_make_it_panic() {
    let mut rng = Rng::new(50);
    for _ in 0..5_000 {
        let length = rng.below(HEADER_LIMIT);
        let _ = StreamHeader::decode(&rng.bytes(length));
    }
}
