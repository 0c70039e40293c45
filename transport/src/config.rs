//! What an endpoint can be told.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use pinhole_proto::{NetworkKey, PeerId, Protocol};

/// Inbound connections that may be opening at a time, by default (SPEC §5.4).
const MAX_HALF_OPEN: usize = 64;
/// Inbound connections that may open in any second, by default (SPEC §5.4).
const MAX_ACCEPTS_PER_SECOND: usize = 50;
/// QUIC's idle timeout, by default (SPEC §8.6).
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Silence after which a keep-alive is sent, by default (SPEC §8.6).
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Settings of an [`Endpoint`](crate::Endpoint). The defaults suit a small device.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// Addresses to listen on, one socket each, at most 8; port 0 takes any free port.
    pub listen: Vec<SocketAddr>,
    /// The network that this endpoint belongs to.
    pub network_key: NetworkKey,
    /// Authenticates our connection ids. Kept across restarts, it lets peers learn at once that
    /// their connection to the earlier run is gone.
    pub connection_id_key: [u8; 32],
    /// The handshake counter starts above this (SPEC §5.3). The clock is used too, so this
    /// matters only where the clock may go back.
    pub counter_floor: u64,
    /// Connections at a time, inbound and outbound together; further ones are refused.
    pub max_connections: usize,
    /// Inbound connections that may be opening at a time; beyond it dialers must show by a Retry
    /// that their address is theirs.
    pub max_half_open: usize,
    /// Inbound connections that may open in any second; a dialer beyond it gets no answer and
    /// comes again.
    pub max_accepts_per_second: usize,
    /// Streams that a peer may have open at a time on one connection.
    pub max_streams: u32,
    /// Bytes that a peer may send on one stream before we read them.
    pub stream_window: u32,
    /// Bytes that a peer may send on one connection before we read them.
    pub connection_window: u32,
    /// Bytes of ours on one connection that wait for an acknowledgement.
    pub send_window: u64,
    /// Bytes of QUIC datagrams that wait to be sent on one connection; the oldest are dropped.
    pub datagram_buffer: usize,
    /// Closes a connection after this time without a packet; `None` never does.
    pub idle_timeout: Option<Duration>,
    /// Sends a packet on a connection that was silent for this time; `None` never does.
    pub keep_alive: Option<Duration>,
    /// Idempotent protocols that are served on early data.
    pub early_protocols: Vec<Protocol>,
}

impl Config {
    /// The defaults, for an endpoint that listens on `listen`.
    pub fn new(listen: Vec<SocketAddr>) -> Self {
        Self {
            listen,
            network_key: NetworkKey::PUBLIC,
            connection_id_key: crate::random(),
            counter_floor: 0,
            max_connections: 256,
            max_half_open: MAX_HALF_OPEN,
            max_accepts_per_second: MAX_ACCEPTS_PER_SECOND,
            max_streams: 128,
            stream_window: 1_250_000,
            connection_window: 8 << 20,
            send_window: 8 << 20,
            datagram_buffer: 64 << 10,
            idle_timeout: Some(IDLE_TIMEOUT),
            keep_alive: Some(KEEP_ALIVE),
            early_protocols: Vec::new(),
        }
    }
}

/// Whom an endpoint lets in. It is asked in the gate, before any state is kept for the peer.
pub trait Admission: Send + Sync + 'static {
    /// Whether `peer` may connect to us. Must be quick.
    ///
    /// It is asked once for each Hello that is authentic and new: never for garbage, for what
    /// somebody makes up in another's name, for a packet of a connection that is opening, or for
    /// a replay of a Hello that was let in. So whom it refuses can be logged. Nothing is kept of
    /// who is refused, though: each retransmission asks again, and so does everybody who recorded
    /// a refused Hello and sends it again. Log with a limit for each peer and in all.
    fn admits(&self, peer: &PeerId) -> bool;
}

/// Lets everybody in.
#[derive(Debug, Clone, Copy, Default)]
pub struct AdmitAll;

impl Admission for AdmitAll {
    fn admits(&self, _: &PeerId) -> bool {
        true
    }
}

impl<T: Admission + ?Sized> Admission for Arc<T> {
    fn admits(&self, peer: &PeerId) -> bool {
        (**self).admits(peer)
    }
}
