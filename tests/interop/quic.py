"""A small QUIC of RFC 9000 with the handshake of SPEC chapter 4 in its CRYPTO frames.

Packet headers, packet protection, transport parameters and variable-length integers are aioquic's;
the connection below is as small as the tests allow: it acknowledges everything, sends what was not
acknowledged in time again, and has no congestion control. It does no input or output by itself:
`receive` takes datagrams and `send` returns them.
"""

import time

from aioquic._crypto import CryptoError
from aioquic.buffer import Buffer, BufferReadError, encode_uint_var
from aioquic.quic.crypto import CryptoContext, apply_key_phase, next_key_phase
from aioquic.quic.packet import (
    QuicPacketType,
    pull_ack_frame,
    pull_quic_header,
    push_ack_frame,
)
from aioquic.tls import CipherSuite

import handshake
from handshake import HandshakeError
from state import Closed, Sent, Space, Stream

INITIAL, HANDSHAKE, APPLICATION = "initial", "handshake", "application"
LONG_BITS = {"initial": 0xC0, "0-rtt": 0xD0, "handshake": 0xE0}
SPACE_OF = {
    QuicPacketType.INITIAL: INITIAL,
    QuicPacketType.HANDSHAKE: HANDSHAKE,
    QuicPacketType.ZERO_RTT: APPLICATION,
    QuicPacketType.ONE_RTT: APPLICATION,
}
SUITES = {
    handshake.AES_128_GCM: CipherSuite.AES_128_GCM_SHA256,
    handshake.CHACHA20_POLY1305: CipherSuite.CHACHA20_POLY1305_SHA256,
}

DATAGRAM_MIN = 1200
PACKET_NUMBER_SIZE = 4
TAG_SIZE = 16
RESEND_AFTER = 0.3
CHUNK = 1000

NO_ERROR, PROTOCOL_VIOLATION, TRANSPORT_PARAMETER_ERROR = 0x00, 0x0A, 0x08


class QuicError(Exception):
    """A fault of the peer, with the transport error code that it deserves."""

    def __init__(self, code, reason):
        super().__init__(f"{reason} (0x{code:x})")
        self.code = code


