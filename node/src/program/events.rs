//! What `up` prints: the events of a node, for people or as JSON.

use std::io::Write;

use pinhole_node::{Event, IncomingMessage, Node, PeerId};
use tokio::sync::{mpsc, oneshot};

use super::base64;
use super::json::{Json, millis, object};
use super::log::printable;
use super::output::{Color, Output, unix_micros};
use super::view::color_of;
use super::words;

/// Makes the lines of `up`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lines {
    output: Output,
    /// Whether pings are told.
    pings: bool,
}

impl Lines {
    pub(crate) fn new(output: Output, pings: bool) -> Self {
        Self { output, pings }
    }

    /// The node runs and answers commands.
    pub(crate) fn ready(&self, node: &Node) -> String {
        let (peer, listen) = (node.id(), node.listen_addrs());
        self.line(
            || object! { "event": "ready", "t": now_ms(), "peer": peer, "listen": listen.to_vec() },
            || {
                let listen: Vec<String> = listen.iter().map(ToString::to_string).collect();
                let mut text = format!("peer    {peer}\nlisten  {}\n", listen.join(", "));
                for addr in node.addr().lines() {
                    text.push_str(&format!("dial    {addr}\n"));
                }
                text + &self.output.paint("ready", Color::Good)
            },
        )
    }

    /// An event of the library, unless this program has its own word for it.
    pub(crate) fn event(&self, event: &Event) -> Option<String> {
        Some(match event {
            Event::Peer { .. } => self.peer(event),
            Event::Path { peer, path, addr, reason } => self.line(
                || {
                    object! {
                        "event": "path", "t": now_ms(), "peer": *peer, "path": path.name(),
                        "addr": *addr, "reason": *reason,
                    }
                },
                || format!("{} path is now {path} {addr} ({reason})", short(peer)),
            ),
            Event::Ping { peer, rtt } if self.pings => self.line(
                || {
                    object! {
                        "event": "ping", "t": now_ms(), "peer": *peer, "ok": rtt.is_some(),
                        "rtt_ms": rtt.map(millis),
                    }
                },
                || match rtt {
                    Some(rtt) => format!("{} ping {} ms", short(peer), millis(*rtt).line()),
                    None => format!("{} ping lost", short(peer)),
                },
            ),
            Event::Problem { what, hint } => self.problem(what, hint),
            Event::Lost { count } => self.lost(*count),
            _ => return None,
        })
    }

    fn peer(&self, event: &Event) -> String {
        let Event::Peer { peer, state, was, reason, reached_by, path, addr, rtt, origin } = event
        else {
            return String::new();
        };
        self.line(
            || {
                object! {
                    "event": "peer", "t": now_ms(), "peer": *peer, "state": state.name(),
                    "was": was.name(), "reason": reason.to_string(),
                    "path": path.map(|path| path.name()), "addr": *addr,
                    "rtt_ms": rtt.map(millis), "origin": origin.name(),
                    "reached_by": reached_by.clone(),
                }
            },
            || {
                let color = color_of(state.name());
                let mut text =
                    format!("{} {}", short(peer), self.output.paint(state.name(), color));
                if let (Some(path), Some(addr)) = (path, addr) {
                    text.push_str(&format!(" {path} {addr}"));
                }
                if let Some(rtt) = rtt {
                    text.push_str(&format!(" {} ms", millis(*rtt).line()));
                }
                text.push_str(&format!(" (was {was}: {}", words::reason(reason.name())));
                if !reached_by.is_empty() {
                    let others: Vec<_> = reached_by.iter().map(short).collect();
                    text.push_str(&format!("; still heard by {}", others.join(", ")));
                }
                text + ")"
            },
        )
    }

    /// A message of a peer.
    pub(crate) fn message(&self, message: &IncomingMessage) -> String {
        let (peer, kind) = (message.peer, message.kind.as_str());
        let body = std::str::from_utf8(&message.body);
        let (key, content) = match body {
            Ok(text) => ("body", text.to_owned()),
            Err(_) => ("body_b64", base64::encode(&message.body)),
        };
        self.line(
            || {
                let mut object = object! {
                    "event": "message", "t": now_ms(), "peer": peer,
                    "id": message.id.to_string(), "kind": kind,
                };
                if let Json::Object(entries) = &mut object {
                    entries.push((key.into(), content.into()));
                }
                object
            },
            || match body {
                Ok(text) => format!("{peer} {kind}: {}", printable(text)),
                Err(_) => format!("{peer} {kind}: {} bytes that are no text", message.body.len()),
            },
        )
    }

