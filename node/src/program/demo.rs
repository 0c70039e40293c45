//! `demo`: three nodes meet on loopback, through the public library API, and nothing is staged.
//!
//! Each node has its own key, data folder and socket. B and C know only A. A serves a protocol of
//! this demo, by which a peer asks where another one is, and answers with the address that it sees
//! that peer at; so B and C find each other, as a DHT will do for nodes that know nobody in common.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::data::{CONNECTION_ID_KEY, Folder};
use super::failure::{Failure, Kind};
use super::json::{millis, object};
use super::output::{Color, End, Output};
use super::signals::Signals;
use pinhole_node::{
    Candidate, Event, Events, IdempotentProtocol, Kind as MessageKind, Node, PeerAddr, PeerId,
    PeerState, Protocol,
};

/// Runs the demo; fails unless all of it worked.
pub(crate) async fn demo(output: &Output) -> Result<(), End> {
    let mut signals = Signals::new()?;
    let folder = TempFolder::new()?;
    let begin = Instant::now();
    let mut stage = Stage { output, nodes: Vec::new() };
    let played = tokio::select! {
        played = tokio::time::timeout(PATIENCE, play(&mut stage, &folder)) => {
            played.unwrap_or_else(|_| Err(failed("the demo", "it took more than 30 s").into()))
        }
        stop = signals.next() => Err(End::Stopped(stop)),
    };
    let elapsed = begin.elapsed();
    let nodes = std::mem::take(&mut stage.nodes);
    let closed = signals.unless_again(close(&nodes)).await;
    played?;
    closed?;
    output.either(
        &object! { "ok": true, "elapsed_ms": millis(elapsed) },
        &format!(
            "{} in {} ms, with no server and no account
",
            output.paint("All of it worked", Color::Good),
            elapsed.as_millis()
        ),
    )
}

const PATIENCE: Duration = Duration::from_secs(30);
const GREETING: &str = "hello, we have never met";

struct Stage<'a> {
    output: &'a Output,
    nodes: Vec<Node>,
}

async fn play(stage: &mut Stage<'_>, folder: &TempFolder) -> Result<(), End> {
    let begin = Instant::now();
    let a = stage.raise(folder, "A", true).await?;
    let b = stage.raise(folder, "B", false).await?;
    let c = stage.raise(folder, "C", false).await?;
    stage.tell("start", "three nodes, each with its own key, socket and data folder", begin)?;
    for (name, node) in [("A", &a), ("B", &b), ("C", &c)] {
        stage.name(name, node)?;
    }
    let a_addr = a.addr();
    let mut seen_by_a = a.events();

    let begin = Instant::now();
    let connected = b.connect(a_addr.clone()).await.map_err(|e| failed("B connects to A", e))?;
    stage.tell(
        "connect",
        "B dialed A, whose key it knew; each has proven its own to the other",
        begin,
    )?;
    same("the peer that B reached", connected.peer, a.id())?;

    let begin = Instant::now();
    let b_addr = look_up(&c, &a_addr, &b).await?;
    stage.tell(
        "lookup",
        &format!(
            "C, which A had never met, asked A where B is in its first packet: {}",
            place(&b_addr)
        ),
        begin,
    )?;

    let mut inbox = b.messages().ok_or_else(|| failed("B's messages", "there is no queue"))?;
    let begin = Instant::now();
    let id = c
        .send(b_addr.clone(), MessageKind::Chat, GREETING)
        .await
        .map_err(|e| failed("C sends B a message", e))?;
    stage.tell(
        "message",
        "C dialed B, sent a message on first contact, and B acknowledged it",
        begin,
    )?;
    let message = inbox.recv().await.ok_or_else(|| failed("B's messages", "B has stopped"))?;
    same("the sender of the message", message.peer, c.id())?;
    same("the message's id", message.id, id)?;
    same("the message", String::from_utf8_lossy(&message.body).as_ref(), GREETING)?;

    // C's question went ahead of its handshake, which A has to see completed.
    connected_at(&mut seen_by_a, c.id()).await?;
    let begin = Instant::now();
    let c_addr = look_up(&b, &a_addr, &c).await?;
    stage.tell("lookup", &format!("B asked A where C is: {}", place(&c_addr)), begin)?;

    let begin = Instant::now();
    let rtt = b.ping(c_addr).await.map_err(|e| failed("B pings C", e))?;
    let what = format!("B pinged C over the connection that C had made: {} ms", millis(rtt).line());
    stage.tell("ping", &what, begin)?;
    Ok(())
}

