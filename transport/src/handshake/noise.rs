//! `Noise_IKpsk0_25519_ChaChaPoly_SHA256` (SPEC §4.3) as snow runs it.

use snow::{Builder, HandshakeState, params::NoiseParams};
use zeroize::Zeroizing;

use super::{
    Destination, HandshakeError, Secrets, StaticKey, pairs::Pairs, primitives::Primitives,
};

/// The Noise protocol name (SPEC §4.3).
pub(crate) const PATTERN: &str = "Noise_IKpsk0_25519_ChaChaPoly_SHA256";
/// Bytes that Noise adds to the payload of message 1: ephemeral key, encrypted static key, tag.
pub(crate) const HELLO_OVERHEAD: usize = 32 + 48 + 16;
/// The body of a Reply: ephemeral key and the tag of an empty payload (SPEC §4.4.2).
pub(crate) const REPLY_LEN: usize = 32 + 16;

/// A handshake in its first state: that of a dialer if it knows the responder's public key.
pub(super) fn handshake(
    key: &StaticKey,
    to: Destination<'_>,
    responder: Option<&[u8; 32]>,
    ephemeral: Zeroizing<[u8; 32]>,
    pairs: &Pairs,
) -> Result<HandshakeState, HandshakeError> {
    let params: NoiseParams = PATTERN.parse().map_err(failed)?;
    let primitives = Primitives { key: key.clone(), ephemeral, pairs: pairs.clone() };
    let prologue = to.prologue();
    let builder = Builder::with_resolver(params, Box::new(primitives))
        .local_private_key(&*key.private)
        .and_then(|b| b.psk(0, to.network.as_bytes()))
        .and_then(|b| b.prologue(&prologue))
        .map_err(failed)?;
    match responder {
        Some(key) => builder.remote_public_key(key).and_then(Builder::build_initiator),
        None => builder.build_responder(),
    }
    .map_err(failed)
}

/// The secrets of a handshake whose two messages are through.
pub(super) fn secrets(noise: &mut HandshakeState) -> Secrets {
    let (mut first, mut second) = noise.dangerously_get_raw_split();
    let secrets = Secrets::new((&first, &second), noise.get_handshake_hash());
    zeroize::Zeroize::zeroize(&mut first);
    zeroize::Zeroize::zeroize(&mut second);
    secrets
}

/// Whatever snow refuses, the message did not authenticate: the peer is not told more.
pub(super) fn failed(_: snow::Error) -> HandshakeError {
    HandshakeError::Authentication
}
