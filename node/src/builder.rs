//! Settings of a node, and its start (shell).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pinhole_proto::{CloseCode, NetworkKey, PeerAddr, Protocol, SecretKey};
use pinhole_transport::{Config, Endpoint, IdempotentProtocol};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::addrs;
use crate::admission::SharedAllowlist;
use crate::allowlist::Allowlist;
use crate::backoff::BackoffConfig;
use crate::driver::{Driver, Request, failure};
use crate::error::{NodeFailed, StartError};
use crate::event::Events;
use crate::handler::{Handler, IdempotentHandler, Registry, Served};
use crate::inner::Inner;
use crate::liveness::LivenessConfig;
use crate::node::{Node, Stop};
use crate::peers::{Origin, PeerRefused, Peers, PeersConfig};
use crate::protocols::message::Messages;
use crate::protocols::{Builtin, Inbox};
use pinhole_proto::rng::Rng;

/// Requests that wait for the driver.
const REQUEST_QUEUE: usize = 64;

/// Everything of a node that has a bound. The defaults suit a small device.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Peers that are known at a time.
    pub max_peers: usize,
    /// Connections at a time, both directions.
    pub max_connections: usize,
    /// Inbound connections that may be opening at a time, before dialers have to show that their
    /// address is theirs.
    pub max_half_open: usize,
    /// Inbound connections that may open in any second; dialers beyond it come again.
    pub max_accepts_per_second: usize,
    /// Streams that a peer may have open at a time.
    pub max_streams: u32,
    /// Bytes that a peer may send on one stream before we read them.
    pub stream_window: u32,
    /// Bytes that a peer may send on one connection before we read them.
    pub connection_window: u32,
    /// Bytes of ours on one connection that wait for an acknowledgement.
    pub send_window: u64,
    /// Bytes in a frame of an application's protocol, unless the protocol was given its own limit.
    pub frame_limit: usize,
    /// Events that wait for a slow reader.
    pub event_queue: usize,
    /// Time for a dial, name resolution included.
    pub dial_timeout: Duration,
    /// Time for the reply to a request.
    pub request_timeout: Duration,
    /// Dials under way at a time that nobody waits for: those of wanted peers that are gone.
    pub max_redials: usize,
    /// Such dials that are started in a second.
    pub redials_per_second: u32,
}

impl Default for Limits {
    fn default() -> Self {
        let peers = PeersConfig::default();
        Self {
            max_peers: peers.max_known,
            max_connections: peers.max_links,
            max_half_open: 64,
            max_accepts_per_second: 50,
            max_streams: 128,
            stream_window: 1_250_000,
            connection_window: 8 << 20,
            send_window: 8 << 20,
            frame_limit: 64 << 10,
            event_queue: 128,
            dial_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(10),
            max_redials: peers.max_retrying,
            redials_per_second: 50,
        }
    }
}

/// Settings of a node to be. Made by [`Node::builder`].
#[must_use = "a builder does nothing until `start`"]
pub struct Builder {
    key: Option<SecretKey>,
    network_key: NetworkKey,
    listen: Vec<SocketAddr>,
    any_port: u16,
    connection_id_key: Option<[u8; 32]>,
    counter_floor: u64,
    agent: String,
    registry: Registry,
    twice: Option<Protocol>,
    peers: Vec<PeerAddr>,
    allowlist: Allowlist,
    inbox: Option<(Inbox, Messages)>,
    limits: Limits,
    liveness: LivenessConfig,
    backoff: BackoffConfig,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            key: None,
            network_key: NetworkKey::PUBLIC,
            listen: Vec::new(),
            any_port: 0,
            connection_id_key: None,
            counter_floor: 0,
            agent: concat!("pinhole/", env!("CARGO_PKG_VERSION")).into(),
            registry: Registry::default(),
            twice: None,
            peers: Vec::new(),
            allowlist: Allowlist::default(),
            inbox: None,
            limits: Limits::default(),
            liveness: LivenessConfig::default(),
            backoff: BackoffConfig::default(),
        }
    }
}

impl Builder {
    /// Who the node is. Without this, it is a new identity at each start.
    pub fn secret_key(mut self, key: SecretKey) -> Self {
        self.key = Some(key);
        self
    }

    /// The network that it belongs to; the public one by default.
    pub fn network_key(mut self, key: NetworkKey) -> Self {
        self.network_key = key;
        self
    }

    /// Listens on this address too; port 0 takes a free one. It is an error if that cannot be
    /// done. Without any, see [`listen_any`](Self::listen_any).
    pub fn listen(mut self, addr: impl Into<SocketAddr>) -> Self {
        self.listen.push(addr.into());
        self
    }

