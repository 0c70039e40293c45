//! The protocols that every node serves (shell). SPEC §7.

pub(crate) mod drain;
pub(crate) mod identify;
pub(crate) mod message;
pub(crate) mod ping;
pub(crate) mod reach;
mod seen;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use pinhole_proto::message::{Deliver, Exchange, Identify, Ping, Reach};
use pinhole_proto::{Protocol, StreamCode, decode, encode};
use pinhole_transport::{IdempotentProtocol, StreamError};

pub(crate) use self::message::Inbox;
use crate::error::RequestError;
use crate::inner::Inner;
use crate::stream::Stream;

/// A protocol that is served without being registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Builtin {
    Ping,
    Identify,
    Message,
    Drain,
    Reach,
}

impl Builtin {
    pub(crate) const ALL: [Self; 5] =
        [Self::Ping, Self::Identify, Self::Message, Self::Drain, Self::Reach];

    pub(crate) const fn protocol(self) -> Protocol {
        match self {
            Self::Ping => Ping::PROTOCOL,
            Self::Identify => Identify::PROTOCOL,
            Self::Message => Deliver::PROTOCOL,
            Self::Drain => drain::PROTOCOL,
            Self::Reach => Reach::PROTOCOL,
        }
    }

    pub(crate) fn find(protocol: &Protocol) -> Option<Self> {
        Self::ALL.into_iter().find(|builtin| builtin.protocol() == *protocol)
    }

    /// The longest frame, in either direction.
    pub(crate) fn frame_limit(self) -> usize {
        match self {
            Self::Ping => frame_limit::<Ping>(),
            Self::Identify => frame_limit::<Identify>(),
            Self::Message => frame_limit::<Deliver>(),
            Self::Drain => 0,
            Self::Reach => frame_limit::<Reach>(),
        }
    }

    /// Those that may be asked on early data. Not `identify/1`: its answer depends on who asks.
    pub(crate) fn idempotent() -> impl Iterator<Item = IdempotentProtocol> {
        [IdempotentProtocol::new(Ping::PROTOCOL, frame_limit::<Ping>())].into_iter()
    }
}

pub(crate) const fn frame_limit<E: Exchange>() -> usize {
    if E::REQUEST_LIMIT > E::REPLY_LIMIT { E::REQUEST_LIMIT } else { E::REPLY_LIMIT }
}

pub(crate) async fn serve(builtin: Builtin, inner: Arc<Inner>, stream: Stream) {
    match builtin {
        Builtin::Ping => ping::serve(stream).await,
        Builtin::Identify => identify::serve(&inner, stream).await,
        Builtin::Message => message::serve(&inner, stream).await,
        Builtin::Drain => drain::serve(&inner, stream).await,
        Builtin::Reach => reach::serve(&inner, stream).await,
    }
}

/// Serves one request of an idempotent protocol of the application on an ordinary stream.
pub(crate) async fn serve_request(mut stream: Stream, answer: &AnswerFn) {
    let Ok(Some(request)) = stream.recv().await else {
        return stream.refuse(StreamCode::Malformed);
    };
    let reply = answer(request).await;
    if stream.send(&reply).await.is_ok() {
        // An error says that the peer has gone.
        let _ = stream.end().await;
    }
}

type AnswerFn = Arc<dyn Fn(Vec<u8>) -> Pin<Box<dyn Future<Output = Vec<u8>> + Send>> + Send + Sync>;

/// The request of a built-in protocol; refuses the stream if there is none.
async fn receive<E: Exchange>(mut stream: Stream) -> Option<(E::Request, Stream)> {
    let frame = match stream.recv().await {
        Ok(Some(frame)) => frame,
        Ok(None) => {
            stream.refuse(StreamCode::Malformed);
            return None;
        }
        Err(_) => return None,
    };
    let fault = if frame.len() > E::REQUEST_LIMIT {
        StreamCode::FrameTooLarge
    } else {
        match decode(&frame) {
            Ok(request) => return Some((request, stream)),
            Err(error) => error.code(),
        }
    };
    stream.refuse(fault);
    None
}

/// Answers and ends the stream. Errors say that the peer has gone.
async fn reply<E: Exchange>(mut stream: Stream, reply: &E::Reply) {
    match encode(reply, E::REPLY_LIMIT) {
        Ok(frame) => {
            let sent = async {
                stream.send(&frame).await?;
                stream.end().await
            };
            let _ = sent.await;
        }
        Err(error) => {
            tracing::error!(%error, protocol = %E::PROTOCOL, "a reply does not fit its limit");
            stream.refuse(StreamCode::Internal);
        }
    }
}

/// Sends the request of a built-in protocol and waits for its reply.
pub(crate) async fn ask<E: Exchange>(
    mut stream: Stream,
    request: &E::Request,
) -> Result<E::Reply, RequestError> {
    let frame = encode(request, E::REQUEST_LIMIT)
        .map_err(|error| RequestError::Invalid(error.to_string()))?;
    let reply = exchange(&mut stream, &frame).await?;
    if reply.len() > E::REPLY_LIMIT {
        return Err(RequestError::Invalid(format!("{} bytes are too many", reply.len())));
    }
    decode(&reply).map_err(|error| RequestError::Invalid(error.to_string()))
}

/// One frame there, one frame back.
pub(crate) async fn exchange(stream: &mut Stream, frame: &[u8]) -> Result<Vec<u8>, RequestError> {
    stream.send(frame).await?;
    stream.finish().await?;
    match stream.recv_only().await {
        Err(StreamError::Ended) => Err(RequestError::NoReply),
        reply => Ok(reply?),
    }
}
