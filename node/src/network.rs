//! Whether this machine slept or its network changed.
//!
//! *Purpose*: tell a node that silence may be its own fault, and that dials which failed before may
//! work now. *Inputs*: samples of the boot clock, which goes on while the machine sleeps, of the
//! monotonic one, which does not, and of the addresses of the interfaces. *Outputs*: a
//! [`NetworkChange`]. *Not handled*: taking the samples (`network_watch`), and what follows from a change
//! (`peers`).

use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// The clocks may differ by this much for other reasons than sleep: their resolution, and a process
/// that was stopped between two readings.
const SLEPT: Duration = Duration::from_secs(3);

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkChange {
    /// The machine slept for about this long.
    Slept(Duration),
    /// An interface or an address came or went.
    Addresses,
}

impl fmt::Display for NetworkChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slept(time) => write!(f, "this machine slept for {} s", time.as_secs()),
            Self::Addresses => write!(f, "the addresses of this machine changed"),
        }
    }
}

/// An address of an interface.
pub type InterfaceAddr = (String, IpAddr);

/// What is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The monotonic clock, which stands still while the machine sleeps.
    pub now: Instant,
    /// The boot clock; `None` if it could not be read.
    pub boot: Option<Duration>,
    /// The addresses, loopback left out; `None` if they could not be read.
    pub addrs: Option<Vec<InterfaceAddr>>,
}

/// Compares each sample with the one before.
#[derive(Clone, Debug)]
pub struct NetworkWatch {
    last: Sample,
}

impl NetworkWatch {
    /// Begins with a first sample.
    #[must_use]
    pub fn new(first: Sample) -> Self {
        Self { last: sorted(first) }
    }

    /// What is different from the sample before. Sleep is told before addresses, which it explains.
    pub fn handle_sample(&mut self, sample: Sample) -> Option<NetworkChange> {
        let sample = sorted(sample);
        let slept = self.slept(&sample).filter(|time| *time >= SLEPT);
        let moved = matches!((&self.last.addrs, &sample.addrs), (Some(a), Some(b)) if a != b);
        // A sample that could not be taken does not hide what is different in the next one.
        self.last = Sample {
            now: sample.now,
            boot: sample.boot,
            addrs: sample.addrs.or_else(|| self.last.addrs.take()),
        };
        slept.map(NetworkChange::Slept).or(moved.then_some(NetworkChange::Addresses))
    }

    /// How much further the boot clock went than the monotonic one.
    fn slept(&self, sample: &Sample) -> Option<Duration> {
        let boot = sample.boot?.checked_sub(self.last.boot?)?;
        boot.checked_sub(sample.now.saturating_duration_since(self.last.now))
    }
}

fn sorted(mut sample: Sample) -> Sample {
    if let Some(addrs) = &mut sample.addrs {
        addrs.sort_unstable();
        addrs.dedup();
    }
    sample
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;

    struct Clock {
        start: Instant,
    }

    impl Clock {
        fn sample(&self, mono_s: u64, boot_s: u64, addrs: Option<&[&str]>) -> Sample {
            let addr = |ip: &&str| ("eth0".to_owned(), ip.parse().unwrap());
            Sample {
                now: self.start + Duration::from_secs(mono_s),
                boot: Some(Duration::from_secs(1000 + boot_s)),
                addrs: addrs.map(|addrs| addrs.iter().map(addr).collect()),
            }
        }
    }

    const HOME: &[&str] = &["192.168.1.7", "fe80::1"];

    fn watch() -> (Clock, NetworkWatch) {
        let clock = Clock { start: Instant::now() };
        let watch = NetworkWatch::new(clock.sample(0, 0, Some(HOME)));
        (clock, watch)
    }

    #[test]
    fn time_that_passes_is_no_change() {
        let (clock, mut watch) = watch();
        assert_eq!(watch.handle_sample(clock.sample(2, 2, Some(HOME))), None);
        // Two seconds of rounding are none either, nor is a process that was stopped for an hour.
        assert_eq!(watch.handle_sample(clock.sample(4, 6, Some(HOME))), None);
        assert_eq!(watch.handle_sample(clock.sample(3604, 3606, Some(HOME))), None);
    }

    #[test]
    fn a_boot_clock_that_went_further_is_sleep() {
        let (clock, mut watch) = watch();
        let slept = watch.handle_sample(clock.sample(2, 302, Some(HOME)));
        assert_eq!(slept, Some(NetworkChange::Slept(Duration::from_secs(300))));
        assert_eq!(watch.handle_sample(clock.sample(4, 304, Some(HOME))), None);
    }

    #[test]
    fn a_boot_clock_that_goes_back_is_ignored() {
        let (clock, mut watch) = watch();
        watch.handle_sample(clock.sample(10, 10, Some(HOME)));
        assert_eq!(watch.handle_sample(clock.sample(12, 0, Some(HOME))), None);
    }

    #[test]
    fn an_address_that_comes_or_goes_is_a_change_and_their_order_is_not() {
        let (clock, mut watch) = watch();
        let turned = &["fe80::1", "192.168.1.7"];
        assert_eq!(watch.handle_sample(clock.sample(2, 2, Some(turned))), None);
        let cafe = watch.handle_sample(clock.sample(4, 4, Some(&["10.0.0.9"])));
        assert_eq!(cafe, Some(NetworkChange::Addresses));
        assert_eq!(watch.handle_sample(clock.sample(6, 6, Some(&["10.0.0.9"]))), None);
        let none = watch.handle_sample(clock.sample(8, 8, Some(&[])));
        assert_eq!(none, Some(NetworkChange::Addresses));
    }

    #[test]
    fn a_sample_that_failed_hides_nothing() {
        let (clock, mut watch) = watch();
        assert_eq!(watch.handle_sample(clock.sample(2, 2, None)), None);
        let cafe = watch.handle_sample(clock.sample(4, 4, Some(&["10.0.0.9"])));
        assert_eq!(cafe, Some(NetworkChange::Addresses));
    }
}
