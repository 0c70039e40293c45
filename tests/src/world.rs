//! Some nodes' transports and the links between them, in virtual time.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use pinhole_proto::{PeerId, SecretKey};
use pinhole_transport::{
    Admission, AdmitAll, Config,
    testing::{Rng, Status, VirtualPeer},
};

/// A datagram on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datagram {
    /// Who sent it, as the receiver sees it.
    pub from: SocketAddr,
    /// Where it goes.
    pub to: SocketAddr,
    /// Its UDP payload.
    pub bytes: Vec<u8>,
}

/// What every link does to datagrams.
#[derive(Debug, Clone, Copy)]
pub struct Link {
    /// Datagrams lost, of 100.
    pub loss: usize,
    /// Datagrams that come twice, of 100.
    pub duplicates: usize,
    /// The shortest time in one direction.
    pub delay: Duration,
    /// What may be added to it, differently for each datagram: so they overtake each other.
    pub jitter: Duration,
}

impl Link {
    /// Loses and reorders nothing.
    pub const fn good(one_way: Duration) -> Self {
        Self { loss: 0, duplicates: 0, delay: one_way, jitter: Duration::ZERO }
    }
}

/// What somebody on the path makes of a datagram.
type Interceptor = Box<dyn FnMut(Datagram) -> Vec<Datagram>>;

/// Nodes, named by their index, and all that is under way between them.
pub struct World {
    /// The time now.
    pub now: Instant,
    start: Instant,
    /// The random numbers of links and keys.
    pub rng: Rng,
    /// What links do.
    pub link: Link,
    nodes: Vec<Node>,
    under_way: BTreeMap<(Instant, u64), Datagram>,
    sequence: u64,
    interceptor: Option<Interceptor>,
    /// Everything that was sent, in order, before links and interceptor.
    pub sent: Vec<Datagram>,
}

struct Node {
    addr: SocketAddr,
    peer: VirtualPeer,
    key: SecretKey,
}

impl World {
    /// An empty world.
    pub fn new(seed: u64, link: Link) -> Self {
        let now = Instant::now();
        Self {
            now,
            start: now,
            rng: Rng::from_seed(seed),
            link,
            nodes: Vec::new(),
            under_way: BTreeMap::new(),
            sequence: 0,
            interceptor: None,
            sent: Vec::new(),
        }
    }

    /// A configuration that depends on no clock and no randomness.
    pub fn config(&mut self) -> Config {
        let mut config = Config::new(Vec::new());
        config.connection_id_key = self.rng.bytes();
        config.keep_alive = None;
        config
    }

    /// One more node, with the configuration of [`World::config`].
    pub fn add(&mut self) -> usize {
        let config = self.config();
        self.add_with(&config, Arc::new(AdmitAll))
    }

    /// One more node.
    pub fn add_with(&mut self, config: &Config, admission: Arc<dyn Admission>) -> usize {
        let index = self.nodes.len();
        let addr = SocketAddr::from(([10, 0, 0, index as u8 + 1], 4433));
        let key = self.rng.key();
        let peer = VirtualPeer::new(&key, config, admission, self.rng.next_u64());
        self.nodes.push(Node { addr, peer, key });
        index
    }

    /// A node.
    pub fn node(&mut self, node: usize) -> &mut VirtualPeer {
        &mut self.nodes[node].peer
    }

    /// Where a node is.
    pub fn addr(&self, node: usize) -> SocketAddr {
        self.nodes[node].addr
    }

    /// Who a node is.
    pub fn peer_id(&self, node: usize) -> PeerId {
        self.nodes[node].peer.peer_id()
    }

    /// A node's secret.
    pub fn key(&self, node: usize) -> SecretKey {
        self.nodes[node].key.clone()
    }

    /// Time since the world began.
    pub fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    /// Puts somebody on the path who sees every datagram and says what becomes of it.
    pub fn intercept(&mut self, interceptor: impl FnMut(Datagram) -> Vec<Datagram> + 'static) {
        self.interceptor = Some(Box::new(interceptor));
    }

    /// Takes that somebody away.
    pub fn stop_intercepting(&mut self) {
        self.interceptor = None;
    }

    /// Node `from` dials node `to`.
    pub fn dial(&mut self, from: usize, to: usize) -> u64 {
        let (peer, addr) = (self.peer_id(to), self.addr(to));
        self.nodes[from].peer.dial(self.now, peer, &[addr])
    }

