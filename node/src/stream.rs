//! A stream that counts as use of its connection.

use std::sync::Arc;

use pinhole_proto::{PeerId, Protocol, StreamCode};
use pinhole_transport::{Connection, StreamError};

use crate::link::InUse;
use crate::peers::LinkId;

/// Frames to and from a peer, for one protocol. Sending waits while the peer or the network is slow.
/// Dropping a stream that was not finished gives it up, and the peer sees that it was cancelled.
#[derive(Debug)]
pub struct Stream {
    inner: pinhole_transport::Stream,
    in_use: InUse,
}

impl Stream {
    pub(crate) fn new(inner: pinhole_transport::Stream, in_use: InUse) -> Self {
        Self { inner, in_use }
    }

    pub(crate) fn connection(&self) -> &Connection {
        self.inner.connection()
    }

    pub(crate) fn link_id(&self) -> LinkId {
        LinkId(self.connection().id())
    }

    /// What it is for.
    #[must_use]
    pub fn protocol(&self) -> &Protocol {
        self.inner.protocol()
    }

    /// The peer at the other end.
    #[must_use]
    pub fn peer(&self) -> PeerId {
        self.inner.peer()
    }

    /// Sends one frame; returns once the connection has taken all of it, which is how a slow
    /// reader slows a fast writer down. Not cancel safe.
    ///
    /// # Errors
    /// [`StreamError`]: refused by the peer, longer than the protocol's limit, connection gone.
    pub async fn send(&mut self, frame: &[u8]) -> Result<(), StreamError> {
        self.inner.send(frame).await
    }

    /// The next frame; `None` when the peer has finished. Cancel safe.
    ///
    /// # Errors
    /// [`StreamError`]: refused by the peer, not a valid frame, connection gone.
    pub async fn recv(&mut self) -> Result<Option<Vec<u8>>, StreamError> {
        self.inner.recv().await
    }

    /// The only frame of the peer's direction, once that has ended: the whole of a request or a
    /// reply. The stream is refused as malformed if there is more or none.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn recv_only(&mut self) -> Result<Vec<u8>, StreamError> {
        self.inner.recv_only().await
    }

    /// Ends our direction and waits until the peer has ended its own.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn end(&mut self) -> Result<(), StreamError> {
        self.inner.end().await
    }

    /// Ends our direction; what was sent still arrives.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn finish(&mut self) -> Result<(), StreamError> {
        self.inner.finish().await
    }

    /// Waits until the peer has acknowledged all that was sent before
    /// [`finish`](Self::finish).
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn finished(&mut self) -> Result<(), StreamError> {
        self.inner.finished().await
    }

    /// Gives up both directions and tells the peer why.
    pub fn refuse(self, code: StreamCode) {
        self.inner.refuse(code);
    }

    /// Streams of a connection with a higher number are sent first; 0 is the default.
    pub fn set_priority(&self, priority: i32) {
        self.inner.set_priority(priority);
    }

    /// The two directions, to be used by two tasks.
    #[must_use]
    pub fn split(self) -> (SendHalf, RecvHalf) {
        let in_use = Arc::new(self.in_use);
        let (send, recv) = self.inner.split();
        (
            SendHalf { inner: send, _in_use: in_use.clone() },
            RecvHalf { inner: recv, _in_use: in_use },
        )
    }
}

/// The sending direction of a [`Stream`].
#[derive(Debug)]
pub struct SendHalf {
    inner: pinhole_transport::SendHalf,
    _in_use: Arc<InUse>,
}

impl SendHalf {
    /// As [`Stream::send`].
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn send(&mut self, frame: &[u8]) -> Result<(), StreamError> {
        self.inner.send(frame).await
    }

    /// Sends bytes as they are, for protocols that frame their bulk data themselves.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn write_all(&mut self, bytes: &[u8]) -> Result<(), StreamError> {
        self.inner.write_all(bytes).await
    }

    /// As [`Stream::finish`].
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn finish(&mut self) -> Result<(), StreamError> {
        self.inner.finish().await
    }

    /// As [`Stream::finished`].
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn finished(&mut self) -> Result<(), StreamError> {
        self.inner.finished().await
    }
}

/// The receiving direction of a [`Stream`].
#[derive(Debug)]
pub struct RecvHalf {
    inner: pinhole_transport::RecvHalf,
    _in_use: Arc<InUse>,
}

impl RecvHalf {
    /// As [`Stream::recv`].
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn recv(&mut self) -> Result<Option<Vec<u8>>, StreamError> {
        self.inner.recv().await
    }

    /// Bytes as they come, at most `most` of them; `None` when the peer has finished. Cancel safe.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn read(&mut self, most: usize) -> Result<Option<Vec<u8>>, StreamError> {
        Ok(self.inner.read_chunk(most).await?.map(Vec::from))
    }

    /// Tells the peer to stop sending.
    pub fn stop(&mut self, code: StreamCode) {
        self.inner.stop(code);
    }
}
