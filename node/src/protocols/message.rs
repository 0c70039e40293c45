//! `message/1`: a message, acknowledged once the application's queue has it. SPEC §7.4.

use std::sync::Mutex;
use std::time::Duration;

use pinhole_proto::PeerId;
use pinhole_proto::message::{Deliver, Kind, Message, MessageId, Outcome, Receipt, Refusal};
use tokio::sync::mpsc;

use super::seen::Seen;
use crate::inner::{Inner, lock};
use crate::stream::Stream;

/// How long a message may wait for room in the queue, while its sender waits for the receipt.
const QUEUE_TIME: Duration = Duration::from_secs(5);

/// A message from a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct IncomingMessage {
    /// Who sent it.
    pub peer: PeerId,
    /// Its name between the two of us.
    pub id: MessageId,
    /// What it is for.
    pub kind: Kind,
    /// The content; UTF-8 if the kind is chat.
    pub body: Vec<u8>,
}

/// The messages that peers sent. A message was acknowledged to its sender when it entered this
/// queue; while the queue is full, senders wait.
#[derive(Debug)]
pub struct Messages(mpsc::Receiver<IncomingMessage>);

impl Messages {
    /// The next message; `None` once the node has stopped. Cancel safe.
    pub async fn recv(&mut self) -> Option<IncomingMessage> {
        self.0.recv().await
    }
}

/// The node's end of [`Messages`].
pub(crate) struct Inbox {
    queue: Mutex<Option<mpsc::Sender<IncomingMessage>>>,
    seen: Mutex<Seen>,
}

impl Inbox {
    pub(crate) fn new(size: usize) -> (Self, Messages) {
        let (queue, messages) = mpsc::channel(size.max(1));
        (Self { queue: Mutex::new(Some(queue)), seen: Mutex::default() }, Messages(messages))
    }

    pub(crate) fn close(&self) {
        lock(&self.queue).take();
    }

    /// Queues a message once, however often it comes. True if it is new.
    async fn deliver(&self, message: IncomingMessage) -> Result<bool, Refusal> {
        if lock(&self.seen).contains(&message.peer, &message.id) {
            return Ok(false);
        }
        let queue = lock(&self.queue).clone().ok_or(Refusal::NotWanted)?;
        let room = tokio::time::timeout(QUEUE_TIME, queue.reserve()).await;
        let room = room.map_err(|_| Refusal::Full)?.map_err(|_| Refusal::NotWanted)?;
        let new = lock(&self.seen).handle_delivery(message.peer, message.id);
        if new {
            room.send(message);
        }
        Ok(new)
    }
}

pub(super) async fn serve(inner: &Inner, stream: Stream) {
    let Some((message, stream)) = super::receive::<Deliver>(stream).await else { return };
    let id = message.id;
    let outcome = match deliver(inner, stream.peer(), message).await {
        Ok(()) => Outcome::Accepted,
        Err(refusal) => Outcome::Refused(refusal),
    };
    super::reply::<Deliver>(stream, &Receipt { id, outcome }).await;
}

async fn deliver(inner: &Inner, peer: PeerId, message: Message) -> Result<(), Refusal> {
    if message.kind == Kind::Chat && std::str::from_utf8(&message.body).is_err() {
        return Err(Refusal::Body);
    }
    let inbox = inner.inbox.as_ref().ok_or(Refusal::NotWanted)?;
    let Message { id, kind, body } = message;
    let new = inbox.deliver(IncomingMessage { peer, id, kind, body: body.into_vec() }).await?;
    inner.count(|c| if new { &c.messages_received } else { &c.messages_repeated });
    Ok(())
}
