//! The gate as a trace of datagrams: what passes, what is dropped and why.

use pinhole_proto::SecretKey;

use super::*;
use crate::{
    AdmitAll,
    testing::{Hello, InitialPacket, Rng, crypto_frame, dialer_parameters},
};

const SCID: [u8; 8] = [0x80, 1, 2, 3, 4, 5, 6, 7];
const OURS: [u8; 8] = [0x01, 9, 9, 9, 9, 9, 9, 9];

struct Bench {
    gate: Gate,
    responder: PeerId,
    rng: Rng,
    now: Instant,
}

impl Bench {
    fn new(half_open: usize) -> Self {
        Self::limited(Limits { half_open, accepts_per_second: 1000 })
    }

    fn limited(limits: Limits) -> Self {
        let mut rng = Rng::from_seed(7);
        let key = rng.key();
        let shared = SharedSecrets::default();
        let gate = Gate::new(StaticKey::new(&key), NetworkKey::PUBLIC, shared, limits);
        Self { gate, responder: key.peer_id(), rng, now: crate::endpoint::now() }
    }

    fn packet(&mut self) -> InitialPacket {
        let mut dcid: [u8; 16] = self.rng.bytes();
        dcid[0] &= 0x7f;
        InitialPacket::new(&NetworkKey::PUBLIC, self.responder, &dcid, &SCID)
    }

    fn hello(&mut self, key: &SecretKey, counter: u64) -> Vec<u8> {
        Hello {
            counter,
            ephemeral: self.rng.bytes(),
            early_secret: self.rng.bytes(),
            parameters: dialer_parameters(&SCID),
        }
        .message(key, &NetworkKey::PUBLIC, self.responder)
    }

    /// An honest first datagram of `key`, and the connection id that it invents.
    fn first(&mut self, key: &SecretKey, counter: u64) -> (Vec<u8>, Vec<u8>) {
        let packet = self.packet();
        let hello = self.hello(key, counter);
        (packet.seal(&crypto_frame(0, &hello)), packet.dcid)
    }

    /// A new honest dialer, or one that is known, is heard.
    fn hear_first(&mut self, key: &SecretKey, counter: u64) -> Verdict {
        let (datagram, _) = self.first(key, counter);
        self.hear(1, &datagram)
    }

    fn hear(&mut self, from: u16, datagram: &[u8]) -> Verdict {
        self.hear_if(from, datagram, &AdmitAll)
    }

    fn hear_if(&mut self, from: u16, datagram: &[u8], admission: &dyn Admission) -> Verdict {
        let ephemeral = self.rng.bytes();
        self.gate.handle_datagram(self.now, addr(from), datagram, || ephemeral, admission)
    }

    /// A Handshake packet of ours to the dialer leaves: the ports to which it goes.
    fn answer(&mut self, to: u16, len: usize) -> Vec<u16> {
        let version = NetworkKey::PUBLIC.quic_version().to_be_bytes();
        let mut datagram = [&[0xe0][..], &version, &[8], &SCID, &[8], &OURS].concat();
        datagram.resize(len, 0);
        let mut ports: Vec<u16> = self
            .gate
            .handle_transmit(self.now, addr(to), &datagram)
            .iter()
            .map(SocketAddr::port)
            .collect();
        ports.sort_unstable();
        ports
    }
}

fn addr(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], port))
}

#[test]
fn an_honest_first_datagram_passes_once_and_its_retransmissions_too() {
    let mut bench = Bench::new(4);
    let key = bench.rng.key();
    let (datagram, dcid) = bench.first(&key, 10);
    assert_eq!(bench.hear(1, &datagram), Verdict::Pass(addr(1)));
    assert_eq!(bench.hear(1, &datagram), Verdict::Pass(addr(1)), "a retransmission");
    assert_eq!((bench.gate.half_open(), bench.gate.counters().admitted), (1, 1));
    assert_eq!(bench.gate.answer(&dcid, addr(1), false), Answer::Accept);
    bench.now += HALF_OPEN_TIME;
    assert_eq!(bench.hear_first(&key, 11), Verdict::Pass(addr(1)));
    assert_eq!(bench.hear(1, &datagram), Verdict::Drop(Reason::Replayed), "after it expired");
}

