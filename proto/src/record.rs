//! [`Record`]: what a peer signs and others keep for it. SPEC §12.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::addr::{Candidate, MAX_CANDIDATES};
use crate::bounded::{Bytes, List, Text};
use crate::decode::encode;
use crate::dht::Position;
use crate::id::PeerId;
use crate::key::SecretKey;

/// The longest record, in bytes. SPEC §12.1.
pub const RECORD_LIMIT: usize = 1_240;
/// The longest value, in bytes. SPEC §12.1.
pub const MAX_VALUE: usize = 1_000;
/// The longest name of a value, in bytes. SPEC §12.1.
pub const MAX_NAME: usize = 64;
/// The longest time that a record may still have, in seconds: 48 hours. SPEC §12.2.
pub const MAX_LIFE: u64 = 172_800;
/// How far clocks may differ before a record with the longest life is refused, in seconds.
/// SPEC §12.2.
pub const CLOCK_TOLERANCE: u64 = 3_600;

/// What is signed begins with this. SPEC §12.1.
const LABEL: &[u8] = b"pinhole record 1";

/// Something that a peer signed for others to keep. SPEC §12.1.
///
/// A value of this type is well formed, and no more: [`verify`](Self::verify) says whether its
/// owner signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Who signed it, and with which key it is checked.
    pub owner: PeerId,
    /// What it says.
    pub body: Body,
    /// A greater one replaces a smaller one.
    pub sequence: u64,
    /// When it ends, in seconds of Unix time.
    pub expires: u64,
    /// The owner's signature.
    pub signature: [u8; 64],
}

/// What a record says. Grows at its end. SPEC §12.1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Body {
    /// A value that the owner may change.
    Value {
        /// Which of the owner's values.
        name: Text<MAX_NAME>,
        /// The value.
        value: Bytes<MAX_VALUE>,
    },
    /// Where the owner may be reached.
    Address {
        /// The best ones first.
        candidates: List<Candidate, MAX_CANDIDATES>,
    },
    /// The owner has what the topic or content key names.
    Provider {
        /// The topic or content key.
        topic: [u8; 32],
        /// Where the owner may be reached; may be empty.
        candidates: List<Candidate, MAX_CANDIDATES>,
    },
}

impl Record {
    /// Signs a record.
    ///
    /// # Errors
    /// [`RecordError::TooLong`] when the candidates make it longer than [`RECORD_LIMIT`].
    pub fn sign(
        key: &SecretKey,
        body: Body,
        sequence: u64,
        expires: u64,
    ) -> Result<Self, RecordError> {
        let mut record = Self { owner: key.peer_id(), body, sequence, expires, signature: [0; 64] };
        record.signature = key.sign(&record.signed_bytes()?);
        Ok(record)
    }

    /// Checks length, key and signature; about 100 µs. SPEC §12.2.
    ///
    /// # Errors
    /// [`RecordError`]: whoever passed it on should not have.
    pub fn verify(&self) -> Result<(), RecordError> {
        let signed = self.signed_bytes()?;
        self.owner.check_torsion().map_err(|_| RecordError::Signature)?;
        self.owner.verify(&signed, &self.signature).map_err(|_| RecordError::Signature)
    }

    /// Checks the time that the record has left. SPEC §12.2.
    ///
    /// # Errors
    /// [`RecordError::Expired`] and [`RecordError::TooLate`].
    pub fn check_time(&self, unix: u64) -> Result<(), RecordError> {
        match self.expires.checked_sub(unix) {
            None | Some(0) => Err(RecordError::Expired),
            Some(left) if left > MAX_LIFE + CLOCK_TOLERANCE => Err(RecordError::TooLate),
            Some(_) => Ok(()),
        }
    }

    /// Where the record belongs. SPEC §11.1.
    #[must_use]
    pub fn position(&self) -> Position {
        match &self.body {
            Body::Value { name, .. } => Position::of_value(&self.owner, name),
            Body::Address { .. } => Position::of_peer(&self.owner),
            Body::Provider { topic, .. } => Position::of_topic(topic),
        }
    }

    /// Whether this one takes the place of `other`, which is of the same owner and at the same
    /// place: by sequence, and among equals by expiry. SPEC §12.2.
    #[must_use]
    pub fn is_newer_than(&self, other: &Self) -> bool {
        (self.sequence, self.expires) > (other.sequence, other.expires)
    }

    /// The bytes on the wire.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        encode(self, usize::MAX).map_or(usize::MAX, |bytes| bytes.len())
    }

    fn signed_bytes(&self) -> Result<Vec<u8>, RecordError> {
        let content = (&self.owner, &self.body, self.sequence, self.expires);
        let content = encode(&content, RECORD_LIMIT - 64).map_err(|_| RecordError::TooLong)?;
        Ok([LABEL, &content].concat())
    }
}

/// The record on the wire: an array of 64 bytes as two halves, which are the same bytes.
#[derive(Serialize, Deserialize)]
#[serde(rename = "Record")]
struct WireRecord<B> {
    owner: PeerId,
    body: B,
    sequence: u64,
    expires: u64,
    signature: [[u8; 32]; 2],
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut signature = [[0; 32]; 2];
        signature[0].copy_from_slice(&self.signature[..32]);
        signature[1].copy_from_slice(&self.signature[32..]);
        let Self { owner, ref body, sequence, expires, .. } = *self;
        WireRecord { owner, body, sequence, expires, signature }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let WireRecord { owner, body, sequence, expires, signature: halves } =
            WireRecord::deserialize(deserializer)?;
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&halves[0]);
        signature[32..].copy_from_slice(&halves[1]);
        Ok(Self { owner, body, sequence, expires, signature })
    }
}

/// Why a record is not to be kept or believed. SPEC §12.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RecordError {
    /// It is longer than [`RECORD_LIMIT`].
    #[error("the record is longer than {RECORD_LIMIT} bytes")]
    TooLong,
    /// The signature is not by the owner's key, or the key is no peer's.
    #[error("the record's signature is not its owner's")]
    Signature,
    /// Its time is over.
    #[error("the record has expired; if it is new, check the clock of this machine")]
    Expired,
    /// It would live longer than records may.
    #[error("the record would expire too late; if it is right, check the clock of this machine")]
    TooLate,
}

impl RecordError {
    /// The name of the error in the vectors and in SPEC §12.2.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::Signature => "signature",
            Self::Expired => "expired",
            Self::TooLate => "too_late",
        }
    }
}

#[cfg(test)]
mod tests;
