//! Shared secrets of our static key with the static keys of recent peers.
//!
//! The Diffie-Hellman of two static keys (`ss`) depends on the pair only, so it is kept: a
//! handshake with a known peer is a quarter cheaper on both sides. A secret enters the store only
//! once message 1 has authenticated, so that strangers can neither fill nor flush it.
//!
//! This is shared between handshakes that run at the same time, hence the lock; it is a cache, so
//! no output depends on what it holds.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use zeroize::Zeroizing;

/// Peers whose shared secret is kept.
const CAPACITY: usize = 256;

type Secret = Zeroizing<[u8; 32]>;
/// A public key and the secret shared with its holder.
type Computed = ([u8; 32], Secret);

/// The store of one endpoint.
#[derive(Clone, Default)]
pub(crate) struct SharedSecrets(Arc<Mutex<Store>>);

#[derive(Default)]
struct Store {
    secrets: BTreeMap<[u8; 32], (Secret, u64)>,
    clock: u64,
}

impl SharedSecrets {
    /// The view of one handshake.
    pub(super) fn view(&self) -> Pairs {
        Pairs { store: self.clone(), last: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Store> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn recall(&self, public: &[u8; 32]) -> Option<Secret> {
        let mut store = self.lock();
        store.clock += 1;
        let now = store.clock;
        let (secret, used) = store.secrets.get_mut(public)?;
        *used = now;
        Some(secret.clone())
    }

    fn keep(&self, public: [u8; 32], secret: Secret) {
        let mut store = self.lock();
        if store.secrets.len() >= CAPACITY && !store.secrets.contains_key(&public) {
            let oldest = store.secrets.iter().min_by_key(|(_, (_, used))| *used).map(|(k, _)| *k);
            oldest.and_then(|key| store.secrets.remove(&key));
        }
        store.clock += 1;
        let now = store.clock;
        store.secrets.insert(public, (secret, now));
    }
}

/// What one handshake sees of the store, with the last result that it had to compute.
#[derive(Clone)]
pub(super) struct Pairs {
    store: SharedSecrets,
    last: Arc<Mutex<Option<Computed>>>,
}

impl Pairs {
    pub(super) fn recall_or(&self, public: [u8; 32], compute: impl FnOnce() -> Secret) -> Secret {
        self.store.recall(&public).unwrap_or_else(|| {
            let secret = compute();
            *self.last() = Some((public, secret.clone()));
            secret
        })
    }

    /// Whether the secret shared with `peer` had to be computed: nobody has checked its key yet.
    pub(super) fn is_new(&self, peer: &[u8; 32]) -> bool {
        self.last().as_ref().is_some_and(|(public, _)| public == peer)
    }

    /// Keeps the secret shared with `peer`, which has authenticated and whose key is checked.
    pub(super) fn keep(&self, peer: &[u8; 32]) {
        if let Some((public, secret)) = self.last().take().filter(|(public, _)| public == peer) {
            self.store.keep(public, secret);
        }
    }

    fn last(&self) -> MutexGuard<'_, Option<Computed>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_only_authenticated_peers_and_stays_bounded() {
        let secrets = SharedSecrets::default();
        let view = secrets.view();
        view.recall_or([1; 32], || Zeroizing::new([11; 32]));
        assert!(view.is_new(&[1; 32]) && secrets.recall(&[1; 32]).is_none());
        view.keep(&[2; 32]);
        assert!(secrets.recall(&[1; 32]).is_none(), "only the peer that authenticated is kept");
        view.recall_or([1; 32], || Zeroizing::new([11; 32]));
        view.keep(&[1; 32]);
        assert_eq!(*secrets.recall(&[1; 32]).unwrap(), [11; 32]);
        let view = secrets.view();
        view.recall_or([1; 32], || panic!("it is known"));
        assert!(!view.is_new(&[1; 32]));

        for i in 0..2 * CAPACITY {
            let mut public = [2; 32];
            public[..8].copy_from_slice(&i.to_le_bytes());
            secrets.keep(public, Zeroizing::new([0; 32]));
            secrets.recall(&[1; 32]).expect("a secret in use is not evicted");
        }
        assert_eq!(secrets.lock().secrets.len(), CAPACITY);
    }
}
