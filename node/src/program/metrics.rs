//! `up --metrics`: the node's counters over HTTP, for who collects them (shell).
//!
//! Nothing but the metrics page is to be had here, and only reading. A request is bounded in size and
//! time, and requests at a time in number; who comes then waits in the system's queue. Series for each
//! peer are left out: their number would grow with every peer ever met; `peers --json` has the values.

mod http;
mod page;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pinhole_node::Node;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::desk::resident_bytes;
use super::failure::{Failure, Kind};
use super::task;
use http::{Asked, Head, Refusal};
use page::Reading;

/// The longest head of a request.
const MAX_HEAD: usize = 8 << 10;
/// Connections at the same time.
const MAX_CLIENTS: usize = 8;
/// How long a connection lasts at most.
const PATIENCE: Duration = Duration::from_secs(5);

/// The listening socket.
#[derive(Debug)]
pub(crate) struct Exporter(TcpListener);

impl Exporter {
    /// Binds the socket.
    pub(crate) async fn bind(addr: SocketAddr) -> Result<Self, Failure> {
        let bind = async {
            let listener = TcpListener::bind(addr).await?;
            let bound = listener.local_addr()?;
            Ok((listener, bound))
        };
        let (listener, bound) = bind.await.map_err(|error| failure(addr, &error))?;
        tracing::info!("metrics are at http://{bound}/metrics");
        Ok(Self(listener))
    }

    /// Serves the metrics of a node for ever.
    pub(crate) async fn serve(self, node: Node) {
        let places = Arc::new(Semaphore::new(MAX_CLIENTS));
        loop {
            // An error would say that the semaphore was closed, which nobody does.
            let Ok(place) = places.clone().acquire_owned().await else { return };
            match self.0.accept().await {
                Ok((stream, _)) => {
                    let node = node.clone();
                    task::spawn(async move {
                        client(stream, &node).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    // Out of descriptors, most likely: it passes, or the node has worse troubles.
                    tracing::warn!(%error, "the metrics socket cannot accept");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        }
    }
}

fn failure(addr: SocketAddr, error: &io::Error) -> Failure {
    let what = format!("cannot serve metrics at {addr}");
    match error.kind() {
        io::ErrorKind::AddrNotAvailable => Failure::new(
            Kind::Unreachable,
            format!(
                "{what}: this machine does not have that address; choose another, as 127.0.0.1"
            ),
        ),
        io::ErrorKind::PermissionDenied => {
            Failure::new(Kind::Denied, format!("{what}: {error}; choose a port from 1024 on"))
        }
        _ => Failure::io(what, error),
    }
}

async fn client(mut stream: TcpStream, node: &Node) {
    let deadline = Instant::now() + PATIENCE;
    let response = match timeout_at(deadline, head(&mut stream)).await {
        Ok(None) => return,
        Ok(Some(Ok(asked))) => {
            let page = page::page(&reading(node).await, asked.format);
            http::response(&asked, asked.format.content_type(), &page)
        }
        Ok(Some(Err(refusal))) => refusal.response(),
        Err(_) => {
            // It has room in the socket's buffer, and who was so slow has no more time.
            let _ = stream.try_write(Refusal::Late.response().as_bytes());
            return;
        }
    };
    // Who does not take the answer in time goes without.
    let _ = timeout_at(deadline, finish(&mut stream, response.as_bytes())).await;
}

/// Reads up to the empty line; `None` if the client went away.
async fn head(stream: &mut TcpStream) -> Option<Result<Asked, Refusal>> {
    let mut head = Head::default();
    let mut buffer = [0; 1024];
    loop {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => {
                if let Some(asked) = head.handle_bytes(&buffer[..count]) {
                    return Some(asked);
                }
            }
        }
    }
}

/// Sends the answer and reads what else comes: closing a socket that has unread bytes would take the
/// answer away from the client.
async fn finish(stream: &mut TcpStream, response: &[u8]) -> io::Result<()> {
    stream.write_all(response).await?;
    stream.shutdown().await?;
    let mut unread = [0; 1024];
    while stream.read(&mut unread).await? > 0 {}
    Ok(())
}

async fn reading(node: &Node) -> Reading {
    let status = node.status().await;
    Reading {
        metrics: node.metrics().await,
        uptime: status.uptime,
        problems: status.problems.len(),
        resident: resident_bytes(),
        descriptors: open_descriptors(),
    }
}

/// Open descriptors of this process, where the system tells.
fn open_descriptors() -> Option<u64> {
    let entries = std::fs::read_dir("/proc/self/fd").ok()?;
    // The folder that is being read is one of them.
    Some((entries.count() as u64).saturating_sub(1))
}
