#![allow(clippy::disallowed_methods)] // one Instant::now() as the beginning of virtual time

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use pinhole_proto::{Candidate, PeerId};

use super::*;
use crate::testing::peer;

mod health;

const LOW: u32 = 1;
const HIGH: u32 = 2;

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn address() -> SocketAddr {
    ([192, 0, 2, 1], 4433).into()
}

fn candidates() -> Vec<Candidate> {
    vec![Candidate::direct(address()).unwrap()]
}

/// A table in virtual time.
struct Table {
    peers: Peers,
    now: Instant,
    us: PeerId,
}

impl Table {
    fn new(us: u32) -> Self {
        Self::with(us, PeersConfig::default())
    }

    fn with(us: u32, config: PeersConfig) -> Self {
        let us = peer(us);
        Self { peers: Peers::new(us, config, Rng::from_seed(1)), now: Instant::now(), us }
    }

    fn know(&mut self, who: u32) {
        self.peers.handle_known(self.now, peer(who), &candidates(), Origin::Cli).unwrap();
    }

    fn dial(&mut self, who: u32) -> DialId {
        match self.peers.handle_dial(self.now, peer(who)) {
            Ok(DialAnswer::Started(dial)) => dial,
            other => panic!("{other:?}"),
        }
    }

    fn up(&mut self, who: u32, id: u64, dialed: bool) {
        let up = LinkUp { id: LinkId(id), dialed, addr: address() };
        self.peers.handle_link(self.now, peer(who), up, None);
    }

    fn idle(&mut self, id: u64) {
        self.peers.handle_use(self.now, LinkId(id), 0, self.now);
    }

    fn busy(&mut self, id: u64) {
        self.peers.handle_use(self.now, LinkId(id), 1, self.now);
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.peers.handle_timeout(self.now);
    }

    /// Lets time pass until the table wants something or there is nothing to wait for.
    fn next_commands(&mut self) -> Vec<PeerCommand> {
        while let Some(at) = self.peers.poll_timeout() {
            self.now = self.now.max(at);
            self.peers.handle_timeout(self.now);
            let commands = self.commands();
            if !commands.is_empty() {
                return commands;
            }
        }
        Vec::new()
    }

    /// All commands but heartbeats.
    fn commands(&mut self) -> Vec<PeerCommand> {
        let is_heartbeat = |c: &PeerCommand| matches!(c, PeerCommand::Heartbeat { .. });
        std::iter::from_fn(|| self.peers.poll_transmit()).filter(|c| !is_heartbeat(c)).collect()
    }

    /// The states that were passed through, each with its reason.
    fn steps(&mut self) -> Vec<(PeerState, Reason)> {
        std::iter::from_fn(|| self.peers.poll_event())
            .filter_map(|event| match event {
                PeerEvent::State { state, was, reason, .. } => {
                    assert!(was.may_become(state), "{was} to {state}");
                    Some((state, reason))
                }
                PeerEvent::Heartbeat { .. } => None,
            })
            .collect()
    }

    fn kept(&self, who: u32) -> Option<LinkId> {
        self.peers.record(&peer(who)).unwrap().link
    }

    fn state(&self, who: u32) -> PeerState {
        self.peers.record(&peer(who)).unwrap().state
    }
}

fn close(id: u64, reason: CloseReason) -> PeerCommand {
    PeerCommand::Close { link: LinkId(id), reason }
}

#[test]
fn a_dial_that_works() {
    let mut t = Table::new(LOW);
    t.know(HIGH);
    assert_eq!(t.state(HIGH), PeerState::Disconnected);
    let dial = t.dial(HIGH);
    assert_eq!(t.peers.handle_dial(t.now, peer(HIGH)), Ok(DialAnswer::UnderWay(dial)));
    let candidates = candidates();
    assert_eq!(t.commands(), [PeerCommand::Dial { peer: peer(HIGH), dial, candidates }]);
    let up = LinkUp { id: LinkId(7), dialed: true, addr: address() };
    t.peers.handle_link(t.now, peer(HIGH), up, Some(dial));
    assert_eq!(t.commands(), [PeerCommand::Keep { peer: peer(HIGH), link: Some(LinkId(7)) }]);
    assert_eq!(t.peers.handle_dial(t.now, peer(HIGH)), Ok(DialAnswer::Connected(LinkId(7))));
    t.peers.handle_closed(t.now, LinkId(7), Reason::ClosedByPeer);
    assert_eq!(t.commands(), [PeerCommand::Keep { peer: peer(HIGH), link: None }]);
    let steps = [
        (PeerState::Connecting, Reason::Dialing),
        (PeerState::Connected, Reason::Dialed),
        (PeerState::Disconnected, Reason::ClosedByPeer),
    ];
    assert_eq!(t.steps(), steps);
    assert_eq!(t.peers.poll_timeout(), None);
}

