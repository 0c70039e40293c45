//! pinhole's transport, with quinn's default windows and limits, as the yardstick has them.

use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use pinhole_proto::{CloseCode, PeerId, Protocol, SecretKey};
use pinhole_transport::{
    AdmitAll, Config, Connection, Endpoint, IdempotentProtocol, Inbound, Offer, Stream,
};

use crate::stack::{CHUNK, REQUEST_LIMIT, SEND_WINDOW, STREAM_WINDOW, STREAMS, Stack, Target};

/// pinhole-transport.
pub struct Pin;

/// Streams whose one frame comes back.
const ECHO: Protocol = Protocol::from_static("echo/1");
/// Streams whose bytes are counted.
const SINK: Protocol = Protocol::from_static("sink/1");
/// Connections of a server at a time.
const CONNECTIONS: usize = 100_000;

impl Stack for Pin {
    const NAME: &'static str = "pinhole";
    type Identity = Arc<SecretKey>;
    type Endpoint = Endpoint;
    type Connection = Connection;

    fn identity() -> Result<Arc<SecretKey>> {
        let random = ring::rand::SystemRandom::new();
        let fill = |seed: &mut [u8; 32]| {
            ring::rand::SecureRandom::fill(&random, seed).expect("randomness of the system");
        };
        Ok(Arc::new(SecretKey::generate(fill)))
    }

    fn bind(identity: &Arc<SecretKey>) -> Result<Endpoint> {
        Ok(Endpoint::bind(identity, config()?, Arc::new(AdmitAll))?)
    }

    fn target(endpoint: &Endpoint) -> Result<Target> {
        let addr = *endpoint.listen_addrs().first().context("no address")?;
        Ok(Target { addr, identity: endpoint.peer_id().as_bytes().to_vec() })
    }

    async fn connect(endpoint: &Endpoint, target: &Target) -> Result<Connection> {
        Ok(endpoint.dial(peer(target)?, &[target.addr])?.established().await?)
    }

    async fn accept(endpoint: &Endpoint) -> Option<Connection> {
        loop {
            if let Ok(connection) = endpoint.accept().await?.confirmed().await {
                return Some(connection);
            }
        }
    }

    async fn serve(connection: Connection) {
        while let Ok(offer) = connection.accept().await {
            tokio::spawn(answer(offer));
        }
    }

    async fn serve_all(endpoint: Endpoint) {
        while let Some(inbound) = endpoint.accept().await {
            tokio::spawn(serve_inbound(inbound));
        }
    }

    async fn first_request(endpoint: &Endpoint, target: &Target, body: &[u8]) -> Result<Vec<u8>> {
        let dial = endpoint.dial(peer(target)?, &[target.addr])?;
        let protocol = IdempotentProtocol::new(ECHO, REQUEST_LIMIT);
        Ok(dial.request(&protocol, body).await?)
    }

    async fn request(connection: &Connection, body: &[u8]) -> Result<Vec<u8>> {
        let mut stream = connection.open(&ECHO, REQUEST_LIMIT).await?;
        stream.send(body).await?;
        stream.finish().await?;
        Ok(stream.recv_only().await?)
    }

    async fn upload(connection: &Connection, bytes: u64) -> Result<()> {
        let stream = connection.open(&SINK, REQUEST_LIMIT).await?;
        let (mut send, mut recv) = stream.split();
        let chunk = vec![0x5a; CHUNK];
        let mut left = bytes;
        while left > 0 {
            let now = left.min(CHUNK as u64) as usize;
            send.write_all(&chunk[..now]).await?;
            left -= now as u64;
        }
        send.finish().await?;
        let count = recv.recv().await?.context("no count")?;
        ensure!(count == bytes.to_be_bytes(), "the peer did not read everything");
        Ok(())
    }

    fn close(connection: &Connection) {
        connection.close(CloseCode::Normal, "");
    }
}

fn peer(target: &Target) -> Result<PeerId> {
    Ok(PeerId::from_bytes(target.identity.as_slice().try_into()?)?)
}

fn config() -> Result<Config> {
    let mut config = Config::new(vec![(Ipv4Addr::LOCALHOST, 0).into()]);
    config.max_connections = CONNECTIONS;
    config.max_accepts_per_second = usize::MAX;
    config.max_streams = STREAMS;
    config.stream_window = STREAM_WINDOW;
    config.connection_window = u32::MAX;
    config.send_window = SEND_WINDOW.into();
    config.keep_alive = None;
    config.early_protocols = vec![ECHO];
    Ok(config)
}

async fn serve_inbound(inbound: Inbound) -> Result<()> {
    while let Some(offer) = inbound.accept_early().await {
        tokio::spawn(async move {
            let mut stream = offer.open(REQUEST_LIMIT).await?;
            let body = stream.recv().await?.context("no request")?;
            stream.reply(&body).await?;
            anyhow::Ok(())
        });
    }
    Pin::serve(inbound.confirmed().await?).await;
    Ok(())
}

async fn answer(offer: Offer) -> Result<()> {
    let known = |protocol: &Protocol| [ECHO, SINK].contains(protocol);
    let mut stream = offer.open(|protocol| known(protocol).then_some(REQUEST_LIMIT)).await?;
    if *stream.protocol() == SINK {
        // Boxed, so that the task of a small request is not as large as that of a transfer.
        return Box::pin(count(stream)).await;
    }
    let body = stream.recv_only().await?;
    stream.send(&body).await?;
    stream.finish().await?;
    Ok(())
}

async fn count(stream: Stream) -> Result<()> {
    let (mut send, mut recv) = stream.split();
    let mut bytes = 0;
    while let Some(chunk) = recv.read_chunk(CHUNK).await? {
        bytes += chunk.len() as u64;
    }
    send.send(&bytes.to_be_bytes()).await?;
    send.finish().await?;
    Ok(())
}
