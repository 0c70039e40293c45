//! What it costs to know that a peer is there, and how soon it is known that it is not.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use pinhole_tests::Rng;
use pinhole_tests::forwarder::{Counted, Forwarder};
use pinhole_tests::node::{TestNode, now_ms, said_at};
use pinhole_tests::world::Link;

use crate::Run;
use crate::peers::prepare;
use crate::report::{Bound, Row, median};

/// Until what follows a new connection is over: identification, search for the MTU, first heartbeat.
const SETTLE: Duration = Duration::from_secs(10);
/// The interval of preset normal, and the longest of preset battery, in seconds.
const INTERVALS: [f64; 2] = [18.0, 110.0];
/// A fifth is lost in each direction.
const LOSSY: Link = Link {
    loss: 20,
    duplicates: 0,
    delay: Duration::from_millis(10),
    jitter: Duration::from_millis(10),
};
/// A row that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(120);

/// Two nodes that have nothing to say to each other, and a forwarder between them.
struct Pair {
    server: TestNode,
    client: TestNode,
    forwarder: Forwarder,
}

impl Pair {
    fn start(link: Link, seed: u64, preset: &str) -> Pair {
        let server = TestNode::start(&["--liveness", preset]);
        let forwarder = Forwarder::start(server.listen[0], link, seed);
        forwarder.only_count();
        let address = server.address_at(forwarder.addr);
        let client = TestNode::start(&["--liveness", preset, "--peer", &address]);
        client.wait_connected(server.peer);
        server.wait_connected(client.peer);
        Pair { server, client, forwarder }
    }

    /// Both ends, each with the other.
    fn ends(&self) -> [(&TestNode, &TestNode); 2] {
        [(&self.client, &self.server), (&self.server, &self.client)]
    }

    fn marks(&self) -> [usize; 2] {
        self.ends().map(|(node, _)| node.mark())
    }

    /// How many seconds after `start` an end said that the other is in `state`.
    fn time(&self, end: usize, mark: usize, state: &str, start: u64) -> Result<f64> {
        let (node, other) = self.ends()[end];
        let event = node
            .state_since(mark, other.peer, state, PATIENCE)
            .with_context(|| format!("never {state}: {:?}", node.history(other.peer, mark)))?;
        Ok(said_at(&event).saturating_sub(start) as f64 * 1e-3)
    }

    /// The same for both ends.
    fn times(&self, marks: [usize; 2], state: &str, start: u64) -> Result<[f64; 2]> {
        let [client, server] = marks;
        Ok([self.time(0, client, state, start)?, self.time(1, server, state, start)?])
    }
}

/// Bytes a second that an idle peer costs, both directions, headers of IPv4 and UDP included.
pub fn heartbeat(run: &Run) -> Result<Vec<Row>> {
    prepare()?;
    if run.short { computed() } else { counted() }
}

/// The short form: one exchange is counted, and shared out over the interval.
fn computed() -> Result<Vec<Row>> {
    let window = Duration::from_secs(40);
    let pair = Pair::start(Link::good(Duration::from_millis(1)), 1, "normal");
    let (bytes, datagrams) = traffic(&[pair], SETTLE, window)[0];
    ensure!(datagrams >= 2.0, "no heartbeat in {window:?}");
    let exchange = 2.0 * bytes / datagrams;
    let detail = |at: usize| {
        let interval = INTERVALS[at];
        format!("computed: {exchange:.0} bytes of one exchange, every {interval} s")
    };
    Ok(rows(INTERVALS.map(|interval| exchange / interval), [detail(0), detail(1)]))
}

/// The long form: the interval of preset battery grows for as long as it may, and then everything
/// is counted for eleven minutes.
fn counted() -> Result<Vec<Row>> {
    let (grown, window) = (Duration::from_secs(14 * 60), Duration::from_secs(11 * 60));
    let pairs = ["normal", "battery"]
        .map(|preset| Pair::start(Link::good(Duration::from_millis(1)), 1, preset));
    let traffic = traffic(&pairs, grown, window);
    let values = [0, 1].map(|at| traffic[at].0 / window.as_secs_f64());
    let detail = |at: usize| {
        let (bytes, datagrams) = traffic[at];
        format!("counted: {bytes} bytes in {datagrams} datagrams, {} min", window.as_secs() / 60)
    };
    Ok(rows(values, [detail(0), detail(1)]))
}

