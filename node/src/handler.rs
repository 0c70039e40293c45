//! What a node serves to its peers.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use pinhole_proto::{PeerId, Protocol};
use pinhole_transport::IdempotentProtocol;

use crate::stream::Stream;

/// Serves the streams of one protocol. Any `async` function or closure of a [`Stream`] and a
/// [`PeerId`] is one.
///
/// Each stream is served in a task of its own; [`Node`](crate::Node)'s limits bound how many run.
/// A handler that gives up a stream drops it, or refuses it with a code; one that is done calls
/// [`finish`](Stream::finish). When the connection is gone the stream's calls fail, and a handler that
/// has not ended ten seconds later is ended. A handler that panics stops the node: a half-dead
/// application is worse than one that says what is wrong.
pub trait Handler: Send + Sync + 'static {
    /// Serves one stream, opened by `peer`.
    fn serve(&self, stream: Stream, peer: PeerId) -> impl Future<Output = ()> + Send;
}

impl<F, Served> Handler for F
where
    F: Fn(Stream, PeerId) -> Served + Send + Sync + 'static,
    Served: Future<Output = ()> + Send,
{
    fn serve(&self, stream: Stream, peer: PeerId) -> impl Future<Output = ()> + Send {
        self(stream, peer)
    }
}

/// Answers the requests of an idempotent protocol. Any `async` function or closure from the
/// request's bytes to the reply's bytes is one.
///
/// It is not told who asks: a request may come as early data, which somebody may have recorded
/// and sent again.
pub trait IdempotentHandler: Send + Sync + 'static {
    /// The reply to one request.
    fn answer(&self, request: Vec<u8>) -> impl Future<Output = Vec<u8>> + Send;
}

impl<F, Answer> IdempotentHandler for F
where
    F: Fn(Vec<u8>) -> Answer + Send + Sync + 'static,
    Answer: Future<Output = Vec<u8>> + Send,
{
    fn answer(&self, request: Vec<u8>) -> impl Future<Output = Vec<u8>> + Send {
        self(request)
    }
}

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A registered protocol.
#[derive(Clone)]
pub(crate) struct Served {
    pub(crate) limit: usize,
    pub(crate) how: How,
}

#[derive(Clone)]
pub(crate) enum How {
    Streams(Arc<dyn Fn(Stream, PeerId) -> Boxed<()> + Send + Sync>),
    Requests(Arc<dyn Fn(Vec<u8>) -> Boxed<Vec<u8>> + Send + Sync>),
}

impl Served {
    pub(crate) fn streams(limit: usize, handler: impl Handler) -> Self {
        let handler = Arc::new(handler);
        let serve = move |stream, peer| -> Boxed<()> {
            let handler = handler.clone();
            Box::pin(async move { handler.serve(stream, peer).await })
        };
        Self { limit, how: How::Streams(Arc::new(serve)) }
    }

    pub(crate) fn requests(limit: usize, handler: impl IdempotentHandler) -> Self {
        let handler = Arc::new(handler);
        let answer = move |request| -> Boxed<Vec<u8>> {
            let handler = handler.clone();
            Box::pin(async move { handler.answer(request).await })
        };
        Self { limit, how: How::Requests(Arc::new(answer)) }
    }
}

/// The application's protocols. Those of every node are not in it.
#[derive(Clone, Default)]
pub(crate) struct Registry(BTreeMap<Protocol, Served>);

impl Registry {
    /// False if the protocol is there already.
    pub(crate) fn add(&mut self, protocol: Protocol, served: Served) -> bool {
        self.0.insert(protocol, served).is_none()
    }

    pub(crate) fn find(&self, protocol: &Protocol) -> Option<&Served> {
        self.0.get(protocol)
    }

    pub(crate) fn protocols(&self) -> impl Iterator<Item = &Protocol> {
        self.0.keys()
    }

    /// The idempotent ones.
    pub(crate) fn idempotent(&self) -> impl Iterator<Item = IdempotentProtocol> {
        self.0
            .iter()
            .filter(|(_, served)| matches!(served.how, How::Requests(_)))
            .map(|(protocol, served)| IdempotentProtocol::new(protocol.clone(), served.limit))
    }
}
