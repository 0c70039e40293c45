//! Who may connect, and whom we dial.
//!
//! *Purpose*: one verdict for a `PeerId`, asked before a dial leaves and before a stranger's first
//! packet is answered. *Inputs*: the mode, and `allow`, `deny`, `forget` and newcomers. *Outputs*: the
//! verdict; true from an input when something changed and should be stored. *Not handled*:
//! storage, live connections, logging of refusals.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use pinhole_proto::PeerId;
use thiserror::Error;

/// What happens to peers that nobody named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Everybody who is not denied.
    #[default]
    Open,
    /// As open, and newcomers are remembered, to be promoted with `allow`.
    Learn,
    /// Only who is allowed, even when nobody is.
    Strict,
}

impl Mode {
    /// The word used on the command line and in configuration files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Learn => "learn",
            Self::Strict => "strict",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Mode {
    type Err = ParseModeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Open, Self::Learn, Self::Strict]
            .into_iter()
            .find(|mode| mode.name() == text)
            .ok_or_else(|| ParseModeError { text: text.chars().take(40).collect() })
    }
}

/// A word that is no [`Mode`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{text}` is no allowlist mode; write open, learn or strict")]
pub struct ParseModeError {
    /// The beginning of what was given.
    pub text: String,
}

/// What the allowlist says about a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may connect and be dialed.
    Admitted,
    /// Somebody denied it by name.
    Denied,
    /// The mode is strict and nobody allowed it.
    Unlisted,
}

/// An allowlist is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the allowlist already holds {limit} peers; `forget` some that are not needed")]
pub struct AllowlistFull {
    /// The most peers that one list holds.
    pub limit: usize,
}

/// The mode and three bounded sets of peers. See the module's notes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowlist {
    mode: Mode,
    allowed: BTreeSet<PeerId>,
    denied: BTreeSet<PeerId>,
    learned: BTreeSet<PeerId>,
}

impl Allowlist {
    /// The most peers in each of the three lists.
    pub const LIMIT: usize = 10_000;

    /// An allowlist that names nobody.
    #[must_use]
    pub fn new(mode: Mode) -> Self {
        Self { mode, ..Self::default() }
    }

    /// What happens to peers that nobody named.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Changes the mode; true if it was another. The lists stay as they are.
    pub fn handle_mode(&mut self, mode: Mode) -> bool {
        std::mem::replace(&mut self.mode, mode) != mode
    }

    /// The verdict on `peer`. Denied beats allowed.
    #[must_use]
    pub fn verdict(&self, peer: &PeerId) -> Verdict {
        if self.denied.contains(peer) {
            Verdict::Denied
        } else if self.mode == Mode::Strict && !self.allowed.contains(peer) {
            Verdict::Unlisted
        } else {
            Verdict::Admitted
        }
    }

    /// Whether `peer` may connect and be dialed.
    #[must_use]
    pub fn admits(&self, peer: &PeerId) -> bool {
        self.verdict(peer) == Verdict::Admitted
    }

    /// Allows `peer`, lifts a deny, promotes a newcomer; true if anything changed.
    pub fn handle_allow(&mut self, peer: PeerId) -> Result<bool, AllowlistFull> {
        let added = insert(&mut self.allowed, peer)?;
        let lifted = self.denied.remove(&peer);
        let promoted = self.learned.remove(&peer);
        Ok(added || lifted || promoted)
    }

    /// Allows every newcomer of mode learn; the number of them. When there is no room for all of
    /// them, the rest stay newcomers.
    pub fn handle_allow_learned(&mut self) -> Result<usize, AllowlistFull> {
        let before = self.learned.len();
        while let Some(peer) = self.learned.first().copied() {
            self.handle_allow(peer)?;
        }
        Ok(before)
    }

    /// Denies `peer`; true if anything changed. It stays in the list of the allowed, if it was
    /// there: denied beats allowed.
    pub fn handle_deny(&mut self, peer: PeerId) -> Result<bool, AllowlistFull> {
        let added = insert(&mut self.denied, peer)?;
        Ok(self.learned.remove(&peer) || added)
    }

    /// Takes `peer` out of every list; true if it was in one.
    pub fn handle_forget(&mut self, peer: &PeerId) -> bool {
        let allowed = self.allowed.remove(peer);
        let denied = self.denied.remove(peer);
        self.learned.remove(peer) || allowed || denied
    }

    /// `peer` connected. In mode learn, true if it is a newcomer and was remembered.
    pub fn handle_connected(&mut self, peer: PeerId) -> bool {
        self.mode == Mode::Learn
            && self.admits(&peer)
            && !self.allowed.contains(&peer)
            && insert(&mut self.learned, peer).unwrap_or(false)
    }

    /// Allowed by name, in order.
    pub fn allowed(&self) -> impl Iterator<Item = &PeerId> {
        self.allowed.iter()
    }

