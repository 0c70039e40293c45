//! What a node says about itself and its peers, and whom it admits (shell).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use pinhole_proto::PeerId;

use super::Node;
use crate::allowlist::{Allowlist, AllowlistFull, Mode};
use crate::driver::Request;
use crate::event::Path;
use crate::info::{AllowlistInfo, Metrics, PeerInfo, StateCounts, Status};
use crate::peers::PeerRecord;

impl Node {
    /// Every known peer.
    pub async fn peers(&self) -> Vec<PeerInfo> {
        let records = self.records().await;
        let now = Instant::now();
        records.into_iter().map(|record| self.peer_info(record, now)).collect()
    }

    /// One peer, if it is known.
    pub async fn peer(&self, peer: PeerId) -> Option<PeerInfo> {
        self.peers().await.into_iter().find(|info| info.peer == peer)
    }

    /// The node in a few numbers.
    pub async fn status(&self) -> Status {
        let records = self.records().await;
        let counters = self.inner.transport_counters();
        Status {
            peer: self.id(),
            version: env!("CARGO_PKG_VERSION"),
            uptime: self.inner.started.elapsed(),
            listen: self.listen_addrs().to_vec(),
            public: Vec::new(),
            connected: records.iter().filter(|record| record.link.is_some()).count(),
            known: records.len(),
            mode: self.inner.allowlist.read(Allowlist::mode),
            bytes_sent: counters.bytes_sent,
            bytes_received: counters.bytes_received,
            problems: self.inner.problems(),
        }
    }

    /// What the node counted since it started.
    pub async fn metrics(&self) -> Metrics {
        let records = self.records().await;
        let connected = records.iter().filter(|record| record.link.is_some()).count();
        // An error says that the node has stopped; what the driver counted is gone with it.
        let tallied = self.ask(|reply| Request::Tallied { reply }).await.unwrap_or_default();
        let counters = &self.inner.counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Metrics {
            transport: self.inner.transport_counters(),
            peers_known: records.len() as u64,
            peers_connected: connected as u64,
            peers: StateCounts::of(records.iter().map(|record| record.state)),
            peers_failed: tallied.failed,
            reconnects: tallied.reconnects,
            heartbeats_sent: tallied.heartbeats,
            dials_denied: tallied.dials_denied,
            packets_sent: tallied.packets.sent,
            packets_lost: tallied.packets.lost,
            streams_opened: read(&counters.streams_opened),
            streams_served: read(&counters.streams_served),
            streams_refused: read(&counters.streams_refused),
            early_served: read(&counters.early_served),
            messages_sent: read(&counters.messages_sent),
            messages_received: read(&counters.messages_received),
            messages_repeated: read(&counters.messages_repeated),
        }
    }

    /// The handshake counter's value, to be kept for [`Builder::counter_floor`](crate::Builder::counter_floor).
    #[must_use]
    pub fn handshake_counter(&self) -> u64 {
        self.inner.handshake_counter()
    }

    // Whom it admits

    /// The allowlist as it is.
    #[must_use]
    pub fn allowlist(&self) -> AllowlistInfo {
        self.inner.allowlist.read(|list| AllowlistInfo {
            mode: list.mode(),
            allowed: list.allowed().copied().collect(),
            denied: list.denied().copied().collect(),
            learned: list.learned().copied().collect(),
        })
    }

    /// Reads the allowlist in place.
    pub fn inspect_allowlist<T>(&self, with: impl FnOnce(&Allowlist) -> T) -> T {
        self.inner.allowlist.read(with)
    }

    /// Makes several changes at once; whom the allowlist then does not admit is gone at once.
    pub async fn update_allowlist<T>(&self, with: impl FnOnce(&mut Allowlist) -> T) -> T {
        let changed = self.inner.allowlist.write(with);
        self.judge_all().await;
        changed
    }

    /// Allows `peer` and lifts a deny; true if anything changed.
    ///
    /// # Errors
    /// [`AllowlistFull`].
    pub async fn allow(&self, peer: PeerId) -> Result<bool, AllowlistFull> {
        self.update_allowlist(|list| list.handle_allow(peer)).await
    }

    /// Denies `peer`, whose connections are closed at once; true if anything changed.
    ///
    /// # Errors
    /// [`AllowlistFull`].
    pub async fn deny(&self, peer: PeerId) -> Result<bool, AllowlistFull> {
        self.update_allowlist(|list| list.handle_deny(peer)).await
    }

    /// Neither allows nor denies `peer` any more; true if anything changed.
    pub async fn forget(&self, peer: PeerId) -> bool {
        self.update_allowlist(|list| list.handle_forget(&peer)).await
    }

    /// Changes what happens to peers that nobody named; true if it was another mode.
    pub async fn set_mode(&self, mode: Mode) -> bool {
        self.update_allowlist(|list| list.handle_mode(mode)).await
    }

    async fn records(&self) -> Vec<PeerRecord> {
        self.ask(|reply| Request::Records { reply }).await.unwrap_or_default()
    }

    async fn judge_all(&self) {
        // An error says that the node has stopped, and then nobody is connected.
        let _ = self.ask(|reply| Request::Verdicts { reply }).await;
    }

    fn peer_info(&self, record: PeerRecord, now: Instant) -> PeerInfo {
        let kept = self.inner.kept(&record.peer).map(|link| link.connection.clone());
        let stats = kept.as_ref().map(pinhole_transport::Connection::stats);
        let heard = kept.as_ref().map(|kept| kept.vitals().heard).or(record.last_heard);
        PeerInfo {
            peer: record.peer,
            state: record.state,
            path: record.link.map(|_| Path::Direct),
            addr: kept.as_ref().map(|kept| kept.remote_addr()),
            relay: None,
            origin: record.origin,
            wanted: record.wanted,
            dialed: record.link.map(|_| record.dialed),
            rtt: stats.map(|stats| stats.rtt),
            rtt_now: kept.as_ref().map(|kept| kept.vitals().rtt).or(record.rtt_now),
            min_rtt: stats.map(|stats| stats.min_rtt),
            loss: stats.and_then(|stats| {
                (stats.packets_sent > 0)
                    .then(|| stats.packets_lost as f64 / stats.packets_sent as f64)
            }),
            since: now.saturating_duration_since(record.since),
            reason: record.reason,
            bytes_sent: stats.map_or(0, |stats| stats.bytes_sent),
            bytes_received: stats.map_or(0, |stats| stats.bytes_received),
            failures: record.failures,
            next_retry: record.next_retry.map(|at| at.saturating_duration_since(now)),
            candidates: record.candidates,
            last_heard: heard.map(|at| now.saturating_duration_since(at)),
            reached_by: record.reached_by,
            wrong_identity: record.wrong_identity,
        }
    }
}
