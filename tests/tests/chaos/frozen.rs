//! A process that stands still for a while, as under a debugger or on a machine that sleeps.

use std::{thread, time::Duration};

use pinhole_tests::node::{TestNode, now_ms, said_at};

/// Long enough to be suspect and then failed when idle.
const FROZEN: Duration = Duration::from_secs(40);
/// When idle, it is failed by then.
const FAILED: Duration = Duration::from_secs(30);
/// It takes part again soon after.
const BACK: Duration = Duration::from_secs(10);

#[test]
fn a_frozen_node_is_suspect_then_failed_then_connected_again() {
    let node = TestNode::start(&[]);
    let watchers = [TestNode::start(&["--peer", &node.address()]), TestNode::start(&[])];
    // The second is dialed by the one that will be frozen.
    assert!(node.command(&["connect", &watchers[1].address()]).1);
    watchers.iter().for_each(|watcher| drop(watcher.wait_connected(node.peer)));
    let marks = watchers.each_ref().map(TestNode::mark);
    let (own, start) = (node.mark(), now_ms());
    node.freeze();
    thread::sleep(FROZEN);
    for (watcher, mark) in watchers.iter().zip(marks) {
        let said = watcher.history(node.peer, mark);
        let states: Vec<_> = said.iter().map(|event| event["state"].as_str().unwrap()).collect();
        assert!(states.starts_with(&["suspect", "failed"]), "{said:#?}");
        let after = Duration::from_millis(said_at(&said[1]) - start);
        println!("failed after {after:?}");
        assert!(after <= FAILED, "{after:?}");
    }
    let start = now_ms();
    node.thaw();
    for watcher in &watchers {
        let back = watcher.assert_state(node.peer, "connected", BACK);
        println!("back after {} ms: {}", said_at(&back).saturating_sub(start), back["reason"]);
        node.assert_state(watcher.peer, "connected", BACK);
        // That it heard nothing was its own fault, and it knows.
        let said = node.history(watcher.peer, own);
        assert!(said.iter().all(|event| event["state"] != "failed"), "{said:#?}");
    }
}
