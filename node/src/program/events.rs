//! What `up` prints: the events of a node, for people or as JSON.

use std::io::Write;
use std::net::SocketAddr;

use pinhole_node::{Event, IncomingMessage, PeerId, PeerState};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use super::base64;
use super::log::printable;
use super::output::{Color, Output, unix_micros};
use super::wire::{json, millis};

/// A line of `up`.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Printed {
    Ready {
        t: u64,
        peer: PeerId,
        listen: Vec<SocketAddr>,
        /// For people only: JSON has `addr` for this.
        #[serde(skip)]
        addrs: Vec<String>,
    },
    Peer {
        t: u64,
        peer: PeerId,
        state: &'static str,
        was: &'static str,
        reason: String,
        path: Option<&'static str>,
        addr: Option<SocketAddr>,
        rtt_ms: Option<f64>,
        origin: &'static str,
    },
    Path {
        t: u64,
        peer: PeerId,
        path: &'static str,
        addr: SocketAddr,
        reason: String,
    },
    Ping {
        t: u64,
        peer: PeerId,
        ok: bool,
        rtt_ms: Option<f64>,
    },
    Message {
        t: u64,
        peer: PeerId,
        id: String,
        kind: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        body: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        body_b64: Option<String>,
        /// For people: JSON has the body itself.
        #[serde(skip)]
        bytes: usize,
    },
    Problem {
        t: u64,
        what: String,
        hint: String,
    },
    Lost {
        t: u64,
        count: u64,
    },
    Shutdown {
        t: u64,
        reason: String,
    },
}

impl Printed {
    /// An event of the library, unless this program has its own word for it.
    pub(crate) fn from_event(event: Event, pings: bool) -> Option<Self> {
        let t = now_ms();
        match event {
            Event::Peer { peer, state, was, reason, path, addr, rtt, origin } => Some(Self::Peer {
                t,
                peer,
                state: state.name(),
                was: was.name(),
                reason: reason.to_string(),
                path: path.map(|path| path.name()),
                addr,
                rtt_ms: rtt.map(millis),
                origin: origin.name(),
            }),
            Event::Path { peer, path, addr, reason } => {
                Some(Self::Path { t, peer, path: path.name(), addr, reason: reason.to_string() })
            }
            Event::Ping { peer, rtt } => {
                pings.then(|| Self::Ping { t, peer, ok: rtt.is_some(), rtt_ms: rtt.map(millis) })
            }
            Event::Problem { what, hint } => Some(Self::Problem { t, what, hint }),
            Event::Lost { count } => Some(Self::Lost { t, count }),
            _ => None,
        }
    }

    /// A message of a peer.
    pub(crate) fn from_message(message: IncomingMessage) -> Self {
        let (body, body_b64, bytes) = match String::from_utf8(message.body) {
            Ok(text) => {
                let bytes = text.len();
                (Some(text), None, bytes)
            }
            Err(error) => (None, Some(base64::encode(error.as_bytes())), error.as_bytes().len()),
        };
        Self::Message {
            t: now_ms(),
            peer: message.peer,
            id: message.id.to_string(),
            kind: message.kind.as_str(),
            body,
            body_b64,
            bytes,
        }
    }

    fn text(&self, output: &Output) -> String {
        match self {
            Self::Ready { peer, listen, addrs, .. } => {
                let listen: Vec<String> = listen.iter().map(ToString::to_string).collect();
                let mut text = format!("peer    {peer}\nlisten  {}\n", listen.join(", "));
                for addr in addrs {
                    text.push_str(&format!("dial    {addr}\n"));
                }
                text + &output.paint("ready", Color::Good)
            }
            Self::Peer { peer, state, was, reason, path, addr, rtt_ms, .. } => {
                let color = match *state {
                    "connected" => Color::Good,
                    "failed" | "denied" => Color::Bad,
                    "suspect" => Color::Warn,
                    _ => Color::Quiet,
                };
                let mut text = format!("{} {}", short(peer), output.paint(state, color));
                if let (Some(path), Some(addr)) = (path, addr) {
                    text.push_str(&format!(" {path} {addr}"));
                }
                if let Some(rtt) = rtt_ms {
                    text.push_str(&format!(" {rtt:.1} ms"));
                }
                text + &format!(" (was {was}: {reason})")
            }
            Self::Path { peer, path, addr, reason, .. } => {
                format!("{} path is now {path} {addr} ({reason})", short(peer))
            }
            Self::Ping { peer, rtt_ms, .. } => match rtt_ms {
                Some(rtt) => format!("{} ping {rtt:.2} ms", short(peer)),
                None => format!("{} ping lost", short(peer)),
            },
            Self::Message { peer, kind, body, bytes, .. } => match body {
                Some(body) => format!("{peer} {kind}: {}", printable(body)),
                None => format!("{peer} {kind}: {bytes} bytes that are no text"),
            },
            Self::Problem { what, hint, .. } => format!(
                "{} {}; {}",
                output.paint("problem", Color::Bad),
                printable(what),
                printable(hint)
            ),
            Self::Lost { count, .. } => format!("{count} events were too fast for this reader"),
            Self::Shutdown { reason, .. } => format!("stopping: {}", printable(reason)),
        }
    }
}

