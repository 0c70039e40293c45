//! How many connections open in a second (SPEC §5.4).

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Any time of this length sees at most so many connections open.
const WINDOW: Duration = Duration::from_secs(1);

pub(super) struct Rate {
    max: usize,
    /// When connections were let in, the oldest first: the last `max`, of the last second.
    recent: VecDeque<Instant>,
}

impl Rate {
    pub(super) fn new(max: usize) -> Self {
        Self { max, recent: VecDeque::new() }
    }

    /// Whether another connection may open now.
    pub(super) fn has_room(&self, now: Instant) -> bool {
        let oldest = self.recent.front().filter(|_| self.recent.len() >= self.max);
        oldest.is_none_or(|oldest| now.saturating_duration_since(*oldest) >= WINDOW)
    }

    /// One was let in.
    pub(super) fn record(&mut self, now: Instant) {
        let over = |oldest: &Instant| now.saturating_duration_since(*oldest) >= WINDOW;
        while self.recent.len() >= self.max || self.recent.front().is_some_and(over) {
            self.recent.pop_front();
        }
        self.recent.push_back(now);
    }

    /// One that was let in at that time did not open after all.
    pub(super) fn take_back(&mut self, at: Instant) {
        if let Some(index) = self.recent.iter().rposition(|recent| *recent == at) {
            self.recent.remove(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn in_any_second_no_more_than_the_rate() {
        let start = crate::endpoint::now();
        let mut rate = Rate::new(3);
        let mut let_in = Vec::new();
        for at in [0, 100, 200, 300, 999, 1000, 1001, 1100, 1199, 1200, 1999, 2000, 9000, 9000] {
            let now = start + at * MS;
            if rate.has_room(now) {
                rate.record(now);
                let_in.push(at);
            }
        }
        assert_eq!(let_in, [0, 100, 200, 1000, 1100, 1200, 2000, 9000, 9000]);
    }

    #[test]
    fn what_is_taken_back_leaves_room_for_one_more() {
        let start = crate::endpoint::now();
        let mut rate = Rate::new(2);
        rate.record(start);
        rate.record(start + 500 * MS);
        rate.take_back(start + 7 * MS);
        assert!(!rate.has_room(start + 500 * MS), "nothing was let in then");
        rate.take_back(start);
        rate.record(start + 600 * MS);
        assert!(!rate.has_room(start + 1499 * MS) && rate.has_room(start + 1500 * MS));
    }

    #[test]
    fn only_as_many_times_are_kept_as_decide() {
        let now = crate::endpoint::now();
        let (mut slow, mut fast) = (Rate::new(2), Rate::new(usize::MAX));
        for tenth in 0..100 {
            slow.record(now + tenth * 100 * MS);
            fast.record(now + tenth * 100 * MS);
        }
        assert_eq!((slow.recent.len(), fast.recent.len()), (2, 10));
        assert!(fast.has_room(now) && !slow.has_room(now), "a clock that goes back changes little");
    }
}
