//! [`Settings`]: how a node is to run, from the configuration file and the command line.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use pinhole_node::liveness::Preset;
use pinhole_proto::{PeerAddr, PeerId};

use super::args::Typed;
use super::failure::Failure;
use super::tuning::Tuning;

/// What a configuration file or a command line says. What neither says has its default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) peers: Vec<PeerAddr>,
    pub(crate) allow: Vec<PeerId>,
    /// Somebody wrote an `allow`, even an empty one: strict mode.
    pub(crate) strict: bool,
    pub(crate) network_key: Option<PathBuf>,
    pub(crate) limits: Limits,
    pub(crate) tuning: Tuning,
    /// Where to serve metrics.
    pub(crate) metrics: Option<SocketAddr>,
    /// Features that were asked for by name and that this version does not have.
    pub(crate) absent: Vec<&'static str>,
}

/// Limits that have a key in the configuration and no flag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) max_connections: Option<u64>,
    pub(crate) max_half_open: Option<u64>,
    pub(crate) max_streams: Option<u64>,
    pub(crate) stream_window: Option<u64>,
    pub(crate) connection_window: Option<u64>,
    pub(crate) send_window: Option<u64>,
    pub(crate) dial_rate: Option<u64>,
    pub(crate) accept_rate: Option<u64>,
}

impl Settings {
    /// The flags of `up`.
    pub(crate) fn from_flags(typed: &Typed) -> Result<Self, Failure> {
        let allow = parse_all(typed, "allow")?;
        Ok(Self {
            listen: listens(typed)?,
            peers: parse_all(typed, "peer")?,
            strict: !allow.is_empty(),
            allow,
            network_key: typed.path("network-key"),
            limits: Limits::default(),
            tuning: Tuning { preset: preset(typed)?, ..Tuning::default() },
            metrics: typed.parsed("metrics", "ADDR:PORT with an IP address")?,
            absent: absent_flags(typed)?,
        })
    }

    /// These settings with those of the command line: its values win, its lists add up.
    pub(crate) fn overridden_by(mut self, flags: Self) -> Self {
        self.listen.extend(flags.listen);
        self.peers.extend(flags.peers);
        self.allow.extend(flags.allow);
        self.strict |= flags.strict;
        self.network_key = flags.network_key.or(self.network_key);
        self.tuning = self.tuning.overridden_by(flags.tuning);
        self.metrics = flags.metrics.or(self.metrics);
        self.absent.extend(flags.absent);
        self.absent.dedup();
        self
    }
}

/// The port of a node that was told no other.
pub(crate) const DEFAULT_PORT: u16 = 4433;
/// The most sockets of a node.
pub(crate) const MAX_LISTEN: usize = 8;

/// `[::]:PORT`
pub(crate) const fn any_v6(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V6(Ipv6Addr::UNSPECIFIED), port)
}

/// `0.0.0.0:PORT`
pub(crate) const fn any_v4(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)
}

/// An address to bind, or what to write instead.
pub(crate) fn listen_addr(text: &str) -> Result<SocketAddr, String> {
    if let Ok(addr) = text.parse::<SocketAddr>() {
        return if addr.ip().is_multicast() {
            Err(format!("{text} is a multicast address; listen on one of this machine's"))
        } else {
            Ok(addr)
        };
    }
    let hint = if text.parse::<std::net::Ipv4Addr>().is_ok() {
        format!("the port is missing; write {text}:{DEFAULT_PORT}")
    } else if text.parse::<std::net::Ipv6Addr>().is_ok() {
        format!("an IPv6 address with a port is written [{text}]:{DEFAULT_PORT}")
    } else if text.parse::<u16>().is_ok() || text.starts_with(':') {
        let port = text.trim_start_matches(':');
        format!("write 0.0.0.0:{port} and [::]:{port} to listen on every address")
    } else {
        "write ADDR:PORT with an IP address, as in 0.0.0.0:4433 or [::]:4433".to_owned()
    };
    Err(format!("`{text}` is nothing to listen on: {hint}"))
}

