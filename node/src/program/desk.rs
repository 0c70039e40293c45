//! What the running node does for commands.

mod admission;
mod wanted;

use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pinhole_node::{
    Event, Kind as MessageKind, Node, PeerAddr, PeerId, PeerInfo, PeerState, Reason, RequestError,
};
use tokio::sync::watch;

use super::base64;
use super::control::Replies;
use super::data::Folder;
use super::failure::{Failure, Kind};
use super::json::{Json, millis, object, seconds};
use super::offline::show;
use super::troubles::{Topic, Troubles};
use super::wire::{Answer, Request, Shape};

/// A node and its folder, at the service of commands.
pub(crate) struct Desk {
    node: Node,
    folder: Folder,
    asked: Asked,
    temporary: bool,
    /// Requests that must not be cut off.
    open: watch::Sender<OpenRequests>,
    files: tokio::sync::Mutex<Files>,
    troubles: Mutex<Troubles>,
}

/// What configuration and flags say of the allowlist.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    /// Strict mode, so that no command may say otherwise.
    pub(crate) strict: bool,
    /// Allowed at each start.
    pub(crate) allow: Vec<PeerId>,
}

/// What lies in the files that commands change, one after the other.
struct Files {
    /// The peers that `connect` added.
    wanted: Vec<PeerAddr>,
    /// How many newcomers of mode learn are stored.
    learned: usize,
}

/// Requests that are being served.
#[derive(Clone, Copy, Debug, Default)]
struct OpenRequests {
    count: usize,
    /// No more are taken.
    closed: bool,
}

/// Counts a request until it is dropped.
pub(crate) struct Open<'a>(Option<&'a Desk>);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if let Some(desk) = self.0 {
            desk.open.send_modify(|open| open.count = open.count.saturating_sub(1));
        }
    }
}

impl Desk {
    pub(crate) fn new(
        node: Node,
        folder: Folder,
        asked: Asked,
        wanted: Vec<PeerAddr>,
        temporary: bool,
    ) -> Self {
        let learned = node.inspect_allowlist(|list| list.learned().count());
        let files = tokio::sync::Mutex::new(Files { wanted, learned });
        let (open, troubles) = Default::default();
        Self { node, folder, asked, temporary, open, files, troubles }
    }

    /// Keeps what an event brought that outlasts the node, and tells of what it means.
    pub(crate) async fn handle_event(&self, event: &Event) {
        match event {
            Event::Peer { peer, state: PeerState::Connected, addr, reason, .. } => {
                let works = addr.zip(match reason {
                    Reason::Dialed => Some(true),
                    Reason::Accepted => Some(false),
                    _ => None,
                });
                self.connected(*peer, works).await;
            }
            Event::Peer { peer, reason: Reason::Unresolved, .. } => self.unresolved(*peer).await,
            Event::Peer { peer, reason: Reason::WrongIdentity, .. } => self.misnamed(*peer).await,
            Event::Lost { .. } => self.store_newcomers().await,
            _ => {}
        }
    }

    async fn connected(&self, peer: PeerId, works: Option<(SocketAddr, bool)>) {
        for topic in [Topic::Unresolved, Topic::WrongIdentity] {
            lock(&self.troubles).over(&self.node, peer, topic);
        }
        self.store_newcomers().await;
        if let Err(failure) = self.remember_what_works(peer, works).await {
            self.node.report_problem(failure.message, "look after the disk");
        }
    }

