//! How soon a peer is known to be gone when its packets just stop.

use std::{thread, time::Duration};

use pinhole_tests::{
    Rng,
    lab::Lab,
    node::{TestNode, now_ms, said_at},
    seeds::for_seeds,
};

/// Peers of the node in the middle; each is cut off at another moment.
const PEERS: usize = 6;
/// At most, when nothing is to be sent.
const IDLE: Duration = Duration::from_secs(30);
/// At most, when something waits to be sent.
const PENDING: Duration = Duration::from_secs(5);
/// How long to look, so that a failure says by how much.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn idle_without_loss() {
    let Some(lab) = Lab::new("idle_without_loss", PEERS + 1) else { return };
    for_seeds(1, |seed| idle(&Star::start(&lab, 0), seed));
}

#[test]
fn idle_with_a_fifth_lost() {
    let Some(lab) = Lab::new("idle_with_a_fifth_lost", PEERS + 1) else { return };
    for_seeds(1, |seed| idle(&Star::start(&lab, 20), seed));
}

#[test]
fn pending_without_loss() {
    let Some(lab) = Lab::new("pending_without_loss", PEERS + 1) else { return };
    for_seeds(1, |seed| pending(&Star::start(&lab, 0), seed));
}

#[test]
fn pending_with_a_fifth_lost() {
    let Some(lab) = Lab::new("pending_with_a_fifth_lost", PEERS + 1) else { return };
    for_seeds(1, |seed| pending(&Star::start(&lab, 20), seed));
}

/// One node in the middle, on host 0, and its peers; every other of them dials.
struct Star<'a> {
    lab: &'a Lab,
    middle: TestNode,
    /// On the hosts from 1 on.
    peers: Vec<TestNode>,
}

impl<'a> Star<'a> {
    fn start(lab: &'a Lab, loss: u32) -> Self {
        let dialed: Vec<_> = (1..=PEERS).step_by(2).map(|host| lab.node(host, &[])).collect();
        let addresses: Vec<_> = dialed
            .iter()
            .zip((1..=PEERS).step_by(2))
            .map(|(peer, host)| peer.address_at(lab.addr(host)))
            .collect();
        let flags = addresses.iter().flat_map(|address| ["--peer", address]);
        let middle = lab.setup(0).flags(flags).start();
        let address = middle.address_at(lab.addr(0));
        let dialers = (2..=PEERS).step_by(2).map(|host| lab.node(host, &["--peer", &address]));
        let peers: Vec<_> =
            dialed.into_iter().zip(dialers).flat_map(|(one, other)| [one, other]).collect();
        for peer in &peers {
            peer.wait_connected(middle.peer);
            middle.wait_connected(peer.peer);
        }
        lab.lose(loss);
        Self { lab, middle, peers }
    }

    /// Cuts a peer off; the time, and the marks of both ends.
    fn cut(&self, at: usize) -> Cut<'_> {
        let (peer, middle) = (&self.peers[at], &self.middle);
        let marks = (middle.mark(), peer.mark());
        self.lab.cut(0, at + 1);
        Cut { star: self, at, marks, when: now_ms() }
    }
}

struct Cut<'a> {
    star: &'a Star<'a>,
    at: usize,
    marks: (usize, usize),
    when: u64,
}

impl Cut<'_> {
    /// After how long the node in the middle said that the peer failed.
    fn in_the_middle(&self) -> Duration {
        let (star, peer) = (self.star, self.star.peers[self.at].peer);
        self.after(&star.middle, self.marks.0, peer)
    }

    /// After how long the peer said so of the node in the middle.
    fn outside(&self) -> Duration {
        let star = self.star;
        self.after(&star.peers[self.at], self.marks.1, star.middle.peer)
    }

    fn after(&self, node: &TestNode, mark: usize, peer: pinhole_proto::PeerId) -> Duration {
        let event = node.state_since(mark, peer, "failed", PATIENCE);
        let event = event.unwrap_or_else(|| {
            panic!("{peer} does not fail: {:#?}", node.history(peer, mark));
        });
        Duration::from_millis(said_at(&event).saturating_sub(self.when))
    }

    fn dialer(&self) -> &'static str {
        if self.at.is_multiple_of(2) { "the middle dialed" } else { "the middle accepted" }
    }
}

/// Nothing is under way when the packets stop: for two peers it is the worst moment, just after
/// something was heard, and for the others any moment of the heartbeat's interval.
fn idle(star: &Star<'_>, seed: u64) {
    let mut rng = Rng::from_seed(seed);
    let cuts: Vec<_> = (0..PEERS)
        .map(|at| {
            if at < 2 {
                let peer = star.peers[at].peer.to_string();
                star.middle.command(&["ping", &peer, "-c", "1"]);
            } else {
                thread::sleep(rng.up_to(Duration::from_secs(6)));
            }
            star.cut(at)
        })
        .collect();
    let mut late = Vec::new();
    for cut in &cuts {
        let times = (cut.in_the_middle(), cut.outside());
        println!("idle: {:?}; {}", times, cut.dialer());
        late.extend([times.0, times.1].into_iter().filter(|&time| time > IDLE));
    }
    assert!(late.is_empty(), "later than {IDLE:?}: {late:?}");
}

/// A message waits to be sent when the packets stop, from whom dialed and from whom was dialed.
fn pending(star: &Star<'_>, seed: u64) {
    let mut rng = Rng::from_seed(seed);
    let mut late = Vec::new();
    for at in 0..PEERS {
        thread::sleep(rng.up_to(Duration::from_secs(2)));
        let outwards = at % 4 < 2;
        let (from, to) = (&star.peers[at], star.middle.peer);
        let (from, to) = if outwards { (&star.middle, star.peers[at].peer) } else { (from, to) };
        let cut = star.cut(at);
        let _send = from.begin(&["send", &to.to_string(), "are you there?"]);
        let time = if outwards { cut.in_the_middle() } else { cut.outside() };
        println!("pending: {time:?}; {}, outwards: {outwards}", cut.dialer());
        late.extend(Some(time).filter(|&time| time > PENDING));
    }
    assert!(late.is_empty(), "later than {PENDING:?}: {late:?}");
}
