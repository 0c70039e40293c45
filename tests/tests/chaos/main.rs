//! Tier chaos: real programs that are killed, frozen and restarted.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

mod frozen;
mod lossy;
mod mesh;

use std::{
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use pinhole_tests::{
    Rng,
    node::{TempDir, TestNode, program},
};

#[test]
fn a_node_that_is_killed_and_comes_back_is_found_again() {
    let killed = TestNode::start(&[]);
    let peer = killed.peer;
    let watcher = TestNode::start(&["--peer", &killed.address()]);
    for round in 0..3 {
        watcher.wait_state(peer, "connected");
        killed.kill();
        let start = Instant::now();
        killed.restart();
        killed.wait_state(watcher.peer, "connected");
        println!("round {round}: back after {:?}", start.elapsed());
    }
}

#[test]
fn dialers_that_are_killed_at_any_moment_harm_nobody() {
    let node = TestNode::start(&[]);
    let mut rng = Rng::from_seed(9);
    for _ in 0..25 {
        let folder = TempDir::new("dialer");
        let mut dialer = Command::new(program())
            .args(["ping", &node.address(), "-c", "1000", "-i", "0.01", "--data"])
            .arg(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        thread::sleep(rng.up_to(Duration::from_millis(120)));
        dialer.kill().unwrap();
        dialer.wait().unwrap();
    }
    let honest = TestNode::start(&[]);
    let (lines, done) = honest.command(&["ping", &node.address(), "-c", "3", "-i", "0.05"]);
    assert!(done, "{lines:?}");
    assert_eq!(lines.last().unwrap()["received"], 3, "{lines:?}");
    assert!(node.status()["peers"]["connected"].as_u64().is_some());
}
