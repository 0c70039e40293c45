//! A running node, as the application holds it (shell).

mod view;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pinhole_proto::message::{
    Deliver, Exchange, Identify, IdentifyReply, IdentifyRequest, Kind, Message, MessageId, Outcome,
    Ping, PingBody,
};
use pinhole_proto::{Bytes, Candidate, PeerAddr, PeerId, Protocol};
use pinhole_transport::{IdempotentProtocol, StreamError};
use tokio::sync::{oneshot, watch};

use crate::addrs;
use crate::builder::{Builder, random};
use crate::dial::EarlyRequest;
use crate::driver::Request;
use crate::error::{ConnectError, NodeFailed, OpenError, RequestError, SendError};
use crate::event::{Event, Events, Path};
use crate::info::Connected;
use crate::inner::{Inner, lock};
use crate::link::Link;
use crate::peers::Origin;
use crate::protocols::message::Messages;
use crate::protocols::{self, frame_limit};
use crate::stream::Stream;

/// How often a message is tried while its connection is being replaced by another.
const SEND_TRIES: usize = 3;

/// Streams of control messages go first.
const CONTROL_PRIORITY: i32 = 10;

/// A running node. A handle: clones are the same node, which stops when the last of them is
/// dropped, or with [`close`](Self::close).
#[derive(Clone)]
pub struct Node {
    inner: Arc<Inner>,
    stop: Arc<Stop>,
    closed: watch::Receiver<Option<Result<(), NodeFailed>>>,
    messages: Arc<Mutex<Option<Messages>>>,
}

/// Stops the node when the last handle goes.
pub(crate) struct Stop(watch::Sender<bool>);

impl Stop {
    pub(crate) fn new(stop: watch::Sender<bool>) -> Arc<Self> {
        Arc::new(Self(stop))
    }
}

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.send_replace(true);
    }
}

