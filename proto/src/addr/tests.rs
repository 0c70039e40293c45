use std::sync::LazyLock;

use super::*;
use crate::testing::Rng;
use crate::{decode, encode};

static PEER: LazyLock<String> = LazyLock::new(|| Rng::new(79).peer().to_string());
static RELAY: LazyLock<String> = LazyLock::new(|| Rng::new(80).peer().to_string());

/// `P` stands for a peer and `R` for a relay.
fn fill(text: &str) -> String {
    text.replace('P', &PEER).replace('R', &RELAY)
}

fn parse(text: &str) -> Result<PeerAddr, ParseAddrError> {
    fill(text).parse()
}

#[test]
fn every_spelling_and_its_canonical_form() {
    for (text, canonical) in [
        ("P", "P"),
        ("P@192.0.2.7:4433", "P@192.0.2.7:4433"),
        ("P@[2001:db8::1]:4433", "P@[2001:db8::1]:4433"),
        ("P@[2001:DB8:0:0::1]:1", "P@[2001:db8::1]:1"),
        ("P@[::ffff:192.0.2.7]:4433", "P@192.0.2.7:4433"),
        ("P@example.org:65535", "P@example.org:65535"),
        ("P@Example.COM.:1", "P@example.com:1"),
        ("P@localhost:4433", "P@localhost:4433"),
        ("P@my_host-1:4433", "P@my_host-1:4433"),
        ("P@/ip4/192.0.2.7/udp/4433", "P@192.0.2.7:4433"),
        ("P@/ip6/2001:db8::1/udp/4433", "P@[2001:db8::1]:4433"),
        ("P@/dns/example.org/udp/4433", "P@example.org:4433"),
        ("P@/dns4/example.org/udp/4433", "P@/dns4/example.org/udp/4433"),
        ("P@/dns6/example.org/udp/4433", "P@/dns6/example.org/udp/4433"),
        ("/ip4/192.0.2.7/udp/4433/p2p/P", "P@192.0.2.7:4433"),
        ("/dns4/example.org/udp/4433/p2p/P", "P@/dns4/example.org/udp/4433"),
        ("P@/ip4/192.0.2.7/udp/4433/p2p/P", "P@192.0.2.7:4433"),
        ("P@/dns/ws/udp/4433", "P@ws:4433"),
        ("P@tls://example.org:443", "P@tls://example.org:443"),
        ("P@tls://[2001:db8::1]:443", "P@tls://[2001:db8::1]:443"),
        ("P@tls://abc.onion:443", "P@tls://abc.onion:443"),
        ("P@/ip4/192.0.2.7/tcp/443/tls", "P@tls://192.0.2.7:443"),
        ("P@/dns4/example.org/tcp/443/tls", "P@/dns4/example.org/tcp/443/tls"),
        ("P@relay/R@192.0.2.7:4433", "P@relay/R@192.0.2.7:4433"),
        ("P@relay/R@[2001:db8::1]:4433", "P@relay/R@[2001:db8::1]:4433"),
        ("P@relay/R@/dns6/example.org/udp/1", "P@relay/R@/dns6/example.org/udp/1"),
        ("P@relay/R@/dns/example.org/udp/1/p2p/R", "P@relay/R@example.org:1"),
        ("P@10.0.0.1:1,[2001:db8::1]:2,tls://a:3", "P@10.0.0.1:1,[2001:db8::1]:2,tls://a:3"),
    ] {
        let addr = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(addr.to_string(), fill(canonical), "{text}");
        assert_eq!(addr.to_string().parse(), Ok(addr.clone()));
        let json = serde_json::to_string(&addr).unwrap();
        assert_eq!(serde_json::from_str::<PeerAddr>(&json).unwrap(), addr);
        let body = encode(&addr, 4096).unwrap();
        assert_eq!(decode::<PeerAddr>(&body), Ok(addr));
    }
}

