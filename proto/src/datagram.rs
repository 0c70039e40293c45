//! The messages in QUIC DATAGRAM frames. SPEC §10.2.
//!
//! A frame carries one message; its first byte is the kind. A reader ignores what it does not know
//! and what is malformed: a datagram has no reply that could carry a refusal.

use std::num::NonZeroU8;

use thiserror::Error;

/// The kind of [`Datagram::Heartbeat`]. SPEC §10.2.
pub const HEARTBEAT: u8 = 0x00;
/// The kind of [`Datagram::Rebound`]. SPEC §10.2.
pub const REBOUND: u8 = 0x01;
/// The first of the kinds that are left for relayed packets. SPEC §10.2.
pub const FIRST_RELAYED: u8 = 0x10;

/// The longest message of this module, in bytes. SPEC §10.2.
pub const MAX_DATAGRAM: usize = 2;

/// A message in a DATAGRAM frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Datagram {
    /// Asks for nothing but the acknowledgement that QUIC gives anyway.
    Heartbeat {
        /// Within how many seconds the sender's next heartbeat on this connection comes if the
        /// connection stays quiet.
        seconds: NonZeroU8,
    },
    /// From the acceptor: after a quiet time your packets come from another address than before.
    Rebound,
}

impl Datagram {
    /// The bytes of the frame's payload.
    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        match self {
            Self::Heartbeat { seconds } => vec![HEARTBEAT, seconds.get()],
            Self::Rebound => vec![REBOUND],
        }
    }

    /// Reads the payload of a frame.
    ///
    /// # Errors
    /// [`DatagramError`]; the frame is to be ignored.
    pub fn decode(payload: &[u8]) -> Result<Self, DatagramError> {
        let (&kind, body) = payload.split_first().ok_or(DatagramError::Empty)?;
        match (kind, body) {
            (HEARTBEAT, &[seconds]) => NonZeroU8::new(seconds)
                .map(|seconds| Self::Heartbeat { seconds })
                .ok_or(DatagramError::Malformed { kind }),
            (REBOUND, []) => Ok(Self::Rebound),
            (HEARTBEAT | REBOUND, _) => Err(DatagramError::Malformed { kind }),
            _ => Err(DatagramError::UnknownKind(kind)),
        }
    }
}

/// Why the payload of a DATAGRAM frame is no message. The peer is at fault, or newer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DatagramError {
    /// There is not even a kind.
    #[error("the datagram is empty")]
    Empty,
    /// A kind that this version does not know: the peer is probably newer.
    #[error("datagrams of kind {0:#04x} are not known to this version; the peer is probably newer")]
    UnknownKind(u8),
    /// The body is not what the kind says.
    #[error("the datagram of kind {kind:#04x} is malformed")]
    Malformed {
        /// The kind.
        kind: u8,
    },
}

impl DatagramError {
    /// The name in the vectors. SPEC §10.2.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Empty | Self::Malformed { .. } => "malformed",
            Self::UnknownKind(_) => "unknown_kind",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heartbeat(seconds: u8) -> Datagram {
        Datagram::Heartbeat { seconds: NonZeroU8::new(seconds).unwrap() }
    }

    #[test]
    fn each_message_has_one_encoding() {
        let all = (1..=u8::MAX).map(heartbeat).chain([Datagram::Rebound]);
        for datagram in all {
            let bytes = datagram.encode();
            assert!(bytes.len() <= MAX_DATAGRAM);
            assert_eq!(Datagram::decode(&bytes), Ok(datagram));
        }
        assert_eq!(heartbeat(18).encode(), [0x00, 0x12]);
        assert_eq!(Datagram::Rebound.encode(), [0x01]);
    }

    #[test]
    fn malformed_is_told_from_unknown() {
        assert_eq!(Datagram::decode(&[]), Err(DatagramError::Empty));
        for body in [&[0][..], &[0, 0], &[0, 1, 0], &[1, 0]] {
            let kind = body[0];
            assert_eq!(Datagram::decode(body), Err(DatagramError::Malformed { kind }), "{body:?}");
        }
        for kind in [0x02, FIRST_RELAYED, 0xff] {
            let error = DatagramError::UnknownKind(kind);
            assert_eq!(Datagram::decode(&[kind]), Err(error));
            assert_eq!(Datagram::decode(&[kind, 1, 2, 3]), Err(error));
        }
    }

    #[test]
    fn whatever_two_bytes_say_is_read_or_refused_and_written_again_the_same() {
        for word in 0..=u16::MAX {
            let bytes = word.to_be_bytes();
            if let Ok(datagram) = Datagram::decode(&bytes) {
                assert_eq!(datagram.encode(), bytes);
            }
        }
    }
}
