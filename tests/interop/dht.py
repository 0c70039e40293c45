"""The bodies of find/1 and store/1: SPEC §11.3 and §11.4."""

from dataclasses import dataclass, field

import addresses
import messages
import postcard
from errors import SpecError
from records import Record

PLACE = 32
RECORDS_MAX, CONTACTS_MAX, ADDRS_MAX = 8, 20, 2
REFUSALS = ("not_serving", "invalid", "expiry", "full")
PROTOCOLS = {
    "find/1": messages.Limits(66, 1980, True),
    "store/1": messages.Limits(1240, 16, False),
}


@dataclass(frozen=True)
class FindRequest:
    """`records` is the place at which records are wanted, or None."""

    serves: bool
    near: bytes
    records: bytes = None

    def encode(self):
        want = b"\x00" if self.records is None else b"\x01" + self.records
        return bytes([self.serves]) + self.near + want

    @classmethod
    def decode(cls, body):
        def read(reader):
            serves, near = reader.flag(), reader.take(PLACE)
            return cls(serves, near, reader.take(PLACE) if reader.variant(2) else None)

        return postcard.decode(body, read)

    def as_json(self):
        want = "contacts" if self.records is None else {"records": self.records.hex()}
        return {"serves": self.serves, "near": self.near.hex(), "want": want}


@dataclass(frozen=True)
class Contact:
    """A node and one or two addresses of different families, IPv4 first."""

    peer: bytes
    addrs: list

    def encode(self):
        return self.peer + postcard.sequence([addresses.encode_socket(*a) for a in self.addrs])

    @classmethod
    def read(cls, reader):
        peer = addresses.read_peer_id(reader)
        addrs = reader.sequence(addresses.read_socket, ADDRS_MAX)
        if [host.version for host, _ in addrs] not in ([4], [6], [4, 6]):
            raise SpecError("invalid", "families")
        for host, port in addrs:
            _check_dialable(host, port)
        return cls(peer, addrs)

    def as_json(self):
        addrs = [addresses.socket_text(*addr) for addr in self.addrs]
        return {"peer": self.peer.hex(), "addrs": addrs}


def _check_dialable(host, port):
    try:
        addresses.check_ip(host)
    except SpecError as error:
        raise SpecError("invalid", str(error)) from error
    if port == 0:
        raise SpecError("invalid", "port 0")


@dataclass(frozen=True)
class Found:
    records: list = field(default_factory=list)
    contacts: list = field(default_factory=list)

    def encode(self):
        return postcard.sequence([record.encode() for record in self.records]) + (
            postcard.sequence([contact.encode() for contact in self.contacts])
        )

    @classmethod
    def decode(cls, body):
        def read(reader):
            records = reader.sequence(Record.read, RECORDS_MAX)
            return cls(records, reader.sequence(Contact.read, CONTACTS_MAX))

        return postcard.decode(body, read)

    def as_json(self):
        return {
            "records": [record.encode().hex() for record in self.records],
            "contacts": [contact.as_json() for contact in self.contacts],
        }


@dataclass(frozen=True)
class Stored:
    """`older` has the sequence of the newer record, `refused` the reason."""

    older: int = None
    refused: str = None

    def encode(self):
        if self.older is not None:
            return b"\x01" + postcard.varint(self.older)
        if self.refused is not None:
            return b"\x02" + postcard.varint(REFUSALS.index(self.refused))
        return b"\x00"

    @classmethod
    def decode(cls, body):
        def read(reader):
            kind = reader.variant(3)
            if kind == 1:
                return cls(older=reader.varint(64))
            return cls(refused=REFUSALS[reader.variant(len(REFUSALS))]) if kind else cls()

        return postcard.decode(body, read)

    def as_json(self):
        if self.older is not None:
            return {"older": self.older}
        return "kept" if self.refused is None else {"refused": self.refused}


TYPES = {
    "find request": FindRequest,
    "find reply": Found,
    "store request": Record,
    "store reply": Stored,
}