    /// As [`VirtualPeer::send`].
    pub fn send(&mut self, node: usize, connection: u64, bytes: &[u8]) -> Option<u64> {
        self.nodes[node].peer.send(self.now, connection, bytes)
    }

    /// Closes a connection.
    pub fn close(&mut self, node: usize, connection: u64) {
        self.nodes[node].peer.close(self.now, connection);
    }

    /// Answers every whole stream that came to `node` with its own bytes, on the connections that
    /// it accepted.
    pub fn echo(&mut self, node: usize) {
        let (now, peer) = (self.now, &mut self.nodes[node].peer);
        for (id, ..) in peer.connections().into_iter().filter(|(_, _, dialed, _)| !dialed) {
            while let Some((stream, bytes)) = peer.receive(id) {
                peer.reply(now, id, stream, &bytes);
            }
        }
    }

    /// Puts a datagram on the wire as it is; it arrives after the shortest time.
    pub fn inject(&mut self, datagram: Datagram) {
        self.deliver_after(self.link.delay, datagram);
    }

    /// Lets a datagram arrive at once.
    pub fn deliver_now(&mut self, datagram: Datagram) {
        self.deliver_after(Duration::ZERO, datagram);
    }

    fn deliver_after(&mut self, delay: Duration, datagram: Datagram) {
        self.sequence += 1;
        self.under_way.insert((self.now + delay, self.sequence), datagram);
    }

    /// Puts on the wire what nodes have to send.
    fn collect(&mut self) {
        for index in 0..self.nodes.len() {
            while let Some((to, bytes)) = self.nodes[index].peer.poll_transmit() {
                let datagram = Datagram { from: self.nodes[index].addr, to, bytes };
                self.sent.push(datagram.clone());
                let datagrams = match &mut self.interceptor {
                    Some(interceptor) => interceptor(datagram),
                    None => vec![datagram],
                };
                datagrams.into_iter().for_each(|datagram| self.put_on_link(datagram));
            }
        }
    }

    fn put_on_link(&mut self, datagram: Datagram) {
        if self.rng.chance(self.link.loss) {
            return;
        }
        let copies = 1 + usize::from(self.rng.chance(self.link.duplicates));
        for _ in 0..copies {
            let delay = self.link.delay + self.rng.up_to(self.link.jitter);
            self.deliver_after(delay, datagram.clone());
        }
    }

    /// Lets the next thing happen, if there is one before `until`.
    fn step(&mut self, until: Instant) -> bool {
        self.collect();
        let arrival = self.under_way.first_key_value().map(|((at, _), _)| *at);
        let timeout = self.nodes.iter_mut().filter_map(|node| node.peer.poll_timeout()).min();
        let Some(next) = [arrival, timeout].into_iter().flatten().min() else { return false };
        if next > until {
            self.now = until;
            return false;
        }
        self.now = self.now.max(next);
        if arrival.is_some_and(|at| at <= self.now) {
            if let Some((_, datagram)) = self.under_way.pop_first()
                && let Some(node) = self.nodes.iter_mut().find(|node| node.addr == datagram.to)
            {
                node.peer.handle_datagram(self.now, datagram.from, &datagram.bytes);
            }
        } else {
            let now = self.now;
            self.nodes.iter_mut().for_each(|node| node.peer.handle_timeout(now));
        }
        self.collect();
        true
    }

    /// Lets time pass until `done`, at most for `limit`; whether it was done.
    pub fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let until = self.now + limit;
        loop {
            if done(self) {
                return true;
            }
            if !self.step(until) {
                return done(self);
            }
        }
    }

    /// Lets time pass.
    pub fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        while self.step(until) {}
        self.now = until;
    }

    /// Lets time pass until a dial succeeded or failed.
    pub fn settle(&mut self, node: usize, connection: u64, limit: Duration) -> Status {
        let opening = |world: &mut Self| world.node(node).status(connection) == Status::Opening;
        self.run_until(limit, |world| !opening(world));
        self.node(node).status(connection)
    }

    /// The established connections of `node` with `peer`.
    pub fn established(&mut self, node: usize, peer: PeerId) -> Vec<u64> {
        let connections = self.node(node).connections().into_iter();
        let with = connections.filter(|(_, p, _, s)| *p == peer && *s == Status::Established);
        with.map(|(id, ..)| id).collect()
    }
}
