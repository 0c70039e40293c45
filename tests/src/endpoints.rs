//! Real endpoints on loopback that serve an echo.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use pinhole_proto::{Protocol, SecretKey};
use pinhole_transport::{AdmitAll, Config, Connection, Endpoint, Inbound};
use tokio::time::timeout;

use crate::Rng;

/// The protocol of the echo.
pub const ECHO: Protocol = Protocol::from_static("echo/1");
/// Bytes in a frame of it.
pub const LIMIT: usize = 1 << 16;
/// What no test needs to wait for.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// An identity that nobody had before.
pub fn key() -> SecretKey {
    let seed = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    let address = &raw const seed as u64; // two tests may begin at the same time
    Rng::from_seed(seed ^ address << 20).key()
}

/// An endpoint on this loopback address that sends nothing of its own accord.
pub fn bind(addr: SocketAddr) -> Endpoint {
    let mut config = Config::new(vec![addr]);
    config.keep_alive = None;
    config.early_protocols = vec![ECHO];
    Endpoint::bind(&key(), config, Arc::new(AdmitAll)).unwrap()
}

/// Accepts connections and echoes every frame of every stream, until the endpoint is closed.
pub fn serve(endpoint: &Endpoint) {
    let endpoint = endpoint.clone();
    tokio::spawn(async move {
        while let Some(inbound) = endpoint.accept().await {
            tokio::spawn(serve_connection(inbound));
        }
    });
}

async fn serve_connection(inbound: Inbound) {
    let Ok(connection) = inbound.confirmed().await else { return };
    while let Ok(offer) = connection.accept().await {
        tokio::spawn(async move {
            let Ok(mut stream) = offer.open(|_| Some(LIMIT)).await else { return };
            while let Ok(Some(frame)) = stream.recv().await {
                if stream.send(&frame).await.is_err() {
                    return;
                }
            }
            // The peer may be gone by now.
            let _ = stream.finish().await;
        });
    }
}

/// Dials `to` at `addr`.
pub async fn connect(from: &Endpoint, to: &Endpoint, addr: SocketAddr) -> Connection {
    let dial = from.dial(to.peer_id(), &[addr]).unwrap();
    timeout(PATIENCE, dial.established()).await.unwrap().unwrap()
}

/// Sends a frame and waits for it to come back.
pub async fn echo(connection: &Connection, frame: &[u8]) {
    let mut stream = connection.open(&ECHO, LIMIT).await.unwrap();
    stream.send(frame).await.unwrap();
    stream.finish().await.unwrap();
    let reply = timeout(PATIENCE, stream.recv()).await.unwrap().unwrap();
    assert_eq!(reply.as_deref(), Some(frame));
}
