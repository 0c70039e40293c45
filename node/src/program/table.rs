//! The one table of commands and flags: parsing, help and completions are all made from it.

/// What a flag's value or an operand is, so that a shell can complete it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Completes {
    Nothing,
    Files,
    Folders,
    Words(&'static [&'static str]),
}

/// A flag, with or without a value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flag {
    pub(crate) long: &'static str,
    pub(crate) short: Option<char>,
    /// The name of the value in the help, if the flag takes one.
    pub(crate) value: Option<&'static str>,
    pub(crate) completes: Completes,
    /// Whether giving it twice adds up. Otherwise the second is an error.
    pub(crate) many: bool,
    pub(crate) about: &'static str,
}

impl Flag {
    const fn switch(long: &'static str, about: &'static str) -> Self {
        let completes = Completes::Nothing;
        Self { long, short: None, value: None, completes, many: false, about }
    }

    const fn with(long: &'static str, value: &'static str, about: &'static str) -> Self {
        let completes = Completes::Nothing;
        Self { long, short: None, value: Some(value), completes, many: false, about }
    }

    const fn short(mut self, letter: char) -> Self {
        self.short = Some(letter);
        self
    }

    const fn many(mut self) -> Self {
        self.many = true;
        self
    }

    const fn completes(mut self, completes: Completes) -> Self {
        self.completes = completes;
        self
    }
}

/// A command with its operands and flags.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spec {
    pub(crate) name: &'static str,
    /// The operands as the help writes them.
    pub(crate) operands: &'static str,
    /// How few and how many operands there may be.
    pub(crate) count: (usize, usize),
    pub(crate) completes: Completes,
    pub(crate) flags: &'static [Flag],
    pub(crate) about: &'static str,
}

impl Spec {
    const fn new(name: &'static str, about: &'static str) -> Self {
        let completes = Completes::Nothing;
        Self { name, operands: "", count: (0, 0), completes, flags: &[], about }
    }

    const fn operands(mut self, text: &'static str, min: usize, max: usize) -> Self {
        self.operands = text;
        self.count = (min, max);
        self
    }

    const fn completes(mut self, completes: Completes) -> Self {
        self.completes = completes;
        self
    }

    const fn flags(mut self, flags: &'static [Flag]) -> Self {
        self.flags = flags;
        self
    }
}

/// Flags that every command takes, before or after its name.
pub(crate) const GLOBAL: &[Flag] = &[
    Flag::with("data", "DIR", "data folder instead of $XDG_DATA_HOME/pinhole")
        .completes(Completes::Folders),
    Flag::switch("json", "one JSON object a line on stdout, and nothing else"),
    Flag::switch("verbose", "say more; twice: everything").short('v').many(),
    Flag::switch("quiet", "only errors").short('q'),
    Flag::switch("help", "this help; after a command: that command's").short('h'),
    Flag::switch("version", "print the version").short('V'),
];

const TIMEOUT: Flag = Flag::with("timeout", "SECONDS", "give a dial up after this long (10)");
const CONFIG: Flag = Flag::with("config", "FILE", "configuration instead of DATA/config.toml")
    .completes(Completes::Files);

const UP: &[Flag] = &[
    CONFIG,
    Flag::with(
        "listen",
        "ADDR:PORT",
        "bind this; port 0 is any; default [::]:4433 and 0.0.0.0:4433",
    )
    .many(),
    Flag::with("peer", "ADDRESS", "dial this peer, and again whenever it is lost").many(),
    Flag::with("allow", "PEER", "let only these peers in (strict mode)").many(),
    Flag::with("network-key", "FILE", "private network: the 32-byte key in this file")
        .completes(Completes::Files),
    Flag::switch("relay", "be a relay for others (not in this version)"),
    Flag::with("liveness", "PRESET", "how soon a silent peer is noticed: fast, normal or battery")
        .completes(Completes::Words(&["fast", "normal", "battery"])),
    Flag::with("metrics", "ADDR:PORT", "serve OpenMetrics over HTTP, best on 127.0.0.1"),
    Flag::with("socks5", "ADDR:PORT", "proxy for TLS relays (not in this version)"),
    Flag::switch("no-mdns", "no discovery on the LAN"),
    Flag::switch("no-portmap", "no port mapping by the router"),
    Flag::switch("no-dht", "no distributed hash table"),
    Flag::switch("no-relay", "use no relay and be none"),
    Flag::switch("no-punch", "no hole punching"),
];

const KINDS: Completes = Completes::Words(&["chat", "data", "control"]);
const MODES: Completes = Completes::Words(&["open", "learn", "strict"]);