#[test]
fn the_noise_result_is_handed_out_once_to_the_hello_that_it_belongs_to() {
    let mut bench = Bench::new(4);
    let key = bench.rng.key();
    let hello = bench.hello(&key, 1);
    let datagram = bench.packet().seal(&crypto_frame(0, &hello));
    assert!(bench.gate.take_admitted(&hello[3..]).is_none());
    bench.hear(1, &datagram);
    let admitted = bench.gate.take_admitted(&hello[3..]).unwrap();
    assert_eq!(admitted.acceptor.hello.dialer, key.peer_id());
    assert!(bench.gate.take_admitted(&hello[3..]).is_none());
}

#[test]
fn a_counter_that_is_not_greater_is_a_replay_in_whatever_packet_it_comes() {
    let mut bench = Bench::new(4);
    let key = bench.rng.key();
    let hello = bench.hello(&key, 10);
    let first = bench.packet().seal(&crypto_frame(0, &hello));
    assert_eq!(bench.hear(1, &first), Verdict::Pass(addr(1)));
    let wrapped_again = bench.packet().seal(&crypto_frame(0, &hello));
    assert_eq!(bench.hear(2, &wrapped_again), Verdict::Drop(Reason::Replayed));
    for counter in [0, 9, 10] {
        let (datagram, _) = bench.first(&key, counter);
        assert_eq!(bench.hear(1, &datagram), Verdict::Drop(Reason::Replayed), "{counter}");
    }
    let (greatest, _) = bench.first(&key, u64::MAX);
    assert_eq!(bench.hear(1, &greatest), Verdict::Pass(addr(1)));
    let other = bench.rng.key();
    let (datagram, _) = bench.first(&other, 3);
    assert_eq!(bench.hear(1, &datagram), Verdict::Pass(addr(1)), "counters are per peer");
}

#[test]
fn what_is_not_a_whole_authentic_initial_is_dropped_and_nothing_is_kept() {
    let mut bench = Bench::new(4);
    let key = bench.rng.key();
    let hello = bench.hello(&key, 1);
    let crypto = crypto_frame(0, &hello);
    let stranger = bench.rng.key().peer_id();

    let foreign_id = InitialPacket { responder: stranger, ..bench.packet() }.seal(&crypto);
    let foreign_network =
        InitialPacket { network: NetworkKey::from_bytes([1; 32]), ..bench.packet() }.seal(&crypto);
    let version_1 = InitialPacket { version: 1, ..bench.packet() }.seal(&crypto);
    let short_datagram = InitialPacket { size: 600, ..bench.packet() }.seal(&crypto);
    let mut short_id = bench.packet();
    short_id.dcid.truncate(7);
    short_id.keys_from.truncate(7);
    let two_frames = [&crypto_frame(0, &hello[..50])[..], &crypto_frame(50, &hello[50..])].concat();
    let trailing = crypto_frame(0, &[&hello[..], &[0]].concat());
    let mut garbage = hello.clone();
    garbage[40] ^= 1;
    let cases = [
        ("another id", foreign_id, Reason::Foreign),
        ("another network", foreign_network, Reason::Foreign),
        ("QUIC version 1", version_1, Reason::Malformed),
        ("599 bytes missing", short_datagram, Reason::Malformed),
        ("a connection id of 7 bytes", short_id.seal(&crypto), Reason::Malformed),
        ("two CRYPTO frames", bench.packet().seal(&two_frames), Reason::Unauthenticated),
        ("bytes after the Hello", bench.packet().seal(&trailing), Reason::Unauthenticated),
        ("no CRYPTO frame", bench.packet().seal(&[1]), Reason::Unauthenticated),
        (
            "a changed Hello",
            bench.packet().seal(&crypto_frame(0, &garbage)),
            Reason::Unauthenticated,
        ),
        (
            "not an Initial",
            [&[0xe0, 0x70, 0x69, 0x6e, 0x31, 0, 0][..], &[0; 1200]].concat(),
            Reason::Unknown,
        ),
    ];
    for (what, datagram, reason) in cases {
        assert_eq!(bench.hear(1, &datagram), Verdict::Drop(reason), "{what}");
    }
    assert_eq!(bench.gate.half_open(), 0);
    // None of it has used up the counter.
    let honest = bench.packet().seal(&crypto);
    assert_eq!(bench.hear(1, &honest), Verdict::Pass(addr(1)));
}

