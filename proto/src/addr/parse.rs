//! The text forms of addresses. SPEC §3.2, §3.3.

use std::str::FromStr;

use super::host::{parse_ip4, parse_ip6, shorten};
use super::{Candidate, Family, Host, ParseAddrError, PeerAddr};
use crate::bounded::List;
use crate::id::PeerId;

impl FromStr for PeerAddr {
    type Err = ParseAddrError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        check_characters(text)?;
        if text.starts_with('/') {
            return parse_bare_multiaddr(text);
        }
        let Some((peer, places)) = text.split_once('@') else { return parse_bare(text) };
        let peer: PeerId = peer.parse().map_err(ParseAddrError::Peer)?;
        let candidates = places
            .split(',')
            .map(|place| parse_place(place, Some(peer)))
            .collect::<Result<Vec<_>, _>>()?;
        let candidates = List::new(candidates).map_err(|_| ParseAddrError::TooMany)?;
        Ok(Self { peer, candidates })
    }
}

/// What stands behind the `@`, for one candidate.
impl FromStr for Candidate {
    type Err = ParseAddrError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        check_characters(text)?;
        parse_place(text, None)
    }
}

fn check_characters(text: &str) -> Result<(), ParseAddrError> {
    match text {
        "" => Err(ParseAddrError::Empty),
        _ if text.contains(|c: char| c.is_whitespace() || c.is_control()) => {
            Err(ParseAddrError::Space)
        }
        _ => Ok(()),
    }
}

/// A text without `@`: an id, or a place that lacks one.
fn parse_bare(text: &str) -> Result<PeerAddr, ParseAddrError> {
    match text.parse() {
        Ok(peer) => Ok(PeerAddr::from_id(peer)),
        Err(_) if parse_place(text, None).is_ok() => Err(ParseAddrError::NoPeer(shorten(text))),
        Err(error) => Err(ParseAddrError::Peer(error)),
    }
}

/// `/ip4/…/udp/…/p2p/PEER`.
fn parse_bare_multiaddr(text: &str) -> Result<PeerAddr, ParseAddrError> {
    let (candidate, peer) = parse_multiaddr(text)?;
    let peer = peer.ok_or_else(|| ParseAddrError::NoPeer(shorten(text)))?;
    Ok(PeerAddr { peer, candidates: List::of_first([candidate]) })
}

/// One candidate; `peer` is the id before the `@`, if that is known.
fn parse_place(text: &str, peer: Option<PeerId>) -> Result<Candidate, ParseAddrError> {
    if text.starts_with('/') {
        return match parse_multiaddr(text)? {
            (_, Some(other)) if peer.is_some_and(|peer| peer != other) => {
                Err(ParseAddrError::TwoPeers)
            }
            (candidate, _) => Ok(candidate),
        };
    }
    if let Some(relay) = text.strip_prefix("relay/") {
        return parse_relay(relay);
    }
    if let Some((scheme, rest)) = text.split_once("://") {
        return match scheme {
            "tls" => parse_host_port(rest, |host, port| Candidate::Tls { host, port }),
            _ => Err(ParseAddrError::Scheme(shorten(scheme))),
        };
    }
    parse_host_port(text, |host, port| Candidate::Direct { host, port })
}

/// `RELAY@` and a direct candidate of the relay.
fn parse_relay(text: &str) -> Result<Candidate, ParseAddrError> {
    let (relay, place) = text.split_once('@').ok_or(ParseAddrError::Relay)?;
    let relay: PeerId = relay.parse().map_err(ParseAddrError::RelayPeer)?;
    match parse_place(place, Some(relay))? {
        Candidate::Direct { host, port } => Ok(Candidate::Relay { relay, host, port }),
        _ => Err(ParseAddrError::Relay),
    }
}

fn parse_host_port(
    text: &str,
    make: impl FnOnce(Host, u16) -> Candidate,
) -> Result<Candidate, ParseAddrError> {
    if text.is_empty() {
        return Err(ParseAddrError::Empty);
    }
    let (host, port) = split_port(text)?;
    let host = Host::parse(host)?;
    Ok(make(host, parse_port(port)?).checked()?)
}

fn split_port(text: &str) -> Result<(&str, &str), ParseAddrError> {
    if text.starts_with('[') {
        let (host, rest) = text.split_once(']').ok_or(ParseAddrError::Brackets)?;
        let host = &text[..=host.len()];
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, port)),
            None if rest.is_empty() => Err(ParseAddrError::NoPort(shorten(host))),
            None => Err(ParseAddrError::Brackets),
        };
    }
    match text.rsplit_once(':') {
        Some((host, _)) if host.contains(':') => Err(ParseAddrError::Brackets),
        Some(split) => Ok(split),
        None => Err(ParseAddrError::NoPort(shorten(text))),
    }
}

