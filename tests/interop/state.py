"""What a connection keeps: streams, packet number spaces, and how it ended."""

from dataclasses import dataclass, field

from aioquic.quic.crypto import CryptoContext
from aioquic.quic.rangeset import RangeSet


@dataclass
class Closed:
    """How a connection ended: by whom, in which frame, with which code."""

    by_peer: bool
    application: bool
    code: int
    reason: str


class Inflow:
    """Puts pieces of a byte stream in order."""

    def __init__(self):
        self.data = bytearray()
        self.pieces = {}
        self.final = None

    def add(self, offset, piece, fin=False):
        if fin:
            self.final = offset + len(piece)
        self.pieces[offset] = max(self.pieces.get(offset, b""), piece, key=len)
        for at in sorted(self.pieces):
            if at > len(self.data):
                break
            rest = self.pieces.pop(at)[len(self.data) - at :]
            self.data += rest

    @property
    def finished(self):
        return self.final is not None and len(self.data) >= self.final


@dataclass
class Stream:
    """One stream, both directions. `inflow.data` is all that arrived so far."""

    number: int
    inflow: Inflow = field(default_factory=Inflow)
    outgoing: bytearray = field(default_factory=bytearray)
    sent: int = 0
    fin: bool = False
    fin_sent: bool = False
    limit: int = 0
    reset: int = None  # the peer's RESET_STREAM code
    stopped: int = None  # the peer's STOP_SENDING code
    early: bool = False  # begun before the handshake was complete

    @property
    def data(self):
        return bytes(self.inflow.data)

    @property
    def done(self):
        return self.inflow.finished or self.reset is not None


@dataclass
class Sent:
    frames: list
    when: float
    early: bool


class Space:
    """One packet number space."""

    def __init__(self):
        self.next_number = 0
        self.received = RangeSet()
        self.largest = -1
        self.ack_due = False
        self.queue = []
        self.sent = {}
        self.datagrams = {}  # packet number -> DATAGRAM frames in it, until acknowledged
        self.inflow = Inflow()
        self.crypto_sent = 0
        self.crypto_read = 0
        self.crypto_messages = 0
        self.rx = CryptoContext()
        self.tx = CryptoContext()
        self.discarded = False
