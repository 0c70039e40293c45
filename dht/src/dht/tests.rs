use std::net::SocketAddr;

use pinhole_proto::{Bytes, Text};

use super::*;
use crate::testing::{SECOND, addr, at, key, start};

const UNIX: u64 = 1_800_000_000;

/// A few nodes that answer each other at once.
struct Net {
    now: Instant,
    nodes: Vec<(Contact, Dht)>,
}

impl Net {
    fn new(count: usize) -> Self {
        let (mut rng, now) = (Rng::from_seed(1), start());
        let mut net = Self { now, nodes: Vec::new() };
        for number in 0..count {
            let key = key(&mut rng);
            let contact = at(key.peer_id(), addr(&mut rng));
            let rng = Rng::from_seed(number as u64);
            let mut dht = Dht::new(now, UNIX, key, Config::default(), rng);
            dht.handle_role(Role::Server);
            let own = contact.addrs.iter().map(|addr| Candidate::direct(addr).unwrap());
            dht.handle_addresses(now, own.collect()).unwrap();
            if number > 0 {
                dht.handle_seed(now, net.nodes[0].0);
            }
            net.nodes.push((contact, dht));
            net.settle();
        }
        net
    }

    /// Delivers until nobody has anything to send.
    fn settle(&mut self) {
        while let Some((from, transmit)) = self.next_transmit() {
            let to = self.nodes.iter().position(|(contact, _)| *contact == transmit.to);
            let Some(to) = to else {
                self.nodes[from].1.handle_failure(self.now, transmit.id, FailureKind::Peer);
                continue;
            };
            let (source, now) = (self.source(from), self.now);
            let who = self.nodes[from].0;
            let there = &mut self.nodes[to].1;
            let reply = match transmit.rpc {
                Rpc::Find => there.handle_find(now, &transmit.body).map(|answer| {
                    there.handle_came(now, who);
                    answer.body
                }),
                Rpc::Store => there.handle_store(now, source.ip(), &transmit.body),
            };
            let dialed = Some(self.source(to));
            self.nodes[from].1.handle_reply(now, transmit.id, dialed, &reply.unwrap());
        }
    }

    fn source(&self, at: usize) -> SocketAddr {
        self.nodes[at].0.addrs.iter().next().unwrap()
    }

    fn next_transmit(&mut self) -> Option<(usize, Transmit)> {
        let nodes = self.nodes.iter_mut().enumerate();
        nodes.filter_map(|(at, (_, dht))| Some((at, dht.poll_transmit()?))).next()
    }

    fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            let due = self.nodes.iter().filter_map(|(_, dht)| dht.poll_timeout()).min();
            let Some(due) = due.filter(|due| *due <= until) else { break };
            self.now = self.now.max(due);
            let now = self.now;
            self.nodes.iter_mut().for_each(|(_, dht)| dht.handle_timeout(now));
            self.settle();
        }
        self.now = until;
    }

    fn events(&mut self, at: usize) -> Vec<Event> {
        std::iter::from_fn(|| self.nodes[at].1.poll_event()).collect()
    }
}

fn value(name: &str, value: &[u8]) -> Body {
    Body::Value { name: Text::new(name).unwrap(), value: Bytes::new(value).unwrap() }
}

#[test]
fn who_knows_one_finds_another_by_its_id() {
    let mut net = Net::new(12);
    net.run_for(SECOND * 60);
    let (wanted, now) = (net.nodes[7].0, net.now);
    net.events(3);
    let id = net.nodes[3].1.locate(now, wanted.peer).unwrap();
    net.settle();
    let candidate = Candidate::direct(net.source(7)).unwrap();
    let events = net.events(3);
    let located = events.iter().any(|event| {
        matches!(event, Event::Located { operation, candidates, .. }
            if *operation == id && candidates.contains(&candidate))
    });
    assert!(located, "{events:?}");
    let over = |event: &Event| matches!(event, Event::Finished { operation, outcome } if *operation == id && outcome.found);
    assert_eq!(events.iter().filter(|event| over(event)).count(), 1);
    assert_eq!(net.nodes[3].1.operations(), 0);
}

