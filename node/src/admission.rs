//! The allowlist as the gate and the driver ask it, and the log of whom it refuses (shell).

use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Instant;

use pinhole_proto::PeerId;
use pinhole_transport::Admission;

use crate::allowlist::{Allowlist, Verdict};
use crate::inner::lock;
use crate::refusals::{Refusal, RefusalEvent, Refusals, Way};

/// The allowlist, asked from the gate and changed by commands.
#[derive(Default)]
pub(crate) struct SharedAllowlist {
    list: RwLock<Allowlist>,
    refusals: Arc<Mutex<Refusals>>,
}

impl SharedAllowlist {
    pub(crate) fn new(list: Allowlist) -> Self {
        Self { list: RwLock::new(list), refusals: Arc::default() }
    }

    pub(crate) fn read<T>(&self, with: impl FnOnce(&Allowlist) -> T) -> T {
        with(&self.list.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn write<T>(&self, with: impl FnOnce(&mut Allowlist) -> T) -> T {
        with(&mut self.list.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// A peer connected: mode learn remembers newcomers.
    pub(crate) fn connected(&self, peer: PeerId) {
        if self.write(|list| list.handle_connected(peer)) {
            tracing::info!(target: ADMISSION, %peer, "a newcomer was let in and noted (mode learn)");
        }
    }

    /// Somebody here wanted to dial a peer that the allowlist may not admit.
    pub(crate) fn dial_refused(&self, peer: PeerId) {
        self.refused(peer, Way::Outbound, self.read(|list| list.verdict(&peer)));
    }

    fn refused(&self, peer: PeerId, way: Way, verdict: Verdict) {
        if verdict == Verdict::Admitted {
            return;
        }
        let waited = {
            let mut refusals = lock(&self.refusals);
            let waited = refusals.poll_timeout().is_some();
            refusals.handle_refused(Instant::now(), Refusal { peer, way, verdict });
            waited || refusals.poll_timeout().is_none()
        };
        tell(&self.refusals);
        if !waited && let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(tell_later(Arc::downgrade(&self.refusals)));
        }
    }
}

impl Admission for SharedAllowlist {
    fn admits(&self, peer: &PeerId) -> bool {
        let verdict = self.read(|list| list.verdict(peer));
        self.refused(*peer, Way::Inbound, verdict);
        verdict == Verdict::Admitted
    }
}

/// The target of what is logged here, which the program shows without `-v`.
const ADMISSION: &str = "pinhole_node::admission";

/// Tells how many were not named, once the minute is over.
async fn tell_later(refusals: Weak<Mutex<Refusals>>) {
    let due = || Some(lock(&*refusals.upgrade()?).poll_timeout());
    while let Some(Some(at)) = due() {
        tokio::time::sleep_until(at.into()).await;
        let Some(refusals) = refusals.upgrade() else { return };
        lock(&refusals).handle_timeout(Instant::now());
        tell(&refusals);
    }
}

fn tell(refusals: &Mutex<Refusals>) {
    // The lock is not held while a line is written.
    while let Some(event) = { lock(refusals).poll_event() } {
        log(event);
    }
}

fn log(event: RefusalEvent) {
    let Refusal { peer, way, verdict } = match event {
        RefusalEvent::Refused(refusal) => refusal,
        RefusalEvent::Suppressed { count } => {
            tracing::warn!(target: ADMISSION, count, "more refusals in this minute, not named");
            return;
        }
    };
    let message = match (way, verdict) {
        (Way::Inbound, Verdict::Denied) => "refused a peer that is denied",
        (Way::Inbound, _) => "refused a peer that is not allowed (mode strict)",
        (Way::Outbound, Verdict::Denied) => "did not dial a peer that is denied",
        (Way::Outbound, _) => "did not dial a peer that is not allowed (mode strict)",
    };
    tracing::warn!(target: ADMISSION, %peer, "{message}");
}
