//! The controller as quinn calls it.

use super::*;
use crate::pulse::Clock;

const MTU: u16 = 1200;
const MS: Duration = Duration::from_millis(1);
const STREAM: &[u8] = &[0x08, 0, 1];
const PING: &[u8] = &[0x01, 0, 0];
/// Held back for 8 ms.
const ACK: &[u8] = &[0x02, 5, 0x43, 0xe8, 0, 0];

struct Bench {
    controller: Watched,
    pulse: Arc<Pulse>,
    clock: Arc<Clock>,
    start: Instant,
    now: Instant,
    min_rtt: Duration,
}

impl Bench {
    fn new() -> Self {
        let start = crate::endpoint::now();
        let clock = Arc::new(Clock::new(start));
        let pulse = Arc::new(Pulse::new(&clock, start));
        let controller = Watched::new(pulse.clone(), start, MTU);
        Self { controller, pulse, clock, start, now: start, min_rtt: Duration::ZERO }
    }

    /// Seals a packet and sends it; when.
    fn send(&mut self, len: usize, frames: &[u8]) -> Instant {
        self.pulse.sealing(len, frames);
        self.controller.on_sent(self.now, len as u64, 0);
        self.now
    }

    /// quinn sends probes for a larger MTU without a word to the controller.
    fn probe(&mut self, len: usize) -> Instant {
        self.pulse.sealing(len, PING);
        self.now
    }

    /// Acknowledged are packets of which quinn says when they were sent, and their bytes.
    fn acked(&mut self, packets: &[(Instant, u64)], in_flight: u64) {
        for &(sent, bytes) in packets {
            self.controller.acked(self.now, sent, bytes, self.min_rtt);
        }
        self.controller.on_end_acks(self.now, in_flight, false, None);
    }

    fn wait(&mut self, millis: u32) {
        self.now += millis * MS;
    }

    /// A packet came in.
    fn open(&mut self, number: u64, frames: &[u8]) {
        self.clock.set(self.now);
        self.pulse.opened(number, frames);
    }

    /// Milliseconds after the start.
    fn waiting(&self) -> Option<u128> {
        self.pulse.vitals().waiting.map(|since| (since - self.start).as_millis())
    }

    fn heard(&self) -> u128 {
        (self.pulse.vitals().heard - self.start).as_millis()
    }
}

#[test]
fn what_is_in_flight_waits_since_it_was_sent_until_it_is_acknowledged() {
    let mut bench = Bench::new();
    assert_eq!(bench.waiting(), None);
    bench.wait(5);
    let first = bench.send(500, STREAM);
    bench.wait(5);
    let second = bench.send(700, STREAM);
    assert_eq!(bench.waiting(), Some(5), "since the first");
    bench.wait(30);
    bench.acked(&[(first, 500)], 700);
    assert_eq!(bench.waiting(), Some(40), "since there was progress");
    bench.wait(1);
    bench.acked(&[(second, 700)], 0);
    assert_eq!(bench.waiting(), None);
}

#[test]
fn acknowledgements_of_ours_wait_for_nothing() {
    let mut bench = Bench::new();
    bench.send(40, ACK);
    assert_eq!(bench.waiting(), None);
    bench.send(300, &[ACK, STREAM].concat());
    assert_eq!(bench.waiting(), Some(0));
}

#[test]
fn several_packets_may_be_sealed_before_the_controller_is_told() {
    let mut bench = Bench::new();
    bench.pulse.sealing(1200, STREAM);
    bench.pulse.sealing(1200, STREAM);
    let sent = bench.send(40, ACK);
    bench.wait(1);
    bench.acked(&[(sent, 1200)], 1200);
    assert_eq!(bench.waiting(), Some(1));
    bench.acked(&[(sent, 1200)], 0);
    assert_eq!(bench.waiting(), None);
}

