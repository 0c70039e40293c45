//! Connection ids (SPEC §8.2): which of the two quinn endpoints a packet is for, and whether an
//! id is ours at all.

use std::time::Duration;

use quinn_proto::{ConnectionId, ConnectionIdGenerator, InvalidCid};
use ring::hmac;
use subtle::ConstantTimeEq;

/// Bytes in a connection id of ours (SPEC §8.2).
pub(crate) const CID_LEN: usize = 8;
/// Bytes of it that are random; the rest authenticate them.
const NONCE_LEN: usize = 4;

/// Which of the two endpoints on a socket a connection belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    Dial,
    Accept,
}

impl Role {
    /// The role in the top bit of a connection id of ours.
    pub(crate) fn of(cid: &[u8]) -> Self {
        if cid.first().is_some_and(|byte| byte & 0x80 != 0) { Self::Dial } else { Self::Accept }
    }

    pub(crate) fn other(self) -> Self {
        match self {
            Self::Dial => Self::Accept,
            Self::Accept => Self::Dial,
        }
    }
}

/// Makes connection ids and recognises them, also those of an earlier run under the same key.
#[derive(Clone)]
pub(crate) struct CidKey(hmac::Key);

impl CidKey {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        let key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), b"pinhole connection id");
        Self(hmac::Key::new(hmac::HMAC_SHA256, key.as_ref()))
    }

    fn tag(&self, nonce: &[u8]) -> [u8; CID_LEN - NONCE_LEN] {
        let mut tag = [0; CID_LEN - NONCE_LEN];
        tag.copy_from_slice(&hmac::sign(&self.0, nonce).as_ref()[..CID_LEN - NONCE_LEN]);
        tag
    }

    pub(crate) fn make(&self, role: Role, mut nonce: [u8; NONCE_LEN]) -> ConnectionId {
        nonce[0] = match role {
            Role::Dial => nonce[0] | 0x80,
            Role::Accept => nonce[0] & 0x7f,
        };
        ConnectionId::new(&[nonce, self.tag(&nonce)].concat())
    }

    /// Whether `cid` was made with this key.
    pub(crate) fn is_ours(&self, cid: &[u8]) -> bool {
        cid.len() == CID_LEN && bool::from(self.tag(&cid[..NONCE_LEN]).ct_eq(&cid[NONCE_LEN..]))
    }
}

/// quinn's source of connection ids for one role.
pub(crate) struct Generator {
    pub(crate) key: CidKey,
    pub(crate) role: Role,
}

impl ConnectionIdGenerator for Generator {
    fn generate_cid(&mut self) -> ConnectionId {
        self.key.make(self.role, crate::random())
    }

    fn validate(&self, cid: &ConnectionId) -> Result<(), InvalidCid> {
        if self.key.is_ours(cid) && Role::of(cid) == self.role { Ok(()) } else { Err(InvalidCid) }
    }

    fn cid_len(&self) -> usize {
        CID_LEN
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_carry_their_role_and_verify_only_under_their_key() {
        let key = CidKey::new(&[1; 32]);
        for role in [Role::Dial, Role::Accept] {
            let mut generator = Generator { key: key.clone(), role };
            let cid = generator.generate_cid();
            assert_eq!(Role::of(&cid), role);
            assert!(generator.validate(&cid).is_ok());
            assert!(Generator { key: key.clone(), role: role.other() }.validate(&cid).is_err());
            assert!(!CidKey::new(&[2; 32]).is_ours(&cid));
            for bit in 0..64 {
                let mut forged = cid.to_vec();
                forged[bit / 8] ^= 1 << (bit % 8);
                assert!(!key.is_ours(&forged), "bit {bit}");
            }
            assert!(!key.is_ours(&cid[..7]));
        }
    }
}
