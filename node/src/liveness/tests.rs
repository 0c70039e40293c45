//! Each test is a trace: what one end sends and concludes, second by second.
#![allow(clippy::disallowed_methods)] // one Instant::now() as the beginning of virtual time

use super::LivenessEvent::{Answered, Failed, Over, Recovered, Suspect};
use super::*;

const NORMAL: LivenessConfig = Preset::Normal.config();
const RTT: Duration = Duration::from_millis(50);

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// One end in virtual time; what it is told of the transport, and what it did, with the time of
/// each.
struct Trace {
    end: Liveness,
    start: Instant,
    now: Instant,
    vitals: Vitals,
    heartbeats: Vec<Duration>,
    events: Vec<(Duration, LivenessEvent)>,
}

impl Trace {
    fn new(dialed: bool) -> Self {
        let now = Instant::now();
        let mut end = Liveness::new(now, dialed, QUIET);
        assert_eq!(end.poll_transmit(), dialed.then_some(18), "the dialer announces at once");
        let vitals = Vitals { heard: now, waiting: None, active: false, rtt: RTT };
        end.handle_vitals(now, vitals);
        Self { end, start: now, now, vitals, heartbeats: Vec::new(), events: Vec::new() }
    }

    /// Lets time pass as the core asks for it.
    fn run_until(&mut self, at: Duration) {
        let until = self.start + at;
        while let Some(due) = Some(self.end.poll_timeout(&NORMAL)).filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.end.handle_timeout(self.now, &NORMAL);
            self.drain();
            if self.events.last().is_some_and(|(_, event)| *event == Over) {
                return;
            }
        }
        self.now = until;
    }

    fn drain(&mut self) {
        let at = self.now - self.start;
        self.heartbeats.extend(self.end.poll_transmit().map(|_| at));
        while let Some(event) = self.end.poll_event() {
            self.events.push((at, event));
        }
    }

    fn tell(&mut self, change: impl FnOnce(&mut Vitals, Instant)) {
        change(&mut self.vitals, self.now);
        self.end.handle_vitals(self.now, self.vitals);
        self.drain();
    }

    fn heard(&mut self) {
        self.tell(|vitals, now| vitals.heard = now);
    }

    /// A stream opens, and what is sent on it waits.
    fn send(&mut self) {
        self.tell(|vitals, now| (vitals.active, vitals.waiting) = (true, Some(now)));
    }

    fn at(&self, event: LivenessEvent) -> Duration {
        self.events.iter().find(|(_, e)| *e == event).unwrap_or_else(|| panic!("no {event:?}")).0
    }
}

#[test]
fn a_quiet_dialer_asks_once_and_is_answered() {
    let mut t = Trace::new(true);
    t.run_until(secs(18) + RTT);
    assert_eq!(t.heartbeats, [secs(18)]);
    t.heard();
    t.run_until(secs(36));
    assert_eq!(t.heartbeats, [secs(18)]);
    t.run_until(secs(37));
    assert_eq!(t.heartbeats[1], secs(36) + RTT);
    assert_eq!(t.events, [(secs(18) + RTT, Answered { rtt: RTT, quiet: secs(18) })]);
}

#[test]
fn a_silent_peer_of_the_dialer_is_suspect_after_21_s_and_failed_after_28() {
    let mut t = Trace::new(true);
    t.run_until(secs(30));
    assert_eq!(t.events, [(secs(21), Suspect), (secs(28), Failed)]);
    let asked: Vec<_> = t.heartbeats.iter().filter(|at| **at < secs(28)).collect();
    assert_eq!(asked.len(), 25, "every 400 ms: {asked:?}");
}

#[test]
fn a_silent_dialer_is_asked_two_seconds_later_and_fails_at_the_same_time() {
    let mut t = Trace::new(false);
    t.run_until(secs(30));
    assert_eq!(t.heartbeats[0], secs(20));
    assert_eq!(t.events, [(secs(23), Suspect), (secs(28), Failed)]);
}

#[test]
fn an_announced_interval_moves_the_acceptor_and_counts_up_to_two_minutes() {
    for (announced, counts) in [(4, 4), (110, 110), (120, 120), (255, 120), (0, 1)] {
        let mut t = Trace::new(false);
        t.end.handle_announced(t.now, announced);
        t.run_until(secs(200));
        assert_eq!(t.heartbeats[0], secs(counts + 2), "{announced}");
        assert_eq!(t.at(Failed), secs(counts + 10));
    }
}

#[test]
fn what_an_acceptor_announces_does_not_move_the_dialer() {
    let mut t = Trace::new(true);
    t.end.handle_announced(t.now, 120);
    t.run_until(secs(19));
    assert_eq!(t.heartbeats[0], secs(18));
}