fn rows(values: [f64; 2], details: [String; 2]) -> Vec<Row> {
    let [normal, battery] = details;
    let row = Row {
        name: "heartbeat-normal",
        what: "an idle peer, both directions, preset normal".to_owned(),
        value: values[0],
        unit: "B/s",
        bound: Bound::AtMost(9.0),
        portable: true,
        detail: normal,
    };
    let battery = Row {
        name: "heartbeat-battery",
        what: "an idle peer, both directions, preset battery".to_owned(),
        value: values[1],
        bound: Bound::AtMost(1.5),
        detail: battery,
        ..row.clone()
    };
    vec![row, battery]
}

/// Bytes on the wire and datagrams between each pair in `window`, `settle` from now.
fn traffic(pairs: &[Pair], settle: Duration, window: Duration) -> Vec<(f64, f64)> {
    sleep(settle);
    let before: Vec<_> = pairs.iter().map(|pair| pair.forwarder.counted()).collect();
    sleep(window);
    let since = |(pair, before): (&Pair, Counted)| {
        let now = pair.forwarder.counted();
        let bytes = |counted: Counted| counted.there.on_the_wire() + counted.back.on_the_wire();
        let datagrams = |counted: Counted| counted.there.datagrams + counted.back.datagrams;
        let (bytes, datagrams) = (bytes(now) - bytes(before), datagrams(now) - datagrams(before));
        (bytes as f64, datagrams as f64)
    };
    pairs.iter().zip(before).map(since).collect()
}

/// Links that lose a fifth are cut: how soon both ends know, idle and with a message that waits; and
/// how soon they are connected again.
pub fn detection(run: &Run) -> Result<Vec<Row>> {
    prepare()?;
    let count = if run.short { 4 } else { 16 };
    let pairs: Vec<_> = (0..count).map(|seed| Pair::start(LOSSY, seed, "normal")).collect();
    let idle = idle(&pairs)?;
    // Long enough for the dials to become rare.
    sleep(Duration::from_secs(if run.short { 10 } else { 120 }));
    let back = back(&pairs)?;
    let pending = pending(&pairs)?;
    let worst = |times: &[f64]| times.iter().copied().fold(0.0, f64::max);
    let least = |times: &[f64]| times.iter().copied().fold(f64::INFINITY, f64::min);
    let row = |name, what: &str, value, most, times: &[f64]| Row {
        name,
        what: what.to_owned(),
        value,
        unit: "s",
        bound: Bound::AtMost(most),
        portable: false,
        detail: format!("{:.2} to {:.2} s, {} ends", least(times), worst(times), times.len()),
    };
    Ok(vec![
        row("detect-idle", "failed, idle, 20 % loss, worst", worst(&idle), 30.0, &idle),
        row("detect-pending", "failed, pending, 20 % loss, worst", worst(&pending), 5.0, &pending),
        row("back-worst", "back after a healed partition, worst", worst(&back), 60.0, &back),
        row("back-median", "back after a healed partition, median", median(&back), 10.0, &back),
    ])
}

/// Each link is cut at another moment of the heartbeat's interval.
fn idle(pairs: &[Pair]) -> Result<Vec<f64>> {
    let mut rng = Rng::from_seed(1);
    sleep(SETTLE);
    let cuts: Vec<_> = pairs
        .iter()
        .map(|pair| {
            sleep(rng.up_to(Duration::from_secs(4)));
            pair.forwarder.cut();
            (now_ms(), pair.marks())
        })
        .collect();
    let mut times = Vec::new();
    for (pair, (start, marks)) in pairs.iter().zip(cuts) {
        times.extend(pair.times(marks, "failed", start)?);
    }
    Ok(times)
}

/// All links work again at the same moment.
fn back(pairs: &[Pair]) -> Result<Vec<f64>> {
    let marks: Vec<_> = pairs.iter().map(Pair::marks).collect();
    let start = now_ms();
    pairs.iter().for_each(|pair| pair.forwarder.heal());
    let mut times = Vec::new();
    for (pair, marks) in pairs.iter().zip(marks) {
        times.extend(pair.times(marks, "connected", start)?);
    }
    Ok(times)
}

/// A message waits at one end, in every other pair at that which dialed.
fn pending(pairs: &[Pair]) -> Result<Vec<f64>> {
    sleep(SETTLE);
    let mut times = Vec::new();
    for (number, pair) in pairs.iter().enumerate() {
        let end = number % 2;
        let (from, to) = pair.ends()[end];
        let (marks, start) = (pair.marks(), now_ms());
        pair.forwarder.cut();
        let _send = from.begin(&["send", &to.peer.to_string(), "are you there?"]);
        times.push(pair.time(end, marks[end], "failed", start)?);
    }
    Ok(times)
}
