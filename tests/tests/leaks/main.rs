//! Connections come and go by the thousand, and nothing is kept of them: memory and descriptors of
//! the real program, which accepts them or dials them.
//!
//! `PINHOLE_LONG=1` makes ten times as many.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

use std::net::Ipv4Addr;

use pinhole_proto::CloseCode;
use pinhole_tests::{
    endpoints::{PATIENCE, bind},
    machine::{descriptors, resident},
    node::{Setup, TestNode},
};
use pinhole_transport::Endpoint;
use tokio::time::timeout;

/// What resident memory may grow in the second half, in bytes.
const GROWTH: usize = 1 << 20;

fn cycles(ordinary: usize) -> usize {
    if std::env::var("PINHOLE_LONG").is_ok_and(|long| long == "1") {
        10 * ordinary
    } else {
        ordinary
    }
}

/// What a process holds.
#[derive(Debug, Clone, Copy)]
struct Held {
    memory: usize,
    descriptors: usize,
}

fn held(node: &TestNode) -> Held {
    Held { memory: resident(node.pid()), descriptors: descriptors(node.pid()) }
}

/// Runs the first half, so that caches and tables are as full as they get, and then the second.
fn no_growth(node: &TestNode, cycles: usize, mut cycle: impl FnMut(usize)) {
    let start = held(node);
    (0..cycles / 2).for_each(&mut cycle);
    let half = held(node);
    (cycles / 2..cycles).for_each(&mut cycle);
    let end = held(node);
    println!("{cycles} cycles: {start:?} at first, {half:?} after half, {end:?} at the end");
    assert!(end.memory < half.memory + GROWTH, "memory grows: {half:?}, then {end:?}");
    assert!(end.descriptors <= half.descriptors + 2, "descriptors: {half:?}, then {end:?}");
}

/// A node that takes connections as fast as they come.
fn open_door() -> TestNode {
    Setup::temporary().configuration("accept_rate = 10000\n").start()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

async fn visit(dialer: &Endpoint, node: &TestNode) {
    let dial = dialer.dial(node.peer, &node.listen[..1]).unwrap();
    let connection = timeout(PATIENCE, dial.established()).await.unwrap().unwrap();
    connection.close(CloseCode::Disconnect, "");
    timeout(PATIENCE, connection.closed()).await.unwrap();
}

#[test]
fn one_peer_that_comes_and_goes() {
    let node = open_door();
    let runtime = runtime();
    let dialer = runtime.block_on(async { bind((Ipv4Addr::LOCALHOST, 0).into()) });
    no_growth(&node, cycles(2400), |_| runtime.block_on(visit(&dialer, &node)));
}

#[test]
fn peers_that_come_once() {
    // The first half fills the tables of known peers, counters and shared secrets (SPEC §5.3).
    let node = open_door();
    let runtime = runtime();
    no_growth(&node, cycles(6000), |_| {
        runtime.block_on(async {
            let dialer = bind((Ipv4Addr::LOCALHOST, 0).into());
            visit(&dialer, &node).await;
        });
    });
}

#[test]
fn connect_and_disconnect_by_command() {
    let (node, other) = (TestNode::start(&[]), TestNode::start(&[]));
    let (address, peer) = (other.address(), other.peer.to_string());
    no_growth(&node, cycles(40), |_| {
        let (lines, done) = node.command(&["connect", &address]);
        assert!(done, "{lines:?}");
        let (lines, done) = node.command(&["disconnect", &peer]);
        assert!(done, "{lines:?}");
    });
}
