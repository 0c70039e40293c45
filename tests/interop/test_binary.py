"""This implementation against the real program (PINHOLE_NODE, or target/debug/node)."""

import dataclasses
import os
import pathlib
import platform
import select
import socket
import tempfile
import unittest

from aioquic.buffer import Buffer, encode_uint_var

import driver
import frames
import handshake
import identity
import messages
import postcard
import program
import quic
import responder

PUBLIC = identity.Network.public()
SETTLE = 0.2  # seconds in which an answer that must not come would come


class Case(unittest.TestCase):
    """One node for the tests of a class, on the public network."""

    flags = ()

    @classmethod
    def setUpClass(cls):
        cls.node = program.Node(*cls.flags)
        cls.addClassCleanup(cls.node.__exit__)

    def dial(self, key=None, network=PUBLIC, peer_id=None, **options):
        link = driver.dial(
            key or identity.Key.new(),
            peer_id or self.node.peer_id,
            network,
            self.node.host,
            self.node.port,
            **options,
        )
        self.addCleanup(link.__exit__)
        return link

    def connect(self, *arguments, **options):
        link = self.dial(*arguments, **options)
        link.establish()
        return link

    def silent(self, *links):
        """The node took what was sent before, and answered nothing.

        A handshake that completes shows that the node read its socket beyond what came before.
        """
        driver.ping(self.connect())
        sockets = [link.socket for link in links]
        readable, _, _ = select.select(sockets, [], [], SETTLE)
        self.assertEqual(readable, [], "an answer came where silence was due")


class Connected(Case):
    def test_ping(self):
        link = self.connect()
        for _ in range(10):
            self.assertLess(driver.ping(link), 5)

    def test_nothing_is_sent_in_addition(self):
        """SPEC §6.4: on the good path there is no STOP_SENDING."""
        link = self.connect()
        for protocol in ("ping/1", "identify/1"):
            stream = link.begin(protocol, bytes(messages.PROTOCOLS[protocol].request))
            link.finish(stream, 8192)
            driver.ping(link)
            self.assertIsNone(stream.stopped, protocol)

    def test_parameters_of_the_responder(self):
        link = self.connect()
        raw = raw_parameters(link.connection.accept.parameters)
        self.assertNotIn(0x2AB2, raw, "grease_quic_bit")
        self.assertEqual(int.from_bytes(raw.get(0x09, b""), "big"), 0, "unidirectional streams")
        self.assertEqual(len(raw[0x0F]), 8, "connection ids have 8 bytes")
        self.assertEqual(raw[0x00], link.connection.original_dcid)
        self.assertNotIn(0x10, raw)

    def test_suites(self):
        chacha, aes = handshake.CHACHA20_POLY1305, handshake.AES_128_GCM
        link = self.connect(suites=[chacha])
        self.assertEqual(link.connection.accept.suite, chacha)
        driver.ping(link)
        for offered in ([aes, chacha], [chacha, aes], [0x7F, aes, chacha]):
            with self.subTest(offered=offered):
                link = self.connect(suites=offered)
                chosen = link.connection.accept.suite
                self.assertEqual(chosen, aes if aes_in_hardware() else chacha)
                driver.ping(link)

    def test_identify(self):
        link = self.connect()
        reply = driver.identify(link)
        host, port = reply.observed
        self.assertEqual((str(host), port), ("127.0.0.1", link.socket.getsockname()[1]))
        self.assertLessEqual({"ping/1", "identify/1", "message/1"}, set(reply.protocols))
        self.assertTrue(reply.agent)

    def test_message(self):
        key = identity.Key.new()
        link = self.connect(key)
        for kind, body in (("chat", "grüß dich".encode()), ("data", b"\xff\x00"), ("control", b"")):
            with self.subTest(kind=kind):
                message_id = os.urandom(16)
                reply = driver.send_message(link, kind, body, message_id)
                self.assertIsNone(reply.refusal)
                event = self.node.event("message", id=message_id.hex(), kind=kind)
                self.assertEqual(event["peer"], identity.encode(key.peer_id))
                if kind == "chat":
                    self.assertEqual(event["body"], "grüß dich")

    def test_message_again_is_acknowledged_and_not_delivered_again(self):
        link = self.connect()
        message_id = os.urandom(16)
        for _ in range(2):
            reply = driver.send_message(link, "chat", b"once", message_id)
            self.assertIsNone(reply.refusal)
        driver.send_message(link, "chat", b"after", os.urandom(16))
        self.node.event("message", body="after")
        delivered = [e for e in self.node.seen if e.get("id") == message_id.hex()]
        self.assertEqual(len(delivered), 1)

    def test_chat_that_is_not_text_is_refused(self):
        reply = driver.send_message(self.connect(), "chat", b"\xff")
        self.assertEqual(reply.refusal, "body")

    def test_largest_message(self):
        body = b"x" * messages.BODY_MAX
        reply = driver.send_message(self.connect(), "chat", body, seconds=20)
        self.assertIsNone(reply.refusal)

    def test_event_of_the_peer(self):
        key = identity.Key.new()
        self.connect(key)
        event = self.node.event("peer", peer=identity.encode(key.peer_id), state="connected")
        self.assertEqual(event["origin"], "inbound")

    def test_key_update_by_the_dialer(self):
        link = self.connect()
        for update in (1, 2, 3):
            link.connection.update_key()
            driver.ping(link)
            self.assertEqual(link.connection.peer_updates, update)

    def test_exporters_do_not_show_but_connection_ids_are_echoed(self):
        link = self.connect()
        self.assertEqual(len(link.connection.remote_cid), 8)

    def test_unidirectional_stream_is_a_violation(self):
        link = self.connect()
        link.connection.queue(quic.APPLICATION, b"\x0b\x02\x00")
        with self.assertRaises(ConnectionError):
            link.wait(lambda: False)
        closed = link.connection.closed
        self.assertEqual((closed.by_peer, closed.application, closed.code), (True, False, 0x04))

    def test_normal_close_by_the_dialer(self):
        key = identity.Key.new()
        link = self.connect(key)
        peer = identity.encode(key.peer_id)
        self.node.event("peer", peer=peer, state="connected")
        link.connection.close(frames.CLOSE["normal"])
        link.flush()
        self.node.event("peer", peer=peer, was="connected")


