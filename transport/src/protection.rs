//! Packet protection (SPEC §4.7): the construction of RFC 9001 §5 over ring's AEADs.

use std::sync::Arc;

use bytes::BytesMut;
use quinn_proto::crypto::{CryptoError, HeaderKey, KeyPair, Keys, PacketKey};
use ring::aead::{self, quic};

use crate::{
    handshake::{Pair, Secret, expand_label},
    pulse::Pulse,
};

/// A cipher suite for packets (SPEC §4.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suite {
    /// AEAD_AES_128_GCM; used where both ends have AES in hardware.
    Aes128Gcm,
    /// AEAD_CHACHA20_POLY1305; every node has it, and Initial, 0-RTT and Handshake packets use it.
    ChaCha20Poly1305,
}

impl Suite {
    /// The suite's number on the wire (SPEC §4.7).
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Aes128Gcm => 1,
            Self::ChaCha20Poly1305 => 2,
        }
    }

    pub(crate) const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Aes128Gcm),
            2 => Some(Self::ChaCha20Poly1305),
            _ => None,
        }
    }

    /// What this machine offers, best first.
    pub(crate) fn offered() -> Vec<u8> {
        if has_aes() {
            vec![Self::Aes128Gcm.code(), Self::ChaCha20Poly1305.code()]
        } else {
            vec![Self::ChaCha20Poly1305.code()]
        }
    }

    /// What this machine chooses of an offer. An offer always holds ChaCha20-Poly1305.
    pub(crate) fn choose(offered: &[u8]) -> Self {
        if has_aes() && offered.contains(&Self::Aes128Gcm.code()) {
            Self::Aes128Gcm
        } else {
            Self::ChaCha20Poly1305
        }
    }

    fn key_len(self) -> usize {
        match self {
            Self::Aes128Gcm => 16,
            Self::ChaCha20Poly1305 => 32,
        }
    }

    /// Packets that one key may protect (RFC 9001 §6.6, §B.1).
    fn confidentiality_limit(self) -> u64 {
        match self {
            Self::Aes128Gcm => 1 << 23,
            Self::ChaCha20Poly1305 => u64::MAX,
        }
    }

    /// Forged packets that one connection may see (RFC 9001 §6.6, §B.1).
    fn integrity_limit(self) -> u64 {
        match self {
            Self::Aes128Gcm => 1 << 52,
            Self::ChaCha20Poly1305 => 1 << 36,
        }
    }
}

#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
fn has_aes() -> bool {
    std::arch::is_x86_feature_detected!("aes") && std::arch::is_x86_feature_detected!("pclmulqdq")
}

#[cfg(target_arch = "aarch64")]
fn has_aes() -> bool {
    std::arch::is_aarch64_feature_detected!("aes")
        && std::arch::is_aarch64_feature_detected!("pmull")
}

#[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
fn has_aes() -> bool {
    false
}

/// Which end of the connection we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Dialer,
    Responder,
}

/// Packet and header keys of both directions, as `side` uses them.
pub(crate) fn keys(suite: Suite, secrets: &Pair, side: Side) -> Keys {
    Keys { header: header_keys(suite, secrets, side), packet: packet_keys(suite, secrets, side) }
}

fn header_keys(suite: Suite, secrets: &Pair, side: Side) -> KeyPair<Box<dyn HeaderKey>> {
    let (local, remote) = order(&secrets.dialer, &secrets.responder, side);
    KeyPair { local: header_key(suite, local), remote: header_key(suite, remote) }
}

fn packet_keys(suite: Suite, secrets: &Pair, side: Side) -> KeyPair<Box<dyn PacketKey>> {
    let (local, remote) = order(&secrets.dialer, &secrets.responder, side);
    KeyPair { local: packet_key(suite, local), remote: packet_key(suite, remote) }
}

/// As `keys`, for 1-RTT packets, whose coming and going is felt in `pulse`.
pub(crate) fn traffic_keys(suite: Suite, secrets: &Pair, side: Side, pulse: &Arc<Pulse>) -> Keys {
    Keys {
        header: header_keys(suite, secrets, side),
        packet: traffic_packet_keys(suite, secrets, side, pulse),
    }
}

/// The packet keys among `traffic_keys`: all that a key update changes.
pub(crate) fn traffic_packet_keys(
    suite: Suite,
    secrets: &Pair,
    side: Side,
    pulse: &Arc<Pulse>,
) -> KeyPair<Box<dyn PacketKey>> {
    let (local, remote) = order(&secrets.dialer, &secrets.responder, side);
    let key = |secret| Packet { pulse: Some(pulse.clone()), ..Packet::new(suite, secret) };
    KeyPair { local: Box::new(key(local)), remote: Box::new(key(remote)) }
}

fn order<'a>(dialer: &'a Secret, responder: &'a Secret, side: Side) -> (&'a Secret, &'a Secret) {
    match side {
        Side::Dialer => (dialer, responder),
        Side::Responder => (responder, dialer),
    }
}

pub(crate) fn packet_key(suite: Suite, secret: &Secret) -> Box<dyn PacketKey> {
    Box::new(Packet::new(suite, secret))
}

pub(crate) fn header_key(suite: Suite, secret: &Secret) -> Box<dyn HeaderKey> {
    Box::new(Header::new(suite, secret))
}

