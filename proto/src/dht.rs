//! The messages of `find/1` and `store/1`, and the space in which peers and records have places.
//! SPEC §11.

use std::fmt;
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::addr::{Candidate, wire_socket_addr};
use crate::bounded::List;
use crate::header::Protocol;
use crate::id::PeerId;
use crate::message::Exchange;
use crate::record::{RECORD_LIMIT, Record};
use crate::rng::Rng;

/// The most contacts in a reply of [`Find`], and the size of a bucket. SPEC §11.3.
pub const MAX_CONTACTS: usize = 20;
/// The most records in a reply of [`Find`]. SPEC §11.3.
pub const MAX_RECORDS: usize = 8;
/// The longest body of a reply of [`Find`], in bytes: with its frame it fits what a responder may
/// send to an address that is not validated yet. SPEC §11.3.
pub const FIND_REPLY_LIMIT: usize = 1_980;
/// The bytes that records may take in a reply of [`Find`]; contacts fill the rest. SPEC §11.3.
pub const FIND_RECORDS_LIMIT: usize = 1_240;

/// A place in the space of 256-bit numbers: of a peer, of a record, or a point. SPEC §11.1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position(pub [u8; 32]);

impl Rng {
    /// A random position.
    pub fn position(&mut self) -> Position {
        let mut bytes = [0; 32];
        for word in bytes.chunks_exact_mut(8) {
            word.copy_from_slice(&self.next_u64().to_be_bytes());
        }
        Position(bytes)
    }
}

impl Position {
    /// Bits in a position.
    pub const BITS: u16 = 256;

    /// The place of a peer, and of its address record: SHA-256 of a label and the id. SPEC §11.1.
    #[must_use]
    pub fn of_peer(peer: &PeerId) -> Self {
        Self::hash(b"pinhole dht peer 1", &[peer.as_bytes()])
    }

    /// The place of a value that `owner` signs under `name`. SPEC §11.1.
    #[must_use]
    pub fn of_value(owner: &PeerId, name: &str) -> Self {
        Self::hash(b"pinhole dht value 1", &[owner.as_bytes(), name.as_bytes()])
    }

    /// The place of the provider records of a topic or content key. SPEC §11.1.
    #[must_use]
    pub fn of_topic(topic: &[u8; 32]) -> Self {
        Self::hash(b"pinhole dht topic 1", &[topic])
    }

    fn hash(label: &[u8], parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        hash.update(label);
        parts.iter().for_each(|part| hash.update(part));
        Self(hash.finalize().into())
    }

    /// The distance to another position: their exclusive or, to be compared as a number.
    #[must_use]
    pub fn distance(&self, other: &Self) -> Distance {
        let mut distance = [0; 32];
        for (byte, (a, b)) in distance.iter_mut().zip(self.0.iter().zip(&other.0)) {
            *byte = a ^ b;
        }
        Distance(distance)
    }

    /// How many bits the two have in common at their beginning: 0 to 256.
    #[must_use]
    pub fn common_bits(&self, other: &Self) -> u16 {
        self.distance(other).leading_zeros()
    }

    /// Bit number `bit`, counted from the most significant of the first byte; false past the end.
    #[must_use]
    pub fn bit(&self, bit: u16) -> bool {
        self.0.get(usize::from(bit / 8)).is_some_and(|byte| byte & (0x80 >> (bit % 8)) != 0)
    }

    /// The same position with bit number `bit` set to `value`; unchanged past the end.
    #[must_use]
    pub fn with_bit(mut self, bit: u16, value: bool) -> Self {
        if let Some(byte) = self.0.get_mut(usize::from(bit / 8)) {
            let mask = 0x80 >> (bit % 8);
            *byte = if value { *byte | mask } else { *byte & !mask };
        }
        self
    }

    /// The first `bits` bits of `self`, and the others of `rest`.
    #[must_use]
    pub fn prefix_with(&self, bits: u16, rest: &Self) -> Self {
        let mut joined = rest.0;
        let whole = usize::from(bits / 8).min(32);
        joined[..whole].copy_from_slice(&self.0[..whole]);
        if whole < 32 {
            let mask = !(0xff_u8 >> (bits % 8));
            joined[whole] = (self.0[whole] & mask) | (rest.0[whole] & !mask);
        }
        Self(joined)
    }
}

impl fmt::Display for Position {
    /// The first eight hexadecimal digits, for logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How far two positions are from each other. Compared as a number. SPEC §11.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Distance(pub [u8; 32]);

impl Distance {
    /// Zero bits at the beginning: 256 for no distance at all.
    #[must_use]
    pub fn leading_zeros(&self) -> u16 {
        let mut zeros = 0;
        for byte in self.0 {
            zeros += byte.leading_zeros() as u16;
            if byte != 0 {
                break;
            }
        }
        zeros
    }

    /// The distance as a part of the whole space: 0.0 up to 1.0, to about 15 digits.
    #[must_use]
    pub fn fraction(&self) -> f64 {
        let (high, _) = self.0.split_at(16);
        let high = high.iter().fold(0_u128, |number, byte| (number << 8) | u128::from(*byte));
        high as f64 / 2_f64.powi(128)
    }
}

/// A node that serves the table, and where it was reached. SPEC §11.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Contact {
    /// Who.
    pub peer: PeerId,
    /// Where.
    pub addrs: Addrs,
}

