//! What a node tells those who listen.

use std::net::SocketAddr;
use std::time::Duration;

use pinhole_proto::PeerId;
use tokio::sync::broadcast;

use crate::peers::{Origin, PeerState, Reason};

/// How our packets to a peer leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Path {
    /// Straight to an address of the peer, on the local network or beyond.
    Direct,
    /// Through a relay.
    Relay,
    /// Through a relay's TLS listener.
    Tls,
}

impl Path {
    /// The word used in JSON and in the terminal.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Relay => "relay",
            Self::Tls => "tls",
        }
    }
}

impl std::fmt::Display for Path {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// Something that happened to a node.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A peer's state changed.
    Peer {
        /// Whose.
        peer: PeerId,
        /// The new state.
        state: PeerState,
        /// The one before.
        was: PeerState,
        /// Why.
        reason: Reason,
        /// For a peer that failed: who said that they still hear it.
        reached_by: Vec<PeerId>,
        /// How our packets leave, if it is connected.
        path: Option<Path>,
        /// Where they go, if it is connected.
        addr: Option<SocketAddr>,
        /// The round trip, if it is connected.
        rtt: Option<Duration>,
        /// How we came to know it.
        origin: Origin,
    },
    /// Our packets to a peer take another path.
    Path {
        /// To whom.
        peer: PeerId,
        /// Which kind.
        path: Path,
        /// Where they go.
        addr: SocketAddr,
        /// Why, in a word.
        reason: &'static str,
    },
    /// A ping of ours was answered, or not.
    Ping {
        /// Whom.
        peer: PeerId,
        /// The round trip; `None` if there was no answer.
        rtt: Option<Duration>,
    },
    /// Something is wrong that a person may want to mend.
    Problem {
        /// What is wrong.
        what: String,
        /// What to do.
        hint: String,
    },
    /// The reader was too slow, and this many events are lost.
    Lost {
        /// How many.
        count: u64,
    },
    /// The node stops; no event follows.
    Shutdown {
        /// Why.
        reason: String,
    },
}

/// The events of a node since this value was made. A slow reader loses events and is told how many;
/// it never holds the node up.
#[derive(Debug)]
pub struct Events(broadcast::Receiver<Event>);

impl Events {
    pub(crate) fn new(receiver: broadcast::Receiver<Event>) -> Self {
        Self(receiver)
    }

    /// The next event; `None` once the node has stopped. Cancel safe.
    pub async fn recv(&mut self) -> Option<Event> {
        match self.0.recv().await {
            Ok(event) => Some(event),
            Err(broadcast::error::RecvError::Lagged(count)) => Some(Event::Lost { count }),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}
