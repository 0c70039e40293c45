//! What goes over the control socket and, with `--json`, to stdout: requests and answers.
//!
//! A client sends one request as one line of JSON; the node sends `"taken"`, one line for each answer,
//! and a last one, `"done"` or an error. The objects inside the answers are those of the command line's
//! contract: every key is always there, and what is unknown is null.

use std::net::SocketAddr;

use pinhole_proto::PeerId;
use serde::{Deserialize, Serialize};

use super::failure::Failure;

/// What a command asks of the running node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Request {
    Addr,
    Status,
    Peers,
    Nat,
    Allowlist,
    Ping { target: String, count: Option<u64>, interval_ms: u64, timeout_ms: u64, first: u64 },
    Connect { target: String, timeout_ms: u64 },
    Disconnect { target: String },
    Send { target: String, kind: String, body_b64: String, timeout_ms: u64 },
    Mode { mode: String },
    Allow { peers: Vec<PeerId> },
    Deny { peers: Vec<PeerId> },
    Forget { peers: Vec<PeerId> },
}

/// A line from the node to a command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Line {
    /// The request was read and is being served; before this line, it may be sent again.
    Taken,
    Answer(Answer),
    Done,
    Error(Failure),
}

/// An object on stdout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    Addr(Addrs),
    Status(Status),
    Peer(Peer),
    Nat(Nat),
    Allowlist(AllowlistAnswer),
    Pong(Pong),
    Lost(LostPing),
    Connected(Connected),
    Disconnected(Who),
    Sent(Sent),
}

impl Answer {
    /// The object as one line of JSON.
    pub(crate) fn json(&self) -> String {
        match self {
            Self::Addr(inner) => json(inner),
            Self::Status(inner) => json(inner),
            Self::Peer(inner) => json(inner),
            Self::Nat(inner) => json(inner),
            Self::Allowlist(inner) => json(inner),
            Self::Pong(inner) => json(inner),
            Self::Lost(inner) => json(inner),
            Self::Connected(inner) => json(inner),
            Self::Disconnected(inner) => json(inner),
            Self::Sent(inner) => json(inner),
        }
    }
}

/// One line of JSON.
pub(crate) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("our objects have text keys and nothing that can fail")
}

/// The addresses at which a node can be dialed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Addrs {
    pub(crate) addrs: Vec<String>,
}

/// How a node is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Status {
    pub(crate) peer: PeerId,
    pub(crate) version: String,
    pub(crate) uptime_s: f64,
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) public: Vec<SocketAddr>,
    pub(crate) nat: NatKind,
    pub(crate) peers: PeerCounts,
    pub(crate) mode: String,
    pub(crate) relay: RelayCounts,
    pub(crate) dht: Option<DhtCounts>,
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_received: u64,
    pub(crate) rss_bytes: Option<u64>,
    pub(crate) problems: Vec<String>,
}

/// RFC 4787's two properties of a NAT.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct NatKind {
    pub(crate) mapping: String,
    pub(crate) filtering: String,
}

/// How many peers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct PeerCounts {
    pub(crate) connected: usize,
    pub(crate) known: usize,
}

/// What a node relays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct RelayCounts {
    pub(crate) offered: bool,
    pub(crate) reservations: u64,
    pub(crate) circuits: u64,
    pub(crate) bytes: u64,
}

/// What a node holds of the distributed hash table.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct DhtCounts {
    pub(crate) server: bool,
    pub(crate) table: u64,
    pub(crate) records: u64,
}

/// A known peer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Peer {
    pub(crate) peer: PeerId,
    pub(crate) state: String,
    pub(crate) path: Option<String>,
    pub(crate) addr: Option<SocketAddr>,
    pub(crate) relay: Option<PeerId>,
    pub(crate) origin: String,
    pub(crate) wanted: bool,
    pub(crate) dialed: Option<bool>,
    pub(crate) rtt_ms: Option<f64>,
    pub(crate) loss: Option<f64>,
    pub(crate) since_s: f64,
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_received: u64,
    pub(crate) failures: u32,
    pub(crate) next_retry_s: Option<f64>,
}

/// What is in front of a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Nat {
    pub(crate) mapping: String,
    pub(crate) filtering: String,
    pub(crate) public: Vec<SocketAddr>,
    pub(crate) mapped: Vec<SocketAddr>,
    pub(crate) reachable: Option<bool>,
}

/// The allowlist.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct AllowlistAnswer {
    pub(crate) mode: String,
    pub(crate) allowed: Vec<PeerId>,
    pub(crate) denied: Vec<PeerId>,
    pub(crate) learned: Vec<PeerId>,
}

/// A ping that was answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Pong {
    pub(crate) seq: u64,
    pub(crate) rtt_ms: f64,
    pub(crate) path: Option<String>,
}

/// A ping that was not, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct LostPing {
    pub(crate) seq: u64,
    pub(crate) lost: bool,
}

/// The sum of a `ping`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct PingSum {
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) min_ms: Option<f64>,
    pub(crate) avg_ms: Option<f64>,
    pub(crate) max_ms: Option<f64>,
}

/// A connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Connected {
    pub(crate) peer: PeerId,
    pub(crate) path: String,
    pub(crate) addr: SocketAddr,
    pub(crate) elapsed_ms: f64,
}

/// A peer and nothing more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Who {
    pub(crate) peer: PeerId,
}

/// A message that was acknowledged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sent {
    pub(crate) id: String,
    pub(crate) acked_ms: f64,
}

/// What `init` made or found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Init {
    pub(crate) peer: PeerId,
    pub(crate) data: String,
}

/// A problem that `check` found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Checked {
    pub(crate) level: &'static str,
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) what: String,
    pub(crate) hint: String,
}

/// Milliseconds with three decimals.
pub(crate) fn millis(time: std::time::Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// Seconds with three decimals.
pub(crate) fn seconds(time: std::time::Duration) -> f64 {
    (time.as_secs_f64() * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_answers_survive_the_socket() {
        let request = Request::Ping {
            target: "pin1x".into(),
            count: None,
            interval_ms: 1000,
            timeout_ms: 10_000,
            first: 1,
        };
        assert_eq!(serde_json::from_str::<Request>(&json(&request)).unwrap(), request);
        let line = Line::Answer(Answer::Pong(Pong { seq: 1, rtt_ms: 0.125, path: None }));
        assert_eq!(serde_json::from_str::<Line>(&json(&line)).unwrap(), line);
        assert_eq!(serde_json::from_str::<Line>(&json(&Line::Done)).unwrap(), Line::Done);
    }

    #[test]
    fn the_unknown_is_null_and_times_have_decimals() {
        let pong = Answer::Pong(Pong { seq: 1, rtt_ms: 0.125, path: None });
        assert_eq!(pong.json(), r#"{"seq":1,"rtt_ms":0.125,"path":null}"#);
        assert_eq!(
            json(&PingSum { sent: 2, ..PingSum::default() }),
            r#"{"sent":2,"received":0,"min_ms":null,"avg_ms":null,"max_ms":null}"#
        );
        assert_eq!(millis(std::time::Duration::from_nanos(1_234_567)), 1.235);
    }
}