    fn problem(&self, what: &str, hint: &str) -> String {
        self.line(
            || object! { "event": "problem", "t": now_ms(), "what": what, "hint": hint },
            || {
                let word = self.output.paint("problem", Color::Bad);
                format!("{word} {}; {}", printable(what), printable(hint))
            },
        )
    }

    fn lost(&self, count: u64) -> String {
        self.line(
            || object! { "event": "lost", "t": now_ms(), "count": count },
            || format!("{count} events were too fast for this reader"),
        )
    }

    /// The node stops.
    pub(crate) fn shutdown(&self, reason: &str) -> String {
        self.line(
            || object! { "event": "shutdown", "t": now_ms(), "reason": reason },
            || format!("stopping: {}", printable(reason)),
        )
    }

    fn line(&self, json: impl FnOnce() -> Json, text: impl FnOnce() -> String) -> String {
        let mut line = if self.output.json { json().line() } else { text() };
        line.push('\n');
        line
    }
}

fn short(peer: &PeerId) -> String {
    format!("{}…", peer.short())
}

/// Milliseconds since 1970.
fn now_ms() -> u64 {
    unix_micros() / 1000
}

/// Prints in a thread of its own: a reader that is slow or stuck never holds the node up.
pub(crate) struct Printer {
    pub(crate) lines: Lines,
    queue: mpsc::Sender<String>,
    done: oneshot::Receiver<()>,
    lost: u64,
}

/// Lines that wait for a slow reader.
const QUEUE: usize = 256;

impl Printer {
    pub(crate) fn start(lines: Lines) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let (end, done) = oneshot::channel();
        std::thread::spawn(move || {
            write_all(waiting);
            // An error says that nobody waits for the end.
            let _ = end.send(());
        });
        Self { lines, queue, done, lost: 0 }
    }

    /// Prints if there is room, and counts what is lost otherwise.
    pub(crate) fn print(&mut self, line: String) {
        if self.lost > 0 && self.try_print(self.lines.lost(self.lost)) {
            self.lost = 0;
        }
        if self.lost > 0 || !self.try_print(line) {
            self.lost += 1;
        }
    }

    fn try_print(&self, line: String) -> bool {
        // A reader that is gone loses nothing.
        !matches!(self.queue.try_send(line), Err(mpsc::error::TrySendError::Full(_)))
    }

    /// The queue, for what must not be lost: its sender waits for room.
    pub(crate) fn queue(&self) -> mpsc::Sender<String> {
        self.queue.clone()
    }

    /// Prints a last line, and waits a moment for all that is not written yet.
    pub(crate) async fn end(mut self, last: String) {
        self.print(last);
        let Self { queue, done, .. } = self;
        drop(queue);
        // A reader that is stuck does not keep us from ending.
        let _ = tokio::time::timeout(std::time::Duration::from_millis(500), done).await;
    }
}

fn write_all(mut waiting: mpsc::Receiver<String>) {
    let mut stdout = std::io::stdout().lock();
    while let Some(line) = waiting.blocking_recv() {
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
        let (queue, mut waiting) = mpsc::channel(2);
        let (_end, done) = oneshot::channel();
        let lines = Lines::new(Output::new(true), false);
        let mut printer = Printer { lines, queue, done, lost: 0 };
        for number in 0..5 {
            printer.print(number.to_string());
        }
        assert_eq!(waiting.try_recv().unwrap(), "0");
        assert_eq!(waiting.try_recv().unwrap(), "1");
        printer.print("5".into());
        let lost = Json::parse(waiting.try_recv().unwrap().trim_end()).unwrap();
        assert_eq!((lost.get("event").text(), lost.get("count").whole()), (Some("lost"), Some(3)));
        assert_eq!(waiting.try_recv().unwrap(), "5");
    }
}
