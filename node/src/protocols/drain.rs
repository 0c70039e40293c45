//! `drain/1`: the acceptor of a duplicate connection uses it no more. SPEC §7.5.
//!
//! An empty stream from the acceptor to the dialer. It is sent after the last stream that either end
//! opened has ended on the acceptor's side, so that the dialer can close the connection and
//! nothing that was sent on it is lost.

use std::sync::Arc;

use pinhole_proto::Protocol;

use crate::driver::Request;
use crate::inner::Inner;
use crate::link::Link;
use crate::stream::Stream;

pub(crate) const PROTOCOL: Protocol = Protocol::from_static("drain/1");

pub(super) async fn serve(inner: &Inner, mut stream: Stream) {
    let link = stream.link_id();
    // Whatever came of the rest of the stream, its header said all there is to say.
    let _ = stream.end().await;
    drop(stream);
    // An error says that the driver has ended, and with it everything else.
    let _ = inner.requests.send(Request::Drained(link)).await;
}

/// Says it. If that fails, the dialer closes the link when its time is over.
pub(crate) async fn say(link: Arc<Link>) {
    let said = async {
        let mut stream = link.connection.open(&PROTOCOL, 0).await?;
        stream.end().await?;
        stream.finished().await
    };
    if let Err(error) = said.await {
        tracing::debug!(%error, "could not say that a duplicate is drained");
    }
}
