//! The primitives of `Noise_IKpsk0_25519_ChaChaPoly_SHA256` for snow, on ring and curve25519-dalek.
//!
//! X25519 is computed on the Edwards form of the curve: a fixed-base table makes ephemeral keys,
//! and the vector backend makes the rest faster than the Montgomery ladder. The results are those
//! of RFC 7748. The static key also remembers its shared secrets with recent peers.

use curve25519_dalek::{EdwardsPoint, MontgomeryPoint};
use ring::{aead, digest};
use snow::{
    Error,
    params::{CipherChoice, DHChoice, HashChoice},
    resolvers::CryptoResolver,
    types::{Cipher, Dh, Hash, Random},
};
use zeroize::{Zeroize, Zeroizing};

use super::{StaticKey, pairs::Pairs};

/// Everything random or remembered that one handshake needs.
pub(super) struct Primitives {
    pub(super) key: StaticKey,
    pub(super) ephemeral: Zeroizing<[u8; 32]>,
    pub(super) pairs: Pairs,
}

impl CryptoResolver for Primitives {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Once(Some(self.ephemeral.clone()))))
    }

    fn resolve_dh(&self, _: &DHChoice) -> Option<Box<dyn Dh>> {
        Some(Box::new(X25519 {
            owner: self.key.clone(),
            pairs: self.pairs.clone(),
            private: Zeroizing::default(),
            public: [0; 32],
            is_static: false,
        }))
    }

    fn resolve_hash(&self, _: &HashChoice) -> Option<Box<dyn Hash>> {
        Some(Box::new(Sha256(digest::Context::new(&digest::SHA256))))
    }

    fn resolve_cipher(&self, _: &CipherChoice) -> Option<Box<dyn Cipher>> {
        Some(Box::new(ChaChaPoly(None)))
    }
}

/// Gives out the caller's 32 random bytes, once.
struct Once(Option<Zeroizing<[u8; 32]>>);

impl Random for Once {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), Error> {
        let bytes = self.0.take().ok_or(Error::Rng)?;
        if dest.len() != bytes.len() {
            return Err(Error::Rng);
        }
        dest.copy_from_slice(&*bytes);
        Ok(())
    }
}

struct X25519 {
    owner: StaticKey,
    pairs: Pairs,
    private: Zeroizing<[u8; 32]>,
    public: [u8; 32],
    is_static: bool,
}

impl Dh for X25519 {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        32
    }

    fn priv_len(&self) -> usize {
        32
    }

    fn set(&mut self, private: &[u8]) {
        self.private.copy_from_slice(private);
        self.public = self.owner.public;
        self.is_static = true;
    }

    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), Error> {
        rng.try_fill_bytes(&mut *self.private)?;
        self.public = EdwardsPoint::mul_base_clamped(*self.private).to_montgomery().to_bytes();
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        &self.public
    }

    fn privkey(&self) -> &[u8] {
        &*self.private
    }

    fn dh(&self, public: &[u8], out: &mut [u8]) -> Result<(), Error> {
        let public: [u8; 32] =
            public.get(..32).and_then(|p| p.try_into().ok()).ok_or(Error::Input)?;
        let secret = if self.is_static {
            self.pairs.recall_or(public, || x25519(&self.private, public))
        } else {
            x25519(&self.private, public)
        };
        // A zero output means that the peer chose a point of small order (SPEC §4.3).
        if *secret == [0; 32] {
            return Err(Error::Dh);
        }
        out.get_mut(..32).ok_or(Error::Input)?.copy_from_slice(&*secret);
        Ok(())
    }
}

/// X25519 (RFC 7748 §5).
fn x25519(private: &[u8; 32], public: [u8; 32]) -> Zeroizing<[u8; 32]> {
    let point = MontgomeryPoint(public);
    let mut shared = match point.to_edwards(0) {
        Some(edwards) => edwards.mul_clamped(*private).to_montgomery(),
        // A point on the twist has no Edwards form; RFC 7748 computes with it all the same.
        None => point.mul_clamped(*private),
    };
    let out = Zeroizing::new(shared.to_bytes());
    shared.zeroize();
    out
}

struct Sha256(digest::Context);

impl Hash for Sha256 {
    fn name(&self) -> &'static str {
        "SHA256"
    }

    fn block_len(&self) -> usize {
        64
    }

    fn hash_len(&self) -> usize {
        32
    }

    fn reset(&mut self) {
        self.0 = digest::Context::new(&digest::SHA256);
    }

    fn input(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn result(&mut self, out: &mut [u8]) {
        let hash = self.0.clone().finish();
        out[..32].copy_from_slice(hash.as_ref());
    }
}

struct ChaChaPoly(Option<aead::LessSafeKey>);

impl ChaChaPoly {
    fn key(&self) -> Result<&aead::LessSafeKey, Error> {
        self.0.as_ref().ok_or(Error::Input)
    }
}

impl Cipher for ChaChaPoly {
    fn name(&self) -> &'static str {
        "ChaChaPoly"
    }

    fn set(&mut self, key: &[u8; 32]) {
        self.0 =
            aead::UnboundKey::new(&aead::CHACHA20_POLY1305, key).ok().map(aead::LessSafeKey::new);
    }

    fn encrypt(&self, nonce: u64, ad: &[u8], plaintext: &[u8], out: &mut [u8]) -> usize {
        let (text, tag_out) = out.split_at_mut(plaintext.len());
        text.copy_from_slice(plaintext);
        let tag = self.key().ok().and_then(|key| {
            key.seal_in_place_separate_tag(noise_nonce(nonce), aead::Aad::from(ad), text).ok()
        });
        // Sealing cannot fail: the key is set and a handshake message is far below the limit of
        // the cipher. Were it to fail, the peer would see a tag that does not authenticate.
        match tag {
            Some(tag) => tag_out[..16].copy_from_slice(tag.as_ref()),
            None => out[..plaintext.len() + 16].fill(0),
        }
        plaintext.len() + 16
    }

    fn decrypt(
        &self,
        nonce: u64,
        ad: &[u8],
        ciphertext: &[u8],
        out: &mut [u8],
    ) -> Result<usize, Error> {
        let mut buffer = ciphertext.to_vec();
        let plaintext = self
            .key()?
            .open_in_place(noise_nonce(nonce), aead::Aad::from(ad), &mut buffer)
            .map_err(|_| Error::Decrypt)?;
        out.get_mut(..plaintext.len()).ok_or(Error::Input)?.copy_from_slice(plaintext);
        Ok(plaintext.len())
    }
}

/// The 96-bit nonce of ChaChaPoly in Noise: 32 zero bits, then the counter in little-endian order.
fn noise_nonce(counter: u64) -> aead::Nonce {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&counter.to_le_bytes());
    aead::Nonce::assume_unique_for_key(nonce)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> [u8; 32] {
        std::array::from_fn(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap())
    }

    /// RFC 7748 §5.2, and points on the curve and on its twist against the ladder.
    #[test]
    fn x25519_is_that_of_rfc_7748() {
        let k = hex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4");
        let u = hex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c");
        let out = hex("c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552");
        assert_eq!(*x25519(&k, u), out);
        for seed in 0..64u8 {
            let public = [seed.wrapping_mul(37); 32];
            let private = [seed; 32];
            assert_eq!(*x25519(&private, public), MontgomeryPoint(public).mul_clamped(private).0);
        }
    }
}
