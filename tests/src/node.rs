//! The real program: build it once, start nodes, talk to them, watch what they print, freeze and
//! kill them.

mod output;

use std::{
    ffi::OsStr,
    fs,
    net::{SocketAddr, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, SystemTime},
};

use output::Output;
use pinhole_proto::PeerId;
use serde_json::Value;

use crate::machine::{Signal, signal};

/// What no test needs to wait for.
pub const PATIENCE: Duration = Duration::from_secs(60);

static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// Makes this the program that nodes are started from, for who has built it already.
pub fn use_program(path: &Path) {
    assert_eq!(PROGRAM.get_or_init(|| path.to_owned()), path, "another is in use already");
}

/// The `node` program of the profile in which this test was built. Cargo builds it if need be.
pub fn program() -> &'static Path {
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

/// How a node is started, again and again on the same data folder.
#[derive(Debug, Clone)]
pub struct Setup {
    folder: PathBuf,
    listen: Vec<String>,
    flags: Vec<String>,
    within: Vec<String>,
    /// Kept for as long as somebody needs it.
    _temporary: Option<Arc<TempDir>>,
}

impl Setup {
    /// On a data folder that outlives the node.
    pub fn in_folder(folder: &Path) -> Self {
        let folder = folder.to_owned();
        Self { folder, listen: vec![], flags: vec![], within: vec![], _temporary: None }
    }

    /// On a data folder of its own, on IPv4 loopback, any port.
    pub fn temporary() -> Self {
        let folder = Arc::new(TempDir::new("node"));
        let setup = Self::in_folder(folder.path()).listen(["127.0.0.1:0"]);
        Self { _temporary: Some(folder), ..setup }
    }

    /// Listens on these addresses and no others.
    pub fn listen<S: ToString>(self, listen: impl IntoIterator<Item = S>) -> Self {
        Self { listen: listen.into_iter().map(|addr| addr.to_string()).collect(), ..self }
    }

    /// More flags of `up`.
    pub fn flags<S: ToString>(mut self, flags: impl IntoIterator<Item = S>) -> Self {
        self.flags.extend(flags.into_iter().map(|flag| flag.to_string()));
        self
    }

    /// As the argument of this command, which has to become the node without a fork.
    pub fn within<S: ToString>(self, command: impl IntoIterator<Item = S>) -> Self {
        Self { within: command.into_iter().map(|word| word.to_string()).collect(), ..self }
    }

    /// Draws the key, if there is none, and says whose it is: others can be told to dial a node
    /// before it runs.
    pub fn identity(&self) -> PeerId {
        let mut init = Command::new(program());
        let output = init.args(["init", "--json", "--data"]).arg(&self.folder).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let answer: Value = serde_json::from_str(&text).expect("an object with the id");
        answer["peer"].as_str().expect("an id").parse().unwrap()
    }

    /// Runs a command on the data folder, whether a node runs there or not; it has to succeed.
    pub fn command<S: AsRef<OsStr>>(&self, words: &[S]) {
        let mut command = Command::new(program());
        let output = command.args(words).arg("--data").arg(&self.folder).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Starts the node and waits until it is ready.
    pub fn start(self) -> TestNode {
        self.spawn().ready()
    }

    /// Starts the process and does not wait, so that many start at once.
    pub fn spawn(self) -> Starting {
        let output = Arc::new(Output::default());
        let process = Process::new(self.run(&output));
        Starting { setup: self, process, output }
    }

    fn run(&self, output: &Arc<Output>) -> Child {
        let mut words = self.within.iter().map(OsStr::new).chain([program().as_os_str()]);
        let mut command = Command::new(words.next().expect("a program"));
        command.args(words).args(["up", "--json", "--data"]).arg(&self.folder).args(&self.flags);
        command.args(self.listen.iter().flat_map(|addr| ["--listen", addr]));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        output.follow(child.stdout.take().unwrap(), child.stderr.take().unwrap());
        child
    }
}

/// A child process; killed when dropped.
struct Process(Mutex<Child>);

impl Process {
    fn new(child: Child) -> Self {
        Self(Mutex::new(child))
    }

    fn id(&self) -> u32 {
        self.0.lock().unwrap().id()
    }

    fn kill(&self) {
        let mut child = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // It may have ended by itself.
        let _ = child.kill();
        let _ = child.wait();
    }

    fn wait(&self) -> ExitStatus {
        self.0.lock().unwrap().wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A node whose process runs, and that has not said yet that it is ready.
pub struct Starting {
    setup: Setup,
    process: Process,
    output: Arc<Output>,
}

impl Starting {
    /// Waits until it is.
    pub fn ready(self) -> TestNode {
        let Self { setup, process, output } = self;
        let (peer, listen) = await_ready(&output);
        let setup = setup.listen(&listen);
        TestNode { peer, listen, setup, process, output }
    }
}

fn await_ready(output: &Output) -> (PeerId, Vec<SocketAddr>) {
    let ready = output
        .find(0, PATIENCE, |event| event["event"] == "ready")
        .unwrap_or_else(|why| panic!("not ready: {why}\n{}", output.tail()));
    let listen = ready["listen"].as_array().unwrap().iter();
    let listen = listen.map(|addr| addr.as_str().unwrap().parse().unwrap());
    (ready["peer"].as_str().unwrap().parse().unwrap(), listen.collect())
}

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
        command.args(words).arg("--json").arg("--data").arg(&self.setup.folder);
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

    /// Asks it to stop (SIGTERM) and waits until it has; whether it exited with 0.
    pub fn stop(&self) -> bool {
        signal(self.pid(), Signal::Terminate);
        self.process.wait().success()
    }

    /// Starts it again on the same data folder and the same addresses; what still runs is killed.
    pub fn restart(&self) {
        self.kill();
        *self.process.0.lock().unwrap() = self.setup.run(&self.output);
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
        self.0.wait().success()
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
