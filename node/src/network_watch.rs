//! Looks at the clocks and interfaces of this machine now and then (shell).

#[cfg(not(target_os = "linux"))]
use std::time::SystemTime;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::driver::Request;
use crate::network::{InterfaceAddr, NetworkWatch, Sample};

/// Between two looks. They cost microseconds; a battery notices that a processor wakes up.
const EVERY: Duration = Duration::from_secs(2);

/// Tells the driver of changes, until it has ended.
pub(crate) async fn run(requests: mpsc::Sender<Request>) {
    let mut watch = NetworkWatch::new(sample());
    let mut problem_told = false;
    loop {
        tokio::time::sleep(EVERY).await;
        let sample = sample();
        if sample.addrs.is_none() && !problem_told {
            problem_told = true;
            tracing::warn!("cannot list the interfaces: a change of network is noticed late");
        }
        if let Some(change) = watch.handle_sample(sample)
            && requests.send(Request::NetworkChanged(change)).await.is_err()
        {
            return;
        }
    }
}

fn sample() -> Sample {
    Sample { now: Instant::now(), boot: boot_clock(), addrs: addrs() }
}

fn addrs() -> Option<Vec<InterfaceAddr>> {
    let all = if_addrs::get_if_addrs().ok()?.into_iter();
    Some(all.filter(|i| !i.is_loopback()).map(|i| (i.name.clone(), i.ip())).collect())
}

/// Time since this machine was started, sleep included.
#[cfg(target_os = "linux")]
fn boot_clock() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/uptime").ok()?;
    let seconds = text.split_whitespace().next()?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// The wall clock goes on while the machine sleeps; that somebody set it forward looks like sleep
/// and costs one round of probes.
#[cfg(not(target_os = "linux"))]
fn boot_clock() -> Option<Duration> {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_can_be_looked_at() {
        let first = sample();
        assert!(first.boot.is_some());
        assert!(first.addrs.is_some());
    }
}
