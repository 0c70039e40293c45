//! Frames: how a stream is cut into messages. SPEC §6.2.

use std::borrow::Cow;

use thiserror::Error;

use crate::code::StreamCode;

/// Bytes of the longest length prefix. RFC 9000 §16.
const MAX_PREFIX: usize = 8;

/// Appends a frame: the length of `body` as a QUIC varint in its shortest form, then `body`.
pub fn encode_frame(body: &[u8], out: &mut Vec<u8>) {
    out.reserve(frame_len(body.len()));
    encode_varint(body.len() as u64, out);
    out.extend_from_slice(body);
}

/// Bytes of a frame whose body has `body_len` bytes.
pub const fn frame_len(body_len: usize) -> usize {
    let prefix = match body_len {
        0..=0x3f => 1,
        0x40..=0x3fff => 2,
        0x4000..=0x3fff_ffff => 4,
        _ => MAX_PREFIX,
    };
    prefix + body_len
}

/// Appends a QUIC varint in its shortest form. RFC 9000 §16.
///
/// Values from 2^62 on do not exist on the wire; their two top bits are lost.
pub fn encode_varint(value: u64, out: &mut Vec<u8>) {
    match value {
        0..=0x3f => out.push(value as u8),
        0x40..=0x3fff => out.extend_from_slice(&(value as u16 | 0x4000).to_be_bytes()),
        0x4000..=0x3fff_ffff => out.extend_from_slice(&(value as u32 | 0x8000_0000).to_be_bytes()),
        _ => out.extend_from_slice(&(value | 0xc000_0000_0000_0000).to_be_bytes()),
    }
}

/// Cuts the bytes of one stream direction into frames.
///
/// *Purpose*: gives whole frames, whatever the pieces in which they arrive. *Inputs*: pieces of
/// the stream in order. *Outputs*: frame bodies. *Not handled*: what a body means.
///
/// Memory: none while frames arrive whole; else at most `limit` bytes and the prefix, and never
/// more than twice what has arrived.
#[derive(Debug)]
pub struct FrameDecoder {
    limit: usize,
    /// The frame of which some bytes were taken. It has a place of its own because most frames
    /// arrive whole.
    partial: Option<Box<Partial>>,
}

impl FrameDecoder {
    /// A decoder that refuses frames longer than `limit` bytes.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self { limit, partial: None }
    }

    /// Changes the limit for the frames whose length has not been read yet: a stream's first frame
    /// is its header, and the protocol that the header names decides about the others.
    pub const fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Takes bytes off the front of `input` up to the end of one frame, and returns that frame if
    /// it is complete. With `None`, all of `input` was taken and more is needed.
    ///
    /// # Errors
    /// [`FrameError`]; the stream is then of no further use.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<Vec<u8>>, FrameError> {
        Ok(self.next_borrowed(input)?.map(Cow::into_owned))
    }

    /// As [`next`](Self::next), without a copy of a frame that lies whole in `input`.
    ///
    /// # Errors
    /// [`FrameError`]; the stream is then of no further use.
    pub fn next_borrowed<'a>(
        &mut self,
        input: &mut &'a [u8],
    ) -> Result<Option<Cow<'a, [u8]>>, FrameError> {
        if self.is_between_frames()
            && let Some(frame) = split_frame(input, self.limit)?
        {
            return Ok(Some(Cow::Borrowed(frame)));
        }
        if input.is_empty() {
            return Ok(None);
        }
        let partial = self.partial.get_or_insert_default();
        if !partial.take(input, self.limit)? {
            return Ok(None);
        }
        Ok(self.partial.take().map(|partial| Cow::Owned(partial.body)))
    }

    /// How many more bytes the frame under way surely needs; a reader that asks for no more than
    /// this never reads into the next frame.
    #[must_use]
    pub fn wants(&self) -> usize {
        self.partial.as_ref().map_or(1, |partial| partial.wants())
    }

    /// Whether the stream may end here: between two frames.
    #[must_use]
    pub const fn is_between_frames(&self) -> bool {
        self.partial.is_none()
    }

    /// Says that the stream has ended.
    ///
    /// # Errors
    /// [`FrameError::Truncated`] when it ended in the middle of a frame.
    pub const fn finish(&self) -> Result<(), FrameError> {
        if self.is_between_frames() { Ok(()) } else { Err(FrameError::Truncated) }
    }
}

/// The frame at the front of `input`, if all of it is there; else nothing is taken.
fn split_frame<'a>(input: &mut &'a [u8], limit: usize) -> Result<Option<&'a [u8]>, FrameError> {
    let Some((length, prefix)) = parse_prefix(input)? else { return Ok(None) };
    let length = within(length, limit)?;
    let Some((frame, rest)) = input[prefix..].split_at_checked(length) else { return Ok(None) };
    *input = rest;
    Ok(Some(frame))
}

