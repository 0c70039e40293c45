//! The four handshake messages as bytes (SPEC §4.4).

use zeroize::Zeroizing;

use super::HandshakeError;
use crate::protection::Suite;
use pinhole_proto::PeerId;

/// Bytes before the body of a message: type and length (SPEC §4.4).
pub(crate) const HEADER_LEN: usize = 3;
/// The longest body that a handshake message may have, in bytes (SPEC §4.4).
pub(crate) const MAX_MESSAGE_LEN: usize = 1000;
/// The longest Hello: it fits one Initial with a Retry token (SPEC §4.4).
pub(crate) const MAX_HELLO_LEN: usize = 700;
/// Cipher suites that a Hello may offer (SPEC §4.4).
const MAX_SUITES: usize = 8;

/// A handshake message: its type says whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Message<'a> {
    Hello(&'a [u8]),
    Reply(&'a [u8]),
    Accept(&'a [u8]),
    Confirm,
}

impl<'a> Message<'a> {
    /// The first message in `bytes` and its whole length, or `None` while more bytes are needed.
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Option<(Self, usize)>, HandshakeError> {
        let [kind, high, low, rest @ ..] = bytes else { return Ok(None) };
        let len = usize::from(u16::from_be_bytes([*high, *low]));
        if !(1..=4).contains(kind) {
            return Err(HandshakeError::UnexpectedMessage);
        }
        if len > MAX_MESSAGE_LEN || (*kind == 4 && len > 0) {
            return Err(HandshakeError::Length);
        }
        let Some(body) = rest.get(..len) else { return Ok(None) };
        let message = match kind {
            1 => Self::Hello(body),
            2 => Self::Reply(body),
            3 => Self::Accept(body),
            _ => Self::Confirm,
        };
        Ok(Some((message, HEADER_LEN + len)))
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let (kind, body): (u8, &[u8]) = match self {
            Self::Hello(body) => (1, body),
            Self::Reply(body) => (2, body),
            Self::Accept(body) => (3, body),
            Self::Confirm => (4, &[]),
        };
        // No message of ours is longer than MAX_MESSAGE_LEN; a longer one would be refused.
        let len = u16::try_from(body.len()).unwrap_or(u16::MAX);
        out.push(kind);
        out.extend(len.to_be_bytes());
        out.extend_from_slice(body);
    }
}

/// The payload of Noise message 1: what the dialer says of itself (SPEC §4.4.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) dialer: PeerId,
    pub(crate) counter: u64,
    pub(crate) early_secret: Zeroizing<[u8; 32]>,
    pub(crate) suites: Vec<u8>,
    pub(crate) parameters: Vec<u8>,
}

impl Hello {
    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let count = u8::try_from(self.suites.len()).unwrap_or(u8::MAX);
        let mut out = Zeroizing::new(Vec::with_capacity(128 + self.parameters.len()));
        out.extend_from_slice(self.dialer.as_bytes());
        out.extend_from_slice(&self.counter.to_be_bytes());
        out.extend_from_slice(&*self.early_secret);
        out.push(count);
        out.extend_from_slice(&self.suites);
        out.extend_from_slice(&self.parameters);
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, HandshakeError> {
        let (dialer, rest) = split::<32>(bytes)?;
        let (counter, rest) = split::<8>(rest)?;
        let (early_secret, rest) = split::<32>(rest)?;
        let ([count], rest) = split::<1>(rest)?;
        let count = usize::from(*count);
        if count > MAX_SUITES || rest.len() < count {
            return Err(HandshakeError::Length);
        }
        let (suites, parameters) = rest.split_at(count);
        if !suites.contains(&Suite::ChaCha20Poly1305.code()) {
            return Err(HandshakeError::Suite);
        }
        Ok(Self {
            dialer: PeerId::from_bytes(*dialer).map_err(|_| HandshakeError::Identity)?,
            counter: u64::from_be_bytes(*counter),
            early_secret: Zeroizing::new(*early_secret),
            suites: suites.to_vec(),
            parameters: parameters.to_vec(),
        })
    }
}

/// The responder's choices and transport parameters (SPEC §4.4.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Accept {
    pub(crate) suite: Suite,
    pub(crate) early_data: bool,
    pub(crate) parameters: Vec<u8>,
}

impl Accept {
    pub(crate) fn encode(&self) -> Vec<u8> {
        [&[self.suite.code(), u8::from(self.early_data)], &*self.parameters].concat()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, HandshakeError> {
        let ([suite, flags], parameters) = split::<2>(bytes)?;
        Ok(Self {
            suite: Suite::from_code(*suite).ok_or(HandshakeError::Suite)?,
            early_data: flags & 1 == 1,
            parameters: parameters.to_vec(),
        })
    }
}

fn split<const N: usize>(bytes: &[u8]) -> Result<(&[u8; N], &[u8]), HandshakeError> {
    bytes.split_first_chunk().ok_or(HandshakeError::Length)
}
