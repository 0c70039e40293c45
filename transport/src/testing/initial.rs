//! Initial packets and Hellos, sealed and opened by hand.

use pinhole_proto::{NetworkKey, PeerId, SecretKey};
use quinn_proto::crypto::{HeaderKey as _, PacketKey as _};
use ring::aead;
use zeroize::Zeroizing;

use crate::{
    handshake::{self, Destination, Dialer, InitialSalt, InitialSecrets, Secret, StaticKey},
    packet::{self, Kind, MIN_INITIAL_DATAGRAM},
    protection::{Header, Packet, Suite},
    session::FIXED_SUITE,
};

/// Who protects an Initial packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// The dialer.
    Dialer,
    /// The responder.
    Responder,
}

/// An Initial packet to be made; every field may be a lie.
#[derive(Debug, Clone)]
pub struct InitialPacket {
    /// The network under whose key the packet is protected.
    pub network: NetworkKey,
    /// The responder under whose id the packet is protected.
    pub responder: PeerId,
    /// Whose keys protect it.
    pub sender: Sender,
    /// The version in its header.
    pub version: u32,
    /// The connection id from which the keys are derived: that of the dialer's first Initial.
    pub keys_from: Vec<u8>,
    /// The destination connection id in its header.
    pub dcid: Vec<u8>,
    /// The source connection id in its header.
    pub scid: Vec<u8>,
    /// The token in its header.
    pub token: Vec<u8>,
    /// The packet number, sent in four bytes.
    pub number: u32,
    /// Bytes in the datagram, if the frames do not need more: the rest is PADDING.
    pub size: usize,
}

impl InitialPacket {
    /// A dialer's first packet to `responder`, of the smallest size that may open a connection.
    pub fn new(network: &NetworkKey, responder: PeerId, dcid: &[u8], scid: &[u8]) -> Self {
        Self {
            network: network.clone(),
            responder,
            sender: Sender::Dialer,
            version: network.quic_version(),
            keys_from: dcid.to_vec(),
            dcid: dcid.to_vec(),
            scid: scid.to_vec(),
            token: Vec::new(),
            number: 0,
            size: MIN_INITIAL_DATAGRAM,
        }
    }

    /// The protected datagram with these frames.
    pub fn seal(&self, frames: &[u8]) -> Vec<u8> {
        let secret = secret(&self.network, &self.responder, &self.keys_from, self.sender);
        let mut packet = self.header();
        let number_offset = packet.len() + 2;
        let tag = aead::MAX_TAG_LEN;
        let padding = self.size.saturating_sub(number_offset + 4 + frames.len() + tag);
        let len = 4 + frames.len() + padding + tag;
        packet.extend((0x4000 | len as u16).to_be_bytes());
        packet.extend(self.number.to_be_bytes());
        let header_len = packet.len();
        packet.extend_from_slice(frames);
        packet.resize(packet.len() + padding + tag, 0);
        Packet::new(FIXED_SUITE, &secret).encrypt(self.number.into(), &mut packet, header_len);
        Header::new(FIXED_SUITE, &secret).encrypt(number_offset, &mut packet);
        packet
    }

    /// Up to the length of the packet.
    fn header(&self) -> Vec<u8> {
        let mut header = vec![0xc3];
        header.extend(self.version.to_be_bytes());
        for cid in [&self.dcid, &self.scid] {
            header.push(cid.len() as u8);
            header.extend_from_slice(cid);
        }
        header.extend((0x4000 | self.token.len() as u16).to_be_bytes());
        header.extend_from_slice(&self.token);
        header
    }
}

/// What is in an Initial packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenedInitial {
    /// The destination connection id.
    pub dcid: Vec<u8>,
    /// The source connection id.
    pub scid: Vec<u8>,
    /// The frames.
    pub frames: Vec<u8>,
}

