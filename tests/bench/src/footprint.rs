//! Sizes: of the program, of its dependency tree, and of what it keeps in memory.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;

use crate::Run;
use crate::node::Node;
use crate::process::{Process, build, cargo};
use crate::report::{Bound, Rounds, Row, Side, median};

/// How long a process is left alone before its memory is read.
const SETTLE: Duration = Duration::from_secs(3);
/// Connections that share the cost that is to be measured.
const CONNECTIONS: u64 = 1000;

/// Bytes of the smallest `node` program, and what it keeps resident.
pub fn size(_: &Run) -> Result<Vec<Row>> {
    let program = build(&["--profile", "tiny", "--bin", "node"])?;
    let bytes = std::fs::metadata(&program)?.len();
    let size = Row {
        name: "size",
        what: "`node`, profile tiny, default features".to_owned(),
        value: bytes as f64 * 1e-6,
        unit: "MB",
        bound: Bound::AtMost(2.0),
        portable: true,
        detail: format!("{bytes} bytes"),
    };
    let resident = settled(&program)?;
    let idle = Row {
        name: "idle-tiny",
        what: "idle node, resident, profile tiny".to_owned(),
        value: resident as f64 * 1e-6,
        bound: Bound::AtMost(5.5),
        portable: false,
        detail: format!("{} kB", resident / 1024),
        ..size.clone()
    };
    Ok(vec![size, idle])
}

/// Memory hardly varies from round to round, and each round has to wait.
fn rounds(run: &Run) -> usize {
    if run.short { 3 } else { 5 }
}

/// Resident memory of `node up` that was left alone.
fn settled(program: &Path) -> Result<u64> {
    let node = Node::up(program)?;
    sleep(SETTLE);
    node.process.resident()
}

/// Different crates in the dependency trees of the library and of the program, ours included.
pub fn crates(_: &Run) -> Result<Vec<Row>> {
    Ok(vec![
        tree("crates-library", "unique crates, library", 75.0, &["--no-default-features"])?,
        tree("crates-program", "unique crates, program", 105.0, &[])?,
    ])
}

fn tree(name: &'static str, what: &str, most: f64, features: &[&str]) -> Result<Row> {
    let command = ["tree", "-e", "normal", "-p", "pinhole-node", "--prefix", "none"];
    let listing = cargo(&[&command, features].concat())?;
    // "name v1.2.3 (path or proc-macro) (*)": the first two words tell crates apart.
    let crates: BTreeSet<Vec<&str>> = listing
        .lines()
        .map(|line| line.split_whitespace().take(2).collect())
        .filter(|words: &Vec<&str>| !words.is_empty())
        .collect();
    let ours = crates.iter().filter(|words| words[0].starts_with("pinhole-")).count();
    Ok(Row {
        name,
        what: what.to_owned(),
        value: crates.len() as f64,
        unit: "crates",
        bound: Bound::AtMost(most),
        portable: true,
        detail: format!("{ours} of them ours"),
    })
}

/// Resident memory of `node up` that has nothing to do, beside a raw quinn echo program.
pub fn idle(run: &Run) -> Result<Vec<Row>> {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let echo = ["--release", "--manifest-path", manifest, "--bin", "raw-echo"];
    let (echo, node) = (build(&echo)?, build(&["--release", "--bin", "node"])?);
    let rounds = Rounds::measure(rounds(run), |side| {
        let resident = match side {
            Side::Raw => {
                let mut raw = Process::start(Command::new(&echo))?;
                raw.line()?;
                sleep(SETTLE);
                raw.resident()
            }
            Side::Pinhole => settled(&node),
        };
        Ok(resident? as f64)
    })?;
    Ok(vec![Row {
        name: "idle",
        what: "idle node, resident, profile release".to_owned(),
        value: median(&rounds.pinhole) * 1e-6,
        unit: "MB",
        bound: Bound::AtMost(5.5),
        portable: false,
        detail: rounds.detail("MB", 1e-6),
    }])
}

/// What each idle connection adds to the resident memory of the side that accepted it.
pub fn connections(run: &Run) -> Result<Vec<Row>> {
    let rounds = Rounds::measure(rounds(run), |side| each_connection(run.name(side)))?;
    Ok(vec![Row {
        name: "connection",
        what: format!("each of {CONNECTIONS} idle connections, acceptor"),
        value: median(&rounds.pinhole) * 1e-3,
        unit: "KB",
        bound: Bound::AtMost(48.0),
        portable: false,
        detail: rounds.detail("KB", 1e-3),
    }])
}

fn each_connection(stack: &str) -> Result<f64> {
    let mut server = Process::role(stack, "serve", &[])?;
    let target = server.line()?;
    let before = server.resident()?;
    let mut peers = Process::role(stack, "hold", &[&target, &CONNECTIONS.to_string()])?;
    peers.line()?;
    sleep(SETTLE);
    Ok(server.resident()?.saturating_sub(before) as f64 / CONNECTIONS as f64)
}
