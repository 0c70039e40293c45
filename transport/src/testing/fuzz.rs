//! Entry points for `tests/fuzz`: each takes any bytes and panics if a promise is broken. What
//! they return says how far the bytes got, so that a planted bug can ask for depth.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, Instant},
};

use pinhole_proto::{NetworkKey, PeerId, SecretKey};
use quinn_proto::{
    Side,
    crypto::{ClientConfig as _, ServerConfig as _, Session},
    transport_parameters::TransportParameters,
};
use zeroize::Zeroizing;

use super::{Hello, InitialPacket, Rng, crypto_frame, dialer_parameters};
use crate::{
    Admission,
    gate::{Answer, Gate, GateCounters, Limits, Reason, Verdict},
    handshake::{self, Accept, InitialSalt, InitialSecrets, Message, SharedSecrets, StaticKey},
    lock,
    packet::{self, Kind},
    paths::{self, MAX_CANDIDATES, Paths, Route, STAGGER},
    pulse::{Clock, Pulse},
    session::{DialerConfig, PeerIdentity, ResponderConfig, read_parameters},
};

/// Bytes that say what to do next; zeros when they are used up.
struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    fn byte(&mut self) -> u8 {
        let Some((&byte, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        byte
    }

    fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn is_over(&self) -> bool {
        self.0.is_empty()
    }
}

/// The key of the peer with this number, of 5: the same in every run.
fn key(number: u8) -> SecretKey {
    static KEYS: OnceLock<Vec<SecretKey>> = OnceLock::new();
    let keys = KEYS.get_or_init(|| (0..5).map(|seed| Rng::from_seed(seed).key()).collect());
    keys[usize::from(number)].clone()
}

/// A datagram of anything: header, Initial, frames. Whether it has a whole Initial header, and
/// whether its bytes, taken as frames, hold one CRYPTO frame.
pub fn packet(datagram: &[u8]) -> (bool, bool) {
    let version = NetworkKey::PUBLIC.quic_version();
    let initial = match packet::classify(datagram, version) {
        Kind::Long { initial, dcid, scid, .. } => {
            assert!(dcid.len() <= 20 && scid.len() <= 20);
            initial
        }
        Kind::Short { dcid } => {
            assert_eq!(dcid.len(), crate::cid::CID_LEN);
            false
        }
        Kind::Other => false,
    };
    let parsed = packet::Initial::parse(datagram);
    if let Some(packet) = &parsed {
        let salt = InitialSalt::new(&NetworkKey::PUBLIC, &key(0).peer_id());
        let secrets = InitialSecrets::new(&salt, packet.dcid);
        assert!(!packet.may_open() || (8..=20).contains(&packet.dcid.len()));
        let _ = packet.open(&secrets.dialer);
    }
    let crypto = packet::only_crypto_frame(datagram);
    assert!(crypto.is_none_or(|crypto| crypto.len() < datagram.len()));
    let ack = matches!(datagram.first(), Some(0x02 | 0x03));
    assert!(ack || packet::ack_delay(datagram).is_none());
    assert!(packet::is_ack_eliciting(datagram) || crypto.is_none());
    (initial && parsed.is_some(), crypto.is_some())
}

/// An Initial that authenticates, with anything as its frames. Whether it holds a whole message.
pub fn frames(frames: &[u8]) -> bool {
    let packet = InitialPacket::new(&NetworkKey::PUBLIC, key(0).peer_id(), &[1; 8], &[2; 8]);
    let frames = &frames[..frames.len().min(1300)];
    let datagram = packet.seal(frames);
    let secrets =
        InitialSecrets::new(&InitialSalt::new(&packet.network, &packet.responder), &packet.dcid);
    let opened =
        packet::Initial::parse(&datagram).and_then(|initial| initial.open(&secrets.dialer));
    let opened = opened.expect("what was sealed opens");
    assert_eq!(&opened[..frames.len()], frames);
    assert!(opened[frames.len()..].iter().all(|&padding| padding == 0));
    let crypto = packet::only_crypto_frame(&opened);
    crypto.is_some_and(|crypto| matches!(Message::decode(crypto), Ok(Some(_))))
}

/// A handshake message of anything. Its type, if it is one.
pub fn message(bytes: &[u8]) -> Option<u8> {
    let (message, len) = Message::decode(bytes).ok()??;
    let mut again = Vec::new();
    message.encode(&mut again);
    assert_eq!(again, bytes[..len]);
    for cut in 0..len {
        assert!(!matches!(Message::decode(&bytes[..cut]), Ok(Some(_))));
    }
    bytes.first().copied()
}

/// The payload of a Hello of anything. How many suites it offers, if it is one.
pub fn hello(payload: &[u8]) -> Option<usize> {
    let hello = handshake::Hello::decode(payload).ok()?;
    assert_eq!(*hello.encode(), payload);
    let _ = read_parameters(Side::Server, &hello.parameters);
    Some(hello.suites.len())
}

/// The body of an Accept of anything. Whether its transport parameters decode, if it is one.
pub fn accept(body: &[u8]) -> Option<bool> {
    let accept = Accept::decode(body).ok()?;
    let again = accept.encode();
    assert_eq!((again[0], again[1], &again[2..]), (body[0], body[1] & 1, &body[2..]));
    Some(read_parameters(Side::Client, &accept.parameters).is_ok())
}

/// Admits every peer but number 3.
struct MostPeers;

impl Admission for MostPeers {
    fn admits(&self, peer: &PeerId) -> bool {
        *peer != key(3).peer_id()
    }
}

/// What a gate fuzzer keeps to try again later.
#[derive(Clone)]
struct Sent {
    datagram: Vec<u8>,
    message: Vec<u8>,
    dcid: Vec<u8>,
    dialer: PeerId,
    counter: u64,
}

/// The gate under a sequence of operations: honest, replayed, tampered and foreign Initials, from
/// several sources, in any order, with time passing and connections taken up, confirmed or
/// forgotten. What it counted.
pub fn gate(script: &[u8]) -> GateCounters {
    const MAX: usize = 3;
    const RATE: usize = 2;
    let network = NetworkKey::PUBLIC;
    let responder = StaticKey::new(&key(0));
    let limits = Limits { half_open: MAX, accepts_per_second: RATE };
    let mut gate = Gate::new(responder.clone(), network.clone(), SharedSecrets::default(), limits);
    let mut script = Script(script);
    let mut rng = Rng::from_seed(1);
    let mut now = crate::endpoint::now();
    let mut sent: Vec<Sent> = Vec::new();
    let mut greatest: BTreeMap<PeerId, u64> = BTreeMap::new();
    // When whose Hello was let in, but for those that got a Retry after all.
    let mut admissions: Vec<(Instant, PeerId, u64)> = Vec::new();
    let mut steps = 0;
    while !script.is_over() && steps < 40 {
        steps += 1;
        let operation = script.byte();
        let source = SocketAddr::from(([192, 0, 2, script.byte() % 8], 1));
        let pick = |script: &mut Script<'_>| {
            let index = usize::from(script.byte());
            (!sent.is_empty()).then(|| sent[index % sent.len()].clone())
        };
        match operation % 10 {
            0 | 1 => {
                let made = initial(&mut script, &mut rng, &responder.peer_id);
                let before = gate.counters();
                let verdict = hear(&mut gate, now, source, &made.datagram, &mut rng);
                let after = gate.counters();
                if made.dialer == key(3).peer_id() {
                    // A script may repeat the ephemeral key of another's Hello.
                    let reasons = [Reason::Denied, Reason::Paced, Reason::Replayed];
                    let refused = reasons.map(Verdict::Drop);
                    assert!(refused.contains(&verdict), "{verdict:?}");
                }
                let let_in = after.admitted != before.admitted;
                let retried = after.retried != before.retried;
                assert_eq!(verdict == Verdict::Pass(source), let_in || retried);
                note(&mut greatest, let_in, &made);
                admissions.extend(let_in.then_some((now, made.dialer, made.counter)));
                sent.push(made);
            }
            2 => {
                if let Some(old) = pick(&mut script) {
                    let admitted = gate.counters().admitted;
                    hear(&mut gate, now, source, &old.datagram, &mut rng);
                    let let_in = gate.counters().admitted != admitted;
                    note(&mut greatest, let_in, &old);
                    admissions.extend(let_in.then_some((now, old.dialer, old.counter)));
                }
            }
            3 => {
                if let Some(mut old) = pick(&mut script) {
                    let at = usize::from(script.byte()) * 5 % old.datagram.len();
                    old.datagram[at] ^= script.byte() | 1;
                    let admitted = gate.counters().admitted;
                    hear(&mut gate, now, source, &old.datagram, &mut rng);
                    assert_eq!(gate.counters().admitted, admitted, "a tampered Hello got in");
                }
            }
            4 => {
                let len = usize::from(script.byte()) * 6;
                let mut datagram = script.take(len).to_vec();
                datagram.resize(len, 0);
                let admitted = gate.counters().admitted;
                hear(&mut gate, now, source, &datagram, &mut rng);
                assert_eq!(gate.counters().admitted, admitted);
            }
            5 => now += Duration::from_millis(u64::from(script.byte()) * 40),
            6 => {
                if let Some(old) = pick(&mut script) {
                    let validated = script.byte() & 1 == 1;
                    match gate.answer(&old.dcid, source, validated) {
                        Answer::Accept => drop(gate.take_admitted(&old.message[3..])),
                        Answer::Retry => admissions.retain(|(_, peer, counter)| {
                            (*peer, *counter) != (old.dialer, old.counter)
                        }),
                        Answer::Silence => {}
                    }
                }
            }
            7 => {
                if let Some(old) = pick(&mut script) {
                    gate.settle(&old.dialer, old.counter);
                }
            }
            8 => {
                if let Some(old) = pick(&mut script) {
                    let ours = [&[script.byte() & 0x7f][..], &[0; 7]].concat();
                    let answer = long_header(&[2; 8], &ours, 1200);
                    assert!(gate.handle_transmit(now, source, &answer).len() <= 3);
                    let handshake = long_header(&old.dcid, &[2; 8], 60);
                    hear(&mut gate, now, source, &handshake, &mut rng);
                }
            }
            _ => {
                if let Some(old) = pick(&mut script) {
                    gate.forget(&old.dcid);
                }
            }
        }
        let recent = admissions.iter().filter(|(at, ..)| now - *at < Duration::from_secs(1));
        assert!(recent.count() <= RATE, "faster than allowed");
        assert!(gate.half_open() <= 2 * MAX, "{} half-open connections", gate.half_open());
        let (entries, cids, peers) = gate.sizes();
        assert!(entries <= 6 * MAX && cids <= 4 * entries && peers <= crate::gate::REPLAY_PEERS);
    }
    gate.counters()
}

