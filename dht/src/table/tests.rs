use std::net::SocketAddr;

use super::*;
use crate::subnet::Subnet;
use crate::testing::{SECOND, addr, at, contact, peer, peer_where, start};
use pinhole_proto::rng::Rng;

fn table(rng: &mut Rng) -> Table {
    Table::new(peer(rng), Config::default())
}

/// A contact in the farthest bucket, in cell number `cell` of eight.
fn far(rng: &mut Rng, us: &Position, cell: u8) -> Contact {
    let in_cell = |place: &Position| {
        place.common_bits(us) == 0 && (0..3).all(|bit| place.bit(bit + 1) == (cell >> bit & 1 == 1))
    };
    let peer = peer_where(rng, in_cell);
    at(peer, addr(rng))
}

fn fill_far(rng: &mut Rng, table: &mut Table, now: Instant) -> Vec<Contact> {
    let us = table.us();
    let contacts: Vec<_> = (0..20).map(|i| far(rng, &us, i % 8)).collect();
    contacts.iter().for_each(|contact| assert!(table.handle_reached(now, *contact)));
    contacts
}

#[test]
fn a_full_bucket_keeps_those_that_answer() {
    let (mut rng, now) = (Rng::from_seed(1), start());
    let mut table = table(&mut rng);
    let old = fill_far(&mut rng, &mut table, now);
    let us = table.us();
    let new = far(&mut rng, &us, 0);
    assert!(!table.handle_reached(now, new));
    assert_eq!(table.len(), 20);
    assert!(old.iter().all(|contact| table.entry(&contact.peer).is_some()));
}

#[test]
fn one_that_failed_makes_room_and_one_that_failed_twice_is_gone() {
    let (mut rng, now) = (Rng::from_seed(2), start());
    let mut table = table(&mut rng);
    let old = fill_far(&mut rng, &mut table, now);
    let us = table.us();
    table.handle_failed(&old[3]);
    assert!(!table.closest(&Position::of_peer(&old[3].peer), 20).contains(&old[3]));
    assert_eq!(table.len(), 20);
    let new = far(&mut rng, &us, 3);
    assert!(table.handle_reached(now, new));
    assert!(table.entry(&old[3].peer).is_none());
    table.handle_failed(&old[4]);
    table.handle_failed(&old[4]);
    assert!(table.entry(&old[4].peer).is_none());
    assert_eq!(table.len(), 19);
}

#[test]
fn one_that_answers_again_has_not_failed() {
    let (mut rng, now) = (Rng::from_seed(3), start());
    let mut table = table(&mut rng);
    let known = contact(&mut rng);
    for _ in 0..5 {
        table.handle_reached(now, known);
        table.handle_failed(&known);
    }
    assert_eq!(table.len(), 1);
}

#[test]
fn a_failure_at_another_address_says_nothing_of_the_peer() {
    let (mut rng, now) = (Rng::from_seed(4), start());
    let mut table = table(&mut rng);
    let known = contact(&mut rng);
    table.handle_reached(now, known);
    let false_address = at(known.peer, addr(&mut rng));
    (0..5).for_each(|_| table.handle_failed(&false_address));
    assert_eq!(table.closest(&table.us(), 20), [known]);
}

#[test]
fn who_came_or_was_named_has_no_entry_until_it_was_reached() {
    let (mut rng, now) = (Rng::from_seed(5), start());
    let mut table = table(&mut rng);
    let (came, named) = (contact(&mut rng), contact(&mut rng));
    table.handle_came(now, came);
    table.handle_named(now, named);
    assert!(table.is_empty() && table.closest(&table.us(), 20).is_empty());
    // Its NAT may be open towards us: not at once.
    assert_eq!(table.next_check(now), Some(Check::Spare(named)));
    table.handle_failed(&named);
    assert_eq!(table.next_check(now), None);
    let later = now + Config::default().quiet;
    assert_eq!(table.next_check(later), Some(Check::Spare(came)));
    table.handle_reached(later, came);
    assert_eq!(table.closest(&table.us(), 20), [came]);
}

#[test]
fn the_entry_that_was_not_heard_for_longest_is_checked() {
    let (mut rng, now) = (Rng::from_seed(6), start());
    let mut table = table(&mut rng);
    let (first, second) = (contact(&mut rng), contact(&mut rng));
    table.handle_reached(now, first);
    table.handle_reached(now + SECOND, second);
    let fresh = Config::default().fresh;
    assert_eq!(table.next_check(now + fresh - SECOND), None);
    assert_eq!(table.next_check(now + fresh), Some(Check::Entry(first)));
    table.handle_came(now + fresh, first);
    assert_eq!(table.next_check(now + fresh + SECOND), Some(Check::Entry(second)));
}