#[test]
fn every_changed_byte_of_the_packet_is_noticed() {
    let mut bench = Bench::new(4);
    let key = bench.rng.key();
    let (datagram, _) = bench.first(&key, 1);
    for at in 0..datagram.len() {
        let mut forged = datagram.clone();
        forged[at] ^= 0x10;
        assert!(matches!(bench.hear(1, &forged), Verdict::Drop(_)), "byte {at}");
    }
    assert_eq!(bench.hear(1, &datagram), Verdict::Pass(addr(1)));
}

struct Nobody;

impl Admission for Nobody {
    fn admits(&self, _: &PeerId) -> bool {
        false
    }
}

#[test]
fn who_is_not_admitted_leaves_no_trace() {
    let mut bench = Bench::new(4);
    let key = bench.rng.key();
    let (datagram, _) = bench.first(&key, 5);
    assert_eq!(bench.hear_if(1, &datagram, &Nobody), Verdict::Drop(Reason::Denied));
    assert_eq!(bench.gate.half_open(), 0);
    assert_eq!(bench.hear(1, &datagram), Verdict::Pass(addr(1)), "the counter was not used up");
}

#[test]
fn at_the_cap_authentic_dialers_get_a_retry_and_a_token_makes_room_up_to_twice_the_cap() {
    let mut bench = Bench::new(2);
    for counter in 0..2 {
        let key = bench.rng.key();
        let (datagram, dcid) = bench.first(&key, counter);
        assert_eq!(bench.hear(1, &datagram), Verdict::Pass(addr(1)));
        assert_eq!(bench.gate.answer(&dcid, addr(1), false), Answer::Accept);
    }
    let key = bench.rng.key();
    let hello = bench.hello(&key, 9);
    let without = bench.packet();
    assert_eq!(bench.hear(1, &without.seal(&crypto_frame(0, &hello))), Verdict::Pass(addr(1)));
    let answer = bench.gate.answer(&without.dcid, addr(1), false);
    assert_eq!(answer, Answer::Retry, "it must show its address");
    assert_eq!((bench.gate.half_open(), bench.gate.counters().retried), (2, 1));

    let with_token = InitialPacket { token: vec![1; 40], ..bench.packet() };
    assert_eq!(bench.hear(1, &with_token.seal(&crypto_frame(0, &hello))), Verdict::Pass(addr(1)));
    assert_eq!(bench.gate.answer(&with_token.dcid, addr(1), true), Answer::Accept);
    let forged_token = InitialPacket { token: vec![2; 40], ..bench.packet() };
    let other = bench.rng.key();
    let datagram = forged_token.seal(&crypto_frame(0, &bench.hello(&other, 1)));
    assert_eq!(bench.hear(1, &datagram), Verdict::Pass(addr(1)));
    assert_eq!(bench.gate.half_open(), 4);
    let answer = bench.gate.answer(&forged_token.dcid, addr(1), false);
    assert_eq!(answer, Answer::Retry, "QUIC did not accept its token");
    assert_eq!(bench.gate.half_open(), 3, "and nothing is kept of it");

    for _ in 0..2 {
        let key = bench.rng.key();
        let datagram = InitialPacket { token: vec![1; 40], ..bench.packet() }
            .seal(&crypto_frame(0, &bench.hello(&key, 1)));
        bench.hear(1, &datagram);
    }
    assert_eq!(bench.gate.half_open(), 4);
    assert_eq!(bench.gate.counters().full, 1);
    bench.now += HALF_OPEN_TIME;
    let key = bench.rng.key();
    assert_eq!(bench.hear_first(&key, 1), Verdict::Pass(addr(1)));
    assert_eq!(bench.gate.half_open(), 1);
}

