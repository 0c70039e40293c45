//! The task that drives a node (shell): it carries inputs to the table of peers and does what the
//! table asks for. It decides nothing.

mod inbound;
mod perform;

use std::collections::HashMap;
use std::num::NonZeroU8;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pinhole_proto::message::Reached;
use pinhole_proto::{CloseCode, PeerAddr, PeerId};
use pinhole_transport::{Closed, ClosedBy, Connection, DialError, Endpoint, Inbound};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinError, JoinSet};

use crate::dial::EarlyRequest;
use crate::error::{ConnectError, NodeFailed};
use crate::inner::Inner;
use crate::link::{self, Link};
use crate::network::NetworkChange;
use crate::network_watch;
use crate::peers::{
    DialAnswer, DialId, LinkId, LinkUp, Origin, PeerRecord, PeerRefused, Peers, QuestionId, Reason,
    Testimony,
};
use crate::tally::{Packets, Tallied, Tally};

/// How long streams may go on when the node is closed.
const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// How long an aborted task may take to notice.
const TASK_GRACE: Duration = Duration::from_millis(500);

/// Where the link of a connected peer is awaited.
type Reply = oneshot::Sender<Result<Arc<Link>, ConnectError>>;

/// What handles and tasks ask of the driver.
pub(crate) enum Request {
    Connect {
        addr: PeerAddr,
        early: Option<EarlyRequest>,
        reply: Reply,
    },
    Want {
        addr: PeerAddr,
        origin: Origin,
        reply: oneshot::Sender<Result<(), PeerRefused>>,
    },
    Disconnect {
        peer: PeerId,
        reply: oneshot::Sender<()>,
    },
    /// The allowlist changed.
    Verdicts {
        reply: oneshot::Sender<()>,
    },
    Records {
        reply: oneshot::Sender<Vec<PeerRecord>>,
    },
    Tallied {
        reply: oneshot::Sender<Tallied>,
    },
    LinkClosed {
        link: LinkId,
        closed: Closed,
    },
    Drained(LinkId),
    /// The dialer of a link says within how many seconds its next heartbeat comes.
    Announced(LinkId, NonZeroU8),
    /// The acceptor of a link says that our address changed.
    Rebound(LinkId),
    /// A peer asks whether we hear another one.
    Question {
        asker: PeerId,
        about: PeerId,
        reply: oneshot::Sender<Reached>,
    },
    NetworkChanged(NetworkChange),
}

/// What a task of the driver came to.
enum Ended {
    Dial {
        peer: PeerId,
        dial: DialId,
        result: Result<Connection, ConnectError>,
    },
    Inbound {
        connection: Option<Connection>,
        early: JoinSet<()>,
    },
    Testimony {
        about: PeerId,
        witness: PeerId,
        testimony: Testimony,
    },
    /// Nothing more to do about it.
    Done,
}

pub(crate) struct Driver {
    inner: Arc<Inner>,
    endpoint: Endpoint,
    peers: Peers,
    requests: mpsc::Receiver<Request>,
    stop: watch::Receiver<bool>,
    tasks: JoinSet<Ended>,
    links: HashMap<LinkId, Arc<Link>>,
    dials: HashMap<DialId, AbortHandle>,
    /// Who waits for a connection.
    waiting: HashMap<PeerId, Vec<Reply>>,
    /// The questions of peers that the table works on.
    questions: HashMap<QuestionId, oneshot::Sender<Reached>>,
    /// Told when a link comes into use, and when a draining one is unused.
    stir: Arc<Notify>,
    /// Goes along with the next dial that the table asks for.
    early: Option<EarlyRequest>,
    tally: Tally,
}

enum Input {
    Request(Request),
    Inbound(Inbound),
    Ended(Result<Ended, JoinError>),
    Time,
    Stop,
    EndpointClosed,
}

impl Driver {
    pub(crate) fn new(
        inner: Arc<Inner>,
        endpoint: Endpoint,
        peers: Peers,
        requests: mpsc::Receiver<Request>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        Self {
            inner,
            endpoint,
            peers,
            requests,
            stop,
            tasks: JoinSet::new(),
            links: HashMap::new(),
            dials: HashMap::new(),
            waiting: HashMap::new(),
            questions: HashMap::new(),
            stir: Arc::default(),
            early: None,
            tally: Tally::default(),
        }
    }

