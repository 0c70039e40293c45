//! Two halves of a mesh that do not hear each other for a while.

use std::{thread, time::Duration};

use pinhole_tests::{
    lab::Lab,
    machine::long,
    node::{TestNode, now_ms, said_at},
};

const HALF: usize = 3;
/// Back after the partition has healed, at worst.
const WORST: Duration = Duration::from_secs(60);
/// And for one pair of two.
const MEDIAN: Duration = Duration::from_secs(10);
/// Longer than it takes until a peer counts as failed.
const FAILED: Duration = Duration::from_secs(60);

#[test]
fn everybody_is_back_after_a_partition() {
    let Some(lab) = Lab::new("everybody_is_back_after_a_partition", 2 * HALF) else { return };
    let nodes = mesh(&lab);
    let (one, other): (Vec<_>, Vec<_>) = ((0..HALF).collect(), (HALF..2 * HALF).collect());
    let rounds: &[u64] = if long() { &[0, 20, 45, 90, 150, 240] } else { &[0] };
    for more in rounds {
        lab.partition(&one, &other);
        for (a, b) in across() {
            nodes[a].assert_state(nodes[b].peer, "failed", FAILED);
        }
        // The backoff of the dials grows meanwhile.
        thread::sleep(Duration::from_secs(*more));
        let marks: Vec<_> = nodes.iter().map(TestNode::mark).collect();
        lab.heal_all();
        let healed = now_ms();
        let mut times: Vec<_> = across()
            .map(|(a, b)| {
                let (node, peer) = (&nodes[a], nodes[b].peer);
                let back = node.state_since(marks[a], peer, "connected", 2 * WORST);
                let back = back.unwrap_or_else(|| panic!("{:#?}", node.history(peer, marks[a])));
                Duration::from_millis(said_at(&back).saturating_sub(healed))
            })
            .collect();
        times.sort();
        let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
        println!("back, {more} s after all had failed: median {median:?}, worst {worst:?}");
        assert!(median <= MEDIAN && worst <= WORST, "{times:?}");
    }
}

/// Every ordered pair of nodes of different halves.
fn across() -> impl Iterator<Item = (usize, usize)> {
    let there = (0..HALF).flat_map(|a| (HALF..2 * HALF).map(move |b| (a, b)));
    there.flat_map(|(a, b)| [(a, b), (b, a)])
}

/// Each node dials all before it, and wants them all.
pub(crate) fn mesh(lab: &Lab) -> Vec<TestNode> {
    let setups: Vec<_> = (0..lab.hosts()).map(|host| lab.setup(host)).collect();
    let addresses: Vec<_> = setups
        .iter()
        .enumerate()
        .map(|(host, setup)| format!("{}@{}", setup.identity(), lab.addr(host)))
        .collect();
    let starting: Vec<_> = setups
        .into_iter()
        .enumerate()
        .map(|(own, setup)| {
            let others = addresses.iter().enumerate().filter(|(host, _)| *host != own);
            setup.flags(others.flat_map(|(_, address)| ["--peer", address])).spawn()
        })
        .collect();
    let nodes: Vec<_> = starting.into_iter().map(|node| node.ready()).collect();
    for node in &nodes {
        for other in nodes.iter().filter(|other| other.peer != node.peer) {
            node.wait_connected(other.peer);
        }
    }
    nodes
}
