//! Child processes and what the kernel knows of them.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// A child process that ends when this value is dropped.
pub struct Process {
    child: Child,
    stdout: BufReader<ChildStdout>,
    what: String,
}

impl Process {
    /// Starts a program whose answers come line by line.
    pub fn start(mut command: Command) -> Result<Process> {
        let what = format!("{command:?}");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot start {what}"))?;
        let stdout = BufReader::new(child.stdout.take().context("no standard output")?);
        Ok(Process { child, stdout, what })
    }

    /// This program again, in one of the roles of `child`.
    pub fn role(stack: &str, role: &str, args: &[&str]) -> Result<Process> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["child", stack, role]).args(args);
        Process::start(command)
    }

    /// The next line that it prints.
    pub fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        ensure!(!line.is_empty(), "{} ended without a word", self.what);
        Ok(line.trim().to_owned())
    }

    /// Resident memory in bytes.
    pub fn resident(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
        let kilobytes = line.split_whitespace().nth(1).context("no number")?;
        Ok(kilobytes.parse::<u64>()? * 1024)
    }

    /// User and system time so far, to 10 ms.
    pub fn cpu_time(&self) -> Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name in parentheses may hold anything; utime and stime are 12th and 13th after it.
        let (_, fields) = stat.rsplit_once(')').context("no name")?;
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks: u64 = ticks.map(str::parse::<u64>).sum::<Result<u64, _>>()?;
        Ok(Duration::from_millis(10 * ticks))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The seconds that a role of `child` prints at its end.
pub fn seconds(stack: &str, role: &str, args: &[&str]) -> Result<f64> {
    Ok(Process::role(stack, role, args)?.line()?.parse()?)
}

/// The root of pinhole's workspace.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Runs cargo in pinhole's workspace and returns what it printed.
pub fn cargo(args: &[&str]) -> Result<String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(args)
        .current_dir(workspace())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    ensure!(output.status.success(), "cargo {} failed", args.join(" "));
    Ok(String::from_utf8(output.stdout)?)
}

/// Builds a program and returns the path of the executable.
pub fn build(args: &[&str]) -> Result<PathBuf> {
    let all: Vec<&str> = [&["build", "-q", "--message-format=json"], args].concat();
    let messages = cargo(&all)?;
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter_map(|message| message["executable"].as_str().map(PathBuf::from))
        .next_back()
        .context("cargo built no program")
}
