//! `reach/1`: whether we hear a peer that somebody else hears no more. SPEC §7.6.

use std::sync::Arc;
use std::time::Duration;

use pinhole_proto::PeerId;
use pinhole_proto::message::{Exchange, Reach, ReachRequest, Reached};
use tokio::sync::oneshot;

use super::frame_limit;
use crate::driver::Request;
use crate::error::RequestError;
use crate::inner::Inner;
use crate::link::Link;
use crate::peers::Testimony;
use crate::stream::Stream;

/// How long an answer is awaited, packets that are lost on the way included.
const ASK_TIME: Duration = Duration::from_secs(4);

pub(super) async fn serve(inner: &Inner, stream: Stream) {
    let asker = stream.peer();
    let Some((ReachRequest { peer: about }, stream)) = super::receive::<Reach>(stream).await else {
        return;
    };
    let (reply, answer) = oneshot::channel();
    // An error says that the driver has ended, and with it everything else.
    let _ = inner.requests.send(Request::Question { asker, about, reply }).await;
    let reached = answer.await.unwrap_or(Reached::Busy);
    super::reply::<Reach>(stream, &reached).await;
}

/// Asks the peer at the other end of `link` whether it hears `about`.
pub(crate) async fn ask(link: Arc<Link>, about: PeerId) -> Testimony {
    let question = async {
        let stream = link.open(&Reach::PROTOCOL, frame_limit::<Reach>()).await;
        let stream = stream.ok_or(RequestError::NoReply)??;
        super::ask::<Reach>(stream, &ReachRequest { peer: about }).await
    };
    match tokio::time::timeout(ASK_TIME, question).await {
        Ok(Ok(Reached::Heard { .. })) => Testimony::Heard,
        Ok(Ok(Reached::Silent)) => Testimony::Silent,
        // Also who does not know the protocol or does not answer: somebody else may.
        _ => Testimony::Elsewhere,
    }
}