class Connection:
    """What both roles share. Roles override `on_message` and `on_established`."""

    def __init__(self, is_dialer, version, salt, local_cid, remote_cid):
        self.is_dialer = is_dialer
        self.version = version
        self.salt = salt
        self.local_cid = local_cid
        self.remote_cid = remote_cid
        self.original_dcid = None
        self.retry_cid = None
        self.token = b""
        self.spaces = {name: Space() for name in (INITIAL, HANDSHAKE, APPLICATION)}
        self.early_tx = CryptoContext()
        self.early_rx = CryptoContext()
        self.streams = {}
        self.next_stream = 0 if is_dialer else 1
        self.peer_max_data = 0
        self.peer_max_streams = 0
        self.peer_stream_window = 0
        self.sent_data = 0
        self.parameters = None
        self.complete = False
        self.confirmed = False
        self.closed = None
        self.close_frame = None
        self.peer_updates = 0
        self.datagrams = []  # (time, payload) of each DATAGRAM frame that came
        self.datagrams_sent = self.datagrams_acked = 0
        self.bytes_in = self.bytes_out = 0
        self.packets_seen = []  # (type, number) of every packet that was readable
        self.undecryptable = []
        self.flights = 0

    # Receiving ---------------------------------------------------------------------------------

    def receive(self, datagram):
        """Takes one datagram; what cannot be read is dropped, as RFC 9000 says."""
        self.bytes_in += len(datagram)
        buf = Buffer(data=datagram)
        while not buf.eof():
            start = buf.tell()
            try:
                header = pull_quic_header(buf, host_cid_length=len(self.local_cid))
            except (ValueError, BufferReadError):
                return
            end = start + header.packet_length
            if header.version in (None, self.version):
                self._receive_packet(header, datagram[start:end], buf.tell() - start)
            buf.seek(end)

    def _receive_packet(self, header, packet, offset):
        if header.packet_type == QuicPacketType.RETRY:
            return self.on_retry(header, packet)
        space = self.spaces.get(SPACE_OF.get(header.packet_type))
        if space is None or space.discarded:
            return None
        rx = self.early_rx if header.packet_type == QuicPacketType.ZERO_RTT else space.rx
        try:
            plain, payload, number, updated = rx.decrypt_packet(packet, offset, space.largest + 1)
        except CryptoError:
            self.undecryptable.append((header, packet, offset))
            return None
        if plain[0] & (0x0C if plain[0] & 0x80 else 0x18):
            raise QuicError(PROTOCOL_VIOLATION, "reserved bits are not zero")
        if updated:
            self._follow_key_update(space)
        if number in space.received:
            return None
        self.packets_seen.append((header.packet_type.name.lower(), number))
        self.on_packet(header)
        space.received.add(number, number + 1)
        space.largest = max(space.largest, number)
        self._frames(header.packet_type, space, payload)
        return None

    def _retry_undecryptable(self):
        waiting, self.undecryptable = self.undecryptable, []
        for header, packet, offset in waiting:
            self._receive_packet(header, packet, offset)

    def _follow_key_update(self, space):
        apply_key_phase(space.rx, next_key_phase(space.rx), trigger="peer")
        self.peer_updates += 1
        if space.tx.key_phase != space.rx.key_phase:
            apply_key_phase(space.tx, next_key_phase(space.tx), trigger="peer")

    def update_key(self):
        """Starts a key update (RFC 9001 §6.1): the next packet has the other key phase."""
        tx = self.spaces[APPLICATION].tx
        apply_key_phase(tx, next_key_phase(tx), trigger="local")

    def _frames(self, packet_type, space, payload):
        buf = Buffer(data=payload)
        if buf.eof():
            raise QuicError(PROTOCOL_VIOLATION, "a packet without frames")
        while not buf.eof():
            kind = buf.pull_uint_var()
            if kind not in (0x00, 0x02, 0x03, 0x1C, 0x1D):
                space.ack_due = True
            try:
                self._frame(kind, buf, packet_type, space)
            except BufferReadError as error:
                raise QuicError(0x07, f"frame 0x{kind:x} ends too early") from error

    def _frame(self, kind, buf, packet_type, space):
        number = buf.pull_uint_var
        if kind in (0x00, 0x01):
            return
        if kind in (0x02, 0x03):
            acked, _ = pull_ack_frame(buf)
            if kind == 0x03:
                number(), number(), number()
            for packet in [n for n in space.sent if n in acked]:
                del space.sent[packet]
            for packet in [n for n in space.datagrams if n in acked]:
                self.datagrams_acked += space.datagrams.pop(packet)
        elif kind == 0x06:
            offset, length = number(), number()
            space.inflow.add(offset, buf.pull_bytes(length))
            self._read_messages(space)
        elif kind in (0x1C, 0x1D):
            code = number()
            if kind == 0x1C:
                number()
            reason = buf.pull_bytes(number()).decode("utf-8", "replace")
            self.closed = self.closed or Closed(True, kind == 0x1D, code, reason)
        elif space is not self.spaces[APPLICATION]:
            raise QuicError(PROTOCOL_VIOLATION, f"frame 0x{kind:x} in a {packet_type} packet")
        else:
            self._application_frame(kind, buf, number)

    def _application_frame(self, kind, buf, number):
        if kind == 0x04:
            stream = self._stream(number())
            stream.reset = number()
            number()
        elif kind == 0x05:
            stream = self._stream(number())
            stream.stopped = number()
            if not stream.fin_sent:
                self._reset_sending(stream, stream.stopped)
        elif kind == 0x07:
            buf.pull_bytes(number())
        elif 0x08 <= kind <= 0x0F:
            stream = self._stream(number())
            offset = number() if kind & 4 else 0
            length = number() if kind & 2 else buf.capacity - buf.tell()
            stream.inflow.add(offset, buf.pull_bytes(length), bool(kind & 1))
        elif kind == 0x10:
            self.peer_max_data = max(self.peer_max_data, number())
        elif kind == 0x11:
            stream = self._stream(number())
            stream.limit = max(stream.limit, number())
        elif kind == 0x12:
            self.peer_max_streams = max(self.peer_max_streams, number())
        elif kind in (0x13, 0x14, 0x16, 0x17, 0x19):
            number()
        elif kind == 0x15:
            number(), number()
        elif kind == 0x18:
            number(), number()
            buf.pull_bytes(buf.pull_uint8())
            buf.pull_bytes(16)
        elif kind == 0x1A:
            self.queue(APPLICATION, b"\x1b" + buf.pull_bytes(8))
        elif kind == 0x1B:
            buf.pull_bytes(8)
        elif kind == 0x1E and self.is_dialer:
            self.confirmed = True
            self._discard(HANDSHAKE)
        elif kind in (0x30, 0x31):
            length = number() if kind == 0x31 else buf.capacity - buf.tell()
            self.datagrams.append((time.monotonic(), buf.pull_bytes(length)))
        else:
            raise QuicError(0x07, f"unknown frame 0x{kind:x}")

    def _read_messages(self, space):
        name = next(n for n, s in self.spaces.items() if s is space)
        pending = bytes(space.inflow.data[space.crypto_read :])
        messages, used = handshake.decode_messages(pending)
        space.crypto_read += used
        for kind, body in messages:
            self.on_message(name, kind, body)
            space.crypto_messages += 1
        if space.crypto_messages > 1 or (space.crypto_messages and used < len(pending)):
            raise HandshakeError(handshake.OUT_OF_TURN, "bytes behind the message")

    def _stream(self, number):
        if number not in self.streams:
            self.streams[number] = Stream(number, limit=self._window_of_peer_streams())
        return self.streams[number]

    def _window_of_peer_streams(self):
        return (self.parameters and self.parameters.initial_max_stream_data_bidi_local) or 0

    # Roles -------------------------------------------------------------------------------------

    def on_packet(self, header):
        """Called for every readable packet, before its frames."""

    def on_retry(self, header, packet):
        """Called for a Retry packet."""

    def on_message(self, space, kind, body):
        """Called for every whole handshake message."""
        raise NotImplementedError

    # Streams -----------------------------------------------------------------------------------

    def open_stream(self):
        """A new bidirectional stream of this side."""
        if self.next_stream // 4 >= self.peer_max_streams:
            raise QuicError(NO_ERROR, "the peer allows no more streams")
        stream = Stream(self.next_stream, limit=self.peer_stream_window, early=not self.complete)
        self.streams[stream.number] = stream
        self.next_stream += 4
        return stream

    def write(self, stream, data, fin=False):
        """Queues data on a stream; `fin` ends it."""
        stream.outgoing += data
        stream.fin = stream.fin or fin

    def _fill_streams(self):
        for stream in self.streams.values():
            while not stream.fin_sent and stream.stopped is None:
                room = min(stream.limit - stream.sent, self.peer_max_data - self.sent_data, CHUNK)
                piece = bytes(stream.outgoing[stream.sent : stream.sent + room])
                fin = stream.fin and stream.sent + len(piece) == len(stream.outgoing)
                if not piece and not fin:
                    break
                head = bytes([0x0E | int(fin)]) + encode_uint_var(stream.number)
                head += encode_uint_var(stream.sent) + encode_uint_var(len(piece))
                self.queue(APPLICATION, head + piece)
                stream.sent += len(piece)
                self.sent_data += len(piece)
                stream.fin_sent = fin

    def refuse(self, stream, code):
        """Gives a stream up in both directions (SPEC §6.4)."""
        if not stream.fin_sent:
            self._reset_sending(stream, code)
        if not stream.done:
            numbers = encode_uint_var(stream.number) + encode_uint_var(code)
            self.queue(APPLICATION, b"\x05" + numbers)

    def _reset_sending(self, stream, code):
        numbers = encode_uint_var(stream.number) + encode_uint_var(code)
        self.queue(APPLICATION, b"\x04" + numbers + encode_uint_var(stream.sent))
        stream.fin_sent = True

    # Sending -----------------------------------------------------------------------------------

    def queue(self, space, frame):
        """A frame to send, again and again until it is acknowledged."""
        self.spaces[space].queue.append(frame)

    def send_datagram(self, payload):
        """A DATAGRAM frame (RFC 9221): acknowledged, and not sent again if it is lost."""
        if len(payload) + 9 > (self.parameters.max_datagram_frame_size or 0):
            raise QuicError(NO_ERROR, "the peer takes no datagrams of that size")
        self.datagrams_sent += 1
        self.queue(APPLICATION, b"\x31" + encode_uint_var(len(payload)) + payload)

    def send_message(self, space, message):
        """A handshake message, whole in one CRYPTO frame."""
        state = self.spaces[space]
        head = b"\x06" + encode_uint_var(state.crypto_sent) + encode_uint_var(len(message))
        state.crypto_sent += len(message)
        self.queue(space, head + message)

    def close(self, code=0, reason=b"", application=True):
        """Ends the connection with a CONNECTION_CLOSE."""
        frame = bytes([0x1D if application else 0x1C]) + encode_uint_var(code)
        frame += b"" if application else b"\x00"
        self.close_frame = frame + encode_uint_var(len(reason)) + reason

    def send(self):
        """The datagrams that are due now."""
        self._resend_late()
        if self.complete or self.early_tx.is_valid():
            self._fill_streams()
        if self.close_frame is not None:
            self._queue_close()
        datagrams = []
        while True:
            datagram = self._datagram()
            if not datagram:
                break
            datagrams.append(datagram)
        self.bytes_out += sum(map(len, datagrams))
        self.flights += bool(datagrams)
        return datagrams

    def _queue_close(self):
        for name in (INITIAL, HANDSHAKE, APPLICATION):
            space = self.spaces[name]
            space.queue = []
            if space.tx.is_valid() and not (name != APPLICATION and self.close_frame[0] == 0x1D):
                space.queue = [self.close_frame]
        code = Buffer(data=self.close_frame[1:]).pull_uint_var()
        self.closed = self.closed or Closed(False, self.close_frame[0] == 0x1D, code, "")
        self.close_frame = None

    def _resend_late(self):
        now = time.monotonic()
        for space in self.spaces.values():
            for number in [n for n, sent in space.sent.items() if now - sent.when > RESEND_AFTER]:
                space.queue += space.sent.pop(number).frames

    def _contexts(self):
        """(space, packet type, context) in the order in which packets share a datagram."""
        application = self.spaces[APPLICATION]
        kind, context = "1-rtt", application.tx
        if not context.is_valid():
            kind, context = "0-rtt", self.early_tx
        return (
            (self.spaces[INITIAL], "initial", self.spaces[INITIAL].tx),
            (self.spaces[HANDSHAKE], "handshake", self.spaces[HANDSHAKE].tx),
            (application, kind, context),
        )

    def _datagram(self):
        room = DATAGRAM_MIN
        plan = []
        for space, kind, context in self._contexts():
            if not context.is_valid() or space.discarded:
                continue
            frames = self._take(space, kind, room - self._overhead(kind))
            if frames:
                plan.append((space, kind, context, frames))
                room -= self._overhead(kind) + max(4, sum(map(len, frames)))
        if not plan:
            return b""
        frames = [frame for _, _, _, taken in plan for frame in taken]
        if not any(kind == "initial" for _, kind, _, _ in plan):
            # RFC 9000 §8.2.2: a datagram with a PATH_RESPONSE is padded too
            room = room if any(frame[0] == 0x1B for frame in frames) else 0
        out = b""
        for index, (space, kind, context, frames) in enumerate(plan):
            padding = room if index == len(plan) - 1 else 0
            out += self._packet(space, kind, context, frames, padding)
        if self.is_dialer and any(kind == "handshake" for _, kind, _, _ in plan):
            self._discard(INITIAL)
        return out

    def _take(self, space, kind, room):
        frames = []
        if space.ack_due and kind != "0-rtt":
            buf = Buffer(capacity=256)
            buf.push_uint_var(0x02)
            push_ack_frame(buf, space.received, 0, 200)
            frames.append(buf.data)
            space.ack_due = False
        used = sum(map(len, frames))
        while space.queue and used + len(space.queue[0]) <= room:
            used += len(space.queue[0])
            frames.append(space.queue.pop(0))
        return frames

    def _overhead(self, kind):
        if kind == "1-rtt":
            return 1 + len(self.remote_cid) + PACKET_NUMBER_SIZE + TAG_SIZE
        base = 9 + len(self.remote_cid) + len(self.local_cid) + PACKET_NUMBER_SIZE + TAG_SIZE
        if kind == "initial":
            base += len(encode_uint_var(len(self.token))) + len(self.token)
        return base

    def _packet(self, space, kind, context, frames, padding):
        payload = b"".join(frames)
        payload += bytes(max(padding, 4 - len(payload), 0))
        number, space.next_number = space.next_number, space.next_number + 1
        header = self._header(kind, context, len(payload) + PACKET_NUMBER_SIZE + TAG_SIZE)
        header += number.to_bytes(PACKET_NUMBER_SIZE, "big")
        if count := sum(frame[0] == 0x31 for frame in frames):
            space.datagrams[number] = count
        eliciting = [f for f in frames if f[0] not in (0x02, 0x1C, 0x1D, 0x31)]
        if eliciting:
            space.sent[number] = Sent(eliciting, time.monotonic(), kind == "0-rtt")
        return context.encrypt_packet(header, payload, number)

    def _header(self, kind, context, length):
        if kind == "1-rtt":
            first = 0x40 | context.key_phase << 2 | (PACKET_NUMBER_SIZE - 1)
            return bytes([first]) + self.remote_cid
        header = bytes([LONG_BITS[kind] | (PACKET_NUMBER_SIZE - 1)])
        header += self.version.to_bytes(4, "big")
        for cid in (self.remote_cid, self.local_cid):
            header += bytes([len(cid)]) + cid
        if kind == "initial":
            header += encode_uint_var(len(self.token)) + self.token
        return header + (0x4000 | length).to_bytes(2, "big")

    # Keys --------------------------------------------------------------------------------------

    def _install(self, context, secret, suite=handshake.CHACHA20_POLY1305):
        context.setup(cipher_suite=SUITES[suite], secret=secret, version=1)

    def _install_initial(self, destination_cid):
        dialer, responder = handshake.initial_secrets(self.salt, destination_cid)
        space = self.spaces[INITIAL]
        self._install(space.tx, dialer if self.is_dialer else responder)
        self._install(space.rx, responder if self.is_dialer else dialer)

    def _install_handshake(self, schedule):
        space = self.spaces[HANDSHAKE]
        ours, theirs = schedule.dialer_hs, schedule.responder_hs
        if not self.is_dialer:
            ours, theirs = theirs, ours
        self._install(space.tx, ours)
        self._install(space.rx, theirs)

    def _install_application(self, schedule, suite):
        space = self.spaces[APPLICATION]
        ours, theirs = schedule.dialer_ap, schedule.responder_ap
        if not self.is_dialer:
            ours, theirs = theirs, ours
        self._install(space.tx, ours, suite)
        self._install(space.rx, theirs, suite)

    def _discard(self, name):
        self.spaces[name].discarded = True
        self.spaces[name].sent = {}

    def _adopt(self, parameters):
        self.parameters = parameters
        self.peer_max_data = parameters.initial_max_data or 0
        self.peer_max_streams = parameters.initial_max_streams_bidi or 0
        self.peer_stream_window = parameters.initial_max_stream_data_bidi_remote or 0
        for stream in self.streams.values():
            stream.limit = max(stream.limit, self.peer_stream_window)
