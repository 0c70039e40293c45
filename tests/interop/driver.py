"""Moves a dialer's connection over a UDP socket, and runs the protocols of SPEC chapter 7 on it."""

import os
import select
import socket
import time

import frames
import messages
import roles
import services


class Refused(Exception):
    """The peer refused a stream, with the code of SPEC §6.4."""

    def __init__(self, code):
        super().__init__(f"the peer refused the stream with code {code}")
        self.code = code


class Timeout(Exception):
    """Nothing came in time."""


class Link:
    """One connection and its socket."""

    def __init__(self, connection, address, port):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.connection = connection
        self.remote = (address, port)
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.loses = lambda: False  # asked for each datagram, in both directions
        self.sent = []
        self.received = []
        self.services = services.Services()
        self.mute = False  # `turn` reads on, and sends nothing

    @property
    def first(self):
        """Its connection, as `Responder.first`."""
        return self.connection

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.connection.closed is None and self.socket.fileno() >= 0:
            self.connection.close()
            self.flush()
        self.socket.close()

    def flush(self):
        """Sends what is due."""
        for datagram in self.connection.send():
            self.sent.append(datagram)
            if not self.loses():
                self.socket.sendto(datagram, self.remote)

    def wait(self, condition, seconds=5.0):
        """Runs the connection until the condition holds, or raises `Timeout`."""
        deadline = time.monotonic() + seconds
        while True:
            self.flush()
            if condition():
                return
            if self.connection.closed is not None:
                raise ConnectionError(f"the connection ended: {self.connection.closed}")
            left = deadline - time.monotonic()
            if left <= 0:
                raise Timeout(f"nothing within {seconds} s")
            self._receive(min(left, 0.05))

    def turn(self):
        """Takes what has come, answers it, and sends what is due: for who moves many links."""
        self._receive(0)
        self.services.serve(self.connection, self.remote)
        if not self.mute:
            self.flush()

    def _receive(self, seconds):
        if not select.select([self.socket], [], [], seconds)[0]:
            return
        while True:
            try:
                datagram, _ = self.socket.recvfrom(65536)
            except BlockingIOError:
                return
            self.received.append(datagram)
            if not self.loses():
                self.connection.receive(datagram)

    def wait_quietly(self, seconds):
        """Takes what comes in that time, and sends nothing."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self._receive(left)

    def establish(self, seconds=5.0):
        """Completes the handshake, up to HANDSHAKE_DONE."""
        self.wait(lambda: self.connection.confirmed, seconds)

    def begin(self, protocol, body):
        """Opens a stream and sends its header and one request frame."""
        stream = self.connection.open_stream()
        data = frames.encode_frame(frames.encode_header(protocol)) + frames.encode_frame(body)
        self.connection.write(stream, data, fin=True)
        return stream

    def finish(self, stream, limit, seconds=5.0):
        """The one reply frame of a stream, when it has come."""
        self.wait(lambda: stream.done, seconds)
        return self.reply(stream, limit)

    def reply(self, stream, limit):
        """The one reply frame of a stream that is done.

        A refusal comes with RESET_STREAM in any case, since the answering side has not ended its
        direction; STOP_SENDING alone refuses nothing that is sent already.
        """
        if stream.reset is not None:
            if stream.stopped not in (None, stream.reset):
                raise ValueError(f"two codes: {stream.reset} and {stream.stopped}")
            raise Refused(stream.reset)
        replies = frames.decode_frames(stream.data, limit)
        if len(replies) != 1:
            raise ValueError(f"{len(replies)} reply frames instead of one")
        return replies[0]

    def request(self, protocol, body, limit, seconds=5.0):
        """One request and its reply."""
        return self.finish(self.begin(protocol, body), limit, seconds)


def ping(link, seconds=5.0):
    """The round-trip time of one ping/1, in seconds."""
    nonce = os.urandom(messages.NONCE)
    started = time.monotonic()
    reply = link.request("ping/1", nonce, messages.NONCE, seconds)
    if reply != nonce:
        raise ValueError("the reply has another nonce")
    return time.monotonic() - started


def identify(link, seconds=5.0):
    """What the peer says of itself."""
    reply = link.request("identify/1", b"", messages.IDENTIFY_REPLY_LIMIT, seconds)
    return messages.IdentifyReply.decode(reply)


def send_message(link, kind, body, message_id=None, seconds=5.0):
    """The peer's answer to one message/1."""
    request = messages.MessageRequest(message_id or os.urandom(16), kind, body)
    reply = link.request(
        "message/1", request.encode(), messages.MESSAGE_REPLY_LIMIT, seconds
    )
    answer = messages.MessageReply.decode(reply)
    if answer.id != request.id:
        raise ValueError("the reply has another id")
    return answer


def dial(key, peer_id, network, address, port, **options):
    """A link to a peer; the Hello is not sent yet."""
    connection = roles.DialerConnection(key, peer_id, network.key, network.version, **options)
    return Link(connection, address, port)
