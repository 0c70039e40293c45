use std::collections::BTreeSet;

use super::*;
use crate::testing::{SECOND, addr, at, contact, peer, start};

const SOFT: Duration = Duration::from_millis(100);

/// Nodes that know everybody.
struct World {
    nodes: Vec<Contact>,
}

impl World {
    fn new(rng: &mut Rng, count: usize) -> Self {
        Self { nodes: (0..count).map(|_| contact(rng)).collect() }
    }

    fn nearest(&self, point: &Position, count: usize) -> Vec<Contact> {
        let mut nodes = self.nodes.clone();
        nodes.sort_by_key(|node| Position::of_peer(&node.peer).distance(point));
        nodes.truncate(count);
        nodes
    }
}

fn lookup(target: Position, seeds: &[Contact]) -> Lookup {
    let config = Config::default();
    Lookup::new(target, &[target; 4], config.width, seeds, &config)
}

/// Answers everything at once; the peers that were asked.
fn run(lookup: &mut Lookup, answer: impl Fn(&Query) -> Option<Vec<Contact>>) -> Vec<PeerId> {
    let mut asked = Vec::new();
    while let Some(query) = lookup.next_query(start(), SOFT) {
        asked.push(query.contact.peer);
        match answer(&query) {
            Some(named) => drop(lookup.handle_reply(&query.contact.peer, &named)),
            None => lookup.handle_failure(&query.contact.peer),
        }
    }
    asked
}

#[test]
fn it_finds_the_nearest_and_asks_each_once() {
    let mut rng = Rng::from_seed(1);
    let world = World::new(&mut rng, 500);
    let target = rng.position();
    let mut lookup = lookup(target, &world.nodes[..5]);
    let asked = run(&mut lookup, |query| Some(world.nearest(&query.near, 20)));
    assert!(lookup.is_done());
    assert_eq!(asked.iter().collect::<BTreeSet<_>>().len(), asked.len());
    let answered: BTreeSet<_> = lookup.answered().map(|(contact, _)| contact.peer).collect();
    assert!(world.nearest(&target, 16).iter().all(|near| answered.contains(&near.peer)));
    assert!(asked.len() < 40, "{}", asked.len());
}

#[test]
fn no_node_is_asked_on_two_paths() {
    let mut rng = Rng::from_seed(2);
    let world = World::new(&mut rng, 100);
    let mut lookup = lookup(rng.position(), &world.nodes[..8]);
    let mut under_way = Vec::new();
    while let Some(query) = lookup.next_query(start(), SOFT) {
        under_way.push(query.contact.peer);
    }
    // Nothing was answered: each path has alpha requests under way, and all are different.
    assert_eq!(under_way.len(), 8);
    assert_eq!(under_way.iter().collect::<BTreeSet<_>>().len(), 8);
    assert!(!lookup.is_done());
}

#[test]
fn who_is_late_is_not_waited_for_and_its_answer_counts() {
    let mut rng = Rng::from_seed(3);
    let (now, world) = (start(), World::new(&mut rng, 100));
    let target = rng.position();
    let config = Config::default();
    let mut lookup = Lookup::new(target, &[target], 3, &world.nodes, &config);
    let slow = lookup.next_query(now, SOFT).unwrap();
    let other = lookup.next_query(now, SOFT).unwrap();
    assert_eq!(lookup.next_query(now, SOFT), None);
    lookup.handle_timeout(now + SOFT - SOFT / 10);
    assert_eq!(lookup.next_query(now, SOFT), None);
    assert_eq!(lookup.poll_timeout(), Some(now + SOFT));
    lookup.handle_reply(&other.contact.peer, &[]);
    lookup.handle_timeout(now + SOFT);
    assert!(lookup.next_query(now, SOFT).is_some());
    let near = world.nearest(&target, 1)[0];
    assert_eq!(lookup.handle_reply(&slow.contact.peer, &[near]), Some(1));
    assert!(lookup.answered().any(|(contact, _)| contact == slow.contact));
    // Once is enough.
    assert_eq!(lookup.handle_reply(&slow.contact.peer, &[near]), None);
}

#[test]
fn a_late_node_is_waited_for_if_nobody_else_is_left() {
    let mut rng = Rng::from_seed(4);
    let only = contact(&mut rng);
    let mut lookup = lookup(rng.position(), &[only]);
    lookup.next_query(start(), SOFT).unwrap();
    lookup.handle_timeout(start() + SECOND);
    assert!(!lookup.is_done());
    lookup.handle_failure(&only.peer);
    assert!(lookup.is_done());
}

