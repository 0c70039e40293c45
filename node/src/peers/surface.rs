//! What goes into the table of peers and what comes out of it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use pinhole_proto::message::Reached;
use pinhole_proto::{Candidate, PeerId};
use thiserror::Error;

use super::link::{LinkId, LinkTimes};
use super::questions::QuestionId;
use super::state::{Origin, PeerState, Reason};
use crate::backoff::BackoffConfig;
use crate::liveness::LivenessConfig;

/// Limits and times of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeersConfig {
    /// The most peers that are known at a time.
    pub max_known: usize,
    /// The most candidates remembered for a peer; the oldest go first.
    pub max_candidates: usize,
    /// The most dials under way that nobody waits for (wanted peers).
    pub max_retrying: usize,
    /// Between the starts of two such dials, at least: 20 ms make 50 a second.
    pub dial_spacing: Duration,
    /// The most confirmed connections, draining ones included.
    pub max_links: usize,
    /// Idle and drain times.
    pub times: LinkTimes,
    /// The waits between dials of a wanted peer.
    pub backoff: BackoffConfig,
    /// A connection that lasted this long starts the backoff over.
    pub stable: Duration,
    /// When a silent peer is asked, suspect, and failed.
    pub liveness: LivenessConfig,
}

/// The most dials under way that nobody waits for, by default. SPEC §10.8.
pub const MAX_RETRYING: usize = 32;

/// Between the starts of two such dials, by default. SPEC §10.8.
pub const DIAL_SPACING: Duration = Duration::from_millis(20);

impl Default for PeersConfig {
    fn default() -> Self {
        Self {
            max_known: 1024,
            max_candidates: 16,
            max_retrying: MAX_RETRYING,
            dial_spacing: DIAL_SPACING,
            max_links: 256,
            times: LinkTimes::default(),
            backoff: BackoffConfig::default(),
            stable: Duration::from_secs(5),
            liveness: LivenessConfig::default(),
        }
    }
}

/// A dial that the table asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DialId(pub u64);

/// Why the table has a connection closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// Another connection to the same peer is kept.
    Duplicate,
    /// Nobody wanted or used it.
    Idle,
    /// The application or a command closed it.
    Disconnect,
    /// The allowlist does not admit the peer.
    Denied,
    /// There is no room.
    Full,
    /// Nothing came on it for too long.
    Lost,
}

/// What the shell has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerCommand {
    /// Dial `peer`; answer with a link, or with a failure that names `dial`.
    Dial {
        /// Whom.
        peer: PeerId,
        /// The dial's number.
        dial: DialId,
        /// Where it may be, best known first.
        candidates: Vec<Candidate>,
    },
    /// Give a dial up; no answer is awaited.
    CancelDial {
        /// Whom it was to reach.
        peer: PeerId,
        /// The dial's number.
        dial: DialId,
    },
    /// New streams to `peer` go to `link`; `None`: there is no connection.
    Keep {
        /// The peer.
        peer: PeerId,
        /// Its kept link.
        link: Option<LinkId>,
    },
    /// Report at once when the last stream of this link ends.
    WatchUse(LinkId),
    /// Tell the dialer of this link that we use it no more.
    SayDrained(LinkId),
    /// Close this link.
    Close {
        /// Which.
        link: LinkId,
        /// Why.
        reason: CloseReason,
    },
    /// Send a heartbeat on this link (SPEC §10.2). It may be dropped, but not kept for later.
    Heartbeat {
        /// Which.
        link: LinkId,
        /// What it announces.
        seconds: u8,
    },
    /// Tell the dialer of this link that its address changed after a quiet time (SPEC §10.2).
    SayRebound(LinkId),
    /// Ask `witness`, by `reach/1` on `link`, whether it hears `about`; answer with
    /// [`Peers::handle_testimony`](super::Peers::handle_testimony), whatever comes of it.
    AskWitness {
        /// The silent peer.
        about: PeerId,
        /// Who is asked.
        witness: PeerId,
        /// The connection to the witness.
        link: LinkId,
    },
    /// The answer to a question of
    /// [`Peers::handle_question`](super::Peers::handle_question).
    Answer {
        /// Which.
        question: QuestionId,
        /// What to say.
        reached: Reached,
    },
}

/// What a witness said about a silent peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Testimony {
    /// It hears that peer.
    Heard,
    /// It probed that peer and heard nothing.
    Silent,
    /// It cannot tell: not connected to that peer, busy, refused, or no answer.
    Elsewhere,
}

/// What people may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerEvent {
    /// A peer's state changed.
    State {
        /// Whose.
        peer: PeerId,
        /// The new state.
        state: PeerState,
        /// The one before.
        was: PeerState,
        /// Why.
        reason: Reason,
        /// For a peer that failed: who said that they still hear it.
        reached_by: Vec<PeerId>,
    },
    /// A heartbeat was answered, or a peer went suspect because none was.
    Heartbeat {
        /// Whose.
        peer: PeerId,
        /// The round trip; `None` if no answer came.
        rtt: Option<Duration>,
    },
}

/// What the table knows of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerRecord {
    /// Who.
    pub peer: PeerId,
    /// Its state.
    pub state: PeerState,
    /// Since when.
    pub since: Instant,
    /// Why it is; `None` for one that was never dialed.
    pub reason: Option<Reason>,
    /// How we came to know it.
    pub origin: Origin,
    /// Whether it is dialed again whenever it is gone.
    pub wanted: bool,
    /// The kept connection.
    pub link: Option<LinkId>,
    /// Where the kept connection leads.
    pub addr: Option<SocketAddr>,
    /// Whether we dialed the kept connection.
    pub dialed: bool,
    /// Connections beside the kept one.
    pub draining: usize,
    /// Failures in a row.
    pub failures: u32,
    /// When a wanted peer is dialed next.
    pub next_retry: Option<Instant>,
    /// Where it may be.
    pub candidates: Vec<Candidate>,
    /// When a packet of it last came.
    pub last_heard: Option<Instant>,
    /// The round trip now.
    pub rtt_now: Option<Duration>,
    /// While it is suspect or failed: who said that they still hear it.
    pub reached_by: Vec<PeerId>,
    /// After a dial without an answer: who else is known to live at its address.
    pub wrong_identity: Option<PeerId>,
}

/// A peer that the table does not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PeerRefused {
    /// It is ourselves.
    #[error("this is our own id; a node does not dial itself")]
    Ourselves,
    /// Every place is taken by a peer that is wanted or connected.
    #[error("{limit} peers are known and all of them are wanted or connected; disconnect some")]
    Full {
        /// [`PeersConfig::max_known`].
        limit: usize,
    },
    /// The allowlist does not admit it.
    #[error("the allowlist does not admit this peer; `allow` it first")]
    Denied,
    /// Nobody has told us an address of it.
    #[error("no address of this peer is known; dial it as PEER@HOST:PORT")]
    NoAddress,
}

/// What came of the wish to be connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialAnswer {
    /// There is a connection already.
    Connected(LinkId),
    /// A dial was under way already.
    UnderWay(DialId),
    /// A dial was started; its command waits in the queue.
    Started(DialId),
}