/// No counter is admitted twice, nor one below it.
fn note(greatest: &mut BTreeMap<PeerId, u64>, admitted: bool, sent: &Sent) {
    if admitted {
        let before = greatest.insert(sent.dialer, sent.counter);
        assert!(before.is_none_or(|before| before < sent.counter), "a replay got in");
    }
}

fn hear(
    gate: &mut Gate,
    now: Instant,
    source: SocketAddr,
    datagram: &[u8],
    rng: &mut Rng,
) -> Verdict {
    gate.handle_datagram(now, source, datagram, || rng.bytes(), &MostPeers)
}

fn long_header(dcid: &[u8], scid: &[u8], len: usize) -> Vec<u8> {
    let mut packet = vec![0xe0];
    packet.extend(NetworkKey::PUBLIC.quic_version().to_be_bytes());
    for cid in [dcid, scid] {
        packet.push(cid.len() as u8);
        packet.extend_from_slice(cid);
    }
    packet.resize(len.max(packet.len()), 0);
    packet
}

fn initial(script: &mut Script<'_>, rng: &mut Rng, responder: &PeerId) -> Sent {
    let key = key(1 + script.byte() % 4);
    let counter = u64::from(script.byte());
    let flags = script.byte();
    let mut dcid = rng.vec(16);
    dcid[0] &= 0x7f;
    let scid = [2; 8];
    let mut packet = InitialPacket::new(&NetworkKey::PUBLIC, *responder, &dcid, &scid);
    packet.token = vec![9; usize::from(flags & 1) * 40];
    // A dialer that uses its ephemeral key again.
    let ephemeral = if flags & 2 == 0 { rng.bytes() } else { [flags; 32] };
    let hello =
        Hello { counter, ephemeral, early_secret: [4; 32], parameters: dialer_parameters(&scid) };
    let message = hello.message(&key, &NetworkKey::PUBLIC, *responder);
    let datagram = packet.seal(&crypto_frame(0, &message));
    Sent { datagram, message, dcid, dialer: key.peer_id(), counter }
}

