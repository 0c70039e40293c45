//! What this machine can do, and what a process uses of it.

use std::{
    fs,
    net::{Ipv6Addr, UdpSocket},
};

/// Whether there is IPv6 on loopback. Without it a test is skipped, loudly; where the environment
/// has `CI=true`, it fails.
pub fn has_ipv6(test: &str) -> bool {
    match UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)) {
        Ok(_) => true,
        Err(error) => {
            let why = format!("{test}: this machine has no IPv6 on loopback ({error})");
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{why}");
            eprintln!("SKIPPED {why}");
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
