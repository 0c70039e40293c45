//! The key schedule (SPEC §4.5): HKDF-SHA256, with the labels of RFC 8446 §7.1 and RFC 9001 §5.1
//! for what they define and labels of our own for the rest.

use pinhole_proto::{NetworkKey, PeerId};
use ring::hmac;
use zeroize::Zeroizing;

/// A secret of 32 bytes from which keys are expanded.
pub(crate) type Secret = Zeroizing<[u8; 32]>;

/// HKDF-Extract (RFC 5869 §2.2) with SHA-256.
pub(crate) fn extract(salt: &[u8], input: &[u8]) -> Secret {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, salt), input);
    let mut out = Zeroizing::new([0; 32]);
    out.copy_from_slice(tag.as_ref());
    out
}

/// HKDF-Expand-Label (RFC 8446 §7.1) with SHA-256 into `out`, at most 8,160 bytes.
pub(crate) fn expand_label(secret: &[u8; 32], label: &[u8], context: &[u8], out: &mut [u8]) {
    let len = u16::try_from(out.len()).unwrap_or(u16::MAX).to_be_bytes();
    let label_len = u8::try_from(label.len() + 6).unwrap_or(u8::MAX);
    let context_len = u8::try_from(context.len()).unwrap_or(u8::MAX);
    let info = [&len[..], &[label_len], b"tls13 ", label, &[context_len], context].concat();
    expand(secret, &info, out);
}

/// HKDF-Expand (RFC 5869 §2.3).
fn expand(secret: &[u8; 32], info: &[u8], out: &mut [u8]) {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let mut previous: Option<hmac::Tag> = None;
    for (index, block) in (1..=u8::MAX).zip(out.chunks_mut(32)) {
        let mut context = hmac::Context::with_key(&key);
        if let Some(tag) = &previous {
            context.update(tag.as_ref());
        }
        context.update(info);
        context.update(&[index]);
        let tag = context.sign();
        block.copy_from_slice(&tag.as_ref()[..block.len()]);
        previous = Some(tag);
    }
}

/// A secret derived from `secret` under `label`, without context.
pub(crate) fn derive(secret: &[u8; 32], label: &[u8]) -> Secret {
    let mut out = Zeroizing::new([0; 32]);
    expand_label(secret, label, &[], &mut *out);
    out
}

/// What protects Initial and Retry packets of one connection (SPEC §4.2).
///
/// Whoever knows the responder's id and the network key can derive these.
#[derive(Clone)]
pub(crate) struct InitialSecrets {
    pub(crate) dialer: Secret,
    pub(crate) responder: Secret,
}

impl InitialSecrets {
    /// The secrets for the destination connection id of the dialer's first Initial.
    pub(crate) fn new(salt: &InitialSalt, dcid: &[u8]) -> Self {
        let initial = extract(&*salt.0, dcid);
        Self { dialer: derive(&initial, b"client in"), responder: derive(&initial, b"server in") }
    }
}

/// The salt that binds Initial packets to one responder in one network (SPEC §4.2).
#[derive(Clone)]
pub(crate) struct InitialSalt(Secret);

impl InitialSalt {
    pub(crate) fn new(network: &NetworkKey, responder: &PeerId) -> Self {
        let message = [super::PROTOCOL_LABEL, b" initial", responder.as_bytes()].concat();
        Self(extract(network.as_bytes(), &message))
    }

    /// Key and nonce of the Retry integrity tag (SPEC §4.8).
    pub(crate) fn retry(&self) -> (Secret, [u8; 12]) {
        let mut nonce = [0; 12];
        expand_label(&self.0, b"retry iv", &[], &mut nonce);
        (derive(&self.0, b"retry key"), nonce)
    }
}

/// The secret of early data (SPEC §4.6): known to both after message 1.
#[derive(Clone)]
pub(crate) struct EarlySecret(pub(crate) Secret);

impl EarlySecret {
    /// From the secret that the dialer sent and the handshake hash after message 1.
    pub(super) fn new(sent: &[u8; 32], handshake_hash: &[u8]) -> Self {
        Self(derive(&extract(handshake_hash, sent), b"pinhole early"))
    }
}

/// The secrets after message 2 (SPEC §4.5).
#[derive(Clone)]
pub(crate) struct Secrets {
    pub(crate) handshake: Pair,
    pub(crate) application: Pair,
    pub(crate) exporter: Secret,
}

/// One secret for each direction, named by who sends.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) dialer: Secret,
    pub(crate) responder: Secret,
}

impl Secrets {
    /// From the two keys of Noise's Split and the handshake hash after message 2.
    pub(super) fn new(split: (&[u8; 32], &[u8; 32]), handshake_hash: &[u8]) -> Self {
        let input = Zeroizing::new([*split.0, *split.1].concat());
        let main = extract(handshake_hash, &input);
        let pair = |dialer, responder| Pair {
            dialer: derive(&main, dialer),
            responder: derive(&main, responder),
        };
        Self {
            handshake: pair(b"pinhole d hs", b"pinhole r hs"),
            application: pair(b"pinhole d ap", b"pinhole r ap"),
            exporter: derive(&main, b"pinhole exp"),
        }
    }
}

impl Pair {
    /// The secrets after a key update (RFC 9001 §6.1).
    pub(crate) fn update(&mut self) {
        self.dialer = derive(&self.dialer, b"quic ku");
        self.responder = derive(&self.responder, b"quic ku");
    }
}