#[test]
fn what_waits_is_noticed_within_five_seconds() {
    let mut t = Trace::new(true);
    t.run_until(secs(3));
    t.send();
    t.run_until(secs(9));
    assert_eq!(t.events, [(secs(5), Suspect), (ms(7400), Failed)]);
    let first: Vec<_> = t.heartbeats.iter().take(7).copied().collect();
    assert_eq!(first, [ms(4000), ms(4200), ms(4400), ms(4600), ms(4800), ms(5000), ms(5100)]);
}

#[test]
fn progress_or_any_packet_of_the_peer_starts_anew() {
    let mut t = Trace::new(true);
    t.send();
    t.run_until(ms(4300));
    t.heard();
    t.run_until(ms(4300) + ms(4300));
    assert_eq!(t.at(Recovered), ms(4300));
    t.tell(|vitals, now| (vitals.heard, vitals.waiting) = (now, None));
    let count = t.events.len();
    t.run_until(secs(26));
    assert_eq!(t.events.len(), count, "nothing waits any more");
    assert!(!t.events.iter().any(|(_, event)| *event == Failed));
}

#[test]
fn a_heartbeat_that_waits_does_not_make_an_idle_peer_urgent() {
    let mut t = Trace::new(true);
    t.run_until(secs(18));
    t.tell(|vitals, now| vitals.waiting = Some(now));
    t.run_until(secs(30));
    assert_eq!(t.at(Failed), secs(28));
}

#[test]
fn a_stream_that_opens_while_a_heartbeat_waits_has_its_own_time() {
    let mut t = Trace::new(true);
    t.run_until(secs(18));
    t.tell(|vitals, now| vitals.waiting = Some(now));
    t.run_until(secs(22));
    t.tell(|vitals, _| vitals.active = true);
    t.run_until(secs(30));
    assert_eq!((t.at(Suspect), t.at(Failed)), (secs(21), secs(22) + ms(4400)));
}

#[test]
fn streams_that_are_given_up_and_opened_anew_do_not_start_the_clock_anew() {
    let mut t = Trace::new(true);
    t.send();
    for second in 1..5 {
        t.run_until(secs(second));
        t.tell(|vitals, _| vitals.active = false);
        t.tell(|vitals, _| vitals.active = true);
    }
    t.run_until(secs(6));
    assert_eq!(t.at(Failed), ms(4400));
}

#[test]
fn a_slow_path_gets_the_time_that_it_needs_but_not_without_end() {
    let mut t = Trace::new(true);
    for _ in 0..10 {
        // Believed step by step.
        t.tell(|vitals, now| (vitals.rtt, vitals.heard) = (secs(3600) - ms(1), now));
        t.run_until(t.now - t.start + ms(1));
        t.vitals.rtt = secs(3600);
    }
    t.send();
    let begin = t.now - t.start;
    t.run_until(secs(60));
    assert_eq!((t.at(Suspect) - begin, t.at(Failed) - begin), (MAX_RTT * 2, MAX_RTT * 3));
}

#[test]
fn one_late_acknowledgement_does_not_make_a_path_slow() {
    let mut t = Trace::new(true);
    t.run_until(secs(1));
    t.tell(|vitals, now| (vitals.rtt, vitals.heard) = (secs(20), now));
    t.send();
    t.run_until(secs(10));
    assert_eq!(t.at(Failed), secs(1) + ms(4400));
}

#[test]
fn a_witness_gives_more_time_once() {
    let mut t = Trace::new(true);
    t.end.handle_witness();
    t.run_until(secs(22));
    t.end.handle_witness();
    t.end.handle_witness();
    t.run_until(secs(60));
    assert_eq!(t.at(Failed), secs(38));
    let mut t = Trace::new(true);
    t.send();
    t.run_until(secs(3));
    t.end.handle_witness();
    t.run_until(secs(20));
    assert_eq!(t.at(Failed), ms(8800));
}

#[test]
fn a_failed_peer_is_asked_now_and_then_and_given_up_after_a_minute() {
    let mut t = Trace::new(true);
    t.run_until(secs(100));
    assert_eq!(t.at(Over), secs(88));
    let held: Vec<_> = t.heartbeats.iter().filter(|at| **at > secs(28)).collect();
    assert!(held.len() >= 29 && held.len() <= 30, "{}", held.len());
}

#[test]
fn a_failed_peer_that_is_heard_lives_at_once() {
    let mut t = Trace::new(true);
    t.run_until(secs(60));
    t.heard();
    assert_eq!(t.events.last(), Some(&(secs(60), Recovered)));
    assert_eq!(t.end.health(), Health::Alive);
    t.run_until(secs(77));
    assert_eq!(t.end.health(), Health::Alive);
}

