//! Frames over one bidirectional QUIC stream (shell), SPEC §6.

use std::{
    borrow::Cow,
    future::{Future, poll_fn},
    pin::pin,
    task::{Context, Poll, Waker, ready},
};

use bytes::{Buf, Bytes};
use pinhole_proto::{
    FrameDecoder, HEADER_LIMIT, PeerId, Protocol, StreamCode, StreamHeader, encode_frame, frame_len,
};
use quinn::{ReadError, RecvStream, SendStream, VarInt, WriteError};

use crate::{Connection, StreamError, connection::var_int};

/// Chunks that are taken from QUIC at a time. QUIC tells the end of a stream along with the last
/// chunk if there was room for one more.
const READ_CHUNKS: usize = 2;

/// A stream that the peer opened, before its header was read.
#[derive(Debug)]
pub struct Offer(Box<Io>);

/// Both directions of a stream. Boxed, because streams are moved from task to task and through the
/// futures of those who handle them.
#[derive(Debug)]
struct Io {
    send: Sender,
    recv: Receiver,
    connection: Connection,
}

impl Io {
    fn new(connection: Connection, send: Sender, recv: Receiver) -> Box<Self> {
        Box::new(Self { send, recv, connection })
    }

    fn refuse(&mut self, code: StreamCode) {
        self.send.refuse(&mut self.recv, code);
    }
}

impl Offer {
    pub(crate) fn new(connection: Connection, send: SendStream, recv: RecvStream) -> Self {
        let (send, recv) = (Sender::new(send, usize::MAX), Receiver::new(recv, HEADER_LIMIT));
        Self(Io::new(connection, send, recv))
    }

    /// Reads the header, which names the protocol. The stream then has the frame limit that
    /// `limit` gives for it; `None` refuses the stream as of an unknown protocol.
    ///
    /// # Errors
    /// [`StreamError`] if the header is not valid, the peer gave up, or the protocol is unknown.
    pub async fn open(
        mut self,
        limit: impl FnOnce(&Protocol) -> Option<usize>,
    ) -> Result<Stream, StreamError> {
        let protocol = match self.0.recv.header().await {
            Ok(protocol) => protocol,
            Err(error) => {
                self.0.refuse(self.0.recv.refused.unwrap_or(StreamCode::Malformed));
                return Err(error);
            }
        };
        let Some(limit) = limit(&protocol) else {
            self.0.refuse(StreamCode::UnknownProtocol);
            return Err(StreamError::Refused(StreamCode::UnknownProtocol));
        };
        self.0.recv.set_limit(limit);
        self.0.send.limit = limit;
        Ok(Stream { protocol, io: self.0 })
    }

    /// Refuses the stream without reading its header.
    pub fn refuse(mut self, code: StreamCode) {
        self.0.refuse(code);
    }
}

/// A stream of frames for one protocol. Sending waits while the peer or the network is slow.
/// Dropping it gives the stream up: the peer sees [`StreamCode::Cancelled`] unless it was
/// finished.
#[derive(Debug)]
pub struct Stream {
    protocol: Protocol,
    io: Box<Io>,
}

impl Stream {
    pub(crate) fn opened(
        connection: Connection,
        send: SendStream,
        recv: RecvStream,
        protocol: &Protocol,
        limit: usize,
    ) -> Self {
        let mut send = Sender::new(send, limit);
        send.queue_header(protocol);
        let io = Io::new(connection, send, Receiver::new(recv, limit));
        Self { protocol: protocol.clone(), io }
    }

    /// The protocol that the header named.
    pub fn protocol(&self) -> &Protocol {
        &self.protocol
    }

    /// The peer at the other end.
    pub fn peer(&self) -> PeerId {
        self.io.connection.peer()
    }

    /// The connection that carries the stream.
    pub fn connection(&self) -> &Connection {
        &self.io.connection
    }

    /// Sends one frame; returns once QUIC has taken all of it.
    ///
    /// # Errors
    /// See [`StreamError`]. A call that is cancelled has not sent the frame, or has taken it: then it
    /// leaves with the next call.
    pub async fn send(&mut self, frame: &[u8]) -> Result<(), StreamError> {
        self.io.send.send(frame).await
    }

    /// The next frame; `None` when the peer has finished. Cancel safe.
    ///
    /// # Errors
    /// See [`StreamError`].
    pub async fn recv(&mut self) -> Result<Option<Vec<u8>>, StreamError> {
        self.io.send.flush().await?;
        let received = self.io.recv.recv().await;
        if let Some(code) = self.io.recv.refused {
            self.io.send.reset(code); // an answer to something unreadable would mislead
        }
        received
    }

