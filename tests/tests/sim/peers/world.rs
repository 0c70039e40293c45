//! Nodes that are nothing but their tables of peers, in virtual time.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use pinhole_node::liveness::Vitals;
use pinhole_node::peers::{
    CloseReason, LinkId, LinkUp, Origin, PeerCommand, PeerEvent, PeerState, Peers, PeersConfig,
    Reason, Testimony,
};
use pinhole_node::proto::rng::Rng;
use pinhole_proto::message::Reached;
use pinhole_proto::{Candidate, PeerId};

use super::transport::{
    ASK_LIMIT, Acks, Ask, Body, ConnId, DIAL_LIMIT, Dial, Frame, HALF_OPEN, INITIALS, Net, Packet,
    Side, What,
};

mod wire;

pub(super) type NodeId = usize;

/// Datagrams that wait in the socket of a frozen node.
const INBOX: usize = 2000;

/// What a test wants to happen at a time.
#[derive(Clone, Copy, Debug)]
pub(super) enum Action {
    /// `from` asks `to` for something, and waits for the reply as long as it takes.
    Ping {
        from: NodeId,
        to: NodeId,
    },
    Kill(NodeId),
    Start(NodeId),
    Freeze(NodeId),
    Thaw(NodeId),
}

enum Happening {
    Arrives(Packet),
    Timer { node: NodeId, epoch: u32, at: Instant },
    Initial { dial: usize },
    DialEnds { dial: usize },
    HalfOpenEnds { conn: ConnId },
    Resend { conn: ConnId, side: usize, frame: u64 },
    AskEnds { conn: ConnId, side: usize, stream: u64 },
    Do(Action),
}

/// A change of state, as its node tells it.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) at: Instant,
    pub(super) node: NodeId,
    pub(super) peer: NodeId,
    pub(super) state: PeerState,
    pub(super) reason: Reason,
    pub(super) reached_by: Vec<NodeId>,
}

struct Node {
    peers: Peers,
    epoch: u32,
    alive: bool,
    frozen: bool,
    /// What happens to it when it runs again.
    held: Vec<Happening>,
    inbox: usize,
    timer: Option<Instant>,
    wanted: Vec<NodeId>,
    links: BTreeMap<ConnId, usize>,
    /// Connections of which there is something to tell.
    news: Vec<(ConnId, usize)>,
    starts: VecDeque<Instant>,
    retrying: usize,
    accepts: VecDeque<Instant>,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) packets: u64,
    pub(super) heartbeats: u64,
    pub(super) dials: u64,
    pub(super) asked: u64,
    /// The most dials that one node started within a second.
    pub(super) dials_in_a_second: usize,
}

/// Whether packets from one node reach another one.
type Cut = Box<dyn Fn(NodeId, NodeId) -> bool>;

pub(super) struct World {
    pub(super) now: Instant,
    pub(super) start: Instant,
    pub(super) net: Net,
    pub(super) rng: Rng,
    pub(super) counts: Counts,
    pub(super) log: Vec<Change>,
    /// Connections that a node accepts in any second.
    pub(super) accepts: usize,
    config: PeersConfig,
    seed: u64,
    cut: Option<Cut>,
    nodes: Vec<Node>,
    ids: Vec<PeerId>,
    by_id: BTreeMap<PeerId, NodeId>,
    conns: Vec<[Side; 2]>,
    dials: Vec<Dial>,
    queue: BTreeMap<(Instant, u64), Happening>,
    sequence: u64,
}