#[test]
fn who_names_the_dead_is_not_believed() {
    let mut rng = Rng::from_seed(5);
    let (liar, target) = (contact(&mut rng), rng.position());
    let invented: Vec<_> = (0..20).map(|_| contact(&mut rng)).collect();
    let config = Config::default();
    let mut lookup = Lookup::new(target, &[target], 5, &[liar], &config);
    let asked = run(&mut lookup, |query| (query.contact == liar).then(|| invented.clone()));
    assert_eq!(asked.len(), 1 + usize::from(DISBELIEF));
    assert!(lookup.is_done());
}

#[test]
fn a_false_address_does_not_hide_the_true_one() {
    let mut rng = Rng::from_seed(6);
    let [liar, honest] = [contact(&mut rng), contact(&mut rng)];
    let wanted = peer(&mut rng);
    let [lie, truth] = [addr(&mut rng), addr(&mut rng)].map(|addr| at(wanted, addr));
    let target = Position::of_peer(&wanted);
    let mut lookup = lookup(target, &[liar, honest]);
    for _ in 0..2 {
        let query = lookup.next_query(start(), SOFT).unwrap();
        let named = if query.contact == liar { lie } else { truth };
        lookup.handle_reply(&query.contact.peer, &[named]);
    }
    let asked = run(&mut lookup, |query| (query.contact == truth).then(Vec::new));
    assert!(asked.len() <= 2);
    assert!(lookup.answered().any(|(contact, _)| contact == truth));
}

#[test]
fn one_subnet_does_not_fill_the_front_of_a_path() {
    let mut rng = Rng::from_seed(7);
    let target = rng.position();
    let mut swarm: Vec<_> =
        (0..30_u8).map(|host| at(peer(&mut rng), ([198, 51, 100, host], 1).into())).collect();
    swarm.extend((0..10).map(|_| contact(&mut rng)));
    let mut lookup = lookup(target, &swarm);
    run(&mut lookup, |_| Some(Vec::new()));
    let members = lookup.answered().filter(|(contact, _)| {
        contact.addrs.iter().any(|addr| addr.to_string().starts_with("198.51.100"))
    });
    assert!(members.count() <= 4 * 2);
    assert!(lookup.answered().count() >= 18 - 8);
}

#[test]
fn points_are_spread_over_the_region() {
    let mut rng = Rng::from_seed(8);
    for bits in [0, 5, 8, 60] {
        let target = rng.position();
        let points = points(&target, bits, 4, &mut rng);
        assert_eq!(points[0], target);
        assert!(points.iter().all(|point| point.common_bits(&target) >= bits));
        let parts: BTreeSet<_> =
            points.iter().map(|point| (point.bit(bits), point.bit(bits + 1))).collect();
        assert_eq!(parts.len(), 4);
    }
}

#[test]
fn it_ends_whatever_peers_answer() {
    for seed in 0..60 {
        let mut rng = Rng::from_seed(seed);
        let world = World::new(&mut rng, 40);
        let target = rng.position();
        let config = Config { max_queries: 100, ..Config::default() };
        let points = points(&target, (seed % 9) as u16, 4, &mut rng);
        let mut lookup = Lookup::new(target, &points, 5, &world.nodes[..3], &config);
        let mut now = start();
        let mut open = Vec::new();
        let mut steps = 0;
        loop {
            while let Some(query) = lookup.next_query(now, SOFT) {
                open.push(query.contact);
            }
            if lookup.is_done() {
                break;
            }
            steps += 1;
            assert!(steps < 5_000, "seed {seed} does not end");
            assert!(lookup.remembered() < 4 * 60 + 200);
            now += SOFT / 3;
            lookup.handle_timeout(now);
            let Some(contact) = (!open.is_empty()).then(|| open.swap_remove(rng.below(open.len())))
            else {
                continue;
            };
            let named: Vec<_> = (0..20)
                .map(|_| match rng.below(3) {
                    0 => world.nodes[rng.below(40)],
                    1 => at(world.nodes[rng.below(40)].peer, addr(&mut rng)),
                    _ => crate::testing::contact(&mut rng),
                })
                .collect();
            match rng.below(3) {
                0 => lookup.handle_failure(&contact.peer),
                _ => drop(lookup.handle_reply(&contact.peer, &named)),
            }
            // Nonsense that a shell might deliver.
            lookup.handle_failure(&world.nodes[rng.below(40)].peer);
            lookup.handle_reply(&named[0].peer, &named);
        }
        assert!(lookup.queries() <= 100);
    }
}
