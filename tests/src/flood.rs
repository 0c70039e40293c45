//! Many packets from many addresses.

use std::{
    net::{SocketAddr, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use crate::forwarder::loopback;

/// Packets are sent in steps of this length.
const STEP: Duration = Duration::from_millis(1);

/// Sockets that all send to one node.
pub struct Flood {
    sources: Vec<UdpSocket>,
}

/// How a flood went.
#[derive(Debug)]
pub struct Sent {
    /// Packets that were sent.
    pub packets: u64,
    /// How long that took.
    pub time: Duration,
}

impl Flood {
    /// Binds this many source ports.
    pub fn new(target: SocketAddr, sources: usize) -> Self {
        let source = |_| {
            let socket = UdpSocket::bind((loopback(target), 0)).unwrap();
            socket.connect(target).unwrap();
            socket.set_nonblocking(true).unwrap();
            socket
        };
        Self { sources: (0..sources).map(source).collect() }
    }

    /// Sends for this time at an even rate, each packet from the next source.
    pub fn send(&self, rate: u64, time: Duration, packets: &[Vec<u8>]) -> Sent {
        let start = Instant::now();
        let mut sent = 0;
        while start.elapsed() < time {
            let due = (start.elapsed().as_secs_f64() * rate as f64) as u64;
            for number in sent..due {
                let source = &self.sources[number as usize % self.sources.len()];
                // A full buffer or an ICMP error: the packet counts as sent.
                let _ = source.send(&packets[number as usize % packets.len()]);
            }
            sent = due;
            thread::sleep(STEP);
        }
        Sent { packets: sent, time: start.elapsed() }
    }

    /// Bytes that came back to all sources together.
    pub fn answers(&self) -> usize {
        let mut buffer = [0; 65_536];
        let mut bytes = 0;
        for source in &self.sources {
            while let Ok(len) = source.recv(&mut buffer) {
                bytes += len.max(1);
            }
        }
        bytes
    }
}
