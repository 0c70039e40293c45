//! The socket beneath quinn (shell), SPEC §8.1: two quinn endpoints, one that dials and one that
//! accepts, share the real sockets, and neither sees where packets really go.

use std::{
    collections::{HashMap, VecDeque},
    io::{self, IoSliceMut},
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Instant,
};

use quinn::{
    AsyncUdpSocket, UdpPoller,
    udp::{RecvMeta, Transmit},
};

use crate::{
    Admission,
    cid::{CID_LEN, CidKey, Role},
    gate::{Gate, Verdict},
    links::Links,
    lock,
    packet::{self, Kind},
    paths::{self, DialId, Paths, Route},
    pulse::Clock,
};

/// Batches read without a pause while none is for the endpoint that asked.
const READS_PER_POLL: usize = 16;
/// Bytes that wait for the endpoint that is not reading; more are lost, as in a full socket.
const INBOX_BYTES: usize = 1 << 20;
/// Peers whose socket is remembered where several sockets have one address family.
const MAX_ORIGINS: usize = 4096;

/// What the two endpoints share.
pub(crate) struct Shared {
    links: Links,
    version: u32,
    cids: CidKey,
    pub(crate) gate: Arc<Mutex<Gate>>,
    pub(crate) paths: Mutex<Paths>,
    admission: Arc<dyn Admission>,
    /// The role that reads the sockets now. The other gets its datagrams through its inbox.
    reader: Mutex<Role>,
    inboxes: [Mutex<Inbox>; 2],
    watched: AtomicUsize,
    /// The socket to read first: each in turn, so that a busy one does not silence the others.
    next_link: AtomicUsize,
    /// Which socket hears a peer, if more than one could reach it.
    origins: Option<Mutex<HashMap<SocketAddr, usize>>>,
    pub(crate) traffic: Traffic,
    /// Set whenever something was read.
    pub(crate) clock: Arc<Clock>,
}

/// Datagrams and bytes of UDP payload.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) datagrams_sent: AtomicU64,
    pub(crate) bytes_sent: AtomicU64,
    pub(crate) datagrams_received: AtomicU64,
    pub(crate) bytes_received: AtomicU64,
}

#[derive(Default)]
struct Inbox {
    queue: VecDeque<(RecvMeta, Vec<u8>)>,
    bytes: usize,
    waker: Option<Waker>,
}

/// Whose a datagram is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    Nobody,
    /// A connection that we accepted; quinn knows its peer by where the datagram came from.
    Accept,
    /// One that is opening, and that quinn knows by another address.
    AcceptAs(SocketAddr),
    Dial(DialId),
}

impl Owner {
    fn role(self) -> Option<Role> {
        match self {
            Self::Nobody => None,
            Self::Accept | Self::AcceptAs(_) => Some(Role::Accept),
            Self::Dial(_) => Some(Role::Dial),
        }
    }

    /// Shows quinn the address by which it knows the sender.
    fn relabel(self, meta: &mut RecvMeta) {
        match self {
            Self::Dial(id) => {
                meta.addr = paths::synthetic(id);
                meta.dst_ip = None;
            }
            Self::AcceptAs(addr) => meta.addr = addr,
            Self::Accept | Self::Nobody => {}
        }
    }
}

/// What is known of one received batch while it is sorted.
#[derive(Default)]
struct Batch {
    /// Bytes that stay for the endpoint that reads.
    len: usize,
    kept_for: Option<Owner>,
    /// The last short header: most datagrams of a batch belong to one connection.
    last: Option<([u8; CID_LEN], Owner)>,
}

impl Batch {
    fn owner(&mut self, datagram: &[u8], look_up: impl FnOnce(&[u8]) -> Owner) -> Owner {
        let short = datagram.first().is_some_and(|byte| byte & 0xc0 == 0x40);
        let dcid = datagram.get(1..).and_then(|rest| rest.first_chunk().copied());
        match (dcid.filter(|_| short), self.last) {
            (Some(dcid), Some((last, owner))) if dcid == last => owner,
            (Some(dcid), _) => {
                let owner = look_up(datagram);
                self.last = Some((dcid, owner));
                owner
            }
            (None, _) => look_up(datagram),
        }
    }

