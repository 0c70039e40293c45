//! The world's transport: dials, packets, streams.

use super::*;

impl World {
    pub(super) fn dial(&mut self, node: NodeId, peer: PeerId, id: pinhole_node::peers::DialId) {
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

    pub(super) fn initial(&mut self, dial: usize) {
        let under_way = &self.dials[dial];
        let (from, to) = (under_way.from, under_way.to);
        let here = &self.nodes[from];
        if !under_way.done && here.alive && here.epoch == under_way.epoch {
            self.send(from, to, Body::Initial { dial });
        }
    }

    pub(super) fn dial_ends(&mut self, dial: usize, why: Reason) {
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

    pub(super) fn arrives(&mut self, packet: Packet) {
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

    pub(super) fn close(&mut self, node: NodeId, conn: ConnId, _: CloseReason) {
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

    pub(super) fn ping(&mut self, from: NodeId, to: NodeId) {
        let record = self.nodes[from].peers.record(&self.ids[to]);
        let link = record.and_then(|record| record.link).filter(|_| self.nodes[from].alive);
        if let Some(link) = link {
            self.open_stream(from, link.0 as usize, Ask::Ping);
        }
    }

    pub(super) fn open_stream(&mut self, node: NodeId, conn: ConnId, ask: Ask) {
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

    pub(super) fn ask_ended(
        &mut self,
        conn: ConnId,
        side: usize,
        stream: u64,
        testimony: Testimony,
    ) {
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

    pub(super) fn answer(
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

    pub(super) fn say(&mut self, node: NodeId, link: LinkId, frame: Frame) {
        let conn = link.0 as usize;
        self.reliably(conn, usize::from(self.conns[conn][0].node != node), frame);
    }

    fn reliably(&mut self, conn: ConnId, side: usize, frame: Frame) {
        let frame = self.conns[conn][side].keep_frame(frame);
        self.resend(conn, side, frame);
    }

    /// Sends a frame, for the first time or again, until it is acknowledged.
    pub(super) fn resend(&mut self, conn: ConnId, side: usize, id: u64) {
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

    pub(super) fn datagram(&mut self, node: NodeId, link: LinkId, what: What) {
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
