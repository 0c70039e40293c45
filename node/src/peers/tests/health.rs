//! Traces of silent peers, witnesses, questions and changes of network.

use pinhole_proto::message::Reached;

use super::*;
use crate::liveness::Vitals;

const RTT: Duration = Duration::from_millis(50);

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

impl Table {
    /// A packet of the peer came on this link.
    fn hear(&mut self, id: u64) {
        self.vitals(id, self.now, None);
    }

    fn vitals(&mut self, id: u64, heard: Instant, waiting: Option<Instant>) {
        let vitals = Vitals { heard, waiting, active: waiting.is_some(), rtt: RTT };
        self.peers.handle_vitals(self.now, LinkId(id), vitals);
    }

    /// Lets time pass as the table asks for it; `heard` links hear something before each step.
    fn run(&mut self, time: Duration, heard: &[u64]) -> Vec<PeerCommand> {
        let until = self.now + time;
        let mut commands = Vec::new();
        while let Some(at) = self.peers.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            heard.iter().for_each(|id| self.hear(*id));
            self.peers.handle_timeout(self.now);
            commands.extend(std::iter::from_fn(|| self.peers.poll_transmit()));
        }
        self.now = until;
        commands
    }

    /// The states that one peer passed through, with reasons and names.
    fn of(&mut self, who: u32) -> Vec<(PeerState, Reason, usize)> {
        std::iter::from_fn(|| self.peers.poll_event())
            .filter_map(|event| match event {
                PeerEvent::State { peer: of, state, reason, reached_by, .. } if of == peer(who) => {
                    Some((state, reason, reached_by.len()))
                }
                _ => None,
            })
            .collect()
    }

    fn testify(&mut self, witness: u32, testimony: Testimony) {
        self.peers.handle_testimony(self.now, peer(HIGH), peer(witness), testimony);
    }

    fn reach(&mut self, asker: u32, about: u32) -> QuestionId {
        self.peers.handle_question(self.now, peer(asker), peer(about))
    }
}

/// Links 1 to 8: the silent peer, and seven others.
fn company() -> Table {
    let mut t = Table::new(LOW);
    t.know(HIGH);
    t.peers.handle_wanted(t.now, peer(HIGH), true);
    let [PeerCommand::Dial { dial, .. }] = t.commands()[..] else { panic!("no dial") };
    let up = LinkUp { id: LinkId(1), dialed: true, addr: address() };
    t.peers.handle_link(t.now, peer(HIGH), up, Some(dial));
    for (who, id) in (10..17).zip(2..) {
        t.up(who, id, false);
    }
    t.commands();
    t.steps();
    t
}

const OTHERS: [u64; 7] = [2, 3, 4, 5, 6, 7, 8];

fn asked(commands: &[PeerCommand]) -> Vec<PeerId> {
    let asked = |command: &PeerCommand| match command {
        PeerCommand::AskWitness { about, witness, .. } => {
            assert_eq!(*about, peer(HIGH));
            Some(*witness)
        }
        _ => None,
    };
    commands.iter().filter_map(asked).collect()
}

fn answers(commands: Vec<PeerCommand>) -> Vec<(QuestionId, Reached)> {
    let answer = |command| match command {
        PeerCommand::Answer { question, reached } => Some((question, reached)),
        _ => None,
    };
    commands.into_iter().filter_map(answer).collect()
}

#[test]
fn a_silent_peer_fails_is_dialed_again_and_lives_with_the_first_packet() {
    let mut t = company();
    t.run(secs(27), &OTHERS);
    assert_eq!(t.of(HIGH), [(PeerState::Suspect, Reason::Silent, 0)]);
    assert_eq!(t.kept(HIGH), Some(LinkId(1)), "it may still come");
    let commands = t.run(secs(5), &OTHERS);
    assert!(commands.contains(&PeerCommand::Keep { peer: peer(HIGH), link: None }));
    assert!(commands.iter().any(|c| matches!(c, PeerCommand::Dial { .. })));
    assert_eq!(t.of(HIGH), [(PeerState::Failed, Reason::Silent, 0)]);
    t.hear(1);
    assert_eq!(t.of(HIGH), [(PeerState::Connected, Reason::Heard, 0)]);
    assert_eq!(t.kept(HIGH), Some(LinkId(1)));
}

#[test]
fn a_failed_peer_that_stays_silent_is_let_go_after_a_minute() {
    let mut t = company();
    let commands = t.run(secs(89), &OTHERS);
    assert!(commands.contains(&close(1, CloseReason::Lost)));
    let last = t.of(HIGH).pop().unwrap();
    assert_eq!(last, (PeerState::Connecting, Reason::Lost, 0), "a dial is under way");
}

