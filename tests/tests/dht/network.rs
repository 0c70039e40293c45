//! The network: who is where, how long a packet takes, what it weighs, and who lies.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use pinhole_dht::{Config, Dht, Event, FailureKind, RequestId, Rng, Role, Rpc, Transmit};
use pinhole_proto::dht::{Contact, Find, FindRequest, Found, Position, Stored};
use pinhole_proto::message::Exchange;
use pinhole_proto::{Candidate, List, PeerId, SecretKey, decode, encode};

/// Bytes of a first contact, both directions: 3,900 in padded datagrams and five headers.
const FIRST_CONTACT: u64 = 3_900 + 5 * 28;
/// Bytes of keeping and closing a connection that serves one question.
const CONNECTION: u64 = 200;
/// Bytes around a message: stream header, frame, QUIC, IP and UDP, and an acknowledgement.
const AROUND: u64 = 10 + 2 + 30 + 28 + 65;
/// Bytes of a dial that nobody answers: two Initials.
const UNANSWERED: u64 = 2 * (1_200 + 28);
/// Until a dial that nobody answers is given up.
const DIAL_TIME: Duration = Duration::from_secs(3);
/// How long an unused connection stays.
const LINGER: Duration = Duration::from_secs(20);
/// Unix time at the beginning.
const EPOCH: u64 = 1_800_000_000;

/// What a node does with questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manners {
    Honest,
    /// Names its accomplices nearest to the point, and has no records.
    Accomplices,
    /// Names honest nodes at addresses where nobody is.
    Lies,
    /// Says nothing.
    Silence,
    /// One of the three, drawn anew each time.
    Mixed,
}

pub struct Node {
    pub peer: PeerId,
    pub addr: SocketAddr,
    pub serves: bool,
    pub manners: Manners,
    /// `None` for one that has left, and for members of a swarm, which have no core.
    pub dht: Option<Dht>,
    pub online: bool,
    pub since: Instant,
    /// Bytes in and out.
    pub bytes: u64,
    place: (f64, f64),
    wake: Option<Instant>,
}

enum Happening {
    Wake(usize),
    Arrive { from: usize, to: usize, transmit: Transmit, fresh: bool },
    Reply { to: usize, id: RequestId, dialed: Option<SocketAddr>, body: Vec<u8> },
    Fail { to: usize, id: RequestId },
    Came { to: usize, contact: Contact },
    Leave(usize),
}

/// Requests by what they cost.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kinds {
    /// Checks that the upkeep sent; counted below too.
    pub checks: u64,
    /// Nobody answered the dial.
    pub unanswered: u64,
    /// On a new connection.
    pub first_contacts: u64,
    /// On a connection that was there.
    pub others: u64,
}

impl Kinds {
    /// A line of these, for one node in one hour.
    pub fn hourly(&self, before: &Self, node_hours: f64) -> String {
        let each = |now: u64, before: u64| (now - before) as f64 / node_hours;
        format!(
            "a node in an hour: {:.1} first contacts, {:.1} unanswered dials, {:.1} other requests; \
             {:.1} of all are checks",
            each(self.first_contacts, before.first_contacts),
            each(self.unanswered, before.unanswered),
            each(self.others, before.others),
            each(self.checks, before.checks),
        )
    }
}

pub struct Network {
    pub now: Instant,
    pub start: Instant,
    pub rng: Rng,
    pub nodes: Vec<Node>,
    pub config: Config,
    pub events: Vec<(usize, Instant, Event)>,
    pub requests: u64,
    pub kinds: Kinds,
    /// Accomplices, for those who lie; sorted by nothing.
    pub liars: Vec<usize>,
    /// What liars know of everybody.
    pub honest: Vec<Contact>,
    /// Called when somebody leaves.
    pub left: Vec<usize>,
    queue: BinaryHeap<Reverse<(Instant, u64)>>,
    happenings: HashMap<u64, Happening>,
    by_addr: HashMap<SocketAddr, usize>,
    /// Who dialed, and until when, for each pair.
    connections: HashMap<(usize, usize), (usize, Instant)>,
    next: u64,
    subnets: usize,
}

