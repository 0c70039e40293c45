"""Protocol names, frames, stream headers and codes: SPEC chapter 6."""

import postcard
from errors import SpecError

HEADER_LIMIT = 128
NAME_MAX = 64

STREAM_CODES = [
    ("cancelled", "nobody"),
    ("unknown_protocol", "nobody"),
    ("unknown_variant", "nobody"),
    ("frame_too_large", "receiver"),
    ("malformed", "receiver"),
    ("early_data", "receiver"),
    ("not_confirmed", "nobody"),
    ("busy", "nobody"),
    ("denied", "nobody"),
    ("timeout", "receiver"),
    ("shutdown", "nobody"),
    ("internal", "sender"),
]
CLOSE_CODES = [
    ("normal", "nobody"),
    ("shutdown", "nobody"),
    ("duplicate", "nobody"),
    ("denied", "nobody"),
    ("idle", "nobody"),
    ("protocol_violation", "receiver"),
    ("handshake_timeout", "nobody"),
    ("disconnect", "nobody"),
    ("busy", "nobody"),
    ("internal", "sender"),
    ("lost", "nobody"),
]
STREAM = {name: code for code, (name, _) in enumerate(STREAM_CODES)}
CLOSE = {name: code for code, (name, _) in enumerate(CLOSE_CODES)}


def code_of_body_error(kind):
    """The name of the stream code that reports an error in a body, SPEC §1.4."""
    return "unknown_variant" if kind == "unknown_variant" else "malformed"


def code_of_frame_error(kind):
    """The same for an error in a frame, SPEC §6.2."""
    return "frame_too_large" if kind == "too_large" else "malformed"


# Protocol names, SPEC §6.1 ---------------------------------------------------------------------


def parse_protocol(text):
    """(name, version) of a protocol's name."""
    if not 1 <= len(text.encode()) <= NAME_MAX:
        raise SpecError("length")
    name, slash, version = text.partition("/")
    if not set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-_"):
        raise SpecError("character")
    if not name or not "a" <= name[0] <= "z":
        raise SpecError("name")
    if not slash or not version.isascii() or not version.isdigit() or version[0] == "0":
        raise SpecError("version")
    if int(version) > 65535:
        raise SpecError("version")
    return name, int(version)


# Frames, SPEC §6.2 -----------------------------------------------------------------------------


def encode_length(length):
    """A QUIC varint in its shortest form."""
    for form, limit in enumerate((63, 16383, 2**30 - 1, 2**62 - 1)):
        if length <= limit:
            size = 1 << form
            return (form << (8 * size - 2) | length).to_bytes(size, "big")
    raise ValueError("longer than any frame")


def encode_frame(body):
    return encode_length(len(body)) + body


class FrameReader:
    """Cuts one direction of a stream, whose end is known, into frames."""

    def __init__(self, data):
        self.data = data
        self.at = 0

    def next(self, limit):
        """The next body, or None at the end."""
        if self.at == len(self.data):
            return None
        size = 1 << (self.data[self.at] >> 6)
        length = int.from_bytes(self._take(size), "big") & ((1 << (8 * size - 2)) - 1)
        if len(encode_length(length)) != size:
            raise SpecError("not_minimal")
        if length > limit:
            raise SpecError("too_large", f"{length} above {limit}")
        return self._take(length)

    def _take(self, count):
        if len(self.data) - self.at < count:
            raise SpecError("truncated")
        piece = self.data[self.at : self.at + count]
        self.at += count
        return piece


def decode_frames(data, limit):
    """All frames of one direction."""
    reader, bodies = FrameReader(data), []
    while (body := reader.next(limit)) is not None:
        bodies.append(body)
    return bodies


# Stream header, SPEC §6.3 ----------------------------------------------------------------------


def encode_header(protocol):
    parse_protocol(protocol)
    return postcard.text(protocol)


def decode_header(body):
    """The protocol that a header names; bytes behind the field are ignored."""
    protocol = postcard.Reader(body).text(NAME_MAX)
    try:
        parse_protocol(protocol)
    except SpecError as error:
        raise SpecError("invalid", f"protocol name: {error}") from error
    return protocol