#[test]
fn a_new_connection_takes_the_place_of_a_failed_one() {
    let mut t = company();
    t.run(secs(30), &OTHERS);
    t.of(HIGH);
    t.up(HIGH, 20, false);
    assert!(t.commands().contains(&close(1, CloseReason::Duplicate)));
    assert_eq!(t.of(HIGH), [(PeerState::Connected, Reason::Accepted, 0)]);
}

#[test]
fn a_duplicate_that_is_as_silent_fails_along() {
    let mut t = company();
    t.up(HIGH, 20, false);
    t.vitals(1, t.now, Some(t.now));
    t.run(secs(5), &OTHERS);
    let steps = t.of(HIGH);
    assert_eq!(steps.last(), Some(&(PeerState::Failed, Reason::Silent, 0)), "{steps:?}");
}

#[test]
fn three_are_asked_and_those_who_hear_it_are_named() {
    let mut t = company();
    let commands = t.run(secs(21), &OTHERS);
    let witnesses = asked(&commands);
    assert_eq!(witnesses.len(), 3);
    let number = |id: &PeerId| (10..17).find(|who| peer(*who) == *id).unwrap();
    t.testify(number(&witnesses[0]), Testimony::Heard);
    t.testify(number(&witnesses[0]), Testimony::Heard);
    t.testify(number(&witnesses[1]), Testimony::Silent);
    assert_eq!(t.peers.record(&peer(HIGH)).unwrap().reached_by, [witnesses[0]]);
    t.run(secs(16), &OTHERS);
    assert_eq!(t.state(HIGH), PeerState::Suspect, "it has ten seconds more");
    t.of(HIGH);
    t.run(secs(2), &OTHERS);
    assert_eq!(t.of(HIGH), [(PeerState::Failed, Reason::Unreachable, 1)]);
}

#[test]
fn who_cannot_tell_is_replaced_and_six_are_asked_in_all() {
    let mut t = company();
    let mut open = asked(&t.run(secs(21), &OTHERS));
    let mut all = open.clone();
    while let Some(witness) = open.pop() {
        t.peers.handle_testimony(t.now, peer(HIGH), witness, Testimony::Elsewhere);
        let next = asked(&t.commands());
        all.extend(&next);
        open.extend(next);
    }
    all.sort();
    all.dedup();
    assert_eq!(all.len(), MAX_ASKED, "nobody twice");
}

#[test]
fn the_word_of_somebody_who_was_not_asked_counts_nothing() {
    let mut t = company();
    t.testify(10, Testimony::Heard);
    let asked = asked(&t.run(secs(21), &OTHERS));
    let other = (10..17).find(|who| !asked.contains(&peer(*who))).unwrap();
    t.testify(other, Testimony::Heard);
    t.run(secs(8), &OTHERS);
    assert_eq!(t.of(HIGH).last(), Some(&(PeerState::Failed, Reason::Silent, 0)));
}

#[test]
fn when_everybody_falls_silent_it_is_our_own_network_and_few_questions_are_asked() {
    let mut t = company();
    let commands = t.run(secs(40), &[]);
    let steps = t.steps();
    let failed = steps.iter().filter(|(state, _)| *state == PeerState::Failed);
    let reasons: Vec<_> = failed.map(|(_, reason)| *reason).collect();
    assert_eq!(reasons, [Reason::Isolated; 8]);
    let asked = commands.iter().filter(|c| matches!(c, PeerCommand::AskWitness { .. })).count();
    assert!(asked <= MAX_ASKING, "{asked}");
}

#[test]
fn a_late_timer_blames_nobody_and_asks_everybody() {
    let mut t = company();
    t.run(secs(10), &OTHERS);
    t.now += secs(120);
    t.peers.handle_timeout(t.now);
    let sent = std::iter::from_fn(|| t.peers.poll_transmit());
    assert_eq!(sent.filter(|c| matches!(c, PeerCommand::Heartbeat { .. })).count(), 8);
    assert_eq!(t.steps(), []);
    t.run(ms(2900), &[]);
    assert_eq!(t.steps(), []);
}

#[test]
fn who_is_always_a_little_late_learns_of_dead_peers_all_the_same() {
    let mut t = company();
    for _ in 0..40 {
        let Some(at) = t.peers.poll_timeout() else { break };
        t.now = t.now.max(at) + ms(1500);
        OTHERS.iter().for_each(|id| t.hear(*id));
        t.peers.handle_timeout(t.now);
    }
    t.commands();
    assert!(t.of(HIGH).contains(&(PeerState::Failed, Reason::Silent, 0)));
}

