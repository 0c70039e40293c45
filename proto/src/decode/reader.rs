//! Bytes, numbers and lengths from a slice, each checked.

use super::DecodeError;

/// What is left of a message.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) const fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    pub(super) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn byte(&mut self) -> Result<u8, DecodeError> {
        let (&first, rest) = self.rest.split_first().ok_or(DecodeError::End)?;
        self.rest = rest;
        Ok(first)
    }

    pub(super) fn bytes(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(DecodeError::End)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(DecodeError::End)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// An unsigned number of `bits` bits, low groups of seven first, shortest form only.
    pub(super) fn varint(&mut self, bits: u32) -> Result<u64, DecodeError> {
        let mut value: u64 = 0;
        for shift in (0..bits).step_by(7) {
            let byte = self.byte()?;
            let group = u64::from(byte & 0x7f);
            if group != 0 && group > u64::MAX >> (64 - bits) >> shift {
                return Err(DecodeError::Varint);
            }
            value |= group << shift;
            if byte & 0x80 == 0 {
                let shortest = byte != 0 || shift == 0;
                return if shortest { Ok(value) } else { Err(DecodeError::Varint) };
            }
        }
        Err(DecodeError::Varint)
    }

    /// A signed number: zigzag over [`varint`](Self::varint).
    pub(super) fn zigzag(&mut self, bits: u32) -> Result<i64, DecodeError> {
        let value = self.varint(bits)?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    /// The length of a text or byte string, or the count of a list. Every element has a byte at
    /// least, so a count above the bytes that are left is a lie and costs nothing.
    pub(super) fn length(&mut self) -> Result<usize, DecodeError> {
        let length = self.varint(64)?;
        usize::try_from(length).ok().filter(|&n| n <= self.rest.len()).ok_or(DecodeError::End)
    }

    pub(super) fn flag(&mut self) -> Result<bool, DecodeError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(DecodeError::Flag(other)),
        }
    }

    pub(super) fn text(&mut self) -> Result<&'a str, DecodeError> {
        let length = self.length()?;
        std::str::from_utf8(self.bytes(length)?).map_err(|_| DecodeError::Utf8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn varint(bits: u32, bytes: &[u8]) -> Result<u64, DecodeError> {
        Reader::new(bytes).varint(bits)
    }

    #[test]
    fn numbers_at_the_edges_of_their_types() {
        assert_eq!(varint(16, &[0xff, 0xff, 0x03]), Ok(0xffff));
        assert_eq!(varint(16, &[0x80, 0x80, 0x04]), Err(DecodeError::Varint));
        assert_eq!(varint(32, &[0xff, 0xff, 0xff, 0xff, 0x0f]), Ok(0xffff_ffff));
        assert_eq!(varint(32, &[0xff, 0xff, 0xff, 0xff, 0x1f]), Err(DecodeError::Varint));
        let mut most = [0xff; 10];
        most[9] = 1;
        assert_eq!(varint(64, &most), Ok(u64::MAX));
        most[9] = 2;
        assert_eq!(varint(64, &most), Err(DecodeError::Varint));
        assert_eq!(varint(64, &[0xff; 11]), Err(DecodeError::Varint));
    }

    #[test]
    fn only_the_shortest_form() {
        assert_eq!(varint(32, &[0]), Ok(0));
        assert_eq!(varint(32, &[0x80, 0]), Err(DecodeError::Varint));
        assert_eq!(varint(32, &[0xff, 0x80, 0]), Err(DecodeError::Varint));
    }

    #[test]
    fn signed_numbers() {
        for (byte, value) in [(0, 0), (1, -1), (2, 1), (3, -2)] {
            assert_eq!(Reader::new(&[byte]).zigzag(16), Ok(value));
        }
        let mut least = [0xff; 10];
        least[9] = 1;
        assert_eq!(Reader::new(&least).zigzag(64), Ok(i64::MIN));
    }

    #[test]
    fn a_length_beyond_the_end_is_found_at_once() {
        assert_eq!(Reader::new(&[3, 1, 2]).length(), Err(DecodeError::End));
        assert_eq!(Reader::new(&[2, 1, 2]).length(), Ok(2));
    }
}
