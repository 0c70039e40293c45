"""The handshake of SPEC chapter 4: Noise IKpsk0, its four messages and the key schedule.

Noise is the `noiseprotocol` package, HKDF-Expand-Label is aioquic's; only what the chapter adds
to them is written here.
"""

import hashlib
import hmac
import struct
import warnings
from dataclasses import dataclass

from aioquic.tls import hkdf_expand_label, hkdf_extract
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from noise.connection import Keypair, NoiseConnection

import identity

NOISE_NAME = b"Noise_IKpsk0_25519_ChaChaPoly_SHA256"
LABEL = b"pinhole/1"

HELLO, REPLY, ACCEPT, CONFIRM = 1, 2, 3, 4
BODY_MAX = 1000
HELLO_MAX = 700
REPLY_LENGTH = 48
NOISE_OVERHEAD = 96

AES_128_GCM, CHACHA20_POLY1305 = 1, 2
KEY_LENGTH = {AES_128_GCM: 16, CHACHA20_POLY1305: 32}
SUITES_MAX = 8

EARLY_FLOOR = bytes.fromhex("04026000 06025000 080104")

# SPEC §4.9
OUT_OF_TURN = 0x010A
NO_SUITE = 0x0128
BAD_PEER = 0x012A
BAD_PARAMETERS = 0x012F
BAD_LENGTH = 0x0132
NOT_AUTHENTIC = 0x0133


class HandshakeError(Exception):
    """A handshake that has to end, with the close code of SPEC §4.9."""

    def __init__(self, code, reason):
        super().__init__(f"{reason} (0x{code:04x})")
        self.code = code


def expand_label(secret, label, length, context=b""):
    """HKDF-Expand-Label of RFC 8446 §7.1 with SHA-256."""
    return hkdf_expand_label(hashes.SHA256(), secret, label, context, length)


def extract(salt, ikm):
    """HKDF-Extract of RFC 5869 with SHA-256."""
    return hkdf_extract(hashes.SHA256(), salt, ikm)


# Initial keys, packet keys, Retry --------------------------------------------------------------


def initial_salt(network_key, responder_id):
    """SPEC §4.2."""
    return hmac.new(network_key, LABEL + b" initial" + responder_id, hashlib.sha256).digest()


def initial_secrets(salt, destination_cid):
    """(dialer's, responder's) secret of Initial packets, SPEC §4.2."""
    secret = extract(salt, destination_cid)
    return expand_label(secret, b"client in", 32), expand_label(secret, b"server in", 32)


def packet_keys(secret, suite):
    """(key, iv, hp) of SPEC §4.7."""
    length = KEY_LENGTH[suite]
    return (
        expand_label(secret, b"quic key", length),
        expand_label(secret, b"quic iv", 12),
        expand_label(secret, b"quic hp", length),
    )


def next_secret(secret):
    """The secret after a key update, SPEC §4.5.2."""
    return expand_label(secret, b"quic ku", 32)


def retry_keys(salt):
    """(key, nonce) of the integrity tag of Retry, SPEC §4.8."""
    return expand_label(salt, b"retry key", 32), expand_label(salt, b"retry iv", 12)


def retry_tag(salt, original_dcid, packet_without_tag):
    """The integrity tag of a Retry packet, SPEC §4.8."""
    key, nonce = retry_keys(salt)
    pseudo = bytes([len(original_dcid)]) + original_dcid + packet_without_tag
    return ChaCha20Poly1305(key).encrypt(nonce, b"", pseudo)


# Messages --------------------------------------------------------------------------------------


def encode_message(kind, body):
    """One message of SPEC §4.4."""
    if len(body) > BODY_MAX:
        raise HandshakeError(BAD_LENGTH, "message body too long")
    return struct.pack(">BH", kind, len(body)) + body


def decode_messages(data):
    """The whole messages at the start of `data`, and how many bytes they take."""
    messages, at = [], 0
    while len(data) - at >= 3:
        kind, length = struct.unpack_from(">BH", data, at)
        if length > BODY_MAX:
            raise HandshakeError(BAD_LENGTH, "message body too long")
        if len(data) - at - 3 < length:
            break
        messages.append((kind, bytes(data[at + 3 : at + 3 + length])))
        at += 3 + length
    return messages, at


@dataclass
class HelloPayload:
    """SPEC §4.4.1."""

    peer_id: bytes
    counter: int
    early_secret: bytes
    suites: list
    parameters: bytes

    def encode(self):
        return (
            self.peer_id
            + struct.pack(">Q", self.counter)
            + self.early_secret
            + bytes([len(self.suites)])
            + bytes(self.suites)
            + self.parameters
        )

    @classmethod
    def decode(cls, data):
        if len(data) < 73:
            raise HandshakeError(BAD_LENGTH, "Hello too short")
        count = data[72]
        if not 1 <= count <= SUITES_MAX or len(data) < 73 + count:
            raise HandshakeError(BAD_LENGTH, "wrong number of suites")
        suites = list(data[73 : 73 + count])
        if CHACHA20_POLY1305 not in suites:
            raise HandshakeError(NO_SUITE, "ChaCha20-Poly1305 not offered")
        return cls(
            peer_id=data[:32],
            counter=struct.unpack_from(">Q", data, 32)[0],
            early_secret=data[40:72],
            suites=suites,
            parameters=data[73 + count :],
        )


@dataclass
class AcceptBody:
    """SPEC §4.4.3."""

    suite: int
    early: bool
    parameters: bytes

    def encode(self):
        return bytes([self.suite, int(self.early)]) + self.parameters

    @classmethod
    def decode(cls, data):
        if len(data) < 2:
            raise HandshakeError(BAD_LENGTH, "Accept too short")
        return cls(suite=data[0], early=bool(data[1] & 1), parameters=data[2:])