impl Stage<'_> {
    async fn raise(&mut self, temp: &TempFolder, name: &str, looks_up: bool) -> Result<Node, End> {
        let folder = Folder::locate(Some(temp.0.join(name)))?;
        folder.make()?;
        let itself = Arc::new(OnceLock::new());
        let mut builder = Node::builder()
            .secret_key(folder.key_or_new()?)
            .connection_id_key(folder.secret_or_new(CONNECTION_ID_KEY)?)
            .listen(SocketAddr::from(([127, 0, 0, 1], 0)))
            .messages(8);
        if looks_up {
            let itself = itself.clone();
            builder =
                builder.idempotent(&lookup(), move |request| where_is(itself.clone(), request));
        }
        let node = builder.start().await.map_err(|e| failed(&format!("{name} starts"), e))?;
        // It is set here only.
        let _ = itself.set(node.clone());
        self.nodes.push(node.clone());
        Ok(node)
    }

    fn tell(&self, step: &str, what: &str, begin: Instant) -> Result<(), End> {
        let elapsed = millis(begin.elapsed());
        let text = format!("{:>9} ms  {what}\n", elapsed.line());
        self.output.either(&object! { "step": step, "what": what, "elapsed_ms": elapsed }, &text)
    }

    fn name(&self, name: &str, node: &Node) -> Result<(), End> {
        if self.output.json {
            Ok(())
        } else {
            self.output.line(&format!("             {name} is {}", node.addr()))
        }
    }
}

/// The demo's own protocol: a peer's id as text, and its address as text or nothing. It changes
/// nothing, so that it may be asked in the very first packet.
fn lookup() -> IdempotentProtocol {
    IdempotentProtocol::new(Protocol::from_static("demo-lookup/1"), 512)
}

/// A's side: where it sees the peer that somebody asks for.
async fn where_is(itself: Arc<OnceLock<Node>>, request: Vec<u8>) -> Vec<u8> {
    let asked = std::str::from_utf8(&request).ok().and_then(|text| text.parse().ok());
    let (Some(peer), Some(node)) = (asked, itself.get()) else { return Vec::new() };
    let seen = node.peer(peer).await.and_then(|info| info.addr);
    let candidate = seen.and_then(|addr| Candidate::direct(addr).ok());
    let addr = candidate.and_then(|candidate| PeerAddr::new(peer, vec![candidate]).ok());
    addr.map(|addr| addr.to_string().into_bytes()).unwrap_or_default()
}

/// The other side: asks `via` for the address of `wanted`.
async fn look_up(node: &Node, via: &PeerAddr, wanted: &Node) -> Result<PeerAddr, Failure> {
    let peer = wanted.id();
    let reply = node
        .request_early(via.clone(), &lookup(), peer.to_string().as_bytes())
        .await
        .map_err(|error| failed("a lookup", error))?;
    let text = String::from_utf8_lossy(&reply);
    let addr: PeerAddr =
        text.parse().map_err(|error| failed("a lookup", format!("`{text:.80}`: {error}")))?;
    same("the peer that was looked up", addr.peer, peer)?;
    Ok(addr)
}

async fn connected_at(events: &mut Events, wanted: PeerId) -> Result<(), Failure> {
    while let Some(event) = events.recv().await {
        if matches!(event, Event::Peer { peer, state: PeerState::Connected, .. } if peer == wanted)
        {
            return Ok(());
        }
    }
    Err(failed("A waits for C", "A has stopped"))
}

fn place(addr: &PeerAddr) -> String {
    addr.candidates.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn same<T: PartialEq + std::fmt::Display>(what: &str, got: T, wanted: T) -> Result<(), Failure> {
    if got == wanted { Ok(()) } else { Err(failed(what, format!("it is {got}, not {wanted}"))) }
}

fn failed(what: &str, why: impl std::fmt::Display) -> Failure {
    Failure::new(
        Kind::Unreachable,
        format!("the demo failed: {what}: {why}; is there a firewall on loopback? -vv says more"),
    )
}

async fn close(nodes: &[Node]) -> Result<(), Failure> {
    for node in nodes {
        node.close().await.map_err(|error| failed("a node closes", error))?;
    }
    Ok(())
}

/// A folder that goes when the demo is over.
struct TempFolder(PathBuf);

impl TempFolder {
    fn new() -> Result<Self, Failure> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|error| failed("random bytes", error))?;
        let name = format!("pinhole-demo-{:016x}", u64::from_le_bytes(random));
        let folder = Self(std::env::temp_dir().join(name));
        Folder::locate(Some(folder.0.clone()))?.make()?;
        Ok(folder)
    }
}

impl Drop for TempFolder {
    fn drop(&mut self) {
        // It lies in the folder of temporary files, which is cleared by others.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
