//! Signs of life of a connection, and what a heartbeat costs.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use pinhole_tests::world::{Datagram, Link, World};
use pinhole_transport::{AdmitAll, Vitals, testing::Status};

const ONE_WAY: Duration = Duration::from_millis(50);
const ROUND_TRIP: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(20);
/// The longest that an acknowledgement of one packet is held back.
const ACK_DELAY: Duration = Duration::from_millis(25);
/// Time is counted in microseconds.
const TICK: Duration = Duration::from_micros(2);

/// Node 1 dialed node 0, everything of the set-up is over, and nobody's timer runs.
struct Quiet {
    world: World,
    dialed: u64,
    accepted: u64,
}

impl Quiet {
    fn new() -> Self {
        let mut world = World::new(11, Link::good(ONE_WAY));
        let mut config = world.config();
        config.idle_timeout = None;
        for _ in 0..2 {
            world.add_with(&config, Arc::new(AdmitAll));
        }
        let dialed = world.dial(1, 0);
        assert_eq!(world.settle(1, dialed, PATIENCE), Status::Established);
        world.run_for(PATIENCE);
        let dialer = world.peer_id(1);
        let accepted = world.established(0, dialer)[0];
        world.sent.clear();
        Self { world, dialed, accepted }
    }

    fn dialer(&mut self) -> Vitals {
        self.world.node(1).vitals(self.dialed)
    }

    fn acceptor(&mut self) -> Vitals {
        self.world.node(0).vitals(self.accepted)
    }

    fn heartbeat(&mut self) -> Instant {
        let now = self.world.now;
        assert!(self.world.node(1).send_datagram(now, self.dialed, &[0x00, 18]));
        now
    }

    /// Nothing of node 0 arrives any more.
    fn silence(&mut self) {
        let silent = self.world.addr(0);
        self.world.intercept(move |d| if d.from == silent { vec![] } else { vec![d] });
    }
}

fn assert_close(a: Instant, b: Instant) {
    assert!(a.max(b) - a.min(b) <= TICK, "{a:?} {b:?}");
}

#[test]
fn a_heartbeat_is_a_sign_of_life_for_one_and_its_acknowledgement_for_the_other() {
    let mut quiet = Quiet::new();
    let (before, accepted_before) = (quiet.dialer(), quiet.acceptor());
    assert_eq!((before.waiting, accepted_before.waiting), (None, None));
    let sent = quiet.heartbeat();
    assert_close(quiet.dialer().waiting.unwrap(), sent);
    assert_eq!(quiet.dialer().heard, before.heard, "sending is no sign of life");
    quiet.world.run_for(ONE_WAY);
    assert_close(quiet.acceptor().heard, sent + ONE_WAY);
    quiet.world.run_for(ONE_WAY + ACK_DELAY);
    let after = quiet.dialer();
    assert_close(after.heard, sent + ROUND_TRIP + ACK_DELAY);
    assert_eq!(after.waiting, None);
    let error = after.rtt.abs_diff(ROUND_TRIP);
    assert!(error <= Duration::from_millis(1), "{:?}: not what the peer held it back", after.rtt);
    assert_eq!(quiet.acceptor().waiting, None, "an acknowledgement is not acknowledged");
    assert_eq!(quiet.world.node(0).receive_datagram(quiet.accepted).unwrap(), [0x00, 18]);
}

/// QUIC bundles an acknowledgement of what came before with a heartbeat.
#[test]
fn a_heartbeat_costs_two_small_datagrams() {
    let mut quiet = Quiet::new();
    let dialer = quiet.world.addr(1);
    for _ in 0..100 {
        quiet.world.sent.clear();
        quiet.heartbeat();
        quiet.world.run_for(PATIENCE);
        let row = |d: &Datagram| (d.from == dialer, d.bytes.len());
        let sent: Vec<_> = quiet.world.sent.iter().map(row).collect();
        println!("heartbeat and its acknowledgement, bytes of UDP payload: {sent:?}");
        let [(true, there), (false, back)] = sent[..] else { panic!("{sent:?}") };
        assert!(there <= 40 && back <= 36, "{there} {back}");
    }
}

