//! [`SecretKey`]: what makes a peer itself. SPEC §2.2.

use std::fmt;

use curve25519_dalek::scalar::clamp_integer;
use ed25519_dalek::{Signer, SigningKey};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::id::PeerId;

/// An Ed25519 seed whose public key is a valid [`PeerId`]; erased from memory when dropped.
#[derive(Clone)]
pub struct SecretKey {
    signing: SigningKey,
    peer: PeerId,
}

impl SecretKey {
    /// Draws seeds with `fill` until one gives a public key with its sign bit clear; two draws on
    /// average. SPEC §2.2.
    ///
    /// `fill` has to write 32 bytes from a cryptographic source. A source that repeats itself for
    /// ever with a bad seed makes this call loop for ever.
    pub fn generate(mut fill: impl FnMut(&mut [u8; 32])) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        loop {
            fill(&mut seed);
            if let Ok(key) = Self::from_seed(*seed) {
                return key;
            }
        }
    }

    /// Takes a seed that was drawn before. SPEC §2.2.
    ///
    /// # Errors
    /// [`SeedError`] when the public key of the seed has its sign bit set, which is half of them.
    pub fn from_seed(seed: [u8; 32]) -> Result<Self, SeedError> {
        let seed = Zeroizing::new(seed);
        let signing = SigningKey::from_bytes(&seed);
        let peer = PeerId::from_bytes(signing.verifying_key().to_bytes()).map_err(|_| SeedError)?;
        Ok(Self { signing, peer })
    }

    /// The 32-byte seed, to be kept secret.
    #[must_use]
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.signing.to_bytes())
    }

    /// Who holds this key.
    #[must_use]
    pub const fn peer_id(&self) -> PeerId {
        self.peer
    }

    /// The same key as an X25519 private key, for Noise: the first half of SHA-512(seed), clamped.
    /// SPEC §2.2.
    #[must_use]
    pub fn noise_private(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(clamp_integer(self.signing.to_scalar_bytes()))
    }

    /// Signs a message: Ed25519, RFC 8032.
    ///
    /// Whoever calls this puts a label of its own in front of the message, so that no signature
    /// means two things.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.signing.sign(message).to_bytes()
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({}, seed not shown)", self.peer.short())
    }
}

/// The seed's public key has its sign bit set, so it is not a pinhole identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the public key of this seed has its sign bit set; draw another seed")]
pub struct SeedError;

#[cfg(test)]
mod tests;
