use super::*;
use crate::header::MAX_PROTOCOL;
use crate::testing::Rng;
use crate::{DecodeError, Host, decode, encode};

fn longest_candidate(rng: &mut Rng) -> Candidate {
    let label = "a".repeat(63);
    let name = format!("{label}.{label}.{label}.{}", "b".repeat(61));
    let host = Host::Dns { name: name.parse().unwrap(), family: crate::Family::V6 };
    Candidate::Relay { relay: rng.peer(), host, port: u16::MAX }
}

#[test]
fn the_longest_messages_fit_their_limits() {
    let mut rng = Rng::new(70);
    let reply = IdentifyReply {
        agent: Text::new("x".repeat(MAX_AGENT)).unwrap(),
        observed: "[2001:db8::1]:65535".parse().unwrap(),
        listen: List::of_first((0..99).map(|_| longest_candidate(&mut rng))),
        protocols: List::of_first(
            (0..99).map(|_| Protocol::new(format!("{}/1", "a".repeat(MAX_PROTOCOL - 2))).unwrap()),
        ),
    };
    let body = encode(&reply, Identify::REPLY_LIMIT).unwrap();
    assert_eq!(decode::<IdentifyReply>(&body), Ok(reply));

    let message = Message {
        id: MessageId(rng.array()),
        kind: Kind::Control,
        body: Bytes::new(rng.bytes(MAX_BODY)).unwrap(),
    };
    let body = encode(&message, Deliver::REQUEST_LIMIT).unwrap();
    assert_eq!(body.len(), Deliver::REQUEST_LIMIT);
    assert_eq!(decode::<Message>(&body), Ok(message));
}

#[test]
fn a_ping_is_its_eight_bytes() {
    let body = encode(&PingBody { nonce: *b"12345678" }, Ping::REQUEST_LIMIT).unwrap();
    assert_eq!(body, b"12345678");
    assert_eq!(decode::<PingBody>(b"1234567"), Err(DecodeError::End));
    assert_eq!(decode::<PingBody>(b"123456789"), Err(DecodeError::Trailing { bytes: 1 }));
}

#[test]
fn a_question_is_its_peer_and_the_answers_are_small() {
    let peer = Rng::new(72).peer();
    let body = encode(&ReachRequest { peer }, Reach::REQUEST_LIMIT).unwrap();
    assert_eq!(body, peer.to_bytes());
    assert_eq!(decode::<ReachRequest>(&body), Ok(ReachRequest { peer }));
    assert!(decode::<ReachRequest>(&[0xff; 32]).is_err(), "no PeerId");
    let answers = [
        (Reached::Heard { rtt_ms: 0 }, &[0, 0][..]),
        (Reached::Heard { rtt_ms: 300 }, &[0, 0xac, 2]),
        (Reached::Heard { rtt_ms: u16::MAX }, &[0, 0xff, 0xff, 3]),
        (Reached::Silent, &[1]),
        (Reached::NotConnected, &[2]),
        (Reached::Busy, &[3]),
    ];
    for (answer, bytes) in answers {
        assert_eq!(encode(&answer, Reach::REPLY_LIMIT).unwrap(), bytes);
        assert_eq!(decode::<Reached>(bytes), Ok(answer));
    }
    let error = DecodeError::UnknownVariant { of: "Reached", index: 4 };
    assert_eq!(decode::<Reached>(&[4]), Err(error));
    assert_eq!(decode::<Reached>(&[0, 0xff, 0xff, 7]), Err(DecodeError::Varint));
}

#[test]
fn only_requests_that_may_be_repeated_go_early() {
    const { assert!(Ping::IDEMPOTENT && !Identify::IDEMPOTENT && !Deliver::IDEMPOTENT) };
    const { assert!(!Reach::IDEMPOTENT) };
}

#[test]
fn receipts_round_trip_and_unknown_variants_are_named() {
    let id = MessageId(*b"0123456789abcdef");
    for outcome in [
        Outcome::Accepted,
        Outcome::Refused(Refusal::Full),
        Outcome::Refused(Refusal::NotWanted),
        Outcome::Refused(Refusal::Body),
    ] {
        let receipt = Receipt { id, outcome };
        let body = encode(&receipt, Deliver::REPLY_LIMIT).unwrap();
        assert_eq!(decode::<Receipt>(&body), Ok(receipt));
    }
    let with = |tail: &[u8]| [&id.0[..], tail].concat();
    for (tail, of) in [(&[2][..], "Outcome"), (&[1, 3], "Refusal")] {
        let error = decode::<Receipt>(&with(tail)).unwrap_err();
        assert!(matches!(error, DecodeError::UnknownVariant { of: name, .. } if name == of));
    }
    let error = decode::<Message>(&with(&[3, 0])).unwrap_err();
    assert_eq!(error, DecodeError::UnknownVariant { of: "Kind", index: 3 });
}

#[test]
fn an_observed_address_is_sent_in_one_form() {
    let reply = |addr: &str| IdentifyReply {
        agent: Text::default(),
        observed: addr.parse().unwrap(),
        listen: List::default(),
        protocols: List::default(),
    };
    let mapped = encode(&reply("[::ffff:192.0.2.1]:4433"), 99).unwrap();
    assert_eq!(mapped, encode(&reply("192.0.2.1:4433"), 99).unwrap());
    assert_eq!(mapped, [0, 0, 192, 0, 2, 1, 0xd1, 0x22, 0, 0]);
    let mut wrong = vec![0, 1];
    wrong.extend("::ffff:192.0.2.1".parse::<std::net::Ipv6Addr>().unwrap().octets());
    wrong.extend([0xd1, 0x22, 0, 0]);
    assert!(matches!(decode::<IdentifyReply>(&wrong), Err(DecodeError::Invalid(_))));
}

#[test]
fn kinds_have_their_names() {
    for kind in [Kind::Chat, Kind::Data, Kind::Control] {
        assert_eq!(Kind::from_name(kind.as_str()), Some(kind));
    }
    assert_eq!(Kind::from_name("mail"), None);
    assert_eq!(MessageId([0xab; 16]).to_string(), "ab".repeat(16));
}

#[test]
fn no_bytes_make_it_panic_and_one_value_has_one_encoding() {
    fn check<T: Serialize + DeserializeOwned>(body: &[u8]) {
        if let Ok(value) = decode::<T>(body) {
            assert_eq!(encode(&value, usize::MAX).unwrap(), body);
        }
    }
    let mut rng = Rng::new(71);
    for _ in 0..20_000 {
        let length = rng.below(120);
        let mut body = rng.bytes(length);
        for byte in &mut body {
            *byte &= *[0xff, 0x03, 0x01, 0x00, 0x7f].get(rng.below(5)).unwrap();
        }
        check::<PingBody>(&body);
        check::<IdentifyRequest>(&body);
        check::<IdentifyReply>(&body);
        check::<Message>(&body);
        check::<Receipt>(&body);
        check::<ReachRequest>(&body);
        check::<Reached>(&body);
        check::<crate::PeerAddr>(&body);
        check::<List<Candidate, 8>>(&body);
    }
}
