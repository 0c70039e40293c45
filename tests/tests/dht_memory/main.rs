//! What a table takes with every cap filled. In a program of its own, because resident memory is
//! that of a whole process.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;

use pinhole_dht::bucket::{Entry, Spare};
use pinhole_dht::{Config, Dht, Rng, Role};
use pinhole_proto::dht::{Contact, Find, Found};
use pinhole_proto::message::Exchange;
use pinhole_proto::record::Body;
use pinhole_proto::{Bytes, List, PeerId, Record, SecretKey, Text, encode};

const UNIX: u64 = 1_800_000_000;
/// Tables that are filled and measured together.
const TABLES: usize = 2;

fn addr(rng: &mut Rng) -> SocketAddr {
    (Ipv4Addr::from(0x2000_0000 + rng.below(1 << 28) as u32), 4433).into()
}

fn contact(rng: &mut Rng) -> Contact {
    loop {
        if let Ok(peer) = PeerId::from_bytes(rng.position().0) {
            return Contact::at(peer, addr(rng)).unwrap();
        }
    }
}

fn key(rng: &mut Rng) -> SecretKey {
    SecretKey::generate(|seed| *seed = rng.position().0)
}

/// Records of 1,000 bytes, or short ones, signed by many.
fn records(rng: &mut Rng, len: usize) -> Vec<Vec<u8>> {
    let owners: Vec<SecretKey> = (0..160).map(|_| key(rng)).collect();
    let record = |number: usize| {
        let body = Body::Value {
            name: Text::new(number.to_string()).unwrap(),
            value: Bytes::new(vec![1; len]).unwrap(),
        };
        let record = Record::sign(&owners[number % 160], body, 1, UNIX + 100_000).unwrap();
        encode(&record, 1240).unwrap()
    };
    (0..4200).map(record).collect()
}

fn full(rng: &mut Rng, records: &[Vec<u8>], contacts: &[Contact]) -> Dht {
    let now = Instant::now();
    let own = key(rng);
    let mut dht = Dht::new(now, UNIX, own, Config::default(), Rng::from_seed(rng.next_u64()));
    dht.handle_role(Role::Server);
    contacts.iter().for_each(|contact| dht.handle_reached(now, *contact));
    for (number, record) in records.iter().enumerate() {
        let source = IpAddr::from(Ipv4Addr::from(0x2000_0000 + ((number as u32 % 500) << 8)));
        dht.handle_store(now, source, record).unwrap();
    }
    while dht.locate(now, contact(rng).peer).is_ok() {}
    // Everybody names twenty others, who do the same.
    for _ in 0..3000 {
        let Some(transmit) = dht.poll_transmit() else { break };
        let contacts = List::of_first((0..20).map(|_| contacts[rng.below(contacts.len())]));
        let found = Found { records: List::default(), contacts };
        let body = encode(&found, Find::REPLY_LIMIT).unwrap();
        if dht.operations() == Config::default().max_operations && rng.below(40) > 0 {
            dht.handle_reply(now, transmit.id, None, &body);
        }
    }
    dht
}

#[test]
fn every_cap_filled_takes_less_than_4_megabytes() {
    let mut rng = Rng::from_seed(1);
    let contacts: Vec<Contact> = (0..6000).map(|_| contact(&mut rng)).collect();
    // All are kept until the end, so that no memory is used a second time.
    let mut all = Vec::new();
    for len in [1000, 0] {
        let records = records(&mut rng, len);
        let before = pinhole_tests::machine::resident(std::process::id());
        let filled: Vec<Dht> = (0..TABLES).map(|_| full(&mut rng, &records, &contacts)).collect();
        let after = pinhole_tests::machine::resident(std::process::id());
        let measured = (after - before) / TABLES;
        let config = Config::default();
        // Deep buckets take more work to fill than a test can do: their places are added.
        let table = filled[0].table();
        let spares: usize = table.buckets().iter().map(|bucket| bucket.spares.len()).sum();
        let rest = (config.max_entries - table.len()) * size_of::<Entry>()
            + (256 * config.spares - spares) * size_of::<Spare>();
        let total = measured + rest;
        println!(
            "values of {len} bytes: {} records in {} bytes, table {}, {} operations: \
             {measured} bytes measured and {rest} added, {total} in all",
            filled[0].store().len(),
            filled[0].store().bytes(),
            table.len(),
            filled[0].operations(),
        );
        assert!(total <= 4_000_000, "{total}");
        all.push((filled, records));
    }
}