#[test]
fn each_fault_has_its_error() {
    for (text, kind) in [
        ("", "empty"),
        ("P@", "empty"),
        ("P@1.2.3.4:1,", "empty"),
        (" P", "space"),
        ("P@1.2.3.4:1\n", "space"),
        ("P@exa mple.org:1", "space"),
        ("alice@1.2.3.4:1", "peer"),
        ("alice", "peer"),
        ("@1.2.3.4:1", "peer"),
        ("12D3KooWGRUfyMnPZKrHYPTQy7RLfBAXBXZ6CbGpFq6TuCcMb3Hm@1.2.3.4:1", "peer"),
        ("/ip4/1.2.3.4/udp/1/p2p/12D3KooWGRUfyMnPZKrHYPTQy7RLfBAXBXZ6CbGpFq6TuCcMb3Hm", "peer"),
        ("P@relay/x@1.2.3.4:1", "relay_peer"),
        ("1.2.3.4:4433", "no_peer"),
        ("[2001:db8::1]:4433", "no_peer"),
        ("example.org:4433", "no_peer"),
        ("/ip4/1.2.3.4/udp/1", "no_peer"),
        ("P@/ip4/1.2.3.4/udp/1/p2p/R", "two_peers"),
        ("P@1.2.3.4", "no_port"),
        ("P@[2001:db8::1]", "no_port"),
        ("P@example.org", "no_port"),
        ("P@1.2.3.4:0", "port"),
        ("P@1.2.3.4:65536", "port"),
        ("P@1.2.3.4:", "port"),
        ("P@1.2.3.4:+1", "port"),
        ("P@1.2.3.4:01", "port"),
        ("P@1.2.3.4:http", "port"),
        ("P@/ip4/1.2.3.4/udp/0", "port"),
        ("P@2001:db8::1:4433", "brackets"),
        ("P@[2001:db8::1:4433", "brackets"),
        ("P@[2001:db8::1]4433", "brackets"),
        ("P@[fe80::1%eth0]:4433", "zone"),
        ("P@/ip6/fe80::1%eth0/udp/1", "zone"),
        ("P@[1.2.3.4]:1", "ip"),
        ("P@1.2.3:1", "ip"),
        ("P@1.2.3.400:1", "ip"),
        ("P@01.2.3.4:1", "ip"),
        ("P@/ip4/example.org/udp/1", "ip"),
        ("P@/ip6/1.2.3.4/udp/1", "ip"),
        ("P@-a.org:1", "name"),
        ("P@a..org:1", "name"),
        ("P@a/b:1", "name"),
        ("P@:4433", "name"),
        ("P@user@host:1", "name"),
        ("P@bücher.example:1", "unicode"),
        ("P@/ip4/1.2.3.4/tcp/4001", "multiaddr"),
        ("P@/ip4/1.2.3.4/tcp/4001/ws", "multiaddr"),
        ("P@/dnsaddr/bootstrap.example.org", "multiaddr"),
        ("P@/ip4/1.2.3.4/udp/4001/quic-v1", "multiaddr"),
        ("P@/ip4/1.2.3.4/udp/4001/p2p/R/p2p-circuit/p2p/P", "multiaddr"),
        ("P@/ip6zone/eth0/ip6/fe80::1/udp/1", "multiaddr"),
        ("P@/unix/tmp/x/y", "multiaddr"),
        ("P@/ip4/1.2.3.4/sctp/1", "multiaddr"),
        ("P@/ip4/1.2.3.4/udp/1/p2p", "multiaddr"),
        ("P@/ip4/1.2.3.4/udp", "incomplete"),
        ("P@/ip4", "incomplete"),
        ("P@/", "multiaddr"),
        ("P@https://example.org:443", "scheme"),
        ("P@quic://1.2.3.4:1", "scheme"),
        ("P@relay/R", "relay"),
        ("P@relay/1.2.3.4:4433", "relay"),
        ("P@relay/R@tls://1.2.3.4:443", "relay"),
        ("P@relay/R@relay/R@1.2.3.4:1", "relay"),
        ("P@a:1,a:2,a:3,a:4,a:5,a:6,a:7,a:8,a:9", "too_many"),
        ("P@0.0.0.0:4433", "unspecified"),
        ("P@[::]:4433", "unspecified"),
        ("P@tls://0.0.0.0:443", "unspecified"),
        ("P@224.0.0.251:5353", "multicast"),
        ("P@[ff02::fb]:5353", "multicast"),
        ("P@255.255.255.255:1", "multicast"),
    ] {
        match parse(text) {
            Err(error) => assert_eq!(error.kind(), kind, "{text}: {error}"),
            Ok(addr) => panic!("{text} was read as {addr}"),
        }
    }
}

