//! What earlier readings add to the present one: rates, and round trips of the last half minute (core).

use std::collections::VecDeque;
use std::time::Instant;

/// Readings that are remembered, one a second.
pub(super) const REMEMBERED: usize = 30;

/// Bytes sent and received, in all and a second.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Traffic {
    last: Option<(Instant, u64, u64)>,
    /// Bytes sent a second.
    pub(super) sent: Option<u64>,
    /// Bytes received a second.
    pub(super) received: Option<u64>,
}

impl Traffic {
    /// Takes what was sent and received until now.
    pub(super) fn handle_reading(&mut self, now: Instant, sent: u64, received: u64) {
        if let Some((at, sent_then, received_then)) = self.last {
            let millis = now.saturating_duration_since(at).as_millis();
            self.sent = Some(rate(sent_then, sent, millis));
            self.received = Some(rate(received_then, received, millis));
        }
        self.last = Some((now, sent, received));
    }

    /// Both directions together.
    pub(super) fn both(&self) -> Option<u64> {
        Some(self.sent?.saturating_add(self.received?))
    }
}

/// Bytes a second. A number that went back belongs to a new connection, which began at zero.
fn rate(then: u64, now: u64, millis: u128) -> u64 {
    let bytes = now.checked_sub(then).unwrap_or(now);
    u64::try_from(u128::from(bytes) * 1000 / millis.max(1)).unwrap_or(u64::MAX)
}

/// What is remembered of a peer.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    pub(super) traffic: Traffic,
    /// The newest last; nothing where there was no connection.
    rtts: VecDeque<Option<u64>>,
}

impl History {
    /// Takes the round trip as it is now.
    pub(super) fn handle_rtt(&mut self, rtt: Option<u64>) {
        if self.rtts.len() == REMEMBERED {
            self.rtts.pop_front();
        }
        self.rtts.push_back(rtt);
    }

    /// The round trips as bars, the newest at the right. In fewer places than readings, each shows
    /// the slowest of some.
    pub(super) fn sparkline(&self, width: usize) -> String {
        let width = width.clamp(1, REMEMBERED);
        let each = REMEMBERED / width;
        let newest_first: Vec<_> = self.rtts.iter().rev().copied().collect();
        let slowest = |some: &[Option<u64>]| some.iter().flatten().max().copied();
        let mut bars: Vec<_> = newest_first.chunks(each).take(width).map(slowest).collect();
        bars.resize(width, None);
        let least = bars.iter().flatten().min().copied().unwrap_or(0);
        let most = bars.iter().flatten().max().copied().unwrap_or(0);
        // What hardly varies is to look calm.
        let span = (most - least).max(most / 4).max(1);
        let bar = |rtt: &Option<u64>| rtt.map_or(' ', |rtt| height(rtt - least, span));
        bars.iter().rev().map(bar).collect()
    }
}

fn height(part: u64, span: u64) -> char {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let step = u128::from(part) * 7 / u128::from(span);
    BARS[usize::try_from(step).unwrap_or(0).min(7)]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn rates_are_bytes_a_second_also_after_a_new_connection() {
        let begin = Instant::now();
        let mut traffic = Traffic::default();
        traffic.handle_reading(begin, 1_000, 0);
        assert_eq!(traffic.both(), None);
        traffic.handle_reading(begin + Duration::from_millis(500), 2_000, 10);
        assert_eq!(
            (traffic.sent, traffic.received, traffic.both()),
            (Some(2_000), Some(20), Some(2_020))
        );
        traffic.handle_reading(begin + Duration::from_millis(1_500), 300, 10);
        assert_eq!((traffic.sent, traffic.received), (Some(300), Some(0)));
        traffic.handle_reading(begin, u64::MAX, u64::MAX);
        assert_eq!(traffic.both(), Some(u64::MAX));
    }

    #[test]
    fn bars_show_the_last_half_minute_with_the_newest_at_the_right() {
        let mut history = History::default();
        assert_eq!(history.sparkline(5), "     ");
        for rtt in [100, 800] {
            history.handle_rtt(Some(rtt));
        }
        history.handle_rtt(None);
        assert_eq!(history.sparkline(30), format!("{}▁█ ", " ".repeat(27)));
        for _ in 0..REMEMBERED {
            history.handle_rtt(Some(100));
        }
        assert_eq!(history.sparkline(30), "▁".repeat(30), "older ones are forgotten");
        history.handle_rtt(Some(500));
        assert_eq!(history.sparkline(6), "▁▁▁▁▁█", "one slow answer shows in fewer places too");
    }

    #[test]
    fn extreme_numbers_are_harmless() {
        let mut history = History::default();
        for rtt in [0, u64::MAX, 1] {
            history.handle_rtt(Some(rtt));
        }
        assert_eq!(history.sparkline(30).trim_start(), "▁█▁");
        assert_eq!(history.sparkline(0).chars().count(), 1);
        assert_eq!(history.sparkline(1_000).chars().count(), REMEMBERED);
        let mut calm = History::default();
        calm.handle_rtt(Some(1_000));
        calm.handle_rtt(Some(1_010));
        assert_eq!(calm.sparkline(30).trim_start(), "▁▁");
    }
}