    /// Runs until the node is to stop; an error says which task failed.
    pub(crate) async fn run(mut self) -> Result<(), NodeFailed> {
        self.tasks.spawn(watch_network(self.inner.clone()));
        self.perform();
        loop {
            match self.next_input().await {
                Input::Request(request) => self.handle_request(request),
                Input::Inbound(inbound) => {
                    self.tasks.spawn(inbound::confirm(self.inner.clone(), inbound));
                }
                Input::Ended(Ok(ended)) => self.handle_ended(ended),
                Input::Ended(Err(error)) => {
                    if let Ok(panic) = error.try_into_panic() {
                        let failed = failure("connection task or protocol handler", &*panic);
                        self.stop(CloseCode::Internal, Duration::ZERO).await;
                        return Err(failed);
                    }
                }
                Input::Time => self.handle_time(),
                Input::Stop => {
                    self.stop(CloseCode::Shutdown, CLOSE_GRACE).await;
                    return Ok(());
                }
                Input::EndpointClosed => {
                    self.stop(CloseCode::Internal, Duration::ZERO).await;
                    let message = "the endpoint closed by itself".into();
                    return Err(NodeFailed { task: "endpoint".into(), message });
                }
            }
            self.perform();
        }
    }

    async fn next_input(&mut self) -> Input {
        let timeout = self.peers.poll_timeout();
        tokio::select! {
            _ = self.stop.wait_for(|stop| *stop) => Input::Stop,
            Some(request) = self.requests.recv() => Input::Request(request),
            Some(ended) = self.tasks.join_next() => Input::Ended(ended),
            inbound = self.endpoint.accept() => inbound.map_or(Input::EndpointClosed, Input::Inbound),
            () = self.stir.notified() => Input::Time,
            () = sleep_until(timeout) => Input::Time,
        }
    }

    fn handle_request(&mut self, request: Request) {
        // Replies whose receiver is gone are nobody's loss.
        match request {
            Request::Connect { addr, early, reply } => self.connect(&addr, early, reply),
            Request::Want { addr, origin, reply } => {
                let _ = reply.send(self.want(&addr, origin));
            }
            Request::Disconnect { peer, reply } => {
                self.peers.handle_disconnect(Instant::now(), peer);
                let _ = reply.send(());
            }
            Request::Verdicts { reply } => {
                self.judge_all();
                let _ = reply.send(());
            }
            Request::Records { reply } => {
                let _ = reply.send(self.peers.records().collect());
            }
            Request::Tallied { reply } => {
                let _ = reply.send(self.tallied());
            }
            Request::LinkClosed { link, closed } => {
                if let Some(link) = self.links.remove(&link) {
                    self.tally.sums.packets += packets(&link);
                }
                self.peers.handle_closed(Instant::now(), link, closed_reason(&closed));
            }
            Request::Drained(link) => self.peers.handle_drained(Instant::now(), link),
            Request::Announced(link, seconds) => {
                self.peers.handle_announced(Instant::now(), link, seconds.get());
            }
            Request::Rebound(link) => self.peers.handle_rebound(Instant::now(), link),
            Request::Question { asker, about, reply } => {
                let question = self.peers.handle_question(Instant::now(), asker, about);
                self.questions.insert(question, reply);
            }
            Request::NetworkChanged(change) => {
                tracing::info!("{change}; every peer is probed or dialed");
                self.report();
                self.peers.handle_network_change(Instant::now());
            }
        }
    }

    fn connect(&mut self, addr: &PeerAddr, early: Option<EarlyRequest>, reply: Reply) {
        let answer = self.know(addr, Origin::Cli).and_then(|()| {
            self.early = early;
            self.peers.handle_dial(Instant::now(), addr.peer)
        });
        let answer = match answer {
            Ok(DialAnswer::Connected(link)) => {
                self.links.get(&link).cloned().ok_or(ConnectError::Cancelled)
            }
            Ok(_) => return self.waiting.entry(addr.peer).or_default().push(reply),
            Err(refused) => {
                self.tally.sums.dials_denied += u64::from(refused == PeerRefused::Denied);
                self.inner.allowlist.dial_refused(addr.peer);
                Err(refused.into())
            }
        };
        let _ = reply.send(answer);
    }

    fn want(&mut self, addr: &PeerAddr, origin: Origin) -> Result<(), PeerRefused> {
        self.know(addr, origin)?;
        self.peers.handle_wanted(Instant::now(), addr.peer, true);
        Ok(())
    }

    fn know(&mut self, addr: &PeerAddr, origin: Origin) -> Result<(), PeerRefused> {
        let now = Instant::now();
        self.peers.handle_known(now, addr.peer, &addr.candidates, origin)?;
        self.judge(addr.peer);
        Ok(())
    }

    fn judge(&mut self, peer: PeerId) {
        let verdict = self.inner.allowlist.read(|list| list.verdict(&peer));
        self.peers.handle_verdict(Instant::now(), peer, verdict);
    }

    fn judge_all(&mut self) {
        let peers: Vec<_> = self.peers.records().map(|record| record.peer).collect();
        for peer in peers {
            self.judge(peer);
        }
    }

