//! Which refusals are worth a line in the log.
//!
//! *Purpose*: whoever is refused is named once, with the reason, and neither a stranger who insists
//! nor many strangers can fill the log. *Inputs*: each refusal, and the time. *Outputs*:
//! [`RefusalEvent`]s, one line each: the same refusal again after ten minutes at the earliest, and at
//! most ten lines in any minute, the last of which counts what was left out. *Not handled*: the
//! verdict itself, the words of the line, storage.
//!
//! The memory is that of the lines of the last ten minutes, and so bounded by their rate.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use pinhole_proto::PeerId;

use crate::allowlist::Verdict;

/// Who wanted the connection that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The peer dialed us.
    Inbound,
    /// Somebody here wanted to dial the peer.
    Outbound,
}

/// A connection that the allowlist does not admit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) peer: PeerId,
    pub(crate) way: Way,
    /// [`Verdict::Denied`] or [`Verdict::Unlisted`].
    pub(crate) verdict: Verdict,
}

/// A line for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RefusalEvent {
    /// This refusal is news.
    Refused(Refusal),
    /// So many more were not named in the last minute.
    Suppressed {
        /// How many refusals.
        count: u64,
    },
}

/// See the module's notes.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    /// What was named in the last [`AGAIN`], oldest first.
    named: VecDeque<(Instant, Refusal)>,
    /// Refusals that were news and got no line, and since when they are counted.
    suppressed: Option<(Instant, u64)>,
    events: VecDeque<RefusalEvent>,
}

/// The same refusal is not named again for this long.
const AGAIN: Duration = Duration::from_secs(600);
/// For the limit of lines.
const MINUTE: Duration = Duration::from_secs(60);
/// Refusals that are named in any minute; one more line may count the rest.
const NAMED_A_MINUTE: usize = 9;

impl Refusals {
    /// Somebody was refused.
    pub(crate) fn handle_refused(&mut self, now: Instant, refusal: Refusal) {
        self.handle_timeout(now);
        while self.named.front().is_some_and(|(at, _)| now.duration_since(*at) >= AGAIN) {
            self.named.pop_front();
        }
        if self.named.iter().any(|(_, named)| *named == refusal) {
            return;
        }
        let is_recent = |at: &Instant| now.duration_since(*at) < MINUTE;
        let recent = self.named.iter().rev().take_while(|(at, _)| is_recent(at)).count();
        if recent < NAMED_A_MINUTE {
            self.named.push_back((now, refusal));
            self.events.push_back(RefusalEvent::Refused(refusal));
        } else {
            let (_, count) = self.suppressed.get_or_insert((now, 0));
            *count = count.saturating_add(1);
        }
    }

    /// Time passed.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_some_and(|at| now >= at)
            && let Some((_, count)) = self.suppressed.take()
        {
            self.events.push_back(RefusalEvent::Suppressed { count });
        }
    }

    /// The next line.
    pub(crate) fn poll_event(&mut self) -> Option<RefusalEvent> {
        self.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.suppressed.map(|(since, _)| since + MINUTE)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // a test has to begin at some time
mod tests {
    use super::*;
    use crate::testing::peer;

    fn refusal(n: u32) -> Refusal {
        Refusal { peer: peer(n), way: Way::Inbound, verdict: Verdict::Unlisted }
    }

    fn events(refusals: &mut Refusals) -> Vec<RefusalEvent> {
        std::iter::from_fn(|| refusals.poll_event()).collect()
    }

    #[test]
    fn a_peer_that_insists_is_named_once_in_ten_minutes() {
        let (mut refusals, start) = (Refusals::default(), Instant::now());
        for second in 0..1_200 {
            refusals.handle_refused(start + Duration::from_secs(second), refusal(1));
        }
        let named = RefusalEvent::Refused(refusal(1));
        assert_eq!(events(&mut refusals), [named, named]);
        assert_eq!(refusals.poll_timeout(), None, "what was named is not suppressed");
    }

    #[test]
    fn another_reason_and_another_direction_are_news() {
        let (mut refusals, now) = (Refusals::default(), Instant::now());
        let denied = Refusal { verdict: Verdict::Denied, ..refusal(1) };
        let outbound = Refusal { way: Way::Outbound, ..denied };
        for refusal in [refusal(1), denied, outbound, denied] {
            refusals.handle_refused(now, refusal);
        }
        let named = [refusal(1), denied, outbound].map(RefusalEvent::Refused);
        assert_eq!(events(&mut refusals), named);
    }

    #[test]
    fn no_minute_has_more_than_ten_lines_and_what_is_left_out_is_counted() {
        let (mut refusals, start) = (Refusals::default(), Instant::now());
        let mut lines: Vec<Instant> = Vec::new();
        let mut counted = 0;
        // Another stranger every 100 ms, for 20 minutes.
        for n in 0..12_000 {
            let now = start + Duration::from_millis(u64::from(n) * 100);
            refusals.handle_refused(now, refusal(n));
            for event in events(&mut refusals) {
                lines.push(now);
                counted += match event {
                    RefusalEvent::Refused(_) => 1,
                    RefusalEvent::Suppressed { count } => count,
                };
            }
            assert!(refusals.named.len() <= 100, "{}", refusals.named.len());
        }
        for ten in lines.windows(11) {
            assert!(ten[10].duration_since(ten[0]) >= MINUTE);
        }
        assert!(lines.len() > 190, "{}", lines.len());
        let at = refusals.poll_timeout().expect("the last ones are still to be told");
        refusals.handle_timeout(at - Duration::from_nanos(1));
        assert_eq!(refusals.poll_event(), None);
        refusals.handle_timeout(at);
        let Some(RefusalEvent::Suppressed { count }) = refusals.poll_event() else {
            panic!("the count comes without another refusal")
        };
        assert_eq!(counted + count, 12_000);
        assert_eq!(refusals.poll_timeout(), None);
    }
}
