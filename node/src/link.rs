//! One confirmed connection (shell): its use, and the task that serves its streams.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pinhole_proto::{Datagram, Protocol, StreamCode};
use pinhole_transport::{Closed, Connection, Offer, StreamError};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::driver::Request;
use crate::handler::How;
use crate::inner::Inner;
use crate::liveness::Vitals;
use crate::peers::LinkId;
use crate::protocols::{self, Builtin};
use crate::stream::Stream;

/// How long a peer may take for the header of a stream that it opened. SPEC §6.7.
const HEADER_TIME: Duration = Duration::from_secs(10);

/// How long handlers may go on when their connection is gone.
const AFTER_CLOSE: Duration = Duration::from_secs(10);

/// A link counts as active this long after its last use: what was sent may still be on its way.
const ACTIVE: Duration = Duration::from_secs(1);

/// Between two datagrams of a peer that are looked at.
const DATAGRAM_SPACING: Duration = Duration::from_millis(50);

/// A confirmed connection and how it is used.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) connection: Connection,
    active: AtomicU32,
    /// Milliseconds from `epoch` to when a stream last began or ended.
    last_use: AtomicU64,
    epoch: Instant,
    /// The link drains: nothing new is to be opened on it, and `stir` is told when it is unused.
    draining: AtomicBool,
    /// The driver knows that the link is in use, and looks at it now and then.
    watched: AtomicBool,
    stir: Arc<Notify>,
}

impl Link {
    /// `stir` wakes the driver.
    pub(crate) fn new(connection: Connection, epoch: Instant, stir: Arc<Notify>) -> Arc<Self> {
        let link = Self {
            connection,
            active: AtomicU32::new(0),
            last_use: AtomicU64::new(0),
            epoch,
            draining: AtomicBool::new(false),
            watched: AtomicBool::new(false),
            stir,
        };
        link.touch();
        Arc::new(link)
    }

    pub(crate) fn id(&self) -> LinkId {
        LinkId(self.connection.id())
    }

    /// Streams under way, and when one last began or ended.
    pub(crate) fn usage(&self) -> (u32, Instant) {
        let active = self.active.load(Ordering::SeqCst);
        (active, self.epoch + Duration::from_millis(self.last_use.load(Ordering::SeqCst)))
    }

    /// What speaks for the life of the peer. Whoever asks has to ask again while the link is active.
    pub(crate) fn vitals(&self, now: Instant) -> Vitals {
        if !self.is_active(now) {
            self.watched.store(false, Ordering::SeqCst);
        }
        // Looked at again: a use that began before the flag was cleared woke nobody.
        let active = self.is_active(now);
        let vitals = self.connection.vitals();
        Vitals { heard: vitals.heard, waiting: vitals.waiting, active, rtt: vitals.rtt }
    }

    fn is_active(&self, now: Instant) -> bool {
        let (streams, last_use) = self.usage();
        streams > 0 || now.saturating_duration_since(last_use) < ACTIVE
    }

    pub(crate) fn set_draining(&self, draining: bool) {
        self.draining.store(draining, Ordering::SeqCst);
    }

    /// Opens a stream; `None` if the link drains and another has to be taken.
    ///
    /// The count is raised before the flag is read, and the driver sets the flag before it reads the
    /// count: so at least one of them sees the other.
    pub(crate) async fn open(
        self: &Arc<Self>,
        protocol: &Protocol,
        limit: usize,
    ) -> Option<Result<Stream, StreamError>> {
        let in_use = self.begin_use();
        if self.draining.load(Ordering::SeqCst) {
            return None;
        }
        let opened = self.connection.open(protocol, limit).await;
        Some(opened.map(|stream| Stream::new(stream, in_use)))
    }

    fn begin_use(self: &Arc<Self>) -> InUse {
        self.active.fetch_add(1, Ordering::SeqCst);
        self.touch();
        if !self.watched.swap(true, Ordering::SeqCst) {
            self.stir.notify_one();
        }
        InUse(self.clone())
    }

