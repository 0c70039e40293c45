//! What can go wrong, one type for each operation.

use std::{fmt, io, net::SocketAddr};

use pinhole_proto::{CloseCode, PeerId, StreamCode};

use crate::connection::MAX_REASON;

/// Why an endpoint could not be bound.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// Another socket has the address.
    #[error(
        "cannot listen on {addr}: another program uses this port; stop it or choose another port"
    )]
    InUse {
        /// The address that was asked for.
        addr: SocketAddr,
    },
    /// The system refused.
    #[error("cannot listen on {addr}: {source}")]
    Failed {
        /// The address that was asked for.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Too few or too many addresses.
    #[error("cannot listen on {given} addresses; give 1 to {max}")]
    Count {
        /// How many were given.
        given: usize,
        /// How many there may be.
        max: usize,
    },
}

/// Why a dial could not even begin.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum DialError {
    /// The id is our own.
    #[error("{0} is this node itself")]
    Ourselves(PeerId),
    /// The id is a key of small order, which nobody can hold.
    #[error("{0} is not a usable key")]
    UnusableKey(PeerId),
    /// There is no address to dial.
    #[error("no address known for {0}: give one as PEER@HOST:PORT")]
    NoCandidates(PeerId),
    /// No socket of ours can reach any of the addresses.
    #[error("none of the addresses of {0} is of a family that we listen on")]
    NoFamily(PeerId),
    /// All connections that the configuration allows are in use.
    #[error("{0} connections are open, as many as the configuration allows")]
    TooManyConnections(usize),
    /// The endpoint was closed.
    #[error("the endpoint is closed")]
    EndpointClosed,
}

/// Why a connection was not established.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectError {
    /// Silence: all that a stranger gets.
    #[error("no answer: wrong id or network, offline, or not allowed")]
    NoAnswer,
    /// The peer did not confirm its handshake in time.
    #[error("the peer began a handshake and did not finish it")]
    NotConfirmed,
    /// The connection was closed before it was established.
    #[error("{0}")]
    Closed(Closed),
}

/// Who ended a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClosedBy {
    /// We did.
    Us,
    /// The peer did.
    Peer,
    /// The peer restarted and does not know the connection any more.
    Reset,
    /// Nothing came for longer than the idle timeout.
    Silence,
    /// A rule of the protocol was broken.
    Protocol,
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// Who ended it.
    pub by: ClosedBy,
    /// The code that was given, if one was.
    pub code: Option<CloseCode>,
    /// What was said, for people; at most 256 bytes of what a peer said.
    pub reason: String,
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.by {
            ClosedBy::Us => write!(f, "closed by us")?,
            ClosedBy::Peer => write!(f, "closed by the peer")?,
            ClosedBy::Reset => write!(f, "the peer restarted")?,
            ClosedBy::Silence => write!(f, "nothing came from the peer for too long")?,
            ClosedBy::Protocol => write!(f, "closed after a protocol error")?,
        }
        if let Some(code) = &self.code {
            write!(f, " ({code})")?;
        }
        if !self.reason.is_empty() {
            write!(f, ": {}", self.reason)?;
        }
        Ok(())
    }
}

impl From<quinn::ConnectionError> for Closed {
    fn from(error: quinn::ConnectionError) -> Self {
        use quinn::ConnectionError as E;
        let new = |by, code, reason: String| Self { by, code, reason };
        match error {
            E::ApplicationClosed(close) => {
                let code = CloseCode::from_code(close.error_code.into_inner());
                new(ClosedBy::Peer, code, printable(&close.reason))
            }
            E::ConnectionClosed(close) => {
                let said = printable(&close.reason);
                let reason = if said.is_empty() { close.error_code.to_string() } else { said };
                new(ClosedBy::Peer, None, reason)
            }
            E::LocallyClosed => new(ClosedBy::Us, None, String::new()),
            E::TimedOut => new(ClosedBy::Silence, None, String::new()),
            E::Reset => new(ClosedBy::Reset, None, String::new()),
            other => new(ClosedBy::Protocol, None, other.to_string()),
        }
    }
}

/// At most 256 bytes of what a peer said, without control characters.
fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_REASON)]);
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// What can go wrong on a stream.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamError {
    /// The peer refused or gave up the stream, and said why.
    #[error("refused by the peer: {0}")]
    Refused(StreamCode),
    /// As [`StreamError::Refused`], with a code that the protocol of the stream defines.
    #[error("refused by the peer with code {0}")]
    RefusedWith(u64),
    /// The peer sent a frame or header that is not valid.
    #[error("the peer sent an invalid frame: {0}")]
    Invalid(String),
    /// The frame to send is longer than the protocol allows.
    #[error("a frame of {len} bytes is longer than the limit of {limit}")]
    TooLong {
        /// Bytes in the frame.
        len: usize,
        /// Bytes that the protocol allows.
        limit: usize,
    },
    /// The peer ended the stream within a frame or before an answer.
    #[error("the stream ended too early")]
    Ended,
    /// We finished or reset the stream before.
    #[error("the stream was finished by us")]
    Finished,
    /// The peer did not take part in the early data of this connection.
    #[error("early data was not accepted")]
    EarlyDataRejected,
    /// The connection is gone.
    #[error("connection lost: {0}")]
    Closed(Closed),
}

/// Why an idempotent request on first contact failed.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestError {
    /// No connection came about.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The stream failed.
    #[error(transparent)]
    Stream(#[from] StreamError),
}

/// Why a datagram was not sent or not received.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum DatagramError {
    /// Longer than the path allows now.
    #[error("the datagram is longer than the path allows")]
    TooLong,
    /// The peer takes no datagrams.
    #[error("the peer takes no datagrams")]
    Unsupported,
    /// The connection is gone.
    #[error("connection lost: {0}")]
    Closed(Closed),
}