/// Every command, in the order of the help.
pub(crate) const COMMANDS: &[Spec] = &[
    Spec::new("up", "run a node in the foreground").flags(UP),
    Spec::new("init", "make data folder, key and a commented configuration")
        .flags(&[Flag::switch("network-key", "also draw the key of a private network")]),
    Spec::new("check", "verify a configuration without starting").flags(&[CONFIG]),
    Spec::new("id", "print this node's peer id"),
    Spec::new("addr", "where the running node can be dialed"),
    Spec::new("status", "how the running node is"),
    Spec::new("peers", "every known peer: state, path, round trip, bytes"),
    Spec::new("ping", "measure the round trip to a peer").operands("PEER", 1, 1).flags(&[
        Flag::with("count", "N", "stop after N pings; otherwise until interrupted").short('c'),
        Flag::with("interval", "SECONDS", "time between pings (1)").short('i'),
        TIMEOUT,
    ]),
    Spec::new("connect", "connect to a peer and keep it").operands("PEER", 1, 1).flags(&[TIMEOUT]),
    Spec::new("disconnect", "close the connection and stop wanting the peer")
        .operands("PEER", 1, 1),
    Spec::new("allow", "let peers in; show or change the allowlist")
        .operands("[PEER…]", 0, usize::MAX)
        .flags(&[
            Flag::switch("list", "show the lists"),
            Flag::switch("learned", "let in for good all whom mode learn noted"),
            Flag::with("mode", "MODE", "open: all; learn: all, noted; strict: only the allowed")
                .completes(MODES),
        ]),
    Spec::new("deny", "refuse peers, whatever the mode").operands("PEER…", 1, usize::MAX),
    Spec::new("forget", "take peers off both lists").operands("PEER…", 1, usize::MAX),
    Spec::new("send", "send one message; `-` reads stdin").operands("PEER TEXT", 2, 2).flags(&[
        Flag::with("kind", "KIND", "chat, data or control (chat)").completes(KINDS),
        TIMEOUT,
    ]),
    Spec::new("nat", "what is in front of this node"),
    Spec::new("find", "look a peer up by id (not in this version)")
        .operands("PEER", 1, 1)
        .flags(&[TIMEOUT]),
    Spec::new("dht", "put, get, announce, providers (not in this version)")
        .operands("VERB …", 1, 3)
        .completes(Completes::Words(&["put", "get", "announce", "providers"]))
        .flags(&[TIMEOUT]),
    Spec::new("relay", "list, add, remove, test (not in this version)")
        .operands("VERB …", 1, 2)
        .completes(Completes::Words(&["list", "add", "remove", "test"])),
    Spec::new("top", "the node and its peers, live in the terminal"),
    Spec::new("demo", "three nodes meet on loopback: what happened, how fast"),
    Spec::new("completions", "print the completions of a shell")
        .operands("SHELL", 1, 1)
        .completes(Completes::Words(&["bash", "zsh", "fish"])),
];

/// The command of this name.
pub(crate) fn command(name: &str) -> Option<&'static Spec> {
    COMMANDS.iter().find(|spec| spec.name == name)
}

/// The nearest of `names` to what was typed, if it is near enough to be meant.
pub(crate) fn nearest<'a>(
    typed: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let far = |name: &str| match name.strip_prefix(typed) {
        // The beginning of a word is near to it.
        Some(_) if typed.len() >= 2 => 1,
        _ => distance(typed, name),
    };
    names
        .into_iter()
        .map(|name| (far(name), name))
        .filter(|(far, name)| *far <= 1 + name.len() / 4)
        .min_by_key(|(far, _)| *far)
        .map(|(_, name)| name)
}

/// How many insertions, deletions, changes and swaps of neighbours lie between two words.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(40).collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let swap = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                let swapped = if swap { rows[i - 2][j - 2] + 1 } else { usize::MAX };
                change.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1).min(swapped)
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        let names = || COMMANDS.iter().map(|spec| spec.name);
        assert_eq!(nearest("stauts", names()), Some("status"));
        assert_eq!(nearest("pign", names()), Some("ping"));
        assert_eq!(nearest("conect", names()), Some("connect"));
        assert_eq!(nearest("comp", names()), Some("completions"));
        assert_eq!(nearest("frobnicate", names()), None);
    }

    #[test]
    fn no_flag_of_a_command_hides_a_global_one() {
        for spec in COMMANDS {
            for flag in spec.flags {
                for global in GLOBAL {
                    assert_ne!(flag.long, global.long, "{}", spec.name);
                    assert!(flag.short.is_none() || flag.short != global.short, "{}", spec.name);
                }
            }
        }
    }
}
