//! The endpoint (shell): two quinn endpoints over one set of sockets, SPEC §8.1.

use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use pinhole_proto::{CloseCode, PeerId, Protocol, SecretKey};
use quinn::{EndpointConfig, Incoming, ServerConfig, TokioRuntime, TransportConfig, VarInt};
use zeroize::Zeroizing;

use crate::{
    Admission, BindError, Config, Connection, Counters, Dial, DialError, Inbound,
    cid::{CidKey, Generator, Role},
    connection::var_int,
    controller::Controllers,
    gate::{Answer, Gate, HALF_OPEN_TIME, Limits},
    handshake::{InitialSalt, SharedSecrets, StaticKey},
    links::Links,
    lock,
    paths::{self, DialId, MAX_CANDIDATES, STAGGER},
    pulse::Pulse,
    session::{DialerConfig, PeerIdentity, ResponderConfig},
    socket::{RoleSocket, Shared},
    tokens::{ResetKey, TokenKey},
};

/// What every responder lets a first contact send, whatever its configuration (SPEC §4.6).
const FLOOR_DATA: u32 = 8192;
const FLOOR_STREAM_DATA: u32 = 4096;
const FLOOR_STREAMS: u32 = 4;
/// How long the token of a Retry is valid (SPEC §5.4).
const RETRY_TOKEN_TIME: Duration = Duration::from_secs(15);
/// How long `close` waits for the last packets to leave.
const CLOSE_TIME: Duration = Duration::from_secs(1);
/// Bytes that are kept for a connection between its first packet and our `accept`.
const INCOMING_BUFFER: u64 = 16 << 10;

/// Listens for peers and dials them. A handle: clones share the endpoint.
#[derive(Clone)]
pub struct Endpoint(Arc<Inner>);

struct Inner {
    key: StaticKey,
    config: Config,
    early: Arc<[Protocol]>,
    dialing: quinn::Endpoint,
    accepting: quinn::Endpoint,
    server: ServerConfig,
    responder: ResponderConfig,
    shared: Arc<Shared>,
    secrets: SharedSecrets,
    counter: Mutex<u64>,
    next_connection: AtomicU64,
    dials: AtomicU64,
    handshakes: Arc<AtomicU64>,
}

impl Endpoint {
    /// Binds the sockets and starts to listen. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// See [`BindError`].
    pub fn bind(
        key: &SecretKey,
        config: Config,
        admission: Arc<dyn Admission>,
    ) -> Result<Self, BindError> {
        let links = Links::bind(&config.listen)?;
        let key = StaticKey::new(key);
        let secrets = SharedSecrets::default();
        let network = config.network_key.clone();
        let limits = Limits::new(&config);
        let gate = Gate::new(key.clone(), network.clone(), secrets.clone(), limits);
        let gate = Arc::new(Mutex::new(gate));
        let cids = CidKey::new(&config.connection_id_key);
        let version = network.quic_version();
        let shared = Arc::new(Shared::new(links, version, cids.clone(), gate.clone(), admission));
        let responder = ResponderConfig {
            salt: InitialSalt::new(&network, &key.peer_id),
            gate,
            accept_early_data: !config.early_protocols.is_empty(),
            pulse: Arc::new(Pulse::new(&shared.clock, Instant::now())),
        };
        let open = |role, server| {
            let socket = Arc::new(RoleSocket { shared: shared.clone(), role });
            let quic = endpoint_config(&config, &cids, role);
            quinn::Endpoint::new_with_abstract_socket(quic, server, socket, Arc::new(TokioRuntime))
                .map_err(|source| BindError::Failed { addr: config.listen[0], source })
        };
        let server = server_config(&config, &responder);
        Ok(Self(Arc::new(Inner {
            accepting: open(Role::Accept, Some(server.clone()))?,
            dialing: open(Role::Dial, None)?,
            early: config.early_protocols.clone().into(),
            counter: Mutex::new(config.counter_floor),
            next_connection: AtomicU64::new(1),
            dials: AtomicU64::new(0),
            handshakes: Arc::default(),
            key,
            server,
            responder,
            shared,
            secrets,
            config,
        })))
    }

