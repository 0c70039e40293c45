"""Records that peers sign and others keep: SPEC chapter 12, and their places of §11.1."""

import hashlib
from dataclasses import dataclass

import addresses
import identity
import postcard
from errors import SpecError

LIMIT = 1240
NAME_MAX, VALUE_MAX = 64, 1000
SIGNATURE = 64
LABEL = b"pinhole record 1"
LONGEST = (48 + 1) * 3600  # seconds from now, with 1 h for clocks that differ


def place_of_peer(peer_id):
    return hashlib.sha256(b"pinhole dht peer 1" + peer_id).digest()


def place_of_value(owner, name):
    return hashlib.sha256(b"pinhole dht value 1" + owner + name.encode()).digest()


def place_of_topic(topic):
    return hashlib.sha256(b"pinhole dht topic 1" + topic).digest()


@dataclass(frozen=True)
class Value:
    name: str
    value: bytes

    def encode(self):
        return b"\x00" + postcard.text(self.name) + postcard.byte_string(self.value)

    def place(self, owner):
        return place_of_value(owner, self.name)

    def as_json(self):
        return {"value": {"name": self.name, "value": self.value.hex()}}


@dataclass(frozen=True)
class Address:
    candidates: list

    def encode(self):
        return b"\x01" + _encode_candidates(self.candidates)

    def place(self, owner):
        return place_of_peer(owner)

    def as_json(self):
        return {"address": [str(candidate) for candidate in self.candidates]}


@dataclass(frozen=True)
class Provider:
    topic: bytes
    candidates: list

    def encode(self):
        return b"\x02" + self.topic + _encode_candidates(self.candidates)

    def place(self, _):
        return place_of_topic(self.topic)

    def as_json(self):
        candidates = [str(candidate) for candidate in self.candidates]
        return {"provider": {"topic": self.topic.hex(), "candidates": candidates}}


def _encode_candidates(candidates):
    return postcard.sequence([candidate.encode() for candidate in candidates])


def _read_body(reader):
    kind = reader.variant(3)
    if kind == 0:
        return Value(reader.text(NAME_MAX), reader.byte_string(VALUE_MAX))
    topic = reader.take(32) if kind == 2 else None
    candidates = reader.sequence(addresses.read_candidate, addresses.CANDIDATES_MAX)
    return Address(candidates) if kind == 1 else Provider(topic, candidates)


@dataclass(frozen=True)
class Record:
    owner: bytes
    body: object
    sequence: int
    expires: int
    signature: bytes = None

    @property
    def signed(self):
        """What is signed, behind the label."""
        numbers = postcard.varint(self.sequence) + postcard.varint(self.expires)
        return self.owner + self.body.encode() + numbers

    @property
    def place(self):
        return self.body.place(self.owner)

    def encode(self):
        return self.signed + self.signature

    @classmethod
    def sign(cls, key, body, sequence, expires):
        bare = cls(key.peer_id, body, sequence, expires)
        return cls(key.peer_id, body, sequence, expires, key.sign(LABEL + bare.signed))

    @classmethod
    def read(cls, reader):
        """As a part of a body; the signature is not checked."""
        owner = addresses.read_peer_id(reader)
        body = _read_body(reader)
        return cls(owner, body, reader.varint(64), reader.varint(64), reader.take(SIGNATURE))

    @classmethod
    def decode(cls, data):
        """A record whose owner has signed it."""
        if len(data) > LIMIT:
            raise SpecError("too_long")
        record = postcard.decode(data, cls.read)
        if not identity.verify(record.owner, LABEL + record.signed, record.signature):
            raise SpecError("signature")
        return record

    def check_time(self, now):
        """The last two checks of SPEC §12.2."""
        if self.expires <= now:
            raise SpecError("expired")
        if self.expires > now + LONGEST:
            raise SpecError("too_late")
