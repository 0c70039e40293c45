//! What this machine can do, what a process uses of it, and signals.

use std::{
    fs,
    net::{Ipv6Addr, UdpSocket},
    process::Command,
    time::Duration,
};

/// Says that a test cannot run here, and why; where the environment has `CI=true`, fails.
pub fn skip(test: &str, why: &str) {
    let why = format!("{test}: {why}");
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{why}");
    eprintln!("SKIPPED {why}");
}

/// Whether the long form of a test is wanted: `PINHOLE_LONG=1`.
pub fn long() -> bool {
    std::env::var("PINHOLE_LONG").is_ok_and(|long| long == "1")
}

/// Whether there is IPv6 on loopback. Without it a test is skipped, loudly; where the environment
/// has `CI=true`, it fails.
pub fn has_ipv6(test: &str) -> bool {
    match UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)) {
        Ok(_) => true,
        Err(error) => {
            skip(test, &format!("this machine has no IPv6 on loopback ({error})"));
            false
        }
    }
}

/// Resident memory of a process in bytes.
pub fn resident(pid: u32) -> usize {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let kilobytes: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kilobytes * 1024
}

/// Open file descriptors of a process.
pub fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// User and system time of a process so far, to 10 ms.
pub fn cpu_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The name in parentheses may hold anything; utime and stime are 12th and 13th after it.
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks = fields.split_whitespace().skip(11).take(2);
    Duration::from_millis(10 * ticks.map(|ticks| ticks.parse::<u64>().unwrap()).sum::<u64>())
}

/// What a process can be told from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Stand still.
    Stop,
    /// Go on.
    Continue,
    /// End in an orderly way.
    Terminate,
}

/// Sends a signal to a process that is there.
pub fn signal(pid: u32, signal: Signal) {
    let name = match signal {
        Signal::Stop => "-STOP",
        Signal::Continue => "-CONT",
        Signal::Terminate => "-TERM",
    };
    let status = Command::new("kill").args([name, &pid.to_string()]).status().unwrap();
    assert!(status.success(), "kill {name} {pid}");
}
