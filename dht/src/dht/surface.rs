//! What goes in and out of a [`Dht`](super::Dht) beside messages.

use pinhole_proto::dht::{Contact, Find, Store};
use pinhole_proto::message::Exchange;
use pinhole_proto::{Candidate, PeerId, Protocol, Record, RecordError};
use thiserror::Error;

/// A request that the shell should send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// For [`handle_reply`](super::Dht::handle_reply) and
    /// [`handle_failure`](super::Dht::handle_failure); every transmit gets one of them.
    pub id: RequestId,
    /// To whom, and where to dial unless there is a connection.
    pub to: Contact,
    /// Which protocol.
    pub rpc: Rpc,
    /// The body of the request's frame.
    pub body: Vec<u8>,
    /// A connection that the other side opened does not count: it would not show that others can
    /// reach the peer.
    pub fresh: bool,
}

/// The protocol of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rpc {
    /// `find/1`: may be early data.
    Find,
    /// `store/1`: needs a confirmed connection.
    Store,
}

impl Rpc {
    /// The name on the stream.
    #[must_use]
    pub fn protocol(self) -> Protocol {
        match self {
            Self::Find => Find::PROTOCOL,
            Self::Store => Store::PROTOCOL,
        }
    }

    /// The longest reply, in bytes of the frame's body.
    #[must_use]
    pub const fn reply_limit(self) -> usize {
        match self {
            Self::Find => Find::REPLY_LIMIT,
            Self::Store => Store::REPLY_LIMIT,
        }
    }
}

/// Names a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Names an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationId(pub u64);

/// Why a request was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// Nobody answered, somebody else did, or the peer refused or broke a rule.
    Peer,
    /// It is our own doing: no network, too many dials, the allowlist. Says nothing of the peer.
    Local,
}

/// Whether others can reach us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// They cannot, or we do not want it: we ask and do not serve.
    Client,
    /// They can: we serve `find/1` and `store/1`.
    Server,
}

/// The answer to a request of `find/1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FindAnswer {
    /// The body of the reply's frame.
    pub body: Vec<u8>,
    /// The peer says that it serves: once the connection is confirmed, tell
    /// [`handle_came`](super::Dht::handle_came).
    pub serves: bool,
}

/// Something for the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A peer that was looked for may be here.
    Located {
        /// For which operation.
        operation: OperationId,
        /// Who.
        peer: PeerId,
        /// Where.
        candidates: Vec<Candidate>,
        /// Who says so.
        proof: Proof,
        /// Round trips that it took.
        hops: u8,
    },
    /// A valid record that was looked for: the first, a newer one, or another provider.
    Record {
        /// For which operation.
        operation: OperationId,
        /// The record, verified.
        record: Box<Record>,
        /// Round trips that it took.
        hops: u8,
    },
    /// An operation is over.
    Finished {
        /// Which.
        operation: OperationId,
        /// What came of it.
        outcome: Outcome,
    },
}

/// Who says that a peer is somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The peer itself, by its signature.
    Signed,
    /// It answered us there.
    Reached,
    /// Somebody else; the handshake will show.
    Named,
}

/// What came of an operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Something was found, or, of a put, somebody keeps it.
    pub found: bool,
    /// Requests of the lookup.
    pub asked: usize,
    /// Of a put: nodes that keep the record.
    pub kept: usize,
    /// Of a put: the greatest sequence of a newer record that somebody has.
    pub older_than: Option<u64>,
    /// The region was crowded, and more nodes than usual were asked.
    pub crowded: bool,
}

/// Why an operation was not started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DhtError {
    /// Nobody is known who could be asked.
    #[error("no node of the network is known yet; connect to a peer that others can reach")]
    NoContacts,
    /// There are as many operations or publications as the configuration allows.
    #[error("too many lookups are under way; try again in a few seconds")]
    Busy,
    /// The record would be refused by others.
    #[error(transparent)]
    Record(#[from] RecordError),
}