class Refusals(Case):
    """SPEC §6.4: which code a stream gets."""

    def code(self, data, fin=True):
        link = self.connect()
        stream = link.connection.open_stream()
        link.connection.write(stream, data, fin=fin)
        with self.assertRaises(driver.Refused) as caught:
            link.finish(stream, 1 << 16)
        driver.ping(link)  # the connection is none the worse
        return caught.exception.code

    def test_codes(self):
        ping = frames.encode_frame(frames.encode_header("ping/1"))
        identify = frames.encode_frame(frames.encode_header("identify/1"))
        message = frames.encode_frame(frames.encode_header("message/1"))
        nonce = frames.encode_frame(bytes(8))
        unknown = frames.encode_frame(frames.encode_header("org.example.none/1"))
        newer = frames.encode_frame(frames.encode_header("ping/2"))
        kind = frames.encode_frame(bytes(16) + b"\x03\x00")
        cases = {
            "unknown protocol": ("unknown_protocol", unknown),
            "unknown version": ("unknown_protocol", newer),
            "header too large": ("frame_too_large", frames.encode_frame(bytes(129))),
            "header is no text": ("malformed", b"\x02\x01\xff"),
            "name breaks the rules": ("malformed", frames.encode_frame(postcard.text("Ping/1"))),
            "header length not minimal": ("malformed", b"\x40\x07\x06ping/1"),
            "header cut off": ("malformed", ping[:3]),
            "no header": ("malformed", b""),
            "no request": ("malformed", ping),
            "request too large": ("frame_too_large", ping + frames.encode_frame(bytes(9))),
            "request too small": ("malformed", ping + frames.encode_frame(bytes(7))),
            "request cut off": ("malformed", ping + nonce[:4]),
            "identify with a body": ("frame_too_large", identify + b"\x01\x00"),
            "message of an unknown kind": ("unknown_variant", message + kind),
            "message too large": ("frame_too_large", message + b"\x80\x01\x00\x15"),
            "message cut off": ("malformed", message + frames.encode_frame(bytes(17))),
        }
        for name, (code, data) in cases.items():
            with self.subTest(name):
                self.assertEqual(self.code(data), frames.STREAM[code])

    def test_a_header_with_fields_of_the_future(self):
        link = self.connect()
        stream = link.connection.open_stream()
        header = frames.encode_frame(frames.encode_header("ping/1") + b"future")
        link.connection.write(stream, header + frames.encode_frame(b"12345678"), fin=True)
        self.assertEqual(link.finish(stream, 8), b"12345678")

    def test_an_answer_does_not_wait_for_fin(self):
        link = self.connect()
        stream = link.connection.open_stream()
        header = frames.encode_frame(frames.encode_header("ping/1"))
        link.connection.write(stream, header + frames.encode_frame(b"12345678"))
        self.assertEqual(link.finish(stream, 8), b"12345678")

    def test_a_request_in_pieces(self):
        link = self.connect()
        stream = link.connection.open_stream()
        whole = frames.encode_frame(frames.encode_header("ping/1")) + frames.encode_frame(b"1" * 8)
        for byte in whole:
            link.connection.write(stream, bytes([byte]))
            link.flush()
        link.connection.write(stream, b"", fin=True)
        self.assertEqual(link.finish(stream, 8), b"1" * 8)


