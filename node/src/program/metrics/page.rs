//! The page of metrics (core): OpenMetrics 1.0 text, and the older format of Prometheus.

use std::fmt::Write;
use std::time::Duration;

use pinhole_node::Metrics;

/// In which words the page is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    OpenMetrics,
    /// Text format 0.0.4.
    Prometheus,
}

impl Format {
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// What the page shows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reading {
    pub(super) metrics: Metrics,
    pub(super) uptime: Duration,
    /// Problems that the status shows.
    pub(super) problems: usize,
    /// Memory of the process that is in RAM, in bytes.
    pub(super) resident: Option<u64>,
    /// Open descriptors of the process.
    pub(super) descriptors: Option<u64>,
}

/// The page.
pub(super) fn page(reading: &Reading, format: Format) -> String {
    let mut page = Page { format, series: String::new(), text: String::new() };
    page.process(reading);
    page.transport(&reading.metrics);
    page.peers(&reading.metrics);
    page.streams(&reading.metrics);
    if format == Format::OpenMetrics {
        page.text.push_str("# EOF\n");
    }
    page.text
}

struct Page {
    format: Format,
    /// The names of the samples that come next.
    series: String,
    text: String,
}

impl Page {
    fn process(&mut self, reading: &Reading) {
        self.family(Kind::Info, "build", "What runs.");
        self.sample(concat!("version=\"", env!("CARGO_PKG_VERSION"), "\""), "1");
        self.family(Kind::Gauge, "uptime_seconds", "For how long the node has run.");
        let millis = reading.uptime.as_millis();
        self.sample("", &format!("{}.{:03}", millis / 1000, millis % 1000));
        let help = "Problems that the status shows.";
        self.gauge("problems", help, reading.problems as u64);
        if let Some(bytes) = reading.resident {
            let help = "Memory of the process that is in RAM.";
            self.gauge("process_resident_memory_bytes", help, bytes);
        }
        if let Some(count) = reading.descriptors {
            self.gauge("process_open_fds", "Open descriptors of the process.", count);
        }
    }

    fn transport(&mut self, metrics: &Metrics) {
        let counted = &metrics.transport;
        self.counter("sent_bytes", "UDP payload sent.", counted.bytes_sent);
        let help = "UDP payload received, what was dropped included.";
        self.counter("received_bytes", help, counted.bytes_received);
        self.counter("sent_datagrams", "UDP datagrams sent.", counted.datagrams_sent);
        let help = "UDP datagrams received, what was dropped included.";
        self.counter("received_datagrams", help, counted.datagrams_received);
        let help = "QUIC packets sent on confirmed connections.";
        self.counter("sent_packets", help, metrics.packets_sent);
        let help = "QUIC packets sent on confirmed connections and declared lost.";
        self.counter("lost_packets", help, metrics.packets_lost);
        self.counter("dials", "Connections that this node began to dial.", counted.dials);
        self.counter("handshakes", "Handshakes completed, either way.", counted.handshakes);
        self.gauge("connections", "Connections, opening ones included.", counted.connections);
        let help = "Inbound connections that are opening.";
        self.gauge("half_open_connections", help, counted.half_open);
        self.gate(metrics);
    }

    fn gate(&mut self, metrics: &Metrics) {
        let gate = &metrics.transport.gate;
        self.counter("gate_admitted", "First packets that were let in.", gate.admitted);
        let help = "Authentic first packets that were asked to show that their address is theirs.";
        self.counter("gate_retried", help, gate.retried);
        let help = "First packets dropped without an answer, by reason.";
        self.family(Kind::Counter, "gate_dropped", help);
        let reasons = [
            ("malformed", gate.malformed),
            ("unknown", gate.unknown),
            ("foreign", gate.foreign),
            ("unauthenticated", gate.unauthenticated),
            ("denied", gate.denied),
            ("replayed", gate.replayed),
            ("full", gate.full),
            ("paced", gate.paced),
        ];
        for (reason, count) in reasons {
            self.sample(&format!("reason=\"{reason}\""), &count.to_string());
        }
    }

    fn peers(&mut self, metrics: &Metrics) {
        self.family(Kind::Gauge, "peers", "Known peers, by state.");
        for (state, count) in metrics.peers.iter() {
            self.sample(&format!("state=\"{}\"", state.name()), &count.to_string());
        }
        self.gauge("known_peers", "Known peers.", metrics.peers_known);
        self.gauge("connected_peers", "Peers with a connection.", metrics.peers_connected);
        self.counter("peer_failures", "How often a peer failed.", metrics.peers_failed);
        let help = "How often a peer was connected again that had been connected before.";
        self.counter("peer_reconnects", help, metrics.reconnects);
        self.counter("heartbeats_sent", "Heartbeats sent to quiet peers.", metrics.heartbeats_sent);
        let help = "Peers kept out by the allowlist, and dials that it kept this node from.";
        self.family(Kind::Counter, "allowlist_refusals", help);
        self.sample("direction=\"inbound\"", &metrics.transport.gate.denied.to_string());
        self.sample("direction=\"outbound\"", &metrics.dials_denied.to_string());
    }

