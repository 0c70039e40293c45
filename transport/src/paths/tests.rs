//! Racing as a trace of datagrams and time.

use pinhole_proto::{NetworkKey, PeerId};

use super::*;
use crate::testing::{InitialPacket, Rng, Sender, crypto_frame};

const DCID: [u8; 16] = [7; 16];
const SCID: [u8; 8] = [0x80, 1, 2, 3, 4, 5, 6, 7];

struct Bench {
    paths: Paths,
    responder: PeerId,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        let responder = Rng::from_seed(3).key().peer_id();
        let paths = Paths::new(NetworkKey::PUBLIC.quic_version());
        Self { paths, responder, now: crate::endpoint::now() }
    }

    fn dial(&mut self, ports: &[u16]) -> DialId {
        let salt = InitialSalt::new(&NetworkKey::PUBLIC, &self.responder);
        let candidates: Vec<_> = ports.iter().map(|port| addr(*port)).collect();
        self.paths.insert(self.now, salt, &candidates)
    }

    fn initial(&self) -> Vec<u8> {
        InitialPacket::new(&NetworkKey::PUBLIC, self.responder, &DCID, &SCID).seal(&[1])
    }

    /// An Initial of the responder to our connection id.
    fn reply(&self) -> Vec<u8> {
        let packet = InitialPacket {
            sender: Sender::Responder,
            keys_from: DCID.to_vec(),
            ..InitialPacket::new(&NetworkKey::PUBLIC, self.responder, &SCID, &[1; 8])
        };
        packet.seal(&crypto_frame(0, b"reply"))
    }

    fn send(&mut self, id: DialId, datagram: &[u8]) -> Route {
        self.paths.handle_transmit(self.now, id, datagram)
    }

    fn wait(&mut self, id: DialId, time: Duration) -> Vec<SocketAddr> {
        self.now += time;
        self.paths.handle_timeout(self.now, id);
        std::iter::from_fn(|| self.paths.poll_transmit()).map(|(addr, _)| addr).collect()
    }
}

fn addr(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], port))
}

/// A 0-RTT packet.
fn early() -> Vec<u8> {
    let version = NetworkKey::PUBLIC.quic_version().to_be_bytes();
    [&[0xd0][..], &version, &[16], &DCID, &[8], &SCID, b"early"].concat()
}

#[test]
fn candidates_start_one_after_the_other_until_one_answers() {
    let mut bench = Bench::new();
    let id = bench.dial(&[1, 2, 3]);
    let initial = bench.initial();
    assert_eq!(bench.send(id, &initial), Route::Race(vec![addr(1)]));
    assert_eq!(bench.paths.poll_timeout(id), Some(bench.now + STAGGER));
    assert_eq!(bench.wait(id, STAGGER / 2), [], "a spurious timeout does nothing");
    assert_eq!(bench.wait(id, STAGGER / 2), [addr(2)]);
    let reply = bench.reply();
    assert_eq!(bench.paths.handle_datagram(addr(2), &reply), Some(id));
    assert_eq!(bench.paths.chosen(id), Some(addr(2)));
    assert_eq!(bench.paths.poll_timeout(id), None);
    assert_eq!(bench.wait(id, STAGGER), [], "the third is not tried any more");
    assert_eq!(bench.send(id, &initial), Route::To(addr(2)));
}

#[test]
fn retransmissions_go_to_all_that_were_started_but_to_none_more_than_its_share() {
    let mut bench = Bench::new();
    let id = bench.dial(&[1, 2]);
    let initial = bench.initial();
    bench.send(id, &initial);
    bench.wait(id, STAGGER);
    let both = Route::Race(vec![addr(1), addr(2)]);
    for _ in 1..INITIALS_PER_CANDIDATE {
        assert_eq!(bench.send(id, &initial), both);
    }
    assert_eq!(bench.send(id, &initial), Route::Race(vec![]));
}

#[test]
fn more_candidates_than_allowed_are_not_tried() {
    let mut bench = Bench::new();
    let ports: Vec<u16> = (1..=20).collect();
    let id = bench.dial(&ports);
    let initial = bench.initial();
    bench.send(id, &initial);
    let tried: usize = (0..20).map(|_| bench.wait(id, STAGGER).len()).sum();
    assert_eq!(1 + tried, MAX_CANDIDATES);
}