#[test]
fn a_silent_peer_is_waited_for_until_it_speaks_again() {
    let mut quiet = Quiet::new();
    let before = quiet.dialer();
    quiet.silence();
    let sent = quiet.heartbeat();
    quiet.world.run_for(PATIENCE);
    quiet.heartbeat();
    quiet.world.run_for(PATIENCE);
    assert_close(quiet.dialer().waiting.unwrap(), sent);
    assert_eq!(quiet.dialer().heard, before.heard);
    quiet.world.stop_intercepting();
    quiet.heartbeat();
    let now = quiet.world.now;
    quiet.world.run_for(PATIENCE);
    let after = quiet.dialer();
    assert_eq!(after.waiting, None);
    assert!(after.heard >= now + ROUND_TRIP);
}

#[test]
fn garbage_and_old_packets_from_the_peers_address_are_no_sign_of_life() {
    let mut quiet = Quiet::new();
    for _ in 0..3 {
        quiet.heartbeat();
        quiet.world.run_for(PATIENCE);
    }
    let before = quiet.dialer();
    let addrs = (quiet.world.addr(0), quiet.world.addr(1));
    let mut from_peer: Vec<Datagram> =
        quiet.world.sent.iter().filter(|d| d.from == addrs.0).cloned().collect();
    assert!(from_peer.len() >= 3);
    for recorded in &from_peer.clone() {
        let mut changed = recorded.clone();
        let last = changed.bytes.len() - 1;
        changed.bytes[last] ^= 1;
        from_peer.push(changed);
    }
    let random = quiet.world.rng.vec(50);
    let short = [&from_peer[0].bytes[..9], &random].concat();
    from_peer.push(Datagram { from: addrs.0, to: addrs.1, bytes: short });
    for datagram in from_peer {
        quiet.world.deliver_now(datagram);
        quiet.world.run_for(ROUND_TRIP);
        assert_eq!(quiet.dialer(), before);
    }
}

#[test]
fn probes_for_a_larger_mtu_are_not_waited_for() {
    let mut world = World::new(12, Link::good(ONE_WAY));
    let mut config = world.config();
    config.idle_timeout = None;
    for _ in 0..2 {
        world.add_with(&config, Arc::new(AdmitAll));
    }
    world.intercept(|d| if d.bytes.len() > 1200 { vec![] } else { vec![d] });
    let dialed = world.dial(1, 0);
    assert_eq!(world.settle(1, dialed, PATIENCE), Status::Established);
    world.run_for(ROUND_TRIP);
    let mut longest = Duration::ZERO;
    for _ in 0..60 {
        world.run_for(ONE_WAY);
        if let Some(since) = world.node(1).vitals(dialed).waiting {
            longest = longest.max(world.now - since);
        }
    }
    assert!(world.sent.iter().any(|d| d.bytes.len() > 1200), "probes were sent and lost");
    assert!(longest <= 2 * ROUND_TRIP, "{longest:?}");
    assert_eq!(world.node(1).vitals(dialed).waiting, None);
}

#[test]
fn a_transfer_to_a_live_peer_makes_progress_and_leaves_nothing_to_wait_for() {
    let mut quiet = Quiet::new();
    quiet.world.link.loss = 5;
    let bytes = quiet.world.rng.vec(1_000_000);
    quiet.world.send(1, quiet.dialed, &bytes).unwrap();
    let mut longest = Duration::ZERO;
    let done = quiet.world.run_until(Duration::from_secs(300), |world| {
        let now = world.now;
        let waiting = world.node(1).vitals(quiet.dialed).waiting;
        longest = longest.max(waiting.map_or(Duration::ZERO, |w| now.saturating_duration_since(w)));
        world.node(0).receive(quiet.accepted).is_some()
    });
    assert!(done);
    println!("longest time without progress at 5 % loss: {longest:?}");
    assert!(longest < Duration::from_secs(2), "{longest:?}");
    quiet.world.link.loss = 0;
    quiet.world.run_for(PATIENCE);
    assert_eq!((quiet.dialer().waiting, quiet.acceptor().waiting), (None, None));
}