impl World {
    /// Nodes that know each other's addresses and want nobody.
    pub(super) fn new(seed: u64, net: Net, count: usize, config: PeersConfig) -> Self {
        let now = Instant::now();
        let mut world = Self {
            now,
            start: now,
            net,
            rng: Rng::from_seed(seed),
            counts: Counts::default(),
            log: Vec::new(),
            accepts: 50,
            config,
            seed,
            cut: None,
            nodes: Vec::new(),
            ids: (0..count).map(peer_id).collect(),
            by_id: BTreeMap::new(),
            conns: Vec::new(),
            dials: Vec::new(),
            queue: BTreeMap::new(),
            sequence: 0,
        };
        for node in 0..count {
            world.by_id.insert(world.ids[node], node);
            let peers = world.table(node, 0);
            world.nodes.push(Node {
                peers,
                epoch: 0,
                alive: true,
                frozen: false,
                held: Vec::new(),
                inbox: 0,
                timer: None,
                wanted: Vec::new(),
                links: BTreeMap::new(),
                news: Vec::new(),
                starts: VecDeque::new(),
                retrying: 0,
                accepts: VecDeque::new(),
            });
        }
        world
    }

    fn table(&self, node: NodeId, epoch: u32) -> Peers {
        let seed = self.seed ^ ((node as u64) << 20) ^ (u64::from(epoch) << 50);
        Peers::new(self.ids[node], self.config, Rng::from_seed(seed))
    }

    /// `node` wants to be connected to `peer` always.
    pub(super) fn want(&mut self, node: NodeId, peer: NodeId) {
        self.nodes[node].wanted.push(peer);
        self.tell_wanted(node, peer);
    }

    fn tell_wanted(&mut self, node: NodeId, peer: NodeId) {
        let (now, id) = (self.now, self.ids[peer]);
        self.with(node, |peers| {
            peers.handle_known(now, id, &[address(peer)], Origin::Config).unwrap();
            peers.handle_wanted(now, id, true);
        });
    }

    /// Packets pass only where `cut` does not say so.
    pub(super) fn cut(&mut self, cut: impl Fn(NodeId, NodeId) -> bool + 'static) {
        self.cut = Some(Box::new(cut));
    }

    pub(super) fn heal(&mut self) {
        self.cut = None;
    }

    pub(super) fn at(&mut self, at: Instant, action: Action) {
        self.schedule(at, Happening::Do(action));
    }

    pub(super) fn state(&self, node: NodeId, peer: NodeId) -> PeerState {
        self.nodes[node].peers.record(&self.ids[peer]).map_or(PeerState::Disconnected, |r| r.state)
    }

    pub(super) fn record(&self, node: NodeId, peer: NodeId) -> pinhole_node::peers::PeerRecord {
        self.nodes[node].peers.record(&self.ids[peer]).unwrap()
    }

    pub(super) fn connected(&self, node: NodeId) -> usize {
        self.nodes[node].peers.count().1
    }