impl Node {
    /// Settings for a new node.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn new(
        inner: Arc<Inner>,
        stop: Arc<Stop>,
        closed: watch::Receiver<Option<Result<(), NodeFailed>>>,
        messages: Option<Messages>,
    ) -> Self {
        Self { inner, stop, closed, messages: Arc::new(Mutex::new(messages)) }
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.inner
    }

    /// Who this node is.
    #[must_use]
    pub fn id(&self) -> PeerId {
        self.inner.id
    }

    /// The bound addresses.
    #[must_use]
    pub fn listen_addrs(&self) -> &[SocketAddr] {
        &self.inner.listen
    }

    /// The addresses at which this node can be dialed, as far as it knows.
    #[must_use]
    pub fn addrs(&self) -> Vec<Candidate> {
        addrs::dialable(self.listen_addrs())
    }

    /// The same as one text that other nodes take: `PEER@HOST:PORT`.
    #[must_use]
    pub fn addr(&self) -> PeerAddr {
        let candidates = pinhole_proto::List::of_first(self.addrs());
        PeerAddr { peer: self.id(), candidates }
    }

    /// Events from now on.
    #[must_use]
    pub fn events(&self) -> Events {
        Events::new(self.inner.subscribe())
    }

    /// The queue of messages from peers; the first caller gets it. `None` for all others, and if
    /// the builder was not told to take [`messages`](Builder::messages).
    #[must_use]
    pub fn messages(&self) -> Option<Messages> {
        lock(&self.messages).take()
    }

    // Connections

    /// A connection to `to`: the one there is, or a dial. Dials of several callers to the same
    /// peer are one dial.
    ///
    /// # Errors
    /// [`ConnectError`], after [`Limits::dial_timeout`](crate::Limits::dial_timeout) if the peer is
    /// silent.
    pub async fn connect(&self, to: impl Into<PeerAddr>) -> Result<Connected, ConnectError> {
        let link = self.link(to.into()).await?;
        Ok(Connected {
            peer: link.connection.peer(),
            path: Path::Direct,
            addr: link.connection.remote_addr(),
            rtt: link.connection.rtt(),
            dialed: link.connection.dialed(),
        })
    }

    /// As [`connect`](Self::connect), with a time of its own, longer or shorter.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn connect_within(
        &self,
        to: impl Into<PeerAddr>,
        limit: Duration,
    ) -> Result<Connected, ConnectError> {
        let to = to.into();
        let dial = async {
            loop {
                match self.connect(to.clone()).await {
                    Err(ConnectError::NoAnswer) => {}
                    other => return other,
                }
            }
        };
        tokio::time::timeout(limit, dial).await.unwrap_or(Err(ConnectError::NoAnswer))
    }

    /// Makes a peer wanted: it is dialed now, and again whenever it is gone, until
    /// [`disconnect`](Self::disconnect).
    ///
    /// # Errors
    /// [`ConnectError::Refused`] and [`ConnectError::Stopped`].
    pub async fn want(&self, addr: impl Into<PeerAddr>) -> Result<(), ConnectError> {
        let (addr, origin) = (addr.into(), Origin::Cli);
        Ok(self.ask(|reply| Request::Want { addr, origin, reply }).await??)
    }

    /// Closes the connection to `peer`, gives up dials, and wants it no more.
    pub async fn disconnect(&self, peer: PeerId) {
        // An error says that the node has stopped, and then nobody is connected.
        let _ = self.ask(|reply| Request::Disconnect { peer, reply }).await;
    }

    // Streams

    /// Opens a stream to `to` for `protocol`, over the connection there is or a new one. The frame
    /// limit is that of the protocol if this node serves it too, or else
    /// [`Limits::frame_limit`](crate::Limits::frame_limit).
    ///
    /// # Errors
    /// [`OpenError`]. That the peer does not speak the protocol shows when it is used.
    pub async fn open(
        &self,
        to: impl Into<PeerAddr>,
        protocol: &Protocol,
    ) -> Result<Stream, OpenError> {
        let limit = self.inner.frame_limit(protocol).unwrap_or(self.inner.limits.frame_limit);
        self.open_with(to, protocol, limit).await
    }

    /// As [`open`](Self::open), with a limit for frames of both directions, in bytes.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open_with(
        &self,
        to: impl Into<PeerAddr>,
        protocol: &Protocol,
        frame_limit: usize,
    ) -> Result<Stream, OpenError> {
        let to = to.into();
        loop {
            let link = self.link(to.clone()).await?;
            match link.open(protocol, frame_limit).await {
                Some(Ok(stream)) => {
                    self.inner.count(|counters| &counters.streams_opened);
                    return Ok(stream);
                }
                Some(Err(error)) if !self.was_replaced(&link, &error) => return Err(error.into()),
                // It drains or is closed, and another one is kept.
                _ => tokio::task::yield_now().await,
            }
        }
    }

    /// Opens a stream, sends one frame, and waits for one frame.
    ///
    /// # Errors
    /// [`RequestError`], after [`Limits::request_timeout`](crate::Limits::request_timeout) if there is
    /// no reply.
    pub async fn request(
        &self,
        to: impl Into<PeerAddr>,
        protocol: &Protocol,
        frame: &[u8],
    ) -> Result<Vec<u8>, RequestError> {
        let mut stream = self.open(to, protocol).await?;
        self.in_time(protocols::exchange(&mut stream, frame)).await
    }

    /// Sends an idempotent request with the very first datagram to a peer that may never have been
    /// met, so that the reply is there after one round trip. If there is a connection or a dial
    /// already, it is a request like others.
    ///
    /// What leaves so early may be recorded and sent again by others, has no forward secrecy, and
    /// reaches a handler that is not told who asks.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn request_early(
        &self,
        to: impl Into<PeerAddr>,
        protocol: &IdempotentProtocol,
        frame: &[u8],
    ) -> Result<Vec<u8>, RequestError> {
        let addr = to.into();
        let peer = addr.peer;
        let (early_reply, early_answer) = oneshot::channel();
        let early =
            EarlyRequest { protocol: protocol.clone(), body: frame.to_vec(), reply: early_reply };
        let asked =
            async { self.ask(|reply| Request::Connect { addr, early: Some(early), reply }).await? };
        let connected = if self.inner.kept(&peer).is_some() {
            Ok(())
        } else {
            tokio::select! {
                biased;
                Ok(answer) = early_answer => return answer,
                connected = asked => connected.map(drop),
            }
        };
        connected?;
        let mut stream = self.open_with(peer, protocol.protocol(), protocol.limit()).await?;
        self.in_time(protocols::exchange(&mut stream, frame)).await
    }

    // The protocols of every node

    /// The time of a round trip to `to`, handler to handler.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn ping(&self, to: impl Into<PeerAddr>) -> Result<Duration, RequestError> {
        let to = to.into();
        let peer = to.peer;
        let pong = self.ping_once(to).await;
        self.inner.emit(Event::Ping { peer, rtt: pong.as_ref().ok().copied() });
        pong
    }

    async fn ping_once(&self, to: PeerAddr) -> Result<Duration, RequestError> {
        let stream = self.open_with(to, &Ping::PROTOCOL, frame_limit::<Ping>()).await?;
        let body = PingBody { nonce: fresh()? };
        let begin = Instant::now();
        let reply = self.in_time(protocols::ask::<Ping>(stream, &body)).await?;
        if reply.nonce != body.nonce {
            return Err(RequestError::Invalid("it repeats another ping than ours".into()));
        }
        Ok(begin.elapsed())
    }

    /// What a peer says of itself, and at which address it sees us.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn identify(&self, to: impl Into<PeerAddr>) -> Result<IdentifyReply, RequestError> {
        let stream = self.open_with(to, &Identify::PROTOCOL, frame_limit::<Identify>()).await?;
        self.in_time(protocols::ask::<Identify>(stream, &IdentifyRequest {})).await
    }

    /// Sends a message and waits until the receiver's node has it.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn send(
        &self,
        to: impl Into<PeerAddr>,
        kind: Kind,
        body: impl Into<Vec<u8>>,
    ) -> Result<MessageId, SendError> {
        let to = to.into();
        let body = Bytes::new(body)?;
        if kind == Kind::Chat && std::str::from_utf8(&body).is_err() {
            return Err(SendError::NotText);
        }
        let message = Message { id: MessageId(fresh()?), kind, body };
        let receipt = self.in_time(self.deliver(to, &message)).await?;
        match receipt {
            Outcome::Refused(refusal) => Err(SendError::Refused(refusal)),
            _ => {
                self.inner.count(|counters| &counters.messages_sent);
                Ok(message.id)
            }
        }
    }

    /// Tries again when the connection was replaced meanwhile: the receiver knows the message by
    /// its id.
    async fn deliver(&self, to: PeerAddr, message: &Message) -> Result<Outcome, RequestError> {
        let mut tries = 1;
        loop {
            let stream =
                self.open_with(to.clone(), &Deliver::PROTOCOL, frame_limit::<Deliver>()).await?;
            if message.kind == Kind::Control {
                stream.set_priority(CONTROL_PRIORITY);
            }
            match protocols::ask::<Deliver>(stream, message).await {
                Ok(receipt) if receipt.id == message.id => return Ok(receipt.outcome),
                Ok(_) => {
                    return Err(RequestError::Invalid("it is about another message".into()));
                }
                Err(RequestError::Stream(StreamError::Closed(_))) if tries < SEND_TRIES => {
                    tries += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    // Its end

    /// Says that something is wrong that a person may want to mend; it becomes an event and a line of
    /// the status. What the status has already is not told again.
    pub fn report_problem(&self, what: impl Into<String>, hint: &str) {
        self.inner.report(what.into(), hint);
    }

    /// Takes a problem out of the status, by what it was reported with: it is mended.
    pub fn withdraw_problem(&self, what: &str) {
        self.inner.withdraw(what);
    }

    /// Stops the node: streams may go on for a second, connections are closed, tasks end. All
    /// within 5 s. Calling it again, or on another handle, waits for the same end.
    ///
    /// # Errors
    /// [`NodeFailed`] if the node had stopped by itself.
    pub async fn close(&self) -> Result<(), NodeFailed> {
        self.stop.0.send_replace(true);
        self.closed().await
    }

    /// Waits until the node has stopped.
    ///
    /// # Errors
    /// [`NodeFailed`] if it stopped by itself, with the task that failed.
    pub async fn closed(&self) -> Result<(), NodeFailed> {
        let mut closed = self.closed.clone();
        let outcome = match closed.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone(),
            // The runtime was shut down with everything on it.
            Err(_) => None,
        };
        outcome.unwrap_or(Ok(()))
    }

    // What the others stand on

    async fn link(&self, to: PeerAddr) -> Result<Arc<Link>, ConnectError> {
        match self.inner.kept(&to.peer) {
            Some(link) => Ok(link),
            None => self.ask(|reply| Request::Connect { addr: to, early: None, reply }).await?,
        }
    }

    /// Whether a stream failed because its link went away in favour of another one.
    fn was_replaced(&self, link: &Arc<Link>, error: &StreamError) -> bool {
        let kept = self.inner.kept(&link.connection.peer());
        matches!(error, StreamError::Closed(_))
            && kept.is_some_and(|kept| !Arc::ptr_eq(&kept, link))
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<T>) -> Request,
    ) -> Result<T, ConnectError> {
        let (reply, answer) = oneshot::channel();
        let sent = self.inner.requests.send(request(reply)).await;
        sent.map_err(|_| ConnectError::Stopped)?;
        answer.await.map_err(|_| ConnectError::Stopped)
    }

    async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, RequestError>>,
    ) -> Result<T, RequestError> {
        let limit = self.inner.limits.request_timeout;
        tokio::time::timeout(limit, work).await.unwrap_or(Err(RequestError::Timeout(limit)))
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node")
            .field("id", &self.id())
            .field("listen", &self.listen_addrs())
            .finish_non_exhaustive()
    }
}

/// Random bytes that have to be different each time.
fn fresh<const N: usize>() -> Result<[u8; N], RequestError> {
    random().map_err(|error| RequestError::Invalid(error.to_string()))
}
