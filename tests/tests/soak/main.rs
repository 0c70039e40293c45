//! A node under churn for an hour, and every five minutes a line of a table: memory, descriptors,
//! connections, counters. In the end neither memory nor descriptors have grown, and every steady
//! peer is connected.
//!
//! The hour: `PINHOLE_LONG=1 cargo test --release -p pinhole-tests --test soak -- --nocapture`. The
//! short form takes half a minute, and its table has four lines.
//!
//! Churn, all at the same time: steady peers are killed, frozen, restarted and cut off; others come
//! with an identity of their own, ping, send a message and go; connections are closed and made by
//! command; peers are denied and allowed.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use pinhole_node::{Kind, Node, PeerAddr};
use pinhole_tests::{
    Rng,
    forwarder::Forwarder,
    library::run,
    machine::{cpu_time, descriptors, long, resident},
    node::{PATIENCE, TestNode},
    seeds::for_seeds,
    world::Link,
};

/// Peers that are there all the time, or come back; half of them dial, through a forwarder each.
const STEADY: usize = 8;
/// What resident memory may grow after the first third, in bytes.
const GROWTH: usize = 1 << 20;
/// What descriptors may be more than then.
const DESCRIPTORS: usize = 4;
/// How soon all are back when the churn has ended.
const BACK: Duration = Duration::from_secs(60);

/// How long, and how often there is a line.
struct Form {
    time: Duration,
    lines: u32,
    /// Between two blows to steady peers.
    pace: Duration,
    /// A peer is away so long at most.
    away: Duration,
}

impl Form {
    fn wanted() -> Self {
        let secs = Duration::from_secs;
        if long() {
            Self { time: secs(3600), lines: 12, pace: secs(15), away: secs(75) }
        } else {
            Self { time: secs(24), lines: 4, pace: secs(3), away: secs(4) }
        }
    }
}

#[test]
fn a_node_under_churn_does_not_grow() {
    for_seeds(1, |seed| {
        let form = Form::wanted();
        let churn = Churn::start(seed);
        let lines = churn.run(&form, seed);
        assert!(lines.last().unwrap().came > 10, "nobody came");
        assert_eq!(churn.turned_away.load(Ordering::Relaxed), 0, "visitors without an answer");
        let after = lines.len() / 3;
        let (before, end) = (&lines[after], lines.last().unwrap());
        for (peer, _) in &churn.steady {
            peer.assert_state(churn.node.peer, "connected", BACK);
            churn.node.assert_state(peer.peer, "connected", BACK);
        }
        if long() {
            assert!(end.memory < before.memory + GROWTH, "{before:?}, then {end:?}");
            assert!(end.descriptors <= before.descriptors + DESCRIPTORS, "{before:?}, {end:?}");
        }
    });
}

/// A line of the table.
#[derive(Debug)]
struct Line {
    memory: usize,
    descriptors: usize,
    /// Peers that came for a moment.
    came: u64,
}

struct Churn {
    node: TestNode,
    metrics: SocketAddr,
    /// With the forwarder between it and the node, if it dials.
    steady: Vec<(TestNode, Option<Forwarder>)>,
    came: AtomicU64,
    turned_away: AtomicU64,
    ended: AtomicBool,
}

impl Churn {
    fn start(seed: u64) -> Self {
        let metrics = free_tcp_port();
        let peers: Vec<_> = (0..STEADY / 2).map(|_| TestNode::start(&[])).collect();
        let addresses: Vec<_> = peers.iter().map(TestNode::address).collect();
        let mut flags = vec!["--metrics".to_owned(), metrics.to_string()];
        flags.extend(addresses.into_iter().flat_map(|peer| ["--peer".to_owned(), peer]));
        let flags: Vec<_> = flags.iter().map(String::as_str).collect();
        let node = TestNode::start(&flags);
        let mut steady: Vec<_> = peers.into_iter().map(|peer| (peer, None)).collect();
        for number in 0..STEADY / 2 {
            let link = Link::good(Duration::from_millis(5));
            let forwarder = Forwarder::start(node.listen[0], link, seed + number as u64);
            forwarder.only_count();
            let peer = TestNode::start(&["--peer", &node.address_at(forwarder.addr)]);
            steady.push((peer, Some(forwarder)));
        }
        for (peer, _) in &steady {
            peer.wait_connected(node.peer);
        }
        let (came, turned_away, ended) = Default::default();
        Self { node, metrics, steady, came, turned_away, ended }
    }

    fn run(&self, form: &Form, seed: u64) -> Vec<Line> {
        let mut rng = Rng::from_seed(seed);
        let (blows, visits, words) = (rng.next_u64(), rng.next_u64(), rng.next_u64());
        thread::scope(|scope| {
            scope.spawn(move || self.blows(form, Rng::from_seed(blows)));
            scope.spawn(move || run(self.visits(Rng::from_seed(visits))));
            scope.spawn(move || self.commands(form, Rng::from_seed(words)));
            // The churn ends with the table, also if that fails.
            let _end = End(&self.ended);
            self.table(form)
        })
    }