/// How far two sessions came under a sequence of operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The dialer's handshake is complete.
    pub dialer: bool,
    /// The responder's handshake is complete.
    pub responder: bool,
    /// Something was changed on the way.
    pub tampered: bool,
}

/// The two sessions of a handshake, whose bytes are cut into pieces, changed, repeated or mixed
/// with others on the way.
pub fn handshake(script: &[u8]) -> Progress {
    let mut script = Script(script);
    let mut pair = Pair::new();
    let mut tampered = false;
    let mut failed = [false; 2];
    let mut turns = 0;
    while turns < 128 && (turns < 12 || !script.is_over()) {
        turns += 1;
        let operation = script.byte();
        // Each in turn, unless the script says otherwise.
        let from = (turns + 1 + usize::from(operation & 1)) % 2;
        let to = 1 - from;
        if failed[from] || failed[to] {
            break;
        }
        pair.write(from);
        let mut bytes = pair.next_piece(from, operation & 0x80 != 0);
        match operation >> 1 & 7 {
            1 if !bytes.is_empty() => {
                let at = usize::from(script.byte()) * 3 % bytes.len();
                bytes[at] ^= script.byte() | 1;
                tampered = true;
            }
            2 => {
                let len = usize::from(script.byte() % 64);
                let extra = script.take(len);
                tampered |= !extra.is_empty();
                bytes.extend_from_slice(extra);
            }
            3 if !bytes.is_empty() => {
                bytes.extend_from_within(..);
                tampered = true;
            }
            _ => {}
        }
        // In pieces, as packets bring them.
        let cut = if operation & 0x40 == 0 { bytes.len() } else { bytes.len() / 2 };
        for piece in [&bytes[..cut], &bytes[cut..]] {
            if !piece.is_empty() && pair.sessions()[to].read_handshake(piece).is_err() {
                failed[to] = true;
                break;
            }
        }
        pair.write(to); // as quinn does after each packet
    }
    assert!(tampered || failed == [false; 2], "an honest handshake failed");
    pair.check(tampered)
}

