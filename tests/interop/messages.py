"""The bodies of ping/1, identify/1, message/1 and reach/1: SPEC chapter 7."""

from dataclasses import dataclass, field

import addresses
import frames
import identity
import postcard
from errors import SpecError

NONCE = 8
AGENT_MAX = 64
PROTOCOLS_MAX = 32
LISTEN_MAX = 8
BODY_MAX = 65536
ID = 16

KINDS = ("chat", "data", "control")
REFUSALS = ("full", "not_wanted", "body")
REACHED = ("heard", "silent", "not_connected", "busy")


@dataclass(frozen=True)
class Limits:
    """A row of the table in SPEC §7.1."""

    request: int
    reply: int
    idempotent: bool


PROTOCOLS = {
    "ping/1": Limits(8, 8, True),
    "identify/1": Limits(0, 8192, False),
    "message/1": Limits(65556, 64, False),
    "reach/1": Limits(32, 64, False),
}
IDENTIFY_REPLY_LIMIT = PROTOCOLS["identify/1"].reply
MESSAGE_REPLY_LIMIT = PROTOCOLS["message/1"].reply
REACH_REPLY_LIMIT = PROTOCOLS["reach/1"].reply


@dataclass(frozen=True)
class Ping:
    """Request and reply of ping/1."""

    nonce: bytes

    def encode(self):
        return self.nonce

    @classmethod
    def decode(cls, body):
        return cls(postcard.decode(body, lambda reader: reader.take(NONCE)))

    def as_json(self):
        return {"nonce": self.nonce.hex()}


@dataclass(frozen=True)
class IdentifyRequest:
    """An empty body."""

    def encode(self):
        return b""

    @classmethod
    def decode(cls, body):
        return postcard.decode(body, lambda _: cls())

    def as_json(self):
        return {}


@dataclass(frozen=True)
class IdentifyReply:
    """What a peer says of itself."""

    agent: str
    observed: tuple
    listen: list = field(default_factory=list)
    protocols: list = field(default_factory=list)

    def encode(self):
        return (
            postcard.text(self.agent)
            + addresses.encode_socket(*self.observed)
            + postcard.sequence([candidate.encode() for candidate in self.listen])
            + postcard.sequence([postcard.text(name) for name in self.protocols])
        )

    @classmethod
    def decode(cls, body):
        def read(reader):
            agent = reader.text(AGENT_MAX)
            observed = addresses.read_socket(reader)
            listen = reader.sequence(addresses.read_candidate, LISTEN_MAX)
            return cls(agent, observed, listen, reader.sequence(_protocol, PROTOCOLS_MAX))

        return postcard.decode(body, read)

    def as_json(self):
        return {
            "agent": self.agent,
            "observed": addresses.socket_text(*self.observed),
            "listen": [str(candidate) for candidate in self.listen],
            "protocols": self.protocols,
        }


def _protocol(reader):
    name = reader.text(frames.NAME_MAX)
    try:
        frames.parse_protocol(name)
    except SpecError as error:
        raise SpecError("invalid", str(error)) from error
    return name


@dataclass(frozen=True)
class MessageRequest:
    """One message."""

    id: bytes
    kind: str
    body: bytes

    def encode(self):
        kind = postcard.varint(KINDS.index(self.kind))
        return self.id + kind + postcard.byte_string(self.body)

    @classmethod
    def decode(cls, body):
        def read(reader):
            message_id = reader.take(ID)
            kind = KINDS[reader.variant(len(KINDS))]
            return cls(message_id, kind, reader.byte_string(BODY_MAX))

        return postcard.decode(body, read)

    def as_json(self):
        return {"id": self.id.hex(), "kind": self.kind, "body": self.body.hex()}


@dataclass(frozen=True)
class MessageReply:
    """The receipt; `refusal` is None if the message was accepted."""

    id: bytes
    refusal: str = None

    def encode(self):
        if self.refusal is None:
            return self.id + b"\x00"
        return self.id + b"\x01" + postcard.varint(REFUSALS.index(self.refusal))

    @classmethod
    def decode(cls, body):
        def read(reader):
            message_id = reader.take(ID)
            if reader.variant(2) == 0:
                return cls(message_id)
            return cls(message_id, REFUSALS[reader.variant(len(REFUSALS))])

        return postcard.decode(body, read)

    def as_json(self):
        outcome = "accepted" if self.refusal is None else {"refused": self.refusal}
        return {"id": self.id.hex(), "outcome": outcome}


@dataclass(frozen=True)
class Reach:
    """Do you hear this peer?"""

    peer: bytes

    def encode(self):
        return self.peer

    @classmethod
    def decode(cls, body):
        return cls(postcard.decode(body, addresses.read_peer_id))

    def as_json(self):
        return {"peer": identity.encode(self.peer)}


@dataclass(frozen=True)
class Reached:
    """The answer; `rtt_ms` is there if the peer was heard."""

    answer: str
    rtt_ms: int = None

    def encode(self):
        rtt = postcard.varint(self.rtt_ms) if self.answer == "heard" else b""
        return postcard.varint(REACHED.index(self.answer)) + rtt

    @classmethod
    def decode(cls, body):
        def read(reader):
            answer = REACHED[reader.variant(len(REACHED))]
            return cls(answer, reader.varint(16) if answer == "heard" else None)

        return postcard.decode(body, read)

    def as_json(self):
        return {"heard": {"rtt_ms": self.rtt_ms}} if self.answer == "heard" else self.answer


TYPES = {
    "ping request": Ping,
    "ping reply": Ping,
    "identify request": IdentifyRequest,
    "identify reply": IdentifyReply,
    "message request": MessageRequest,
    "message reply": MessageReply,
    "reach request": Reach,
    "reach reply": Reached,
}
