//! Child processes, and the program that they run.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus},
    sync::{Mutex, OnceLock, PoisonError},
    thread,
    time::{Duration, Instant},
};

static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// Makes this the program that nodes are started from, for who has built it already.
pub fn use_program(path: &Path) {
    assert_eq!(PROGRAM.get_or_init(|| path.to_owned()), path, "another is in use already");
}

/// The `node` program of the profile in which this test was built. Cargo builds it if need be. The
/// environment variable `PINHOLE_NODE` names another one.
pub fn program() -> &'static Path {
    PROGRAM.get_or_init(|| {
        if let Some(program) = std::env::var_os("PINHOLE_NODE") {
            return program.into();
        }
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

/// A child process; killed when dropped.
pub(super) struct Process(Mutex<Child>);

impl Process {
    pub(super) fn new(child: Child) -> Self {
        Self(Mutex::new(child))
    }

    pub(super) fn id(&self) -> u32 {
        self.0.lock().unwrap().id()
    }

    /// Kills it, if it still runs, and waits until it is gone.
    pub(super) fn kill(&self) {
        let mut child = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // It may have ended by itself.
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Another process takes the place of one that has ended.
    pub(super) fn replace(&self, child: Child) {
        *self.0.lock().unwrap() = child;
    }

    /// Waits for its end; `None` if it has not come within this time.
    pub(super) fn wait(&self, within: Duration) -> Option<ExitStatus> {
        let start = Instant::now();
        loop {
            let status = self.0.lock().unwrap().try_wait().unwrap();
            if status.is_some() || start.elapsed() > within {
                return status;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
