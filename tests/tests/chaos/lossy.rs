//! Slow and lossy links: nobody on them is called dead.

use std::{thread, time::Duration};

use pinhole_tests::{
    forwarder::Forwarder, machine::long, node::TestNode, seeds::for_seeds, world::Link,
};

const PEERS: usize = 6;

/// A fifth is lost in each direction, and what arrives takes up to half a second.
const LINK: Link = Link {
    loss: 20,
    duplicates: 0,
    delay: Duration::from_millis(20),
    jitter: Duration::from_millis(500),
};

#[test]
fn a_lossy_link_is_not_a_dead_peer() {
    let time = Duration::from_secs(if long() { 1800 } else { 45 });
    for_seeds(1, |seed| {
        let middle = TestNode::start(&[]);
        let links: Vec<_> = (0..PEERS as u64)
            .map(|link| Forwarder::start(middle.listen[0], LINK, seed + link))
            .collect();
        let peers: Vec<_> = links
            .iter()
            .map(|link| TestNode::start(&["--peer", &middle.address_at(link.addr)]))
            .collect();
        links.iter().for_each(Forwarder::only_count);
        for peer in &peers {
            peer.wait_connected(middle.peer);
            middle.wait_connected(peer.peer);
        }
        let (mark, marks) = (middle.mark(), peers.iter().map(TestNode::mark).collect::<Vec<_>>());
        thread::sleep(time);
        for (peer, mark_of_peer) in peers.iter().zip(marks) {
            let said = [middle.history(peer.peer, mark), peer.history(middle.peer, mark_of_peer)];
            let failed = said.iter().flatten().any(|event| event["state"] == "failed");
            assert!(!failed, "{said:#?}");
        }
    });
}