struct Pair {
    dialer: Box<dyn Session>,
    responder: Box<dyn Session>,
    gate: Arc<Mutex<Gate>>,
    /// What was written by each and is not delivered, message by message: no two share a space.
    written: [VecDeque<Vec<u8>>; 2],
    started: bool,
    dialer_id: PeerId,
    responder_id: PeerId,
}

const COUNTER: u64 = 77;

impl Pair {
    fn new() -> Self {
        let (ours, theirs) = (StaticKey::new(&key(1)), StaticKey::new(&key(0)));
        let network = NetworkKey::PUBLIC;
        let limits = Limits { half_open: 4, accepts_per_second: 4 };
        let gate = Gate::new(theirs.clone(), network.clone(), SharedSecrets::default(), limits);
        let gate = Arc::new(Mutex::new(gate));
        let parameters = |side| {
            let bytes = dialer_parameters(&[2; 8]);
            let parameters: TransportParameters = read_parameters(side, &bytes).expect("valid");
            parameters
        };
        let now = crate::endpoint::now();
        let pulse = Arc::new(Pulse::new(&Arc::new(Clock::new(now)), now));
        let config = DialerConfig {
            key: ours.clone(),
            network: network.clone(),
            responder: theirs.peer_id,
            counter: COUNTER,
            ephemeral: Zeroizing::new([5; 32]),
            early_secret: Zeroizing::new([6; 32]),
            shared: SharedSecrets::default(),
            pulse: pulse.clone(),
        };
        let dialer = Arc::new(config).start_session(0, "", &parameters(Side::Server));
        let config = ResponderConfig {
            salt: InitialSalt::new(&network, &theirs.peer_id),
            gate: gate.clone(),
            accept_early_data: true,
            pulse,
        };
        let responder = Arc::new(config).start_session(0, &parameters(Side::Client));
        Self {
            dialer: dialer.expect("a session"),
            responder,
            gate,
            written: Default::default(),
            started: false,
            dialer_id: ours.peer_id,
            responder_id: theirs.peer_id,
        }
    }