/// Digits only: the standard library would take `+4433` too.
fn parse_port(text: &str) -> Result<u16, ParseAddrError> {
    let wrong = || ParseAddrError::Port(shorten(text));
    if !text.bytes().all(|b| b.is_ascii_digit()) || (text.len() > 1 && text.starts_with('0')) {
        return Err(wrong());
    }
    text.parse().map_err(|_| wrong())
}

/// A multiaddr of ours, and the peer at its end if it names one. SPEC §3.3.
fn parse_multiaddr(text: &str) -> Result<(Candidate, Option<PeerId>), ParseAddrError> {
    let parts: Vec<&str> = text.split('/').skip(1).collect();
    if let Some((found, instead)) = foreign(&parts) {
        return Err(ParseAddrError::Multiaddr { found: found.to_owned(), instead });
    }
    let incomplete = || ParseAddrError::Incomplete(shorten(text));
    let (kind, host, carrier, port, rest) = match parts.as_slice() {
        [kind, host, carrier, port, rest @ ..] => (*kind, *host, *carrier, *port, rest),
        [kind, ..] => return Err(unknown_kind(kind).unwrap_or_else(incomplete)),
        [] => return Err(incomplete()),
    };
    let host = parse_multiaddr_host(kind, host)?;
    let (candidate, rest) = match (carrier, rest) {
        ("udp", rest) => (Candidate::Direct { host, port: parse_port(port)? }, rest),
        ("tcp", ["tls", rest @ ..]) => (Candidate::Tls { host, port: parse_port(port)? }, rest),
        (other, _) => return Err(unknown_carrier(other)),
    };
    let peer = match rest {
        [] => None,
        ["p2p", peer] => Some(peer.parse().map_err(ParseAddrError::Peer)?),
        [other, ..] => return Err(unknown_carrier(other)),
    };
    Ok((candidate.checked()?, peer))
}

/// The first protocol that people know from elsewhere. The second part is skipped: it is the host,
/// which may have any name.
fn foreign(parts: &[&str]) -> Option<(&'static str, &'static str)> {
    let protocols = parts.iter().take(1).chain(parts.iter().skip(2));
    protocols.copied().find_map(refusal)
}

fn parse_multiaddr_host(kind: &str, host: &str) -> Result<Host, ParseAddrError> {
    let family = match kind {
        "ip4" => return parse_ip4(host).map(Host::Ip),
        "ip6" => return parse_ip6(host).map(Host::Ip),
        "dns" => Family::Any,
        "dns4" => Family::V4,
        "dns6" => Family::V6,
        other => return Err(unknown_kind(other).unwrap_or(ParseAddrError::Empty)),
    };
    Ok(Host::Dns { name: host.parse()?, family })
}

fn unknown_kind(kind: &str) -> Option<ParseAddrError> {
    let known = matches!(kind, "ip4" | "ip6" | "dns" | "dns4" | "dns6");
    (!known).then(|| ParseAddrError::Multiaddr {
        found: shorten(kind),
        instead: "an address begins with /ip4, /ip6, /dns, /dns4 or /dns6",
    })
}

fn unknown_carrier(found: &str) -> ParseAddrError {
    ParseAddrError::Multiaddr {
        found: shorten(found),
        instead: match found {
            "tcp" => {
                "pinhole runs over UDP: write /udp/PORT, or tls://HOST:PORT for the TLS listener \
                 of a relay"
            }
            _ => "write /ip4/ADDRESS/udp/PORT, with /p2p/PEER at the end or PEER@ in front",
        },
    }
}

/// Multiaddr protocols that people know from elsewhere, wherever they stand.
fn refusal(part: &str) -> Option<(&'static str, &'static str)> {
    Some(match part {
        "dnsaddr" => {
            ("dnsaddr", "it does not look ids up in DNS: write PEER@HOST:PORT with a host name")
        }
        "quic" | "quic-v1" => {
            ("quic-v1", "it always speaks its own QUIC: leave this part out, /udp/PORT is enough")
        }
        "p2p-circuit" => ("p2p-circuit", "write PEER@relay/RELAY@HOST:PORT for a relayed peer"),
        "ws" | "wss" => ("ws", "write tls://HOST:PORT for the TLS listener of a relay"),
        "webtransport" | "webrtc" | "webrtc-direct" => {
            ("webrtc", "it is not for browsers: write /ip4/ADDRESS/udp/PORT")
        }
        "ip6zone" => ("ip6zone", "a zone has a meaning on one machine only: leave it out"),
        "onion3" => ("onion3", "write tls://NAME.onion:PORT and set a SOCKS5 proxy"),
        _ => return None,
    })
}
