//! A mesh of real nodes of which each wants every other, and who of them admits whom.

use std::{
    collections::BTreeSet,
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use crate::node::{PATIENCE, Setup, Starting, TestNode, free_addrs, now_ms, said_at};

/// Pairs of nodes by their number: the first does not admit the second.
pub type Denied = BTreeSet<(usize, usize)>;

/// States of a peer to which there is a connection.
const LINKED: [&str; 3] = ["connected", "suspect", "failed"];

/// Nodes that know each other's addresses from the start.
pub struct Mesh {
    /// Each dials every other, or tries to.
    pub nodes: Vec<TestNode>,
    denied: Mutex<Denied>,
    /// When the first process was started, in milliseconds since 1970.
    started: u64,
}

impl Mesh {
    /// Starts `count` nodes at once. Those of even number are strict and allow everybody but whom
    /// `denied` names; those of odd number are open and deny them.
    pub fn start(count: usize, denied: Denied, flags: &[&str]) -> Self {
        let addrs = free_addrs(count);
        let setups: Vec<_> =
            addrs.iter().map(|addr| Setup::temporary().listen([addr]).flags(flags)).collect();
        let peers: Vec<_> = setups.iter().map(Setup::identity).collect();
        let prepared = setups.into_iter().enumerate().map(|(own, setup)| {
            let others = || (0..count).filter(|&other| other != own);
            let wanted = others().flat_map(|other| {
                ["--peer".to_owned(), format!("{}@{}", peers[other], addrs[other])]
            });
            let (strict, mut setup) = (own % 2 == 0, setup.flags(wanted));
            for other in others() {
                let peer = peers[other].to_string();
                match (strict, denied.contains(&(own, other))) {
                    (true, false) => setup = setup.flags(["--allow", &peer]),
                    (false, true) => setup.command(&["deny", &peer]),
                    _ => {}
                }
            }
            setup
        });
        let prepared: Vec<_> = prepared.collect();
        let started = now_ms();
        let starting: Vec<_> = prepared.into_iter().map(Setup::spawn).collect();
        let nodes = starting.into_iter().map(Starting::ready).collect();
        Self { nodes, denied: Mutex::new(denied), started }
    }

    /// Whether both admit each other.
    pub fn admitted(&self, one: usize, other: usize) -> bool {
        let denied = self.denied.lock().unwrap();
        !denied.contains(&(one, other)) && !denied.contains(&(other, one))
    }

    /// From now on `one` does not admit `other`.
    pub fn deny(&self, one: usize, other: usize) {
        self.denied.lock().unwrap().insert((one, other));
        self.say(one, "deny", other);
    }

    /// From now on it does.
    pub fn allow(&self, one: usize, other: usize) {
        self.denied.lock().unwrap().remove(&(one, other));
        self.say(one, "allow", other);
    }

    /// A node that was just killed or is just starting may not be there to hear it.
    fn say(&self, one: usize, word: &str, other: usize) {
        let (node, peer) = (&self.nodes[one], self.nodes[other].peer.to_string());
        let start = Instant::now();
        loop {
            let (lines, done) = node.command(&[word, &peer]);
            if done {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "{word}: {lines:?}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// `PEER@HOST:PORT` of a node.
    pub fn address(&self, node: usize) -> String {
        self.nodes[node].address()
    }

    /// Every ordered pair of different nodes.
    pub fn pairs(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let count = self.nodes.len();
        (0..count).flat_map(move |a| (0..count).filter(move |&b| b != a).map(move |b| (a, b)))
    }

    /// Asserts that within this time both ends of every admitted pair are connected, and that no
    /// end of any other pair is. The answer is how long that took.
    pub fn assert_settled(&self, within: Duration) -> Duration {
        let start = Instant::now();
        for (one, other) in self.pairs().filter(|&(one, other)| self.admitted(one, other)) {
            let left = within.saturating_sub(start.elapsed());
            self.nodes[one].assert_state(self.nodes[other].peer, "connected", left);
        }
        let took = start.elapsed();
        // What events say is what the nodes say when asked, and none has too much.
        loop {
            let wrong = self.wrong();
            if wrong.is_empty() {
                return took;
            }
            assert!(start.elapsed() < within, "not as it should be: {wrong:#?}");
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// Pairs that are connected and should not be, or the other way round.
    fn wrong(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for (own, node) in self.nodes.iter().enumerate() {
            let peers = node.peers();
            for other in (0..self.nodes.len()).filter(|&other| other != own) {
                let id = self.nodes[other].peer.to_string();
                let entry = peers.iter().find(|peer| peer["peer"] == id.as_str());
                let state = entry.map_or("unknown", |peer| peer["state"].as_str().unwrap());
                let admitted = self.admitted(own, other);
                let right = if admitted { state == "connected" } else { !LINKED.contains(&state) };
                if !right {
                    wrong.push(format!("{own} has {other} {state}, admitted: {admitted}"));
                }
            }
        }
        wrong
    }

    /// From the start of the first process to the last `connected` of an admitted pair, if all are.
    pub fn set_up(&self) -> Duration {
        let first = |one: usize, other: usize| {
            let peer = self.nodes[other].peer;
            let event = self.nodes[one].state_since(0, peer, "connected", Duration::ZERO);
            said_at(&event.expect("every admitted pair is connected"))
        };
        let admitted = self.pairs().filter(|&(one, other)| self.admitted(one, other));
        let last = admitted.map(|(one, other)| first(one, other)).max().expect("a pair");
        Duration::from_millis(last - self.started)
    }
}
