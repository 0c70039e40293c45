//! A connection that a peer opens, until its dialer is proven live (shell).

use std::sync::Arc;

use pinhole_proto::StreamCode;
use pinhole_transport::{EarlyOffer, Inbound};
use tokio::task::JoinSet;

use super::Ended;
use crate::handler::How;
use crate::inner::Inner;
use crate::protocols::Builtin;

/// Early requests of one inbound connection that are served at a time.
const MAX_EARLY: usize = 16;

/// Serves an inbound connection's idempotent early requests until its dialer is proven live.
pub(super) async fn confirm(inner: Arc<Inner>, inbound: Inbound) -> Ended {
    let mut early = JoinSet::new();
    while let Some(offer) = inbound.accept_early().await {
        while early.try_join_next().is_some() {}
        if early.len() < MAX_EARLY {
            early.spawn(serve_early(inner.clone(), offer));
        } else {
            offer.refuse(StreamCode::Busy);
        }
    }
    let addr = inbound.remote_addr();
    match inbound.confirmed().await {
        Ok(connection) => Ended::Inbound { connection: Some(connection), early },
        Err(error) => {
            tracing::debug!(%addr, %error, "an inbound connection was not confirmed");
            Ended::Inbound { connection: None, early }
        }
    }
}

async fn serve_early(inner: Arc<Inner>, offer: EarlyOffer) {
    let Ok(mut stream) = offer.open(inner.early_limit()).await else { return };
    let Ok(Some(request)) = stream.recv().await else { return };
    let answer = match inner.registry.find(stream.protocol()).map(|served| &served.how) {
        Some(How::Requests(answer)) => answer(request).await,
        // Of the built-in ones only ping is idempotent, and it repeats the request.
        _ if Builtin::find(stream.protocol()) == Some(Builtin::Ping) => request,
        _ => return stream.refuse(StreamCode::UnknownProtocol),
    };
    inner.count(|counters| &counters.early_served);
    // An error says that the peer has gone.
    let _ = stream.reply(&answer).await;
}
