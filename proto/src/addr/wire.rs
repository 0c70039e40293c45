//! The wire form of addresses, and their text form in formats for people. SPEC §3.5.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Candidate, DnsName, Family, Host, MAX_CANDIDATES, PeerAddr};
use crate::bounded::{List, Text};
use crate::id::PeerId;

/// The host on the wire: one variant for each kind. Grows at its end.
#[derive(Serialize, Deserialize)]
#[serde(rename = "Host")]
enum WireHost {
    Ip4([u8; 4]),
    Ip6([u8; 16]),
    Dns(Text<253>),
    Dns4(Text<253>),
    Dns6(Text<253>),
}

/// The candidate on the wire. Grows at its end.
#[derive(Serialize, Deserialize)]
#[serde(rename = "Candidate")]
enum WireCandidate {
    Direct { host: WireHost, port: u16 },
    Relay { relay: PeerId, host: WireHost, port: u16 },
    Tls { host: WireHost, port: u16 },
}

#[derive(Serialize, Deserialize)]
struct WirePeerAddr {
    peer: PeerId,
    candidates: List<Candidate, MAX_CANDIDATES>,
}

impl Serialize for Candidate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return serializer.collect_str(self);
        }
        let host = to_wire(self.host()).map_err(serde::ser::Error::custom)?;
        let port = self.port();
        match self {
            Self::Direct { .. } => WireCandidate::Direct { host, port },
            Self::Relay { relay, .. } => WireCandidate::Relay { relay: *relay, host, port },
            Self::Tls { .. } => WireCandidate::Tls { host, port },
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Candidate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            return String::deserialize(deserializer)?.parse().map_err(D::Error::custom);
        }
        match WireCandidate::deserialize(deserializer)? {
            WireCandidate::Direct { host, port } => Self::Direct { host: from_wire(host)?, port },
            WireCandidate::Relay { relay, host, port } => {
                Self::Relay { relay, host: from_wire(host)?, port }
            }
            WireCandidate::Tls { host, port } => Self::Tls { host: from_wire(host)?, port },
        }
        .checked()
        .map_err(D::Error::custom)
    }
}

fn to_wire(host: &Host) -> Result<WireHost, crate::bounded::BoundError> {
    Ok(match host {
        Host::Ip(IpAddr::V4(ip)) => WireHost::Ip4(ip.octets()),
        Host::Ip(IpAddr::V6(ip)) => WireHost::Ip6(ip.octets()),
        Host::Dns { name, family } => {
            let name = Text::new(name.as_str())?;
            match family {
                Family::Any => WireHost::Dns(name),
                Family::V4 => WireHost::Dns4(name),
                Family::V6 => WireHost::Dns6(name),
            }
        }
    })
}

fn from_wire<E: Error>(host: WireHost) -> Result<Host, E> {
    let (name, family) = match host {
        WireHost::Ip4(octets) => return Ok(Host::Ip(Ipv4Addr::from(octets).into())),
        WireHost::Ip6(octets) => return Ok(Host::Ip(Ipv6Addr::from(octets).into())),
        WireHost::Dns(name) => (name, Family::Any),
        WireHost::Dns4(name) => (name, Family::V4),
        WireHost::Dns6(name) => (name, Family::V6),
    };
    let parsed: DnsName = name.parse().map_err(E::custom)?;
    if parsed.as_str() != &*name {
        return Err(E::custom("a host name has to be in lower case and without a dot at its end"));
    }
    Ok(Host::Dns { name: parsed, family })
}

impl Serialize for PeerAddr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return serializer.collect_str(self);
        }
        WirePeerAddr { peer: self.peer, candidates: self.candidates.clone() }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for PeerAddr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            return String::deserialize(deserializer)?.parse().map_err(D::Error::custom);
        }
        let WirePeerAddr { peer, candidates } = WirePeerAddr::deserialize(deserializer)?;
        Ok(Self { peer, candidates })
    }
}

/// A socket address in a message: an IP address of SPEC §3.5 and a port that may be anything.
pub(crate) mod socket_addr {
    use std::net::{IpAddr, SocketAddr};

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{WireHost, from_wire};
    use crate::addr::Host;

    #[derive(Serialize, Deserialize)]
    #[serde(rename = "SocketAddr")]
    enum Wire {
        Ip4([u8; 4], u16),
        Ip6([u8; 16], u16),
    }

    pub(crate) fn serialize<S: Serializer>(
        addr: &SocketAddr,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match addr.ip().to_canonical() {
            IpAddr::V4(ip) => Wire::Ip4(ip.octets(), addr.port()),
            IpAddr::V6(ip) => Wire::Ip6(ip.octets(), addr.port()),
        }
        .serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<SocketAddr, D::Error> {
        let (host, port) = match Wire::deserialize(deserializer)? {
            Wire::Ip4(octets, port) => (WireHost::Ip4(octets), port),
            Wire::Ip6(octets, port) => (WireHost::Ip6(octets), port),
        };
        match from_wire::<D::Error>(host)? {
            Host::Ip(ip) if ip == ip.to_canonical() => Ok(SocketAddr::new(ip, port)),
            _ => Err(D::Error::custom(
                "an IPv4 address has to be sent as such, not mapped into IPv6",
            )),
        }
    }
}
