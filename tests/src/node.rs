//! The real program: build it once, start nodes, talk to them, watch what they print, freeze and
//! kill them.

mod output;
mod process;
mod setup;

use std::{
    ffi::OsStr,
    net::{SocketAddr, UdpSocket},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, SystemTime},
};

use output::Output;
use pinhole_proto::PeerId;
use process::Process;
pub use process::{program, use_program};
use serde_json::Value;
use setup::await_ready;
pub use setup::{Setup, Starting, TempDir};

use crate::machine::{Signal, signal};

/// What no test needs to wait for.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A node that is asked to stop has stopped by then, and twice as much for a machine with much to do.
const STOPPED: Duration = Duration::from_secs(10);

/// A running `node up`; killed when dropped. What it printed is shown if the test fails.
pub struct TestNode {
    /// Its id.
    pub peer: PeerId,
    /// Where it listens.
    pub listen: Vec<SocketAddr>,
    setup: Setup,
    process: Process,
    output: Arc<Output>,
}

impl TestNode {
    /// Starts a node with a data folder of its own on IPv4 loopback, any port.
    pub fn start(flags: &[&str]) -> Self {
        Setup::temporary().flags(flags).start()
    }

    /// As [`TestNode::start`], on these addresses.
    pub fn listening(listen: &[&str], flags: &[&str]) -> Self {
        Setup::temporary().listen(listen).flags(flags).start()
    }

    /// Starts a node on a data folder that outlives it.
    pub fn in_folder(dir: &Path, listen: &[&str], flags: &[&str]) -> Self {
        Setup::in_folder(dir).listen(listen).flags(flags).start()
    }

    /// `PEER@HOST:PORT` of its first address.
    pub fn address(&self) -> String {
        self.address_at(self.listen[0])
    }

    /// `PEER@HOST:PORT` of another address at which it can be reached, a forwarder's.
    pub fn address_at(&self, addr: SocketAddr) -> String {
        format!("{}@{addr}", self.peer)
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }
}

/// What it says.
impl TestNode {
    /// Waits for an event of this name that satisfies `wanted`; others before it are passed over.
    pub fn wait_event(&self, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        self.output
            .next(PATIENCE, |event| event["event"] == name && wanted(event))
            .unwrap_or_else(|why| self.fail(&format!("no {name} event: {why}")))
    }

    /// Waits until the node says that `peer` has this state; what it said before is passed over.
    pub fn wait_state(&self, peer: PeerId, state: &str) -> Value {
        let peer = peer.to_string();
        self.wait_event("peer", |event| event["peer"] == peer.as_str() && event["state"] == state)
    }

    /// Waits until `peer` is connected, if it is not.
    pub fn wait_connected(&self, peer: PeerId) -> Value {
        self.assert_state(peer, "connected", PATIENCE)
    }

    /// Asserts that `peer` has this state within this time, if it does not already. The answer is
    /// the event that said so last.
    pub fn assert_state(&self, peer: PeerId, state: &str, within: Duration) -> Value {
        self.output.settled(peer, within, |event| event["state"] == state).unwrap_or_else(|why| {
            let now = self.state(peer);
            self.fail(&format!("{peer} is not {state} but {now} ({why}, {within:?})"))
        })
    }

    /// The first event since `mark` that gave `peer` this state, if it comes within this time.
    pub fn state_since(
        &self,
        mark: usize,
        peer: PeerId,
        state: &str,
        within: Duration,
    ) -> Option<Value> {
        let peer = peer.to_string();
        let wanted = |event: &Value| {
            event["event"] == "peer" && event["peer"] == peer.as_str() && event["state"] == state
        };
        self.output.find(mark, within, wanted).ok()
    }

    /// The state that it last said `peer` to have, since it was started; `unknown` if it has not.
    pub fn state(&self, peer: PeerId) -> String {
        let last = self.history(peer, 0).pop();
        last.map_or_else(|| "unknown".to_owned(), |event| event["state"].as_str().unwrap().into())
    }