    fn table(&self, form: &Form) -> Vec<Line> {
        let start = Instant::now();
        heading();
        let mut lines = vec![self.line(start)];
        for line in 1..=form.lines {
            let next = form.time / form.lines * line;
            thread::sleep(next.saturating_sub(start.elapsed()));
            lines.push(self.line(start));
        }
        lines
    }

    fn line(&self, start: Instant) -> Line {
        let pid = self.node.pid();
        let line = Line {
            memory: resident(pid),
            descriptors: descriptors(pid),
            came: self.came.load(Ordering::Relaxed),
        };
        let page = self.metrics_page();
        let count = |name: &str| sample(&page, name);
        println!(
            "| {:.1} | {} | {} | {:.1} | {} | {} | {} | {} | {} | {} | {} | {} |",
            start.elapsed().as_secs_f64() / 60.0,
            line.memory / 1024,
            line.descriptors,
            cpu_time(pid).as_secs_f64(),
            count("pinhole_connected_peers"),
            count("pinhole_known_peers"),
            line.came,
            count("pinhole_handshakes_total"),
            count("pinhole_peer_failures_total"),
            count("pinhole_peer_reconnects_total"),
            count("pinhole_heartbeats_sent_total"),
            count("pinhole_messages_received_total"),
        );
        line
    }

    fn metrics_page(&self) -> String {
        let mut stream = TcpStream::connect(self.metrics).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        page
    }

    /// Steady peers are killed, frozen, restarted and cut off, one after the other.
    fn blows(&self, form: &Form, mut rng: Rng) {
        while self.goes_on() {
            let (peer, forwarder) = &self.steady[rng.below(STEADY)];
            let away = rng.up_to(form.away);
            let kind = rng.below(4);
            match (kind, forwarder) {
                (0, _) => peer.kill(),
                (1, _) => peer.freeze(),
                (2, Some(forwarder)) => forwarder.cut(),
                _ => assert!(peer.stop(), "stops in an orderly way"),
            }
            self.pause(away);
            match (kind, forwarder) {
                (1, _) => peer.thaw(),
                (2, Some(forwarder)) => forwarder.heal(),
                _ => peer.restart(),
            }
            self.pause(form.pace);
        }
    }

    /// Others come, ping, send a message and go.
    async fn visits(&self, mut rng: Rng) {
        let address: PeerAddr = self.node.address().parse().unwrap();
        while self.goes_on() {
            let visitor = Node::builder().secret_key(rng.key()).listen(([127, 0, 0, 1], 0));
            let visitor = visitor.start().await.unwrap();
            if let Err(error) = visit(&visitor, &address).await {
                println!("a visitor got no answer: {error}");
                self.turned_away.fetch_add(1, Ordering::Relaxed);
            }
            // Some go without a word.
            if rng.chance(80) {
                visitor.close().await.unwrap();
            }
            drop(visitor);
            self.came.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(rng.up_to(Duration::from_millis(400))).await;
        }
    }

    /// Connections are closed and made again, and peers denied and allowed again.
    fn commands(&self, form: &Form, mut rng: Rng) {
        while self.goes_on() {
            let (peer, forwarder) = &self.steady[rng.below(STEADY)];
            let id = peer.peer.to_string();
            let address = if forwarder.is_some() { id.clone() } else { peer.address() };
            if rng.chance(30) {
                assert!(self.node.command(&["deny", &id]).1);
                self.pause(rng.up_to(form.pace));
                assert!(self.node.command(&["allow", &id]).1);
            }
            self.node.command(&["disconnect", &id]);
            if forwarder.is_none() {
                // Whether it is there, is another matter; it is wanted from now on.
                self.node.command(&["connect", &address, "--timeout", "1"]);
            }
            self.pause(Duration::from_secs(2));
        }
    }

    fn goes_on(&self) -> bool {
        !self.ended.load(Ordering::Relaxed)
    }

    /// Lets time go by, unless the churn ends.
    fn pause(&self, time: Duration) {
        let start = Instant::now();
        while start.elapsed() < time && self.goes_on() {
            thread::sleep(Duration::from_millis(100));
        }
    }
}

/// What a visitor comes for.
async fn visit(visitor: &Node, address: &PeerAddr) -> Result<(), Box<dyn std::error::Error>> {
    visitor.ping(address.clone()).await?;
    visitor.send(address.clone(), Kind::Chat, b"hello").await?;
    Ok(())
}

struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn heading() {
    println!(
        "| min | memory, KiB | descriptors | CPU, s | connected | known | visitors | handshakes \
         | failures | reconnects | heartbeats | messages |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|"
    );
}

fn sample(page: &str, series: &str) -> u64 {
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in {page}")).parse().unwrap()
}

fn free_tcp_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
