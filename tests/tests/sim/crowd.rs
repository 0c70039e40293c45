//! A thousand dialers at once: what comes to a node that was away and that all want back
//! (SPEC §5.4).

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use pinhole_proto::PeerId;
use pinhole_transport::{
    AdmitAll, Config,
    testing::{Rng, Status, VirtualPeer},
};

const DIALERS: usize = 1000;
const RATE: usize = 50;
const ONE_WAY: Duration = Duration::from_millis(50);
/// How long a dial may take.
const DIAL_TIME: Duration = Duration::from_secs(10);
/// The pause before the next dial is anything up to the base times 2 to the power of failures,
/// and up to the cap.
const BASE: Duration = Duration::from_secs(1);
const CAP: Duration = Duration::from_secs(30);
const SECOND: Duration = Duration::from_secs(1);

struct Dialer {
    peer: VirtualPeer,
    /// The dial under way, and when it is given up.
    dial: Option<(u64, Instant)>,
    next: Option<Instant>,
    failures: u32,
    due: Option<(Instant, usize)>,
}

/// Only whoever has something to do is looked at: a thousand nodes would be slow otherwise.
struct Crowd {
    now: Instant,
    start: Instant,
    rng: Rng,
    server: VirtualPeer,
    dialers: Vec<Dialer>,
    under_way: BTreeMap<(Instant, u64), (SocketAddr, SocketAddr, Vec<u8>)>,
    sequence: u64,
    /// When whom to look at.
    due: BTreeSet<(Instant, usize)>,
    admitted: Vec<Instant>,
}

fn server_addr() -> SocketAddr {
    ([192, 0, 2, 1], 4433).into()
}

fn addr(dialer: usize) -> SocketAddr {
    ([192, 0, 2, 2], dialer as u16).into()
}

impl Crowd {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::from_seed(seed);
        let mut config = Config::new(Vec::new());
        (config.idle_timeout, config.keep_alive) = (None, None);
        config.connection_id_key = rng.bytes();
        assert_eq!(config.max_accepts_per_second, RATE, "the default");
        let mut peer = || {
            let (key, seed) = (rng.key(), rng.next_u64());
            VirtualPeer::new(&key, &config, Arc::new(AdmitAll), seed)
        };
        let server = peer();
        let now = Instant::now();
        let dialers = (0..DIALERS).map(|_| peer());
        let dialers: Vec<_> = dialers
            .map(|peer| Dialer { peer, dial: None, next: Some(now), failures: 0, due: None })
            .collect();
        let due = (0..DIALERS).map(|dialer| (now, dialer)).collect();
        Self {
            now,
            start: now,
            rng,
            server,
            dialers,
            under_way: BTreeMap::new(),
            sequence: 0,
            due,
            admitted: Vec::new(),
        }
    }

    /// Lets the next thing happen; false if nothing is left to happen.
    fn step(&mut self) -> bool {
        let arrival = self.under_way.first_key_value().map(|((at, _), _)| *at);
        let due = self.due.first().map(|(at, _)| *at);
        let timeout = self.server.poll_timeout();
        let Some(next) = [arrival, due, timeout].into_iter().flatten().min() else { return false };
        self.now = self.now.max(next);
        if arrival.is_some_and(|at| at <= self.now) {
            let (_, (from, to, bytes)) = self.under_way.pop_first().unwrap();
            if to == server_addr() {
                self.server.handle_datagram(self.now, from, &bytes);
            } else {
                let dialer = usize::from(to.port());
                self.dialers[dialer].peer.handle_datagram(self.now, from, &bytes);
                self.tend(dialer);
            }
        } else if due.is_some_and(|at| at <= self.now) {
            let (_, dialer) = self.due.pop_first().unwrap();
            self.dialers[dialer].peer.handle_timeout(self.now);
            self.tend(dialer);
        } else {
            self.server.handle_timeout(self.now);
        }
        while let Some((to, bytes)) = self.server.poll_transmit() {
            self.send(server_addr(), to, bytes);
        }
        let admitted = self.server.gate_counters().admitted as usize;
        self.admitted.resize(admitted, self.now);
        true
    }

    /// Dials, gives up, and dials again later.
    fn tend(&mut self, index: usize) {
        let (now, server) = (self.now, self.server.peer_id());
        let dialer = &mut self.dialers[index];
        if let Some((id, deadline)) = dialer.dial {
            match dialer.peer.status(id) {
                Status::Established => {}
                Status::Opening if now < deadline => {}
                _ => {
                    dialer.peer.close(now, id);
                    dialer.dial = None;
                    let most = (BASE * 2u32.pow(dialer.failures.min(10))).min(CAP);
                    dialer.failures += 1;
                    dialer.next = Some(now + self.rng.up_to(most));
                }
            }
        }
        if dialer.next.is_some_and(|at| at <= now) {
            dialer.next = None;
            let id = dialer.peer.dial(now, server, &[server_addr()]);
            dialer.dial = Some((id, now + DIAL_TIME));
        }
        let established = |id| dialer.peer.status(id) == Status::Established;
        let deadline = dialer.dial.filter(|(id, _)| !established(*id)).map(|(_, at)| at);
        let times = [dialer.next, deadline, dialer.peer.poll_timeout()];
        let due = times.into_iter().flatten().min().map(|at| (at, index));
        let before = std::mem::replace(&mut dialer.due, due);
        if let Some(before) = before {
            self.due.remove(&before);
        }
        self.due.extend(due);
        while let Some((to, bytes)) = self.dialers[index].peer.poll_transmit() {
            self.send(addr(index), to, bytes);
        }
    }

    fn send(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        self.sequence += 1;
        self.under_way.insert((self.now + ONE_WAY, self.sequence), (from, to, bytes));
    }

    fn established(&mut self) -> BTreeSet<PeerId> {
        let connections = self.server.connections().into_iter();
        connections.filter(|(.., status)| *status == Status::Established).map(|c| c.1).collect()
    }
}

#[test]
fn a_thousand_dialers_come_in_at_fifty_a_second_and_all_within_a_minute() {
    let mut crowd = Crowd::new(5);
    while crowd.now - crowd.start < Duration::from_secs(60) && crowd.step() {}
    let counters = crowd.server.gate_counters();
    println!("{:?} {} {counters:?}", crowd.now - crowd.start, crowd.established().len());
    let times: Vec<_> = crowd.admitted.iter().map(|at| (*at - crowd.start).as_millis()).collect();
    println!("{:?}", (1..=10).map(|n| times.get(n * 100 - 1)).collect::<Vec<_>>());
    for window in crowd.admitted.windows(RATE + 1) {
        assert!(window[RATE] - window[0] >= SECOND, "{:?}", window[0] - crowd.start);
    }
    assert_eq!(crowd.established().len(), DIALERS);
    assert!(counters.paced > 0);
}