impl Network {
    /// An empty network whose nodes will be spread over so many /24s.
    pub fn new(seed: u64, subnets: usize) -> Self {
        let now = Instant::now();
        Self {
            now,
            start: now,
            rng: Rng::from_seed(seed),
            nodes: Vec::new(),
            config: Config::default(),
            events: Vec::new(),
            requests: 0,
            kinds: Kinds::default(),
            liars: Vec::new(),
            honest: Vec::new(),
            left: Vec::new(),
            queue: BinaryHeap::new(),
            happenings: HashMap::new(),
            by_addr: HashMap::new(),
            connections: HashMap::new(),
            next: 0,
            subnets,
        }
    }

    pub fn unix(&self) -> u64 {
        EPOCH + (self.now - self.start).as_secs()
    }

    pub fn key(&mut self) -> SecretKey {
        let rng = &mut self.rng;
        SecretKey::generate(|seed| *seed = rng.position().0)
    }

    /// A node with a core, that joins at once through `seed`.
    pub fn join(&mut self, serves: bool, seed: Option<usize>) -> usize {
        let key = self.key();
        let subnet = self.rng.below(self.subnets);
        let at = self.add(key.peer_id(), subnet, serves, Manners::Honest);
        let rng = Rng::from_seed(self.rng.next_u64());
        let mut dht = Dht::new(self.now, self.unix(), key, self.config.clone(), rng);
        dht.handle_role(if serves { Role::Server } else { Role::Client });
        let candidate = Candidate::direct(self.nodes[at].addr).unwrap();
        dht.handle_addresses(self.now, vec![candidate]).unwrap();
        if let Some(seed) = seed {
            dht.handle_seed(self.now, self.contact(seed));
        }
        self.nodes[at].dht = Some(dht);
        self.after(at);
        at
    }

    /// A node in subnet number `subnet`, without a core.
    pub fn add(&mut self, peer: PeerId, subnet: usize, serves: bool, manners: Manners) -> usize {
        let at = self.nodes.len();
        let addr = loop {
            let port = 1024 + self.rng.below(60_000) as u16;
            let net = 0x0100_0000 + ((subnet as u32) << 8);
            let ip = Ipv4Addr::from(net + 1 + self.rng.below(250) as u32);
            let addr = SocketAddr::from((skip_local(ip), port));
            if !self.by_addr.contains_key(&addr) {
                break addr;
            }
        };
        let place = (self.rng.below(1000) as f64, self.rng.below(1000) as f64);
        self.by_addr.insert(addr, at);
        self.nodes.push(Node {
            peer,
            addr,
            serves,
            manners,
            dht: None,
            online: true,
            since: self.now,
            bytes: 0,
            place,
            wake: None,
        });
        at
    }

    pub fn contact(&self, at: usize) -> Contact {
        Contact::at(self.nodes[at].peer, self.nodes[at].addr).unwrap()
    }

    /// The node leaves after this time, without a word.
    pub fn leave_after(&mut self, at: usize, session: Duration) {
        self.happen(self.now + session, Happening::Leave(at));
    }

    /// Does something with a core, and sends what comes of it.
    pub fn with<T>(&mut self, at: usize, act: impl FnOnce(Instant, &mut Dht) -> T) -> T {
        let now = self.now;
        let result = act(now, self.nodes[at].dht.as_mut().unwrap());
        self.after(at);
        result
    }

    /// Runs until this moment, or until somebody left.
    pub fn run_until(&mut self, until: Instant) -> bool {
        while let Some(Reverse((at, id))) = self.queue.peek().copied() {
            if at > until {
                break;
            }
            self.queue.pop();
            self.now = at;
            if let Some(happening) = self.happenings.remove(&id) {
                self.step(happening);
            }
            if !self.left.is_empty() {
                return false;
            }
        }
        self.now = until;
        true
    }

