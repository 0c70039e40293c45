"""A responder on a UDP socket: in a thread of its own, or moved by who calls `turn`."""

import os
import select
import socket
import threading

from aioquic.buffer import Buffer, BufferReadError
from aioquic.quic.packet import QuicPacketType, pull_quic_header

import frames
import handshake
import roles
import services


class Responder:
    """Accepts whoever completes the handshake."""

    def __init__(self, key, network, *, kind=roles.ResponderConnection, early=True, retry=None):
        self.key = key
        self.network = network
        self.kind = kind
        self.early = early
        self.retry = retry  # how the Retry packets that come first are changed
        self.retried = {}  # connection id of a Retry -> the original one
        self.connections = []  # (connection, source)
        self.services = services.Services()
        self.mute = False  # reads on, and sends nothing
        self.faults = []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.address = self.socket.getsockname()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def first(self):
        """The first connection that came."""
        return self.connections[0][0]

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
        self.socket.close()

    def _run(self):
        while not self._stop.is_set():
            select.select([self.socket], [], [], 0.05)
            self.turn()
        self.shut_down()

    def turn(self):
        """Takes what has come, answers it, and sends what is due."""
        while select.select([self.socket], [], [], 0)[0]:
            self._datagram(*self.socket.recvfrom(65536))
        for connection, source in self.connections:
            self.services.serve(connection, source)
            for datagram in [] if self.mute else connection.send():
                self.socket.sendto(datagram, source)

    def shut_down(self):
        """Closes all connections."""
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