#[test]
fn in_any_second_no_more_connections_open_than_the_rate_and_who_comes_again_gets_in() {
    let mut bench = Bench::limited(Limits { half_open: 64, accepts_per_second: 2 });
    let keys: Vec<_> = (0..3).map(|_| bench.rng.key()).collect();
    let hellos: Vec<_> = keys.iter().map(|key| bench.first(key, 5).0).collect();
    assert_eq!(bench.hear(1, &hellos[0]), Verdict::Pass(addr(1)));
    bench.now += Duration::from_millis(600);
    assert_eq!(bench.hear(2, &hellos[1]), Verdict::Pass(addr(2)));
    assert_eq!(bench.hear(3, &hellos[2]), Verdict::Drop(Reason::Paced));
    assert_eq!((bench.gate.counters().paced, bench.gate.half_open()), (1, 2));
    assert_eq!(bench.hear(1, &hellos[0]), Verdict::Pass(addr(1)), "it is known already");
    assert_eq!(bench.hear(4, &hellos[0]), Verdict::Pass(addr(1)), "and so by another way");
    let stranger = InitialPacket { responder: keys[0].peer_id(), ..bench.packet() };
    let verdict = bench.hear(9, &stranger.seal(&[1]));
    assert_eq!(verdict, Verdict::Drop(Reason::Foreign), "counted for what it is");
    bench.now += Duration::from_millis(399);
    assert_eq!(bench.hear(3, &hellos[2]), Verdict::Drop(Reason::Paced));
    bench.now += Duration::from_millis(1);
    assert_eq!(bench.hear(3, &hellos[2]), Verdict::Pass(addr(3)), "the first is a second ago");
    assert_eq!(bench.hear_first(&keys[0], 6), Verdict::Drop(Reason::Paced), "not the second");
    bench.now += Duration::from_millis(600);
    assert_eq!(bench.hear_first(&keys[0], 6), Verdict::Pass(addr(1)), "its counter is unused");
}

#[test]
fn a_forged_token_uses_up_no_room_in_the_second() {
    let mut bench = Bench::limited(Limits { half_open: 1, accepts_per_second: 2 });
    let keys: Vec<_> = (0..5).map(|_| bench.rng.key()).collect();
    bench.hear_first(&keys[0], 1);
    for key in &keys[1..4] {
        let packet = InitialPacket { token: vec![2; 40], ..bench.packet() };
        let hello = bench.hello(key, 1);
        assert_eq!(bench.hear(2, &packet.seal(&crypto_frame(0, &hello))), Verdict::Pass(addr(2)));
        assert_eq!(bench.gate.answer(&packet.dcid, addr(2), false), Answer::Retry);
    }
    assert_eq!((bench.gate.counters().paced, bench.gate.half_open()), (0, 1));
}

/// Refuses everybody and counts how often it is asked.
#[derive(Default)]
struct Asked(std::sync::Mutex<Vec<PeerId>>);

impl Admission for Asked {
    fn admits(&self, peer: &PeerId) -> bool {
        crate::lock(&self.0).push(*peer);
        false
    }
}

#[test]
fn who_was_refused_is_known_by_an_authentic_hello_and_by_nothing_else() {
    let mut bench = Bench::limited(Limits { half_open: 64, accepts_per_second: 3 });
    let asked = Asked::default();
    let key = bench.rng.key();
    let (datagram, _) = bench.first(&key, 5);
    assert_eq!(bench.hear_if(1, &datagram, &asked), Verdict::Drop(Reason::Denied));
    assert_eq!(*crate::lock(&asked.0), [key.peer_id()], "once for one datagram");

    let mut garbage = datagram.clone();
    garbage[300] ^= 1;
    let mut hello = bench.hello(&key, 6);
    hello[50] ^= 1;
    let forged = bench.packet().seal(&crypto_frame(0, &hello));
    let handshake = [&[0xe0, 0x70, 0x69, 0x6e, 0x31, 0, 0][..], &[0; 1200]].concat();
    for datagram in [&garbage, &forged, &handshake, &vec![0x40; 1200]] {
        bench.hear_if(1, datagram, &asked);
    }
    // Of a peer that was let in before, neither a replay nor a packet of its connection asks.
    let listed = bench.rng.key();
    let (first, _) = bench.first(&listed, 5);
    assert_eq!(bench.hear(2, &first), Verdict::Pass(addr(2)));
    assert_eq!(bench.hear_if(2, &first, &asked), Verdict::Pass(addr(2)));
    assert_eq!(bench.hear_if(3, &first, &asked), Verdict::Pass(addr(2)));
    bench.gate.settle(&listed.peer_id(), 5);
    assert_eq!(bench.hear_if(2, &first, &asked), Verdict::Drop(Reason::Replayed));
    for wrapped in [5, 4] {
        let (replay, _) = bench.first(&listed, wrapped);
        assert_eq!(bench.hear_if(2, &replay, &asked), Verdict::Drop(Reason::Replayed));
    }
    assert_eq!(crate::lock(&asked.0).len(), 1);
}

