//! [`PeerAddr`], [`Candidate`], [`Host`]: where a peer may be reached. SPEC §3.

mod error;
mod host;
mod parse;
mod wire;

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::bounded::{BoundError, List};
use crate::id::PeerId;

pub use error::{AddrError, ParseAddrError};
pub use host::{DnsName, Family, Host};
pub(crate) use wire::socket_addr as wire_socket_addr;

/// The most candidates of one peer. SPEC §3.1.
pub const MAX_CANDIDATES: usize = 8;

/// A peer and where it may be reached; with no candidates, it has to be found first. SPEC §3.1.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PeerAddr {
    /// Who.
    pub peer: PeerId,
    /// Where, in the order in which they were given.
    pub candidates: List<Candidate, MAX_CANDIDATES>,
}

impl PeerAddr {
    /// A peer of which only the id is known.
    #[must_use]
    pub fn from_id(peer: PeerId) -> Self {
        Self { peer, candidates: List::default() }
    }

    /// A peer with candidates.
    ///
    /// # Errors
    /// [`BoundError::TooLong`] for more than [`MAX_CANDIDATES`].
    pub fn new(peer: PeerId, candidates: impl Into<Vec<Candidate>>) -> Result<Self, BoundError> {
        Ok(Self { peer, candidates: List::new(candidates)? })
    }

    /// The same as one address for each candidate, as a program lists them line by line.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.candidates.iter().map(|candidate| format!("{}@{candidate}", self.peer))
    }
}

impl From<PeerId> for PeerAddr {
    fn from(peer: PeerId) -> Self {
        Self::from_id(peer)
    }
}

/// The canonical spelling: `PEER`, or `PEER@` and the candidates with commas between. SPEC §3.2.
impl fmt::Display for PeerAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.peer)?;
        for (i, candidate) in self.candidates.iter().enumerate() {
            write!(f, "{}{candidate}", if i == 0 { '@' } else { ',' })?;
        }
        Ok(())
    }
}

/// One place where a peer may be reached. SPEC §3.1.
///
/// The constructors check; whoever fills in the fields keeps to the rules of SPEC §3.1.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Candidate {
    /// A UDP port of the peer itself.
    Direct {
        /// The machine.
        host: Host,
        /// The UDP port, never 0.
        port: u16,
    },
    /// A relay to which the peer is connected.
    Relay {
        /// Who the relay is.
        relay: PeerId,
        /// The relay's machine.
        host: Host,
        /// The relay's UDP port, never 0.
        port: u16,
    },
    /// The TLS listener of a peer that is a relay.
    Tls {
        /// The machine.
        host: Host,
        /// The TCP port, never 0.
        port: u16,
    },
}

impl Candidate {
    /// A direct candidate from a socket address; an IPv4 address mapped into IPv6 becomes IPv4.
    ///
    /// # Errors
    /// [`AddrError`] for port 0 and for addresses that nobody can be dialed at.
    pub fn direct(addr: SocketAddr) -> Result<Self, AddrError> {
        Self::Direct { host: Host::Ip(addr.ip().to_canonical()), port: addr.port() }.checked()
    }

    /// The host.
    #[must_use]
    pub const fn host(&self) -> &Host {
        match self {
            Self::Direct { host, .. } | Self::Relay { host, .. } | Self::Tls { host, .. } => host,
        }
    }

    /// The port: UDP, or TCP for a TLS listener.
    #[must_use]
    pub const fn port(&self) -> u16 {
        match self {
            Self::Direct { port, .. } | Self::Relay { port, .. } | Self::Tls { port, .. } => *port,
        }
    }

    /// Host and port, unless the host is a name that has to be resolved first.
    #[must_use]
    pub const fn socket_addr(&self) -> Option<SocketAddr> {
        match self.host() {
            Host::Ip(ip) => Some(SocketAddr::new(*ip, self.port())),
            Host::Dns { .. } => None,
        }
    }

    /// The same candidate if it keeps to the rules of SPEC §3.1.
    ///
    /// # Errors
    /// [`AddrError`] with the rule that it breaks.
    pub fn checked(self) -> Result<Self, AddrError> {
        if self.port() == 0 {
            return Err(AddrError::Port);
        }
        match self.host() {
            Host::Ip(ip) => check_ip(*ip)?,
            Host::Dns { .. } => {}
        }
        Ok(self)
    }
}

fn check_ip(ip: IpAddr) -> Result<(), AddrError> {
    match ip {
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => Err(AddrError::Mapped),
        _ if ip.is_unspecified() => Err(AddrError::Unspecified),
        _ if ip.is_multicast() => Err(AddrError::Multicast),
        IpAddr::V4(v4) if v4.is_broadcast() => Err(AddrError::Multicast),
        _ => Ok(()),
    }
}

/// The canonical spelling, without the peer. SPEC §3.2.
impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct { host, port } => write_udp(f, host, *port),
            Self::Relay { relay, host, port } => {
                write!(f, "relay/{relay}@")?;
                write_udp(f, host, *port)
            }
            Self::Tls { host, port } => match host.dns_protocol() {
                Some((dns, name)) => write!(f, "/{dns}/{name}/tcp/{port}/tls"),
                None => write!(f, "tls://{host}:{port}"),
            },
        }
    }
}

fn write_udp(f: &mut fmt::Formatter<'_>, host: &Host, port: u16) -> fmt::Result {
    match host.dns_protocol() {
        Some((dns, name)) => write!(f, "/{dns}/{name}/udp/{port}"),
        None => write!(f, "{host}:{port}"),
    }
}

#[cfg(test)]
mod tests;
