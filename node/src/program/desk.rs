//! What the running node does for commands.

use std::str::FromStr;
use std::time::{Duration, Instant};

use pinhole_node::allowlist::Mode;
use pinhole_node::{
    AllowlistInfo, ConnectError, Kind as MessageKind, Node, PeerAddr, PeerId, PeerInfo,
    RequestError,
};
use tokio::sync::watch;

use super::base64;
use super::control::Replies;
use super::data::Folder;
use super::failure::{Failure, Kind};
use super::json::{Json, millis, object, seconds};
use super::offline::{Change, change};
use super::state::{MAX_WANTED, load_wanted, save_wanted};
use super::wire::{Answer, Request, Shape};

/// A node and its folder, at the service of commands.
pub(crate) struct Desk {
    node: Node,
    folder: Folder,
    /// The configuration says strict, so that no command may say otherwise.
    strict: bool,
    temporary: bool,
    /// Requests that must not be cut off.
    open: watch::Sender<OpenRequests>,
    /// Changes of files are made one after the other.
    files: tokio::sync::Mutex<()>,
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
    pub(crate) fn new(node: Node, folder: Folder, strict: bool, temporary: bool) -> Self {
        let open = watch::Sender::default();
        Self { node, folder, strict, temporary, open, files: tokio::sync::Mutex::default() }
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
            Request::Allowlist => (Shape::Allowlist, allowlist(self.node.allowlist())),
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
            Request::Mode { mode } => {
                (Shape::Allowlist, self.change(Change::Mode(parsed(&mode)?)).await?)
            }
            Request::Allow { peers } => {
                (Shape::Allowlist, self.change(Change::Allow(peers)).await?)
            }
            Request::Deny { peers } => (Shape::Allowlist, self.change(Change::Deny(peers)).await?),
            Request::Forget { peers } => {
                (Shape::Allowlist, self.change(Change::Forget(peers)).await?)
            }
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
        object! {
            "peer": status.peer,
            "version": status.version,
            "uptime_s": seconds(status.uptime),
            "listen": status.listen,
            "public": status.public,
            "nat": object! { "mapping": UNKNOWN, "filtering": UNKNOWN },
            "peers": object! { "connected": status.connected, "known": status.known },
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

    async fn connect(&self, addr: PeerAddr, limit: Duration) -> Result<Json, Failure> {
        let begin = Instant::now();
        let result = self.node.connect_within(addr.clone(), limit).await;
        let elapsed = begin.elapsed();
        let keep = match &result {
            Ok(_) => true,
            // A node that goes on running goes on trying.
            Err(error) => !self.temporary && may_pass(error.kind()),
        };
        if keep {
            self.node.want(addr.clone()).await.map_err(connect_failure)?;
            self.want(addr).await?;
        }
        match result {
            Ok(connected) => Ok(object! {
                "peer": connected.peer,
                "path": connected.path.name(),
                "addr": connected.addr,
                "elapsed_ms": millis(elapsed),
            }),
            Err(error) => {
                let mut failure = connect_failure(error);
                if keep {
                    failure.message.push_str("; the node goes on trying until `disconnect`");
                }
                Err(failure)
            }
        }
    }

    /// Remembers a wanted peer across restarts.
    async fn want(&self, addr: PeerAddr) -> Result<(), Failure> {
        let _files = self.files.lock().await;
        let mut wanted = load_wanted(&self.folder)?.value;
        let known = wanted.iter().find(|other| other.peer == addr.peer);
        if known == Some(&addr) || (known.is_some() && addr.candidates.is_empty()) {
            return Ok(());
        }
        wanted.retain(|other| other.peer != addr.peer);
        if wanted.len() >= MAX_WANTED {
            return Err(Failure::new(
                Kind::Busy,
                format!("{MAX_WANTED} peers are wanted already; `disconnect` some"),
            ));
        }
        wanted.push(self.with_known_address(addr).await);
        save_wanted(&self.folder, &wanted)
    }

    /// Who was named by id alone is remembered with the address that it has now.
    async fn with_known_address(&self, addr: PeerAddr) -> PeerAddr {
        if !addr.candidates.is_empty() {
            return addr;
        }
        let known = self.node.peer(addr.peer).await.map(|info| info.candidates);
        PeerAddr::new(addr.peer, known.unwrap_or_default()).unwrap_or(addr)
    }

    async fn disconnect(&self, peer: PeerId) -> Result<Json, Failure> {
        let known = self.node.peer(peer).await;
        self.node.disconnect(peer).await;
        let _files = self.files.lock().await;
        let mut wanted = load_wanted(&self.folder)?.value;
        let before = wanted.len();
        wanted.retain(|other| other.peer != peer);
        if wanted.len() < before {
            save_wanted(&self.folder, &wanted)?;
        } else if known.is_none() {
            return Err(Failure::new(
                Kind::NotFound,
                format!("this node does not know {peer}; `peers` lists whom it knows"),
            ));
        }
        Ok(object! { "peer": peer })
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
        self.node.connect_within(addr.clone(), limit).await.map_err(connect_failure)?;
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

    async fn change(&self, asked: Change) -> Result<Json, Failure> {
        if let Change::Mode(mode) = asked
            && self.strict
            && mode != Mode::Strict
        {
            return Err(Failure::usage(format!(
                "the configuration or a flag of `up` says `allow`, which means strict mode; take \
                 it out there and restart the node to have mode {mode}"
            )));
        }
        let _files = self.files.lock().await;
        change(&self.folder, std::slice::from_ref(&asked))?;
        match asked {
            Change::Allow(peers) => {
                for peer in peers {
                    self.node.allow(peer).await.map_err(|full| full_failure(&full))?;
                }
            }
            Change::Deny(peers) => {
                for peer in peers {
                    self.node.deny(peer).await.map_err(|full| full_failure(&full))?;
                }
            }
            Change::Forget(peers) => {
                for peer in peers {
                    self.node.forget(peer).await;
                }
            }
            Change::Mode(mode) => {
                self.node.set_mode(mode).await;
            }
        }
        Ok(allowlist(self.node.allowlist()))
    }

    /// Stores the newcomers of mode learn, if there are new ones.
    pub(crate) async fn store_newcomers(&self) -> Result<(), Failure> {
        let info = self.node.allowlist();
        if info.mode != Mode::Learn {
            return Ok(());
        }
        let _files = self.files.lock().await;
        super::state::add_newcomers(&self.folder, &info.learned)
    }
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
    }
}

/// From 0 to 1, with four decimals.
fn share(share: f64) -> Json {
    let parts = (share.clamp(0.0, 1.0) * 1e4) as u32;
    Json::Number(format!("{}.{:04}", parts / 10_000, parts % 10_000))
}

/// The allowlist as an answer.
fn allowlist(info: AllowlistInfo) -> Json {
    object! {
        "mode": info.mode.name(),
        "allowed": info.allowed,
        "denied": info.denied,
        "learned": info.learned,
    }
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

fn connect_failure(error: ConnectError) -> Failure {
    failure(error.kind(), error.to_string())
}

fn request_failure(error: RequestError) -> Failure {
    failure(error.kind(), error.to_string())
}

fn full_failure(full: &pinhole_node::allowlist::AllowlistFull) -> Failure {
    Failure::new(Kind::Busy, full.to_string())
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