#[test]
fn a_swarm_at_one_place_gets_a_quarter_of_a_bucket() {
    let (mut rng, now) = (Rng::from_seed(7), start());
    let mut table = table(&mut rng);
    let us = table.us();
    for _ in 0..100 {
        let member = far(&mut rng, &us, 5);
        table.handle_reached(now, member);
    }
    assert_eq!(table.len(), Config::default().in_cell);
}

#[test]
fn one_subnet_gets_two_places_in_a_bucket_and_ten_in_the_table() {
    let (mut rng, now) = (Rng::from_seed(8), start());
    let mut table = table(&mut rng);
    for host in 0..250 {
        let member = at(peer(&mut rng), ([198, 51, 100, host], 4433).into());
        table.handle_reached(now, member);
    }
    assert!(table.buckets().iter().all(|bucket| bucket.entries.len() <= 2));
    assert_eq!(table.len(), 10);
}

#[test]
fn ourselves_are_nobody() {
    let mut rng = Rng::from_seed(9);
    let mut table = table(&mut rng);
    let us = at(table.me(), addr(&mut rng));
    assert!(!table.handle_reached(start(), us));
    table.handle_came(start(), us);
    table.handle_failed(&us);
    assert_eq!(table.next_check(start() + SECOND * 10_000), None);
}

#[test]
fn the_closest_are_the_closest() {
    let (mut rng, now) = (Rng::from_seed(10), start());
    let mut table = table(&mut rng);
    (0..300).for_each(|_| {
        table.handle_reached(now, contact(&mut rng));
    });
    for _ in 0..50 {
        let point = rng.position();
        let distance = |contact: &Contact| Position::of_peer(&contact.peer).distance(&point);
        let mut all: Vec<_> = table.entries().map(|entry| entry.contact).collect();
        all.sort_by_key(distance);
        assert_eq!(table.closest(&point, 20), all[..20]);
    }
}

/// What must hold whatever happened.
fn check_invariants(table: &Table) {
    let config = Config::default();
    let mut in_table = std::collections::BTreeMap::<Subnet, usize>::new();
    for (depth, bucket) in table.buckets().iter().enumerate() {
        assert!(bucket.entries.len() <= config.k && bucket.spares.len() <= config.spares);
        let mut in_bucket = std::collections::BTreeMap::<Subnet, usize>::new();
        for entry in &bucket.entries {
            assert_eq!(usize::from(entry.position.common_bits(&table.us())), depth);
            assert_eq!(entry.position, Position::of_peer(&entry.contact.peer));
            assert!(entry.failures < FAILURES);
            assert!(bucket.in_cell(depth as u16, &entry.position) <= config.in_cell);
            assert!(bucket.spares.iter().all(|spare| spare.contact.peer != entry.contact.peer));
            let twins = bucket.entries.iter().filter(|e| e.contact.peer == entry.contact.peer);
            assert_eq!(twins.count(), 1);
            for subnet in Subnet::all(&entry.contact.addrs) {
                *in_bucket.entry(subnet).or_default() += 1;
                *in_table.entry(subnet).or_default() += 1;
            }
        }
        assert!(in_bucket.values().all(|count| *count <= config.subnet_in_bucket));
    }
    assert!(in_table.values().all(|count| *count <= config.subnet_in_table));
    assert_eq!(table.len(), table.entries().count());
    assert!(table.len() <= config.max_entries);
}

#[test]
fn invariants_hold_under_random_operations() {
    for seed in 0..6 {
        let mut rng = Rng::from_seed(seed);
        let mut now = start();
        let mut table = table(&mut rng);
        let peers: Vec<PeerId> = (0..120).map(|_| peer(&mut rng)).collect();
        for step in 0..1500 {
            now += SECOND * rng.below(100) as u32;
            let [a, b] = [rng.below(6) as u8, rng.below(40) as u8];
            let v4 = SocketAddr::from(([198, 51, a, b], 1));
            let v6 = SocketAddr::from(([0x2001, 0xdb8, u16::from(a), 0, 0, 0, 0, u16::from(b)], 1));
            let contact = at(peers[rng.below(120)], if rng.below(2) == 0 { v4 } else { v6 });
            match rng.below(6) {
                0..3 => {
                    table.handle_reached(now, contact);
                }
                3 => table.handle_failed(&contact),
                4 => table.handle_came(now, contact),
                _ => table.handle_named(now, contact),
            }
            if let Some(check) = table.next_check(now).filter(|_| rng.below(4) == 0) {
                table.handle_failed(check.contact());
            }
            if step % 10 == 0 {
                check_invariants(&table);
            }
        }
    }
}
