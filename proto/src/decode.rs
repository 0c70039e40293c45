//! [`decode`] and [`encode`]: message bodies in the postcard format. SPEC §1.4.
//!
//! Encoding is the `postcard` crate's. Decoding is written here, because that crate folds every
//! fault into one error and accepts more than one encoding of a value. An unknown variant of an
//! enum has to be told from a malformed message, so that the peer gets the refusal that says so.

mod deserializer;
mod reader;

use serde::Serialize;
use serde::de::{self, DeserializeOwned};
use thiserror::Error;

use crate::code::StreamCode;
use deserializer::Deserializer;
use reader::Reader;

/// Reads one value that fills `body` to its end. SPEC §1.4.
///
/// # Errors
/// [`DecodeError`]: whatever the bytes, it is an error and never a panic. No more memory is taken
/// than a small multiple of `body`.
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, DecodeError> {
    let (value, rest) = decode_prefix(body)?;
    if rest.is_empty() { Ok(value) } else { Err(DecodeError::Trailing { bytes: rest.len() }) }
}

/// Reads one value from the front of `body` and returns what follows it.
///
/// Only where SPEC says that a reader skips what it does not know; elsewhere it is [`decode`].
///
/// # Errors
/// As [`decode`], but for [`DecodeError::Trailing`].
pub fn decode_prefix<T: DeserializeOwned>(body: &[u8]) -> Result<(T, &[u8]), DecodeError> {
    let mut reader = Reader::new(body);
    let value = T::deserialize(Deserializer::new(&mut reader))?;
    Ok((value, reader.rest()))
}

/// Writes one value.
///
/// # Errors
/// [`EncodeError`] when the body would be longer than `limit`, or when the type holds something
/// that the format does not have (a sequence of unknown length).
pub fn encode<T: Serialize + ?Sized>(value: &T, limit: usize) -> Result<Vec<u8>, EncodeError> {
    let body = postcard::to_allocvec(value).map_err(|_| EncodeError::Unsupported)?;
    if body.len() > limit {
        return Err(EncodeError::TooLarge { length: body.len(), limit });
    }
    Ok(body)
}

/// Why bytes from a peer are not the message that they should be. The peer is at fault, or newer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// An enum has a variant that this version does not know: the peer is probably newer.
    #[error("{of} has no variant {index} in this version; the peer is probably newer")]
    UnknownVariant {
        /// The name of the enum.
        of: &'static str,
        /// The variant's index.
        index: u32,
    },
    /// The bytes end in the middle of a value.
    #[error("the message ends too early")]
    End,
    /// Bytes follow the last value.
    #[error("{bytes} bytes too many at the end of the message")]
    Trailing {
        /// How many.
        bytes: usize,
    },
    /// An integer is not in its shortest form, or too large for its type.
    #[error("a number in the message is not in its shortest form or too large")]
    Varint,
    /// The byte of a `bool` or `Option` is neither 0 nor 1.
    #[error("a flag in the message is {0} and may only be 0 or 1")]
    Flag(u8),
    /// A text is not UTF-8.
    #[error("a text in the message is not UTF-8")]
    Utf8,
    /// A text, byte string or list is longer than its limit.
    #[error("{length} is too long: {limit}")]
    Limit {
        /// The length that the message states.
        length: usize,
        /// What is allowed, in words.
        limit: String,
    },
    /// A value that its type does not allow, with the reason.
    #[error("{0}")]
    Invalid(String),
    /// The type that the program asked for cannot be read from this format; nobody's message is
    /// at fault.
    #[error("the format has no {0}")]
    Unsupported(&'static str),
}

impl DecodeError {
    /// The code with which a stream is refused for this error. SPEC §6.4.
    #[must_use]
    pub fn code(&self) -> StreamCode {
        match self {
            Self::UnknownVariant { .. } => StreamCode::UnknownVariant,
            Self::Unsupported(_) => StreamCode::Internal,
            _ => StreamCode::Malformed,
        }
    }

    /// The name of the error in the vectors and in SPEC §1.4.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::UnknownVariant { .. } => "unknown_variant",
            Self::End => "end",
            Self::Trailing { .. } => "trailing",
            Self::Varint => "varint",
            Self::Flag(_) => "flag",
            Self::Utf8 => "utf8",
            Self::Limit { .. } => "limit",
            Self::Invalid(_) => "invalid",
            Self::Unsupported(_) => "unsupported",
        }
    }
}

impl de::Error for DecodeError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::Invalid(message.to_string())
    }

    fn invalid_length(length: usize, expected: &dyn de::Expected) -> Self {
        Self::Limit { length, limit: expected.to_string() }
    }
}

/// Why a message cannot be sent. The program that asked for it is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The body is longer than its protocol allows.
    #[error("the message has {length} bytes and its protocol allows {limit}")]
    TooLarge {
        /// Bytes that it has.
        length: usize,
        /// Bytes that it may have.
        limit: usize,
    },
    /// The type holds something that the format does not have.
    #[error("the message has a type that the format cannot express")]
    Unsupported,
}

#[cfg(test)]
mod tests;
