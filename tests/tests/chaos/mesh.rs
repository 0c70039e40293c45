//! A mesh whose nodes are killed, frozen and restarted, whose connections are closed and made by
//! command and who change their minds about whom they admit, all at the same time. In the end every
//! pair that is admitted is connected, and no other is.
//!
//! The long form takes five to ten minutes:
//! `PINHOLE_LONG=1 cargo test --release -p pinhole-tests --test chaos -- --nocapture mesh`

use std::{
    collections::BTreeSet,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use pinhole_tests::{
    Rng,
    machine::long,
    mesh::{Denied, Mesh},
    seeds::for_seeds,
};

const NODES: usize = 12;
/// Of all ordered pairs, in percent: who does not admit whom at first.
const DENIED: usize = 10;
/// How soon a denied peer is gone.
const GONE: Duration = Duration::from_secs(1);

/// How much of everything.
struct Form {
    /// Nodes that are killed, frozen or restarted.
    blows: usize,
    /// Connections closed and made again by command, not counting those that could not be made
    /// because of who is harmed or denied.
    cycles: usize,
    /// Times that somebody is denied, or allowed again.
    changes: usize,
    /// The run takes at least so long.
    at_least: Duration,
    /// The longest time that a node is frozen.
    frozen: Duration,
    /// How soon all is as it should be when nothing happens any more.
    settled: Duration,
}

impl Form {
    fn wanted() -> Self {
        let (secs, long) = (Duration::from_secs, long());
        let of = |long_form, short_form| if long { long_form } else { short_form };
        Self {
            blows: of(30, 6),
            cycles: of(1000, 40),
            changes: of(20, 4),
            at_least: secs(of(300, 15) as u64),
            frozen: secs(of(45, 5) as u64),
            settled: secs(60),
        }
    }
}

#[test]
fn a_mesh_survives() {
    for_seeds(1, |seed| run(seed, &Form::wanted()));
}

fn run(seed: u64, form: &Form) {
    let mut rng = Rng::from_seed(seed);
    let pairs = (0..NODES).flat_map(|a| (0..NODES).map(move |b| (a, b)));
    let denied: Denied = pairs.filter(|(a, b)| a != b && rng.chance(DENIED)).collect();
    println!("seed {seed}: {} of {} ordered pairs denied", denied.len(), NODES * (NODES - 1));
    let mesh = Mesh::start(NODES, denied, &[]);
    println!("all as it should be {:?} after the last is ready", mesh.assert_settled(form.settled));

    let start = Instant::now();
    let chaos = Chaos {
        mesh: &mesh,
        form,
        harmed: Mutex::default(),
        unfinished: Mutex::default(),
        cycled: AtomicUsize::new(0),
    };
    let (chaos, mut next) = (&chaos, || Rng::from_seed(rng.next_u64()));
    thread::scope(|scope| {
        let (blows, cycles, changes) = (next(), [next(), next()], next());
        scope.spawn(move || chaos.blows(blows));
        for cycles in cycles {
            scope.spawn(move || chaos.cycles(cycles));
        }
        scope.spawn(move || chaos.changes(changes));
    });
    println!(
        "{:?} of chaos; {} whole cycles",
        start.elapsed(),
        chaos.cycled.load(Ordering::Relaxed)
    );
    chaos.finish();
    println!("all as it should be after {:?} more", mesh.assert_settled(form.settled));
}

struct Chaos<'a> {
    mesh: &'a Mesh,
    form: &'a Form,
    /// Nodes that are dead or frozen.
    harmed: Mutex<BTreeSet<usize>>,
    /// Pairs whose last cycle, or one before, did not succeed.
    unfinished: Mutex<BTreeSet<(usize, usize)>>,
    cycled: AtomicUsize,
}