    /// The port on all interfaces, for IPv6 and IPv4 as far as this machine has them, if no
    /// address is given with [`listen`](Self::listen). By default a free port.
    pub fn listen_any(mut self, port: u16) -> Self {
        self.any_port = port;
        self
    }

    /// Serves `protocol` with frames of [`Limits::frame_limit`] bytes at most.
    pub fn protocol(self, protocol: Protocol, handler: impl Handler) -> Self {
        let limit = self.limits.frame_limit;
        self.protocol_with(protocol, limit, handler)
    }

    /// Serves `protocol` with frames of `frame_limit` bytes at most.
    pub fn protocol_with(
        self,
        protocol: Protocol,
        frame_limit: usize,
        handler: impl Handler,
    ) -> Self {
        self.serve(protocol, Served::streams(frame_limit, handler))
    }

    /// Serves the requests of a protocol that is declared idempotent, also those that come as
    /// early data before the dialer is proven live.
    pub fn idempotent(
        self,
        protocol: &IdempotentProtocol,
        handler: impl IdempotentHandler,
    ) -> Self {
        let served = Served::requests(protocol.limit(), handler);
        self.serve(protocol.protocol().clone(), served)
    }

    /// A peer that is dialed at the start and again whenever it is gone.
    pub fn peer(mut self, peer: impl Into<PeerAddr>) -> Self {
        self.peers.push(peer.into());
        self
    }

    /// Who may connect and whom the node dials.
    pub fn allowlist(mut self, allowlist: Allowlist) -> Self {
        self.allowlist = allowlist;
        self
    }

    /// Takes messages from peers, of which `queue` may wait to be read with
    /// [`Node::messages`]. Without this, peers hear that nobody wants messages here.
    pub fn messages(mut self, queue: usize) -> Self {
        self.inbox = Some(Inbox::new(queue));
        self
    }

    /// Bounds and times. Set before protocols that are to use [`Limits::frame_limit`].
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How soon silent peers are noticed, and at what cost: that of a [`Preset`](crate::Preset), or
    /// times of your own.
    pub fn liveness(mut self, liveness: impl Into<LivenessConfig>) -> Self {
        self.liveness = liveness.into();
        self
    }

    /// How long the node waits before it dials a wanted peer again.
    pub fn backoff(mut self, backoff: BackoffConfig) -> Self {
        self.backoff = backoff;
        self
    }

    /// What `identify/1` says of this program, such as `myapp/1.2`; at most 64 bytes.
    pub fn agent(mut self, agent: impl Into<String>) -> Self {
        self.agent = agent.into();
        self
    }

    /// Authenticates the node's connection ids. If it is the same at the next start, peers learn at
    /// once that their connections to this run are gone.
    pub fn connection_id_key(mut self, key: [u8; 32]) -> Self {
        self.connection_id_key = Some(key);
        self
    }

    /// The handshake counter starts above this: the last value of
    /// [`Node::handshake_counter`] before a restart, on machines whose clock may go back.
    pub fn counter_floor(mut self, floor: u64) -> Self {
        self.counter_floor = floor;
        self
    }

    /// Binds the sockets and starts the node's tasks on the current tokio runtime.
    ///
    /// # Errors
    /// [`StartError`]; nothing runs then.
    pub async fn start(self) -> Result<Node, StartError> {
        self.start_with_events().await.map(|(node, _)| node)
    }