class Early(Case):
    """SPEC §4.6: early data on first contact."""

    def test_ping_is_answered_within_the_first_flight(self):
        link = self.dial()
        stream = link.begin("ping/1", b"\x01" * 8)
        link.flush()
        sent = len(link.sent)
        self.assertEqual(sent, 1, "Hello and request share a datagram")
        while not stream.done:
            ready = select.select([link.socket], [], [], 5)[0]
            self.assertTrue(ready, "no answer to the first flight alone")
            link.connection.receive(link.socket.recv(65536))
        self.assertTrue(link.connection.accept.early)
        self.assertEqual(len(link.sent), sent)
        self.assertEqual(link.finish(stream, 8), b"\x01" * 8)
        link.establish()
        driver.ping(link)

    def test_as_many_pings_as_the_floor_allows(self):
        link = self.dial()
        streams = [link.begin("ping/1", bytes([n]) * 8) for n in range(4)]
        with self.assertRaises(quic.QuicError):
            link.connection.open_stream()
        for number, stream in enumerate(streams):
            self.assertEqual(link.finish(stream, 8), bytes([number]) * 8)

    def test_other_protocols_are_refused_and_served_once_confirmed(self):
        for protocol, body in (
            ("identify/1", b""),
            ("message/1", messages.MessageRequest(os.urandom(16), "chat", b"early").encode()),
        ):
            with self.subTest(protocol):
                link = self.dial()
                stream = link.begin(protocol, body)
                with self.assertRaises(driver.Refused) as caught:
                    link.finish(stream, 8192)
                self.assertEqual(caught.exception.code, frames.STREAM["early_data"])
                link.establish()
                self.assertTrue(link.request(protocol, body, 8192))

    def test_early_message_is_not_delivered(self):
        link = self.dial()
        request = messages.MessageRequest(os.urandom(16), "chat", b"never")
        stream = link.begin("message/1", request.encode())
        with self.assertRaises(driver.Refused):
            link.finish(stream, 64)
        link.establish()
        driver.send_message(link, "chat", b"later")
        self.node.event("message", body="later")
        self.assertNotIn("never", [e.get("body") for e in self.node.seen])