#[test]
fn what_cannot_be_dialed() {
    let mut t = Table::new(LOW);
    let refused = |t: &mut Table, who| t.peers.handle_dial(t.now, peer(who)).unwrap_err();
    assert_eq!(refused(&mut t, LOW), PeerRefused::Ourselves);
    assert_eq!(refused(&mut t, HIGH), PeerRefused::NoAddress);
    let known = t.peers.handle_known(t.now, t.us, &candidates(), Origin::Config);
    assert_eq!(known, Err(PeerRefused::Ourselves));
    t.know(HIGH);
    t.peers.handle_verdict(t.now, peer(HIGH), Verdict::Unlisted);
    assert_eq!(refused(&mut t, HIGH), PeerRefused::Denied);
    assert_eq!(t.commands(), []);
}

#[test]
fn a_stale_failure_changes_nothing() {
    let mut t = Table::new(LOW);
    t.know(HIGH);
    let first = t.dial(HIGH);
    t.peers.handle_dial_failed(t.now, peer(HIGH), first, Reason::NoAnswer);
    let second = t.dial(HIGH);
    t.peers.handle_dial_failed(t.now, peer(HIGH), first, Reason::NoAnswer);
    assert_eq!(t.state(HIGH), PeerState::Connecting);
    t.peers.handle_dial_failed(t.now, peer(HIGH), second, Reason::NoAnswer);
    assert_eq!(t.state(HIGH), PeerState::Disconnected);
}

/// Both dial at once. Each link comes up first at its dialer, then at its acceptor; every other
/// order is possible.
#[test]
fn simultaneous_dials_end_in_the_same_link_on_both_sides() {
    // (which table, link, dialed by it): link 1 is dialed by the low id, link 2 by the high one.
    let steps = [(LOW, 1, true), (HIGH, 1, false), (HIGH, 2, true), (LOW, 2, false)];
    for order in permutations(&[0, 1, 2, 3]) {
        let at = |step| order.iter().position(|s| *s == step);
        if at(0) > at(1) || at(2) > at(3) {
            continue;
        }
        let mut pair = Pair::new();
        for step in &order {
            let (us, link, dialed) = steps[*step];
            pair.table(us).up(LOW + HIGH - us, link, dialed);
        }
        assert_eq!(pair.low.kept(HIGH), Some(LinkId(1)), "{order:?}");
        assert_eq!(pair.high.kept(LOW), Some(LinkId(1)), "{order:?}");
        assert_eq!(pair.run(), [(HIGH, close(2, CloseReason::Duplicate))], "{order:?}");
        assert_eq!(pair.low.state(HIGH), PeerState::Connected);
        assert_eq!(pair.high.state(LOW), PeerState::Connected);
        for table in [&mut pair.low, &mut pair.high] {
            assert_eq!(table.steps().len(), 1, "a duplicate is no change of state");
        }
    }
}

#[test]
fn of_two_from_the_same_side_the_newer_stays() {
    for us in [LOW, HIGH] {
        for dialed in [true, false] {
            let mut t = Table::new(us);
            let other = LOW + HIGH - us;
            t.up(other, 5, dialed);
            t.up(other, 3, dialed);
            assert_eq!(t.kept(other), Some(LinkId(3)));
            assert_eq!(t.peers.record(&peer(other)).unwrap().draining, 1);
        }
    }
}

#[test]
fn the_older_of_two_from_the_same_side_is_not_taken_up_again() {
    for dialed in [true, false] {
        let mut t = Table::new(LOW);
        t.up(HIGH, 5, dialed);
        t.up(HIGH, 6, dialed);
        t.peers.handle_closed(t.now, LinkId(6), Reason::ClosedByPeer);
        assert_eq!((t.kept(HIGH), t.state(HIGH)), (None, PeerState::Disconnected));
        // The older of two from different sides is: its dialer did not dial again.
        let mut t = Table::new(LOW);
        t.up(HIGH, 5, dialed);
        t.up(HIGH, 6, !dialed);
        let (kept, other) = if dialed { (5, 6) } else { (6, 5) };
        assert_eq!(t.kept(HIGH), Some(LinkId(kept)));
        t.peers.handle_closed(t.now, LinkId(kept), Reason::ClosedByPeer);
        assert_eq!(t.kept(HIGH), Some(LinkId(other)));
    }
}

