"""This implementation dials the real program (PINHOLE_NODE, or target/debug/node)."""

import dataclasses
import os
import pathlib
import select
import tempfile
import unittest
import unittest.mock

import cases
import driver
import frames
import handshake
import identity
import messages
import postcard
import program
import quic
import roles


class Connected(cases.Case):
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
        raw = cases.raw_parameters(link.connection.accept.parameters)
        self.assertNotIn(0x2AB2, raw, "grease_quic_bit")
        self.assertEqual(int.from_bytes(raw.get(0x09, b""), "big"), 0, "unidirectional streams")
        self.assertEqual(len(raw[0x0F]), 8, "connection ids have 8 bytes")
        self.assertEqual(raw[0x00], link.connection.original_dcid)
        self.assertNotIn(0x10, raw)
        self.assertNotIn(0x01, raw, "idle timeout, SPEC §8.6")
        self.assertGreaterEqual(cases.number(raw[0x20]), 1200, "datagrams, SPEC §10.2")

    def test_suites(self):
        chacha, aes = handshake.CHACHA20_POLY1305, handshake.AES_128_GCM
        link = self.connect(suites=[chacha])
        self.assertEqual(link.connection.accept.suite, chacha)
        driver.ping(link)
        for offered in ([aes, chacha], [chacha, aes], [0x7F, aes, chacha]):
            with self.subTest(offered=offered):
                link = self.connect(suites=offered)
                chosen = link.connection.accept.suite
                self.assertEqual(chosen, aes if cases.aes_in_hardware() else chacha)
                driver.ping(link)

    def test_identify(self):
        link = self.connect()
        reply = driver.identify(link)
        host, port = reply.observed
        self.assertEqual((str(host), port), ("127.0.0.1", link.socket.getsockname()[1]))
        self.assertLessEqual(set(messages.PROTOCOLS), set(reply.protocols))
        self.assertTrue(reply.agent)

    def test_message(self):
        key = identity.Key.new()
        link = self.connect(key)
        text = "grüß dich"
        for kind, body in (("chat", text.encode()), ("data", b"\xff\x00"), ("control", b"")):
            with self.subTest(kind=kind):
                message_id = os.urandom(16)
                reply = driver.send_message(link, kind, body, message_id)
                self.assertIsNone(reply.refusal)
                event = self.node.event("message", id=message_id.hex(), kind=kind)
                self.assertEqual(event["peer"], identity.encode(key.peer_id))
                if kind == "chat":
                    self.assertEqual(event["body"], text)

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

    def test_a_peer_without_datagrams_is_a_violation(self):
        """SPEC §10.2: it could not be asked whether it lives."""
        usual = roles.default_parameters

        def without(**more):
            return dataclasses.replace(usual(**more), max_datagram_frame_size=None)

        with unittest.mock.patch.object(roles, "default_parameters", without):
            link = self.connect()
        with self.assertRaises(ConnectionError):
            link.wait(lambda: False)
        closed = link.connection.closed
        violation = frames.CLOSE["protocol_violation"]
        self.assertEqual((closed.by_peer, closed.application, closed.code), (True, True, violation))

    def test_normal_close_by_the_dialer(self):
        key = identity.Key.new()
        link = self.connect(key)
        peer = identity.encode(key.peer_id)
        self.node.event("peer", peer=peer, state="connected")
        link.connection.close(frames.CLOSE["normal"])
        link.flush()
        self.node.event("peer", peer=peer, was="connected")


class Refusals(cases.Case):
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
        reach = frames.encode_frame(frames.encode_header("reach/1"))
        table = {
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
            "reach of no id": ("malformed", reach + frames.encode_frame(b"\xff" * 32)),
            "reach of half an id": ("malformed", reach + frames.encode_frame(b"\x07" * 16)),
            "reach too large": ("frame_too_large", reach + frames.encode_frame(bytes(33))),
            "message cut off": ("malformed", message + frames.encode_frame(bytes(17))),
        }
        for name, (code, data) in table.items():
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


class Early(cases.Case):
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
            ("reach/1", self.node.peer_id),
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
            with driver.dial(key, node.peer_id, cases.PUBLIC, node.host, node.port) as link:
                link.establish()
                node.terminate()
                with self.assertRaises(ConnectionError):
                    link.wait(lambda: False)
                closed = link.connection.closed
            expected = (True, True, frames.CLOSE["shutdown"])
            self.assertEqual((closed.by_peer, closed.application, closed.code), expected)
            self.assertEqual(node.stop(), 0)


if __name__ == "__main__":
    unittest.main()
