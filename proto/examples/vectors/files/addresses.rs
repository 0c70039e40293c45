//! Addresses as text and on the wire. SPEC §3.

use pinhole_proto::{Candidate, DecodeError, PeerAddr, decode, encode};
use serde_json::{Value, json};

use super::{hex, peer};

/// The whole file; `{P}` in the lists below stands for alice and `{R}` for bob.
pub(super) fn file() -> Value {
    json!({
        "spec": "3-addresses.md",
        "texts": TEXTS.iter().map(|text| case(&fill(text))).collect::<Vec<_>>(),
        "candidates_refused": candidates_refused(),
    })
}

fn fill(text: &str) -> String {
    text.replace("{P}", &peer("alice").to_string()).replace("{R}", &peer("bob").to_string())
}

fn case(text: &str) -> Value {
    match text.parse::<PeerAddr>() {
        Ok(addr) => json!({
            "text": text,
            "canonical": addr.to_string(),
            "peer": addr.peer.to_string(),
            "candidates": addr.candidates.iter().map(Candidate::to_string).collect::<Vec<_>>(),
            "wire": hex(&encode(&addr, 4096).expect("it is shorter than that")),
        }),
        Err(error) => json!({ "text": text, "error": error.kind() }),
    }
}

const TEXTS: &[&str] = &[
    "{P}",
    "{P}@192.0.2.7:4433",
    "{P}@[2001:db8::1]:4433",
    "{P}@[2001:DB8:0:0::1]:1",
    "{P}@[::ffff:192.0.2.7]:4433",
    "{P}@example.org:65535",
    "{P}@Example.ORG.:1",
    "{P}@localhost:4433",
    "{P}@my_host-1:127",
    "{P}@my_host-1:128",
    "{P}@/ip4/192.0.2.7/udp/4433",
    "{P}@/ip6/2001:db8::1/udp/4433",
    "{P}@/dns/example.org/udp/4433",
    "{P}@/dns4/example.org/udp/4433",
    "{P}@/dns6/example.org/udp/4433",
    "/ip4/192.0.2.7/udp/4433/p2p/{P}",
    "{P}@/ip4/192.0.2.7/udp/4433/p2p/{P}",
    "{P}@tls://example.org:443",
    "{P}@tls://[2001:db8::1]:443",
    "{P}@/ip4/192.0.2.7/tcp/443/tls",
    "{P}@/dns4/example.org/tcp/443/tls",
    "{P}@relay/{R}@192.0.2.7:4433",
    "{P}@relay/{R}@[2001:db8::1]:4433",
    "{P}@relay/{R}@/dns6/example.org/udp/4433",
    "{P}@10.0.0.1:4433,[2001:db8::1]:4433,tls://example.org:443",
    "",
    "{P}@",
    "{P}@192.0.2.7:4433,",
    " {P}",
    "{P}@192.0.2.7:4433\n",
    "alice",
    "alice@192.0.2.7:4433",
    "@192.0.2.7:4433",
    "12D3KooWGRUfyMnPZKrHYPTQy7RLfBAXBXZ6CbGpFq6TuCcMb3Hm@192.0.2.7:4433",
    "/ip4/192.0.2.7/udp/4433/p2p/12D3KooWGRUfyMnPZKrHYPTQy7RLfBAXBXZ6CbGpFq6TuCcMb3Hm",
    "{P}@relay/bob@192.0.2.7:4433",
    "192.0.2.7:4433",
    "example.org:4433",
    "/ip4/192.0.2.7/udp/4433",
    "{P}@/ip4/192.0.2.7/udp/4433/p2p/{R}",
    "{P}@192.0.2.7",
    "{P}@[2001:db8::1]",
    "{P}@192.0.2.7:0",
    "{P}@192.0.2.7:65536",
    "{P}@192.0.2.7:",
    "{P}@192.0.2.7:04433",
    "{P}@192.0.2.7:+4433",
    "{P}@2001:db8::1:4433",
    "{P}@[2001:db8::1:4433",
    "{P}@[fe80::1%eth0]:4433",
    "{P}@[192.0.2.7]:4433",
    "{P}@192.0.2:4433",
    "{P}@192.0.2.700:4433",
    "{P}@/ip4/example.org/udp/4433",
    "{P}@-a.org:4433",
    "{P}@a..org:4433",
    "{P}@:4433",
    "{P}@bücher.example:4433",
    "{P}@/ip4/192.0.2.7/tcp/4433",
    "{P}@/dnsaddr/example.org",
    "{P}@/ip4/192.0.2.7/udp/4433/quic-v1",
    "/ip4/192.0.2.7/udp/4433/p2p/{R}/p2p-circuit/p2p/{P}",
    "{P}@/unix/tmp/socket/x",
    "{P}@/ip4/192.0.2.7/udp",
    "{P}@https://example.org:443",
    "{P}@relay/{R}",
    "{P}@relay/{R}@tls://192.0.2.7:443",
    "{P}@a:1,a:2,a:3,a:4,a:5,a:6,a:7,a:8,a:9",
    "{P}@0.0.0.0:4433",
    "{P}@[::]:4433",
    "{P}@224.0.0.251:5353",
    "{P}@255.255.255.255:4433",
];

fn candidates_refused() -> Vec<Value> {
    let mapped = [&[0, 1][..], &[0; 10], &[0xff, 0xff, 192, 0, 2, 7, 1]].concat();
    let stranger = [&[1][..], &[0xff; 32], &[0, 192, 0, 2, 7, 1]].concat();
    let cases: [(&[u8], &str); 12] = [
        (&[0, 0, 192, 0, 2, 7, 0], "port 0"),
        (&[0, 0, 0, 0, 0, 0, 1], "an unspecified address"),
        (&[0, 0, 224, 0, 0, 1, 1], "a multicast address"),
        (&mapped, "IPv4 mapped into IPv6"),
        (&[0, 2, 3, b'A', b'.', b'b', 1], "upper case in a host name"),
        (&[0, 2, 2, b'a', b'.', 1], "a dot at the end of a host name"),
        (&[0, 2, 0, 1], "an empty host name"),
        (&stranger, "a relay that is not a PeerId"),
        (&[3, 0, 192, 0, 2, 7, 1], "a kind of candidate from the future"),
        (&[0, 5, 192, 0, 2, 7, 1], "a kind of host from the future"),
        (&[0, 0, 192, 0, 2, 7], "the port is missing"),
        (&[0, 0, 192, 0, 2, 7, 0x81, 0], "the port is not in its shortest form"),
    ];
    let error = |body: &[u8]| -> DecodeError {
        decode::<Candidate>(body).expect_err("every one of them is wrong")
    };
    cases
        .iter()
        .map(|(body, why)| json!({ "body": hex(body), "error": error(body).kind(), "why": why }))
        .collect()
}