fn within(length: u64, limit: usize) -> Result<usize, FrameError> {
    let within = usize::try_from(length).ok().filter(|&length| length <= limit);
    within.ok_or(FrameError::TooLarge { length, limit })
}

/// A frame that arrives in pieces.
#[derive(Debug, Default)]
struct Partial {
    prefix: Prefix,
    /// Bytes of the body, once the prefix is complete.
    length: Option<usize>,
    body: Vec<u8>,
}

impl Partial {
    /// Takes what belongs to the frame; true when it is complete.
    fn take(&mut self, input: &mut &[u8], limit: usize) -> Result<bool, FrameError> {
        let Some(length) = self.read_length(input, limit)? else { return Ok(false) };
        let missing = length - self.body.len();
        let (piece, rest) = input.split_at(missing.min(input.len()));
        *input = rest;
        self.append(piece, length);
        Ok(self.body.len() == length)
    }

    fn read_length(
        &mut self,
        input: &mut &[u8],
        limit: usize,
    ) -> Result<Option<usize>, FrameError> {
        if self.length.is_none() {
            let Some(length) = self.prefix.read(input)? else { return Ok(None) };
            self.length = Some(within(length, limit)?);
        }
        Ok(self.length)
    }

    /// Grows by doubling, so that each byte is copied a bounded number of times and a length that
    /// is only announced costs nothing.
    fn append(&mut self, piece: &[u8], length: usize) {
        let needed = self.body.len() + piece.len();
        if needed > self.body.capacity() {
            let capacity = needed.max(self.body.capacity().saturating_mul(2)).min(length);
            self.body.reserve_exact(capacity - self.body.len());
        }
        self.body.extend_from_slice(piece);
    }

    fn wants(&self) -> usize {
        match self.length {
            Some(length) => length - self.body.len(),
            None => self.prefix.wants(),
        }
    }
}

/// The length prefix under way.
#[derive(Debug, Default)]
struct Prefix {
    bytes: [u8; MAX_PREFIX],
    have: usize,
}

impl Prefix {
    fn wants(&self) -> usize {
        if self.have == 0 { 1 } else { prefix_len(self.bytes[0]) - self.have }
    }

    /// Takes bytes until the prefix is complete, and says what length it states.
    fn read(&mut self, input: &mut &[u8]) -> Result<Option<u64>, FrameError> {
        while let Some((&byte, rest)) = input.split_first() {
            *input = rest;
            self.bytes[self.have] = byte;
            self.have += 1;
            if let Some((length, _)) = parse_prefix(&self.bytes[..self.have])? {
                return Ok(Some(length));
            }
        }
        Ok(None)
    }
}

/// The length at the front of `input` and the bytes that it takes; `None` if it is not all there.
fn parse_prefix(input: &[u8]) -> Result<Option<(u64, usize)>, FrameError> {
    let Some((&first, rest)) = input.split_first() else { return Ok(None) };
    let size = prefix_len(first);
    let Some(rest) = rest.get(..size - 1) else { return Ok(None) };
    let value = rest.iter().fold(u64::from(first & 0x3f), |acc, &b| acc << 8 | u64::from(b));
    if size > 1 && value >> (size * 4 - 2) == 0 {
        return Err(FrameError::NotMinimal);
    }
    Ok(Some((value, size)))
}

/// Bytes of the whole prefix, which its first byte tells.
const fn prefix_len(first: u8) -> usize {
    1 << (first >> 6)
}

/// Why the bytes of a stream are not frames. The sender of the frame is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The length is beyond the limit; nothing of the body was kept.
    #[error("the frame has {length} bytes and {limit} are allowed")]
    TooLarge {
        /// The length that the prefix states.
        length: u64,
        /// What is allowed here.
        limit: usize,
    },
    /// The length is not in the shortest of its forms.
    #[error("the length of the frame is not in its shortest form")]
    NotMinimal,
    /// The stream ended in the middle of a frame.
    #[error("the stream ended in the middle of a frame")]
    Truncated,
}

impl FrameError {
    /// The code with which the stream is given up. SPEC §6.4.
    #[must_use]
    pub const fn code(&self) -> StreamCode {
        match self {
            Self::TooLarge { .. } => StreamCode::FrameTooLarge,
            Self::NotMinimal | Self::Truncated => StreamCode::Malformed,
        }
    }

    /// The name of the error in the vectors.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "too_large",
            Self::NotMinimal => "not_minimal",
            Self::Truncated => "truncated",
        }
    }
}

#[cfg(test)]
mod tests;