#[test]
fn an_error_says_what_to_write() {
    for (text, advice) in [
        ("1.2.3.4:4433", "PEER@1.2.3.4:4433"),
        ("P@1.2.3.4", "1.2.3.4:PORT"),
        ("P@2001:db8::1:4433", "[2001:db8::1]:4433"),
        ("P@/ip4/1.2.3.4/tcp/4001", "tls://HOST:PORT"),
        ("P@/dnsaddr/x", "PEER@HOST:PORT"),
        ("P@0.0.0.0:4433", "the one at which others reach it"),
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains(advice), "{text}: {error}");
    }
}

#[test]
fn a_candidate_alone_is_what_stands_behind_the_at() {
    let candidate: Candidate = "192.0.2.7:4433".parse().unwrap();
    assert_eq!(candidate, Candidate::direct("192.0.2.7:4433".parse().unwrap()).unwrap());
    assert_eq!(candidate.socket_addr(), Some("192.0.2.7:4433".parse().unwrap()));
    let addr = PeerAddr::new(PEER.parse().unwrap(), [candidate.clone(), candidate]).unwrap();
    let lines: Vec<_> = addr.lines().collect();
    assert_eq!(lines, [fill("P@192.0.2.7:4433"), fill("P@192.0.2.7:4433")]);
    assert!(fill("relay/R@a:1").parse::<Candidate>().is_ok());
    assert_eq!("a:1".parse::<Candidate>().unwrap().socket_addr(), None);
}

#[test]
fn a_family_includes_its_addresses() {
    let (four, six) = ("1.2.3.4".parse().unwrap(), "::1".parse().unwrap());
    assert!(Family::Any.includes(&four) && Family::Any.includes(&six));
    assert!(Family::V4.includes(&four) && !Family::V4.includes(&six));
    assert!(!Family::V6.includes(&four) && Family::V6.includes(&six));
}

#[test]
fn the_wire_refuses_what_cannot_be_dialed() {
    let body = |text: &str| encode(&text.parse::<Candidate>().unwrap(), 999).unwrap();
    assert_eq!(body("192.0.2.7:4433"), [0, 0, 192, 0, 2, 7, 0xd1, 0x22]);
    assert_eq!(body("tls://a.b:1"), [2, 2, 3, b'a', b'.', b'b', 1]);
    let mapped = [&[0, 1][..], &[0; 10], &[0xff, 0xff, 192, 0, 2, 7, 1]].concat();
    for (wrong, kind) in [
        (&[0, 0, 192, 0, 2, 7, 0][..], "invalid"),
        (&[0, 0, 0, 0, 0, 0, 1], "invalid"),
        (&[0, 0, 224, 0, 0, 1, 1], "invalid"),
        (&mapped, "invalid"),
        (&[0, 2, 3, b'A', b'.', b'b', 1], "invalid"),
        (&[0, 2, 2, b'a', b'.', 1], "invalid"),
        (&[0, 2, 0, 1], "invalid"),
        (&[0, 2, 1, b'7', 1], "invalid"),
        (&[3, 0, 192, 0, 2, 7, 1], "unknown_variant"),
        (&[0, 5, 192, 0, 2, 7, 1], "unknown_variant"),
        (&[0, 0, 192, 0, 2, 7], "end"),
    ] {
        assert_eq!(decode::<Candidate>(wrong).unwrap_err().kind(), kind, "{wrong:?}");
    }
}

#[test]
fn no_text_makes_it_panic_and_what_is_read_round_trips() {
    let mut rng = Rng::new(81);
    let pieces = [
        "P", "R", "@", ":", "/", "[", "]", "1.2.3.4", "::1", "%", "ip4", "ip6", "dns4", "udp",
        "tcp", "tls", "://", "p2p", "relay/", "4433", "0", "a.b", ",", "é", ".", "-", "\u{202e}",
    ];
    let mut good = 0;
    for _ in 0..50_000 {
        let text: String = (0..1 + rng.below(9)).map(|_| *rng.pick(&pieces)).collect();
        let start = if rng.below(2) == 0 { "P@" } else { "" };
        if let Ok(addr) = parse(&format!("{start}{text}")) {
            assert_eq!(addr.to_string().parse(), Ok(addr));
            good += 1;
        }
    }
    assert!(good > 100, "{good}");
}
