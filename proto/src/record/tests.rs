use super::*;
use crate::testing::Rng;
use crate::{decode, encode};

fn value(name: &str, value: &[u8]) -> Body {
    Body::Value { name: Text::new(name).unwrap(), value: Bytes::new(value).unwrap() }
}

#[test]
fn what_the_owner_signed_is_valid_and_nothing_else() {
    let mut rng = Rng::new(1);
    let key = rng.key();
    let record = Record::sign(&key, value("a", b"b"), 7, 100).unwrap();
    assert_eq!(record.verify(), Ok(()));
    let changed = [
        Record { sequence: 8, ..record.clone() },
        Record { expires: 101, ..record.clone() },
        Record { body: value("b", b"b"), ..record.clone() },
        Record { body: value("a", b"c"), ..record.clone() },
        Record { owner: rng.peer(), ..record.clone() },
        Record { signature: [0; 64], ..record.clone() },
    ];
    for record in changed {
        assert_eq!(record.verify(), Err(RecordError::Signature), "{record:?}");
    }
}

#[test]
fn a_record_by_another_key_does_not_pass_as_the_owners() {
    let mut rng = Rng::new(2);
    let (owner, other) = (rng.key(), rng.key());
    let mut record = Record::sign(&other, value("a", b"b"), 7, 100).unwrap();
    record.owner = owner.peer_id();
    assert_eq!(record.verify(), Err(RecordError::Signature));
}

#[test]
fn every_changed_bit_is_noticed() {
    let key = Rng::new(3).key();
    let record = Record::sign(&key, value("a", b"b"), 7, 100).unwrap();
    let bytes = encode(&record, RECORD_LIMIT).unwrap();
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let accepted = decode::<Record>(&changed).is_ok_and(|record| record.verify().is_ok());
        assert!(!accepted, "bit {bit}");
    }
}

#[test]
fn time_is_bounded_at_both_ends() {
    let key = Rng::new(4).key();
    let at = |expires| Record::sign(&key, value("a", b""), 0, expires).unwrap();
    assert_eq!(at(0).check_time(0), Err(RecordError::Expired));
    assert_eq!(at(99).check_time(100), Err(RecordError::Expired));
    assert_eq!(at(100).check_time(100), Err(RecordError::Expired));
    assert_eq!(at(101).check_time(100), Ok(()));
    let longest = 100 + MAX_LIFE + CLOCK_TOLERANCE;
    assert_eq!(at(longest).check_time(100), Ok(()));
    assert_eq!(at(longest + 1).check_time(100), Err(RecordError::TooLate));
    assert_eq!(at(u64::MAX).check_time(0), Err(RecordError::TooLate));
    assert_eq!(at(0).check_time(u64::MAX), Err(RecordError::Expired));
}

#[test]
fn newer_is_by_sequence_and_then_by_expiry() {
    let key = Rng::new(5).key();
    let at = |sequence, expires| Record::sign(&key, value("a", b""), sequence, expires).unwrap();
    assert!(at(2, 0).is_newer_than(&at(1, 9)));
    assert!(at(1, 9).is_newer_than(&at(1, 8)));
    assert!(!at(1, 8).is_newer_than(&at(1, 8)));
    assert!(!at(1, 9).is_newer_than(&at(2, 0)));
}

#[test]
fn a_record_has_a_longest_length() {
    let key = Rng::new(6).key();
    let name = format!("{}.example", "a".repeat(60));
    let name = format!("{name}.{name}.{name}");
    let long: Candidate = format!("/dns4/{name}/udp/65535").parse().unwrap();
    let of = |count| Body::Address { candidates: List::new(vec![long.clone(); count]).unwrap() };
    assert_eq!(Record::sign(&key, of(8), 0, 0).unwrap_err(), RecordError::TooLong);
    let record = Record::sign(&key, of(5), 0, 0).unwrap();
    assert!(record.encoded_len() <= RECORD_LIMIT);
    // One that was not made by `sign` is refused all the same.
    let grown = Record { body: of(8), ..record };
    assert_eq!(grown.verify(), Err(RecordError::TooLong));
}
