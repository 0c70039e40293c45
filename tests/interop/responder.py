"""A responder on a UDP socket, in a thread of its own: serves ping/1, identify/1 and message/1."""

import ipaddress
import os
import select
import socket
import threading

from aioquic.buffer import Buffer, BufferReadError
from aioquic.quic.packet import QuicPacketType, pull_quic_header

import frames
import handshake
import messages
import roles
from errors import SpecError


class Responder:
    """Accepts whoever completes the handshake; `messages` is what was received."""

    def __init__(self, key, network, *, kind=roles.ResponderConnection, early=True, retry=None):
        self.key = key
        self.network = network
        self.kind = kind
        self.early = early
        self.retry = retry  # how the Retry packets that come first are changed
        self.retried = {}  # connection id of a Retry -> the original one
        self.connections = []  # (connection, source)
        self.messages = []
        self.faults = []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.address = self.socket.getsockname()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
        self.socket.close()

    def _run(self):
        while not self._stop.is_set():
            if select.select([self.socket], [], [], 0.05)[0]:
                try:
                    self._datagram(*self.socket.recvfrom(65536))
                except BlockingIOError:
                    pass
            for connection, source in self.connections:
                for stream in list(connection.streams.values()):
                    self._serve(connection, source, stream)
                for datagram in connection.send():
                    self.socket.sendto(datagram, source)
        for connection, source in self.connections:
            if connection.closed is None:
                connection.close(frames.CLOSE["shutdown"])
                for datagram in connection.send():
                    self.socket.sendto(datagram, source)

    def _datagram(self, datagram, source):
        try:
            header = pull_quic_header(Buffer(data=datagram), host_cid_length=8)
        except (ValueError, BufferReadError):
            return
        for connection, known in self.connections:
            if header.destination_cid in (
                connection.local_cid,
                connection.retry_cid or connection.original_dcid,
            ):
                return self._feed(connection, datagram)
        if header.packet_type != QuicPacketType.INITIAL or header.version != self.network.version:
            return None
        if self.retry is not None and header.destination_cid not in self.retried:
            return self._send_retry(header, source)
        connection = self.kind(
            self.key,
            self.network.key,
            self.network.version,
            header,
            early=self.early,
            retried=self.retried.get(header.destination_cid),
        )
        self._feed(connection, datagram)
        if connection.packets_seen:
            self.connections.append((connection, source))
        return None

    def _send_retry(self, header, source):
        salt = handshake.initial_salt(self.network.key, self.key.peer_id)
        new_cid = os.urandom(8)
        self.retried[new_cid] = header.destination_cid
        packet = roles.encode_retry(salt, self.network.version, header, new_cid, b"token")
        for changed in self.retry(packet):
            self.socket.sendto(changed, source)

    def _feed(self, connection, datagram):
        try:
            connection.receive(datagram)
        except Exception as error:  # shown by the test that owns the responder
            self.faults.append(error)

    def _serve(self, connection, source, stream):
        if stream.fin or stream.fin_sent or not stream.inflow.finished:
            return
        try:
            reply = self._answer(stream, source)
        except SpecError as error:
            names = {"too_large": "frame_too_large", "unknown_protocol": "unknown_protocol"}
            name = names.get(error.kind) or frames.code_of_body_error(error.kind)
            connection.refuse(stream, frames.STREAM[name])
            return
        connection.write(stream, reply and frames.encode_frame(reply), fin=True)

    def _answer(self, stream, source):
        reader = frames.FrameReader(stream.data)
        header = reader.next(frames.HEADER_LIMIT)
        if header is None:
            raise SpecError("truncated")
        protocol = frames.decode_header(header)
        if protocol == "drain/1":
            return b""
        if protocol not in messages.PROTOCOLS:
            raise SpecError("unknown_protocol")
        limit = messages.PROTOCOLS[protocol].request
        body = reader.next(limit)
        if body is None or reader.next(limit) is not None:
            raise SpecError("frames")
        return getattr(self, "_" + protocol.split("/")[0])(body, source)

    def _ping(self, body, _):
        return messages.Ping.decode(body).encode()

    def _identify(self, body, source):
        messages.IdentifyRequest.decode(body)
        observed = (ipaddress.ip_address(source[0]), source[1])
        return messages.IdentifyReply(
            "interop", observed, [], sorted(messages.PROTOCOLS)
        ).encode()

    def _message(self, body, _):
        request = messages.MessageRequest.decode(body)
        self.messages.append(request)
        return messages.MessageReply(request.id).encode()