    fn step(&mut self, happening: Happening) {
        match happening {
            Happening::Wake(at) => {
                self.nodes[at].wake = None;
                let now = self.now;
                let Some(dht) = self.nodes[at].dht.as_mut() else { return };
                if dht.poll_timeout().is_some_and(|due| due <= now) {
                    dht.handle_timeout(now);
                }
                self.after(at);
            }
            Happening::Arrive { from, to, transmit, fresh } => {
                self.arrive(from, to, transmit, fresh);
            }
            Happening::Reply { to, id, dialed, body } => {
                if let Some(dht) = self.nodes[to].dht.as_mut() {
                    dht.handle_reply(self.now, id, dialed, &body);
                    self.after(to);
                }
            }
            Happening::Fail { to, id } => {
                if let Some(dht) = self.nodes[to].dht.as_mut() {
                    dht.handle_failure(self.now, id, FailureKind::Peer);
                    self.after(to);
                }
            }
            Happening::Came { to, contact } => {
                if let Some(dht) = self.nodes[to].dht.as_mut() {
                    dht.handle_came(self.now, contact);
                    self.after(to);
                }
            }
            Happening::Leave(at) => {
                let node = &mut self.nodes[at];
                node.online = false;
                node.dht = None;
                let addr = node.addr;
                self.by_addr.remove(&addr);
                self.left.push(at);
            }
        }
    }

    /// Sends what a core wants to send, and sees that it is woken in time.
    fn after(&mut self, at: usize) {
        let Some(mut dht) = self.nodes[at].dht.take() else { return };
        while let Some(transmit) = dht.poll_transmit() {
            self.send(at, transmit);
        }
        while let Some(event) = dht.poll_event() {
            self.events.push((at, self.now, event));
        }
        let due = dht.poll_timeout();
        self.nodes[at].dht = Some(dht);
        let Some(due) = due.map(|due| due.max(self.now)) else { return };
        if self.nodes[at].wake.is_none_or(|wake| due < wake) {
            self.nodes[at].wake = Some(due);
            self.happen(due, Happening::Wake(at));
        }
    }

    fn send(&mut self, from: usize, transmit: Transmit) {
        self.requests += 1;
        self.kinds.checks += u64::from(transmit.fresh);
        let addr = transmit.to.addrs.iter().next().unwrap();
        let to = self.by_addr.get(&addr).copied();
        let to = to.filter(|to| self.nodes[*to].peer == transmit.to.peer && *to != from);
        let open = to.and_then(|to| self.connection(from, to));
        let usable = open.is_some_and(|dialer| dialer == from || !transmit.fresh);
        let Some(to) = to.filter(|to| usable || self.nodes[*to].serves) else {
            self.nodes[from].bytes += UNANSWERED;
            self.kinds.unanswered += 1;
            let fail = Happening::Fail { to: from, id: transmit.id };
            return self.happen(self.now + DIAL_TIME, fail);
        };
        let mut weight = transmit.body.len() as u64 + AROUND;
        let mut delay = self.delay(from, to);
        self.kinds.others += u64::from(usable);
        self.kinds.first_contacts += u64::from(!usable);
        if !usable {
            weight += FIRST_CONTACT + CONNECTION;
            if transmit.rpc == Rpc::Store {
                // Not as early data: after the handshake.
                delay += self.delay(from, to) * 2;
            }
        }
        let dialer = if usable { open.unwrap() } else { from };
        self.connections.insert(pair(from, to), (dialer, self.now + LINGER));
        self.nodes[from].bytes += weight;
        self.nodes[to].bytes += weight;
        let arrive = Happening::Arrive { from, to, transmit, fresh: !usable };
        self.happen(self.now + delay, arrive);
    }

    fn arrive(&mut self, from: usize, to: usize, transmit: Transmit, fresh: bool) {
        let dialed = match self.connections.get(&pair(from, to)) {
            Some((dialer, _)) if *dialer == from => Some(self.nodes[to].addr),
            _ => None,
        };
        if !self.nodes[to].online {
            let fail = Happening::Fail { to: from, id: transmit.id };
            return self.happen(self.now + DIAL_TIME, fail);
        }
        let (reply, serves) = match self.nodes[to].manners {
            Manners::Honest => self.answer(from, to, &transmit),
            manners => self.lie(to, &transmit, manners),
        };
        let Some(body) = reply else {
            let fail = Happening::Fail { to: from, id: transmit.id };
            return self.happen(self.now + DIAL_TIME, fail);
        };
        let weight = body.len() as u64 + AROUND;
        self.nodes[from].bytes += weight;
        self.nodes[to].bytes += weight;
        let delay = self.delay(from, to);
        if serves && fresh {
            let came = Happening::Came { to, contact: self.contact(from) };
            self.happen(self.now + delay * 2, came);
        }
        self.happen(self.now + delay, Happening::Reply { to: from, id: transmit.id, dialed, body });
    }