fn listens(typed: &Typed) -> Result<Vec<SocketAddr>, Failure> {
    typed
        .texts("listen")?
        .iter()
        .map(|text| listen_addr(text).map_err(|why| Failure::usage(format!("--listen: {why}"))))
        .collect()
}

fn parse_all<T>(typed: &Typed, flag: &str) -> Result<Vec<T>, Failure>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    let parse = |text: String| {
        text.parse().map_err(|error| Failure::usage(format!("--{flag} {text}: {error}")))
    };
    typed.texts(flag)?.into_iter().map(parse).collect()
}

fn absent_flags(typed: &Typed) -> Result<Vec<&'static str>, Failure> {
    for (on, off) in [("relay", "no-relay")] {
        if typed.has(on) && typed.has(off) {
            return Err(Failure::usage(format!("--{on} and --{off} contradict each other")));
        }
    }
    typed.parsed::<SocketAddr>("socks5", "ADDR:PORT")?;
    Ok(["relay", "socks5"].into_iter().filter(|flag| typed.has(flag)).collect())
}

fn preset(typed: &Typed) -> Result<Option<Preset>, Failure> {
    let Some(word) = typed.text("liveness")? else { return Ok(None) };
    word.parse().map(Some).map_err(|_| {
        Failure::usage(format!(
            "--liveness {word}: there is no such preset; write fast, normal or battery"
        ))
    })
}

/// The presets of liveness.
pub(crate) const LIVENESS: &[&str] = &["fast", "normal", "battery"];

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(line: &str) -> Result<Settings, Failure> {
        let words = line.split_whitespace().map(Into::into);
        Settings::from_flags(&Typed::parse(words).unwrap())
    }

    #[test]
    fn flags_win_and_lists_add_up() {
        let file = Settings {
            listen: vec![any_v4(1)],
            network_key: Some("a".into()),
            ..Settings::default()
        };
        let both = file.overridden_by(flags("up --listen 127.0.0.1:2 --network-key b").unwrap());
        assert_eq!(both.listen, [any_v4(1), "127.0.0.1:2".parse().unwrap()]);
        assert_eq!(both.network_key, Some("b".into()));
        let preset = |preset| Settings {
            tuning: Tuning { preset: Some(preset), ..Tuning::default() },
            ..Settings::default()
        };
        let both = preset(Preset::Battery).overridden_by(flags("up --liveness fast").unwrap());
        assert_eq!(both.tuning.preset, Some(Preset::Fast));
        let both = preset(Preset::Battery).overridden_by(flags("up").unwrap());
        assert_eq!(both.tuning.preset, Some(Preset::Battery));
    }

    #[test]
    fn wrong_values_say_what_to_write() {
        let message = |line: &str| flags(line).unwrap_err().message;
        assert!(message("up --listen 4433").contains("0.0.0.0:4433 and [::]:4433"));
        assert!(message("up --listen ::1").contains("[::1]:4433"));
        assert!(message("up --listen 10.0.0.1").contains("10.0.0.1:4433"));
        assert!(message("up --listen localhost:1").contains("IP address"));
        assert!(message("up --listen 224.0.0.1:1").contains("multicast"));
        assert!(message("up --peer nobody").contains("--peer nobody: "));
        assert!(message("up --allow pin1x").contains("--allow pin1x: "));
        assert!(message("up --relay --no-relay").contains("contradict"));
        assert!(message("up --metrics 9433").contains("ADDR:PORT"));
        assert!(message("up --liveness slow").contains("fast, normal or battery"));
        assert_eq!(flags("up --no-dht --relay").unwrap().absent, ["relay"]);
        let words: Vec<_> = Preset::ALL.iter().map(|preset| preset.name()).collect();
        assert_eq!(words, LIVENESS);
    }
}