class Silence(Case):
    """SPEC chapter 5: what gets no answer at all."""

    def test_wrong_id(self):
        link = self.dial(peer_id=identity.Key.new().peer_id)
        link.flush()
        self.silent(link)

    def test_wrong_network_key(self):
        other = identity.Network(os.urandom(32))
        link = self.dial(network=other)
        link.flush()
        forged = driver.Link(
            quic.DialerConnection(
                identity.Key.new(), self.node.peer_id, other.key, PUBLIC.version
            ),
            self.node.host,
            self.node.port,
        )
        self.addCleanup(forged.__exit__)
        forged.flush()
        self.silent(link, forged)

    def test_replayed_hello(self):
        first = self.dial()
        first.begin("ping/1", bytes(8))
        first.establish()
        again = self.dial()
        again.socket.sendto(first.sent[0], again.remote)
        first.__exit__()
        third = self.dial()
        third.socket.sendto(first.sent[0], third.remote)
        self.silent(again, third)

    def test_counter_that_does_not_rise(self):
        key = identity.Key.new()
        counter = self.connect(key).connection.counter
        links = [self.dial(key, counter=value) for value in (counter, counter - 1, 0)]
        for link in links:
            link.flush()
        self.silent(*links)
        self.connect(key, counter=counter + 1)

    def test_hello_of_another_identity(self):
        """The PeerId in the payload is not that of the static key."""
        link = self.altered(lambda payload: payload.__setattr__("peer_id", self.other.peer_id))
        self.silent(link)

    def test_hellos_that_are_malformed(self):
        changes = {
            "no suite": lambda p: p.__setattr__("suites", []),
            "nine suites": lambda p: p.__setattr__("suites", [2] * 9),
            "no ChaCha20": lambda p: p.__setattr__("suites", [1]),
            "parameters cut off": lambda p: p.__setattr__("parameters", p.parameters[:-1]),
            "id with its sign bit": lambda p: p.__setattr__(
                "peer_id", p.peer_id[:31] + bytes([p.peer_id[31] | 0x80])
            ),
            "too long": lambda p: p.__setattr__("parameters", p.parameters + padding(600)),
        }
        links = []
        for change in changes.values():
            links.append(self.altered(change))
        self.silent(*links)

    def test_hello_of_the_largest_size(self):
        def fill(payload):
            room = handshake.HELLO_MAX - handshake.NOISE_OVERHEAD - len(payload.encode())
            payload.parameters += padding(room)

        link = self.altered(fill)
        self.assertEqual(len(link.connection.hello), 3 + handshake.HELLO_MAX)
        link.establish()

    def test_datagram_below_1200_bytes(self):
        link = self.dial()
        link.connection.send()  # as it should be, thrown away
        short = self.dial()
        connection = short.connection
        space = connection.spaces[quic.INITIAL]
        packet = connection._packet(space, "initial", space.tx, space.queue, 0)
        padded = connection._packet(space, "initial", space.tx, space.queue, 1199 - len(packet))
        short.socket.sendto(packet, short.remote)
        short.socket.sendto(padded, short.remote)
        self.assertLess(len(padded), 1200)
        self.silent(short)

    def test_hello_with_company(self):
        """SPEC §5.2, check 7: an ACK frame or a second CRYPTO frame beside the Hello."""
        links = []
        for frame in (b"\x02\x00\x00\x00\x00", b"\x06\x40\xff\x01\x00", b"\x1c\x00\x00\x00"):
            link = self.dial()
            link.connection.spaces[quic.INITIAL].queue.append(frame)
            link.flush()
            links.append(link)
        self.silent(*links)

    def test_hello_in_pieces(self):
        link = self.dial()
        hello = link.connection.hello
        pieces = [
            b"\x06\x00" + encode_uint_var(100) + hello[:100],
            b"\x06" + encode_uint_var(100) + encode_uint_var(len(hello) - 100) + hello[100:],
        ]
        link.connection.spaces[quic.INITIAL].queue = pieces
        link.flush()
        self.silent(link)

    def test_other_datagrams(self):
        versions = (0, 1, 0x6B3343CF, 0x0A1A2A3A, PUBLIC.version ^ 1)
        good = self.dial()
        datagrams = [
            good.connection.send()[0][:1] + version.to_bytes(4, "big") + os.urandom(1195)
            for version in versions
            for good in [self.dial()]
        ]
        datagrams += [b"", b"\x40", b"\x40" + bytes(8), b"\x40" + os.urandom(1199)]
        datagrams += [b"\x00" + bytes(1199), b"\x80" + bytes(1199), b"\xc0" * 1200]
        links = [self.dial() for _ in datagrams]
        for link, datagram in zip(links, datagrams):
            link.socket.sendto(datagram, link.remote)
        self.silent(*links)

    def test_connection_id_below_8_bytes(self):
        link = self.dial()
        connection = link.connection
        connection.remote_cid = connection.original_dcid = b"\x01" * 7
        connection._install_initial(connection.remote_cid)
        link.flush()
        self.silent(link)

    def altered(self, change):
        """A link whose Hello payload was changed before it was sealed."""
        self.other = identity.Key.new()
        link = self.dial()
        link.connection = AlteredConnection(
            identity.Key.new(), self.node.peer_id, PUBLIC.key, PUBLIC.version, change=change
        )
        link.flush()
        return link


