//! The parts of QUIC packets that are visible before any key is known (RFC 8999, RFC 9000 §17),
//! and the opening of Initial packets for the gate.

use quinn_proto::crypto::HeaderKey as _;

use crate::{
    handshake::Secret,
    protection::{Header, Packet},
    session::FIXED_SUITE,
};

/// The smallest datagram that may carry a dialer's Initial (RFC 9000 §14.1).
pub(crate) const MIN_INITIAL_DATAGRAM: usize = 1200;
/// The shortest connection id that a dialer may invent for us (RFC 9000 §7.2).
const MIN_INITIAL_DCID: usize = 8;
/// The longest connection id (RFC 9000 §17.2).
const MAX_CID: usize = 20;
/// By how many bits the delay in an ACK frame is shifted: the default, which all nodes keep
/// (RFC 9000 §18.2).
const ACK_DELAY_EXPONENT: u32 = 3;

/// What the first packet of a datagram looks like from outside.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Kind<'a> {
    /// A long header of our QUIC version.
    Long { initial: bool, retry: bool, dcid: &'a [u8], scid: &'a [u8] },
    /// A short header; the id is as long as ours are.
    Short { dcid: &'a [u8] },
    /// Neither: not for quinn.
    Other,
}

/// Classifies a datagram by its first packet.
pub(crate) fn classify(datagram: &[u8], version: u32) -> Kind<'_> {
    match datagram.first() {
        Some(byte) if byte & 0x40 == 0 => Kind::Other, // the fixed bit: place of the probes
        Some(byte) if byte & 0x80 == 0 => match datagram.get(1..1 + crate::cid::CID_LEN) {
            Some(dcid) => Kind::Short { dcid },
            None => Kind::Other,
        },
        Some(byte) => {
            let mut reader = Reader(&datagram[1..]);
            if reader.array().map(u32::from_be_bytes) != Some(version) {
                return Kind::Other;
            }
            let (Some(dcid), Some(scid)) = (reader.cid(), reader.cid()) else { return Kind::Other };
            Kind::Long { initial: byte & 0x30 == 0x00, retry: byte & 0x30 == 0x30, dcid, scid }
        }
        None => Kind::Other,
    }
}

/// An Initial packet at the start of a datagram, still protected.
pub(crate) struct Initial<'a> {
    pub(crate) dcid: &'a [u8],
    pub(crate) has_token: bool,
    /// Where the packet number starts.
    number_offset: usize,
    /// The whole packet, without what follows it in the datagram.
    packet: &'a [u8],
}

impl<'a> Initial<'a> {
    /// Reads the header of an Initial of our version; `None` if anything in it is out of bounds.
    pub(crate) fn parse(datagram: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(datagram.get(5..)?);
        let dcid = reader.cid()?;
        reader.cid()?;
        let token_len = reader.varint()?;
        reader.take(usize::try_from(token_len).ok()?)?;
        let len = usize::try_from(reader.varint()?).ok()?;
        let number_offset = datagram.len() - reader.0.len();
        let packet = datagram.get(..number_offset.checked_add(len)?)?;
        Some(Self { dcid, has_token: token_len > 0, number_offset, packet })
    }

    /// Whether the connection id may open a connection (RFC 9000 §7.2).
    pub(crate) fn may_open(&self) -> bool {
        (MIN_INITIAL_DCID..=MAX_CID).contains(&self.dcid.len())
    }

    /// The frames of the packet, if it authenticates under the sender's Initial `secret`.
    pub(crate) fn open(&self, secret: &Secret) -> Option<Vec<u8>> {
        let header_key = Header::new(FIXED_SUITE, secret);
        if self.packet.len() < self.number_offset + 4 + header_key.sample_size() {
            return None;
        }
        let mut packet = self.packet.to_vec();
        let number_len = header_key.apply(self.number_offset, &mut packet, true);
        if packet[0] & 0x0c != 0 {
            return None; // reserved bits
        }
        let (header, payload) = packet.split_at_mut(self.number_offset + number_len);
        let number = header[self.number_offset..]
            .iter()
            .fold(0u64, |number, byte| number << 8 | u64::from(*byte));
        let len = Packet::new(FIXED_SUITE, secret).open(number, header, payload)?;
        Some(payload[..len].to_vec())
    }
}

/// The CRYPTO data of an Initial that opens a connection: one frame, at offset zero, beside
/// nothing but PADDING and PING (SPEC §5.2).
pub(crate) fn only_crypto_frame(frames: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader(frames);
    let mut crypto = None;
    while let Some([frame]) = reader.array() {
        match frame {
            0x00 | 0x01 => {}
            0x06 if crypto.is_none() => {
                let offset = reader.varint()?;
                let len = usize::try_from(reader.varint()?).ok()?;
                let data = reader.take(len)?;
                crypto = (offset == 0).then_some(Some(data))?;
            }
            _ => return None,
        }
    }
    crypto
}

