"""PeerIds, keys, network keys and signatures: SPEC chapter 2."""

import functools
import hashlib
import os
import re
from dataclasses import dataclass

import bech32
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

import curve
from errors import SpecError

LENGTH = 32
TEXT_LENGTH = 62
PREFIX = "pin"
BECH32M = 0x2BC830A3
CHECKSUM = 6

PUBLIC_NETWORK_KEY = hashlib.sha256(b"pinhole public network 1").digest()
PUBLIC_QUIC_VERSION = 0x70696E31


# PeerId, SPEC §2.1 -----------------------------------------------------------------------------


def parse_bytes(data):
    """32 bytes as a PeerId: the checks of parsing."""
    if len(data) != LENGTH:
        raise SpecError("length")
    if data[31] & 0x80:
        raise SpecError("sign_bit")
    y = int.from_bytes(data, "little")
    if y >= curve.P:
        raise SpecError("non_canonical")
    if curve.x_of(y) is None:
        raise SpecError("not_on_curve")
    if y == 1:
        raise SpecError("identity")
    return bytes(data)


@functools.cache
def check_first_use(peer_id):
    """The check before the first handshake or signature."""
    if not curve.in_prime_order_subgroup(_point(peer_id)):
        raise SpecError("torsion")


def x25519_public(peer_id):
    """The Noise public key of a PeerId, all checks of SPEC §2.1 included."""
    check_first_use(parse_bytes(peer_id))
    return curve.montgomery_u(int.from_bytes(peer_id, "little")).to_bytes(32, "little")


def _point(peer_id):
    y = int.from_bytes(peer_id, "little")
    return curve.x_of(y), y


# Keys, SPEC §2.2 -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Key:
    """The identity of this side."""

    seed: bytes
    peer_id: bytes
    x25519_private: bytes

    @classmethod
    def from_seed(cls, seed):
        public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
        if public[31] & 0x80:
            raise SpecError("sign_bit")
        scalar = bytearray(hashlib.sha512(seed).digest()[:32])
        scalar[0] &= 0xF8
        scalar[31] = scalar[31] & 0x7F | 0x40
        return cls(bytes(seed), public, bytes(scalar))

    @classmethod
    def new(cls):
        while True:
            try:
                return cls.from_seed(os.urandom(32))
            except SpecError:
                continue

    def x25519_public(self):
        """By X25519 itself, not by the map."""
        private = X25519PrivateKey.from_private_bytes(self.x25519_private)
        return private.public_key().public_bytes_raw()

    def sign(self, message):
        return Ed25519PrivateKey.from_private_bytes(self.seed).sign(message)


# Text form, SPEC §2.3 --------------------------------------------------------------------------


def encode(peer_id):
    """The text of a PeerId."""
    groups = bech32.convertbits(peer_id, 8, 5)
    values = bech32.bech32_hrp_expand(PREFIX) + groups + [0] * CHECKSUM
    checksum = bech32.bech32_polymod(values) ^ BECH32M
    groups += [checksum >> 5 * (CHECKSUM - 1 - i) & 31 for i in range(CHECKSUM)]
    return PREFIX + "1" + "".join(bech32.CHARSET[group] for group in groups)


def parse(text):
    """The PeerId that a text stands for."""
    lower = text.lower() if text.isascii() else text
    if _is_other_format(text):
        raise SpecError("other_format")
    if re.search("[a-z]", text) and re.search("[A-Z]", text):
        raise SpecError("mixed_case")
    if not lower.startswith(PREFIX + "1"):
        raise SpecError("prefix")
    if not set(lower[4:]) <= set(bech32.CHARSET):
        raise SpecError("character")
    if len(lower) != TEXT_LENGTH:
        raise SpecError("length")
    groups = [bech32.CHARSET.index(character) for character in lower[4:]]
    if bech32.bech32_polymod(bech32.bech32_hrp_expand(PREFIX) + groups) != BECH32M:
        raise SpecError("checksum")
    data = bech32.convertbits(groups[:-CHECKSUM], 5, 8, False)
    if data is None:
        raise SpecError("padding")
    return parse_bytes(bytes(data))


def _is_other_format(text):
    if not (text.isascii() and text.isalnum()):
        return False
    return (
        text.startswith("12D3Koo")
        or (len(text) == 46 and text.startswith("Qm"))
        or (len(text) > 50 and text.startswith("bafz"))
        or re.fullmatch("[0-9a-fA-F]{64}", text) is not None
        or (len(text) == 52 and not text.startswith("pin1"))
    )


# Network key, SPEC §2.4 ------------------------------------------------------------------------


@dataclass(frozen=True)
class Network:
    """A network: its key, and the QUIC version that follows from it."""

    key: bytes

    @classmethod
    def public(cls):
        return cls(PUBLIC_NETWORK_KEY)

    @classmethod
    def from_file_text(cls, text):
        line = text.strip(" \t\n\v\f\r")
        if not line:
            raise SpecError("empty")
        if "\n" in line or "\r" in line:
            raise SpecError("lines")
        if not re.fullmatch("[0-9a-fA-F]*", line):
            raise SpecError("character")
        if len(line) != 2 * LENGTH:
            raise SpecError("length")
        return cls(bytes.fromhex(line))

    def to_file_text(self):
        return self.key.hex() + "\n"

    @property
    def is_public(self):
        return self.key == PUBLIC_NETWORK_KEY

    @property
    def version(self):
        if self.is_public:
            return PUBLIC_QUIC_VERSION
        digest = hashlib.sha256(b"pinhole quic version" + self.key).digest()
        version = int.from_bytes(digest[:4], "big") & ~(1 << 30) | 1 << 31
        if version & 0x0F0F0F0F == 0x0A0A0A0A:
            version ^= 1
        return version


# Signatures, SPEC §2.5 -------------------------------------------------------------------------


def verify(peer_id, message, signature):
    """Whether a strict verifier accepts the signature."""
    if len(signature) != 64:
        return False
    r, s = signature[:32], int.from_bytes(signature[32:], "little")
    if s >= curve.ORDER:
        return False
    r_point = curve.decode(r)
    if r_point is None or curve.multiply(8, r_point) == curve.IDENTITY:
        return False
    check_first_use(parse_bytes(peer_id))
    digest = hashlib.sha512(r + peer_id + message).digest()
    k = int.from_bytes(digest, "little") % curve.ORDER
    x, y = curve.multiply(k, _point(peer_id))
    difference = curve.add(curve.multiply(s, curve.BASE), (curve.P - x, y))
    return curve.encode(difference) == r
