"""The two sides of a connection: who sends which message of SPEC chapter 4, and when."""

import os
import time

from aioquic.buffer import Buffer, BufferReadError
from aioquic.quic.packet import (
    QuicTransportParameters,
    pull_quic_transport_parameters,
    push_quic_transport_parameters,
)

import handshake
from handshake import HandshakeError
from quic import (
    APPLICATION,
    HANDSHAKE,
    INITIAL,
    PROTOCOL_VIOLATION,
    SUITES,
    TAG_SIZE,
    TRANSPORT_PARAMETER_ERROR,
    Connection,
    QuicError,
)

WINDOW = 1 << 20


def default_parameters(**more):
    """The transport parameters that both roles send.

    No idle timeout (SPEC §8.6), and datagrams of any size.
    """
    return QuicTransportParameters(
        initial_max_data=WINDOW,
        initial_max_stream_data_bidi_local=WINDOW,
        initial_max_stream_data_bidi_remote=WINDOW,
        initial_max_streams_bidi=16,
        active_connection_id_limit=2,
        max_datagram_frame_size=65535,
        **more,
    )


def encode_parameters(parameters):
    """As RFC 9000 §18."""
    buf = Buffer(capacity=1024)
    push_quic_transport_parameters(buf, parameters)
    return buf.data


def decode_parameters(data):
    """As RFC 9000 §18; raises `HandshakeError` for what is malformed."""
    try:
        return pull_quic_transport_parameters(Buffer(data=data))
    except (ValueError, BufferReadError) as error:
        raise HandshakeError(handshake.BAD_PARAMETERS, "malformed parameters") from error


def encode_retry(salt, version, header, new_cid, token):
    """A Retry packet in answer to an Initial with this header (SPEC §4.8)."""
    packet = b"\xf0" + version.to_bytes(4, "big")
    for cid in (header.source_cid, new_cid):
        packet += bytes([len(cid)]) + cid
    packet += token
    return packet + handshake.retry_tag(salt, header.destination_cid, packet)


def invented_cid():
    """The destination connection id of a first Initial: its first bit is 0 (SPEC §8.2)."""
    cid = os.urandom(8)
    return bytes([cid[0] & 0x7F]) + cid[1:]


class DialerConnection(Connection):
    """The side that dials `responder_id`."""

    def __init__(self, key, responder_id, network_key, version, *, counter=None,
                 suites=(handshake.CHACHA20_POLY1305,)):
        salt = handshake.initial_salt(network_key, responder_id)
        super().__init__(True, version, salt, os.urandom(8), invented_cid())
        self.original_dcid = self.remote_cid
        self.noise = handshake.Dialer(key, responder_id, network_key, version)
        self.counter = time.time_ns() // 1000 if counter is None else counter
        self.suites = list(suites)
        self.state = "reply"
        self.accept = None
        self._heard = False
        self._install_initial(self.remote_cid)
        self._adopt(decode_parameters(handshake.EARLY_FLOOR))
        self._send_hello()

    def _send_hello(self):
        parameters = default_parameters(initial_source_connection_id=self.local_cid)
        payload = handshake.HelloPayload(
            peer_id=self.noise.key.peer_id,
            counter=self.counter,
            early_secret=os.urandom(32),
            suites=self.suites,
            parameters=encode_parameters(parameters),
        )
        self.hello = self.noise.write_hello(payload)
        self.send_message(INITIAL, self.hello)
        self._install(self.early_tx, self.noise.early)

    def on_packet(self, header):
        if not self._heard and header.source_cid:
            self._heard = True
            self.remote_cid = header.source_cid

    def on_retry(self, header, packet):
        if self._heard or self.retry_cid is not None:
            return
        tag = handshake.retry_tag(self.salt, self.original_dcid, packet[: -TAG_SIZE])
        if tag != header.integrity_tag:
            return
        self.retry_cid = self.remote_cid = header.source_cid
        self.token = header.token
        self._install_initial(self.remote_cid)
        for space in self.spaces.values():
            for number in list(space.sent):
                space.queue += space.sent.pop(number).frames

    def on_message(self, space, kind, body):
        if (space, kind, self.state) == (INITIAL, handshake.REPLY, "reply"):
            self.noise.read_reply(body)
            self._install_handshake(self.noise.schedule)
            self.state = "accept"
            self._retry_undecryptable()
        elif (space, kind, self.state) == (HANDSHAKE, handshake.ACCEPT, "accept"):
            self._read_accept(body)
        else:
            raise HandshakeError(handshake.OUT_OF_TURN, f"message {kind} out of turn")

    def _read_accept(self, body):
        self.accept = self.noise.read_accept(body)
        parameters = decode_parameters(self.accept.parameters)
        self._check_ids(parameters)
        if self.accept.early:
            self._check_floor(parameters)
        self._adopt(parameters)
        self._install_application(self.noise.schedule, self.accept.suite)
        self.state = "done"
        self.complete = True
        self.send_message(HANDSHAKE, handshake.encode_message(handshake.CONFIRM, b""))
        if not self.accept.early:
            self._repeat_early()
        self._retry_undecryptable()

    def _check_ids(self, parameters):
        expected = (self.original_dcid, self.remote_cid, self.retry_cid)
        if expected != (
            parameters.original_destination_connection_id,
            parameters.initial_source_connection_id,
            parameters.retry_source_connection_id,
        ):
            raise QuicError(TRANSPORT_PARAMETER_ERROR, "the connection ids do not match")

    def _check_floor(self, parameters):
        floor = decode_parameters(handshake.EARLY_FLOOR)
        for name in (
            "initial_max_data",
            "initial_max_stream_data_bidi_remote",
            "initial_max_streams_bidi",
        ):
            if (getattr(parameters, name) or 0) < getattr(floor, name):
                raise QuicError(PROTOCOL_VIOLATION, f"{name} is below the floor")

    def _repeat_early(self):
        space = self.spaces[APPLICATION]
        for number in [n for n, sent in space.sent.items() if sent.early]:
            space.queue += space.sent.pop(number).frames