# Key schedule ----------------------------------------------------------------------------------


@dataclass
class Schedule:
    """SPEC §4.5."""

    main: bytes
    dialer_hs: bytes
    responder_hs: bytes
    dialer_ap: bytes
    responder_ap: bytes
    exporter: bytes

    @classmethod
    def derive(cls, h2, k1, k2):
        main = extract(h2, k1 + k2)
        return cls(
            main=main,
            dialer_hs=expand_label(main, b"pinhole d hs", 32),
            responder_hs=expand_label(main, b"pinhole r hs", 32),
            dialer_ap=expand_label(main, b"pinhole d ap", 32),
            responder_ap=expand_label(main, b"pinhole r ap", 32),
            exporter=expand_label(main, b"pinhole exp", 32),
        )


def early_traffic_secret(h1, early_secret):
    """The secret of 0-RTT packets, SPEC §4.5."""
    return expand_label(extract(h1, early_secret), b"pinhole early", 32)


def export(exporter, label, context, length):
    """SPEC §4.5.3."""
    if len(label) > 200 or length > 8160:
        raise ValueError("exporter label or length out of range")
    return expand_label(exporter, label, length, hashlib.sha256(context).digest())


# Noise -----------------------------------------------------------------------------------------


def prologue(version, responder_id):
    """SPEC §4.3."""
    return LABEL + struct.pack(">I", version) + responder_id


class _Side:
    """What both sides of the Noise handshake share."""

    def __init__(self, key, network_key, version, responder_id, ephemeral):
        self.key = key
        self.noise = NoiseConnection.from_name(NOISE_NAME)
        self.noise.set_psks(psk=network_key)
        self.noise.set_prologue(prologue(version, responder_id))
        self.noise.set_keypair_from_private_bytes(Keypair.STATIC, key.x25519_private)
        if ephemeral is not None:
            self.noise.set_keypair_from_private_bytes(Keypair.EPHEMERAL, ephemeral)
        self.h1 = self.h2 = self.k1 = self.k2 = self.schedule = None

    def _start(self):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # fixed ephemeral keys are for vectors only
            self.noise.start_handshake()
        self._state = self.noise.noise_protocol.handshake_state

    def _hash(self):
        return bytes(self._state.symmetric_state.h)

    def _read(self, body):
        try:
            return bytes(self.noise.read_message(body))
        except Exception as error:  # the library raises several kinds, all mean the same here
            raise HandshakeError(NOT_AUTHENTIC, "message does not authenticate") from error

    def _split(self, first, second):
        self.h2 = self._hash()
        self.k1, self.k2 = bytes(first.k), bytes(second.k)
        self.schedule = Schedule.derive(self.h2, self.k1, self.k2)


class Dialer(_Side):
    """The side that sends Hello; `responder_id` is the PeerId that it dials."""

    def __init__(self, key, responder_id, network_key, version, ephemeral=None):
        super().__init__(key, network_key, version, responder_id, ephemeral)
        self.noise.set_as_initiator()
        self.noise.set_keypair_from_public_bytes(
            Keypair.REMOTE_STATIC, identity.x25519_public(responder_id)
        )
        self._start()
        self.suites = []
        self.early = None

    def write_hello(self, payload):
        """The Hello message, whole; derives the secret of 0-RTT packets."""
        body = bytes(self.noise.write_message(payload.encode()))
        if len(body) > HELLO_MAX:
            raise HandshakeError(BAD_LENGTH, "Hello too long")
        self.suites = payload.suites
        self.h1 = self._hash()
        self.early = early_traffic_secret(self.h1, payload.early_secret)
        return encode_message(HELLO, body)

    def read_reply(self, body):
        """Authenticates the responder; derives all other secrets."""
        if len(body) != REPLY_LENGTH:
            raise HandshakeError(BAD_LENGTH, "Reply has a wrong length")
        if self._read(body) != b"":
            raise HandshakeError(BAD_LENGTH, "Reply has a payload")
        protocol = self.noise.noise_protocol
        self._split(protocol.cipher_state_encrypt, protocol.cipher_state_decrypt)

    def read_accept(self, body):
        """The responder's choices."""
        accept = AcceptBody.decode(body)
        if accept.suite not in self.suites:
            raise HandshakeError(NO_SUITE, "the responder chose a suite that was not offered")
        return accept


class Responder(_Side):
    """The side that is dialed."""

    def __init__(self, key, network_key, version, ephemeral=None):
        super().__init__(key, network_key, version, key.peer_id, ephemeral)
        self.noise.set_as_responder()
        self._start()
        self.early = None

    def read_hello(self, body):
        """The dialer's Hello, checked as far as SPEC §4.4.1 says."""
        if not NOISE_OVERHEAD < len(body) <= HELLO_MAX:
            raise HandshakeError(BAD_LENGTH, "Hello has a wrong length")
        payload = HelloPayload.decode(self._read(body))
        try:
            mapped = identity.x25519_public(payload.peer_id)
        except ValueError as error:
            raise HandshakeError(BAD_PEER, "the PeerId is not valid") from error
        if mapped != bytes(self._state.rs.public_bytes):
            raise HandshakeError(BAD_PEER, "the PeerId is not that of the static key")
        self.h1 = self._hash()
        self.early = early_traffic_secret(self.h1, payload.early_secret)
        return payload

    def write_reply(self):
        """The Reply message, whole; derives all other secrets."""
        body = bytes(self.noise.write_message(b""))
        protocol = self.noise.noise_protocol
        self._split(protocol.cipher_state_decrypt, protocol.cipher_state_encrypt)
        return encode_message(REPLY, body)
