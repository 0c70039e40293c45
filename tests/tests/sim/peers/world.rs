//! Nodes that are nothing but their tables of peers, in virtual time.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use pinhole_node::liveness::Vitals;
use pinhole_node::peers::{
    CloseReason, LinkId, LinkUp, Origin, PeerCommand, PeerEvent, PeerState, Peers, PeersConfig,
    Reason, Testimony,
};
use pinhole_node::rng::Rng;
use pinhole_proto::message::Reached;
use pinhole_proto::{Candidate, PeerId};

use super::transport::{
    ASK_LIMIT, Acks, Ask, Body, ConnId, DIAL_LIMIT, Dial, Frame, HALF_OPEN, INITIALS, Net, Packet,
    Side, What,
};

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
        if self.rng.next_u64() % 2 == 0 {
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

    fn dial(&mut self, node: NodeId, peer: PeerId, id: pinhole_node::peers::DialId) {
        self.count_dial(node);
        let (dial, epoch, to) = (self.dials.len(), self.nodes[node].epoch, self.by_id[&peer]);
        self.dials.push(Dial { from: node, epoch, to, peer, id, done: false, accepted: None });
        for after in INITIALS {
            self.schedule(self.now + after, Happening::Initial { dial });
        }
        self.schedule(self.now + DIAL_LIMIT, Happening::DialEnds { dial });
    }

    /// Every dial here is one that nobody waits for.
    fn count_dial(&mut self, node: NodeId) {
        self.counts.dials += 1;
        let (now, here) = (self.now, &mut self.nodes[node]);
        here.starts.push_back(now);
        while here.starts.front().is_some_and(|at| now - *at >= Duration::from_secs(1)) {
            here.starts.pop_front();
        }
        here.retrying += 1;
        assert!(here.retrying <= self.config.max_retrying, "{} dials at a time", here.retrying);
        assert!(here.starts.len() <= 50, "{} dials in a second", here.starts.len());
        self.counts.dials_in_a_second = self.counts.dials_in_a_second.max(here.starts.len());
    }

    fn initial(&mut self, dial: usize) {
        let under_way = &self.dials[dial];
        let (from, to) = (under_way.from, under_way.to);
        let here = &self.nodes[from];
        if !under_way.done && here.alive && here.epoch == under_way.epoch {
            self.send(from, to, Body::Initial { dial });
        }
    }

    fn dial_ends(&mut self, dial: usize, why: Reason) {
        let under_way = &mut self.dials[dial];
        let (node, peer, id, now) = (under_way.from, under_way.peer, under_way.id, self.now);
        let here = &mut self.nodes[node];
        if std::mem::replace(&mut under_way.done, true)
            || here.epoch != under_way.epoch
            || !here.alive
        {
            return;
        }
        here.retrying -= 1;
        self.with(node, |peers| peers.handle_dial_failed(now, peer, id, why));
    }

    fn send(&mut self, from: NodeId, to: NodeId, body: Body) {
        self.counts.packets += 1;
        let lost = self.rng.next_u64() % 100 < self.net.loss;
        if lost || self.cut.as_ref().is_some_and(|cut| cut(from, to)) {
            return;
        }
        let at = self.now + self.net.delay + self.rng.up_to(self.net.jitter);
        self.schedule(at, Happening::Arrives(Packet { from, to, body }));
    }

    fn arrives(&mut self, packet: Packet) {
        let Packet { from, to, body } = packet;
        if !self.nodes[to].alive {
            return;
        }
        match body {
            Body::Initial { dial } => self.accept(to, dial),
            Body::Accept { dial, conn } => self.accepted(dial, conn),
            Body::OneRtt { conn, side, number, what, acks } => {
                self.one_rtt(from, conn, 1 - side, number, what, acks);
            }
            Body::Close { conn, side } => self.gone(conn, 1 - side, Reason::ClosedByPeer),
            Body::Reset { conn, side } => self.gone(conn, 1 - side, Reason::Lost),
        }
    }

    fn accept(&mut self, node: NodeId, dial: usize) {
        let epoch = self.nodes[node].epoch;
        let known = self.dials[dial].accepted.filter(|(_, of)| *of == epoch);
        let known = known.filter(|(conn, _)| !self.conns[*conn][1].closed);
        let conn = match known {
            Some((conn, _)) => conn,
            None => {
                if !self.admits(node) {
                    return;
                }
                let conn = self.conns.len();
                let from = &self.dials[dial];
                let dialer = Side::new(self.now, from.from, from.epoch);
                self.conns.push([dialer, Side::new(self.now, node, epoch)]);
                self.dials[dial].accepted = Some((conn, epoch));
                self.schedule(self.now + HALF_OPEN, Happening::HalfOpenEnds { conn });
                conn
            }
        };
        let to = self.dials[dial].from;
        self.send(node, to, Body::Accept { dial, conn });
    }

    /// The gate's limit of connections in any second.
    fn admits(&mut self, node: NodeId) -> bool {
        let (now, accepts) = (self.now, &mut self.nodes[node].accepts);
        while accepts.front().is_some_and(|at| now - *at >= Duration::from_secs(1)) {
            accepts.pop_front();
        }
        let admits = accepts.len() < self.accepts;
        if admits {
            accepts.push_back(now);
        }
        admits
    }

    fn accepted(&mut self, dial: usize, conn: ConnId) {
        let under_way = &mut self.dials[dial];
        let (node, peer, id) = (under_way.from, under_way.peer, under_way.id);
        if under_way.done || self.nodes[node].epoch != under_way.epoch {
            return;
        }
        under_way.done = true;
        self.nodes[node].retrying -= 1;
        self.link_up(conn, 0, peer, Some(id));
        let frame = self.conns[conn][0].keep_frame(Frame::Confirm);
        self.resend(conn, 0, frame);
    }

    fn link_up(
        &mut self,
        conn: ConnId,
        side: usize,
        peer: PeerId,
        dial: Option<pinhole_node::peers::DialId>,
    ) {
        let now = self.now;
        let end = &mut self.conns[conn][side];
        end.up = true;
        end.heard = now;
        let node = end.node;
        self.nodes[node].links.insert(conn, side);
        let addr = ([192, 0, 2, 1], 4433).into();
        let up = LinkUp { id: LinkId(conn as u64), dialed: side == 0, addr };
        self.with(node, |peers| peers.handle_link(now, peer, up, dial));
    }

    fn close(&mut self, node: NodeId, conn: ConnId, _: CloseReason) {
        let side = usize::from(self.conns[conn][0].node != node);
        let to = self.conns[conn][1 - side].node;
        self.send(node, to, Body::Close { conn, side });
        self.gone(conn, side, Reason::Disconnect);
    }

    /// A connection has ended for one side.
    fn gone(&mut self, conn: ConnId, side: usize, why: Reason) {
        let now = self.now;
        let end = &mut self.conns[conn][side];
        let node = end.node;
        if std::mem::replace(&mut end.closed, true) || end.epoch != self.nodes[node].epoch {
            return;
        }
        self.nodes[node].links.remove(&conn);
        let streams: Vec<_> = self.conns[conn][side].asked.keys().copied().collect();
        for stream in streams {
            self.ask_ended(conn, side, stream, Testimony::Elsewhere);
        }
        self.with(node, |peers| peers.handle_closed(now, LinkId(conn as u64), why));
    }

    fn one_rtt(
        &mut self,
        from: NodeId,
        conn: ConnId,
        side: usize,
        number: Option<u64>,
        what: What,
        acks: Acks,
    ) {
        let now = self.now;
        let end = &mut self.conns[conn][side];
        let node = end.node;
        if end.epoch != self.nodes[node].epoch {
            return self.send(node, from, Body::Reset { conn, side });
        }
        if end.closed {
            return self.send(node, from, Body::Close { conn, side });
        }
        end.heard = now;
        end.handle_acks(now, acks);
        self.news(conn, side);
        let end = &mut self.conns[conn][side];
        if let Some(number) = number {
            end.seen.handle_packet(number);
            let acks = end.seen;
            self.send(node, from, Body::OneRtt { conn, side, number: None, what: What::Ack, acks });
        }
        if side == 1 && !self.conns[conn][1].up {
            let peer = self.ids[from];
            self.link_up(conn, 1, peer, None);
        }
        match what {
            What::Ack => {}
            What::Heartbeat(seconds) => self.with(node, |peers| {
                peers.handle_announced(now, LinkId(conn as u64), seconds);
            }),
            What::Rebound => {
                self.with(node, |peers| peers.handle_rebound(now, LinkId(conn as u64)));
            }
            What::Frame { id, frame } => {
                if self.conns[conn][side].handle_frame(id) {
                    self.read(conn, side, frame);
                }
            }
        }
    }

    fn read(&mut self, conn: ConnId, side: usize, frame: Frame) {
        let (now, link, node) = (self.now, LinkId(conn as u64), self.conns[conn][side].node);
        match frame {
            Frame::Confirm => {}
            Frame::Drained => self.with(node, |peers| peers.handle_drained(now, link)),
            Frame::Request { stream, ask: Ask::Ping } => {
                self.reliably(conn, side, Frame::Reply { stream, reached: None });
            }
            Frame::Request { stream, ask: Ask::Reach { about } } => {
                let asker = self.ids[self.conns[conn][1 - side].node];
                let peers = &mut self.nodes[node].peers;
                let question = peers.handle_question(now, asker, self.ids[about]);
                self.conns[conn][side].questions.insert(question, stream);
                self.with(node, |_| ());
            }
            Frame::Reply { stream, reached } => {
                let testimony = match reached {
                    Some(Reached::Heard { .. }) => Testimony::Heard,
                    Some(Reached::Silent) => Testimony::Silent,
                    _ => Testimony::Elsewhere,
                };
                self.ask_ended(conn, side, stream, testimony);
            }
        }
    }

    fn ping(&mut self, from: NodeId, to: NodeId) {
        let record = self.nodes[from].peers.record(&self.ids[to]);
        let link = record.and_then(|record| record.link).filter(|_| self.nodes[from].alive);
        if let Some(link) = link {
            self.open_stream(from, link.0 as usize, Ask::Ping);
        }
    }

    fn open_stream(&mut self, node: NodeId, conn: ConnId, ask: Ask) {
        let side = usize::from(self.conns[conn][0].node != node);
        self.sequence += 1;
        let stream = self.sequence;
        let end = &mut self.conns[conn][side];
        end.asked.insert(stream, ask);
        end.stream_opened(self.now);
        self.reliably(conn, side, Frame::Request { stream, ask });
        self.report_use(conn, side);
        if ask != Ask::Ping {
            self.schedule(self.now + ASK_LIMIT, Happening::AskEnds { conn, side, stream });
        }
    }

    fn ask_ended(&mut self, conn: ConnId, side: usize, stream: u64, testimony: Testimony) {
        let now = self.now;
        let end = &mut self.conns[conn][side];
        let Some(ask) = end.asked.remove(&stream) else { return };
        end.stream_closed(now);
        let (node, witness) = (end.node, self.ids[self.conns[conn][1 - side].node]);
        self.report_use(conn, side);
        if let Ask::Reach { about } = ask {
            let about = self.ids[about];
            self.with(node, |peers| peers.handle_testimony(now, about, witness, testimony));
        }
    }

    fn answer(
        &mut self,
        node: NodeId,
        question: pinhole_node::peers::QuestionId,
        reached: Reached,
    ) {
        let links: Vec<_> = self.nodes[node].links.iter().map(|(c, s)| (*c, *s)).collect();
        for (conn, side) in links {
            if let Some(stream) = self.conns[conn][side].questions.remove(&question) {
                self.reliably(conn, side, Frame::Reply { stream, reached: Some(reached) });
            }
        }
    }

    fn say(&mut self, node: NodeId, link: LinkId, frame: Frame) {
        let conn = link.0 as usize;
        self.reliably(conn, usize::from(self.conns[conn][0].node != node), frame);
    }

    fn reliably(&mut self, conn: ConnId, side: usize, frame: Frame) {
        let frame = self.conns[conn][side].keep_frame(frame);
        self.resend(conn, side, frame);
    }

    /// Sends a frame, for the first time or again, until it is acknowledged.
    fn resend(&mut self, conn: ConnId, side: usize, id: u64) {
        let end = &mut self.conns[conn][side];
        let here = &self.nodes[end.node];
        if end.closed || !here.alive || here.epoch != end.epoch {
            return;
        }
        let Some((frame, tries)) = end.unacked.get_mut(&id) else { return };
        let (frame, tried) = (*frame, *tries);
        *tries += 1;
        let again = self.now + end.probe_timeout(tried);
        self.one_packet(conn, side, Some(id), What::Frame { id, frame });
        self.schedule(again, Happening::Resend { conn, side, frame: id });
    }

    fn datagram(&mut self, node: NodeId, link: LinkId, what: What) {
        let conn = link.0 as usize;
        self.one_packet(conn, usize::from(self.conns[conn][0].node != node), None, what);
    }

    fn one_packet(&mut self, conn: ConnId, side: usize, frame: Option<u64>, what: What) {
        let end = &mut self.conns[conn][side];
        let number = Some(end.handle_sent(self.now, frame));
        let node = end.node;
        self.news(conn, side);
        let to = self.conns[conn][1 - side].node;
        self.send(node, to, Body::OneRtt { conn, side, number, what, acks: Acks::default() });
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
