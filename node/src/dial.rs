//! One dial (shell): names, candidates, and the request that may leave with the first datagram.

use std::net::SocketAddr;
use std::time::Duration;

use pinhole_proto::{Candidate, Host, PeerId};
use pinhole_transport::{Connection, Dial, Endpoint, IdempotentProtocol};
use tokio::sync::oneshot;

use crate::error::{ConnectError, RequestError};

/// An idempotent request that goes along with a dial.
pub(crate) struct EarlyRequest {
    pub(crate) protocol: IdempotentProtocol,
    pub(crate) body: Vec<u8>,
    pub(crate) reply: oneshot::Sender<Result<Vec<u8>, RequestError>>,
}

/// How long the handshake may still take once the answer to an early request is there or overdue.
const AFTER_EARLY: Duration = Duration::from_secs(1);

pub(crate) async fn dial(
    endpoint: Endpoint,
    limit: Duration,
    peer: PeerId,
    candidates: Vec<Candidate>,
    early: Option<EarlyRequest>,
) -> Result<Connection, ConnectError> {
    let started = tokio::time::timeout(limit, async {
        let addrs = resolve(&candidates).await?;
        Ok::<_, ConnectError>(endpoint.dial(peer, &addrs)?)
    });
    let dial = match started.await.unwrap_or(Err(ConnectError::NoAnswer)) {
        Ok(dial) => dial,
        Err(error) => {
            if let Some(early) = early {
                // An error says that nobody waits any more.
                let _ = early.reply.send(Err(error.clone().into()));
            }
            return Err(error);
        }
    };
    let limit = match early {
        Some(early) => {
            request(&dial, early, limit).await;
            AFTER_EARLY
        }
        None => limit,
    };
    match tokio::time::timeout(limit, dial.established()).await {
        Ok(established) => Ok(established?),
        Err(_) => Err(ConnectError::NoAnswer),
    }
}

async fn request(dial: &Dial, early: EarlyRequest, limit: Duration) {
    let EarlyRequest { protocol, body, reply } = early;
    let result = match tokio::time::timeout(limit, dial.request(&protocol, &body)).await {
        Ok(result) => result.map_err(RequestError::from),
        Err(_) => Err(ConnectError::NoAnswer.into()),
    };
    // An error says that nobody waits any more.
    let _ = reply.send(result);
}

/// The addresses of the direct candidates, in their order.
async fn resolve(candidates: &[Candidate]) -> Result<Vec<SocketAddr>, ConnectError> {
    let direct: Vec<_> =
        candidates.iter().filter(|c| matches!(c, Candidate::Direct { .. })).collect();
    if direct.is_empty() {
        return Err(ConnectError::NoDirectAddress);
    }
    let mut addrs = Vec::new();
    let mut failed = Vec::new();
    for candidate in direct {
        match lookup(candidate).await {
            Ok(found) => addrs.extend(found),
            Err(error) => failed.push((candidate.host().to_string(), error)),
        }
    }
    match failed.first() {
        Some((_, why)) if addrs.is_empty() => {
            let names: Vec<_> = failed.iter().map(|(name, _)| name.as_str()).collect();
            Err(ConnectError::Unresolved { names: names.join(", "), why: why.clone() })
        }
        _ => Ok(addrs),
    }
}

async fn lookup(candidate: &Candidate) -> Result<Vec<SocketAddr>, String> {
    let (name, family) = match candidate.host() {
        Host::Ip(ip) => return Ok(vec![SocketAddr::new(*ip, candidate.port())]),
        Host::Dns { name, family } => (name.to_string(), *family),
    };
    let found = tokio::net::lookup_host((name, candidate.port())).await;
    let all = found.map_err(|error| error.to_string())?;
    let addrs: Vec<_> = all.filter(|addr| family.includes(&addr.ip())).collect();
    if addrs.is_empty() { Err("it has no address of that family".into()) } else { Ok(addrs) }
}
