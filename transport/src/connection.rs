//! An established connection (shell).

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use pinhole_proto::{CloseCode, PeerId, Protocol};
use quinn::{RecvStream, SendDatagramError, SendStream, VarInt};

use crate::{
    Closed, ConnectError, DatagramError, Offer, Stream, StreamError, Suite, Vitals,
    dial::connect_error, lock, paths::DialId, pulse::Pulse, socket::Shared,
};

/// Bytes of the reason of a close, sent or read (SPEC §8.6).
pub(crate) const MAX_REASON: usize = 256;
/// Bytes in the label of an exported key (SPEC §4.5.3).
pub(crate) const MAX_EXPORT_LABEL: usize = 200;

/// An authenticated QUIC connection to a peer. A handle: clones share the connection, which
/// closes when the last handle and the last stream of it are gone.
#[derive(Clone)]
pub struct Connection(Arc<Inner>);

struct Inner {
    quinn: quinn::Connection,
    peer: PeerId,
    id: u64,
    dial: Option<DialId>,
    pulse: Arc<Pulse>,
    shared: Arc<Shared>,
    /// A stream that was taken off quinn's queue while the confirmation came.
    held: Mutex<Option<(SendStream, RecvStream)>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(dial) = self.dial {
            lock(&self.shared.paths).handle_closed(dial, crate::endpoint::now());
        }
    }
}

/// What a connection measured since it was established.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionStats {
    /// Smoothed round-trip time.
    pub rtt: Duration,
    /// Smallest round-trip time seen.
    pub min_rtt: Duration,
    /// Bytes of UDP payload sent.
    pub bytes_sent: u64,
    /// Bytes of UDP payload received.
    pub bytes_received: u64,
    /// QUIC packets sent.
    pub packets_sent: u64,
    /// QUIC packets sent that were declared lost.
    pub packets_lost: u64,
    /// Largest UDP payload that is known to pass, in bytes.
    pub mtu: u16,
}

impl Connection {
    pub(crate) fn new(
        quinn: quinn::Connection,
        peer: PeerId,
        id: u64,
        dial: Option<DialId>,
        pulse: Arc<Pulse>,
        shared: Arc<Shared>,
    ) -> Self {
        Self(Arc::new(Inner { quinn, peer, id, dial, pulse, shared, held: Mutex::new(None) }))
    }

    pub(crate) fn quinn(&self) -> &quinn::Connection {
        &self.0.quinn
    }

    /// Gives back a stream that is to be accepted first.
    pub(crate) fn hold(&self, send: SendStream, recv: RecvStream) {
        *lock(&self.0.held) = Some((send, recv));
    }

    /// Closes a connection whose peer takes no datagrams: it could not be asked whether it lives
    /// (SPEC §10.2).
    pub(crate) fn check(&self) -> Result<(), ConnectError> {
        if self.close_reason().is_none() && self.max_datagram_size().is_none() {
            self.close(CloseCode::ProtocolViolation, "max_datagram_frame_size is missing");
        }
        self.close_reason().map_or(Ok(()), |closed| Err(connect_error(closed)))
    }

    /// The peer, proven by the handshake.
    pub fn peer(&self) -> PeerId {
        self.0.peer
    }

    /// A number for this connection, unique in its endpoint.
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// Whether we dialed.
    pub fn dialed(&self) -> bool {
        self.0.dial.is_some()
    }

    /// The address to which our packets go now.
    pub fn remote_addr(&self) -> SocketAddr {
        let chosen = self.0.dial.and_then(|dial| lock(&self.0.shared.paths).chosen(dial));
        chosen.unwrap_or_else(|| self.0.quinn.remote_address())
    }

    /// The cipher suite that protects the packets.
    pub fn suite(&self) -> Suite {
        let data = self.0.quinn.handshake_data().and_then(|data| data.downcast::<Suite>().ok());
        data.map_or(Suite::ChaCha20Poly1305, |suite| *suite)
    }

    /// Opens a stream for `protocol`, whose frames have at most `limit` bytes. Waits while the
    /// peer allows no more streams. The header leaves with the first frame.
    ///
    /// # Errors
    /// [`StreamError::Closed`] when the connection is gone.
    pub async fn open(&self, protocol: &Protocol, limit: usize) -> Result<Stream, StreamError> {
        let (send, recv) = self.0.quinn.open_bi().await.map_err(closed)?;
        Ok(Stream::opened(self.clone(), send, recv, protocol, limit))
    }