    /// quinn sees one sender for each batch.
    fn accepts(&mut self, owner: Owner) -> bool {
        *self.kept_for.get_or_insert(owner) == owner
    }
}

impl Shared {
    pub(crate) fn new(
        links: Links,
        version: u32,
        cids: CidKey,
        gate: Arc<Mutex<Gate>>,
        admission: Arc<dyn Admission>,
    ) -> Self {
        let families = |v4: bool| links.addrs().iter().filter(|a| a.is_ipv4() == v4).count();
        let ambiguous = families(true) > 1 || families(false) > 1;
        Self {
            links,
            version,
            cids,
            gate,
            paths: Mutex::new(Paths::new(version)),
            admission,
            reader: Mutex::new(Role::Accept),
            inboxes: Default::default(),
            watched: AtomicUsize::new(0),
            next_link: AtomicUsize::new(0),
            origins: ambiguous.then(Mutex::default),
            traffic: Traffic::default(),
            clock: Arc::new(Clock::new(Instant::now())),
        }
    }

    pub(crate) fn listen_addrs(&self) -> &[SocketAddr] {
        self.links.addrs()
    }

    fn inbox(&self, role: Role) -> &Mutex<Inbox> {
        &self.inboxes[role as usize]
    }

    /// Sends to a real address.
    fn send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let origin = self.origins.as_ref();
        let origin = origin.and_then(|o| lock(o).get(&transmit.destination).copied());
        self.links.try_send(origin, transmit)?;
        let len = transmit.contents.len();
        let datagrams = transmit.segment_size.map_or(1, |size| len.div_ceil(size.max(1)));
        self.traffic.datagrams_sent.fetch_add(datagrams as u64, Ordering::Relaxed);
        self.traffic.bytes_sent.fetch_add(len as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Sends one datagram to a real address; what the socket does not take is lost.
    fn send_lossy(&self, destination: SocketAddr, contents: &[u8]) {
        let transmit =
            Transmit { destination, ecn: None, contents, segment_size: None, src_ip: None };
        if let Err(error) = self.send(&transmit) {
            tracing::trace!(%destination, %error, "datagram not sent");
        }
    }

    /// quinn's dialing endpoint sends to a synthetic address.
    fn send_dialed(&self, id: DialId, transmit: &Transmit<'_>) -> io::Result<()> {
        if let Some(destination) = lock(&self.paths).chosen(id) {
            return self.send(&Transmit { destination, src_ip: None, ..*transmit });
        }
        let now = Instant::now();
        for datagram in datagrams(transmit.contents, transmit.segment_size) {
            let route = lock(&self.paths).handle_transmit(now, id, datagram);
            match route {
                Route::To(addr) => self.send_lossy(addr, datagram),
                Route::Race(addrs) => addrs.iter().for_each(|a| self.send_lossy(*a, datagram)),
                Route::Held => {}
            }
        }
        Ok(())
    }

    /// quinn's accepting endpoint sends to a real address.
    fn send_accepted(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let is_long = transmit.contents.first().is_some_and(|byte| byte & 0x80 != 0);
        if !is_long && self.watched.load(Ordering::Relaxed) == 0 {
            return self.send(transmit);
        }
        let now = Instant::now();
        for datagram in datagrams(transmit.contents, transmit.segment_size) {
            let mut gate = lock(&self.gate);
            let targets = gate.handle_transmit(now, transmit.destination, datagram);
            self.note_watched(&gate);
            drop(gate);
            for destination in targets {
                let (contents, segment_size) = (datagram, None);
                if destination == transmit.destination {
                    self.send(&Transmit { contents, segment_size, ..*transmit })?;
                } else {
                    self.send_lossy(destination, datagram);
                }
            }
        }
        Ok(())
    }

    /// While the gate watches no connection, what leaves need not pass it.
    pub(crate) fn note_watched(&self, gate: &Gate) {
        self.watched.store(gate.watched(), Ordering::Relaxed);
    }

    /// Lets the candidates of a dial start whose time has come; when to come again.
    pub(crate) fn race(&self, id: DialId) -> Option<Instant> {
        let now = Instant::now();
        lock(&self.paths).handle_timeout(now, id);
        self.drain_paths();
        lock(&self.paths).poll_timeout(id)
    }

    fn drain_paths(&self) {
        loop {
            let Some((addr, datagram)) = lock(&self.paths).poll_transmit() else { return };
            self.send_lossy(addr, &datagram);
        }
    }

    fn owner(&self, source: SocketAddr, datagram: &[u8]) -> Owner {
        match packet::classify(datagram, self.version) {
            Kind::Short { dcid } if Role::of(dcid) == Role::Accept => Owner::Accept,
            Kind::Long { dcid, .. }
                if !(Role::of(dcid) == Role::Dial && self.cids.is_ours(dcid)) =>
            {
                let (now, admission) = (Instant::now(), &*self.admission);
                let mut gate = lock(&self.gate);
                let verdict = gate.handle_datagram(now, source, datagram, crate::random, admission);
                self.note_watched(&gate);
                match verdict {
                    Verdict::Pass(known_as) if known_as == source => Owner::Accept,
                    Verdict::Pass(known_as) => Owner::AcceptAs(known_as),
                    Verdict::Drop(reason) => {
                        tracing::trace!(%source, ?reason, "datagram dropped");
                        Owner::Nobody
                    }
                }
            }
            Kind::Short { .. } | Kind::Long { .. } => {
                let id = lock(&self.paths).handle_datagram(source, datagram);
                id.map_or(Owner::Nobody, Owner::Dial)
            }
            Kind::Other => Owner::Nobody,
        }
    }

    /// Sorts one received batch: what is not for `role` leaves it.
    fn sort(&self, role: Role, link: usize, meta: &mut RecvMeta, buffer: &mut [u8]) {
        let (source, len, stride) = (meta.addr, meta.len, meta.stride.max(1));
        self.traffic.bytes_received.fetch_add(len as u64, Ordering::Relaxed);
        self.traffic.datagrams_received.fetch_add(len.div_ceil(stride) as u64, Ordering::Relaxed);
        self.note_origin(source, link);
        let mut batch = Batch::default();
        for at in (0..len).step_by(stride) {
            let end = (at + stride).min(len);
            let owner = batch.owner(&buffer[at..end], |datagram| self.owner(source, datagram));
            if owner.role() == Some(role) && batch.accepts(owner) {
                // A batch for one owner keeps its layout; only after a gap do bytes move. All
                // datagrams of a batch but the last have the same length.
                if batch.len < at {
                    buffer.copy_within(at..end, batch.len);
                }
                batch.len += end - at;
            } else if let Some(other) = owner.role() {
                let mut meta = RecvMeta { len: end - at, stride: end - at, ..*meta };
                owner.relabel(&mut meta);
                self.deliver(other, meta, &buffer[at..end]);
            }
        }
        meta.len = batch.len;
        batch.kept_for.iter().for_each(|owner| owner.relabel(meta));
    }

    fn note_origin(&self, source: SocketAddr, link: usize) {
        let Some(origins) = &self.origins else { return };
        let mut origins = lock(origins);
        if origins.len() >= MAX_ORIGINS {
            origins.clear();
        }
        origins.insert(source, link);
    }

    fn deliver(&self, role: Role, meta: RecvMeta, datagram: &[u8]) {
        let mut inbox = lock(self.inbox(role));
        if inbox.bytes + datagram.len() <= INBOX_BYTES {
            inbox.bytes += datagram.len();
            inbox.queue.push_back((meta, datagram.to_vec()));
        }
    }

    /// Moves datagrams from the inbox of `role` to quinn's buffers; how many.
    fn take_inbox(
        &self,
        role: Role,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> usize {
        let mut inbox = lock(self.inbox(role));
        let mut taken = 0;
        while taken < buffers.len().min(meta.len()) {
            let Some((info, datagram)) = inbox.queue.pop_front() else { break };
            inbox.bytes -= datagram.len();
            if let Some(buffer) = buffers[taken].get_mut(..datagram.len()) {
                buffer.copy_from_slice(&datagram);
                meta[taken] = info;
                taken += 1;
            }
        }
        taken
    }

    fn poll_recv(
        &self,
        role: Role,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        for _ in 0..READS_PER_POLL {
            // The waker is stored before the queue is looked at, so no delivery is missed.
            match &mut lock(self.inbox(role)).waker {
                Some(waker) => waker.clone_from(cx.waker()),
                empty => *empty = Some(cx.waker().clone()),
            }
            let taken = self.take_inbox(role, buffers, meta);
            if taken > 0 {
                return Poll::Ready(Ok(taken));
            }
            if *lock(&self.reader) != role {
                return Poll::Pending;
            }
            match self.read(role, cx, buffers, meta) {
                Poll::Ready(Ok(count)) if meta[..count].iter().all(|m| m.len == 0) => {
                    self.hand_over(role);
                }
                other => return other,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads one batch from the first socket that has one, and sorts it.
    fn read(
        &self,
        role: Role,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let first = self.next_link.fetch_add(1, Ordering::Relaxed);
        for link in (0..self.links.len()).map(|i| (first + i) % self.links.len()) {
            match self.links.poll_recv(link, cx, buffers, meta) {
                Poll::Ready(Ok(count)) => {
                    self.clock.set(Instant::now());
                    for (meta, buffer) in meta[..count].iter_mut().zip(buffers.iter_mut()) {
                        self.sort(role, link, meta, buffer);
                    }
                    self.wake_other(role);
                    return Poll::Ready(Ok(count));
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {}
            }
        }
        Poll::Pending
    }

    fn wake_other(&self, role: Role) {
        let mut inbox = lock(self.inbox(role.other()));
        if !inbox.queue.is_empty()
            && let Some(waker) = inbox.waker.take()
        {
            drop(inbox);
            waker.wake();
        }
    }

    /// If what came was for the other endpoint only, it reads from now on: a one-sided flow then
    /// costs neither a copy nor a second wake-up.
    fn hand_over(&self, role: Role) {
        let mut inbox = lock(self.inbox(role.other()));
        if !inbox.queue.is_empty() || inbox.waker.is_none() {
            *lock(&self.reader) = role.other();
            let waker = inbox.waker.take();
            drop(inbox);
            waker.into_iter().for_each(Waker::wake);
        }
    }
}

/// The datagrams of one transmission.
fn datagrams(contents: &[u8], segment_size: Option<usize>) -> impl Iterator<Item = &[u8]> {
    contents.chunks(segment_size.unwrap_or(contents.len()).max(1))
}

/// The socket as one of the two quinn endpoints sees it.
pub(crate) struct RoleSocket {
    pub(crate) shared: Arc<Shared>,
    pub(crate) role: Role,
}

impl std::fmt::Debug for RoleSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RoleSocket").field("role", &self.role).finish_non_exhaustive()
    }
}

impl Drop for RoleSocket {
    /// The endpoint that stays must not wait for one that no longer reads.
    fn drop(&mut self) {
        *lock(&self.shared.reader) = self.role.other();
        let waker = lock(self.shared.inbox(self.role.other())).waker.take();
        waker.into_iter().for_each(Waker::wake);
    }
}

impl AsyncUdpSocket for RoleSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.shared.links.create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        match paths::dial_id(transmit.destination) {
            Some(id) => self.shared.send_dialed(id, transmit),
            None => self.shared.send_accepted(transmit),
        }
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let received = self.shared.poll_recv(self.role, cx, buffers, meta);
        if self.role == Role::Dial {
            self.shared.drain_paths();
        }
        received
    }

    /// Synthetic addresses are IPv6, whatever the real sockets are.
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(SocketAddr::from(([0u16; 8], 0)))
    }

    fn max_transmit_segments(&self) -> usize {
        self.shared.links.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.shared.links.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.shared.links.may_fragment()
    }
}