#[test]
fn a_duplicate_is_closed_once_its_streams_ended_on_both_sides() {
    let mut pair = Pair::new();
    pair.tie();
    pair.high.busy(2);
    pair.low.busy(2);
    assert_eq!(pair.settle(), []);
    pair.pass(secs(2));
    pair.high.idle(2);
    pair.pass(secs(2));
    assert_eq!(pair.settle(), [], "the acceptor still uses it");
    pair.low.idle(2);
    pair.pass(secs(1));
    assert_eq!(pair.settle(), [(HIGH, close(2, CloseReason::Duplicate))]);
}

#[test]
fn a_duplicate_is_closed_after_ten_seconds_whatever_runs() {
    let mut pair = Pair::new();
    pair.tie();
    pair.high.busy(2);
    pair.pass(Duration::from_millis(9_999));
    assert_eq!(pair.settle(), []);
    pair.pass(Duration::from_millis(1));
    assert_eq!(pair.settle(), [(HIGH, close(2, CloseReason::Duplicate))]);
}

#[test]
fn the_acceptor_closes_a_duplicate_that_its_dialer_leaves_open() {
    let mut t = Table::new(LOW);
    t.up(HIGH, 1, true);
    t.up(HIGH, 2, false);
    t.commands();
    assert_eq!(t.next_commands(), [PeerCommand::SayDrained(LinkId(2))]);
    assert_eq!(t.next_commands(), [close(2, CloseReason::Duplicate)]);
}

#[test]
fn the_last_link_left_is_kept_again() {
    let mut t = Table::new(HIGH);
    t.up(LOW, 2, true);
    t.up(LOW, 1, false);
    assert_eq!(t.kept(LOW), Some(LinkId(1)));
    t.peers.handle_drained(t.now, LinkId(2));
    t.commands();
    t.peers.handle_closed(t.now, LinkId(1), Reason::Lost);
    assert_eq!(t.commands(), [PeerCommand::Keep { peer: peer(LOW), link: Some(LinkId(2)) }]);
    t.pass(secs(20));
    assert_eq!(t.commands(), [], "it drains no more");
    assert_eq!(t.state(LOW), PeerState::Connected);
}

#[test]
fn an_acceptor_that_is_done_before_we_know_of_the_tie() {
    let mut t = Table::new(HIGH);
    t.up(LOW, 2, true);
    t.peers.handle_drained(t.now, LinkId(2));
    t.pass(secs(5));
    assert_eq!(t.kept(LOW), Some(LinkId(2)));
    t.up(LOW, 1, false);
    t.commands();
    assert_eq!(t.next_commands(), [close(2, CloseReason::Duplicate)]);
    assert!(t.now.elapsed() < secs(10));
}

#[test]
fn what_nobody_wants_is_closed_by_its_dialer_after_a_minute_without_use() {
    let mut t = Table::new(LOW);
    t.up(HIGH, 1, true);
    t.up(3, 2, false);
    t.commands();
    t.pass(secs(50));
    t.busy(1);
    t.pass(secs(100));
    assert_eq!(t.commands(), [], "a stream runs");
    t.idle(1);
    t.pass(secs(59));
    assert_eq!(t.commands(), []);
    t.pass(secs(1));
    let keep = PeerCommand::Keep { peer: peer(HIGH), link: None };
    assert_eq!(t.commands(), [close(1, CloseReason::Idle), keep]);
    assert_eq!(t.steps().last(), Some(&(PeerState::Disconnected, Reason::Idle)));
    assert_eq!(t.state(3), PeerState::Connected, "what the peer dialed is the peer's to close");
}

