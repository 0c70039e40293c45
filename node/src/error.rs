//! What can go wrong, one type for each operation.
//!
//! Each has a `kind`: one of the few words that scripts may rely on.

use std::time::Duration;

use pinhole_proto::message::Refusal;
use pinhole_proto::{BoundError, CloseCode, PeerId, Protocol};
use pinhole_transport::{BindError, Closed, DialError, StreamError};
use thiserror::Error;

use crate::liveness::LivenessConfigError;
use crate::peers::PeerRefused;

/// Why a node did not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// No socket could be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// `start` was called outside of a tokio runtime.
    #[error("a node needs a tokio runtime: call `start` within one")]
    NoRuntime,
    /// The operating system gave no randomness.
    #[error("the operating system gives no random bytes: {0}")]
    Randomness(getrandom::Error),
    /// The times of liveness contradict each other.
    #[error("the liveness configuration: {0}")]
    Liveness(#[from] LivenessConfigError),
    /// The same protocol was registered twice, or it is one that every node serves.
    #[error("the protocol {0} is already served; register each protocol once")]
    Protocol(Protocol),
    /// A wanted peer cannot be taken.
    #[error("the peer {peer} cannot be added: {why}")]
    Peer {
        /// Whom.
        peer: PeerId,
        /// Why.
        why: PeerRefused,
    },
}

impl StartError {
    /// The kind of error, for scripts.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Bind(BindError::InUse { .. }) => "busy",
            _ => "usage",
        }
    }
}

/// Why there is no connection to a peer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Silence, which is all that a stranger gets.
    #[error("no answer: wrong id or network, offline, or not allowed")]
    NoAnswer,
    /// The peer ended the connection while it was being set up.
    #[error("the connection was not set up: {0}")]
    Closed(Closed),
    /// None of the names could be resolved.
    #[error("cannot resolve {names}: {why}; check the spelling and the DNS of this machine")]
    Unresolved {
        /// The names.
        names: String,
        /// What the resolver said.
        why: String,
    },
    /// The only known ways to the peer are ones that this node cannot use.
    #[error("no direct address of this peer is known; dial it as PEER@HOST:PORT")]
    NoDirectAddress,
    /// The peer cannot be dialed.
    #[error(transparent)]
    Refused(#[from] PeerRefused),
    /// The dial could not begin.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// Somebody disconnected the peer meanwhile.
    #[error("the dial was given up, because the peer was disconnected meanwhile")]
    Cancelled,
    /// The node has stopped.
    #[error("the node has stopped; start it again")]
    Stopped,
}

impl ConnectError {
    /// The kind of error, for scripts.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NoAnswer => "timeout",
            Self::Refused(PeerRefused::Denied) => "denied",
            Self::Closed(closed) if closed.code == Some(CloseCode::Denied) => "denied",
            Self::Refused(PeerRefused::NoAddress) | Self::NoDirectAddress => "not_found",
            Self::Refused(PeerRefused::Ourselves)
            | Self::Dial(DialError::Ourselves(_) | DialError::UnusableKey(_)) => "usage",
            Self::Refused(PeerRefused::Full { .. })
            | Self::Dial(DialError::TooManyConnections(_)) => "busy",
            Self::Stopped => "not_running",
            _ => "unreachable",
        }
    }
}

/// Why a stream was not opened.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// There is no connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The connection has no stream to give.
    #[error(transparent)]
    Stream(#[from] StreamError),
}

impl OpenError {
    /// The kind of error, for scripts.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Connect(error) => error.kind(),
            Self::Stream(error) => stream_kind(error),
        }
    }
}

/// Why a request has no reply.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RequestError {
    /// There is no connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The stream failed.
    #[error("the request failed: {0}")]
    Stream(#[from] StreamError),
    /// The reply took too long.
    #[error("no reply within {0:?}; the peer is slow or away, try again")]
    Timeout(Duration),
    /// The peer ended the stream without a reply.
    #[error("the peer ended the exchange without a reply")]
    NoReply,
    /// The reply cannot be read.
    #[error("the peer's reply is not valid: {0}")]
    Invalid(String),
}

impl RequestError {
    /// The kind of error, for scripts.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Connect(error) => error.kind(),
            Self::Stream(error) => stream_kind(error),
            Self::Timeout(_) => "timeout",
            Self::NoReply | Self::Invalid(_) => "unreachable",
        }
    }
}

impl From<OpenError> for RequestError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Connect(error) => Self::Connect(error),
            OpenError::Stream(error) => Self::Stream(error),
        }
    }
}

impl From<pinhole_transport::RequestError> for RequestError {
    fn from(error: pinhole_transport::RequestError) -> Self {
        match error {
            pinhole_transport::RequestError::Connect(error) => Self::Connect(error.into()),
            pinhole_transport::RequestError::Stream(error) => Self::Stream(error),
            other => Self::Invalid(other.to_string()),
        }
    }
}

impl From<pinhole_transport::ConnectError> for ConnectError {
    fn from(error: pinhole_transport::ConnectError) -> Self {
        match error {
            pinhole_transport::ConnectError::Closed(closed) => Self::Closed(closed),
            _ => Self::NoAnswer,
        }
    }
}

/// Why a message was not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SendError {
    /// The message does not fit the protocol.
    #[error("the message cannot be sent: {0}")]
    TooLong(#[from] BoundError),
    /// A chat message is text.
    #[error("a chat message has to be UTF-8 text; send bytes as kind data")]
    NotText,
    /// The exchange failed. The message may have arrived.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The receiver's node answered that it does not take the message.
    #[error("the message was not taken: {0}")]
    Refused(Refusal),
}

impl SendError {
    /// The kind of error, for scripts.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::TooLong(_) | Self::NotText => "usage",
            Self::Request(error) => error.kind(),
            Self::Refused(Refusal::Full) => "busy",
            Self::Refused(_) => "denied",
        }
    }
}

/// A node that stopped by itself: one of its tasks ended or panicked, which is a fault in pinhole
/// or in a protocol handler.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "the node stopped because its {task} failed: {message}; restart it, and please report this"
)]
pub struct NodeFailed {
    /// Which task.
    pub task: String,
    /// What it said.
    pub message: String,
}

fn stream_kind(error: &StreamError) -> &'static str {
    use pinhole_proto::StreamCode;
    match error {
        StreamError::Refused(code) if *code == StreamCode::Denied => "denied",
        StreamError::Refused(code) if *code == StreamCode::Busy => "busy",
        StreamError::TooLong { .. } => "usage",
        _ => "unreachable",
    }
}
