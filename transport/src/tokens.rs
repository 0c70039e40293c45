//! Keys that quinn wants beside the session: for stateless resets and for Retry tokens.

use quinn_proto::crypto::{AeadKey, CryptoError, HandshakeTokenKey, HmacKey};
use ring::{aead, hmac};

/// Makes stateless reset tokens (RFC 9000 §10.3). Kept across restarts with the connection id key.
pub(crate) struct ResetKey(hmac::Key);

impl ResetKey {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        let key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), b"pinhole stateless reset");
        Self(hmac::Key::new(hmac::HMAC_SHA256, key.as_ref()))
    }
}

impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], out: &mut [u8]) {
        out.copy_from_slice(hmac::sign(&self.0, data).as_ref());
    }

    fn signature_len(&self) -> usize {
        32
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        hmac::verify(&self.0, data, signature).map_err(|_| CryptoError)
    }
}

/// Seals Retry tokens (RFC 9000 §8.1.2). New at each start: a Retry lives for seconds.
pub(crate) struct TokenKey(hmac::Key);

impl TokenKey {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }
}

impl HandshakeTokenKey for TokenKey {
    fn aead_from_hkdf(&self, random: &[u8]) -> Box<dyn AeadKey> {
        let key = hmac::sign(&self.0, random);
        let key = aead::UnboundKey::new(&aead::CHACHA20_POLY1305, key.as_ref());
        Box::new(TokenAead(key.ok().map(aead::LessSafeKey::new)))
    }
}

/// The key of one token: used once, so the nonce is zero.
struct TokenAead(Option<aead::LessSafeKey>);

impl TokenAead {
    fn nonce() -> aead::Nonce {
        aead::Nonce::assume_unique_for_key([0; 12])
    }
}

impl AeadKey for TokenAead {
    fn seal(&self, data: &mut Vec<u8>, additional: &[u8]) -> Result<(), CryptoError> {
        let key = self.0.as_ref().ok_or(CryptoError)?;
        key.seal_in_place_append_tag(Self::nonce(), aead::Aad::from(additional), data)
            .map_err(|_| CryptoError)
    }

    fn open<'a>(&self, data: &'a mut [u8], additional: &[u8]) -> Result<&'a mut [u8], CryptoError> {
        let key = self.0.as_ref().ok_or(CryptoError)?;
        key.open_in_place(Self::nonce(), aead::Aad::from(additional), data).map_err(|_| CryptoError)
    }
}
