//! The one table of keys: reading, checking and the commented file are all made from it.

use super::super::settings::LIVENESS;

/// What a key's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// One or more addresses to bind.
    Listen,
    /// One or more peers with addresses.
    Peers,
    /// One or more ids.
    Allow,
    /// A file, relative to the configuration's folder.
    File,
    /// `true` or `false`.
    Switch,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// `ADDR:PORT`.
    Address,
    /// A whole number from the first to the second.
    Number(u64, u64),
    /// Seconds, with or without decimals, from the first to the second in milliseconds.
    Seconds(u64, u64),
}

/// A key of the configuration file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    /// A value as TOML: the default, or an example where the default is nothing.
    pub(super) value: &'static str,
    /// The comment in the file that `init` writes.
    pub(super) about: &'static str,
    /// Whether this version does not have what the key is for.
    pub(super) absent: bool,
}

/// Every key, in the order of the commented file.
pub(super) const KEYS: &[Key] = &[
    here(
        "listen",
        Shape::Listen,
        "[\"[::]:4433\", \"0.0.0.0:4433\"]",
        "UDP addresses to bind, at most 8. Port 0 is any free port.",
    ),
    here(
        "peer",
        Shape::Peers,
        "[\"EXAMPLE@192.0.2.1:4433\"]",
        "Peers to stay connected to, each with an address. More forms:\n\
         PEER@host.example:4433, PEER@[2001:db8::1]:4433, PEER@/ip4/192.0.2.1/udp/4433,\n\
         /ip4/192.0.2.1/udp/4433/p2p/PEER, { peer = \"PEER\", address = \"192.0.2.1:4433\" }.",
    ),
    here(
        "allow",
        Shape::Allow,
        "[\"EXAMPLE\"]",
        "Let only these peers in (strict mode). An empty list lets nobody in. Without this key,\n\
         `allow`, `deny` and `allow --mode` on the command line decide, and at first all may come.",
    ),
    here(
        "network_key",
        Shape::File,
        "\"network.key\"",
        "A private network: the file with its key. Without this key, network.key in the data\n\
         folder if there is one, and the public network otherwise.",
    ),
    here(
        "max_connections",
        Shape::Number(1, 65_536),
        "256",
        "Limits. The defaults suit a small device.\nConnections at the same time.",
    ),
    here(
        "max_half_open",
        Shape::Number(1, 4_096),
        "64",
        "Handshakes under way; beyond them, newcomers first have to show that their address is \
         theirs.",
    ),
    here("max_streams", Shape::Number(1, 10_000), "128", "Streams that a peer may have open."),
    here(
        "stream_window",
        Shape::Number(16_384, 67_108_864),
        "1250000",
        "Bytes that a peer may send ahead on one stream; more is faster on long paths and costs \
         memory.",
    ),
    here(
        "connection_window",
        Shape::Number(16_384, 268_435_456),
        "8388608",
        "The same for all streams of a connection together.",
    ),
    here(
        "send_window",
        Shape::Number(16_384, 268_435_456),
        "8388608",
        "Bytes that may wait for a peer's acknowledgement.",
    ),
    here(
        "metrics",
        Shape::Address,
        "\"127.0.0.1:9433\"",
        "Serve counters as OpenMetrics at http://ADDR:PORT/metrics, without a password: better only\n\
         to this machine.",
    ),
    here(
        "liveness",
        Shape::Choice(LIVENESS),
        "\"normal\"",
        "How soon a silent peer is noticed, and what that costs: fast, normal or battery. The keys\n\
         after it, in seconds, change single times of the preset; shown are those of normal.",
    ),
    here(
        "liveness_interval",
        Shape::Seconds(1_000, 120_000),
        "18",
        "Silence on a connection until a heartbeat is sent on it.",
    ),
    here(
        "liveness_interval_least",
        Shape::Seconds(1_000, 120_000),
        "10",
        "The interval adapts to the NAT on the way: down to this,",
    ),
    here("liveness_interval_most", Shape::Seconds(1_000, 120_000), "18", "and up to this."),
    here(
        "liveness_retry",
        Shape::Seconds(100, 60_000),
        "0.4",
        "Between two heartbeats that ask the same silent peer.",
    ),
    here(
        "liveness_idle_suspect",
        Shape::Seconds(500, 600_000),
        "3",
        "From the first heartbeat without an answer until an idle peer is suspect,",
    ),
    here("liveness_idle_fail", Shape::Seconds(1_000, 3_600_000), "10", "and until it has failed."),
    here(
        "liveness_waiting_probe",
        Shape::Seconds(100, 60_000),
        "1",
        "While something waits to be sent to the peer: until a heartbeat,",
    ),
    here("liveness_waiting_suspect", Shape::Seconds(200, 600_000), "2", "until it is suspect,"),
    here("liveness_waiting_fail", Shape::Seconds(500, 3_600_000), "4.4", "until it has failed."),
    here(
        "liveness_hold",
        Shape::Seconds(1_000, 3_600_000),
        "60",
        "How long the connection of a failed peer is kept, in case the peer is heard again.",
    ),
    here(
        "backoff_base",
        Shape::Seconds(100, 3_600_000),
        "1",
        "A wanted peer that is away is dialed again after a random time: up to this at first,\n\
         up to twice as much after each failure,",
    ),
    here("backoff_cap", Shape::Seconds(100, 3_600_000), "15", "and never more than this, until it"),
    here("backoff_tries", Shape::Number(0, 1_000_000), "30", "has failed so often;"),
    here("backoff_slow", Shape::Seconds(100, 86_400_000), "600", "from then on up to this."),
    here(
        "dial_rate",
        Shape::Number(1, 1_000),
        "50",
        "Dials of wanted peers that are started in any second, at most.",
    ),
    here(
        "accept_rate",
        Shape::Number(1, 10_000),
        "50",
        "Connections that are accepted in any second, at most; who is not, tries again.",
    ),
    later("relay", Shape::Switch, "true", "Be a relay for others (true), or use none (false)."),
    later("punch", Shape::Switch, "true", "Open a way through NATs to peers behind them."),
    later("portmap", Shape::Switch, "true", "Ask the router for a port (PCP, NAT-PMP, UPnP)."),
    later("mdns", Shape::Switch, "true", "Find peers on the local network."),
    later("dht", Shape::Switch, "true", "Find peers by their id alone."),
    later("socks5", Shape::Address, "\"127.0.0.1:9050\"", "Proxy for TLS connections to relays."),
];

const fn here(name: &'static str, shape: Shape, value: &'static str, about: &'static str) -> Key {
    Key { name, shape, value, about, absent: false }
}

const fn later(name: &'static str, shape: Shape, value: &'static str, about: &'static str) -> Key {
    Key { name, shape, value, about, absent: true }
}
