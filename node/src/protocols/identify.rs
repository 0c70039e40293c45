//! `identify/1`: what we are, and what we see of the peer. SPEC §7.3.

use std::net::SocketAddr;

use pinhole_proto::message::{Identify, IdentifyReply};
use pinhole_proto::{List, Text};

use super::Builtin;
use crate::addrs;
use crate::inner::Inner;
use crate::stream::Stream;

pub(super) async fn serve(inner: &Inner, stream: Stream) {
    let Some((_, stream)) = super::receive::<Identify>(stream).await else { return };
    let seen = stream.connection().remote_addr();
    let reply = IdentifyReply {
        agent: Text::new(inner.agent.as_str()).unwrap_or_default(),
        observed: SocketAddr::new(seen.ip().to_canonical(), seen.port()),
        listen: List::of_first(addrs::dialable(&inner.listen)),
        protocols: List::of_first(
            Builtin::ALL.iter().map(|b| b.protocol()).chain(inner.registry.protocols().cloned()),
        ),
    };
    super::reply::<Identify>(stream, &reply).await;
}