    /// Our own id.
    pub fn peer_id(&self) -> PeerId {
        self.0.key.peer_id
    }

    /// The addresses that are bound, with the ports that the system chose.
    pub fn listen_addrs(&self) -> &[SocketAddr] {
        self.0.shared.listen_addrs()
    }

    /// Begins to dial `peer` at `candidates`: the first 8 that a socket of ours can reach are
    /// tried in turn, 250 ms apart, until one answers (SPEC §8.3).
    ///
    /// # Errors
    /// See [`DialError`].
    pub fn dial(&self, peer: PeerId, candidates: &[SocketAddr]) -> Result<Dial, DialError> {
        let candidates = self.usable(peer, candidates)?;
        let inner = &self.0;
        if self.connections() >= inner.config.max_connections {
            return Err(DialError::TooManyConnections(inner.config.max_connections));
        }
        let salt = InitialSalt::new(&inner.config.network_key, &peer);
        let id = lock(&inner.shared.paths).insert(Instant::now(), salt, &candidates);
        let pulse = self.pulse();
        let connecting = inner
            .dialing
            .connect_with(self.client_config(peer, &pulse), paths::synthetic(id), "")
            .map_err(|error| dial_error(peer, &error))?;
        inner.dials.fetch_add(1, Ordering::Relaxed);
        let (quinn, accepted) = connecting.into_0rtt().map_err(|_| DialError::UnusableKey(peer))?;
        if candidates.len() > 1 {
            tokio::spawn(race(Arc::downgrade(&inner.shared), id));
        }
        let connection = self.connection(quinn, peer, Some(id), pulse);
        Ok(Dial::new(connection, accepted, inner.handshakes.clone()))
    }

    /// The candidates that our sockets can reach, without repetitions.
    fn usable(
        &self,
        peer: PeerId,
        candidates: &[SocketAddr],
    ) -> Result<Vec<SocketAddr>, DialError> {
        if peer == self.peer_id() {
            return Err(DialError::Ourselves(peer));
        }
        let reaches = |addr: &SocketAddr| {
            self.listen_addrs().iter().any(|ours| ours.is_ipv4() == addr.is_ipv4())
        };
        let mut usable: Vec<SocketAddr> = Vec::new();
        for addr in candidates.iter().map(|addr| canonical(*addr)).filter(reaches) {
            if usable.len() < MAX_CANDIDATES && !usable.contains(&addr) {
                usable.push(addr);
            }
        }
        match usable.is_empty() {
            false => Ok(usable),
            true if candidates.is_empty() => Err(DialError::NoCandidates(peer)),
            true => Err(DialError::NoFamily(peer)),
        }
    }

    /// For a connection that begins.
    fn pulse(&self) -> Arc<Pulse> {
        Arc::new(Pulse::new(&self.0.shared.clock, Instant::now()))
    }

    fn client_config(&self, responder: PeerId, pulse: &Arc<Pulse>) -> quinn::ClientConfig {
        let inner = &self.0;
        let crypto = DialerConfig {
            key: inner.key.clone(),
            network: inner.config.network_key.clone(),
            responder,
            counter: self.next_counter(),
            ephemeral: Zeroizing::new(crate::random()),
            early_secret: Zeroizing::new(crate::random()),
            shared: inner.secrets.clone(),
            pulse: pulse.clone(),
        };
        let mut config = quinn::ClientConfig::new(Arc::new(crypto));
        config.version(inner.config.network_key.quic_version());
        config.transport_config(Arc::new(transport_config(&inner.config, pulse)));
        config.initial_dst_cid_provider(Arc::new(|| {
            // The top bit tells a dialer's ids from a responder's; this one is for a responder.
            let mut cid: [u8; 16] = crate::random();
            cid[0] &= 0x7f;
            quinn::ConnectionId::new(&cid)
        }));
        config
    }

    /// A handshake counter that never goes back (SPEC §5.3): microseconds since 1970, or one more
    /// than the last.
    fn next_counter(&self) -> u64 {
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let clock = u64::try_from(clock.as_micros()).unwrap_or(u64::MAX);
        let mut counter = lock(&self.0.counter);
        *counter = counter.saturating_add(1).max(clock);
        *counter
    }