    /// Both see the other as connected.
    pub(super) fn pair(&self, a: NodeId, b: NodeId) -> bool {
        self.state(a, b) == PeerState::Connected && self.state(b, a) == PeerState::Connected
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    /// The next change after `from` that `wanted` says yes to.
    pub(super) fn change(&self, from: usize, wanted: impl Fn(&Change) -> bool) -> Option<&Change> {
        self.log[from..].iter().find(|change| wanted(change))
    }

    fn schedule(&mut self, at: Instant, happening: Happening) {
        self.sequence += 1;
        self.queue.insert((at, self.sequence), happening);
    }

    pub(super) fn run_for(&mut self, time: Duration) {
        self.run_until(time, |_| false);
    }

    /// Lets time pass until `done`, which is asked after each change of a state; whether it was.
    pub(super) fn run_until(
        &mut self,
        limit: Duration,
        mut done: impl FnMut(&Self) -> bool,
    ) -> bool {
        let until = self.now + limit;
        let mut seen = usize::MAX;
        loop {
            if seen != self.log.len() && done(self) {
                return true;
            }
            seen = self.log.len();
            let next = self.queue.first_entry().filter(|next| next.key().0 <= until);
            let Some(((at, _), happening)) = next.map(|next| next.remove_entry()) else {
                self.now = until;
                return done(self);
            };
            self.now = self.now.max(at);
            self.happen(happening);
        }
    }

    fn happen(&mut self, happening: Happening) {
        if let Some(node) = self.frozen_owner(&happening) {
            let node = &mut self.nodes[node];
            let is_packet = matches!(happening, Happening::Arrives(_));
            node.inbox += usize::from(is_packet);
            if !is_packet || node.inbox <= INBOX {
                node.held.push(happening);
            }
            return;
        }
        match happening {
            Happening::Arrives(packet) => self.arrives(packet),
            Happening::Timer { node, epoch, at } => self.timer(node, epoch, at),
            Happening::Initial { dial } => self.initial(dial),
            Happening::DialEnds { dial } => self.dial_ends(dial, Reason::NoAnswer),
            Happening::HalfOpenEnds { conn } => {
                let side = &mut self.conns[conn][1];
                side.closed |= !side.up;
            }
            Happening::Resend { conn, side, frame } => self.resend(conn, side, frame),
            Happening::AskEnds { conn, side, stream } => {
                self.ask_ended(conn, side, stream, Testimony::Elsewhere);
            }
            Happening::Do(action) => self.act(action),
        }
    }

    /// The node that would deal with this if it were not frozen.
    fn frozen_owner(&self, happening: &Happening) -> Option<NodeId> {
        let node = match happening {
            Happening::Arrives(packet) => packet.to,
            Happening::Timer { node, .. } => *node,
            Happening::Initial { dial } | Happening::DialEnds { dial } => self.dials[*dial].from,
            Happening::HalfOpenEnds { conn } => self.conns[*conn][1].node,
            Happening::Resend { conn, side, .. } | Happening::AskEnds { conn, side, .. } => {
                self.conns[*conn][*side].node
            }
            Happening::Do(_) => return None,
        };
        self.nodes[node].frozen.then_some(node)
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Ping { from, to } => self.ping(from, to),
            Action::Kill(node) => self.nodes[node].alive = false,
            Action::Start(node) => self.restart(node),
            Action::Freeze(node) => self.nodes[node].frozen = true,
            Action::Thaw(node) => self.thaw(node),
        }
    }

    fn restart(&mut self, node: NodeId) {
        let epoch = self.nodes[node].epoch + 1;
        let peers = self.table(node, epoch);
        let at = &mut self.nodes[node];
        (at.peers, at.epoch, at.alive, at.timer) = (peers, epoch, true, None);
        at.links.clear();
        at.news.clear();
        at.retrying = 0;
        for peer in at.wanted.clone() {
            self.tell_wanted(node, peer);
        }
    }

    /// What waited happens now, timers and packets in a random order.
    fn thaw(&mut self, node: NodeId) {
        self.nodes[node].frozen = false;
        self.nodes[node].inbox = 0;
        let mut held = std::mem::take(&mut self.nodes[node].held);
        if self.rng.next_u64().is_multiple_of(2) {
            held.sort_by_key(|happening| !matches!(happening, Happening::Timer { .. }));
        } else {
            held.sort_by_key(|happening| matches!(happening, Happening::Timer { .. }));
        }
        held.into_iter().for_each(|happening| self.happen(happening));
    }

    /// Gives the table of a node an input and does what it asks for.
    fn with<T>(&mut self, node: NodeId, input: impl FnOnce(&mut Peers) -> T) -> T {
        let out = input(&mut self.nodes[node].peers);
        while let Some(command) = self.nodes[node].peers.poll_transmit() {
            self.perform(node, command);
        }
        while let Some(event) = self.nodes[node].peers.poll_event() {
            self.note(node, event);
        }
        let at = self.nodes[node].peers.poll_timeout();
        if at != self.nodes[node].timer {
            self.nodes[node].timer = at;
            let epoch = self.nodes[node].epoch;
            if let Some(at) = at {
                let at = at.max(self.now);
                self.nodes[node].timer = Some(at);
                self.schedule(at, Happening::Timer { node, epoch, at });
            }
        }
        out
    }

    fn note(&mut self, node: NodeId, event: PeerEvent) {
        let PeerEvent::State { peer, state, was, reason, reached_by } = event else { return };
        assert!(was.may_become(state), "{was} to {state}");
        let reached_by = reached_by.iter().map(|peer| self.by_id[peer]).collect();
        let (at, peer) = (self.now, self.by_id[&peer]);
        self.log.push(Change { at, node, peer, state, reason, reached_by });
    }

