//! A connection that a peer opens, until it is confirmed (shell), SPEC §4.6, §5.4.

use std::{fmt, net::SocketAddr, sync::Arc};

use pinhole_proto::{CloseCode, HEADER_LIMIT, PeerId, Protocol, StreamCode};
use quinn::{RecvStream, SendStream, ZeroRttAccepted};
use tokio::{sync::Mutex, time::Instant};

use crate::{
    ConnectError, Connection, StreamError,
    connection::var_int,
    endpoint::Settle,
    stream::{Receiver, Sender, refuse},
};

/// A connection whose first packet authenticated. Whoever sent it may have recorded it: the peer
/// is proven live only by [`Inbound::confirmed`]. Dropping it ends the connection.
pub struct Inbound {
    connection: Connection,
    confirmation: Mutex<Confirmation>,
    early: Arc<[Protocol]>,
    deadline: Instant,
    settle: Settle,
}

enum Confirmation {
    Pending(ZeroRttAccepted),
    Known(Result<(), ConnectError>),
}

impl Inbound {
    pub(crate) fn new(
        connection: Connection,
        accepted: ZeroRttAccepted,
        early: Arc<[Protocol]>,
        deadline: Instant,
        settle: Settle,
    ) -> Self {
        let confirmation = Mutex::new(Confirmation::Pending(accepted));
        Self { connection, confirmation, early, deadline, settle }
    }

    /// Who the dialer says it is. Safe against forgery, not yet against replay.
    pub fn claimed_peer(&self) -> PeerId {
        self.connection.peer()
    }

    /// Where its first packet came from.
    pub fn remote_addr(&self) -> SocketAddr {
        self.connection.remote_addr()
    }

    /// The next stream that came before the confirmation; `None` once the connection is
    /// confirmed or over. Cancel safe.
    pub async fn accept_early(&self) -> Option<EarlyOffer> {
        tokio::select! {
            biased;
            _ = self.confirmation() => None,
            stream = self.connection.quinn().accept_bi() => {
                let (send, recv) = stream.ok()?;
                // The handshake was completed after the first branch looked: an ordinary stream.
                if !recv.is_0rtt() {
                    self.connection.hold(send, recv);
                    return None;
                }
                Some(EarlyOffer { send, recv, allowed: self.early.clone() })
            }
        }
    }

    /// Waits until the dialer is proven live, at most 5 s after its first packet.
    ///
    /// # Errors
    /// [`ConnectError::NotConfirmed`] when the time is over, or how the connection ended.
    pub async fn confirmed(self) -> Result<Connection, ConnectError> {
        self.confirmation().await?;
        Ok(self.connection)
    }

    async fn confirmation(&self) -> Result<(), ConnectError> {
        let mut confirmation = self.confirmation.lock().await;
        if let Confirmation::Pending(accepted) = &mut *confirmation {
            let outcome = match tokio::time::timeout_at(self.deadline, accepted).await {
                Err(_) => {
                    let code = CloseCode::HandshakeTimeout;
                    self.connection.quinn().close(var_int(code.code()), b"");
                    Err(ConnectError::NotConfirmed)
                }
                Ok(_) => self.connection.check(),
            };
            self.settle.now(outcome.is_ok());
            *confirmation = Confirmation::Known(outcome);
        }
        match &*confirmation {
            Confirmation::Known(outcome) => outcome.clone(),
            Confirmation::Pending(_) => Err(ConnectError::NotConfirmed),
        }
    }
}

impl fmt::Debug for Inbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbound")
            .field("claimed_peer", &self.claimed_peer())
            .finish_non_exhaustive()
    }
}

/// A stream of early data, before its header was read.
#[derive(Debug)]
pub struct EarlyOffer {
    send: SendStream,
    recv: RecvStream,
    allowed: Arc<[Protocol]>,
}

impl EarlyOffer {
    /// Reads the header. Refuses the stream unless its protocol is one of
    /// [`Config::early_protocols`](crate::Config::early_protocols): early data carries no
    /// authority (SPEC §4.6).
    ///
    /// # Errors
    /// [`StreamError::Refused`] if the protocol may not use early data.
    pub async fn open(self, limit: usize) -> Result<EarlyStream, StreamError> {
        let mut sender = Sender::new(self.send, limit);
        let mut receiver = Receiver::new(self.recv, HEADER_LIMIT);
        let protocol = match receiver.header().await {
            Ok(protocol) if self.allowed.contains(&protocol) => protocol,
            Ok(_) => {
                sender.refuse(&mut receiver, StreamCode::EarlyData);
                return Err(StreamError::Refused(StreamCode::EarlyData));
            }
            Err(error) => {
                let code = receiver.refused.unwrap_or(StreamCode::Malformed);
                sender.refuse(&mut receiver, code);
                return Err(error);
            }
        };
        receiver.set_limit(limit);
        Ok(EarlyStream { protocol, sender, receiver })
    }

    /// Refuses the stream.
    pub fn refuse(mut self, code: StreamCode) {
        refuse(&mut self.send, &mut self.recv, code);
    }
}

/// An idempotent request that may be a replay: it comes without an identity.
#[derive(Debug)]
pub struct EarlyStream {
    protocol: Protocol,
    sender: Sender,
    receiver: Receiver,
}

impl EarlyStream {
    /// The protocol that the header named.
    pub fn protocol(&self) -> &Protocol {
        &self.protocol
    }

    /// The request; `None` if there is none.
    ///
    /// # Errors
    /// See [`StreamError`].
    pub async fn recv(&mut self) -> Result<Option<Vec<u8>>, StreamError> {
        self.receiver.recv().await
    }

    /// Sends the reply and ends the stream.
    ///
    /// # Errors
    /// See [`StreamError`].
    pub async fn reply(mut self, frame: &[u8]) -> Result<(), StreamError> {
        self.sender.send(frame).await?;
        self.sender.finish().await?;
        self.receiver.end().await
    }

    /// Refuses the request.
    pub fn refuse(mut self, code: StreamCode) {
        self.sender.refuse(&mut self.receiver, code);
    }
}
