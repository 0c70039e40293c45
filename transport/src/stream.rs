//! Frames over one bidirectional QUIC stream (shell), SPEC §6.

use std::task::{Context, Waker};

use bytes::{Buf, Bytes};
use pinhole_proto::{
    FrameDecoder, HEADER_LIMIT, PeerId, Protocol, StreamCode, StreamHeader, encode_frame, frame_len,
};
use quinn::{ReadError, RecvStream, SendStream, VarInt, WriteError};

use crate::{Connection, StreamError, connection::var_int};

/// Bytes that are taken from QUIC at a time.
const READ_CHUNK: usize = 64 << 10;

/// A stream that the peer opened, before its header was read.
#[derive(Debug)]
pub struct Offer {
    connection: Connection,
    send: SendStream,
    recv: RecvStream,
}

impl Offer {
    pub(crate) fn new(connection: Connection, send: SendStream, recv: RecvStream) -> Self {
        Self { connection, send, recv }
    }

    /// Reads the header, which names the protocol. The stream then has the frame limit that
    /// `limit` gives for it; `None` refuses the stream as of an unknown protocol.
    ///
    /// # Errors
    /// [`StreamError`] if the header is not valid, the peer gave up, or the protocol is unknown.
    pub async fn open(
        self,
        limit: impl FnOnce(&Protocol) -> Option<usize>,
    ) -> Result<Stream, StreamError> {
        let mut recv = Receiver::new(self.recv, HEADER_LIMIT);
        let mut send = Sender::new(self.send, usize::MAX);
        let protocol = match recv.header().await {
            Ok(protocol) => protocol,
            Err(error) => {
                let code = recv.refused.unwrap_or(StreamCode::Malformed);
                send.refuse(&mut recv, code);
                return Err(error);
            }
        };
        let Some(limit) = limit(&protocol) else {
            send.refuse(&mut recv, StreamCode::UnknownProtocol);
            return Err(StreamError::Refused(StreamCode::UnknownProtocol));
        };
        recv.set_limit(limit);
        send.limit = limit;
        let connection = self.connection;
        Ok(Stream {
            protocol,
            send: SendHalf { sender: send, connection: connection.clone() },
            recv: RecvHalf { receiver: recv, connection },
        })
    }

    /// Refuses the stream without reading its header.
    pub fn refuse(mut self, code: StreamCode) {
        refuse(&mut self.send, &mut self.recv, code);
    }
}

/// A stream of frames for one protocol. Sending waits while the peer or the network is slow.
/// Dropping it gives the stream up: the peer sees [`StreamCode::Cancelled`] unless it was
/// finished.
#[derive(Debug)]
pub struct Stream {
    protocol: Protocol,
    send: SendHalf,
    recv: RecvHalf,
}

impl Stream {
    pub(crate) fn opened(
        connection: Connection,
        send: SendStream,
        recv: RecvStream,
        protocol: &Protocol,
        limit: usize,
    ) -> Self {
        let mut sender = Sender::new(send, limit);
        sender.queue_header(protocol);
        let receiver = Receiver::new(recv, limit);
        Self {
            protocol: protocol.clone(),
            send: SendHalf { sender, connection: connection.clone() },
            recv: RecvHalf { receiver, connection },
        }
    }

    /// The protocol that the header named.
    pub fn protocol(&self) -> &Protocol {
        &self.protocol
    }

    /// The peer at the other end.
    pub fn peer(&self) -> PeerId {
        self.send.connection.peer()
    }

    /// The connection that carries the stream.
    pub fn connection(&self) -> &Connection {
        &self.send.connection
    }

    /// Sends one frame; returns once QUIC has taken all of it.
    ///
    /// # Errors
    /// See [`StreamError`]. Not cancel safe: a cancelled frame is sent in part.
    pub async fn send(&mut self, frame: &[u8]) -> Result<(), StreamError> {
        self.send.send(frame).await
    }

    /// The next frame; `None` when the peer has finished. Cancel safe.
    ///
    /// # Errors
    /// See [`StreamError`].
    pub async fn recv(&mut self) -> Result<Option<Vec<u8>>, StreamError> {
        self.send.sender.flush().await?;
        let received = self.recv.recv().await;
        if let Some(code) = self.recv.receiver.refused {
            self.send.sender.reset(code); // an answer to something unreadable would mislead
        }
        received
    }

    /// The only frame of the peer's direction, once that has ended: what an exchange of one request
    /// and one reply gets (SPEC §7.1). The stream is refused as malformed if there is more or none.
    ///
    /// # Errors
    /// See [`StreamError`].
    pub async fn recv_only(&mut self) -> Result<Vec<u8>, StreamError> {
        self.send.sender.flush().await?;
        let received = self.recv.receiver.recv_only().await;
        if let Some(code) = self.recv.receiver.refused {
            self.send.sender.reset(code);
        }
        received
    }

