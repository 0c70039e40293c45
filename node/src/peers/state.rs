//! The words for where a peer stands and why.

use std::fmt;

/// Where a peer stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum PeerState {
    /// A dial is under way.
    Connecting,
    /// There is a confirmed connection.
    Connected,
    /// Connected, but nothing was heard for longer than usual.
    Suspect,
    /// Connected, but nothing was heard for so long that the peer counts as gone.
    Failed,
    /// No connection and no dial under way.
    #[default]
    Disconnected,
    /// The allowlist does not admit it.
    Denied,
}

impl PeerState {
    /// Every state.
    pub const ALL: [Self; 6] = [
        Self::Connecting,
        Self::Connected,
        Self::Suspect,
        Self::Failed,
        Self::Disconnected,
        Self::Denied,
    ];

    /// The word used in JSON and in the terminal.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Suspect => "suspect",
            Self::Failed => "failed",
            Self::Disconnected => "disconnected",
            Self::Denied => "denied",
        }
    }

    /// Whether a peer in this state may next be in `next`. A state is derived from facts (links,
    /// dial, verdict), so that other steps do not happen; the table is what tests and readers
    /// rely on.
    #[must_use]
    pub const fn may_become(self, next: Self) -> bool {
        use PeerState::{Connected, Connecting, Denied, Disconnected, Failed, Suspect};
        match self {
            Connecting => matches!(next, Connected | Disconnected | Denied),
            Connected => matches!(next, Suspect | Connecting | Disconnected | Denied),
            Suspect => matches!(next, Connected | Failed | Connecting | Disconnected | Denied),
            Failed => matches!(next, Connected | Connecting | Disconnected | Denied),
            Disconnected => matches!(next, Connecting | Connected | Denied),
            Denied => matches!(next, Disconnected),
        }
    }
}

impl fmt::Display for PeerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How we came to know a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Origin {
    /// The configuration or the builder.
    Config,
    /// A call of the application or a command.
    Cli,
    /// The distributed hash table.
    Dht,
    /// Discovery on the local network.
    Lan,
    /// It dialed us.
    Inbound,
    /// Another peer told us.
    Exchange,
}

impl Origin {
    /// The word used in JSON and in the terminal.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Cli => "cli",
            Self::Dht => "dht",
            Self::Lan => "lan",
            Self::Inbound => "inbound",
            Self::Exchange => "exchange",
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Why a peer's state changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// We dial it, because somebody asked.
    Dialing,
    /// We dial it again, because it is wanted.
    Retrying,
    /// Our dial was answered.
    Dialed,
    /// Its dial was accepted.
    Accepted,
    /// Our dial got no answer: wrong id or network, offline, or not allowed.
    NoAnswer,
    /// The peer ended our dial.
    Refused,
    /// None of its names has an address.
    Unresolved,
    /// Our dial failed on this machine.
    DialFailed,
    /// The peer closed the connection.
    ClosedByPeer,
    /// The connection went silent.
    Lost,
    /// Nobody wanted or used the connection.
    Idle,
    /// The application or a command closed it.
    Disconnect,
    /// There is no room for it.
    Full,
    /// The allowlist does not admit it.
    Denied,
    /// The allowlist admits it again.
    Allowed,
    /// Nothing comes from it any more.
    Silent,
    /// Nothing comes from anybody: our own network is the likely cause.
    Isolated,
    /// Nothing comes from it to us, but others hear it.
    Unreachable,
    /// It was heard again.
    Heard,
    /// No answer, and another peer is known to live at that address.
    WrongIdentity,
    /// Our own network changed, and we dial again at once.
    NetworkChanged,
    /// The node stops.
    Shutdown,
}

impl Reason {
    /// The word used in JSON and in the terminal.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dialing => "dialing",
            Self::Retrying => "retrying",
            Self::Dialed => "dialed",
            Self::Accepted => "accepted",
            Self::NoAnswer => "no_answer",
            Self::Refused => "refused",
            Self::Unresolved => "unresolved",
            Self::DialFailed => "dial_failed",
            Self::ClosedByPeer => "closed_by_peer",
            Self::Lost => "lost",
            Self::Idle => "idle",
            Self::Disconnect => "disconnect",
            Self::Full => "full",
            Self::Denied => "denied",
            Self::Allowed => "allowed",
            Self::Silent => "silent",
            Self::Isolated => "isolated",
            Self::Unreachable => "unreachable",
            Self::Heard => "heard",
            Self::WrongIdentity => "wrong_identity",
            Self::NetworkChanged => "network_changed",
            Self::Shutdown => "shutdown",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_state_becomes_itself_and_denied_is_left_only_by_a_verdict() {
        for state in PeerState::ALL {
            assert!(!state.may_become(state));
            assert_eq!(PeerState::Denied.may_become(state), state == PeerState::Disconnected);
            assert_eq!(state.may_become(PeerState::Denied), state != PeerState::Denied);
        }
    }

    #[test]
    fn only_a_suspect_fails() {
        for state in PeerState::ALL {
            assert_eq!(state.may_become(PeerState::Failed), state == PeerState::Suspect);
        }
    }
}
