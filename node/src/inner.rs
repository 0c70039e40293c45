//! What a node's handles and tasks share (shell).

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

use pinhole_proto::{PeerId, Protocol};
use pinhole_transport::{Counters, Endpoint};
use tokio::sync::{broadcast, mpsc};

use crate::admission::SharedAllowlist;
use crate::builder::Limits;
use crate::driver::Request;
use crate::event::Event;
use crate::handler::Registry;
use crate::link::Link;
use crate::protocols::{Builtin, Inbox};

pub(crate) struct Inner {
    pub(crate) id: PeerId,
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) registry: Registry,
    pub(crate) limits: Limits,
    pub(crate) agent: String,
    pub(crate) started: Instant,
    pub(crate) allowlist: Arc<SharedAllowlist>,
    pub(crate) requests: mpsc::Sender<Request>,
    pub(crate) inbox: Option<Inbox>,
    pub(crate) counters: NodeCounters,
    endpoint: Mutex<Bound>,
    /// The kept link of each connected peer.
    links: RwLock<HashMap<PeerId, Arc<Link>>>,
    /// `None` once the node has stopped.
    events: Mutex<Option<broadcast::Sender<Event>>>,
    problems: Mutex<Vec<Problem>>,
}

struct Problem {
    what: String,
    hint: String,
}

/// The endpoint, which gives its sockets back when the node has stopped, whoever still holds a
/// handle.
enum Bound {
    Open(Endpoint),
    /// What is left of it.
    Closed {
        counters: Counters,
        handshake_counter: u64,
    },
}

/// Counters of the node itself.
#[derive(Default)]
pub(crate) struct NodeCounters {
    pub(crate) streams_opened: AtomicU64,
    pub(crate) streams_served: AtomicU64,
    pub(crate) streams_refused: AtomicU64,
    pub(crate) early_served: AtomicU64,
    pub(crate) messages_sent: AtomicU64,
    pub(crate) messages_received: AtomicU64,
    pub(crate) messages_repeated: AtomicU64,
}

/// Problems that `status` shows; the oldest go first.
const MAX_PROBLEMS: usize = 16;

impl Inner {
    #[expect(clippy::too_many_arguments, reason = "called once, by the builder")]
    pub(crate) fn new(
        endpoint: Endpoint,
        registry: Registry,
        limits: Limits,
        agent: String,
        allowlist: Arc<SharedAllowlist>,
        requests: mpsc::Sender<Request>,
        inbox: Option<Inbox>,
        events: broadcast::Sender<Event>,
    ) -> Self {
        Self {
            id: endpoint.peer_id(),
            listen: endpoint.listen_addrs().to_vec(),
            endpoint: Mutex::new(Bound::Open(endpoint)),
            registry,
            limits,
            agent,
            started: Instant::now(),
            allowlist,
            requests,
            inbox,
            counters: NodeCounters::default(),
            links: RwLock::default(),
            events: Mutex::new(Some(events)),
            problems: Mutex::default(),
        }
    }

    /// What the endpoint counted, to its end.
    pub(crate) fn transport_counters(&self) -> Counters {
        match &*lock(&self.endpoint) {
            Bound::Open(endpoint) => endpoint.counters(),
            Bound::Closed { counters, .. } => *counters,
        }
    }

    pub(crate) fn handshake_counter(&self) -> u64 {
        match &*lock(&self.endpoint) {
            Bound::Open(endpoint) => endpoint.counter(),
            Bound::Closed { handshake_counter, .. } => *handshake_counter,
        }
    }

    pub(crate) fn kept(&self, peer: &PeerId) -> Option<Arc<Link>> {
        self.links.read().unwrap_or_else(PoisonError::into_inner).get(peer).cloned()
    }

    pub(crate) fn set_kept(&self, peer: PeerId, link: Option<Arc<Link>>) {
        let mut links = self.links.write().unwrap_or_else(PoisonError::into_inner);
        match link {
            Some(link) => links.insert(peer, link),
            None => links.remove(&peer),
        };
    }

    pub(crate) fn forget_kept(&self) {
        self.links.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// How long a frame of `protocol` may be; `None` if we do not serve it.
    pub(crate) fn frame_limit(&self, protocol: &Protocol) -> Option<usize> {
        Builtin::find(protocol)
            .map(Builtin::frame_limit)
            .or_else(|| self.registry.find(protocol).map(|served| served.limit))
    }

    /// How long a frame on early data may be, whatever its protocol.
    pub(crate) fn early_limit(&self) -> usize {
        let all = Builtin::idempotent().chain(self.registry.idempotent());
        all.map(|protocol| protocol.limit()).max().unwrap_or(0)
    }

    pub(crate) fn emit(&self, event: Event) {
        if let Some(events) = &*lock(&self.events) {
            // An error says that nobody listens.
            let _ = events.send(event);
        }
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Event> {
        match &*lock(&self.events) {
            Some(events) => events.subscribe(),
            None => broadcast::channel(1).1,
        }
    }

    /// Tells of a problem, unless it was told already and is still there.
    pub(crate) fn report(&self, what: String, hint: &str) {
        {
            let mut problems = lock(&self.problems);
            if problems.iter().any(|problem| problem.what == what) {
                return;
            }
            if problems.len() >= MAX_PROBLEMS {
                problems.remove(0);
            }
            problems.push(Problem { what: what.clone(), hint: hint.into() });
        }
        tracing::warn!(what, hint, "problem");
        self.emit(Event::Problem { what, hint: hint.into() });
    }

    /// A problem is there no more.
    pub(crate) fn withdraw(&self, what: &str) {
        lock(&self.problems).retain(|problem| problem.what != what);
    }

    pub(crate) fn problems(&self) -> Vec<String> {
        lock(&self.problems).iter().map(|p| format!("{}; {}", p.what, p.hint)).collect()
    }

    pub(crate) fn count(&self, which: impl FnOnce(&NodeCounters) -> &AtomicU64) {
        which(&self.counters).fetch_add(1, Ordering::Relaxed);
    }

    /// The last event; links, event queue and endpoint end.
    pub(crate) fn end(&self, reason: String) {
        self.emit(Event::Shutdown { reason });
        lock(&self.events).take();
        let counters = self.transport_counters();
        let handshake_counter = self.handshake_counter();
        *lock(&self.endpoint) = Bound::Closed { counters, handshake_counter };
        self.forget_kept();
        if let Some(inbox) = &self.inbox {
            inbox.close();
        }
    }
}

/// Locks; what a panicking task left behind is used as it is, because the node stops anyway.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