    /// Denied by name, in order.
    pub fn denied(&self) -> impl Iterator<Item = &PeerId> {
        self.denied.iter()
    }

    /// Newcomers of mode learn, in order.
    pub fn learned(&self) -> impl Iterator<Item = &PeerId> {
        self.learned.iter()
    }
}

fn insert(set: &mut BTreeSet<PeerId>, peer: PeerId) -> Result<bool, AllowlistFull> {
    if set.len() >= Allowlist::LIMIT && !set.contains(&peer) {
        return Err(AllowlistFull { limit: Allowlist::LIMIT });
    }
    Ok(set.insert(peer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::peer;

    #[test]
    fn open_admits_everybody_but_the_denied() {
        let mut list = Allowlist::new(Mode::Open);
        assert!(list.admits(&peer(1)));
        assert_eq!(list.handle_deny(peer(1)), Ok(true));
        assert_eq!(list.verdict(&peer(1)), Verdict::Denied);
        assert!(list.admits(&peer(2)));
    }

    #[test]
    fn strict_admits_only_the_allowed_and_an_empty_list_is_not_open() {
        let mut list = Allowlist::new(Mode::Strict);
        assert_eq!(list.verdict(&peer(1)), Verdict::Unlisted);
        assert_eq!(list.handle_allow(peer(1)), Ok(true));
        assert!(list.admits(&peer(1)));
        assert!(list.handle_forget(&peer(1)));
        assert_eq!(list.verdict(&peer(1)), Verdict::Unlisted);
    }

    #[test]
    fn deny_beats_allow_allow_lifts_it_and_forget_clears_both() {
        let mut list = Allowlist::new(Mode::Strict);
        list.handle_allow(peer(1)).unwrap();
        list.handle_deny(peer(1)).unwrap();
        assert_eq!(list.verdict(&peer(1)), Verdict::Denied);
        assert_eq!(list.handle_allow(peer(1)), Ok(true));
        assert_eq!(list.verdict(&peer(1)), Verdict::Admitted);
        list.handle_deny(peer(1)).unwrap();
        assert!(list.handle_forget(&peer(1)));
        assert_eq!(list, Allowlist::new(Mode::Strict));
        assert!(!list.handle_forget(&peer(1)));
    }

    #[test]
    fn saying_it_twice_changes_nothing() {
        let mut list = Allowlist::default();
        assert_eq!(list.handle_allow(peer(1)), Ok(true));
        assert_eq!(list.handle_allow(peer(1)), Ok(false));
        assert_eq!(list.handle_deny(peer(2)), Ok(true));
        assert_eq!(list.handle_deny(peer(2)), Ok(false));
        assert!(list.handle_mode(Mode::Strict));
        assert!(!list.handle_mode(Mode::Strict));
    }

    #[test]
    fn learn_remembers_newcomers_once_and_allow_promotes_them() {
        let mut list = Allowlist::new(Mode::Learn);
        list.handle_allow(peer(1)).unwrap();
        assert!(!list.handle_connected(peer(1)));
        assert!(list.handle_connected(peer(2)));
        assert!(!list.handle_connected(peer(2)));
        assert_eq!(list.learned().collect::<Vec<_>>(), [&peer(2)]);
        list.handle_allow(peer(2)).unwrap();
        assert_eq!(list.learned().count(), 0);
        assert_eq!(list.allowed().count(), 2);
        list.handle_mode(Mode::Open);
        assert!(!list.handle_connected(peer(3)));
    }

    #[test]
    fn every_newcomer_is_promoted_at_once() {
        let mut list = Allowlist::new(Mode::Learn);
        assert_eq!(list.handle_allow_learned(), Ok(0));
        (0..5).for_each(|n| assert!(list.handle_connected(peer(n))));
        list.handle_deny(peer(4)).unwrap();
        assert_eq!(list.handle_allow_learned(), Ok(4));
        list.handle_mode(Mode::Strict);
        assert!((0..4).all(|n| list.admits(&peer(n))) && !list.admits(&peer(4)));
        assert_eq!(list.learned().count(), 0);
    }

    #[test]
    fn a_full_list_says_so_and_keeps_what_it_has() {
        let mut set: BTreeSet<_> = (0..Allowlist::LIMIT as u32).map(peer).collect();
        let first = peer(0);
        assert_eq!(insert(&mut set, first), Ok(false));
        let full = insert(&mut set, peer(u32::MAX)).unwrap_err();
        assert!(full.to_string().contains("10000"));
    }

    #[test]
    fn modes_have_names() {
        for mode in [Mode::Open, Mode::Learn, Mode::Strict] {
            assert_eq!(mode.to_string().parse(), Ok(mode));
        }
        assert!("loose".parse::<Mode>().unwrap_err().to_string().contains("`loose`"));
    }
}