    /// The greatest handshake counter used so far: what to remember across restarts.
    pub fn counter(&self) -> u64 {
        *lock(&self.0.counter)
    }

    /// The next connection that a peer opens; `None` once the endpoint is closed. Cancel safe.
    pub async fn accept(&self) -> Option<Inbound> {
        loop {
            let incoming = self.0.accepting.accept().await?;
            if let Some(inbound) = self.admit(incoming) {
                return Some(inbound);
            }
        }
    }

    /// Takes up what the gate let through.
    fn admit(&self, incoming: Incoming) -> Option<Inbound> {
        let inner = &self.0;
        let orig_dcid = incoming.orig_dst_cid();
        let validated = incoming.remote_address_validated();
        let source = incoming.remote_address();
        let answer = lock(&inner.shared.gate).answer(&orig_dcid, source, validated);
        match answer {
            Answer::Accept => {}
            Answer::Retry if incoming.may_retry() => {
                // An error says only that this is an answer to a Retry, which is checked above.
                let _ = incoming.retry();
                return None;
            }
            Answer::Retry | Answer::Silence => {
                incoming.ignore();
                return None;
            }
        }
        if self.connections() > inner.config.max_connections {
            lock(&inner.shared.gate).forget(&orig_dcid);
            incoming.refuse();
            return None;
        }
        let pulse = self.pulse();
        let config = accept_config(&inner.server, &inner.config, &inner.responder, &pulse);
        let quinn = incoming
            .accept_with(Arc::new(config))
            .inspect_err(|error| tracing::debug!(%error, "inbound failed"));
        let (quinn, accepted) = quinn.ok()?.into_0rtt().ok()?;
        let identity = quinn.peer_identity()?.downcast::<PeerIdentity>().ok()?;
        let settle = Settle {
            shared: Arc::downgrade(&inner.shared),
            identity: *identity,
            handshakes: inner.handshakes.clone(),
        };
        let connection = self.connection(quinn, identity.peer, None, pulse);
        let deadline = tokio::time::Instant::now() + HALF_OPEN_TIME;
        Some(Inbound::new(connection, accepted, inner.early.clone(), deadline, settle))
    }

    fn connection(
        &self,
        quinn: quinn::Connection,
        peer: PeerId,
        dial: Option<DialId>,
        pulse: Arc<Pulse>,
    ) -> Connection {
        let id = self.0.next_connection.fetch_add(1, Ordering::Relaxed);
        Connection::new(quinn, peer, id, dial, pulse, self.0.shared.clone())
    }

    fn connections(&self) -> usize {
        self.0.dialing.open_connections() + self.0.accepting.open_connections()
    }

    /// What was counted so far.
    pub fn counters(&self) -> Counters {
        let traffic = &self.0.shared.traffic;
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let gate = lock(&self.0.shared.gate);
        Counters {
            datagrams_sent: get(&traffic.datagrams_sent),
            bytes_sent: get(&traffic.bytes_sent),
            datagrams_received: get(&traffic.datagrams_received),
            bytes_received: get(&traffic.bytes_received),
            dials: get(&self.0.dials),
            handshakes: get(&self.0.handshakes),
            gate: gate.counters(),
            half_open: gate.half_open() as u64,
            connections: self.connections() as u64,
        }
    }

    /// Closes every connection and stops to listen; waits at most 1 s for the last packets.
    /// Closing twice is harmless.
    pub async fn close(&self, code: CloseCode) {
        let inner = &self.0;
        lock(&inner.shared.gate).shut();
        inner.dialing.close(var_int(code.code()), code.as_str().as_bytes());
        inner.accepting.close(var_int(code.code()), code.as_str().as_bytes());
        let idle = async {
            tokio::join!(inner.dialing.wait_idle(), inner.accepting.wait_idle());
        };
        // What has not left by then is lost with the peers' consent: they time out.
        let _ = tokio::time::timeout(CLOSE_TIME, idle).await;
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("peer_id", &self.peer_id())
            .field("listen", &self.listen_addrs())
            .finish_non_exhaustive()
    }
}