class AlteredConnection(quic.DialerConnection):
    """Sends a Hello that was changed; the limits of the honest dialer do not hold it back."""

    def __init__(self, *arguments, change, **options):
        self.change = change
        super().__init__(*arguments, **options)

    def _send_hello(self):
        parameters = quic.default_parameters(initial_source_connection_id=self.local_cid)
        payload = handshake.HelloPayload(
            self.noise.key.peer_id, self.counter, os.urandom(32), self.suites,
            quic.encode_parameters(parameters),
        )
        self.change(payload)
        self.noise.suites = payload.suites
        body = bytes(self.noise.noise.write_message(payload.encode()))
        self.hello = handshake.encode_message(handshake.HELLO, body)
        self.send_message(quic.INITIAL, self.hello)


class HandshakeFaults(Case):
    """SPEC §4.9: faults of a dialer that was admitted are answered with their code."""

    def code(self, message):
        link = self.dial()
        send = link.connection.send_message

        def replaced(space, honest):
            send(space, message if space == quic.HANDSHAKE else honest)

        link.connection.send_message = replaced
        with self.assertRaises(ConnectionError):
            link.wait(lambda: link.connection.confirmed)
        closed = link.connection.closed
        self.assertEqual((closed.by_peer, closed.application), (True, False))
        return closed.code

    def test_codes(self):
        encode = handshake.encode_message
        cases = {
            "Confirm with a body": (handshake.BAD_LENGTH, encode(handshake.CONFIRM, b"x")),
            "Accept from a dialer": (handshake.OUT_OF_TURN, encode(handshake.ACCEPT, b"\x02\x00")),
            "Hello a second time": (handshake.OUT_OF_TURN, encode(handshake.HELLO, bytes(200))),
            "bytes behind": (handshake.OUT_OF_TURN, encode(handshake.CONFIRM, b"") + b"\x04"),
            "unknown type": (handshake.OUT_OF_TURN, encode(9, b"")),
        }
        for name, (code, message) in cases.items():
            with self.subTest(name):
                self.assertEqual(self.code(message), code)


class Paths(Case):
    """SPEC §5.5 and §8.4: several sources of one dialer, and a dialer that moves."""

    def other_socket(self):
        other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        other.setblocking(False)
        self.addCleanup(other.close)
        return other

    def test_what_was_lost_comes_again(self):
        link = self.dial()
        link.flush()
        self.assertTrue(select.select([link.socket], [], [], 5)[0])
        for _ in range(2):
            drain(link.socket)
        link.establish()
        driver.ping(link)

    def test_two_sources_are_answered_and_a_fourth_is_not(self):
        link = self.dial()
        link.flush()
        sources = [self.other_socket() for _ in range(3)]
        for source in sources:
            source.sendto(link.sent[0], link.remote)
        for source in sources[:2]:
            self.assertTrue(select.select([source], [], [], 5)[0], "no answer to this source")
        self.silent(Holder(sources[2]))
        link.establish()
        driver.ping(link)

    def test_the_confirm_may_come_from_the_second_source(self):
        link = self.dial()
        link.flush()
        second = self.other_socket()
        second.sendto(link.sent[0], link.remote)
        self.assertTrue(select.select([second], [], [], 5)[0])
        self.addCleanup(link.socket.close)
        link.socket = second
        link.establish()
        driver.ping(link)

    def test_bytes_to_each_source_before_it_is_validated(self):
        link = self.dial()
        link.begin("ping/1", bytes(8))
        link.flush()
        link.wait_quietly(1.0)
        self.assertLessEqual(sum(map(len, link.received)), 3 * sum(map(len, link.sent)))

    def test_a_dialer_that_moves_is_followed(self):
        link = self.connect()
        driver.ping(link)
        old, link.socket = link.socket, self.other_socket()
        self.addCleanup(old.close)
        driver.ping(link)
        driver.ping(link)
        observed = driver.identify(link).observed
        self.assertEqual(observed[1], link.socket.getsockname()[1])


class Holder:
    """Something with a socket."""

    def __init__(self, held):
        self.socket = held


def drain(held):
    """Throws away what waits in a socket."""
    while select.select([held], [], [], 0.05)[0]:
        held.recv(65536)


class HalfOpen(Case):
    """SPEC §5.4 and §4.8: beyond 64 half-open connections a Hello gets a Retry."""

    def test_retry(self):
        crowd = []
        for _ in range(64):
            link = self.dial()
            link.flush()
            crowd.append(link)
        for link in crowd:
            self.assertTrue(select.select([link.socket], [], [], 5)[0])
        late = self.dial()
        stream = late.begin("ping/1", b"\x07" * 8)
        late.establish()
        self.assertIsNotNone(late.connection.retry_cid, "no Retry came")
        self.assertEqual(late.finish(stream, 8), b"\x07" * 8)
        hellos = {late.connection.hello}
        self.assertEqual(len(hellos), 1)


