//! [`Protocol`] and [`StreamHeader`]: what a stream is for. SPEC §6.1, §6.3.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::decode::{DecodeError, decode_prefix};
use crate::frame::{encode_varint, frame_len};

/// The limit of a stream's first frame, in bytes. SPEC §6.3.
pub const HEADER_LIMIT: usize = 128;

/// The longest name of a protocol, version included, in bytes. SPEC §6.1.
pub const MAX_PROTOCOL: usize = 64;

/// The name of a protocol and its version, such as `ping/1`. SPEC §6.1.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Protocol(Cow<'static, str>);

impl Protocol {
    /// A name that is known when the program is compiled; meant for constants.
    ///
    /// # Panics
    /// When the name is not valid; in a constant, that is an error of compilation.
    #[must_use]
    pub const fn from_static(name: &'static str) -> Self {
        assert!(fault(name.as_bytes()).is_none(), "the name of a protocol is like `ping/1`");
        Self(Cow::Borrowed(name))
    }

    /// Checks a name.
    ///
    /// # Errors
    /// [`ProtocolError`] with the rule that it breaks.
    pub fn new(name: impl Into<String>) -> Result<Self, ProtocolError> {
        let name = name.into();
        match fault(name.as_bytes()) {
            None => Ok(Self(Cow::Owned(name))),
            Some(fault) => Err(ProtocolError { name, fault }),
        }
    }

    /// Name and version, as on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands before the slash.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.split_once('/').map_or("", |(name, _)| name)
    }

    /// What stands behind the slash.
    #[must_use]
    pub fn version(&self) -> u16 {
        self.0.split_once('/').and_then(|(_, version)| version.parse().ok()).unwrap_or(0)
    }
}

/// The first rule that the bytes break; written for `const`.
const fn fault(bytes: &[u8]) -> Option<ProtocolFault> {
    if bytes.is_empty() || bytes.len() > MAX_PROTOCOL {
        return Some(ProtocolFault::Length);
    }
    let mut slash = 0;
    while slash < bytes.len() && bytes[slash] != b'/' {
        if !is_name_byte(bytes[slash]) {
            return Some(ProtocolFault::Character);
        }
        slash += 1;
    }
    if slash == 0 || !bytes[0].is_ascii_lowercase() {
        return Some(ProtocolFault::Name);
    }
    if is_version(bytes, slash + 1) { None } else { Some(ProtocolFault::Version) }
}

const fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_')
}

/// Whether a decimal number from 1 to 65535 without leading zero stands from `at` to the end.
const fn is_version(bytes: &[u8], mut at: usize) -> bool {
    let mut version: u32 = 0;
    if at >= bytes.len() || bytes[at] == b'0' {
        return false;
    }
    while at < bytes.len() {
        if !bytes[at].is_ascii_digit() || version > 6553 {
            return false;
        }
        version = version * 10 + (bytes[at] - b'0') as u32;
        at += 1;
    }
    version <= 65535
}

/// A name that is not a protocol's. SPEC §6.1.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{name:?} is not the name of a protocol: {fault}; an example is ping/1")]
pub struct ProtocolError {
    /// What was given.
    pub name: String,
    /// Which rule it breaks.
    pub fault: ProtocolFault,
}

/// The rules for the name of a protocol, in the order in which they are checked. SPEC §6.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProtocolFault {
    /// From 1 to 64 bytes.
    Length,
    /// The name is made of lower case letters, digits, `.`, `-` and `_`.
    Character,
    /// The name begins with a letter.
    Name,
    /// Slash and version: a number from 1 to 65535 without leading zero.
    Version,
}

impl ProtocolFault {
    /// The name of the fault in the vectors.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Length => "length",
            Self::Character => "character",
            Self::Name => "name",
            Self::Version => "version",
        }
    }
}

impl fmt::Display for ProtocolFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "it has to have 1 to 64 characters",
            Self::Character => "only lower case letters, digits, dot, hyphen and underscore",
            Self::Name => "it has to begin with a letter",
            Self::Version => "it has to end in a slash and a version from 1 to 65535",
        })
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Protocol {
    type Err = ProtocolError;
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::new(name)
    }
}

impl AsRef<str> for Protocol {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl Serialize for Protocol {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Protocol {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// The first frame of every stream, from the side that opens it. SPEC §6.3.
///
/// Later versions may add fields at the end; a reader skips what it does not know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StreamHeader {
    /// The protocol that the stream speaks from here on.
    pub protocol: Protocol,
}

impl StreamHeader {
    /// The header of a stream of this protocol.
    #[must_use]
    pub const fn new(protocol: Protocol) -> Self {
        Self { protocol }
    }

    /// Appends the header as a frame.
    pub fn encode_frame(&self, out: &mut Vec<u8>) {
        let name = self.protocol.as_str().as_bytes();
        out.reserve(self.frame_len());
        encode_varint(1 + name.len() as u64, out);
        // A name has at most 64 bytes, so its length is one byte in this format too. SPEC §1.4.
        out.push(name.len() as u8);
        out.extend_from_slice(name);
    }

    /// Bytes of the header as a frame.
    #[must_use]
    pub fn frame_len(&self) -> usize {
        frame_len(1 + self.protocol.as_str().len())
    }

    /// Reads the body of a stream's first frame.
    ///
    /// # Errors
    /// [`DecodeError`] when it does not begin with a valid name.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        decode_prefix(body).map(|(header, _)| header)
    }
}

#[cfg(test)]
mod tests;