fn short(peer: &PeerId) -> String {
    format!("{}…", peer.short())
}

pub(crate) fn now_ms() -> u64 {
    unix_micros() / 1000
}

/// Whether an event says that a peer has just connected.
pub(crate) fn is_connected(event: &Event) -> bool {
    matches!(event, Event::Peer { state: PeerState::Connected, .. })
}

/// Prints in a thread of its own: a reader that is slow or stuck never holds the node up.
pub(crate) struct Printer {
    lines: mpsc::Sender<String>,
    done: oneshot::Receiver<()>,
    output: Output,
    lost: u64,
}

/// Lines that wait for a slow reader.
const QUEUE: usize = 256;

impl Printer {
    pub(crate) fn start(output: Output) -> Self {
        let (lines, queue) = mpsc::channel(QUEUE);
        let (end, done) = oneshot::channel();
        std::thread::spawn(move || {
            write_all(queue);
            let _ = end.send(());
        });
        Self { lines, done, output, lost: 0 }
    }

    /// Prints if there is room, and counts what is lost otherwise.
    pub(crate) fn print(&mut self, event: &Printed) {
        if self.lost > 0 {
            let lost = Printed::Lost { t: now_ms(), count: self.lost };
            if !self.try_print(&lost) {
                self.lost += 1;
                return;
            }
            self.lost = 0;
        }
        if !self.try_print(event) {
            self.lost += 1;
        }
    }

    fn try_print(&self, event: &Printed) -> bool {
        let sent = self.lines.try_send(line(event, &self.output));
        // A reader that is gone loses nothing.
        !matches!(sent, Err(mpsc::error::TrySendError::Full(_)))
    }

    /// For what must not be lost: prints as soon as there is room.
    pub(crate) fn patient(&self) -> PatientPrinter {
        PatientPrinter { lines: self.lines.clone(), output: self.output }
    }

    /// Prints a last line, and waits a moment for all that is not written yet.
    pub(crate) async fn end(mut self, last: &Printed) {
        self.print(last);
        let Self { lines, done, .. } = self;
        drop(lines);
        let _ = tokio::time::timeout(std::time::Duration::from_millis(500), done).await;
    }
}

/// A [`Printer`] that waits for room.
pub(crate) struct PatientPrinter {
    lines: mpsc::Sender<String>,
    output: Output,
}

impl PatientPrinter {
    pub(crate) async fn print(&self, event: &Printed) {
        // A reader that is gone wants nothing.
        let _ = self.lines.send(line(event, &self.output)).await;
    }
}

fn line(event: &Printed, output: &Output) -> String {
    let mut text = if output.json { json(event) } else { event.text(output) };
    text.push('\n');
    text
}

fn write_all(mut queue: mpsc::Receiver<String>) {
    let mut stdout = std::io::stdout().lock();
    while let Some(line) = queue.blocking_recv() {
        if stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush()).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_reader_is_told_how_much_it_lost() {
        let (lines, mut queue) = mpsc::channel(2);
        let (_end, done) = oneshot::channel();
        let output = Output::new(true);
        let mut printer = Printer { lines, done, output, lost: 0 };
        let shutdown = || Printed::Shutdown { t: 1, reason: "x".into() };
        for _ in 0..5 {
            printer.print(&shutdown());
        }
        assert!(queue.try_recv().unwrap().contains("shutdown"));
        assert!(queue.try_recv().unwrap().contains("shutdown"));
        printer.print(&shutdown());
        let lost = queue.try_recv().unwrap();
        assert!(lost.contains(r#""event":"lost""#) && lost.contains(r#""count":3"#), "{lost}");
        assert!(queue.try_recv().unwrap().contains("shutdown"));
    }
}
