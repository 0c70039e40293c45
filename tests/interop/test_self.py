"""The two roles of this implementation against each other, in memory: so that a failure against
the real program is not a fault of the tools."""

import os
import time
import unittest

from aioquic.buffer import Buffer
from aioquic.quic.packet import pull_quic_header

import handshake
import identity
import quic
import roles


def pair(*, early=True, network=None, dialed=None):
    network = network or identity.Network.public()
    key = identity.Key.new()
    peer = dialed or key.peer_id
    dialer = roles.DialerConnection(identity.Key.new(), peer, network.key, network.version)
    first = dialer.send()
    header = pull_quic_header(Buffer(data=first[0]))
    responder = roles.ResponderConnection(
        key, network.key, network.version, header, early=early
    )
    return dialer, responder, first


def exchange(dialer, responder, datagrams, rounds=6):
    for _ in range(rounds):
        for datagram in datagrams:
            responder.receive(datagram)
        for datagram in responder.send():
            dialer.receive(datagram)
        datagrams = dialer.send()


class Roles(unittest.TestCase):
    def test_handshake_and_streams_both_ways(self):
        dialer, responder, first = pair()
        exchange(dialer, responder, first)
        self.assertTrue(dialer.confirmed and responder.confirmed)
        for one, other in ((dialer, responder), (responder, dialer)):
            stream = one.open_stream()
            one.write(stream, b"x" * 5000, fin=True)
            for _ in range(3):
                exchange(dialer, responder, dialer.send(), 2)
            self.assertTrue(other.streams[stream.number].done)
            self.assertEqual(other.streams[stream.number].data, b"x" * 5000)

    def test_first_datagram_is_padded_and_holds_the_hello_whole(self):
        dialer, _, first = pair()
        self.assertEqual([len(d) for d in first], [quic.DATAGRAM_MIN])
        self.assertEqual(first[0][6] & 0x80, 0)
        self.assertEqual(dialer.hello[0], handshake.HELLO)

    def test_early_data_accepted_and_refused(self):
        for early in (True, False):
            with self.subTest(accepted=early):
                network = identity.Network.public()
                key = identity.Key.new()
                dialer = roles.DialerConnection(
                    identity.Key.new(), key.peer_id, network.key, network.version
                )
                stream = dialer.open_stream()
                dialer.write(stream, b"early", fin=True)
                first = dialer.send()
                self.assertEqual(len(first), 1)
                header = pull_quic_header(Buffer(data=first[0]))
                responder = roles.ResponderConnection(
                    key, network.key, network.version, header, early=early
                )
                exchange(dialer, responder, first)
                self.assertEqual(responder.streams[0].data, b"early")
                kinds = {kind for kind, _ in responder.packets_seen}
                self.assertEqual("zero_rtt" in kinds, early)

    def test_key_update_by_either_side(self):
        dialer, responder, first = pair()
        exchange(dialer, responder, first)
        for starter, other in ((dialer, responder), (responder, dialer)):
            starter.update_key()
            stream = starter.open_stream()
            starter.write(stream, b"after", fin=True)
            exchange(dialer, responder, dialer.send())
            self.assertEqual(other.streams[stream.number].data, b"after")
        self.assertEqual((dialer.peer_updates, responder.peer_updates), (2, 2))

    def test_a_wrong_id_or_key_cannot_be_read(self):
        other = identity.Network(os.urandom(32))
        cases = [pair(dialed=identity.Key.new().peer_id)]
        key = identity.Key.new()
        dialer = roles.DialerConnection(
            identity.Key.new(), key.peer_id, other.key, identity.Network.public().version
        )
        first = dialer.send()
        header = pull_quic_header(Buffer(data=first[0]))
        public = identity.Network.public()
        cases.append(
            (dialer, roles.ResponderConnection(key, public.key, public.version, header), first)
        )
        for dialer, responder, first in cases:
            exchange(dialer, responder, first)
            self.assertEqual(responder.packets_seen, [])
            self.assertFalse(dialer.complete)

    def test_datagrams_both_ways_and_none_is_sent_again(self):
        dialer, responder, first = pair()
        exchange(dialer, responder, first)
        for one, other in ((dialer, responder), (responder, dialer)):
            one.send_datagram(b"lost")
            self.assertEqual(len(one.send()), 1)
            one.send_datagram(b"")
            one.send_datagram(b"heard")
            time.sleep(quic.RESEND_AFTER + 0.01)
            for datagram in one.send():
                other.receive(datagram)
            exchange(dialer, responder, dialer.send())
            self.assertEqual([payload for _, payload in other.datagrams], [b"", b"heard"])
            self.assertEqual((one.datagrams_sent, one.datagrams_acked), (3, 2))

    def test_what_is_lost_is_sent_again(self):
        dialer, responder, _ = pair()
        self.assertEqual(dialer.send(), [])
        time.sleep(quic.RESEND_AFTER + 0.01)
        exchange(dialer, responder, dialer.send())
        self.assertTrue(dialer.confirmed)


if __name__ == "__main__":
    unittest.main()
