//! A node's transport without sockets and clock: what `endpoint` and `socket` do, in virtual time.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use pinhole_proto::{CloseCode, NetworkKey, PeerId, SecretKey};
use quinn_proto::{
    ConnectionEvent, ConnectionHandle, ConnectionId, ConnectionIdGenerator, DatagramEvent, Dir,
    Endpoint, Event, Incoming, InvalidCid, StreamEvent, StreamId, VarInt,
};
use zeroize::Zeroizing;

use super::Rng;
use crate::{
    Admission, Config, GateCounters, Vitals,
    cid::{CID_LEN, CidKey, Generator, Role},
    endpoint::{accept_config, endpoint_config, server_config, transport_config},
    gate::{Answer, Gate, HALF_OPEN_TIME, Limits, Verdict},
    handshake::{InitialSalt, SharedSecrets, StaticKey},
    lock,
    packet::{self, Kind},
    paths::{self, DialId, Paths, Route},
    pulse::{Clock, Pulse},
    session::{DialerConfig, PeerIdentity, ResponderConfig},
};

const DAY: Duration = Duration::from_secs(86_400);

/// How far a connection of a [`VirtualPeer`] is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// The handshake is under way.
    Opening,
    /// The other end is authenticated and live.
    Established,
    /// It is over, with the reason in words.
    Closed(String),
}

/// Both quinn endpoints of a node, its gate and its paths.
pub struct VirtualPeer {
    key: StaticKey,
    network: NetworkKey,
    admission: Arc<dyn Admission>,
    gate: Arc<Mutex<Gate>>,
    paths: Paths,
    cids: CidKey,
    config: Config,
    server: quinn_proto::ServerConfig,
    responder: ResponderConfig,
    clock: Arc<Clock>,
    accepting: Endpoint,
    dialing: Endpoint,
    shared: SharedSecrets,
    connections: BTreeMap<u64, Connection>,
    /// Connections to which something happened, so that they may have something to say.
    touched: BTreeSet<u64>,
    by_handle: BTreeMap<(Role, usize), u64>,
    next_id: u64,
    outbox: VecDeque<(SocketAddr, Vec<u8>)>,
    rng: Rng,
    counter: u64,
}

struct Connection {
    quinn: quinn_proto::Connection,
    role: Role,
    handle: ConnectionHandle,
    dial: Option<DialId>,
    peer: PeerId,
    counter: u64,
    pulse: Arc<Pulse>,
    status: Status,
    /// When a connection that was accepted has to be confirmed.
    deadline: Option<Instant>,
    /// What waits to be written on each stream; it is finished afterwards.
    writing: BTreeMap<StreamId, Vec<u8>>,
    reading: BTreeMap<StreamId, Vec<u8>>,
    received: VecDeque<(u64, Vec<u8>)>,
}

impl VirtualPeer {
    /// A node with `key`; all its random numbers come from `seed`.
    pub fn new(key: &SecretKey, config: &Config, admission: Arc<dyn Admission>, seed: u64) -> Self {
        let mut rng = Rng::from_seed(seed);
        let key = StaticKey::new(key);
        let network = config.network_key.clone();
        let shared = SharedSecrets::default();
        let limits = Limits::new(config);
        let gate = Gate::new(key.clone(), network.clone(), shared.clone(), limits);
        let gate = Arc::new(Mutex::new(gate));
        let cids = CidKey::new(&config.connection_id_key);
        // Virtual time may have begun before this node did.
        let now = crate::endpoint::now();
        let clock = Arc::new(Clock::new(now.checked_sub(DAY).unwrap_or(now)));
        let responder = ResponderConfig {
            salt: InitialSalt::new(&network, &key.peer_id),
            gate: gate.clone(),
            accept_early_data: !config.early_protocols.is_empty(),
            pulse: Arc::new(Pulse::new(&clock, now)),
        };
        let server = server_config(config, &responder);
        let mut open = |role, server| {
            let mut quic = endpoint_config(config, &cids, role);
            let (inner, seed) = (cids.clone(), rng.next_u64());
            quic.cid_generator(move || {
                let inner = Generator { key: inner.clone(), role };
                Box::new(SeededCids { inner, rng: Rng::from_seed(seed) })
            });
            Endpoint::new(Arc::new(quic), server, true, Some(rng.bytes()))
        };
        Self {
            accepting: open(Role::Accept, Some(Arc::new(server.clone()))),
            dialing: open(Role::Dial, None),
            paths: Paths::new(network.quic_version()),
            counter: config.counter_floor,
            connections: BTreeMap::new(),
            touched: BTreeSet::new(),
            by_handle: BTreeMap::new(),
            next_id: 1,
            outbox: VecDeque::new(),
            key,
            network,
            admission,
            gate,
            cids,
            config: config.clone(),
            server,
            responder,
            clock,
            shared,
            rng,
        }
    }

