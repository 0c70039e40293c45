"""Addresses of peers as text and on the wire: SPEC chapter 3."""

import ipaddress
import re
import unicodedata
from dataclasses import dataclass

import identity
import postcard
from errors import SpecError

CANDIDATES_MAX = 8
NAME_MAX = 253
KINDS = ("ip4", "ip6", "dns", "dns4", "dns6")
# SPEC §3.4: what is known from elsewhere and stands in no address of ours.
ELSEWHERE = {
    "dnsaddr", "quic", "quic-v1", "p2p-circuit", "ws", "wss",
    "webtransport", "webrtc", "webrtc-direct", "ip6zone", "onion3",
}


@dataclass(frozen=True)
class Name:
    """A host name and its family: `dns` for any, `dns4` or `dns6`."""

    name: str
    family: str = "dns"

    def __str__(self):
        return self.name


@dataclass(frozen=True)
class Candidate:
    """A place where a peer may be reached."""

    host: object
    port: int
    tls: bool = False
    relay: bytes = None

    def __str__(self):
        place = self._place()
        return f"relay/{identity.encode(self.relay)}@{place}" if self.relay else place

    def _place(self):
        if isinstance(self.host, Name) and self.host.family != "dns":
            transport = f"tcp/{self.port}/tls" if self.tls else f"udp/{self.port}"
            return f"/{self.host.family}/{self.host}/{transport}"
        return ("tls://" if self.tls else "") + socket_text(self.host, self.port)

    def encode(self):
        end = _encode_host(self.host) + postcard.varint(self.port)
        if self.relay is not None:
            return b"\x01" + self.relay + end
        return (b"\x02" if self.tls else b"\x00") + end


@dataclass(frozen=True)
class PeerAddr:
    """A peer and its candidates."""

    peer_id: bytes
    candidates: tuple = ()

    def __str__(self):
        peer = identity.encode(self.peer_id)
        return f"{peer}@{','.join(map(str, self.candidates))}" if self.candidates else peer

    def encode(self):
        return self.peer_id + postcard.sequence([c.encode() for c in self.candidates])


def socket_text(host, port):
    """HOST:PORT."""
    return f"[{host}]:{port}" if isinstance(host, ipaddress.IPv6Address) else f"{host}:{port}"


# Rules, SPEC §3.1 ------------------------------------------------------------------------------


def check_ip(host):
    """The rules for an address; IPv4 written as IPv6 has to be dealt with before."""
    if host.is_unspecified:
        raise SpecError("unspecified")
    if host.is_multicast or host == ipaddress.IPv4Address("255.255.255.255"):
        raise SpecError("multicast")


def check_name(name):
    """The rules for a name that is lower case already."""
    labels = name.split(".")
    label = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
    if len(name) > NAME_MAX or not all(label.fullmatch(part) for part in labels):
        raise SpecError("name")
    if labels[-1].isdigit():
        raise SpecError("ip")


# Reading texts, SPEC §3.3 ----------------------------------------------------------------------


def parse(text):
    """An address; the first error as SPEC §3.3 names it."""
    if not text:
        raise SpecError("empty")
    if any(c.isspace() or unicodedata.category(c) == "Cc" for c in text):
        raise SpecError("space")
    if text.startswith("/"):
        candidate, peer = _multiaddr(text)
        if peer is None:
            raise SpecError("no_peer")
        return PeerAddr(peer, (candidate,))
    if "@" not in text:
        return PeerAddr(_whole_peer(text))
    left, right = text.split("@", 1)
    peer = _peer(left, "peer")
    candidates = tuple(_place(place, peer) for place in right.split(","))
    if len(candidates) > CANDIDATES_MAX:
        raise SpecError("too_many")
    return PeerAddr(peer, candidates)


def parse_candidate(text):
    """A place that stands alone, as the canonical spelling of a candidate does."""
    return _place(text, None)


def _whole_peer(text):
    try:
        return identity.parse(text)
    except SpecError as error:
        try:
            _place(text, None)
        except SpecError:
            raise SpecError("peer", str(error)) from error
        raise SpecError("no_peer") from error


def _peer(text, kind):
    try:
        return identity.parse(text)
    except SpecError as error:
        raise SpecError(kind, str(error)) from error


def _place(text, expected):
    if text.startswith("/"):
        candidate, peer = _multiaddr(text)
        if peer is not None and expected is not None and peer != expected:
            raise SpecError("two_peers")
        return candidate
    if text.startswith("relay/"):
        return _relay(text[len("relay/") :])
    if "://" in text:
        scheme, rest = text.split("://", 1)
        if scheme != "tls":
            raise SpecError("scheme")
        return _ruled(Candidate(*_host_and_port(rest), tls=True))
    return _ruled(Candidate(*_host_and_port(text)))


def _relay(text):
    if "@" not in text:
        raise SpecError("relay")
    left, right = text.split("@", 1)
    relay = _peer(left, "relay_peer")
    place = _place(right, relay)
    if place.tls or place.relay is not None:
        raise SpecError("relay")
    return Candidate(place.host, place.port, relay=relay)


