//! The dialer's side of the handshake.

use snow::HandshakeState;
use zeroize::Zeroizing;

use super::{
    Destination, EarlySecret, HandshakeError, Hello, Secrets, SharedSecrets, StaticKey,
    noise::{self, HELLO_OVERHEAD, REPLY_LEN},
};

/// A handshake that waits for the responder's Reply.
pub(crate) struct Dialer {
    pub(super) noise: HandshakeState,
    early: EarlySecret,
}

impl Dialer {
    /// Starts a handshake; returns the body of its Hello too.
    ///
    /// `ephemeral` and `hello.early_secret` are 32 fresh random bytes each.
    pub(crate) fn start(
        key: &StaticKey,
        to: Destination<'_>,
        hello: &Hello,
        ephemeral: Zeroizing<[u8; 32]>,
        shared: &SharedSecrets,
    ) -> Result<(Self, Vec<u8>), HandshakeError> {
        let pairs = shared.view();
        let responder = to.responder.noise_public();
        let mut noise = noise::handshake(key, to, Some(&responder), ephemeral, &pairs)?;
        let payload = hello.encode();
        let mut body = vec![0; payload.len() + HELLO_OVERHEAD];
        noise.write_message(&payload, &mut body).map_err(noise::failed)?;
        if pairs.is_new(&responder) {
            to.responder.check_torsion().map_err(|_| HandshakeError::Identity)?;
            pairs.keep(&responder);
        }
        let early = EarlySecret::new(&hello.early_secret, noise.get_handshake_hash());
        Ok((Self { noise, early }, body))
    }

    pub(crate) fn early_secret(&self) -> &EarlySecret {
        &self.early
    }

    /// Takes the body of the responder's Reply: it holds its key and is live.
    pub(crate) fn finish(mut self, reply: &[u8]) -> Result<Secrets, HandshakeError> {
        if reply.len() != REPLY_LEN {
            return Err(HandshakeError::Length);
        }
        self.noise.read_message(reply, &mut []).map_err(noise::failed)?;
        Ok(noise::secrets(&mut self.noise))
    }
}