    /// A moment in what it says, for [`TestNode::history`].
    pub fn mark(&self) -> usize {
        self.output.mark()
    }

    /// Every change of `peer`'s state since `mark`, but none from before it was last started.
    pub fn history(&self, peer: PeerId, mark: usize) -> Vec<Value> {
        self.output.about(peer, mark)
    }

    /// The end of its events and of its log.
    pub fn logs(&self) -> String {
        self.output.tail()
    }

    fn fail(&self, why: &str) -> ! {
        panic!("{} says: {why}", self.peer)
    }
}

/// What it is asked.
impl TestNode {
    /// Runs a command that uses this node; the lines of its stdout, and whether it exited with 0.
    pub fn command<S: AsRef<OsStr>>(&self, words: &[S]) -> (Vec<Value>, bool) {
        let output = self.prepared(words).output().unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        let lines = stdout.lines().map(|line| serde_json::from_str(line).unwrap());
        (lines.collect(), output.status.success())
    }

    /// Starts such a command and does not wait for it.
    pub fn begin<S: AsRef<OsStr>>(&self, words: &[S]) -> UnderWay {
        let mut command = self.prepared(words);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        UnderWay(Process::new(command.spawn().unwrap()))
    }

    fn prepared<S: AsRef<OsStr>>(&self, words: &[S]) -> Command {
        let mut command = Command::new(program());
        command.args(words).arg("--json").arg("--data").arg(self.setup.folder());
        command
    }

    /// What `status` says.
    pub fn status(&self) -> Value {
        let (mut lines, done) = self.command(&["status"]);
        assert!(done && lines.len() == 1, "{lines:?}");
        lines.remove(0)
    }

    /// What `peers` says.
    pub fn peers(&self) -> Vec<Value> {
        let (lines, done) = self.command(&["peers"]);
        assert!(done, "{lines:?}");
        lines
    }
}

/// What is done to it.
impl TestNode {
    /// Stops its process as a debugger or a suspended machine would (SIGSTOP).
    pub fn freeze(&self) {
        signal(self.pid(), Signal::Stop);
    }

    /// Lets it go on (SIGCONT).
    pub fn thaw(&self) {
        signal(self.pid(), Signal::Continue);
    }

    /// Kills it with SIGKILL and waits until it is gone.
    pub fn kill(&self) {
        self.process.kill();
    }

    /// Asks it to stop (SIGTERM) and waits until it has; whether it exited with 0, and in the time
    /// that a node is given.
    pub fn stop(&self) -> bool {
        signal(self.pid(), Signal::Terminate);
        self.process.wait(STOPPED).is_some_and(|status| status.success())
    }

    /// Starts it again on the same data folder and the same addresses; what still runs is killed.
    pub fn restart(&self) {
        self.kill();
        self.process.replace(self.setup.run(&self.output));
        let (peer, _) = await_ready(&self.output);
        assert_eq!(peer, self.peer, "the key survives");
    }
}

impl Drop for TestNode {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("=== {} {:?}\n{}", self.peer, self.listen, self.logs());
        }
    }
}

/// A command under way; killed when dropped.
pub struct UnderWay(Process);

impl UnderWay {
    /// Waits for its end; whether it exited with 0.
    pub fn succeeds(self) -> bool {
        self.0.wait(PATIENCE).is_some_and(|status| status.success())
    }
}

/// UDP ports of loopback that were free a moment ago.
pub fn free_addrs(count: usize) -> Vec<SocketAddr> {
    let sockets: Vec<_> = (0..count).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    sockets.iter().map(|socket| socket.local_addr().unwrap()).collect()
}

/// When an event was said, in milliseconds since 1970.
pub fn said_at(event: &Value) -> u64 {
    event["t"].as_u64().expect("events have a time")
}

/// The same clock, now.
pub fn now_ms() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64
}
