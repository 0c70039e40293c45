//! What a node has printed, in order: its events and its log.

use std::{
    io::{BufRead as _, BufReader, Read},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use pinhole_proto::PeerId;
use serde_json::Value;

/// Lines of the log and events that a failed test prints.
const SHOWN: usize = 60;
/// Lines of the log that are kept.
const KEPT: usize = 5000;

/// The output of a node, over all its lives on one data folder.
#[derive(Default)]
pub(super) struct Output {
    lines: Mutex<Lines>,
    more: Condvar,
    /// Reads the events of the present life.
    reader: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Lines {
    events: Vec<Value>,
    log: Vec<String>,
    /// Where the events of the present life begin.
    born: usize,
    /// Up to where `next` has looked.
    read: usize,
    /// Whether stdout has ended.
    ended: bool,
}

impl Output {
    /// A process was started, after the end of the one before: reads its pipes until they end.
    pub(super) fn follow(
        self: &Arc<Self>,
        stdout: impl Read + Send + 'static,
        stderr: impl Read + Send + 'static,
    ) {
        let mut reader = self.reader.lock().unwrap();
        if let Some(before) = reader.take() {
            before.join().expect("what was printed could be read");
        }
        let mut lines = self.lock();
        (lines.born, lines.read, lines.ended) = (lines.events.len(), lines.events.len(), false);
        drop(lines);
        let output = self.clone();
        *reader = Some(thread::spawn(move || output.read_events(stdout)));
        let output = self.clone();
        thread::spawn(move || output.read_log(stderr));
    }

    fn read_events(&self, stdout: impl Read) {
        let (mut stdout, mut line) = (BufReader::new(stdout), String::new());
        // Who is killed may leave half a line.
        while stdout.read_line(&mut line).is_ok() && line.ends_with('\n') {
            let event = serde_json::from_str(&line).expect("stdout is one JSON object a line");
            line.clear();
            self.lock().events.push(event);
            self.more.notify_all();
        }
        self.lock().ended = true;
        self.more.notify_all();
    }

    fn read_log(&self, stderr: impl Read) {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let mut lines = self.lock();
            if lines.log.len() == KEPT {
                lines.log.drain(..KEPT / 2);
            }
            lines.log.push(line);
        }
    }

    /// The next event after those that earlier calls have passed over.
    pub(super) fn next(
        &self,
        within: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value, &'static str> {
        let deadline = Instant::now() + within;
        let mut lines = self.lock();
        loop {
            while let Some(event) = lines.events.get(lines.read).cloned() {
                lines.read += 1;
                if wanted(&event) {
                    return Ok(event);
                }
            }
            lines = self.wait(lines, deadline)?;
        }
    }

    /// Waits until the last that was said of `peer` satisfies `wanted`, and returns that.
    pub(super) fn settled(
        &self,
        peer: PeerId,
        within: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value, &'static str> {
        let deadline = Instant::now() + within;
        let mut lines = self.lock();
        loop {
            if let Some(event) = lines.of(peer).next_back().filter(|event| wanted(event)) {
                return Ok(event.clone());
            }
            lines = self.wait(lines, deadline)?;
        }
    }

    /// Waits for the first event of this life from `mark` on that satisfies `wanted`. Nothing is
    /// passed over for others.
    pub(super) fn find(
        &self,
        mark: usize,
        within: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value, &'static str> {
        let deadline = Instant::now() + within;
        let mut lines = self.lock();
        let mut at = mark.max(lines.born);
        loop {
            while let Some(event) = lines.events.get(at) {
                if wanted(event) {
                    return Ok(event.clone());
                }
                at += 1;
            }
            lines = self.wait(lines, deadline)?;
        }
    }

    fn wait<'a>(
        &self,
        lines: MutexGuard<'a, Lines>,
        deadline: Instant,
    ) -> Result<MutexGuard<'a, Lines>, &'static str> {
        if lines.ended {
            return Err("its output has ended");
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err("not in time");
        }
        Ok(self.more.wait_timeout(lines, left).unwrap().0)
    }

    /// How many events there were.
    pub(super) fn mark(&self) -> usize {
        self.lock().events.len()
    }

    /// The events of this life about `peer` from `mark` on.
    pub(super) fn about(&self, peer: PeerId, mark: usize) -> Vec<Value> {
        let lines = self.lock();
        let after = mark.saturating_sub(lines.born);
        let events = lines.events[lines.born..].iter().skip(after);
        events.filter(|event| is_about(event, peer)).cloned().collect()
    }

    /// The end of both outputs, for a person.
    pub(super) fn tail(&self) -> String {
        let lines = self.lock();
        let events = lines.events.iter().rev().take(SHOWN).rev().map(Value::to_string);
        let log = lines.log.iter().rev().take(SHOWN).rev().cloned();
        let events: String = events.map(|line| line + "\n").collect();
        let log: String = log.map(|line| line + "\n").collect();
        format!("--- events\n{events}--- log\n{log}")
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        // A reader that panicked has said so, and what it read before is still worth having.
        self.lines.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Lines {
    fn of(&self, peer: PeerId) -> impl DoubleEndedIterator<Item = &Value> {
        self.events[self.born..].iter().filter(move |event| is_about(event, peer))
    }
}

fn is_about(event: &Value, peer: PeerId) -> bool {
    event["event"] == "peer" && event["peer"] == peer.to_string().as_str()
}