    /// As [`start`](Self::start), with the events from the start on: what comes before a first
    /// [`Node::events`], which begins when it is called, is not missed.
    ///
    /// # Errors
    /// As `start`.
    pub async fn start_with_events(mut self) -> Result<(Node, Events), StartError> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| StartError::NoRuntime)?;
        if let Some(protocol) = self.twice {
            return Err(StartError::Protocol(protocol));
        }
        self.liveness.check()?;
        let key = match self.key.take() {
            Some(key) => key,
            None => generate_key()?,
        };
        let seed = u64::from_le_bytes(random()?);
        let allowlist = Arc::new(SharedAllowlist::new(std::mem::take(&mut self.allowlist)));
        let endpoint = Endpoint::bind(&key, self.config()?, allowlist.clone())?;

        let us = endpoint.peer_id();
        let (inbox, messages) = self.inbox.take().unzip();
        let (requests, received) = mpsc::channel(REQUEST_QUEUE);
        let (events, first) = broadcast::channel(self.limits.event_queue.max(1));
        let (stop, stopping) = watch::channel(false);
        let peers_config = self.peers_config();
        let wanted = std::mem::take(&mut self.peers);
        let inner = Arc::new(Inner::new(
            endpoint.clone(),
            self.registry,
            self.limits,
            self.agent,
            allowlist,
            requests,
            inbox,
            events,
        ));
        let peers = Peers::new(us, peers_config, Rng::from_seed(seed));
        let driver = Driver::new(inner.clone(), endpoint.clone(), peers, received, stopping);
        let (outcome, closed) = watch::channel(None);
        runtime.spawn(supervise(inner.clone(), endpoint, driver, outcome));
        let node = Node::new(inner, Stop::new(stop), closed, messages);
        want(&node, wanted).await?;
        Ok((node, Events::new(first)))
    }

    fn serve(mut self, protocol: Protocol, served: Served) -> Self {
        let builtin = Builtin::find(&protocol).is_some();
        if builtin || !self.registry.add(protocol.clone(), served) {
            self.twice.get_or_insert(protocol);
        }
        self
    }

    fn peers_config(&self) -> PeersConfig {
        PeersConfig {
            max_known: self.limits.max_peers,
            max_links: self.limits.max_connections,
            max_retrying: self.limits.max_redials,
            dial_spacing: Duration::from_secs(1) / self.limits.redials_per_second.max(1),
            backoff: self.backoff,
            liveness: self.liveness,
            ..PeersConfig::default()
        }
    }

    fn config(&self) -> Result<Config, StartError> {
        let listen =
            if self.listen.is_empty() { addrs::any(self.any_port) } else { self.listen.clone() };
        let limits = &self.limits;
        let mut config = Config::new(listen);
        config.network_key = self.network_key.clone();
        config.connection_id_key = match self.connection_id_key {
            Some(key) => key,
            None => random()?,
        };
        config.counter_floor = self.counter_floor;
        config.max_connections = limits.max_connections;
        config.max_half_open = limits.max_half_open;
        config.max_accepts_per_second = limits.max_accepts_per_second;
        config.max_streams = limits.max_streams;
        config.stream_window = limits.stream_window;
        config.connection_window = limits.connection_window;
        config.send_window = limits.send_window;
        // Liveness decides alone.
        (config.idle_timeout, config.keep_alive) = (None, None);
        let early = Builtin::idempotent().chain(self.registry.idempotent());
        config.early_protocols = early.map(|early| early.protocol().clone()).collect();
        Ok(config)
    }
}

/// Dials the wanted peers; too many of them stop the start.
async fn want(node: &Node, wanted: Vec<PeerAddr>) -> Result<(), StartError> {
    for addr in wanted {
        let peer = addr.peer;
        let (reply, answer) = oneshot::channel();
        let request = Request::Want { addr, origin: Origin::Config, reply };
        // A driver that has ended already says so through the node.
        if node.inner().requests.send(request).await.is_ok()
            && let Ok(Err(why)) = answer.await
        {
            if why != PeerRefused::Ourselves {
                return Err(StartError::Peer { peer, why });
            }
            let what = format!("the wanted peer {peer} is this node itself");
            node.report_problem(what, "take it out of the list of peers");
        }
    }
    Ok(())
}

/// Runs the driver and says how it ended, also if it panics.
async fn supervise(
    inner: Arc<Inner>,
    endpoint: Endpoint,
    driver: Driver,
    closed: watch::Sender<Option<Result<(), NodeFailed>>>,
) {
    let outcome = match tokio::spawn(driver.run()).await {
        Ok(outcome) => outcome,
        Err(error) => {
            endpoint.close(CloseCode::Internal).await;
            match error.try_into_panic() {
                Ok(panic) => Err(failure("driver", &*panic)),
                Err(error) => Err(NodeFailed { task: "driver".into(), message: error.to_string() }),
            }
        }
    };
    let reason = match &outcome {
        Ok(()) => "closed".to_owned(),
        Err(failed) => {
            tracing::error!(%failed, "node failed");
            failed.to_string()
        }
    };
    // Before anybody hears of the end, so that the addresses are free by then.
    drop(endpoint);
    inner.end(reason);
    closed.send_replace(Some(outcome));
}

fn generate_key() -> Result<SecretKey, StartError> {
    // Half of all seeds are keys.
    loop {
        if let Ok(key) = SecretKey::from_seed(random()?) {
            return Ok(key);
        }
    }
}

pub(crate) fn random<const N: usize>() -> Result<[u8; N], StartError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(StartError::Randomness)?;
    Ok(bytes)
}