    fn streams(&mut self, metrics: &Metrics) {
        self.counter("streams_opened", "Streams that this node opened.", metrics.streams_opened);
        self.counter(
            "streams_served",
            "Streams of peers that were served.",
            metrics.streams_served,
        );
        let help = "Streams of peers that were refused or not valid.";
        self.counter("streams_refused", help, metrics.streams_refused);
        let help = "Requests of peers served on early data.";
        self.counter("early_requests_served", help, metrics.early_served);
        let help = "Messages of this node that were acknowledged.";
        self.counter("messages_sent", help, metrics.messages_sent);
        let help = "Messages of peers that were taken.";
        self.counter("messages_received", help, metrics.messages_received);
        let help = "Messages of peers that came again.";
        self.counter("messages_repeated", help, metrics.messages_repeated);
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(Kind::Counter, name, help);
        self.sample("", &value.to_string());
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.family(Kind::Gauge, name, help);
        self.sample("", &value.to_string());
    }

    /// Begins a family of series. Where its values have a unit, the name ends in it.
    fn family(&mut self, kind: Kind, name: &str, help: &str) {
        let (kind, suffix) = match (kind, self.format) {
            (Kind::Counter, _) => ("counter", "_total"),
            (Kind::Gauge, _) => ("gauge", ""),
            (Kind::Info, Format::OpenMetrics) => ("info", "_info"),
            (Kind::Info, Format::Prometheus) => ("gauge", "_info"),
        };
        self.series = format!("pinhole_{name}{suffix}");
        // The older format knows families by the names of their series.
        let (family, unit) = match self.format {
            Format::OpenMetrics => (format!("pinhole_{name}"), unit(name)),
            Format::Prometheus => (self.series.clone(), None),
        };
        // Writing to a String does not fail.
        let _ = writeln!(self.text, "# TYPE {family} {kind}");
        if let Some(unit) = unit {
            let _ = writeln!(self.text, "# UNIT {family} {unit}");
        }
        let _ = writeln!(self.text, "# HELP {family} {help}");
    }

    /// A value of the family that was begun, with `NAME="VALUE"` or without a label.
    fn sample(&mut self, label: &str, value: &str) {
        let series = &self.series;
        let _ = match label {
            "" => writeln!(self.text, "{series} {value}"),
            _ => writeln!(self.text, "{series}{{{label}}} {value}"),
        };
    }
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Counter,
    Gauge,
    /// Always 1: what matters is the label.
    Info,
}

/// What the values of a family are measured in.
fn unit(name: &str) -> Option<&'static str> {
    ["bytes", "seconds"].into_iter().find(|unit| name.ends_with(unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading() -> Reading {
        let mut metrics = Metrics::default();
        metrics.transport.bytes_sent = 5;
        metrics.transport.gate.denied = 3;
        metrics.dials_denied = 2;
        let uptime = Duration::from_millis(61_007);
        Reading { metrics, uptime, problems: 1, resident: Some(7), descriptors: None }
    }

    /// The names of the series of a page.
    fn series(page: &str) -> Vec<&str> {
        let name = |line: &'_ str| line.find(['{', ' ']).unwrap();
        page.lines().filter(|line| !line.starts_with('#')).map(|line| &line[..name(line)]).collect()
    }

    #[test]
    fn a_family_is_named_explained_and_has_its_unit() {
        let page = page(&reading(), Format::OpenMetrics);
        assert!(page.contains(
            "# TYPE pinhole_sent_bytes counter\n# UNIT pinhole_sent_bytes bytes\n\
             # HELP pinhole_sent_bytes UDP payload sent.\npinhole_sent_bytes_total 5\n"
        ));
        assert!(page.contains("\npinhole_uptime_seconds 61.007\n"));
        assert!(page.contains("\n# TYPE pinhole_peers gauge\n"));
        assert!(page.contains("\npinhole_peers{state=\"suspect\"} 0\n"));
        assert!(page.contains("\npinhole_gate_dropped_total{reason=\"denied\"} 3\n"));
        assert!(page.contains("\npinhole_allowlist_refusals_total{direction=\"outbound\"} 2\n"));
        assert!(page.contains("# TYPE pinhole_build info\n"));
        assert!(page.contains(concat!(
            "\npinhole_build_info{version=\"",
            env!("CARGO_PKG_VERSION"),
            "\"} 1\n"
        )));
        assert!(page.ends_with("\n# EOF\n"));
        assert!(!page.contains("process_open_fds"), "what is unknown is not there");
    }

    #[test]
    fn the_older_format_has_the_same_series() {
        let page = |format| page(&reading(), format);
        let (new, old) = (page(Format::OpenMetrics), page(Format::Prometheus));
        assert_eq!(series(&new), series(&old));
        assert!(old.contains("# TYPE pinhole_sent_bytes_total counter\n"));
        assert!(old.contains("# TYPE pinhole_build_info gauge\n"));
        assert!(!old.contains("# UNIT") && !old.contains("# EOF"));
    }

    #[test]
    fn names_are_unique_and_of_one_form() {
        let page = page(&reading(), Format::OpenMetrics);
        let families: Vec<&str> = page.lines().filter_map(|l| l.strip_prefix("# TYPE ")).collect();
        let mut unique = families.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), families.len());
        for series in series(&page) {
            let is_part = |c: char| c.is_ascii_lowercase() || c == '_';
            assert!(series.starts_with("pinhole_") && series.chars().all(is_part), "{series}");
        }
    }

    /// Whoever adds a number to [`Metrics`] is told here that the page lacks it.
    #[test]
    fn every_number_is_on_the_page() {
        let fields = |text: String| text.matches(": ").count();
        // `transport`, `gate` and `peers` hold numbers and are none.
        let numbers = fields(format!("{:?}", Metrics::default())) - 3;
        let states = pinhole_node::PeerState::ALL.len();
        let page = page(&Reading::default(), Format::OpenMetrics);
        // Not in `Metrics` are build, uptime and problems; `denied` is there twice.
        assert_eq!(series(&page).len() - 4 - states, numbers);
    }
}