    /// Notes that a request is being served; `None` once the node stops. Pings do not count: who
    /// pings goes on elsewhere.
    pub(crate) fn open(&self, request: &Request) -> Option<Open<'_>> {
        let counts = !matches!(request, Request::Ping { .. });
        let mut taken = false;
        self.open.send_if_modified(|open| {
            taken = !open.closed;
            open.count += usize::from(taken && counts);
            taken
        });
        taken.then_some(Open(counts.then_some(self)))
    }

    /// Takes no more requests.
    pub(crate) fn close(&self) {
        self.open.send_modify(|open| open.closed = true);
    }

    /// Waits until no request is being served, and takes no more from that moment.
    pub(crate) async fn close_when_unused(&self) {
        let mut changes = self.open.subscribe();
        let close = |open: &mut OpenRequests| {
            open.closed |= open.count == 0;
            open.closed
        };
        while !self.open.send_if_modified(close) {
            // The sender is ours, so that this waits for a change.
            let _ = changes.changed().await;
        }
    }

    /// Serves one request.
    pub(crate) async fn answer(
        &self,
        request: Request,
        replies: &mut Replies,
    ) -> Result<(), Failure> {
        let (shape, json) = match request {
            Request::Peers => return self.peers(replies).await,
            Request::Top => {
                let status = Answer { shape: Shape::Status, json: self.status().await };
                replies.answer(status).await?;
                return self.peers(replies).await;
            }
            Request::Ping { target, count, interval_ms, timeout_ms, first } => {
                let pace = Pace {
                    interval: Duration::from_millis(interval_ms),
                    timeout: Duration::from_millis(timeout_ms),
                };
                return self.ping(parsed(&target)?, count, first, pace, replies).await;
            }
            Request::Addr => {
                let addrs: Vec<String> = self.node.addr().lines().collect();
                (Shape::Addr, object! { "addrs": addrs })
            }
            Request::Status => (Shape::Status, self.status().await),
            Request::Nat => (Shape::Nat, self.nat().await),
            Request::Allowlist => (Shape::Allowlist, self.node.inspect_allowlist(show)),
            Request::Connect { target, timeout_ms } => {
                let limit = Duration::from_millis(timeout_ms);
                (Shape::Connected, self.connect(parsed(&target)?, limit).await?)
            }
            Request::Disconnect { target } => {
                let addr: PeerAddr = parsed(&target)?;
                (Shape::Disconnected, self.disconnect(addr.peer).await?)
            }
            Request::Send { target, kind, body_b64, timeout_ms } => {
                let limit = Duration::from_millis(timeout_ms);
                (Shape::Sent, self.send(parsed(&target)?, &kind, &body_b64, limit).await?)
            }
            Request::Change { changes } => (Shape::Allowlist, self.change(changes).await?),
        };
        replies.answer(Answer { shape, json }).await
    }

    async fn peers(&self, replies: &mut Replies) -> Result<(), Failure> {
        // The connected ones come first.
        let (connected, others): (Vec<_>, Vec<_>) =
            self.node.peers().await.into_iter().partition(|info| info.addr.is_some());
        for info in connected.into_iter().chain(others) {
            replies.answer(Answer { shape: Shape::Peer, json: peer(info) }).await?;
        }
        Ok(())
    }

    async fn status(&self) -> Json {
        let status = self.node.status().await;
        let peers = self.node.peers().await;
        let count = |state| peers.iter().filter(|info| info.state == state).count();
        let away = |info: &&PeerInfo| info.wanted && info.addr.is_none();
        object! {
            "peer": status.peer,
            "version": status.version,
            "uptime_s": seconds(status.uptime),
            "listen": status.listen,
            "public": status.public,
            "nat": object! { "mapping": UNKNOWN, "filtering": UNKNOWN },
            "peers": object! {
                "connected": status.connected,
                "known": status.known,
                "suspect": count(PeerState::Suspect),
                "failed": count(PeerState::Failed),
                "denied": count(PeerState::Denied),
                "wanted_away": peers.iter().filter(away).count(),
            },
            "mode": status.mode.name(),
            // This version relays nothing and has no distributed hash table.
            "relay": object! {
                "offered": false, "reservations": 0u32, "circuits": 0u32, "bytes": 0u32,
            },
            "dht": Json::Null,
            "bytes_sent": status.bytes_sent,
            "bytes_received": status.bytes_received,
            "rss_bytes": resident_bytes(),
            "problems": status.problems,
        }
    }

    async fn nat(&self) -> Json {
        object! {
            "mapping": UNKNOWN,
            "filtering": UNKNOWN,
            "public": self.node.status().await.public,
            "mapped": Json::List(Vec::new()),
            "reachable": Json::Null,
        }
    }

    async fn send(
        &self,
        addr: PeerAddr,
        kind: &str,
        body_b64: &str,
        limit: Duration,
    ) -> Result<Json, Failure> {
        let kind = MessageKind::from_name(kind)
            .ok_or_else(|| Failure::usage(format!("there is no kind `{kind:.20}`")))?;
        let body = base64::decode(body_b64).ok_or_else(|| Failure::usage("bad base64"))?;
        let begin = Instant::now();
        if let Err(error) = self.node.connect_within(addr.clone(), limit).await {
            return Err(self.connect_failure(&addr, error).await);
        }
        let left = limit.saturating_sub(begin.elapsed());
        match tokio::time::timeout(left, self.node.send(addr, kind, body)).await {
            Ok(Ok(id)) => Ok(object! {
                "id": id.to_string(),
                "acked_ms": millis(begin.elapsed()),
            }),
            Ok(Err(error)) => Err(failure(error.kind(), error.to_string())),
            Err(_) => Err(Failure::new(
                Kind::Timeout,
                "the message was not acknowledged in time, and may or may not have arrived; the \
                 peer is slow or its reader is stuck: try again, or give it more --timeout",
            )),
        }
    }

    async fn ping(
        &self,
        addr: PeerAddr,
        count: Option<u64>,
        first: u64,
        pace: Pace,
        replies: &mut Replies,
    ) -> Result<(), Failure> {
        let mut answered = false;
        let mut last_error = None;
        for seq in 0..count.unwrap_or(u64::MAX) {
            let seq = first.saturating_add(seq);
            let begin = tokio::time::Instant::now();
            match self.ping_once(&addr, pace.timeout).await {
                Ok((rtt, path)) => {
                    answered = true;
                    let json = object! { "seq": seq, "rtt_ms": millis(rtt), "path": path };
                    replies.answer(Answer { shape: Shape::Pong, json }).await?;
                }
                Err(error) if may_pass(error.kind()) => {
                    let json = object! { "seq": seq, "lost": true };
                    replies.answer(Answer { shape: Shape::Lost, json }).await?;
                    last_error = Some(error);
                }
                Err(error) => return Err(request_failure(error)),
            }
            if count.is_none_or(|count| seq + 1 < first.saturating_add(count)) {
                tokio::time::sleep_until(begin + pace.interval).await;
            }
        }
        match last_error {
            Some(RequestError::Connect(error)) if !answered => {
                Err(self.connect_failure(&addr, error).await)
            }
            Some(error) if !answered => Err(request_failure(error)),
            _ => Ok(()),
        }
    }

    async fn ping_once(
        &self,
        addr: &PeerAddr,
        limit: Duration,
    ) -> Result<(Duration, &'static str), RequestError> {
        let begin = Instant::now();
        let connected = self.node.connect_within(addr.clone(), limit).await?;
        let left = limit.saturating_sub(begin.elapsed());
        let ping = tokio::time::timeout(left, self.node.ping(addr.clone())).await;
        let rtt = ping.unwrap_or(Err(RequestError::Timeout(limit)))?;
        Ok((rtt, connected.path.name()))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const UNKNOWN: &str = "unknown";

/// How often and how patiently to ping.
#[derive(Clone, Copy, Debug)]
struct Pace {
    interval: Duration,
    timeout: Duration,
}

fn peer(info: PeerInfo) -> Json {
    object! {
        "peer": info.peer,
        "state": info.state.name(),
        "path": info.path.map(|path| path.name()),
        "addr": info.addr,
        "relay": info.relay,
        "origin": info.origin.name(),
        "wanted": info.wanted,
        "dialed": info.dialed,
        "rtt_ms": info.rtt.map(millis),
        "loss": info.loss.map(share),
        "since_s": seconds(info.since),
        "bytes_sent": info.bytes_sent,
        "bytes_received": info.bytes_received,
        "failures": info.failures,
        "next_retry_s": info.next_retry.map(seconds),
        "reason": info.reason.map(|reason| reason.name()),
        "rtt_now_ms": info.rtt_now.map(millis),
        "rtt_min_ms": info.min_rtt.map(millis),
        "last_heard_s": info.last_heard.map(seconds),
        "reached_by": info.reached_by,
        "wrong_identity": info.wrong_identity,
    }
}

/// From 0 to 1, with four decimals.
fn share(share: f64) -> Json {
    let parts = (share.clamp(0.0, 1.0) * 1e4) as u32;
    Json::Number(format!("{}.{:04}", parts / 10_000, parts % 10_000))
}

/// A value of a request, or why it is none.
fn parsed<T>(text: &str) -> Result<T, Failure>
where
    T: FromStr,
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error| Failure::usage(format!("{text:.200}: {error}")))
}

/// Whether trying again later may help.
fn may_pass(kind: &str) -> bool {
    matches!(kind, "timeout" | "unreachable" | "busy")
}

fn request_failure(error: RequestError) -> Failure {
    failure(error.kind(), error.to_string())
}

/// The library names kinds as the command line does.
fn failure(kind: &str, message: String) -> Failure {
    Failure::new(Kind::from_name(kind).unwrap_or(Kind::Unreachable), message)
}

/// Memory of this process that is in RAM, where the system tells.
pub(crate) fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}
