//! What can be wrong with an address. SPEC §3.4.

use thiserror::Error;

use super::MAX_CANDIDATES;
use crate::id::ParsePeerIdError;

/// Why a candidate cannot be dialed by anybody. SPEC §3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AddrError {
    /// Port 0.
    #[error("port 0 cannot be dialed; write the port that the peer's node prints when it starts")]
    Port,
    /// `0.0.0.0` or `::`.
    #[error(
        "an unspecified address (0.0.0.0 or ::) means every address of the listening machine; \
         write the one at which others reach it"
    )]
    Unspecified,
    /// A multicast or broadcast address.
    #[error("a multicast or broadcast address is not the address of one peer")]
    Multicast,
    /// An IPv4 address mapped into IPv6, on the wire.
    #[error("an IPv4 address has to be sent as such, not mapped into IPv6")]
    Mapped,
}

/// Why a text is not an address. SPEC §3.4.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParseAddrError {
    /// Nothing where an address should be.
    #[error("the address is empty; write PEER, PEER@HOST:PORT or one of the other forms")]
    Empty,
    /// White space or a control character.
    #[error("an address has no white space or control characters; look for a line break in it")]
    Space,
    /// The peer's id is wrong.
    #[error("{0}")]
    Peer(#[source] ParsePeerIdError),
    /// The id of the relay is wrong.
    #[error("in the relay's id: {0}")]
    RelayPeer(#[source] ParsePeerIdError),
    /// An address without a peer.
    #[error("the address says where and not who; write PEER@{0}, where PEER begins with pin1")]
    NoPeer(String),
    /// The peers before `@` and after `/p2p/` differ.
    #[error("the address names two different peers, before the @ and after /p2p/")]
    TwoPeers,
    /// No port.
    #[error("the port is missing; write {0}:PORT (a node listens on 4433 unless told otherwise)")]
    NoPort(String),
    /// The port is no number from 1 to 65535.
    #[error("{0:?} is not a port; write a number from 1 to 65535")]
    Port(String),
    /// A bracket of an IPv6 address is missing.
    #[error("an IPv6 address is written in brackets, as in [2001:db8::1]:4433")]
    Brackets,
    /// An IPv6 zone.
    #[error(
        "an IPv6 zone (the part after %) has a meaning on one machine only; use an address without"
    )]
    Zone,
    /// It should be an IP address.
    #[error("{0:?} is not an IP address; write four numbers from 0 to 255, or an IPv6 address")]
    Ip(String),
    /// It is not a host name.
    #[error("{0:?} is not a host name; letters, digits and hyphens, with dots between")]
    Name(String),
    /// A host name with other characters than ASCII.
    #[error("{0:?} is not ASCII; write the name in its xn-- form")]
    Unicode(String),
    /// A multiaddr of a protocol that pinhole does not speak.
    #[error("/{found} is not something that pinhole dials; {instead}")]
    Multiaddr {
        /// The protocol.
        found: String,
        /// What to write.
        instead: &'static str,
    },
    /// A multiaddr that ends early or goes on.
    #[error("{0:?} is not complete; write /ip4/ADDRESS/udp/PORT, or ip6, dns, dns4, dns6")]
    Incomplete(String),
    /// A form that is none of ours.
    #[error("{0}:// is not a form that pinhole knows; write HOST:PORT, or tls://HOST:PORT")]
    Scheme(String),
    /// `relay/` without `RELAY@HOST:PORT`.
    #[error("a relayed address is written PEER@relay/RELAY@HOST:PORT")]
    Relay,
    /// Too many candidates in one address.
    #[error("an address has at most {max} candidates", max = MAX_CANDIDATES)]
    TooMany,
    /// The parts are well written, and nobody can be dialed there.
    #[error(transparent)]
    Useless(#[from] AddrError),
}

impl AddrError {
    /// The name of the error in the vectors.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Port => "port",
            Self::Unspecified => "unspecified",
            Self::Multicast => "multicast",
            Self::Mapped => "mapped",
        }
    }
}

impl ParseAddrError {
    /// The name of the error in the vectors and in SPEC §3.4.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Space => "space",
            Self::Peer(_) => "peer",
            Self::RelayPeer(_) => "relay_peer",
            Self::NoPeer(_) => "no_peer",
            Self::TwoPeers => "two_peers",
            Self::NoPort(_) => "no_port",
            Self::Port(_) => "port",
            Self::Brackets => "brackets",
            Self::Zone => "zone",
            Self::Ip(_) => "ip",
            Self::Name(_) => "name",
            Self::Unicode(_) => "unicode",
            Self::Multiaddr { .. } => "multiaddr",
            Self::Incomplete(_) => "incomplete",
            Self::Scheme(_) => "scheme",
            Self::Relay => "relay",
            Self::TooMany => "too_many",
            Self::Useless(error) => error.kind(),
        }
    }
}
