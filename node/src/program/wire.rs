//! What goes over the control socket: requests, and the objects that answer them.
//!
//! A client sends one request as one line of JSON; the node sends `{"taken":true}`, one line for
//! each answer, and a last one, `{"done":true}` or an error. The objects inside the answers are
//! those that `--json` prints: every key is always there, and what is unknown is null.

use pinhole_node::allowlist::Mode;
use pinhole_proto::PeerId;

use super::failure::{Failure, Kind};
use super::json::{Json, object};

/// What a command asks of the running node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Addr,
    Status,
    Peers,
    Nat,
    /// The status and every peer.
    Top,
    Allowlist,
    Ping {
        target: String,
        count: Option<u64>,
        interval_ms: u64,
        timeout_ms: u64,
        first: u64,
    },
    Connect {
        target: String,
        timeout_ms: u64,
    },
    Disconnect {
        target: String,
    },
    Send {
        target: String,
        kind: String,
        body_b64: String,
        timeout_ms: u64,
    },
    /// All of them or none.
    Change {
        changes: Vec<Change>,
    },
}

/// A change of the allowlist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Allow(Vec<PeerId>),
    /// Every newcomer of mode learn.
    AllowLearned,
    Deny(Vec<PeerId>),
    Forget(Vec<PeerId>),
    Mode(Mode),
}

impl Request {
    pub(crate) fn to_json(&self) -> Json {
        match self {
            Self::Addr => object! { "do": "addr" },
            Self::Status => object! { "do": "status" },
            Self::Peers => object! { "do": "peers" },
            Self::Nat => object! { "do": "nat" },
            Self::Top => object! { "do": "top" },
            Self::Allowlist => object! { "do": "allowlist" },
            Self::Ping { target, count, interval_ms, timeout_ms, first } => object! {
                "do": "ping",
                "target": target.as_str(),
                "count": *count,
                "interval_ms": *interval_ms,
                "timeout_ms": *timeout_ms,
                "first": *first,
            },
            Self::Connect { target, timeout_ms } => object! {
                "do": "connect", "target": target.as_str(), "timeout_ms": *timeout_ms,
            },
            Self::Disconnect { target } => {
                object! { "do": "disconnect", "target": target.as_str() }
            }
            Self::Send { target, kind, body_b64, timeout_ms } => object! {
                "do": "send",
                "target": target.as_str(),
                "kind": kind.as_str(),
                "body_b64": body_b64.as_str(),
                "timeout_ms": *timeout_ms,
            },
            Self::Change { changes } => {
                let changes: Vec<Json> = changes.iter().map(change_to_json).collect();
                object! { "do": "change", "changes": changes }
            }
        }
    }

    /// Reads a request, which anybody who may open the socket may have written.
    pub(crate) fn from_json(json: &Json) -> Result<Self, Failure> {
        let text = |key: &str| json.get(key).text().map(str::to_owned).ok_or_else(|| missing(key));
        let whole = |key: &str| json.get(key).whole().ok_or_else(|| missing(key));
        Ok(match text("do")?.as_str() {
            "addr" => Self::Addr,
            "status" => Self::Status,
            "peers" => Self::Peers,
            "nat" => Self::Nat,
            "top" => Self::Top,
            "allowlist" => Self::Allowlist,
            "ping" => Self::Ping {
                target: text("target")?,
                count: json.get("count").whole(),
                interval_ms: whole("interval_ms")?,
                timeout_ms: whole("timeout_ms")?,
                first: whole("first")?,
            },
            "connect" => {
                Self::Connect { target: text("target")?, timeout_ms: whole("timeout_ms")? }
            }
            "disconnect" => Self::Disconnect { target: text("target")? },
            "send" => Self::Send {
                target: text("target")?,
                kind: text("kind")?,
                body_b64: text("body_b64")?,
                timeout_ms: whole("timeout_ms")?,
            },
            "change" => {
                let changes = json.get("changes").items().iter().map(change_from_json);
                Self::Change { changes: changes.collect::<Result<_, _>>()? }
            }
            _ => return Err(Failure::usage("this is no request that the node knows")),
        })
    }
}

fn missing(key: &str) -> Failure {
    Failure::usage(format!("the request lacks `{key}`, or it has another form"))
}

fn change_to_json(change: &Change) -> Json {
    match change {
        Change::Allow(peers) => object! { "allow": peers.clone() },
        Change::AllowLearned => object! { "allow_learned": true },
        Change::Deny(peers) => object! { "deny": peers.clone() },
        Change::Forget(peers) => object! { "forget": peers.clone() },
        Change::Mode(mode) => object! { "mode": mode.name() },
    }
}