#[test]
fn a_probe_for_a_larger_mtu_is_not_waited_for() {
    let mut bench = Bench::new();
    bench.probe(1452);
    bench.send(40, ACK);
    assert_eq!(bench.waiting(), None);
    let sent = bench.send(500, STREAM);
    bench.wait(1);
    bench.acked(&[(sent, 500)], 1452);
    assert_eq!(bench.waiting(), None, "quinn still counts the probe");
}

#[test]
fn a_probe_that_came_through_hides_nothing_else() {
    let mut bench = Bench::new();
    let sent = bench.send(500, STREAM);
    let probe = bench.probe(1452);
    bench.wait(9);
    bench.controller.on_mtu_update(1452);
    bench.acked(&[(probe, 1452)], 500);
    assert_eq!(bench.waiting(), Some(9));
    bench.acked(&[(sent, 500)], 0);
    assert_eq!(bench.waiting(), None);
    bench.send(1452, STREAM);
    assert_eq!(bench.waiting(), Some(9), "packets of that size are ordinary now");
}

#[test]
fn what_is_lost_is_not_waited_for_until_it_is_sent_again() {
    let mut bench = Bench::new();
    let lost = bench.send(60, STREAM);
    let sent = bench.send(60, STREAM);
    bench.wait(10);
    bench.acked(&[(sent, 60)], 60);
    assert_eq!(bench.waiting(), Some(10));
    bench.controller.on_congestion_event(bench.now, lost, false, 60);
    assert_eq!(bench.waiting(), None);
    bench.wait(1);
    bench.send(60, STREAM);
    assert_eq!(bench.waiting(), Some(11));
}

#[test]
fn what_quinn_forgot_is_not_waited_for() {
    let mut bench = Bench::new();
    let sent = bench.send(60, STREAM);
    bench.send(900, STREAM);
    bench.acked(&[(sent, 60)], 0);
    assert_eq!(bench.waiting(), None);
}

#[test]
fn a_new_path_begins_with_nothing_in_flight() {
    let mut bench = Bench::new();
    bench.send(900, STREAM);
    bench.wait(50);
    bench.controller = Watched::new(bench.pulse.clone(), bench.now, MTU);
    let sent = bench.send(60, STREAM);
    assert_eq!(bench.waiting(), Some(50));
    bench.acked(&[(sent, 60)], 0);
    assert_eq!(bench.waiting(), None);
}

#[test]
fn the_round_trip_time_is_that_of_the_newest_without_the_peers_delay() {
    let mut bench = Bench::new();
    assert_eq!(bench.pulse.vitals().rtt, 333 * MS);
    let first = bench.send(60, STREAM);
    bench.wait(20);
    let second = bench.send(60, STREAM);
    bench.wait(30);
    bench.open(0, ACK);
    bench.min_rtt = 333 * MS; // quinn has no sample either
    bench.acked(&[(second, 60)], 60);
    assert_eq!(bench.pulse.vitals().rtt, 30 * MS);
    bench.acked(&[(first, 60)], 0);
    assert_eq!(bench.pulse.vitals().rtt, 30 * MS, "an older packet says nothing");
    bench.min_rtt = 15 * MS;
    let too_long = [0x02, 5, 0xbf, 0xff, 0xff, 0xff];
    for (delay, expected) in [(ACK, 17), (&too_long, 25), (&[], 25)] {
        let sent = bench.send(60, STREAM);
        bench.wait(25);
        bench.open(0, delay);
        bench.acked(&[(sent, 60)], 0);
        assert_eq!(bench.pulse.vitals().rtt, expected * MS);
    }
}

#[test]
fn the_peer_is_heard_when_a_new_packet_opens_and_not_by_an_old_one() {
    let mut bench = Bench::new();
    for (number, heard) in [(0, 10), (1, 20), (1, 20), (0, 20), (5, 50), (3, 50), (6, 70)] {
        bench.wait(10);
        bench.open(number, STREAM);
        assert_eq!(bench.heard(), heard, "packet {number}");
    }
    bench.wait(10);
    bench.open(u64::MAX, STREAM);
    assert_eq!(bench.heard(), 80);
}
