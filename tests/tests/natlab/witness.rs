//! One link of five nodes is cut: its ends say who still reaches the other.

use std::time::Duration;

use pinhole_tests::{lab::Lab, node::TestNode};
use serde_json::Value;

use crate::partition::mesh;

const HOSTS: usize = 5;
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn a_broken_path_is_told_from_a_broken_peer() {
    let Some(lab) = Lab::new("a_broken_path_is_told_from_a_broken_peer", HOSTS) else { return };
    let nodes = mesh(&lab);
    let marks: Vec<_> = nodes.iter().map(TestNode::mark).collect();
    lab.cut(0, 1);
    for (own, other) in [(0, 1), (1, 0)] {
        let (node, peer) = (&nodes[own], nodes[other].peer);
        let suspect = node.state_since(marks[own], peer, "suspect", PATIENCE);
        assert!(suspect.is_some(), "{:#?}", node.history(peer, marks[own]));
        let failed = node.state_since(marks[own], peer, "failed", PATIENCE);
        let failed = failed.unwrap_or_else(|| panic!("{:#?}", node.history(peer, marks[own])));
        println!("{failed}");
        witnesses_are_others(&failed, &nodes);
        assert_eq!(failed["reason"], "unreachable", "{failed}");
    }
    // Nobody else is suspected of anything.
    for (own, node) in nodes.iter().enumerate() {
        let cut = |other: usize| own + other == 1;
        for other in (0..HOSTS).filter(|&other| other != own && !cut(other)) {
            let history = node.history(nodes[other].peer, marks[own]);
            assert!(history.is_empty(), "{own} about {other}: {history:#?}");
        }
    }
    lab.heal(0, 1);
    nodes[0].assert_state(nodes[1].peer, "connected", PATIENCE);
    nodes[1].assert_state(nodes[0].peer, "connected", PATIENCE);
}

/// It names those who still reach the peer, and only such.
fn witnesses_are_others(failed: &Value, nodes: &[TestNode]) {
    let witnesses = failed["reached_by"].as_array().unwrap_or_else(|| panic!("{failed}"));
    assert!(!witnesses.is_empty(), "{failed}");
    for witness in witnesses {
        let third = nodes[2..].iter().any(|node| *witness == node.peer.to_string().as_str());
        assert!(third, "{failed}");
    }
}

#[test]
fn whom_nobody_reaches_is_silent() {
    let Some(lab) = Lab::new("whom_nobody_reaches_is_silent", HOSTS) else { return };
    let nodes = mesh(&lab);
    let mark = nodes[0].mark();
    lab.partition(&[1], &[0, 2, 3, 4]);
    let failed = nodes[0].state_since(mark, nodes[1].peer, "failed", PATIENCE).unwrap();
    assert_eq!(failed["reason"], "silent", "{failed}");
    assert_eq!(failed["reached_by"].as_array().map(Vec::len), Some(0), "{failed}");
    // Who hears nobody any more knows that it is its own network.
    for other in [0, 2, 3, 4] {
        let failed = nodes[1].assert_state(nodes[other].peer, "failed", PATIENCE);
        assert_eq!(failed["reason"], "isolated", "{failed}");
    }
}