    /// Its id.
    pub fn peer_id(&self) -> PeerId {
        self.key.peer_id
    }

    /// What its gate counted.
    pub fn gate_counters(&self) -> GateCounters {
        lock(&self.gate).counters()
    }

    /// Inbound connections that are opening.
    pub fn half_open(&self) -> usize {
        lock(&self.gate).half_open()
    }

    /// Dials `peer`; the number of the connection.
    pub fn dial(&mut self, now: Instant, peer: PeerId, candidates: &[SocketAddr]) -> u64 {
        let salt = InitialSalt::new(&self.network, &peer);
        let dial = self.paths.insert(now, salt, candidates);
        self.counter += 1;
        let counter = self.counter;
        let pulse = Arc::new(Pulse::new(&self.clock, now));
        let crypto = DialerConfig {
            key: self.key.clone(),
            network: self.network.clone(),
            responder: peer,
            counter,
            ephemeral: Zeroizing::new(self.rng.bytes()),
            early_secret: Zeroizing::new(self.rng.bytes()),
            shared: self.shared.clone(),
            pulse: pulse.clone(),
        };
        let mut config = quinn_proto::ClientConfig::new(Arc::new(crypto));
        config.version(self.network.quic_version());
        config.transport_config(Arc::new(transport_config(&self.config, &pulse)));
        let mut dcid: [u8; 16] = self.rng.bytes();
        dcid[0] &= 0x7f;
        config.initial_dst_cid_provider(Arc::new(move || ConnectionId::new(&dcid)));
        let (handle, quinn) = self
            .dialing
            .connect(now, config, paths::synthetic(dial), "")
            .expect("a key that can be dialed");
        let id = self.insert(quinn, Role::Dial, handle, Some(dial), peer, counter, None, pulse);
        self.drive(now);
        id
    }

