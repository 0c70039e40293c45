//! A UDP forwarder that holds every datagram back for a fixed time: a long path on one machine.
//!
//! Threads: one reads what dialers send, one reads what the far side sends to each dialer, and two
//! more hand on what is due, one for each direction. Nothing is lost, reordered or shaped.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use socket2::SockRef;

/// Socket buffers large enough for a burst of a whole window.
const BUFFER: usize = 4 << 20;
/// How often a reader looks whether it should end.
const PATIENCE: Duration = Duration::from_millis(50);

/// A running forwarder; dropping it ends its threads.
pub struct Forwarder {
    /// Where to dial instead of the real address.
    pub addr: SocketAddr,
    /// The first datagram of a dialer.
    pub first: Receiver<Vec<u8>>,
    ended: Arc<AtomicBool>,
}

/// A datagram under way.
struct Datagram {
    due: Instant,
    bytes: Vec<u8>,
    through: Arc<UdpSocket>,
    /// `None` on a connected socket.
    to: Option<SocketAddr>,
}

impl Forwarder {
    /// Forwards to `server` and back, with half of `round_trip` in each direction.
    pub fn start(server: SocketAddr, round_trip: Duration) -> Result<Forwarder> {
        let near = Arc::new(socket()?);
        let addr = near.local_addr()?;
        let ended = Arc::new(AtomicBool::new(false));
        let line = Line { one_way: round_trip / 2, ended: ended.clone() };
        let (tap, first) = channel();
        thread::spawn(move || line.forward(near, server, tap));
        Ok(Forwarder { addr, first, ended })
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

#[derive(Clone)]
struct Line {
    one_way: Duration,
    ended: Arc<AtomicBool>,
}

impl Line {
    /// Reads what dialers send, and opens a way back for each of them.
    fn forward(&self, near: Arc<UdpSocket>, server: SocketAddr, tap: Sender<Vec<u8>>) {
        let (out, out_queue) = channel();
        let (back, back_queue) = channel();
        thread::spawn(move || deliver(out_queue));
        thread::spawn(move || deliver(back_queue));
        let mut flows = HashMap::new();
        self.read(&near, |from, datagram| {
            let far = flows.entry(from).or_insert_with(|| {
                let _ = tap.send(datagram.bytes.clone());
                let far = Arc::new(connected(server).expect("a socket for each dialer"));
                self.clone().back(far.clone(), near.clone(), from, back.clone());
                far
            });
            let _ = out.send(Datagram { through: far.clone(), to: None, ..datagram });
        });
    }

    /// Reads what the server sends to one dialer.
    fn back(
        self,
        far: Arc<UdpSocket>,
        near: Arc<UdpSocket>,
        dialer: SocketAddr,
        back: Sender<Datagram>,
    ) {
        thread::spawn(move || {
            self.read(&far, |_, datagram| {
                let to = Some(dialer);
                let _ = back.send(Datagram { through: near.clone(), to, ..datagram });
            });
        });
    }

    fn read(&self, socket: &Arc<UdpSocket>, mut handle: impl FnMut(SocketAddr, Datagram)) {
        let mut buffer = vec![0; 65_536];
        while !self.ended.load(Ordering::Relaxed) {
            match socket.recv_from(&mut buffer) {
                Ok((length, from)) => {
                    let due = Instant::now() + self.one_way;
                    let bytes = buffer[..length].to_vec();
                    handle(from, Datagram { due, bytes, through: socket.clone(), to: None });
                }
                // A timeout, or word that a peer's socket is gone: look at `ended`, go on.
                Err(error) if error.kind() != ErrorKind::InvalidInput => {}
                Err(_) => return,
            }
        }
    }
}

/// Hands datagrams on in order when they are due; the delay is the same for all.
fn deliver(queue: Receiver<Datagram>) {
    while let Ok(datagram) = queue.recv() {
        let wait = datagram.due.saturating_duration_since(Instant::now());
        if !wait.is_zero() {
            thread::sleep(wait);
        }
        let _ = match datagram.to {
            Some(to) => datagram.through.send_to(&datagram.bytes, to),
            None => datagram.through.send(&datagram.bytes),
        };
    }
}

fn socket() -> Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    SockRef::from(&socket).set_recv_buffer_size(BUFFER)?;
    SockRef::from(&socket).set_send_buffer_size(BUFFER)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}

fn connected(server: SocketAddr) -> Result<UdpSocket> {
    let socket = socket()?;
    socket.connect(server)?;
    Ok(socket)
}

/// The median round trip through a forwarder, in seconds: how true its clock is.
pub fn own_round_trip(round_trip: Duration) -> Result<f64> {
    let echo = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let forwarder = Forwarder::start(echo.local_addr()?, round_trip)?;
    thread::spawn(move || {
        let mut byte = [0];
        while let Ok((_, from)) = echo.recv_from(&mut byte) {
            let _ = echo.send_to(&byte, from);
            if byte == [0] {
                return;
            }
        }
    });
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut times = Vec::new();
    for left in (0..5).rev() {
        let start = Instant::now();
        socket.send_to(&[left], forwarder.addr)?;
        socket.recv_from(&mut [0])?;
        times.push(start.elapsed().as_secs_f64());
    }
    Ok(crate::report::median(&times))
}