#[test]
fn what_was_not_heard_before_a_pause_does_not_count() {
    for dialed in [true, false] {
        let mut t = Trace::new(dialed);
        t.run_until(secs(10));
        t.send();
        t.now = t.start + secs(70);
        t.end.handle_pause(t.now);
        t.heartbeats.clear();
        t.run_until(ms(71_900));
        assert!(t.events.is_empty(), "{:?}", t.events);
        assert!(!t.heartbeats.is_empty(), "it is asked");
        t.run_until(secs(80));
        assert_eq!(t.at(Failed), secs(70) + ms(4400), "something waits");
    }
    let mut t = Trace::new(true);
    t.now = t.start + secs(70);
    t.end.handle_pause(t.now);
    t.run_until(secs(90));
    assert_eq!((t.heartbeats[0], t.at(Suspect), t.at(Failed)), (secs(70), secs(73), secs(80)));
}

#[test]
fn after_a_pause_also_who_was_heard_a_moment_ago_is_asked() {
    for dialed in [true, false] {
        let mut t = Trace::new(dialed);
        t.run_until(secs(1));
        t.end.handle_pause(t.now);
        t.run_until(secs(1));
        assert_eq!(t.heartbeats, [secs(1)]);
    }
}

#[test]
fn a_longer_interval_holds_once_it_was_announced_and_a_shorter_one_at_once() {
    let mut t = Trace::new(true);
    t.end.handle_interval(t.now, secs(30));
    t.run_until(secs(18) + RTT);
    assert_eq!(t.heartbeats, [secs(18)], "the acceptor expects it by then");
    t.heard();
    t.run_until(secs(48) + RTT + RTT);
    assert_eq!(t.heartbeats[1..], [secs(48) + RTT]);
    t.heard();
    t.end.handle_interval(t.now, secs(10));
    t.run_until(secs(59));
    assert_eq!(t.heartbeats[2], secs(58) + RTT + RTT);
}

#[test]
fn the_seconds_that_are_announced_are_rounded_up() {
    let now = Instant::now();
    for (interval, seconds) in [(ms(18_000), 18), (ms(18_001), 19), (ms(1), 1), (secs(999), 255)] {
        assert_eq!(Liveness::new(now, true, interval).poll_transmit(), Some(seconds));
    }
}

#[test]
fn a_heartbeat_that_is_due_soon_goes_along_with_another() {
    let mut t = Trace::new(true);
    t.run_until(secs(15));
    t.end.handle_company(t.now, &NORMAL);
    t.drain();
    assert!(t.heartbeats.is_empty());
    t.run_until(secs(16));
    t.end.handle_company(t.now, &NORMAL);
    t.end.handle_company(t.now, &NORMAL);
    t.drain();
    assert_eq!(t.heartbeats, [secs(16)]);
    let mut t = Trace::new(false);
    t.run_until(secs(19));
    t.end.handle_company(t.now, &NORMAL);
    t.drain();
    assert!(t.heartbeats.is_empty(), "the dialer's is due");
}

#[test]
fn an_idle_end_sets_no_timer_but_the_next_heartbeat() {
    let mut t = Trace::new(true);
    assert_eq!(t.end.poll_timeout(&NORMAL), t.start + QUIET);
    t.tell(|vitals, _| vitals.active = true);
    assert_eq!(t.end.poll_timeout(&NORMAL), t.start + NORMAL.watch);
}

/// Whatever comes in, and in what order: health falls one step at a time and never without a
/// heartbeat before, a timer is never in the past after it was served, and little is sent.
#[test]
fn random_inputs_keep_the_invariants() {
    use pinhole_proto::rng::Rng;
    'seeds: for seed in 0..500 {
        let mut rng = Rng::from_seed(seed);
        let mut t = Trace::new(seed % 2 == 0);
        let mut was = Health::Alive;
        for _ in 0..200 {
            match rng.next_u64() % 8 {
                0 => t.heard(),
                1 => t.send(),
                2 => t.tell(|vitals, _| (vitals.active, vitals.waiting) = (false, None)),
                3 => t.end.handle_announced(t.now, (seed + t.heartbeats.len() as u64) as u8),
                4 => t.end.handle_interval(t.now, ms(1) + rng.up_to(secs(200))),
                5 => t.end.handle_witness(),
                6 => t.end.handle_pause(t.now),
                _ => t.tell(|vitals, _| vitals.rtt = rng.up_to(secs(9))),
            }
            let (from, sent) = (t.now, t.heartbeats.len());
            let until = t.now - t.start + rng.up_to(secs(7));
            t.run_until(until);
            for (_, event) in t.events.drain(..) {
                let next = match event {
                    Suspect => Health::Suspect,
                    Failed => Health::Failed,
                    Recovered => Health::Alive,
                    Over => continue 'seeds,
                    Answered { .. } => continue,
                };
                let falls = matches!(
                    (was, next),
                    (Health::Alive, Health::Suspect) | (Health::Suspect, Health::Failed)
                );
                assert!(falls || (next == Health::Alive && was != next), "seed {seed}");
                was = next;
            }
            let sent = t.heartbeats.len() - sent;
            let most = 2 + (t.now - from).as_millis() / 100;
            assert!(sent as u128 <= most, "seed {seed}: {sent} in {:?}", t.now - from);
        }
    }
}
