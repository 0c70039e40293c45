//! What the running node does for commands.

use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pinhole_node::allowlist::Mode;
use pinhole_node::{
    Candidate, ConnectError, Event, Kind as MessageKind, Node, PeerAddr, PeerId, PeerInfo,
    PeerState, Reason, RequestError,
};
use pinhole_proto::MAX_CANDIDATES;
use tokio::sync::watch;

use super::base64;
use super::control::Replies;
use super::data::Folder;
use super::failure::{Failure, Kind};
use super::json::{Json, millis, object, seconds};
use super::offline::{Change, apply, change, show};
use super::state::{MAX_WANTED, add_newcomers, save_wanted};
use super::troubles::{self, Topic, Troubles};
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
            Event::Peer { peer, state, was, reason, .. } => {
                if *state == PeerState::Connected {
                    self.connected(*peer).await;
                }
                if *reason == Reason::Unresolved && !self.is_told(*peer, Topic::Unresolved) {
                    self.unresolved(*peer).await;
                }
                if *state == PeerState::Denied || *was == PeerState::Denied {
                    self.review_admission().await;
                }
            }
            Event::Lost { .. } => {
                self.store_newcomers().await;
                self.review_admission().await;
            }
            _ => {}
        }
    }

    async fn connected(&self, peer: PeerId) {
        {
            let mut troubles = lock(&self.troubles);
            troubles.over(&self.node, peer, Topic::Unresolved);
        }
        self.store_newcomers().await;
        let addr = PeerAddr::from_id(peer);
        if let Err(failure) = self.remember(addr, false).await {
            self.node.report_problem(failure.message, "look after the disk");
        }
    }

    async fn unresolved(&self, peer: PeerId) {
        if let Some(info) = self.node.peer(peer).await.filter(|info| info.wanted) {
            let what = troubles::unresolved(&info);
            let hint = troubles::UNRESOLVED_HINT;
            lock(&self.troubles).tell(&self.node, peer, Topic::Unresolved, what, hint);
        }
    }

    fn is_told(&self, peer: PeerId, topic: Topic) -> bool {
        lock(&self.troubles).told(peer, topic)
    }

    /// Tells of each wanted peer that the allowlist does not admit.
    pub(crate) async fn review_admission(&self) {
        if !self.temporary {
            let peers = self.node.peers().await;
            lock(&self.troubles).review_admission(&self.node, &peers);
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
            self.remember(addr, true).await?;
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

    /// Stores a wanted peer with the addresses that were named and the one that works. With `new`
    /// false, only if it is stored already.
    async fn remember(&self, named: PeerAddr, new: bool) -> Result<(), Failure> {
        let mut files = self.files.lock().await;
        let place = files.wanted.iter().position(|other| other.peer == named.peer);
        let stored = match place {
            Some(place) => files.wanted.get(place).cloned(),
            None if !new => return Ok(()),
            None if files.wanted.len() >= MAX_WANTED => {
                return Err(Failure::new(
                    Kind::Busy,
                    format!("{MAX_WANTED} peers are wanted already; `disconnect` some"),
                ));
            }
            None => None,
        };
        let info = self.node.peer(named.peer).await;
        let addr = with_what_works(named, stored.as_ref(), info.as_ref());
        if stored.as_ref() == Some(&addr) {
            return Ok(());
        }
        let mut wanted = files.wanted.clone();
        match place.and_then(|place| wanted.get_mut(place)) {
            Some(known) => *known = addr,
            None => wanted.push(addr),
        }
        save_wanted(&self.folder, &wanted)?;
        files.wanted = wanted;
        Ok(())
    }

    async fn disconnect(&self, peer: PeerId) -> Result<Json, Failure> {
        let known = self.node.peer(peer).await;
        self.node.disconnect(peer).await;
        {
            let mut troubles = lock(&self.troubles);
            for topic in [Topic::NotAdmitted, Topic::Unresolved, Topic::WrongIdentity] {
                troubles.over(&self.node, peer, topic);
            }
        }
        let mut files = self.files.lock().await;
        let mut wanted = files.wanted.clone();
        wanted.retain(|other| other.peer != peer);
        if wanted.len() < files.wanted.len() {
            save_wanted(&self.folder, &wanted)?;
            files.wanted = wanted;
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

    async fn change(&self, mut changes: Vec<Change>) -> Result<Json, Failure> {
        for change in &changes {
            if let Change::Mode(mode) = change
                && self.asked.strict
                && *mode != Mode::Strict
            {
                return Err(Failure::usage(format!(
                    "the configuration or a flag of `up` says `allow`, which means strict mode; \
                     take it out there and restart the node to have mode {mode}"
                )));
            }
        }
        let mut files = self.files.lock().await;
        // The same peers on disk as here, whoever comes meanwhile.
        for change in &mut changes {
            if *change == Change::AllowLearned {
                let learned = self.node.inspect_allowlist(|list| list.learned().copied().collect());
                *change = Change::Allow(learned);
            }
        }
        change(&self.folder, &changes)?;
        self.node.update_allowlist(|list| apply(list, &changes)).await?;
        // Who came meanwhile may not be stored yet.
        files.learned = usize::MAX;
        drop(files);
        self.tell_of_forgotten(&changes);
        self.review_admission().await;
        Ok(self.node.inspect_allowlist(show))
    }

    /// Whom the configuration allows is back after a restart.
    fn tell_of_forgotten(&self, changes: &[Change]) {
        let mut troubles = lock(&self.troubles);
        for change in changes {
            match change {
                Change::Forget(peers) => {
                    for peer in peers.iter().filter(|peer| self.asked.allow.contains(peer)) {
                        let what = format!(
                            "{peer} is forgotten until the node starts again, because its \
                             configuration or a flag of `up` allows it"
                        );
                        let hint = "take it out there too, or `deny` it";
                        troubles.tell(&self.node, *peer, Topic::ForgottenForNow, what, hint);
                    }
                }
                Change::Allow(peers) | Change::Deny(peers) => {
                    for peer in peers {
                        troubles.over(&self.node, *peer, Topic::ForgottenForNow);
                    }
                }
                Change::AllowLearned | Change::Mode(_) => {}
            }
        }
    }

    /// Stores the newcomers of mode learn, if there are new ones.
    pub(crate) async fn store_newcomers(&self) {
        let mut files = self.files.lock().await;
        let learned: Vec<PeerId> = self.node.inspect_allowlist(|list| match list.mode() {
            Mode::Learn if list.learned().count() != files.learned => {
                list.learned().copied().collect()
            }
            _ => Vec::new(),
        });
        if learned.is_empty() {
            return;
        }
        match add_newcomers(&self.folder, &learned) {
            Ok(()) => files.learned = learned.len(),
            Err(failure) => self.node.report_problem(failure.message, "look after the disk"),
        }
    }
}

/// The addresses of a wanted peer, best first: the one at which it was reached, those that were
/// named now, those that were stored.
fn with_what_works(
    named: PeerAddr,
    stored: Option<&PeerAddr>,
    info: Option<&PeerInfo>,
) -> PeerAddr {
    let peer = named.peer;
    let before = stored.into_iter().flat_map(|stored| stored.candidates.iter());
    let mut all: Vec<Candidate> = named.candidates.iter().chain(before).cloned().collect();
    let works = info.and_then(|info| Candidate::direct(info.addr?).ok().zip(info.dialed));
    match works {
        // A name stands for its addresses, which may change.
        Some((works, true)) if all.iter().all(|candidate| candidate.socket_addr().is_some()) => {
            all.insert(0, works);
        }
        // It dialed us: the best guess that there is.
        Some((works, false)) if all.is_empty() => all.push(works),
        _ => {}
    }
    if let Some(info) = info.filter(|_| all.is_empty()) {
        all.extend(info.candidates.iter().cloned());
    }
    let mut distinct: Vec<Candidate> = Vec::new();
    for candidate in all {
        if distinct.len() < MAX_CANDIDATES && !distinct.contains(&candidate) {
            distinct.push(candidate);
        }
    }
    PeerAddr::new(peer, distinct).unwrap_or(named)
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

fn connect_failure(error: ConnectError) -> Failure {
    failure(error.kind(), error.to_string())
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