    #[expect(clippy::too_many_arguments, reason = "a connection has this many parts")]
    fn insert(
        &mut self,
        quinn: quinn_proto::Connection,
        role: Role,
        handle: ConnectionHandle,
        dial: Option<DialId>,
        peer: PeerId,
        counter: u64,
        deadline: Option<Instant>,
        pulse: Arc<Pulse>,
    ) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.by_handle.insert((role, handle.0), id);
        let connection = Connection {
            quinn,
            role,
            handle,
            dial,
            peer,
            counter,
            pulse,
            status: Status::Opening,
            deadline,
            writing: BTreeMap::new(),
            reading: BTreeMap::new(),
            received: VecDeque::new(),
        };
        self.connections.insert(id, connection);
        self.touched.insert(id);
        id
    }

    /// The connections so far, the closed ones too: number, other end, whether we dialed, status.
    pub fn connections(&self) -> Vec<(u64, PeerId, bool, Status)> {
        let row = |(id, c): (&u64, &Connection)| (*id, c.peer, c.dial.is_some(), c.status.clone());
        self.connections.iter().map(row).collect()
    }

    /// How far a connection is.
    pub fn status(&self, id: u64) -> Status {
        self.connections[&id].status.clone()
    }

    /// Opens a stream, writes all of `bytes` as the peer allows it, and finishes it. The stream's
    /// number, or `None` if the peer allows no more streams.
    pub fn send(&mut self, now: Instant, id: u64, bytes: &[u8]) -> Option<u64> {
        let connection = self.connections.get_mut(&id)?;
        let stream = connection.quinn.streams().open(Dir::Bi)?;
        connection.writing.insert(stream, bytes.to_vec());
        self.touched.insert(id);
        self.drive(now);
        Some(VarInt::from(stream).into_inner())
    }

    /// Writes `bytes` on a stream that the peer opened and finishes it.
    pub fn reply(&mut self, now: Instant, id: u64, stream: u64, bytes: &[u8]) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let stream = VarInt::from_u64(stream).expect("a number that came from a stream");
        connection.writing.insert(stream.into(), bytes.to_vec());
        self.touched.insert(id);
        self.drive(now);
    }

    /// The next stream of a connection that came in whole: its number and its bytes.
    pub fn receive(&mut self, id: u64) -> Option<(u64, Vec<u8>)> {
        self.connections.get_mut(&id)?.received.pop_front()
    }

    /// Whether the dialer's early data was accepted.
    pub fn early_accepted(&self, id: u64) -> bool {
        self.connections[&id].quinn.accepted_0rtt()
    }

    /// Changes the packet keys of a connection.
    pub fn update_keys(&mut self, id: u64) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.quinn.force_key_update();
            self.touched.insert(id);
        }
    }

    /// 32 bytes exported from a connection, once its handshake is complete.
    pub fn exported(&self, id: u64) -> Option<[u8; 32]> {
        let mut out = [0; 32];
        let session = self.connections.get(&id)?.quinn.crypto_session();
        session.export_keying_material(&mut out, b"testing", b"").ok().map(|()| out)
    }

    /// Signs of life of the other end, as [`Connection::vitals`](crate::Connection::vitals).
    pub fn vitals(&self, id: u64) -> Vitals {
        self.connections[&id].pulse.vitals()
    }

    /// Sends an unreliable datagram; whether it could be sent.
    pub fn send_datagram(&mut self, now: Instant, id: u64, datagram: &[u8]) -> bool {
        let Some(connection) = self.connections.get_mut(&id) else { return false };
        let sent = connection.quinn.datagrams().send(Bytes::copy_from_slice(datagram), true);
        self.touched.insert(id);
        self.drive(now);
        sent.is_ok()
    }

    /// The next unreliable datagram that came in.
    pub fn receive_datagram(&mut self, id: u64) -> Option<Vec<u8>> {
        let datagram = self.connections.get_mut(&id)?.quinn.datagrams().recv()?;
        Some(datagram.to_vec())
    }

    /// Closes a connection.
    pub fn close(&mut self, now: Instant, id: u64) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.quinn.close(now, code(CloseCode::Disconnect), Bytes::new());
            if let Some(dial) = connection.dial {
                self.paths.handle_closed(dial, now);
            }
            self.finished(id, Status::Closed("closed by us".into()));
        }
        self.touched.insert(id);
        self.drive(now);
    }

    /// A datagram came in.
    pub fn handle_datagram(&mut self, now: Instant, source: SocketAddr, datagram: &[u8]) {
        self.clock.set(now);
        if let Some((role, source)) = self.owner(now, source, datagram) {
            let mut answer = Vec::new();
            let data = BytesMut::from(datagram);
            let endpoint = self.endpoint(role);
            match endpoint.handle(now, source, None, None, data, &mut answer) {
                Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                    self.handle_event(role, handle, event);
                }
                Some(DatagramEvent::NewConnection(incoming)) => self.admit(now, incoming),
                Some(DatagramEvent::Response(transmit)) => {
                    self.transmit(now, role, &transmit, &answer);
                }
                None => {}
            }
        }
        self.drive(now);
    }

    fn endpoint(&mut self, role: Role) -> &mut Endpoint {
        match role {
            Role::Accept => &mut self.accepting,
            Role::Dial => &mut self.dialing,
        }
    }

    fn handle_event(&mut self, role: Role, handle: ConnectionHandle, event: ConnectionEvent) {
        let Some(&id) = self.by_handle.get(&(role, handle.0)) else { return };
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.quinn.handle_event(event);
            self.touched.insert(id);
        }
    }

    /// As `socket::Shared::owner`.
    fn owner(
        &mut self,
        now: Instant,
        source: SocketAddr,
        datagram: &[u8],
    ) -> Option<(Role, SocketAddr)> {
        match packet::classify(datagram, self.network.quic_version()) {
            Kind::Short { dcid } if Role::of(dcid) == Role::Accept => Some((Role::Accept, source)),
            Kind::Long { dcid, .. }
                if !(Role::of(dcid) == Role::Dial && self.cids.is_ours(dcid)) =>
            {
                let (rng, admission) = (&mut self.rng, &*self.admission);
                let mut gate = lock(&self.gate);
                match gate.handle_datagram(now, source, datagram, || rng.bytes(), admission) {
                    Verdict::Pass(known_as) => Some((Role::Accept, known_as)),
                    Verdict::Drop(_) => None,
                }
            }
            Kind::Short { .. } | Kind::Long { .. } => {
                let dial = self.paths.handle_datagram(source, datagram)?;
                Some((Role::Dial, paths::synthetic(dial)))
            }
            Kind::Other => None,
        }
    }

    /// As `Endpoint::admit` and `Inbound`.
    fn admit(&mut self, now: Instant, incoming: Incoming) {
        let orig_dcid = *incoming.orig_dst_cid();
        let validated = incoming.remote_address_validated();
        let mut answer = Vec::new();
        let source = incoming.remote_address();
        let decision = lock(&self.gate).answer(&orig_dcid, source, validated);
        match decision {
            Answer::Accept => {}
            Answer::Retry if incoming.may_retry() => {
                if let Ok(transmit) = self.accepting.retry(incoming, &mut answer) {
                    self.transmit(now, Role::Accept, &transmit, &answer);
                }
                return;
            }
            Answer::Retry | Answer::Silence => return self.accepting.ignore(incoming),
        }
        let pulse = Arc::new(Pulse::new(&self.clock, now));
        let config = accept_config(&self.server, &self.config, &self.responder, &pulse);
        match self.accepting.accept(incoming, now, &mut answer, Some(Arc::new(config))) {
            Ok((handle, quinn)) => {
                let identity = quinn.crypto_session().peer_identity();
                let identity = identity.and_then(|i| i.downcast::<PeerIdentity>().ok());
                let PeerIdentity { peer, counter } = *identity.expect("the Hello was read");
                let deadline = Some(now + HALF_OPEN_TIME);
                self.insert(quinn, Role::Accept, handle, None, peer, counter, deadline, pulse);
            }
            Err(error) => {
                if let Some(transmit) = error.response {
                    self.transmit(now, Role::Accept, &transmit, &answer);
                }
            }
        }
    }

    /// As `socket::RoleSocket::try_send`.
    fn transmit(
        &mut self,
        now: Instant,
        role: Role,
        transmit: &quinn_proto::Transmit,
        contents: &[u8],
    ) {
        let (to, contents) = (transmit.destination, &contents[..transmit.size]);
        for datagram in contents.chunks(transmit.segment_size.unwrap_or(contents.len()).max(1)) {
            let targets = match (role, paths::dial_id(to)) {
                (Role::Dial, Some(dial)) => match self.paths.handle_transmit(now, dial, datagram) {
                    Route::To(addr) => vec![addr],
                    Route::Race(addrs) => addrs,
                    Route::Held => Vec::new(),
                },
                _ => lock(&self.gate).handle_transmit(now, to, datagram),
            };
            self.outbox.extend(targets.into_iter().map(|to| (to, datagram.to_vec())));
        }
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        self.outbox.pop_front()
    }

    /// When [`VirtualPeer::handle_timeout`] wants to be called.
    pub fn poll_timeout(&mut self) -> Option<Instant> {
        let paths = &self.paths;
        let timers = self.connections.values_mut().filter_map(|c| {
            let race = c.dial.and_then(|dial| paths.poll_timeout(dial));
            [c.quinn.poll_timeout(), c.deadline, race].into_iter().flatten().min()
        });
        timers.min()
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        let ids: Vec<u64> = self.connections.keys().copied().collect();
        for id in ids {
            let Some(connection) = self.connections.get_mut(&id) else { continue };
            if let Some(dial) = connection.dial
                && self.paths.poll_timeout(dial).is_some_and(|at| at <= now)
            {
                self.paths.handle_timeout(now, dial);
            }
            if connection.deadline.is_some_and(|at| at <= now) {
                connection.quinn.close(now, code(CloseCode::HandshakeTimeout), Bytes::new());
                self.finished(id, Status::Closed("not confirmed".into()));
                self.touched.insert(id);
            } else if connection.quinn.poll_timeout().is_some_and(|at| at <= now) {
                connection.quinn.handle_timeout(now);
                self.touched.insert(id);
            }
        }
        self.drive(now);
    }

    /// Lets the connections to which something happened say what they have to say.
    fn drive(&mut self, now: Instant) {
        while let Some(id) = self.touched.pop_first() {
            while self.drive_one(now, id) {}
        }
        while let Some(transmit) = self.paths.poll_transmit() {
            self.outbox.push_back(transmit);
        }
    }

    /// One round with a connection; true if there may be more.
    fn drive_one(&mut self, now: Instant, id: u64) -> bool {
        let Some(connection) = self.connections.get_mut(&id) else { return false };
        let (role, handle) = (connection.role, connection.handle);
        connection.write();
        let mut more = false;
        let mut buffer = Vec::new();
        if let Some(transmit) = connection.quinn.poll_transmit(now, 1, &mut buffer) {
            self.transmit(now, role, &transmit, &buffer);
            more = true;
        }
        while let Some(event) = self.connections.get_mut(&id).and_then(|c| c.quinn.poll()) {
            self.note(now, id, event);
            more = true;
        }
        while let Some(c) = self.connections.get_mut(&id)
            && let Some(event) = c.quinn.poll_endpoint_events()
        {
            let drained = event.is_drained();
            if let Some(event) = self.endpoint(role).handle_event(handle, event) {
                self.handle_event(role, handle, event);
            }
            if drained {
                self.by_handle.remove(&(role, handle.0));
            }
            more = true;
        }
        more
    }

    fn note(&mut self, now: Instant, id: u64, event: Event) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        match event {
            Event::Connected => {
                connection.deadline = None;
                self.finished(id, Status::Established);
            }
            Event::ConnectionLost { reason } => {
                connection.deadline = None;
                if let Some(dial) = connection.dial {
                    self.paths.handle_closed(dial, now);
                }
                self.finished(id, Status::Closed(reason.to_string()));
            }
            Event::Stream(StreamEvent::Opened { dir: Dir::Bi }) => connection.accept_streams(),
            Event::Stream(StreamEvent::Readable { id }) => connection.read(id),
            _ => {}
        }
    }

    fn finished(&mut self, id: u64, status: Status) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if !matches!(connection.status, Status::Closed(_)) {
            connection.status = status;
        }
        connection.deadline = None;
        if connection.role == Role::Accept {
            lock(&self.gate).settle(&connection.peer, connection.counter);
        }
    }
}