#[test]
fn a_settled_connection_no_longer_counts_and_only_its_last_handshake_packets_pass() {
    let mut bench = Bench::new(1);
    let key = bench.rng.key();
    let (datagram, _) = bench.first(&key, 5);
    bench.hear(1, &datagram);
    bench.answer(1, 1200);
    bench.gate.settle(&key.peer_id(), 5);
    assert_eq!(bench.gate.half_open(), 0);
    for source in [1, 2] {
        let verdict = bench.hear(source, &datagram);
        assert_eq!(verdict, Verdict::Drop(Reason::Replayed), "QUIC would take it for a new one");
    }
    let version = NetworkKey::PUBLIC.quic_version().to_be_bytes();
    let handshake = [&[0xe0][..], &version, &[8], &OURS, &[8], &SCID, &[0; 40]].concat();
    assert_eq!(bench.hear(1, &handshake), Verdict::Pass(addr(1)));
    bench.now += HALF_OPEN_TIME;
    let other = bench.rng.key();
    bench.hear_first(&other, 1);
    assert_eq!(bench.hear(1, &handshake), Verdict::Drop(Reason::Unknown));
}

#[test]
fn a_connection_is_taken_up_once() {
    let mut bench = Bench::new(4);
    let key = bench.rng.key();
    let packet = bench.packet();
    let hello = bench.hello(&key, 5);
    let (datagram, dcid) = (packet.seal(&crypto_frame(0, &hello)), packet.dcid);
    assert_eq!(bench.gate.answer(&dcid, addr(1), true), Answer::Silence);
    bench.hear(1, &datagram);
    assert_eq!(bench.gate.answer(&dcid, addr(2), true), Answer::Silence);
    for validated in [false, true] {
        assert_eq!(bench.gate.answer(&dcid, addr(1), validated), Answer::Accept);
    }
    assert!(bench.gate.take_admitted(&hello[3..]).is_some());
    assert!(bench.gate.take_admitted(&hello[3..]).is_none());
    for validated in [false, true] {
        assert_eq!(bench.gate.answer(&dcid, addr(1), validated), Answer::Silence);
    }
}

#[test]
fn one_ephemeral_key_is_good_for_one_connection() {
    let mut bench = Bench::new(4);
    let key = bench.rng.key();
    for counter in 1..100 {
        let hello = Hello {
            counter,
            ephemeral: [7; 32],
            early_secret: [8; 32],
            parameters: dialer_parameters(&SCID),
        };
        let hello = hello.message(&key, &NetworkKey::PUBLIC, bench.responder);
        let datagram = bench.packet().seal(&crypto_frame(0, &hello));
        let verdict = bench.hear(1, &datagram);
        let expected =
            if counter == 1 { Verdict::Pass(addr(1)) } else { Verdict::Drop(Reason::Replayed) };
        assert_eq!(verdict, expected);
    }
    assert_eq!(bench.gate.counters().admitted, 1);
}

#[test]
fn answers_go_to_every_source_that_authenticated_at_most_three_and_three_times_the_bytes() {
    let mut bench = Bench::new(4);
    let key = bench.rng.key();
    let (datagram, _) = bench.first(&key, 1);
    for source in [1, 2, 3, 4] {
        assert_eq!(bench.hear(source, &datagram), Verdict::Pass(addr(1)));
    }
    assert_eq!(bench.answer(1, 1200), [1, 2, 3], "the fourth is one too many");
    assert_eq!(bench.answer(1, 1200), [1, 2, 3]);
    assert_eq!(bench.hear(2, &datagram), Verdict::Pass(addr(1)), "its budget grows");
    assert_eq!(bench.answer(1, 1200), [1, 2, 3]);
    assert_eq!(bench.answer(1, 95), [2], "of 3,600 bytes none is left for the others");
    assert_eq!(bench.answer(9, 1200), [9], "of nobody who opens a connection");
    let short_header = [0x40; 95];
    let now = bench.now;
    let targets = bench.gate.handle_transmit(now, addr(1), &short_header);
    assert_eq!(targets, [addr(1)], "it may be of another connection");
    assert_eq!(bench.gate.handle_transmit(now, addr(9), &short_header), [addr(9)]);
    assert_eq!(bench.gate.watched(), 1);
}

