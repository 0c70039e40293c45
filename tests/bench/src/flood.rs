//! 10,000 hostile packets a second from 1,000 source ports against a running `node`.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use pinhole_proto::PeerId;

use crate::Run;
use crate::forwarder::Forwarder;
use crate::initial::{foreign, garbage};
use crate::node::Node;
use crate::process::build;
use crate::report::{Bound, Row};

const SOURCES: usize = 1000;
const PACKETS_PER_SECOND: u64 = 10_000;
/// Packets are sent in steps of this length.
const STEP: Duration = Duration::from_millis(1);
/// How often resident memory is read.
const SAMPLE: Duration = Duration::from_millis(250);

/// Each kind of flood, one after the other, against one node.
pub fn rows(run: &Run) -> Result<Vec<Row>> {
    let node = Node::up(&build(&["--release", "--bin", "node"])?)?;
    let peer: PeerId = node.peer.parse()?;
    let recorded = record_honest_dial(&node)?;
    let sources = sources(&node)?;
    let time = Duration::from_secs(if run.short { 3 } else { 10 });
    Ok(vec![
        flood(&node, &sources, time, "flood-foreign", "foreign Initials", foreign)?,
        flood(&node, &sources, time, "flood-garbage", "right keys, garbage message 1", |n| {
            garbage(&peer, n)
        })?,
        flood(&node, &sources, time, "flood-replay", "replayed first datagram", |_| {
            recorded.clone()
        })?,
    ])
}

/// A stranger connects; its first datagram, as an observer on the path would keep it.
fn record_honest_dial(node: &Node) -> Result<Vec<u8>> {
    let forwarder = Forwarder::start(node.addr, Duration::from_millis(2))?;
    node.honest_dial(forwarder.addr).context("the dial before the flood")?;
    Ok(forwarder.first.recv()?)
}

fn sources(node: &Node) -> Result<Vec<UdpSocket>> {
    let source = |_| {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect(node.addr)?;
        socket.set_nonblocking(true)?;
        anyhow::Ok(socket)
    };
    (0..SOURCES).map(source).collect()
}

fn flood(
    node: &Node,
    sources: &[UdpSocket],
    time: Duration,
    name: &'static str,
    what: &str,
    packet: impl Fn(u64) -> Vec<u8> + Sync,
) -> Result<Row> {
    let before = node.process.resident()?;
    let cpu = node.process.cpu_time()?;
    let (sent, honest, furthest) = thread::scope(|scope| {
        let (done, ended) = channel::<()>();
        let watch = scope.spawn(move || {
            let mut furthest = 0i64;
            while ended
                .recv_timeout(SAMPLE)
                .is_err_and(|e| e == std::sync::mpsc::RecvTimeoutError::Timeout)
            {
                let moved = node.process.resident()? as i64 - before as i64;
                furthest = if moved.abs() > furthest.abs() { moved } else { furthest };
            }
            anyhow::Ok(furthest)
        });
        let honest = scope.spawn(|| {
            thread::sleep(time / 2);
            node.honest_dial(node.addr)
        });
        let sent = send_paced(sources, time, &packet);
        drop(done);
        let join = "a thread of the flood panicked";
        (sent, honest.join().expect(join), watch.join().expect(join))
    });
    let cpu = node.process.cpu_time()? - cpu;
    let answers: usize = sources.iter().map(answers).sum();
    ensure!(answers == 0, "{what}: the node answered {answers} times");
    let honest = honest.with_context(|| format!("{what}: an honest dial during the flood"))?;
    let after = node.honest_dial(node.addr).with_context(|| format!("{what}: after the flood"))?;
    let (sent, furthest) = (sent?, furthest?);
    Ok(Row {
        name,
        what: format!("flood: {what}, resident memory moves"),
        value: furthest as f64 * 1e-6,
        unit: "MB",
        bound: Bound::Within(2.0),
        portable: false,
        detail: format!(
            "{sent} packets, no answer, {:.1} µs CPU each; honest dial {:.0} ms during, {:.0} after",
            cpu.as_secs_f64() * 1e6 / sent as f64,
            honest.as_secs_f64() * 1e3,
            after.as_secs_f64() * 1e3,
        ),
    })
}

/// Sends at an even rate and returns how many packets that were.
fn send_paced(
    sources: &[UdpSocket],
    time: Duration,
    packet: impl Fn(u64) -> Vec<u8>,
) -> Result<u64> {
    let start = Instant::now();
    let mut sent = 0;
    while start.elapsed() < time {
        let due = (start.elapsed().as_secs_f64() * PACKETS_PER_SECOND as f64) as u64;
        for number in sent..due {
            // A full buffer or an ICMP error of an earlier packet: the packet counts as sent.
            let _ = sources[number as usize % sources.len()].send(&packet(number));
        }
        sent = due;
        thread::sleep(STEP);
    }
    let wanted = time.as_secs_f64() * PACKETS_PER_SECOND as f64;
    ensure!(sent as f64 > 0.95 * wanted, "only {sent} packets left in {time:?}");
    Ok(sent)
}

/// Datagrams that came back to one source.
fn answers(source: &UdpSocket) -> usize {
    let mut buffer = [0; 2048];
    std::iter::from_fn(|| source.recv(&mut buffer).ok()).count()
}
