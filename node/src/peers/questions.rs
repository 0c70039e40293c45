//! Questions of others whether we hear a peer: `reach/1`, the answering side. SPEC §7.6.

use std::time::{Duration, Instant};

use pinhole_proto::PeerId;
use pinhole_proto::message::Reached;

use super::surface::PeerCommand;
use super::{LinkId, Peers};

/// Questions under way at a time. SPEC §7.6.
pub const MAX_QUESTIONS: usize = 4;
/// Questions of one peer that may come at once. SPEC §7.6.
pub const QUESTION_BURST: u32 = 3;
/// Time in which a peer may ask once more. SPEC §7.6.
pub const QUESTION_SPACING: Duration = Duration::from_secs(1);
/// Until the answer is that the peer is silent. SPEC §7.6.
pub const QUESTION_TIME: Duration = Duration::from_millis(1500);

/// How often it is looked whether something came.
const LOOK: Duration = Duration::from_millis(100);

/// A question that the table works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QuestionId(pub u64);

/// What one peer may still ask: when its debt is paid off.
#[derive(Debug, Default)]
pub(super) struct Budget(Option<Instant>);

impl Budget {
    /// Takes one question out of the budget, if there is one in it.
    fn take(&mut self, now: Instant) -> bool {
        let paid = self.0.map_or(now, |paid| paid.max(now));
        let allowed = paid <= now + QUESTION_SPACING * (QUESTION_BURST - 1);
        if allowed {
            self.0 = Some(paid + QUESTION_SPACING);
        }
        allowed
    }
}

/// The questions under way.
#[derive(Debug, Default)]
pub(super) struct Questions {
    open: Vec<Question>,
    next: u64,
}

#[derive(Debug)]
struct Question {
    id: QuestionId,
    link: LinkId,
    since: Instant,
    probed: Instant,
    looked: Instant,
}

impl Questions {
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.open.iter().map(|open| (open.since + QUESTION_TIME).min(open.looked + LOOK)).min()
    }
}

impl Peers {
    /// `asker` wants to know whether we hear `about`. The answer comes as
    /// [`PeerCommand::Answer`], at once or within 1.5 s.
    pub fn handle_question(&mut self, now: Instant, asker: PeerId, about: PeerId) -> QuestionId {
        let id = QuestionId(self.questions.next);
        self.questions.next += 1;
        match self.may_ask(now, asker, about) {
            Ok(link) => {
                let (since, probed, looked) = (now, now, now);
                self.questions.open.push(Question { id, link, since, probed, looked });
                self.heartbeat(link);
            }
            Err(reached) => self.answer(id, reached),
        }
        self.replan();
        id
    }

    /// The link that the answer depends on, or the answer.
    fn may_ask(&mut self, now: Instant, asker: PeerId, about: PeerId) -> Result<LinkId, Reached> {
        let full = self.questions.open.len() >= MAX_QUESTIONS;
        let asking = self.entry_mut(&asker).ok_or(Reached::Busy)?;
        if full || !asking.budget.take(now) {
            return Err(Reached::Busy);
        }
        let link = self.peers.get(&about).filter(|_| about != asker);
        link.and_then(|entry| Some(entry.vital_link()?.id)).ok_or(Reached::NotConnected)
    }

    pub(super) fn step_questions(&mut self, now: Instant) {
        let retry = self.config.liveness.retry;
        let mut still_open = Vec::new();
        for mut open in std::mem::take(&mut self.questions.open) {
            open.looked = now;
            if let Some(reached) = self.answer_to(&open, now) {
                self.answer(open.id, reached);
                continue;
            }
            if now >= open.probed + retry {
                open.probed = now;
                self.heartbeat(open.link);
            }
            still_open.push(open);
        }
        self.questions.open = still_open;
    }

    fn answer_to(&self, open: &Question, now: Instant) -> Option<Reached> {
        let peer = self.links.get(&open.link);
        let link = peer.and_then(|peer| self.peers.get(peer)?.link(open.link));
        let Some(link) = link.filter(|link| !link.closing) else {
            return Some(Reached::NotConnected);
        };
        if link.liveness.heard() > open.since {
            let rtt_ms = u16::try_from(link.liveness.rtt().as_millis()).unwrap_or(u16::MAX);
            return Some(Reached::Heard { rtt_ms });
        }
        (now >= open.since + QUESTION_TIME).then_some(Reached::Silent)
    }

    fn answer(&mut self, question: QuestionId, reached: Reached) {
        self.commands.push_back(PeerCommand::Answer { question, reached });
    }
}
