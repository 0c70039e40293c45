//! [`Failure`]: what went wrong, in the words and numbers that the command line promises.

use std::fmt;

use super::json::{Json, object};

/// What kind of failure it is: the `kind` of the error object that scripts read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The peer or its address could not be reached.
    Unreachable,
    /// No answer in time.
    Timeout,
    /// Somebody else answered.
    WrongIdentity,
    /// Refused: by the peer, by our own allowlist, or by the operating system's permissions.
    Denied,
    /// The command needs a running node and there is none.
    NotRunning,
    /// A port, or the data folder, is in use by another process.
    Busy,
    /// A file of the data folder is not what it has to be.
    Damaged,
    /// What was asked for is not there; also a feature that this version does not have.
    NotFound,
    /// A wrong flag, id, address or configuration.
    Usage,
}

const NAMES: [(&str, Kind); 9] = [
    ("unreachable", Kind::Unreachable),
    ("timeout", Kind::Timeout),
    ("wrong_identity", Kind::WrongIdentity),
    ("denied", Kind::Denied),
    ("not_running", Kind::NotRunning),
    ("busy", Kind::Busy),
    ("damaged", Kind::Damaged),
    ("not_found", Kind::NotFound),
    ("usage", Kind::Usage),
];

impl Kind {
    /// The kind of this name.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        NAMES.into_iter().find(|(other, _)| *other == name).map(|(_, kind)| kind)
    }

    /// The name that scripts read.
    pub(crate) fn name(self) -> &'static str {
        NAMES.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }
}

/// Why a command did not do what it was told to: what failed, why, and what to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// An operating system's error about a file, with what to do about it.
    pub(crate) fn io(what: impl fmt::Display, error: &std::io::Error) -> Self {
        use std::io::ErrorKind;
        let (kind, hint) = match error.kind() {
            ErrorKind::PermissionDenied => {
                (Kind::Denied, "check who owns the file and its folder, or run as that user")
            }
            ErrorKind::NotFound => (Kind::NotFound, "check the path"),
            ErrorKind::StorageFull => (Kind::Denied, "make room on the disk"),
            ErrorKind::ReadOnlyFilesystem => {
                (Kind::Denied, "use a folder on a writable disk (--data DIR)")
            }
            ErrorKind::AddrInUse => (Kind::Busy, "choose another port, or stop who holds it"),
            _ => (Kind::Damaged, "check the disk and the path"),
        };
        Self::new(kind, format!("{what}: {error}; {hint}"))
    }

    /// `{"error":{"kind","message"}}`
    pub(crate) fn to_json(&self) -> Json {
        object! {
            "error": object! { "kind": self.kind.name(), "message": self.message.as_str() },
        }
    }

    /// 2 for wrong usage, 1 for everything else.
    pub(crate) fn status(&self) -> u8 {
        if self.kind == Kind::Usage { 2 } else { 1 }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// The failure of a command that the contract knows and this version does not have yet.
pub(crate) fn absent(what: &str) -> Failure {
    Failure::new(
        Kind::NotFound,
        format!(
            "{what} is not in this version ({}); nothing was done; see the CHANGELOG for what is",
            env!("CARGO_PKG_VERSION")
        ),
    )
}