def _host_and_port(text):
    if not text:
        raise SpecError("empty")
    if text.startswith("["):
        inside, bracket, behind = text[1:].partition("]")
        if not bracket:
            raise SpecError("brackets")
        if not behind:
            raise SpecError("no_port")
        if not behind.startswith(":"):
            raise SpecError("brackets")
        host, port = _ip6(inside), behind[1:]
    else:
        outside, colon, port = text.rpartition(":")
        if not colon:
            raise SpecError("no_port")
        if ":" in outside:
            raise SpecError("brackets")
        host = _ip4_or_none(outside) or _name(outside)
    return _unmapped(host), _port(port)


def _unmapped(host):
    """An IPv4 address that was written as IPv6 becomes IPv4."""
    if isinstance(host, ipaddress.IPv6Address) and host.ipv4_mapped is not None:
        return host.ipv4_mapped
    return host


def _ip4_or_none(text):
    try:
        return ipaddress.IPv4Address(text) if text.isascii() else None
    except ValueError:
        return None


def _ip6(text):
    if "%" in text:
        raise SpecError("zone")
    try:
        return ipaddress.IPv6Address(text)
    except ValueError as error:
        raise SpecError("ip") from error


def _port(text):
    if not (text.isascii() and text.isdigit()) or text[0] == "0" or int(text) > 65535:
        raise SpecError("port")
    return int(text)


def _name(text, family="dns"):
    name = text[:-1] if text.endswith(".") else text
    if not name.isascii():
        raise SpecError("unicode")
    name = name.lower()
    check_name(name)
    return Name(name, family)


def _multiaddr(text):
    """(candidate, peer or None)."""
    parts = text.split("/")[1:]
    if any(part in ELSEWHERE for index, part in enumerate(parts) if index != 1):
        raise SpecError("multiaddr", "a protocol from elsewhere")
    if len(parts) < 4:
        raise SpecError("incomplete" if parts[0] in KINDS else "multiaddr")
    kind, host = parts[0], parts[1]
    if kind not in KINDS:
        raise SpecError("multiaddr")
    host = _multiaddr_host(kind, host)
    tls = parts[2] == "tcp" and parts[4:5] == ["tls"]
    if parts[2] != "udp" and not tls:
        raise SpecError("multiaddr")
    port = _port(parts[3])
    rest = parts[5 if tls else 4 :]
    if rest and (len(rest) != 2 or rest[0] != "p2p"):
        raise SpecError("multiaddr")
    peer = _peer(rest[1], "peer") if rest else None
    host = _unmapped(host)
    return _ruled(Candidate(host, port, tls=tls)), peer


def _multiaddr_host(kind, text):
    if kind == "ip4":
        host = _ip4_or_none(text)
        if host is None:
            raise SpecError("ip")
        return host
    return _ip6(text) if kind == "ip6" else _name(text, kind)


def _ruled(candidate):
    if not isinstance(candidate.host, Name):
        check_ip(candidate.host)
    return candidate


# Wire, SPEC §3.5 -------------------------------------------------------------------------------


def _encode_host(host):
    if isinstance(host, Name):
        return bytes([2 + ("dns", "dns4", "dns6").index(host.family)]) + postcard.text(host.name)
    return (b"\x00" if host.version == 4 else b"\x01") + host.packed


def encode_socket(host, port):
    """A `SocketAddr`."""
    return (b"\x00" if host.version == 4 else b"\x01") + host.packed + postcard.varint(port)


def read_peer_id(reader):
    """32 bytes that are a PeerId, or `invalid`."""
    try:
        return identity.parse_bytes(reader.take(identity.LENGTH))
    except SpecError as error:
        raise error if error.kind == "end" else SpecError("invalid", str(error)) from error


def read_candidate(reader):
    kind = reader.variant(3)
    relay = read_peer_id(reader) if kind == 1 else None
    host = _read_host(reader)
    port = reader.varint(16)
    if port == 0:
        raise SpecError("invalid", "port 0")
    return Candidate(host, port, tls=kind == 2, relay=relay)


def _read_host(reader):
    kind = reader.variant(5)
    try:
        if kind >= 2:
            name = reader.text(NAME_MAX)
            check_name(name)
            return Name(name, ("dns", "dns4", "dns6")[kind - 2])
        host = _read_ip(reader, kind)
        check_ip(host)
        return host
    except SpecError as error:
        if error.kind in ("name", "ip", "unspecified", "multicast"):
            raise SpecError("invalid", str(error)) from error
        raise


def _read_ip(reader, kind):
    if kind == 0:
        return ipaddress.IPv4Address(reader.take(4))
    host = ipaddress.IPv6Address(reader.take(16))
    if host.ipv4_mapped is not None:
        raise SpecError("invalid", "IPv4 written as IPv6")
    return host


def read_socket(reader):
    """A `SocketAddr` as (host, port)."""
    host = _read_ip(reader, reader.variant(2))
    return host, reader.varint(16)


def read_peer_addr(reader):
    peer = read_peer_id(reader)
    return PeerAddr(peer, tuple(reader.sequence(read_candidate, CANDIDATES_MAX)))