    fn timer(&mut self, node: NodeId, epoch: u32, at: Instant) {
        let here = &self.nodes[node];
        if !here.alive || here.epoch != epoch || here.timer != Some(at) {
            return;
        }
        self.nodes[node].timer = None;
        self.report(node);
        let now = self.now;
        self.with(node, |peers| peers.handle_timeout(now));
    }

    /// Tells the table what the transport knows of every connection where that is news.
    fn report(&mut self, node: NodeId) {
        let now = self.now;
        let here = &mut self.nodes[node];
        for (conn, end) in std::mem::take(&mut here.news) {
            let side = &mut self.conns[conn][end];
            side.told = true;
            if side.up && !side.closed {
                here.peers.handle_use(now, LinkId(conn as u64), side.streams, side.last_use);
                here.peers.handle_vitals(now, LinkId(conn as u64), vitals(side));
            }
        }
    }

    /// Something about a connection is to be told before its node's next timeout.
    fn news(&mut self, conn: ConnId, side: usize) {
        let end = &mut self.conns[conn][side];
        if std::mem::take(&mut end.told) {
            self.nodes[end.node].news.push((conn, side));
        }
    }

    /// A stream of one connection began or ended.
    fn report_use(&mut self, conn: ConnId, side: usize) {
        let (now, end) = (self.now, &self.conns[conn][side]);
        let (node, streams, last_use, vitals) = (end.node, end.streams, end.last_use, vitals(end));
        if end.up && !end.closed {
            self.with(node, |peers| {
                peers.handle_use(now, LinkId(conn as u64), streams, last_use);
                peers.handle_vitals(now, LinkId(conn as u64), vitals);
            });
        }
    }

    fn perform(&mut self, node: NodeId, command: PeerCommand) {
        match command {
            PeerCommand::Dial { peer, dial, .. } => self.dial(node, peer, dial),
            PeerCommand::CancelDial { dial, .. } => {
                let mut dials = self.dials.iter_mut().rev();
                if let Some(dial) = dials.find(|d| d.from == node && d.id == dial && !d.done) {
                    dial.done = true;
                    self.nodes[node].retrying -= 1;
                }
            }
            PeerCommand::Keep { .. } | PeerCommand::WatchUse(_) => {}
            PeerCommand::SayDrained(link) => self.say(node, link, Frame::Drained),
            PeerCommand::Close { link, reason } => self.close(node, link.0 as usize, reason),
            PeerCommand::Heartbeat { link, seconds } => {
                self.counts.heartbeats += 1;
                self.datagram(node, link, What::Heartbeat(seconds));
            }
            PeerCommand::SayRebound(link) => self.datagram(node, link, What::Rebound),
            PeerCommand::AskWitness { about, link, .. } => {
                self.counts.asked += 1;
                let about = self.by_id[&about];
                self.open_stream(node, link.0 as usize, Ask::Reach { about });
            }
            PeerCommand::Answer { question, reached } => self.answer(node, question, reached),
        }
    }
}

fn vitals(side: &Side) -> Vitals {
    let (heard, waiting, rtt) = (side.heard, side.waiting, side.rtt());
    Vitals { heard, waiting, active: side.streams > 0, rtt }
}

/// The id of a node: the first from its number on that is a valid one.
fn peer_id(node: NodeId) -> PeerId {
    (0..=u8::MAX)
        .find_map(|last| {
            let mut bytes = [0; 32];
            // Spread, so that who is lower does not depend on who was made first.
            bytes[..4].copy_from_slice(&(node as u32 + 1).wrapping_mul(0x9e37_79b1).to_be_bytes());
            bytes[30] = last;
            PeerId::from_bytes(bytes).ok()
        })
        .unwrap()
}

fn address(node: NodeId) -> Candidate {
    let [_, a, b, c] = (node as u32 + 1).to_be_bytes();
    Candidate::direct(([10, a, b, c], 4433).into()).unwrap()
}