#[test]
fn a_value_is_read_and_a_newer_one_replaces_it() {
    let mut net = Net::new(12);
    net.run_for(SECOND * 60);
    for (sequence, content) in [(1, b"one"), (2, b"two")] {
        let now = net.now;
        let life = SECOND * 3600;
        net.nodes[2].1.publish(now, value("a", content), sequence, life).unwrap();
        net.settle();
        let (owner, now) = (net.nodes[2].0.peer, net.now);
        net.events(9);
        net.nodes[9].1.value(now, owner, "a").unwrap();
        net.settle();
        let events = net.events(9);
        let last = events.iter().rev().find_map(|event| match event {
            Event::Record { record, .. } => Some(record.clone()),
            _ => None,
        });
        assert_eq!(last.unwrap().body, value("a", content));
    }
}

#[test]
fn every_provider_of_a_topic_is_reported_once() {
    let mut net = Net::new(16);
    net.run_for(SECOND * 60);
    let topic = [9; 32];
    for at in [1, 4, 8] {
        let now = net.now;
        let body = Body::Provider { topic, candidates: List::default() };
        net.nodes[at].1.publish(now, body, 1, SECOND * 3600).unwrap();
        net.settle();
    }
    let now = net.now;
    net.events(12);
    net.nodes[12].1.providers(now, &topic).unwrap();
    net.settle();
    let events = net.events(12);
    let mut owners: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Record { record, .. } => Some(record.owner),
            _ => None,
        })
        .collect();
    let mut expected: Vec<_> = [1, 4, 8].map(|at| net.nodes[at].0.peer).to_vec();
    owners.sort();
    expected.sort();
    assert_eq!(owners, expected);
}

#[test]
fn a_record_of_another_place_or_with_a_false_signature_is_not_reported() {
    let mut rng = Rng::from_seed(2);
    let (us, owner, other) = (key(&mut rng), key(&mut rng), key(&mut rng));
    let (now, node) = (start(), at(other.peer_id(), addr(&mut rng)));
    let mut dht = Dht::new(now, UNIX, us, Config::default(), Rng::from_seed(3));
    dht.handle_reached(now, node);
    while dht.poll_transmit().is_some() {}
    dht.value(now, owner.peer_id(), "a").unwrap();
    let right = Record::sign(&owner, value("a", b"x"), 1, UNIX + 100).unwrap();
    let wrong = [
        Record::sign(&owner, value("b", b"x"), 1, UNIX + 100).unwrap(),
        Record::sign(&other, value("a", b"x"), 9, UNIX + 100).unwrap(),
        Record { sequence: 9, ..right.clone() },
        Record::sign(&owner, value("a", b"x"), 9, UNIX).unwrap(),
        Record::sign(&owner, value("a", b"x"), 9, UNIX + 1_000_000).unwrap(),
    ];
    let transmit = dht.poll_transmit().unwrap();
    let records = List::of_first(wrong.into_iter().chain([right.clone()]));
    let reply = Found { records, contacts: List::default() };
    dht.handle_reply(now, transmit.id, None, &encode(&reply, Find::REPLY_LIMIT).unwrap());
    let events: Vec<_> = std::iter::from_fn(|| dht.poll_event()).collect();
    let records: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Record { record, .. } => Some((**record).clone()),
            _ => None,
        })
        .collect();
    assert_eq!(records, [right]);
}

#[test]
fn garbage_in_place_of_a_reply_is_a_failure() {
    let mut rng = Rng::from_seed(4);
    let (us, other, now) = (key(&mut rng), key(&mut rng), start());
    let node = at(other.peer_id(), addr(&mut rng));
    let mut dht = Dht::new(now, UNIX, us, Config::default(), Rng::from_seed(5));
    dht.handle_reached(now, node);
    let transmit = dht.poll_transmit().unwrap();
    dht.handle_reply(now, transmit.id, Some(node.addrs.iter().next().unwrap()), &[0xff; 40]);
    assert!(dht.table().closest(&rng.position(), 20).is_empty());
    // The same answer again, and one that was never asked for.
    dht.handle_reply(now, transmit.id, None, &[]);
    dht.handle_failure(now, RequestId(u64::MAX), FailureKind::Peer);
}

#[test]
fn a_failure_of_our_own_network_costs_nobody_its_place() {
    let mut rng = Rng::from_seed(6);
    let (us, other, now) = (key(&mut rng), key(&mut rng), start());
    let node = at(other.peer_id(), addr(&mut rng));
    let mut dht = Dht::new(now, UNIX, us, Config::default(), Rng::from_seed(7));
    dht.handle_reached(now, node);
    for _ in 0..5 {
        let _ = dht.locate(now, key(&mut rng).peer_id());
        while let Some(transmit) = dht.poll_transmit() {
            dht.handle_failure(now, transmit.id, FailureKind::Local);
        }
    }
    assert_eq!(dht.table().closest(&rng.position(), 20), [node]);
}

