//! The bodies of pinhole's first protocols. SPEC §7.
//!
//! Each protocol is an [`Exchange`]: one request, one reply, and the stream is done.

use std::fmt;
use std::net::SocketAddr;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::addr::{Candidate, MAX_CANDIDATES, wire_socket_addr};
use crate::bounded::{Bytes, List, Text};
use crate::header::Protocol;
use crate::id::PeerId;

/// A protocol of one request and one reply on a stream of its own. SPEC §7.1.
pub trait Exchange {
    /// Its name and version.
    const PROTOCOL: Protocol;
    /// The longest request, in bytes of the frame's body.
    const REQUEST_LIMIT: usize;
    /// The longest reply, in bytes of the frame's body.
    const REPLY_LIMIT: usize;
    /// Whether the request may go as early data: the same request twice does no more than once,
    /// and the answer does not depend on who asks.
    const IDEMPOTENT: bool;
    /// What the side that opens the stream sends.
    type Request: Serialize + DeserializeOwned;
    /// What the other side answers.
    type Reply: Serialize + DeserializeOwned;
}

/// `ping/1`: is the peer there, and how far away? SPEC §7.2.
#[derive(Clone, Copy, Debug)]
pub enum Ping {}

impl Exchange for Ping {
    const PROTOCOL: Protocol = Protocol::from_static("ping/1");
    const REQUEST_LIMIT: usize = 8;
    const REPLY_LIMIT: usize = 8;
    const IDEMPOTENT: bool = true;
    type Request = PingBody;
    type Reply = PingBody;
}

/// Request and reply of [`Ping`]: the reply repeats the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PingBody {
    /// Chosen by the side that asks, different for each ping; opaque to the other.
    pub nonce: [u8; 8],
}

/// `identify/1`: what the peer is, and what it sees of us. SPEC §7.3.
#[derive(Clone, Copy, Debug)]
pub enum Identify {}

impl Exchange for Identify {
    const PROTOCOL: Protocol = Protocol::from_static("identify/1");
    const REQUEST_LIMIT: usize = 0;
    const REPLY_LIMIT: usize = 8192;
    const IDEMPOTENT: bool = false;
    type Request = IdentifyRequest;
    type Reply = IdentifyReply;
}

/// The longest agent text, in bytes. SPEC §7.3.
pub const MAX_AGENT: usize = 64;
/// The most protocols that a reply lists. SPEC §7.3.
pub const MAX_PROTOCOLS: usize = 32;

/// The request of [`Identify`]: an empty body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentifyRequest {}

/// The reply of [`Identify`]. All of it is what the peer says; none of it is proven.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentifyReply {
    /// Name and version of the program, such as `pinhole/0.1.0`.
    pub agent: Text<MAX_AGENT>,
    /// The address from which the asking side's packets arrive.
    #[serde(with = "wire_socket_addr")]
    pub observed: SocketAddr,
    /// Where the answering side believes that it can be dialed; empty for who may not know.
    pub listen: List<Candidate, MAX_CANDIDATES>,
    /// The protocols that the answering side serves to the asking one.
    pub protocols: List<Protocol, MAX_PROTOCOLS>,
}

/// `message/1`: one message, acknowledged. SPEC §7.4.
#[derive(Clone, Copy, Debug)]
pub enum Deliver {}

impl Exchange for Deliver {
    const PROTOCOL: Protocol = Protocol::from_static("message/1");
    const REQUEST_LIMIT: usize = MAX_BODY + 20;
    const REPLY_LIMIT: usize = 64;
    const IDEMPOTENT: bool = false;
    type Request = Message;
    type Reply = Receipt;
}

/// The longest body of a message, in bytes. SPEC §7.4.
pub const MAX_BODY: usize = 65_536;

/// The request of [`Deliver`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Drawn at random by the sender, the same when it tries again: so a message that arrives
    /// twice is delivered once.
    pub id: MessageId,
    /// What it is for.
    pub kind: Kind,
    /// The content.
    pub body: Bytes<MAX_BODY>,
}

/// Sixteen random bytes that name a message between two peers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MessageId(pub [u8; 16]);

impl fmt::Display for MessageId {
    /// 32 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a message is for. Grows at its end. SPEC §7.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Kind {
    /// UTF-8 text for a person.
    Chat,
    /// Bytes for a program.
    Data,
    /// Bytes for a program that should overtake the other kinds.
    Control,
}

impl Kind {
    /// The name on the command line and in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Data => "data",
            Self::Control => "control",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Chat, Self::Data, Self::Control].into_iter().find(|kind| kind.as_str() == name)
    }
}

/// The reply of [`Deliver`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The message that it is about.
    pub id: MessageId,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a message. Grows at its end. SPEC §7.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Outcome {
    /// The receiver's node has it, now or from an earlier try, and will not lose it by itself.
    Accepted,
    /// The receiver's node did not take it.
    Refused(Refusal),
}

/// Why a message was not taken. Grows at its end. SPEC §7.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no room at the moment; try again later.
    Full,
    /// Nobody there takes messages of this kind.
    NotWanted,
    /// The body is not what its kind says: a chat that is not UTF-8.
    Body,
}

impl Refusal {
    /// The name in logs and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::NotWanted => "not_wanted",
            Self::Body => "body",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Full => "the receiver has no room for it now; try again later",
            Self::NotWanted => "nobody there takes messages of this kind",
            Self::Body => "a chat message has to be UTF-8 text",
        })
    }
}

/// `reach/1`: can you hear this peer? SPEC §7.6.
#[derive(Clone, Copy, Debug)]
pub enum Reach {}

impl Exchange for Reach {
    const PROTOCOL: Protocol = Protocol::from_static("reach/1");
    const REQUEST_LIMIT: usize = 32;
    const REPLY_LIMIT: usize = 64;
    const IDEMPOTENT: bool = false;
    type Request = ReachRequest;
    type Reply = Reached;
}

/// The request of [`Reach`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReachRequest {
    /// The peer that the asking side hears no more.
    pub peer: PeerId,
}

/// The reply of [`Reach`]: what the one asked found out. Grows at its end. SPEC §7.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Reached {
    /// A packet came from that peer after the question.
    Heard {
        /// The answering side's round trip to it, in milliseconds; 65535 stands for more.
        rtt_ms: u16,
    },
    /// It was probed, and nothing came.
    Silent,
    /// The answering side has no connection to it.
    NotConnected,
    /// The answering side has too many questions at the moment.
    Busy,
}

#[cfg(test)]
mod tests;