class Duplicates(Case):
    """SPEC §8.5: of two connections of one dialer the newer stays."""

    def test_the_newer_stays(self):
        key = identity.Key.new()
        older = self.connect(key)
        newer = self.connect(key)
        driver.ping(newer)
        older.wait(lambda: 1 in older.connection.streams and older.connection.streams[1].done)
        header = frames.decode_frames(older.connection.streams[1].data, frames.HEADER_LIMIT)
        self.assertEqual([frames.decode_header(body) for body in header], ["drain/1"])
        older.connection.close(frames.CLOSE["duplicate"])
        older.flush()
        driver.ping(newer)


class Private(unittest.TestCase):
    """A network of its own: another version, another psk."""

    def test_private_network(self):
        network = identity.Network(os.urandom(32))
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "network.key"
            path.write_text(network.to_file_text(), encoding="ascii")
            path.chmod(0o600)
            with program.Node("--network-key", str(path)) as node:
                key = identity.Key.new()
                with driver.dial(key, node.peer_id, network, node.host, node.port) as link:
                    link.establish()
                    driver.ping(link)


class Stop(unittest.TestCase):
    def test_shutdown_is_told(self):
        with program.Node() as node:
            key = identity.Key.new()
            with driver.dial(key, node.peer_id, PUBLIC, node.host, node.port) as link:
                link.establish()
                node.terminate()
                with self.assertRaises(ConnectionError):
                    link.wait(lambda: False)
                closed = link.connection.closed
            expected = (True, True, frames.CLOSE["shutdown"])
            self.assertEqual((closed.by_peer, closed.application, closed.code), expected)
            self.assertEqual(node.stop(), 0)


class Allowed(unittest.TestCase):
    """`--allow` makes a node strict: for others it is not there."""

    def test_strict(self):
        friend, stranger = identity.Key.new(), identity.Key.new()
        with program.Node("--allow", identity.encode(friend.peer_id)) as node:
            where = (node.peer_id, PUBLIC, node.host, node.port)
            with driver.dial(stranger, *where) as refused, driver.dial(friend, *where) as link:
                refused.flush()
                link.establish()
                driver.ping(link)
                self.assertEqual(select.select([refused.socket], [], [], SETTLE)[0], [])


