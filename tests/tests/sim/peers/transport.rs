//! A minimal model of the transport beneath `Peers`: packets that get lost and overtake each other,
//! dials that repeat their Initial, acknowledgements, retransmission, resets of forgotten
//! connections.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use pinhole_node::peers::{DialId, QuestionId};
use pinhole_proto::PeerId;
use pinhole_proto::message::Reached;

use super::world::NodeId;

/// A connection, by its place in the world's list; the same at both ends.
pub(super) type ConnId = usize;

/// What a network does to packets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Net {
    /// Packets lost in each direction, of 100.
    pub(super) loss: u64,
    /// The shortest time in one direction.
    pub(super) delay: Duration,
    /// What may be added to it, differently for each packet.
    pub(super) jitter: Duration,
}

impl Net {
    pub(super) const GOOD: Self =
        Self { loss: 0, delay: Duration::from_millis(20), jitter: Duration::ZERO };
    /// A fifth of the packets is lost, each way.
    pub(super) const LOSSY: Self =
        Self { loss: 20, delay: Duration::from_millis(20), jitter: Duration::from_millis(30) };
    /// The same, and packets overtake each other by up to half a second.
    pub(super) const BAD: Self =
        Self { loss: 20, delay: Duration::from_millis(20), jitter: Duration::from_millis(500) };
}

/// Initials of a dial, after its begin.
pub(super) const INITIALS: [Duration; 4] =
    [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(7)];
/// A dial without an answer ends after this time.
pub(super) const DIAL_LIMIT: Duration = Duration::from_secs(10);
/// An acceptor forgets what is not confirmed.
pub(super) const HALF_OPEN: Duration = Duration::from_secs(5);
/// Nobody waits longer for the answer of a witness.
pub(super) const ASK_LIMIT: Duration = Duration::from_secs(4);

/// A dial under way.
pub(super) struct Dial {
    pub(super) from: NodeId,
    pub(super) epoch: u32,
    pub(super) to: NodeId,
    pub(super) peer: PeerId,
    pub(super) id: DialId,
    pub(super) done: bool,
    /// The connection that the acceptor made of it, with the acceptor's epoch.
    pub(super) accepted: Option<(ConnId, u32)>,
}

/// A packet.
#[derive(Clone, Debug)]
pub(super) struct Packet {
    pub(super) from: NodeId,
    pub(super) to: NodeId,
    pub(super) body: Body,
}

#[derive(Clone, Debug)]
pub(super) enum Body {
    Initial {
        dial: usize,
    },
    Accept {
        dial: usize,
        conn: ConnId,
    },
    /// A 1-RTT packet of one side, with what it carries and acknowledges.
    OneRtt {
        conn: ConnId,
        side: usize,
        number: Option<u64>,
        what: What,
        acks: Acks,
    },
    Close {
        conn: ConnId,
        side: usize,
    },
    Reset {
        conn: ConnId,
        side: usize,
    },
}

/// What a 1-RTT packet carries.
#[derive(Clone, Debug)]
pub(super) enum What {
    Ack,
    Heartbeat(u8),
    Rebound,
    /// Sent again until it is acknowledged.
    Frame {
        id: u64,
        frame: Frame,
    },
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Frame {
    Confirm,
    Drained,
    Request { stream: u64, ask: Ask },
    Reply { stream: u64, reached: Option<Reached> },
}

/// What a stream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    Ping,
    Reach { about: NodeId },
}

/// The packets that one side has seen: the newest, and which of the 64 before it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Acks {
    newest: u64,
    before: u64,
}

impl Acks {
    pub(super) fn handle_packet(&mut self, number: u64) {
        if number > self.newest {
            let by = number - self.newest;
            self.before = if by > 64 { 0 } else { (self.before << 1 | 1) << (by - 1) };
            self.newest = number;
        } else if self.newest - number <= 64 && number < self.newest {
            self.before |= 1 << (self.newest - number - 1);
        }
    }

    fn covers(&self, number: u64) -> bool {
        // Numbers begin at 1.
        let by = self.newest.saturating_sub(number);
        number == self.newest
            || (number < self.newest && by <= 64 && self.before >> (by - 1) & 1 == 1)
    }
}

/// A packet that asks for an acknowledgement.
struct InFlight {
    number: u64,
    sent: Instant,
    frame: Option<u64>,
}