#[test]
fn a_wanted_peer_is_dialed_at_once_kept_and_dialed_again() {
    let mut t = Table::new(LOW);
    t.know(HIGH);
    t.peers.handle_wanted(t.now, peer(HIGH), true);
    let [PeerCommand::Dial { dial, .. }] = t.commands()[..] else { panic!("no dial") };
    t.peers.handle_dial_failed(t.now, peer(HIGH), dial, Reason::NoAnswer);
    let record = t.peers.record(&peer(HIGH)).unwrap();
    assert!(record.next_retry.unwrap() <= t.now + secs(1));
    assert_eq!(record.failures, 1);
    let [PeerCommand::Dial { dial, .. }] = t.next_commands()[..] else { panic!("no redial") };
    let up = LinkUp { id: LinkId(1), dialed: true, addr: address() };
    t.peers.handle_link(t.now, peer(HIGH), up, Some(dial));
    t.commands();
    t.pass(secs(1000));
    assert_eq!(t.commands(), [], "a wanted connection may be idle");
    t.peers.handle_closed(t.now, LinkId(1), Reason::Lost);
    t.commands();
    assert!(matches!(t.next_commands()[..], [PeerCommand::Dial { .. }]));
}

#[test]
fn a_peer_that_only_accepts_and_closes_is_dialed_ever_more_rarely() {
    let mut t = Table::new(LOW);
    t.know(HIGH);
    t.peers.handle_wanted(t.now, peer(HIGH), true);
    let begin = t.now;
    for link in 0..30 {
        let commands = if link == 0 { t.commands() } else { t.next_commands() };
        let [PeerCommand::Dial { dial, .. }] = commands[..] else { panic!("{commands:?}") };
        let up = LinkUp { id: LinkId(link), dialed: true, addr: address() };
        t.peers.handle_link(t.now, peer(HIGH), up, Some(dial));
        t.peers.handle_closed(t.now, LinkId(link), Reason::ClosedByPeer);
        t.commands();
    }
    assert!(t.now - begin > secs(120), "{:?}", t.now - begin);
}

#[test]
fn wanted_peers_are_dialed_a_few_at_a_time() {
    let config = PeersConfig { max_retrying: 3, ..PeersConfig::default() };
    let mut t = Table::with(LOW, config);
    for who in 10..20 {
        t.know(who);
        t.peers.handle_wanted(t.now, peer(who), true);
    }
    let first = t.commands();
    let [PeerCommand::Dial { peer, dial, .. }] = first[..] else { panic!("{first:?}") };
    let begin = t.now;
    assert_eq!([t.next_commands().len(), t.next_commands().len()], [1, 1]);
    assert_eq!(t.now - begin, Duration::from_millis(40), "50 in a second");
    assert_eq!(t.peers.poll_timeout(), None, "nothing to do until one ends");
    t.peers.handle_dial_failed(t.now, peer, dial, Reason::NoAnswer);
    assert_eq!(t.next_commands().len(), 1);
}

#[test]
fn disconnect_closes_everything_and_stays_away() {
    let mut t = Table::new(LOW);
    t.know(HIGH);
    t.peers.handle_wanted(t.now, peer(HIGH), true);
    let [PeerCommand::Dial { dial, .. }] = t.commands()[..] else { panic!("no dial") };
    t.up(HIGH, 1, false);
    t.up(HIGH, 2, false);
    t.commands();
    t.peers.handle_disconnect(t.now, peer(HIGH));
    let expected = [
        PeerCommand::CancelDial { peer: peer(HIGH), dial },
        close(1, CloseReason::Disconnect),
        close(2, CloseReason::Disconnect),
        PeerCommand::Keep { peer: peer(HIGH), link: None },
    ];
    assert_eq!(t.commands(), expected);
    assert_eq!(t.steps().last(), Some(&(PeerState::Disconnected, Reason::Disconnect)));
    t.peers.handle_closed(t.now, LinkId(1), Reason::Disconnect);
    t.peers.handle_closed(t.now, LinkId(2), Reason::Disconnect);
    t.pass(secs(1000));
    assert_eq!(t.commands(), []);
}

#[test]
fn a_verdict_closes_and_a_lifted_one_dials_again() {
    let mut t = Table::new(LOW);
    t.know(HIGH);
    t.peers.handle_wanted(t.now, peer(HIGH), true);
    t.up(HIGH, 1, false);
    t.commands();
    t.steps();
    t.peers.handle_verdict(t.now, peer(HIGH), Verdict::Denied);
    assert!(t.commands().contains(&close(1, CloseReason::Denied)));
    t.up(HIGH, 2, false);
    assert_eq!(t.commands(), [close(2, CloseReason::Denied)], "one that was on its way");
    t.pass(secs(1000));
    assert_eq!(t.commands(), []);
    t.peers.handle_verdict(t.now, peer(HIGH), Verdict::Admitted);
    assert!(matches!(t.commands()[..], [PeerCommand::Dial { .. }]));
    let steps = [
        (PeerState::Denied, Reason::Denied),
        (PeerState::Disconnected, Reason::Allowed),
        (PeerState::Connecting, Reason::Retrying),
    ];
    assert_eq!(t.steps(), steps);
}

