//! The real `node` program, for the rows that are about it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::process::Process;

/// A running `node up` on a free port of 127.0.0.1, with a data folder of its own.
pub struct Node {
    pub process: Process,
    /// Its id as text.
    pub peer: String,
    /// The address that it listens on.
    pub addr: std::net::SocketAddr,
    program: PathBuf,
    _data: Folder,
}

impl Node {
    /// Starts a node and waits until it is ready.
    pub fn up(program: &Path) -> Result<Node> {
        let data = Folder::new()?;
        let mut command = Command::new(program);
        command.arg("--data").arg(&data.0).args(["--json", "up", "--listen", "127.0.0.1:0"]);
        command.stderr(Stdio::null());
        let mut process = Process::start(command)?;
        let ready = loop {
            let event: Value = serde_json::from_str(&process.line()?)?;
            if event["event"] == "ready" {
                break event;
            }
        };
        let peer = ready["peer"].as_str().context("no peer")?.to_owned();
        let addr = ready["listen"][0].as_str().context("no address")?;
        let addr = addr.rsplit('@').next().unwrap_or(addr).parse()?;
        Ok(Node { process, peer, addr, program: program.to_owned(), _data: data })
    }

    /// A stranger's `node ping` through `addr`, from a cold start; how long it took.
    pub fn honest_dial(&self, addr: std::net::SocketAddr) -> Result<Duration> {
        let data = Folder::new()?;
        let start = Instant::now();
        let output = Command::new(&self.program)
            .arg("--data")
            .arg(&data.0)
            .args(["ping", "-c", "1", &format!("{}@{addr}", self.peer)])
            .output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(start.elapsed())
    }
}

/// A temporary folder, removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Folder> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("pinhole-bench-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Folder(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