impl OpenedInitial {
    /// Opens the Initial packet at the start of `datagram`, as anybody can who knows the
    /// responder and the network.
    pub fn open(
        datagram: &[u8],
        network: &NetworkKey,
        responder: PeerId,
        keys_from: &[u8],
        sender: Sender,
    ) -> Option<Self> {
        let Kind::Long { initial: true, dcid, scid, .. } =
            packet::classify(datagram, network.quic_version())
        else {
            return None;
        };
        let secret = secret(network, &responder, keys_from, sender);
        let frames = packet::Initial::parse(datagram)?.open(&secret)?;
        Some(Self { dcid: dcid.to_vec(), scid: scid.to_vec(), frames })
    }
}

fn secret(network: &NetworkKey, responder: &PeerId, keys_from: &[u8], sender: Sender) -> Secret {
    let secrets = InitialSecrets::new(&InitialSalt::new(network, responder), keys_from);
    match sender {
        Sender::Dialer => secrets.dialer,
        Sender::Responder => secrets.responder,
    }
}

/// A CRYPTO frame (RFC 9000 §19.6).
pub fn crypto_frame(offset: u64, data: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x06];
    pinhole_proto::encode_varint(offset, &mut frame);
    pinhole_proto::encode_varint(data.len() as u64, &mut frame);
    frame.extend_from_slice(data);
    frame
}

/// Transport parameters of a dialer whose packets have `scid` (RFC 9000 §18).
pub fn dialer_parameters(scid: &[u8]) -> Vec<u8> {
    let mut parameters = vec![0x0f];
    pinhole_proto::encode_varint(scid.len() as u64, &mut parameters);
    parameters.extend_from_slice(scid);
    parameters
}

/// A Hello to be made (SPEC §4.4.1).
#[derive(Debug, Clone)]
pub struct Hello {
    /// The counter.
    pub counter: u64,
    /// The private ephemeral key.
    pub ephemeral: [u8; 32],
    /// The early secret.
    pub early_secret: [u8; 32],
    /// Encoded transport parameters.
    pub parameters: Vec<u8>,
}

impl Hello {
    /// The whole message, header included, from the holder of `key` to `responder`.
    pub fn message(&self, key: &SecretKey, network: &NetworkKey, responder: PeerId) -> Vec<u8> {
        let key = StaticKey::new(key);
        let hello = handshake::Hello {
            dialer: key.peer_id,
            counter: self.counter,
            early_secret: Zeroizing::new(self.early_secret),
            suites: vec![Suite::ChaCha20Poly1305.code()],
            parameters: self.parameters.clone(),
        };
        let ephemeral = Zeroizing::new(self.ephemeral);
        let to = Destination { network, responder };
        let (_, body) = Dialer::start(&key, to, &hello, ephemeral, &Default::default())
            .expect("a key that can be dialed");
        let mut message = Vec::new();
        handshake::Message::Hello(&body).encode(&mut message);
        message
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Rng;

    #[test]
    fn what_is_sealed_opens_under_the_same_names_only() {
        let mut rng = Rng::from_seed(1);
        let (responder, other) = (rng.key().peer_id(), rng.key().peer_id());
        let (dcid, scid): ([u8; 16], [u8; 8]) = (rng.bytes(), rng.bytes());
        let network = NetworkKey::PUBLIC;
        let packet = InitialPacket::new(&network, responder, &dcid, &scid);
        let datagram = packet.seal(&crypto_frame(0, b"hello"));
        assert_eq!(datagram.len(), 1200);
        let open =
            |responder, sender| OpenedInitial::open(&datagram, &network, responder, &dcid, sender);
        let opened = open(responder, Sender::Dialer).unwrap();
        assert_eq!((&*opened.dcid, &*opened.scid), (&dcid[..], &scid[..]));
        assert_eq!(packet::only_crypto_frame(&opened.frames), Some(&b"hello"[..]));
        assert_eq!(open(responder, Sender::Responder), None);
        assert_eq!(open(other, Sender::Dialer), None);
    }
}