#[test]
fn what_may_be_of_another_connection_counts_for_the_one_that_opens() {
    let mut bench = Bench::new(4);
    let key = bench.rng.key();
    let (datagram, _) = bench.first(&key, 1);
    bench.hear(1, &datagram);
    let now = bench.now;
    assert_eq!(bench.answer(1, 1200), [1]);
    assert_eq!(bench.gate.handle_transmit(now, addr(1), &[0x40; 54]), [addr(1)]);
    assert_eq!(bench.answer(1, 1200), [1]);
    assert!(bench.answer(1, 1200).is_empty(), "it would be 3,654 bytes for 1,200");
}

#[test]
fn a_dialer_that_confirmed_is_answered_on_all_its_paths_for_a_while() {
    let mut bench = Bench::new(4);
    let key = bench.rng.key();
    let (datagram, _) = bench.first(&key, 1);
    bench.hear(1, &datagram);
    bench.hear(2, &datagram);
    bench.gate.settle(&key.peer_id(), 1);
    let handshake_done = [0x40; 30];
    let now = bench.now;
    let targets = bench.gate.handle_transmit(now, addr(1), &handshake_done);
    assert_eq!(targets, [addr(2), addr(1)], "QUIC does not know yet that it moved");
    assert_eq!(bench.gate.handle_transmit(now, addr(2), &[0x40; 9000]), [addr(2)]);
    let later = now + HALF_OPEN_TIME;
    assert_eq!(bench.gate.handle_transmit(later, addr(1), &handshake_done), [addr(1)]);
    assert_eq!(bench.gate.watched(), 0);
}

#[test]
fn an_address_that_a_token_has_shown_gets_what_it_needs() {
    let mut bench = Bench::new(4);
    let key = bench.rng.key();
    let hello = bench.hello(&key, 1);
    let packet = InitialPacket { token: vec![1; 40], ..bench.packet() };
    bench.hear(1, &packet.seal(&crypto_frame(0, &hello)));
    assert_eq!(bench.gate.answer(&packet.dcid, addr(1), true), Answer::Accept);
    for _ in 0..10 {
        assert_eq!(bench.answer(1, 1200), [1]);
    }
}

#[test]
fn quic_knows_a_dialer_by_one_address_until_it_confirms() {
    let mut bench = Bench::new(4);
    let key = bench.rng.key();
    let (datagram, _) = bench.first(&key, 1);
    bench.hear(1, &datagram);
    bench.hear(2, &datagram);
    bench.answer(1, 1200);
    let version = NetworkKey::PUBLIC.quic_version().to_be_bytes();
    let confirm = [&[0xe0][..], &version, &[8], &OURS, &[8], &SCID, &[0; 40]].concat();
    assert_eq!(bench.hear(2, &confirm), Verdict::Pass(addr(1)));
    bench.gate.settle(&key.peer_id(), 1);
    assert_eq!(bench.hear(2, &confirm), Verdict::Pass(addr(2)));
}

#[test]
fn a_gate_that_is_shut_lets_nothing_open() {
    let mut bench = Bench::new(4);
    let key = bench.rng.key();
    bench.gate.shut();
    assert_eq!(bench.hear_first(&key, 1), Verdict::Drop(Reason::Full));
}

#[test]
fn a_copy_from_another_source_must_authenticate() {
    let mut bench = Bench::new(4);
    let key = bench.rng.key();
    let (datagram, _) = bench.first(&key, 1);
    bench.hear(1, &datagram);
    let mut forged = datagram.clone();
    forged[700] ^= 1;
    assert_eq!(bench.hear(2, &forged), Verdict::Drop(Reason::Foreign));
    assert_eq!(bench.answer(1, 1200), [1]);
}

#[test]
fn the_memory_of_counters_is_bounded_and_forgets_the_oldest() {
    let mut replay = Replay::new(3);
    let mut rng = Rng::from_seed(1);
    let peers: Vec<PeerId> = (0..4).map(|_| rng.key().peer_id()).collect();
    for peer in &peers[..3] {
        replay.record(*peer, 5);
    }
    replay.record(peers[0], 6);
    replay.record(peers[3], 5);
    assert!(replay.is_new(&peers[1], 5), "the oldest is forgotten");
    assert!(!replay.is_new(&peers[0], 6) && !replay.is_new(&peers[2], 5));
}