impl Contact {
    /// A peer at one address; `None` if nobody can be dialed there.
    #[must_use]
    pub fn at(peer: PeerId, addr: SocketAddr) -> Option<Self> {
        Some(Self { peer, addrs: Addrs::one(addr)? })
    }
}

/// At most one address of each family, and at least one. SPEC §11.3.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Addrs {
    v4: Option<SocketAddrV4>,
    // Without flow label and scope, so that equal addresses are equal.
    v6: Option<SocketAddrV6>,
}

impl Addrs {
    /// One address; `None` if nobody can be dialed there (port 0, unspecified, multicast).
    #[must_use]
    pub fn one(addr: SocketAddr) -> Option<Self> {
        let addr = Candidate::direct(addr).ok()?.socket_addr()?;
        Some(match addr {
            SocketAddr::V4(v4) => Self { v4: Some(v4), v6: None },
            SocketAddr::V6(v6) => {
                Self { v4: None, v6: Some(SocketAddrV6::new(*v6.ip(), v6.port(), 0, 0)) }
            }
        })
    }

    /// The addresses, IPv4 first.
    pub fn iter(&self) -> impl Iterator<Item = SocketAddr> + use<> {
        self.v4.map(SocketAddr::V4).into_iter().chain(self.v6.map(SocketAddr::V6))
    }

    /// Takes the address of each family that `newer` has.
    pub fn update(&mut self, newer: &Self) {
        self.v4 = newer.v4.or(self.v4);
        self.v6 = newer.v6.or(self.v6);
    }

    /// Whether this address is one of them.
    #[must_use]
    pub fn contains(&self, addr: &SocketAddr) -> bool {
        self.iter().any(|own| own.ip() == addr.ip().to_canonical() && own.port() == addr.port())
    }
}

impl fmt::Debug for Addrs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename = "Contact")]
struct WireContact {
    peer: PeerId,
    addrs: List<WireAddr, 2>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename = "SocketAddr")]
struct WireAddr(#[serde(with = "wire_socket_addr")] SocketAddr);

impl Serialize for Contact {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let addrs = List::of_first(self.addrs.iter().map(WireAddr));
        WireContact { peer: self.peer, addrs }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Contact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let WireContact { peer, addrs } = WireContact::deserialize(deserializer)?;
        let one = |addr: &WireAddr| {
            Addrs::one(addr.0).ok_or_else(|| D::Error::custom("nobody can be dialed there"))
        };
        let addrs = match &addrs[..] {
            [only] => one(only)?,
            [first, second] if first.0.is_ipv4() && second.0.is_ipv6() => {
                let mut both = one(first)?;
                both.update(&one(second)?);
                both
            }
            _ => return Err(D::Error::custom("a contact has one address of a family, IPv4 first")),
        };
        Ok(Self { peer, addrs })
    }
}

/// `find/1`: who is near a point, and what is stored at a place? SPEC §11.3.
#[derive(Clone, Copy, Debug)]
pub enum Find {}

impl Exchange for Find {
    const PROTOCOL: Protocol = Protocol::from_static("find/1");
    const REQUEST_LIMIT: usize = 66;
    const REPLY_LIMIT: usize = FIND_REPLY_LIMIT;
    const IDEMPOTENT: bool = true;
    type Request = FindRequest;
    type Reply = Found;
}

/// The request of [`Find`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindRequest {
    /// Whether the asking node serves the table itself, at the address that it asks from.
    pub serves: bool,
    /// Contacts near this point are wanted.
    pub near: Position,
    /// Records are wanted too.
    pub want: Want,
}

/// Which records are wanted. Grows at its end. SPEC §11.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Want {
    /// None: contacts only.
    Contacts,
    /// Those at this place.
    Records(Position),
}

/// The reply of [`Find`]: what the answering node knows. Only the records are proven.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Records at the place that was asked for.
    pub records: List<Record, MAX_RECORDS>,
    /// Nodes that the answering one reached, the nearest to the point first.
    pub contacts: List<Contact, MAX_CONTACTS>,
}

/// `store/1`: keep this record. SPEC §11.4.
#[derive(Clone, Copy, Debug)]
pub enum Store {}

impl Exchange for Store {
    const PROTOCOL: Protocol = Protocol::from_static("store/1");
    const REQUEST_LIMIT: usize = RECORD_LIMIT;
    const REPLY_LIMIT: usize = 16;
    const IDEMPOTENT: bool = false;
    type Request = Record;
    type Reply = Stored;
}

/// The reply of [`Store`]. Grows at its end. SPEC §11.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Stored {
    /// The node has it, from now or from before.
    Kept,
    /// The node has a newer one, with this sequence.
    Older {
        /// The sequence of the record that the node has.
        sequence: u64,
    },
    /// The node does not keep it.
    Refused(StoreRefusal),
}

/// Why a record was not kept. Grows at its end. SPEC §11.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum StoreRefusal {
    /// The node serves no table.
    NotServing,
    /// The signature is not the owner's, or the record breaks a rule of SPEC §12.
    Invalid,
    /// It expired, or it would expire too late.
    Expiry,
    /// There is no room for it: records that are nearer, or the owner's or topic's limit.
    Full,
}

#[cfg(test)]
mod tests;