    fn sessions(&mut self) -> [&mut Box<dyn Session>; 2] {
        [&mut self.dialer, &mut self.responder]
    }

    /// Lets one side write what it has; what goes to the responder first passes the gate.
    fn write(&mut self, side: usize) {
        let session = &mut self.sessions()[side];
        let mut messages = Vec::new();
        loop {
            let mut message = Vec::new();
            let more = session.write_handshake(&mut message).is_some();
            messages.push(message);
            if !more {
                break;
            }
        }
        messages.retain(|message| !message.is_empty());
        if side == 0
            && !self.started
            && let Some(hello) = messages.first()
        {
            self.started = true;
            let packet =
                InitialPacket::new(&NetworkKey::PUBLIC, self.responder_id, &[1; 16], &[2; 8]);
            let datagram = packet.seal(&crypto_frame(0, hello));
            let verdict = lock(&self.gate).handle_datagram(
                crate::endpoint::now(),
                SocketAddr::from(([192, 0, 2, 1], 1)),
                &datagram,
                || [8; 32],
                &crate::AdmitAll,
            );
            assert!(matches!(verdict, Verdict::Pass(_)));
        }
        self.written[side].extend(messages);
    }

    /// The next message, or half of it.
    fn next_piece(&mut self, side: usize, half: bool) -> Vec<u8> {
        let mut message = self.written[side].pop_front().unwrap_or_default();
        if half && message.len() > 1 {
            let rest = message.split_off(message.len().div_ceil(2));
            self.written[side].push_front(rest);
        }
        message
    }

    fn check(&self, tampered: bool) -> Progress {
        let done = |session: &dyn Session| !session.is_handshaking();
        let (dialer, responder) = (done(&*self.dialer), done(&*self.responder));
        let identity = |session: &dyn Session| {
            session.peer_identity().and_then(|i| i.downcast::<PeerIdentity>().ok())
        };
        // Whoever is named is who it is, whatever happened on the way.
        if let Some(identity) = identity(&*self.responder) {
            assert_eq!((identity.peer, identity.counter), (self.dialer_id, COUNTER));
        }
        if dialer {
            let named = identity(&*self.dialer).expect("a responder that is authenticated");
            assert_eq!(named.peer, self.responder_id);
        }
        if dialer && responder {
            let export = |session: &dyn Session| {
                let mut out = [0; 32];
                session.export_keying_material(&mut out, b"fuzz", b"").map(|()| out).ok()
            };
            assert!(export(&*self.dialer).is_some());
            assert_eq!(export(&*self.dialer), export(&*self.responder));
        }
        Progress { dialer, responder, tampered }
    }
}

