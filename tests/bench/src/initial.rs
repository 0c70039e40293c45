//! Initial packets made by hand, from the spec alone: what a hostile stranger can send.

use pinhole_proto::{NetworkKey, PUBLIC_QUIC_VERSION, PeerId};
use ring::{aead, hmac, rand};

/// Length of every packet here: the least that may open a connection (RFC 9000 §14.1).
const DATAGRAM: usize = 1200;
const TAG: usize = 16;
/// Long header, Initial, packet number of one byte, before header protection.
const FIRST_BYTE: u8 = 0xc0;
/// Bytes up to the packet number: first byte, version, two ids of 8, no token, length.
const NUMBER_OFFSET: usize = 1 + 4 + 9 + 9 + 1 + 2;
/// A Hello of plausible length (SPEC §4.4).
const HELLO: usize = 300;

/// An Initial of somebody who does not know the peer: of QUIC 1 and of our version in turn.
pub fn foreign(number: u64) -> Vec<u8> {
    let version = if number.is_multiple_of(2) { 1 } else { PUBLIC_QUIC_VERSION };
    let mut packet = header(version);
    packet.resize(DATAGRAM, 0);
    fill(&mut packet[NUMBER_OFFSET..]);
    packet
}

/// An Initial under the right keys whose Hello is garbage (SPEC §4.2, §4.4).
pub fn garbage(peer: &PeerId, _: u64) -> Vec<u8> {
    let mut hello = [0; HELLO];
    fill(&mut hello);
    let body_length = (HELLO as u16).to_be_bytes();
    let message = [&[1][..], &body_length, &hello].concat();
    let crypto_length = (0x4000 | message.len() as u16).to_be_bytes();
    let mut frames = [&[0x06, 0x00][..], &crypto_length, &message].concat();
    frames.resize(DATAGRAM - NUMBER_OFFSET - 1 - TAG, 0);
    seal(peer, header(PUBLIC_QUIC_VERSION), frames)
}

/// A long header up to where the packet number begins.
fn header(version: u32) -> Vec<u8> {
    let mut ids = [0; 16];
    fill(&mut ids);
    ids[0] &= 0x7f; // an id for a responder (SPEC §8.1)
    let length = (0x4000 | (DATAGRAM - NUMBER_OFFSET) as u16).to_be_bytes();
    let version = version.to_be_bytes();
    [&[FIRST_BYTE][..], &version, &[8], &ids[..8], &[8], &ids[8..], &[0], &length].concat()
}

/// Packet and header protection (SPEC §4.2, §4.7; RFC 9001 §5).
fn seal(peer: &PeerId, mut packet: Vec<u8>, mut frames: Vec<u8>) -> Vec<u8> {
    let secret = dialer_secret(peer, &packet[6..14]);
    packet.push(0); // packet number
    let key = aead::UnboundKey::new(&aead::CHACHA20_POLY1305, &expand::<32>(&secret, b"quic key"))
        .expect("a key of 32 bytes");
    let nonce = aead::Nonce::assume_unique_for_key(expand(&secret, b"quic iv"));
    aead::LessSafeKey::new(key)
        .seal_in_place_append_tag(nonce, aead::Aad::from(&packet), &mut frames)
        .expect("a short packet");
    packet.extend(frames);
    let key = expand::<32>(&secret, b"quic hp");
    let key = aead::quic::HeaderProtectionKey::new(&aead::quic::CHACHA20, &key)
        .expect("a key of 32 bytes");
    let sample = &packet[NUMBER_OFFSET + 4..][..16];
    let mask = key.new_mask(sample).expect("a sample of 16 bytes");
    packet[0] ^= mask[0] & 0x0f;
    packet[NUMBER_OFFSET] ^= mask[1];
    packet
}

fn dialer_secret(peer: &PeerId, dcid: &[u8]) -> [u8; 32] {
    let label = [b"pinhole/1 initial", &peer.as_bytes()[..]].concat();
    let salt = sign(NetworkKey::PUBLIC.as_bytes(), &label);
    expand(&sign(&salt, dcid), b"client in")
}

/// HKDF-Expand-Label (RFC 8446 §7.1) of at most 32 bytes without context.
fn expand<const N: usize>(secret: &[u8], label: &[u8]) -> [u8; N] {
    let lengths = [0, N as u8, 6 + label.len() as u8];
    let info = [&lengths[..], b"tls13 ", label, &[0], &[1]].concat();
    let block = sign(secret, &info);
    let mut out = [0; N];
    out.copy_from_slice(&block[..N]);
    out
}

fn sign(key: &[u8], message: &[u8]) -> [u8; 32] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message);
    let mut out = [0; 32];
    out.copy_from_slice(tag.as_ref());
    out
}

fn fill(bytes: &mut [u8]) {
    let random = rand::SystemRandom::new();
    rand::SecureRandom::fill(&random, bytes).expect("randomness of the system");
}