/// One end of a connection.
pub(super) struct Side {
    pub(super) node: NodeId,
    pub(super) epoch: u32,
    /// The core knows it.
    pub(super) up: bool,
    pub(super) closed: bool,
    /// Its node's table knows all about it.
    pub(super) told: bool,
    pub(super) heard: Instant,
    pub(super) waiting: Option<Instant>,
    pub(super) streams: u32,
    pub(super) last_use: Instant,
    pub(super) seen: Acks,
    srtt: Option<Duration>,
    rttvar: Duration,
    next_number: u64,
    next_id: u64,
    in_flight: Vec<InFlight>,
    /// Frames that are not acknowledged, with the number of tries.
    pub(super) unacked: BTreeMap<u64, (Frame, u32)>,
    read: BTreeSet<u64>,
    /// Streams of ours that wait for a reply.
    pub(super) asked: BTreeMap<u64, Ask>,
    /// Questions of the other side that the core works on.
    pub(super) questions: BTreeMap<QuestionId, u64>,
}

impl Side {
    pub(super) fn new(now: Instant, node: NodeId, epoch: u32) -> Self {
        Self {
            node,
            epoch,
            up: false,
            closed: false,
            told: true,
            heard: now,
            waiting: None,
            streams: 0,
            last_use: now,
            seen: Acks::default(),
            srtt: None,
            rttvar: Duration::ZERO,
            next_number: 1,
            next_id: 0,
            in_flight: Vec::new(),
            unacked: BTreeMap::new(),
            read: BTreeSet::new(),
            asked: BTreeMap::new(),
            questions: BTreeMap::new(),
        }
    }

    pub(super) fn rtt(&self) -> Duration {
        self.srtt.unwrap_or(Duration::from_millis(100))
    }

    /// A packet that asks for an acknowledgement leaves: its number.
    pub(super) fn handle_sent(&mut self, now: Instant, frame: Option<u64>) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        self.in_flight.push(InFlight { number, sent: now, frame });
        self.waiting.get_or_insert(now);
        number
    }

    /// An id for a frame that is sent until it is acknowledged.
    pub(super) fn keep_frame(&mut self, frame: Frame) -> u64 {
        self.next_id += 1;
        self.unacked.insert(self.next_id, (frame, 0));
        self.next_id
    }

    /// What the other side has seen.
    pub(super) fn handle_acks(&mut self, now: Instant, acks: Acks) {
        let mut newest = None;
        let unacked = &mut self.unacked;
        self.in_flight.retain(|packet| {
            let acked = acks.covers(packet.number);
            if acked {
                newest = newest.max(Some(packet.sent));
                packet.frame.map(|frame| unacked.remove(&frame));
            }
            !acked
        });
        let Some(sent) = newest else { return };
        self.sample(now - sent);
        // What is much older than an acknowledged packet is lost.
        let lost = self.rtt() / 8;
        self.in_flight.retain(|packet| packet.frame.is_some() || packet.sent + lost > sent);
        self.waiting = (!self.in_flight.is_empty()).then_some(now);
    }

    /// RFC 9002 §5.3.
    fn sample(&mut self, rtt: Duration) {
        match self.srtt {
            None => (self.srtt, self.rttvar) = (Some(rtt), rtt / 2),
            Some(srtt) => {
                self.rttvar = (self.rttvar * 3 + srtt.abs_diff(rtt)) / 4;
                self.srtt = Some((srtt * 7 + rtt) / 8);
            }
        }
    }

    /// RFC 9002 §6.2.1.
    pub(super) fn probe_timeout(&self, tries: u32) -> Duration {
        let pto = match self.srtt {
            Some(srtt) => srtt + self.rttvar * 4 + Duration::from_millis(25),
            None => Duration::from_secs(1),
        };
        (pto * 2u32.pow(tries.min(5))).min(Duration::from_secs(60))
    }

    /// False if that frame came before.
    pub(super) fn handle_frame(&mut self, id: u64) -> bool {
        self.read.insert(id)
    }

    pub(super) fn stream_opened(&mut self, now: Instant) {
        self.streams += 1;
        self.last_use = now;
    }

    pub(super) fn stream_closed(&mut self, now: Instant) {
        self.streams = self.streams.saturating_sub(1);
        self.last_use = now;
    }
}
