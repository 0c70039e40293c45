//! What one look at the node showed (core).

use super::super::json::Json;
use super::super::wire::{Answer, Shape};

/// The node and its peers, as the node told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) node: Node,
    pub(super) peers: Vec<Peer>,
}

/// The node itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) id: String,
    pub(super) uptime_s: u64,
    pub(super) connected: u64,
    pub(super) known: u64,
    pub(super) sent: u64,
    pub(super) received: u64,
    pub(super) problems: Vec<String>,
}

/// A peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) id: String,
    pub(super) state: String,
    pub(super) path: Option<String>,
    pub(super) addr: Option<String>,
    /// In microseconds.
    pub(super) rtt: Option<u64>,
    /// In thousandths.
    pub(super) loss: Option<u64>,
    pub(super) since_s: u64,
    pub(super) next_retry_s: Option<u64>,
    pub(super) sent: u64,
    pub(super) received: u64,
}

impl Reading {
    /// Takes one of the node's answers.
    pub(super) fn handle_answer(&mut self, answer: &Answer) {
        match answer.shape {
            Shape::Status => self.node = node(&answer.json),
            Shape::Peer => self.peers.push(peer(&answer.json)),
            // A node of another version tells more.
            _ => {}
        }
    }
}

fn node(json: &Json) -> Node {
    let whole = |json: &Json| json.whole().unwrap_or(0);
    // A problem is a text, or an object with one.
    let problem = |json: &Json| json.text().or(json.get("what").text()).map(str::to_owned);
    Node {
        id: json.get("peer").text().unwrap_or_default().to_owned(),
        uptime_s: seconds(json.get("uptime_s")).unwrap_or(0),
        connected: whole(json.get("peers").get("connected")),
        known: whole(json.get("peers").get("known")),
        sent: whole(json.get("bytes_sent")),
        received: whole(json.get("bytes_received")),
        problems: json.get("problems").items().iter().filter_map(problem).collect(),
    }
}

fn peer(json: &Json) -> Peer {
    let text = |key: &str| json.get(key).text().map(str::to_owned);
    let rtt_now = json.get("rtt_now_ms").thousandths();
    Peer {
        id: text("peer").unwrap_or_default(),
        state: text("state").unwrap_or_default(),
        path: text("path"),
        addr: text("addr"),
        rtt: rtt_now.or(json.get("rtt_ms").thousandths()),
        loss: json.get("loss").thousandths(),
        since_s: seconds(json.get("since_s")).unwrap_or(0),
        next_retry_s: seconds(json.get("next_retry_s")),
        sent: json.get("bytes_sent").whole().unwrap_or(0),
        received: json.get("bytes_received").whole().unwrap_or(0),
    }
}

fn seconds(json: &Json) -> Option<u64> {
    json.thousandths().map(|millis| millis / 1000)
}

#[cfg(test)]
mod tests {
    use super::super::super::json::object;
    use super::*;

    #[test]
    fn answers_are_read_whatever_they_lack() {
        let mut reading = Reading::default();
        let status = object! {
            "peer": "pin1x", "uptime_s": Json::Number("61.007".into()),
            "peers": object! { "connected": 1u32, "known": 2u32 }, "bytes_sent": 7u32,
            "problems": vec![Json::from("one"), object! { "what": "two", "hint": "x" }, Json::Null],
        };
        let known = object! {
            "peer": "pin1y", "state": "connected", "addr": "192.0.2.1:1",
            "rtt_ms": Json::Number("1.250".into()), "loss": Json::Number("0.0150".into()),
        };
        for (shape, json) in [
            (Shape::Status, status),
            (Shape::Peer, known),
            (Shape::Peer, Json::Null),
            (Shape::Pong, Json::Null),
        ] {
            reading.handle_answer(&Answer { shape, json });
        }
        assert_eq!((reading.node.uptime_s, reading.node.known, reading.node.sent), (61, 2, 7));
        assert_eq!(reading.node.problems, ["one", "two"]);
        assert_eq!((reading.peers[0].rtt, reading.peers[0].loss), (Some(1_250), Some(15)));
        assert_eq!(reading.peers[1], Peer::default());
    }
}