    /// The only frame of the peer's direction, once that has ended: what an exchange of one request
    /// and one reply gets (SPEC §7.1). The stream is refused as malformed if there is more or none.
    ///
    /// # Errors
    /// See [`StreamError`].
    pub async fn recv_only(&mut self) -> Result<Vec<u8>, StreamError> {
        self.io.send.flush().await?;
        let received = self.io.recv.recv_only().await;
        if let Some(code) = self.io.recv.refused {
            self.io.send.reset(code);
        }
        received
    }

    /// Ends our direction and waits until the peer has ended its own, so that neither is given up.
    ///
    /// # Errors
    /// [`StreamError::Invalid`] if the peer sends another frame. See [`StreamError`].
    pub async fn end(&mut self) -> Result<(), StreamError> {
        self.finish().await?;
        self.io.recv.end().await
    }

    /// Ends our direction; frames that were sent still arrive.
    ///
    /// # Errors
    /// See [`StreamError`].
    pub async fn finish(&mut self) -> Result<(), StreamError> {
        self.io.send.finish().await
    }

    /// Waits until the peer has acknowledged all that was sent before `finish`.
    ///
    /// # Errors
    /// See [`StreamError`].
    pub async fn finished(&mut self) -> Result<(), StreamError> {
        self.io.send.finished().await
    }

    /// Gives up both directions and tells the peer why.
    pub fn refuse(mut self, code: StreamCode) {
        self.io.send.refuse(&mut self.io.recv, code);
    }

    /// Streams with a higher number are sent first; 0 is the default.
    pub fn set_priority(&self, priority: i32) {
        // An error says only that the stream is already over.
        let _ = self.io.send.stream.set_priority(priority);
    }

    /// The two directions, to be used by two tasks.
    pub fn split(self) -> (SendHalf, RecvHalf) {
        let Io { send, recv, connection } = *self.io;
        (
            SendHalf { sender: send, _connection: connection.clone() },
            RecvHalf { receiver: recv, connection },
        )
    }
}

/// The sending direction of a [`Stream`].
#[derive(Debug)]
pub struct SendHalf {
    sender: Sender,
    /// Keeps the connection open.
    _connection: Connection,
}

impl SendHalf {
    /// As [`Stream::send`].
    ///
    /// # Errors
    /// See [`StreamError`].
    pub async fn send(&mut self, frame: &[u8]) -> Result<(), StreamError> {
        self.sender.send(frame).await
    }

    /// Sends bytes as they are, for protocols that frame their bulk data themselves.
    ///
    /// # Errors
    /// See [`StreamError`].
    pub async fn write_all(&mut self, bytes: &[u8]) -> Result<(), StreamError> {
        self.sender.flush().await?;
        self.sender.stream.write_all(bytes).await.map_err(write_error)
    }

    /// Ends this direction.
    ///
    /// # Errors
    /// See [`StreamError`].
    pub async fn finish(&mut self) -> Result<(), StreamError> {
        self.sender.finish().await
    }

    /// Waits until the peer has acknowledged all that was sent before `finish`.
    ///
    /// # Errors
    /// See [`StreamError`].
    pub async fn finished(&mut self) -> Result<(), StreamError> {
        self.sender.finished().await
    }
}

/// The receiving direction of a [`Stream`].
#[derive(Debug)]
pub struct RecvHalf {
    receiver: Receiver,
    connection: Connection,
}

impl RecvHalf {
    /// As [`Stream::recv`].
    ///
    /// # Errors
    /// See [`StreamError`].
    pub async fn recv(&mut self) -> Result<Option<Vec<u8>>, StreamError> {
        self.receiver.recv().await
    }

    /// Bytes as they come, at most `max`; `None` when the peer has finished. Cancel safe.
    ///
    /// # Errors
    /// See [`StreamError`].
    pub async fn read_chunk(&mut self, max: usize) -> Result<Option<Bytes>, StreamError> {
        if let Some(chunk) = self.receiver.unread.iter_mut().find(|chunk| !chunk.is_empty()) {
            return Ok(Some(chunk.split_to(max.min(chunk.len()))));
        }
        let chunk = self.receiver.stream.read_chunk(max, true).await.map_err(read_error)?;
        Ok(chunk.map(|chunk| chunk.bytes))
    }

    /// Tells the peer to stop sending.
    pub fn stop(&mut self, code: StreamCode) {
        // An error says only that the stream is already over.
        let _ = self.receiver.stream.stop(var_int(code.code()));
    }

    /// The peer at the other end.
    pub fn peer(&self) -> PeerId {
        self.connection.peer()
    }
}