/// The paths of dials under a sequence of operations. How many dials chose a path.
pub fn paths(script: &[u8]) -> usize {
    let network = NetworkKey::PUBLIC;
    let responder = key(0).peer_id();
    let mut script = Script(script);
    let mut now = crate::endpoint::now();
    let mut paths = Paths::new(network.quic_version());
    let mut dials: Vec<(u64, Vec<SocketAddr>, Vec<u8>)> = Vec::new();
    let mut steps = 0;
    while !script.is_over() && steps < 100 {
        steps += 1;
        let operation = script.byte();
        let argument = script.byte();
        let dial = (!dials.is_empty()).then(|| dials[usize::from(argument) % dials.len()].clone());
        let source = SocketAddr::from(([192, 0, 2, script.byte() % 12], 1));
        match (operation % 7, dial) {
            (0, _) => {
                let addrs: Vec<SocketAddr> =
                    (0..argument % 12).map(|n| SocketAddr::from(([192, 0, 2, n], 1))).collect();
                let id = paths.insert(now, InitialSalt::new(&network, &responder), &addrs);
                assert_eq!(paths::dial_id(paths::synthetic(id)), Some(id));
                let cid = [&[0x80][..], &id.to_be_bytes()[1..]].concat();
                dials.push((id, addrs, cid));
            }
            (1, Some((id, addrs, cid))) => {
                let mut packet = InitialPacket::new(&network, responder, &[1; 16], &cid);
                packet.size = 1200;
                let route = paths.handle_transmit(now, id, &packet.seal(&[1]));
                check_route(&route, &addrs, paths.chosen(id));
            }
            (2, Some((id, addrs, _))) => {
                let route = paths.handle_transmit(now, id, &[0x40; 60]);
                check_route(&route, &addrs, paths.chosen(id));
            }
            (3, Some((id, addrs, cid))) => {
                let mut packet = InitialPacket::new(&network, responder, &cid, &[3; 8]);
                packet.sender = super::Sender::Responder;
                packet.keys_from = vec![1; 16];
                let mut datagram = packet.seal(&[1]);
                let forged = argument & 0x40 != 0;
                datagram[600] ^= u8::from(forged);
                let before = paths.chosen(id);
                let _ = paths.handle_datagram(source, &datagram);
                if before.is_none() && paths.chosen(id).is_some() {
                    assert!(!forged && addrs.contains(&source), "a stranger's answer was believed");
                }
            }
            (4, _) => {
                let datagram = script.take(usize::from(argument));
                let _ = paths.handle_datagram(source, datagram);
            }
            (5, Some((id, ..))) => {
                now += STAGGER * u32::from(argument % 8) / 4;
                paths.handle_timeout(now, id);
            }
            (6, Some((id, ..))) => {
                paths.handle_closed(id, now);
                now += Duration::from_secs(u64::from(argument % 16));
            }
            _ => {}
        }
        let mut transmits = 0;
        while let Some((addr, _)) = paths.poll_transmit() {
            transmits += 1;
            assert!(dials.iter().any(|(_, addrs, _)| addrs.contains(&addr)));
        }
        assert!(transmits <= MAX_CANDIDATES);
    }
    dials.iter().filter(|(id, ..)| paths.chosen(*id).is_some()).count()
}

/// Packets go only where somebody was dialed.
fn check_route(route: &Route, addrs: &[SocketAddr], chosen: Option<SocketAddr>) {
    match route {
        Route::To(addr) => assert!(addrs.contains(addr)),
        Route::Race(targets) => {
            assert!(chosen.is_none() && targets.len() <= MAX_CANDIDATES);
            assert!(targets.iter().all(|addr| addrs.contains(addr)));
        }
        Route::Held => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_honest_script_completes_a_handshake() {
        let progress = Progress { dialer: true, responder: true, tampered: false };
        assert_eq!(handshake(&[]), progress);
        assert_eq!(handshake(&[0x40; 20]), progress, "in two pieces");
        assert_eq!(handshake(&[0x80; 120]), progress, "in many pieces");
    }

    #[test]
    fn random_scripts_break_no_promise() {
        let mut rng = Rng::from_seed(11);
        for _ in 0..300 {
            let len = rng.below(120);
            let script = rng.vec(len);
            gate(&script);
            handshake(&script);
            paths(&script);
            packet(&script);
            frames(&script);
            message(&script);
            hello(&script);
            accept(&script);
        }
    }
}
