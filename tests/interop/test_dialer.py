"""The real program dials this implementation."""

import dataclasses
import tempfile
import unittest

import cases
import handshake
import identity
import program
import quic
import responder
import roles


class AsDialer(unittest.TestCase):
    """The program dials this implementation."""

    def run_command(self, *arguments, status=0, **options):
        with tempfile.TemporaryDirectory() as data:
            key = identity.Key.new()
            with responder.Responder(key, cases.PUBLIC, **options) as server:
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

    def test_parameters_of_the_dialer(self):
        server, _ = self.run_command("ping", "PEER", "-c", "1")
        raw = cases.raw_parameters(server.connections[0][0].dialer.parameters)
        self.assertNotIn(0x2AB2, raw, "grease_quic_bit")
        self.assertNotIn(0x01, raw, "idle timeout, SPEC §8.6")
        self.assertGreaterEqual(cases.number(raw[0x20]), 1200, "datagrams, SPEC §10.2")

    def test_send(self):
        server, lines = self.run_command("send", "PEER", "--", "hello from the program")
        self.assertEqual([m.body for m in server.services.messages], [b"hello from the program"])
        self.assertEqual(lines[-1]["id"], server.services.messages[0].id.hex())

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
        class Updating(roles.ResponderConnection):
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
        table = {
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
        for name, (kind, codes) in table.items():
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

    class Altering(roles.ResponderConnection):
        def alter(self, name, value):
            return change(value) if name == what else value

    return Altering


def changed(parameters, **fields):
    """Transport parameters with other values."""
    return dataclasses.replace(parameters, **fields)


if __name__ == "__main__":
    unittest.main()
