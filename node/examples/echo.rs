//! An application of its own: it serves a protocol, dials a peer, and exchanges frames.
//!
//! ```text
//! cargo run --example echo                    # prints its address and waits
//! cargo run --example echo -- PEER@HOST:PORT  # dials that address
//! ```

use pinhole_node::{Node, PeerAddr, PeerId, Protocol, Stream};

const ECHO: Protocol = Protocol::from_static("echo/1");

async fn echo(mut stream: Stream, peer: PeerId) {
    while let Ok(Some(frame)) = stream.recv().await {
        println!("{peer} sent {} bytes", frame.len());
        if stream.send(&frame).await.is_err() {
            return;
        }
    }
    let _ = stream.finish().await;
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let node = Node::builder().protocol(ECHO, echo).start().await?;
    println!("dial me at {}", node.addr());

    if let Some(address) = std::env::args().nth(1) {
        let address: PeerAddr = address.parse()?;
        let mut stream = node.open(address, &ECHO).await?;
        stream.send(b"hello").await?;
        println!("it echoed {:?}", stream.recv().await?);
        stream.finish().await?;
        return Ok(node.close().await?);
    }
    let mut events = node.events();
    while let Some(event) = events.recv().await {
        println!("{event:?}");
    }
    Ok(())
}