impl Chaos<'_> {
    /// One node after the other is killed, frozen or told to stop, and comes back.
    fn blows(&self, mut rng: Rng) {
        let pace = self.form.at_least / self.form.blows as u32;
        thread::scope(|scope| {
            for _ in 0..self.form.blows {
                let (victim, kind) = (self.victim(&mut rng), rng.below(3));
                let down = match kind {
                    1 => rng.up_to(self.form.frozen),
                    _ => rng.up_to(Duration::from_secs(4)),
                };
                // What follows is the world's course, not a wait for something to be done.
                scope.spawn(move || self.blow(victim, kind, down));
                thread::sleep(pace);
            }
        });
    }

    fn blow(&self, victim: usize, kind: usize, down: Duration) {
        let node = &self.mesh.nodes[victim];
        match kind {
            0 => node.kill(),
            1 => node.freeze(),
            _ => assert!(node.stop(), "stops in an orderly way"),
        }
        println!("{} {victim} for {down:?}", ["killed", "froze", "stopped"][kind]);
        thread::sleep(down);
        if kind == 1 {
            node.thaw();
        } else {
            node.restart();
        }
        self.harmed.lock().unwrap().remove(&victim);
    }

    /// Someone who is well, and now is not.
    fn victim(&self, rng: &mut Rng) -> usize {
        loop {
            let node = rng.below(NODES);
            if self.harmed.lock().unwrap().insert(node) {
                return node;
            }
        }
    }

    /// Connections are closed and made again; two do this.
    fn cycles(&self, mut rng: Rng) {
        let pace = 2 * self.form.at_least / self.form.cycles as u32;
        let mut tries = 0_usize;
        while self.cycled.load(Ordering::Relaxed) < self.form.cycles {
            let next = Instant::now() + pace;
            let (one, other) = self.well(&mut rng);
            let node = &self.mesh.nodes[one];
            let peer = self.mesh.nodes[other].peer.to_string();
            // Whether it works depends on who is harmed meanwhile, and who is denied.
            let closed = node.command(&["disconnect", &peer]).1;
            let made = node.command(&["connect", &self.mesh.address(other), "--timeout", "2"]).1;
            if closed && made {
                self.cycled.fetch_add(1, Ordering::Relaxed);
            } else {
                self.unfinished.lock().unwrap().insert((one, other));
            }
            tries += 1;
            if tries.is_multiple_of(100) {
                println!("{tries} cycles, {} whole", self.cycled.load(Ordering::Relaxed));
            }
            assert!(tries < 3 * self.form.cycles, "most connections cannot be made");
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    }

    /// Who disconnected and could not connect again because it denied the other, wants it no more:
    /// now that nobody is harmed it is told to again.
    fn finish(&self) {
        for &(one, other) in self.unfinished.lock().unwrap().iter() {
            let words = ["connect", &self.mesh.address(other), "--timeout", "2"];
            let made = self.mesh.nodes[one].command(&words).1;
            assert_eq!(made, self.mesh.admitted(one, other), "{one} connects to {other}");
        }
    }

    /// Two nodes of which the first is well.
    fn well(&self, rng: &mut Rng) -> (usize, usize) {
        loop {
            let (one, other) = (rng.below(NODES), rng.below(NODES));
            if one != other && !self.harmed.lock().unwrap().contains(&one) {
                return (one, other);
            }
        }
    }

    /// Nodes change their minds.
    fn changes(&self, mut rng: Rng) {
        let pace = self.form.at_least / self.form.changes as u32;
        for change in 0..self.form.changes {
            let (one, other) = self.well(&mut rng);
            println!("{one} and {other}, admitted: {}", self.mesh.admitted(one, other));
            if change % 2 == 0 {
                self.deny(one, other);
            } else {
                self.mesh.allow(one, other);
                self.mesh.allow(other, one);
            }
            thread::sleep(pace);
        }
    }

    fn deny(&self, one: usize, other: usize) {
        let (node, peer) = (&self.mesh.nodes[one], self.mesh.nodes[other].peer);
        let mark = node.mark();
        self.mesh.deny(one, other);
        let restarted = || self.harmed.lock().unwrap().contains(&one);
        if !restarted() && node.state(peer) != "unknown" {
            let gone = node.state(peer) == "denied"
                || node.state_since(mark, peer, "denied", GONE).is_some();
            assert!(gone || restarted(), "{one} denied {other}, which is {}", node.state(peer));
        }
    }
}
