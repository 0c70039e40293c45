//! [`PeerId`]: who a peer is. SPEC §2.1 to §2.3.

use std::fmt;
use std::str::FromStr;

use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::traits::IsIdentity;
use ed25519_dalek::{Signature, VerifyingKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::bech32m::{self, TextFault};

/// A peer: its 32-byte Ed25519 public key. SPEC §2.1.
///
/// Whoever holds a value of this type knows that the bytes are the canonical encoding of a point
/// other than the identity with the sign bit clear. That the point has no torsion is a matter of
/// [`check_torsion`](Self::check_torsion), because that check takes longer.
///
/// Ids are ordered as byte strings; the lower id's dial wins a tie.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId([u8; 32]);

impl PeerId {
    /// Bytes in an id.
    pub const LEN: usize = 32;
    /// Characters in the text form, `pin1` included. SPEC §2.3.
    pub const TEXT_LEN: usize = bech32m::TEXT_LEN;

    /// Takes the bytes of a public key. SPEC §2.1.
    ///
    /// # Errors
    /// When the sign bit is set, the number is not below p, no point has it, or it is the identity.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, PeerIdError> {
        if bytes[31] & 0x80 != 0 {
            return Err(PeerIdError::SignBit);
        }
        if !is_below_p(&bytes) {
            return Err(PeerIdError::NonCanonical);
        }
        let point = CompressedEdwardsY(bytes).decompress().ok_or(PeerIdError::NotOnCurve)?;
        if point.is_identity() {
            return Err(PeerIdError::Identity);
        }
        Ok(Self(bytes))
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The 32 bytes, copied.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 32] {
        self.0
    }

    /// Checks that the point lies in the subgroup of prime order; about 25 µs. SPEC §2.1.
    ///
    /// Do it once before an id is first used in a handshake or to check a signature. Without it
    /// eight ids would share one Noise key.
    ///
    /// # Errors
    /// [`PeerIdError::Torsion`] when the point has a component of small order.
    pub fn check_torsion(&self) -> Result<(), PeerIdError> {
        if self.point().is_torsion_free() { Ok(()) } else { Err(PeerIdError::Torsion) }
    }

    /// The same key as an X25519 public key, for Noise. SPEC §2.2.
    #[must_use]
    pub fn noise_public(&self) -> [u8; 32] {
        self.point().to_montgomery().to_bytes()
    }

    /// Checks an Ed25519 signature of this peer by the strict rules of SPEC §2.5: `S` below the
    /// group order, no point of small order, no cofactor.
    ///
    /// # Errors
    /// [`SignatureError`] when the signature is not valid; it says nothing more.
    pub fn verify(&self, message: &[u8], signature: &[u8; 64]) -> Result<(), SignatureError> {
        let key = VerifyingKey::from_bytes(&self.0).map_err(|_| SignatureError)?;
        let signature = Signature::from_bytes(signature);
        key.verify_strict(message, &signature).map_err(|_| SignatureError)
    }

    /// The first twelve characters of the text form, for logs; never enough to identify a peer.
    #[must_use]
    pub fn short(&self) -> String {
        let mut text = bech32m::encode(&self.0);
        text.truncate(12);
        text
    }

    fn point(&self) -> EdwardsPoint {
        CompressedEdwardsY(self.0).decompress().expect("a PeerId was decompressed when it was made")
    }
}

/// Whether the little-endian number is below p = 2^255 − 19; the sign bit is known to be clear.
fn is_below_p(bytes: &[u8; 32]) -> bool {
    bytes[31] != 0x7f || bytes[1..31].iter().any(|&b| b != 0xff) || bytes[0] < 0xed
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&bech32m::encode(&self.0))
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PeerId {
    type Err = ParsePeerIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(format) = OtherFormat::recognise(text) {
            return Err(ParsePeerIdError::OtherFormat(format));
        }
        let bytes = bech32m::decode(text).map_err(ParsePeerIdError::from_fault)?;
        Ok(Self::from_bytes(bytes)?)
    }
}

impl Serialize for PeerId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for PeerId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
        } else {
            Self::from_bytes(<[u8; 32]>::deserialize(deserializer)?).map_err(D::Error::custom)
        }
    }
}

/// Why 32 bytes are not a [`PeerId`]. SPEC §2.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PeerIdError {
    /// The sign bit (the top bit of the last byte) is set.
    #[error("the key has its sign bit set, and a pinhole id never has")]
    SignBit,
    /// The number is not below p = 2^255 − 19.
    #[error("the key is not in canonical form")]
    NonCanonical,
    /// No point of the curve has this y.
    #[error("the key is not a point of the Ed25519 curve")]
    NotOnCurve,
    /// The key is the identity point.
    #[error("the key is the identity point, which is nobody's")]
    Identity,
    /// The point has a component of small order.
    #[error("the key has a small-order component, so it is not an honest peer's")]
    Torsion,
}