#[test]
fn a_change_of_network_asks_everybody_and_dials_who_is_away() {
    let mut t = company();
    for who in [20, 21] {
        t.know(who);
        t.peers.handle_wanted(t.now, peer(who), true);
        let commands = t.run(ms(20), &OTHERS);
        for command in commands.into_iter().chain(t.commands()) {
            if let PeerCommand::Dial { peer, dial, .. } = command {
                for _ in 0..5 {
                    t.peers.handle_dial_failed(t.now, peer, dial, Reason::NoAnswer);
                }
            }
        }
    }
    t.steps();
    t.peers.handle_network_change(t.now);
    let mut all: Vec<_> = std::iter::from_fn(|| t.peers.poll_transmit()).collect();
    let asked = all.iter().filter(|c| matches!(c, PeerCommand::Heartbeat { .. })).count();
    assert_eq!(asked, 8, "also those who were heard a moment ago");
    all.extend(t.run(ms(100), &[]));
    let dials = all.iter().filter(|c| matches!(c, PeerCommand::Dial { .. })).count();
    let steps = t.steps();
    assert_eq!(dials + steps.len(), 2 + 2, "{all:?} {steps:?}");
    assert_eq!(steps, [(PeerState::Connecting, Reason::NetworkChanged); 2]);
}

#[test]
fn those_who_were_lost_together_come_back_together() {
    let mut t = Table::new(1000);
    for who in 10..20 {
        t.know(who);
        t.peers.handle_wanted(t.now, peer(who), true);
    }
    let mut dials = Vec::new();
    let collect = |commands: Vec<PeerCommand>, dials: &mut Vec<(PeerId, DialId)>| {
        dials.extend(commands.into_iter().filter_map(|command| match command {
            PeerCommand::Dial { peer, dial, .. } => Some((peer, dial)),
            _ => None,
        }));
    };
    collect(t.run(secs(1), &[]), &mut dials);
    collect(t.commands(), &mut dials);
    assert_eq!(dials.len(), 10);
    let up = |t: &mut Table, id: u64, (peer, dial): (PeerId, DialId)| {
        let up = LinkUp { id: LinkId(id), dialed: true, addr: address() };
        t.peers.handle_link(t.now, peer, up, Some(dial));
    };
    // One more that stays, so that not everybody is gone.
    t.up(30, 99, false);
    (0..).zip(dials.drain(..)).for_each(|(id, dial)| up(&mut t, id, dial));
    t.run(secs(6), &[99]);
    (0..10).for_each(|id| t.peers.handle_closed(t.now, LinkId(id), Reason::Lost));
    // All are away for ten minutes.
    let end = t.now + secs(600);
    while t.now < end {
        let commands = t.run(secs(1), &[99]);
        collect(commands, &mut dials);
        for (peer, dial) in dials.drain(..) {
            t.peers.handle_dial_failed(t.now, peer, dial, Reason::NoAnswer);
        }
    }
    while dials.is_empty() {
        let commands = t.run(ms(100), &[99]);
        collect(commands, &mut dials);
    }
    up(&mut t, 100, dials[0]);
    let (first, begin) = (dials[0].0, t.now);
    dials.clear();
    let commands = t.run(ms(300), &[99]);
    collect(commands, &mut dials);
    collect(t.commands(), &mut dials);
    assert!(dials.len() >= 9, "{} within {:?}", dials.len(), t.now - begin);
    assert!(dials.iter().all(|(peer, _)| *peer != first));
}

#[test]
fn a_dial_that_another_peer_would_answer_names_it() {
    let mut t = Table::new(LOW);
    t.up(30, 1, false);
    t.know(HIGH);
    let dial = t.dial(HIGH);
    t.peers.handle_dial_failed(t.now, peer(HIGH), dial, Reason::NoAnswer);
    assert_eq!(t.peers.record(&peer(HIGH)).unwrap().wrong_identity, Some(peer(30)));
    assert_eq!(t.of(HIGH).last(), Some(&(PeerState::Disconnected, Reason::WrongIdentity, 0)));
    t.up(HIGH, 2, false);
    assert_eq!(t.peers.record(&peer(HIGH)).unwrap().wrong_identity, None);
}

