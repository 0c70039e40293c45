"""The datagrams of SPEC §10.2: what peers say so that each knows that the other is there."""

from dataclasses import dataclass

from errors import SpecError


@dataclass(frozen=True)
class Heartbeat:
    """I live, and if nothing else comes the next of these comes within so many seconds.

    The answer is QUIC's ACK.
    """

    seconds: int

    def encode(self):
        return bytes([0x00, self.seconds])

    def as_json(self):
        return {"heartbeat": {"seconds": self.seconds}}


@dataclass(frozen=True)
class Rebound:
    """After a quiet time your packets come from another address than before."""

    def encode(self):
        return b"\x01"

    def as_json(self):
        return "rebound"


def decode(payload):
    """One datagram; what raises `SpecError` is to be ignored."""
    if not payload:
        raise SpecError("malformed", "empty")
    kind, rest = payload[0], payload[1:]
    if kind == 0x00:
        if len(rest) != 1 or rest[0] == 0:
            raise SpecError("malformed", "heartbeat")
        return Heartbeat(rest[0])
    if kind == 0x01:
        if rest:
            raise SpecError("malformed", "rebound")
        return Rebound()
    raise SpecError("unknown_kind", f"0x{kind:02x}")