    fn handle_ended(&mut self, ended: Ended) {
        match ended {
            Ended::Dial { peer, dial, result } => {
                let wanted = self.dials.remove(&dial).is_some();
                match result {
                    Ok(connection) if !wanted => connection.close(CloseCode::Disconnect, ""),
                    Ok(connection) => self.dialed(peer, dial, connection),
                    Err(error) => self.dial_failed(peer, dial, error),
                }
            }
            Ended::Inbound { connection, early } => match connection {
                Some(connection) => self.link_up(connection, None, early),
                None => drop(early),
            },
            Ended::Testimony { about, witness, testimony } => {
                self.peers.handle_testimony(Instant::now(), about, witness, testimony);
            }
            Ended::Done => {}
        }
    }

    fn dialed(&mut self, peer: PeerId, dial: DialId, connection: Connection) {
        self.link_up(connection, Some(dial), JoinSet::new());
        // The table may have no room for it or a verdict against it.
        if self.peers.record(&peer).is_none_or(|record| record.link.is_none()) {
            let limit = self.inner.limits.max_connections;
            self.answer(peer, &Err(DialError::TooManyConnections(limit).into()));
        }
    }

    fn link_up(&mut self, connection: Connection, dial: Option<DialId>, early: JoinSet<()>) {
        let peer = connection.peer();
        let up = LinkUp {
            id: LinkId(connection.id()),
            dialed: connection.dialed(),
            addr: connection.remote_addr(),
        };
        let link = Link::new(connection, self.inner.started, self.stir.clone());
        self.links.insert(up.id, link.clone());
        let inner = self.inner.clone();
        self.tasks.spawn(async move {
            link::run(inner, link, early).await;
            Ended::Done
        });
        // The gate asked before; the answer may have changed since.
        self.judge(peer);
        self.inner.allowlist.connected(peer);
        self.peers.handle_link(Instant::now(), peer, up, dial);
    }

    fn dial_failed(&mut self, peer: PeerId, dial: DialId, error: ConnectError) {
        let reason = match &error {
            ConnectError::NoAnswer => Reason::NoAnswer,
            ConnectError::Closed(_) => Reason::Refused,
            ConnectError::Unresolved { .. } => Reason::Unresolved,
            _ => Reason::DialFailed,
        };
        tracing::debug!(peer = %peer.short(), %error, "dial failed");
        self.peers.handle_dial_failed(Instant::now(), peer, dial, reason);
        self.answer(peer, &Err(error));
    }

    fn answer(&mut self, peer: PeerId, answer: &Result<Arc<Link>, ConnectError>) {
        for waiting in self.waiting.remove(&peer).into_iter().flatten() {
            // An error says that nobody waits any more.
            let _ = waiting.send(answer.clone());
        }
    }

    fn handle_time(&mut self) {
        self.report();
        self.peers.handle_timeout(Instant::now());
    }

    /// Tells the table how its links are used and how their peers are.
    fn report(&mut self) {
        let now = Instant::now();
        for (id, link) in &self.links {
            let (active, last_use) = link.usage();
            self.peers.handle_vitals(now, *id, link.vitals(now));
            self.peers.handle_use(now, *id, active, last_use);
            if !link.connection.dialed() {
                self.peers.handle_moved(now, *id, link.connection.remote_addr());
            }
        }
    }

    fn tallied(&self) -> Tallied {
        let mut sums = self.tally.sums;
        self.links.values().for_each(|link| sums.packets += packets(link));
        sums
    }

    /// Lets streams end for a while, closes all connections and ends all tasks. Nobody gets a new
    /// stream meanwhile.
    async fn stop(mut self, code: CloseCode, grace: Duration) {
        self.inner.forget_kept();
        for link in self.links.values() {
            link.set_draining(true);
        }
        let unused = async {
            while self.links.values().any(|link| link.usage().0 > 0) {
                self.stir.notified().await;
            }
        };
        // What is not done by then is cut off.
        let _ = tokio::time::timeout(grace, unused).await;
        self.endpoint.close(code).await;
        // A task that does not end holds nothing of ours any more.
        let _ = tokio::time::timeout(TASK_GRACE, self.tasks.shutdown()).await;
    }
}

fn packets(link: &Link) -> Packets {
    let stats = link.connection.stats();
    Packets { sent: stats.packets_sent, lost: stats.packets_lost }
}

/// Ends with the node.
async fn watch_network(inner: Arc<Inner>) -> Ended {
    network_watch::run(inner.requests.clone()).await;
    Ended::Done
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

fn closed_reason(closed: &Closed) -> Reason {
    match closed.by {
        ClosedBy::Us => Reason::Disconnect,
        ClosedBy::Peer => Reason::ClosedByPeer,
        _ => Reason::Lost,
    }
}

/// What a panicking task said.
pub(crate) fn failure(task: &str, panic: &(dyn std::any::Any + Send)) -> NodeFailed {
    let message = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "it panicked".into());
    NodeFailed { task: task.into(), message }
}