/// Frames out.
#[derive(Debug)]
pub(crate) struct Sender {
    stream: SendStream,
    limit: usize,
    /// The header, until it leaves with the first frame.
    header: Option<StreamHeader>,
    /// What QUIC did not take yet.
    unsent: Bytes,
    finished: bool,
}

impl Sender {
    pub(crate) fn new(stream: SendStream, limit: usize) -> Self {
        Self { stream, limit, header: None, unsent: Bytes::new(), finished: false }
    }

    pub(crate) fn queue_header(&mut self, protocol: &Protocol) {
        self.header = Some(StreamHeader::new(protocol.clone()));
    }

    pub(crate) async fn send(&mut self, frame: &[u8]) -> Result<(), StreamError> {
        if frame.len() > self.limit {
            return Err(StreamError::TooLong { len: frame.len(), limit: self.limit });
        }
        self.write().await?; // what a call that was cancelled left
        self.queue(Some(frame));
        self.write().await
    }

    /// Sends the header, if no frame has taken it along.
    async fn flush(&mut self) -> Result<(), StreamError> {
        if self.header.is_some() {
            self.queue(None);
        }
        self.write().await
    }

    /// Makes the header, if it is still here, and a frame into one piece.
    fn queue(&mut self, frame: Option<&[u8]>) {
        let header_len = self.header.as_ref().map_or(0, StreamHeader::frame_len);
        let len = frame.map_or(0, |frame| frame_len(frame.len()));
        // No byte more than needed: QUIC then takes the buffer as it is.
        let mut bytes = Vec::with_capacity(header_len + len);
        if let Some(header) = self.header.take() {
            header.encode_frame(&mut bytes);
        }
        if let Some(frame) = frame {
            encode_frame(frame, &mut bytes);
        }
        self.unsent = bytes.into();
    }

    async fn write(&mut self) -> Result<(), StreamError> {
        poll_fn(|context| self.poll_write(context)).await
    }

    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        while !self.unsent.is_empty() {
            // As in `poll_read` of the receiver, the future keeps nothing.
            let piece = std::slice::from_mut(&mut self.unsent);
            ready!(pin!(self.stream.write_chunks(piece)).poll(context)).map_err(write_error)?;
        }
        Poll::Ready(Ok(()))
    }

    pub(crate) fn refuse(&mut self, receiver: &mut Receiver, code: StreamCode) {
        refuse(&mut self.stream, &mut receiver.stream, code);
    }

    fn reset(&mut self, code: StreamCode) {
        if !std::mem::replace(&mut self.finished, true) {
            // An error says only that the stream is already over.
            let _ = self.stream.reset(var_int(code.code()));
        }
    }

    pub(crate) async fn finish(&mut self) -> Result<(), StreamError> {
        self.flush().await?;
        self.finished = true;
        self.stream.finish().map_err(|_| StreamError::Finished)
    }

    async fn finished(&mut self) -> Result<(), StreamError> {
        match self.stream.stopped().await {
            Ok(None) => Ok(()),
            Ok(Some(code)) => Err(refused(code)),
            Err(quinn::StoppedError::ZeroRttRejected) => Err(StreamError::EarlyDataRejected),
            Err(quinn::StoppedError::ConnectionLost(error)) => {
                Err(StreamError::Closed(error.into()))
            }
        }
    }
}

impl Drop for Sender {
    /// quinn would finish a dropped stream, as if all had been said.
    fn drop(&mut self) {
        self.reset(StreamCode::Cancelled);
    }
}

/// Frames in.
#[derive(Debug)]
pub(crate) struct Receiver {
    stream: RecvStream,
    frames: FrameDecoder,
    /// Chunks that QUIC gave and the decoder did not take yet, in order.
    unread: [Bytes; READ_CHUNKS],
    /// Why we told the peer to stop, if we did.
    pub(crate) refused: Option<StreamCode>,
    /// The end of the stream was read.
    ended: bool,
}

impl Receiver {
    pub(crate) fn new(stream: RecvStream, limit: usize) -> Self {
        Self {
            stream,
            frames: FrameDecoder::new(limit),
            unread: Default::default(),
            refused: None,
            ended: false,
        }
    }

    pub(crate) fn set_limit(&mut self, limit: usize) {
        self.frames.set_limit(limit);
    }

    pub(crate) async fn header(&mut self) -> Result<Protocol, StreamError> {
        let header =
            poll_fn(|context| self.poll_frame(context, |body| StreamHeader::decode(&body)));
        let header = header.await?.ok_or(StreamError::Ended)?;
        Ok(header.map_err(|error| StreamError::Invalid(error.to_string()))?.protocol)
    }

