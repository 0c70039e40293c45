//! [`Top`]: what is shown and how (core).
//!
//! - *Inputs*: readings of the node, bytes from the keyboard, the screen's size.
//! - *Outputs*: lines; whether to go on.
//! - *Not handled*: the terminal, and how often the node is read.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::history::{History, Traffic};
use super::keys::{Key, Keys};
use super::reading::{Peer, Reading};
use super::view::{self, Line, Size};

/// A reading older than this is said to be old.
const OLD: Duration = Duration::from_secs(3);

/// By what peers are sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sort {
    /// The connected ones first.
    #[default]
    State,
    /// The slowest first.
    Rtt,
    /// The busiest first.
    Traffic,
    /// What changed last first.
    Since,
    Peer,
}

impl Sort {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Rtt => "rtt",
            Self::Traffic => "traffic",
            Self::Since => "since",
            Self::Peer => "peer",
        }
    }

    const fn next(self) -> Self {
        match self {
            Self::State => Self::Rtt,
            Self::Rtt => Self::Traffic,
            Self::Traffic => Self::Since,
            Self::Since => Self::Peer,
            Self::Peer => Self::State,
        }
    }
}

/// All that the view shows.
#[derive(Clone, Debug, Default)]
pub(super) struct Data {
    pub(super) reading: Reading,
    pub(super) traffic: Traffic,
    /// By the ids of the peers of the reading.
    pub(super) histories: BTreeMap<String, History>,
    pub(super) sort: Sort,
    /// Peers above the first that is shown.
    pub(super) offset: usize,
    /// For how long the node has not answered, if that is long.
    pub(super) silent_s: Option<u64>,
}

/// Whether a person has seen enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    GoOn,
    Quit,
}

/// What is shown and how.
#[derive(Debug)]
pub(super) struct Top {
    data: Data,
    size: Size,
    keys: Keys,
    read_at: Option<Instant>,
}

impl Top {
    pub(super) fn new(size: Size) -> Self {
        Self { data: Data::default(), size, keys: Keys::default(), read_at: None }
    }

    /// Takes what the node told.
    pub(super) fn handle_reading(&mut self, now: Instant, reading: Reading) {
        let data = &mut self.data;
        data.traffic.handle_reading(now, reading.node.sent, reading.node.received);
        let mut before = std::mem::take(&mut data.histories);
        for peer in &reading.peers {
            let mut history = before.remove(&peer.id).unwrap_or_default();
            history.traffic.handle_reading(now, peer.sent, peer.received);
            history.handle_rtt(peer.rtt);
            data.histories.insert(peer.id.clone(), history);
        }
        data.reading = reading;
        self.read_at = Some(now);
        self.arrange();
    }

    /// Takes what was typed.
    pub(super) fn handle_bytes(&mut self, bytes: &[u8]) -> Next {
        for byte in bytes {
            if let Some(key) = self.keys.handle_byte(*byte)
                && self.handle_key(key) == Next::Quit
            {
                return Next::Quit;
            }
        }
        Next::GoOn
    }

    fn handle_key(&mut self, key: Key) -> Next {
        let page = view::places(self.size);
        let offset = self.data.offset;
        match key {
            Key::Quit => return Next::Quit,
            Key::Sort => self.data.sort = self.data.sort.next(),
            Key::Up => self.data.offset = offset.saturating_sub(1),
            Key::Down => self.data.offset = offset.saturating_add(1),
            Key::PageUp => self.data.offset = offset.saturating_sub(page),
            Key::PageDown => self.data.offset = offset.saturating_add(page),
            Key::Home => self.data.offset = 0,
            Key::End => self.data.offset = usize::MAX,
        }
        self.arrange();
        Next::GoOn
    }

    /// The screen has another size.
    pub(super) fn handle_size(&mut self, size: Size) {
        self.size = size;
        self.arrange();
    }

    /// What the screen shows now.
    pub(super) fn lines(&mut self, now: Instant) -> Vec<Line> {
        let age = self.read_at.map(|at| now.saturating_duration_since(at));
        self.data.silent_s = age.filter(|age| *age >= OLD).map(|age| age.as_secs());
        view::lines(&self.data, self.size)
    }

