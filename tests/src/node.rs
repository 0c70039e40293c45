//! The real program: build it once, start nodes, talk to them, watch what they print.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
        mpsc::{Receiver, channel},
    },
    thread,
    time::{Duration, Instant},
};

use pinhole_proto::PeerId;
use serde_json::Value;

/// What no test needs to wait for.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The `node` program of the profile in which this test was built. Cargo builds it if need be.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let test = std::env::current_exe().unwrap(); // TARGET/PROFILE/deps/TEST
        let profile = test.parent().and_then(Path::parent).unwrap();
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
        // With the features of the whole workspace, what `cargo test --workspace` built is reused.
        cargo.args(["build", "--quiet", "--workspace", "--bin", "node", "--target-dir"]);
        cargo.arg(profile.parent().unwrap());
        if profile.ends_with("release") {
            cargo.arg("--release");
        }
        assert!(cargo.status().unwrap().success(), "cargo build --bin node failed");
        profile.join("node")
    })
}

/// A new directory under the system's one for temporary files; removed when dropped.
#[derive(Debug)]
pub struct TempDir(PathBuf);

impl TempDir {
    /// Makes one; `name` is for people who look.
    pub fn new(name: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = format!("pinhole-{name}-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        // Whoever is still writing there leaves a few files behind.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A running `node up`; killed when dropped.
pub struct TestNode {
    /// Its id.
    pub peer: PeerId,
    /// Where it listens.
    pub listen: Vec<SocketAddr>,
    dir: PathBuf,
    child: Child,
    events: Receiver<Value>,
    /// Kept for as long as the node.
    _temporary: Option<TempDir>,
}

impl TestNode {
    /// Starts a node with a data folder of its own on IPv4 loopback, any port.
    pub fn start(flags: &[&str]) -> Self {
        Self::listening(&["127.0.0.1:0"], flags)
    }

    /// As [`TestNode::start`], on these addresses.
    pub fn listening(listen: &[&str], flags: &[&str]) -> Self {
        let dir = TempDir::new("node");
        let mut node = Self::in_folder(dir.path(), listen, flags);
        node._temporary = Some(dir);
        node
    }

    /// Starts a node on a data folder that outlives it.
    pub fn in_folder(dir: &Path, listen: &[&str], flags: &[&str]) -> Self {
        let mut command = Command::new(program());
        command.args(["up", "--json", "--data"]).arg(dir).args(flags);
        command.args(listen.iter().flat_map(|addr| ["--listen", addr]));
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (events, printed) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let event = serde_json::from_str(&line).expect("stdout is one JSON object a line");
                if events.send(event).is_err() {
                    return;
                }
            }
        });
        let ready = next_event(&printed, "ready", |_| true);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Self {
            peer: text(&ready["peer"]).parse().unwrap(),
            listen: ready["listen"]
                .as_array()
                .unwrap()
                .iter()
                .map(|a| text(a).parse().unwrap())
                .collect(),
            dir: dir.to_owned(),
            child,
            events: printed,
            _temporary: None,
        }
    }

    /// `PEER@HOST:PORT` of its first address.
    pub fn address(&self) -> String {
        format!("{}@{}", self.peer, self.listen[0])
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for an event of this name that satisfies `wanted`; others before it are passed over.
    pub fn wait_event(&self, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        next_event(&self.events, name, wanted)
    }

    /// Waits until the node says that `peer` has this state.
    pub fn wait_state(&self, peer: PeerId, state: &str) -> Value {
        let peer = peer.to_string();
        self.wait_event("peer", |event| event["peer"] == peer.as_str() && event["state"] == state)
    }

    /// Runs a command that uses this node; the lines of its stdout, and whether it exited with 0.
    pub fn command<S: AsRef<OsStr>>(&self, words: &[S]) -> (Vec<Value>, bool) {
        let mut command = Command::new(program());
        let output =
            command.args(words).arg("--json").arg("--data").arg(&self.dir).output().unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        let lines = stdout.lines().map(|line| serde_json::from_str(line).unwrap());
        (lines.collect(), output.status.success())
    }

    /// What `status` says.
    pub fn status(&self) -> Value {
        let (mut lines, done) = self.command(&["status"]);
        assert!(done && lines.len() == 1, "{lines:?}");
        lines.remove(0)
    }

    /// Kills it with SIGKILL and waits until it is gone.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for TestNode {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn next_event(events: &Receiver<Value>, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + PATIENCE;
    let mut seen = Vec::new();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match events.recv_timeout(left) {
            Ok(event) if event["event"] == name && wanted(&event) => return event,
            Ok(event) => seen.push(event),
            Err(error) => panic!("no {name} event ({error}); there were {seen:?}"),
        }
    }
}
