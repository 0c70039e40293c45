"""Message bodies: the part of the postcard format that SPEC §1.4 describes."""

import unicodedata

from errors import SpecError

BITS = {"u16": 16, "u32": 32, "u64": 64, "i16": 16, "i32": 32, "i64": 64}


def varint(value):
    """LEB128, shortest form."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def zigzag(value):
    """0, -1, 1, -2 become 0, 1, 2, 3."""
    return 2 * value if value >= 0 else -2 * value - 1


def text(value):
    data = value.encode("utf-8")
    return varint(len(data)) + data


def byte_string(value):
    return varint(len(value)) + value


def sequence(items):
    """A list of values that are encoded already."""
    return varint(len(items)) + b"".join(items)


class Reader:
    """Reads one body from front to back."""

    def __init__(self, data):
        self.data = bytes(data)
        self.at = 0

    @property
    def left(self):
        return len(self.data) - self.at

    def take(self, count):
        if count > self.left:
            raise SpecError("end")
        piece = self.data[self.at : self.at + count]
        self.at += count
        return piece

    def finish(self):
        if self.left:
            raise SpecError("trailing", f"{self.left} bytes")

    def u8(self):
        return self.take(1)[0]

    def varint(self, bits):
        value = shift = 0
        most = -(-bits // 7)
        for count in range(1, most + 1):
            byte = self.u8()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                if (byte == 0 and count > 1) or value >> bits:
                    raise SpecError("varint")
                return value
        raise SpecError("varint", "too long")

    def zigzag(self, bits):
        value = self.varint(bits)
        return value >> 1 if value % 2 == 0 else -(value >> 1) - 1

    def flag(self):
        byte = self.u8()
        if byte > 1:
            raise SpecError("flag")
        return bool(byte)

    def count(self, limit=None):
        """A length or count, checked against what is left and against the limit."""
        count = self.varint(64)
        if count > self.left:
            raise SpecError("end")
        if limit is not None and count > limit:
            raise SpecError("limit", f"{count} above {limit}")
        return count

    def text(self, limit=None):
        """Text; with a limit it is the `Text(n)` of SPEC §1.5."""
        data = self.take(self.count(limit))
        try:
            value = data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise SpecError("utf8") from error
        if limit is not None and any(unicodedata.category(c) == "Cc" for c in value):
            raise SpecError("invalid", "control character")
        return value

    def byte_string(self, limit=None):
        return self.take(self.count(limit))

    def sequence(self, element, limit=None):
        return [element(self) for _ in range(self.count(limit))]

    def optional(self, element):
        return element(self) if self.flag() else None

    def variant(self, known):
        """The number of an enum's variant, of which the reader knows `known`."""
        number = self.varint(32)
        if number >= known:
            raise SpecError("unknown_variant", str(number))
        return number


def decode(data, element):
    """One value and nothing behind it."""
    reader = Reader(data)
    value = element(reader)
    reader.finish()
    return value