    fn answer(&mut self, from: usize, to: usize, transmit: &Transmit) -> (Option<Vec<u8>>, bool) {
        let source = self.nodes[from].addr.ip();
        let now = self.now;
        let dht = self.nodes[to].dht.as_mut().unwrap();
        let answer = match transmit.rpc {
            Rpc::Find => dht.handle_find(now, &transmit.body).map(|a| (Some(a.body), a.serves)),
            Rpc::Store => dht.handle_store(now, source, &transmit.body).map(|b| (Some(b), false)),
        };
        answer.unwrap_or((None, false))
    }

    fn lie(&mut self, to: usize, transmit: &Transmit, manners: Manners) -> (Option<Vec<u8>>, bool) {
        if transmit.rpc == Rpc::Store {
            // Accepted, and dropped.
            return (Some(encode(&Stored::Kept, 16).unwrap()), false);
        }
        let request: FindRequest = decode(&transmit.body).unwrap();
        let near = |contact: &Contact| Position::of_peer(&contact.peer).distance(&request.near);
        let manners = match manners {
            Manners::Mixed => match self.rng.below(3) {
                0 => Manners::Accomplices,
                1 => Manners::Lies,
                _ => Manners::Silence,
            },
            other => other,
        };
        let mut contacts: Vec<Contact> = match manners {
            Manners::Silence => return (None, false),
            Manners::Accomplices => {
                let others = self.liars.iter().filter(|liar| **liar != to);
                others.map(|liar| self.contact(*liar)).collect()
            }
            _ => self.honest.clone(),
        };
        contacts.sort_by_cached_key(near);
        contacts.truncate(20);
        if manners == Manners::Lies {
            for contact in &mut contacts {
                let nobody = Ipv4Addr::from(0xc000_0000 + self.rng.below(1 << 24) as u32);
                *contact = Contact::at(contact.peer, (nobody, 9).into()).unwrap();
            }
        }
        let found = Found { records: List::default(), contacts: List::of_first(contacts) };
        (Some(encode(&found, Find::REPLY_LIMIT).unwrap()), request.serves)
    }

    fn connection(&self, a: usize, b: usize) -> Option<usize> {
        let (dialer, until) = self.connections.get(&pair(a, b))?;
        (*until > self.now).then_some(*dialer)
    }

    /// From 5 to 120 ms one way, by where the two are, and up to a tenth more.
    fn delay(&mut self, a: usize, b: usize) -> Duration {
        let (a, b) = (self.nodes[a].place, self.nodes[b].place);
        let apart = (a.0 - b.0).hypot(a.1 - b.1) / 1414.0;
        let jitter = 1.0 + self.rng.below(100) as f64 / 1000.0;
        Duration::from_secs_f64((0.005 + apart * 0.115) * jitter)
    }

    fn happen(&mut self, at: Instant, happening: Happening) {
        self.next += 1;
        self.queue.push(Reverse((at, self.next)));
        self.happenings.insert(self.next, happening);
        if self.next.is_multiple_of(1_000_000) {
            let now = self.now;
            self.connections.retain(|_, (_, until)| *until > now);
        }
    }
}

fn pair(a: usize, b: usize) -> (usize, usize) {
    (a.min(b), a.max(b))
}

/// Local addresses would not be counted as subnets.
fn skip_local(ip: Ipv4Addr) -> Ipv4Addr {
    match ip.octets() {
        [10 | 127 | 169 | 172 | 192, b, c, d] => Ipv4Addr::new(200, b, c, d),
        _ => ip,
    }
}
