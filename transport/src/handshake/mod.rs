//! The Noise handshake (core), SPEC §4.
//!
//! *Purpose*: prove to both ends of a connection who the other is, in one round trip, and derive
//! every key of the connection. The pattern is `Noise_IKpsk0_25519_ChaChaPoly_SHA256`.
//!
//! *Inputs*: the bytes of the peer's handshake messages, and 32 random bytes for each ephemeral
//! key, given by the caller.
//!
//! *Outputs*: the bytes of our messages, the peer's identity and the secrets of each stage.
//!
//! *Not handled*: who may connect and which counters were seen (the gate), how the bytes travel
//! (QUIC CRYPTO frames), and packet protection itself (`protection`).

mod acceptor;
mod dialer;
mod message;
mod noise;
mod pairs;
mod primitives;
mod schedule;
#[cfg(test)]
mod tests;

pub(crate) use acceptor::Acceptor;
pub(crate) use dialer::Dialer;
pub(crate) use message::{Accept, Hello, MAX_HELLO_LEN, Message};
pub(crate) use pairs::SharedSecrets;
pub(crate) use schedule::{
    EarlySecret, InitialSalt, InitialSecrets, Pair, Secret, Secrets, expand_label,
};

use pinhole_proto::{NetworkKey, PeerId, SecretKey};
use zeroize::Zeroizing;

/// What the handshake says of itself in the Noise prologue (SPEC §4.3).
pub(crate) const PROTOCOL_LABEL: &[u8] = b"pinhole/1";

/// Our long-term key in the form that Noise needs, computed once.
#[derive(Clone)]
pub(crate) struct StaticKey {
    pub(crate) peer_id: PeerId,
    pub(crate) private: Zeroizing<[u8; 32]>,
    pub(crate) public: [u8; 32],
}

impl StaticKey {
    pub(crate) fn new(key: &SecretKey) -> Self {
        let peer_id = key.peer_id();
        Self { peer_id, private: key.noise_private(), public: peer_id.noise_public() }
    }
}

/// The responder of a handshake, and the network in which it is dialed (SPEC §4.2).
#[derive(Clone, Copy)]
pub(crate) struct Destination<'a> {
    pub(crate) network: &'a NetworkKey,
    pub(crate) responder: PeerId,
}

impl Destination<'_> {
    /// The Noise prologue (SPEC §4.3).
    fn prologue(&self) -> Vec<u8> {
        let version = self.network.quic_version().to_be_bytes();
        [PROTOCOL_LABEL, &version, self.responder.as_bytes()].concat()
    }
}

/// Why a handshake message was refused. The peer that sent it is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HandshakeError {
    #[error("handshake message is truncated or has a wrong length")]
    Length,
    #[error("handshake message has an unexpected type")]
    UnexpectedMessage,
    #[error("handshake message does not authenticate")]
    Authentication,
    #[error("the peer id is not valid, or not that of the key used")]
    Identity,
    #[error("no cipher suite in common")]
    Suite,
    #[error("transport parameters are malformed")]
    TransportParameters,
}
