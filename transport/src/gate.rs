//! The gate (core), SPEC §5: what a stranger sends gets no answer and leaves no state.
//!
//! *Purpose*: decide which datagrams with a long header reach the accepting quinn endpoint.
//!
//! *Inputs*: datagrams as they came in, with their source and 32 random bytes for our ephemeral
//! key; datagrams as they go out; word from the endpoint when a connection is confirmed or over.
//!
//! *Outputs*: a verdict for each datagram in, further destinations for each datagram out, and the
//! Noise result of each admitted Hello, so that nothing is computed twice.
//!
//! *Not handled*: short headers (they need a connection id that quinn knows), packets for
//! connections that we dialed, and which peers are allowed (an `Admission` says so).

mod half_open;
mod rate;
mod replay;
#[cfg(test)]
mod tests;

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use pinhole_proto::{NetworkKey, PeerId};
use quinn_proto::{Side as QuicSide, transport_parameters::TransportParameters};
use zeroize::Zeroizing;

pub(crate) use self::half_open::Standing;
use self::{
    half_open::{HalfOpen, HalfOpenTable},
    rate::Rate,
    replay::Replay,
};
use crate::{
    Admission, Config,
    handshake::{
        Acceptor, InitialSalt, InitialSecrets, MAX_HELLO_LEN, Message, Secret, SharedSecrets,
        StaticKey,
    },
    packet::{self, Initial, MIN_INITIAL_DATAGRAM},
    session,
};

/// How long a dialer may take to confirm (SPEC §5.4).
pub(crate) const HALF_OPEN_TIME: Duration = Duration::from_secs(5);
/// Peers whose greatest counter is remembered (SPEC §5.3).
pub(crate) const REPLAY_PEERS: usize = 1024;

/// What to do with a datagram that has a long header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// quinn may see it, as if it came from this address: during a handshake quinn takes packets
    /// from one address only, and a dialer may use several (SPEC §5.5).
    Pass(SocketAddr),
    /// It never came.
    Drop(Reason),
}

/// What a connection gets that QUIC takes for new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Accept,
    /// It has to prove its address, and nothing is kept of it.
    Retry,
    /// It is a copy of one that was taken up before and is over.
    Silence,
}

/// Why a datagram was dropped. Nobody but the operator learns this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Not a whole Initial of our version, or too short a datagram.
    Malformed,
    /// Not an Initial, and of no connection that is opening.
    Unknown,
    /// Does not open under our Initial keys: the sender does not know our id and network.
    Foreign,
    /// The Hello does not authenticate.
    Unauthenticated,
    /// The peer is not admitted.
    Denied,
    /// The counter was used before.
    Replayed,
    /// Too many connections are opening.
    Full,
    /// Too many connections opened within the last second.
    Paced,
}

/// How many datagrams the gate let in or dropped, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GateCounters {
    /// Hellos admitted.
    pub admitted: u64,
    /// Authenticated Hellos that were asked to prove their address, because too many
    /// connections were opening.
    pub retried: u64,
    /// Dropped: not a whole Initial of our QUIC version.
    pub malformed: u64,
    /// Dropped: a packet of no connection that is opening.
    pub unknown: u64,
    /// Dropped: the sender does not know our id and network key.
    pub foreign: u64,
    /// Dropped: the Hello does not authenticate.
    pub unauthenticated: u64,
    /// Dropped: the peer is not allowed.
    pub denied: u64,
    /// Dropped: a counter that was used before.
    pub replayed: u64,
    /// Dropped: too many connections are opening.
    pub full: u64,
    /// Dropped: as many connections opened within a second as may. The dialer's next Initial, or
    /// its next dial, gets another chance.
    pub paced: u64,
}

/// A Hello that passed, with what it takes to answer it.
pub(crate) struct Admitted {
    pub(crate) acceptor: Acceptor,
    pub(crate) parameters: TransportParameters,
}

/// How many connections may open; 0 counts as 1.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// At a time.
    pub(crate) half_open: usize,
    /// In any second.
    pub(crate) accepts_per_second: usize,
}

impl Limits {
    pub(crate) fn new(config: &Config) -> Self {
        let (half_open, accepts_per_second) = (config.max_half_open, config.max_accepts_per_second);
        Self { half_open, accepts_per_second }
    }
}

pub(crate) struct Gate {
    key: StaticKey,
    network: NetworkKey,
    salt: InitialSalt,
    shared: SharedSecrets,
    half_open: HalfOpenTable,
    rate: Rate,
    replay: Replay,
    counters: GateCounters,
    shut: bool,
}