#[test]
fn a_question_is_answered_by_what_comes_after_it() {
    let mut t = company();
    t.hear(1);
    let question = t.reach(10, HIGH);
    let sent: Vec<_> = std::iter::from_fn(|| t.peers.poll_transmit()).collect();
    assert_eq!(sent, [PeerCommand::Heartbeat { link: LinkId(1), seconds: 18 }]);
    let mut commands = t.run(ms(300), &[]);
    assert_eq!(answers(commands), [], "what came before does not count");
    t.hear(1);
    commands = t.run(ms(100), &[]);
    assert_eq!(answers(commands), [(question, Reached::Heard { rtt_ms: 50 })]);

    t.now += secs(1);
    let question = t.reach(10, HIGH);
    let commands = t.run(ms(1499), &[]);
    let probes = commands.iter().filter(|c| matches!(c, PeerCommand::Heartbeat { .. })).count();
    assert_eq!(probes, 4);
    assert_eq!(answers(commands), []);
    let commands = t.run(ms(1), &[]);
    assert_eq!(answers(commands), [(question, Reached::Silent)]);
}

#[test]
fn a_question_about_nobody_or_the_asker_or_somebody_who_leaves() {
    let mut t = company();
    for about in [99, 10, LOW] {
        let question = t.reach(10, about);
        assert_eq!(answers(t.commands()), [(question, Reached::NotConnected)]);
    }
    let question = t.reach(11, HIGH);
    t.peers.handle_closed(t.now, LinkId(1), Reason::ClosedByPeer);
    let commands = t.run(ms(100), &[]);
    assert_eq!(answers(commands), [(question, Reached::NotConnected)]);
}

#[test]
fn questions_are_limited_for_each_and_for_all() {
    let mut t = company();
    let asks = |t: &mut Table, who| {
        let question = t.reach(who, HIGH);
        let said = answers(t.commands());
        said.iter().all(|(of, reached)| (*of, *reached) != (question, Reached::Busy))
    };
    assert_eq!([(); 4].map(|()| asks(&mut t, 10)), [true, true, true, false], "a burst of three");
    assert!(asks(&mut t, 11));
    assert!(!asks(&mut t, 12), "four are under way");
    t.run(ms(1500), &OTHERS);
    assert!(asks(&mut t, 10));
    assert!(!asks(&mut t, 10), "one a second");
}

#[test]
fn an_acceptor_tells_of_another_address_after_a_quiet_time() {
    let mut t = company();
    let to = |port| SocketAddr::from(([192, 0, 2, 77], port));
    let said = |t: &mut Table, link, port| {
        t.peers.handle_moved(t.now, LinkId(link), to(port));
        t.commands().contains(&PeerCommand::SayRebound(LinkId(link)))
    };
    t.now += secs(2);
    t.hear(2);
    assert!(!said(&mut t, 2, 1), "in the middle of traffic it is a move");
    t.now += secs(12);
    t.hear(2);
    assert!(said(&mut t, 2, 2));
    assert!(!said(&mut t, 2, 2), "the same address");
    t.now += secs(6);
    t.hear(2);
    assert!(!said(&mut t, 2, 3), "told a moment ago");
    t.now += secs(12);
    t.hear(1);
    assert!(!said(&mut t, 1, 4), "a dialer does not follow");
}

#[test]
fn a_dialer_that_is_told_so_sends_heartbeats_sooner() {
    let mut t = company();
    t.now += secs(18);
    t.hear(1);
    t.peers.handle_rebound(t.now, LinkId(2));
    assert_eq!(t.peers.keepalive.interval(), secs(18), "not by one that it accepted");
    t.peers.handle_rebound(t.now, LinkId(1));
    assert_eq!(t.peers.keepalive.interval(), ms(13_500));
    let heartbeat = PeerCommand::Heartbeat { link: LinkId(1), seconds: 14 };
    assert!(t.run(ms(13_500), &OTHERS).contains(&heartbeat));
}

#[test]
fn heartbeats_of_many_go_out_together() {
    let mut t = Table::new(LOW);
    for (who, id) in (10..110).zip(1..) {
        t.up(who, id, true);
        t.now += ms(15);
    }
    std::iter::from_fn(|| t.peers.poll_transmit()).for_each(drop);
    let mut times = Vec::new();
    let until = t.now + secs(18);
    while let Some(at) = t.peers.poll_timeout().filter(|at| *at <= until) {
        t.now = t.now.max(at);
        t.peers.handle_timeout(t.now);
        let sent = std::iter::from_fn(|| t.peers.poll_transmit()).count();
        times.push((t.now, sent));
        (1..101).for_each(|id| t.hear(id));
    }
    assert!(times.iter().any(|(_, sent)| *sent == 100), "{times:?}");
    assert!(times.len() <= 4, "{times:?}");
}