/// Protects the payload of packets in one direction (RFC 9001 §5.3).
pub(crate) struct Packet {
    suite: Suite,
    key: aead::LessSafeKey,
    iv: [u8; 12],
    /// Told of each packet, if there is one: 1-RTT packets only.
    pulse: Option<Arc<Pulse>>,
}

impl Packet {
    pub(crate) fn new(suite: Suite, secret: &Secret) -> Self {
        let algorithm = match suite {
            Suite::Aes128Gcm => &aead::AES_128_GCM,
            Suite::ChaCha20Poly1305 => &aead::CHACHA20_POLY1305,
        };
        let mut key = zeroize::Zeroizing::new([0; 32]);
        let key = &mut key[..suite.key_len()];
        expand_label(secret, b"quic key", &[], key);
        let mut iv = [0; 12];
        expand_label(secret, b"quic iv", &[], &mut iv);
        #[expect(clippy::expect_used, reason = "the key has the algorithm's length")]
        let key = aead::UnboundKey::new(algorithm, key).expect("key length of the suite");
        Self { suite, key: aead::LessSafeKey::new(key), iv, pulse: None }
    }

    /// Opens `payload` in place; returns the length of the plaintext.
    pub(crate) fn open(&self, number: u64, header: &[u8], payload: &mut [u8]) -> Option<usize> {
        let aad = aead::Aad::from(header);
        self.key.open_in_place(self.nonce(number), aad, payload).ok().map(|text| text.len())
    }

    fn nonce(&self, number: u64) -> aead::Nonce {
        let mut nonce = self.iv;
        for (byte, n) in nonce[4..].iter_mut().zip(number.to_be_bytes()) {
            *byte ^= n;
        }
        aead::Nonce::assume_unique_for_key(nonce)
    }
}

impl PacketKey for Packet {
    fn encrypt(&self, number: u64, buffer: &mut [u8], header_len: usize) {
        let packet_len = buffer.len();
        let (header, rest) = buffer.split_at_mut(header_len);
        let (payload, tag_out) = rest.split_at_mut(rest.len() - self.tag_len());
        if let Some(pulse) = &self.pulse {
            pulse.sealing(packet_len, payload);
        }
        let aad = aead::Aad::from(&*header);
        // ring refuses only inputs of many gigabytes; the tag stays zero and fails at the peer.
        if let Ok(tag) = self.key.seal_in_place_separate_tag(self.nonce(number), aad, payload) {
            tag_out.copy_from_slice(tag.as_ref());
        }
    }

    fn decrypt(
        &self,
        number: u64,
        header: &[u8],
        payload: &mut BytesMut,
    ) -> Result<(), CryptoError> {
        let len = self.open(number, header, payload).ok_or(CryptoError)?;
        payload.truncate(len);
        if let Some(pulse) = &self.pulse {
            pulse.opened(number, payload);
        }
        Ok(())
    }

    fn tag_len(&self) -> usize {
        aead::MAX_TAG_LEN
    }

    fn confidentiality_limit(&self) -> u64 {
        self.suite.confidentiality_limit()
    }

    fn integrity_limit(&self) -> u64 {
        self.suite.integrity_limit()
    }
}

/// Hides the packet number and the low bits of the first byte (RFC 9001 §5.4).
pub(crate) struct Header(quic::HeaderProtectionKey);

impl Header {
    pub(crate) fn new(suite: Suite, secret: &Secret) -> Self {
        let algorithm = match suite {
            Suite::Aes128Gcm => &quic::AES_128,
            Suite::ChaCha20Poly1305 => &quic::CHACHA20,
        };
        let mut key = zeroize::Zeroizing::new([0; 32]);
        let key = &mut key[..suite.key_len()];
        expand_label(secret, b"quic hp", &[], key);
        #[expect(clippy::expect_used, reason = "the key has the algorithm's length")]
        let key = quic::HeaderProtectionKey::new(algorithm, key).expect("key length of the suite");
        Self(key)
    }

    /// The mask for a packet whose number starts at `number_offset`; `None` if it is too short.
    fn mask(&self, number_offset: usize, packet: &[u8]) -> Option<[u8; 5]> {
        let sample = packet.get(number_offset + 4..)?.get(..self.0.algorithm().sample_len())?;
        self.0.new_mask(sample).ok()
    }

    /// Removes or applies the protection; `hidden` tells which. The length of the packet number.
    pub(crate) fn apply(&self, number_offset: usize, packet: &mut [u8], hidden: bool) -> usize {
        let Some(mask) = self.mask(number_offset, packet) else { return 0 };
        let bits = if packet[0] & 0x80 != 0 { 0x0f } else { 0x1f };
        let before = packet[0];
        packet[0] ^= mask[0] & bits;
        let plain = if hidden { packet[0] } else { before };
        let len = usize::from(plain & 3) + 1;
        for (byte, m) in packet[number_offset..number_offset + len].iter_mut().zip(&mask[1..]) {
            *byte ^= m;
        }
        len
    }
}

impl HeaderKey for Header {
    fn decrypt(&self, number_offset: usize, packet: &mut [u8]) {
        self.apply(number_offset, packet, true);
    }

    fn encrypt(&self, number_offset: usize, packet: &mut [u8]) {
        self.apply(number_offset, packet, false);
    }

    fn sample_size(&self) -> usize {
        self.0.algorithm().sample_len()
    }
}