class AsDialer(unittest.TestCase):
    """The program dials this implementation."""

    def run_command(self, *arguments, status=0, **options):
        with tempfile.TemporaryDirectory() as data:
            key = identity.Key.new()
            with responder.Responder(key, PUBLIC, **options) as server:
                host, port = server.address
                peer = f"{identity.encode(key.peer_id)}@{host}:{port}"
                filled = [peer if a == "PEER" else a for a in arguments]
                ended, lines, log = program.command(*filled, data=data)
            self.assertEqual(server.faults, [])
            self.assertEqual(ended, status, (lines, log))
            return server, lines

    def test_ping(self):
        for early in (True, False):
            with self.subTest(early=early):
                server, lines = self.run_command(
                    "ping", "PEER", "-c", "3", "-i", "0.01", early=early
                )
                self.assertEqual((lines[-1]["sent"], lines[-1]["received"]), (3, 3))
                first = server.connections[0][0]
                self.assertEqual(first.original_dcid[0] & 0x80, 0)
                self.assertIn(handshake.CHACHA20_POLY1305, first.dialer.suites)

    def test_send(self):
        server, lines = self.run_command("send", "PEER", "--", "hello from the program")
        self.assertEqual([m.body for m in server.messages], [b"hello from the program"])
        self.assertEqual(lines[-1]["id"], server.messages[0].id.hex())

    def test_close_code(self):
        server, _ = self.run_command("ping", "PEER", "-c", "1")
        closed = server.connections[0][0].closed
        self.assertTrue(closed.by_peer and closed.application, closed)

    def test_retry(self):
        server, _ = self.run_command("ping", "PEER", "-c", "1", retry=lambda packet: [packet])
        connection = server.connections[0][0]
        self.assertEqual(len(server.retried), 1)
        self.assertEqual(connection.original_dcid, server.retried[connection.retry_cid])

    def test_forged_retry_is_ignored(self):
        def forged_first(packet):
            return [packet[:-1] + bytes([packet[-1] ^ 1]), packet]

        server, _ = self.run_command("ping", "PEER", "-c", "1", retry=forged_first)
        self.assertEqual(len(server.connections), 1)

    def test_key_update_by_the_responder(self):
        class Updating(quic.ResponderConnection):
            def write(self, stream, data, fin=False):
                if stream.number == 4:
                    self.update_key()
                super().write(stream, data, fin)

        server, lines = self.run_command("ping", "PEER", "-c", "4", "-i", "0.01", kind=Updating)
        self.assertEqual(lines[-1]["received"], 4)
        self.assertEqual(server.connections[0][0].peer_updates, 1)

    def test_flags_of_the_future_are_ignored(self):
        kind = altering("body", lambda body: body[:1] + bytes([body[1] | 0xFE]) + body[2:])
        self.run_command("ping", "PEER", "-c", "1", kind=kind)

    def test_faults_of_a_responder_are_told(self):
        aes_only_chosen = altering("suite", lambda _: 0x55)
        floor = altering("parameters", lambda p: changed(p, initial_max_streams_bidi=3))
        ids = altering("parameters", lambda p: changed(p, initial_source_connection_id=b"12345678"))
        confirm = handshake.encode_message(handshake.CONFIRM, b"")
        cases = {
            "suite that was not offered": (aes_only_chosen, {handshake.NO_SUITE}),
            "parameters below the floor": (floor, {quic.PROTOCOL_VIOLATION}),
            "connection ids that do not match": (
                ids, {quic.TRANSPORT_PARAMETER_ERROR, quic.PROTOCOL_VIOLATION},
            ),
            "Reply that does not authenticate": (
                altering("reply", lambda m: m[:-1] + bytes([m[-1] ^ 1])),
                {handshake.NOT_AUTHENTIC},
            ),
            "Reply of another length": (
                altering("reply", lambda m: b"\x02\x00\x31" + m[3:] + b"\x00"),
                {handshake.BAD_LENGTH},
            ),
            "Confirm in place of Accept": (
                altering("accept", lambda _: confirm), {handshake.OUT_OF_TURN},
            ),
            "Accept without parameters": (
                altering("accept", lambda _: b"\x03\x00\x00"), {handshake.BAD_LENGTH},
            ),
            "parameters that are malformed": (
                altering("body", lambda body: body[:-1]), {handshake.BAD_PARAMETERS},
            ),
            "bytes behind the Reply": (
                altering("reply", lambda m: m + b"\x03"), {handshake.OUT_OF_TURN},
            ),
            "bytes behind the Accept": (
                altering("accept", lambda m: m + b"\x03"), {handshake.OUT_OF_TURN},
            ),
        }
        for name, (kind, codes) in cases.items():
            with self.subTest(name):
                server, _ = self.run_command(
                    "ping", "PEER", "-c", "1", "--timeout", "1", kind=kind, status=1
                )
                closed = server.connections[0][0].closed
                self.assertIsNotNone(closed, "the program did not say why")
                self.assertTrue(closed.by_peer and not closed.application, closed)
                self.assertIn(closed.code, codes, f"0x{closed.code:x}")


def altering(what, change):
    """A responder that changes one thing of what it sends."""

    class Altering(quic.ResponderConnection):
        def alter(self, name, value):
            return change(value) if name == what else value

    return Altering


def changed(parameters, **fields):
    """Transport parameters with other values."""
    return dataclasses.replace(parameters, **fields)


def raw_parameters(data):
    """Transport parameters by number."""
    buf, found = Buffer(data=data), {}
    while not buf.eof():
        number = buf.pull_uint_var()
        found[number] = buf.pull_bytes(buf.pull_uint_var())
    return found


def padding(length):
    """A transport parameter that nobody knows, of this length in all."""
    rest = length - 4
    return encode_uint_var(0x1F1B) + (0x4000 | rest).to_bytes(2, "big") + bytes(rest)


def aes_in_hardware():
    if platform.machine() not in ("x86_64", "AMD64"):
        return platform.machine() in ("aarch64", "arm64")
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        return " aes " in file.read()


if __name__ == "__main__":
    unittest.main()
