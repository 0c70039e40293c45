"""SPEC chapters 5 and 8 against the real program: silence, faults, half-open connections, paths."""

import os
import random
import select
import socket
import time
import unittest

from aioquic.buffer import encode_uint_var

import cases
import driver
import frames
import handshake
import identity
import program
import quic
import roles


class Silence(cases.Case):
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
            roles.DialerConnection(
                identity.Key.new(), self.node.peer_id, other.key, cases.PUBLIC.version
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
        driver.identify(first)  # no early data: who answers has taken up the connection
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
            "too long": lambda p: p.__setattr__("parameters", p.parameters + cases.padding(600)),
        }
        links = []
        for change in changes.values():
            links.append(self.altered(change))
        self.silent(*links)

    def test_hello_of_the_largest_size(self):
        def fill(payload):
            room = handshake.HELLO_MAX - handshake.NOISE_OVERHEAD - len(payload.encode())
            payload.parameters += cases.padding(room)

        link = self.altered(fill)
        self.assertEqual(len(link.connection.hello), 3 + handshake.HELLO_MAX)
        link.establish()

    def test_datagram_below_1200_bytes(self):
        short = self.dial()
        connection = short.connection
        space = connection.spaces[quic.INITIAL]
        packet = connection._packet(space, "initial", space.tx, space.queue, 0)
        padded = connection._packet(space, "initial", space.tx, space.queue, 1199 - len(packet))
        short.socket.sendto(packet, short.remote)
        short.socket.sendto(padded, short.remote)
        self.assertEqual(len(padded), 1199)
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
        versions = (0, 1, 0x6B3343CF, 0x0A1A2A3A, cases.PUBLIC.version ^ 1)
        first = self.dial().connection.send()[0][:1]
        datagrams = [first + v.to_bytes(4, "big") + os.urandom(1195) for v in versions]
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
            identity.Key.new(),
            self.node.peer_id,
            cases.PUBLIC.key,
            cases.PUBLIC.version,
            change=change,
        )
        link.flush()
        return link


class AlteredConnection(roles.DialerConnection):
    """Sends a Hello that was changed; the limits of the honest dialer do not hold it back."""

    def __init__(self, *arguments, change, **options):
        self.change = change
        super().__init__(*arguments, **options)

    def _send_hello(self):
        parameters = roles.default_parameters(initial_source_connection_id=self.local_cid)
        payload = handshake.HelloPayload(
            self.noise.key.peer_id, self.counter, os.urandom(32), self.suites,
            roles.encode_parameters(parameters),
        )
        self.change(payload)
        self.noise.suites = payload.suites
        body = bytes(self.noise.noise.write_message(payload.encode()))
        self.hello = handshake.encode_message(handshake.HELLO, body)
        self.send_message(quic.INITIAL, self.hello)


class HandshakeFaults(cases.Case):
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
        table = {
            "Confirm with a body": (handshake.BAD_LENGTH, encode(handshake.CONFIRM, b"x")),
            "Accept from a dialer": (handshake.OUT_OF_TURN, encode(handshake.ACCEPT, b"\x02\x00")),
            "Hello a second time": (handshake.OUT_OF_TURN, encode(handshake.HELLO, bytes(200))),
            "bytes behind": (handshake.OUT_OF_TURN, encode(handshake.CONFIRM, b"") + b"\x04"),
            "unknown type": (handshake.OUT_OF_TURN, encode(9, b"")),
        }
        for name, (code, message) in table.items():
            with self.subTest(name):
                self.assertEqual(self.code(message), code)


class HalfOpen(cases.Case):
    """SPEC §5.4 and §4.8: beyond 64 half-open connections a Hello gets a Retry."""

    def test_retry(self):
        links = [self.dial() for _ in range(64)]
        late = self.dial()
        for crowd in (links[:40], links[40:]):
            time.sleep(1.05 if crowd[0] is not links[0] else 0)  # at most 50 in any second
            for link in crowd:
                link.flush()
            for link in crowd:
                self.assertTrue(select.select([link.socket], [], [], 5)[0])
        stream = late.begin("ping/1", b"\x07" * 8)
        late.establish()
        self.assertIsNotNone(late.connection.retry_cid, "no Retry came")
        self.assertEqual(late.finish(stream, 8), b"\x07" * 8)


class Rate(cases.Case):
    """SPEC §5.4: in any second at most 50 inbound connections open."""

    def test_who_comes_too_soon_gets_in_later(self):
        links = [self.dial() for _ in range(63)]
        firsts = [(link, link.connection.send()) for link in links]
        began = time.monotonic()
        for link, datagrams in firsts:
            link.socket.sendto(datagrams[0], link.remote)
        took = 0
        while took < 0.7:
            time.sleep(0.02)
            answered = [link for link in links if select.select([link.socket], [], [], 0)[0]]
            took = time.monotonic() - began
        self.assertLessEqual(len(answered), 50 * (1 + int(took)))
        self.assertGreater(len(answered), 0)
        for link in links:
            link.establish(10)

class Paths(cases.Case):
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
            cases.drain(link.socket)
        link.establish()
        driver.ping(link)

    def test_with_loss(self):
        """A quarter of all datagrams is lost, in both directions."""
        chance = random.Random(7)
        link = self.dial()
        link.loses = lambda: chance.random() < 0.25
        early = link.begin("ping/1", b"\x05" * 8)
        link.establish(30)
        self.assertEqual(link.finish(early, 8, 30), b"\x05" * 8)
        body = b"x" * 20_000
        self.assertIsNone(driver.send_message(link, "data", body, seconds=60).refusal)
        link.loses = lambda: False

    def test_two_sources_are_answered_and_a_fourth_is_not(self):
        link = self.dial()
        link.flush()
        sources = [self.other_socket() for _ in range(3)]
        for source in sources:
            source.sendto(link.sent[0], link.remote)
        for source in sources[:2]:
            self.assertTrue(select.select([source], [], [], 5)[0], "no answer to this source")
        self.silent(cases.Holder(sources[2]))
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
        link.wait_quietly(1.5)  # past the first retransmission
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


class Duplicates(cases.Case):
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


class Allowed(unittest.TestCase):
    """`--allow` makes a node strict: for others it is not there."""

    def test_strict(self):
        friend, stranger = identity.Key.new(), identity.Key.new()
        with program.Node("--allow", identity.encode(friend.peer_id)) as node:
            where = (node.peer_id, cases.PUBLIC, node.host, node.port)
            with driver.dial(stranger, *where) as refused, driver.dial(friend, *where) as link:
                refused.flush()
                link.establish()
                driver.ping(link)
                self.assertEqual(select.select([refused.socket], [], [], cases.SETTLE)[0], [])


if __name__ == "__main__":
    unittest.main()
