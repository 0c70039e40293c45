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
use super::offline::{Change, change};
use super::state::{MAX_WANTED, load_wanted, save_wanted};
use super::wire::{
    Addrs, AllowlistAnswer, Answer, Connected, LostPing, Nat, NatKind, Peer, PeerCounts, Pong,
    RelayCounts, Request, Sent, Status, Who, millis, seconds,
};

/// A node and its folder, at the service of commands.
pub(crate) struct Desk {
    node: Node,
    folder: Folder,
    /// The configuration says strict, so that no command may say otherwise.
    strict: bool,
    temporary: bool,
    /// Requests that must not be cut off.
    open: watch::Sender<usize>,
    /// Changes of files are made one after the other.
    files: tokio::sync::Mutex<()>,
}

/// Counts a request until it is dropped.
pub(crate) struct Open<'a>(Option<&'a Desk>);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if let Some(desk) = self.0 {
            desk.open.send_modify(|count| *count = count.saturating_sub(1));
        }
    }
}

impl Desk {
    pub(crate) fn new(node: Node, folder: Folder, strict: bool, temporary: bool) -> Self {
        let open = watch::Sender::new(0);
        Self { node, folder, strict, temporary, open, files: tokio::sync::Mutex::default() }
    }

    /// Notes that a request is being served. Pings need no patience: who pings goes on elsewhere.
    pub(crate) fn open(&self, request: &Request) -> Open<'_> {
        if matches!(request, Request::Ping { .. }) {
            return Open(None);
        }
        self.open.send_modify(|count| *count += 1);
        Open(Some(self))
    }

    /// Waits until no request is being served.
    pub(crate) async fn unused(&self) {
        let _ = self.open.subscribe().wait_for(|count| *count == 0).await;
    }

    /// Serves one request.
    pub(crate) async fn answer(
        &self,
        request: Request,
        replies: &mut Replies,
    ) -> Result<(), Failure> {
        let answer = match request {
            Request::Peers => return self.peers(replies).await,
            Request::Ping { target, count, interval_ms, timeout_ms, first } => {
                let pace = Pace {
                    interval: Duration::from_millis(interval_ms),
                    timeout: Duration::from_millis(timeout_ms),
                };
                return self.ping(address(&target)?, count, first, pace, replies).await;
            }
            Request::Addr => Answer::Addr(Addrs { addrs: self.node.addr().lines().collect() }),
            Request::Status => Answer::Status(self.status().await),
            Request::Nat => Answer::Nat(self.nat().await),
            Request::Allowlist => Answer::Allowlist(show(self.node.allowlist())),
            Request::Connect { target, timeout_ms } => {
                self.connect(address(&target)?, Duration::from_millis(timeout_ms)).await?
            }
            Request::Disconnect { target } => self.disconnect(address(&target)?.peer).await?,
            Request::Send { target, kind, body_b64, timeout_ms } => {
                let limit = Duration::from_millis(timeout_ms);
                self.send(address(&target)?, &kind, &body_b64, limit).await?
            }
            Request::Mode { mode } => self.change(Change::Mode(parsed(&mode)?)).await?,
            Request::Allow { peers } => self.change(Change::Allow(peers)).await?,
            Request::Deny { peers } => self.change(Change::Deny(peers)).await?,
            Request::Forget { peers } => self.change(Change::Forget(peers)).await?,
        };
        replies.answer(answer).await
    }

    async fn peers(&self, replies: &mut Replies) -> Result<(), Failure> {
        let mut peers = self.node.peers().await;
        peers.sort_by_key(|info| (info.addr.is_none(), info.peer));
        for info in peers {
            replies.answer(Answer::Peer(peer(info))).await?;
        }
        Ok(())
    }

    async fn status(&self) -> Status {
        let status = self.node.status().await;
        Status {
            peer: status.peer,
            version: status.version.to_owned(),
            uptime_s: seconds(status.uptime),
            listen: status.listen,
            public: status.public,
            nat: NatKind { mapping: UNKNOWN.into(), filtering: UNKNOWN.into() },
            peers: PeerCounts { connected: status.connected, known: status.known },
            mode: status.mode.to_string(),
            relay: RelayCounts::default(),
            dht: None,
            bytes_sent: status.bytes_sent,
            bytes_received: status.bytes_received,
            rss_bytes: resident_bytes(),
            problems: status.problems,
        }
    }

    async fn nat(&self) -> Nat {
        Nat {
            mapping: UNKNOWN.into(),
            filtering: UNKNOWN.into(),
            public: self.node.status().await.public,
            mapped: Vec::new(),
            reachable: None,
        }
    }

    async fn connect(&self, addr: PeerAddr, limit: Duration) -> Result<Answer, Failure> {
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
            Ok(connected) => Ok(Answer::Connected(Connected {
                peer: connected.peer,
                path: connected.path.to_string(),
                addr: connected.addr,
                elapsed_ms: millis(elapsed),
            })),
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

    async fn disconnect(&self, peer: PeerId) -> Result<Answer, Failure> {
        let known = self.node.peer(peer).await;
        let idle = known.as_ref().is_none_or(|info| info.addr.is_none() && !info.wanted);
        self.node.disconnect(peer).await;
        let _files = self.files.lock().await;
        let mut wanted = load_wanted(&self.folder)?.value;
        let before = wanted.len();
        wanted.retain(|other| other.peer != peer);
        if wanted.len() < before {
            save_wanted(&self.folder, &wanted)?;
        } else if idle && known.is_none() {
            return Err(Failure::new(
                Kind::NotFound,
                format!("this node does not know {peer}; `peers` lists whom it knows"),
            ));
        }
        Ok(Answer::Disconnected(Who { peer }))
    }

    async fn send(
        &self,
        addr: PeerAddr,
        kind: &str,
        body_b64: &str,
        limit: Duration,
    ) -> Result<Answer, Failure> {
        let kind = MessageKind::from_name(kind)
            .ok_or_else(|| Failure::usage(format!("there is no kind `{kind:.20}`")))?;
        let body = base64::decode(body_b64).ok_or_else(|| Failure::usage("bad base64"))?;
        let begin = Instant::now();
        self.node.connect_within(addr.clone(), limit).await.map_err(connect_failure)?;
        let left = limit.saturating_sub(begin.elapsed());
        match tokio::time::timeout(left, self.node.send(addr, kind, body)).await {
            Ok(Ok(id)) => {
                let acked_ms = millis(begin.elapsed());
                Ok(Answer::Sent(Sent { id: id.to_string(), acked_ms }))
            }
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
                    let rtt_ms = millis(rtt);
                    replies.answer(Answer::Pong(Pong { seq, rtt_ms, path })).await?;
                }
                Err(error) if may_pass(error.kind()) => {
                    replies.answer(Answer::Lost(LostPing { seq, lost: true })).await?;
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
    ) -> Result<(Duration, Option<String>), RequestError> {
        let begin = Instant::now();
        let connected = self.node.connect_within(addr.clone(), limit).await?;
        let left = limit.saturating_sub(begin.elapsed());
        let ping = tokio::time::timeout(left, self.node.ping(addr.clone())).await;
        let rtt = ping.unwrap_or(Err(RequestError::Timeout(limit)))?;
        Ok((rtt, Some(connected.path.to_string())))
    }

    async fn change(&self, asked: Change) -> Result<Answer, Failure> {
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
        Ok(Answer::Allowlist(show(self.node.allowlist())))
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

fn peer(info: PeerInfo) -> Peer {
    Peer {
        peer: info.peer,
        state: info.state.to_string(),
        path: info.path.map(|path| path.to_string()),
        addr: info.addr,
        relay: info.relay,
        origin: info.origin.to_string(),
        wanted: info.wanted,
        dialed: info.dialed,
        rtt_ms: info.rtt.map(millis),
        loss: info.loss.map(|loss| (loss * 1e4).round() / 1e4),
        since_s: seconds(info.since),
        bytes_sent: info.bytes_sent,
        bytes_received: info.bytes_received,
        failures: info.failures,
        next_retry_s: info.next_retry.map(seconds),
    }
}

fn show(info: AllowlistInfo) -> AllowlistAnswer {
    AllowlistAnswer {
        mode: info.mode.to_string(),
        allowed: info.allowed,
        denied: info.denied,
        learned: info.learned,
    }
}

fn address(text: &str) -> Result<PeerAddr, Failure> {
    parsed(text)
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
    let kind = match kind {
        "timeout" => Kind::Timeout,
        "wrong_identity" => Kind::WrongIdentity,
        "denied" => Kind::Denied,
        "not_running" => Kind::NotRunning,
        "busy" => Kind::Busy,
        "not_found" => Kind::NotFound,
        "usage" => Kind::Usage,
        _ => Kind::Unreachable,
    };
    Failure::new(kind, message)
}

/// Memory of this process that is in RAM, where the system tells.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}