/// Why a text is not a [`PeerId`]. SPEC §2.3. Positions count characters from 1.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParsePeerIdError {
    /// The text is an id of another system.
    #[error("{0}")]
    OtherFormat(OtherFormat),
    /// The text does not begin with `pin1`.
    #[error("a peer id begins with pin1, as the `id` command prints it")]
    Prefix,
    /// The text has the right prefix and another length than 62.
    #[error("a peer id has 62 characters and this one has {0}; copy it again in full")]
    Length(usize),
    /// Upper and lower case in one text.
    #[error("a peer id is written in lower case only; this one mixes upper and lower case")]
    MixedCase,
    /// A character that no id contains.
    #[error(
        "character {position} of the peer id is {found:?}, which no id contains; copy it again"
    )]
    Character {
        /// Where it stands.
        position: usize,
        /// What stands there.
        found: char,
    },
    /// The checksum does not fit: one or more characters are wrong.
    #[error("the peer id has a typing error{}; copy it again", near(*.likely))]
    Checksum {
        /// The one character whose change would mend the checksum, if there is one.
        likely: Option<usize>,
    },
    /// The checksum fits, and the unused bits of the last data character are not zero.
    #[error("the peer id is not in canonical form (unused bits are set)")]
    Padding,
    /// The text is well formed, and its bytes are not a valid key.
    #[error("the peer id is well written, but not valid: {0}")]
    Key(#[from] PeerIdError),
}

impl ParsePeerIdError {
    fn from_fault(fault: TextFault) -> Self {
        match fault {
            TextFault::Length(length) => Self::Length(length),
            TextFault::Prefix => Self::Prefix,
            TextFault::MixedCase => Self::MixedCase,
            TextFault::Character { position, found } => Self::Character { position, found },
            TextFault::Checksum { likely } => Self::Checksum { likely },
            TextFault::Padding => Self::Padding,
        }
    }

    /// The name of the error in the vectors and in SPEC §2.3.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::OtherFormat(_) => "other_format",
            Self::Prefix => "prefix",
            Self::Length(_) => "length",
            Self::MixedCase => "mixed_case",
            Self::Character { .. } => "character",
            Self::Checksum { .. } => "checksum",
            Self::Padding => "padding",
            Self::Key(error) => error.kind(),
        }
    }
}

impl PeerIdError {
    /// The name of the error in the vectors and in SPEC §2.1.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::SignBit => "sign_bit",
            Self::NonCanonical => "non_canonical",
            Self::NotOnCurve => "not_on_curve",
            Self::Identity => "identity",
            Self::Torsion => "torsion",
        }
    }
}

fn near(likely: Option<usize>) -> String {
    likely.map(|position| format!(", probably at character {position}")).unwrap_or_default()
}

/// Ids of other systems that people paste by mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OtherFormat {
    /// `12D3Koo…`, `Qm…` or a CID: a libp2p peer id.
    Libp2p,
    /// 64 hexadecimal digits: a raw key, as iroh prints it.
    Hex,
    /// 52 or so characters of base32: an iroh or z-base-32 id.
    Base32,
}

impl OtherFormat {
    fn recognise(text: &str) -> Option<Self> {
        let alphanumeric = text.bytes().all(|b| b.is_ascii_alphanumeric());
        let libp2p = text.starts_with("12D3Koo")
            || (text.starts_with("Qm") && text.len() == 46)
            || (text.starts_with("bafz") && text.len() > 50);
        match text.len() {
            _ if libp2p && alphanumeric => Some(Self::Libp2p),
            64 if text.bytes().all(|b| b.is_ascii_hexdigit()) => Some(Self::Hex),
            52 if alphanumeric && !text.starts_with("pin1") => Some(Self::Base32),
            _ => None,
        }
    }
}

impl fmt::Display for OtherFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Libp2p => {
                "this is a libp2p peer id, and pinhole's begin with pin1; ask the peer for the \
                 output of the `id` command"
            }
            Self::Hex => {
                "this is a key in hexadecimal (64 digits), and pinhole's ids begin with pin1; ask \
                 the peer for the output of the `id` command"
            }
            Self::Base32 => {
                "this looks like a base32 id of another program, and pinhole's begin with pin1; \
                 ask the peer for the output of the `id` command"
            }
        })
    }
}

/// The signature is not valid for this peer and message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the signature is not valid")]
pub struct SignatureError;

#[cfg(test)]
mod tests;