/// Whether a packet with these frames has to be acknowledged (RFC 9000 §13.2): it holds more than
/// ACK, PADDING and CONNECTION_CLOSE. What cannot be read counts, too.
pub(crate) fn is_ack_eliciting(frames: &[u8]) -> bool {
    let mut reader = Reader(frames);
    while let Some([frame]) = reader.array() {
        match frame {
            0x00 => {}
            0x02 | 0x03 if reader.skip_ack(frame == 0x03).is_some() => {}
            0x1c | 0x1d => return false, // quinn puts nothing behind it
            _ => return true,
        }
    }
    false
}

/// By how many microseconds the acknowledgement at the start of `frames` was held back, as the
/// sender says (RFC 9000 §19.3, with the default exponent); `None` if there is none.
pub(crate) fn ack_delay(frames: &[u8]) -> Option<u64> {
    let mut reader = Reader(frames);
    let [0x02 | 0x03] = reader.array()? else { return None };
    reader.varint()?;
    Some(reader.varint()?.saturating_mul(1 << ACK_DELAY_EXPONENT))
}

/// A cursor over untrusted bytes.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    /// A connection id behind its length (RFC 9000 §17.2).
    fn cid(&mut self) -> Option<&'a [u8]> {
        let [len] = self.array()?;
        let len = usize::from(len);
        if len > MAX_CID { None } else { self.take(len) }
    }

    /// A variable-length integer (RFC 9000 §16).
    fn varint(&mut self) -> Option<u64> {
        let first = *self.0.first()?;
        let bytes = self.take(1 << (first >> 6))?;
        let rest = bytes[1..].iter().fold(u64::from(first & 0x3f), |n, b| n << 8 | u64::from(*b));
        Some(rest)
    }

    /// The rest of an ACK frame (RFC 9000 §19.3).
    fn skip_ack(&mut self, with_ecn: bool) -> Option<()> {
        self.varint()?;
        self.varint()?;
        let ranges = self.varint()?;
        self.varint()?;
        for _ in 0..ranges {
            self.varint()?;
            self.varint()?;
        }
        for _ in 0..if with_ecn { 3 } else { 0 } {
            self.varint()?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classifies_by_header_form_fixed_bit_and_version() {
        let version = 0x7069_6e31;
        let long = [0xc3, 0x70, 0x69, 0x6e, 0x31, 2, 7, 8, 1, 9];
        let kind = Kind::Long { initial: true, retry: false, dcid: &[7, 8], scid: &[9] };
        assert_eq!(classify(&long, version), kind);
        assert_eq!(classify(&long, 1), Kind::Other);
        assert_eq!(classify(&long[..9], version), Kind::Other);
        assert_eq!(
            classify(&[0x40, 1, 2, 3, 4, 5, 6, 7, 8], version),
            Kind::Short { dcid: &[1, 2, 3, 4, 5, 6, 7, 8] }
        );
        assert_eq!(classify(&[0x40, 1, 2], version), Kind::Other);
        assert_eq!(classify(&[0x83; 40], version), Kind::Other);
        assert_eq!(classify(&[], version), Kind::Other);
    }

    #[test]
    fn finds_the_one_crypto_frame() {
        assert_eq!(only_crypto_frame(&[0, 1, 6, 0, 2, 8, 9, 0, 0]), Some(&[8, 9][..]));
        let refused: [&[u8]; 7] = [
            &[],
            &[0, 0],
            &[6, 1, 1, 8],             // not at offset zero
            &[6, 0, 1, 8, 6, 1, 1, 9], // two frames
            &[6, 0, 2, 8],             // cut
            &[2, 0, 0, 0, 0],          // ACK
            &[6, 0, 0xc0],             // cut varint
        ];
        for frames in refused {
            assert_eq!(only_crypto_frame(frames), None, "{frames:?}");
        }
    }

    #[test]
    fn tells_what_has_to_be_acknowledged() {
        let ack = [2, 0x40, 9, 5, 1, 0, 2, 3];
        let with_ecn = [3, 9, 5, 0, 0, 7, 8, 9];
        let close = [&ack[..], &[0x1c, 0, 0, 0]].concat();
        for frames in [&ack[..], &with_ecn, &[0, 0], &[], &close] {
            assert!(!is_ack_eliciting(frames), "{frames:?}");
            if !frames.starts_with(&close) {
                assert!(is_ack_eliciting(&[frames, &[0x31, 0]].concat()), "{frames:?} DATAGRAM");
            }
        }
        assert!(is_ack_eliciting(&[1]), "PING");
        assert!(is_ack_eliciting(&ack[..5]), "cut");
    }

    #[test]
    fn reads_how_long_an_acknowledgement_was_held_back() {
        assert_eq!(ack_delay(&[2, 9, 0x40, 100, 0, 0]), Some(800));
        let longest = [&[3, 9][..], &[0xff; 8]].concat();
        assert_eq!(ack_delay(&longest), Some(u64::MAX));
        for frames in [&[][..], &[2], &[2, 9], &[1, 2, 9, 5], &[0x31, 0, 0]] {
            assert_eq!(ack_delay(frames), None, "{frames:?}");
        }
    }
}
