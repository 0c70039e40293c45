//! What a node says about itself and its peers.

use std::net::SocketAddr;
use std::time::Duration;

use pinhole_proto::{Candidate, PeerId};
use pinhole_transport::Counters;

use crate::allowlist::Mode;
use crate::event::Path;
use crate::peers::{Origin, PeerState, Reason};

/// A connection, as [`Node::connect`](crate::Node::connect) gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Connected {
    /// To whom.
    pub peer: PeerId,
    /// How our packets leave.
    pub path: Path,
    /// Where they go.
    pub addr: SocketAddr,
    /// The round trip.
    pub rtt: Duration,
    /// Whether we dialed.
    pub dialed: bool,
}

/// A known peer.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PeerInfo {
    /// Who.
    pub peer: PeerId,
    /// Where it stands.
    pub state: PeerState,
    /// How our packets leave, if it is connected.
    pub path: Option<Path>,
    /// Where they go, if it is connected.
    pub addr: Option<SocketAddr>,
    /// The relay that they take.
    pub relay: Option<PeerId>,
    /// How we came to know it.
    pub origin: Origin,
    /// Whether it is dialed again whenever it is gone.
    pub wanted: bool,
    /// Whether we dialed; `None` if it is not connected.
    pub dialed: Option<bool>,
    /// Smoothed round trip.
    pub rtt: Option<Duration>,
    /// The newest sample of the round trip.
    pub rtt_now: Option<Duration>,
    /// Smallest round trip of this connection.
    pub min_rtt: Option<Duration>,
    /// Packets of ours that were lost, from 0 to 1.
    pub loss: Option<f64>,
    /// For how long it has been in its state.
    pub since: Duration,
    /// Why it is; `None` for one that was never dialed.
    pub reason: Option<Reason>,
    /// Bytes of UDP payload sent on this connection.
    pub bytes_sent: u64,
    /// Bytes of UDP payload received on this connection.
    pub bytes_received: u64,
    /// Failed dials in a row.
    pub failures: u32,
    /// Until it is dialed again.
    pub next_retry: Option<Duration>,
    /// Where it may be.
    pub candidates: Vec<Candidate>,
    /// Since a packet of it last came.
    pub last_heard: Option<Duration>,
    /// While it is suspect or failed: who said that they still hear it.
    pub reached_by: Vec<PeerId>,
    /// After a dial without an answer: who else is known to live at its address.
    pub wrong_identity: Option<PeerId>,
}

/// A node in a few numbers.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Status {
    /// Who it is.
    pub peer: PeerId,
    /// Its version.
    pub version: &'static str,
    /// For how long it has run.
    pub uptime: Duration,
    /// The bound addresses.
    pub listen: Vec<SocketAddr>,
    /// Addresses at which others say that they see it.
    pub public: Vec<SocketAddr>,
    /// Peers with a connection.
    pub connected: usize,
    /// Peers that are known.
    pub known: usize,
    /// The allowlist's mode.
    pub mode: Mode,
    /// Bytes of UDP payload sent.
    pub bytes_sent: u64,
    /// Bytes of UDP payload received.
    pub bytes_received: u64,
    /// What is wrong and what to do, newest last.
    pub problems: Vec<String>,
}

/// What a node counted since it started. The counters only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// The endpoint's counters.
    pub transport: Counters,
    /// Gauge: known peers.
    pub peers_known: u64,
    /// Gauge: peers with a connection.
    pub peers_connected: u64,
    /// Gauge: peers in each state.
    pub peers: StateCounts,
    /// How often a peer failed.
    pub peers_failed: u64,
    /// How often a peer was connected again that had been connected before.
    pub reconnects: u64,
    /// Heartbeats that we sent.
    pub heartbeats_sent: u64,
    /// How often our own allowlist kept us from dialing; those whom it kept out,
    /// [`Counters::gate`] counts.
    pub dials_denied: u64,
    /// QUIC packets that we sent on confirmed connections.
    pub packets_sent: u64,
    /// QUIC packets that we sent on confirmed connections and that were declared lost.
    pub packets_lost: u64,
    /// Streams that we opened.
    pub streams_opened: u64,
    /// Streams of peers that were served.
    pub streams_served: u64,
    /// Streams of peers that were refused or whose beginning was not valid.
    pub streams_refused: u64,
    /// Idempotent requests that were served on early data.
    pub early_served: u64,
    /// Messages of ours that were acknowledged.
    pub messages_sent: u64,
    /// Messages of peers that were taken.
    pub messages_received: u64,
    /// Messages that came again and were acknowledged again.
    pub messages_repeated: u64,
}

/// How many known peers are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateCounts([u64; PeerState::ALL.len()]);

impl StateCounts {
    /// Counts.
    pub(crate) fn of(states: impl IntoIterator<Item = PeerState>) -> Self {
        let mut counts = Self::default();
        for state in states {
            for (count, counted) in counts.0.iter_mut().zip(PeerState::ALL) {
                *count += u64::from(counted == state);
            }
        }
        counts
    }

    /// Each state with its count, in the order of [`PeerState::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (PeerState, u64)> {
        PeerState::ALL.into_iter().zip(self.0)
    }
}

/// The allowlist as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AllowlistInfo {
    /// What happens to peers that nobody named.
    pub mode: Mode,
    /// Allowed by name.
    pub allowed: Vec<PeerId>,
    /// Denied by name.
    pub denied: Vec<PeerId>,
    /// Newcomers of mode learn.
    pub learned: Vec<PeerId>,
}