fn change_from_json(json: &Json) -> Result<Change, Failure> {
    if json.get("allow_learned").is_true() {
        return Ok(Change::AllowLearned);
    }
    if let Some(mode) = json.get("mode").text() {
        return mode.parse().map(Change::Mode).map_err(|error| Failure::usage(format!("{error}")));
    }
    type OfPeers = fn(Vec<PeerId>) -> Change;
    let kinds: [(&str, OfPeers); 3] =
        [("allow", Change::Allow), ("deny", Change::Deny), ("forget", Change::Forget)];
    let (key, make) = kinds
        .into_iter()
        .find(|(key, _)| *json.get(key) != Json::Null)
        .ok_or_else(|| missing("changes"))?;
    let peer = |item: &Json| item.text()?.parse().ok();
    let peers = json.get(key).items().iter().map(peer).collect::<Option<Vec<_>>>();
    peers.map(make).ok_or_else(|| missing(key))
}

/// Which object an answer is, so that it can be shown to people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Addr,
    Status,
    Peer,
    Nat,
    Allowlist,
    Pong,
    Lost,
    Connected,
    Disconnected,
    Sent,
}

const SHAPES: [(&str, Shape); 10] = [
    ("addr", Shape::Addr),
    ("status", Shape::Status),
    ("peer", Shape::Peer),
    ("nat", Shape::Nat),
    ("allowlist", Shape::Allowlist),
    ("pong", Shape::Pong),
    ("lost", Shape::Lost),
    ("connected", Shape::Connected),
    ("disconnected", Shape::Disconnected),
    ("sent", Shape::Sent),
];

/// An object on stdout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) shape: Shape,
    pub(crate) json: Json,
}

/// A line from the node to a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// The request was read and is being served; before this line, it may be sent again.
    Taken,
    Answer(Answer),
    Done,
    Error(Failure),
}

impl Line {
    pub(crate) fn into_json(self) -> Json {
        match self {
            Self::Taken => object! { "taken": true },
            Self::Done => object! { "done": true },
            Self::Error(failure) => failure.to_json(),
            Self::Answer(Answer { shape, json }) => {
                let name = SHAPES.iter().find(|(_, other)| *other == shape);
                object! { "answer": name.map(|(name, _)| *name), "object": json }
            }
        }
    }

    /// Reads a line of a node, which may be of another version.
    pub(crate) fn from_json(json: Json) -> Option<Self> {
        if json.get("taken").is_true() {
            return Some(Self::Taken);
        }
        if json.get("done").is_true() {
            return Some(Self::Done);
        }
        if let Some(kind) = json.get("error").get("kind").text() {
            let message = json.get("error").get("message").text()?;
            return Some(Self::Error(Failure::new(Kind::from_name(kind)?, message)));
        }
        let name = json.get("answer").text()?;
        let (_, shape) = SHAPES.into_iter().find(|(other, _)| *other == name)?;
        Some(Self::Answer(Answer { shape, json: json.get("object").clone() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_survive_the_socket() {
        let peer: PeerId =
            "pin178yhzfdz0055n2y9j2gntumngvlj2tw6y44wxj7m4hkknax64g8qpgrn44".parse().unwrap();
        let text = || "x".to_owned();
        let (interval_ms, timeout_ms, first) = (1_000, 10_000, 1);
        let ping = |count| Request::Ping { target: text(), count, interval_ms, timeout_ms, first };
        let requests = [
            Request::Addr,
            Request::Status,
            Request::Peers,
            Request::Nat,
            Request::Top,
            Request::Allowlist,
            ping(None),
            ping(Some(3)),
            Request::Connect { target: text(), timeout_ms },
            Request::Disconnect { target: text() },
            Request::Send { target: text(), kind: text(), body_b64: text(), timeout_ms },
            Request::Change { changes: vec![] },
            Request::Change {
                changes: vec![
                    Change::Allow(vec![peer]),
                    Change::AllowLearned,
                    Change::Mode(Mode::Strict),
                    Change::Deny(vec![]),
                    Change::Forget(vec![peer, peer]),
                ],
            },
        ];
        for request in requests {
            let json = Json::parse(&request.to_json().line()).unwrap();
            assert_eq!(Request::from_json(&json).unwrap(), request);
        }
    }

    #[test]
    fn lines_survive_the_socket() {
        let answers = SHAPES.map(|(_, shape)| {
            Line::Answer(Answer { shape, json: object! { "seq": 1u64, "path": None::<&str> } })
        });
        let failure = Line::Error(Failure::new(Kind::WrongIdentity, "why"));
        for line in answers.into_iter().chain([Line::Taken, Line::Done, failure]) {
            let json = Json::parse(&line.clone().into_json().line()).unwrap();
            assert_eq!(Line::from_json(json), Some(line));
        }
    }

    #[test]
    fn wrong_requests_are_named() {
        for text in [
            "1",
            "{}",
            "{\"do\":1}",
            "{\"do\":\"x\"}",
            "{\"do\":\"ping\"}",
            "{\"do\":\"change\",\"changes\":[{\"allow\":[1]}]}",
            "{\"do\":\"change\",\"changes\":[{}]}",
            "{\"do\":\"change\",\"changes\":[{\"mode\":\"loose\"}]}",
            "{\"do\":\"connect\",\"target\":\"x\",\"timeout_ms\":-1}",
        ] {
            let failure = Request::from_json(&Json::parse(text).unwrap()).unwrap_err();
            assert_eq!(failure.kind, Kind::Usage, "{text}");
        }
    }
}
