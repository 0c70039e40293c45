//! `ping/1`: is the peer there, and how far away? SPEC §7.2.

use pinhole_proto::message::Ping;

use crate::stream::Stream;

pub(super) async fn serve(stream: Stream) {
    if let Some((body, stream)) = super::receive::<Ping>(stream).await {
        super::reply::<Ping>(stream, &body).await;
    }
}
