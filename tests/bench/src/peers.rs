//! Real nodes and their peers: twelve that start at once, and one with a hundred that do nothing.

use std::net::Ipv4Addr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use pinhole_node::{Node, PeerAddr};
use pinhole_tests::machine::{cpu_time, resident};
use pinhole_tests::mesh::{Denied, Mesh};
use pinhole_tests::node::{TestNode, use_program};

use crate::Run;
use crate::child::parent_done;
use crate::process::{Process, build};
use crate::report::{Bound, Row, median};

/// Nodes of the mesh.
const MESH: usize = 12;
/// Peers that do nothing.
const PEERS: u64 = 100;
/// The name of the role of a child that holds them.
pub const HOLD: &str = "node";
/// Until everything that follows a new connection is over, the first heartbeats included.
const SETTLE: Duration = Duration::from_secs(25);

/// Builds the program in profile release and lets nodes be started from it.
pub fn prepare() -> Result<()> {
    use_program(&build(&["--release", "--bin", "node"])?);
    Ok(())
}

/// From the start of the first of twelve processes until all 66 pairs are connected.
pub fn mesh(run: &Run) -> Result<Vec<Row>> {
    prepare()?;
    let mut times = Vec::new();
    for _ in 0..run.rounds {
        let mesh = Mesh::start(MESH, Denied::new(), &[]);
        mesh.assert_settled(Duration::from_secs(60));
        times.push(mesh.set_up().as_secs_f64());
    }
    let most = times.iter().copied().fold(0.0, f64::max);
    Ok(vec![Row {
        name: "mesh",
        what: format!("{MESH} nodes start at once: all pairs connected"),
        value: median(&times),
        unit: "s",
        bound: Bound::AtMost(1.0),
        portable: false,
        detail: format!(
            "at most {most:.3} s in {} rounds, start of processes included",
            run.rounds
        ),
    }])
}

/// What a hundred connected peers cost a node that has nothing to do with them.
pub fn hundred(run: &Run) -> Result<Vec<Row>> {
    prepare()?;
    let node = TestNode::start(&[]);
    sleep(Duration::from_secs(5));
    let alone = resident(node.pid());
    let mut peers = Process::role(HOLD, "hold", &[&node.address(), &PEERS.to_string()])?;
    peers.line()?;
    sleep(SETTLE);
    let beside = resident(node.pid());
    let (start, before) = (Instant::now(), cpu_time(node.pid()));
    sleep(Duration::from_secs(if run.short { 60 } else { 600 }));
    let (time, cpu) = (start.elapsed(), cpu_time(node.pid()) - before);
    let connected = node.status()["peers"]["connected"].as_u64();
    ensure!(connected == Some(PEERS), "{connected:?} of {PEERS} peers are connected");
    let memory = Row {
        name: "peers-memory",
        what: format!("{PEERS} connected peers, resident above idle"),
        value: beside.saturating_sub(alone) as f64 * 1e-6,
        unit: "MB",
        bound: Bound::AtMost(5.5),
        portable: false,
        detail: format!("{} kB alone, {} kB with them", alone / 1024, beside / 1024),
    };
    let cpu = Row {
        name: "peers-cpu",
        what: format!("{PEERS} idle peers, CPU of the node"),
        value: 100.0 * cpu.as_secs_f64() / time.as_secs_f64(),
        unit: "% core",
        bound: Bound::AtMost(0.2),
        detail: format!("{cpu:?} user and system in {time:.0?}"),
        ..memory.clone()
    };
    Ok(vec![memory, cpu])
}

/// A child process: `count` nodes of the library, each of which keeps the peer at `args[0]`.
pub fn hold(role: &str, args: &[String]) -> Result<()> {
    ensure!(role == "hold", "no such role: {role}");
    let target: PeerAddr = args.first().context("whom to dial")?.parse()?;
    let count: usize = args.get(1).context("how many")?.parse()?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let mut held = Vec::new();
        for _ in 0..count {
            let builder = Node::builder().listen((Ipv4Addr::LOCALHOST, 0));
            let node = builder.peer(target.clone()).start().await?;
            node.connect(target.clone()).await?;
            held.push(node);
        }
        println!("{}", held.len());
        parent_done().await
    })
}
