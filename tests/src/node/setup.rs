//! How a node is started.

use std::{
    ffi::OsStr,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use pinhole_proto::PeerId;
use serde_json::Value;

use super::{PATIENCE, TestNode, output::Output, process::Process, program};

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

    /// With this `config.toml` in the data folder.
    pub fn configuration(self, text: &str) -> Self {
        fs::create_dir_all(&self.folder).unwrap();
        fs::write(self.folder.join("config.toml"), text).unwrap();
        self
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

    /// The data folder.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
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

    /// Starts a process whose output goes there.
    pub(super) fn run(&self, output: &Arc<Output>) -> Child {
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

/// Who it is and where it listens, once it says that it is ready.
pub(super) fn await_ready(output: &Output) -> (PeerId, Vec<SocketAddr>) {
    let ready = output
        .find(0, PATIENCE, |event| event["event"] == "ready")
        .unwrap_or_else(|why| panic!("not ready: {why}\n{}", output.tail()));
    let listen = ready["listen"].as_array().unwrap().iter();
    let listen = listen.map(|addr| addr.as_str().unwrap().parse().unwrap());
    (ready["peer"].as_str().unwrap().parse().unwrap(), listen.collect())
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
