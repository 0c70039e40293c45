//! The responder's side of the handshake.

use snow::HandshakeState;
use zeroize::Zeroizing;

use super::{
    Destination, EarlySecret, HandshakeError, Hello, Secrets, SharedSecrets, StaticKey,
    noise::{self, HELLO_OVERHEAD, REPLY_LEN},
};

/// A Hello that authenticated. Its sender is not proven live yet: it may be a replay.
pub(crate) struct Acceptor {
    pub(super) noise: HandshakeState,
    early: EarlySecret,
    pub(crate) hello: Hello,
}

impl Acceptor {
    /// Reads the body of a Hello that was sent to us. `ephemeral` is 32 fresh random bytes.
    ///
    /// Costs one Diffie-Hellman for a sender who knows only our id, two for one who also holds
    /// the key that it claims.
    pub(crate) fn read(
        key: &StaticKey,
        network: &pinhole_proto::NetworkKey,
        body: &[u8],
        ephemeral: Zeroizing<[u8; 32]>,
        shared: &SharedSecrets,
    ) -> Result<Self, HandshakeError> {
        let payload_len = body.len().checked_sub(HELLO_OVERHEAD).ok_or(HandshakeError::Length)?;
        let pairs = shared.view();
        let to = Destination { network, responder: key.peer_id };
        let mut noise = noise::handshake(key, to, None, ephemeral, &pairs)?;
        let mut payload = Zeroizing::new(vec![0; payload_len]);
        noise.read_message(body, &mut payload).map_err(noise::failed)?;
        let hello = Hello::decode(&payload)?;
        let public = hello.dialer.noise_public();
        if noise.get_remote_static() != Some(&public[..]) {
            return Err(HandshakeError::Identity);
        }
        if pairs.is_new(&public) {
            hello.dialer.check_torsion().map_err(|_| HandshakeError::Identity)?;
            pairs.keep(&public);
        }
        let early = EarlySecret::new(&hello.early_secret, noise.get_handshake_hash());
        Ok(Self { noise, early, hello })
    }

    pub(crate) fn early_secret(&self) -> &EarlySecret {
        &self.early
    }

    /// The body of our Reply, and the secrets that both ends now have.
    pub(crate) fn reply(mut self) -> Result<(Vec<u8>, Secrets), HandshakeError> {
        let mut body = vec![0; REPLY_LEN];
        self.noise.write_message(&[], &mut body).map_err(noise::failed)?;
        Ok((body, noise::secrets(&mut self.noise)))
    }
}