#[test]
fn the_table_is_bounded_and_forgets_who_is_away_longest() {
    let config = PeersConfig { max_known: 3, ..PeersConfig::default() };
    let mut t = Table::with(LOW, config);
    for who in [10, 11, 12] {
        t.know(who);
        t.pass(secs(1));
    }
    t.up(10, 1, false);
    t.know(13);
    assert_eq!(t.peers.record(&peer(11)), None);
    assert_eq!(t.peers.count(), (3, 1));
    for who in [12, 13] {
        t.peers.handle_wanted(t.now, peer(who), true);
    }
    let known = t.peers.handle_known(t.now, peer(14), &candidates(), Origin::Lan);
    assert_eq!(known, Err(PeerRefused::Full { limit: 3 }));
    t.commands();
    t.up(15, 2, false);
    assert_eq!(t.commands(), [close(2, CloseReason::Full)]);
}

#[test]
fn candidates_of_a_peer_are_bounded_and_the_newest_stay() {
    let config = PeersConfig { max_candidates: 2, ..PeersConfig::default() };
    let mut t = Table::with(LOW, config);
    let at = |port| Candidate::direct(SocketAddr::from(([192, 0, 2, 1], port))).unwrap();
    for port in [1, 2, 2, 3] {
        t.peers.handle_known(t.now, peer(HIGH), &[at(port)], Origin::Cli).unwrap();
    }
    assert_eq!(t.peers.record(&peer(HIGH)).unwrap().candidates, [at(2), at(3)]);
}

#[test]
fn at_the_most_connections_the_one_unused_longest_makes_room() {
    let config = PeersConfig { max_links: 3, ..PeersConfig::default() };
    let mut t = Table::with(LOW, config);
    for (who, link) in [(10, 1), (11, 2), (12, 3)] {
        t.know(who);
        t.up(who, link, false);
        t.pass(secs(1));
    }
    t.peers.handle_wanted(t.now, peer(10), true);
    t.busy(2);
    t.commands();
    t.up(13, 4, false);
    assert!(t.commands().contains(&close(3, CloseReason::Full)));
    assert_eq!(t.state(12), PeerState::Disconnected);
    t.busy(4);
    t.up(14, 5, false);
    assert_eq!(t.commands(), [close(5, CloseReason::Full)], "the others are wanted or in use");
}

#[test]
fn a_spurious_timeout_does_nothing() {
    let mut t = Table::new(LOW);
    t.know(HIGH);
    t.up(HIGH, 1, true);
    t.commands();
    t.steps();
    for _ in 0..10 {
        t.pass(secs(1));
    }
    assert_eq!(t.commands(), []);
    assert_eq!(t.steps(), []);
}

#[test]
fn unknown_peers_and_links_are_ignored() {
    let mut t = Table::new(LOW);
    t.peers.handle_closed(t.now, LinkId(9), Reason::Lost);
    t.peers.handle_use(t.now, LinkId(9), 4, t.now);
    t.peers.handle_drained(t.now, LinkId(9));
    t.peers.handle_disconnect(t.now, peer(HIGH));
    t.peers.handle_wanted(t.now, peer(HIGH), true);
    t.peers.handle_verdict(t.now, peer(HIGH), Verdict::Denied);
    t.peers.handle_dial_failed(t.now, peer(HIGH), DialId(0), Reason::NoAnswer);
    assert_eq!(t.commands(), []);
    assert_eq!(t.steps(), []);
    assert_eq!(t.peers.count(), (0, 0));
}