#[test]
fn early_data_waits_for_the_path_that_answers_if_there_is_a_choice() {
    let mut bench = Bench::new();
    let id = bench.dial(&[1, 2]);
    let initial = bench.initial();
    bench.send(id, &initial);
    for _ in 0..MAX_HELD + 3 {
        assert_eq!(bench.send(id, &early()), Route::Held);
    }
    bench.wait(id, STAGGER);
    let reply = bench.reply();
    bench.paths.handle_datagram(addr(2), &reply);
    let flushed: Vec<_> = std::iter::from_fn(|| bench.paths.poll_transmit()).collect();
    assert_eq!(flushed, vec![(addr(2), early()); MAX_HELD]);

    let only = bench.dial(&[5]);
    bench.send(only, &initial);
    assert_eq!(bench.send(only, &early()), Route::To(addr(5)));
}

#[test]
fn only_an_authentic_answer_from_where_we_dialed_is_one() {
    let mut bench = Bench::new();
    let id = bench.dial(&[1, 2]);
    let initial = bench.initial();
    bench.send(id, &initial);
    let reply = bench.reply();
    let mut forged = reply.clone();
    forged[100] ^= 1;
    assert_eq!(bench.paths.handle_datagram(addr(1), &forged), None);
    assert_eq!(bench.paths.handle_datagram(addr(9), &reply), None, "never dialed");
    assert_eq!(bench.paths.handle_datagram(addr(2), &reply), None, "not dialed yet");
    assert_eq!(bench.paths.handle_datagram(addr(1), &initial), None, "our own, reflected");
    assert_eq!(bench.paths.chosen(id), None);
    assert_eq!(bench.paths.handle_datagram(addr(1), &reply), Some(id));
}

#[test]
fn packets_find_their_dial_by_connection_id_and_else_by_address() {
    let mut bench = Bench::new();
    let id = bench.dial(&[1]);
    let initial = bench.initial();
    bench.send(id, &initial);
    let reply = bench.reply();
    bench.paths.handle_datagram(addr(1), &reply);
    let short = [&[0x40][..], &SCID, &[0; 20]].concat();
    let other_id = [&[0x40, 0x80][..], &[5; 27]].concat();
    assert_eq!(bench.paths.handle_datagram(addr(77), &short), Some(id));
    assert_eq!(bench.paths.handle_datagram(addr(1), &other_id), Some(id));
    assert_eq!(bench.paths.handle_datagram(addr(2), &other_id), None);
}

#[test]
fn a_closed_dial_keeps_its_address_for_its_last_packets_only() {
    let mut bench = Bench::new();
    let id = bench.dial(&[1]);
    let initial = bench.initial();
    bench.send(id, &initial);
    let reply = bench.reply();
    bench.paths.handle_datagram(addr(1), &reply);
    bench.paths.handle_closed(id, bench.now);
    bench.now += LINGER - Duration::from_millis(1);
    bench.dial(&[2]);
    assert_eq!(bench.send(id, &initial), Route::To(addr(1)));
    bench.now += Duration::from_millis(1);
    bench.dial(&[3]);
    assert_eq!(bench.send(id, &initial), Route::Held);
    let short = [&[0x40][..], &SCID, &[0; 20]].concat();
    assert_eq!(bench.paths.handle_datagram(addr(1), &short), None);
}

#[test]
fn a_dial_that_is_given_up_unanswered_is_silent_at_once() {
    let mut bench = Bench::new();
    let id = bench.dial(&[1, 2]);
    let initial = bench.initial();
    bench.send(id, &initial);
    bench.paths.handle_closed(id, bench.now);
    assert_eq!(bench.paths.poll_timeout(id), None);
    assert_eq!(bench.wait(id, STAGGER), [], "the second candidate does not start");
    assert_eq!(bench.send(id, &initial), Route::Held, "nor is anybody told");
    let reply = bench.reply();
    bench.paths.handle_datagram(addr(1), &reply);
    assert_eq!(bench.send(id, &initial), Route::To(addr(1)), "but who answers late is");
}

#[test]
fn synthetic_addresses_name_their_dial() {
    for id in [1, 0xffff, 0x1_0000, u64::MAX] {
        assert_eq!(dial_id(synthetic(id)), Some(id));
    }
    assert_eq!(dial_id(addr(1)), None);
    assert_eq!(dial_id("[fd70:696e::1]:1".parse().unwrap()), None);
}