    /// Ends our direction and waits until the peer has ended its own, so that neither is given up.
    ///
    /// # Errors
    /// [`StreamError::Invalid`] if the peer sends another frame. See [`StreamError`].
    pub async fn end(&mut self) -> Result<(), StreamError> {
        self.finish().await?;
        self.recv.receiver.end().await
    }

    /// Ends our direction; frames that were sent still arrive.
    ///
    /// # Errors
    /// See [`StreamError`].
    pub async fn finish(&mut self) -> Result<(), StreamError> {
        self.send.finish().await
    }

    /// Waits until the peer has acknowledged all that was sent before `finish`.
    ///
    /// # Errors
    /// See [`StreamError`].
    pub async fn finished(&mut self) -> Result<(), StreamError> {
        self.send.finished().await
    }

    /// Gives up both directions and tells the peer why.
    pub fn refuse(mut self, code: StreamCode) {
        self.send.sender.refuse(&mut self.recv.receiver, code);
    }

    /// Streams with a higher number are sent first; 0 is the default.
    pub fn set_priority(&self, priority: i32) {
        // An error says only that the stream is already over.
        let _ = self.send.sender.stream.set_priority(priority);
    }

    /// The two directions, to be used by two tasks.
    pub fn split(self) -> (SendHalf, RecvHalf) {
        (self.send, self.recv)
    }
}

/// The sending direction of a [`Stream`].
#[derive(Debug)]
pub struct SendHalf {
    sender: Sender,
    connection: Connection,
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
        match self.sender.stream.stopped().await {
            Ok(None) => Ok(()),
            Ok(Some(code)) => Err(refused(code)),
            Err(quinn::StoppedError::ZeroRttRejected) => Err(StreamError::EarlyDataRejected),
            Err(quinn::StoppedError::ConnectionLost(error)) => {
                Err(StreamError::Closed(error.into()))
            }
        }
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
        let unread = &mut self.receiver.unread;
        if !unread.is_empty() {
            return Ok(Some(unread.split_to(max.min(unread.len()))));
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
    finished: bool,
}

impl Sender {
    pub(crate) fn new(stream: SendStream, limit: usize) -> Self {
        Self { stream, limit, header: None, finished: false }
    }

    pub(crate) fn queue_header(&mut self, protocol: &Protocol) {
        self.header = Some(StreamHeader::new(protocol.clone()));
    }

    pub(crate) async fn send(&mut self, frame: &[u8]) -> Result<(), StreamError> {
        if frame.len() > self.limit {
            return Err(StreamError::TooLong { len: frame.len(), limit: self.limit });
        }
        let header_len = self.header.as_ref().map_or(0, StreamHeader::frame_len);
        // No byte more than needed: QUIC then takes the buffer as it is.
        let mut bytes = Vec::with_capacity(header_len + frame_len(frame.len()));
        if let Some(header) = self.header.take() {
            header.encode_frame(&mut bytes);
        }
        encode_frame(frame, &mut bytes);
        self.stream.write_chunk(bytes.into()).await.map_err(write_error)
    }

    /// Sends the header, if no frame has taken it along.
    async fn flush(&mut self) -> Result<(), StreamError> {
        let Some(header) = self.header.take() else { return Ok(()) };
        let mut bytes = Vec::with_capacity(header.frame_len());
        header.encode_frame(&mut bytes);
        self.stream.write_chunk(bytes.into()).await.map_err(write_error)
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
    /// Bytes that QUIC gave and the decoder did not take yet.
    unread: Bytes,
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
            unread: Bytes::new(),
            refused: None,
            ended: false,
        }
    }

    pub(crate) fn set_limit(&mut self, limit: usize) {
        self.frames.set_limit(limit);
    }

    pub(crate) async fn header(&mut self) -> Result<Protocol, StreamError> {
        let frame = self.recv().await?.ok_or(StreamError::Ended)?;
        let header = StreamHeader::decode(&frame);
        Ok(header.map_err(|error| StreamError::Invalid(error.to_string()))?.protocol)
    }

    pub(crate) async fn recv(&mut self) -> Result<Option<Vec<u8>>, StreamError> {
        loop {
            let mut input = &self.unread[..];
            let frame = self.frames.next(&mut input);
            let read = self.unread.len() - input.len();
            self.unread.advance(read);
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
            match self.stream.read_chunk(READ_CHUNK, true).await.map_err(read_error)? {
                Some(chunk) => self.unread = chunk.bytes,
                None if self.frames.is_between_frames() => {
                    self.ended = true;
                    return Ok(None);
                }
                None => {
                    self.refused = Some(StreamCode::Malformed);
                    return Err(StreamError::Ended);
                }
            }
        }
    }
}

impl Receiver {
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
