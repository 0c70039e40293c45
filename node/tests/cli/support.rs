//! What the tests of the program share: folders, commands, and nodes that run.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

/// No step takes longer than this, also on a machine that has other things to do.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// A folder that goes when it is dropped.
pub(crate) struct Temp(PathBuf);

impl Temp {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("pinhole-cli-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// A node's data folder in here.
    pub(crate) fn data(&self, name: &str) -> Data {
        Data(self.0.join(name))
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What a command said.
pub(crate) struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    /// The lines on stdout, each of which has to be an object.
    pub(crate) fn json(&self) -> Vec<Value> {
        self.out
            .lines()
            .map(|line| {
                let value: Value =
                    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"));
                assert!(value.is_object(), "{line}");
                value
            })
            .collect()
    }

    /// The only object on stdout of a command that succeeded.
    pub(crate) fn object(&self) -> Value {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        let mut lines = self.json();
        assert_eq!(lines.len(), 1, "{}", self.out);
        lines.remove(0)
    }

    /// The kind of the error on the last line, of a command that failed with this status.
    pub(crate) fn error(&self, code: i32) -> String {
        assert_eq!(self.code, code, "{}{}", self.out, self.err);
        let last = self.json().pop().expect("an error object");
        let message = last["error"]["message"].as_str().expect("a message");
        assert!(self.err.contains(message), "stderr says it too: {}", self.err);
        last["error"]["kind"].as_str().expect("a kind").to_owned()
    }
}

/// The program, with these words, in the C locale and without a terminal.
pub(crate) fn program(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_node"));
    command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs the program to its end.
pub(crate) fn run(words: &[&str]) -> Said {
    finish(program(words).spawn().unwrap())
}

/// Waits for a program, but not for ever.
pub(crate) fn finish(child: Child) -> Said {
    let pid = child.id();
    let output = or_kill(pid, || child.wait_with_output().unwrap());
    Said {
        code: code(output.status),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Kills a process that does not end in time, for which the test then fails.
pub(crate) fn or_kill<T>(pid: u32, wait: impl FnOnce() -> T) -> T {
    let (done, watch) = channel::<()>();
    let watchdog = std::thread::spawn(move || {
        if watch.recv_timeout(LONG).is_err() {
            signal(pid, "KILL");
        }
    });
    let waited = wait();
    let _ = done.send(());
    watchdog.join().unwrap();
    waited
}

/// The exit status; a process that a signal killed has none and gets −1.
pub(crate) fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or(-1)
}

/// Sends a signal.
pub(crate) fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status();
    assert!(sent.unwrap().success(), "kill -{name} {pid}");
}

/// The keys of an object, sorted.
pub(crate) fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> =
        value.as_object().expect("an object").keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

/// Asserts that an object has these keys, given as in the contract, and no others.
#[track_caller]
pub(crate) fn assert_keys(value: &Value, wanted: &str) {
    let mut wanted: Vec<&str> = wanted.split(',').map(str::trim).collect();
    wanted.sort_unstable();
    assert_eq!(keys(value), wanted, "{value}");
}

/// A data folder.
pub(crate) struct Data(PathBuf);

impl Data {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn text(&self) -> &str {
        self.0.to_str().unwrap()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::create_dir_all(&self.0).unwrap();
        std::fs::write(self.file(name), text).unwrap();
    }

    /// Runs a command on this folder, for JSON.
    pub(crate) fn json(&self, words: &[&str]) -> Said {
        run(&[&["--json", "--data", self.text()], words].concat())
    }

    /// Runs a command on this folder, for people.
    pub(crate) fn text_of(&self, words: &[&str]) -> Said {
        run(&[&["--data", self.text()], words].concat())
    }

    /// Runs a command that reads this from its standard input.
    pub(crate) fn json_with_input(&self, words: &[&str], input: &[u8]) -> Said {
        let words = [&["--json", "--data", self.text()], words].concat();
        let mut child = program(&words).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        finish(child)
    }

    /// Makes the folder and gives its id.
    pub(crate) fn init(&self) -> String {
        self.json(&["init"]).object()["peer"].as_str().unwrap().to_owned()
    }

    /// Starts a node on loopback and waits until it is ready.
    pub(crate) fn up(&self, words: &[&str]) -> Up {
        Up::start(self, words)
    }
}

/// A node that runs; killed when dropped.
pub(crate) struct Up {
    child: Child,
    events: Receiver<Value>,
    log: Arc<Log>,
    pub(crate) ready: Value,
}

/// What a node wrote to stderr.
#[derive(Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    more: Condvar,
}

impl Up {
    fn start(data: &Data, words: &[&str]) -> Self {
        let head = ["--json", "--data", data.text(), "up", "--listen", "127.0.0.1:0"];
        let mut child = program(&[&head, words].concat()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (lines, events) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines() {
                let line = line.unwrap();
                let event = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
                if lines.send(event).is_err() {
                    return;
                }
            }
        });
        let log = Arc::<Log>::default();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let writer = log.clone();
        std::thread::spawn(move || {
            for line in stderr.lines() {
                writer.lines.lock().unwrap().push(line.unwrap());
                writer.more.notify_all();
            }
        });
        let mut up = Self { child, events, log, ready: Value::Null };
        up.ready = up.event("ready");
        up
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn peer(&self) -> String {
        self.ready["peer"].as_str().unwrap().to_owned()
    }

    /// `PEER@HOST:PORT`
    pub(crate) fn addr(&self) -> String {
        format!("{}@{}", self.peer(), self.ready["listen"][0].as_str().unwrap())
    }

    /// Waits for the next event of this name, and skips others.
    #[track_caller]
    pub(crate) fn event(&self, name: &str) -> Value {
        self.event_where(name, |_| true)
    }

    /// Waits for an event of this name for which something holds, and skips others.
    #[track_caller]
    pub(crate) fn event_where(&self, name: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + LONG;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let event = self
                .events
                .recv_timeout(left)
                .unwrap_or_else(|error| panic!("no event `{name}` came: {error}"));
            if event["event"] == name && holds(&event) {
                return event;
            }
        }
    }

    /// Waits until a peer is in a state.
    #[track_caller]
    pub(crate) fn peer_event(&self, peer: &str, state: &str) -> Value {
        self.event_where("peer", |event| event["peer"] == peer && event["state"] == state)
    }

    /// Waits for a line on stderr that contains this.
    #[track_caller]
    pub(crate) fn log_line(&self, part: &str) -> String {
        let found = |lines: &Vec<String>| lines.iter().find(|line| line.contains(part)).cloned();
        let lines = self.log.lines.lock().unwrap();
        let (lines, _) =
            self.log.more.wait_timeout_while(lines, LONG, |lines| found(lines).is_none()).unwrap();
        found(&lines).unwrap_or_else(|| panic!("no line with `{part}` in {lines:?}"))
    }

    /// What it wrote to stderr so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lines.lock().unwrap().clone()
    }

    /// As [`stop`](Self::stop), with all that it wrote to stderr.
    pub(crate) fn stop_with_log(self, name: &str) -> (i32, Vec<Value>, Vec<String>) {
        let log = self.log.clone();
        let (code, events) = self.stop(name);
        let deadline = Instant::now() + LONG;
        // The thread that reads it has ended with the pipe.
        while Arc::strong_count(&log) > 1 && Instant::now() < deadline {
            std::thread::yield_now();
        }
        let lines = log.lines.lock().unwrap().clone();
        (code, events, lines)
    }

    /// Sends a signal and waits for the end.
    pub(crate) fn stop(mut self, name: &str) -> (i32, Vec<Value>) {
        signal(self.pid(), name);
        let code = self.wait();
        (code, self.events.iter().collect())
    }

    /// Waits for the end.
    pub(crate) fn wait(&mut self) -> i32 {
        or_kill(self.pid(), || code(self.child.wait().unwrap()))
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An id that nobody has.
pub(crate) const NOBODY: &str = "pin178yhzfdz0055n2y9j2gntumngvlj2tw6y44wxj7m4hkknax64g8qpgrn44";