impl Gate {
    pub(crate) fn new(
        key: StaticKey,
        network: NetworkKey,
        shared: SharedSecrets,
        limits: Limits,
    ) -> Self {
        let salt = InitialSalt::new(&network, &key.peer_id);
        Self {
            key,
            network,
            salt,
            shared,
            half_open: HalfOpenTable::new(limits.half_open.max(1)),
            rate: Rate::new(limits.accepts_per_second.max(1)),
            replay: Replay::new(REPLAY_PEERS),
            counters: GateCounters::default(),
            shut: false,
        }
    }

    pub(crate) fn counters(&self) -> GateCounters {
        self.counters
    }

    /// Entries, their connection ids and remembered peers: what must stay bounded.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn sizes(&self) -> (usize, usize, usize) {
        let (entries, cids) = self.half_open.sizes();
        (entries, cids, self.replay.len())
    }

    /// Connections that are opening now.
    pub(crate) fn half_open(&self) -> usize {
        self.half_open.unconfirmed()
    }

    /// A datagram with a long header of our version came in for the accepting endpoint.
    ///
    /// `ephemeral` is asked for 32 fresh random bytes only when a Hello is read.
    pub(crate) fn handle_datagram(
        &mut self,
        now: Instant,
        source: SocketAddr,
        datagram: &[u8],
        ephemeral: impl FnOnce() -> [u8; 32],
        admission: &dyn Admission,
    ) -> Verdict {
        let verdict = match self.judge(now, source, datagram, ephemeral, admission) {
            Ok(known_as) => return Verdict::Pass(known_as),
            Err(reason) => Verdict::Drop(reason),
        };
        self.count(verdict);
        verdict
    }

    fn judge(
        &mut self,
        now: Instant,
        source: SocketAddr,
        datagram: &[u8],
        ephemeral: impl FnOnce() -> [u8; 32],
        admission: &dyn Admission,
    ) -> Result<SocketAddr, Reason> {
        let (initial, dcid, scid) = match packet::classify(datagram, self.network.quic_version()) {
            packet::Kind::Long { initial, dcid, scid, .. } => (initial, dcid, scid),
            _ => return Err(Reason::Malformed),
        };
        let known = self.half_open.of_cid(dcid);
        let known_as = known.and_then(HalfOpen::known_as).unwrap_or(source);
        if initial && known.is_some_and(|entry| !entry.is_opening(now)) {
            // QUIC may have forgotten the connection, and would take this for a new one.
            return Err(Reason::Replayed);
        }
        if let Some(entry) = known
            && (!initial || entry.knows(source))
        {
            self.half_open.received(dcid, source, datagram.len());
            return Ok(known_as);
        }
        if !initial {
            return Err(Reason::Unknown);
        }
        if datagram.len() < MIN_INITIAL_DATAGRAM {
            return Err(Reason::Malformed);
        }
        let packet = Initial::parse(datagram).ok_or(Reason::Malformed)?;
        if let Some(entry) = known {
            // The same dialer by another way: its answers will go there too (SPEC §5.5).
            packet.open(entry.secret()).ok_or(Reason::Foreign)?;
            self.half_open.add_source(dcid, source, datagram.len());
            return Ok(known_as);
        }
        let secret = InitialSecrets::new(&self.salt, dcid).dialer;
        self.open(now, source, datagram.len(), &packet, scid, secret, ephemeral, admission)?;
        Ok(source)
    }

    #[expect(clippy::too_many_arguments, reason = "all that is known of one datagram")]
    fn open(
        &mut self,
        now: Instant,
        source: SocketAddr,
        len: usize,
        packet: &Initial<'_>,
        scid: &[u8],
        secret: Secret,
        ephemeral: impl FnOnce() -> [u8; 32],
        admission: &dyn Admission,
    ) -> Result<(), Reason> {
        if self.shut {
            return Err(Reason::Full);
        }
        if !packet.may_open() {
            return Err(Reason::Malformed);
        }
        let frames = packet.open(&secret).ok_or(Reason::Foreign)?;
        let hello = whole_hello(&frames).ok_or(Reason::Unauthenticated)?;
        if !self.rate.has_room(now) {
            return Err(Reason::Paced); // before the Noise message costs anything
        }
        let admitted = self.read_hello(hello, ephemeral)?;
        let (peer, counter) = (admitted.acceptor.hello.dialer, admitted.acceptor.hello.counter);
        let id = ephemeral_of(hello);
        // The latter with a new counter, as no honest dialer does.
        if !self.replay.is_new(&peer, counter) || self.half_open.contains(&id) {
            return Err(Reason::Replayed);
        }
        if !admission.admits(&peer) {
            return Err(Reason::Denied);
        }
        let standing = self.half_open.standing(now, packet.has_token);
        match standing {
            Standing::Full => return Err(Reason::Full),
            // Nothing is kept: the endpoint sends a Retry, since it finds no entry (SPEC §5.4).
            Standing::MustValidate if !packet.has_token => {
                self.counters.retried += 1;
                return Ok(());
            }
            Standing::Room | Standing::MustValidate => {}
        }
        self.counters.admitted += 1;
        self.rate.record(now);
        self.replay.record(peer, counter);
        let must_validate = standing == Standing::MustValidate;
        self.half_open.insert(
            id,
            HalfOpen::new(admitted, secret, scid, (source, len), now, must_validate),
            packet.dcid,
        );
        Ok(())
    }

    fn read_hello(
        &self,
        hello: &[u8],
        ephemeral: impl FnOnce() -> [u8; 32],
    ) -> Result<Admitted, Reason> {
        let ephemeral = Zeroizing::new(ephemeral());
        let acceptor = Acceptor::read(&self.key, &self.network, hello, ephemeral, &self.shared)
            .map_err(|_| Reason::Unauthenticated)?;
        let parameters = session::read_parameters(QuicSide::Server, &acceptor.hello.parameters)
            .map_err(|_| Reason::Unauthenticated)?;
        Ok(Admitted { acceptor, parameters })
    }

    /// The Noise result for the body of a Hello that quinn read, once.
    pub(crate) fn take_admitted(&mut self, hello: &[u8]) -> Option<Box<Admitted>> {
        self.half_open.take_admitted(&ephemeral_of(hello))
    }

    /// A datagram leaves for `destination`: the addresses to which it goes. There are more, if the
    /// dialer was heard from several, and none, if it has not shown that an address is its own and
    /// three times the bytes that came from there went there (SPEC §5.5).
    pub(crate) fn handle_transmit(
        &mut self,
        now: Instant,
        destination: SocketAddr,
        datagram: &[u8],
    ) -> Vec<SocketAddr> {
        let cids = match packet::classify(datagram, self.network.quic_version()) {
            packet::Kind::Long { retry: true, .. } => return vec![destination],
            packet::Kind::Long { dcid, scid, .. } => Some((dcid, scid)),
            _ => None,
        };
        self.half_open.sent(now, cids, destination, datagram.len())
    }

    /// Connections whose packets `handle_transmit` has to see, all of them and not only those with
    /// a long header.
    pub(crate) fn watched(&self) -> usize {
        self.half_open.watched()
    }

    /// From now on nothing opens a connection: the endpoint is closed.
    pub(crate) fn shut(&mut self) {
        self.shut = true;
    }

    /// What the endpoint should do with a connection that QUIC takes for new: its first Initial had
    /// the id `orig_dcid` and came from `source`, whose address a Retry token may have validated.
    pub(crate) fn answer(
        &mut self,
        orig_dcid: &[u8],
        source: SocketAddr,
        address_validated: bool,
    ) -> Answer {
        if address_validated {
            let expected = self.half_open.validate(source);
            return if expected { Answer::Accept } else { Answer::Silence };
        }
        match self.half_open.of_cid(orig_dcid) {
            Some(entry) if entry.was_taken() => Answer::Silence,
            Some(entry) if !entry.must_validate() => Answer::Accept,
            entry => {
                // It came with a token that was none: only an honest one counts.
                entry.map(HalfOpen::admitted_at).iter().for_each(|at| self.rate.take_back(*at));
                self.half_open.forget(orig_dcid);
                Answer::Retry
            }
        }
    }

    /// The connection whose first Initial had this id was not taken up.
    pub(crate) fn forget(&mut self, orig_dcid: &[u8]) {
        self.half_open.forget(orig_dcid);
    }

    /// The connection is confirmed or over: it no longer counts as opening.
    pub(crate) fn settle(&mut self, dialer: &PeerId, counter: u64) {
        self.half_open.settle(dialer, counter);
    }

    fn count(&mut self, verdict: Verdict) {
        let Verdict::Drop(reason) = verdict else { return };
        let counter = match reason {
            Reason::Malformed => &mut self.counters.malformed,
            Reason::Unknown => &mut self.counters.unknown,
            Reason::Foreign => &mut self.counters.foreign,
            Reason::Unauthenticated => &mut self.counters.unauthenticated,
            Reason::Denied => &mut self.counters.denied,
            Reason::Replayed => &mut self.counters.replayed,
            Reason::Full => &mut self.counters.full,
            Reason::Paced => &mut self.counters.paced,
        };
        *counter += 1;
    }
}

/// The body of a Hello that fills the CRYPTO data of `frames` exactly.
fn whole_hello(frames: &[u8]) -> Option<&[u8]> {
    let crypto = packet::only_crypto_frame(frames)?;
    match Message::decode(crypto).ok()?? {
        (Message::Hello(body), len) if len == crypto.len() && body.len() <= MAX_HELLO_LEN => {
            Some(body)
        }
        _ => None,
    }
}

/// The dialer's ephemeral key names its handshake: no two have the same.
fn ephemeral_of(hello: &[u8]) -> [u8; 32] {
    hello.first_chunk().copied().unwrap_or_default()
}