/// Tells the gate that an inbound connection is no longer opening, at the latest when nobody
/// waits for its confirmation any more.
pub(crate) struct Settle {
    shared: Weak<Shared>,
    identity: PeerIdentity,
    handshakes: Arc<AtomicU64>,
}

impl Settle {
    pub(crate) fn now(&self, confirmed: bool) {
        if confirmed {
            self.handshakes.fetch_add(1, Ordering::Relaxed);
        }
        self.tell();
    }

    fn tell(&self) {
        if let Some(shared) = self.shared.upgrade() {
            let mut gate = lock(&shared.gate);
            gate.settle(&self.identity.peer, self.identity.counter);
            shared.note_watched(&gate);
        }
    }
}

impl Drop for Settle {
    fn drop(&mut self) {
        self.tell();
    }
}

/// Time, for the shells that have none of their own.
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Starts one candidate of a dial after the other, until one answers.
async fn race(shared: Weak<Shared>, id: DialId) {
    let mut next = Instant::now() + STAGGER;
    loop {
        tokio::time::sleep_until(next.into()).await;
        match shared.upgrade().and_then(|shared| shared.race(id)) {
            Some(at) => next = at,
            None => return,
        }
    }
}

/// An IPv4 address in IPv6 clothes is an IPv4 address: it needs the other socket.
fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

fn dial_error(peer: PeerId, error: &quinn::ConnectError) -> DialError {
    match error {
        quinn::ConnectError::EndpointStopping => DialError::EndpointClosed,
        _ => DialError::UnusableKey(peer),
    }
}

pub(crate) fn endpoint_config(config: &Config, cids: &CidKey, role: Role) -> EndpointConfig {
    let mut quic = EndpointConfig::new(Arc::new(ResetKey::new(&config.connection_id_key)));
    let key = cids.clone();
    quic.cid_generator(move || Box::new(Generator { key: key.clone(), role }));
    quic.supported_versions(vec![config.network_key.quic_version()]);
    quic.grease_quic_bit(false); // the fixed bit tells QUIC from probes (SPEC §8.1)
    quic
}

pub(crate) fn server_config(config: &Config, responder: &ResponderConfig) -> ServerConfig {
    let token_key = Arc::new(TokenKey::new(&crate::random()));
    let mut server = ServerConfig::new(Arc::new(responder.clone()), token_key);
    server.transport_config(Arc::new(transport_config(config, &responder.pulse)));
    server.retry_token_lifetime(RETRY_TOKEN_TIME);
    server.max_incoming(2 * config.max_half_open.max(1));
    server.incoming_buffer_size(INCOMING_BUFFER);
    server.incoming_buffer_size_total(INCOMING_BUFFER * config.max_half_open.max(1) as u64);
    server
}

/// What one connection is accepted with: all is as in `server`, but it has a pulse of its own.
pub(crate) fn accept_config(
    server: &ServerConfig,
    config: &Config,
    responder: &ResponderConfig,
    pulse: &Arc<Pulse>,
) -> ServerConfig {
    let mut server = server.clone();
    server.crypto = Arc::new(ResponderConfig { pulse: pulse.clone(), ..responder.clone() });
    server.transport_config(Arc::new(transport_config(config, pulse)));
    server
}

pub(crate) fn transport_config(config: &Config, pulse: &Arc<Pulse>) -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport.max_concurrent_bidi_streams(VarInt::from_u32(config.max_streams.max(FLOOR_STREAMS)));
    transport.max_concurrent_uni_streams(VarInt::from_u32(0));
    transport.stream_receive_window(VarInt::from_u32(config.stream_window.max(FLOOR_STREAM_DATA)));
    transport.receive_window(VarInt::from_u32(config.connection_window.max(FLOOR_DATA)));
    transport.send_window(config.send_window);
    transport.datagram_send_buffer_size(config.datagram_buffer);
    transport.datagram_receive_buffer_size(Some(config.datagram_buffer.max(1500)));
    transport.max_idle_timeout(config.idle_timeout.and_then(|timeout| timeout.try_into().ok()));
    transport.keep_alive_interval(config.keep_alive);
    transport.congestion_controller_factory(Arc::new(Controllers(pulse.clone())));
    transport
}
