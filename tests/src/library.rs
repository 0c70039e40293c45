//! A node in this process, through the public library.

use std::{future::Future, net::Ipv4Addr, time::Duration};

use pinhole_node::{Builder, Event, Events, Node, PeerId, PeerState};
use tokio::time::{Instant, timeout_at};

/// A node of the library and everything that it has said.
pub struct LibraryNode {
    /// The node.
    pub node: Node,
    events: Events,
    said: Vec<Event>,
}

impl LibraryNode {
    /// Starts a node on IPv4 loopback, any port, with what `configure` adds.
    pub async fn start(configure: impl FnOnce(Builder) -> Builder) -> Self {
        let builder = configure(Node::builder().listen((Ipv4Addr::LOCALHOST, 0)));
        let node = builder.start().await.unwrap();
        let events = node.events();
        Self { node, events, said: Vec::new() }
    }

    /// Its id.
    pub fn id(&self) -> PeerId {
        self.node.id()
    }

    /// Waits until `peer` is connected, if it is not.
    pub async fn wait_connected(&mut self, peer: PeerId) {
        self.assert_state(peer, PeerState::Connected, Duration::from_secs(60)).await;
    }

    /// Asserts that `peer` has this state within this time, if it does not already. The answer is
    /// for how long that took.
    pub async fn assert_state(
        &mut self,
        peer: PeerId,
        wanted: PeerState,
        within: Duration,
    ) -> Duration {
        let start = Instant::now();
        while !self.is(peer, wanted).await {
            match timeout_at(start + within, self.events.recv()).await {
                Ok(Some(event)) => self.said.push(event),
                Ok(None) => panic!("the node has stopped; it said {:#?}", self.said),
                Err(_) => panic!("{peer} is not {wanted} in time; it said {:#?}", self.said),
            }
        }
        start.elapsed()
    }

    async fn is(&self, peer: PeerId, wanted: PeerState) -> bool {
        self.node.peers().await.iter().any(|info| info.peer == peer && info.state == wanted)
    }

    /// The events that the calls above have read.
    pub fn said(&self) -> &[Event] {
        &self.said
    }
}

/// Runs a test of such nodes on a runtime of its own.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap().block_on(test)
}