/// Every input there is, in any order: only valid transitions, nothing runs away, the agenda is
/// true, and the same seed gives the same outputs.
#[test]
fn random_inputs_of_all_kinds() {
    for seed in 0..25 {
        assert_eq!(random_run(seed), random_run(seed), "seed {seed}");
    }
}

fn random_run(seed: u64) -> Vec<String> {
    let mut rng = Rng::from_seed(seed);
    let config = PeersConfig { max_known: 8, max_links: 10, ..PeersConfig::default() };
    let mut t = Table::with(4, config);
    t.now = *START.get_or_init(Instant::now);
    let (mut out, mut dials, mut links) = (Vec::new(), Vec::new(), Vec::<u64>::new());
    for step in 0..300 {
        let who = (rng.next_u64() % 10) as u32;
        let link = links.get(who as usize % links.len().max(1)).copied().unwrap_or(999);
        let begin = t.now;
        match rng.next_u64() % 16 {
            0 => drop(t.peers.handle_known(t.now, peer(who), &candidates(), Origin::Dht)),
            1 => t.peers.handle_wanted(t.now, peer(who), rng.next_u64().is_multiple_of(2)),
            2 => drop(t.peers.handle_dial(t.now, peer(who))),
            3 => {
                links.push(step);
                t.up(who, step, rng.next_u64().is_multiple_of(2));
            }
            4 => {
                if let Some((peer, dial)) = dials.pop() {
                    t.peers.handle_dial_failed(t.now, peer, dial, Reason::NoAnswer);
                }
            }
            5 => {
                links.retain(|other| *other != link);
                t.peers.handle_closed(t.now, LinkId(link), Reason::Lost);
            }
            6 => {
                let verdict = [Verdict::Admitted, Verdict::Denied][who as usize % 2];
                t.peers.handle_verdict(t.now, peer(who / 2), verdict);
            }
            7 => t.vitals(link, t.now, None),
            8 => t.vitals(link, t.now - ms(u64::from(who) * 500), Some(t.now - ms(3000))),
            9 => t.peers.handle_use(t.now, LinkId(link), who % 2, t.now),
            10 => t.peers.handle_announced(t.now, LinkId(link), (rng.next_u64() % 256) as u8),
            11 => t.peers.handle_rebound(t.now, LinkId(link)),
            12 => {
                let addr = ([10, 0, 0, who as u8], 1).into();
                t.peers.handle_moved(t.now, LinkId(link), addr);
            }
            13 => {
                let said = [Testimony::Heard, Testimony::Silent, Testimony::Elsewhere];
                let (about, witness) = (peer(who), peer(who / 3));
                t.peers.handle_testimony(t.now, about, witness, said[who as usize % 3]);
            }
            14 if who == 0 => t.peers.handle_network_change(t.now),
            14 => drop(t.reach(who, who / 2)),
            _ => t.now += rng.up_to(secs(2)),
        }
        let commands = settle_all(&mut t, &mut rng, &mut links, &mut dials);
        let time = (t.now - begin).as_millis();
        assert!(commands.len() as u128 <= 200 + time / 10, "seed {seed}: {}", commands.len());
        out.extend(commands);
        out.extend(t.steps().iter().map(|step| format!("{step:?}")));
        assert!(t.peers.agenda_is_true(), "seed {seed}");
        assert!(links.len() <= 10 && t.peers.count().0 <= 8, "seed {seed}");
    }
    out
}

static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();

/// Lets some time pass as the table asks for it, and does what it asks for.
fn settle_all(
    t: &mut Table,
    rng: &mut Rng,
    links: &mut Vec<u64>,
    dials: &mut Vec<(PeerId, DialId)>,
) -> Vec<String> {
    let until = t.now + rng.up_to(secs(5));
    let mut out = Vec::new();
    let mut steps = 0;
    loop {
        while let Some(command) = t.peers.poll_transmit() {
            out.push(format!("{command:?}"));
            match command {
                PeerCommand::Dial { peer, dial, .. } => dials.push((peer, dial)),
                PeerCommand::CancelDial { dial, .. } => dials.retain(|(_, other)| *other != dial),
                PeerCommand::Close { link, .. } => {
                    links.retain(|other| *other != link.0);
                    t.peers.handle_closed(t.now, link, Reason::Disconnect);
                }
                _ => {}
            }
        }
        let Some(at) = t.peers.poll_timeout().filter(|at| *at <= until) else { break };
        t.now = t.now.max(at);
        t.peers.handle_timeout(t.now);
        steps += 1;
        assert!(steps < 2000, "it does not come to rest");
    }
    t.now = until;
    out
}