impl Connection {
    /// Hands quinn what it takes of what waits to be written.
    fn write(&mut self) {
        let quinn = &mut self.quinn;
        self.writing.retain(|&stream, bytes| {
            let mut send = quinn.send_stream(stream);
            while !bytes.is_empty() {
                match send.write(bytes) {
                    Ok(written) => drop(bytes.drain(..written)),
                    Err(quinn_proto::WriteError::Blocked) => return true,
                    Err(_) => return false,
                }
            }
            // An error says only that the stream is already over.
            let _ = send.finish();
            false
        });
    }

    fn accept_streams(&mut self) {
        while let Some(stream) = self.quinn.streams().accept(Dir::Bi) {
            self.read(stream);
        }
    }

    fn read(&mut self, stream: StreamId) {
        let bytes = self.reading.entry(stream).or_default();
        let mut recv = self.quinn.recv_stream(stream);
        let Ok(mut chunks) = recv.read(true) else { return };
        loop {
            match chunks.next(usize::MAX) {
                Ok(Some(chunk)) => bytes.extend_from_slice(&chunk.bytes),
                Ok(None) => {
                    let whole = self.reading.remove(&stream).unwrap_or_default();
                    self.received.push_back((VarInt::from(stream).into_inner(), whole));
                    break;
                }
                Err(_) => break,
            }
        }
        // quinn is asked what to send after every event anyway.
        let _ = chunks.finalize();
    }
}

/// As `cid::Generator`, with random numbers from a seed.
struct SeededCids {
    inner: Generator,
    rng: Rng,
}

impl ConnectionIdGenerator for SeededCids {
    fn generate_cid(&mut self) -> ConnectionId {
        self.inner.key.make(self.inner.role, self.rng.bytes())
    }

    fn validate(&self, cid: &ConnectionId) -> Result<(), InvalidCid> {
        self.inner.validate(cid)
    }

    fn cid_len(&self) -> usize {
        CID_LEN
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

fn code(code: CloseCode) -> VarInt {
    crate::connection::var_int(code.code())
}
