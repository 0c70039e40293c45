//! Links that are cut for a moment, between nodes of the library.

use std::time::Duration;

use pinhole_node::{Event, PeerAddr, PeerState};
use pinhole_tests::{
    forwarder::Forwarder,
    library::{LibraryNode, run},
    world::Link,
};

#[test]
fn a_link_that_is_cut_for_a_moment_is_no_failure() {
    run(async {
        let mut server = LibraryNode::start(|builder| builder).await;
        let link = Link::good(Duration::from_millis(2));
        let forwarder = Forwarder::start(server.node.listen_addrs()[0], link, 1);
        let address = format!("{}@{}", server.id(), forwarder.addr);
        let address: PeerAddr = address.parse().unwrap();
        let mut client = LibraryNode::start(|builder| builder.peer(address)).await;
        client.wait_connected(server.id()).await;
        server.wait_connected(client.id()).await;
        forwarder.cut_for(Duration::from_secs(1));
        // The ping waits until the link is whole again.
        let rtt = client.node.ping(server.id()).await.unwrap();
        assert!(rtt < Duration::from_secs(10), "{rtt:?}");
        client.wait_connected(server.id()).await;
        server.wait_connected(client.id()).await;
        for event in client.said().iter().chain(server.said()) {
            assert!(!is_state(event, PeerState::Failed), "{event:?}");
        }
    });
}

fn is_state(event: &Event, wanted: PeerState) -> bool {
    matches!(event, Event::Peer { state, .. } if *state == wanted)
}
