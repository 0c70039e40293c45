//! [`NetworkKey`]: which network a peer belongs to. SPEC §2.4.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};
use thiserror::Error;
use zeroize::Zeroize;

/// 32 bytes that every peer of a network holds and that are mixed into every handshake. SPEC §2.4.
///
/// The public network's key is no secret. A private network's is drawn at random, never derived
/// from a password: its QUIC version shows 30 bits of a hash of it to everybody on the path.
#[derive(Clone, PartialEq, Eq)]
pub struct NetworkKey([u8; 32]);

impl NetworkKey {
    /// The key of the public network: SHA-256 of `pinhole public network 1`. SPEC §2.4.
    pub const PUBLIC: Self = Self([
        0x82, 0x16, 0x18, 0x8d, 0xf3, 0x84, 0x9b, 0x8d, 0x55, 0xed, 0xd5, 0xb5, 0x72, 0x90, 0x52,
        0x09, 0x70, 0x2d, 0x57, 0x45, 0x89, 0x38, 0x6b, 0xac, 0x62, 0x74, 0x27, 0x8c, 0xaf, 0x90,
        0x9a, 0xf6,
    ]);

    /// Takes 32 bytes from a cryptographic source.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes, to be kept secret unless this is [`PUBLIC`](Self::PUBLIC).
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether this is the public network's key.
    #[must_use]
    pub fn is_public(&self) -> bool {
        *self == Self::PUBLIC
    }

    /// The QUIC version number of this network, which everybody on the path can read. SPEC §2.4.
    #[must_use]
    pub fn quic_version(&self) -> u32 {
        if self.is_public() { PUBLIC_QUIC_VERSION } else { private_quic_version(&self.0) }
    }

    /// The content of a network key file: 64 hexadecimal digits and a line feed. SPEC §2.4.
    ///
    /// This is not `Display`, so that a key does not get into a log by accident.
    #[must_use]
    pub fn to_file(&self) -> String {
        let mut text: String = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
        text.push('\n');
        text
    }
}

/// The QUIC version of the public network: `pin1` in ASCII. SPEC §2.4.
pub const PUBLIC_QUIC_VERSION: u32 = 0x7069_6e31;

/// What is hashed before a private network's key to get its QUIC version. SPEC §2.4.
const VERSION_LABEL: &[u8] = b"pinhole quic version";

fn private_quic_version(key: &[u8; 32]) -> u32 {
    let digest = Sha256::new().chain_update(VERSION_LABEL).chain_update(key).finalize();
    let first = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
    let version = first & 0x3fff_ffff | 0x8000_0000;
    if is_reserved(version) { version ^ 1 } else { version }
}

/// Versions of the form `0x?a?a?a?a` are there to provoke Version Negotiation. RFC 9000 §15.
const fn is_reserved(version: u32) -> bool {
    version & 0x0f0f_0f0f == 0x0a0a_0a0a
}

impl FromStr for NetworkKey {
    type Err = ParseNetworkKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.trim_ascii();
        if digits.is_empty() {
            return Err(ParseNetworkKeyError::Empty);
        }
        if digits.contains(['\n', '\r']) {
            return Err(ParseNetworkKeyError::Lines);
        }
        if let Some(at) = digits.chars().position(|c| !c.is_ascii_hexdigit()) {
            return Err(ParseNetworkKeyError::Character { position: at + 1 });
        }
        if digits.len() != 64 {
            return Err(ParseNetworkKeyError::Length(digits.len()));
        }
        Ok(Self(from_hex(digits)))
    }
}

fn from_hex(digits: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (i, digit) in digits.chars().filter_map(|c| c.to_digit(16)).take(64).enumerate() {
        bytes[i / 2] = bytes[i / 2] << 4 | digit as u8;
    }
    bytes
}

impl fmt::Debug for NetworkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_public() { "NetworkKey(public)" } else { "NetworkKey(private)" })
    }
}

impl Drop for NetworkKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Why a text is not the content of a network key file. It never quotes the text. SPEC §2.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParseNetworkKeyError {
    /// There is nothing but white space.
    #[error("the network key file is empty; it has to hold 64 hexadecimal digits")]
    Empty,
    /// There is more than one line.
    #[error("the network key file has more than one line; it has to hold 64 hexadecimal digits")]
    Lines,
    /// Another number of digits than 64.
    #[error("the network key has {0} hexadecimal digits and needs 64; copy the file again")]
    Length(usize),
    /// A character that is no hexadecimal digit.
    #[error("character {position} of the network key is not a hexadecimal digit")]
    Character {
        /// Where it stands, counted from 1.
        position: usize,
    },
}

impl ParseNetworkKeyError {
    /// The name of the error in the vectors and in SPEC §2.4.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Lines => "lines",
            Self::Length(_) => "length",
            Self::Character { .. } => "character",
        }
    }
}

#[cfg(test)]
mod tests;