    pub(crate) async fn recv(&mut self) -> Result<Option<Vec<u8>>, StreamError> {
        poll_fn(|context| self.poll_frame(context, |body| body.into_owned())).await
    }

    /// What `read` makes of the next frame; `None` at the end of the stream.
    fn poll_frame<T>(
        &mut self,
        context: &mut Context<'_>,
        read: impl Fn(Cow<'_, [u8]>) -> T,
    ) -> Poll<Result<Option<T>, StreamError>> {
        loop {
            if let Some(frame) = self.next_frame(&read)? {
                return Poll::Ready(Ok(Some(frame)));
            }
            if !ready!(self.poll_read(context))? {
                return Poll::Ready(self.at_end().map(|()| None));
            }
        }
    }

    /// The next frame, if all of it was read.
    fn next_frame<T>(
        &mut self,
        read: impl Fn(Cow<'_, [u8]>) -> T,
    ) -> Result<Option<T>, StreamError> {
        for chunk in &mut self.unread {
            let mut input = &chunk[..];
            let frame = self.frames.next_borrowed(&mut input).map(|frame| frame.map(&read));
            let taken = chunk.len() - input.len();
            chunk.advance(taken);
            match frame {
                Ok(Some(frame)) => return Ok(Some(frame)),
                Ok(None) => {}
                Err(error) => {
                    // An error says only that the stream is already over.
                    let _ = self.stream.stop(var_int(error.code().code()));
                    self.refused = Some(error.code());
                    return Err(StreamError::Invalid(error.to_string()));
                }
            }
        }
        Ok(None)
    }

    /// Fills `unread`, of which nothing is left; false at the end of the stream.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Result<bool, StreamError>> {
        // quinn keeps nothing in the future that it returns, so each poll may have a new one.
        let read = pin!(self.stream.read_chunks(&mut self.unread)).poll(context);
        read.map_ok(|read| read.is_some()).map_err(read_error)
    }

    fn at_end(&mut self) -> Result<(), StreamError> {
        if self.frames.is_between_frames() {
            self.ended = true;
            return Ok(());
        }
        self.refused = Some(StreamCode::Malformed);
        Err(StreamError::Ended)
    }

    pub(crate) async fn recv_only(&mut self) -> Result<Vec<u8>, StreamError> {
        let frame = self.recv().await?;
        if frame.is_some() {
            self.end().await?;
        }
        frame.ok_or_else(|| {
            self.refused = Some(StreamCode::Malformed);
            StreamError::Ended
        })
    }

    /// Waits for the end of the peer's direction.
    pub(crate) async fn end(&mut self) -> Result<(), StreamError> {
        if self.recv().await?.is_none() {
            return Ok(());
        }
        // An error says only that the stream is already over.
        let _ = self.stream.stop(var_int(StreamCode::Malformed.code()));
        self.refused = Some(StreamCode::Malformed);
        Err(StreamError::Invalid("a frame after the last".into()))
    }
}

impl Drop for Receiver {
    /// quinn tells the peer of a dropped stream to stop, even if all but the end was read. The end
    /// is mostly there with the last frame; then it is read, and nothing is sent.
    fn drop(&mut self) {
        if !self.ended {
            let mut context = Context::from_waker(Waker::noop());
            let _ = self.stream.poll_read(&mut context, &mut [0]);
        }
    }
}

pub(crate) fn refuse(send: &mut SendStream, recv: &mut RecvStream, code: StreamCode) {
    // Errors say only that the direction is already over.
    let _ = send.reset(var_int(code.code()));
    let _ = recv.stop(var_int(code.code()));
}

fn refused(code: VarInt) -> StreamError {
    let code = code.into_inner();
    StreamCode::from_code(code).map_or(StreamError::RefusedWith(code), StreamError::Refused)
}

fn write_error(error: WriteError) -> StreamError {
    match error {
        WriteError::Stopped(code) => refused(code),
        WriteError::ConnectionLost(error) => StreamError::Closed(error.into()),
        WriteError::ClosedStream => StreamError::Finished,
        WriteError::ZeroRttRejected => StreamError::EarlyDataRejected,
    }
}

fn read_error(error: ReadError) -> StreamError {
    match error {
        ReadError::Reset(code) => refused(code),
        ReadError::ConnectionLost(error) => StreamError::Closed(error.into()),
        ReadError::ZeroRttRejected => StreamError::EarlyDataRejected,
        ReadError::ClosedStream | ReadError::IllegalOrderedRead => StreamError::Ended,
    }
}
