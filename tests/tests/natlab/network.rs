//! The network of a node changes under it.

use std::time::Duration;

use pinhole_tests::{lab::Lab, node::now_ms, node::said_at};

/// The node looks at its addresses every two seconds, and then dials at once.
const BACK: Duration = Duration::from_secs(15);

#[test]
fn a_node_that_moves_to_another_address_is_back_at_once() {
    let Some(lab) = Lab::new("a_node_that_moves_to_another_address_is_back_at_once", 2) else {
        return;
    };
    let there = lab.node(1, &[]);
    let moving = lab.node(0, &["--peer", &there.address_at(lab.addr(1))]);
    moving.wait_connected(there.peer);
    there.wait_connected(moving.peer);
    let (mark, moved) = (there.mark(), now_ms());
    lab.on_host(0, "ip addr flush dev eth0; ip addr add 10.77.0.200/24 dev eth0");
    // Its ping waits until the path works again, and is answered before anybody calls it failed.
    let (lines, done) = moving.command(&["ping", &there.peer.to_string(), "-c", "20", "-i", "0.5"]);
    assert!(done, "{lines:?}");
    moving.assert_state(there.peer, "connected", BACK);
    there.assert_state(moving.peer, "connected", BACK);
    for event in there.history(moving.peer, mark) {
        println!("{} ms: {event}", said_at(&event) - moved);
    }
    assert!(lines.last().unwrap()["received"].as_u64() >= Some(10), "{lines:?}");
}

#[test]
fn a_node_whose_interface_comes_back_is_back_at_once() {
    let Some(lab) = Lab::new("a_node_whose_interface_comes_back_is_back_at_once", 2) else {
        return;
    };
    let there = lab.node(1, &[]);
    let node = lab.node(0, &["--peer", &there.address_at(lab.addr(1))]);
    node.wait_connected(there.peer);
    lab.on_host(0, "ip link set eth0 down");
    node.assert_state(there.peer, "failed", Duration::from_secs(60));
    // The dials have failed a few times by now.
    std::thread::sleep(Duration::from_secs(30));
    lab.on_host(0, "ip link set eth0 up");
    node.assert_state(there.peer, "connected", BACK);
}