    fn touch(&self) {
        let now = u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_use.fetch_max(now, Ordering::SeqCst);
    }
}

/// As long as it lives, the link counts as used.
#[derive(Debug)]
pub(crate) struct InUse(Arc<Link>);

impl Drop for InUse {
    fn drop(&mut self) {
        self.0.touch();
        let last = self.0.active.fetch_sub(1, Ordering::SeqCst) == 1;
        if last && self.0.draining.load(Ordering::SeqCst) {
            self.0.stir.notify_one();
        }
    }
}

/// Serves a link until it is closed and its handlers have ended. `streams` may hold tasks that
/// began on early data.
pub(crate) async fn run(inner: Arc<Inner>, link: Arc<Link>, mut streams: JoinSet<()>) {
    let closed = accept(&inner, &link, &mut streams).await;
    // An error says that the driver has ended, and with it everything else.
    let _ = inner.requests.send(Request::LinkClosed { link: link.id(), closed }).await;
    drop(link);
    let all = async {
        while let Some(ended) = streams.join_next().await {
            pass_panic(ended)
        }
    };
    // What has not ended by then is aborted when the set is dropped.
    let _ = tokio::time::timeout(AFTER_CLOSE, all).await;
}

async fn accept(inner: &Arc<Inner>, link: &Arc<Link>, streams: &mut JoinSet<()>) -> Closed {
    let datagrams = read_datagrams(inner, link);
    tokio::pin!(datagrams);
    loop {
        tokio::select! {
            Some(ended) = streams.join_next() => pass_panic(ended),
            () = &mut datagrams => return link.connection.closed().await,
            offer = link.connection.accept() => match offer {
                Ok(offer) => {
                    streams.spawn(serve(inner.clone(), offer, link.begin_use()));
                }
                Err(_) => return link.connection.closed().await,
            }
        }
    }
}

/// Tells the driver of the peer's datagrams until the connection is gone. SPEC §10.2.
async fn read_datagrams(inner: &Inner, link: &Link) {
    while let Ok(payload) = link.connection.read_datagram().await {
        let id = link.id();
        let request = match Datagram::decode(&payload) {
            Ok(Datagram::Heartbeat { seconds }) => Request::Announced(id, seconds),
            Ok(Datagram::Rebound) => Request::Rebound(id),
            Err(error) => {
                tracing::debug!(peer = %link.connection.peer().short(), %error, "ignored");
                continue;
            }
        };
        if inner.requests.send(request).await.is_err() {
            return;
        }
        // Those that come faster wait in the connection's small buffer, and the oldest go.
        tokio::time::sleep(DATAGRAM_SPACING).await;
    }
}

/// A handler's panic goes on in the link's task and from there to the driver, which stops the node.
fn pass_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && let Ok(panic) = error.try_into_panic()
    {
        std::panic::resume_unwind(panic);
    }
}

async fn serve(inner: Arc<Inner>, offer: Offer, in_use: InUse) {
    let opened = offer.open(|protocol| inner.frame_limit(protocol));
    let Ok(Ok(stream)) = tokio::time::timeout(HEADER_TIME, opened).await else {
        inner.count(|counters| &counters.streams_refused);
        return;
    };
    inner.count(|counters| &counters.streams_served);
    let stream = Stream::new(stream, in_use);
    match Builtin::find(stream.protocol()) {
        Some(builtin) => protocols::serve(builtin, inner, stream).await,
        None => serve_registered(inner, stream).await,
    }
}

async fn serve_registered(inner: Arc<Inner>, stream: Stream) {
    let Some(served) = inner.registry.find(stream.protocol()) else {
        return stream.refuse(StreamCode::UnknownProtocol);
    };
    match &served.how {
        How::Streams(serve) => {
            let peer = stream.peer();
            serve(stream, peer).await;
        }
        How::Requests(answer) => protocols::serve_request(stream, answer).await,
    }
}
