"""A responder on a UDP socket, in a thread of its own: serves ping/1, identify/1 and message/1."""

import ipaddress
import select
import socket
import threading

from aioquic.buffer import Buffer, BufferReadError
from aioquic.quic.packet import QuicPacketType, pull_quic_header

import frames
import messages
import quic
from errors import SpecError


class Responder:
    """Accepts whoever completes the handshake; `messages` is what was received."""

    def __init__(self, key, network, *, early=True):
        self.key = key
        self.network = network
        self.early = early
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
            if header.destination_cid in (connection.local_cid, connection.original_dcid):
                return self._feed(connection, datagram)
        if header.packet_type != QuicPacketType.INITIAL or header.version != self.network.version:
            return None
        connection = quic.ResponderConnection(
            self.key, self.network.key, self.network.version, header, early=self.early
        )
        self._feed(connection, datagram)
        if connection.packets_seen:
            self.connections.append((connection, source))
        return None

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