/// Random inputs: every transition is one of the table, every queue ends, and the links that the
/// table believes in are those that are up.
#[test]
fn random_inputs_keep_the_invariants() {
    for seed in 0..300 {
        let mut rng = Rng::from_seed(seed);
        let config = PeersConfig { max_known: 6, max_links: 5, ..PeersConfig::default() };
        let mut t = Table::with(4, config);
        let mut dials = Vec::new();
        let mut links = Vec::new();
        for step in 0..200 {
            let who = (rng.next_u64() % 8) as u32;
            match rng.next_u64() % 9 {
                0 => drop(t.peers.handle_known(t.now, peer(who), &candidates(), Origin::Dht)),
                1 => t.peers.handle_wanted(t.now, peer(who), rng.next_u64().is_multiple_of(2)),
                2 => drop(t.peers.handle_dial(t.now, peer(who))),
                3 => {
                    links.push(step);
                    t.up(who, step, rng.next_u64().is_multiple_of(2));
                }
                4 if !dials.is_empty() => {
                    let (peer, dial) = dials.swap_remove(who as usize % dials.len());
                    t.peers.handle_dial_failed(t.now, peer, dial, Reason::NoAnswer);
                }
                5 if !links.is_empty() => {
                    let link = links.swap_remove(who as usize % links.len());
                    t.peers.handle_closed(t.now, LinkId(link), Reason::Lost);
                }
                6 => t.peers.handle_disconnect(t.now, peer(who)),
                7 => {
                    let verdict = [Verdict::Admitted, Verdict::Denied][who as usize % 2];
                    t.peers.handle_verdict(t.now, peer(who / 2), verdict);
                }
                _ => t.pass(rng.up_to(secs(30))),
            }
            for command in t.commands() {
                match command {
                    PeerCommand::Dial { peer, dial, .. } => dials.push((peer, dial)),
                    PeerCommand::CancelDial { dial, .. } => {
                        dials.retain(|(_, other)| *other != dial)
                    }
                    PeerCommand::Close { link, .. } => {
                        links.retain(|other| *other != link.0);
                        t.peers.handle_closed(t.now, link, Reason::Disconnect);
                    }
                    _ => {}
                }
            }
            t.steps();
            assert!(t.peers.agenda_is_true(), "seed {seed}");
            let (known, connected) = t.peers.count();
            assert!(known <= 6 && connected <= links.len() && links.len() <= 5, "seed {seed}");
            for record in t.peers.records() {
                let connected = matches!(record.state, PeerState::Connected | PeerState::Suspect);
                assert_eq!(record.link.is_some(), connected, "seed {seed}");
                assert!(record.link.is_none_or(|link| links.contains(&link.0)), "seed {seed}");
            }
        }
    }
}

/// Two tables whose links and words reach each other at once.
struct Pair {
    low: Table,
    high: Table,
}

impl Pair {
    fn new() -> Self {
        let (low, mut high) = (Table::new(LOW), Table::new(HIGH));
        high.now = low.now;
        Self { low, high }
    }

    fn table(&mut self, which: u32) -> &mut Table {
        if which == LOW { &mut self.low } else { &mut self.high }
    }

    /// Link 1, dialed by the low id, is kept; link 2, dialed by the high one, drains.
    fn tie(&mut self) {
        self.low.up(HIGH, 1, true);
        self.high.up(LOW, 2, true);
        self.high.up(LOW, 1, false);
        self.low.up(HIGH, 2, false);
    }

    fn pass(&mut self, time: Duration) {
        self.low.pass(time);
        self.high.pass(time);
    }

    /// Lets both tables act; what they close, and who closed it.
    fn settle(&mut self) -> Vec<(u32, PeerCommand)> {
        let mut closes = Vec::new();
        loop {
            let low = self.low.commands().into_iter().map(|command| (LOW, command));
            let high = self.high.commands().into_iter().map(|command| (HIGH, command));
            let commands: Vec<_> = low.chain(high).collect();
            if commands.is_empty() {
                return closes;
            }
            for (us, command) in commands {
                let other = self.table(LOW + HIGH - us);
                match command {
                    PeerCommand::SayDrained(link) => other.peers.handle_drained(other.now, link),
                    PeerCommand::Close { link, .. } => {
                        other.peers.handle_closed(other.now, link, Reason::ClosedByPeer);
                        let us_table = self.table(us);
                        us_table.peers.handle_closed(us_table.now, link, Reason::Disconnect);
                        closes.push((us, command));
                    }
                    _ => {}
                }
            }
        }
    }

    /// Lets time pass, in small steps, for 20 s.
    fn run(&mut self) -> Vec<(u32, PeerCommand)> {
        let mut closes = self.settle();
        for _ in 0..200 {
            self.pass(Duration::from_millis(100));
            closes.extend(self.settle());
        }
        closes
    }
}

fn permutations(items: &[usize]) -> Vec<Vec<usize>> {
    if items.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for first in items {
        let rest: Vec<_> = items.iter().copied().filter(|item| item != first).collect();
        for mut tail in permutations(&rest) {
            tail.insert(0, *first);
            all.push(tail);
        }
    }
    all
}
