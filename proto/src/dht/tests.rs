use super::*;
use crate::bounded::{Bytes, Text};
use crate::record::{Body, MAX_NAME, MAX_VALUE};
use crate::testing::Rng;
use crate::{decode, encode};

fn contact(rng: &mut Rng) -> Contact {
    let mut addrs = Addrs::one("255.255.255.1:65535".parse().unwrap()).unwrap();
    addrs.update(&Addrs::one("[2001:db8::1]:65535".parse().unwrap()).unwrap());
    Contact { peer: rng.peer(), addrs }
}

#[test]
fn positions_are_compared_by_exclusive_or() {
    let (a, b) = (Position([0x80; 32]), Position([0x81; 32]));
    assert_eq!(a.distance(&b).0, [1; 32]);
    assert_eq!(a.common_bits(&b), 7);
    assert_eq!(a.common_bits(&a), 256);
    assert!((Position([0; 32]).distance(&a).fraction() - 0.502).abs() < 0.001);
    assert!(a.bit(0) && !a.bit(1) && !a.bit(256) && !a.bit(u16::MAX));
    assert_eq!(a.with_bit(7, true).0[0], 0x81);
    assert_eq!(a.with_bit(0, false).0[0], 0);
    assert_eq!(a.with_bit(256, true), a);
}

#[test]
fn a_prefix_is_joined_to_any_rest() {
    let (ones, zeros) = (Position([0xff; 32]), Position([0; 32]));
    for bits in [0, 1, 7, 8, 9, 255, 256, 300] {
        let joined = ones.prefix_with(bits, &zeros);
        assert_eq!(joined.common_bits(&ones), bits.min(256), "{bits}");
        assert_eq!(zeros.prefix_with(bits, &ones).common_bits(&zeros), bits.min(256));
    }
}

#[test]
fn each_kind_of_place_has_a_label_of_its_own() {
    let peer = Rng::new(1).peer();
    let places = [
        Position::of_peer(&peer),
        Position::of_value(&peer, ""),
        Position::of_topic(peer.as_bytes()),
    ];
    assert!(places[0] != places[1] && places[1] != places[2] && places[0] != places[2]);
}

#[test]
fn the_longest_requests_and_replies_fit_their_limits() {
    let mut rng = Rng::new(2);
    let want = Want::Records(Position([2; 32]));
    let request = FindRequest { serves: true, near: Position([1; 32]), want };
    let body = encode(&request, Find::REQUEST_LIMIT).unwrap();
    assert_eq!(body.len(), Find::REQUEST_LIMIT);
    assert_eq!(decode::<FindRequest>(&body), Ok(request));

    let contacts = List::of_first((0..MAX_CONTACTS).map(|_| contact(&mut rng)));
    let reply = Found { records: List::default(), contacts };
    let body = encode(&reply, Find::REPLY_LIMIT).unwrap();
    assert_eq!(decode::<Found>(&body), Ok(reply));

    let key = rng.key();
    let body = Body::Value {
        name: Text::new("n".repeat(MAX_NAME)).unwrap(),
        value: Bytes::new(vec![1; MAX_VALUE]).unwrap(),
    };
    let record = Record::sign(&key, body, u64::MAX, u64::MAX).unwrap();
    let body = encode(&record, Store::REQUEST_LIMIT).unwrap();
    assert_eq!(body.len(), record.encoded_len());
    assert_eq!(decode::<Record>(&body), Ok(record));
    let stored = Stored::Older { sequence: u64::MAX };
    assert!(encode(&stored, Store::REPLY_LIMIT).is_ok());
}

#[test]
fn contacts_that_nobody_can_dial_are_refused() {
    let peer = Rng::new(3).peer().to_bytes();
    let v4 = [0, 192, 0, 2, 1, 1];
    let v6 = [&[1][..], &[0x20; 16], &[1]].concat();
    let tails: [(&[u8], bool); 8] = [
        (&[&[1][..], &v4].concat(), true),
        (&[&[2][..], &v4, &v6].concat(), true),
        (&[&[2][..], &v6, &v4].concat(), false),
        (&[&[2][..], &v4, &v4].concat(), false),
        (&[0], false),
        (&[1, 0, 192, 0, 2, 1, 0], false),
        (&[1, 0, 0, 0, 0, 0, 1], false),
        (&[1, 0, 224, 0, 0, 1, 1], false),
    ];
    for (tail, fits) in tails {
        let decoded = decode::<Contact>(&[&peer[..], tail].concat());
        assert_eq!(decoded.is_ok(), fits, "{tail:?}: {decoded:?}");
    }
    assert_eq!(Contact::at(Rng::new(3).peer(), "[::]:1".parse().unwrap()), None);
}

#[test]
fn more_contacts_or_records_than_allowed_are_refused_by_their_count() {
    let mut rng = Rng::new(4);
    let one = encode(&contact(&mut rng), 100).unwrap();
    let reply = [&[0, 21][..], &one.repeat(21)].concat();
    assert_eq!(decode::<Found>(&reply).unwrap_err().kind(), "limit");
    let records = [&[9][..], &[0; 900]].concat();
    assert_eq!(decode::<Found>(&records).unwrap_err().kind(), "limit");
}
