//! A UDP forwarder for real sockets: loses, duplicates, delays and reorders by a seed, can be cut
//! and healed, counts and records what passes, and can put recorded datagrams on the wire again.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{Rng, world::Link};

/// How often a reader looks whether it should end.
const PATIENCE: Duration = Duration::from_millis(50);

/// A running forwarder; dropping it ends its threads.
pub struct Forwarder {
    /// Where to dial instead of the real address.
    pub addr: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    near: UdpSocket,
    server: SocketAddr,
    link: Mutex<Link>,
    rng: Mutex<Rng>,
    ended: AtomicBool,
    cut: AtomicBool,
    /// What passed, before anything was lost; no longer kept after [`Forwarder::only_count`].
    recorded: Mutex<Option<Recorded>>,
    counted: Mutex<Counted>,
    /// The socket towards the server for each dialer.
    flows: Mutex<HashMap<SocketAddr, Arc<UdpSocket>>>,
}

/// Datagrams that passed a forwarder, in order.
#[derive(Debug, Clone, Default)]
pub struct Recorded {
    /// From dialers to the server.
    pub there: Vec<Vec<u8>>,
    /// From the server to dialers.
    pub back: Vec<Vec<u8>>,
}

/// How much came to a forwarder, in each direction, before anything was lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    /// From dialers to the server.
    pub there: Traffic,
    /// From the server to dialers.
    pub back: Traffic,
}

/// Datagrams and what they weigh.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// How many.
    pub datagrams: u64,
    /// Bytes of their UDP payload.
    pub payload: u64,
}

impl Traffic {
    /// Bytes with the headers of UDP and IPv4.
    pub const fn on_the_wire(self) -> u64 {
        self.payload + 28 * self.datagrams
    }

    fn add(&mut self, bytes: &[u8]) {
        self.datagrams += 1;
        self.payload += bytes.len() as u64;
    }
}

/// A datagram under way.
struct Delivery {
    due: Instant,
    bytes: Vec<u8>,
    through: Route,
}

enum Route {
    Server(Arc<UdpSocket>),
    Dialer(SocketAddr),
}

impl Forwarder {
    /// Forwards to `server` and back as `link` says.
    pub fn start(server: SocketAddr, link: Link, seed: u64) -> Self {
        let near = UdpSocket::bind((loopback(server), 0)).unwrap();
        near.set_read_timeout(Some(PATIENCE)).unwrap();
        let addr = near.local_addr().unwrap();
        let shared = Arc::new(Shared {
            near,
            server,
            link: Mutex::new(link),
            rng: Mutex::new(Rng::from_seed(seed)),
            ended: AtomicBool::new(false),
            cut: AtomicBool::new(false),
            recorded: Mutex::new(Some(Recorded::default())),
            counted: Mutex::default(),
            flows: Mutex::default(),
        });
        let (queue, deliveries) = channel();
        thread::spawn({
            let shared = shared.clone();
            move || shared.forward(&queue)
        });
        thread::spawn({
            let shared = shared.clone();
            move || shared.deliver(&deliveries)
        });
        Self { addr, shared }
    }

    /// From now on another kind of link.
    pub fn become_link(&self, link: Link) {
        *self.shared.link.lock().unwrap() = link;
    }

    /// Drops everything in both directions, what is under way included, until [`Forwarder::heal`].
    /// Nobody is told: no port unreachable, no close.
    pub fn cut(&self) {
        self.shared.cut.store(true, Ordering::SeqCst);
    }

    /// Lets datagrams pass again.
    pub fn heal(&self) {
        self.shared.cut.store(false, Ordering::SeqCst);
    }

    /// Cuts now and heals after this time, while the test goes on.
    pub fn cut_for(&self, time: Duration) {
        self.cut();
        let shared = self.shared.clone();
        thread::spawn(move || {
            thread::sleep(time);
            shared.cut.store(false, Ordering::SeqCst);
        });
    }

    /// Forgets what was recorded and records no more: for hours of traffic.
    pub fn only_count(&self) {
        *self.shared.recorded.lock().unwrap() = None;
    }

    /// How much has come here so far.
    pub fn counted(&self) -> Counted {
        *self.shared.counted.lock().unwrap()
    }

    /// What has passed so far.
    pub fn recorded(&self) -> Recorded {
        self.shared.recorded.lock().unwrap().clone().expect("not after only_count")
    }

