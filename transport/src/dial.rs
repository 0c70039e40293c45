//! A dial under way, and requests on first contact (shell), SPEC §4.6.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use pinhole_proto::{PeerId, Protocol};
use quinn::{RecvStream, SendStream, ZeroRttAccepted};
use tokio::sync::Mutex;

use crate::{
    Closed, ClosedBy, ConnectError, Connection, RequestError, StreamError,
    connection::closed,
    stream::{Receiver, Sender},
};

/// A protocol that declares itself idempotent: one request frame, one reply frame, and no harm
/// if the request is carried out twice or for somebody who only recorded it.
///
/// Only such a protocol can be used with [`Dial::request`], because early data can be replayed
/// (SPEC §4.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotentProtocol {
    protocol: Protocol,
    limit: usize,
}

impl IdempotentProtocol {
    /// Declares `protocol`, whose frames have at most `limit` bytes, to be idempotent.
    pub fn new(protocol: Protocol, limit: usize) -> Self {
        Self { protocol, limit }
    }

    /// The protocol.
    pub fn protocol(&self) -> &Protocol {
        &self.protocol
    }

    /// Bytes that a frame of it may have.
    pub fn limit(&self) -> usize {
        self.limit
    }
}

/// A dial under way. Dropping it gives the dial up.
pub struct Dial {
    connection: Connection,
    /// Whether early data was accepted; known once the handshake is over.
    early: Mutex<Early>,
    handshakes: Arc<AtomicU64>,
}

enum Early {
    Pending(ZeroRttAccepted),
    Known(bool),
}

impl Dial {
    pub(crate) fn new(
        connection: Connection,
        accepted: ZeroRttAccepted,
        handshakes: Arc<AtomicU64>,
    ) -> Self {
        Self { connection, early: Mutex::new(Early::Pending(accepted)), handshakes }
    }

    /// The peer that is dialed.
    pub fn peer(&self) -> PeerId {
        self.connection.peer()
    }

    /// Sends an idempotent request with the first datagram and returns the reply: one round trip
    /// after the dial began. If the peer takes no early data, the request is sent again once the
    /// handshake is over.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn request(
        &self,
        protocol: &IdempotentProtocol,
        body: &[u8],
    ) -> Result<Vec<u8>, RequestError> {
        match self.attempt(protocol, body).await {
            Err(StreamError::EarlyDataRejected) => {}
            Err(StreamError::Closed(closed)) => return Err(connect_error(closed).into()),
            other => return Ok(other?),
        }
        self.handshake().await?;
        Ok(self.attempt(protocol, body).await?)
    }

    async fn attempt(
        &self,
        protocol: &IdempotentProtocol,
        body: &[u8],
    ) -> Result<Vec<u8>, StreamError> {
        let (send, recv) = self.connection.quinn().open_bi().await.map_err(closed)?;
        exchange(send, recv, protocol, body).await
    }

    /// Waits until the peer is authenticated: one round trip after the dial began.
    ///
    /// # Errors
    /// [`ConnectError::NoAnswer`] after the idle timeout; a caller's own timeout comes first.
    pub async fn established(&self) -> Result<Connection, ConnectError> {
        self.handshake().await?;
        Ok(self.connection.clone())
    }

    /// Whether early data was accepted, once the handshake is over.
    async fn handshake(&self) -> Result<bool, ConnectError> {
        let mut early = self.early.lock().await;
        if let Early::Pending(accepted) = &mut *early {
            let accepted = accepted.await;
            self.connection.check()?;
            self.handshakes.fetch_add(1, Ordering::Relaxed);
            *early = Early::Known(accepted);
        }
        match *early {
            Early::Known(accepted) => Ok(accepted),
            Early::Pending(_) => Err(ConnectError::NoAnswer),
        }
    }
}

impl fmt::Debug for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dial").field("peer", &self.peer()).finish_non_exhaustive()
    }
}

async fn exchange(
    send: SendStream,
    recv: RecvStream,
    protocol: &IdempotentProtocol,
    body: &[u8],
) -> Result<Vec<u8>, StreamError> {
    let mut sender = Sender::new(send, protocol.limit);
    sender.queue_header(&protocol.protocol);
    sender.send(body).await?;
    sender.finish().await?;
    Receiver::new(recv, protocol.limit).recv_only().await
}

/// Silence during a handshake is all that a stranger gets.
pub(crate) fn connect_error(closed: Closed) -> ConnectError {
    match closed.by {
        ClosedBy::Silence => ConnectError::NoAnswer,
        _ => ConnectError::Closed(closed),
    }
}