    /// Sorts, and scrolls no further than to the last peer.
    fn arrange(&mut self) {
        let Data { reading, histories, sort, .. } = &mut self.data;
        let traffic = |peer: &Peer| histories.get(&peer.id).and_then(|h| h.traffic.both());
        reading.peers.sort_by_cached_key(|peer| {
            let key = match sort {
                Sort::State => rank(&peer.state),
                Sort::Since => peer.since_s,
                Sort::Peer => 0,
                // The greatest first, and what is unknown last.
                Sort::Rtt => u64::MAX - peer.rtt.unwrap_or(0),
                Sort::Traffic => u64::MAX - traffic(peer).unwrap_or(0),
            };
            (key, peer.id.clone())
        });
        let most = reading.peers.len().saturating_sub(view::places(self.size));
        self.data.offset = self.data.offset.min(most);
    }
}

/// The place of a state in the order.
fn rank(state: &str) -> u64 {
    let order = ["connected", "suspect", "failed", "connecting", "disconnected"];
    order.iter().position(|other| *other == state).unwrap_or(order.len()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { width: 80, height: 10 };

    fn peer(id: &str, state: &str, rtt: u64, since_s: u64) -> Peer {
        Peer { id: id.into(), state: state.into(), rtt: Some(rtt), since_s, ..Peer::default() }
    }

    fn top(peers: Vec<Peer>) -> Top {
        let mut top = Top::new(SIZE);
        top.handle_reading(Instant::now(), Reading { peers, ..Reading::default() });
        top
    }

    fn order(top: &Top) -> String {
        top.data.reading.peers.iter().map(|peer| peer.id.as_str()).collect()
    }

    #[test]
    fn s_goes_through_the_orders() {
        let mut top = top(vec![
            peer("a", "denied", 2, 1),
            peer("b", "connected", 1, 2),
            peer("c", "suspect", 3, 3),
            peer("d", "connected", 0, 0),
        ]);
        let now = Instant::now() + Duration::from_secs(1);
        let mut busier = top.data.reading.clone();
        busier.peers.iter_mut().filter(|peer| peer.id == "c").for_each(|peer| peer.sent = 9);
        top.handle_reading(now, busier);
        let mut orders = Vec::new();
        for _ in 0..6 {
            orders.push(order(&top));
            assert_eq!(top.handle_bytes(b"s"), Next::GoOn);
        }
        assert_eq!(orders, ["bdca", "cabd", "cabd", "dabc", "abcd", "bdca"]);
    }

    #[test]
    fn scrolling_ends_at_the_ends() {
        let places = view::places(SIZE);
        let peers = || (0..20).map(|n| peer(&format!("{n:02}"), "connected", 0, 0)).collect();
        let mut top = top(peers());
        let mut at = |keys: &[u8]| {
            top.handle_bytes(keys);
            top.data.offset
        };
        assert_eq!(at(b"\x1b[A"), 0);
        assert_eq!(at(b"\x1b[B\x1b[B"), 2);
        assert_eq!(at(b"\x1b[6~"), 2 + places);
        assert_eq!(at(b"\x1b[F"), 20 - places);
        assert_eq!(at(b"\x1b[6~\x1b[B"), 20 - places);
        assert_eq!(at(b"\x1b[5~"), 20 - 2 * places);
        assert_eq!(at(b"\x1b[H"), 0);
        at(b"\x1b[F");
        top.handle_size(Size { width: 80, height: 100 });
        assert_eq!(top.data.offset, 0, "all of them fit");
        top.handle_size(SIZE);
        top.handle_bytes(b"\x1b[F");
        top.handle_reading(Instant::now(), Reading::default());
        assert_eq!(top.data.offset, 0, "they have gone");
    }

    #[test]
    fn q_and_ctrl_c_quit() {
        for bytes in [b"q", b"\x03"] {
            assert_eq!(top(Vec::new()).handle_bytes(bytes), Next::Quit);
        }
    }

    #[test]
    fn who_has_gone_is_forgotten_and_a_silent_node_is_said() {
        let begin = Instant::now();
        let mut top = top(vec![peer("a", "connected", 1, 1)]);
        top.handle_reading(begin, Reading { peers: vec![Peer::default()], ..Reading::default() });
        assert_eq!(top.data.histories.keys().collect::<Vec<_>>(), [""]);
        let says = |lines: Vec<Line>| lines.iter().any(|line| line.text().contains("for 5 s"));
        assert!(!says(top.lines(begin + Duration::from_secs(1))));
        assert!(says(top.lines(begin + Duration::from_secs(5))));
    }
}