#[test]
fn a_client_keeps_nothing_and_a_bad_record_is_refused() {
    let mut rng = Rng::from_seed(8);
    let owner = key(&mut rng);
    let mut dht = Dht::new(start(), UNIX, key(&mut rng), Config::default(), rng.clone());
    let record = Record::sign(&owner, value("a", b"x"), 1, UNIX + 100).unwrap();
    let store = |dht: &mut Dht, record: &Record| {
        let body = encode(record, 1240).unwrap();
        let source = std::net::IpAddr::from([198, 51, 100, 1]);
        decode::<Stored>(&dht.handle_store(start(), source, &body).unwrap()).unwrap()
    };
    assert_eq!(store(&mut dht, &record), Stored::Refused(StoreRefusal::NotServing));
    dht.handle_role(Role::Server);
    let forged = Record { sequence: 2, ..record.clone() };
    assert_eq!(store(&mut dht, &forged), Stored::Refused(StoreRefusal::Invalid));
    assert_eq!(store(&mut dht, &record), Stored::Kept);
    assert_eq!(dht.store().len(), 1);
}

#[test]
fn a_reply_fits_its_limit_however_much_is_known() {
    let mut rng = Rng::from_seed(9);
    let now = start();
    let mut dht = Dht::new(now, UNIX, key(&mut rng), Config::default(), rng.clone());
    dht.handle_role(Role::Server);
    for number in 0..400_u16 {
        let peer = crate::testing::peer(&mut rng);
        let v6 = SocketAddr::from(([0x2001, number, number, 0, 0, 0, 0, 1], 65535));
        dht.handle_reached(now, at(peer, addr(&mut rng)));
        dht.handle_reached(now, at(peer, v6));
    }
    let owner = key(&mut rng);
    let record = Record::sign(&owner, value("a", &[1; 1000]), 1, UNIX + 100).unwrap();
    let body = encode(&record, 1240).unwrap();
    dht.handle_store(now, [198, 51, 100, 1].into(), &body).unwrap();
    let want = Want::Records(record.position());
    let request = FindRequest { serves: true, near: rng.position(), want };
    let request = encode(&request, Find::REQUEST_LIMIT).unwrap();
    let answer = dht.handle_find(now, &request).unwrap();
    assert!(answer.serves && answer.body.len() <= Find::REPLY_LIMIT);
    let found: Found = decode(&answer.body).unwrap();
    assert_eq!(found.records[..], [record]);
    assert!(found.contacts.len() >= 10, "{}", found.contacts.len());
    assert_eq!(dht.handle_find(now, &[1]).unwrap_err(), StreamCode::Malformed);
    let future = [&request[..33], &[7][..]].concat();
    assert_eq!(dht.handle_find(now, &future).unwrap_err(), StreamCode::UnknownVariant);
}

#[test]
fn the_same_seed_and_inputs_give_the_same_outputs() {
    let run = || {
        let mut net = Net::new(10);
        net.run_for(SECOND * 600);
        let events: Vec<_> = (0..10).flat_map(|at| net.events(at)).collect();
        let tables: Vec<Vec<Contact>> = net
            .nodes
            .iter()
            .map(|(_, dht)| dht.table().entries().map(|entry| entry.contact).collect())
            .collect();
        (format!("{events:?}"), tables)
    };
    assert_eq!(run(), run());
}

#[test]
fn what_is_published_stays_beyond_its_life_until_it_is_unpublished() {
    let mut net = Net::new(12);
    let (now, life) = (net.now, SECOND * 3600 * 6);
    let place = net.nodes[2].1.publish(now, value("a", b"x"), 1, life).unwrap();
    let kept = |net: &Net| {
        let has = |dht: &Dht| dht.store().records().any(|record| record.position() == place);
        net.nodes.iter().filter(|(_, dht)| has(dht)).count()
    };
    net.run_for(life * 2);
    assert!(kept(&net) >= 8, "{}", kept(&net));
    net.nodes[2].1.unpublish(&place);
    net.run_for(life + SECOND * 700);
    assert_eq!(kept(&net), 0);
}
