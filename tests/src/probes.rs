//! What scanners send.

use pinhole_proto::{NetworkKey, PUBLIC_QUIC_VERSION, PeerId};
use pinhole_transport::testing::{Hello, InitialPacket, crypto_frame, dialer_parameters};

use crate::Rng;

/// The longest UDP payload over IPv4.
pub const MAX_DATAGRAM: usize = 65_507;

/// A long header: first byte, version, ids, then random bytes up to `len`.
pub fn long_header(rng: &mut Rng, first: u8, version: u32, dcid: &[u8], len: usize) -> Vec<u8> {
    let scid: [u8; 8] = rng.bytes();
    let mut packet = vec![first];
    packet.extend(version.to_be_bytes());
    packet.push(dcid.len() as u8);
    packet.extend_from_slice(dcid);
    packet.push(8);
    packet.extend(scid);
    if first & 0x30 == 0 {
        packet.push(0); // no token
        packet.extend((0x4000 | (len - packet.len() - 2) as u16 & 0x3fff).to_be_bytes());
    }
    let rest = rng.vec(len.saturating_sub(packet.len()));
    packet.extend(rest);
    packet
}

/// An Initial of somebody who does not know the peer: of QUIC 1 or of our version.
pub fn foreign_initial(rng: &mut Rng, version: u32) -> Vec<u8> {
    let dcid: [u8; 8] = rng.bytes();
    long_header(rng, 0xc3, version, &dcid, 1200)
}

/// A well-made Initial of QUIC 1 for no node that exists: protected, as a scanner's library
/// makes it, under keys that are not ours.
pub fn other_nodes_initial(rng: &mut Rng) -> Vec<u8> {
    let other = rng.key().peer_id();
    let mut dcid: [u8; 8] = rng.bytes();
    dcid[0] &= 0x7f;
    InitialPacket::new(&NetworkKey::PUBLIC, other, &dcid, &rng.bytes::<8>())
        .seal(&crypto_frame(0, &rng.bytes::<300>()))
}

/// An Initial under the right keys whose Hello is garbage.
pub fn garbage_hello(rng: &mut Rng, responder: PeerId) -> Vec<u8> {
    let message = [&[1, 1, 44][..], &rng.bytes::<300>()].concat();
    right_keys(rng, responder, &message)
}

/// An Initial under the right keys with a Hello that its sender made for this peer.
pub fn honest_hello(rng: &mut Rng, responder: PeerId, counter: u64) -> Vec<u8> {
    let scid = rng.bytes::<8>();
    let hello = Hello {
        counter,
        ephemeral: rng.bytes(),
        early_secret: rng.bytes(),
        parameters: dialer_parameters(&scid),
    };
    let message = hello.message(&rng.key(), &NetworkKey::PUBLIC, responder);
    right_keys(rng, responder, &message)
}

fn right_keys(rng: &mut Rng, responder: PeerId, message: &[u8]) -> Vec<u8> {
    let mut dcid: [u8; 16] = rng.bytes();
    dcid[0] &= 0x7f;
    InitialPacket::new(&NetworkKey::PUBLIC, responder, &dcid, &rng.bytes::<8>())
        .seal(&crypto_frame(0, message))
}

/// What a scanner that knows nothing of the node tries.
pub fn scan(rng: &mut Rng) -> Vec<Vec<u8>> {
    let ours = PUBLIC_QUIC_VERSION;
    let mut probes = Vec::new();
    // Initials of QUIC 1, 2 and of our version.
    for version in [1, 0x6b33_43cf, ours] {
        probes.extend((0..20).map(|_| foreign_initial(rng, version)));
    }
    probes.extend((0..20).map(|_| other_nodes_initial(rng)));
    // Our version with short ids, and with ids of every length.
    for len in 0..=20 {
        let dcid = rng.vec(len);
        for first in [0xc0, 0xc3, 0xd3, 0xe3, 0xf3] {
            probes.push(long_header(rng, first, ours, &dcid, 1200));
            probes.push(long_header(rng, first, 1, &dcid, 1200));
        }
    }
    // Ids that are too long, in an otherwise good header.
    for len in [21u8, 255] {
        let mut probe = long_header(rng, 0xc3, ours, &[1; 8], 1200);
        probe[5] = len;
        probes.push(probe);
    }
    // Version probes: Version Negotiation, reserved, unknown; short ones too.
    for version in [0, 0x0a0a_0a0a, 0x1a2a_3a4a, 0xfafa_fafa, 2, 0xff00_001d, 0xffff_ffff, ours ^ 1]
    {
        for len in [60, 1199, 1200, 1400] {
            let dcid: [u8; 8] = rng.bytes();
            probes.push(long_header(rng, 0xc3, version, &dcid, len));
        }
    }
    // Short headers of every length up to a packet's, with and without the fixed bit.
    for len in (1..64).chain([100, 1199, 1200, 1201, 1452]) {
        for first in [0x40, 0x7f, 0x00, 0x3f] {
            let mut probe = rng.vec(len);
            probe[0] = first;
            probes.push(probe);
        }
    }
    // Other protocols: STUN, DNS, DTLS, WireGuard, NTP.
    for head in [
        &[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..],
        &[0x12, 0x34, 1, 0, 0, 1, 0, 0],
        &[22, 0xfe, 0xfd, 0, 0, 0, 0, 0],
        &[1, 0, 0, 0, 9, 9, 9, 9],
        &[0x23, 0, 6, 0xec, 0, 0, 0, 0],
    ] {
        probes.push([head, &rng.bytes::<140>()].concat());
    }
    // As long as a datagram can be, and empty.
    for first in [0xc3, 0x43, 0x03] {
        let mut probe = long_header(rng, 0xc3, ours, &[1; 8], MAX_DATAGRAM);
        probe[0] = first;
        probes.push(probe);
    }
    probes.push(Vec::new());
    probes
}

/// Packets with ids that were seen on a live connection, and garbage in the rest.
pub fn with_live_ids(rng: &mut Rng, recorded: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut probes = Vec::new();
    for packet in recorded.iter().take(40) {
        let header = match packet.first() {
            Some(first) if first & 0x80 != 0 => 1 + 4 + 1 + usize::from(packet[5]) + 1 + 8,
            Some(_) => 9,
            None => continue,
        };
        for len in [header + 1, 40, 64, 600, 1200, 1400] {
            let mut probe = packet[..header.min(packet.len())].to_vec();
            let rest = rng.vec(len.saturating_sub(probe.len()));
            probe.extend(rest);
            probes.push(probe);
        }
        // One byte changed.
        let mut probe = packet.clone();
        let at = rng.below(probe.len());
        probe[at] ^= 1;
        probes.push(probe);
    }
    probes
}