class ResponderConnection(Connection):
    """The side that is dialed; made from the dialer's first Initial packet."""

    def __init__(self, key, network_key, version, header, *, early=True, retried=None):
        salt = handshake.initial_salt(network_key, key.peer_id)
        super().__init__(False, version, salt, os.urandom(8), header.source_cid)
        self.original_dcid = retried or header.destination_cid
        self.retry_cid = header.destination_cid if retried else None
        self.noise = handshake.Responder(key, network_key, version)
        self.early_wanted = early
        self.state = "hello"
        self.dialer = None
        self._install_initial(header.destination_cid)

    def on_message(self, space, kind, body):
        if (space, kind, self.state) == (INITIAL, handshake.HELLO, "hello"):
            self._answer(body)
        elif (space, kind, self.state) == (HANDSHAKE, handshake.CONFIRM, "confirm"):
            if body:
                raise HandshakeError(handshake.BAD_LENGTH, "Confirm has a body")
            self._confirm()
        else:
            raise HandshakeError(handshake.OUT_OF_TURN, f"message {kind} out of turn")

    def _answer(self, body):
        self.dialer = self.noise.read_hello(body)
        parameters = decode_parameters(self.dialer.parameters)
        if parameters.initial_source_connection_id != self.remote_cid:
            raise QuicError(TRANSPORT_PARAMETER_ERROR, "the connection ids do not match")
        self._adopt(parameters)
        self.send_message(INITIAL, self.alter("reply", self.noise.write_reply()))
        suite = next(s for s in self.dialer.suites if s in SUITES)
        accept = handshake.AcceptBody(
            self.alter("suite", suite), self.early_wanted, encode_parameters(self._parameters())
        )
        self._install_handshake(self.noise.schedule)
        self._install_application(self.noise.schedule, suite)
        message = handshake.encode_message(handshake.ACCEPT, self.alter("body", accept.encode()))
        self.send_message(HANDSHAKE, self.alter("accept", message))
        if self.early_wanted:
            self._install(self.early_rx, self.noise.early)
        self.state = "confirm"
        self._retry_undecryptable()

    def _parameters(self):
        ours = default_parameters(
            initial_source_connection_id=self.local_cid,
            original_destination_connection_id=self.original_dcid,
            retry_source_connection_id=self.retry_cid,
        )
        return self.alter("parameters", ours)

    def alter(self, _what, value):
        """Where tests make a responder misbehave."""
        return value

    def _confirm(self):
        self.state = "done"
        self.complete = self.confirmed = True
        self.queue(APPLICATION, b"\x1e")
        self._retry_undecryptable()
