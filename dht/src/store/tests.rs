use std::net::Ipv4Addr;

use pinhole_proto::record::Body;
use pinhole_proto::{Bytes, List, SecretKey, Text};

use super::*;
use crate::testing::key;

const NOW: u64 = 1_000_000;
const LATER: u64 = NOW + 3600;

fn value(key: &SecretKey, name: &str, len: usize, sequence: u64, expires: u64) -> Record {
    let body =
        Body::Value { name: Text::new(name).unwrap(), value: Bytes::new(vec![7; len]).unwrap() };
    Record::sign(key, body, sequence, expires).unwrap()
}

fn provider(key: &SecretKey, topic: u8) -> Record {
    let body = Body::Provider { topic: [topic; 32], candidates: List::default() };
    Record::sign(key, body, 0, LATER).unwrap()
}

fn store(config: &Config) -> Store {
    Store::new(Position([0; 32]), config)
}

fn ip(subnet: usize) -> IpAddr {
    Ipv4Addr::from(0x2000_0000 + ((subnet as u32) << 8)).into()
}

#[test]
fn a_newer_record_replaces_and_an_older_one_is_refused() {
    let mut rng = Rng::from_seed(1);
    let (key, mut store) = (key(&mut rng), store(&Config::default()));
    let [one, two] = [1, 2].map(|sequence| value(&key, "a", 3, sequence, LATER));
    assert_eq!(store.handle_record(NOW, ip(1), one.clone()), Stored::Kept);
    assert_eq!(store.handle_record(NOW, ip(1), two.clone()), Stored::Kept);
    assert_eq!(store.handle_record(NOW, ip(1), two.clone()), Stored::Kept);
    assert_eq!(store.handle_record(NOW, ip(1), one), Stored::Older { sequence: 2 });
    let longer = value(&key, "a", 3, 2, LATER + 1);
    assert_eq!(store.handle_record(NOW, ip(1), longer.clone()), Stored::Kept);
    assert_eq!(store.at(NOW, &two.position(), 8, 1240, &mut rng), [longer]);
    assert_eq!(store.len(), 1);
}

#[test]
fn what_has_expired_is_not_given_and_then_forgotten() {
    let mut rng = Rng::from_seed(2);
    let (key, mut store) = (key(&mut rng), store(&Config::default()));
    let record = value(&key, "a", 3, 1, LATER);
    let refused = Stored::Refused(StoreRefusal::Expiry);
    assert_eq!(store.handle_record(LATER, ip(1), record.clone()), refused);
    store.handle_record(NOW, ip(1), record.clone());
    assert!(store.at(LATER, &record.position(), 8, 1240, &mut rng).is_empty());
    store.expire(LATER - 1);
    assert_eq!(store.len(), 1);
    store.expire(LATER);
    assert_eq!((store.len(), store.bytes()), (0, 0));
    assert!(store.owners.is_empty() && store.sources.is_empty());
}

#[test]
fn an_owner_has_a_limit() {
    let mut rng = Rng::from_seed(3);
    let (key, config) = (key(&mut rng), Config::default());
    let mut store = store(&config);
    for number in 0..100 {
        store.handle_record(NOW, ip(number), value(&key, &number.to_string(), 3, 1, LATER));
    }
    assert_eq!(store.len(), config.records_of_owner);
}

#[test]
fn a_topic_has_a_limit_and_the_answer_another() {
    let mut rng = Rng::from_seed(4);
    let config = Config::default();
    let mut store = store(&config);
    for number in 0..100 {
        store.handle_record(NOW, ip(number), provider(&key(&mut rng), 9));
    }
    assert_eq!(store.len(), config.records_of_topic);
    let place = Position::of_topic(&[9; 32]);
    let drawn: Vec<_> = (0..40).flat_map(|_| store.at(NOW, &place, 8, 1240, &mut rng)).collect();
    assert_eq!(drawn.len(), 40 * 8);
    let owners: std::collections::BTreeSet<_> = drawn.iter().map(|record| record.owner).collect();
    assert!(owners.len() > 50, "{}", owners.len());
    let bytes = provider(&key(&mut rng), 9).encoded_len();
    assert_eq!(store.at(NOW, &place, 8, bytes * 3, &mut rng).len(), 3);
}

#[test]
fn when_it_is_full_the_near_stay() {
    let mut rng = Rng::from_seed(5);
    let config = Config { max_records: 50, ..Config::default() };
    let mut store = store(&config);
    for number in 0..400 {
        store.handle_record(NOW, ip(number), value(&key(&mut rng), "a", 3, 1, LATER));
    }
    assert_eq!(store.len(), 50);
    let near = store.records().filter(|record| record.position().common_bits(&store.us) >= 2);
    assert!(near.count() >= 45);
    let far = value(&key(&mut rng), "far", 3, 1, LATER);
    if far.position().common_bits(&store.us) == 0 {
        let refused = Stored::Refused(StoreRefusal::Full);
        assert_eq!(store.handle_record(NOW, ip(1), far), refused);
    }
}

#[test]
fn one_subnet_that_brings_too_much_pushes_out_its_own() {
    let mut rng = Rng::from_seed(6);
    let config = Config { max_records: 64, ..Config::default() };
    let mut store = store(&config);
    let honest: Vec<_> = (0..30).map(|_| value(&key(&mut rng), "a", 3, 1, LATER)).collect();
    for (number, record) in honest.iter().enumerate() {
        store.handle_record(NOW, ip(number), record.clone());
    }
    for _ in 0..500 {
        store.handle_record(NOW, ip(999), value(&key(&mut rng), "flood", 3, 1, LATER + 999));
    }
    for record in honest {
        assert_eq!(store.at(NOW, &record.position(), 8, 1240, &mut rng), [record]);
    }
}

#[test]
fn it_never_exceeds_its_limits() {
    for seed in 0..10 {
        let mut rng = Rng::from_seed(seed);
        let config = Config {
            max_records: 40,
            max_store_bytes: 30_000,
            records_of_owner: 5,
            records_of_topic: 7,
            ..Config::default()
        };
        let mut store = store(&config);
        let keys: Vec<_> = (0..30).map(|_| key(&mut rng)).collect();
        for step in 0..600 {
            let owner = &keys[rng.below(30)];
            let record = match rng.below(2) {
                0 => {
                    let (name, len) = (rng.below(20).to_string(), rng.below(1001));
                    value(owner, &name, len, rng.next_u64() % 4, NOW + step + rng.next_u64() % 500)
                }
                _ => provider(owner, rng.below(3) as u8),
            };
            store.handle_record(NOW + step, ip(rng.below(20)), record);
            if rng.below(20) == 0 {
                store.expire(NOW + step);
            }
            let bytes: usize = store.records().map(|r| r.encoded_len() + OVERHEAD).sum();
            assert_eq!(bytes, store.bytes());
            assert!(bytes <= 30_000 && store.len() <= 40);
            assert!(store.owners.values().all(|count| *count <= 5));
            assert_eq!(store.owners.values().sum::<usize>(), store.len());
            assert_eq!(store.sources.values().sum::<usize>(), store.len());
            for topic in 0..3 {
                let place = Position::of_topic(&[topic; 32]);
                assert!(store.of_place(&place).count() <= 7);
            }
        }
    }
}