    /// The next stream that the peer opened. Cancel safe; the header is read from the
    /// [`Offer`], so that a slow stream holds up no other.
    ///
    /// # Errors
    /// [`StreamError::Closed`] when the connection is gone.
    pub async fn accept(&self) -> Result<Offer, StreamError> {
        let held = lock(&self.0.held).take();
        let (send, recv) = match held {
            Some(held) => held,
            None => self.0.quinn.accept_bi().await.map_err(closed)?,
        };
        Ok(Offer::new(self.clone(), send, recv))
    }

    /// Smoothed round-trip time.
    pub fn rtt(&self) -> Duration {
        self.0.quinn.rtt()
    }

    /// Signs of life of the peer. Costs a few loads: no lock, no call of the system.
    pub fn vitals(&self) -> Vitals {
        self.0.pulse.vitals()
    }

    /// What was measured so far.
    pub fn stats(&self) -> ConnectionStats {
        let stats = self.0.quinn.stats();
        ConnectionStats {
            rtt: stats.path.rtt,
            min_rtt: self.0.quinn.min_rtt(),
            bytes_sent: stats.udp_tx.bytes,
            bytes_received: stats.udp_rx.bytes,
            packets_sent: stats.path.sent_packets,
            packets_lost: stats.path.lost_packets,
            mtu: stats.path.current_mtu,
        }
    }

    /// Sends an unreliable datagram. If the buffer is full the oldest waiting one is dropped.
    ///
    /// # Errors
    /// See [`DatagramError`].
    pub fn send_datagram(&self, datagram: Bytes) -> Result<(), DatagramError> {
        self.0.quinn.send_datagram(datagram).map_err(|error| match error {
            SendDatagramError::TooLarge => DatagramError::TooLong,
            SendDatagramError::ConnectionLost(error) => DatagramError::Closed(error.into()),
            _ => DatagramError::Unsupported,
        })
    }

    /// The next datagram from the peer. Cancel safe.
    ///
    /// # Errors
    /// [`DatagramError::Closed`] when the connection is gone.
    pub async fn read_datagram(&self) -> Result<Bytes, DatagramError> {
        self.0.quinn.read_datagram().await.map_err(|error| DatagramError::Closed(error.into()))
    }

    /// The longest datagram that fits now, in bytes; `None` if the peer takes none.
    pub fn max_datagram_size(&self) -> Option<usize> {
        self.0.quinn.max_datagram_size()
    }

    /// A key that only the two ends of this connection know (SPEC §4.5.3). `label` has at most
    /// 200 bytes.
    ///
    /// # Errors
    /// [`StreamError::Invalid`] if `label` is too long.
    pub fn export_key(&self, label: &[u8], context: &[u8]) -> Result<[u8; 32], StreamError> {
        let mut key = [0; 32];
        self.0.quinn.export_keying_material(&mut key, label, context).map_err(|_| {
            StreamError::Invalid("the exporter label is longer than 200 bytes".into())
        })?;
        Ok(key)
    }

    /// Changes the packet keys now (RFC 9001 §6); they change by themselves in time.
    pub fn force_key_update(&self) {
        self.0.quinn.force_key_update();
    }

    /// Closes the connection at once. `reason` is for people; 256 bytes of it arrive.
    pub fn close(&self, code: CloseCode, reason: &str) {
        self.0
            .quinn
            .close(var_int(code.code()), &reason.as_bytes()[..reason.len().min(MAX_REASON)]);
    }

    /// Waits until the connection is over.
    pub async fn closed(&self) -> Closed {
        self.0.quinn.closed().await.into()
    }

    /// How the connection ended, if it did.
    pub fn close_reason(&self) -> Option<Closed> {
        self.0.quinn.close_reason().map(Closed::from)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("peer", &self.0.peer)
            .field("id", &self.0.id)
            .field("dialed", &self.dialed())
            .finish()
    }
}

/// A code for QUIC; every code of ours is small.
pub(crate) fn var_int(code: u64) -> VarInt {
    VarInt::from_u64(code).unwrap_or(VarInt::MAX)
}

pub(crate) fn closed(error: quinn::ConnectionError) -> StreamError {
    StreamError::Closed(error.into())
}