    /// Sends a datagram to the server from the address that it knows as that of the dialer whose
    /// datagrams pass here. There has to be exactly one.
    pub fn inject(&self, datagram: &[u8]) {
        let flows = self.shared.flows.lock().unwrap();
        let mut flows = flows.values();
        let flow = flows.next().expect("a dialer");
        assert!(flows.next().is_none(), "more than one dialer");
        flow.send(datagram).unwrap();
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    /// Reads what dialers send, and opens a way back for each of them.
    fn forward(self: &Arc<Self>, queue: &Sender<Delivery>) {
        self.read(&self.near, |from, bytes| {
            self.counted.lock().unwrap().there.add(bytes);
            if let Some(recorded) = &mut *self.recorded.lock().unwrap() {
                recorded.there.push(bytes.to_vec());
            }
            let flow = self
                .flows
                .lock()
                .unwrap()
                .entry(from)
                .or_insert_with(|| {
                    let flow = UdpSocket::bind((loopback(self.server), 0)).unwrap();
                    flow.connect(self.server).unwrap();
                    flow.set_read_timeout(Some(PATIENCE)).unwrap();
                    let flow = Arc::new(flow);
                    let (shared, flow_back, queue) = (self.clone(), flow.clone(), queue.clone());
                    thread::spawn(move || shared.back(&flow_back, from, &queue));
                    flow
                })
                .clone();
            self.enqueue(queue, bytes, || Route::Server(flow.clone()));
        });
    }

    fn back(self: &Arc<Self>, flow: &UdpSocket, dialer: SocketAddr, queue: &Sender<Delivery>) {
        self.read(flow, |_, bytes| {
            self.counted.lock().unwrap().back.add(bytes);
            if let Some(recorded) = &mut *self.recorded.lock().unwrap() {
                recorded.back.push(bytes.to_vec());
            }
            self.enqueue(queue, bytes, || Route::Dialer(dialer));
        });
    }

    fn read(&self, socket: &UdpSocket, mut handle: impl FnMut(SocketAddr, &[u8])) {
        let mut buffer = vec![0; 65_536];
        while !self.ended.load(Ordering::Relaxed) {
            // An error is a timeout, or word that a peer's socket is gone: go on.
            if let Ok((len, from)) = socket.recv_from(&mut buffer) {
                handle(from, &buffer[..len]);
            }
        }
    }

    fn enqueue(&self, queue: &Sender<Delivery>, bytes: &[u8], through: impl Fn() -> Route) {
        let link = *self.link.lock().unwrap();
        let mut rng = self.rng.lock().unwrap();
        if rng.chance(link.loss) {
            return;
        }
        for _ in 0..1 + usize::from(rng.chance(link.duplicates)) {
            let due = Instant::now() + link.delay + rng.up_to(link.jitter);
            // An error says only that the forwarder is ending.
            let _ = queue.send(Delivery { due, bytes: bytes.to_vec(), through: through() });
        }
    }

    /// Hands datagrams on when they are due.
    fn deliver(&self, deliveries: &Receiver<Delivery>) {
        let mut waiting: BTreeMap<(Instant, u64), Delivery> = BTreeMap::new();
        let mut sequence = 0;
        while !self.ended.load(Ordering::Relaxed) {
            let next = waiting.first_key_value().map(|((due, _), _)| *due);
            let wait = next.map_or(PATIENCE, |due| due.saturating_duration_since(Instant::now()));
            match deliveries.recv_timeout(wait.min(PATIENCE)) {
                Ok(delivery) => {
                    sequence += 1;
                    waiting.insert((delivery.due, sequence), delivery);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            while waiting.first_key_value().is_some_and(|((due, _), _)| *due <= Instant::now()) {
                let Some((_, delivery)) = waiting.pop_first() else { return };
                if self.cut.load(Ordering::SeqCst) {
                    continue;
                }
                // A full buffer or an ICMP error: lost, as on a real path.
                let _ = match delivery.through {
                    Route::Server(flow) => flow.send(&delivery.bytes),
                    Route::Dialer(dialer) => self.near.send_to(&delivery.bytes, dialer),
                };
            }
        }
    }
}

/// The loopback address of the same family.
pub fn loopback(addr: SocketAddr) -> IpAddr {
    match addr {
        SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
    }
}
